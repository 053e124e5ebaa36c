//! A raw stream over a WebSocket, both ways: what speech applications need. They hear a call and speak into it.
//!
//! The door sends a text `{"event":"start","encoding":"L16","rate_hz":8000,"channels":1,"piece_ms":20}` and then one binary
//! message for each piece: L16 is little-endian, PCMU is G.711 mu-law. What the application sends as binary messages, in the
//! same form and cut as it likes, is heard in the call at the pace of speech: it may send ahead of it. The text
//! `{"event":"clear"}` drops what has not been heard yet, as is needed when somebody interrupts. Whoever closes, ends it;
//! the stream goes on without.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use serde::Deserialize;
use sidetone_dialects::MediaRef;
use sidetone_model::ids::TenantId;
use tokio::sync::mpsc;

use crate::media::{MediaBody, MediaSource, MediaUnavailable};

/// The largest message that is taken, in bytes: four seconds of L16.
pub(crate) const MESSAGE_MAX: usize = 64 << 10;
/// Messages of the application that may wait for the media node; while they do, no more are read.
const SPOKEN_MAX: usize = 16;

/// How long an application may take to read one message.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an application says into a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Spoken {
    /// Sound, in the stream's own encoding.
    Sound(Bytes),
    /// What has not been heard yet is dropped.
    Clear,
}

#[derive(Deserialize)]
#[serde(tag = "event", rename_all = "lowercase")]
enum Asked {
    Clear,
}

/// The encoding of a raw stream, by its media type; none for what is no raw stream.
pub(crate) fn encoding(content_type: &str) -> Option<&'static str> {
    match content_type.split(';').next() {
        Some("audio/L16") => Some("L16"),
        Some("audio/PCMU") => Some("PCMU"),
        _ => None,
    }
}

/// Carries sound both ways until either side has enough.
pub(crate) async fn converse(
    mut socket: WebSocket,
    source: &dyn MediaSource,
    tenant: &TenantId,
    media: &MediaRef,
    body: MediaBody,
) {
    let start = serde_json::json!({
        "event": "start", "encoding": encoding(&body.content_type), "rate_hz": 8000, "channels": 1, "piece_ms": 20
    });
    if give(&mut socket, Message::text(start.to_string())).await.is_err() {
        return;
    }
    let (spoken, speaking) = mpsc::channel(SPOKEN_MAX);
    let carried = source.speak(tenant, media, speaking);
    tokio::select! {
        (code, reason) = exchange(&mut socket, body.bytes, &spoken) => {
            // Whoever is gone needs no farewell.
            let _ = give(&mut socket, Message::Close(Some(CloseFrame { code, reason: reason.into() }))).await;
        }
        () = rejected(carried) => {
            let reason = "what you say is not taken: the stream has ended, or its media node does not answer";
            let _ = give(&mut socket, Message::Close(Some(CloseFrame { code: close_code::ERROR, reason: reason.into() }))).await;
        }
    }
}

/// Comes back when what is said is not taken any more; a stream of which nothing is to be said goes on.
async fn rejected(carried: impl Future<Output = Result<(), MediaUnavailable>>) {
    match carried.await {
        Ok(()) => std::future::pending().await,
        Err(error) => tracing::info!(%error, "what a speech application says is not taken"),
    }
}

/// Both ways in turn; why it ended.
async fn exchange(
    socket: &mut WebSocket,
    mut heard: BoxStream<'static, std::io::Result<Bytes>>,
    spoken: &mpsc::Sender<Spoken>,
) -> (u16, &'static str) {
    loop {
        tokio::select! {
            piece = heard.next() => match piece {
                Some(Ok(piece)) if piece.is_empty() => {}
                Some(Ok(piece)) => {
                    if give(socket, Message::Binary(piece)).await.is_err() {
                        return (close_code::AWAY, "");
                    }
                }
                Some(Err(_)) => return (close_code::POLICY, "the sound was not taken in time"),
                None => return (close_code::NORMAL, "the stream has ended"),
            },
            message = next(socket, spoken) => match message {
                Said::Something(room, said) => room.send(said),
                Said::Nothing => {}
                Said::Nonsense => {
                    return (close_code::UNSUPPORTED, "expected binary sound, or {\"event\":\"clear\"}");
                }
                Said::Gone => return (close_code::AWAY, ""),
            },
        }
    }
}

/// What came of one message of the application.
enum Said<'a> {
    Something(mpsc::Permit<'a, Spoken>, Spoken),
    Nothing,
    Nonsense,
    Gone,
}

/// The next message, as soon as there is room for it.
async fn next<'a>(socket: &mut WebSocket, spoken: &'a mpsc::Sender<Spoken>) -> Said<'a> {
    let Ok(room) = spoken.reserve().await else { return std::future::pending().await };
    match socket.recv().await {
        Some(Ok(Message::Binary(sound))) => Said::Something(room, Spoken::Sound(sound)),
        Some(Ok(Message::Text(text))) => match serde_json::from_str(&text) {
            Ok(Asked::Clear) => Said::Something(room, Spoken::Clear),
            Err(_) => Said::Nonsense,
        },
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Said::Nothing,
        Some(Ok(Message::Close(_)) | Err(_)) | None => Said::Gone,
    }
}

/// To the application, which has so long to take it.
async fn give(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(()),
    }
}
