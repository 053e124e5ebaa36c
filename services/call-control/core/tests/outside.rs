//! Numbers outside of the tenant: nobody of ours is behind them, and two of them are two.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::Routing;
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegPhase;
use sidetone_model::ids::LegId;
use sidetone_model::party::{Binding, Destination};

/// Where a number leads that goes out over a trunk, as the router says it.
fn outside(office: &Office, number: &str) -> Routing {
    let binding = Binding::outside(number, office.replica.clone());
    let to = Destination::User(binding.user.clone());
    Routing { bindings: vec![binding], ..office.to(to, 0) }
}

fn add(office: &mut Office, by: LegId, number: &str, anonymous: bool) -> LegId {
    let before: Vec<LegId> = office.shard.fold().legs().map(|leg| leg.leg).collect();
    let command = CallCommandKind::AddParticipant { leg: by, to_number: number.into(), anonymous };
    let to = outside(office, number);
    office.does_to(command, Routing::default(), to).unwrap();
    office.serve();
    let new = office.shard.fold().legs().map(|leg| leg.leg).find(|leg| !before.contains(leg)).unwrap();
    office.rings(new);
    new
}

#[test]
fn whoever_is_outside_is_a_number_and_no_user() {
    let mut office = Office::new();
    let caller = office.dial("alice", "desk", outside(&office, "4930123"));
    let callee = office.others(caller)[0];
    let party = office.leg(callee).party.clone();
    assert_eq!((party.user, party.device), (None, None));
    let call = office.shard.fold().call(office.leg(caller).call).unwrap();
    assert_eq!(call.destination, None, "the number that was dialled says it all");
    // Passed on to somebody outside, a call is for no user either.
    office.rings(callee);
    office.answers(callee);
    let to_number = "4930124".into();
    let transfer = CallCommandKind::TransferBlind { leg: caller, to_number, anonymous: false };
    let to = outside(&office, "4930124");
    office.does_to(transfer, Routing::default(), to).unwrap();
    let diverted = office.happened_since(0).into_iter().find_map(|kind| match kind {
        FactKind::CallDiverted { to, .. } => Some(to.clone()),
        _ => None,
    });
    let diverted = diverted.unwrap();
    assert_eq!((diverted.user, &*diverted.number), (None, "4930124"));
}

#[test]
fn the_first_of_two_outside_who_answers_does_not_silence_the_other() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    let one = add(&mut office, alice, "4930123", false);
    let other = add(&mut office, alice, "4930124", false);
    office.answers(one);
    assert_eq!((office.phase(other), office.end_of(other)), (LegPhase::Ringing, None));
    office.answers(other);
    assert!(office.legs_in_mix(alice, 4));
}

#[test]
fn an_application_may_let_somebody_outside_call() {
    let mut office = Office::new();
    let (from, to) = (outside(&office, "4930123"), office.registered("bob", &["desk"]));
    let place = CallCommandKind::Place {
        from: Destination::Wait,
        from_number: "4930123".into(),
        to: Destination::Wait,
        to_number: "bob".into(),
        options: sidetone_model::command::PlaceOptions::default(),
    };
    office.does_to(place, from, to).unwrap();
    let call = office.shard.fold().calls().next().unwrap();
    assert_eq!((&call.from.user, &*call.from.number), (&None, "4930123"));
}

#[test]
fn who_asks_somebody_in_need_not_be_told() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    let legs = [add(&mut office, alice, "4930123", true), add(&mut office, alice, "4930124", false)];
    let told = legs.map(|leg| {
        let invite = office.commands.iter().find_map(|command| match &command.kind {
            LegCommandKind::Invite(invite) if command.leg == leg => Some(invite.anonymous),
            _ => None,
        });
        invite.unwrap()
    });
    assert_eq!(told, [true, false]);
}
