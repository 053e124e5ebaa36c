//! G.711 that is passed on reaches each hearer in packets of the time that it asked for, without being decoded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::event::EventPayload;
use support::*;

#[tokio::test(flavor = "multi_thread")]
async fn every_packet_time_into_every_other_byte_for_byte() {
    let node = node().await;
    let times = [10, 20, 30, 40, 60];
    let pairs = times.iter().flat_map(|from| times.iter().map(move |to| (*from, *to)));
    let mut n = 0;
    for (from, to) in pairs.filter(|(from, to)| from != to) {
        n += 2;
        let speaker = quiet(&node, n, from).await;
        let hearer = quiet(&node, n + 1, to).await;
        node.connect(&speaker.leg, To::PeerLegId(hearer.leg.clone())).await;
        // Every byte of the law, which decoding and encoding would not leave alone (there are two zeros in mu-law).
        let sound: Vec<u8> = (0..480 * 4u32).map(|at| (at % 251) as u8).collect();
        for (count, part) in (0u32..).zip(sound.chunks_exact(from as usize * 8)) {
            speaker.send(0, 7, count * from * 8, part).await;
        }
        let bytes = || -> Vec<u8> {
            hearer.heard.lock().unwrap().iter().flat_map(|packet| packet.payload.clone()).collect()
        };
        // What does not make a packet goes out short when nothing follows.
        until("all of it", async || (bytes().len() == sound.len()).then_some(())).await;
        assert_eq!(bytes(), sound, "{from} to {to}");
        let heard = hearer.heard.lock().unwrap().clone();
        assert_continuous(&heard);
        assert!(heard[..heard.len() - 1].iter().all(|packet| packet.payload.len() == to as usize * 8));
        for pair in heard.windows(2) {
            assert_eq!(pair[1].timestamp.wrapping_sub(pair[0].timestamp), to * 8, "{from} to {to}");
        }
        for leg in [&speaker.leg, &hearer.leg] {
            node.release(leg).await;
        }
    }
    until("the metric", async || (node.telemetry.media.packets_recut.get() > 0).then_some(())).await;
}

async fn quiet(node: &TestNode, n: u32, ptime_ms: u32) -> Phone {
    let formats = [(0, "PCMU"), (101, "telephone-event")];
    let formats = description("127.0.0.1:2".parse().unwrap(), &formats, 0).formats;
    Phone::quiet(node, n, Law::Mu, formats, ptime_ms).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_call_of_two_packet_times_and_two_laws_is_heard_without_a_break() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 10).await;
    let b = Phone::call(&node, 2, Law::A, 900.0, 60).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    a.until_hears("the other", |heard| tone_dbov(heard, 900.0) > -19.0).await;
    let at_b = b.hear(20).await;
    assert!(at_b[1..].iter().all(|packet| packet.payload.len() == 480), "packets of 60 ms");
    assert_continuous(&at_b);
    assert!(tone_dbov(&linear(b.law, &at_b), 500.0) > -19.0);
    let at_a = a.hear(60).await;
    assert!(at_a.iter().all(|packet| packet.payload.len() == 80), "packets of 10 ms");
    assert_continuous(&at_a);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digit_among_packets_that_are_joined_has_its_place_and_nothing_is_lost() {
    let node = node().await;
    let speaker = quiet(&node, 1, 20).await;
    let hearer = quiet(&node, 2, 60).await;
    node.connect(&speaker.leg, To::PeerLegId(hearer.leg.clone())).await;
    for n in 0..4u32 {
        speaker.send(0, 7, n * 160, &[n as u8; 160]).await;
    }
    for (duration, end) in [(160, false), (320, true)] {
        let event = EventPayload { code: 5, end, volume: 10, duration };
        speaker.send(101, 7, 640, &event.to_bytes()).await;
    }
    for n in 6..9u32 {
        speaker.send(0, 7, n * 160, &[n as u8; 160]).await;
    }
    let sound = |heard: &[Heard]| -> Vec<(u32, Vec<u8>)> {
        let packets = heard.iter().filter(|packet| packet.payload_type == 0);
        packets.map(|packet| (packet.timestamp, packet.payload.clone())).collect()
    };
    let heard = until("all of it", async || {
        let heard = hearer.heard.lock().unwrap().clone();
        let bytes: usize = sound(&heard).iter().map(|(_, payload)| payload.len()).sum();
        (bytes == 7 * 160).then_some(heard)
    })
    .await;
    let sound = sound(&heard);
    let start = sound[0].0;
    let places: Vec<(u32, usize)> =
        sound.iter().map(|(at, payload)| (at.wrapping_sub(start), payload.len())).collect();
    assert_eq!(places, [(0, 480), (480, 160), (960, 480)], "what waited goes out before the digit");
    let events: Vec<u32> =
        heard.iter().filter(|packet| packet.payload_type == 101).map(|packet| packet.timestamp).collect();
    assert_eq!(events, [start.wrapping_add(640); 2]);
    assert_eq!(
        sound.iter().flat_map(|(_, payload)| payload.clone()).step_by(160).collect::<Vec<_>>(),
        [0, 1, 2, 3, 6, 7, 8]
    );
}
