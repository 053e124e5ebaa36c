//! A phone that rings is answered from elsewhere.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::{CommandError, Routing};
use sidetone_model::command::{CallCommandKind, LegCommandKind, PlaceOptions};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::Capability;
use sidetone_model::ids::LegId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

fn ringing(office: &mut Office) -> (LegId, LegId) {
    let caller = office.dial("alice", "desk", office.registered("bob", &["desk"]));
    let phone = office.legs_of("bob")[0];
    office.rings(phone);
    (caller, phone)
}

#[test]
fn the_phone_is_asked_and_its_answer_is_an_answer() {
    let mut office = Office::new();
    let (alice, bob) = ringing(&mut office);
    office.does(CallCommandKind::AnswerRinging { leg: bob }).unwrap();
    assert_eq!(office.kinds(bob), ["invite", "talk"]);
    office.answers(bob);
    assert_eq!(office.leg(alice).peer, Some(bob));
    let again = office.does(CallCommandKind::AnswerRinging { leg: bob });
    assert_eq!(again, Err(CommandError::CapabilityMissing), "it does not ring any more");
}

#[test]
fn a_phone_that_cannot_is_asked_once_and_rings_on() {
    let mut office = Office::new();
    let (alice, bob) = ringing(&mut office);
    office.does(CallCommandKind::AnswerRinging { leg: bob }).unwrap();
    let why = Termination::new(Cause::ProtocolError).with_sip_status(489);
    office.signal(bob, LegSignalKind::TalkRefused(why.clone()));
    assert_eq!(office.happened_since(0).last(), Some(&&FactKind::LegTalkRefused { leg: bob, why }));
    let capabilities = office.shard.fold().capabilities(bob);
    assert!(!capabilities.contains(Capability::Answer) && capabilities.contains(Capability::Reject));
    let again = office.does(CallCommandKind::AnswerRinging { leg: bob });
    assert_eq!(again, Err(CommandError::CapabilityMissing));
    office.answers(bob);
    assert_eq!(office.leg(alice).peer, Some(bob), "its user can");
}

#[test]
fn the_device_of_whoever_makes_a_call_can_take_it_by_itself() {
    for auto_answer in [true, false] {
        let mut office = Office::new();
        let kind = CallCommandKind::Place {
            from: office.registered("alice", &[]).destination.unwrap(),
            from_number: "alice".into(),
            to: office.registered("bob", &[]).destination.unwrap(),
            to_number: "bob".into(),
            options: PlaceOptions { auto_answer, ..PlaceOptions::default() },
        };
        let (own, to) = (office.registered("alice", &["desk"]), office.registered("bob", &["desk"]));
        office.does_to(kind, own, to).unwrap();
        office.serve();
        let invites: Vec<bool> = office
            .commands
            .iter()
            .filter_map(|command| match &command.kind {
                LegCommandKind::Invite(invite) => Some(invite.auto_answer),
                _ => None,
            })
            .collect();
        assert_eq!(invites, [auto_answer], "the first phone, and it alone");
        let first = office.legs_of("alice")[0];
        office.rings(first);
        office.answers(first);
        let called = office.legs_of("bob")[0];
        let asked = |command: &&sidetone_model::command::LegCommand| {
            command.leg == called
                && matches!(&command.kind, LegCommandKind::Invite(invite) if invite.auto_answer)
        };
        assert!(!office.commands.iter().any(|command| asked(&command)), "whoever is called decides");
    }
}

#[test]
fn nobody_answers_for_a_caller() {
    let mut office = Office::new();
    let (alice, _) = ringing(&mut office);
    let refused =
        office.does_to(CallCommandKind::AnswerRinging { leg: alice }, Routing::default(), Routing::default());
    assert_eq!(refused, Err(CommandError::CapabilityMissing));
}
