//! A subscription as a value that outlives its process: as with legs, numbers that must only grow are restored with a leap.

use std::time::{Duration, Instant};

use sidetone_model::party::Flow;
use sidetone_model::time::Timestamp;
use sidetone_proto::types::v1 as types;

use super::{Package, Subscription};
use crate::dialog::DialogState;
use crate::uri::{NameAddr, SipUri};

/// A subscription. It holds addresses and numbers of people: not for logs.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct StoredSubscription {
    #[prost(message, optional, tag = "1")]
    flow: Option<types::Flow>,
    #[prost(string, tag = "2")]
    package: String,
    #[prost(string, tag = "3")]
    event: String,
    #[prost(uint64, tag = "4")]
    expires_unix_ms: u64,
    #[prost(uint32, tag = "5")]
    version: u32,
    #[prost(string, tag = "6")]
    call_id: String,
    #[prost(string, tag = "7")]
    local: String,
    #[prost(string, tag = "8")]
    remote: String,
    #[prost(uint32, tag = "9")]
    local_cseq: u32,
    #[prost(uint32, optional, tag = "10")]
    remote_cseq: Option<u32>,
    #[prost(string, tag = "11")]
    remote_target: String,
    #[prost(string, repeated, tag = "12")]
    route_set: Vec<String>,
    #[prost(string, tag = "13")]
    local_contact: String,
    #[prost(string, tag = "14")]
    via: String,
    #[prost(uint32, tag = "15")]
    branches: u32,
}

impl std::fmt::Debug for StoredSubscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("StoredSubscription(..)")
    }
}

impl StoredSubscription {
    /// Until when it holds.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires_unix_ms)
    }
}

impl Subscription {
    /// The subscription as it is to be stored. `now` and `wall` are the same moment.
    pub fn export(&self, now: Instant, wall: Timestamp) -> StoredSubscription {
        let dialog = &self.dialog;
        let left = self.expires_at.saturating_duration_since(now);
        StoredSubscription {
            flow: Some((&self.flow).into()),
            package: self.package.token().to_owned(),
            event: self.event.to_string(),
            expires_unix_ms: wall.as_millis() + left.as_millis() as u64,
            version: self.version,
            call_id: dialog.call_id.to_string(),
            local: dialog.local.to_string(),
            remote: dialog.remote.to_string(),
            local_cseq: dialog.local_cseq,
            remote_cseq: dialog.remote_cseq,
            remote_target: dialog.remote_target.to_string(),
            route_set: dialog.route_set.iter().map(ToString::to_string).collect(),
            local_contact: dialog.local_contact.to_string(),
            via: dialog.via.to_string(),
            branches: dialog.branches,
        }
    }

    /// Takes a subscription up again; none when its time was up meanwhile, or the record cannot be understood.
    pub fn restore(stored: StoredSubscription, product: &str, now: Instant, wall: Timestamp) -> Option<Self> {
        let left = stored.expires_unix_ms.checked_sub(wall.as_millis()).filter(|left| *left > 0)?;
        let address = |text: &str| NameAddr::parse(text).ok();
        let leap = leap(left);
        let dialog = DialogState {
            call_id: stored.call_id.into(),
            local: address(&stored.local)?,
            remote: address(&stored.remote)?,
            local_cseq: stored.local_cseq.checked_add(leap)?,
            remote_cseq: stored.remote_cseq,
            remote_target: SipUri::parse(&stored.remote_target).ok()?,
            route_set: stored.route_set.iter().map(|route| address(route)).collect::<Option<_>>()?,
            local_contact: stored.local_contact.into(),
            via: stored.via.into(),
            branches: stored.branches.checked_add(leap)?,
        };
        let package = Package::ALL.into_iter().find(|package| package.token() == stored.package)?;
        let flow = Flow::try_from(stored.flow?).ok()?;
        let mut restored = Self::begun(dialog, flow, package, (now + Duration::from_millis(left), now));
        (restored.event, restored.product) = (stored.event.into(), product.into());
        restored.version = stored.version.checked_add(leap)?;
        Some(restored)
    }
}

/// More than the NOTIFYs that can have been sent since the record was written, of all the lives in which it was read meanwhile: a
/// record is read again as it is until a refresh writes it anew, so that each life must begin above the one before. The less time is
/// left (in milliseconds), the later it is read.
fn leap(left_ms: u64) -> u32 {
    let read_late = u32::try_from(left_ms / LEAP_STEP_MS).unwrap_or(u32::MAX);
    LEAP.saturating_sub(read_late)
}

/// What is added when the time is up: above all that the longest subscription, of a day, can send.
const LEAP: u32 = 1_000_000;
/// One more for each of these that have passed: below the pause between two NOTIFYs.
const LEAP_STEP_MS: u64 = 100;
