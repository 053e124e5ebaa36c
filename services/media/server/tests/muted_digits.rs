//! Who is muted is not heard, and his keys do not steer whatever is at the other end.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_dsp::dtmf::DtmfDetector;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::Request;

/// The payload type of telephone events that phones of the tests have.
const EVENT: u8 = 101;

async fn muted(node: &TestNode, phone: &Phone, muted: bool) {
    let request = pb::SetLegAudioRequest { leg_id: phone.leg.clone(), muted, ..Default::default() };
    node.media.set_leg_audio(Request::new(request)).await.unwrap();
}

/// A key of 100 ms, ended three times (RFC 4733, section 2.5.1.4).
async fn press(phone: &Phone, digit: u8, timestamp: u32) {
    for n in 1..=7u16 {
        let (ended, duration) = (n > 4, n.min(5) * 160);
        let [high, low] = duration.to_be_bytes();
        phone.send(EVENT, 900, timestamp, &[digit, if ended { 0x8a } else { 0x0a }, high, low]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_muted_phone_do_not_sound_at_a_peer_that_takes_no_events() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let plain = description("127.0.0.1:2".parse().unwrap(), &[(0, "PCMU")], 0).formats;
    let b = Phone::quiet(&node, 2, Law::Mu, plain, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.hush();
    let heard = |key: char| {
        let (mut keys, mut detector) = (String::new(), DtmfDetector::new());
        detector.push(&linear(Law::Mu, &b.heard.lock().unwrap()), |found| keys.push(found.digit));
        // No packet comes after the last key, and so nothing ends it.
        keys.extend(detector.finish().map(|found| found.digit));
        keys.contains(key)
    };
    let mut timestamp = 1_000_000;
    for (digit, key, is_muted) in [(2, '2', true), (1, '1', false)] {
        muted(&node, &a, is_muted).await;
        until(if is_muted { "the muted key to be told" } else { "the key to sound" }, async || {
            timestamp += 16_000;
            press(&a, digit, timestamp).await;
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
            let told = node.telemetry.audio.digits.with_label_values(&["event"]).get();
            if is_muted { (told > 0).then_some(()) } else { heard(key).then_some(()) }
        })
        .await;
        // All of its packets have come before who is muted changes.
        received_when_read(&node, &a.leg).await;
    }
    assert!(!heard('2'), "what would have sounded before the last key never did");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_muted_phone_are_told_and_not_passed_on() {
    use futures_util::StreamExt as _;
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::Mu, 900.0, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    b.hear(5).await;
    let passed = |digit: u8| {
        b.heard.lock().unwrap().iter().any(|heard| heard.payload_type == EVENT && heard.payload[0] == digit)
    };
    let mut told = async |digit: &str| {
        until("the key to be told", async || match events.next().await?.unwrap().kind {
            Some(pb::media_event::Kind::Digit(one)) if one.digit == digit => Some(()),
            _ => None,
        })
        .await;
    };
    a.hush();
    for (n, (digit, is_muted)) in [(1u8, false), (2, true), (3, false)].into_iter().enumerate() {
        muted(&node, &a, is_muted).await;
        press(&a, digit, 1_000_000 + 16_000 * n as u32).await;
        told(&digit.to_string()).await;
        // All of its packets have come before who is muted changes.
        received_when_read(&node, &a.leg).await;
        if !is_muted {
            until("the key to be passed on", async || passed(digit).then_some(())).await;
        }
    }
    assert!(!passed(2), "what came before the last key and was not passed on never is");
}
