//! What is behind the URLs of recordings and streams: the media nodes, by way of call control.

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_call_control::{CallControl, NoContent};
use sidetone_dialects::MediaRef;
use sidetone_http::{MediaBody, MediaSource, MediaUnavailable};
use sidetone_model::ids::TenantId;

/// Recordings and streams of the nodes that call control knows.
pub(super) struct FromNodes(pub(super) CallControl);

#[async_trait::async_trait]
impl MediaSource for FromNodes {
    async fn open(&self, tenant: &TenantId, media: &MediaRef) -> Result<MediaBody, MediaUnavailable> {
        let content = match media {
            MediaRef::Recording(recording) => self.0.recording_content(tenant, *recording).await,
            MediaRef::Stream(stream) => match stream.parse() {
                Ok(stream) => self.0.stream_content(tenant, stream).await,
                Err(_) => Err(NoContent::Gone),
            },
        };
        let content = content.map_err(|error| match error {
            NoContent::Gone => MediaUnavailable::Gone,
            NoContent::Away => MediaUnavailable::Away,
        })?;
        let bytes = content.bytes.map_ok(Bytes::from).map_err(std::io::Error::other);
        Ok(MediaBody { content_type: content.content_type, length: content.length, bytes: bytes.boxed() })
    }
}
