//! Messages that we make ourselves.

use std::borrow::Cow;

use bytes::Bytes;
use sipx_sip as sip;
use sipx_sip::HeaderName;

use super::{Method, Request, Response, Status};
use crate::uri::{NameAddr, SipUri, is_token};

/// Builds a request (RFC 3261 section 8.1.1). Every obligatory field is an argument.
#[derive(Clone)]
pub struct RequestBuilder {
    method: Method,
    uri: SipUri,
    headers: Vec<(Cow<'static, str>, String)>,
    body: Option<(&'static str, Bytes)>,
}

impl std::fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "RequestBuilder({})", self.method)
    }
}

impl RequestBuilder {
    /// A request with what section 8.1.1 makes obligatory; `via` is the whole value of our Via.
    pub fn new(
        method: Method,
        uri: SipUri,
        via: impl Into<String>,
        from: &NameAddr,
        to: &NameAddr,
        call_id: &str,
        cseq: u32,
    ) -> Self {
        let headers = [
            ("Via", via.into()),
            ("Max-Forwards", MAX_FORWARDS.to_owned()),
            ("From", from.to_string()),
            ("To", to.to_string()),
            ("Call-ID", call_id.to_owned()),
            ("CSeq", format!("{cseq} {method}")),
        ];
        let headers = headers.map(|(name, value)| (Cow::Borrowed(name), value)).into();
        Self { method, uri, headers, body: None }
    }

    /// How many hops it may take (RFC 3261 section 20.22); none leaves the 70 that a request of our own begins with.
    #[must_use]
    pub fn max_forwards(mut self, hops: Option<u8>) -> Self {
        let field = self.headers.iter_mut().find(|(name, _)| name == "Max-Forwards");
        if let (Some((_, value)), Some(hops)) = (field, hops) {
            *value = hops.to_string();
        }
        self
    }

    /// Adds a header field.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((Cow::Borrowed(name), value.into()));
        self
    }

    /// Adds header fields whose names others have chosen.
    #[must_use]
    pub fn headers(mut self, headers: impl IntoIterator<Item = (Cow<'static, str>, String)>) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Adds a header field when there is a value for it.
    #[must_use]
    pub fn header_opt(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self.body = Some((content_type, body.into()));
        self
    }

    /// The finished request.
    ///
    /// # Errors
    /// When a value holds a line break or what must be well formed is not.
    pub fn build(self) -> Result<Request, BuildError> {
        let mut inner = sip::Request::new(self.method.to_sip(), self.uri.0);
        for (name, value) in self.headers {
            inner.headers.push(field(&name, value)?);
        }
        let length = self.body.as_ref().map_or(0, |(_, body)| body.len());
        if let Some((content_type, body)) = self.body {
            inner.headers.push(field("Content-Type", content_type)?);
            inner.set_body(body);
        }
        inner.headers.push(field("Content-Length", length.to_string())?);
        Request::from_sip(inner).map_err(|_| BuildError)
    }
}

/// A message that cannot be written: a value in it would break its structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a value does not fit into a SIP message")]
pub struct BuildError;

/// Builds the response to a request (RFC 3261 section 8.2.6).
#[derive(Debug, Clone)]
pub struct ResponseBuilder {
    inner: sip::Response,
    core: Box<super::Essentials>,
}

impl ResponseBuilder {
    /// A response with Via, From, To, Call-ID and CSeq of the request. `to_tag` is added to To when the request has
    /// none there and the status is not 100 (section 8.2.6.2).
    pub fn new(request: &Request, status: Status, to_tag: &str) -> Self {
        let code = sip::StatusCode::new(status.code()).expect("a Status is always within 100 to 699");
        let mut inner = sip::Response::new(code, Bytes::from_static(status.phrase().as_bytes()));
        let mut core = request.core.clone();
        for name in [HeaderName::Via, HeaderName::From, HeaderName::To, HeaderName::CallId, HeaderName::CSeq]
        {
            if name == HeaderName::To && core.to.tag().is_none() && status != Status::TRYING {
                core.to = core.to.with_param("tag", to_tag);
                // The tag goes behind the text as it came: a peer may compare To byte by byte.
                let raw = request.inner.headers.value(&HeaderName::To).unwrap_or_default();
                let tagged = [raw.as_ref(), b";tag=", to_tag.as_bytes()].concat();
                if let Ok(to) = sip::Header::build(HeaderName::To, tagged) {
                    inner.headers.push(to);
                    continue;
                }
            }
            for header in request.inner.headers.get_all(&name) {
                inner.headers.push(header.clone());
            }
        }
        Self { inner, core }
    }

    /// Adds a header field. A value that holds a line break is left out: it could only be an injection.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        if let Ok(header) = field(name, value.into()) {
            self.inner.headers.push(header);
        }
        self
    }

    /// Adds a header field when there is a value for it.
    #[must_use]
    pub fn header_opt(self, name: &'static str, value: Option<impl Into<String>>) -> Self {
        match value {
            Some(value) => self.header(name, value),
            None => self,
        }
    }

    /// Copies all header fields of a name from the request (Record-Route, section 12.1.1).
    #[must_use]
    pub fn copy(mut self, name: &'static str, request: &Request) -> Self {
        let name = HeaderName::parse(&Bytes::from_static(name.as_bytes()));
        for header in request.inner.headers.get_all(&name) {
            self.inner.headers.push(header.clone());
        }
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn body(mut self, content_type: &'static str, body: impl Into<Bytes>) -> Self {
        self = self.header("Content-Type", content_type);
        self.inner.set_body(body.into());
        self
    }

    /// The finished response.
    #[must_use]
    pub fn build(mut self) -> Response {
        let length = self.inner.body().len().to_string();
        self = self.header("Content-Length", length);
        Response { inner: self.inner, core: self.core }
    }
}

impl std::fmt::Debug for super::Essentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Essentials({} {})", self.cseq_method, self.cseq)
    }
}

fn field(name: &str, value: impl Into<String>) -> Result<sip::Header, BuildError> {
    if name.is_empty() || !name.bytes().all(is_token) {
        return Err(BuildError);
    }
    let name = HeaderName::parse(&Bytes::copy_from_slice(name.as_bytes()));
    sip::Header::build(name, value.into()).map_err(|_| BuildError)
}

/// RFC 3261 section 8.1.1.6.
const MAX_FORWARDS: &str = "70";
