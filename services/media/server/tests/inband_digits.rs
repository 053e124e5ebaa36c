//! Digits in the sound of phones: told once each, of those phones alone that send no telephone events.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use pb::connect_leg_request::{Nothing, To};
use sidetone_dsp::Law;
use sidetone_dsp::codec::{Codec, Encoder, OpusSettings};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_rtp_core::event::{EventPayload, code_of_digit};
use support::coded_phone::{format, payload_type};
use support::*;
use tokio::net::UdpSocket;
use tonic::{Request, Status};

const KEYS: &str = "123A456B789C*0#D";
const EVENT_TYPE: u8 = 101;

/// A phone of one codec that presses keys.
struct Keypad {
    leg: String,
    codec: Codec,
    socket: UdpSocket,
    node: SocketAddr,
    encoder: Encoder,
    sequence: u16,
    timestamp: u32,
}

impl Keypad {
    async fn call(node: &TestNode, n: u32, codec: Codec, events: bool, digits: pb::InbandDigits) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let mut offer = description(socket.local_addr().unwrap(), &[], 20);
        offer.formats = vec![format(codec)];
        if events {
            let event =
                description(socket.local_addr().unwrap(), &[(EVENT_TYPE.into(), "telephone-event")], 20);
            offer.formats.extend(event.formats);
        }
        let request = pb::CreateLegRequest { inband_digits: digits.into(), ..create(n, Some(offer)) };
        let answer = node.media.create_leg(Request::new(request)).await.unwrap().into_inner();
        let node = address(answer.local.as_ref().unwrap());
        let encoder = Encoder::new(codec, codec.native_rate(), &OpusSettings::default()).unwrap();
        Self { leg: uuid(n), codec, socket, node, encoder, sequence: 1, timestamp: 0 }
    }

    async fn send(&mut self, payload_type: u8, timestamp: u32, payload: &[u8]) {
        let bytes = packet(payload_type, self.sequence, timestamp, 7, payload);
        self.sequence = self.sequence.wrapping_add(1);
        self.socket.send_to(&bytes, self.node).await.unwrap();
    }

    /// Sends what `fill` makes, at the codec's rate, in packets of 20 ms; with each an event, if there is one.
    async fn speak(&mut self, ms: usize, event: Option<char>, mut fill: impl FnMut(&mut [i16])) {
        let rate = self.codec.native_rate();
        let (mut sound, mut payload) = (vec![0; rate.samples(20)], vec![0; self.codec.payload_bytes_max(20)]);
        let (start, packets) = (self.timestamp, ms / 20);
        for n in 0..packets {
            fill(&mut sound);
            let length = self.encoder.encode(&sound, &mut payload).unwrap();
            self.send(payload_type(self.codec), self.timestamp, &payload[..length]).await;
            self.timestamp = self.timestamp.wrapping_add(self.codec.clock_hz() / 50);
            if let Some(digit) = event {
                let event = EventPayload {
                    code: code_of_digit(digit).unwrap(),
                    end: n + 1 == packets,
                    volume: 10,
                    duration: (160 * (n + 1)) as u16,
                };
                self.send(EVENT_TYPE, start, &event.to_bytes()).await;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    async fn press(&mut self, digits: &str, with_events: bool) {
        for digit in digits.chars() {
            let place = KEYS.find(digit).unwrap();
            let low = [697.0, 770.0, 852.0, 941.0][place / 4];
            let high = [1209.0, 1336.0, 1477.0, 1633.0][place % 4];
            let tones = [low, high].map(|freq_hz| Tone { freq_hz, level_dbm0: -9.0 });
            let mut tone = ToneGenerator::new(self.codec.native_rate().hz(), &tones);
            self.speak(100, with_events.then_some(digit), |sound| tone.fill(sound)).await;
            self.speak(100, None, |sound| sound.fill(0)).await;
        }
    }
}

type Events = BoxStream<'static, Result<pb::MediaEvent, Status>>;

async fn watch(node: &TestNode) -> Events {
    node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner()
}

/// The next digits that are told of, and whether each was found in the sound.
async fn told(events: &mut Events, count: usize) -> Vec<(String, bool)> {
    let mut told = Vec::new();
    while told.len() < count {
        let next = until("a digit", async || match events.next().await?.unwrap().kind {
            Some(pb::media_event::Kind::Digit(digit)) => Some(digit),
            _ => None,
        });
        let digit = next.await;
        told.push((digit.digit, digit.in_band));
    }
    told
}

fn each(digits: &str, in_band: bool) -> Vec<(String, bool)> {
    digits.chars().map(|digit| (digit.to_string(), in_band)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_digit_of_a_phone_without_events_in_every_codec_once() {
    let node = node().await;
    let mut events = watch(&node).await;
    let codecs = [Codec::G711(Law::Mu), Codec::G711(Law::A), Codec::G722, Codec::Gsm, Codec::Opus];
    for (n, codec) in (1..).zip(codecs) {
        let mut phone = Keypad::call(&node, n, codec, false, pb::InbandDigits::Unspecified).await;
        node.connect(&phone.leg, To::Nothing(Nothing {})).await;
        for key in KEYS.chars().map(String::from) {
            phone.press(&key, false).await;
            assert_eq!(told(&mut events, 1).await, each(&key, true), "{codec:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wherever_the_leg_is_connected() {
    let node = node().await;
    let mut events = watch(&node).await;
    for (n, codec) in [(1, Codec::G711(Law::A)), (3, Codec::G722), (5, Codec::Opus)] {
        let mut phone = Keypad::call(&node, n, codec, false, pb::InbandDigits::Always).await;
        // One whom everything could be passed on to as it comes.
        let other = Keypad::call(&node, n + 1, codec, false, pb::InbandDigits::Off).await;
        node.connect(&phone.leg, To::PeerLegId(other.leg.clone())).await;
        for key in ["1", "9"] {
            phone.press(key, false).await;
            assert_eq!(told(&mut events, 1).await, each(key, true), "{codec:?} in a bridge");
        }
        node.connect(&phone.leg, To::MixId("room".into())).await;
        for key in ["5", "#"] {
            phone.press(key, false).await;
            assert_eq!(told(&mut events, 1).await, each(key, true), "{codec:?} in a room");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sound_of_a_phone_with_events_is_not_searched_unless_asked_for() {
    let node = node_with(|config| config.inband_digits = sidetone_media::InbandDigits::Auto).await;
    let mut events = watch(&node).await;
    let law = Codec::G711(Law::Mu);
    let mut phone = Keypad::call(&node, 1, law, true, pb::InbandDigits::Unspecified).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;
    phone.press("123", false).await;
    phone.press("4", true).await;
    assert_eq!(told(&mut events, 1).await, each("4", false));
    let mut silent = Keypad::call(&node, 2, law, false, pb::InbandDigits::Off).await;
    silent.press("777", false).await;
    // It agreed to send events, and does not.
    let mut liar = Keypad::call(&node, 3, law, true, pb::InbandDigits::Always).await;
    liar.press("8", false).await;
    assert_eq!(told(&mut events, 1).await, each("8", true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_digit_that_comes_both_ways_is_told_once() {
    let node = node().await;
    let mut events = watch(&node).await;
    let mut phone = Keypad::call(&node, 1, Codec::G711(Law::A), true, pb::InbandDigits::Always).await;
    node.connect(&phone.leg, To::Nothing(Nothing {})).await;
    phone.press("5512", true).await;
    phone.press("9", true).await;
    assert_eq!(told(&mut events, 5).await, each("55129", false));
}
