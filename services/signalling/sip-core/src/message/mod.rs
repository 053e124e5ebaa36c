//! SIP messages (RFC 3261 section 7): requests and responses with what every element needs already checked.
//!
//! A [`Request`] or [`Response`] exists only when From, To, Call-ID, CSeq and the topmost Via are present, single
//! where they must be and well formed, so that no later code has to ask again. Everything else is read when asked
//! for. The parser underneath is a detail of this module.

mod build;
mod framer;
mod method;
mod parse;
mod salvage;
mod status;

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use sidetone_model::party::Transport;
use sipx_sip as sip;
use sipx_sip::HeaderName;

use crate::uri::{NameAddr, SipUri, UriError};

pub use build::{BuildError, RequestBuilder, ResponseBuilder};
pub use framer::{Framed, Framer, FramingError};
pub use method::Method;
pub use parse::{DropReason, Limits, ParseFailure, parse_datagram};
pub use status::Status;

/// A request or a response.
#[derive(Debug, Clone)]
pub enum Message {
    /// A request.
    Request(Request),
    /// A response.
    Response(Response),
}

/// What every message carries, decoded once.
#[derive(Clone)]
pub(crate) struct Essentials {
    pub(crate) via: Via,
    pub(crate) from: NameAddr,
    pub(crate) to: NameAddr,
    pub(crate) call_id: Box<str>,
    pub(crate) cseq: u32,
    pub(crate) cseq_method: Method,
}

/// The topmost Via (RFC 3261 section 20.42).
#[derive(Clone, PartialEq, Eq)]
pub struct Via {
    /// The transport token, in upper case.
    pub transport: Box<str>,
    /// The sent-by host.
    pub host: Box<str>,
    /// The sent-by port, when written.
    pub port: Option<u16>,
    /// The branch; empty when there is none (RFC 2543).
    pub branch: Box<str>,
    /// Whether the sender asks for the answer at the port it sent from (RFC 3581).
    pub rport: bool,
}

/// A request.
#[derive(Clone)]
pub struct Request {
    pub(crate) inner: sip::Request,
    pub(crate) core: Box<Essentials>,
}

/// A response.
#[derive(Clone)]
pub struct Response {
    pub(crate) inner: sip::Response,
    pub(crate) core: Box<Essentials>,
}

/// A Contact header field value (RFC 3261 section 20.10).
#[derive(Debug, Clone)]
pub enum Contact {
    /// `*`, which in a REGISTER means every binding.
    Wildcard,
    /// An address.
    Address(NameAddr),
}

/// Credentials as they stand behind `Authorization:` or `Proxy-Authorization:`; `Debug` hides them.
#[derive(Clone, PartialEq, Eq)]
pub struct CredentialsText(pub(crate) Box<str>);

impl fmt::Debug for CredentialsText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialsText(..)")
    }
}

macro_rules! shared_accessors {
    ($type:ident) => {
        impl $type {
            /// The topmost Via.
            pub fn via(&self) -> &Via {
                &self.core.via
            }
            /// Who sent the request.
            pub fn from(&self) -> &NameAddr {
                &self.core.from
            }
            /// For whom the request was meant.
            pub fn to(&self) -> &NameAddr {
                &self.core.to
            }
            /// The Call-ID.
            pub fn call_id(&self) -> &str {
                &self.core.call_id
            }
            /// The number of the CSeq.
            pub fn cseq(&self) -> u32 {
                self.core.cseq
            }
            /// The method of the CSeq.
            pub fn cseq_method(&self) -> &Method {
                &self.core.cseq_method
            }
            /// The first header field of that name (long or compact form), unfolded and trimmed; none when absent
            /// or not UTF-8.
            pub fn header(&self, name: &str) -> Option<String> {
                self.headers_named(name).into_iter().next()
            }
            /// All header fields of that name, one text per line.
            pub fn headers_named(&self, name: &str) -> Vec<String> {
                let name = HeaderName::parse(&Bytes::copy_from_slice(name.as_bytes()));
                self.inner
                    .headers
                    .get_all(&name)
                    .filter_map(|header| String::from_utf8(header.value().into_owned()).ok())
                    .collect()
            }
            /// Whether a comma-separated list header (Require, Supported, Allow...) names a token.
            pub fn lists(&self, name: &str, token: &str) -> bool {
                self.tokens(name).iter().any(|listed| listed.eq_ignore_ascii_case(token))
            }
            /// The tokens of a comma-separated list header over all its lines.
            pub fn tokens(&self, name: &str) -> Vec<String> {
                self.headers_named(name)
                    .iter()
                    .flat_map(|line| line.split(','))
                    .map(|token| token.trim().to_owned())
                    .filter(|token| !token.is_empty())
                    .collect()
            }
            /// The Contacts, in order.
            ///
            /// # Errors
            /// When one of them is malformed.
            pub fn contacts(&self) -> Result<Vec<Contact>, UriError> {
                self.inner
                    .headers
                    .typed_all::<sip::headers::ContactValue>()
                    .map(|value| match value {
                        Ok(sip::headers::ContactValue::Wildcard) => Ok(Contact::Wildcard),
                        Ok(sip::headers::ContactValue::Address(address)) => {
                            Ok(Contact::Address(NameAddr::from_sip(address)))
                        }
                        Err(_) => Err(UriError),
                    })
                    .collect()
            }
            /// The one Contact address that a dialog needs (RFC 3261 section 12.1); none when it is not one
            /// `sip:` or `sips:` address.
            pub fn contact_target(&self) -> Option<SipUri> {
                match self.contacts().ok()?.into_iter().next()? {
                    Contact::Address(address) if address.uri.is_sip() => Some(address.uri),
                    _ => None,
                }
            }
            /// The Record-Route set in wire order.
            ///
            /// # Errors
            /// When one of them is malformed.
            pub fn record_route(&self) -> Result<Vec<NameAddr>, UriError> {
                self.inner
                    .headers
                    .typed_all::<sip::headers::RecordRoute>()
                    .map(|value| value.map(|route| NameAddr::from_sip(route.0)).map_err(|_| UriError))
                    .collect()
            }
            /// The Expires header in seconds; none when absent or not a number.
            pub fn expires_s(&self) -> Option<u32> {
                self.header("Expires")?.trim().parse().ok()
            }
            /// The User-Agent (or Server) text.
            pub fn user_agent(&self) -> Option<String> {
                self.header("User-Agent").or_else(|| self.header("Server"))
            }
            /// The media type of the body in lower case without parameters; empty when there is none.
            pub fn content_type(&self) -> String {
                let value = self.header("Content-Type").unwrap_or_default();
                value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
            }
            /// The body.
            pub fn body(&self) -> &Bytes {
                self.inner.body()
            }
            /// The message as it goes on the wire.
            pub fn to_bytes(&self) -> Bytes {
                let mut out = Vec::with_capacity(1024);
                self.inner.write_to(&mut out);
                out.into()
            }
        }
    };
}

shared_accessors!(Request);
shared_accessors!(Response);

impl Request {
    /// The method.
    pub fn method(&self) -> Method {
        Method::from_sip(&self.inner.method)
    }

    /// The Request-URI.
    pub fn uri(&self) -> SipUri {
        SipUri(self.inner.uri.clone())
    }

    /// Max-Forwards; none when absent or not a number.
    pub fn max_forwards(&self) -> Option<u8> {
        self.header("Max-Forwards")?.trim().parse().ok()
    }

    /// The Route set in wire order.
    ///
    /// # Errors
    /// When one of them is malformed.
    pub fn route(&self) -> Result<Vec<NameAddr>, UriError> {
        self.inner
            .headers
            .typed_all::<sip::headers::Route>()
            .map(|value| value.map(|route| NameAddr::from_sip(route.0)).map_err(|_| UriError))
            .collect()
    }

    /// The header fields with a name that is wanted, in the order of the message, unfolded and with their long names; those
    /// that are not UTF-8 are left out.
    pub fn headers_where(&self, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
        let text = |header: &sip::Header| {
            let name = std::str::from_utf8(header.name().canonical()).ok().filter(|name| wanted(name))?;
            Some((name.to_owned(), String::from_utf8(header.value().into_owned()).ok()?))
        };
        self.inner.headers.iter().filter_map(text).collect()
    }

    /// The credentials for this server: `Authorization`, one per line.
    pub fn authorization(&self) -> Vec<CredentialsText> {
        self.headers_named("Authorization").into_iter().map(|text| CredentialsText(text.into())).collect()
    }

    /// The credentials for a proxy: `Proxy-Authorization`, one per line.
    pub fn proxy_authorization(&self) -> Vec<CredentialsText> {
        self.headers_named("Proxy-Authorization")
            .into_iter()
            .map(|text| CredentialsText(text.into()))
            .collect()
    }

    /// The same request as it goes out over another transport: only the topmost Via changes, and keeps its branch. None
    /// when it has no Via.
    pub fn sent_over(&self, transport: Transport, sent_by: SocketAddr) -> Option<Self> {
        let mut inner = self.inner.clone();
        let row = String::from_utf8(inner.headers.get(&HeaderName::Via)?.value().into_owned()).ok()?;
        let parameters = row.find(';').map_or("", |at| &row[at..]);
        let via = format!("SIP/2.0/{} {sent_by}{parameters}", transport.token());
        let header = sip::Header::build(HeaderName::Via, via).ok()?;
        let at = inner.headers.iter().position(|header| header.name() == &HeaderName::Via)?;
        inner.headers.remove_first(&HeaderName::Via);
        inner.headers.insert(at, header);
        Self::from_sip(inner).ok()
    }

    /// The same request as a new one: with another Via and CSeq number, and one header field more in the place of any of the
    /// same name. None when one of them cannot stand in a message.
    pub fn again(&self, via: &str, cseq: u32, header: &str, value: &str) -> Option<Self> {
        let mut inner = self.inner.clone();
        let name = |text: &str| HeaderName::parse(&Bytes::copy_from_slice(text.as_bytes()));
        for (name, value) in [
            (HeaderName::Via, via.to_owned()),
            (name("CSeq"), format!("{cseq} {}", self.method().as_str())),
            (name(header), value.to_owned()),
        ] {
            let at = inner.headers.iter().position(|known| *known.name() == name);
            let field = sip::Header::build(name.clone(), value).ok()?;
            inner.headers.remove_first(&name);
            inner.headers.insert(at.unwrap_or(1), field);
        }
        Self::from_sip(inner).ok()
    }

    /// The same request with one header field more, in the place of any of the same name. None when the value cannot stand in a
    /// message.
    pub fn with_header(&self, header: &str, value: &str) -> Option<Self> {
        let mut inner = self.inner.clone();
        let name = HeaderName::parse(&Bytes::copy_from_slice(header.as_bytes()));
        let at = inner.headers.iter().position(|known| *known.name() == name);
        let field = sip::Header::build(name.clone(), value.to_owned()).ok()?;
        inner.headers.remove_first(&name);
        // Behind Via, which is first.
        inner.headers.insert(at.unwrap_or(1), field);
        Self::from_sip(inner).ok()
    }

    /// The same request with another body of the same type.
    pub fn with_body(&self, body: impl Into<Bytes>) -> Option<Self> {
        let mut inner = self.inner.clone();
        inner.set_body(body.into());
        let length = inner.body().len().to_string();
        Self::from_sip(inner).ok()?.with_header("Content-Length", &length)
    }

    /// Whether this opens a dialog: an INVITE whose To has no tag.
    pub fn is_initial_invite(&self) -> bool {
        self.inner.method == sip::Method::Invite && self.core.to.tag().is_none()
    }

    /// Under which key the dialog is found to which this request belongs; none outside a dialog.
    pub fn dialog_key(&self) -> Option<DialogKey> {
        DialogKey::new(&self.core.call_id, self.core.to.tag()?).into()
    }

    /// Under which key the dialog of its sender is found, should the sender be this server.
    pub fn sender_key(&self) -> Option<DialogKey> {
        DialogKey::new(&self.core.call_id, self.core.from.tag()?).into()
    }

    /// Writes where the request really came from into the topmost Via: `received` when the address differs from
    /// sent-by (RFC 3261 section 18.2.1), both it and the port when `rport` asks for it (RFC 3581 section 4).
    pub(crate) fn stamp_source(&mut self, source: SocketAddr) {
        let Some(row) = self.inner.headers.get(&HeaderName::Via).map(|header| header.value().into_owned())
        else {
            return;
        };
        let Some(stamped) = salvage::stamp_via(&row, source) else { return };
        let Ok(header) = sip::Header::build(HeaderName::Via, stamped) else { return };
        let at = self.inner.headers.iter().position(|header| header.name() == &HeaderName::Via).unwrap_or(0);
        self.inner.headers.remove_first(&HeaderName::Via);
        self.inner.headers.insert(at, header);
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> Status {
        Status::new(self.inner.status.code()).unwrap_or(Status::SERVER_INTERNAL_ERROR)
    }

    /// Under which key the dialog is found to which this response belongs.
    pub fn dialog_key(&self) -> Option<DialogKey> {
        DialogKey::new(&self.core.call_id, self.core.from.tag()?).into()
    }
}

impl Message {
    /// The message as it goes on the wire.
    pub fn to_bytes(&self) -> Bytes {
        match self {
            Self::Request(request) => request.to_bytes(),
            Self::Response(response) => response.to_bytes(),
        }
    }
}

/// Call-ID and our own tag: enough to find a dialog, since our tags are unique (RFC 3261 section 12).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DialogKey {
    call_id: Box<str>,
    local_tag: Box<str>,
}

impl DialogKey {
    pub(crate) fn new(call_id: &str, local_tag: &str) -> Self {
        Self { call_id: call_id.into(), local_tag: local_tag.into() }
    }

    /// The Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our own tag.
    pub fn local_tag(&self) -> &str {
        &self.local_tag
    }
}

impl fmt::Debug for DialogKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Some phones put their address into the Call-ID; our own tag is random.
        write!(f, "DialogKey({})", self.local_tag)
    }
}

impl fmt::Debug for Via {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Via({} {})", self.transport, self.branch)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.method(), self.core.cseq)
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Response({} to {} {})", self.status(), self.core.cseq_method, self.core.cseq)
    }
}

/// The port that a transport uses when none is written (RFC 3261 section 18.2.2).
pub(crate) fn default_port(transport: Transport) -> u16 {
    transport.default_port()
}
