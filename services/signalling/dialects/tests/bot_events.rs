//! What a team's webhook is told while people call, hold and leave.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use kit::{Crowd, Door, NOW, call_created, leg_created, named, party};
use serde_json::{Value, json};
use sidetone_dialects::bot::Bot;
use sidetone_dialects::{OrderKey, Recipient};
use sidetone_model::call::{HeldBy, MoveCause};
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, ConferenceId, LegId, NodeId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;

fn team(numbers: &[&str]) -> pb::Application {
    pb::Application {
        tenant: "demo".into(),
        application: "team".into(),
        kind: pb::ApplicationKind::Bot.into(),
        bot: "bot".into(),
        numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
        ..pb::Application::default()
    }
}

/// The events of some facts: type, and what is particular about it.
fn told(door: &Door, facts: impl IntoIterator<Item = FactKind>) -> Vec<(String, String)> {
    let emissions = facts.into_iter().flat_map(|fact| door.happens(&Bot, fact));
    let short = |body: Value| {
        let who = body.get("userId").and_then(Value::as_str).unwrap_or_default().to_owned();
        let extra = ["answered", "dtmfNumber"].iter().find_map(|name| body.get(*name));
        let extra = extra.map(|extra| format!(" {extra}")).unwrap_or_default();
        (body["eventType"].as_str().unwrap().to_owned(), format!("{who}{extra}"))
    };
    emissions.map(|emission| short(emission.body)).collect()
}

fn events(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(kind, who)| ((*kind).to_owned(), (*who).to_owned())).collect()
}

fn ended(leg: LegId, cause: Cause) -> FactKind {
    FactKind::LegEnded { leg, termination: Termination::new(cause) }
}

#[tokio::test]
async fn a_call_is_told_from_its_beginning_to_its_end() {
    let door = Door::new(&[team(&[])], Crowd::default()).await;
    let (call, caller, desk, mobile): (CallId, LegId, LegId, LegId) =
        (door.id(), door.id(), door.id(), door.id());
    let bob = || party(Some("bob"), "1002");
    let to = Destination::User(UserId::new("bob").unwrap());
    let begin = [
        call_created(call, party(Some("alice"), "1001"), "1002", Some(to)),
        named(call, "bot", "thread-7"),
        leg_created(caller, call, party(Some("alice"), "1001"), true),
    ];
    let first: Vec<_> = begin.into_iter().flat_map(|fact| door.happens(&Bot, fact)).collect();
    assert_eq!(first.len(), 1);
    assert_eq!(first[0].recipient, Recipient::Application("team".into()));
    assert_eq!(first[0].order, OrderKey::Call(call));
    assert_eq!(
        first[0].body,
        json!({
            "teamId": "team", "eventType": "Call.created", "streamId": "", "threadId": "thread-7",
            "originateUserId": "{\"contactId\":\"alice\",\"phone\":\"1001\",\"trunkId\":\"\"}",
            "destinationId": "bob", "type": "thread-incoming", "createdAt": NOW.as_millis(),
        })
    );
    // Two devices are one member.
    let ringing = [leg_created(desk, call, bob(), false), leg_created(mobile, call, bob(), false)];
    assert_eq!(told(&door, ringing), events(&[("Call.Member.invited", "bob")]));
    let answer = [
        FactKind::LegAnswered { leg: mobile },
        FactKind::LegAnswered { leg: caller },
        ended(desk, Cause::AnsweredElsewhere),
        FactKind::LegsBridged { call, a: caller, b: mobile },
        FactKind::LegDigit { leg: mobile, digit: '5', duration_ms: 90 },
    ];
    assert_eq!(
        told(&door, answer),
        events(&[("Call.Member.Invite.ended", "bob true"), ("Call.Member.dtmf", "bob \"5\"")])
    );
    let end = [
        ended(mobile, Cause::Normal),
        ended(caller, Cause::Normal),
        FactKind::CallEnded { call, termination: Termination::new(Cause::Normal) },
    ];
    assert_eq!(
        told(&door, end),
        events(&[("Call.Member.leaved", "bob"), ("Call.Member.leaved", "alice"), ("Call.ended", "")])
    );
}

#[tokio::test]
async fn a_call_from_a_carrier_is_told_with_the_trunk_over_which_it_came() {
    let door = Door::new(&[team(&[])], Crowd::default()).await;
    let (call, caller): (CallId, LegId) = (door.id(), door.id());
    let from = party(None, "4930123");
    door.happens(&Bot, call_created(call, from.clone(), "1002", None));
    let mut came = leg_created(caller, call, from, true);
    if let FactKind::LegCreated { trunk, .. } = &mut came {
        *trunk = "carrier-a".into();
    }
    let told = door.happens(&Bot, came);
    let originator = told[0].body["originateUserId"].as_str().unwrap();
    assert_eq!(originator, r#"{"contactId":"4930123","phone":"4930123","trunkId":"carrier-a"}"#);
}

#[tokio::test]
async fn an_invitation_that_nobody_takes_ends_once() {
    let door = Door::new(&[team(&[])], Crowd::default()).await;
    let (call, caller, desk, mobile): (CallId, LegId, LegId, LegId) =
        (door.id(), door.id(), door.id(), door.id());
    told(
        &door,
        [
            call_created(call, party(None, "1"), "1002", None),
            leg_created(caller, call, party(None, "1"), true),
            leg_created(desk, call, party(Some("bob"), "1002"), false),
            leg_created(mobile, call, party(Some("bob"), "1002"), false),
        ],
    );
    assert_eq!(told(&door, [ended(desk, Cause::Busy)]), []);
    let last = told(&door, [ended(mobile, Cause::NoAnswer)]);
    assert_eq!(last, events(&[("Call.Member.Invite.ended", "bob false")]));
}

#[tokio::test]
async fn of_two_the_other_one_is_held_and_in_a_conference_the_one_that_is_put_aside() {
    let door = Door::new(&[team(&[])], Crowd::default()).await;
    let (call, a, b): (CallId, LegId, LegId) = (door.id(), door.id(), door.id());
    told(
        &door,
        [
            call_created(call, party(Some("alice"), "1"), "2", None),
            leg_created(a, call, party(Some("alice"), "1"), true),
            leg_created(b, call, party(Some("bob"), "2"), false),
            FactKind::LegAnswered { leg: b },
            FactKind::LegAnswered { leg: a },
            FactKind::LegsBridged { call, a, b },
        ],
    );
    let held = told(&door, [FactKind::LegHeld { leg: a, by: HeldBy::Phone }]);
    assert_eq!(held, events(&[("Call.Member.held", "bob")]));
    let again = told(&door, [FactKind::LegRetrieved { leg: a }]);
    assert_eq!(again, events(&[("Call.Member.unheld", "bob")]));
    let conference: ConferenceId = door.id();
    let node = NodeId::new("m1").unwrap();
    told(
        &door,
        [
            FactKind::CallConferenced { call, conference, node },
            FactKind::ParticipantJoined { conference, leg: a },
            FactKind::ParticipantJoined { conference, leg: b },
        ],
    );
    let aside = told(&door, [FactKind::ParticipantHeld { leg: b, by: None }]);
    assert_eq!(aside, events(&[("Call.Member.held", "bob")]));
    let back = told(&door, [FactKind::ParticipantRetrieved { leg: b }]);
    assert_eq!(back, events(&[("Call.Member.unheld", "bob")]));
}

#[tokio::test]
async fn whoever_is_moved_leaves_one_call_and_comes_into_the_other() {
    let door = Door::new(&[team(&[])], Crowd::default()).await;
    let (one, two, a, b): (CallId, CallId, LegId, LegId) = (door.id(), door.id(), door.id(), door.id());
    told(
        &door,
        [
            call_created(one, party(Some("alice"), "1"), "2", None),
            leg_created(a, one, party(Some("alice"), "1"), true),
            FactKind::LegAnswered { leg: a },
            call_created(two, party(Some("bob"), "2"), "3", None),
            leg_created(b, two, party(Some("bob"), "2"), true),
            FactKind::LegAnswered { leg: b },
        ],
    );
    let moved = FactKind::LegMoved { leg: a, from: one, to: two, cause: MoveCause::Transferred };
    let emissions = door.happens(&Bot, moved);
    let orders: Vec<_> = emissions.iter().map(|emission| emission.order.clone()).collect();
    assert_eq!(orders, [OrderKey::Call(one), OrderKey::Call(two), OrderKey::Call(two)]);
    let kinds: Vec<_> =
        emissions.iter().map(|emission| emission.body["eventType"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["Call.Member.leaved", "Call.Member.invited", "Call.Member.Invite.ended"]);
}

#[tokio::test]
async fn a_team_with_numbers_is_told_of_their_calls_only() {
    let door = Door::new(&[team(&["1002"])], Crowd::default()).await;
    for (dialled, expected) in [("1002", 1), ("1003", 0)] {
        let (call, leg): (CallId, LegId) = (door.id(), door.id());
        let facts = [
            call_created(call, party(None, "9"), dialled, None),
            leg_created(leg, call, party(None, "9"), true),
        ];
        assert_eq!(told(&door, facts).len(), expected, "{dialled}");
    }
}
