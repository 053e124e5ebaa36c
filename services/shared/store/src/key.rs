//! What a key, a prefix and a value may look like. Every backend checks with these before it does anything.

use crate::contract::{Append, KEY_BYTES_MAX, VALUE_BYTES_MAX};
use crate::error::StoreError;

/// The longest idempotency key of an append, in bytes.
pub const IDEMPOTENCY_KEY_BYTES_MAX: usize = 128;

/// Checks a key or the name of a stream.
pub fn check_key(key: &str) -> Result<(), StoreError> {
    if key.is_empty() {
        return Err(StoreError::BadKey { reason: "it is empty" });
    }
    check_prefix(key)
}

/// Checks a prefix of keys, which may be empty.
pub fn check_prefix(prefix: &str) -> Result<(), StoreError> {
    let reason = if prefix.len() > KEY_BYTES_MAX {
        "it is longer than 512 bytes"
    } else if !prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b"._+-/=@:".contains(&b)) {
        "only letters, digits and . _ + - / = @ : are allowed"
    } else {
        return Ok(());
    };
    Err(StoreError::BadKey { reason })
}

/// Checks the size of a value or record.
pub fn check_value(value: &[u8]) -> Result<(), StoreError> {
    if value.len() > VALUE_BYTES_MAX {
        return Err(StoreError::TooLarge { bytes: value.len(), max: VALUE_BYTES_MAX });
    }
    Ok(())
}

/// Checks everything about an append that can be told without the stream.
pub fn check_append(append: &Append) -> Result<(), StoreError> {
    check_key(&append.stream)?;
    let reason = if append.idempotency_key.is_empty() {
        "the idempotency key is empty"
    } else if append.idempotency_key.len() > IDEMPOTENCY_KEY_BYTES_MAX {
        "the idempotency key is longer than 128 bytes"
    } else {
        return check_value(&append.record);
    };
    Err(StoreError::BadKey { reason })
}
