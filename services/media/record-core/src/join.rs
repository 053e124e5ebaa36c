//! Segments of one track joined to one file, whoever made them.
//!
//! # Contract
//! Segments are objects that play alone ([`crate::Segments`]), given in the order of their first sample on the recording's timeline.
//! Before each, [`Joiner::fill`] is called until nothing is left to fill: what nobody recorded is silent. What two of them
//! have is taken from the first. WAV and FLAC lose nothing and are joined to the sample. Of MP3 and Ogg the frames and pages themselves
//! are put one behind the other, so that segments of one node give the very file of which they were cut; others are placed to
//! the nearest frame or page (24 to 72, and 200 ms). All segments of a recording have its rate, which each of them tells by itself.

use std::io::Cursor;

use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;
use thiserror::Error;

use crate::container::{Container, EncodeError, Encoder};
use crate::opus::{self, PageJoiner};
use crate::{Form, HEADER_LEN, Patch};

/// One file that is being joined.
#[derive(Debug)]
pub struct Joiner {
    container: Container,
    form: Form,
    /// Samples of one channel so far.
    samples: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// Sound is decoded and coded again without loss.
    Samples(Encoder),
    /// Frames are taken as they are.
    Frames { silent: Vec<u8> },
    /// Pages are taken as they are and numbered anew.
    Pages { joiner: PageJoiner, silent: Vec<u8> },
}

/// Why a segment cannot be joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JoinError {
    /// It is not of the container, or of other channels or another rate, or was cut.
    #[error("not a segment of this recording")]
    Foreign,
    /// Its place is behind the end of any recording.
    #[error("a segment lies too far behind")]
    TooFar,
    /// The file cannot be made.
    #[error(transparent)]
    Encode(#[from] EncodeError),
}

/// The longest recording, in ms: a week.
const LENGTH_MS_MAX: u64 = 7 * 24 * 3600 * 1000;
/// Silence that is filled in at once, in ms.
const FILL_MS: u64 = 10_000;

impl Joiner {
    /// For a file of a form, and what it begins with.
    pub fn new(container: Container, form: Form) -> Result<(Self, Vec<u8>), JoinError> {
        let (encoder, header) = Encoder::new(container, form)?;
        let kind = match container {
            Container::Wav | Container::Flac => Kind::Samples(encoder),
            Container::Mp3 => Kind::Frames { silent: silent_unit(container, form)? },
            Container::OggOpus => Kind::Pages {
                joiner: PageJoiner::default(),
                silent: opus::packets(&silent_unit(container, form)?).to_vec(),
            },
        };
        Ok((Self { container, form, samples: 0, kind }, header))
    }

    /// What a segment is; none for what is not of the container.
    pub fn form_of(container: Container, segment: &[u8]) -> Option<Form> {
        container.form_of(segment.get(..HEADER_LEN).unwrap_or(segment))
    }

    /// What the file is made of.
    pub fn container(&self) -> Container {
        self.container
    }

    /// What the sound of the file is.
    pub fn form(&self) -> Form {
        self.form
    }

    /// Samples of one channel in the file.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Appends silence until the file reaches `at`, at most ten seconds of it. Whether there is more to fill.
    pub fn fill(&mut self, at: u64, out: &mut Vec<u8>) -> Result<bool, JoinError> {
        if at > self.form.samples(LENGTH_MS_MAX) {
            return Err(JoinError::TooFar);
        }
        let gap = at.saturating_sub(self.samples).min(self.form.samples(FILL_MS));
        if gap == 0 {
            return Ok(false);
        }
        let unit = self.unit().1;
        // To the nearest unit.
        let units = (gap + unit / 2) / unit;
        match &mut self.kind {
            Kind::Samples(encoder) => {
                encoder.write(&vec![0; gap as usize * self.form.width()], out)?;
            }
            Kind::Frames { silent } => (0..units).for_each(|_| out.extend_from_slice(silent)),
            Kind::Pages { joiner, silent } => (0..units).for_each(|_| joiner.add(silent, out)),
        }
        self.samples += units * unit;
        Ok(units > 0 && at > self.samples + unit / 2)
    }

    /// Appends what is new in a segment that begins at `first_sample`.
    pub fn add(&mut self, first_sample: u64, segment: &[u8], out: &mut Vec<u8>) -> Result<(), JoinError> {
        if Self::form_of(self.container, segment) != Some(self.form) {
            return Err(JoinError::Foreign);
        }
        let (bytes, unit) = self.unit();
        let before = self.samples.saturating_sub(first_sample);
        let header = self.container.header_bytes(self.form) as usize;
        let sound = segment.get(header..).ok_or(JoinError::Foreign)?;
        let skipped = ((before + unit / 2) / unit) as usize;
        let whole = sound.chunks_exact(bytes.max(1) as usize).skip(skipped);
        let added = match &mut self.kind {
            Kind::Samples(encoder) => {
                let samples = match self.container {
                    Container::Flac => decode(segment, self.form)?,
                    _ => sound.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect(),
                };
                let channels = self.form.width();
                let whole = samples.len() / channels * channels;
                let fresh = samples[..whole].get(before as usize * channels..).unwrap_or_default();
                encoder.write(fresh, out)?;
                (fresh.len() / channels) as u64
            }
            Kind::Frames { .. } => {
                let frames = whole.take_while(|frame| frame[0] == 0xFF);
                frames.inspect(|frame| out.extend_from_slice(frame)).count() as u64 * unit
            }
            Kind::Pages { joiner, .. } => {
                let pages = whole.take_while(|page| page.starts_with(b"OggS"));
                pages.inspect(|page| joiner.add(opus::packets(page), out)).count() as u64 * unit
            }
        };
        self.samples += added;
        Ok(())
    }

    /// What the file ends with.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), JoinError> {
        match &mut self.kind {
            Kind::Samples(encoder) => encoder.finish(out)?,
            Kind::Frames { .. } => {}
            Kind::Pages { joiner, .. } => joiner.finish(out),
        }
        Ok(())
    }

    /// What is then to be written over its start.
    pub fn patch(&mut self) -> Option<Patch> {
        match &mut self.kind {
            Kind::Samples(encoder) => encoder.patch(),
            Kind::Frames { .. } | Kind::Pages { .. } => None,
        }
    }

    /// Bytes and samples of the smallest piece.
    fn unit(&self) -> (u64, u64) {
        self.container.unit(self.form).unwrap_or((1, 1))
    }
}

/// The first unit of a file of silence: it depends on nothing before it.
fn silent_unit(container: Container, form: Form) -> Result<Vec<u8>, JoinError> {
    let (bytes, samples) = container.unit(form).ok_or(JoinError::Foreign)?;
    let (mut encoder, _) = Encoder::new(container, form)?;
    let mut out = Vec::new();
    encoder.write(&vec![0; 8 * samples as usize * form.width()], &mut out)?;
    out.truncate(bytes as usize);
    if out.len() as u64 == bytes { Ok(out) } else { Err(JoinError::Encode(EncodeError::Encoder)) }
}

/// All of a segment of FLAC, channels interleaved.
fn decode(segment: &[u8], form: Form) -> Result<Vec<i16>, JoinError> {
    let source = MediaSourceStream::new(Box::new(Cursor::new(segment.to_vec())), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(Container::Flac.extension());
    let foreign = |_| JoinError::Foreign;
    let mut format = symphonia::default::get_probe()
        .probe(&hint, source, Default::default(), Default::default())
        .map_err(foreign)?;
    let track = format.default_track(TrackType::Audio).ok_or(JoinError::Foreign)?;
    let parameters =
        track.codec_params.as_ref().and_then(|params| params.audio()).ok_or(JoinError::Foreign)?;
    let mut decoder = symphonia::default::get_codecs()
        .make_audio_decoder(parameters, &AudioDecoderOptions::default())
        .map_err(foreign)?;
    let (mut all, mut piece) = (Vec::new(), Vec::<i16>::new());
    // One that was cut is heard as far as it goes.
    while let Ok(Some(packet)) = format.next_packet() {
        let Ok(decoded) = decoder.decode(&packet) else { break };
        if decoded.num_planes() != form.width() {
            return Err(JoinError::Foreign);
        }
        piece.clear();
        decoded.copy_to_vec_interleaved(&mut piece);
        all.extend_from_slice(&piece);
    }
    Ok(all)
}
