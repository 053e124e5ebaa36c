//! One phone calls the devices of a user.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, connects, ended, media};
use sidetone_call_core::{Answers, Connection, MediaRequest};
use sidetone_model::fold::LegPhase;
use sidetone_model::media::Direction;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

#[test]
fn the_most_telling_failure_reaches_the_caller() {
    for (ends, told) in [
        ([Cause::NoAnswer, Cause::Busy], Cause::Busy),
        ([Cause::Busy, Cause::NoAnswer], Cause::Busy),
        ([Cause::Busy, Cause::Rejected], Cause::Rejected),
        ([Cause::Unavailable, Cause::NoAnswer], Cause::NoAnswer),
        ([Cause::Timeout, Cause::Unavailable], Cause::Unavailable),
    ] {
        let mut office = Office::new();
        let caller = office.call(office.to_user(2));
        let devices = office.others(caller);
        office.signal(devices[0], ended(ends[0], 480));
        assert_eq!(office.end_of(caller), None, "one device is left");
        office.signal(devices[1], ended(ends[1], 480));
        assert_eq!(office.end_of(caller), Some(told), "{ends:?}");
        office.hang_up_as_told();
        assert_eq!(office.call_cause(caller), Some(told));
    }
}

#[test]
fn nobody_rings_for_longer_than_a_minute() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(1));
    let callee = office.others(caller)[0];
    office.signal(callee, LegSignalKind::Progress { media: None });
    assert_eq!(office.kinds(caller), ["ring"]);
    office.pass(59);
    assert_eq!(office.end_of(callee), None);
    assert_eq!(office.shard.poll_timeout().map(|(at, _)| at.since(office.now).as_secs()), Some(1));
    office.pass(1);
    assert_eq!(office.end_of(callee), Some(Cause::NoAnswer));
    office.hang_up_as_told();
    assert_eq!(office.end_of(caller), Some(Cause::NoAnswer));
    office.hang_up_as_told();
    assert_eq!(
        (office.cause(callee), office.call_cause(caller)),
        (Some(Cause::NoAnswer), Some(Cause::NoAnswer))
    );
}

#[test]
fn a_caller_who_gives_up_stops_every_phone() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(2));
    let devices = office.others(caller);
    office.signal(caller, ended(Cause::Cancelled, 487));
    assert_eq!(
        devices.iter().map(|leg| office.end_of(*leg)).collect::<Vec<_>>(),
        [Some(Cause::Cancelled); 2]
    );
    office.hang_up_as_told();
    assert_eq!(office.call_cause(caller), Some(Cause::Cancelled));
}

#[test]
fn a_caller_who_gives_up_before_a_port_is_there_leaves_none() {
    let mut office = Office::new();
    let caller = office.offer(office.to_user(1), Some(media()));
    office.signal(caller, ended(Cause::Cancelled, 487));
    let served = office.serve();
    assert_eq!(served.last(), Some(&MediaRequest::ReleaseLeg { leg: caller }));
    assert_eq!(office.call_cause(caller), Some(Cause::Cancelled));
}

#[test]
fn the_first_answer_wins_and_the_others_are_told() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(3));
    let devices = office.others(caller);
    office.signal(devices[1], LegSignalKind::Answered { media: Some(media()) });
    assert_eq!(office.phase(caller), LegPhase::SettingUp, "it is answered when the media is ready");
    let served = office.serve();
    for other in [devices[0], devices[2]] {
        assert_eq!(office.end_of(other), Some(Cause::AnsweredElsewhere));
    }
    assert_eq!(connects(&served), [(caller, Connection::Peer(devices[1]))]);
    assert_eq!((office.phase(caller), office.leg(caller).peer), (LegPhase::Answered, Some(devices[1])));
    office.hang_up_as_told();
    assert_eq!(office.end_of(caller), None, "the call goes on");
    office.signal(devices[1], ended(Cause::Normal, 200));
    office.hang_up_as_told();
    assert_eq!(office.call_cause(caller), Some(Cause::Normal));
}

#[test]
fn either_side_hangs_up() {
    for callee_first in [false, true] {
        let mut office = Office::new();
        let (caller, callee) = office.talk();
        let (one, other) = if callee_first { (callee, caller) } else { (caller, callee) };
        office.signal(one, ended(Cause::Normal, 200));
        assert_eq!(office.end_of(other), Some(Cause::Normal));
        office.hang_up_as_told();
        let released = office.serve();
        for leg in [caller, callee] {
            assert_eq!(office.cause(leg), Some(Cause::Normal));
            assert!(released.contains(&MediaRequest::ReleaseLeg { leg }));
        }
        assert_eq!(office.call_cause(caller), Some(Cause::Normal));
    }
}

#[test]
fn hold_and_retrieve_change_the_direction() {
    let mut office = Office::new();
    let (caller, _) = office.talk();
    for direction in [Direction::SendOnly, Direction::SendRecv] {
        let mut offer = media();
        offer.direction = direction;
        office.signal(caller, LegSignalKind::Reoffered { media: Some(offer) });
        office.serve();
        assert_eq!(office.leg(caller).direction, direction);
    }
    office.signal(caller, LegSignalKind::Reoffered { media: None });
    office.serve();
    let kinds = office.kinds(caller);
    assert_eq!(kinds[kinds.len() - 3..], ["reoffer taken"; 3]);
    office.signal(caller, LegSignalKind::Reoffered { media: Some(media()) });
    office.refuse(sidetone_model::classify::Class::FailedPrecondition);
    assert_eq!(office.kinds(caller).last(), Some(&"reoffer refused"));
    assert_eq!(office.phase(caller), LegPhase::Answered, "a refused change changes nothing");
}

#[test]
fn a_caller_without_an_offer_is_made_one() {
    let mut office = Office::new();
    let caller = office.offer(office.to(sidetone_model::party::Destination::Echo, 0), None);
    assert!(matches!(office.requests[0].1, MediaRequest::CreateLeg { remote: None, .. }));
    office.serve();
    assert_eq!(office.kinds(caller), ["answer"]);
    office.signal(caller, LegSignalKind::Confirmed { media: Some(media()) });
    let served = office.serve();
    assert!(matches!(served[0], MediaRequest::UpdateLeg { answers: Answers::Offer, .. }), "{served:?}");
}

#[test]
fn a_phone_that_answers_and_offers_at_once_is_connected() {
    let mut office = Office::new();
    let caller = office.call(office.to_user(1));
    let callee = office.others(caller)[0];
    office.signal(callee, LegSignalKind::Answered { media: Some(media()) });
    office.signal(callee, LegSignalKind::Reoffered { media: Some(media()) });
    office.serve();
    assert_eq!(
        (office.leg(caller).peer, office.kinds(callee).last()),
        (Some(callee), Some(&"reoffer taken"))
    );
}
