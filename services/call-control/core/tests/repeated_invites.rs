//! An INVITE that comes to two signalling replicas makes one call (decision 80).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use std::time::Duration;

use kit::{Office, ended, media};
use sidetone_model::ids::{LegId, ReplicaId};
use sidetone_model::signal::{InviteId, LegSignalKind, Offered};
use sidetone_model::termination::Cause;

/// A replica hears an INVITE of the caller to Bob.
fn invited(office: &mut Office, replica: &str, call_id: &str, cseq: u32, branch: &str) -> LegId {
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let invite = InviteId { from_tag: "caller".into(), cseq, transaction: branch.into() };
    let offered = Offered { sip_call_id: call_id.into(), invite, ..*offered };
    let (leg, routing) = (office.ids.make(office.now), office.registered("bob", &["desk"]));
    let own = std::mem::replace(&mut office.replica, ReplicaId::new(replica).unwrap());
    office.routed_signal(leg, LegSignalKind::Offered(Box::new(offered)), Some(routing));
    office.replica = own;
    office.serve();
    leg
}

fn is_call(office: &Office, leg: LegId) -> bool {
    office.shard.fold().leg(leg).is_some()
}

#[test]
fn an_invite_that_is_sent_again_to_another_replica_is_answered_by_the_first() {
    let mut office = Office::new();
    let first = invited(&mut office, "s1", "c", 1, "192.0.2.7 z9hG4bK1");
    let again = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK1");
    assert!(is_call(&office, first) && !is_call(&office, again));
    let at = ReplicaId::new("s1").unwrap();
    assert_eq!(office.repeated, [(again, Some(at.clone()))]);
    assert_eq!(office.acknowledged.get(&again), Some(&1), "its replica need not tell it again");
    assert_eq!(office.legs_of("bob").len(), 1, "the phone rings once");
    // Its end, should its replica tell of it, is nobody's.
    office.signal(again, ended(Cause::ProtocolError, 482));
    assert!(office.released.is_empty());
    // Also when the call is over, as long as its final response may have been lost.
    let bob = office.legs_of("bob")[0];
    office.signal(bob, ended(Cause::Busy, 486));
    office.signal(first, ended(Cause::Busy, 486));
    office.now = office.now + Duration::from_secs(31);
    let late = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK1");
    assert_eq!(office.repeated.last(), Some(&(late, Some(at))));
    office.now = office.now + Duration::from_secs(2);
    let anew = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK1");
    assert!(is_call(&office, anew), "nobody knows that transaction any more");
    assert_eq!(office.invites_repeated, ["handed_over"; 2]);
}

#[test]
fn an_invite_that_comes_by_two_ways_is_merged_while_its_call_lives() {
    let mut office = Office::new();
    let first = invited(&mut office, "s1", "c", 1, "192.0.2.7 z9hG4bK1");
    let other_way = invited(&mut office, "s2", "c", 1, "192.0.2.8 z9hG4bK2");
    assert_eq!(office.repeated, [(other_way, None)]);
    assert_eq!(office.invites_repeated, ["merged"]);
    // Another request of the same phone, and another phone's, are calls of their own.
    assert!(["c", "d"].iter().zip([2, 1]).all(|(call_id, cseq)| {
        let own = invited(&mut office, "s2", call_id, cseq, "192.0.2.7 z9hG4bK3");
        is_call(&office, own)
    }));
    // Whoever was refused tries the next address with another branch (RFC 3263, section 4.3).
    office.signal(first, ended(Cause::NoCapacity, 503));
    let next = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK4");
    assert!(is_call(&office, next));
}

#[test]
fn what_a_lost_replica_had_begun_is_begun_again_elsewhere() {
    let mut office = Office::new();
    invited(&mut office, "s1", "c", 1, "192.0.2.7 z9hG4bK1");
    office.shard.handle_replica_gone(&ReplicaId::new("s1").unwrap(), office.now);
    let elsewhere = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK1");
    assert!(is_call(&office, elsewhere));
    // And a replica that was restarted knows nothing of what it had.
    let restarted = invited(&mut office, "s2", "c", 1, "192.0.2.7 z9hG4bK1");
    assert!(is_call(&office, restarted));
    assert!(office.repeated.is_empty());
}

#[test]
fn what_is_known_of_calls_that_are_over_is_bounded() {
    const MANY: usize = 16_384;
    let mut office = Office::new();
    for n in 0..MANY + 2 {
        let leg = invited(&mut office, "s1", &format!("c{n}"), 1, "192.0.2.7 z9hG4bK1");
        let bob = office.legs_of("bob")[0];
        office.signal(leg, ended(Cause::Cancelled, 487));
        office.signal(bob, ended(Cause::Cancelled, 487));
    }
    let first = invited(&mut office, "s2", "c0", 1, "192.0.2.7 z9hG4bK1");
    assert!(is_call(&office, first), "it had to make room");
    let last = invited(&mut office, "s2", &format!("c{MANY}"), 1, "192.0.2.7 z9hG4bK1");
    assert!(!is_call(&office, last));
    assert!(office.invites_repeated.contains(&"made_room"));
}
