//! Every type of the model in its protocol-buffer form, and back.
//!
//! Into protocol buffers is infallible (`From<&Domain>`); back is checked (`TryFrom<pb::X>`), because what comes over
//! a wire or out of a log was written by somebody else, perhaps by a newer release. Nothing is guessed: a field that
//! cannot be understood is an error that names it. Empty strings, zeros and absent messages stand for "none" only
//! where the contract says so.

mod canonical;
mod conversation;
mod events;
mod signalling;
#[cfg(test)]
mod strategies;
#[cfg(test)]
mod tests;
mod types;
mod voice;
mod watching;

use std::str::FromStr;

pub use events::{decode_batch, encode_batch};
pub use types::{Enumeration, enumeration, number, socket_addr, socket_address};

use crate::classify::{Class, Classify};
use crate::ids::IdError;

/// Why a message is not what the model knows. `field` is the message and field of the contract, `Message.field`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The bytes are no protocol-buffer message of that type.
    #[error("not a protocol-buffer message of this type: {0}")]
    Malformed(String),
    /// A field that must be there is not.
    #[error("{field} is missing")]
    Missing {
        /// The field.
        field: &'static str,
    },
    /// No variant of a `oneof` that this release knows is set. A newer release may have set one; protocol buffers
    /// cannot tell that from none at all.
    #[error("{field} is absent or of a kind that this release does not know")]
    UnknownKind {
        /// The `oneof`.
        field: &'static str,
    },
    /// An enumeration has a value that this release does not know, or none.
    #[error("{field} has the value {value}, which this release does not know")]
    UnknownValue {
        /// The field.
        field: &'static str,
        /// The number it has.
        value: i32,
    },
    /// A field has a value that cannot be.
    #[error("{field}: {reason}")]
    Invalid {
        /// The field.
        field: &'static str,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl WireError {
    /// Whether a newer release may have written it: then upgrading this process helps, and the log is not broken.
    pub fn may_be_newer(&self) -> bool {
        matches!(self, Self::UnknownKind { .. } | Self::UnknownValue { value: 1.., .. })
    }
}

impl Classify for WireError {
    fn class(&self) -> Class {
        Class::Invalid
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::Missing { .. } => "missing_field",
            Self::UnknownKind { .. } => "unknown_kind",
            Self::UnknownValue { .. } => "unknown_value",
            Self::Invalid { .. } => "invalid_field",
        }
    }
}

/// An identifier out of a text field.
pub fn id<T: FromStr<Err = IdError>>(field: &'static str, text: &str) -> Result<T, WireError> {
    if text.is_empty() {
        return Err(WireError::Missing { field });
    }
    text.parse().map_err(|error: IdError| WireError::Invalid { field, reason: error.reason })
}

/// An identifier out of a text field that may be empty for "none".
pub fn optional_id<T: FromStr<Err = IdError>>(
    field: &'static str,
    text: &str,
) -> Result<Option<T>, WireError> {
    if text.is_empty() { Ok(None) } else { id(field, text).map(Some) }
}

/// The text of an identifier that may be absent; empty then.
fn optional_text(value: Option<&impl ToString>) -> String {
    value.map(ToString::to_string).unwrap_or_default()
}

/// A message that must be there, converted.
pub fn message<P, D>(field: &'static str, value: Option<P>) -> Result<D, WireError>
where
    D: TryFrom<P, Error = WireError>,
{
    D::try_from(value.ok_or(WireError::Missing { field })?)
}

/// A `oneof` that must be set to something known.
fn kind<K>(field: &'static str, value: Option<K>) -> Result<K, WireError> {
    value.ok_or(WireError::UnknownKind { field })
}

/// Headers as they stand in a message.
fn headers_out(headers: &[(Box<str>, Box<str>)]) -> Vec<sidetone_proto::types::v1::Header> {
    headers
        .iter()
        .map(|(name, value)| sidetone_proto::types::v1::Header {
            name: name.as_ref().into(),
            value: value.as_ref().into(),
        })
        .collect()
}

fn headers_in(headers: Vec<sidetone_proto::types::v1::Header>) -> Vec<(Box<str>, Box<str>)> {
    headers.into_iter().map(|header| (header.name.into(), header.value.into())).collect()
}

/// Max-Forwards, 0 to 255 (RFC 3261, section 20.22); what is out of range says nothing.
fn hops(value: Option<u32>) -> Option<u8> {
    value.and_then(|hops| hops.try_into().ok())
}

/// One of `0-9 * # A-D`: the digits of RFC 4733, section 3.2.
fn digit(field: &'static str, text: &str) -> Result<char, WireError> {
    let mut chars = text.chars();
    match (chars.next(), chars.next()) {
        (Some(digit @ ('0'..='9' | '*' | '#' | 'A'..='D')), None) => Ok(digit),
        (None, _) => Err(WireError::Missing { field }),
        _ => Err(WireError::Invalid { field, reason: "expected one of 0-9 * # A-D" }),
    }
}
