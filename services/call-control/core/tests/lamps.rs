//! What others may see of a user's calls beside a key of their phones (RFC 4235), out of the facts.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended, media};
use sidetone_model::command::CallCommandKind;
use sidetone_model::ids::UserId;
use sidetone_model::signal::{LegSignalKind, Offered};
use sidetone_model::termination::Cause;
use sidetone_model::watch::{DialogPhase, UserDialog};

fn dialogs(office: &Office, user: &str) -> Vec<UserDialog> {
    office.shard.fold().dialogs_of(&office.tenant, &user.parse::<UserId>().unwrap())
}

/// Direction, state and the other side's number of each.
fn seen(office: &Office, user: &str) -> Vec<(bool, DialogPhase, Option<String>)> {
    let all = dialogs(office, user).into_iter();
    all.map(|it| (it.initiator, it.phase, it.remote.map(|remote| remote.number.to_string()))).collect()
}

#[test]
fn a_call_is_seen_from_both_ends_from_the_first_ring_to_the_end() {
    use DialogPhase::{Confirmed, Early, Trying};
    let mut office = Office::new();
    let to_bob = office.registered("bob", &["desk", "mobile"]);
    let alice = office.dial("alice", "desk", to_bob);
    let bob = office.legs_of("bob")[0];
    let callee = office.shard.fold().call(office.leg(alice).call).unwrap().dialled.to_string();
    let caller = office.leg(alice).party.number.to_string();
    assert_eq!(seen(&office, "alice"), [(true, Trying, Some(callee.clone()))]);
    assert_eq!(seen(&office, "bob"), [], "nobody hears it ringing yet");
    office.rings(bob);
    assert_eq!(seen(&office, "alice"), [(true, Early, Some(callee.clone()))]);
    assert_eq!(seen(&office, "bob"), [(false, Early, Some(caller.clone()))]);
    assert_eq!(dialogs(&office, "bob")[0].leg, bob);
    office.answers(bob);
    office.signal(alice, LegSignalKind::Confirmed { media: None });
    assert_eq!(seen(&office, "bob"), [(false, Confirmed, Some(caller))]);
    assert_eq!(seen(&office, "alice").len(), 1);
    assert_eq!(seen(&office, "alice")[0].1, Confirmed);
    let users: Vec<String> =
        office.shard.fold().users_of(office.leg(alice).call).map(ToString::to_string).collect();
    assert!(["alice", "bob"].iter().all(|user| users.contains(&(*user).to_owned())), "{users:?}");
    office.signal(alice, ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!((seen(&office, "alice"), seen(&office, "bob")), (vec![], vec![]));
}

#[test]
fn who_calls_anonymously_is_not_named_to_those_who_watch_the_called() {
    let mut office = Office::new();
    let to_bob = office.registered("bob", &["desk"]);
    let LegSignalKind::Offered(offered) = office.offered(Some(media())) else { unreachable!() };
    let offered = Offered { anonymous: true, ..*offered };
    let alice = office.ids.make(office.now);
    office.routed_signal(alice, LegSignalKind::Offered(Box::new(offered)), Some(to_bob));
    office.serve();
    let bob = office.legs_of("bob")[0];
    office.rings(bob);
    assert_eq!(seen(&office, "bob"), [(false, DialogPhase::Early, None)]);
    office.answers(bob);
    assert_eq!(seen(&office, "bob"), [(false, DialogPhase::Confirmed, None)]);
}

#[test]
fn who_asks_back_is_seen_twice() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    let to_carol = office.registered("carol", &["desk"]);
    let enquire = CallCommandKind::Enquire { leg: alice, to_number: "carol".into(), anonymous: false };
    let own = office.registered("alice", &["phone", "desk"]);
    office.does_to(enquire, own, to_carol).unwrap();
    office.serve();
    let second = *office.legs_of("alice").iter().find(|leg| **leg != alice).unwrap();
    office.answers(second);
    let phases: Vec<_> = seen(&office, "alice").into_iter().map(|(_, phase, _)| phase).collect();
    assert_eq!(phases.len(), 2, "{phases:?}");
    assert!(phases.contains(&DialogPhase::Confirmed));
}
