//! The API of calls: parse, ask the owner, project.

use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_call_core::Routing;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::command::{CallCommand, CallCommandKind, PlaceOptions, RecordingOptions};
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, ShardId, TenantId};
use sidetone_model::media::Layout;
use sidetone_model::party::Destination;
use sidetone_model::wire;
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_proto::callcontrol::v1::call_control_server::CallControl as CallControlApi;
use sidetone_runtime::{Caller, status};
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use crate::content::Sounds;
use crate::views::{call_to_proto, conference_to_proto};
use crate::{CallControl, cdr, deadline};

/// A command is carried out within this, or not at all.
const COMMAND_DEADLINE: Duration = Duration::from_secs(5);
/// Calls on one page at most.
const PAGE_MAX: u32 = 1000;
const PAGE_DEFAULT: u32 = 100;

/// A request that the API refuses by itself.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error("{0}")]
    Invalid(String),
    #[error("call_id: no call has this id, or it ended more than an hour ago")]
    NoSuchCall,
    #[error("call control is stopping")]
    Stopping,
    #[error("the process is draining and begins no new calls")]
    Draining,
    #[error("the command was not carried out in time; ask again with the same idempotency_key")]
    TooLate,
}

impl Classify for Refusal {
    fn class(&self) -> Class {
        match self {
            Self::Invalid(_) => Class::Invalid,
            Self::NoSuchCall => Class::NotFound,
            Self::Stopping | Self::Draining => Class::Unavailable,
            Self::TooLate => Class::DeadlineExceeded,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(_) => "invalid",
            Self::NoSuchCall => "no_such_call",
            Self::Stopping => "stopping",
            Self::Draining => "draining",
            Self::TooLate => "too_late",
        }
    }
}

pub(crate) fn parsed<T: std::str::FromStr<Err = sidetone_model::ids::IdError>>(
    field: &'static str,
    text: &str,
) -> Result<T, Status> {
    wire::id(field, text).map_err(|error| status(&error))
}

/// The tenant of a request, if the caller may act for it.
pub(crate) fn tenant(caller: &Caller, text: &str) -> Result<TenantId, Status> {
    let tenant = parsed("tenant", text)?;
    caller.may(&tenant)?;
    Ok(tenant)
}

impl CallControl {
    async fn routing(&self, tenant: &TenantId, number: &str) -> Result<Routing, Status> {
        self.router().resolve(tenant, number).await.map_err(|error| status(&error))
    }

    /// Carries out a command. The digest of the request without its key tells whether a repeated key has the same body.
    async fn command(
        &self,
        kind: &'static str,
        command: CallCommand,
        body: &impl prost::Message,
        (from, to): (Routing, Routing),
        waits: Option<Duration>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let outcome = self.carry_out(command, body.encode_to_vec(), (from, to), waits).await;
        let result =
            outcome.as_ref().map_or_else(|status| format!("{:?}", status.code()), |_| "ok".to_owned());
        self.shared().telemetry.call_control.commands.with_label_values(&[kind, result.as_str()]).inc();
        outcome.map(|subject| Response::new(to_response(subject)))
    }

    async fn carry_out(
        &self,
        command: CallCommand,
        body: Vec<u8>,
        (from, to): (Routing, Routing),
        waits: Option<Duration>,
    ) -> Result<CommandSubject, Status> {
        if !(1..=128).contains(&command.key.len()) {
            let problem = "idempotency_key: expected 1 to 128 characters".to_owned();
            return Err(status(&Refusal::Invalid(problem)));
        }
        let (reply, answer) = tokio::sync::oneshot::channel();
        let fingerprint = fingerprint(&body);
        let command = Box::new(command);
        let until = Instant::now() + deadline::within(COMMAND_DEADLINE, waits);
        let input = crate::owner::Input::Command { command, fingerprint, from, to, until, reply };
        let sent = tokio::time::timeout_at(until, async {
            self.inputs().send(input).await.map_err(|_| Refusal::Stopping)?;
            answer.await.map_err(|_| Refusal::Stopping)
        });
        let answer = sent.await.map_err(|_| status(&Refusal::TooLate))?.map_err(|error| status(&error))?;
        answer.map_err(|error| status(&error))
    }

    async fn fold<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        look: impl FnOnce(&Fold) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let index = usize::from(ShardId::of(tenant, self.shared().shards).0);
        self.look(move |shards| look(shards[index].fold())).await.ok_or_else(|| status(&Refusal::Stopping))
    }
}

pub(crate) fn fingerprint(body: &[u8]) -> [u8; 32] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body);
    let mut bytes = [0; 32];
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

#[tonic::async_trait]
impl CallControlApi for CallControl {
    async fn place_call(
        &self,
        request: Request<pb::PlaceCallRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let mut request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        if self.shared().lifecycle.draining().is_cancelled() {
            return Err(status(&Refusal::Draining));
        }
        let from = self.routing(&tenant, &request.from).await?;
        let to = self.routing(&tenant, &request.to).await?;
        let kind = CallCommandKind::Place {
            from: from.destination.clone().unwrap_or(Destination::Wait),
            from_number: request.from.clone().into(),
            to: to.destination.clone().unwrap_or(Destination::Wait),
            to_number: request.to.clone().into(),
            options: PlaceOptions::default(),
        };
        let key = std::mem::take(&mut request.idempotency_key).into();
        self.command("place_call", CallCommand { tenant, key, kind }, &request, (from, to), waits).await
    }

    async fn answer_leg(
        &self,
        request: Request<pb::AnswerLegRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let mut request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let to = self.routing(&tenant, &request.to).await?;
        let kind = CallCommandKind::Answer {
            leg: parsed("leg_id", &request.leg_id)?,
            to: to.destination.clone().unwrap_or(Destination::Wait),
            to_number: request.to.clone().into(),
        };
        let key = std::mem::take(&mut request.idempotency_key).into();
        self.command(
            "answer_leg",
            CallCommand { tenant, key, kind },
            &request,
            (Routing::default(), to),
            waits,
        )
        .await
    }

    async fn hang_up(
        &self,
        request: Request<pb::HangUpRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        use pb::hang_up_request::Subject;
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let mut request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let kind = match &request.subject {
            Some(Subject::CallId(call)) => CallCommandKind::HangUpCall { call: parsed("call_id", call)? },
            Some(Subject::LegId(leg)) => CallCommandKind::HangUpLeg { leg: parsed("leg_id", leg)? },
            None => {
                let problem = "call_id or leg_id: one of them must be set".to_owned();
                return Err(status(&Refusal::Invalid(problem)));
            }
        };
        let key = std::mem::take(&mut request.idempotency_key).into();
        self.command("hang_up", CallCommand { tenant, key, kind }, &request, Default::default(), waits).await
    }

    async fn start_recording(
        &self,
        request: Request<pb::StartRecordingRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let mut request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let call = parsed("call_id", &request.call_id)?;
        let layout = if request.stereo { Layout::Stereo } else { Layout::Mono };
        let options = RecordingOptions { layout, ..RecordingOptions::default() };
        let kind = CallCommandKind::StartRecording { call, options };
        let key = std::mem::take(&mut request.idempotency_key).into();
        self.command(
            "start_recording",
            CallCommand { tenant, key, kind },
            &request,
            Default::default(),
            waits,
        )
        .await
    }

    async fn stop_recording(
        &self,
        request: Request<pb::StopRecordingRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let mut request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let kind =
            CallCommandKind::StopRecording { recording: parsed("recording_id", &request.recording_id)? };
        let key = std::mem::take(&mut request.idempotency_key).into();
        self.command("stop_recording", CallCommand { tenant, key, kind }, &request, Default::default(), waits)
            .await
    }

    async fn execute(
        &self,
        request: Request<pb::ExecuteRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        self.execute_request(request).await
    }

    async fn list_calls(
        &self,
        request: Request<pb::ListCallsRequest>,
    ) -> Result<Response<pb::ListCallsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let after = match request.after_call_id.as_str() {
            "" => None,
            id => Some(parsed::<CallId>("after_call_id", id)?),
        };
        let limit = match request.limit {
            0 => PAGE_DEFAULT,
            limit => limit.min(PAGE_MAX),
        } as usize;
        let of = tenant.clone();
        let mut calls = self
            .fold(&tenant, move |fold| {
                let live = fold.calls().filter(|call| call.ended.is_none() && call.tenant == of);
                let page = live.filter(|call| after.is_none_or(|after| call.call > after)).take(limit + 1);
                page.map(|call| call_to_proto(call, fold)).collect::<Vec<_>>()
            })
            .await?;
        if calls.is_empty() {
            self.must_be_there(&tenant).await?;
        }
        let more = calls.len() > limit;
        calls.truncate(limit);
        if request.with_sound {
            self.tell_sound(&mut calls).await;
        }
        Ok(Response::new(pb::ListCallsResponse { calls, more }))
    }

    async fn get_call(&self, request: Request<pb::GetCallRequest>) -> Result<Response<pb::Call>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let call = parsed::<CallId>("call_id", &request.call_id)?;
        let of = tenant.clone();
        let found = self
            .fold(&tenant, move |fold| {
                fold.call(call).filter(|view| view.tenant == of).map(|view| call_to_proto(view, fold))
            })
            .await?;
        let mut found = found.ok_or_else(|| status(&Refusal::NoSuchCall))?;
        self.tell_sound(std::slice::from_mut(&mut found)).await;
        Ok(Response::new(found))
    }

    async fn list_conferences(
        &self,
        request: Request<pb::ListConferencesRequest>,
    ) -> Result<Response<pb::ListConferencesResponse>, Status> {
        let caller = Caller::of(&request);
        let tenant = tenant(&caller, &request.get_ref().tenant)?;
        let of = tenant.clone();
        let conferences: Vec<_> = self
            .fold(&tenant, move |fold| {
                let own = fold.conferences().filter(|meeting| meeting.tenant == of);
                own.map(|meeting| conference_to_proto(meeting, fold)).collect()
            })
            .await?;
        if conferences.is_empty() {
            self.must_be_there(&tenant).await?;
        }
        Ok(Response::new(pb::ListConferencesResponse { conferences }))
    }

    async fn list_nodes(
        &self,
        request: Request<pb::ListNodesRequest>,
    ) -> Result<Response<pb::ListNodesResponse>, Status> {
        Caller::of(&request).must_be_operator()?;
        let legs = self.look(|shards| {
            let live = shards.iter().flat_map(|shard| shard.fold().legs()).filter(|leg| leg.is_live());
            live.map(|leg| leg.replica.clone()).collect::<Vec<_>>()
        });
        let legs = legs.await.ok_or_else(|| status(&Refusal::Stopping))?;
        let signalling = self.replica_infos().into_iter().map(|info| pb::SignallingNode {
            legs: legs.iter().filter(|replica| **replica == info.replica).count() as u32,
            replica_id: info.replica.to_string(),
            boot_id: info.boot.to_string(),
            draining: info.draining,
        });
        let mut signalling: Vec<_> = signalling.collect();
        signalling.sort_by(|a, b| a.replica_id.cmp(&b.replica_id));
        Ok(Response::new(pb::ListNodesResponse { media: self.router().nodes.list(), signalling }))
    }

    type ReadRecordingStream = Sounds;

    async fn read_recording(
        &self,
        request: Request<pb::ReadRecordingRequest>,
    ) -> Result<Response<Self::ReadRecordingStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let recording = parsed("recording_id", &request.recording_id)?;
        let content = self.recording_content(&tenant, recording, request.track).await;
        Ok(Response::new(content.map_err(|error| status(&error))?.into_sounds()))
    }

    async fn list_recordings(
        &self,
        request: Request<pb::ListRecordingsRequest>,
    ) -> Result<Response<pb::ListRecordingsResponse>, Status> {
        self.list_recordings_request(request).await
    }

    async fn delete_recording(
        &self,
        request: Request<pb::DeleteRecordingRequest>,
    ) -> Result<Response<pb::DeleteRecordingResponse>, Status> {
        self.delete_recording_request(request).await
    }

    type ListenStream = Sounds;

    async fn listen(
        &self,
        request: Request<pb::ListenRequest>,
    ) -> Result<Response<Self::ListenStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let content = self.stream_content(&tenant, parsed("stream_id", &request.stream_id)?).await;
        Ok(Response::new(content.map_err(|error| status(&error))?.into_sounds()))
    }

    async fn list_messages(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        self.list_messages_request(request).await
    }

    type ReadMessageStream = Sounds;

    async fn read_message(
        &self,
        request: Request<pb::ReadMessageRequest>,
    ) -> Result<Response<Self::ReadMessageStream>, Status> {
        self.read_message_request(request).await
    }

    type QueryCdrsStream = BoxStream<'static, Result<pb::Cdr, Status>>;

    async fn query_cdrs(
        &self,
        request: Request<pb::QueryCdrsRequest>,
    ) -> Result<Response<Self::QueryCdrsStream>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let shared = self.shared();
        let shard = ShardId::of(&tenant, shared.shards);
        let records = cdr::records(self.source(shard), request.follow).await?;
        let until = if request.until_unix_ms == 0 { u64::MAX } else { request.until_unix_ms };
        // Of a tenant that was deleted there may be records still.
        let known = self.must_be_there(&tenant).await;
        let call_id = request.call_id;
        let wanted = records.try_filter_map(move |(_, record)| {
            let ended = record.ended_at.as_millis();
            let call = call_id.is_empty() || record.call.to_string() == call_id;
            let wanted = record.tenant == tenant && call && (request.from_unix_ms..until).contains(&ended);
            std::future::ready(Ok(wanted.then(|| cdr::to_proto(&record))))
        });
        let stopping = shared.lifecycle.stopping();
        let mut wanted = wanted.take_until(stopping.cancelled_owned()).boxed();
        if let Err(unknown) = known {
            let first = if request.follow { None } else { wanted.next().await };
            let first = first.ok_or(unknown)?;
            wanted = futures_util::stream::iter([first]).chain(wanted).boxed();
        }
        Ok(Response::new(wanted))
    }
}

pub(crate) fn to_response(subject: CommandSubject) -> pb::CommandResponse {
    use pb::command_response::Subject;
    let subject = match subject {
        CommandSubject::Call(call) => Subject::CallId(call.to_string()),
        CommandSubject::Leg(leg) => Subject::LegId(leg.to_string()),
        CommandSubject::Recording(recording) => Subject::RecordingId(recording.to_string()),
        CommandSubject::Playback(playback) => Subject::PlaybackId(playback.to_string()),
        CommandSubject::Stream(stream) => Subject::StreamId(stream.to_string()),
        CommandSubject::Conversation(it) => Subject::ConversationId(it.to_string()),
        CommandSubject::ConversationEvent(of, event) => Subject::ConversationEvent(format!("{of}/{event}")),
    };
    pb::CommandResponse { subject: Some(subject), ..Default::default() }
}
