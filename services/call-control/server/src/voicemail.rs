//! Voicemail over the network: what there is, and how it sounds.

use std::sync::Arc;
use std::time::Duration;

use futures_util::TryStreamExt as _;
use sidetone_call_core::{MediaFailure, MediaReply, MediaRequest};
use sidetone_directory::DirectoryError;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::fold::MessageView;
use sidetone_model::ids::{LegId, NodeId, PlaybackId, RecordingId, TenantId, UserId};
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

/// Whether a request is about a voicemail, and asks more than its media node.
pub(crate) fn is_of_a_mailbox(request: &MediaRequest) -> bool {
    matches!(
        request,
        MediaRequest::PlayMessage { .. }
            | MediaRequest::PlayGreeting { .. }
            | MediaRequest::CheckPin { .. }
            | MediaRequest::SetPin { .. }
            | MediaRequest::SetGreeting { .. }
    )
}

/// Does what is asked about a voicemail: sounds come from where they are kept, PINs are the directory's.
pub(crate) async fn carry_out(
    nodes: &Arc<Nodes>,
    service: &MediaService,
    request: &MediaRequest,
) -> Result<MediaReply, MediaFailure> {
    let directory = &nodes.directory;
    match request {
        MediaRequest::PlayMessage { playback, leg, prompt, recorded } => {
            let sound = match recorded {
                Some((message, node, file)) => Some(fetch(nodes, *message, node, file).await?),
                None => None,
            };
            let before = prompt_source(prompt);
            let sound = sound.map(data_source);
            let all = std::iter::once(before).chain(sound.clone()).collect();
            let played = match (play(service, (*playback, *leg), all).await, sound) {
                // There is no such prompt.
                (Err(problem), Some(sound)) if problem.class == Class::NotFound => {
                    play(service, (*playback, *leg), vec![sound]).await
                }
                (played, _) => played,
            };
            played?;
        }
        MediaRequest::PlayGreeting { playback, leg, tenant, user, otherwise } => {
            // Without the directory callers are greeted all the same.
            let own = directory.greeting(tenant, user).await.ok().flatten();
            let own = own.map(|sound| data_source(sound.to_vec()));
            let played = match own {
                Some(own) => play(service, (*playback, *leg), vec![own]).await.is_ok(),
                None => false,
            };
            if !played {
                play(service, (*playback, *leg), vec![prompt_source(otherwise)]).await?;
            }
        }
        MediaRequest::CheckPin { tenant, user, pin, .. } => {
            let right = directory.is_mailbox_pin(tenant, user, pin.reveal()).await;
            if !right.map_err(|error| failed(&error))? {
                return Err(MediaFailure { class: Class::Forbidden, text: "the PIN is another".into() });
            }
        }
        MediaRequest::SetPin { tenant, user, pin, .. } => {
            let set = directory.set_mailbox_pin(tenant, user, Some(pin.reveal())).await;
            set.map_err(|error| failed(&error))?;
        }
        MediaRequest::SetGreeting { tenant, user, recorded, .. } => {
            let sound = match recorded {
                Some((recording, node, file)) => Some(fetch(nodes, *recording, node, file).await?.into()),
                None => None,
            };
            directory.set_greeting(tenant, user, sound).await.map_err(|error| failed(&error))?;
        }
        _ => {}
    }
    Ok(MediaReply::Done)
}

fn failed(error: &DirectoryError) -> MediaFailure {
    MediaFailure { class: error.class(), text: error.to_string().into() }
}

fn prompt_source(prompt: &str) -> media::PlaySource {
    media::PlaySource { source: Some(media::play_source::Source::Prompt(prompt.into())) }
}

fn data_source(bytes: Vec<u8>) -> media::PlaySource {
    media::PlaySource { source: Some(media::play_source::Source::Data(bytes)) }
}

async fn play(
    service: &MediaService,
    (playback, leg): (PlaybackId, LegId),
    sources: Vec<media::PlaySource>,
) -> Result<(), MediaFailure> {
    let request = media::PlayRequest {
        playback_id: playback.to_string(),
        target: Some(media::play_request::Target::LegId(leg.to_string())),
        sources,
        repeat: 1,
        ..Default::default()
    };
    service.play(Request::new(request)).await.map(drop).map_err(|problem| MediaFailure {
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
