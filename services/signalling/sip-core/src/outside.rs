//! A request outside of a dialog, as far as RFC 3261 section 8.2 decides about it without asking anybody: method,
//! Request-URI, hops, required extensions, what may stand in the answer.
//!
//! Who may ask at all (limits, credentials, whose domain it is) is decided elsewhere, before or after.

use crate::leg::{ALLOW, EXTENSIONS};
use crate::message::{Method, Request, Response, ResponseBuilder, Status};
use crate::sdp;

/// Why a request outside of a dialog is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Max-Forwards is used up (RFC 3261 section 16.3, step 3), or the call was passed on too often.
    TooManyHops,
    /// A method that nobody defined (section 21.5.2).
    UnknownMethod,
    /// A method that is known and has no use here (section 8.2.1).
    MethodNotAllowed,
    /// A method that lives inside dialogs only, without one (section 12.2.2).
    NoDialog,
    /// The Request-URI is no `sip:` or `sips:` one (section 8.2.2.1).
    UriScheme,
    /// A REGISTER for what is no address-of-record (section 10.3, step 5).
    NoAddressOfRecord,
    /// Required extensions that are not had (section 8.2.2.3).
    Extensions(Vec<String>),
    /// An INVITE whose sender takes no SDP (sections 20.1 and 21.4.7).
    NoSdpAccepted,
}

impl Refusal {
    /// The reason as a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::TooManyHops => "too_many_hops",
            Self::UnknownMethod => "unknown_method",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::NoDialog => "no_dialog",
            Self::UriScheme => "uri_scheme",
            Self::NoAddressOfRecord => "no_address_of_record",
            Self::Extensions(_) => "extension",
            Self::NoSdpAccepted => "no_sdp_accepted",
        }
    }

    /// The refusal as a response to `request`, to which a caller may add fields.
    pub fn response(&self, request: &Request, to_tag: &str) -> ResponseBuilder {
        let builder = |status| ResponseBuilder::new(request, status, to_tag);
        match self {
            Self::TooManyHops => builder(Status::TOO_MANY_HOPS),
            Self::UnknownMethod => builder(Status::NOT_IMPLEMENTED).header("Allow", ALLOW_OUTSIDE),
            Self::MethodNotAllowed => builder(Status::METHOD_NOT_ALLOWED).header("Allow", ALLOW_OUTSIDE),
            Self::NoDialog => builder(Status::NO_SUCH_TRANSACTION),
            Self::UriScheme => builder(Status::UNSUPPORTED_URI_SCHEME),
            Self::NoAddressOfRecord => builder(Status::BAD_REQUEST),
            Self::Extensions(unknown) => {
                builder(Status::BAD_EXTENSION).header("Unsupported", unknown.join(", "))
            }
            Self::NoSdpAccepted => builder(Status::NOT_ACCEPTABLE),
        }
    }
}

/// Looks at a request without a To tag that is neither ACK nor CANCEL.
///
/// # Errors
/// What is wrong with it.
pub fn inspect(request: &Request) -> Result<(), Refusal> {
    let method = request.method();
    // Section 11: an OPTIONS that may go no further is answered by whom it has reached.
    if request.max_forwards() == Some(0) && method != Method::Options {
        return Err(Refusal::TooManyHops);
    }
    if method == Method::Invite && diversions(request) > DIVERSIONS_MAX {
        return Err(Refusal::TooManyHops);
    }
    match method {
        Method::Invite | Method::Register | Method::Options | Method::Subscribe => {}
        // RFC 3261 section 15, RFC 3311, RFC 6086, RFC 3262, RFC 6665.
        Method::Bye | Method::Update | Method::Info | Method::Prack | Method::Notify => {
            return Err(Refusal::NoDialog);
        }
        Method::Other(_) => return Err(Refusal::UnknownMethod),
        _ => return Err(Refusal::MethodNotAllowed),
    }
    if !request.uri().is_sip() {
        return Err(Refusal::UriScheme);
    }
    if method == Method::Register && !request.to().uri.is_sip() {
        return Err(Refusal::NoAddressOfRecord);
    }
    let unknown = unknown_extensions(request);
    if !unknown.is_empty() {
        return Err(Refusal::Extensions(unknown));
    }
    if method == Method::Invite && !accepts_sdp(request) {
        return Err(Refusal::NoSdpAccepted);
    }
    Ok(())
}

/// How often the call was passed on before it came here (Diversion, RFC 5806; History-Info, RFC 7044). Each of our legs starts with
/// a Max-Forwards of its own, so a number that is forwarded to a carrier and from there to itself is told by this.
fn diversions(request: &Request) -> usize {
    let addresses = |name| {
        let lines = request.headers_named(name);
        lines.iter().map(|line| line.matches('<').count().max(1)).sum::<usize>()
    };
    addresses("Diversion").max(addresses("History-Info"))
}

/// What `Require` names and nobody here has (RFC 3261 section 8.2.2.3).
pub(crate) fn unknown_extensions(request: &Request) -> Vec<String> {
    let known = |token: &str| EXTENSIONS.iter().any(|had| had.eq_ignore_ascii_case(token));
    request.tokens("Require").into_iter().filter(|token| !known(token)).collect()
}

/// The 420 for a request inside a dialog.
pub(crate) fn check_required(request: &Request, to_tag: &str) -> Result<(), Box<Response>> {
    let unknown = unknown_extensions(request);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Box::new(Refusal::Extensions(unknown).response(request, to_tag).build()))
}

/// RFC 3261 section 20.1: without the header, SDP is what is accepted; with it, only what it names.
fn accepts_sdp(request: &Request) -> bool {
    if request.header("Accept").is_none() {
        return true;
    }
    request.tokens("Accept").iter().any(|range| {
        let range = range.split(';').next().unwrap_or_default().trim();
        ["*/*", "application/*", sdp::CONTENT_TYPE].iter().any(|good| range.eq_ignore_ascii_case(good))
    })
}

/// More forwardings than a call has that arrives anywhere.
const DIVERSIONS_MAX: usize = 20;
/// What may be asked of us outside of a dialog; inside one it is [`ALLOW`].
pub const ALLOW_OUTSIDE: &str =
    "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER, REGISTER, SUBSCRIBE";
const _: () = assert!(ALLOW.len() < ALLOW_OUTSIDE.len());

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Limits, Message, parse_datagram};

    #[test]
    fn a_call_that_goes_round_is_stopped() {
        let invite = |diversions: usize| {
            let passed = "<sip:1001@example.org>;reason=unconditional".to_owned();
            let text = format!(
                "INVITE sip:1002@example.org SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                 From: <sip:a@example.org>;tag=1\r\nTo: <sip:1002@example.org>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\
                 Diversion: {}\r\nContent-Length: 0\r\n\r\n",
                vec![passed; diversions].join(", ")
            );
            match parse_datagram(text.into(), &Limits::default()) {
                Ok(Message::Request(request)) => inspect(&request),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!((invite(1), invite(20)), (Ok(()), Ok(())));
        assert_eq!(invite(21), Err(Refusal::TooManyHops));
    }
}
