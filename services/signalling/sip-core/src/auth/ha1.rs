//! Digest hashes.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use md5::{Digest as _, Md5};

/// A digest algorithm (RFC 8760 section 2.1). The `-sess` forms are not offered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Offered first.
    Sha256,
    /// For phones that know it and nothing else that is safe.
    Sha512_256,
    /// For phones that know no other.
    Md5,
}

impl Algorithm {
    /// The token of the `algorithm` parameter.
    pub fn token(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of that name; names are compared without case (RFC 7616, section 3.3).
    pub fn from_token(token: &str) -> Option<Self> {
        let known = [Self::Sha256, Self::Sha512_256, Self::Md5];
        known.into_iter().find(|known| token.eq_ignore_ascii_case(known.token()))
    }

    /// The hash of `text` in lower-case hexadecimal.
    pub(super) fn hex(self, text: &str) -> String {
        match self {
            Self::Sha256 => to_hex(digest(&SHA256, text.as_bytes()).as_ref()),
            Self::Sha512_256 => to_hex(digest(&SHA512_256, text.as_bytes()).as_ref()),
            Self::Md5 => to_hex(&Md5::digest(text.as_bytes())),
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 | Self::Sha512_256 => 64,
            Self::Md5 => 32,
        }
    }
}

/// `H(user:realm:password)` (RFC 7616 section 3.4.2): as good as the password in its realm, so `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ha1(Box<str>);

/// A text that is no hash of the algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a hash of the algorithm in hexadecimal")]
pub struct HashError;

impl Ha1 {
    /// Takes a stored hash in hexadecimal.
    ///
    /// # Errors
    /// When it is not as long as the algorithm's hashes, or not hexadecimal.
    pub fn from_hex(algorithm: Algorithm, hex: &str) -> Result<Self, HashError> {
        let right = hex.len() == algorithm.hex_len() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
        if right { Ok(Self(hex.to_ascii_lowercase().into())) } else { Err(HashError) }
    }

    /// The hash in lower-case hexadecimal, to be stored.
    pub fn as_hex(&self) -> &str {
        &self.0
    }

    /// Stands in for a user who does not exist, so that asking about one takes as long.
    pub(super) fn nobody(algorithm: Algorithm) -> Self {
        Self("0".repeat(algorithm.hex_len()).into())
    }
}

impl fmt::Debug for Ha1 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ha1(..)")
    }
}

/// The hash to be stored for a user.
pub fn ha1(algorithm: Algorithm, user: &str, realm: &str, password: &str) -> Ha1 {
    Ha1(algorithm.hex(&format!("{user}:{realm}:{password}")).into())
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
