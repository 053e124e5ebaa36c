//! Digest authentication as a server (RFC 7616, RFC 8760 for SIP): SHA-256 first, SHA-512-256, MD5 for phones that know no other.
//!
//! A nonce is a moment and random bytes under a keyed hash, so that any replica with the key can check one that
//! another made. Nonce counts are remembered in a bounded table; what falls out of it makes all older nonces stale,
//! so that forgetting never lets a replay through.

mod client;
mod credentials;
mod ha1;
mod nonce;
mod purpose;

use std::time::Duration;

use aws_lc_rs::constant_time;
use sidetone_model::time::Timestamp;

use crate::tokens::Tokens;
use nonce::{NonceTable, Nonces};

pub use client::Challenge;
pub use credentials::Credentials;
pub use ha1::{Algorithm, Ha1, HashError, ha1};
pub use purpose::Purpose;

/// How nonces live.
#[derive(Debug, Clone)]
pub struct AuthConfig {
    /// How long a nonce is good; then the phone is told `stale` and tries again without asking its user.
    pub nonce_lifetime: Duration,
    /// For how many nonces the counts are remembered.
    pub nonces_max: usize,
    /// What is offered, best first (RFC 8760, section 2.4). Phones take the first they know; some old ones
    /// give up when any of them is one that they do not.
    pub algorithms: Vec<Algorithm>,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            nonce_lifetime: Duration::from_secs(300),
            nonces_max: 65_536,
            algorithms: vec![Algorithm::Sha256, Algorithm::Md5],
        }
    }
}

/// The hashes that the directory holds for a user, one per algorithm.
#[derive(Debug, Clone, Default)]
pub struct StoredHashes {
    /// For SHA-256.
    pub sha256: Option<Ha1>,
    /// For SHA-512-256.
    pub sha512_256: Option<Ha1>,
    /// For MD5.
    pub md5: Option<Ha1>,
}

/// What credentials are worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They prove who asks.
    Ok,
    /// Right, but the nonce is too old, unknown, or its count was used: challenge again with `stale=true`.
    Stale,
    /// The password, the user or the realm is wrong: challenge again or refuse.
    Wrong,
    /// No credentials in the sense of RFC 7616, or made for another request: 400.
    Malformed,
}

impl Verdict {
    /// The verdict as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Stale => "stale",
            Self::Wrong => "wrong",
            Self::Malformed => "malformed",
        }
    }
}

/// Makes challenges and checks what answers them.
#[derive(Debug)]
pub struct Authenticator {
    nonces: Nonces,
    table: NonceTable,
    algorithms: Vec<Algorithm>,
}

impl Authenticator {
    /// `secret` is shared by all replicas whose challenges are to be good at each other.
    pub fn new(config: AuthConfig, secret: &[u8; 32]) -> Self {
        Self {
            nonces: Nonces::new(secret, config.nonce_lifetime),
            table: NonceTable::new(config.nonces_max),
            algorithms: config.algorithms,
        }
    }

    /// The values of one `WWW-Authenticate` (or `Proxy-Authenticate`) header each, in order of preference
    /// (RFC 8760 section 2.4).
    pub fn challenge(&self, realm: &str, stale: bool, tokens: &mut Tokens, now: Timestamp) -> Vec<String> {
        let nonce = self.nonces.make(realm, tokens, now);
        let realm = realm.replace(['"', '\\'], "");
        let stale = if stale { ", stale=true" } else { "" };
        let challenge = |algorithm: &Algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", algorithm={}, qop=\"auth\"{stale}",
                algorithm.token()
            )
        };
        self.algorithms.iter().map(challenge).collect()
    }

    /// Judges credentials for a request. `stored` is what the directory holds for their user in `realm`; none when there is no
    /// such user, which takes as long and is answered alike.
    pub fn verify(
        &mut self,
        purpose: &Purpose,
        realm: &str,
        credentials: &Credentials,
        stored: Option<&StoredHashes>,
        now: Timestamp,
    ) -> Verdict {
        let offered = self.algorithms.contains(&credentials.algorithm());
        if credentials.realm() != realm || !offered {
            return Verdict::Wrong;
        }
        if !purpose.is_of(&credentials.uri) {
            return Verdict::Malformed;
        }
        let algorithm = credentials.algorithm();
        let nobody = Ha1::nobody(algorithm);
        let held = stored.and_then(|stored| match algorithm {
            Algorithm::Sha256 => stored.sha256.as_ref(),
            Algorithm::Sha512_256 => stored.sha512_256.as_ref(),
            Algorithm::Md5 => stored.md5.as_ref(),
        });
        let expected = credentials.expected_response(held.unwrap_or(&nobody), purpose.method());
        let equal = constant_time::verify_slices_are_equal(
            expected.as_bytes(),
            credentials.response.to_ascii_lowercase().as_bytes(),
        )
        .is_ok();
        // The nonce is judged last: `stale` is said only to who knows the password (RFC 7616 section 3.3).
        if !equal || held.is_none() {
            return Verdict::Wrong;
        }
        let Some(made_at) = self.nonces.check(&credentials.nonce, realm, now) else { return Verdict::Stale };
        if self.table.take(&credentials.nonce, made_at, credentials.nonce_count, self.nonces.oldest(now)) {
            Verdict::Ok
        } else {
            Verdict::Stale
        }
    }
}
