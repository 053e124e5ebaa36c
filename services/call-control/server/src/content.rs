//! The bytes of recordings and live streams, from the media node that has them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::classify::{Class, Classify};
use sidetone_model::fold::RecordingPhase;
use sidetone_model::ids::{NodeId, RecordingId, ShardId, StreamId, TenantId};
use sidetone_proto::callcontrol::v1 as api;
use sidetone_proto::media::v1 as media;
use sidetone_runtime::link::MediaService;
use tonic::{Code, Request, Status};

use crate::CallControl;

/// What there is to be heard.
pub struct Content {
    /// Its media type.
    pub content_type: String,
    /// Its length in bytes, when it has an end.
    pub length: Option<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, Result<Vec<u8>, Status>>,
}

/// The same, as the API tells it.
pub(crate) type Sounds = BoxStream<'static, Result<api::Sound, Status>>;

impl Content {
    /// What it is goes before the first bytes.
    pub(crate) fn into_sounds(self) -> Sounds {
        let first = api::Sound {
            data: Vec::new(),
            content_type: self.content_type,
            size_bytes: self.length.unwrap_or(0),
        };
        let rest = self.bytes.map_ok(|data| api::Sound { data, ..Default::default() });
        futures_util::stream::iter([Ok(first)]).chain(rest).boxed()
    }
}

/// Why there is nothing to be heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoContent {
    /// There is none such, or it is no more.
    #[error("there is no such recording or stream")]
    Gone,
    /// The node that has it does not answer.
    #[error("the media node that has it does not answer")]
    Away,
}

impl Classify for NoContent {
    fn class(&self) -> Class {
        match self {
            Self::Gone => Class::NotFound,
            Self::Away => Class::Unavailable,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "no_such_sound",
            Self::Away => "media_node_away",
        }
    }
}

/// How long a recording that was just stopped may take to be finished.
const FINISH_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);

impl CallControl {
    /// A finished recording of a tenant. One that is just being stopped is waited for.
    ///
    /// # Errors
    /// When there is none, or its node does not answer.
    pub async fn recording_content(
        &self,
        tenant: &TenantId,
        recording: RecordingId,
    ) -> Result<Content, NoContent> {
        let (node, file) = self.recorded(tenant, recording).await?;
        content_of(&*self.node(&node)?, recording, file).await
    }

    /// A finished recording, of which is known where it is: also when it is looked up no more.
    ///
    /// # Errors
    /// When it is no more, or its node does not answer.
    pub async fn kept_content(
        &self,
        recording: RecordingId,
        node: &NodeId,
        file: &str,
    ) -> Result<Content, NoContent> {
        content_of(&*self.node(node)?, recording, file.to_owned()).await
    }

    /// A stream of a tenant, from now on.
    ///
    /// # Errors
    /// When there is none, or its node does not answer.
    pub async fn stream_content(&self, tenant: &TenantId, stream: StreamId) -> Result<Content, NoContent> {
        let node = self.look_in(tenant, move |fold, tenant| {
            fold.stream(stream).filter(|view| view.tenant == *tenant).map(|view| view.node.clone())
        });
        let node = node.await.ok_or(NoContent::Gone)?;
        let request = media::ListenRequest { stream_id: stream.to_string() };
        let mut bytes = self.node(&node)?.listen(Request::new(request)).await.map_err(missing)?.into_inner();
        let first = bytes.try_next().await.map_err(missing)?.ok_or(NoContent::Gone)?;
        let content_type = first.content_type.clone();
        let all = futures_util::stream::iter([Ok(first)]).chain(bytes);
        Ok(Content { content_type, length: None, bytes: all.map_ok(|piece| piece.data).boxed() })
    }

    /// Lets something be heard in a stream of a tenant; how much waits to be heard. None when so much waits that it was
    /// not taken.
    ///
    /// # Errors
    /// When there is none, or its node does not answer.
    pub async fn stream_speech(
        &self,
        tenant: &TenantId,
        stream: StreamId,
        sound: Vec<u8>,
        clear: bool,
    ) -> Result<Option<Duration>, NoContent> {
        let node = self.look_in(tenant, move |fold, tenant| {
            fold.stream(stream).filter(|view| view.tenant == *tenant).map(|view| view.node.clone())
        });
        let node = node.await.ok_or(NoContent::Gone)?;
        let request = media::SpeakRequest { stream_id: stream.to_string(), sound, clear };
        match self.node(&node)?.speak(Request::new(request)).await {
            Ok(response) => Ok(Some(Duration::from_millis(response.get_ref().waiting_ms.into()))),
            Err(status) if status.code() == Code::ResourceExhausted => Ok(None),
            Err(status) => Err(missing(status)),
        }
    }

    async fn recorded(
        &self,
        tenant: &TenantId,
        recording: RecordingId,
    ) -> Result<(NodeId, String), NoContent> {
        let asked = tokio::time::Instant::now();
        loop {
            let view = self.look_in(tenant, move |fold, tenant| {
                fold.recording(recording).filter(|view| view.tenant == *tenant).cloned()
            });
            let view = view.await.ok_or(NoContent::Gone)?;
            match view.phase {
                RecordingPhase::Finished { file, .. } => return Ok((view.node, file.into())),
                RecordingPhase::Failed(_) => return Err(NoContent::Gone),
                _ if asked.elapsed() > FINISH_MAX => return Err(NoContent::Away),
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    pub(crate) async fn look_in<T: Send + 'static>(
        &self,
        tenant: &TenantId,
        look: impl FnOnce(&sidetone_model::fold::Fold, &TenantId) -> Option<T> + Send + 'static,
    ) -> Option<T> {
        let shard = usize::from(ShardId::of(tenant, self.shared().shards).0);
        let tenant = tenant.clone();
        self.look(move |shards| look(shards[shard].fold(), &tenant)).await.flatten()
    }

    pub(crate) fn node(&self, node: &NodeId) -> Result<Arc<MediaService>, NoContent> {
        self.shared().router.nodes.service(node).ok_or(NoContent::Away)
    }
}

/// What a node has recorded.
pub(crate) async fn content_of(
    service: &MediaService,
    recording: RecordingId,
    file: String,
) -> Result<Content, NoContent> {
    let request =
        media::ReadRecordingRequest { recording_id: recording.to_string(), file, ..Default::default() };
    let mut bytes = service.read_recording(Request::new(request)).await.map_err(missing)?.into_inner();
    let first = bytes.try_next().await.map_err(missing)?.ok_or(NoContent::Gone)?;
    let (content_type, length) = (first.content_type.clone(), first.size_bytes);
    let all = futures_util::stream::iter([Ok(first)]).chain(bytes);
    Ok(Content { content_type, length: Some(length), bytes: all.map_ok(|piece| piece.data).boxed() })
}

fn missing(status: Status) -> NoContent {
    match status.code() {
        Code::NotFound | Code::FailedPrecondition | Code::InvalidArgument => NoContent::Gone,
        code => {
            tracing::warn!(?code, "a media node does not give what it recorded or streams");
            NoContent::Away
        }
    }
}
