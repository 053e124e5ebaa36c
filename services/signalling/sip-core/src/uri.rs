//! SIP URIs (RFC 3261 section 19.1) and the name-addr around them (section 20.10).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sipx_sip as sip;

/// A text that is not a URI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a usable URI or address")]
pub struct UriError;

/// A URI of any scheme; what it offers beyond its text is there for `sip:` and `sips:`.
///
/// Its `Debug` form hides it, because a URI names a person.
#[derive(Clone)]
pub struct SipUri(pub(crate) sip::Uri);

impl SipUri {
    /// Parses one URI without angle brackets.
    ///
    /// # Errors
    /// When the text is not a URI.
    pub fn parse(text: impl AsRef<[u8]>) -> Result<Self, UriError> {
        sip::Uri::parse(Bytes::copy_from_slice(text.as_ref())).map(Self).map_err(|_| UriError)
    }

    /// `sip:user@host`, with what the user part may not hold escaped (RFC 3261 section 19.1.2).
    ///
    /// # Errors
    /// When `host` is not a host, with or without a port.
    pub fn sip(user: &str, host: &str) -> Result<Self, UriError> {
        if user.is_empty() {
            return Self::parse(format!("sip:{host}"));
        }
        Self::parse(format!("sip:{}@{host}", escape_user(user)))
    }

    /// The user part without escapes; empty when there is none.
    pub fn user(&self) -> String {
        self.0.decoded_user().map(|user| String::from_utf8_lossy(&user).into_owned()).unwrap_or_default()
    }

    /// The host in lower case, an IPv6 address without brackets; empty for schemes without one.
    pub fn host(&self) -> String {
        self.0
            .host()
            .map(|host| String::from_utf8_lossy(&host.to_bytes()).to_ascii_lowercase())
            .unwrap_or_default()
    }

    /// The host, when it is an address and no name.
    pub fn host_addr(&self) -> Option<IpAddr> {
        self.host().parse().ok()
    }

    /// The port, when one is written.
    pub fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// A URI parameter: none when absent, an empty text when it has no value.
    pub fn param(&self, name: &str) -> Option<String> {
        let param = self.0.params()?.get(name)?;
        Some(String::from_utf8_lossy(param.value().unwrap_or_default()).into_owned())
    }

    /// A header of the URI (`?name=value`), without escapes.
    pub fn header(&self, name: &str) -> Option<String> {
        let header = self.0.headers()?.get(name)?;
        Some(String::from_utf8_lossy(header.value().unwrap_or_default()).into_owned())
    }

    /// Whom one would dial: the user part, or the number of a `tel:` URI without visual separators (RFC 3966, section 3);
    /// empty for other schemes.
    pub fn number(&self) -> String {
        if self.is_sip() {
            return self.user();
        }
        let text = self.to_string();
        match text.split_once(':') {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("tel") => {
                let digits = rest.split(';').next().unwrap_or_default().chars();
                digits.filter(|digit| !matches!(digit, '-' | '.' | '(' | ')')).collect()
            }
            _ => String::new(),
        }
    }

    /// Whether the scheme is `sip` or `sips`.
    pub fn is_sip(&self) -> bool {
        self.0.scheme().is_sip()
    }

    /// Whether the scheme is `sips`.
    pub fn is_secure(&self) -> bool {
        self.0.scheme().is_secure()
    }

    /// Whether both name the same resource (RFC 3261 section 19.1.4).
    pub fn equivalent(&self, other: &Self) -> bool {
        self.0.equivalent(&other.0)
    }
}

impl fmt::Display for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SipUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SipUri(..)")
    }
}

/// A URI with a display name and header parameters: From, To, Contact, Route, Record-Route.
#[derive(Clone)]
pub struct NameAddr {
    /// The display name without quotes; empty when there is none.
    pub display_name: Box<str>,
    /// The URI.
    pub uri: SipUri,
    params: Vec<(Box<str>, Option<Box<str>>)>,
}

impl NameAddr {
    /// A name-addr without header parameters.
    pub fn new(display_name: impl Into<Box<str>>, uri: SipUri) -> Self {
        Self { display_name: display_name.into(), uri, params: Vec::new() }
    }

    /// Parses one value.
    ///
    /// # Errors
    /// When the value is not a name-addr.
    pub fn parse(value: impl AsRef<[u8]>) -> Result<Self, UriError> {
        sip::Address::parse(value.as_ref(), "address").map(Self::from_sip).map_err(|_| UriError)
    }

    /// Parses the values of a comma-separated list.
    ///
    /// # Errors
    /// When one of them is not a name-addr.
    pub fn parse_list(value: impl AsRef<[u8]>) -> Result<Vec<Self>, UriError> {
        let addresses = sip::Address::parse_list(value.as_ref(), "address").map_err(|_| UriError)?;
        Ok(addresses.into_iter().map(Self::from_sip).collect())
    }

    /// The same with a header parameter more.
    #[must_use]
    pub fn with_param(mut self, name: &str, value: &str) -> Self {
        self.params.push((name.into(), (!value.is_empty()).then(|| value.into())));
        self
    }

    /// A header parameter without its quotes: none when absent, empty when it has no value.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_deref().unwrap_or_default())
    }

    /// The tag (RFC 3261 section 19.3).
    pub fn tag(&self) -> Option<&str> {
        self.param("tag").filter(|tag| !tag.is_empty())
    }

    pub(crate) fn from_sip(address: sip::Address) -> Self {
        let text = |bytes: &[u8]| -> Box<str> { String::from_utf8_lossy(bytes).into() };
        let params = address
            .params
            .iter()
            .map(|param| (text(&param.name), param.value.as_deref().map(text)))
            .collect();
        Self {
            display_name: address.display_name.as_deref().map(text).unwrap_or_default(),
            uri: SipUri(address.uri),
            params,
        }
    }
}

impl fmt::Display for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.display_name.is_empty() {
            f.write_str("\"")?;
            for c in self.display_name.chars().filter(|c| !c.is_control()) {
                if matches!(c, '"' | '\\') {
                    f.write_str("\\")?;
                }
                write!(f, "{c}")?;
            }
            f.write_str("\" ")?;
        }
        write!(f, "<{}>", self.uri)?;
        for (name, value) in &self.params {
            match value {
                Some(value) if value.bytes().all(is_token) => write!(f, ";{name}={value}")?,
                Some(value) => {
                    let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
                    write!(f, ";{name}=\"{quoted}\"")?;
                }
                None => write!(f, ";{name}")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for NameAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NameAddr(..)")
    }
}

/// `host:port` of a socket address as it stands in Via and Contact (IPv6 in brackets).
pub fn host_port(addr: SocketAddr) -> String {
    addr.to_string()
}

pub(crate) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// RFC 3261 section 25.1: `user = 1*( unreserved / escaped / user-unreserved )`.
fn escape_user(user: &str) -> String {
    let mut out = String::with_capacity(user.len());
    for byte in user.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.!~*'()&=+$,;?/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
