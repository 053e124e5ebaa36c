//! STUN messages (RFC 8489) as far as connectivity checks use them.

use std::net::{IpAddr, SocketAddr};

use aws_lc_rs::hmac;
use thiserror::Error;

/// What a message is (RFC 8489, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Wants an answer.
    Request,
    /// Wants none: a keep-alive.
    Indication,
    /// An answer.
    Success,
    /// An answer that refuses.
    Error,
}

/// Why bytes are no message that could be dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StunError {
    /// Cut, or lengths that do not agree.
    #[error("not a STUN message")]
    Malformed,
    /// Another method than Binding.
    #[error("a STUN method that ICE does not use")]
    Method,
}

/// A message that was received. Its attributes are those before its integrity (RFC 8489, section 14.5).
#[derive(Debug, Clone, Copy)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    /// Where MESSAGE-INTEGRITY and FINGERPRINT stand.
    integrity: Option<usize>,
    fingerprint: Option<usize>,
}

/// An attribute's number (RFC 8489, section 18.3; RFC 8445, section 20.1).
pub mod attribute {
    /// USERNAME.
    pub const USERNAME: u16 = 0x0006;
    /// MESSAGE-INTEGRITY.
    pub const MESSAGE_INTEGRITY: u16 = 0x0008;
    /// ERROR-CODE.
    pub const ERROR_CODE: u16 = 0x0009;
    /// UNKNOWN-ATTRIBUTES.
    pub const UNKNOWN_ATTRIBUTES: u16 = 0x000A;
    /// XOR-MAPPED-ADDRESS.
    pub const XOR_MAPPED_ADDRESS: u16 = 0x0020;
    /// PRIORITY.
    pub const PRIORITY: u16 = 0x0024;
    /// USE-CANDIDATE.
    pub const USE_CANDIDATE: u16 = 0x0025;
    /// FINGERPRINT.
    pub const FINGERPRINT: u16 = 0x8028;
    /// ICE-CONTROLLED.
    pub const ICE_CONTROLLED: u16 = 0x8029;
    /// ICE-CONTROLLING.
    pub const ICE_CONTROLLING: u16 = 0x802A;
}

impl<'a> Message<'a> {
    /// Reads a message.
    ///
    /// # Errors
    /// When it is not one, or not a Binding.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, StunError> {
        let head = bytes.first_chunk::<HEADER_LEN>().ok_or(StunError::Malformed)?;
        let kind = u16::from_be_bytes([head[0], head[1]]);
        let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
        let agrees = bytes.len() == HEADER_LEN + length && length.is_multiple_of(4) && head[4..8] == COOKIE;
        if !agrees || kind & 0xC000 != 0 {
            return Err(StunError::Malformed);
        }
        let class = match kind & 0x0110 {
            0x0000 => Class::Request,
            0x0010 => Class::Indication,
            0x0100 => Class::Success,
            _ => Class::Error,
        };
        if kind & !0x0110 != BINDING {
            return Err(StunError::Method);
        }
        let mut message = Self { bytes, class, integrity: None, fingerprint: None };
        message.find_proofs()?;
        Ok(message)
    }

    fn find_proofs(&mut self) -> Result<(), StunError> {
        let mut at = HEADER_LEN;
        while at < self.bytes.len() {
            let (kind, value) = attribute_at(self.bytes, at).ok_or(StunError::Malformed)?;
            match kind {
                attribute::MESSAGE_INTEGRITY if value.len() != TAG_LEN => return Err(StunError::Malformed),
                attribute::MESSAGE_INTEGRITY => self.integrity = self.integrity.or(Some(at)),
                attribute::FINGERPRINT if value.len() != 4 => return Err(StunError::Malformed),
                attribute::FINGERPRINT => self.fingerprint = Some(at),
                _ => {}
            }
            at += 4 + value.len().next_multiple_of(4);
        }
        // It is the last one, always (RFC 8489, section 14.7).
        let is_last = |at: usize| at + 8 == self.bytes.len();
        if self.fingerprint.is_none_or(is_last) { Ok(()) } else { Err(StunError::Malformed) }
    }

    /// What it is.
    pub fn class(&self) -> Class {
        self.class
    }

    /// Its transaction.
    pub fn transaction(&self) -> [u8; 12] {
        let mut transaction = [0; 12];
        transaction.copy_from_slice(&self.bytes[8..HEADER_LEN]);
        transaction
    }

    /// The value of an attribute that its integrity covers; none when it has none.
    pub fn value(&self, kind: u16) -> Option<&'a [u8]> {
        self.attributes().find(|(other, _)| *other == kind).map(|(_, value)| value)
    }

    /// Attributes that must be understood and are not (RFC 8489, section 14), at most eight.
    pub fn not_understood(&self) -> Vec<u16> {
        let known = |kind: &u16| {
            use attribute::{MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE, USERNAME};
            [USERNAME, MESSAGE_INTEGRITY, PRIORITY, USE_CANDIDATE].contains(kind)
        };
        let required = self.attributes().map(|(kind, _)| kind).filter(|kind| *kind < 0x8000);
        required.filter(|kind| !known(kind)).take(UNKNOWN_MAX).collect()
    }

    /// The attributes before its integrity, or before its fingerprint where it has none.
    fn attributes(&self) -> impl Iterator<Item = (u16, &'a [u8])> + use<'a> {
        let bytes = self.bytes;
        let end = self.integrity.or(self.fingerprint).unwrap_or(bytes.len());
        let mut at = HEADER_LEN;
        std::iter::from_fn(move || {
            let (kind, value) = if at < end { attribute_at(bytes, at)? } else { return None };
            at += 4 + value.len().next_multiple_of(4);
            Some((kind, value))
        })
    }

    /// Whether it was made by someone who knows the password (RFC 8489, section 14.5, short-term credentials).
    pub fn is_authentic(&self, password: &[u8]) -> bool {
        let Some(at) = self.integrity else { return false };
        let mut covered = self.bytes[..at].to_vec();
        set_length(&mut covered, at + 4 + TAG_LEN);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
        hmac::verify(&key, &covered, &self.bytes[at + 4..at + 4 + TAG_LEN]).is_ok()
    }

    /// Whether its fingerprint is right; false also without one (RFC 8489, section 14.7).
    pub fn has_fingerprint(&self) -> bool {
        let Some(at) = self.fingerprint else { return false };
        let told = attribute_at(self.bytes, at).map(|(_, value)| value);
        told == Some(&fingerprint(&self.bytes[..at])[..])
    }
}

/// A message under construction.
#[derive(Debug)]
pub struct Builder(Vec<u8>);

impl Builder {
    /// A Binding of a class, in a transaction.
    pub fn new(class: Class, transaction: [u8; 12]) -> Self {
        let class: u16 = match class {
            Class::Request => 0x0000,
            Class::Indication => 0x0010,
            Class::Success => 0x0100,
            Class::Error => 0x0110,
        };
        let mut bytes = Vec::with_capacity(128);
        bytes.extend((BINDING | class).to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(COOKIE);
        bytes.extend(transaction);
        Self(bytes)
    }

    /// Appends an attribute; padding is zero.
    #[must_use]
    pub fn attribute(mut self, kind: u16, value: &[u8]) -> Self {
        self.0.extend(kind.to_be_bytes());
        self.0.extend((value.len() as u16).to_be_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// Appends XOR-MAPPED-ADDRESS (RFC 8489, section 14.2).
    #[must_use]
    pub fn mapped(self, address: SocketAddr) -> Self {
        let mask: Vec<u8> = self.0[4..HEADER_LEN].to_vec();
        let mut value = vec![0, if address.is_ipv4() { 1 } else { 2 }];
        value.extend((address.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]])).to_be_bytes());
        let octets = match address.ip() {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        value.extend(octets.iter().zip(mask).map(|(octet, mask)| octet ^ mask));
        self.attribute(attribute::XOR_MAPPED_ADDRESS, &value)
    }

    /// Appends ERROR-CODE with its words (RFC 8489, section 14.8).
    #[must_use]
    pub fn error(self, code: u16, reason: &str) -> Self {
        let mut value = vec![0, 0, (code / 100) as u8, (code % 100) as u8];
        value.extend(reason.as_bytes());
        self.attribute(attribute::ERROR_CODE, &value)
    }

    /// Closes the message with MESSAGE-INTEGRITY and FINGERPRINT.
    pub fn seal(self, password: &[u8]) -> Vec<u8> {
        let mut bytes = self.0;
        let end = bytes.len() + 4 + TAG_LEN;
        set_length(&mut bytes, end);
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password);
        let tag = hmac::sign(&key, &bytes);
        let mut sealed = Self(bytes).attribute(attribute::MESSAGE_INTEGRITY, tag.as_ref()).0;
        let end = sealed.len() + 8;
        set_length(&mut sealed, end);
        let check = fingerprint(&sealed);
        Self(sealed).attribute(attribute::FINGERPRINT, &check).0
    }
}

/// Whether a packet that came where RTP comes is STUN, by its first byte (RFC 7983, section 7).
pub const fn is_stun(first: u8) -> bool {
    first <= 3
}

/// Whether it is DTLS.
pub const fn is_dtls(first: u8) -> bool {
    first >= 20 && first <= 63
}

fn attribute_at(bytes: &[u8], at: usize) -> Option<(u16, &[u8])> {
    let head = bytes.get(at..)?.first_chunk::<4>()?;
    let length = usize::from(u16::from_be_bytes([head[2], head[3]]));
    // Padded to words (RFC 8489, section 14), and what is padded is there.
    bytes.get(at + 4..at + 4 + length.next_multiple_of(4))?;
    Some((u16::from_be_bytes([head[0], head[1]]), &bytes[at + 4..at + 4 + length]))
}

/// Writes the length of a message that will have so many bytes.
fn set_length(message: &mut [u8], bytes: usize) {
    message[2..4].copy_from_slice(&((bytes - HEADER_LEN) as u16).to_be_bytes());
}

/// CRC-32 of ITU V.42, with the mask of RFC 8489, section 14.7. The header already has the length of the whole.
fn fingerprint(covered: &[u8]) -> [u8; 4] {
    let mut crc = u32::MAX;
    for byte in covered {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0xEDB8_8320 & (crc & 1).wrapping_neg());
        }
    }
    (!crc ^ 0x5354_554E).to_be_bytes()
}

/// Bytes before the first attribute.
pub const HEADER_LEN: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];
const BINDING: u16 = 0x0001;
const TAG_LEN: usize = 20;
const UNKNOWN_MAX: usize = 8;
