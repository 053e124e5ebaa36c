//! Call control stops in the middle of calls, and its next life goes on with them.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use kit::{DEADLINE, World, media, offered, until};
use sidetone_call_control::Config;
use sidetone_model::ids::ShardId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_proto::callcontrol::v1 as api;
use sidetone_store::{Sequence, Store as _};

#[tokio::test]
async fn calls_go_on_after_a_restart() {
    let mut world = World::new(1).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    let callee = phone.invite().await;
    phone.signal(callee, LegSignalKind::Answered { media: Some(media()) }).await;
    phone.answer(caller).await;
    let guest = phone.call(&mut world.ids, "demo", "700").await;
    phone.answer(guest).await;
    let before = world.calls("demo").await;
    assert_eq!(before.len(), 2);

    world.restart().await;
    assert_eq!(world.calls("demo").await, before);
    let mut phone = phone.reattach(&world.control, &[(caller, 1), (callee, 1), (guest, 1)]).await;
    // The signal whose acknowledgement was lost, and then a new one.
    phone.send(caller, "demo", 1, offered("bob")).await;
    phone.acked(caller, 1).await;
    assert_eq!(world.calls("demo").await, before, "a repeated signal changes nothing");
    let bridge = [format!("connect {caller} peer {callee}"), format!("connect {callee} peer {caller}")];
    until("the bridge to be asked for again", async || {
        let asked = world.nodes[0].asked();
        let listed = asked.iter().rposition(|what| what == "list")?;
        asked[listed..].iter().any(|what| bridge.contains(what)).then_some(())
    })
    .await;
    phone.bye(callee).await;
    assert_eq!(phone.end(caller).await, Cause::Normal);
    phone.bye(caller).await;
    phone.bye(guest).await;
    world.no_calls().await;
    assert_eq!(world.cdrs("demo").await.len(), 5);
}

#[tokio::test]
async fn commands_that_were_not_acknowledged_are_sent_again() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    world.restart().await;
    // The replica has not acted on anything.
    let mut phone = phone.reattach(&world.control, &[(leg, 0)]).await;
    let again = phone.answer(leg).await;
    assert_eq!(again.n, 1);
}

#[tokio::test]
async fn what_nobody_holds_is_lost_and_what_nobody_knows_is_released() {
    let config = Config { shards: 2, grace_s: 1, ..Config::default() };
    let mut world = World::with(1, config).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let (stranger, port) = (world.ids.make(kit::now()), world.ids.make(kit::now()));
    world.nodes[0].hold(port);
    world.restart().await;
    // No replica comes: the leg is lost after the grace, and its port given back.
    world.no_calls().await;
    let cdrs = world.cdrs("demo").await;
    assert!(cdrs.iter().all(|cdr| cdr.cause == "signalling_lost"), "{cdrs:?}");
    until("both ports to be free", async || world.nodes[0].legs().is_empty().then_some(())).await;
    // It comes after all, with that leg and one that nobody knows.
    let mut phone = phone.reattach(&world.control, &[(leg, 1), (stranger, 0)]).await;
    let mut released = [phone.released().await, phone.released().await];
    released.sort();
    let mut wanted = [leg, stranger];
    wanted.sort();
    assert_eq!(released, wanted);
}

#[tokio::test]
async fn a_replica_that_was_started_again_has_lost_its_legs() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let _phone = world.attach().await;
    world.no_calls().await;
    assert!(world.cdrs("demo").await.iter().all(|cdr| cdr.cause == "signalling_lost"));
}

#[tokio::test]
async fn a_snapshot_is_made_and_used() {
    let config = Config { shards: 1, grace_s: 30, snapshot_records: 100, ..Config::default() };
    let mut world = World::with(1, config).await;
    let mut phone = world.attach().await;
    let kept = phone.call(&mut world.ids, "demo", "700").await;
    phone.answer(kept).await;
    for _ in 0..60 {
        let leg = phone.call(&mut world.ids, "demo", "600").await;
        phone.answer(leg).await;
        phone.bye(leg).await;
    }
    let key = format!("shards/{}/snapshot", ShardId(0));
    let pointer = until("a snapshot", async || world.store.get(&key).await.unwrap()).await;
    let pointer = String::from_utf8(pointer.value.to_vec()).unwrap();
    let holds: u64 = pointer.split(' ').next_back().unwrap().parse().unwrap();
    until("the others to be over", async || (world.calls("demo").await.len() == 1).then_some(())).await;
    let before = world.calls("demo").await;
    world.stop().await;
    // Without what the snapshot holds the log alone could not tell of the first call.
    world.store.trim(&format!("shards/{}/log", ShardId(0)), Sequence(holds + 1)).await.unwrap();
    world.restart().await;
    assert_eq!(world.calls("demo").await, before);
    assert_eq!(before[0].legs[0].leg_id, kept.to_string());
}

#[tokio::test]
async fn old_facts_are_forgotten_but_for_what_no_snapshot_holds() {
    use sidetone_model::fact::{Fact, FactKind, FactRecord};
    let config = Config { shards: 1, snapshot_records: 100, retention_days: 1, ..Config::default() };
    let mut world = World::with(1, config).await;
    world.stop().await;
    let stream = format!("shards/{}/log", ShardId(0));
    let (tenant, at) = ("demo".parse::<sidetone_model::ids::TenantId>().unwrap(), kit::days_ago(2));
    for n in 0..3u64 {
        let call = world.ids.make(at);
        let created = FactKind::CallCreated {
            call,
            from: Default::default(),
            dialled: "600".into(),
            destination: None,
            by_application: false,
            anonymous: false,
            open: false,
            headers: Vec::new(),
            max_forwards: None,
        };
        let termination = sidetone_model::termination::Termination::new(Cause::Normal);
        let kinds = [created, FactKind::CallEnded { call, termination }];
        let facts = kinds.map(|kind| Fact { tenant: tenant.clone(), at, kind }).into();
        let append = sidetone_store::Append {
            stream: stream.clone(),
            expected_last: Sequence(n),
            idempotency_key: n.to_string(),
            record: sidetone_model::wire::encode_batch(&[FactRecord { facts, ..FactRecord::default() }]),
        };
        world.store.append(append).await.unwrap();
    }
    world.restart().await;
    let mut phone = world.attach().await;
    for _ in 0..60 {
        let leg = phone.call(&mut world.ids, "demo", "600").await;
        phone.answer(leg).await;
        phone.bye(leg).await;
    }
    world.no_calls().await;
    let key = format!("shards/{}/snapshot", ShardId(0));
    until("a snapshot", async || world.store.get(&key).await.unwrap()).await;
    assert_eq!(
        world.store.bounds(&stream).await.unwrap().0,
        Sequence(1),
        "there was no snapshot at the start"
    );
    world.restart().await;
    let first = until("old facts to be forgotten", async || {
        let (first, _) = world.store.bounds(&stream).await.unwrap();
        (first > Sequence(1)).then_some(first)
    })
    .await;
    assert!(first <= Sequence(4), "nothing new is forgotten: {first}");
    assert_eq!(world.cdrs("demo").await.iter().filter(|cdr| !cdr.leg_id.is_empty()).count(), 60);
}

#[tokio::test]
async fn a_replica_that_does_not_read_is_detached_and_comes_back() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    // Every signal is acknowledged, and nobody reads it.
    for _ in 0..3000 {
        let digit = LegSignalKind::Digit { digit: '1', duration_ms: 80 };
        if !phone.try_signal(leg, digit).await {
            break;
        }
    }
    until("the stream to end", async || phone.is_cut_off().then_some(())).await;
    assert_eq!(world.calls("demo").await.len(), 1);
    let mut phone = phone.reattach(&world.control, &[(leg, 1)]).await;
    phone.bye(leg).await;
    world.no_calls().await;
    assert!(world.cdrs("demo").await.iter().all(|cdr| cdr.cause == "normal"));
}

#[tokio::test]
async fn of_two_owners_one_stops() {
    // The second must not write before the first has, and must soon after.
    let config = Config { shards: 2, grace_s: 3, ..Config::default() };
    let mut world = World::with(1, config).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    let (second, lifecycle) = world.start_another().await;
    // The first writes, which the second cannot know of.
    let other = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(other).await;
    // The second has to write too: nobody holds these legs for it.
    tokio::time::timeout(DEADLINE, second.finished()).await.expect("the second stops");
    assert!(lifecycle.stopping().is_cancelled());
    assert!(!world.lifecycle.stopping().is_cancelled());
    let more = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(more).await;
    let get = api::ListCallsRequest { tenant: "demo".into(), ..Default::default() };
    use sidetone_proto::callcontrol::v1::call_control_server::CallControl as _;
    let refused = second.list_calls(tonic::Request::new(get)).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::Unavailable);
}
