//! Mute, deafen, gain, coaching, digits that are sent and who speaks, as telephones hear it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::StreamExt as _;
use pb::connect_leg_request::To;
use pb::leg_role::Kind;
use sidetone_dsp::{Law, g711, goertzel, level};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request};

const TONES: [f32; 3] = [500.0, 900.0, 1700.0];

async fn set(node: &TestNode, request: pb::SetLegAudioRequest) {
    node.media.set_leg_audio(Request::new(request)).await.unwrap();
}

fn of(phone: &Phone) -> pb::SetLegAudioRequest {
    pb::SetLegAudioRequest { leg_id: phone.leg.clone(), ..Default::default() }
}

fn role(kind: Kind) -> Option<pb::LegRole> {
    Some(pb::LegRole { kind: Some(kind) })
}

async fn phones(node: &TestNode, laws: &[Law]) -> Vec<Phone> {
    let mut phones = Vec::new();
    for (n, law) in laws.iter().enumerate() {
        phones.push(Phone::call(node, n as u32, *law, TONES[n], 20).await);
    }
    phones
}

/// Listens until exactly these tones are heard.
async fn hears(phone: &Phone, expected: [bool; 3], what: &str) {
    phone.until_tones(what, &TONES, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_bridge() {
    let node = node().await;
    let phones = phones(&node, &[Law::Mu, Law::A]).await;
    node.connect(&phones[0].leg, To::PeerLegId(phones[1].leg.clone())).await;
    hears(&phones[1], [true, false, false], "the others").await;
    phones[1].forget();

    set(&node, pb::SetLegAudioRequest { muted: true, ..of(&phones[0]) }).await;
    hears(&phones[1], [false; 3], "muted").await;
    hears(&phones[0], [false, true, false], "who is muted hears").await;

    let quieter = pb::SetLegAudioRequest { gain_mdb: -12_000, ..of(&phones[0]) };
    set(&node, quieter).await;
    // The phone speaks at -10 dBm0, which is -16.1 dBov.
    let is_quieter = |heard: &[i16]| (-28.6..-27.6).contains(&tone_dbov(heard, TONES[0]));
    phones[1].until_hears("12 dB less", is_quieter).await;

    set(&node, pb::SetLegAudioRequest { deafened: true, ..of(&phones[1]) }).await;
    hears(&phones[1], [false; 3], "deafened").await;
    hears(&phones[0], [false, true, false], "who is deafened is heard").await;

    set(&node, of(&phones[0])).await;
    set(&node, of(&phones[1])).await;
    hears(&phones[1], [true, false, false], "the others").await;
    assert_continuous(&phones[1].heard.lock().unwrap());
    assert_eq!(phones[1].heard.lock().unwrap().iter().filter(|packet| packet.marker).count(), 0);
}

/// Speaks white noise of -40 dBov for as long as the test goes on.
fn hiss(phone: &Phone) {
    let phone = phone.clone();
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(std::time::Duration::from_millis(20));
        let (mut random, mut timestamp) = (1u32, 0u32);
        loop {
            timer.tick().await;
            // A uniform distribution of this width has that level.
            let noise: Vec<i16> = (0..160)
                .map(|_| {
                    random ^= random << 13;
                    random ^= random >> 17;
                    random ^= random << 5;
                    (random % 1_135) as i16 - 567
                })
                .collect();
            let mut coded = [0; 160];
            g711::encode(Law::Mu, &noise, &mut coded);
            phone.send(0, 7, timestamp, &coded).await;
            timestamp = timestamp.wrapping_add(160);
        }
    });
}

/// In a bridge, forwarding is left for it and returned to, and the hearer's stream goes on meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn automatic_gain_and_noise_suppression() {
    let node = node().await;
    let talkers = phones(&node, &[Law::Mu, Law::A]).await;
    node.connect(&talkers[0].leg, To::PeerLegId(talkers[1].leg.clone())).await;
    let is = |range: std::ops::Range<f32>| move |heard: &[i16]| range.contains(&tone_dbov(heard, TONES[0]));
    talkers[1].until_hears("as it is spoken", is(-16.8..-15.4)).await;
    talkers[1].forget();
    set(&node, pb::SetLegAudioRequest { automatic_gain: true, ..of(&talkers[0]) }).await;
    talkers[1].until_hears("brought to -20 dBov", is(-20.6..-18.4)).await;
    let both = pb::SetLegAudioRequest { automatic_gain: true, gain_mdb: -6_000, ..of(&talkers[0]) };
    set(&node, both).await;
    talkers[1].until_hears("its gain besides", is(-26.6..-24.4)).await;
    set(&node, of(&talkers[0])).await;
    talkers[1].until_hears("as it is spoken", is(-16.8..-15.4)).await;
    assert_continuous(&talkers[1].heard.lock().unwrap());

    let formats = description("127.0.0.1:2".parse().unwrap(), &[(0, "PCMU")], 0).formats;
    let noisy = Phone::quiet(&node, 8, Law::Mu, formats.clone(), 20).await;
    let hearer = Phone::quiet(&node, 9, Law::Mu, formats, 20).await;
    hiss(&noisy);
    let level = |range: std::ops::Range<f32>| move |heard: &[i16]| range.contains(&level::level_dbov(heard));
    for to in [To::PeerLegId(hearer.leg.clone()), To::MixId("room".into())] {
        set(&node, of(&noisy)).await;
        node.connect(&noisy.leg, to.clone()).await;
        if matches!(to, To::MixId(_)) {
            node.connect(&hearer.leg, to).await;
        }
        hearer.until_hears("the noise", level(-41.5..-38.5)).await;
        set(&node, pb::SetLegAudioRequest { suppress_noise: true, ..of(&noisy) }).await;
        hearer.until_hears("10 dB less of it", level(-128.0..-50.0)).await;
    }
    assert_continuous(&hearer.heard.lock().unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_conference() {
    let node = node().await;
    let phones = phones(&node, &[Law::Mu, Law::A, Law::Mu]).await;
    // A coach who is there before the one to be coached, and whose part is known before it joins.
    let coach = pb::leg_role::Coach { heard_by_leg_id: phones[0].leg.clone() };
    set(&node, pb::SetLegAudioRequest { role: role(Kind::Coach(coach)), ..of(&phones[2]) }).await;
    for phone in phones.iter().rev() {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    hears(&phones[0], [false, true, true], "hears its coach").await;
    hears(&phones[1], [true, false, false], "does not").await;
    hears(&phones[2], [true, true, false], "the others").await;

    let listener = role(Kind::Listener(pb::leg_role::Listener {}));
    set(&node, pb::SetLegAudioRequest { role: listener, ..of(&phones[2]) }).await;
    set(&node, pb::SetLegAudioRequest { deafened: true, ..of(&phones[1]) }).await;
    hears(&phones[0], [false, true, false], "the others").await;
    hears(&phones[1], [false; 3], "the others").await;
    hears(&phones[2], [true, true, false], "the others").await;
    for phone in &phones {
        assert_continuous(&phone.heard.lock().unwrap());
    }

    let louder = pb::SetLegAudioRequest { gain_mdb: 18_001, ..of(&phones[0]) };
    let refused = node.media.set_leg_audio(Request::new(louder)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let nobody = pb::SetLegAudioRequest { leg_id: uuid(77), ..Default::default() };
    let refused = node.media.set_leg_audio(Request::new(nobody)).await.unwrap_err();
    assert_eq!(refused.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_go_out_as_events_within_one_unbroken_stream() {
    let node = node().await;
    let phones = phones(&node, &[Law::Mu, Law::A]).await;
    node.connect(&phones[0].leg, To::PeerLegId(phones[1].leg.clone())).await;
    phones[1].hear(10).await;
    phones[1].forget();
    let request =
        pb::SendDigitsRequest { leg_id: phones[1].leg.clone(), digits: "1#d".into(), ..Default::default() };
    node.media.send_digits(Request::new(request)).await.unwrap();
    let is_event = |packet: &Heard| packet.payload_type == 96;
    let ended = |heard: &[Heard], digit: u8| {
        heard.iter().filter(|p| is_event(p) && p.payload[0] == digit && p.payload[1] & 0x80 != 0).count() == 3
    };
    until("the last digit", async || ended(&phones[1].heard.lock().unwrap(), 15).then_some(())).await;
    phones[1].hear(10).await;
    let heard = phones[1].heard.lock().unwrap().clone();
    assert_continuous(&heard);
    let events: Vec<&Heard> = heard.iter().filter(|packet| is_event(packet)).collect();
    let mut starts: Vec<(u8, u32)> = events.iter().map(|p| (p.payload[0], p.timestamp)).collect();
    starts.dedup();
    assert_eq!(starts.iter().map(|(digit, _)| *digit).collect::<Vec<_>>(), [1, 11, 15], "one start each");
    for (digit, start) in starts {
        let packets: Vec<&&Heard> = events.iter().filter(|p| p.timestamp == start).collect();
        assert!(packets[0].marker && packets[1..].iter().all(|packet| !packet.marker));
        assert_eq!(packets.len(), 7, "five packets of 20 ms, the last three times");
        assert!(
            packets[4..].iter().all(|p| p.payload[1] & 0x80 != 0 && p.payload[2..] == [3, 32]),
            "{digit}"
        );
    }
    let bad =
        pb::SendDigitsRequest { leg_id: phones[1].leg.clone(), digits: "1x".into(), ..Default::default() };
    let refused = node.media.send_digits(Request::new(bad)).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);
    let many =
        pb::SendDigitsRequest { leg_id: phones[1].leg.clone(), digits: "1".repeat(40), ..Default::default() };
    node.media.send_digits(Request::new(many.clone())).await.unwrap();
    let refused = node.media.send_digits(Request::new(many)).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted, "64 may wait");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digit_that_comes_as_an_event_is_a_tone_to_a_peer_without_events() {
    let node = node().await;
    let formats = |events: bool| {
        let both = [(0, "PCMU"), (101, "telephone-event")];
        description("127.0.0.1:2".parse().unwrap(), &both[..1 + usize::from(events)], 0).formats
    };
    let presses = Phone::quiet(&node, 1, Law::Mu, formats(true), 20).await;
    let plain = Phone::quiet(&node, 3, Law::Mu, formats(false), 20).await;
    node.connect(&presses.leg, To::PeerLegId(plain.leg.clone())).await;
    // 5, held for a second: begun, and ended three times.
    for packet in [[5, 10, 0, 160], [5, 0x8a, 31, 64], [5, 0x8a, 31, 64], [5, 0x8a, 31, 64]] {
        presses.send(101, 1, 8_000, &packet).await;
    }
    let tones = [697.0, 770.0, 1336.0, 1477.0];
    plain.until_tones("the two of a 5", &tones, &[false, true, true, false]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn digits_go_out_as_tones_to_who_takes_no_events() {
    let node = node().await;
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let offer = description(socket.local_addr().unwrap(), &[(0, "PCMU")], 20);
    node.media.create_leg(Request::new(create(9, Some(offer)))).await.unwrap();
    node.connect(&uuid(9), To::Nothing(pb::connect_leg_request::Nothing {})).await;
    let request =
        pb::SendDigitsRequest { leg_id: uuid(9), digits: "5".into(), duration_ms: 400, ..Default::default() };
    node.media.send_digits(Request::new(request)).await.unwrap();
    let mut buffer = [0; 500];
    let (mut sounding, mut after) = (0, 0);
    // How soon it begins is the machine's affair; a second of packets without it is its end.
    for _ in 0..1_500 {
        if after == 50 {
            break;
        }
        let (length, _) =
            tokio::time::timeout(PATIENCE, socket.recv_from(&mut buffer)).await.unwrap().unwrap();
        let mut samples = vec![0; length - 12];
        sidetone_dsp::g711::decode(Law::Mu, &buffer[12..length], &mut samples);
        let at = |hz| goertzel::tone_level_dbov(&samples, 8000, hz);
        if at(770.0) > -16.0 && at(1336.0) > -14.0 {
            sounding += 1;
            assert!(at(941.0) < -25.0 && at(1633.0) < -25.0, "only the two of the key");
        } else if sounding > 0 {
            after += 1;
        }
    }
    assert_eq!(sounding, 20, "400 ms in packets of 20 ms");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_speaks_is_told() {
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let phones = phones(&node, &[Law::Mu, Law::Mu]).await;
    phones[0].hush();
    // The last of it has come before it is in the room.
    received_when_read(&node, &phones[0].leg).await;
    for phone in &phones {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    let mut told = Vec::new();
    let waited = tokio::time::timeout(PATIENCE, async {
        while let Some(Ok(event)) = events.next().await {
            if let Some(pb::media_event::Kind::SpeakerChanged(changed)) = event.kind {
                assert_eq!(changed.mix_id, "room");
                told.push(changed.leg_id);
                phones[1].hush();
                if told.last().is_some_and(String::is_empty) {
                    return;
                }
            }
        }
    });
    waited.await.unwrap();
    assert_eq!(told, [phones[1].leg.clone(), String::new()]);
}
