//! Every codec through bridges and rooms: each hears all but itself, whatever the others speak.
#![allow(clippy::unwrap_used, reason = "tests")]

mod support;

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

/// Listens until the tone is there, so that a busy machine only takes longer; what was heard then.
async fn hears(phone: &CodedPhone, hz: f32) -> Vec<i16> {
    for _ in 0..20 {
        let samples = phone.hear(300).await;
        if level(&samples[samples.len() / 3..], hz) > -25.0 {
            return samples;
        }
    }
    panic!("{:?} does not hear {hz} Hz", phone.codec);
}

/// Listens until a whole second was as loud as it should be: a machine that stood still has spoiled only the one before.
async fn hears_a_second_of(phone: &CodedPhone, hz: f32, what: &str) {
    let mut loudest = f32::MIN;
    for _ in 0..15 {
        loudest = loudest.max(level(&phone.hear(1_000).await, hz));
        if loudest > -22.0 {
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
            let what = format!("{:?} with {:?}", left.codec, right.codec);
            let (at_left, at_right) = (hears(left, 1_000.0).await, hears(right, 440.0).await);
            assert!(level(&at_left, 440.0) < -40.0, "{what}: the left hears itself");
            assert!(level(&at_right, 1_000.0) < -40.0, "{what}: the right hears itself");
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
            let samples = hears(phone, tones[other]).await;
            let own = level(&samples[samples.len() / 3..], tones[n]);
            assert!(own < -33.0, "{:?} hears itself at {own} dBov", phone.codec);
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
    // Of the last packets of one the other may have the last few still before it.
    let (first, second) = (payloads(&listeners[0]), payloads(&listeners[2]));
    let last = &first[first.len() - 40..first.len() - 5];
    let shared = last.iter().filter(|payload| second.contains(payload)).count();
    assert_eq!(shared, last.len(), "packets that both were sent");
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
