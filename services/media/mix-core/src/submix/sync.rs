//! The atomics of a lane. Its model check has others in their place.

pub(super) use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
