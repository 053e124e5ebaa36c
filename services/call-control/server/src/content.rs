//! The bytes of recordings and live streams, from the media node that has them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::classify::{Class, Classify};
use sidetone_model::fold::RecordingView;
use sidetone_model::ids::{CallId, NodeId, RecordingId, ShardId, StreamId, TenantId};
use sidetone_proto::callcontrol::v1 as api;
use sidetone_proto::media::v1 as media;
use sidetone_runtime::link::MediaService;
use tonic::{Code, Request, Status};

use crate::CallControl;
use crate::nodes::Nodes;

/// What there is to be heard.
pub struct Content {
    /// Its media type.
    pub content_type: String,
    /// Its length in bytes, when it has an end.
    pub length: Option<u64>,
    /// How many files there are besides the first, of a recording that was looked up.
    pub tracks: u32,
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
            tracks: self.tracks,
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
    /// Its end is still to come.
    #[error("it is still being recorded")]
    Running,
}

impl Classify for NoContent {
    fn class(&self) -> Class {
        match self {
            Self::Gone => Class::NotFound,
            Self::Away => Class::Unavailable,
            Self::Running => Class::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "no_such_sound",
            Self::Away => "media_node_away",
            Self::Running => "still_recording",
        }
    }
}

/// How long a recording that was just stopped may take to be finished.
const FINISH_MAX: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(20);
/// Nodes that are asked for what another one has recorded that is gone.
const OTHERS_MAX: usize = 32;

impl CallControl {
    /// A file of an ended recording of a tenant: 0 is the first. One that is just being stopped is waited for.
    ///
    /// # Errors
    /// When there is none, or its node does not answer.
    pub async fn recording_content(
        &self,
        tenant: &TenantId,
        recording: RecordingId,
        track: u32,
    ) -> Result<Content, NoContent> {
        let (node, sound, file) = match self.recorded(tenant, recording, track).await {
            Ok((view, file)) => (view.node, view.sound, file),
            // Its call is looked up no more, or never had it.
            Err(NoContent::Gone) => {
                let told = self.recorded_before(tenant, recording).await?;
                let file = told.file(track).map(str::to_owned).ok_or(NoContent::Gone)?;
                (told.node, told.sound, file)
            }
            Err(error) => return Err(error),
        };
        let content = self.recorded_content(recording, &node, &file).await?;
        let tracks = sound.map_or(0, |sound| sound.tracks.len() as u32);
        Ok(Content { tracks, ..content })
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
        self.recorded_content(recording, node, file).await
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
        Ok(Content { content_type, length: None, tracks: 0, bytes: all.map_ok(|piece| piece.data).boxed() })
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
        track: u32,
    ) -> Result<(RecordingView, String), NoContent> {
        let asked = tokio::time::Instant::now();
        loop {
            let view = self.look_in(tenant, move |fold, tenant| {
                fold.recording(recording).filter(|view| view.tenant == *tenant).cloned()
            });
            let view = view.await.ok_or(NoContent::Gone)?;
            if !view.is_running() {
                let file = view.file(track).map(str::to_owned).ok_or(NoContent::Gone)?;
                return Ok((view, file));
            }
            if asked.elapsed() > FINISH_MAX || !view.stopping && self.goes_on(tenant, view.call).await {
                return Err(if view.stopping { NoContent::Away } else { NoContent::Running });
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Whether a call is not over: what is recorded of it has no end yet.
    async fn goes_on(&self, tenant: &TenantId, call: CallId) -> bool {
        self.look_in(tenant, move |fold, _| fold.call(call).filter(|call| call.ended.is_none()).map(drop))
            .await
            .is_some()
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

    pub(crate) async fn recorded_content(
        &self,
        recording: RecordingId,
        node: &NodeId,
        file: &str,
    ) -> Result<Content, NoContent> {
        kept_by(&self.shared().router.nodes, recording, node, file).await
    }

    pub(crate) fn node(&self, node: &NodeId) -> Result<Arc<MediaService>, NoContent> {
        self.shared().router.nodes.service(node).ok_or(NoContent::Away)
    }
}

/// From the node that recorded it. Where that is gone, or has it no more, from one that has the same object storage or has taken
/// over its folder: a node that began anew on an empty disk knows nothing of what its former life has left.
pub(crate) async fn kept_by(
    nodes: &Nodes,
    recording: RecordingId,
    node: &NodeId,
    file: &str,
) -> Result<Content, NoContent> {
    let own = nodes.service(node);
    // A node that is not there may come back with it.
    let mut told = NoContent::Away;
    if let Some(own) = &own {
        match content_of(&**own, recording, file.to_owned()).await {
            Ok(content) => return Ok(content),
            Err(none) => told = none,
        }
    }
    let others = nodes.services().into_iter();
    let others = others.filter(|other| own.as_ref().is_none_or(|own| !Arc::ptr_eq(own, other)));
    for other in others.take(OTHERS_MAX) {
        if let Ok(content) = content_of(&*other, recording, file.to_owned()).await {
            return Ok(content);
        }
    }
    Err(told)
}

/// What a node has recorded.
async fn content_of(
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
    let bytes = all.map_ok(|piece| piece.data).boxed();
    Ok(Content { content_type, length: Some(length), tracks: 0, bytes })
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
