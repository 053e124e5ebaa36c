//! Messages out of a byte stream (RFC 3261 section 18.3) and the keep-alives between them (RFC 5626 section 4.4.1).
//!
//! Only Content-Length decides where a message ends. A message that is broken in another way is refused and the
//! stream goes on; a stream whose frames are in doubt is given up, because guessing where the next message begins
//! would let a body become a request.

use bytes::{Bytes, BytesMut};

use super::{Limits, Message, ParseFailure, parse_datagram};

/// One thing that stood on the stream.
#[derive(Debug)]
#[allow(clippy::large_enum_variant, reason = "what stands on a stream is nearly always a message")]
pub enum Framed {
    /// A message.
    Message(Message),
    /// A whole frame that is no acceptable message. The connection stays.
    Failure(ParseFailure),
    /// A keep-alive: answer with [`Framer::PONG`].
    Ping,
}

/// The stream can no longer be cut into messages: answer nothing and close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FramingError {
    /// A message without Content-Length (RFC 3261 section 20.14 demands it on streams).
    #[error("no Content-Length on a stream")]
    NoContentLength,
    /// Content-Length is not a number or stands there twice with different numbers.
    #[error("an ambiguous Content-Length")]
    BadContentLength,
    /// The message is larger than allowed.
    #[error("a message beyond the size limit")]
    TooLarge,
}

impl FramingError {
    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoContentLength => "no_content_length",
            Self::BadContentLength => "bad_content_length",
            Self::TooLarge => "too_large",
        }
    }
}

/// Cuts one connection's bytes into messages. It holds at most one unfinished message.
#[derive(Debug)]
pub struct Framer {
    buffer: BytesMut,
    limits: Limits,
    /// How far the end of the head has been looked for.
    scanned: usize,
    /// Head and body length of the message at the front, once known.
    frame: Option<usize>,
    /// One half of a ping has been seen.
    half_ping: bool,
    failed: Option<FramingError>,
    /// The bytes of the last frame.
    taken: Bytes,
}

impl Framer {
    /// What answers a ping.
    pub const PONG: &'static [u8] = b"\r\n";

    /// A framer for a new connection.
    pub fn new(limits: Limits) -> Self {
        Self {
            buffer: BytesMut::new(),
            limits,
            scanned: 0,
            frame: None,
            half_ping: false,
            failed: None,
            taken: Bytes::new(),
        }
    }

    /// Bytes that wait for the rest of their message; a shell may time out a connection on which they stay.
    pub fn pending_bytes(&self) -> usize {
        self.buffer.len()
    }

    /// The bytes of the message that [`Self::poll_framed`] gave last; empty when they were taken before.
    pub fn take_frame(&mut self) -> Bytes {
        std::mem::take(&mut self.taken)
    }

    /// Takes the bytes that a read brought. Call [`Self::poll_framed`] until it has nothing more.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.failed.is_none() {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// The next message or keep-alive, when one is complete.
    ///
    /// # Errors
    /// When the stream cannot be framed any more; every later call says the same.
    pub fn poll_framed(&mut self) -> Result<Option<Framed>, FramingError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let result = self.next();
        if let Err(error) = result {
            self.failed = Some(error);
            self.buffer.clear();
        }
        result
    }

    fn next(&mut self) -> Result<Option<Framed>, FramingError> {
        if self.frame.is_none() {
            // RFC 3261 section 7.5: CRLF before a start line is ignored; two in a row are a ping.
            while self.buffer.starts_with(b"\r\n") {
                let _crlf = self.buffer.split_to(2);
                self.scanned = 0;
                self.half_ping = !self.half_ping;
                if !self.half_ping {
                    return Ok(Some(Framed::Ping));
                }
            }
            let Some(head_bytes) = self.find_head_end()? else { return Ok(None) };
            let body_bytes = content_length(&self.buffer[..head_bytes])?;
            let total = head_bytes.saturating_add(body_bytes);
            if total > self.limits.message_bytes_max {
                return Err(FramingError::TooLarge);
            }
            self.half_ping = false;
            self.frame = Some(total);
        }
        let Some(total) = self.frame.filter(|total| self.buffer.len() >= *total) else { return Ok(None) };
        self.frame = None;
        self.scanned = 0;
        let message: Bytes = self.buffer.split_to(total).freeze();
        self.taken = message.clone();
        Ok(Some(match parse_datagram(message, &self.limits) {
            Ok(message) => Framed::Message(message),
            Err(failure) => Framed::Failure(failure),
        }))
    }

    fn find_head_end(&mut self) -> Result<Option<usize>, FramingError> {
        let from = self.scanned;
        match self.buffer[from..].windows(4).position(|window| window == b"\r\n\r\n") {
            Some(at) => Ok(Some(from + at + 4)),
            None if self.buffer.len() > self.limits.message_bytes_max => Err(FramingError::TooLarge),
            None => {
                // A terminator may straddle two reads.
                self.scanned = self.buffer.len().saturating_sub(3);
                Ok(None)
            }
        }
    }
}

fn content_length(head: &[u8]) -> Result<usize, FramingError> {
    let mut found: Option<usize> = None;
    for line in head.split(|byte| *byte == b'\n') {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let name = line[..colon].trim_ascii_end();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let digits = line[colon + 1..].trim_ascii();
        let length = std::str::from_utf8(digits)
            .ok()
            .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
            .and_then(|text| text.parse().ok())
            .ok_or(FramingError::BadContentLength)?;
        if found.is_some_and(|before| before != length) {
            return Err(FramingError::BadContentLength);
        }
        found = Some(length);
    }
    found.ok_or(FramingError::NoContentLength)
}
