//! One call between two phones, watched and steered through the three dialects at the same moment.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use serde_json::{Value, json};
use support::clients::Telephony;
use support::operations::taken;
use support::phones::{hears, registered};
use support::receiver::Webhook;
use support::views::scene;

/// The fact that a webhook tells of: its entry in the log, and its place there.
fn fact(webhook: &Webhook) -> String {
    let key = webhook.header("idempotency-key");
    let id = key.rsplit('-').next().unwrap();
    id.rsplit_once('.').unwrap_or_else(|| panic!("{key}")).0.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_through_one_dialect_is_seen_in_all_three() {
    let scene = scene().await;
    let call = scene.ada.call_ref();
    assert_eq!(scene.ben.call_ref(), call, "it is one call for both");

    scene.bot.done("call.user/hold", json!({ "threadId": call, "contactId": "user1001" })).await;
    // In a call of two the other one is the holder, and may retrieve.
    scene
        .until("both are told", || [&scene.ada, &scene.ben].iter().all(|user| user.call_state() == "HELD"))
        .await;
    let leg = |user: &Telephony| user.events().last().unwrap()["modifiedLegs"][0]["capabilities"].clone();
    assert_eq!((leg(&scene.ada), leg(&scene.ben)), (json!({}), json!({ "retrieve": true })));
    let held = scene.webhook(&scene.team_hears, "eventType", "Call.Member.held", 1).await;
    assert_eq!((&held.body["userId"], &held.body["phone"]), (&json!("user1001"), &json!("1001")));
    assert_eq!(held.body["threadId"], call.replace('-', ""), "a call that no bot began is its own thread");
    // Two were told when the two had answered.
    let media = scene.webhook(&scene.application_hears, "type", "member:media", 3).await;
    assert_eq!(media.body["body"]["media"]["audio"], false, "{}", media.body);
    assert_eq!(media.body["from"], scene.member_of_ada);
    assert_eq!(fact(&held), fact(&media), "two webhooks of one fact");
    assert_eq!(scene.logged_media().await.last(), Some(&media.body));
    scene
        .until("it is silent", || !scene.at_ada.ear().hears(700.0) && !scene.at_ben.ear().hears(440.0))
        .await;

    scene.bot.done("call.user/unhold", json!({ "threadId": call, "contactId": "user1001" })).await;
    scene
        .until("both are told", || [&scene.ada, &scene.ben].iter().all(|user| user.call_state() == "ACTIVE"))
        .await;
    let unheld = scene.webhook(&scene.team_hears, "eventType", "Call.Member.unheld", 1).await;
    let media = scene.webhook(&scene.application_hears, "type", "member:media", 4).await;
    assert_eq!(media.body["body"]["media"]["audio"], true, "{}", media.body);
    assert_eq!(media.body["from"], scene.member_of_ada);
    assert_eq!(fact(&unheld), fact(&media));
    assert_eq!(scene.logged_media().await.last(), Some(&media.body));
    hears(&scene.installation, &scene.at_ada, 700.0).await;
    hears(&scene.installation, &scene.at_ben, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_larger_room_the_one_who_is_held_is_it_alone_in_all_three() {
    let scene = scene().await;
    let call = scene.ada.call_ref();
    let cid = registered(&scene.installation, "1003", 1100.0).await;
    let third = Telephony::start(&scene.installation, "user1003", "secret-1003").await;
    scene.bot.done("call.user/invite", json!({ "threadId": call, "contactId": "user1003" })).await;
    let at_cid = taken(&scene.installation, &cid).await;
    let all = [(&scene.at_ada, 440.0), (&scene.at_ben, 700.0), (&at_cid, 1100.0)];
    for (at, own) in all {
        for (_, tone) in all.iter().filter(|(_, tone)| *tone != own) {
            hears(&scene.installation, at, *tone).await;
        }
    }
    let states = || [&scene.ada, &scene.ben, &third].map(Telephony::call_state);
    scene.until("all talk", || states() == ["ACTIVE"; 3]).await;

    let who = json!({ "threadId": call, "contactId": "user1001" });
    for (method, told, state, audio, count) in [
        ("call.user/hold", "Call.Member.held", "HELD", false, 3),
        ("call.user/unhold", "Call.Member.unheld", "ACTIVE", true, 4),
    ] {
        scene.bot.done(method, who.clone()).await;
        scene.until(&format!("ada is {state}"), || scene.ada.call_state() == state).await;
        let team = scene.webhook(&scene.team_hears, "eventType", told, 1).await;
        assert_eq!(team.body["userId"], "user1001");
        let media = scene.webhook(&scene.application_hears, "type", "member:media", count).await;
        assert_eq!(
            (&media.body["from"], &media.body["body"]["media"]["audio"]),
            (&scene.member_of_ada, &json!(audio))
        );
        assert_eq!(fact(&team), fact(&media), "two webhooks of one fact");
        assert_eq!(scene.logged_media().await.last(), Some(&media.body));
        // Nobody else is told of anything: for them the call goes on.
        assert_eq!(states(), [state, "ACTIVE", "ACTIVE"]);
        if state == "HELD" {
            let leg = scene.ada.events().last().unwrap()["modifiedLegs"][0]["capabilities"].clone();
            assert_eq!(leg, json!({}), "who was put aside cannot come back without the others");
            let silent = || !scene.at_ada.ear().hears(700.0) && !scene.at_ben.ear().hears(440.0);
            scene.until("ada is out of it", || silent() && !at_cid.ear().hears(440.0)).await;
            at_cid.ear().forget();
            hears(&scene.installation, &at_cid, 700.0).await;
            hears(&scene.installation, &scene.at_ben, 1100.0).await;
        }
    }
    hears(&scene.installation, &scene.at_ada, 1100.0).await;
    hears(&scene.installation, &at_cid, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_hangs_up_is_seen_in_all_three() {
    let scene = scene().await;
    let call = scene.ada.call_ref();
    let thread = json!({ "threadId": call });
    scene.at_ben.hang_up().await.unwrap();
    scene.until("ben is free", || is_free(&scene.ben, &call)).await;
    assert!(!is_free(&scene.ada, &call), "a conversation goes on with one member");
    let left = scene.webhook(&scene.team_hears, "eventType", "Call.Member.leaved", 1).await;
    let gone = scene.webhook(&scene.application_hears, "type", "member:left", 1).await;
    assert_eq!((&left.body["userId"], fact(&left)), (&json!("user1002"), fact(&gone)));
    scene.bot.done("call/get", thread.clone()).await;

    scene.at_ada.hang_up().await.unwrap();
    scene.until("ada is free", || is_free(&scene.ada, &call)).await;
    let ended = scene.webhook(&scene.team_hears, "eventType", "Call.ended", 1).await;
    assert_eq!(left.body["threadId"], ended.body["threadId"]);
    scene.webhook(&scene.application_hears, "type", "member:left", 2).await;
    let (status, refused) = scene.bot.ask("call/get", thread).await;
    assert_eq!(status, 404, "{refused}");

    let ids: Vec<u64> =
        scene.application_hears.bodies().iter().filter_map(|event| event["id"].as_u64()).collect();
    assert_eq!(ids, (1..=ids.len() as u64).collect::<Vec<_>>(), "in their order, without a gap");
    let team: Vec<String> = scene.team_hears.column("eventType");
    assert_eq!(team.iter().rposition(|r#type| r#type == "Call.ended"), Some(team.len() - 1), "{team:?}");
}

/// Whether a user has been told that the call is over for it, and that it is in no other.
fn is_free(user: &Telephony, call: &str) -> bool {
    let events = user.events();
    let removed = |event: &Value| event["eventName"] == "OnCallRemoved" && event["callRef"] == call;
    events.iter().any(removed) && events.last().is_some_and(|event| event["state"] == "FREE")
}
