//! Whoever believes the events of dialect 002 knows what the server shows when it is asked, whatever telephones and applications do.
//!
//! The walk is that of call control's model (`services/call-control/core/tests/reference`): calls, forks, holds, enquiries, merges,
//! transfers, conferences, devices that sleep, restarts. Every user has a client that hears the events alone, and must have of
//! every call the state, the capabilities, the telephones and the participants that `GET telephony/state` has. And nobody is FREE
//! in a call, by what the model says of who talks.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

#[path = "../../../call-control/core/tests/reference/commands.rs"]
mod commands;
#[path = "../../../call-control/core/tests/reference/compare.rs"]
mod compare;
mod kit;
#[path = "../../../call-control/core/tests/reference/model/mod.rs"]
mod model;
#[path = "../../../call-control/core/tests/reference/walk.rs"]
mod walk;
#[path = "../../../call-control/core/tests/reference/world.rs"]
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request};
use kit::{Crowd, Door, person};
use serde_json::{Value, json};
use sidetone_dialects::Dialect as _;
use sidetone_dialects::Recipient;
use sidetone_dialects::telephony::Telephony;
use sidetone_directory::Password;
use sidetone_proto::directory::v1 as pb;
use tower::ServiceExt as _;

use model::State;
use world::World;

const WALKS: u64 = 30;
const STEPS: u32 = 300;
/// Users who have telephones: those who call, and the one who only takes calls from others.
const USERS: [u8; 5] = [0, 1, 2, 3, 9];
/// Who was told of nothing is looked at so often.
const LOOK_EVERY: u32 = 8;

/// A call as a client knows it.
struct Told {
    data: Value,
    legs: Vec<Value>,
    participants: BTreeMap<String, Value>,
    /// One of the user's telephones has been in it twice at once: events name telephones, so that nobody can tell the two apart.
    twice: bool,
}

/// A client that hears events and asks for nothing.
#[derive(Default)]
struct Client {
    calls: BTreeMap<String, Told>,
    state: Option<Value>,
}

fn list<'a>(event: &'a Value, field: &str) -> &'a [Value] {
    event[field].as_array().map_or(&[], Vec::as_slice)
}

/// Tags are told with the first event alone.
fn without_tags(data: &Value) -> Value {
    let mut data = data.clone();
    data.as_object_mut().unwrap().remove("tags");
    data
}

fn states_of(participants: &[Value]) -> BTreeMap<String, Value> {
    let state = |one: &Value| (one["participantId"].as_str().unwrap().to_owned(), one["state"].clone());
    participants.iter().map(state).collect()
}

impl Client {
    fn hears(&mut self, event: &Value) {
        let call = event["callRef"].as_str().unwrap_or_default().to_owned();
        match event["eventName"].as_str().unwrap() {
            "OnCallCreated" => {
                let devices: BTreeSet<&str> =
                    list(event, "legs").iter().filter_map(|leg| leg["deviceId"].as_str()).collect();
                let legs = list(event, "legs").to_vec();
                let told = Told {
                    data: without_tags(&event["callData"]),
                    participants: states_of(list(event, "participants")),
                    twice: devices.len() < legs.len(),
                    legs,
                };
                assert!(self.calls.insert(call, told).is_none(), "created twice: {event}");
            }
            "OnCallModified" => self.calls.get_mut(&call).expect("it was created").changes(event),
            "OnCallRemoved" => {
                assert!(self.calls.remove(&call).is_some(), "removed, and not there: {event}");
                let can_call = !list(event, "deviceCapabilities").is_empty();
                assert!(self.calls.is_empty() || !can_call, "may call in a call: {event}");
            }
            "OnUserStateModified" => {
                let state = event["state"].clone();
                assert_ne!(self.state.replace(state.clone()), Some(state), "told twice: {event}");
            }
            "OnDeviceStateModified" => {}
            other => panic!("{other}"),
        }
    }
}

impl Told {
    fn changes(&mut self, event: &Value) {
        if !event["callData"].is_null() {
            self.data = without_tags(&event["callData"]);
        }
        let place =
            |legs: &[Value], leg: &Value| legs.iter().position(|own| own["deviceId"] == leg["deviceId"]);
        for leg in list(event, "modifiedLegs") {
            let at = place(&self.legs, leg).expect("a telephone that is there is modified");
            self.legs[at] = leg.clone();
        }
        for leg in list(event, "addedLegs") {
            self.twice |= place(&self.legs, leg).is_some();
            self.legs.push(leg.clone());
        }
        for leg in list(event, "removedLegs") {
            let at = place(&self.legs, leg).expect("a telephone that is there is removed");
            self.legs.remove(at);
        }
        for id in list(event, "removedParticipantIds") {
            assert!(self.participants.remove(id.as_str().unwrap()).is_some(), "nobody leaves: {event}");
        }
        for (id, state) in states_of(list(event, "addedParticipants")) {
            assert!(self.participants.insert(id, state).is_none(), "somebody comes twice: {event}");
        }
        for (id, state) in states_of(list(event, "modifiedParticipants")) {
            assert!(self.participants.insert(id, state).is_some(), "a stranger changes: {event}");
        }
    }

    fn is(&self, shown: &Value) {
        assert_eq!(self.data, without_tags(&shown["callData"]));
        assert_eq!(self.participants, states_of(list(shown, "participants")));
        if !self.twice {
            let sorted = |legs: &[Value]| {
                let mut legs = legs.to_vec();
                legs.sort_by_key(|leg| leg["deviceId"].to_string());
                legs
            };
            assert_eq!(sorted(&self.legs), sorted(list(shown, "legs")));
        }
    }
}

/// The server, and a client of each user.
struct Office {
    door: Arc<Door>,
    routes: Router,
    cookies: BTreeMap<u8, String>,
    clients: BTreeMap<u8, Client>,
    /// Entries of the log that were told.
    told: usize,
    runtime: tokio::runtime::Runtime,
}

fn name(user: u8) -> String {
    format!("u{user}")
}

impl Office {
    fn open() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (door, routes, cookies) = runtime.block_on(Self::with_sessions());
        let clients = USERS.iter().map(|user| (*user, Client::default())).collect();
        Self { door, routes, cookies, clients, told: 0, runtime }
    }

    async fn with_sessions() -> (Arc<Door>, Router, BTreeMap<u8, String>) {
        let persons = USERS.iter().map(|user| person(&name(*user), &format!("90{user}"))).collect();
        let door = Door::new(&[], Crowd { persons, ..Crowd::default() }).await;
        let routes = Telephony.routes(door.clone());
        let mut cookies = BTreeMap::new();
        for user in USERS {
            let device = pb::Device {
                tenant: "demo".into(),
                user: name(user),
                device: "d0".into(),
                auth_username: name(user),
                algorithms: vec!["SHA-256".into()],
                ..pb::Device::default()
            };
            door.directory.put_device(device, Some(&Password::new("a password"))).await.unwrap();
            use base64::Engine as _;
            let basic = base64::prelude::BASE64_STANDARD.encode(format!("{}:a password", name(user)));
            let request =
                Request::get("/api/rest/authenticate").header("authorization", format!("Basic {basic}"));
            let response = routes.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
            let cookie = response.headers()["set-cookie"].to_str().unwrap();
            cookies.insert(user, cookie.split(';').next().unwrap().to_owned());
        }
        (door, routes, cookies)
    }

    /// Everything new in the log happens; who was told of something.
    fn tell(&mut self, world: &World) -> BTreeSet<u8> {
        let mut heard = BTreeSet::new();
        let mut fold = self.door.fold.lock().unwrap();
        for fact in world.log[self.told..].iter().flat_map(|record| &record.facts) {
            let after = Telephony.project(&fold, fact, &self.door.people);
            fold.apply(fact);
            for emission in after(&fold) {
                let Recipient::User(user) = &emission.recipient else { panic!("{emission:?}") };
                let user: u8 = user.as_str().trim_start_matches('u').parse().unwrap();
                let Some(client) = self.clients.get_mut(&user) else { continue };
                client.hears(&emission.body);
                heard.insert(user);
            }
        }
        self.told = world.log.len();
        heard
    }

    fn ask(&self, user: u8) -> Value {
        let request = Request::builder()
            .method(Method::GET)
            .uri("/api/rest/1.0/telephony/state")
            .header("cookie", &self.cookies[&user]);
        let (status, state) =
            self.runtime.block_on(kit::ask(&self.routes, request.body(Body::empty()).unwrap()));
        assert!(status.is_success(), "{state}");
        state
    }

    /// What a user's client knows is what the server shows.
    fn compare(&self, user: u8) {
        let (client, shown) = (&self.clients[&user], self.ask(user));
        let state = client.state.clone().unwrap_or(json!("FREE"));
        assert_eq!(state, shown["userState"], "u{user}: {shown:#}");
        let calls = list(&shown, "calls");
        let known: Vec<&str> = client.calls.keys().map(String::as_str).collect();
        let mut there: Vec<&str> = calls.iter().map(|call| call["callRef"].as_str().unwrap()).collect();
        there.sort_unstable();
        assert_eq!(known, there, "u{user}: {shown:#}");
        for call in calls {
            client.calls[call["callRef"].as_str().unwrap()].is(call);
        }
    }

    /// By what the model says: who talks is busy, and who has no leg is free.
    fn nobody_is_free_in_a_call(&self, world: &World) {
        for (user, client) in &self.clients {
            let own = || world.model.here().filter(|(_, it)| it.user == Some(*user));
            let talks = own().any(|(_, it)| it.state == State::Talking && !it.diverted);
            let state = client.state.clone().unwrap_or(json!("FREE"));
            assert!(!talks || state == "BUSY", "u{user} talks, and is {state}");
            let gone = own().next().is_none();
            assert!(!gone || state == "FREE", "u{user} is in no call, and {state}");
        }
    }
}

fn go(seed: u64) -> usize {
    let (mut world, mut office) = (World::new(seed), Office::open());
    for step in 0..STEPS {
        let what = world.step();
        let heard = office.tell(&world);
        let looked_at = USERS.iter().filter(|user| heard.contains(*user) || step % LOOK_EVERY == 0);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            looked_at.for_each(|user| office.compare(*user));
            office.nobody_is_free_in_a_call(&world);
        }));
        assert!(outcome.is_ok(), "walk {seed}, step {step}: {what}");
    }
    world.all_hang_up();
    office.tell(&world);
    for user in USERS {
        office.compare(user);
        assert!(office.clients[&user].calls.is_empty(), "u{user} hung up");
    }
    office.nobody_is_free_in_a_call(&world);
    world.reads_its_log();
    world.log.iter().map(|record| record.facts.len()).sum()
}

#[test]
fn a_client_that_believes_the_events_knows_what_the_server_shows() {
    let one = std::env::var("SIDETONE_WALK_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = one.map_or(0..WALKS, |seed: u64| seed..seed + 1);
    let facts: usize = seeds.map(go).sum();
    assert!(facts > 100, "something happened");
}
