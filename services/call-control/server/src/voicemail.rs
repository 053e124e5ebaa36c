//! Voicemail over the network: what there is, and how it sounds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sidetone_call_core::{MediaFailure, MediaReply, MediaRequest};
use sidetone_model::classify::{Class, Classify};
use sidetone_model::fold::MessageView;
use sidetone_model::ids::{NodeId, RecordingId, TenantId, UserId};
use sidetone_model::wire;
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_proto::media::v1 as media;
use sidetone_runtime::link::MediaService;
use sidetone_runtime::{Caller, status};
use tonic::{Request, Response, Status};

use crate::CallControl;
use crate::content::{Content, NoContent, Sounds, kept_by};
use crate::nodes::Nodes;

/// A message that is played may be that large: what a request to a media node takes.
const PLAYED_BYTES_MAX: usize = 4_000_000;
/// How long its node may take to give it.
const FETCH_MAX: Duration = Duration::from_secs(5);

impl CallControl {
    /// The messages of a user, oldest first.
    pub async fn messages(&self, tenant: &TenantId, user: &UserId) -> Vec<MessageView> {
        let user = user.clone();
        let found = self.look_in(tenant, move |fold, tenant| {
            Some(fold.messages(tenant, &user).cloned().collect::<Vec<_>>())
        });
        found.await.unwrap_or_default()
    }

    /// The sound of a message, which outlives the call in which it was left.
    ///
    /// # Errors
    /// When there is none such, or its node does not answer.
    pub async fn message_content(
        &self,
        tenant: &TenantId,
        user: &UserId,
        message: RecordingId,
    ) -> Result<Content, NoContent> {
        let user = user.clone();
        let view = self.look_in(tenant, move |fold, tenant| fold.message(tenant, &user, message).cloned());
        let view = view.await.ok_or(NoContent::Gone)?;
        self.recorded_content(message, &view.node, &view.file).await
    }

    pub(crate) async fn list_messages_request(
        &self,
        request: Request<pb::ListMessagesRequest>,
    ) -> Result<Response<pb::ListMessagesResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (tenant, user) = whose(&caller, &request.tenant, &request.user)?;
        let messages = self.messages(&tenant, &user).await;
        if messages.is_empty() {
            self.user_must_be_there(&tenant, &user).await?;
        }
        let waiting = messages.iter().filter(|view| !view.heard).count() as u32;
        let messages = messages.iter().map(message_to_proto).collect();
        Ok(Response::new(pb::ListMessagesResponse { messages, waiting }))
    }

    pub(crate) async fn read_message_request(
        &self,
        request: Request<pb::ReadMessageRequest>,
    ) -> Result<Response<Sounds>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let (tenant, user) = whose(&caller, &request.tenant, &request.user)?;
        let message = wire::id("message_id", &request.message_id).map_err(|error| status(&error))?;
        let content = self.message_content(&tenant, &user, message).await.map_err(|none| status(&none))?;
        Ok(Response::new(content.into_sounds()))
    }
}

fn whose(caller: &Caller, tenant: &str, user: &str) -> Result<(TenantId, UserId), Status> {
    let tenant = wire::id("tenant", tenant).map_err(|error| status(&error))?;
    caller.may(&tenant)?;
    Ok((tenant, wire::id("user", user).map_err(|error| status(&error))?))
}

fn message_to_proto(view: &MessageView) -> pb::VoiceMessage {
    pb::VoiceMessage {
        message_id: view.message.to_string(),
        call_id: view.call.to_string(),
        from: Some((&view.from).into()),
        left_unix_ms: view.left_at.as_millis(),
        duration_ms: view.duration_ms,
        heard: view.heard,
    }
}

/// Plays a message: its bytes come from the node that has it, which need not be the one on which it is heard.
pub(crate) async fn play(
    nodes: &Arc<Nodes>,
    service: &MediaService,
    request: &MediaRequest,
) -> Result<MediaReply, MediaFailure> {
    let MediaRequest::PlayMessage { playback, leg, prompt, recorded } = request else {
        return Ok(MediaReply::Done);
    };
    let sound = match recorded {
        Some((message, node, file)) => Some(fetch(nodes, *message, node, file).await?),
        None => None,
    };
    let source = |source| media::PlaySource { source: Some(source) };
    let before = source(media::play_source::Source::Prompt(prompt.as_ref().into()));
    let sound = sound.map(|bytes| source(media::play_source::Source::Data(bytes)));
    let ask = async |sources: Vec<media::PlaySource>| {
        let request = media::PlayRequest {
            playback_id: playback.to_string(),
            target: Some(media::play_request::Target::LegId(leg.to_string())),
            sources,
            repeat: 1,
            ..Default::default()
        };
        service.play(Request::new(request)).await.map(drop)
    };
    let all = std::iter::once(before).chain(sound.clone()).collect();
    let played = match (ask(all).await, sound) {
        // There is no such prompt.
        (Err(problem), Some(sound)) if problem.code() == tonic::Code::NotFound => ask(vec![sound]).await,
        (played, _) => played,
    };
    played.map(|()| MediaReply::Done).map_err(|problem| MediaFailure {
        class: sidetone_runtime::grpc::status::class(&problem),
        text: problem.message().into(),
    })
}

async fn fetch(
    nodes: &Arc<Nodes>,
    message: RecordingId,
    node: &NodeId,
    file: &str,
) -> Result<Vec<u8>, MediaFailure> {
    let away = || MediaFailure { class: Class::Unavailable, text: "the message's node is away".into() };
    let bytes = tokio::time::timeout(FETCH_MAX, async {
        let content = kept_by(nodes, message, node, file).await.map_err(|none| MediaFailure {
            class: none.class(),
            text: "the message's sound is not there".into(),
        })?;
        let whole = content.bytes.map_err(|_| away());
        whole
            .try_fold(Vec::new(), |mut all, piece| async move {
                all.extend(piece);
                let fits = all.len() <= PLAYED_BYTES_MAX;
                let large =
                    || MediaFailure { class: Class::Exhausted, text: "the message is too long".into() };
                fits.then_some(all).ok_or_else(large)
            })
            .await
    });
    bytes.await.unwrap_or_else(|_| Err(away()))
}
