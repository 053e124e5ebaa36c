//! What applications say into live streams: sound that comes as it is made, and is heard at the pace of speech.
//!
//! Sound that comes after a silence begins an utterance: a playback to everybody in the stream, each fed through a ring of its
//! own. The utterance ends when it has been heard and nothing more came for a while; then the legs hear each other again.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::Producer;
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1 as pb;

use super::stream::StreamEntry;
use super::{Control, Engine};
use crate::error::MediaError;
use crate::recorder::live::StreamFormat;
use crate::worker::FRAME;
use crate::worker::playing::Playing;
use crate::worker::rings::Command;

/// An utterance: what is being said into one stream.
#[derive(Debug)]
pub(super) struct Speech {
    /// Bytes that do not make a frame yet.
    rest: Vec<u8>,
    voices: Vec<Voice>,
    /// When the last sound came.
    last: Instant,
    is_mu_law: bool,
}

/// The way to one leg or mix.
struct Voice {
    playback: u64,
    frames: Producer<[i16; FRAME]>,
}

/// Sound that may be sent ahead, in frames of 20 ms.
const AHEAD_MAX: usize = 1500;
/// The most in one request, in bytes.
const SOUND_MAX: usize = 64 << 10;
/// How long after its last sound an utterance is held open.
const HELD_OPEN: Duration = Duration::from_millis(300);
/// How often the end of an utterance is looked for.
const POLL: Duration = Duration::from_millis(20);

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Voice").field("playback", &self.playback).finish_non_exhaustive()
    }
}

impl Engine {
    /// Lets everybody in a stream hear something; how much waits to be heard, in ms.
    pub(crate) async fn speak(self: &Arc<Self>, request: &pb::SpeakRequest) -> Result<u32, MediaError> {
        let mut control = self.control.lock().await;
        let entry = control.streams.get(request.stream_id.as_str());
        let entry = entry.ok_or(MediaError::NotFound("stream"))?;
        let frame_bytes = match entry.format() {
            StreamFormat::L16 => FRAME * 2,
            StreamFormat::Pcmu => FRAME,
            StreamFormat::File(_) => {
                let problem = "is no stream of format L16 or PCMU";
                return Err(MediaError::Invalid { field: "stream_id", problem });
            }
        };
        if request.sound.len() > SOUND_MAX {
            return Err(MediaError::Invalid { field: "sound", problem: "expected at most 64 KB" });
        }
        if request.clear {
            self.silence(&mut control, &request.stream_id).await?;
        }
        self.add(&mut control, request, frame_bytes).await
    }

    async fn add(
        self: &Arc<Self>,
        control: &mut Control,
        request: &pb::SpeakRequest,
        frame_bytes: usize,
    ) -> Result<u32, MediaError> {
        let id = request.stream_id.as_str();
        if request.sound.is_empty() {
            return Ok(control.speeches.get(id).map_or(0, Speech::waiting_ms));
        }
        if !control.speeches.contains_key(id) {
            let voices = self.open_voices(control, id).await?;
            let speech =
                Speech { rest: Vec::new(), voices, last: Instant::now(), is_mu_law: frame_bytes == FRAME };
            control.speeches.insert(id.into(), speech);
            self.end_utterance_in_time(id);
        }
        let speech = control.speeches.get_mut(id).ok_or(MediaError::NotFound("stream"))?;
        let frames = (speech.rest.len() + request.sound.len()) / frame_bytes;
        if speech.waiting() + frames > AHEAD_MAX {
            return Err(MediaError::TooMany("seconds of speech ahead"));
        }
        speech.last = Instant::now();
        speech.rest.extend_from_slice(&request.sound);
        speech.push_whole(frame_bytes);
        Ok(speech.waiting_ms())
    }

    /// Begins a playback of what will come, for everybody in a stream.
    async fn open_voices(&self, control: &mut Control, id: &str) -> Result<Vec<Voice>, MediaError> {
        let audience = control.streams.get(id).map(StreamEntry::audience).unwrap_or_default();
        let mut voices = Vec::with_capacity(audience.len());
        for audience in audience {
            let (frames, heard) = rtrb::RingBuffer::new(AHEAD_MAX + 1);
            let playback = control.number();
            match self.push_playing(control, &audience, Box::new(Playing::live(playback, heard))).await {
                Ok(()) => voices.push(Voice { playback, frames }),
                // It has just left.
                Err(MediaError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(voices)
    }

    /// What has not been heard yet is not to be heard.
    pub(super) async fn silence(&self, control: &mut Control, id: &str) -> Result<(), MediaError> {
        let Some(speech) = control.speeches.remove(id) else { return Ok(()) };
        let playbacks: Vec<u64> = speech.voices.into_iter().map(|voice| voice.playback).collect();
        for playback in playbacks {
            for link in &mut control.workers {
                link.push(Command::StopPlay { playback }).await?;
            }
        }
        Ok(())
    }

    /// Lets the legs hear each other again after the last word.
    fn end_utterance_in_time(self: &Arc<Self>, id: &str) {
        let (engine, id) = (Arc::clone(self), id.to_owned());
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(POLL).await;
                let mut control = engine.control.lock().await;
                // One that was cleared is gone already; another may have begun since, and has its own end.
                let Some(speech) = control.speeches.get_mut(id.as_str()) else { return };
                if speech.is_over() {
                    control.speeches.remove(id.as_str());
                    return;
                }
            }
        });
    }
}

impl Speech {
    /// Frames that wait to be heard, by whom most wait.
    fn waiting(&self) -> usize {
        let waiting = |voice: &Voice| voice.frames.buffer().capacity() - voice.frames.slots();
        self.voices.iter().filter(|voice| !voice.frames.is_abandoned()).map(waiting).max().unwrap_or(0)
    }

    fn waiting_ms(&self) -> u32 {
        self.waiting() as u32 * 20
    }

    /// Pushes what makes whole frames of the bytes that came.
    fn push_whole(&mut self, frame_bytes: usize) {
        let rest = std::mem::take(&mut self.rest);
        let mut pieces = rest.chunks_exact(frame_bytes);
        for piece in &mut pieces {
            self.push(piece);
        }
        self.rest = pieces.remainder().to_vec();
    }

    fn push(&mut self, bytes: &[u8]) {
        let mut frame = [0; FRAME];
        if self.is_mu_law {
            g711::decode(Law::Mu, bytes, &mut frame[..bytes.len()]);
        } else {
            for (sample, bytes) in frame.iter_mut().zip(bytes.as_chunks().0) {
                *sample = i16::from_le_bytes(*bytes);
            }
        }
        for voice in &mut self.voices {
            // One whose leg is gone hears nothing any more.
            let _ = voice.frames.push(frame);
        }
    }

    /// Lets voices go that have said all; whether the utterance has ended.
    fn is_over(&mut self) -> bool {
        if self.last.elapsed() < HELD_OPEN {
            return false;
        }
        let rest = std::mem::take(&mut self.rest);
        if !rest.is_empty() {
            self.push(&rest);
            return false;
        }
        self.voices.retain(|voice| {
            !voice.frames.is_abandoned() && voice.frames.slots() < voice.frames.buffer().capacity()
        });
        self.voices.is_empty()
    }
}
