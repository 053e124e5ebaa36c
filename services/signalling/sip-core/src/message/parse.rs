//! From bytes to a [`Message`], or to what is to be done about bytes that are none.

use std::net::SocketAddr;

use bytes::Bytes;
use sipx_sip as sip;
use sipx_sip::HeaderName;

use super::salvage::Salvage;
use super::{Essentials, Message, Method, Request, Response, Status, Via};
use crate::uri::NameAddr;

/// What a message may not exceed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole message.
    pub message_bytes_max: usize,
    /// Header fields.
    pub headers_max: usize,
    /// Bytes of one header field.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 64 * 1024, headers_max: 128, header_bytes_max: 8 * 1024 }
    }
}

impl Limits {
    fn to_sip(self) -> sip::Limits {
        sip::Limits {
            max_message_bytes: self.message_bytes_max,
            max_body_bytes: self.message_bytes_max,
            max_headers: self.headers_max,
            max_header_bytes: self.header_bytes_max,
            ..sip::Limits::datagram()
        }
    }
}

/// Why bytes are thrown away without a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum DropReason {
    /// Empty, CRLF or zero bytes: a keep-alive (RFC 5626 section 3.5.1, and what phones make of it).
    #[error("a keep-alive")]
    KeepAlive,
    /// A malformed response: nobody answers a response.
    #[error("a malformed response")]
    BadResponse,
    /// A malformed ACK: nobody answers an ACK.
    #[error("a malformed ACK")]
    BadAck,
    /// So broken that no answer could find its way.
    #[error("not recognisable as SIP")]
    NotSip,
}

impl DropReason {
    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep_alive",
            Self::BadResponse => "bad_response",
            Self::BadAck => "bad_ack",
            Self::NotSip => "not_sip",
        }
    }
}

/// Bytes that are no acceptable message.
#[derive(Debug)]
pub enum ParseFailure {
    /// A request so far intact that its sender can be told (RFC 3261 section 16.3).
    Answer {
        /// With what it is refused.
        status: Status,
        /// What is wrong, in a stable short word: the metric label.
        reason: &'static str,
        /// What the answer is made from.
        salvage: Box<Salvage>,
    },
    /// Nothing can or should be answered.
    Drop(DropReason),
}

impl ParseFailure {
    /// The metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Answer { reason, .. } => reason,
            Self::Drop(reason) => reason.label(),
        }
    }

    /// The refusal to send back to `source`; none when nothing is to be said. `to_tag` marks us in it.
    pub fn response(&self, source: SocketAddr, to_tag: &str) -> Option<Bytes> {
        match self {
            Self::Answer { status, salvage, .. } => Some(salvage.response(*status, source, to_tag)),
            Self::Drop(_) => None,
        }
    }
}

/// Parses one datagram. Bytes behind the declared body are ignored (RFC 3261 section 18.3).
///
/// # Errors
/// When the datagram is not an acceptable message: either with the answer that its sender is owed, or with the
/// reason why nothing is said.
pub fn parse_datagram(datagram: Bytes, limits: &Limits) -> Result<Message, ParseFailure> {
    if datagram.iter().all(|byte| matches!(byte, b'\r' | b'\n' | 0)) {
        return Err(ParseFailure::Drop(DropReason::KeepAlive));
    }
    let bytes = datagram.clone();
    let message = match sip::parse_datagram(datagram, &limits.to_sip()) {
        Ok(message) => message,
        Err(error) => return Err(refuse(&bytes, structural_status(&error), structural_reason(&error))),
    };
    Message::from_sip(message).map_err(|fault| refuse(&bytes, fault.status(), fault.reason()))
}

fn refuse(bytes: &[u8], status: Status, reason: &'static str) -> ParseFailure {
    match Salvage::from_bytes(bytes) {
        Ok(salvage) => ParseFailure::Answer { status, reason, salvage: Box::new(salvage) },
        Err(reason) => ParseFailure::Drop(reason),
    }
}

fn structural_status(error: &sip::error::ParseError) -> Status {
    match error {
        sip::error::ParseError::Limit { .. } => Status::REQUEST_ENTITY_TOO_LARGE,
        _ => Status::BAD_REQUEST,
    }
}

fn structural_reason(error: &sip::error::ParseError) -> &'static str {
    use sip::error::ParseError as E;
    match error {
        E::StartLine(_) => "start_line",
        E::HeaderSyntax { .. } => "header_syntax",
        E::Framing(_) => "framing",
        E::Limit { .. } => "too_large",
        _ => "malformed",
    }
}

/// A message whose frame is good and whose obligatory header fields are not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Version,
    Header(&'static str),
    MethodMismatch,
    /// The same of a method that nobody knows.
    UnknownMethod,
    UriHeaders,
}

impl Fault {
    fn status(self) -> Status {
        match self {
            Self::Version => Status::VERSION_NOT_SUPPORTED,
            // RFC 4475 section 3.1.2.18: 501 rather than 400, for what the future brings.
            Self::UnknownMethod => Status::NOT_IMPLEMENTED,
            _ => Status::BAD_REQUEST,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Version => "version",
            Self::Header(label) => label,
            Self::MethodMismatch | Self::UnknownMethod => "cseq_method",
            Self::UriHeaders => "request_uri",
        }
    }
}

impl Message {
    fn from_sip(message: sip::Message) -> Result<Self, Fault> {
        match message {
            sip::Message::Request(request) => Request::from_sip(request).map(Self::Request),
            sip::Message::Response(response) => Response::from_sip(response).map(Self::Response),
        }
    }
}

impl Request {
    pub(crate) fn from_sip(inner: sip::Request) -> Result<Self, Fault> {
        if !inner.version.is_supported() {
            return Err(Fault::Version);
        }
        // RFC 3261 section 19.1.1: a Request-URI has no headers.
        if inner.uri.has_headers() {
            return Err(Fault::UriHeaders);
        }
        let core = Box::new(Essentials::read(&inner.headers)?);
        if core.cseq_method != Method::from_sip(&inner.method) {
            let known = !matches!(Method::from_sip(&inner.method), Method::Other(_));
            return Err(if known { Fault::MethodMismatch } else { Fault::UnknownMethod });
        }
        Ok(Self { inner, core })
    }
}

impl Response {
    pub(crate) fn from_sip(inner: sip::Response) -> Result<Self, Fault> {
        if !inner.version.is_supported() {
            return Err(Fault::Version);
        }
        let core = Box::new(Essentials::read(&inner.headers)?);
        Ok(Self { inner, core })
    }
}

impl Essentials {
    pub(crate) fn read(headers: &sip::Headers) -> Result<Self, Fault> {
        let single = |name: &HeaderName, label: &'static str| {
            if headers.count(name) == 1 { Ok(()) } else { Err(Fault::Header(label)) }
        };
        single(&HeaderName::From, "from")?;
        single(&HeaderName::To, "to")?;
        single(&HeaderName::CallId, "call_id")?;
        single(&HeaderName::CSeq, "cseq")?;
        let from = headers.typed::<sip::headers::From>().and_then(Result::ok).ok_or(Fault::Header("from"))?;
        let to = headers.typed::<sip::headers::To>().and_then(Result::ok).ok_or(Fault::Header("to"))?;
        let cseq = headers.typed::<sip::CSeq>().and_then(Result::ok).ok_or(Fault::Header("cseq"))?;
        let call_id = headers.typed::<sip::CallId>().and_then(Result::ok).ok_or(Fault::Header("call_id"))?.0;
        let via = headers.typed::<sip::Via>().and_then(Result::ok).ok_or(Fault::Header("via"))?;
        Ok(Self {
            via: Via::from_sip(&via),
            from: NameAddr::from_sip(from.0),
            to: NameAddr::from_sip(to.0),
            call_id: String::from_utf8(call_id).map_err(|_| Fault::Header("call_id"))?.into(),
            cseq: cseq.sequence,
            cseq_method: Method::from_sip(&cseq.method),
        })
    }
}

impl Via {
    fn from_sip(via: &sip::Via) -> Self {
        let text = |bytes: &[u8]| -> Box<str> { String::from_utf8_lossy(bytes).into() };
        Self {
            transport: text(&via.transport.to_ascii_uppercase()),
            host: text(&via.host.to_bytes()),
            port: via.port,
            branch: via.branch().map(text).unwrap_or_default(),
            rport: via.rport().is_some(),
        }
    }
}
