//! Operators see whom the replicas ban, and end bans.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::phone::Phone;
use harness::{Rig, within};
use sidetone_model::ids::TenantId;
use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::signalling::v1::bans_server::Bans as _;
use sidetone_runtime::Caller;
use sidetone_signalling::{BanDoor, Config, DefenceConfig};
use tonic::{Code, Request};

fn door(rig: &Rig) -> BanDoor {
    BanDoor { store: rig.store.clone(), tls: sidetone_runtime::grpc::TlsConfig::default() }
}

async fn listed(rig: &Rig) -> Vec<pb::Ban> {
    let found = door(rig).list_bans(Request::new(pb::ListBansRequest {})).await.unwrap().into_inner();
    assert!(found.silent_replica_ids.is_empty(), "{found:?}");
    found.bans
}

fn lift(source: &str) -> Request<pb::LiftBanRequest> {
    Request::new(pb::LiftBanRequest { source: source.to_owned() })
}

/// Wrong passwords until the source is banned.
async fn gets_banned(rig: &Rig, times: u64) {
    let mut guesser = Phone::udp(rig, "1001", "wrong").await;
    while rig.telemetry.signalling.bans.get() < times {
        let first = guesser.compose("REGISTER", "alpha.test", "<sip:1001@alpha.test>", "ask", "", "");
        guesser.send(first).await;
        let challenge = guesser.last().await;
        let before = rig.telemetry.signalling.registrations.with_label_values(&["wrong"]).get();
        let authorization = guesser.authorization(&challenge, "REGISTER", "alpha.test");
        let guess =
            guesser.compose("REGISTER", "alpha.test", "<sip:1001@alpha.test>", "guess", &authorization, "");
        guesser.send(guess).await;
        rig.until("judged", || {
            rig.telemetry.signalling.registrations.with_label_values(&["wrong"]).get() > before
        })
        .await;
    }
}

#[tokio::test]
async fn a_ban_is_seen_and_lifted_at_the_replica_that_has_it() {
    let defence = DefenceConfig { failures_max: 1, ban_s: 600, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let other = rig.beside("signalling-1").await;
    let (_owner, _other_owner) = (rig.attach().await, other.attach().await);
    assert!(listed(&rig).await.is_empty());
    gets_banned(&rig, 1).await;

    let bans = listed(&rig).await;
    let [ban] = bans.as_slice() else { panic!("{bans:?}") };
    let says = (&*ban.source, &*ban.replica_id, &*ban.reason, ban.times);
    assert_eq!(says, ("127.0.0.1", "signalling-0", "wrong_passwords", 1));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis() as u64;
    assert!((now + 500_000..=now + 601_000).contains(&ban.until_unix_ms), "{ban:?} at {now}");

    // Neither a tenant nor a typing error ends it.
    let mut of_tenant = lift("127.0.0.1");
    of_tenant.extensions_mut().insert(Caller::Tenant(TenantId::new("alpha").unwrap()));
    assert_eq!(door(&rig).lift_ban(of_tenant).await.unwrap_err().code(), Code::PermissionDenied);
    assert_eq!(door(&rig).lift_ban(lift("localhost")).await.unwrap_err().code(), Code::InvalidArgument);
    assert_eq!(door(&rig).lift_ban(lift("192.0.2.1")).await.unwrap_err().code(), Code::NotFound);
    assert_eq!(listed(&rig).await.len(), 1);

    let lifted = door(&rig).lift_ban(lift("127.0.0.1")).await.unwrap().into_inner();
    assert_eq!(
        (lifted.replica_ids, lifted.silent_replica_ids),
        (vec!["signalling-0".to_owned()], Vec::new())
    );
    assert!(listed(&rig).await.is_empty());
    assert_eq!(rig.telemetry.signalling.bans_lifted.get(), 1);
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    assert_eq!(phone.register(600).await.1.status().code(), 200, "it is heard again");
    assert_eq!(door(&rig).lift_ban(lift("127.0.0.1")).await.unwrap_err().code(), Code::NotFound);

    // The next ban is as short as a first one.
    gets_banned(&rig, 2).await;
    assert_eq!(listed(&rig).await[0].times, 1);
}

#[tokio::test]
async fn a_replica_that_does_not_answer_is_named() {
    let defence = DefenceConfig { failures_max: 1, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let other = rig.beside("signalling-1").await;
    let _owner = rig.attach().await;
    gets_banned(&rig, 1).await;
    within(async {
        while rig.store.get("signalling-replicas/signalling-1").await.unwrap().is_none() {
            tokio::time::sleep(std::time::Duration::from_millis(2)).await;
        }
    })
    .await;
    // Its registration outlives it.
    other.kill().await;
    let found = door(&rig).list_bans(Request::new(pb::ListBansRequest {})).await.unwrap().into_inner();
    assert_eq!((found.bans.len(), found.silent_replica_ids), (1, vec!["signalling-1".to_owned()]));
    let lifted = door(&rig).lift_ban(lift("127.0.0.1")).await.unwrap().into_inner();
    assert_eq!((lifted.replica_ids.len(), lifted.silent_replica_ids.len()), (1, 1));
}
