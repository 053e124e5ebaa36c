//! SUBSCRIBE and NOTIFY on real sockets (RFC 6665): phones watch their mailbox (RFC 3842).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::Phone;
use harness::{OwnerEnd, Rig, within};
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::party::Transport;
use sidetone_model::signal::{OwnerMessage, ReplicaMessage};
use sidetone_model::watch::{UserState, Watch, Watched, WatchedKind, WatchedState};
use sidetone_signalling::{Config, SubscriptionsConfig};
use sidetone_sip_core::message::Request;

const MWI: &str = "Event: message-summary\r\nAccept: application/simple-message-summary\r\n";

fn tenant() -> TenantId {
    TenantId::new("alpha").unwrap()
}

fn user(name: &str) -> UserId {
    name.parse().unwrap()
}

fn body(notify: &Request) -> String {
    String::from_utf8(notify.body().to_vec()).unwrap()
}

fn state_of(notify: &Request) -> String {
    notify.header("Subscription-State").unwrap()
}

/// The next that the replica says of whom it watches.
async fn watch(owner: &mut OwnerEnd) -> Watch {
    loop {
        if let ReplicaMessage::Watch(watch) = owner.next().await {
            return watch;
        }
    }
}

fn mailbox_of(name: &str, on: bool) -> Watch {
    let watched = Watched { tenant: tenant(), user: user(name), what: WatchedKind::Messages };
    Watch { watched, on }
}

async fn tell(owner: &OwnerEnd, name: &str, new: u32, old: u32) {
    let state = UserState::Messages { new, old };
    let message = WatchedState { tenant: tenant(), user: user(name), state };
    owner.say(OwnerMessage::Watched(message)).await;
}

#[tokio::test]
async fn a_phone_is_told_at_once_at_every_change_and_at_the_end() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let accepted = phone.subscribe("1001", "mwi", &format!("{MWI}Expires: 600\r\n")).await;
    assert_eq!((accepted.status().code(), accepted.header("Expires").as_deref()), (200, Some("600")));
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", true));
    tell(&owner, "ada", 2, 1).await;
    let first = phone.notified(0).await;
    assert_eq!(first.to().tag(), Some("tmwi"), "it is in the dialog of the SUBSCRIBE");
    assert_eq!(first.from().tag(), accepted.to().tag());
    assert_eq!(first.header("Event").as_deref(), Some("message-summary"));
    assert_eq!(first.content_type(), "application/simple-message-summary");
    assert!(state_of(&first).starts_with("active;expires="), "{}", state_of(&first));
    let expected =
        "Messages-Waiting: yes\r\nMessage-Account: sip:1001@alpha.test\r\nVoice-Message: 2/1 (0/0)\r\n";
    assert_eq!(body(&first), expected);

    // Of what changes quickly the last counts.
    for heard in 1..=3 {
        tell(&owner, "ada", 3 - heard, 1 + heard).await;
    }
    let mut changed = phone.notified(first.cseq()).await;
    while !body(&changed).contains("Voice-Message: 0/4 (0/0)") {
        changed = phone.notified(changed.cseq()).await;
    }

    // A refresh is answered by the state, even when nothing has changed.
    phone.within_dialog("SUBSCRIBE", &accepted, &format!("{MWI}Expires: 300\r\n"), "").await;
    let refreshed = phone.next_response_of("mwi").await;
    assert_eq!((refreshed.status().code(), refreshed.header("Expires").as_deref()), (200, Some("300")));
    let again = phone.notified(changed.cseq()).await;
    assert_eq!(body(&again), body(&changed));

    phone.within_dialog("SUBSCRIBE", &accepted, &format!("{MWI}Expires: 0\r\n"), "").await;
    assert_eq!(phone.next_response_of("mwi").await.status().code(), 200);
    let last = phone.notified(again.cseq()).await;
    assert_eq!((state_of(&last).as_str(), body(&last)), ("terminated;reason=timeout", body(&changed)));
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", false));
    let held = rig.telemetry.signalling.subscriptions.with_label_values(&["message-summary"]);
    rig.until("nothing is held", || held.get() == 0).await;
    phone.within_dialog("SUBSCRIBE", &accepted, &format!("{MWI}Expires: 300\r\n"), "").await;
    assert_eq!(phone.next_response_of("mwi").await.status().code(), 481, "what is over is over");
}

#[tokio::test]
async fn a_phone_that_only_asks_is_told_once() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let accepted = phone.subscribe("1001", "once", &format!("{MWI}Expires: 0\r\n")).await;
    assert_eq!((accepted.status().code(), accepted.header("Expires").as_deref()), (200, Some("0")));
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", true));
    tell(&owner, "ada", 1, 0).await;
    let only = phone.notified(0).await;
    assert_eq!(state_of(&only), "terminated;reason=timeout");
    assert!(body(&only).contains("Voice-Message: 1/0"));
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", false));
}

#[tokio::test]
async fn what_may_not_be_watched_is_refused_with_what_would_be() {
    let rig = Rig::start().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let presence = phone.subscribe("1001", "a", "Event: presence\r\n").await;
    assert_eq!(presence.status().code(), 489);
    assert!(presence.header("Allow-Events").unwrap().contains("message-summary"));
    assert_eq!(phone.subscribe("1001", "b", "").await.status().code(), 489, "an Event there must be");
    let brief = phone.subscribe("1001", "c", &format!("{MWI}Expires: 5\r\n")).await;
    assert_eq!((brief.status().code(), brief.header("Min-Expires").as_deref()), (423, Some("60")));
    let other = "Event: message-summary\r\nAccept: application/pidf+xml\r\n";
    let other = phone.subscribe("1001", "d", other).await;
    assert_eq!(other.status().code(), 406);
    assert_eq!(other.header("Accept").as_deref(), Some("application/simple-message-summary"));
    assert_eq!(phone.subscribe("1002", "e", MWI).await.status().code(), 403, "somebody else's");
    assert_eq!(phone.subscribe("7777", "f", MWI).await.status().code(), 404);
    let refused = &rig.telemetry.signalling.subscribes;
    assert_eq!(refused.with_label_values(&["other", "bad_event"]).get(), 2);
    assert_eq!(refused.with_label_values(&["message-summary", "too_brief"]).get(), 1);

    let subscriptions = SubscriptionsConfig { per_user_max: 1, ..SubscriptionsConfig::default() };
    let rig = Rig::with(Config { subscriptions, ..Config::default() }).await;
    let mut desk = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let mut mobile = Phone::udp(&rig, "1001m", "pw-mobile").await;
    assert_eq!(desk.subscribe("1001", "g", MWI).await.status().code(), 200);
    let full = mobile.subscribe("1001", "h", MWI).await;
    assert_eq!(full.status().code(), 503);
    assert!(full.header("Retry-After").is_some());
}

#[tokio::test]
async fn a_subscription_outlives_the_replica_and_an_owner_that_is_away() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let accepted = phone.subscribe("1001", "kept", &format!("{MWI}Expires: 600\r\n")).await;
    watch(&mut owner).await;
    tell(&owner, "ada", 1, 0).await;
    let first = phone.notified(0).await;
    rig.subscription_stored().await;
    rig.set_owner_present(false);
    let rig = rig.restart().await;
    drop(owner);
    // While nobody knows how things stand, a refresh is answered without a state.
    phone.within_dialog("SUBSCRIBE", &accepted, &format!("{MWI}Expires: 600\r\n"), "").await;
    assert_eq!(phone.next_response_of("kept").await.status().code(), 200);
    let neutral = phone.notified(first.cseq()).await;
    assert_eq!((body(&neutral).as_str(), state_of(&neutral).starts_with("active")), ("", true));
    rig.set_owner_present(true);
    let mut owner = rig.attach().await;
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", true), "whom it watches is said on each stream");
    tell(&owner, "ada", 1, 0).await;
    let known = phone.notified(neutral.cseq()).await;
    assert_eq!(body(&known), body(&first));
}

#[tokio::test]
async fn a_phone_that_knows_nothing_of_it_any_more_is_left_alone() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    assert_eq!(phone.subscribe("1001", "gone", MWI).await.status().code(), 200);
    watch(&mut owner).await;
    tell(&owner, "ada", 1, 0).await;
    let notify = phone.request().await;
    phone.answer(&notify, "481 Subscription Does Not Exist", "").await;
    assert_eq!(watch(&mut owner).await, mailbox_of("ada", false));
}

#[tokio::test]
async fn a_subscription_follows_its_phone_to_another_connection() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    assert_eq!(phone.subscribe("1001", "moves", MWI).await.status().code(), 200);
    watch(&mut owner).await;
    tell(&owner, "ada", 1, 0).await;
    let first = phone.notified(0).await;
    phone.reconnect(&rig).await;
    let connections = rig.telemetry.signalling.connections.with_label_values(&["tcp"]);
    rig.until("the first connection is closed", || connections.get() == 1).await;
    // Told into nothing; it is not lost.
    tell(&owner, "ada", 2, 0).await;
    let lost = rig.telemetry.signalling.notifications.with_label_values(&["message-summary", "transport"]);
    rig.until("there is no way to the phone", || lost.get() == 1).await;
    let (_, answer) = phone.register(600).await;
    assert_eq!(answer.status().code(), 200);
    let found = within(phone.notified(first.cseq())).await;
    assert!(body(&found).contains("Voice-Message: 2/0"), "{}", body(&found));
}

#[tokio::test]
async fn a_subscription_follows_its_phone_to_another_replica() {
    let holder = Rig::start().await;
    let other = holder.beside("signalling-1").await;
    let (mut owner, _other_owner) = (holder.attach().await, other.attach().await);
    let mut phone = Phone::new(&holder, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let accepted = phone.subscribe("1001", "moves", MWI).await;
    watch(&mut owner).await;
    tell(&owner, "ada", 1, 0).await;
    let first = phone.notified(0).await;
    phone.speak_to(&other).await;
    let connections = holder.telemetry.signalling.connections.with_label_values(&["tcp"]);
    holder.until("the first connection is closed", || connections.get() == 0).await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    tell(&owner, "ada", 2, 0).await;
    let found = phone.notified(first.cseq()).await;
    assert!(body(&found).contains("Voice-Message: 2/0"), "{}", body(&found));
    assert!(holder.handed_over("send") >= 1, "it is told over there");
    // And what it says of it finds back.
    phone.within_dialog("SUBSCRIBE", &accepted, &format!("{MWI}Expires: 300\r\n"), "").await;
    let refreshed = phone.next_response_of("moves").await;
    assert_eq!((refreshed.status().code(), refreshed.header("Expires").as_deref()), (200, Some("300")));
    assert!(phone.notified(found.cseq()).await.header("Subscription-State").unwrap().starts_with("active"));
}
