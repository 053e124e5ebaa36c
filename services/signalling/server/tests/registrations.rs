//! REGISTER on real sockets.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::phone::Phone;
use harness::{Rig, invite_to};
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::ids::IdSource;
use sidetone_model::party::{Binding, Party, Transport};
use sidetone_model::time::Timestamp;
use sidetone_signalling::Config;
use sidetone_sip_core::auth::Algorithm;
use sidetone_sip_core::message::{Limits, Message, parse_datagram};

#[tokio::test]
async fn every_algorithm_proves_a_phone_and_expires_0_unregisters() {
    for algorithm in [Algorithm::Sha512_256, Algorithm::Sha256, Algorithm::Md5] {
        let digest_algorithms = vec![algorithm.token().to_owned()];
        let rig = Rig::with(Config { digest_algorithms, ..Config::default() }).await;
        let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
        phone.algorithm = algorithm;
        let (challenge, answer) = phone.register(600).await;
        assert_eq!((challenge.status().code(), answer.status().code()), (401, 200));
        assert!(answer.header("Contact").unwrap().contains("expires="));
        let bindings = rig.bindings("alpha", "ada").await;
        assert_eq!(bindings.len(), 1, "a phone without instance id that moved is one contact");
        assert_eq!(bindings[0].binding.flow.remote, phone.local);
        assert_eq!(phone.register(0).await.1.status().code(), 200);
        assert!(rig.bindings("alpha", "ada").await.is_empty());
    }
}

#[tokio::test]
async fn a_wrong_password_an_unknown_user_and_an_unknown_domain_get_nowhere() {
    let rig = Rig::start().await;
    for (user, password) in [("1001", "guessed"), ("nobody", "pw-of-ada"), ("1002", "pw-of-ada")] {
        let (_, answer) = Phone::udp(&rig, user, password).await.register(600).await;
        assert_eq!(answer.status().code(), 401);
        assert!(!answer.header("WWW-Authenticate").unwrap().contains("stale"));
    }
    let mut lost = Phone::new(&rig, Transport::Udp, "gamma.test", "1001", "pw-of-ada").await;
    let register = lost.compose("REGISTER", "gamma.test", "<sip:1001@gamma.test>", "x", "", "");
    lost.send(register).await;
    let unknown = rig.telemetry.signalling.defended.with_label_values(&["unknown_domain"]);
    rig.until("no answer", || unknown.get() == 1).await;
    assert!(rig.bindings("alpha", "ada").await.is_empty());
}

#[tokio::test]
async fn a_nonce_used_again_is_stale_and_says_so() {
    let rig = Rig::start().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let (uri, to) = ("alpha.test", "<sip:1001@alpha.test>");
    let register = phone.compose("REGISTER", uri, to, "c", "", "");
    phone.send(register).await;
    let challenge = phone.last().await;
    let authorization = phone.authorization(&challenge, "REGISTER", uri);
    for expected in [200, 401] {
        let register = phone.compose("REGISTER", uri, to, "c", &authorization, "");
        phone.send(register).await;
        let answer = phone.last().await;
        assert_eq!(answer.status().code(), expected);
        if expected == 401 {
            assert!(answer.header("WWW-Authenticate").unwrap().contains("stale=true"));
        }
    }
}

#[tokio::test]
async fn a_registered_phone_rings_after_the_replica_was_killed_and_came_back() {
    let rig = Rig::start().await;
    let killed = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    let before = rig.bindings("alpha", "ada").await.remove(0);
    let rig = rig.restart().await;
    drop(killed);
    let after = rig.bindings("alpha", "ada").await.remove(0);
    assert_eq!((&after.binding, after.expires_at), (&before.binding, before.expires_at));
    let owner = rig.attach().await;
    let from = Party { number: "1002".into(), ..Party::default() };
    owner.calls(3, Invite { from, ..invite_to("1001", after.binding) }).await;
    let Message::Request(invite) = parse_datagram(phone.datagram().await.into(), &Limits::default()).unwrap()
    else {
        panic!("an INVITE")
    };
    assert_eq!(invite.method().as_str(), "INVITE");
    // The phone's next refresh is one of the same contact.
    assert_eq!(phone.register(600).await.1.status().code(), 200);
    assert_eq!(rig.bindings("alpha", "ada").await.len(), 1);
}

#[tokio::test]
async fn two_devices_of_a_user_and_two_tenants_with_equal_names_stand_beside_each_other() {
    let rig = Rig::start().await;
    let mut desk = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(desk.register(600).await.1.status().code(), 200);
    // The second device registers the same address of record under its own digest name.
    let mut mobile = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001m", "pw-mobile").await;
    let (_, answer) = mobile.register(600).await;
    assert_eq!(answer.status().code(), 200);
    assert_eq!(answer.headers_named("Contact").len(), 2, "the answer lists the contacts of all devices");
    assert_eq!(rig.bindings("alpha", "ada").await.len(), 2);
    assert!(rig.bindings("beta", "ada").await.is_empty());

    let wrong =
        Phone::new(&rig, Transport::Udp, "beta.test", "1001", "pw-of-ada").await.register(600).await.1;
    assert_eq!(wrong.status().code(), 401, "the other tenant's password");
    let mut beta = Phone::new(&rig, Transport::Udp, "beta.test", "1001", "pw-of-beta").await;
    assert_eq!(beta.register(600).await.1.status().code(), 200);
    assert_eq!(rig.bindings("beta", "ada").await.len(), 1);
    assert_eq!(rig.bindings("alpha", "ada").await.len(), 2);
}

fn call_to(binding: Binding) -> LegCommandKind {
    let from = Party { number: "1002".into(), ..Party::default() };
    LegCommandKind::Invite(Box::new(Invite { from, ..invite_to("1001", binding) }))
}

#[tokio::test]
async fn several_phones_without_an_instance_are_each_kept() {
    let rig = Rig::start().await;
    let mut phones = Vec::new();
    for _ in 0..3 {
        phones.push(Phone::udp(&rig, "1001", "pw-of-ada").await);
    }
    for (n, phone) in phones.iter_mut().enumerate() {
        let answer = phone.register(600).await.1;
        assert_eq!((answer.status().code(), answer.headers_named("Contact").len()), (200, n + 1));
        assert!(answer.header("Flow-Timer").is_none(), "it has not asked for a flow");
    }
    // Refreshed and removed one by one.
    assert_eq!(phones[1].register(600).await.1.headers_named("Contact").len(), 3);
    assert_eq!(phones[0].register(0).await.1.headers_named("Contact").len(), 2);
    let ports = |bindings: Vec<sidetone_directory::Registration>| {
        let mut ports: Vec<u16> = bindings.iter().map(|kept| kept.binding.flow.remote.port()).collect();
        ports.sort_unstable();
        ports
    };
    let mut expected = vec![phones[1].local.port(), phones[2].local.port()];
    expected.sort_unstable();
    assert_eq!(ports(rig.bindings("alpha", "ada").await), expected);
    // One asks for all to be gone.
    let phone = &mut phones[2];
    let (uri, to) = ("alpha.test", "<sip:1001@alpha.test>");
    let all = |text: String| {
        let lines = text.split("\r\n").map(|line| match line.starts_with("Contact:") {
            true => "Contact: *\r\nExpires: 0".to_owned(),
            false => line.to_owned(),
        });
        lines.collect::<Vec<_>>().join("\r\n")
    };
    let first = all(phone.compose("REGISTER", uri, to, "all", "", ""));
    phone.send(first).await;
    let challenge = phone.next_response_of("all").await;
    let authorization = phone.authorization(&challenge, "REGISTER", uri);
    let second = all(phone.compose("REGISTER", uri, to, "all", &authorization, ""));
    phone.send(second).await;
    assert_eq!(phone.next_response_of("all").await.status().code(), 200);
    assert!(rig.bindings("alpha", "ada").await.is_empty());
}

#[tokio::test]
async fn a_contact_where_nobody_is_goes_when_the_phone_has_another() {
    // Timer B is 64 of these.
    let rig = Rig::with(Config { t1_ms: 10, ..Config::default() }).await;
    let mut owner = rig.attach().await;
    let mut former = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(former.register(600).await.1.status().code(), 200);
    let dead = rig.bindings("alpha", "ada").await.remove(0);
    let failed = rig.telemetry.signalling.registrations.with_label_values(&["contact_failed"]);

    // Alone it stays: its network may come back.
    let leg = |n: u8| IdSource::seeded([n; 32]).make(Timestamp::from_millis(7));
    owner.command("alpha", leg(1), 1, call_to(dead.binding.clone())).await;
    let (ended, termination) = owner.ended().await;
    assert!(termination.is_of_flow(false), "{termination:?}");
    owner.ack(&ended).await;
    assert_eq!(rig.bindings("alpha", "ada").await.len(), 1);

    // The phone was restarted: another port, another Call-ID.
    let mut now = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(now.register(600).await.1.headers_named("Contact").len(), 2);
    owner.command("alpha", leg(2), 1, call_to(dead.binding.clone())).await;
    owner.ended().await;
    rig.until("the dead one is gone", || failed.get() == 1).await;
    let left = rig.bindings("alpha", "ada").await;
    assert_eq!(left.iter().map(|kept| kept.binding.flow.remote).collect::<Vec<_>>(), [now.local]);
}

#[tokio::test]
async fn another_users_address_of_record_is_forbidden() {
    let rig = Rig::start().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let (uri, to) = ("alpha.test", "<sip:1002@alpha.test>");
    let register = phone.compose("REGISTER", uri, to, "c", "", "");
    phone.send(register).await;
    let challenge = phone.last().await;
    let authorization = phone.authorization(&challenge, "REGISTER", uri);
    let register = phone.compose("REGISTER", uri, to, "c", &authorization, "");
    phone.send(register).await;
    assert_eq!(phone.last().await.status().code(), 403);
}

#[tokio::test]
async fn keep_alives_are_answered_on_connections() {
    let rig = Rig::start().await;
    let mut phone = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;
    phone.send("\r\n\r\n").await;
    assert_eq!(phone.raw(2).await, b"\r\n");
}
