//! A node on free ports, and telephones that speak RTP to it over the loopback.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

pub mod audio;
pub mod browser;
pub mod coded_phone;
pub mod s3;
pub mod secure;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, g711, goertzel};
use sidetone_media::{Config, Deps, MediaNode, MediaServer, Realm};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use sidetone_runtime::Lifecycle;
use sidetone_store::Store;
use sidetone_store::embedded::EmbeddedStore;
use sidetone_telemetry::Telemetry;
use tokio::net::UdpSocket;
use tonic::Request;

pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct TestNode {
    pub node: MediaNode,
    pub media: MediaServer,
    pub lifecycle: Lifecycle,
    pub store: Arc<dyn Store>,
    pub telemetry: Arc<Telemetry>,
    pub folder: tempfile::TempDir,
}

pub fn config(folder: &tempfile::TempDir) -> Config {
    Config {
        workers: 2,
        pin_workers: false,
        legs_max: 64,
        // What a leg costs on a machine that compiles beside the tests is no measure.
        load_max_permille: 0,
        realms: vec![Realm { port_min: 0, ..Realm::default() }],
        prompts_dir: folder.path().join("prompts"),
        recordings_dir: folder.path().join("recordings"),
        ..Config::default()
    }
}

pub async fn node() -> TestNode {
    node_with(|_| {}).await
}

pub async fn node_with(change: impl FnOnce(&mut Config)) -> TestNode {
    let folder = tempfile::tempdir().unwrap();
    start(folder, change).await
}

pub async fn start(folder: tempfile::TempDir, change: impl FnOnce(&mut Config)) -> TestNode {
    let mut config = config(&folder);
    change(&mut config);
    let store: Arc<dyn Store> = EmbeddedStore::in_memory().unwrap();
    let lifecycle = Lifecycle::new();
    let telemetry = Telemetry::new().unwrap();
    let deps = Deps {
        store: Arc::clone(&store),
        telemetry: Arc::clone(&telemetry),
        lifecycle: lifecycle.clone(),
        grpc_address: "127.0.0.1:1".into(),
    };
    let node = MediaNode::start(config, deps).await.unwrap();
    TestNode { media: node.service(), node, lifecycle, store, telemetry, folder }
}

/// Waits until `condition` gives something.
pub async fn until<T>(what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        // The last attempt may take its time, but not for ever: whoever waits for an event that never comes hangs.
        match tokio::time::timeout_at((deadline + PATIENCE).into(), condition()).await {
            Ok(Some(value)) => return value,
            Ok(None) => {}
            Err(_) => panic!("waited in vain for {what}, and for each attempt"),
        }
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The packets that a leg has received, when all that waited at its socket is read: a command may be answered before them.
pub async fn received_when_read(node: &TestNode, leg: &str) -> u64 {
    let mut before = None;
    until("the packets that wait", async || {
        let now = node.leg(leg).await.and_then(|leg| leg.stats).map(|stats| stats.packets_received);
        tokio::time::sleep(Duration::from_millis(60)).await;
        now.filter(|_| std::mem::replace(&mut before, now) == now)
    })
    .await
}

/// Tries something that a stall of the machine may spoil, again from the beginning, until it goes right.
pub async fn sooner_or_later(what: &str, mut attempt: impl AsyncFnMut(u32) -> Result<(), String>) {
    let deadline = Instant::now() + PATIENCE * 2;
    for n in 0.. {
        match attempt(n).await {
            Ok(()) => return,
            Err(problem) => {
                eprintln!("{what}, attempt {n}: {problem}");
                assert!(Instant::now() < deadline, "{what}: {problem}");
            }
        }
    }
}

/// What is wrong, as an error.
pub fn expect(right: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if right { Ok(()) } else { Err(problem()) }
}

pub fn uuid(n: u32) -> String {
    format!("00000000-0000-7000-8000-{n:012}")
}

/// One packet that a phone received.
#[derive(Debug, Clone)]
pub struct Heard {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    pub payload: Vec<u8>,
    pub at: Instant,
}

/// A telephone that sends a tone in real time and keeps what it hears.
#[derive(Clone)]
pub struct Phone {
    pub leg: String,
    pub law: Law,
    pub socket: Arc<UdpSocket>,
    pub heard: Arc<Mutex<Vec<Heard>>>,
    pub node: SocketAddr,
    pub sequence: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
}

pub fn description(at: SocketAddr, formats: &[(u32, &str)], ptime_ms: u32) -> types::MediaDescription {
    types::MediaDescription {
        rtp: Some(types::SocketAddress { ip: at.ip().to_string(), port: at.port().into() }),
        formats: formats
            .iter()
            .map(|(payload_type, name)| types::Format {
                payload_type: *payload_type,
                encoding: (*name).into(),
                clock_rate_hz: 8000,
                channels: 1,
                parameters: String::new(),
            })
            .collect(),
        ptime_ms,
        ..Default::default()
    }
}

pub fn create(n: u32, remote: Option<types::MediaDescription>) -> pb::CreateLegRequest {
    pb::CreateLegRequest {
        leg_id: uuid(n),
        call_id: uuid(1000 + n),
        tenant: "demo".into(),
        remote,
        policy: Some(pb::ReceivePolicy {
            mode: pb::receive_policy::Mode::Nat.into(),
            signalling_ip: String::new(),
        }),
        ..Default::default()
    }
}

/// A socket that loses nothing although whoever reads it gets no processor for a while, as far as the system gives it room.
pub async fn ear() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket2::SockRef::from(&socket).set_recv_buffer_size(4 << 20).unwrap();
    socket
}

pub fn address(description: &types::MediaDescription) -> SocketAddr {
    let rtp = description.rtp.as_ref().unwrap();
    SocketAddr::new(rtp.ip.parse().unwrap(), rtp.port as u16)
}

impl Phone {
    /// Calls in with one law and telephone events, and speaks a tone of `hz` in packets of `ptime_ms`.
    pub async fn call(node: &TestNode, n: u32, law: Law, hz: f32, ptime_ms: u32) -> Self {
        let (audio, event) = if law == Law::Mu { ((0, "PCMU"), 101) } else { ((8, "PCMA"), 96) };
        let formats =
            description("127.0.0.1:2".parse().unwrap(), &[audio, (event, "telephone-event")], 0).formats;
        let phone = Self::quiet(node, n, law, formats, ptime_ms).await;
        phone.clone().speak(n, hz, ptime_ms);
        phone
    }

    /// Calls in with these formats, and says nothing yet.
    pub async fn quiet(
        node: &TestNode,
        n: u32,
        law: Law,
        formats: Vec<types::Format>,
        ptime_ms: u32,
    ) -> Self {
        let socket = Arc::new(ear().await);
        let offer =
            types::MediaDescription { formats, ..description(socket.local_addr().unwrap(), &[], ptime_ms) };
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let phone = Self {
            leg: uuid(n),
            law,
            socket,
            heard: Arc::default(),
            node: address(answer.local.as_ref().unwrap()),
            sequence: Arc::new(AtomicU32::new(1)),
            stop: Arc::default(),
        };
        phone.clone().listen();
        phone
    }

    fn listen(self) {
        tokio::spawn(async move {
            let mut buffer = [0; 2000];
            while let Ok((length, _)) = self.socket.recv_from(&mut buffer).await {
                let packet = &buffer[..length];
                self.heard.lock().unwrap().push(Heard {
                    marker: packet[1] & 0x80 != 0,
                    payload_type: packet[1] & 0x7f,
                    sequence: u16::from_be_bytes([packet[2], packet[3]]),
                    timestamp: u32::from_be_bytes(packet[4..8].try_into().unwrap()),
                    ssrc: u32::from_be_bytes(packet[8..12].try_into().unwrap()),
                    payload: packet[12..].to_vec(),
                    at: Instant::now(),
                });
            }
        });
    }

    fn speak(self, ssrc: u32, hz: f32, ptime_ms: u32) {
        tokio::spawn(async move {
            let mut tone = ToneGenerator::new(8000, &[Tone { freq_hz: hz, level_dbm0: -10.0 }]);
            let mut timer = tokio::time::interval(Duration::from_millis(ptime_ms.into()));
            let samples = ptime_ms as usize * 8;
            let mut linear = vec![0; samples];
            let mut bytes = vec![0; samples];
            let mut timestamp = 0u32;
            while !self.stop.load(Ordering::Relaxed) {
                timer.tick().await;
                tone.fill(&mut linear);
                g711::encode(self.law, &linear, &mut bytes);
                let payload_type = if self.law == Law::Mu { 0 } else { 8 };
                self.send(payload_type, ssrc, timestamp, &bytes).await;
                timestamp = timestamp.wrapping_add(samples as u32);
            }
        });
    }

    pub async fn send(&self, payload_type: u8, ssrc: u32, timestamp: u32, payload: &[u8]) {
        let sequence = self.sequence.fetch_add(1, Ordering::Relaxed) as u16;
        let packet = packet(payload_type, sequence, timestamp, ssrc, payload);
        let _ = self.socket.send_to(&packet, self.node).await;
    }

    pub fn hush(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn count(&self) -> usize {
        self.heard.lock().unwrap().len()
    }

    pub fn forget(&self) {
        self.heard.lock().unwrap().clear();
    }

    /// Waits for so many packets more and gives those.
    pub async fn hear(&self, packets: usize) -> Vec<Heard> {
        let before = self.count();
        until("packets", async || (self.count() >= before + packets).then_some(())).await;
        self.heard.lock().unwrap()[before..].to_vec()
    }

    /// Listens again and again until what is heard in half a second is right; that.
    pub async fn until_hears(&self, what: &str, right: impl Fn(&[i16]) -> bool) -> Vec<i16> {
        until(what, async || {
            let heard = linear(self.law, &self.hear(25).await);
            right(&heard).then_some(heard)
        })
        .await
    }

    /// Listens until, for half a second, it hears exactly these of all `tones`.
    pub async fn until_tones(&self, what: &str, tones: &[f32], expected: &[bool]) {
        let hears = |heard: &[i16]| tones.iter().zip(expected).all(|(hz, is)| has_tone(heard, *hz) == *is);
        self.until_hears(what, hears).await;
    }
}

/// A tone at 8 kHz.
pub fn sine(hz: f32, ms: usize) -> Vec<i16> {
    let mut samples = vec![0; ms * 8];
    ToneGenerator::new(8000, &[Tone { freq_hz: hz, level_dbm0: -10.0 }]).fill(&mut samples);
    samples
}

/// The same as a file.
pub fn wav(hz: f32, ms: usize) -> Vec<u8> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut file = std::io::Cursor::new(Vec::new());
    let mut writer = hound::WavWriter::new(&mut file, spec).unwrap();
    sine(hz, ms).into_iter().for_each(|sample| writer.write_sample(sample).unwrap());
    writer.finalize().unwrap();
    file.into_inner()
}

/// The level of one tone, in dBov.
pub fn tone_dbov(samples: &[i16], hz: f32) -> f32 {
    goertzel::tone_level_dbov(samples, 8000, hz)
}

pub fn linear(law: Law, heard: &[Heard]) -> Vec<i16> {
    let mut samples = Vec::new();
    for packet in heard.iter().filter(|packet| packet.payload_type < 20) {
        let mut part = vec![0; packet.payload.len()];
        g711::decode(law, &packet.payload, &mut part);
        samples.extend(part);
    }
    samples
}

/// Whether a tone is there: some -13 dBov when it is, far below -40 when it is not.
pub fn has_tone(samples: &[i16], hz: f32) -> bool {
    goertzel::tone_level_dbov(samples, 8000, hz) > -30.0
}

pub fn packet(payload_type: u8, sequence: u16, timestamp: u32, ssrc: u32, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, payload_type];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend(payload);
    packet
}

/// One source, no sequence number twice or backwards, and the timestamps run on. Of a whole stream the machine may lose a packet or
/// two between both sockets, when it changes its network meanwhile or is out of breath.
pub fn assert_continuous(heard: &[Heard]) {
    let mut lost = 0;
    for pair in heard.windows(2) {
        assert_eq!(pair[0].ssrc, pair[1].ssrc);
        let step = pair[1].sequence.wrapping_sub(pair[0].sequence);
        assert!((1..=3).contains(&step), "sequence {} after {}", pair[1].sequence, pair[0].sequence);
        lost += step - 1;
        assert!(lost <= 2, "{lost} sequence numbers are missing");
        assert!((pair[1].timestamp.wrapping_sub(pair[0].timestamp) as i32) >= 0, "timestamps go back");
    }
}

impl TestNode {
    pub async fn connect(&self, leg: &str, to: pb::connect_leg_request::To) {
        let request = pb::ConnectLegRequest { leg_id: leg.into(), to: Some(to) };
        self.media.connect_leg(Request::new(request)).await.unwrap();
    }

    pub async fn play(&self, request: pb::PlayRequest) {
        self.media.play(Request::new(request)).await.unwrap();
    }

    pub async fn steer(&self, playback: &str, change: pb::steer_play_request::Change) {
        let request = pb::SteerPlayRequest { playback_id: playback.into(), change: Some(change) };
        self.media.steer_play(Request::new(request)).await.unwrap();
    }

    pub async fn stop(&self, playback: &str) {
        let request = pb::StopPlayRequest { playback_id: playback.into(), ..Default::default() };
        self.media.stop_play(Request::new(request)).await.unwrap();
    }

    pub async fn release(&self, leg: &str) -> Option<pb::LegStats> {
        let request = pb::ReleaseLegRequest { leg_id: leg.into() };
        self.media.release_leg(Request::new(request)).await.unwrap().into_inner().stats
    }

    pub async fn leg(&self, leg: &str) -> Option<pb::HeldLeg> {
        let legs = self
            .media
            .list_legs(Request::new(pb::ListLegsRequest::default()))
            .await
            .unwrap()
            .into_inner()
            .legs;
        legs.into_iter().find(|held| held.leg_id == leg)
    }
}
