//! Rules of users and what nodes are promised; recordings and which node has them.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use futures_util::TryStreamExt as _;
use kit::{World, until};
use sidetone_call_control::{Config, NoContent};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::NodeId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;
use sidetone_proto::callcontrol::v1 as api;
use sidetone_proto::callcontrol::v1::call_control_server::CallControl as _;
use tonic::Request;

#[tokio::test]
async fn only_a_call_is_promised_ports_and_not_each_rule_that_it_may_follow() {
    let mut world = World::new(2).await;
    world.register_phone("eve", "s1").await;
    let mut phone = world.attach().await;
    for (calls, legs) in [(1, [2, 0]), (2, [2, 2]), (3, [4, 2]), (4, [4, 4])] {
        phone.call(&mut world.ids, "demo", "eve").await;
        phone.invite().await;
        until("both ports of the call", async || {
            let created: usize = world.nodes.iter().map(|node| node.created()).sum();
            (created == 2 * calls).then_some(())
        })
        .await;
        assert_eq!([0, 1].map(|n| world.nodes[n].created()), legs, "the emptiest has been taken");
    }
}

#[tokio::test]
async fn what_the_own_node_has_no_more_another_may_have() {
    let mut world = World::new(2).await;
    let recording = world.ids.make(kit::now());
    let own = NodeId::new("m0").unwrap();
    let read = async |file: &str| match world.control.kept_content(recording, &own, file).await {
        Ok(content) => content.bytes.try_concat().await.map_err(|_| NoContent::Away),
        Err(none) => Err(none),
    };
    world.nodes[0].keep("both.wav", b"own");
    world.nodes[1].keep("both.wav", b"other");
    world.nodes[1].keep("moved.wav", b"moved");
    assert_eq!(read("both.wav").await.unwrap(), b"own");
    assert_eq!(read("moved.wav").await.unwrap(), b"moved");
    assert_eq!(read("lost.wav").await, Err(NoContent::Gone));
    let asked = |n: usize| world.nodes[n].asked().iter().filter(|what| what.starts_with("read ")).count();
    assert_eq!([asked(0), asked(1)], [3, 2], "the own one is asked first, and once");
}

#[tokio::test]
async fn about_whom_nobody_decides_goes_to_the_assistant_or_is_told_so() {
    let mut world = World::with(1, Config { shards: 2, wait_s: 1, ..Config::default() }).await;
    let mut phone = world.attach().await;
    let waiting = phone.call(&mut world.ids, "other", "800").await;
    phone.answer(waiting).await;
    until("the announcement", async || {
        world.nodes[0].asked().iter().any(|what| what.starts_with("play ")).then_some(())
    })
    .await;
    let over = Termination::new(Cause::Normal).with_sip_status(200);
    phone.send(waiting, "other", 2, LegSignalKind::Ended(over)).await;
    let records = until("the records", async || {
        let records = world.cdrs("other").await;
        (records.len() == 2).then_some(records)
    })
    .await;
    assert!(records.iter().all(|record| record.answered_by == "assistant"), "{records:?}");
    let nowhere = phone.call(&mut world.ids, "demo", "800").await;
    assert_eq!(phone.end(nowhere).await, Cause::Unavailable);
}

/// The tenant's assistant is a number that a carrier takes.
async fn with_assistant_outside(world: &World, number: &str) {
    use sidetone_proto::directory::v1 as pb;
    let (tenant, trunk) = ("demo".to_owned(), "carrier".to_owned());
    let own = world.directory.tenant(&tenant.parse().unwrap()).await.unwrap().unwrap();
    let own = pb::Tenant { assistant: number.into(), ..own };
    world.directory.put_tenant(own).await.unwrap();
    let record = pb::Trunk {
        tenant: tenant.clone(),
        trunk: trunk.clone(),
        uri: "sip:192.0.2.1".into(),
        routes: vec![pb::TrunkRoute::default()],
        ..pb::Trunk::default()
    };
    world.directory.put_trunk(record, None).await.unwrap();
    let (replica, healthy, registered) = ("s1".to_owned(), true, true);
    let state = pb::TrunkState { tenant, trunk, replica, healthy, registered, ..pb::TrunkState::default() };
    let until = Timestamp::from_millis(kit::now().as_millis() + 3_600_000);
    assert!(world.directory.hold_trunk(&state, until).await.unwrap());
}

#[tokio::test]
async fn an_assistant_outside_takes_what_rings_under_its_number() {
    let mut world = World::new(1).await;
    world.register_phone("bob", "s1").await;
    with_assistant_outside(&world, "+4930900").await;
    let mut phone = world.attach().await;
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    let callee = phone.invite().await;
    phone.signal(callee, LegSignalKind::Progress { media: None }).await;
    until("it rings", async || {
        let legs = world.calls("demo").await.remove(0).legs;
        let rings =
            legs.iter().any(|leg| leg.state() == api::LegState::Ringing && leg.leg_id == callee.to_string());
        rings.then_some(())
    })
    .await;
    let redirect = api::Redirect {
        leg_id: callee.to_string(),
        to: Some(api::redirect::To::Assistant(true)),
        ..Default::default()
    };
    let redirect = api::ExecuteRequest {
        tenant: "demo".into(),
        idempotency_key: "a".into(),
        command: Some(api::execute_request::Command::Redirect(redirect)),
    };
    world.control.execute(Request::new(redirect)).await.unwrap();
    let outside = phone.command(|command| matches!(command.kind, LegCommandKind::Invite(_))).await;
    let LegCommandKind::Invite(invite) = &outside.kind else { unreachable!() };
    assert_eq!((invite.binding.outside_number(), &*invite.to), (Some("+4930900"), "+4930900"));
    // It stops ringing where it was.
    phone.bye(callee).await;
    phone.signal(outside.leg, LegSignalKind::Answered { media: Some(kit::media()) }).await;
    phone.answer(caller).await;
    phone.bye(outside.leg).await;
    phone.end(caller).await;
    phone.bye(caller).await;
    world.no_calls().await;
    let records = world.cdrs("demo").await;
    let of_call = records.iter().find(|record| record.kind() == api::cdr::Kind::Call).unwrap();
    assert_eq!(of_call.answered_by, "assistant");
}

#[tokio::test]
async fn a_phone_that_is_registered_at_a_replica_that_is_gone_holds_up_no_caller() {
    let mut world = World::with(1, Config { shards: 2, grace_s: 1, ..Config::default() }).await;
    world.register_phone("bob", "s9").await;
    let mut phone = world.attach().await;
    let caller = phone.call(&mut world.ids, "demo", "bob").await;
    phone.end(caller).await;
    phone.bye(caller).await;
    world.no_calls().await;
    until("both ports to be free", async || world.nodes[0].legs().is_empty().then_some(())).await;
}

#[tokio::test]
async fn what_a_node_tells_of_a_leg_that_is_elsewhere_does_not_end_it() {
    use sidetone_proto::media::v1::{LegTimedOut, media_event::Kind};
    let mut world = World::new(2).await;
    let mut phone = world.attach().await;
    let stays = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(stays).await;
    let ends = phone.call(&mut world.ids, "demo", "600").await;
    phone.answer(ends).await;
    assert_eq!(world.nodes[1].legs(), [ends.to_string()], "the emptier one has been taken");
    for leg in [stays, ends] {
        world.nodes[1].tell(Kind::LegTimedOut(LegTimedOut { leg_id: leg.to_string(), ..Default::default() }));
    }
    assert_eq!(phone.end(ends).await, Cause::MediaTimeout);
    phone.bye(ends).await;
    phone.acked(ends, 2).await;
    let left = world.calls("demo").await;
    assert_eq!(
        left.iter().flat_map(|call| &call.legs).map(|leg| leg.leg_id.clone()).collect::<Vec<_>>(),
        [stays.to_string()]
    );
    assert!(!phone.commands.iter().any(|command| command.leg == stays
        && matches!(command.kind, sidetone_model::command::LegCommandKind::End(_))));
}
