//! Rules of users and what nodes are promised; recordings and which node has them.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

mod kit;

use futures_util::TryStreamExt as _;
use kit::{World, until};
use sidetone_call_control::{Config, NoContent};
use sidetone_model::ids::NodeId;
use sidetone_model::termination::Cause;

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
    let nowhere = phone.call(&mut world.ids, "demo", "800").await;
    assert_eq!(phone.end(nowhere).await, Cause::Unavailable);
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
