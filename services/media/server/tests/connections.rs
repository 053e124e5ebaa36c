//! Echo, bridges, conferences and prompts over real sockets.

#![allow(clippy::unwrap_used)]

use crate::support;

use std::sync::atomic::Ordering::Relaxed;

use pb::connect_leg_request::{Echo, Nothing, To};
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1::Direction;
use support::*;
use tonic::Request;

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_is_heard_and_the_leg_counts() {
    let node = node().await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    phone.until_tones("itself", &[500.0], &[true]).await;
    let stats = node.release(&phone.leg).await.unwrap();
    assert!(stats.packets_received > 20 && stats.packets_sent > 20, "{stats:?}");
    assert_eq!((stats.packets_lost, stats.packets_refused), (0, 0));
    assert_eq!((stats.encoding_received.as_str(), stats.encoding_sent.as_str()), ("PCMU", "PCMU"));
    assert_eq!(node.release(&phone.leg).await, None, "releasing what is not there is success");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_laws_hear_each_other_over_a_bridge() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 30).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    let tones = [500.0, 900.0];
    tokio::join!(
        a.until_tones("the other", &tones, &[false, true]),
        b.until_tones("the other", &tones, &[true, false])
    );
    let held = node.leg(&b.leg).await.unwrap();
    assert_eq!(held.peer_leg_id, a.leg);
    node.release(&a.leg).await;
    until("silence", async || (node.leg(&b.leg).await?.peer_leg_id.is_empty()).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hear_everybody_but_themselves() {
    let node = node().await;
    let tones = [500.0, 900.0, 1300.0];
    let mut phones = Vec::new();
    for (n, hz) in tones.into_iter().enumerate() {
        let law = if n == 1 { Law::A } else { Law::Mu };
        let phone = Phone::call(&node, n as u32 + 1, law, hz, [20, 60, 10][n]).await;
        node.connect(&phone.leg, To::MixId("room".into())).await;
        phones.push(phone);
    }
    for (own, phone) in phones.iter().enumerate() {
        let expected: Vec<bool> = (0..tones.len()).map(|n| n != own).collect();
        phone.until_tones(&format!("all but itself, phone {own}"), &tones, &expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_is_unbroken_whatever_the_leg_is_connected_to() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::Mu, 900.0, 20).await;
    node.connect(&a.leg, To::Echo(Echo {})).await;
    a.hear(10).await;
    for to in [
        To::PeerLegId(b.leg.clone()),
        To::MixId("room".into()),
        To::Nothing(Nothing {}),
        To::PeerLegId(b.leg.clone()),
        To::Echo(Echo {}),
    ] {
        node.connect(&a.leg, to).await;
        a.hear(10).await;
    }
    assert_continuous(&a.heard.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_during_a_hold_and_in_a_former_codec_is_no_loss() {
    let node = node().await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    phone.hear(10).await;
    let describe = async |direction: Direction, formats: &[(u32, &str)]| {
        let mut remote = description(phone.socket.local_addr().unwrap(), formats, 20);
        remote.direction = direction.into();
        let leg_id = phone.leg.clone();
        let request = pb::UpdateLegRequest { leg_id, remote: Some(remote), ..Default::default() };
        node.media.update_leg(Request::new(request)).await.unwrap();
    };
    let received = async || node.leg(&phone.leg).await.unwrap().stats.unwrap().packets_received;

    // It holds, speaks on for at least half a second, and comes back.
    describe(Direction::Sendonly, &[(0, "PCMU")]).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;
    let before = received().await;
    until("what it says while it holds", async || (received().await >= before + 25).then_some(())).await;
    describe(Direction::Sendrecv, &[(0, "PCMU")]).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    phone.hear(10).await;

    // It changes its codec, and what it says in the former one arrives yet.
    describe(Direction::Sendrecv, &[(8, "PCMA")]).await;
    let before = phone.sequence.load(Relaxed);
    until("what it says then", async || (phone.sequence.load(Relaxed) >= before + 8).then_some(())).await;
    describe(Direction::Sendrecv, &[(0, "PCMU")]).await;
    phone.hear(10).await;
    assert_continuous(&phone.heard.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_is_heard_by_a_leg_and_by_a_mix_and_its_end_is_told() {
    use futures_util::StreamExt as _;
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let a = Phone::call(&node, 1, Law::A, 900.0, 20).await;
    let play = |id: &str, target, prompt: &str, repeat| pb::PlayRequest {
        playback_id: id.into(),
        target: Some(target),
        prompt: prompt.into(),
        repeat,
        ..Default::default()
    };
    let to_leg = pb::play_request::Target::LegId(a.leg.clone());
    // Six seconds of it, so that it still plays when the others are refused.
    let six_times = play("p1", to_leg.clone(), "tone", 6);
    for _ in 0..2 {
        let played = node.media.play(Request::new(six_times.clone())).await.unwrap().into_inner();
        assert_eq!(played.duration_ms, 1000);
    }
    assert!(node.media.play(Request::new(play("p1", to_leg.clone(), "welcome", 1))).await.is_err());
    assert!(node.media.play(Request::new(play("p2", to_leg, "none", 1))).await.is_err());
    until("half a second of the prompt", async || {
        let heard = linear(a.law, &a.heard.lock().unwrap());
        heard.windows(4_000).step_by(160).any(|part| has_tone(part, 440.0)).then_some(())
    })
    .await;
    node.connect(&a.leg, To::MixId("room".into())).await;
    let to_mix = pb::play_request::Target::MixId("room".into());
    node.media.play(Request::new(play("p3", to_mix, "tone", 0))).await.unwrap();
    let mut ended = Vec::new();
    while ended.len() < 2 {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        if let Some(pb::media_event::Kind::PlaybackFinished(finished)) = event.kind {
            if finished.playback_id == "p1" {
                a.until_tones("the prompt in the mix", &[440.0], &[true]).await;
                let stop = pb::StopPlayRequest { playback_id: "p3".into(), ..Default::default() };
                node.media.stop_play(Request::new(stop)).await.unwrap();
            }
            ended.push((finished.playback_id, finished.stopped));
        }
    }
    assert_eq!(ended, [("p1".to_owned(), false), ("p3".to_owned(), true)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_go_through_a_bridge_and_are_told_once() {
    use futures_util::StreamExt as _;
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    b.hear(5).await;
    // A sender that stalls in the middle of a digit makes it as long as what came of it.
    sooner_or_later("digits as long as they were pressed", async |attempt| {
        b.forget();
        for (digit, start) in [(5u8, 8000u32), (11, 16_000)] {
            for (end, duration) in [(0, 160u16), (0, 320), (0x80, 480), (0x80, 480), (0x80, 480)] {
                let [high, low] = duration.to_be_bytes();
                a.send(101, 1, start + 16_000 * attempt, &[digit, end | 10, high, low]).await;
            }
        }
        let mut digits = Vec::new();
        while digits.len() < 2 {
            let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
            if let Some(pb::media_event::Kind::Digit(digit)) = event.kind {
                assert_eq!(digit.leg_id, a.leg);
                digits.push((digit.digit, digit.duration_ms));
            }
        }
        let events_at_b = async || {
            let heard = b.heard.lock().unwrap();
            (heard.iter().filter(|packet| packet.payload_type == 96).count() == 10).then_some(())
        };
        until("events at the other side, in its numbering", events_at_b).await;
        assert_eq!(digits.iter().map(|(digit, _)| digit.as_str()).collect::<Vec<_>>(), ["5", "#"]);
        expect(digits.iter().all(|(_, ms)| *ms == 60), || format!("{digits:?}"))
    })
    .await;
}
