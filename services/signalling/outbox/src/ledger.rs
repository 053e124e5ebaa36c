//! How the outbox is written into the store.

use bytes::Bytes;
use prost::Message;
use sidetone_model::ids::{ShardId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_outbox_core::{Address, DeadLetter, DeadReason, LaneKey, Parcel, ParcelId};

pub(crate) const LANES: &str = "outbox/lanes/";
const DEAD: &str = "outbox/dead/";

pub(crate) fn cursor(shard: ShardId) -> String {
    format!("outbox/cursor/{shard}")
}

pub(crate) fn lane(lane: &LaneKey) -> String {
    format!("{LANES}{}/{}", lane.tenant, lane.receiver)
}

pub(crate) fn stream(lane: &LaneKey) -> String {
    format!("outbox/spill/{}/{}", lane.tenant, lane.receiver)
}

/// The dead letters of a tenant, or of one of its receivers.
pub(crate) fn dead_letters(tenant: &TenantId, receiver: &str) -> String {
    if receiver.is_empty() { format!("{DEAD}{tenant}/") } else { format!("{DEAD}{tenant}/{receiver}/") }
}

/// Sorted as the log is.
pub(crate) fn dead_letter(lane: &LaneKey, id: ParcelId) -> String {
    let ParcelId { entry, place, index } = id;
    format!("{DEAD}{}/{}/{entry:020}.{place:010}.{index:010}", lane.tenant, lane.receiver)
}

/// Where a dead letter stands among those of its tenant, as text for who pages through them.
pub(crate) fn place_of(dead: &DeadLetter) -> String {
    format!("{}/{}", dead.lane.receiver, dead.parcel.id)
}

/// The key of the dead letter at a place; none for what is no place.
pub(crate) fn key_of_place(tenant: &TenantId, place: &str) -> Option<String> {
    let (receiver, id) = place.split_once('/')?;
    let receiver = TenantId::new(receiver).ok()?;
    let lane = LaneKey { tenant: tenant.clone(), receiver: receiver.as_str().into() };
    Some(dead_letter(&lane, id.parse().ok()?))
}

/// The lane behind a key of [`LANES`].
pub(crate) fn lane_of(key: &str) -> Option<LaneKey> {
    let (tenant, receiver) = key.strip_prefix(LANES)?.split_once('/')?;
    Some(LaneKey { tenant: TenantId::new(tenant).ok()?, receiver: receiver.into() })
}

#[derive(Clone, PartialEq, Message)]
struct StoredParcel {
    #[prost(uint64, tag = "1")]
    entry: u64,
    #[prost(uint32, tag = "2")]
    place: u32,
    #[prost(uint32, tag = "3")]
    index: u32,
    #[prost(uint64, tag = "4")]
    at_unix_ms: u64,
    #[prost(string, tag = "5")]
    order: String,
    #[prost(bytes = "bytes", tag = "6")]
    body: Bytes,
    /// Empty for where the receiver is told of everything.
    #[prost(string, tag = "7")]
    to_url: String,
    #[prost(bool, tag = "8")]
    to_get: bool,
}

#[derive(Clone, PartialEq, Message)]
struct StoredRecord {
    #[prost(message, repeated, tag = "1")]
    parcels: Vec<StoredParcel>,
}

#[derive(Clone, PartialEq, Message)]
struct StoredDead {
    #[prost(message, optional, tag = "1")]
    parcel: Option<StoredParcel>,
    #[prost(string, tag = "2")]
    reason: String,
    #[prost(uint32, tag = "3")]
    attempts: u32,
    #[prost(uint64, tag = "4")]
    at_unix_ms: u64,
    #[prost(string, tag = "5")]
    tenant: String,
    #[prost(string, tag = "6")]
    receiver: String,
}

fn to_stored(parcel: &Parcel) -> StoredParcel {
    StoredParcel {
        entry: parcel.id.entry,
        place: parcel.id.place,
        index: parcel.id.index,
        at_unix_ms: parcel.at.as_millis(),
        order: parcel.order.to_string(),
        body: parcel.body.clone(),
        to_url: parcel.to.as_ref().map(|to| to.url.to_string()).unwrap_or_default(),
        to_get: parcel.to.as_ref().is_some_and(|to| to.get),
    }
}

fn of_stored(stored: StoredParcel) -> Parcel {
    Parcel {
        id: ParcelId { entry: stored.entry, place: stored.place, index: stored.index },
        at: Timestamp::from_millis(stored.at_unix_ms),
        order: stored.order.into(),
        body: stored.body,
        to: (!stored.to_url.is_empty()).then(|| Address { url: stored.to_url.into(), get: stored.to_get }),
    }
}

pub(crate) fn encode_record(parcels: &[Parcel]) -> Bytes {
    StoredRecord { parcels: parcels.iter().map(to_stored).collect() }.encode_to_vec().into()
}

pub(crate) fn decode_record(bytes: Bytes) -> Option<Vec<Parcel>> {
    let record = StoredRecord::decode(bytes).ok()?;
    Some(record.parcels.into_iter().map(of_stored).collect())
}

pub(crate) fn encode_dead(dead: &DeadLetter) -> Bytes {
    StoredDead {
        parcel: Some(to_stored(&dead.parcel)),
        reason: dead.reason.name().to_owned(),
        attempts: dead.attempts,
        at_unix_ms: dead.at.as_millis(),
        tenant: dead.lane.tenant.to_string(),
        receiver: dead.lane.receiver.to_string(),
    }
    .encode_to_vec()
    .into()
}

pub(crate) fn decode_dead(bytes: Bytes) -> Option<DeadLetter> {
    let stored = StoredDead::decode(bytes).ok()?;
    Some(DeadLetter {
        lane: LaneKey { tenant: TenantId::new(&stored.tenant).ok()?, receiver: stored.receiver.into() },
        parcel: of_stored(stored.parcel?),
        reason: DeadReason::from_name(&stored.reason)?,
        attempts: stored.attempts,
        at: Timestamp::from_millis(stored.at_unix_ms),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_and_keys_sort_as_the_log() {
        let lane = LaneKey { tenant: TenantId::new("demo").unwrap(), receiver: "app".into() };
        let parcel = Parcel {
            id: ParcelId { entry: 9, place: 1, index: 0 },
            at: Timestamp::from_millis(5),
            order: "call".into(),
            body: Bytes::from_static(b"{}"),
            to: None,
        };
        let to = Some(Address { url: "https://app.example/done".into(), get: true });
        let parcels = vec![parcel.clone(), Parcel { to, ..parcel.clone() }];
        assert_eq!(decode_record(encode_record(&parcels)), Some(parcels));
        let reason = DeadReason::Age;
        let dead =
            DeadLetter { lane: lane.clone(), parcel, reason, attempts: 3, at: Timestamp::from_millis(8) };
        assert_eq!(decode_dead(encode_dead(&dead)), Some(dead));
        let later = ParcelId { entry: 10, place: 0, index: 0 };
        assert!(dead_letter(&lane, ParcelId { entry: 9, place: 1, index: 0 }) < dead_letter(&lane, later));
        assert_eq!(lane_of(&super::lane(&lane)), Some(lane));
    }
}
