//! SIP over WebSocket (RFC 7118): one message in each frame, subprotocol `sip`.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt as _, Stream, StreamExt as _};
use sidetone_sip_core::message::{DropReason, Framer, ParseFailure, parse_datagram};
use sidetone_sip_core::tokens::Tokens;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode, header};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message as Frame, Utf8Bytes};

use super::session::Session;
use super::{limits, refusal};

/// Shakes hands. `origins` are the pages that may connect (RFC 6455, section 10.2); none says any may.
///
/// # Errors
/// When the peer wants no WebSocket, does not offer the subprotocol `sip` (RFC 7118, section 4), or a foreign page asks.
pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    origins: &[String],
) -> Result<WebSocketStream<S>, Error> {
    let max = limits().message_bytes_max;
    let config = WebSocketConfig::default()
        .max_message_size(Some(max))
        .max_frame_size(Some(max))
        .max_write_buffer_size(4 * max);
    #[allow(clippy::result_large_err, reason = "the shape that the library wants")]
    let check = |request: &Request, response: Response| judge(request, response, origins);
    tokio_tungstenite::accept_hdr_async_with_config(stream, check, Some(config)).await
}

#[allow(clippy::result_large_err, reason = "the shape that the library wants")]
fn judge(request: &Request, mut response: Response, origins: &[String]) -> Result<Response, ErrorResponse> {
    let refuse = |status: StatusCode| {
        let mut refusal = ErrorResponse::new(None);
        *refusal.status_mut() = status;
        refusal
    };
    let texts = |name| request.headers().get_all(name).iter().filter_map(|value| value.to_str().ok());
    let offered = texts(header::SEC_WEBSOCKET_PROTOCOL).flat_map(|line| line.split(','));
    if !offered.map(str::trim).any(|protocol| protocol.eq_ignore_ascii_case(SUBPROTOCOL)) {
        return Err(refuse(StatusCode::BAD_REQUEST));
    }
    // Who is no browser sends no Origin, and could send any.
    let foreign = texts(header::ORIGIN).any(|origin| !origins.iter().any(|o| o.eq_ignore_ascii_case(origin)));
    if foreign && !origins.is_empty() {
        return Err(refuse(StatusCode::FORBIDDEN));
    }
    response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
    Ok(response)
}

/// Reads and writes until either side is done.
pub(super) async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<S>,
    session: &Session,
    mut queue: mpsc::Receiver<Bytes>,
    mut tokens: Tokens,
) {
    let (mut sink, mut frames) = socket.split();
    let write_all = async {
        while let Some(bytes) = queue.recv().await {
            if !matches!(timeout(WRITE_TIMEOUT, sink.send(frame(bytes))).await, Ok(Ok(()))) {
                return;
            }
        }
        // The closing handshake (RFC 6455, section 7.1.2), as far as the peer cares.
        let _best_effort = timeout(WRITE_TIMEOUT, sink.close()).await;
    };
    tokio::select! {
        () = read_all(&mut frames, session, &mut tokens) => {}
        () = write_all => {}
    }
}

async fn read_all(
    frames: &mut (impl Stream<Item = Result<Frame, Error>> + Unpin),
    session: &Session,
    tokens: &mut Tokens,
) {
    loop {
        let Ok(next) = timeout(session.idle, frames.next()).await else {
            return session.count_idle();
        };
        let bytes: Bytes = match next {
            Some(Ok(Frame::Text(text))) => text.into(),
            Some(Ok(Frame::Binary(bytes))) => bytes,
            // The library answers pings.
            Some(Ok(Frame::Ping(_) | Frame::Pong(_) | Frame::Frame(_))) => continue,
            Some(Err(Error::Capacity(_))) => return session.count_dropped("too_large"),
            Some(Ok(Frame::Close(_)) | Err(_)) | None => return,
        };
        if !handle(bytes, session, tokens).await {
            return;
        }
    }
}

/// False when the connection is to be closed.
async fn handle(bytes: Bytes, session: &Session, tokens: &mut Tokens) -> bool {
    match parse_datagram(bytes.clone(), &limits()) {
        Ok(message) => session.pass_on(message, bytes).await,
        // The CRLF keep-alive is of use here, too: a browser cannot send a ping (RFC 7118, section 6).
        Err(_) if session.is_shut_out() => false,
        Err(ParseFailure::Drop(DropReason::KeepAlive)) => {
            bytes.as_ref() != PING || session.answer(Bytes::from_static(Framer::PONG))
        }
        Err(failure) => {
            let answer = refusal(&failure, session.flow.remote, tokens, &session.shared.bad);
            answer.is_none_or(|answer| session.answer(answer))
        }
    }
}

/// Text, as browsers expect it, unless a body is none (RFC 7118, section 5.1).
fn frame(bytes: Bytes) -> Frame {
    match Utf8Bytes::try_from(bytes.clone()) {
        Ok(text) => Frame::Text(text),
        Err(_) => Frame::Binary(bytes),
    }
}

const SUBPROTOCOL: &str = "sip";
const PING: &[u8] = b"\r\n\r\n";
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
