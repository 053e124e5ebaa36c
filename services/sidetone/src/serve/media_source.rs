//! What is behind the URLs of recordings and streams: the media nodes, by way of call control.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_call_control::{CallControl, NoContent, StreamUrls};
use sidetone_dialects::MediaRef;
use sidetone_http::{KeptAt, MediaBody, MediaSource, MediaUnavailable, MediaUrls, Spoken};
use sidetone_model::ids::{StreamId, TenantId};
use tokio::sync::mpsc;

/// How long is waited when an application has sent as much ahead as it may.
const AHEAD_ENOUGH: Duration = Duration::from_millis(200);

/// The door's URLs, for who begins a stream over gRPC.
pub(super) struct UrlsOfDoor(pub(super) MediaUrls);

impl StreamUrls for UrlsOfDoor {
    fn url(&self, tenant: &TenantId, stream: StreamId) -> String {
        self.0.stream(tenant, stream)
    }
}

/// Recordings and streams of the nodes that call control knows.
pub(super) struct FromNodes(pub(super) CallControl);

#[async_trait::async_trait]
impl MediaSource for FromNodes {
    async fn open(
        &self,
        tenant: &TenantId,
        media: &MediaRef,
        kept: Option<&KeptAt>,
    ) -> Result<MediaBody, MediaUnavailable> {
        let content = match (media, kept) {
            (MediaRef::Recording(recording) | MediaRef::Track(recording, _), Some(KeptAt { node, file })) => {
                self.0.kept_content(*recording, node, file).await
            }
            (MediaRef::Recording(recording), None) => self.0.recording_content(tenant, *recording, 0).await,
            (MediaRef::Track(recording, track), None) => {
                self.0.recording_content(tenant, *recording, *track).await
            }
            (MediaRef::Stream(stream), _) => match stream.parse() {
                Ok(stream) => self.0.stream_content(tenant, stream).await,
                Err(_) => Err(NoContent::Gone),
            },
        };
        let content = content.map_err(unavailable)?;
        let bytes = content.bytes.map_ok(Bytes::from).map_err(std::io::Error::other);
        Ok(MediaBody { content_type: content.content_type, length: content.length, bytes: bytes.boxed() })
    }

    async fn speak(
        &self,
        tenant: &TenantId,
        media: &MediaRef,
        mut said: mpsc::Receiver<Spoken>,
    ) -> Result<(), MediaUnavailable> {
        let MediaRef::Stream(stream) = media else { return Err(MediaUnavailable::Gone) };
        let stream = stream.parse().map_err(|_| MediaUnavailable::Gone)?;
        while let Some(next) = said.recv().await {
            let (sound, clear) = match next {
                Spoken::Sound(sound) => (sound.to_vec(), false),
                Spoken::Clear => (Vec::new(), true),
            };
            while self
                .0
                .stream_speech(tenant, stream, sound.clone(), clear)
                .await
                .map_err(unavailable)?
                .is_none()
            {
                tokio::time::sleep(AHEAD_ENOUGH).await;
            }
        }
        Ok(())
    }
}

fn unavailable(error: NoContent) -> MediaUnavailable {
    match error {
        NoContent::Gone => MediaUnavailable::Gone,
        NoContent::Away | NoContent::Running => MediaUnavailable::Away,
    }
}
