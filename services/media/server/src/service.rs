//! The contract `sidetone.media.v1.Media` over the engine: parse, call, project.

use std::str::FromStr;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::{self, BoxStream};
use sidetone_dsp::Gain;
use sidetone_model::ids::{LegId, RecordingId, TenantId};
use sidetone_model::media::{Encoding, Format, MediaDescription};
use sidetone_model::wire;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media;
use sidetone_runtime::{Caller, status};
use tokio::sync::broadcast::error::RecvError;
use tonic::{Request, Response, Status};

use crate::engine::Engine;
use crate::engine::audio::Dial;
use crate::engine::connect::Target;
use crate::engine::legs::{NewLeg, mode};
use crate::engine::play::{Audience, Stopped};
use crate::engine::view::stats;
use crate::error::MediaError;
use crate::state::{Audio, Role};

/// The service of one node. Clones share the node.
#[derive(Debug, Clone)]
pub struct MediaServer {
    engine: Arc<Engine>,
}

/// Gains that may be asked for, in thousandths of a decibel: from silence to the most that does not break every voice.
pub(crate) const GAIN_MDB_MIN: i32 = -72_000;
pub(crate) const GAIN_MDB_MAX: i32 = 18_000;
/// The most ids in one request.
const IDS_MAX: usize = 100_000;

impl MediaServer {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self { engine }
    }

    /// Runs to its end whatever becomes of the request: a leg that is being moved must arrive.
    async fn run<T, F>(&self, work: impl FnOnce(Arc<Engine>) -> F) -> Result<T, Status>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, MediaError>> + Send + 'static,
    {
        match tokio::spawn(work(Arc::clone(&self.engine))).await {
            Ok(result) => result.map_err(|error| status(&error)),
            Err(_) => Err(status(&MediaError::Stopping)),
        }
    }
}

fn invalid(field: &'static str, problem: &'static str) -> Status {
    status(&MediaError::Invalid { field, problem })
}

fn leg_id(field: &'static str, text: &str) -> Result<LegId, Status> {
    LegId::from_str(text).map_err(|_| invalid(field, "expected a UUID"))
}

fn plain_id(field: &'static str, text: &str) -> Result<Box<str>, Status> {
    let plain = (1..=128).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    if plain { Ok(text.into()) } else { Err(invalid(field, "expected 1 to 128 printable characters")) }
}

fn tenant<T>(request: &Request<T>, tenant: &str) -> Result<(), Status> {
    let tenant = TenantId::new(tenant).map_err(|_| invalid("tenant", "expected a tenant's name"))?;
    Caller::of(request).may(&tenant)
}

fn description(
    value: Option<sidetone_proto::types::v1::MediaDescription>,
) -> Result<MediaDescription, Status> {
    let value = value.ok_or_else(|| invalid("remote", "is missing"))?;
    MediaDescription::try_from(value).map_err(|error| status(&error))
}

fn audio(request: &pb::SetLegAudioRequest) -> Result<Audio, Status> {
    use pb::leg_role::Kind;
    let role = match request.role.as_ref().and_then(|role| role.kind.as_ref()) {
        None | Some(Kind::Speaker(_)) => Role::Speaker,
        Some(Kind::Listener(_)) => Role::Listener,
        Some(Kind::Monitor(_)) => Role::Monitor,
        Some(Kind::Coach(coach)) => {
            Role::Coach { heard_by: leg_id("role.coach.heard_by_leg_id", &coach.heard_by_leg_id)?.as_u128() }
        }
    };
    if !(GAIN_MDB_MIN..=GAIN_MDB_MAX).contains(&request.gain_mdb) {
        return Err(invalid("gain_mdb", "expected -72000 to 18000"));
    }
    let gain = Gain::from_db(request.gain_mdb as f32 / 1000.0);
    Ok(Audio {
        muted: request.muted,
        deafened: request.deafened,
        gain,
        role,
        automatic_gain: request.automatic_gain,
        suppress_noise: request.suppress_noise,
    })
}

#[async_trait::async_trait]
impl Media for MediaServer {
    async fn create_leg(
        &self,
        request: Request<pb::CreateLegRequest>,
    ) -> Result<Response<pb::CreateLegResponse>, Status> {
        tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        let remote = match &request.remote {
            Some(remote) => Some(description(Some(remote.clone()))?),
            None => None,
        };
        let new = NewLeg {
            id: leg_id("leg_id", &request.leg_id)?,
            remote,
            mode: mode(request.policy.as_ref()).map_err(|error| status(&error))?,
            encodings: request.encodings.iter().map(|name| Encoding::from_name(name)).collect(),
            request,
        };
        let local = self.run(|engine| async move { engine.create_leg(new).await }).await?;
        Ok(Response::new(pb::CreateLegResponse {
            local: Some((&local).into()),
            node_id: self.engine.config.node_id.clone(),
            boot_id: self.engine.boot.to_string(),
        }))
    }

    async fn update_leg(
        &self,
        request: Request<pb::UpdateLegRequest>,
    ) -> Result<Response<pb::UpdateLegResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let id = leg_id("leg_id", &request.leg_id)?;
        let remote = description(request.remote.clone())?;
        let local = self.run(|engine| async move { engine.update_leg(id, remote, request).await }).await?;
        Ok(Response::new(pb::UpdateLegResponse { local: Some((&local).into()) }))
    }

    async fn offer_leg(
        &self,
        request: Request<pb::OfferLegRequest>,
    ) -> Result<Response<pb::OfferLegResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let id = leg_id("leg_id", &request.leg_id)?;
        let prefer = request.prefer.map(|prefer| wire::message::<_, Format>("prefer", Some(prefer)));
        let prefer = prefer.transpose().map_err(|error| status(&error))?;
        let local = self.run(|engine| async move { engine.offer_leg(id, prefer.as_ref()).await }).await?;
        Ok(Response::new(pb::OfferLegResponse { local: Some((&local).into()) }))
    }

    async fn connect_leg(
        &self,
        request: Request<pb::ConnectLegRequest>,
    ) -> Result<Response<pb::ConnectLegResponse>, Status> {
        use pb::connect_leg_request::To;
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let id = leg_id("leg_id", &request.leg_id)?;
        let target = match request.to {
            None => return Err(invalid("to", "is missing")),
            Some(To::Nothing(_)) => Target::Nothing,
            Some(To::PeerLegId(peer)) => Target::Peer(leg_id("peer_leg_id", &peer)?),
            Some(To::MixId(mix)) => Target::Mix(plain_id("mix_id", &mix)?),
            Some(To::Echo(_)) => Target::Echo,
        };
        self.run(|engine| async move { engine.connect_leg(id, target).await }).await?;
        Ok(Response::new(pb::ConnectLegResponse {}))
    }

    async fn release_leg(
        &self,
        request: Request<pb::ReleaseLegRequest>,
    ) -> Result<Response<pb::ReleaseLegResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = leg_id("leg_id", &request.get_ref().leg_id)?;
        let state = self.run(|engine| async move { engine.release_leg(id).await }).await?;
        Ok(Response::new(pb::ReleaseLegResponse { stats: state.as_ref().map(stats) }))
    }

    async fn export_leg(
        &self,
        request: Request<pb::ExportLegRequest>,
    ) -> Result<Response<pb::ExportLegResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = leg_id("leg_id", &request.get_ref().leg_id)?;
        let leg = self.run(|engine| async move { engine.export_leg(id).await }).await?;
        Ok(Response::new(pb::ExportLegResponse { leg: Some(leg) }))
    }

    async fn restore_leg(
        &self,
        request: Request<pb::RestoreLegRequest>,
    ) -> Result<Response<pb::RestoreLegResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let leg = request.into_inner().leg.ok_or_else(|| invalid("leg", "is missing"))?;
        let local = self.run(|engine| async move { engine.restore_leg(leg).await }).await?;
        Ok(Response::new(pb::RestoreLegResponse {
            local: Some((&local).into()),
            node_id: self.engine.config.node_id.clone(),
            boot_id: self.engine.boot.to_string(),
        }))
    }

    async fn set_leg_audio(
        &self,
        request: Request<pb::SetLegAudioRequest>,
    ) -> Result<Response<pb::SetLegAudioResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let id = leg_id("leg_id", &request.leg_id)?;
        let audio = audio(&request)?;
        self.run(|engine| async move { engine.set_audio(id, audio).await }).await?;
        Ok(Response::new(pb::SetLegAudioResponse {}))
    }

    async fn send_digits(
        &self,
        request: Request<pb::SendDigitsRequest>,
    ) -> Result<Response<pb::SendDigitsResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let id = leg_id("leg_id", &request.leg_id)?;
        let dial = Dial::parse(&request).map_err(|error| status(&error))?;
        self.run(|engine| async move { engine.send_digits(id, dial).await }).await?;
        Ok(Response::new(pb::SendDigitsResponse {}))
    }

    async fn play(&self, request: Request<pb::PlayRequest>) -> Result<Response<pb::PlayResponse>, Status> {
        use pb::play_request::Target as Wire;
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        plain_id("playback_id", &request.playback_id)?;
        let audience = match &request.target {
            None => return Err(invalid("target", "is missing")),
            Some(Wire::LegId(leg)) => Audience::Leg(leg_id("leg_id", leg)?),
            Some(Wire::MixId(mix)) => Audience::Mix(plain_id("mix_id", mix)?),
        };
        let duration_ms = self.run(|engine| async move { engine.play(audience, request).await }).await?;
        Ok(Response::new(pb::PlayResponse { duration_ms }))
    }

    async fn prepare_play(
        &self,
        request: Request<pb::PreparePlayRequest>,
    ) -> Result<Response<pb::PreparePlayResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let duration_ms = self.run(|engine| async move { engine.prepare_play(request).await }).await?;
        Ok(Response::new(pb::PreparePlayResponse { duration_ms }))
    }

    async fn stop_play(
        &self,
        request: Request<pb::StopPlayRequest>,
    ) -> Result<Response<pb::StopPlayResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let chosen = match (&*request.playback_id, &*request.leg_id, &*request.mix_id) {
            (id, "", "") => Stopped::Playback(plain_id("playback_id", id)?),
            ("", leg, "") => Stopped::All(Audience::Leg(leg_id("leg_id", leg)?)),
            ("", "", mix) => Stopped::All(Audience::Mix(plain_id("mix_id", mix)?)),
            _ => return Err(invalid("playback_id", "expected one of playback_id, leg_id, mix_id")),
        };
        self.run(|engine| async move { engine.stop_play(&chosen).await }).await?;
        Ok(Response::new(pb::StopPlayResponse {}))
    }

    async fn steer_play(
        &self,
        request: Request<pb::SteerPlayRequest>,
    ) -> Result<Response<pb::SteerPlayResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        plain_id("playback_id", &request.playback_id)?;
        self.run(|engine| async move { engine.steer_play(&request).await }).await?;
        Ok(Response::new(pb::SteerPlayResponse {}))
    }

    async fn start_recording(
        &self,
        request: Request<pb::StartRecordingRequest>,
    ) -> Result<Response<pb::StartRecordingResponse>, Status> {
        tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        RecordingId::from_str(&request.recording_id)
            .map_err(|_| invalid("recording_id", "expected a UUID"))?;
        let legs = request.leg_ids.iter().map(|leg| leg_id("leg_ids", leg)).collect::<Result<Vec<_>, _>>()?;
        if legs.is_empty() || legs.len() > IDS_MAX {
            return Err(invalid("leg_ids", "expected at least one leg"));
        }
        self.run(|engine| async move { engine.start_recording(legs, request).await }).await?;
        Ok(Response::new(pb::StartRecordingResponse {}))
    }

    async fn stop_recording(
        &self,
        request: Request<pb::StopRecordingRequest>,
    ) -> Result<Response<pb::StopRecordingResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = request.into_inner().recording_id;
        let finished = self.run(|engine| async move { engine.stop_recording(&id).await }).await?;
        Ok(Response::new(pb::StopRecordingResponse { recording: Some((&finished).into()) }))
    }

    async fn finish_recording(
        &self,
        request: Request<pb::FinishRecordingRequest>,
    ) -> Result<Response<pb::FinishRecordingResponse>, Status> {
        tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        RecordingId::from_str(&request.recording_id)
            .map_err(|_| invalid("recording_id", "expected a UUID"))?;
        self.run(|engine| async move { engine.finish_recording(request).await }).await?;
        Ok(Response::new(pb::FinishRecordingResponse {}))
    }

    async fn pause_recording(
        &self,
        request: Request<pb::PauseRecordingRequest>,
    ) -> Result<Response<pb::PauseRecordingResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let pb::PauseRecordingRequest { recording_id, mask } = request.into_inner();
        self.run(|engine| async move { engine.hold_recording(&recording_id, mask).await }).await?;
        Ok(Response::new(pb::PauseRecordingResponse {}))
    }

    async fn resume_recording(
        &self,
        request: Request<pb::ResumeRecordingRequest>,
    ) -> Result<Response<pb::ResumeRecordingResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = request.into_inner().recording_id;
        self.run(|engine| async move { engine.resume_recording(&id).await }).await?;
        Ok(Response::new(pb::ResumeRecordingResponse {}))
    }

    type ReadRecordingStream = BoxStream<'static, Result<pb::RecordingBytes, Status>>;

    async fn read_recording(
        &self,
        request: Request<pb::ReadRecordingRequest>,
    ) -> Result<Response<Self::ReadRecordingStream>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let bytes = self.run(|engine| async move { engine.read_recording(request).await }).await?;
        Ok(Response::new(bytes.map(|part| part.map_err(|error| status(&error))).boxed()))
    }

    async fn delete_recording(
        &self,
        request: Request<pb::DeleteRecordingRequest>,
    ) -> Result<Response<pb::DeleteRecordingResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        self.run(|engine| async move { engine.delete_recording(request).await }).await?;
        Ok(Response::new(pb::DeleteRecordingResponse {}))
    }

    async fn start_stream(
        &self,
        request: Request<pb::StartStreamRequest>,
    ) -> Result<Response<pb::StartStreamResponse>, Status> {
        tenant(&request, &request.get_ref().tenant)?;
        let request = request.into_inner();
        plain_id("stream_id", &request.stream_id)?;
        let legs = request.leg_ids.iter().map(|leg| leg_id("leg_ids", leg)).collect::<Result<Vec<_>, _>>()?;
        if legs.is_empty() == request.mix_id.is_empty() || legs.len() > IDS_MAX {
            return Err(invalid("leg_ids", "expected legs or a mix, and not both"));
        }
        let content_type = self.run(|engine| async move { engine.start_stream(legs, request).await }).await?;
        Ok(Response::new(pb::StartStreamResponse { content_type: content_type.into() }))
    }

    async fn stop_stream(
        &self,
        request: Request<pb::StopStreamRequest>,
    ) -> Result<Response<pb::StopStreamResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = request.into_inner().stream_id;
        self.run(|engine| async move { engine.stop_stream(&id).await }).await?;
        Ok(Response::new(pb::StopStreamResponse {}))
    }

    type ListenStream = BoxStream<'static, Result<pb::StreamBytes, Status>>;

    async fn listen(
        &self,
        request: Request<pb::ListenRequest>,
    ) -> Result<Response<Self::ListenStream>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = request.into_inner().stream_id;
        let bytes = self.run(|engine| async move { engine.listen(&id).await }).await?;
        Ok(Response::new(bytes.map(|part| part.map_err(|error| status(&error))).boxed()))
    }

    async fn speak(&self, request: Request<pb::SpeakRequest>) -> Result<Response<pb::SpeakResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        let waiting = self.run(|engine| async move { engine.speak(&request).await }).await?;
        Ok(Response::new(pb::SpeakResponse { waiting_ms: waiting }))
    }

    async fn refresh(
        &self,
        request: Request<pb::RefreshRequest>,
    ) -> Result<Response<pb::RefreshResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let request = request.into_inner();
        if request.leg_ids.len() > IDS_MAX {
            return Err(invalid("leg_ids", "too many"));
        }
        let ids = request.leg_ids.iter().map(|id| leg_id("leg_ids", id)).collect::<Result<Vec<_>, _>>()?;
        let unknown = self.run(|engine| async move { engine.refresh(&ids).await }).await?;
        let unknown_leg_ids = unknown.iter().map(LegId::to_string).collect();
        Ok(Response::new(pb::RefreshResponse { unknown_leg_ids }))
    }

    async fn list_legs(
        &self,
        request: Request<pb::ListLegsRequest>,
    ) -> Result<Response<pb::ListLegsResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let call_ids = request.into_inner().call_ids;
        let legs = self.run(|engine| async move { engine.list_legs(&call_ids).await }).await?;
        Ok(Response::new(pb::ListLegsResponse { legs, tells_sounds: true }))
    }

    async fn get_node(&self, _request: Request<pb::GetNodeRequest>) -> Result<Response<pb::Node>, Status> {
        Ok(Response::new(self.engine.node().await))
    }

    async fn drain(&self, request: Request<pb::DrainRequest>) -> Result<Response<pb::Node>, Status> {
        Caller::of(&request).must_be_operator()?;
        self.engine.drain();
        Ok(Response::new(self.engine.node().await))
    }

    type WatchStream = BoxStream<'static, Result<pb::MediaEvent, Status>>;

    async fn watch(&self, request: Request<pb::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Caller::of(&request).must_be_operator()?;
        // Subscribed before the list is made: what ends in between is told twice rather than never.
        let events = self.engine.events.subscribe();
        let attached = pb::Attached {
            node_id: self.engine.config.node_id.clone(),
            boot_id: self.engine.boot.to_string(),
            unacknowledged: self.engine.unacknowledged(),
        };
        let first = pb::MediaEvent {
            at_unix_ms: crate::engine::unix_ms(),
            kind: Some(pb::media_event::Kind::Attached(attached)),
        };
        let stopping = self.engine.stopping.clone();
        let rest = stream::unfold(Some(events), move |events| next_event(events, stopping.clone()));
        Ok(Response::new(stream::once(async { Ok(first) }).chain(rest).boxed()))
    }

    async fn ack_recording(
        &self,
        request: Request<pb::AckRecordingRequest>,
    ) -> Result<Response<pb::AckRecordingResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let id = request.into_inner().recording_id;
        self.run(|engine| async move { engine.ack_recording(&id).await }).await?;
        Ok(Response::new(pb::AckRecordingResponse {}))
    }
}

type Events = Option<tokio::sync::broadcast::Receiver<pb::MediaEvent>>;

/// The next event of a watch. Who is too far behind must watch anew and ask what there is.
async fn next_event(
    events: Events,
    stopping: tokio_util::sync::CancellationToken,
) -> Option<(Result<pb::MediaEvent, Status>, Events)> {
    let mut events = events?;
    let event = tokio::select! {
        event = events.recv() => event,
        () = stopping.cancelled() => return None,
    };
    match event {
        Ok(event) => Some((Ok(event), Some(events))),
        Err(RecvError::Lagged(_)) => Some((Err(status(&MediaError::Overloaded)), None)),
        Err(RecvError::Closed) => None,
    }
}
