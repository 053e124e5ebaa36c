//! Who is told of callers that wait, and who may let them in: the application at whose number they knock, and no other.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

mod kit;

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use http::{Method, Request, StatusCode};
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use kit::{Crowd, Door, NOW, SECRET, ask, call_created, leg_created, party, tenant};
use serde_json::{Value, json};
use sidetone_dialects::conversation::Conversation;
use sidetone_dialects::{Dialect as _, Recipient};
use sidetone_model::command::CallCommandKind;
use sidetone_model::conversation::{ConversationCommand, ConversationFact};
use sidetone_model::fact::{CommandSubject, Fact, FactKind};
use sidetone_model::ids::{CallId, LegId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;

struct Scene {
    door: Arc<Door>,
    routes: Router,
}

/// Two applications, each with a number at which callers wait for it.
async fn scene() -> Scene {
    let application = |name: &str, number: &str| pb::Application {
        tenant: "demo".into(),
        application: name.into(),
        kind: pb::ApplicationKind::Conversation.into(),
        numbers: vec![number.into()],
        ..pb::Application::default()
    };
    let door = Door::new(&[application("a", "500"), application("b", "600")], Crowd::default()).await;
    for number in ["500", "600"] {
        let destination = Some((&Destination::Wait).into());
        let (tenant, number) = ("demo".into(), number.into());
        door.directory
            .put_number(pb::Number { tenant, number, destination, ..pb::Number::default() })
            .await
            .unwrap();
    }
    door.answer_by(|command, fold| {
        let CallCommandKind::Conversation(command) = &command.kind else { unreachable!() };
        let fact = match (**command).clone() {
            ConversationCommand::PutPerson { person, application, name, display_name } => {
                ConversationFact::PersonPut { person, application, name, display_name }
            }
            ConversationCommand::Put { conversation, application, name, display_name } => {
                ConversationFact::Put { conversation, application, name, display_name }
            }
            ConversationCommand::Invite { conversation, member, person, from, to, .. } => {
                let (legs, knocked) = (Vec::new(), true);
                ConversationFact::MemberInvited { conversation, member, person, from, to, legs, knocked }
            }
            other => panic!("{other:?}"),
        };
        fold.apply(&Fact {
            tenant: tenant(),
            at: NOW,
            kind: FactKind::Conversation { fact: Box::new(fact) },
        });
        Ok(CommandSubject::Conversation(uuid::Uuid::nil().into()))
    });
    let routes = Conversation.routes(door.clone());
    Scene { door, routes }
}

impl Scene {
    async fn post(&self, application: &str, path: &str, body: Value) -> (StatusCode, Value) {
        let claims = json!({"application_id": application, "iat": NOW.as_millis() / 1000, "jti": "1"});
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        let token = encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap();
        let request = Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("idempotency-key", format!("{}", self.door.id::<CallId>()));
        ask(&self.routes, request.body(Body::from(body.to_string())).unwrap()).await
    }

    /// Where an application's members are, and the id of a user.
    async fn conversation(&self, application: &str) -> (String, Value) {
        let (_, made) = self.post(application, "/beta/conversations", json!({})).await;
        let (_, user) = self.post(application, "/beta/users", json!({"name": "ann"})).await;
        let id = made["id"].as_str().unwrap_or_else(|| panic!("{made}"));
        (format!("/beta/conversations/{id}/members"), user["id"].clone())
    }

    /// A caller waits at a number; who is told.
    fn knock(&self, from: &str, dialled: &str) -> (LegId, Vec<Recipient>) {
        let (call, leg): (CallId, LegId) = (self.door.id(), self.door.id());
        let happens = |kind| self.door.happens(&Conversation, kind);
        happens(call_created(call, party(None, from), dialled, Some(Destination::Wait)));
        happens(leg_created(leg, call, party(None, from), true));
        let told = happens(FactKind::LegWaiting { leg });
        (leg, told.into_iter().map(|emission| emission.recipient).collect())
    }
}

#[tokio::test]
async fn only_the_application_at_whose_number_it_is_is_told_of_a_knock() {
    let scene = scene().await;
    // Whoever calls may say to be anybody, the other application's number among others.
    let (_, told) = scene.knock("600", "500");
    assert!(!told.is_empty());
    assert!(told.iter().all(|who| *who == Recipient::Application("a".into())), "{told:?}");
}

#[tokio::test]
async fn nobody_lets_in_the_caller_of_another_application() {
    let scene = scene().await;
    let (leg, _) = scene.knock("4930123", "500");
    let channel = json!({"type": "phone", "from": {"type": "phone", "number": "4930123"},
        "to": {"type": "phone", "number": "500"}});
    for (application, status) in [("b", StatusCode::NOT_FOUND), ("a", StatusCode::CREATED)] {
        let (members, user) = scene.conversation(application).await;
        scene.door.taken();
        let by_numbers = json!({"action": "join", "user_id": user, "channel": channel});
        let mut by_leg = by_numbers.clone();
        by_leg["knocking_id"] = json!(format!("knocker:{leg}"));
        // With a number of its own in the request, too: the leg is what counts.
        let mut own_number = by_leg.clone();
        own_number["channel"]["to"]["number"] = json!(if application == "a" { "500" } else { "600" });
        for body in [by_numbers, by_leg, own_number] {
            let (got, answer) = scene.post(application, &members, body).await;
            assert_eq!(got, status, "{application}: {answer}");
        }
        let taken = scene.door.taken().len();
        assert_eq!(taken, if application == "a" { 3 } else { 0 });
    }
}
