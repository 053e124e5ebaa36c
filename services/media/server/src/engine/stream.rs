//! Live streams: which legs are heard in them, and who listens.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sidetone_dsp::Rate;
use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;
use sidetone_record_core::Container;
use tokio::sync::mpsc;

use super::play::Audience;
use super::{Control, Engine, record};
use crate::error::MediaError;
use crate::recorder::Place;
use crate::recorder::live::{Listener, PIECES_MAX, StreamFormat};

/// A stream, as the control plane knows it.
#[derive(Debug)]
pub(crate) struct StreamEntry {
    request: pb::StartStreamRequest,
    number: u32,
    format: StreamFormat,
    rate: Rate,
    legs: BTreeSet<LegId>,
}

/// What somebody who listens is given.
pub(crate) type StreamBytes = BoxStream<'static, Result<pb::StreamBytes, MediaError>>;

impl StreamEntry {
    pub(super) fn format(&self) -> StreamFormat {
        self.format
    }

    /// Who hears what is said into it.
    pub(super) fn audience(&self) -> Vec<Audience> {
        match self.request.mix_id.as_str() {
            "" => self.legs.iter().copied().map(Audience::Leg).collect(),
            mix => vec![Audience::Mix(mix.into())],
        }
    }
}

impl Engine {
    /// Begins a stream, or adds legs to it; what it is made of.
    pub(crate) async fn start_stream(
        &self,
        legs: Vec<LegId>,
        request: pb::StartStreamRequest,
    ) -> Result<&'static str, MediaError> {
        let format = match request.format() {
            pb::AudioFormat::Unspecified if Container::Mp3.is_here() => StreamFormat::File(Container::Mp3),
            pb::AudioFormat::L16 => StreamFormat::L16,
            pb::AudioFormat::Pcmu => StreamFormat::Pcmu,
            format => StreamFormat::File(record::container(format)?),
        };
        let mut control = self.control.lock().await;
        let control = &mut *control;
        if legs.iter().any(|leg| !control.legs.contains_key(leg)) {
            return Err(MediaError::NotFound("leg"));
        }
        let mut legs: BTreeSet<LegId> = legs.into_iter().collect();
        if !request.mix_id.is_empty() {
            let mix = control.mixes.get(request.mix_id.as_str()).ok_or(MediaError::NotFound("mix"))?;
            legs = mix.members().collect();
        }
        let id = request.stream_id.clone();
        match control.streams.get(id.as_str()) {
            Some(entry) if !continues(&entry.request, &request) => return Err(MediaError::Reused("stream")),
            Some(_) => {}
            None => {
                if control.streams.len() >= self.config.streams_max {
                    return Err(MediaError::TooMany("streams"));
                }
                let number = control.number() as u32;
                let sources: Vec<LegId> = legs.iter().copied().collect();
                let rate = if format.has_any_rate() {
                    self.rate_of(control, &request.call_id, &sources)
                } else {
                    Rate::Narrow
                };
                self.recorder.begin_stream(number, (format, rate)).await?;
                let entry = StreamEntry { request, number, format, rate, legs: BTreeSet::new() };
                control.streams.insert(id.as_str().into(), entry);
                self.telemetry.audio.streams.set(control.streams.len() as i64);
            }
        }
        for leg in legs {
            self.add_to_stream(control, &id, leg).await?;
        }
        Ok(format.content_type())
    }

    async fn add_to_stream(&self, control: &mut Control, id: &str, leg: LegId) -> Result<(), MediaError> {
        let Some(entry) = control.streams.get(id) else { return Ok(()) };
        let place = Place { output: entry.number, track: 0, channel: 0, rate: entry.rate };
        self.feed(control, leg, place).await?;
        if let Some(entry) = control.streams.get_mut(id) {
            entry.legs.insert(leg);
        }
        Ok(())
    }

    /// Ends a stream. One that has ended is no fault.
    pub(crate) async fn stop_stream(&self, id: &str) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        self.end_stream(&mut control, id).await
    }

    async fn end_stream(&self, control: &mut Control, id: &str) -> Result<(), MediaError> {
        let Some(entry) = control.streams.remove(id) else { return Ok(()) };
        self.telemetry.audio.streams.set(control.streams.len() as i64);
        let ended = self.recorder.end_stream(entry.number);
        self.silence(control, id).await?;
        // Whether the worker still adds something does not matter: nobody hears it.
        let dropped = self.drop_output(control, entry.number).await;
        self.tell(pb::media_event::Kind::StreamEnded(pb::StreamEnded { stream_id: id.into() }));
        ended.and(dropped.map(drop))
    }

    /// Everybody in a mix is heard in its streams; a stream whose legs are all gone ends. Called when a leg has come to be
    /// connected to something else, or is gone.
    pub(super) async fn follow_legs(&self, control: &mut Control, leg: LegId) {
        let ids: Vec<Box<str>> = control.streams.keys().cloned().collect();
        for id in ids {
            if let Err(error) = self.follow_leg(control, &id, leg).await {
                tracing::warn!(%leg, %error, "a stream does not follow its mix");
            }
        }
    }

    async fn follow_leg(&self, control: &mut Control, id: &str, leg: LegId) -> Result<(), MediaError> {
        let Some(entry) = control.streams.get_mut(id) else { return Ok(()) };
        let number = entry.number;
        let of_mix = !entry.request.mix_id.is_empty();
        let belongs = if of_mix {
            control.mixes.get(entry.request.mix_id.as_str()).is_some_and(|mix| mix.has(leg))
        } else {
            entry.legs.contains(&leg) && control.legs.contains_key(&leg)
        };
        if belongs {
            return if entry.legs.contains(&leg) {
                Ok(())
            } else {
                self.add_to_stream(control, id, leg).await
            };
        }
        if !entry.legs.remove(&leg) {
            return Ok(());
        }
        if entry.legs.is_empty() {
            return self.end_stream(control, id).await;
        }
        self.unfeed(control, leg, number).await
    }

    /// A stream from now on.
    pub(crate) async fn listen(&self, id: &str) -> Result<StreamBytes, MediaError> {
        let control = self.control.lock().await;
        let entry = control.streams.get(id).ok_or(MediaError::NotFound("stream"))?;
        if self.telemetry.audio.listeners.get() >= self.config.listeners_max as i64 {
            return Err(MediaError::TooMany("listeners"));
        }
        let (bytes, given) = mpsc::channel(PIECES_MAX);
        let cut_off = Arc::new(AtomicBool::new(false));
        self.recorder.listen(entry.number, Listener { bytes, cut_off: Arc::clone(&cut_off) })?;
        let first = pb::StreamBytes { data: Vec::new(), content_type: entry.format.content_type().into() };
        let rest = stream::unfold(Some((given, cut_off)), |listening| async {
            let (mut given, cut_off) = listening?;
            match given.recv().await {
                Some(data) => {
                    let part = pb::StreamBytes { data: data.into(), ..Default::default() };
                    Some((Ok(part), Some((given, cut_off))))
                }
                None if cut_off.load(Ordering::Acquire) => Some((Err(MediaError::TooSlow), None)),
                None => None,
            }
        });
        Ok(stream::once(async { Ok(first) }).chain(rest).boxed())
    }
}

/// Whether a request adds to a running stream: all but the legs is the same, and the call, which may have come into another.
fn continues(running: &pb::StartStreamRequest, request: &pb::StartStreamRequest) -> bool {
    let (leg_ids, call_id) = (running.leg_ids.clone(), running.call_id.clone());
    *running == pb::StartStreamRequest { leg_ids, call_id, ..request.clone() }
}
