//! A door that plays the rest of Sidetone: facts go in by hand, commands are kept, the directory is real.
#![allow(clippy::unwrap_used, dead_code, reason = "tests fail by panicking; not every test uses all of it")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use http::{Request, StatusCode};
use serde_json::Value;
use sidetone_dialects::{
    Application, ApplicationKind, CommandRefusal, Dialect, Doorway, Emission, MediaRef, People, Person,
    Recipient, SubscribeError, Subscription,
};
use sidetone_directory::{Directory, Password};
use sidetone_model::call::{ExternalRef, LegCause};
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fact::{CommandSubject, Fact, FactKind};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, IdSource, LegId, ReplicaId, TenantId, UserId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::embedded::EmbeddedStore;
use tokio::sync::broadcast;
use tower::ServiceExt as _;

pub(crate) const SECRET: &str = "a secret of some length";
/// 2018-10-22T10:22:10Z, the day of the bot document's samples.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_540_203_730_669);

pub(crate) fn tenant() -> TenantId {
    TenantId::new("demo").unwrap()
}

/// What a command is answered with; it may also change what is seen.
type Answering = dyn FnMut(&CallCommand, &mut Fold) -> Result<CommandSubject, CommandRefusal> + Send;

pub(crate) struct Door {
    pub(crate) directory: Directory,
    pub(crate) fold: Mutex<Fold>,
    pub(crate) commands: Mutex<Vec<CallCommand>>,
    pub(crate) now: Mutex<Timestamp>,
    pub(crate) people: Crowd,
    answering: Mutex<Box<Answering>>,
    /// What was carried out, by its key.
    done: Mutex<BTreeMap<Box<str>, CommandSubject>>,
    /// Everything that was emitted for users.
    emitted: broadcast::Sender<(UserId, Value)>,
    ids: Mutex<IdSource>,
}

/// Who there is.
#[derive(Debug, Default, Clone)]
pub(crate) struct Crowd {
    pub(crate) persons: BTreeMap<UserId, Person>,
    pub(crate) applications: Vec<Application>,
    /// Who take each other's calls.
    pub(crate) pick_up_group: Vec<UserId>,
}

impl Door {
    pub(crate) async fn new(applications: &[pb::Application], crowd: Crowd) -> Arc<Self> {
        let directory = Directory::new(EmbeddedStore::in_memory().unwrap());
        directory.put_tenant(pb::Tenant { tenant: "demo".into(), ..pb::Tenant::default() }).await.unwrap();
        for (user, person) in &crowd.persons {
            let record = pb::User {
                tenant: "demo".into(),
                user: user.to_string(),
                display_name: person.display_name.to_string(),
                ..pb::User::default()
            };
            directory.put_user(record).await.unwrap();
            for number in &person.numbers {
                let record = pb::Number {
                    tenant: "demo".into(),
                    number: number.to_string(),
                    destination: Some((&Destination::User(user.clone())).into()),
                    ..pb::Number::default()
                };
                directory.put_number(record).await.unwrap();
            }
        }
        let secret = Password::new(SECRET);
        let mut crowd = crowd;
        for application in applications {
            directory.put_application(application.clone(), Some(&secret)).await.unwrap();
            crowd.applications.push(Application {
                id: application.application.as_str().into(),
                kind: match application.kind() {
                    pb::ApplicationKind::Bot => ApplicationKind::Bot,
                    _ => ApplicationKind::Conversation,
                },
                numbers: application.numbers.iter().map(|number| number.as_str().into()).collect(),
            });
        }
        Arc::new(Self {
            directory,
            fold: Mutex::default(),
            commands: Mutex::default(),
            now: Mutex::new(NOW),
            people: crowd,
            emitted: broadcast::channel(64).0,
            done: Mutex::default(),
            answering: Mutex::new(Box::new(|command, _| Ok(subject_of(&command.kind)))),
            ids: Mutex::new(IdSource::seeded([1; 32])),
        })
    }

    pub(crate) fn answer_by(
        &self,
        answering: impl FnMut(&CallCommand, &mut Fold) -> Result<CommandSubject, CommandRefusal> + Send + 'static,
    ) {
        *self.answering.lock().unwrap() = Box::new(answering);
    }

    /// A fact happens; what a dialect says about it.
    pub(crate) fn happens(&self, dialect: &dyn Dialect, kind: FactKind) -> Vec<Emission> {
        let mut fold = self.fold.lock().unwrap();
        let fact = Fact { tenant: tenant(), at: *self.now.lock().unwrap(), kind };
        let project = dialect.project(&fold, &fact, &self.people);
        fold.apply(&fact);
        let emissions = project(&fold);
        for emission in &emissions {
            if let Recipient::User(user) = &emission.recipient {
                // Nobody may be listening.
                let _ = self.emitted.send((user.clone(), emission.body.clone()));
            }
        }
        emissions
    }

    pub(crate) fn taken(&self) -> Vec<CallCommandKind> {
        std::mem::take(&mut *self.commands.lock().unwrap()).into_iter().map(|command| command.kind).collect()
    }

    pub(crate) fn id<T: From<uuid::Uuid>>(&self) -> T {
        self.ids.lock().unwrap().make(NOW)
    }
}

/// What call control would have made or acted upon.
fn subject_of(kind: &CallCommandKind) -> CommandSubject {
    let nil = uuid::Uuid::from_u128(7);
    match kind {
        CallCommandKind::StartStream { .. } => CommandSubject::Stream(nil.into()),
        CallCommandKind::StartRecording { .. } => CommandSubject::Recording(nil.into()),
        CallCommandKind::StopRecording { recording } => CommandSubject::Recording(*recording),
        CallCommandKind::Play { .. } => CommandSubject::Playback(nil.into()),
        _ => CommandSubject::Call(nil.into()),
    }
}

#[async_trait::async_trait]
impl Doorway for Door {
    async fn execute(&self, command: CallCommand) -> Result<CommandSubject, CommandRefusal> {
        let answer = (self.answering.lock().unwrap())(&command, &mut self.fold.lock().unwrap());
        if let Ok(subject) = &answer {
            self.done.lock().unwrap().insert(command.key.clone(), *subject);
        }
        self.commands.lock().unwrap().push(command);
        answer
    }

    async fn done_before(&self, _: &TenantId, key: &str) -> Option<CommandSubject> {
        self.done.lock().unwrap().get(key).copied()
    }

    fn with_fold(&self, _: &TenantId, look: &mut dyn FnMut(&Fold)) {
        look(&self.fold.lock().unwrap());
    }

    fn subscribe(
        &self,
        _: &'static str,
        _: &TenantId,
        user: &UserId,
        _: Option<u64>,
    ) -> Result<Subscription, SubscribeError> {
        let state = (self.emitted.subscribe(), user.clone());
        let events = futures_util::stream::unfold(state, |(mut events, user)| async move {
            loop {
                match events.recv().await.ok()? {
                    (of, body) if of == user => return Some(((0, body), (events, user))),
                    _ => {}
                }
            }
        });
        Ok(Box::pin(events))
    }

    fn media_url(&self, _: &TenantId, media: MediaRef) -> String {
        match media {
            MediaRef::Recording(recording) => format!("https://door.example/media/{recording}"),
            MediaRef::Track(recording, track) => format!("https://door.example/media/{recording}/{track}"),
            MediaRef::Stream(stream) => format!("https://door.example/media/{stream}"),
        }
    }

    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn people(&self) -> &dyn People {
        &self.people
    }

    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap()
    }

    fn fresh_key(&self) -> Box<str> {
        "fresh".into()
    }
}

impl People for Crowd {
    fn person(&self, _: &TenantId, user: &UserId) -> Option<Person> {
        self.persons.get(user).cloned()
    }

    fn user_of_number(&self, _: &TenantId, number: &str) -> Option<UserId> {
        let found = self.persons.iter().find(|(_, person)| person.numbers.iter().any(|own| &**own == number));
        found.map(|(user, _)| user.clone())
    }

    fn share_pick_up_group(&self, _: &TenantId, one: &UserId, other: &UserId) -> bool {
        self.pick_up_group.contains(one) && self.pick_up_group.contains(other)
    }

    fn domain(&self, _: &TenantId) -> Option<Box<str>> {
        None
    }

    fn applications(&self, _: &TenantId) -> Vec<Application> {
        self.applications.clone()
    }
}

/// Somebody with one number.
pub(crate) fn person(user: &str, number: &str) -> (UserId, Person) {
    let person = Person { display_name: user.into(), numbers: vec![number.into()], ..Person::default() };
    (UserId::new(user).unwrap(), person)
}

pub(crate) fn party(user: Option<&str>, number: &str) -> Party {
    Party { user: user.map(|user| UserId::new(user).unwrap()), number: number.into(), ..Party::default() }
}

pub(crate) fn call_created(call: CallId, from: Party, dialled: &str, to: Option<Destination>) -> FactKind {
    FactKind::CallCreated {
        call,
        from,
        dialled: dialled.into(),
        destination: to,
        by_application: false,
        anonymous: false,
        open: false,
        headers: Vec::new(),
        max_forwards: None,
    }
}

pub(crate) fn leg_created(leg: LegId, call: CallId, party: Party, incoming: bool) -> FactKind {
    FactKind::LegCreated {
        leg,
        call,
        party,
        incoming,
        replica: ReplicaId::new("edge-1").unwrap(),
        boot: None,
        sip_call_id: "sip-call".into(),
        cause: LegCause::Normal,
        by: None,
        assistant: false,
        trunk: "".into(),
    }
}

pub(crate) fn named(call: CallId, dialect: &str, key: &str) -> FactKind {
    FactKind::ExternalRefAdded { call, external: ExternalRef { dialect: dialect.into(), key: key.into() } }
}

/// Asks a dialect's routes.
pub(crate) async fn ask(router: &Router, request: Request<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
    (status, body)
}

/// A carrier that takes every number.
pub(crate) async fn with_trunk(door: &Door) {
    let (tenant, trunk) = ("demo".to_owned(), "carrier".to_owned());
    let record = pb::Trunk {
        tenant: tenant.clone(),
        trunk: trunk.clone(),
        uri: "sip:192.0.2.1".into(),
        routes: vec![pb::TrunkRoute::default()],
        ..pb::Trunk::default()
    };
    door.directory.put_trunk(record, None).await.unwrap();
    let (replica, healthy, registered) = ("edge-1".into(), true, true);
    let state = pb::TrunkState { tenant, trunk, replica, healthy, registered, ..pb::TrunkState::default() };
    let until = Timestamp::from_millis(u64::MAX / 2);
    assert!(door.directory.hold_trunk(&state, until).await.unwrap());
}

/// Of a path of an OpenAPI document: what it does not name is not served (405).
pub(crate) async fn serves_no_other_methods(routes: &Router, path: &str, item: &Value) {
    let parts: Vec<&str> =
        path.split('/').map(|part| if part.starts_with('{') { "x" } else { part }).collect();
    let uri = parts.join("/");
    for method in
        ["get", "post", "put", "delete", "patch"].into_iter().filter(|method| item[*method].is_null())
    {
        let request = Request::builder().method(method.to_ascii_uppercase().as_str()).uri(&uri);
        let (status, _) = ask(routes, request.body(Body::empty()).unwrap()).await;
        assert_eq!(
            status,
            StatusCode::METHOD_NOT_ALLOWED,
            "{method} {uri} is served and not in the document"
        );
    }
}
