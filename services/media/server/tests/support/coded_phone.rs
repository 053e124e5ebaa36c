//! A telephone of any codec: it speaks a tone and knows what it hears.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sidetone_dsp::codec::{Codec, Decoder, Encoder, OpusSettings};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, Rate};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use tokio::net::UdpSocket;
use tonic::Request;

use super::{Heard, TestNode, address, create, ear, packet, until, uuid};

/// What the packets of a phone suffer on their way to the node, by their number: lost, or held back for so many ms.
pub type Network = fn(u32) -> Option<u64>;

pub fn perfect(_: u32) -> Option<u64> {
    Some(0)
}

pub struct CodedPhone {
    pub leg: String,
    pub codec: Codec,
    pub heard: Arc<Mutex<Vec<Heard>>>,
    decoded: Mutex<Decoded>,
    payload_type: u8,
    socket: Arc<UdpSocket>,
    node: SocketAddr,
    sequence: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

/// The payload type that the test's phones use for a codec: other numbers than the node's.
pub fn payload_type(codec: Codec) -> u8 {
    codec.static_payload_type().unwrap_or(match codec {
        Codec::Opus => 120,
        Codec::L16(Rate::Narrow) => 121,
        _ => 122,
    })
}

pub fn format(codec: Codec) -> types::Format {
    let name = match codec {
        Codec::G711(Law::Mu) => "PCMU",
        Codec::G711(Law::A) => "PCMA",
        Codec::G722 => "G722",
        Codec::Gsm => "GSM",
        Codec::Opus => "opus",
        Codec::L16(_) => "L16",
    };
    types::Format {
        payload_type: payload_type(codec).into(),
        encoding: name.into(),
        clock_rate_hz: codec.clock_hz(),
        channels: if codec == Codec::Opus { 2 } else { 1 },
        parameters: if codec == Codec::Opus { "useinbandfec=1".into() } else { String::new() },
    }
}

impl CodedPhone {
    /// Calls in with one codec; speaks a tone of `hz` in packets of `ptime_ms`, over a network.
    pub async fn call(
        node: &TestNode,
        n: u32,
        codec: Codec,
        hz: f32,
        ptime_ms: u8,
        network: Network,
    ) -> Self {
        let socket = Arc::new(ear().await);
        let mut offer = super::description(socket.local_addr().unwrap(), &[], ptime_ms.into());
        offer.formats = vec![format(codec)];
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let phone = Self {
            leg: uuid(n),
            codec,
            heard: Arc::default(),
            decoded: Mutex::default(),
            payload_type: payload_type(codec),
            socket,
            node: address(answer.local.as_ref().unwrap()),
            sequence: Arc::new(AtomicU32::new(65_500)),
            stop: Arc::default(),
        };
        phone.listen();
        phone.speak(n, hz, codec.packet_time_ms(ptime_ms), network);
        phone
    }

    /// Describes itself anew with another codec and speaks that from now on.
    pub async fn change(&mut self, node: &TestNode, codec: Codec, hz: f32) {
        self.hush();
        let mut offer = super::description(self.socket.local_addr().unwrap(), &[], 20);
        offer.formats = vec![format(codec)];
        let request = pb::UpdateLegRequest {
            leg_id: self.leg.clone(),
            remote: Some(offer),
            is_answer: false,
            ..Default::default()
        };
        node.media.update_leg(Request::new(request)).await.unwrap();
        (self.codec, self.payload_type) = (codec, payload_type(codec));
        self.stop = Arc::default();
        self.speak(999, hz, 20, perfect);
    }

    pub fn hush(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn listen(&self) {
        let (socket, heard) = (Arc::clone(&self.socket), Arc::clone(&self.heard));
        tokio::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((length, _)) = socket.recv_from(&mut buffer).await {
                let packet = &buffer[..length];
                heard.lock().unwrap().push(Heard {
                    marker: packet[1] & 0x80 != 0,
                    payload_type: packet[1] & 0x7f,
                    sequence: u16::from_be_bytes([packet[2], packet[3]]),
                    timestamp: u32::from_be_bytes(packet[4..8].try_into().unwrap()),
                    ssrc: u32::from_be_bytes(packet[8..12].try_into().unwrap()),
                    payload: packet[12..].to_vec(),
                    at: std::time::Instant::now(),
                });
            }
        });
    }

    fn speak(&self, ssrc: u32, hz: f32, ptime_ms: u8, network: Network) {
        let (socket, node, codec) = (Arc::clone(&self.socket), self.node, self.codec);
        let (stop, sequences, payload_type) =
            (Arc::clone(&self.stop), Arc::clone(&self.sequence), self.payload_type);
        // Encoded beforehand: what an encoder costs must not show as jitter.
        let payloads = tokio::task::spawn_blocking(move || tone(codec, hz, ptime_ms));
        tokio::spawn(async move {
            let payloads = payloads.await.unwrap();
            let mut timer = tokio::time::interval(Duration::from_millis(ptime_ms.into()));
            let ticks = codec.clock_hz() / 1_000 * u32::from(ptime_ms);
            for n in 0.. {
                timer.tick().await;
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let sequence = sequences.fetch_add(1, Ordering::Relaxed) as u16;
                let payload = &payloads[n as usize % payloads.len()];
                let bytes = packet(payload_type, sequence, ticks.wrapping_mul(n), ssrc, payload);
                match network(n) {
                    None => {}
                    Some(0) => drop(socket.send_to(&bytes, node).await),
                    Some(ms) => {
                        let socket = Arc::clone(&socket);
                        tokio::spawn(async move {
                            tokio::time::sleep(Duration::from_millis(ms)).await;
                            let _ = socket.send_to(&bytes, node).await;
                        });
                    }
                }
            }
        });
    }

    /// What it hears over `ms` from now on, decoded to 8 kHz as its own codec.
    pub async fn hear(&self, ms: u64) -> Vec<i16> {
        let before = self.decoded().len();
        let long_enough = async || {
            let samples = self.decoded();
            (samples.len() >= before + ms as usize * 8).then(|| samples[before..].to_vec())
        };
        until("sound", long_enough).await
    }

    /// All that came in its present codec, in samples at 8 kHz. A decoder that begins in the middle of a tone may never find
    /// into it, so one decoder goes through all packets, each once.
    fn decoded(&self) -> Vec<i16> {
        let mut decoded = self.decoded.lock().unwrap();
        let heard = self.heard.lock().unwrap()[decoded.packets..].to_vec();
        decoded.packets += heard.len();
        if decoded.codec != Some(self.codec) {
            *decoded = Decoded { codec: Some(self.codec), packets: decoded.packets, ..Decoded::default() };
        }
        let Decoded { decoder, samples, .. } = &mut *decoded;
        let decoder = decoder.get_or_insert_with(|| Decoder::new(self.codec, Rate::Narrow).unwrap());
        let mut sound = [0; 960];
        for packet in heard.iter().filter(|packet| packet.payload_type == self.payload_type) {
            let length = decoder.decode(&packet.payload, &mut sound).unwrap();
            samples.extend(&sound[..length]);
        }
        samples.clone()
    }
}

/// What a phone has made of the packets it has.
#[derive(Default)]
struct Decoded {
    codec: Option<Codec>,
    decoder: Option<Decoder>,
    /// How many packets were looked at.
    packets: usize,
    samples: Vec<i16>,
}

/// A tone of some seconds that has no seam at its end, in packets.
pub fn tone(codec: Codec, hz: f32, ptime_ms: u8) -> Vec<Vec<u8>> {
    let rate = codec.native_rate();
    let settings = OpusSettings { fec: true, ..OpusSettings::default() };
    let mut encoder = Encoder::new(codec, rate, &settings).unwrap();
    let mut generator = ToneGenerator::new(rate.hz(), &[Tone { freq_hz: hz, level_dbm0: -10.0 }]);
    let mut samples = vec![0; rate.samples(ptime_ms.into())];
    (0..6_000 / usize::from(ptime_ms))
        .map(|_| {
            generator.fill(&mut samples);
            let mut payload = vec![0; codec.payload_bytes_max(ptime_ms.into())];
            let length = encoder.encode(&samples, &mut payload).unwrap();
            payload.truncate(length);
            payload
        })
        .collect()
}
