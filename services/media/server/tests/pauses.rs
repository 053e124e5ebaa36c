//! Silence that is not sent: comfort noise (RFC 3389) and DTX of Opus, from phones and to them.
#![allow(clippy::unwrap_used, reason = "tests")]

use crate::support;

use std::time::Duration;

use pb::connect_leg_request::To;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::level::level_dbov;
use sidetone_dsp::{Law, g711};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use support::coded_phone;
use support::*;
use tonic::Request;

fn formats(formats: &[(u32, &str)]) -> Vec<types::Format> {
    description("127.0.0.1:2".parse().unwrap(), formats, 20).formats
}

async fn phone(node: &TestNode, n: u32, noise: bool, ptime_ms: u32) -> Phone {
    let all = [(0, "PCMU"), (101, "telephone-event"), (13, "CN")];
    Phone::quiet(node, n, Law::Mu, formats(&all[..if noise { 3 } else { 2 }]), ptime_ms).await
}

/// A phone that agreed to comfort noise talks: a tone for so many packets, and then it pauses.
struct Talker {
    phone: Phone,
    timestamp: u32,
}

impl Talker {
    async fn talk(&mut self, packets: usize) {
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        let tone = sine(500.0, 20);
        let mut bytes = [0; 160];
        g711::encode(Law::Mu, &tone, &mut bytes);
        for _ in 0..packets {
            timer.tick().await;
            self.phone.send(0, 77, self.timestamp, &bytes).await;
            self.timestamp = self.timestamp.wrapping_add(160);
        }
    }

    async fn pause(&mut self, level: u8) {
        self.phone.send(13, 77, self.timestamp, &[level]).await;
        self.timestamp = self.timestamp.wrapping_add(16_000);
    }
}

fn noise_of(heard: &[Heard]) -> Vec<&Heard> {
    heard.iter().filter(|packet| packet.payload_type == 13).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_comfort_noise_hears_noise_and_who_knows_it_gets_it_untouched() {
    let node = node().await;
    for (n, law) in [(1, Law::Mu), (11, Law::A)] {
        let mut talker = Talker { phone: phone(&node, n, true, 20).await, timestamp: 0 };
        let listener = match law {
            Law::Mu => phone(&node, n + 1, false, 20).await,
            Law::A => Phone::quiet(&node, n + 1, law, formats(&[(8, "PCMA")]), 20).await,
        };
        node.connect(&talker.phone.leg, To::PeerLegId(listener.leg.clone())).await;
        talker.talk(10).await;
        talker.pause(45).await;
        listener
            .until_hears("noise at the level that was told", |heard| (level_dbov(heard) + 45.0).abs() < 2.5)
            .await;
        talker.talk(10).await;
        until("the tone again", async || {
            has_tone(&linear(law, &listener.heard.lock().unwrap()[..]), 500.0).then_some(())
        })
        .await;
        assert_continuous(&listener.heard.lock().unwrap());
        assert!(noise_of(&listener.heard.lock().unwrap()).is_empty());
    }
    let mut talker = Talker { phone: phone(&node, 21, true, 20).await, timestamp: 0 };
    let knows = phone(&node, 22, true, 20).await;
    node.connect(&talker.phone.leg, To::PeerLegId(knows.leg.clone())).await;
    talker.talk(5).await;
    for level in [50, 61] {
        talker.pause(level).await;
        until("the packet as it was sent", async || {
            let heard = knows.heard.lock().unwrap();
            noise_of(&heard).iter().any(|packet| packet.payload == [level] && !packet.marker).then_some(())
        })
        .await;
    }
    assert_eq!(node.leg(&talker.phone.leg).await.unwrap().stats.unwrap().packets_lost, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_agreed_to_comfort_noise_is_sent_one_packet_a_second_of_silence() {
    let node = node().await;
    for (n, ptime_ms) in [(1, 20), (11, 30)] {
        let alone = phone(&node, n, true, ptime_ms).await;
        let other = phone(&node, n + 1, false, ptime_ms).await;
        let room = format!("room-{n}");
        for leg in [&alone.leg, &other.leg] {
            node.connect(leg, To::MixId(room.clone())).await;
        }
        until("three packets of comfort noise", async || {
            (noise_of(&alone.heard.lock().unwrap()).len() >= 3).then_some(())
        })
        .await;
        let heard = alone.heard.lock().unwrap().clone();
        assert_continuous(&heard);
        let first = heard.iter().position(|packet| packet.payload_type == 13).unwrap();
        assert!(first >= 6, "the hang-over was sent: {first}");
        assert!(heard[first..].iter().all(|packet| packet.payload_type == 13 && !packet.marker));
        for pair in heard[first..].windows(2) {
            // Longer where the machine stood still.
            let between = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            assert!(between >= 8_000, "{between}");
        }
        assert!(noise_of(&other.heard.lock().unwrap()).is_empty(), "who did not agree is sent silence");
        let speaker = Phone::call(&node, n + 2, Law::A, 700.0, 20).await;
        node.connect(&speaker.leg, To::MixId(room)).await;
        let before = alone.count();
        until("words", async || {
            let heard = alone.heard.lock().unwrap()[before..].to_vec();
            has_tone(&linear(Law::Mu, &heard), 700.0).then_some(())
        })
        .await;
        let heard = alone.heard.lock().unwrap().clone();
        assert_continuous(&heard);
        let sound = |packet: &Heard| packet.payload_type == 0;
        let resumed = (first..heard.len()).find(|n| sound(&heard[*n])).unwrap();
        assert!(heard[resumed].marker, "the first packet after silence begins a talk spurt");
        speaker.hush();
    }
    // The workers' counts are handed on once a second.
    until("the metric", async || (node.telemetry.media.frames_suppressed.get() >= 100).then_some(())).await;
}

fn opus(parameters: &str) -> Vec<types::Format> {
    vec![types::Format { parameters: parameters.into(), ..coded_phone::format(Codec::Opus) }]
}

#[tokio::test(flavor = "multi_thread")]
async fn opus_stops_in_silence_for_who_asks_for_that_alone() {
    let node = node().await;
    let asks = Phone::quiet(&node, 1, Law::Mu, opus("useinbandfec=1;usedtx=1"), 20).await;
    let asks_long = Phone::quiet(&node, 2, Law::Mu, opus("usedtx=1"), 60).await;
    let not = Phone::quiet(&node, 3, Law::Mu, opus("useinbandfec=1"), 20).await;
    for phone in [&asks, &asks_long, &not] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    for (phone, refreshed) in [(&asks, true), (&asks_long, false)] {
        until("three packets without sound", async || {
            let heard = phone.heard.lock().unwrap();
            (heard.iter().filter(|packet| packet.payload.len() == 1).count() >= 3).then_some(())
        })
        .await;
        let heard = phone.heard.lock().unwrap().clone();
        assert_continuous(&heard);
        let first = heard.iter().position(|packet| packet.payload.len() == 1).unwrap();
        for pair in heard[first..].windows(2) {
            let (one, other) = (pair[0].payload.len() == 1, pair[1].payload.len() == 1);
            assert!(if refreshed { one != other } else { one && other }, "{one} {other}");
            assert!(!pair[1].marker);
            let between = pair[1].timestamp.wrapping_sub(pair[0].timestamp);
            // More where the machine stood still.
            assert!(between >= 960, "{between}");
        }
        let toc = heard[first].payload[0];
        assert_eq!(toc & 3, 0, "one frame");
    }
    assert!(not.hear(60).await.iter().all(|packet| packet.payload.len() > 1));
    // It is heard at once when somebody speaks again.
    let speaker = Phone::call(&node, 4, Law::A, 700.0, 20).await;
    node.connect(&speaker.leg, To::MixId("room".into())).await;
    let before = asks.count();
    until("packets one after the other", async || (asks.count() >= before + 50).then_some(())).await;
    let heard = asks.heard.lock().unwrap().clone();
    assert_continuous(&heard);
    assert!(heard[before..].iter().any(|packet| packet.marker));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_opus_phone_may_change_its_packet_time_in_mid_call() {
    let node = node().await;
    let phone = Phone::quiet(&node, 1, Law::Mu, opus("useinbandfec=1"), 60).await;
    node.connect(&phone.leg, To::MixId("room".into())).await;
    let mut before = 60;
    for ptime_ms in [60, 20, 60, 10, 40] {
        let remote = types::MediaDescription {
            formats: opus("useinbandfec=1"),
            ..description(phone.socket.local_addr().unwrap(), &[], ptime_ms)
        };
        let request = pb::UpdateLegRequest {
            leg_id: phone.leg.clone(),
            remote: Some(remote),
            is_answer: false,
            is_reanswer: false,
        };
        node.media.update_leg(Request::new(request)).await.unwrap();
        until(&format!("packets of {ptime_ms} ms after {before}"), async || {
            let heard = phone.hear(4).await;
            let right = |pair: &[Heard]| pair[1].timestamp.wrapping_sub(pair[0].timestamp) == ptime_ms * 48;
            heard.windows(2).all(right).then_some(())
        })
        .await;
        before = ptime_ms;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn switched_off_nothing_is_agreed_and_silence_is_sent() {
    for (suppresses, noise) in [(true, true), (false, false)] {
        let node = node_with(|config| config.silence_suppression = suppresses).await;
        let offer = node.media.create_leg(Request::new(create(1, None))).await.unwrap().into_inner();
        let offer = offer.local.unwrap();
        assert_eq!(offer.formats.iter().any(|format| format.encoding == "CN"), noise);
        let parameters = &offer.formats.iter().find(|format| format.encoding == "opus").unwrap().parameters;
        assert_eq!(parameters.contains("usedtx=1"), noise, "{parameters}");
        let alone = phone(&node, 2, true, 20).await;
        node.connect(&alone.leg, To::MixId("room".into())).await;
        let heard = alone.hear(12).await;
        if !suppresses {
            assert!(heard.iter().all(|packet| packet.payload_type == 0));
            alone.hear(30).await;
            assert!(noise_of(&alone.heard.lock().unwrap()).is_empty());
        }
    }
}
