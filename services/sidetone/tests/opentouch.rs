//! The 13 flows of the OpenTouch call flow guide, 214 events, by telephones that speak SIP and clients that speak HTTP.
//!
//! Each user has a client of its own, logged in and listening at its channel; what it hears is compared field by field
//! and in its order with the fixture that the guide's events are kept in. Normalised are `callRef` and `callUUID` only.
//!
//! What a telephone can do itself, it does: calling, ringing, answering, holding, retrieving, asking somebody else in a
//! second call, hanging up, being busy, logging off. By HTTP go what the guide's clients do: blind transfer (flow 2),
//! redirection (3, 4), the anonymous calls (9, 10), and adding a participant (12).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::collections::BTreeMap;
use std::sync::Arc;

use reqwest::Method;
use serde_json::{Value, json};
use sidetone_testkit::phone::{Call, Direction, Incoming, Phone, PhoneConfig, PhoneError};
use support::clients::Telephony;
use support::phones::{self, call_again, eventually};
use support::process::Installation;
use tokio::task::JoinHandle;

/// The users of a flow with their telephones and clients.
struct Office {
    installation: Installation,
    flow: usize,
    phones: BTreeMap<String, Arc<Phone>>,
    clients: BTreeMap<String, Telephony>,
    should: BTreeMap<String, Vec<Value>>,
}

const NUMBERS: [&str; 3] = ["1001", "1002", "1003"];

/// The devices of each number in a flow; the guide's three users exist, also where a flow does not list them.
fn devices_of(flow: &Value, number: &str) -> Vec<String> {
    let users = flow["users"].as_array().unwrap();
    let listed = users.iter().find(|user| user["number"] == number);
    listed.map_or_else(
        || vec![format!("ICTouch_{number}")],
        |user| user["devices"].as_array().unwrap().iter().map(|it| it.as_str().unwrap().to_owned()).collect(),
    )
}

fn tenant(flow: &Value) -> String {
    let mut text = String::from("[[seed.tenants]]\ntenant = \"guide\"\ndomains = [\"example.com\"]\n");
    for number in NUMBERS {
        let devices: Vec<String> = devices_of(flow, number)
            .iter()
            .map(|device| {
                let name = username(device);
                format!(
                    "{{ device = \"{device}\", auth_username = \"{name}\", password = \"secret-{name}\" }}"
                )
            })
            .collect();
        text.push_str(&format!(
            "[[seed.tenants.users]]\nuser = \"icm{number}\"\ndisplay_name = \"FN-{number} LN-{number}\"\n\
             numbers = [\"{number}\"]\ndevices = [{}]\n",
            devices.join(", ")
        ));
    }
    text
}

/// A user's first telephone calls itself by the number.
fn username(device: &str) -> &str {
    device.strip_prefix("ICTouch_").unwrap_or(device)
}

impl Office {
    async fn open(n: usize) -> Self {
        let flows: Vec<Value> =
            serde_json::from_str(include_str!("../../signalling/dialects/fixtures/telephony.json")).unwrap();
        let flow = &flows[n - 1];
        let installation = Installation::with_seed(&tenant(flow));
        let mut office = Self {
            installation,
            flow: n,
            phones: BTreeMap::new(),
            clients: BTreeMap::new(),
            should: BTreeMap::new(),
        };
        for event in flow["events"].as_array().unwrap() {
            let number = event["loginName"].as_str().unwrap().trim_start_matches("icm").to_owned();
            office.should.entry(number).or_default().push(event.clone());
        }
        for number in NUMBERS {
            office.moves_in(number, &devices_of(flow, number)).await;
        }
        office
    }

    /// Listens, and registers a user's telephones, until all of them are said to be there.
    async fn moves_in(&mut self, number: &str, devices: &[String]) {
        let login = format!("icm{number}@example.com");
        let client = Telephony::start(&self.installation, &login, &format!("secret-{number}")).await;
        for device in devices {
            let name = username(device);
            let config =
                PhoneConfig::new(self.installation.sip, "example.com", name, &format!("secret-{name}"));
            let phone = Phone::start(PhoneConfig { ring_by_hand: true, ..config }).await.unwrap();
            phone.register().await.unwrap();
            self.phones.insert(device.clone(), Arc::new(phone));
        }
        let told_of = |device: &String| {
            client.events().iter().any(|event| {
                let states = event["deviceStates"].as_array().map_or(&[][..], Vec::as_slice);
                states.iter().any(|state| state["deviceId"] == **device && state["state"] == "IN_SERVICE")
            })
        };
        self.until("the telephones are there", || devices.iter().all(told_of)).await;
        // What was told of the registrations is not of the flow.
        client.forget();
        self.clients.insert(number.to_owned(), client);
    }

    /// A telephone calls.
    fn calls(&self, device: &str, number: &str) -> JoinHandle<Result<Call, PhoneError>> {
        let (phone, number) = (Arc::clone(&self.phones[device]), number.to_owned());
        tokio::spawn(async move { call_again(&phone, &number).await })
    }

    /// A telephone is called, and rings.
    async fn rings(&self, device: &str) -> Incoming {
        let incoming = phones::incoming(&self.phones[device]).await;
        incoming.ring();
        incoming
    }

    async fn until(&self, what: &str, holds: impl FnMut() -> bool) {
        eventually(&self.installation, &format!("flow {}: {what}", self.flow), holds).await;
    }

    /// Waits until a user's last call is in a state.
    async fn state(&self, number: &str, state: &str) {
        self.until(&format!("{number} is {state}"), || self.clients[number].call_state() == state).await;
    }

    /// Waits until a user has been told so many events of the flow.
    async fn told(&self, number: &str, count: usize) {
        self.until(&format!("{number} is told {count}"), || self.clients[number].events().len() >= count)
            .await;
    }

    /// The number of the events that the guide has for a user.
    fn all(&self, number: &str) -> usize {
        self.should[number].len()
    }

    /// 1001 calls 1002, and both talk.
    async fn talking(&self) -> (Call, Call) {
        let calling = self.calls("ICTouch_1001", "1002");
        let ringing = self.rings("ICTouch_1002").await;
        self.state("1001", "RINGING_OUTGOING").await;
        let at_callee = ringing.answer().unwrap();
        let at_caller = calling.await.unwrap().unwrap();
        self.state("1001", "ACTIVE").await;
        self.state("1002", "ACTIVE").await;
        (at_caller, at_callee)
    }

    /// 1001 holds, and asks 1003 in a second call.
    async fn asking(&self, held: &Call) -> (Call, Call) {
        held.reinvite(Direction::SendOnly).await.unwrap();
        self.state("1001", "HELD").await;
        let calling = self.calls("ICTouch_1001", "1003");
        let ringing = self.rings("ICTouch_1003").await;
        self.state("1001", "RINGING_OUTGOING").await;
        let at_third = ringing.answer().unwrap();
        let at_caller = calling.await.unwrap().unwrap();
        self.state("1001", "ACTIVE").await;
        self.state("1003", "ACTIVE").await;
        (at_caller, at_third)
    }

    /// Whoever 1001 held hangs up, then whoever it talks with.
    async fn both_hang_up(&self, first: Call, second: Call) {
        first.hang_up().await.unwrap();
        self.told("1002", self.all("1002")).await;
        let removed = |events: &[Value]| events.iter().any(|event| event["eventName"] == "OnCallRemoved");
        self.until("the first call is over", || removed(&self.clients["1001"].events())).await;
        second.hang_up().await.unwrap();
    }

    /// Everybody was told what the guide says and nothing else: the end is marked by telephones that log off.
    async fn check(self) {
        for number in self.should.keys() {
            self.told(number, self.all(number)).await;
        }
        if self.flow != 13 {
            for number in NUMBERS {
                self.phones[&format!("ICTouch_{number}")].unregister().await.unwrap();
            }
        }
        for (number, client) in &self.clients {
            let off = |event: &Value| event["eventName"] == "OnDeviceStateModified";
            let marked = self.flow != 13 || number == "1001";
            self.until("logged off", || !marked || client.events().iter().any(off)).await;
        }
        let names = self.names();
        for (number, client) in &self.clients {
            let mut is: Vec<Value> =
                client.events().into_iter().map(|event| normalised(event, &names)).collect();
            if self.flow != 13 {
                is.pop();
            }
            let mut should = self.should.get(number).cloned().unwrap_or_default();
            cancelled_phones_in_one_order(&mut is);
            cancelled_phones_in_one_order(&mut should);
            for (place, (is, should)) in is.iter().zip(&should).enumerate() {
                assert_eq!(
                    is,
                    should,
                    "flow {}, {number}, event {}:\nis     {is}\nshould {should}",
                    self.flow,
                    place + 1
                );
            }
            assert_eq!(is.len(), should.len(), "flow {}, {number}: {is:#?}", self.flow);
        }
    }

    /// The guide's names of the calls, in the order in which 1001, who is in all of them, was told.
    fn names(&self) -> BTreeMap<String, usize> {
        self.clients["1001"].call_refs().into_iter().zip(1..).collect()
    }
}

fn normalised(mut event: Value, names: &BTreeMap<String, usize>) -> Value {
    let Some(call) = event.get("callRef").and_then(Value::as_str) else { return event };
    let n = names[call];
    if event.get("callData").is_some() {
        assert_eq!(event["callData"]["callUUID"], event["callRef"], "the same for all users");
        event["callData"]["callUUID"] = format!("C{n}").into();
    }
    event["callRef"] = format!("G{n}").into();
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_1_a_basic_call() {
    let office = Office::open(1).await;
    let (_, at_callee) = office.talking().await;
    at_callee.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_2_a_blind_transfer_by_the_callee() {
    let office = Office::open(2).await;
    let _two = office.talking().await;
    let call = office.clients["1002"].call_ref();
    office.clients["1002"].operate(&call, "blindtransfer", json!({ "transferTo": "1003" })).await;
    let ringing = office.rings("ICTouch_1003").await;
    office.state("1003", "RINGING_INCOMING").await;
    office.state("1001", "RINGING_OUTGOING").await;
    let at_third = ringing.answer().unwrap();
    office.state("1001", "ACTIVE").await;
    office.state("1003", "ACTIVE").await;
    at_third.hang_up().await.unwrap();
    office.check().await;
}

/// 1002 sends the call on that rings there; 1003 takes it and hangs up.
async fn redirected(office: Office, calling: JoinHandle<Result<Call, PhoneError>>) {
    let call = office.clients["1002"].call_ref();
    office.clients["1002"].operate(&call, "redirect", json!({ "redirectTo": "1003" })).await;
    let ringing = office.rings("ICTouch_1003").await;
    office.state("1003", "RINGING_INCOMING").await;
    office.told("1002", office.all("1002")).await;
    let at_third = ringing.answer().unwrap();
    calling.await.unwrap().unwrap();
    office.state("1001", "ACTIVE").await;
    office.state("1003", "ACTIVE").await;
    at_third.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_3_a_redirect_while_ringing() {
    let office = Office::open(3).await;
    let calling = office.calls("ICTouch_1001", "1002");
    let _ringing = office.rings("ICTouch_1002").await;
    office.state("1001", "RINGING_OUTGOING").await;
    redirected(office, calling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_4_a_redirect_with_two_devices() {
    let office = Office::open(4).await;
    let calling = office.calls("ICTouch_1001", "1002");
    let _first = office.rings("MyTeamwork_1002").await;
    office.told("1002", 1).await;
    let _second = office.rings("ICTouch_1002").await;
    office.told("1002", 2).await;
    office.state("1001", "RINGING_OUTGOING").await;
    redirected(office, calling).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_5_an_answer_on_one_of_three_devices() {
    let office = Office::open(5).await;
    let calling = office.calls("ICTouch_1001", "1002");
    // As in the guide, whose order of events is not that of its list of devices.
    let mut ringing = Vec::new();
    for (told, device) in (1..).zip(["ICTouch_1002", "MyTeamwork_1002", "OTC_PC_1002"]) {
        ringing.push(office.rings(device).await);
        office.told("1002", told).await;
    }
    office.state("1001", "RINGING_OUTGOING").await;
    let at_callee = ringing[2].answer().unwrap();
    calling.await.unwrap().unwrap();
    office.state("1001", "ACTIVE").await;
    let others_are_silent = 7;
    office.told("1002", others_are_silent).await;
    at_callee.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_6_hold_and_enquiry() {
    let office = Office::open(6).await;
    let (first, at_callee) = office.talking().await;
    let (_, at_third) = office.asking(&first).await;
    office.both_hang_up(at_callee, at_third).await;
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_7_hold_and_retrieve_by_the_callee() {
    let office = Office::open(7).await;
    let (_, at_callee) = office.talking().await;
    at_callee.reinvite(Direction::SendOnly).await.unwrap();
    office.state("1001", "HELD").await;
    office.state("1002", "HELD").await;
    at_callee.reinvite(Direction::SendRecv).await.unwrap();
    office.state("1001", "ACTIVE").await;
    office.state("1002", "ACTIVE").await;
    at_callee.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_8_enquiry_and_alternate() {
    let mut office = Office::open(8).await;
    let (first, at_callee) = office.talking().await;
    let (second, at_third) = office.asking(&first).await;
    // A connection that is lost in the middle of it costs no event, and none comes twice.
    office.clients.get_mut("1001").unwrap().reconnect().await;
    second.reinvite(Direction::SendOnly).await.unwrap();
    office.state("1003", "HELD").await;
    first.reinvite(Direction::SendRecv).await.unwrap();
    office.state("1001", "ACTIVE").await;
    office.state("1002", "ACTIVE").await;
    office.both_hang_up(at_callee, at_third).await;
    office.check().await;
}

/// The own telephone is called and takes the call; then 1003 or 1002 rings and does so.
async fn placed(office: &Office, other: &str) -> Call {
    let own = office.rings("ICTouch_1001").await;
    own.answer().unwrap();
    let ringing = office.rings(&format!("ICTouch_{other}")).await;
    office.state("1001", "RINGING_OUTGOING").await;
    let at_other = ringing.answer().unwrap();
    office.state("1001", "ACTIVE").await;
    office.state(other, "ACTIVE").await;
    at_other
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_9_an_anonymous_enquiry() {
    let office = Office::open(9).await;
    let (first, at_callee) = office.talking().await;
    first.reinvite(Direction::SendOnly).await.unwrap();
    office.state("1001", "HELD").await;
    let call = office.clients["1001"].call_ref();
    let enquiry = json!({ "callee": "1003", "anonymous": true });
    office.clients["1001"].operate(&call, "enquiry", enquiry).await;
    let at_third = placed(&office, "1003").await;
    office.both_hang_up(at_callee, at_third).await;
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_10_an_anonymous_call() {
    let office = Office::open(10).await;
    let call = json!({ "deviceId": "ICTouch_1001", "callee": "1002", "anonymous": true });
    office.clients["1001"].done(Method::POST, "/telephony/calls", call).await;
    let at_callee = placed(&office, "1002").await;
    at_callee.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_11_the_other_one_is_busy() {
    let office = Office::open(11).await;
    let calling = office.calls("ICTouch_1001", "1002");
    let incoming = phones::incoming(&office.phones["ICTouch_1002"]).await;
    office.told("1001", 2).await;
    incoming.reject(486, "Busy Here");
    let refused = calling.await.unwrap();
    assert!(matches!(refused, Err(PhoneError::Refused { status: 486, .. })), "{refused:?}");
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_12_a_participant_is_added() {
    let office = Office::open(12).await;
    let (at_caller, at_callee) = office.talking().await;
    let call = office.clients["1001"].call_ref();
    office.clients["1001"].operate(&call, "participants", json!({ "callee": "1003" })).await;
    let ringing = office.rings("ICTouch_1003").await;
    office.state("1003", "RINGING_INCOMING").await;
    ringing.answer().unwrap();
    office.state("1003", "ACTIVE").await;
    at_caller.hang_up().await.unwrap();
    office.told("1001", office.all("1001")).await;
    at_callee.hang_up().await.unwrap();
    office.check().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn flow_13_a_device_goes_out_of_service() {
    let office = Office::open(13).await;
    office.phones["ICTouch_1001"].unregister().await.unwrap();
    office.check().await;
}

/// Phones that are cancelled at once fall silent in the order in which their answers come over the network; the guide can show only
/// one order of them.
fn cancelled_phones_in_one_order(events: &mut [Value]) {
    let only_removes = |event: &Value| {
        let fields = ["addedLegs", "modifiedLegs", "addedParticipants", "modifiedParticipants"];
        let removes = event["removedLegs"].as_array().is_some_and(|legs| !legs.is_empty());
        removes && fields.iter().all(|field| event[field].as_array().is_some_and(Vec::is_empty))
    };
    for run in events.chunk_by_mut(|one, other| only_removes(one) && only_removes(other)) {
        run.sort_by_key(|event| event["removedLegs"].to_string());
    }
}
