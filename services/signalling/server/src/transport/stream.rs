//! SIP on a byte stream, plain or under TLS (RFC 3261, section 18.3).

use std::time::Duration;

use bytes::Bytes;
use sidetone_sip_core::message::{Framed, Framer};
use sidetone_sip_core::tokens::Tokens;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::session::Session;
use super::{limits, refusal};

/// Reads and writes until either side is done.
pub(super) async fn converse<S: AsyncRead + AsyncWrite>(
    stream: S,
    session: &Session,
    queue: mpsc::Receiver<Bytes>,
    tokens: Tokens,
) {
    let (read, write) = tokio::io::split(stream);
    tokio::select! {
        () = read_all(read, session, tokens) => {}
        () = write_all(write, queue) => {}
    }
}

async fn write_all(mut write: impl AsyncWrite + Unpin, mut queue: mpsc::Receiver<Bytes>) {
    while let Some(bytes) = queue.recv().await {
        let written = timeout(WRITE_TIMEOUT, async {
            write.write_all(&bytes).await?;
            write.flush().await
        });
        if !matches!(written.await, Ok(Ok(()))) {
            return;
        }
    }
    // TLS says goodbye (RFC 8446, section 6.1); a peer that does not listen any more is left.
    let _best_effort = timeout(WRITE_TIMEOUT, write.shutdown()).await;
}

async fn read_all(mut read: impl AsyncRead + Unpin, session: &Session, mut tokens: Tokens) {
    let mut framer = Framer::new(limits());
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // An unfinished message must go on soon; otherwise it only holds memory.
        let patience = if framer.pending_bytes() > 0 { UNFINISHED_TIMEOUT } else { session.idle };
        let length = match timeout(patience, read.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => length,
            Ok(_) => return,
            Err(_) => {
                return match framer.pending_bytes() {
                    0 => session.count_idle(),
                    _ => session.shared.bad.connection("unfinished"),
                };
            }
        };
        framer.push(&buffer[..length]);
        if !handle(session, &mut framer, &mut tokens).await {
            return;
        }
    }
}

/// Takes out what is complete; false when the connection is to be closed.
async fn handle(session: &Session, framer: &mut Framer, tokens: &mut Tokens) -> bool {
    loop {
        let goes_on = match framer.poll_framed() {
            Ok(None) => return true,
            Ok(Some(Framed::Message(message))) => session.pass_on(message, framer.take_frame()).await,
            Ok(Some(Framed::Ping | Framed::Failure(_))) if session.is_shut_out() => false,
            Ok(Some(Framed::Ping)) => session.answer(Bytes::from_static(Framer::PONG)),
            Ok(Some(Framed::Failure(failure))) => {
                let answer = refusal(&failure, session.flow.remote, tokens, &session.shared.bad);
                answer.is_none_or(|answer| session.answer(answer))
            }
            Err(error) => {
                session.count_dropped(error.label());
                false
            }
        };
        if !goes_on {
            return false;
        }
    }
}

const READ_BYTES: usize = 8 * 1024;
const UNFINISHED_TIMEOUT: Duration = Duration::from_secs(30);
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
