//! Members of a group take each other's calls.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::{Office, ended};
use sidetone_call_core::{CommandError, Routing};
use sidetone_model::call::DeviceOf;
use sidetone_model::command::{CallCommandKind, LegCommandKind};
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::{LegId, UserId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::termination::Cause;
use sidetone_model::time::Timestamp;

fn group(office: &Office) -> Routing {
    let members = ["ada", "ben", "cid"].map(|name| UserId::new(name).unwrap()).into();
    office.to(Destination::PickUpGroup { members }, 0)
}

/// `from` calls `to`, whose phone rings.
fn rings(office: &mut Office, from: &str, to: &str) -> (LegId, LegId) {
    let routing = office.registered(to, &["desk"]);
    let caller = office.dial(from, "desk", routing);
    let callee = *office.legs_of(to).last().unwrap();
    office.rings(callee);
    (caller, callee)
}

fn answered(office: &Office, leg: LegId) -> bool {
    let of = |command: &&sidetone_model::command::LegCommand| command.leg == leg;
    office.commands.iter().filter(of).any(|command| matches!(command.kind, LegCommandKind::Answer { .. }))
}

fn takes(office: &mut Office, user: &str) -> Result<CommandSubject, CommandError> {
    let by = DeviceOf { user: UserId::new(user).unwrap(), device: None };
    let command = CallCommandKind::PickUpInGroup { number: "*8".into(), by };
    let (own, group) = (office.registered(user, &["desk"]), group(office));
    office.does_to(command, own, group)
}

#[test]
fn any_user_takes_what_rings_at_the_one_who_was_dialled() {
    let mut office = Office::new();
    let (_, at_cid) = rings(&mut office, "fay", "cid");
    let (first, at_ben) = rings(&mut office, "eve", "ben");
    let of_ben = |office: &Office| {
        office.to(Destination::PickUpGroup { members: vec![UserId::new("ben").unwrap()] }, 0)
    };
    let routing = of_ben(&office);
    let dan = office.dial("dan", "desk", routing);
    assert!(answered(&office, dan) && answered(&office, first));
    assert_eq!(office.leg(dan).peer, Some(first));
    assert_eq!((office.end_of(at_ben), office.end_of(at_cid)), (Some(Cause::Diverted), None));
    let routing = of_ben(&office);
    let nothing = office.dial("dan", "desk", routing);
    assert_eq!(office.end_of(nothing), Some(Cause::NotFound), "nothing rings there any more");
    // Whoever is no user of the tenant takes nobody's calls.
    let routing = of_ben(&office);
    let outside = office.dial_number(Party { number: "0049".into(), ..Party::default() }, "**2", routing);
    assert_eq!(office.end_of(outside), Some(Cause::Forbidden));
}

#[test]
fn the_call_that_has_rung_longest_is_taken_by_dialling() {
    let mut office = Office::new();
    let (first, at_ben) = rings(&mut office, "eve", "ben");
    office.now = Timestamp::from_millis(office.now.as_millis() + 500);
    let (second, at_cid) = rings(&mut office, "fay", "cid");
    let routing = group(&office);
    let ada = office.dial("ada", "desk", routing);
    assert!(answered(&office, ada) && answered(&office, first));
    assert_eq!((office.leg(ada).call, office.leg(ada).peer), (office.leg(first).call, Some(first)));
    assert_eq!(office.end_of(at_ben), Some(Cause::Diverted), "it rings there no longer");
    assert_eq!((office.end_of(at_cid), answered(&office, second)), (None, false), "the other call rings on");
    let (own, routing) = (office.legs_of("ada").len(), group(&office));
    let nothing_of_its_own = office.dial("cid", "desk", routing);
    assert_eq!(office.end_of(nothing_of_its_own), Some(Cause::NotFound), "only cid's own phone rings");
    assert_eq!(office.legs_of("ada").len(), own);
}

#[test]
fn who_is_no_member_gets_nothing_and_neither_does_a_stranger() {
    let mut office = Office::new();
    let (caller, at_ben) = rings(&mut office, "eve", "ben");
    let routing = group(&office);
    let outsider = office.dial("dan", "desk", routing.clone());
    let stranger = office.dial_number(Party { number: "+461".into(), ..Party::default() }, "*8", routing);
    for leg in [outsider, stranger] {
        assert_eq!(office.end_of(leg), Some(Cause::Forbidden));
        assert_ne!(office.leg(leg).call, office.leg(caller).call);
    }
    assert_eq!((office.end_of(at_ben), answered(&office, caller)), (None, false));
    assert_eq!(takes(&mut office, "dan"), Err(CommandError::NotInGroup));
}

#[test]
fn what_talks_already_or_is_over_is_not_taken() {
    let mut office = Office::new();
    assert_eq!(takes(&mut office, "ada"), Err(CommandError::NothingRings));
    let (_, at_ben) = rings(&mut office, "eve", "ben");
    office.answers(at_ben);
    assert_eq!(takes(&mut office, "ada"), Err(CommandError::NothingRings));
    let (gone, _) = rings(&mut office, "fay", "cid");
    office.signal(gone, ended(Cause::Cancelled, 487));
    assert_eq!(takes(&mut office, "ada"), Err(CommandError::NothingRings));
    let routing = group(&office);
    let late = office.dial("ada", "desk", routing);
    assert_eq!(office.end_of(late), Some(Cause::NotFound));
}

#[test]
fn an_application_has_a_members_phone_take_it() {
    let mut office = Office::new();
    let (caller, at_ben) = rings(&mut office, "eve", "ben");
    let CommandSubject::Leg(at_ada) = takes(&mut office, "ada").unwrap() else { panic!("no leg") };
    office.serve();
    assert_eq!(office.end_of(at_ben), None, "it rings until the other phone is answered");
    office.answers(at_ada);
    assert_eq!(office.leg(at_ada).peer, Some(caller));
    assert_eq!(office.end_of(at_ben), Some(Cause::Diverted));
    let by = DeviceOf { user: UserId::new("ada").unwrap(), device: None };
    let elsewhere = CallCommandKind::PickUpInGroup { number: "3000".into(), by };
    let (own, room) = (office.registered("ada", &["desk"]), office.to_room());
    assert_eq!(office.does_to(elsewhere, own, room), Err(CommandError::NoSuchGroup));
}

#[test]
fn whoever_picks_up_gets_the_call_although_it_rings_nowhere_any_more() {
    let mut office = Office::new();
    let (caller, at_ben) = rings(&mut office, "eve", "ben");
    takes(&mut office, "ada").unwrap();
    office.serve();
    let at_ada = *office.legs_of("ada").last().unwrap();
    office.rings(at_ada);
    office.signal(at_ben, ended(Cause::Busy, 486));
    office.answers(at_ada);
    assert_eq!((office.end_of(at_ada), office.end_of(caller)), (None, None));
    assert_eq!(office.leg(at_ada).peer, Some(caller));
}

#[test]
fn whoever_answers_while_another_picks_up_keeps_the_call() {
    let mut office = Office::new();
    let (caller, at_ben) = rings(&mut office, "eve", "ben");
    takes(&mut office, "ada").unwrap();
    let at_ada = *office.legs_of("ada").last().unwrap();
    office.rings(at_ada);
    office.answers(at_ben);
    assert_eq!(office.leg(at_ben).peer, Some(caller));
    assert_eq!(office.end_of(at_ada), Some(Cause::AnsweredElsewhere));
    // Its phone answers in the same moment: it is too late.
    office.answers(at_ada);
    assert_eq!((office.end_of(at_ben), office.leg(at_ben).peer), (None, Some(caller)));
}
