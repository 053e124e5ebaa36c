//! The 13 flows of the OpenTouch call flow guide, 214 events: driven by scripted phones through call control's state
//! machine, projected, and compared field by field and in their order.
//!
//! Only `callRef`, `callUUID` and the domain are normalised.
//!
//! Where the guide contradicts itself or leaves out who did it:
//! - flow 4: a phone of the user falls silent before the redirect that silences it. Ours says so in the same order, and
//!   the removal of the call names the phone that is left, as the guide does.
//! - flow 5: the phones ring in another order than that of the list of devices. The script rings them in the order of the
//!   events, as phones do.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

#[path = "../../../call-control/core/tests/kit/mod.rs"]
mod office;

use std::collections::BTreeMap;

use office::{Office, ended};
use serde_json::Value;
use sidetone_call_core::Routing;
use sidetone_dialects::telephony::Telephony;
use sidetone_dialects::{Dialect, People, Person, Recipient};
use sidetone_model::call::Elsewhere;
use sidetone_model::command::{CallCommandKind, PlaceOptions};
use sidetone_model::fact::{Fact, FactKind, FactRecord};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{LegId, TenantId, UserId};
use sidetone_model::party::{Binding, Destination, Party};
use sidetone_model::termination::Cause;

struct Flow {
    users: Vec<(UserId, Person)>,
    events: Vec<Value>,
}

fn flows() -> Vec<Flow> {
    let flows: Vec<Value> = serde_json::from_str(include_str!("../fixtures/telephony.json")).unwrap();
    let text = |value: &Value| -> Box<str> { value.as_str().unwrap().into() };
    let user = |user: &Value| {
        let number = text(&user["number"]);
        let devices = user["devices"].as_array().unwrap().iter().map(|device| text(device).parse().unwrap());
        let display_name = format!("FN-{number} LN-{number}").into();
        let person =
            Person { display_name, numbers: vec![number], devices: devices.collect(), ..Person::default() };
        (UserId::new(text(&user["login"])).unwrap(), person)
    };
    let flow = |flow: &Value| Flow {
        users: flow["users"].as_array().unwrap().iter().map(user).collect(),
        events: flow["events"].as_array().unwrap().clone(),
    };
    flows.iter().map(flow).collect()
}

/// The users of the guide: all of them exist, also where a flow does not list them.
struct Crowd(Vec<(UserId, Person)>);

impl Crowd {
    fn of(flow: &Flow) -> Self {
        let mut all = flow.users.clone();
        for number in ["1001", "1002", "1003"] {
            let user = UserId::new(format!("icm{number}")).unwrap();
            if !all.iter().any(|(there, _)| *there == user) {
                let display_name = format!("FN-{number} LN-{number}").into();
                all.push((user, Person { display_name, numbers: vec![number.into()], ..Person::default() }));
            }
        }
        Self(all)
    }
}

impl People for Crowd {
    fn person(&self, _: &TenantId, user: &UserId) -> Option<Person> {
        self.0.iter().find(|(there, _)| there == user).map(|(_, person)| person.clone())
    }
    fn user_of_number(&self, _: &TenantId, number: &str) -> Option<UserId> {
        let found = self.0.iter().find(|(_, person)| person.numbers.iter().any(|own| &**own == number));
        found.map(|(user, _)| user.clone())
    }
    fn domain(&self, _: &TenantId) -> Option<Box<str>> {
        Some("example.com".into())
    }
}

/// Calls get the guide's names in the order in which they are told of.
fn normalised(mut events: Vec<Value>) -> Vec<Value> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    for event in &mut events {
        if let Some(call) = event.get("callRef").and_then(Value::as_str).map(str::to_owned) {
            let next = names.len() + 1;
            let n = *names.entry(call).or_insert(next);
            event["callRef"] = format!("G{n}").into();
            if event.get("callData").is_some() {
                event["callData"]["callUUID"] = format!("C{n}").into();
            }
        }
    }
    events
}

fn projected(log: &[FactRecord], people: &dyn People) -> Vec<Value> {
    let (mut fold, mut events) = (Fold::default(), Vec::new());
    for fact in log.iter().flat_map(|record| &record.facts) {
        let after = Telephony.project(&fold, fact, people);
        fold.apply(fact);
        for emission in after(&fold) {
            assert_eq!(
                emission.recipient,
                Recipient::User(UserId::new(emission.body["loginName"].as_str().unwrap()).unwrap())
            );
            events.push(emission.body);
        }
    }
    events
}

fn check(n: usize, office: &Office) {
    let flow = &flows()[n - 1];
    let told = normalised(projected(&office.log, &Crowd::of(flow)));
    for (place, (is, should)) in told.iter().zip(&flow.events).enumerate() {
        assert_eq!(
            is,
            should,
            "flow {n}, event {}:\nis     {is}\nshould {should}\n{:#?}",
            place + 1,
            facts(office)
        );
    }
    assert_eq!(told.len(), flow.events.len(), "flow {n}: {:#?}", told.get(flow.events.len()..));
}

fn facts(office: &Office) -> Vec<String> {
    let kinds = office.log.iter().flat_map(|record| &record.facts).map(|fact| &fact.kind);
    kinds.map(|kind| format!("{kind:?}").chars().take(150).collect()).collect()
}

fn phone(number: &str) -> Party {
    Party {
        user: Some(UserId::new(format!("icm{number}")).unwrap()),
        device: Some(format!("ICTouch_{number}").parse().unwrap()),
        number: number.into(),
        ..Party::default()
    }
}

fn desk(office: &Office, number: &str) -> Routing {
    office.registered(&format!("icm{number}"), &[&format!("ICTouch_{number}")])
}

/// The live legs of a user, in the order in which they were made.
fn legs(office: &Office, number: &str) -> Vec<LegId> {
    let live = office.legs_of(&format!("icm{number}"));
    let facts = office.log.iter().flat_map(|record| &record.facts);
    let made = facts.filter_map(|fact| match &fact.kind {
        FactKind::LegCreated { leg, .. } => Some(*leg),
        _ => None,
    });
    made.filter(|leg| live.contains(leg)).collect()
}

/// The last leg of a user.
fn last(office: &Office, number: &str) -> LegId {
    *legs(office, number).last().unwrap()
}

/// 1001 calls, and the other one's only phone rings.
fn rings(office: &mut Office, number: &str) -> (LegId, LegId) {
    let routing = desk(office, number);
    let caller = office.dial_number(phone("1001"), number, routing);
    let callee = last(office, number);
    office.rings(callee);
    (caller, callee)
}

fn talks(office: &mut Office, number: &str) -> (LegId, LegId) {
    let (caller, callee) = rings(office, number);
    office.answers(callee);
    (caller, callee)
}

fn hangs_up(office: &mut Office, leg: LegId) {
    office.signal(leg, ended(Cause::Normal, 200));
    office.serve();
    office.hang_up_as_told();
    office.serve();
}

/// The enquiry of 1001, up to the answer.
fn enquires(office: &mut Office, held: LegId, anonymous: bool) -> (LegId, LegId) {
    let own = desk(office, "1001");
    let to = desk(office, "1003");
    office.does(CallCommandKind::Hold { leg: held }).unwrap();
    office.serve();
    let enquire = CallCommandKind::Enquire { leg: held, to_number: "1003".into(), anonymous };
    office.does_to(enquire, own, to).unwrap();
    office.serve();
    let second = last(office, "1001");
    office.rings(second);
    office.answers(second);
    let third = last(office, "1003");
    office.rings(third);
    office.answers(third);
    (second, third)
}

#[test]
fn the_fixture_holds_all_flows_and_all_events() {
    let flows = flows();
    assert_eq!(flows.len(), 13);
    assert_eq!(flows.iter().map(|flow| flow.events.len()).sum::<usize>(), 214);
}

#[test]
fn flow_1_a_basic_call() {
    let mut office = Office::new();
    let (_, callee) = talks(&mut office, "1002");
    hangs_up(&mut office, callee);
    check(1, &office);
}

#[test]
fn flow_2_a_blind_transfer_by_the_callee() {
    let mut office = Office::new();
    let (_, callee) = talks(&mut office, "1002");
    let to = desk(&office, "1003");
    let transfer = CallCommandKind::TransferBlind { leg: callee, to_number: "1003".into(), anonymous: false };
    office.does_to(transfer, Routing::default(), to).unwrap();
    office.serve();
    let third = last(&office, "1003");
    office.rings(third);
    office.hang_up_as_told();
    office.answers(third);
    office.hang_up_as_told();
    hangs_up(&mut office, third);
    check(2, &office);
}

fn redirected(office: &mut Office, ringing: LegId) {
    let to = desk(office, "1003");
    let redirect =
        CallCommandKind::Redirect { leg: ringing, to: Elsewhere::Number("1003".into()), anonymous: false };
    office.does_to(redirect, Routing::default(), to).unwrap();
    office.serve();
    office.hang_up_as_told();
    let third = last(office, "1003");
    office.rings(third);
    office.answers(third);
    hangs_up(office, third);
}

#[test]
fn flow_3_a_redirect_while_ringing() {
    let mut office = Office::new();
    let (_, callee) = rings(&mut office, "1002");
    redirected(&mut office, callee);
    check(3, &office);
}

#[test]
fn flow_4_a_redirect_with_two_devices() {
    let mut office = Office::new();
    let routing = office.registered("icm1002", &["MyTeamwork_1002", "ICTouch_1002"]);
    office.dial_number(phone("1001"), "1002", routing);
    let phones = legs(&office, "1002");
    phones.iter().for_each(|leg| office.rings(*leg));
    redirected(&mut office, phones[0]);
    check(4, &office);
}

#[test]
fn flow_5_an_answer_on_one_of_three_devices() {
    let mut office = Office::new();
    let devices = ["ICTouch_1002", "MyTeamwork_1002", "OTC_PC_1002"];
    let routing = office.registered("icm1002", &devices);
    office.dial_number(phone("1001"), "1002", routing);
    let phones = legs(&office, "1002");
    phones.iter().for_each(|leg| office.rings(*leg));
    office.answers(phones[2]);
    office.hang_up_as_told();
    hangs_up(&mut office, phones[2]);
    check(5, &office);
}

#[test]
fn flow_6_hold_and_enquiry() {
    let mut office = Office::new();
    let (first, callee) = talks(&mut office, "1002");
    let (_, third) = enquires(&mut office, first, false);
    hangs_up(&mut office, callee);
    hangs_up(&mut office, third);
    check(6, &office);
}

#[test]
fn flow_7_hold_and_retrieve_by_the_callee() {
    let mut office = Office::new();
    let (_, callee) = talks(&mut office, "1002");
    office.does(CallCommandKind::Hold { leg: callee }).unwrap();
    office.serve();
    office.does(CallCommandKind::Retrieve { leg: callee }).unwrap();
    office.serve();
    hangs_up(&mut office, callee);
    check(7, &office);
}

#[test]
fn flow_8_enquiry_and_alternate() {
    let mut office = Office::new();
    let (first, callee) = talks(&mut office, "1002");
    let (second, third) = enquires(&mut office, first, false);
    office.does(CallCommandKind::Alternate { active: second, held: first }).unwrap();
    office.serve();
    hangs_up(&mut office, callee);
    hangs_up(&mut office, third);
    check(8, &office);
}

#[test]
fn flow_9_an_anonymous_enquiry() {
    let mut office = Office::new();
    let (first, callee) = talks(&mut office, "1002");
    let (_, third) = enquires(&mut office, first, true);
    hangs_up(&mut office, callee);
    hangs_up(&mut office, third);
    check(9, &office);
}

#[test]
fn flow_10_an_anonymous_call() {
    let mut office = Office::new();
    let (own, to) = (desk(&office, "1001"), desk(&office, "1002"));
    let place = CallCommandKind::Place {
        from: Destination::User(UserId::new("icm1001").unwrap()),
        from_number: "1001".into(),
        to: Destination::User(UserId::new("icm1002").unwrap()),
        to_number: "1002".into(),
        options: PlaceOptions { anonymous: true, ..PlaceOptions::default() },
    };
    office.does_to(place, own, to).unwrap();
    office.serve();
    let caller = last(&office, "1001");
    office.rings(caller);
    office.answers(caller);
    let callee = last(&office, "1002");
    office.rings(callee);
    office.answers(callee);
    hangs_up(&mut office, callee);
    check(10, &office);
}

#[test]
fn flow_11_the_other_one_is_busy() {
    let mut office = Office::new();
    let routing = desk(&office, "1002");
    office.dial_number(phone("1001"), "1002", routing);
    let callee = last(&office, "1002");
    office.signal(callee, ended(Cause::Busy, 486));
    office.serve();
    office.hang_up_as_told();
    check(11, &office);
}

#[test]
fn flow_12_a_participant_is_added() {
    let mut office = Office::new();
    let (caller, callee) = talks(&mut office, "1002");
    let to = desk(&office, "1003");
    office
        .does_to(
            CallCommandKind::AddParticipant { leg: caller, to_number: "1003".into(), anonymous: false },
            Routing::default(),
            to,
        )
        .unwrap();
    office.serve();
    let third = last(&office, "1003");
    office.rings(third);
    office.answers(third);
    hangs_up(&mut office, caller);
    hangs_up(&mut office, callee);
    check(12, &office);
}

#[test]
fn flow_13_a_device_goes_out_of_service() {
    let mut office = Office::new();
    let kind = FactKind::DeviceStateChanged {
        user: UserId::new("icm1001").unwrap(),
        device: "ICTouch_1001".parse().unwrap(),
        in_service: false,
    };
    let facts = vec![Fact { tenant: office.tenant.clone(), at: office.now, kind }];
    office.log.push(FactRecord { facts, ..FactRecord::default() });
    check(13, &office);
}

#[test]
fn whoever_has_two_calls_is_busy_until_the_last_is_over() {
    let mut office = Office::new();
    let (caller, _) = talks(&mut office, "1002");
    let routing = desk(&office, "1001");
    let second = office.dial_number(phone("1003"), "1001", routing);
    let at_1001 = last(&office, "1001");
    office.rings(at_1001);
    office.answers(at_1001);
    hangs_up(&mut office, second);
    hangs_up(&mut office, caller);
    let told = projected(&office.log, &Crowd::of(&flows()[0]));
    let of_1001: Vec<&Value> = told.iter().filter(|event| event["loginName"] == "icm1001").collect();
    let states: Vec<&str> = of_1001.iter().filter_map(|event| event["state"].as_str()).collect();
    assert_eq!(states, ["BUSY", "FREE"], "{of_1001:#?}");
    let removed = of_1001.iter().filter(|event| event["eventName"] == "OnCallRemoved").count();
    assert_eq!(removed, 2, "{of_1001:#?}");
}

/// What each event says of the state of a call, without what it says of devices.
fn states(office: &Office) -> Vec<(String, String, String)> {
    let told = projected(&office.log, &Crowd::of(&flows()[0]));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let all = told.iter().map(|event| {
        (text(&event["loginName"]), text(&event["eventName"]), text(&event["callData"]["state"]))
    });
    all.filter(|(_, name, _)| name.starts_with("OnCall")).collect()
}

#[test]
fn a_device_that_is_being_woken_is_seen_as_one_that_rings() {
    let mut office = Office::new();
    talks(&mut office, "1002");
    let usual = states(&office);

    let mut office = Office::new();
    let contact = desk(&office, "1002").bindings.remove(0);
    let mut routing = desk(&office, "1002");
    routing.bindings = vec![Binding::asleep(contact.user.clone(), contact.device.clone())];
    routing.wakes = vec![(contact.device.clone(), std::time::Duration::from_secs(20))];
    office.dial_number(phone("1001"), "1002", routing);
    let callee = last(&office, "1002");
    let before = states(&office);
    assert_eq!(before, usual[..before.len()]);
    let callee_sees = ("icm1002".to_owned(), "OnCallCreated".to_owned(), "RINGING_INCOMING".to_owned());
    assert!(before.contains(&callee_sees), "{before:#?}");
    let contacts = [contact.clone()];
    let tenant = office.tenant.clone();
    let step =
        office.shard.handle_device_state(&tenant, (&contact.user, &contact.device), &contacts, office.now);
    office.take(step);
    office.serve();
    office.rings(callee);
    office.answers(callee);
    let all = states(&office);
    // Once it rings, the phone can be told to take the call: that alone is news.
    let news: Vec<_> = all.iter().filter(|state| !usual.contains(state)).collect();
    let can_be_taken = ("icm1002".to_owned(), "OnCallModified".to_owned(), String::new());
    assert_eq!(news, [&can_be_taken]);
    assert_eq!(all.last(), usual.last());
}
