//! Request methods.

use std::fmt;

use sipx_sip as sip;

/// A request method. Methods are compared with case (RFC 3261 section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Method {
    /// RFC 3261 section 13.
    Invite,
    /// RFC 3261 section 17.1.1.3.
    Ack,
    /// RFC 3261 section 15.
    Bye,
    /// RFC 3261 section 9.
    Cancel,
    /// RFC 3261 section 10.
    Register,
    /// RFC 3261 section 11.
    Options,
    /// RFC 6086.
    Info,
    /// RFC 3262.
    Prack,
    /// RFC 3311.
    Update,
    /// RFC 6665.
    Subscribe,
    /// RFC 6665.
    Notify,
    /// RFC 3515.
    Refer,
    /// RFC 3428.
    Message,
    /// RFC 3903.
    Publish,
    /// A method that has no meaning here.
    Other(Box<str>),
}

impl Method {
    /// The token on the wire.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Invite => "INVITE",
            Self::Ack => "ACK",
            Self::Bye => "BYE",
            Self::Cancel => "CANCEL",
            Self::Register => "REGISTER",
            Self::Options => "OPTIONS",
            Self::Info => "INFO",
            Self::Prack => "PRACK",
            Self::Update => "UPDATE",
            Self::Subscribe => "SUBSCRIBE",
            Self::Notify => "NOTIFY",
            Self::Refer => "REFER",
            Self::Message => "MESSAGE",
            Self::Publish => "PUBLISH",
            Self::Other(token) => token,
        }
    }

    pub(crate) fn from_sip(method: &sip::Method) -> Self {
        use sip::Method as M;
        match method {
            M::Invite => Self::Invite,
            M::Ack => Self::Ack,
            M::Bye => Self::Bye,
            M::Cancel => Self::Cancel,
            M::Register => Self::Register,
            M::Options => Self::Options,
            M::Info => Self::Info,
            M::Prack => Self::Prack,
            M::Update => Self::Update,
            M::Subscribe => Self::Subscribe,
            M::Notify => Self::Notify,
            M::Refer => Self::Refer,
            M::Message => Self::Message,
            M::Publish => Self::Publish,
            other => Self::Other(String::from_utf8_lossy(other.as_bytes()).into()),
        }
    }

    pub(crate) fn to_sip(&self) -> sip::Method {
        sip::Method::parse(&bytes::Bytes::copy_from_slice(self.as_str().as_bytes()))
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
