//! Passwords and tokens: only what is left of them is ever kept.

use std::fmt;

use aws_lc_rs::digest::{SHA256, SHA512_256, digest};
use md5::{Digest as _, Md5};
use sidetone_model::ids::{DeviceId, UserId};

/// A digest algorithm for which a credential is kept (RFC 7616, section 6.1; RFC 8760).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// SHA-256.
    Sha256,
    /// SHA-512-256, which few phones know.
    Sha512_256,
    /// MD5, which most phones still ask for.
    Md5,
}

impl Algorithm {
    /// Every one that is known, best first.
    pub const ALL: [Self; 3] = [Self::Sha256, Self::Sha512_256, Self::Md5];

    /// The token of the `algorithm` parameter.
    pub fn token(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Sha512_256 => "SHA-512-256",
            Self::Md5 => "MD5",
        }
    }

    /// The algorithm of a token, compared without case.
    pub fn from_token(token: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|a| a.token().eq_ignore_ascii_case(token))
    }

    /// H(username ":" realm ":" password) in lower-case hexadecimal (RFC 7616, section 3.4.2).
    pub(crate) fn ha1(self, username: &str, realm: &str, password: &str) -> String {
        let text = format!("{username}:{realm}:{password}");
        match self {
            Self::Sha256 => sha256_hex(text.as_bytes()),
            Self::Sha512_256 => hex(digest(&SHA512_256, text.as_bytes()).as_ref()),
            Self::Md5 => hex(&Md5::digest(text.as_bytes())),
        }
    }
}

/// Who a digest user name belongs to, and the hashes by which it is proved.
#[derive(Clone, PartialEq, Eq)]
pub struct Credential {
    /// The user.
    pub user: UserId,
    /// The device.
    pub device: DeviceId,
    /// HA1 in lower-case hexadecimal for each algorithm, best first. The realm is the tenant's name.
    pub ha1: Vec<(Algorithm, String)>,
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let algorithms: Vec<_> = self.ha1.iter().map(|(algorithm, _)| algorithm.token()).collect();
        f.debug_struct("Credential")
            .field("user", &self.user)
            .field("device", &self.device)
            .field("ha1", &algorithms)
            .finish()
    }
}

/// A password on its way to being hashed. Never shown.
#[derive(Clone, PartialEq, Eq, serde::Deserialize)]
#[serde(transparent)]
pub struct Password(String);

impl Password {
    /// Takes a password.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for whoever checks or makes a signature.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(..)")
    }
}

/// A new secret: 256 random bits behind a prefix by which scanners recognise it.
pub(crate) fn new_token_secret() -> Option<String> {
    Some(format!("sidetone_{}", hex(&random::<32>()?)))
}

/// A new name for a token: 64 random bits.
pub(crate) fn new_token_id() -> Option<String> {
    Some(hex(&random::<8>()?))
}

pub(crate) fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).ok()?;
    Some(bytes)
}

pub(crate) fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest(&SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ha1_is_that_of_the_rfc() {
        // The names and password of RFC 7616, section 3.9.1; the hashes by `openssl dgst`.
        let of = |a: Algorithm| a.ha1("Mufasa", "http-auth@example.org", "Circle of Life");
        assert_eq!(of(Algorithm::Md5), "3d78807defe7de2157e2b0b6573a855f");
        assert_eq!(of(Algorithm::Sha256), "7987c64c30e25f1b74be53f966b49b90f2808aa92faf9a00262392d7b4794232");
        assert_eq!(
            of(Algorithm::Sha512_256),
            "fb174f5c3c7802721517cae13b98e2b8dae2e0118cb705d94ee29946319204ce"
        );
    }
}
