//! Calls of phones, from the first signal to the record.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use std::sync::Arc;

use kit::{DEADLINE, World, media, until};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;

#[tokio::test]
async fn a_call_to_the_echo_is_answered_and_ends() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    until("the echo", async || world.nodes[0].asked().contains(&format!("connect {leg} echo")).then_some(()))
        .await;
    assert_eq!(world.calls("demo").await.len(), 1);
    phone.bye(leg).await;
    phone.acked(leg, 2).await;
    world.no_calls().await;
    until("the port to be free", async || world.nodes[0].legs().is_empty().then_some(())).await;
    let cdrs = world.cdrs("demo").await;
    let kinds: Vec<_> = cdrs.iter().map(|cdr| (cdr.kind(), cdr.cause.as_str())).collect();
    use sidetone_proto::callcontrol::v1::cdr::Kind;
    assert_eq!(kinds, [(Kind::Leg, "normal"), (Kind::Call, "normal")]);
}

#[tokio::test]
async fn a_call_to_a_user_is_bridged_and_hung_up() {
    let mut world = World::new(1).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    let callee = phone.invite().await;
    phone.signal(callee, LegSignalKind::Progress { media: None }).await;
    phone.signal(callee, LegSignalKind::Answered { media: Some(media()) }).await;
    phone.answer(caller).await;
    until("the bridge", async || {
        world.nodes[0].asked().contains(&format!("connect {caller} peer {callee}")).then_some(())
    })
    .await;
    phone.bye(callee).await;
    assert_eq!(phone.end(caller).await, Cause::Normal);
    phone.bye(caller).await;
    world.no_calls().await;
    assert_eq!(world.cdrs("demo").await.len(), 3, "one for each leg and one for the call");
}

#[tokio::test]
async fn a_vanished_node_ends_its_legs() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let legs =
        [phone.call(&mut world.ids, "demo", "600").await, phone.call(&mut world.ids, "demo", "700").await];
    for leg in legs {
        phone.answer(leg).await;
    }
    world.nodes[0].vanish();
    let mut causes = std::collections::BTreeMap::new();
    let ends = async {
        while causes.len() < 2 {
            let command = phone
                .command(|command| matches!(command.kind, sidetone_model::command::LegCommandKind::End(_)))
                .await;
            let sidetone_model::command::LegCommandKind::End(end) = command.kind else { continue };
            causes.insert(command.leg, end.cause);
        }
    };
    tokio::time::timeout(DEADLINE, ends).await.expect("they end");
    assert!(causes.values().all(|cause| *cause == Cause::MediaNodeLost), "{causes:?}");
}

#[tokio::test]
async fn a_burst_is_spread_evenly() {
    let mut world = World::new(3).await;
    world.register_phone("bob", "s1").await;
    let mut phone = world.attach().await;
    for _ in 0..12 {
        phone.call(&mut world.ids, "demo", "bob").await;
    }
    for _ in 0..12 {
        phone.invite().await;
    }
    let created: Vec<usize> = world.nodes.iter().map(|node| node.created()).collect();
    assert_eq!(created, [8, 8, 8], "callers and called");
}

#[tokio::test]
async fn a_full_node_passes_the_call_on() {
    let mut world = World::new(2).await;
    world.nodes[0].refuse(tonic::Code::ResourceExhausted);
    let mut phone = world.attach().await;
    for _ in 0..2 {
        let leg = phone.call(&mut world.ids, "demo", "600").await;
        phone.answer(leg).await;
    }
    assert_eq!(world.nodes[1].created(), 2);
    world.nodes[1].refuse(tonic::Code::ResourceExhausted);
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    assert_eq!(phone.end(leg).await, Cause::NoCapacity);
}

#[tokio::test]
async fn a_node_that_is_behind_is_passed_over() {
    let mut world = World::new(2).await;
    // The emptier one by far, whatever it has.
    world.nodes[0].has_room_for(&*world.store, 1_000_000).await;
    world.nodes[0].stick(true);
    let mut phone = world.attach().await;
    for _ in 0..100 {
        phone.call(&mut world.ids, "demo", "600").await;
    }
    let telemetry = Arc::clone(&world.telemetry);
    until("it to be behind", async || {
        phone.call(&mut world.ids, "demo", "600").await;
        (telemetry.call_control.media_nodes_behind.get() > 0).then_some(())
    })
    .await;
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(leg).await;
    assert!(world.nodes[1].legs().contains(&leg.to_string()));
    world.nodes[1].refuse(tonic::Code::ResourceExhausted);
    let leg = phone.call(&mut world.ids, "demo", "600").await;
    assert_eq!(phone.end(leg).await, Cause::NoCapacity, "nobody waits for the one that is behind");
    world.nodes[0].stick(false);
}

#[tokio::test]
async fn the_same_number_of_two_tenants_leads_to_two_places() {
    let mut world = World::new(1).await;
    let mut phone = world.attach().await;
    let echo = phone.call(&mut world.ids, "demo", "600").await;
    let announcement = phone.call(&mut world.ids, "other", "600").await;
    phone.answer(announcement).await;
    let asked = until("both", async || {
        let asked = world.nodes[0].asked();
        let both = ["echo", "play welcome"].iter().all(|what| asked.iter().any(|one| one.contains(what)));
        both.then_some(asked)
    })
    .await;
    assert!(
        asked.contains(&format!("connect {echo} echo"))
            && !asked.contains(&format!("connect {announcement} echo"))
    );
    let (one, other) = (world.calls("demo").await, world.calls("other").await);
    assert_eq!((one.len(), other.len()), (1, 1));
    assert_ne!(one[0].call_id, other[0].call_id);
}
