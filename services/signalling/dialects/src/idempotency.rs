//! The keys under which commands are carried out once.
//!
//! What a client sends as `Idempotency-Key` is unique for that client and no further: who it is goes into the key of the
//! command, so that two applications of a tenant that count their requests alike are not answered for each other.

use aws_lc_rs::digest::{SHA256, digest};
use http::HeaderMap;

/// The header with the client's key is there, and is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadKey;

impl BadKey {
    pub(crate) const FIELD: &'static str = "Idempotency-Key";
    pub(crate) const PROBLEM: &'static str = "expected 1 to 96 visible characters";
}

/// The client's own key, as it wrote it; none when it gave none.
pub(crate) fn own_key(headers: &HeaderMap) -> Result<Option<&str>, BadKey> {
    let Some(given) = headers.get("idempotency-key") else { return Ok(None) };
    let key = given.to_str().map_err(|_| BadKey)?;
    let fits = (1..=OWN_BYTES_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic());
    if fits { Ok(Some(key)) } else { Err(BadKey) }
}

/// The key of a command: the dialect, and a digest of who asks and of the client's key. 68 bytes and a few, so that what tells
/// several commands of one request apart has room behind it.
pub(crate) fn scoped(dialect: &str, parts: &[&str]) -> Box<str> {
    let hash = digest(&SHA256, parts.join("\n").as_bytes());
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{dialect}-{hex}").into()
}

const OWN_BYTES_MAX: usize = 96;
