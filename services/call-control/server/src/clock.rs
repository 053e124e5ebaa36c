//! The one place that reads the wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use sidetone_model::time::Timestamp;

/// Now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_millis(since.as_millis() as u64)
}
