//! A phone watches the calls of another user (RFC 4235), as far as the directory lets it.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::Phone;
use harness::{OwnerEnd, Rig};
use sidetone_model::ids::{IdSource, LegId, TenantId, UserId};
use sidetone_model::signal::{OwnerMessage, ReplicaMessage};
use sidetone_model::time::Timestamp;
use sidetone_model::watch::{
    DialogPhase, RemoteParty, UserDialog, UserState, Watched, WatchedKind, WatchedState,
};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::message::Request;

const LAMP: &str = "Event: dialog\r\nAccept: application/dialog-info+xml\r\nExpires: 600\r\n";

fn of_ben() -> Watched {
    let (tenant, user): (TenantId, UserId) = ("alpha".parse().unwrap(), "ben".parse().unwrap());
    Watched { tenant, user, what: WatchedKind::Dialogs }
}

async fn watches_ben(owner: &mut OwnerEnd) {
    loop {
        if let ReplicaMessage::Watch(watch) = owner.next().await {
            assert_eq!((watch.watched, watch.on), (of_ben(), true));
            return;
        }
    }
}

fn ringing() -> UserDialog {
    let leg: LegId = IdSource::seeded([9; 32]).make(Timestamp::from_millis(5));
    let remote = RemoteParty { number: "+4940777".into(), display_name: "Zoe & Co".into() };
    UserDialog { leg, initiator: false, phase: DialogPhase::Early, remote: Some(remote) }
}

async fn tell(owner: &OwnerEnd, dialogs: &[UserDialog]) {
    let Watched { tenant, user, .. } = of_ben();
    let state = UserState::Dialogs(dialogs.to_vec());
    owner.say(OwnerMessage::Watched(WatchedState { tenant, user, state })).await;
}

fn body(notify: &Request) -> String {
    String::from_utf8(notify.body().to_vec()).unwrap()
}

async fn let_ben_be_seen(rig: &Rig, lamp: pb::BusyLamp) {
    let user = pb::User {
        tenant: "alpha".into(),
        user: "ben".into(),
        busy_lamp: lamp.into(),
        ..pb::User::default()
    };
    rig.directory.put_user(user).await.unwrap();
}

#[tokio::test]
async fn a_lamp_is_told_everything_at_first_and_then_every_change() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(phone.subscribe("1002", "lamp", LAMP).await.status().code(), 200);
    watches_ben(&mut owner).await;
    tell(&owner, &[]).await;
    let idle = phone.notified(0).await;
    assert_eq!(idle.content_type(), "application/dialog-info+xml");
    assert!(
        body(&idle).contains("version=\"0\" state=\"full\" entity=\"sip:1002@alpha.test\""),
        "{}",
        body(&idle)
    );
    assert!(!body(&idle).contains("<dialog "));
    tell(&owner, &[ringing()]).await;
    let rings = phone.notified(idle.cseq()).await;
    for part in [
        "version=\"1\"",
        "direction=\"recipient\"",
        "<state>early</state>",
        "<identity display=\"Zoe &amp; Co\">sip:+4940777@alpha.test</identity>",
    ] {
        assert!(body(&rings).contains(part), "{part} in {}", body(&rings));
    }
    tell(&owner, &[]).await;
    let over = phone.notified(rings.cseq()).await;
    assert!(body(&over).contains("version=\"2\""));
    assert!(body(&over).contains("<state>terminated</state>"), "{}", body(&over));
    assert_eq!(phone.subscribe("9198", "a", LAMP).await.status().code(), 404, "nobody's number");
}

#[tokio::test]
async fn the_directory_says_how_much_of_a_user_is_seen_also_later() {
    let rig = Rig::start().await;
    let_ben_be_seen(&rig, pb::BusyLamp::State).await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let accepted = phone.subscribe("1002", "lamp", LAMP).await;
    assert_eq!(accepted.status().code(), 200);
    watches_ben(&mut owner).await;
    tell(&owner, &[ringing()]).await;
    let rings = phone.notified(0).await;
    assert!(body(&rings).contains("<state>early</state>"));
    assert!(!body(&rings).contains("<remote>"), "{}", body(&rings));

    let_ben_be_seen(&rig, pb::BusyLamp::Nobody).await;
    assert_eq!(phone.subscribe("1002", "more", LAMP).await.status().code(), 403);
    // Who watches already is told at the next refresh.
    phone.within_dialog("SUBSCRIBE", &accepted, LAMP, "").await;
    let mut last = rings.cseq();
    let end = loop {
        let notify = phone.notified(last).await;
        last = notify.cseq();
        if notify.header("Subscription-State").unwrap().starts_with("terminated") {
            break notify;
        }
    };
    assert_eq!(end.header("Subscription-State").as_deref(), Some("terminated;reason=rejected"));
    assert_eq!(body(&end), "");
    // One's own calls are seen in any case.
    let mut own = Phone::udp(&rig, "1002", "pw-of-ben").await;
    assert_eq!(own.subscribe("1002", "own", LAMP).await.status().code(), 200);
}

async fn terminated(phone: &mut Phone, after: &Request) -> Request {
    let mut last = after.cseq();
    loop {
        let notify = phone.notified(last).await;
        last = notify.cseq();
        if notify.header("Subscription-State").unwrap().starts_with("terminated") {
            return notify;
        }
    }
}

#[tokio::test]
async fn a_device_that_is_none_any_more_is_told_nothing_more() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let lamp = phone.subscribe("1002", "lamp", LAMP).await;
    watches_ben(&mut owner).await;
    tell(&owner, &[ringing()]).await;
    let lit = phone.notified(0).await;
    let (tenant, user): (TenantId, UserId) = ("alpha".parse().unwrap(), "ada".parse().unwrap());
    rig.directory.delete_device(&tenant, &user, &"desk".parse().unwrap()).await.unwrap();
    phone.within_dialog("SUBSCRIBE", &lamp, LAMP, "").await;
    let end = terminated(&mut phone, &lit).await;
    assert_eq!(end.header("Subscription-State").as_deref(), Some("terminated;reason=rejected"));
    assert_eq!(body(&end), "");
}

#[tokio::test]
async fn names_that_may_not_be_seen_any_more_are_not_told_once_more() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let lamp = phone.subscribe("1002", "lamp", LAMP).await;
    watches_ben(&mut owner).await;
    tell(&owner, &[ringing()]).await;
    let lit = phone.notified(0).await;
    assert!(body(&lit).contains("<remote>"), "{}", body(&lit));
    let_ben_be_seen(&rig, pb::BusyLamp::State).await;
    phone.within_dialog("SUBSCRIBE", &lamp, LAMP, "").await;
    // The owner has not said anything meanwhile.
    let refreshed = phone.notified(lit.cseq()).await;
    assert!(body(&refreshed).contains("<state>early</state>"), "{}", body(&refreshed));
    assert!(!body(&refreshed).contains("<remote>"), "{}", body(&refreshed));
}
