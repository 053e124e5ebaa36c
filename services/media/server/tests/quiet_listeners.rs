//! Many who only listen send noise: it is neither decoded nor mixed, until one of them says something.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use pb::connect_leg_request::To;
use sidetone_dsp::codec::{Codec, Encoder, OpusSettings};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::coded_phone::{CodedPhone, format, payload_type, perfect};
use support::*;
use tokio::net::UdpSocket;
use tonic::Request;

/// Some who listen, with a microphone that is open.
const LISTENERS: u32 = 6;
const NOISE: usize = 150;
const WORDS: usize = 500;
const WORDS_HZ: f32 = 900.0;

/// Noise of -60 dBov, then a tone, in packets of Opus from one encoder.
fn noise_then_words(seed: u32, bitrate_bps: u32) -> Vec<Vec<u8>> {
    let rate = Codec::Opus.native_rate();
    let settings = OpusSettings { bitrate_bps, ..OpusSettings::default() };
    let mut encoder = Encoder::new(Codec::Opus, rate, &settings).unwrap();
    let mut words = ToneGenerator::new(rate.hz(), &[Tone { freq_hz: WORDS_HZ, level_dbm0: -10.0 }]);
    let mut state = u64::from(seed) * 2 + 1;
    let mut frame = vec![0i16; rate.samples(20)];
    let packet = |n: usize| {
        if n < NOISE {
            for sample in &mut frame {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // Evenly spread over +-57: a mean square of 33 squared.
                *sample = ((state >> 33) % 115) as i16 - 57;
            }
        } else {
            words.fill(&mut frame);
        }
        let mut payload = vec![0; 1_500];
        let length = encoder.encode(&frame, &mut payload).unwrap();
        payload.truncate(length);
        payload
    };
    (0..NOISE + WORDS).map(packet).collect()
}

/// Listens, and speaks when told to.
async fn listener(node: &TestNode, n: u32, bitrate_bps: u32) -> (String, Arc<AtomicBool>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut offer = description(socket.local_addr().unwrap(), &[], 20);
    offer.formats = vec![format(Codec::Opus)];
    let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
    let to = address(answer.local.as_ref().unwrap());
    let speaks = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&speaks);
    let payloads = tokio::task::spawn_blocking(move || noise_then_words(n, bitrate_bps)).await.unwrap();
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        let mut place = 0;
        for k in 0u32.. {
            timer.tick().await;
            place = match told.load(Ordering::Relaxed) {
                true if place < NOISE => NOISE,
                true => NOISE + (place + 1 - NOISE) % WORDS,
                false => (place + 1) % NOISE,
            };
            let bytes = packet(payload_type(Codec::Opus), k as u16, k.wrapping_mul(960), n, &payloads[place]);
            drop(socket.send_to(&bytes, to).await);
        }
    });
    (uuid(n), speaks)
}

/// Waits until so many packets more were passed over.
async fn sleeps(node: &TestNode, packets: u64) {
    let passed_over = &node.telemetry.media.packets_passed_over;
    let before = passed_over.get();
    until("packets that are passed over", async || (passed_over.get() >= before + packets).then_some(()))
        .await;
}

async fn hears(phone: &CodedPhone, hz: f32, is_there: bool) {
    let deadline = Instant::now() + 2 * PATIENCE;
    while has_tone(&phone.hear(300).await, hz) != is_there {
        assert!(Instant::now() < deadline, "{hz} Hz heard: expected {is_there}");
    }
}

async fn noise_is_passed_over_and_words_are_heard(bitrate_bps: u32) {
    let node = node_with(|config| config.workers = 1).await;
    let speaker = CodedPhone::call(&node, 1, Codec::Opus, 500.0, 20, perfect).await;
    let hearer = CodedPhone::call(&node, 2, Codec::Opus, 3_000.0, 20, perfect).await;
    hearer.hush();
    let mut listeners = Vec::new();
    for n in 0..LISTENERS {
        listeners.push(listener(&node, 10 + n, bitrate_bps).await);
    }
    let legs = [&speaker.leg, &hearer.leg].into_iter().chain(listeners.iter().map(|(leg, _)| leg));
    for leg in legs {
        node.connect(leg, To::MixId("room".into())).await;
    }
    hears(&hearer, 500.0, true).await;
    sleeps(&node, 200).await;
    let (_, speaks) = &listeners[3];
    speaks.store(true, Ordering::Relaxed);
    hears(&hearer, WORDS_HZ, true).await;
    hears(&hearer, 500.0, true).await;
    speaks.store(false, Ordering::Relaxed);
    hears(&hearer, WORDS_HZ, false).await;
    sleeps(&node, 200).await;
    // Whoever wakes up in another room is heard there, too.
    node.connect(&listeners[3].0, To::MixId("other".into())).await;
    node.connect(&hearer.leg, To::MixId("other".into())).await;
    speaks.store(true, Ordering::Relaxed);
    hears(&hearer, WORDS_HZ, true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_in_silk_is_passed_over_and_words_are_heard() {
    noise_is_passed_over_and_words_are_heard(24_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn noise_in_celt_is_passed_over_and_words_are_heard() {
    noise_is_passed_over_and_words_are_heard(96_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_small_room_everybody_is_listened_to() {
    let node = node_with(|config| config.workers = 1).await;
    let speaker = CodedPhone::call(&node, 1, Codec::Opus, 500.0, 20, perfect).await;
    let hearer = CodedPhone::call(&node, 2, Codec::Opus, 3_000.0, 20, perfect).await;
    hearer.hush();
    let (listener, _speaks) = listener(&node, 10, 24_000).await;
    for leg in [&speaker.leg, &hearer.leg, &listener] {
        node.connect(leg, To::MixId("room".into())).await;
    }
    hears(&hearer, 500.0, true).await;
    // Twice as long as it takes to fall asleep in a crowd.
    hearer.hear(3_000).await;
    assert_eq!(node.telemetry.media.packets_passed_over.get(), 0);
}
