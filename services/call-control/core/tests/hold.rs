//! Hold and retrieve, by command and by phone; consulting somebody, and changing between two calls.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, media};
use sidetone_call_core::{CommandError, Connection, Heard, MediaRequest};
use sidetone_model::call::{HeldBy, LegCause};
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::fold::{Capability, LegPhase};
use sidetone_model::ids::LegId;
use sidetone_model::media::{Direction, MediaDescription, Source};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

/// Alice talks to bob, holds him and consults carol, who answers: alice's two legs, bob's and carol's.
fn consulted(office: &mut Office) -> (LegId, LegId, LegId, LegId) {
    let (alice, bob) = office.connect("alice", "bob");
    let enquire = CallCommandKind::Enquire { leg: alice, to_number: "carol".into(), anonymous: false };
    let own = office.registered("alice", &["phone", "desk"]);
    office.does_to(enquire, own, office.registered("carol", &["desk"])).unwrap();
    office.serve();
    let second = *office.legs_of("alice").iter().find(|leg| **leg != alice).unwrap();
    office.answers(second);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.answers(carol);
    (alice, second, bob, carol)
}

#[test]
fn whoever_is_held_hears_nothing_until_retrieved() {
    for callee_holds in [false, true] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        let holder = if callee_holds { bob } else { alice };
        office.does(CallCommandKind::Hold { leg: holder }).unwrap();
        assert_eq!(office.heard(), [(alice, Connection::Nothing)]);
        assert_eq!(office.leg(holder).held, Some(HeldBy::Application));
        let again = office.does(CallCommandKind::Hold { leg: holder });
        assert_eq!(again, Err(CommandError::CapabilityMissing));
        let other = if callee_holds { alice } else { bob };
        let not_held = office.does(CallCommandKind::Retrieve { leg: other });
        assert_eq!(not_held, Err(CommandError::CapabilityMissing));
        office.does(CallCommandKind::Retrieve { leg: holder }).unwrap();
        assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
        assert_eq!(office.leg(holder).held, None);
    }
}

#[test]
fn music_is_for_those_who_are_held() {
    let mut office = Office::with_hold_prompt("hold");
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    let music = |request: &MediaRequest| match request {
        MediaRequest::Play { to: Heard::Leg(leg), sources, repeat: 0, .. } => {
            assert_eq!(sources.as_slice(), [Source::Prompt("hold".into())]);
            Some((*leg, true))
        }
        MediaRequest::StopPlay { playback } => Some((LegId::from(playback.as_uuid()), false)),
        _ => None,
    };
    assert_eq!(office.serve().iter().filter_map(music).collect::<Vec<_>>(), [(bob, true)]);
    office.does(CallCommandKind::Retrieve { leg: alice }).unwrap();
    assert_eq!(office.serve().iter().filter_map(music).collect::<Vec<_>>(), [(bob, false)]);
}

#[test]
fn a_phone_holds_in_each_way_there_is() {
    let silent = MediaDescription { rtp: ([0, 0, 0, 0], 4000).into(), ..media() };
    let directed = |direction| MediaDescription { direction, ..media() };
    for hold in [silent, directed(Direction::SendOnly), directed(Direction::Inactive)] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        office.signal(bob, LegSignalKind::Reoffered { media: Some(hold) });
        assert_eq!(office.leg(bob).held, None, "media has not answered yet");
        assert_eq!(office.heard(), [(alice, Connection::Nothing)]);
        assert_eq!(office.leg(bob).held, Some(HeldBy::Phone));
        office.signal(bob, LegSignalKind::Reoffered { media: Some(media()) });
        assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
        assert_eq!(office.leg(bob).held, None);
    }
}

#[test]
fn a_phone_that_receives_only_does_not_hold() {
    let mut office = Office::new();
    let (_, bob) = office.connect("alice", "bob");
    let muted = MediaDescription { direction: Direction::RecvOnly, ..media() };
    office.signal(bob, LegSignalKind::Reoffered { media: Some(muted) });
    assert_eq!(office.heard(), []);
    assert_eq!((office.leg(bob).held, office.leg(bob).direction), (None, Direction::RecvOnly));
}

#[test]
fn an_enquiry_holds_and_rings_the_same_device_which_takes_it_by_itself() {
    let mut office = Office::new();
    let (alice, second, bob, carol) = consulted(&mut office);
    assert_eq!(office.leg(alice).held, Some(HeldBy::Application));
    let leg = office.leg(second);
    assert_eq!((leg.cause, leg.by), (LegCause::Enquiry, Some(alice)));
    assert_eq!(leg.party.device, office.leg(alice).party.device);
    assert_eq!(office.leg(second).peer, Some(carol));
    assert_eq!(office.leg(alice).peer, Some(bob));
    let capabilities = office.shard.fold().capabilities(second);
    for offered in [Capability::Merge, Capability::Transfer, Capability::Alternate] {
        assert!(capabilities.contains(offered), "{offered:?}");
    }
    assert!(!office.shard.fold().capabilities(carol).contains(Capability::Transfer));
}

#[test]
fn one_changes_between_two_calls() {
    let mut office = Office::new();
    let (alice, second, bob, carol) = consulted(&mut office);
    let place = office.log.len();
    office.does(CallCommandKind::Alternate { active: second, held: alice }).unwrap();
    assert_eq!(office.heard(), [(second, Connection::Nothing), (alice, Connection::Peer(bob))]);
    let happened = office.happened_since(place);
    assert!(matches!(happened[0], FactKind::LegHeld { leg, .. } if *leg == second), "{happened:?}");
    assert!(matches!(happened[1], FactKind::LegRetrieved { leg } if *leg == alice), "{happened:?}");
    let wrong = office.does(CallCommandKind::Alternate { active: second, held: alice });
    assert_eq!(wrong, Err(CommandError::CapabilityMissing));
    office.does(CallCommandKind::Alternate { active: alice, held: second }).unwrap();
    assert_eq!(office.heard(), [(alice, Connection::Nothing), (second, Connection::Peer(carol))]);
}

#[test]
fn an_enquiry_that_still_rings_is_given_up_for_whoever_is_held() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    let enquire = CallCommandKind::Enquire { leg: alice, to_number: "carol".into(), anonymous: true };
    let own = office.registered("alice", &["desk"]);
    let subject = office.does_to(enquire, own, office.registered("carol", &["desk"])).unwrap();
    let CommandSubject::Call(enquiry) = subject else { panic!("{subject:?}") };
    assert!(office.shard.fold().call(enquiry).unwrap().anonymous);
    office.serve();
    let second = *office.legs_of("alice").iter().find(|leg| **leg != alice).unwrap();
    office.answers(second);
    let carol = office.legs_of("carol")[0];
    office.rings(carol);
    office.does(CallCommandKind::Reconnect { active: second, held: alice }).unwrap();
    assert_eq!(office.end_of(carol), Some(Cause::Cancelled));
    assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
    office.hang_up_as_told();
    assert!(office.shard.fold().call(enquiry).unwrap().ended.is_some());
    assert_eq!((office.phase(alice), office.phase(bob)), (LegPhase::Answered, LegPhase::Answered));
}

#[test]
fn hanging_up_works_while_on_hold() {
    for holder_hangs_up in [false, true] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        office.does(CallCommandKind::Hold { leg: alice }).unwrap();
        office.serve();
        let (first, second) = if holder_hangs_up { (alice, bob) } else { (bob, alice) };
        office.signal(first, kit::ended(Cause::Normal, 200));
        office.hang_up_as_told();
        assert_eq!(office.phase(second), LegPhase::Ended);
        assert_eq!(office.call_cause(alice), Some(Cause::Normal));
    }
}

/// A phone asks for an offer by a re-INVITE without one, and answers in its ACK (as CUCM holds and resumes).
fn reoffers_without_offer(office: &mut Office, leg: LegId, answer: Direction) -> MediaDescription {
    office.signal(leg, LegSignalKind::Reoffered { media: None });
    let asked = office.serve();
    assert_eq!(asked, [MediaRequest::OfferLeg { leg, prefer: None }]);
    let offered = office.commands.iter().rev().find_map(|command| match &command.kind {
        LegCommandKind::AnswerReoffer { media } if command.leg == leg => media.clone(),
        _ => None,
    });
    let answer = MediaDescription { direction: answer, ..media() };
    office.signal(leg, LegSignalKind::Confirmed { media: Some(answer) });
    offered.unwrap()
}

#[test]
fn a_phone_holds_and_comes_back_by_re_invites_without_an_offer() {
    for hold in [Direction::SendOnly, Direction::Inactive] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        let offer = reoffers_without_offer(&mut office, bob, hold);
        assert_eq!(offer.direction, Direction::SendRecv);
        assert_eq!(office.leg(bob).held, None, "media has not taken it in yet");
        assert_eq!(office.heard(), [(alice, Connection::Nothing)]);
        assert_eq!((office.leg(bob).held, office.leg(bob).direction), (Some(HeldBy::Phone), hold));
        let offer = reoffers_without_offer(&mut office, bob, Direction::SendRecv);
        assert_eq!(offer.direction, Direction::SendRecv, "whatever stands, it may come back");
        assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
        assert_eq!((office.leg(bob).held, office.leg(bob).direction), (None, Direction::SendRecv));
    }
}

#[test]
fn who_is_told_of_hold_is_offered_no_more_when_it_asks() {
    let mut office = Office::telling_of_hold();
    let (alice, bob) = office.connect("alice", "bob");
    office.does(CallCommandKind::Hold { leg: alice }).unwrap();
    office.serve();
    let offer = reoffers_without_offer(&mut office, bob, Direction::RecvOnly);
    assert_eq!(offer.direction, Direction::SendOnly);
    office.serve();
    assert_eq!(office.leg(bob).held, None, "who only listens holds nobody");
}

#[test]
fn without_an_offer_of_the_node_a_change_is_refused_and_the_call_goes_on() {
    let mut office = Office::new();
    let (_, bob) = office.connect("alice", "bob");
    office.signal(bob, LegSignalKind::Reoffered { media: None });
    office.refuse(sidetone_model::classify::Class::DeadlineExceeded);
    assert_eq!(office.kinds(bob).last(), Some(&"reoffer refused"));
    assert_eq!((office.end_of(bob), office.phase(bob)), (None, LegPhase::Answered));
}

fn phone_holds(office: &mut Office, leg: LegId) {
    let hold = MediaDescription { direction: Direction::SendOnly, ..media() };
    office.signal(leg, LegSignalKind::Reoffered { media: Some(hold) });
    office.serve();
    assert_eq!(office.leg(leg).held, Some(HeldBy::Phone));
}

fn may(office: &Office, leg: LegId, what: Capability) -> bool {
    office.shard.fold().capabilities(leg).contains(what)
}

#[test]
fn what_the_phone_holds_it_takes_back_itself_when_it_is_asked() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    phone_holds(&mut office, bob);
    assert!(may(&office, bob, Capability::Retrieve));
    office.does(CallCommandKind::Retrieve { leg: bob }).unwrap();
    assert_eq!(office.kinds(bob).last(), Some(&"talk"));
    assert_eq!((office.heard(), office.leg(bob).held), (Vec::new(), Some(HeldBy::Phone)), "it holds still");
    office.signal(bob, LegSignalKind::Reoffered { media: Some(media()) });
    assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
    assert_eq!(office.leg(bob).held, None);
}

#[test]
fn a_phone_that_cannot_be_asked_is_not_asked_again_and_its_user_takes_it_back() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    phone_holds(&mut office, bob);
    office.does(CallCommandKind::Retrieve { leg: bob }).unwrap();
    let why = Termination::new(Cause::ProtocolError).with_sip_status(489);
    office.signal(bob, LegSignalKind::TalkRefused(why.clone()));
    assert_eq!(office.happened_since(0).last(), Some(&&FactKind::LegTalkRefused { leg: bob, why }));
    assert!(!may(&office, bob, Capability::Retrieve));
    let again = office.does(CallCommandKind::Retrieve { leg: bob });
    assert_eq!(again, Err(CommandError::HeldByPhone));
    office.signal(bob, LegSignalKind::Reoffered { media: Some(media()) });
    assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
    // What an application holds is its own to take back, whatever the phone can.
    office.does(CallCommandKind::Hold { leg: bob }).unwrap();
    office.does(CallCommandKind::Retrieve { leg: bob }).unwrap();
    assert_eq!(office.leg(bob).held, None);
}

#[test]
fn one_changes_to_a_call_that_the_phone_holds_only_where_it_can_be_asked() {
    for refuses in [false, true] {
        let mut office = Office::new();
        let (alice, bob) = office.connect("alice", "bob");
        phone_holds(&mut office, alice);
        if refuses {
            office.does(CallCommandKind::Retrieve { leg: alice }).unwrap();
            let why = Termination::new(Cause::ProtocolError).with_sip_status(489);
            office.signal(alice, LegSignalKind::TalkRefused(why));
        }
        let (second, _) = office.connect("alice", "carol");
        assert_eq!(may(&office, second, Capability::Alternate), !refuses);
        assert!(may(&office, second, Capability::Merge) && may(&office, second, Capability::Transfer));
        let changed = office.does(CallCommandKind::Alternate { active: second, held: alice });
        if refuses {
            assert_eq!(changed, Err(CommandError::HeldByPhone));
            assert_eq!(office.leg(second).held, None);
            continue;
        }
        changed.unwrap();
        assert_eq!(office.kinds(alice).last(), Some(&"talk"));
        assert_eq!(office.leg(second).held, Some(HeldBy::Application));
        office.serve();
        office.signal(alice, LegSignalKind::Reoffered { media: Some(media()) });
        assert_eq!(office.heard(), [(alice, Connection::Peer(bob))]);
    }
}
