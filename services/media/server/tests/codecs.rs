//! Every codec through bridges and rooms: each hears all but itself, whatever the others speak.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::support;

use pb::connect_leg_request::To;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, Rate, goertzel};
use sidetone_proto::media::v1 as pb;
use support::coded_phone::{CodedPhone, perfect};
use support::*;

const CODECS: [Codec; 6] =
    [Codec::Opus, Codec::G722, Codec::G711(Law::A), Codec::G711(Law::Mu), Codec::Gsm, Codec::L16(Rate::Wide)];

async fn node_of_all() -> TestNode {
    node_with(|config| config.codecs = ["opus", "g722", "pcma", "pcmu", "gsm", "l16"].map(Into::into).into())
        .await
}

fn level(samples: &[i16], hz: f32) -> f32 {
    goertzel::tone_level_dbov(samples, 8_000, hz)
}

/// Listens until the tone is there, so that a busy machine only takes longer.
async fn hears(phone: &CodedPhone, hz: f32) {
    hears_but(phone, hz, None).await;
}

/// The same until another tone is less than that loud.
async fn hears_but(phone: &CodedPhone, hz: f32, not: Option<(f32, f32)>) {
    until(&format!("{hz} Hz at {:?}, without {not:?}", phone.codec), async || {
        let samples = phone.hear(300).await;
        let part = &samples[samples.len() / 3..];
        let is_right = level(part, hz) > -25.0 && not.is_none_or(|(hz, dbov)| level(part, hz) < dbov);
        is_right.then_some(())
    })
    .await;
}

/// Listens until a whole second of the tone was there: a machine that stood still has spoiled only the one before. How much
/// of it may be concealed is judged where the clock is virtual (`smooths_jitter` of rtp-core, `docs/audio-quality.md`); here
/// the phone's own timers add to the network's jitter, so that the line is what nobody would miss, -25 dBov of -20.
async fn hears_a_second_of(phone: &CodedPhone, hz: f32, what: &str) {
    let mut loudest = f32::MIN;
    for _ in 0..30 {
        loudest = loudest.max(level(&phone.hear(1_000).await, hz));
        if loudest > -25.0 {
            return;
        }
    }
    panic!("{what}: never louder than {loudest} dBov for a second");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_pair_of_codecs_is_bridged_with_any_packet_time() {
    let node = node_of_all().await;
    let mut n = 0;
    for (a, first) in CODECS.into_iter().enumerate() {
        let mut pairs = Vec::new();
        for (b, second) in CODECS.into_iter().enumerate().skip(a) {
            n += 2;
            let ptimes = [20, 10, 40, 60, 30];
            let (p, q) = (ptimes[(a + b) % 5], ptimes[(a * b + 1) % 5]);
            let left = CodedPhone::call(&node, n, first, 440.0, p, perfect).await;
            let right = CodedPhone::call(&node, n + 1, second, 1_000.0, q, perfect).await;
            node.connect(&left.leg, To::PeerLegId(right.leg.clone())).await;
            pairs.push((left, right));
        }
        for (left, right) in &pairs {
            hears_but(left, 1_000.0, Some((440.0, -38.0))).await;
            hears_but(right, 440.0, Some((1_000.0, -38.0))).await;
            for phone in [left, right] {
                assert_continuous(&phone.heard.lock().unwrap());
            }
        }
        for (left, right) in &pairs {
            left.hush();
            right.hush();
            node.release(&left.leg).await;
            node.release(&right.leg).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_one_room_of_all_codecs_everybody_hears_all_but_themselves() {
    let node = node_of_all().await;
    let tones = [420.0, 610.0, 830.0, 1_090.0, 1_370.0, 1_730.0];
    let mut phones = Vec::new();
    for (n, codec) in CODECS.into_iter().enumerate() {
        let phone = CodedPhone::call(&node, 1 + n as u32, codec, tones[n], 20, perfect).await;
        node.connect(&phone.leg, To::MixId("room".into())).await;
        phones.push(phone);
    }
    for (n, phone) in phones.iter().enumerate() {
        for other in (0..tones.len()).filter(|other| *other != n) {
            hears_but(phone, tones[other], Some((tones[n], -33.0))).await;
        }
        assert_continuous(&phone.heard.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_of_one_codec_are_sent_the_same_packets() {
    let node = node_of_all().await;
    let speaker = CodedPhone::call(&node, 1, Codec::G711(Law::A), 700.0, 20, perfect).await;
    let mut listeners = Vec::new();
    for n in 2..5 {
        let phone = CodedPhone::call(&node, n, Codec::Opus, 300.0, 20, perfect).await;
        hears_nothing_more(&phone).await;
        node.connect(&phone.leg, To::MixId("room".into())).await;
        listeners.push(phone);
    }
    node.connect(&speaker.leg, To::MixId("room".into())).await;
    for phone in &listeners {
        hears(phone, 700.0).await;
    }
    let payloads = |phone: &CodedPhone| -> Vec<Vec<u8>> {
        phone.heard.lock().unwrap().iter().map(|packet| packet.payload.clone()).collect()
    };
    until("the same packets at both", async || {
        listeners[0].hear(1_000).await;
        // Of the last packets of one the other may have the last few still before it.
        let (first, second) = (payloads(&listeners[0]), payloads(&listeners[2]));
        let last = &first[first.len() - 40..first.len() - 5];
        last.iter().all(|payload| second.contains(payload)).then_some(())
    })
    .await;
}

/// Speaks once, so that the node knows where it is, and is silent then.
async fn hears_nothing_more(phone: &CodedPhone) {
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    phone.hush();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_changes_in_mid_call_and_the_stream_goes_on() {
    let node = node_of_all().await;
    let left = CodedPhone::call(&node, 1, Codec::G722, 440.0, 20, perfect).await;
    let mut right = CodedPhone::call(&node, 2, Codec::G722, 1_000.0, 20, perfect).await;
    node.connect(&left.leg, To::PeerLegId(right.leg.clone())).await;
    hears(&left, 1_000.0).await;
    for (codec, hz) in [(Codec::Opus, 600.0), (Codec::G711(Law::Mu), 800.0), (Codec::G722, 1_200.0)] {
        right.change(&node, codec, hz).await;
        hears(&left, hz).await;
        hears(&right, 440.0).await;
        let stats = node.leg(&right.leg).await.unwrap().stats.unwrap();
        assert_eq!(stats.encoding_sent, stats.encoding_received);
        assert_continuous(&left.heard.lock().unwrap());
        assert_continuous(&right.heard.lock().unwrap());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_jitter_and_reordering_do_not_hide_the_tone() {
    let node = node_of_all().await;
    let networks: [(&str, support::coded_phone::Network); 4] = [
        ("1 % lost", |n| (n % 100 != 50).then_some(0)),
        ("5 % lost", |n| (n % 20 != 10).then_some(0)),
        ("10 % lost", |n| (n % 10 != 5).then_some(0)),
        ("jitter and reordering", |n| Some(u64::from(n.wrapping_mul(2_654_435_761) >> 24) * 80 / 256)),
    ];
    for (round, (what, network)) in networks.into_iter().enumerate() {
        let mut pairs = Vec::new();
        for (k, codec) in CODECS.into_iter().enumerate() {
            let n = (round * 100 + k * 2) as u32 + 1;
            let speaker = CodedPhone::call(&node, n, codec, 1_000.0, 20, network).await;
            let hearer = CodedPhone::call(&node, n + 1, Codec::L16(Rate::Wide), 440.0, 20, perfect).await;
            let room = format!("{round}-{k}");
            node.connect(&speaker.leg, To::MixId(room.clone())).await;
            node.connect(&hearer.leg, To::MixId(room)).await;
            pairs.push((speaker, hearer));
        }
        for (speaker, hearer) in &pairs {
            hears_a_second_of(hearer, 1_000.0, &format!("{what}, {:?}", speaker.codec)).await;
        }
        for (speaker, hearer) in &pairs {
            node.release(&speaker.leg).await;
            node.release(&hearer.leg).await;
        }
    }
}
