//! URLs at which recordings and live streams can be fetched: a ticket in the path is all the authority that is needed, and
//! it runs out.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use axum::body::Body;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use sidetone_dialects::MediaRef;
use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::{NodeId, RecordingId, StreamId, TenantId};
use sidetone_model::time::Timestamp;

use tokio::sync::mpsc;

use crate::door::now;
use crate::serving::Place;
use crate::speech::{self, Spoken};

/// Makes and reads tickets.
pub(crate) struct Tickets {
    key: hmac::Key,
    base: String,
    lifetime: Duration,
}

/// Makes URLs for who asks elsewhere than at the door.
#[derive(Clone)]
pub struct MediaUrls(Arc<Tickets>);

impl std::fmt::Debug for MediaUrls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("MediaUrls").field(&self.0.base).finish()
    }
}

impl MediaUrls {
    pub(crate) fn new(tickets: Arc<Tickets>) -> Self {
        Self(tickets)
    }

    /// Where a stream of a tenant is heard by whoever has the URL.
    pub fn stream(&self, tenant: &TenantId, stream: StreamId) -> String {
        self.0.url(tenant, &MediaRef::Stream(stream.to_string().into()), None, now())
    }
}

/// Where a finished recording is. A ticket that says so is good for its whole life, also when call control has forgotten the
/// recording; it is signed, and for a client no more than a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptAt {
    /// The media node that made it.
    pub node: NodeId,
    /// The file's name there.
    pub file: Box<str>,
}

/// What a ticket opens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Opened {
    tenant: TenantId,
    media: MediaRef,
    kept: Option<KeptAt>,
}

/// A ticket that is none, or none any more. One answer for all: nothing can be learnt from trying.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the URL is not valid, or is not valid any more; ask for a new one")]
pub(crate) struct BadTicket;

impl Tickets {
    /// `secret` is shared by everybody who reads tickets; `base` is the URL before their path. A ticket is good for
    /// `lifetime`.
    pub(crate) fn new(secret: &[u8], base: String, lifetime: Duration) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, secret), base, lifetime }
    }

    /// `kept` is where a recording is, as far as that is known by now.
    pub(crate) fn url(
        &self,
        tenant: &TenantId,
        media: &MediaRef,
        kept: Option<&KeptAt>,
        now: Timestamp,
    ) -> String {
        let (kind, id) = match media {
            MediaRef::Recording(recording) => ("r", recording.to_string()),
            MediaRef::Track(recording, track) => ("t", format!("{recording}/{track}")),
            MediaRef::Stream(stream) => ("s", stream.to_string()),
        };
        let expires = now.as_millis() + self.lifetime.as_millis() as u64;
        // A file's name may hold spaces: it is the last.
        let kept = kept.map(|kept| format!(" {} {}", kept.node, kept.file)).unwrap_or_default();
        let claim = format!("{kind} {tenant} {id} {expires}{kept}");
        let tag = hmac::sign(&self.key, claim.as_bytes());
        let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        format!("{}/media/{}.{}", self.base, encode(claim.as_bytes()), encode(tag.as_ref()))
    }

    fn read(&self, ticket: &str, now: Timestamp) -> Result<Opened, BadTicket> {
        let (claim, tag) = ticket.split_once('.').ok_or(BadTicket)?;
        let decode = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| BadTicket);
        let (claim, tag) = (decode(claim)?, decode(tag)?);
        hmac::verify(&self.key, &claim, &tag).map_err(|_| BadTicket)?;
        let claim = String::from_utf8(claim).map_err(|_| BadTicket)?;
        let fields: Vec<&str> = claim.splitn(6, ' ').collect();
        let (kind, tenant, id, expires, kept) = match fields[..] {
            [kind, tenant, id, expires] => (kind, tenant, id, expires, None),
            [kind, tenant, id, expires, node, file] => (kind, tenant, id, expires, Some((node, file))),
            _ => return Err(BadTicket),
        };
        if expires.parse::<u64>().map_err(|_| BadTicket)? <= now.as_millis() {
            return Err(BadTicket);
        }
        let media = match kind {
            "r" => MediaRef::Recording(id.parse::<RecordingId>().map_err(|_| BadTicket)?),
            "t" => {
                let (recording, track) = id.split_once('/').ok_or(BadTicket)?;
                let recording = recording.parse::<RecordingId>().map_err(|_| BadTicket)?;
                MediaRef::Track(recording, track.parse().map_err(|_| BadTicket)?)
            }
            _ => MediaRef::Stream(id.into()),
        };
        let kept_at = |(node, file): (&str, &str)| {
            Ok(KeptAt { node: NodeId::new(node).map_err(|_| BadTicket)?, file: file.into() })
        };
        let kept = kept.map(kept_at).transpose()?;
        Ok(Opened { tenant: TenantId::new(tenant).map_err(|_| BadTicket)?, media, kept })
    }
}

/// What a URL gives.
pub struct MediaBody {
    /// Its media type.
    pub content_type: String,
    /// Its length in bytes, when it is known.
    pub length: Option<u64>,
    /// The bytes.
    pub bytes: BoxStream<'static, std::io::Result<Bytes>>,
}

/// Why there is nothing at a URL.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaUnavailable {
    /// There is none such.
    #[error("there is no such recording or stream any more")]
    Gone,
    /// Who has it does not answer.
    #[error("who has the recording or stream does not answer; try again")]
    Away,
}

impl Classify for MediaUnavailable {
    fn class(&self) -> Class {
        match self {
            Self::Gone => Class::NotFound,
            Self::Away => Class::Unavailable,
        }
    }
    fn reason(&self) -> &'static str {
        match self {
            Self::Gone => "gone",
            Self::Away => "away",
        }
    }
}

/// Who has recordings and streams.
#[async_trait::async_trait]
pub trait MediaSource: Send + Sync + 'static {
    /// Opens one of a tenant. `kept` is where a recording is, when its URL says so.
    async fn open(
        &self,
        tenant: &TenantId,
        media: &MediaRef,
        kept: Option<&KeptAt>,
    ) -> Result<MediaBody, MediaUnavailable>;

    /// Lets what comes be heard in the call of a stream, until it ends or the stream does.
    async fn speak(
        &self,
        tenant: &TenantId,
        media: &MediaRef,
        said: mpsc::Receiver<Spoken>,
    ) -> Result<(), MediaUnavailable>;
}

#[derive(Clone)]
struct Shared {
    tickets: Arc<Tickets>,
    source: Arc<dyn MediaSource>,
}

/// `GET /media/TICKET`, also to become a WebSocket.
pub(crate) fn routes(tickets: Arc<Tickets>, source: Arc<dyn MediaSource>) -> Router {
    Router::new().route("/media/{ticket}", get(fetch)).with_state(Shared { tickets, source })
}

async fn fetch(
    State(shared): State<Shared>,
    Path(ticket): Path<String>,
    place: Option<Extension<Arc<Place>>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(Opened { tenant, media, kept }) = shared.tickets.read(&ticket, now()) else {
        return refused(Class::NotFound, &BadTicket);
    };
    let body = match shared.source.open(&tenant, &media, kept.as_ref()).await {
        Ok(body) => body,
        Err(error) => return refused(error.class(), &error),
    };
    if let Ok(upgrade) = upgrade {
        if speech::encoding(&body.content_type).is_none() {
            return refused(
                Class::Invalid,
                &"only a stream of format L16 or PCMU is spoken over a WebSocket",
            );
        }
        return upgrade.max_message_size(speech::MESSAGE_MAX).on_upgrade(move |socket| async move {
            speech::converse(socket, &*shared.source, &tenant, &media, body).await;
            // The connection counts as one until here: the server was done with it when it changed its protocol.
            drop(place);
        });
    }
    let mut response = Body::from_stream(body.bytes).into_response();
    let headers = response.headers_mut();
    let content_type = HeaderValue::from_str(&body.content_type);
    headers.insert(
        header::CONTENT_TYPE,
        content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    if let Some(length) = body.length {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    response
}

fn refused(class: Class, error: &dyn std::fmt::Display) -> Response {
    let status = StatusCode::from_u16(class.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, format!("{error}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_opens_what_it_was_made_for_and_runs_out() {
        let tickets = Tickets::new(b"secret", "http://door".into(), Duration::from_secs(60));
        let tenant = TenantId::new("demo").unwrap();
        let media = MediaRef::Stream("018f".into());
        let now = Timestamp::from_millis(1_000);
        let url = tickets.url(&tenant, &media, None, now);
        let ticket = url.strip_prefix("http://door/media/").unwrap();
        let opened = Opened { tenant: tenant.clone(), media, kept: None };
        assert_eq!(tickets.read(ticket, now), Ok(opened));
        let media = MediaRef::Recording(RecordingId::from(uuid::Uuid::from_u128(7)));
        let kept = Some(KeptAt { node: NodeId::new("m1").unwrap(), file: "a b.wav".into() });
        let of_file = tickets.url(&tenant, &media, kept.as_ref(), now);
        let of_file = of_file.strip_prefix("http://door/media/").unwrap();
        assert_eq!(tickets.read(of_file, now), Ok(Opened { tenant: tenant.clone(), media, kept }));
        let media = MediaRef::Track(RecordingId::from(uuid::Uuid::from_u128(7)), 3);
        let of_track = tickets.url(&tenant, &media, None, now);
        let of_track = of_track.strip_prefix("http://door/media/").unwrap();
        assert_eq!(tickets.read(of_track, now), Ok(Opened { tenant, media, kept: None }));
        let late = Timestamp::from_millis(61_000);
        assert_eq!(tickets.read(ticket, late), Err(BadTicket));
        let others = Tickets::new(b"other", String::new(), Duration::from_secs(60));
        assert_eq!(others.read(ticket, now), Err(BadTicket));
        for bad in ["", ".", "a.b", &ticket[1..], &format!("{ticket}x")] {
            assert_eq!(tickets.read(bad, now), Err(BadTicket), "{bad}");
        }
    }
}
