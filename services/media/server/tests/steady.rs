//! Mixed load that goes on: who comes, goes, changes codec or room, is recorded and played to, leaves nothing behind.
//!
//! Here for seconds. For half an hour, with late ticks forbidden that the machine does not excuse:
//! `STEADY_SECONDS=1800 STEADY_STRICT=1 cargo test --release -p sidetone-media --test steady -- --nocapture`
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use pb::connect_leg_request::{Echo, Nothing, To};
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::coded_phone::{format, payload_type, tone};
use support::*;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tonic::Request;

const CALLERS_MAX: usize = 24;
const RECORDINGS_MAX: usize = 3;
const CODECS: [Codec; 5] = [Codec::G711(Law::Mu), Codec::G711(Law::A), Codec::G722, Codec::Gsm, Codec::Opus];

struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) % n as u64) as usize
    }
}

/// Every codec's sound, encoded once.
type Sounds = Arc<Vec<Vec<Vec<u8>>>>;

/// A phone that leaves nothing behind when it is dropped.
struct Caller {
    leg: String,
    socket: Arc<UdpSocket>,
    node: std::net::SocketAddr,
    heard: Arc<AtomicU64>,
    sequence: Arc<AtomicU64>,
    ear: JoinHandle<()>,
    mouth: JoinHandle<()>,
}

impl Drop for Caller {
    fn drop(&mut self) {
        self.ear.abort();
        self.mouth.abort();
    }
}

impl Caller {
    async fn call(node: &TestNode, n: u32, codec: usize, sounds: &Sounds) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let mut offer = description(socket.local_addr().unwrap(), &[], 20);
        offer.formats = vec![format(CODECS[codec])];
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let at = address(answer.local.as_ref().unwrap());
        let (heard, ear) = (Arc::new(AtomicU64::new(0)), Arc::clone(&socket));
        let count = Arc::clone(&heard);
        let ear = tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            while ear.recv_from(&mut buffer).await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        let sequence = Arc::new(AtomicU64::new(u64::from(n)));
        let mouth = speak(&socket, at, &sequence, codec, sounds);
        Self { leg: uuid(n), socket, node: at, heard, sequence, ear, mouth }
    }

    async fn change(&mut self, node: &TestNode, codec: usize, sounds: &Sounds) {
        self.mouth.abort();
        let mut offer = description(self.socket.local_addr().unwrap(), &[], 20);
        offer.formats = vec![format(CODECS[codec])];
        let request = pb::UpdateLegRequest {
            leg_id: self.leg.clone(),
            remote: Some(offer),
            is_answer: false,
            ..Default::default()
        };
        node.media.update_leg(Request::new(request)).await.unwrap();
        self.mouth = speak(&self.socket, self.node, &self.sequence, codec, sounds);
    }

    async fn hears_something(&self) {
        let before = self.heard.load(Ordering::Relaxed);
        let more = async || (self.heard.load(Ordering::Relaxed) > before).then_some(());
        until("packets", more).await;
    }
}

/// A third of the time it speaks, else it is silent: so that legs fall asleep, and wake.
fn speak(
    socket: &Arc<UdpSocket>,
    to: std::net::SocketAddr,
    sequence: &Arc<AtomicU64>,
    codec: usize,
    sounds: &Sounds,
) -> JoinHandle<()> {
    let (socket, sequence, sounds) = (Arc::clone(socket), Arc::clone(sequence), Arc::clone(sounds));
    tokio::spawn(async move {
        let mut timer = tokio::time::interval(Duration::from_millis(20));
        let ticks = CODECS[codec].clock_hz() / 50;
        for k in 0u32.. {
            timer.tick().await;
            let number = sequence.fetch_add(1, Ordering::Relaxed);
            if number % 150 < 50 {
                let payload = &sounds[codec][k as usize % sounds[codec].len()];
                let bytes = packet(
                    payload_type(CODECS[codec]),
                    number as u16,
                    ticks.wrapping_mul(k),
                    codec as u32,
                    payload,
                );
                drop(socket.send_to(&bytes, to).await);
            }
        }
    })
}

/// What is going on.
struct Load {
    node: TestNode,
    random: Random,
    sounds: Sounds,
    callers: Vec<Caller>,
    recordings: VecDeque<String>,
    next: u32,
    /// Calls, codec changes, moves, recordings, prompts.
    done: [u64; 5],
}

impl Load {
    async fn step(&mut self) {
        let action = if self.callers.len() < 4 { 0 } else { self.random.below(10) };
        match action {
            0..=2 if self.callers.len() < CALLERS_MAX => self.join().await,
            0..=2 => self.leave().await,
            3 => self.leave().await,
            4 => {
                let (at, codec) = self.anybody_and_codec();
                let (node, sounds) = (&self.node, &self.sounds);
                self.callers[at].change(node, codec, sounds).await;
                self.done[1] += 1;
            }
            5 => self.record().await,
            6 | 7 => self.play().await,
            _ => {
                let at = self.random.below(self.callers.len());
                self.connect(at).await;
                self.done[2] += 1;
            }
        }
    }

    fn anybody_and_codec(&mut self) -> (usize, usize) {
        (self.random.below(self.callers.len()), self.random.below(CODECS.len()))
    }

    async fn join(&mut self) {
        let codec = self.random.below(CODECS.len());
        self.next += 1;
        let caller = Caller::call(&self.node, self.next, codec, &self.sounds).await;
        self.callers.push(caller);
        self.connect(self.callers.len() - 1).await;
        self.done[0] += 1;
    }

    async fn connect(&mut self, at: usize) {
        let leg = self.callers[at].leg.clone();
        let peer = self.callers[self.random.below(self.callers.len())].leg.clone();
        let to = match self.random.below(6) {
            0 => To::Echo(Echo {}),
            1 => To::Nothing(Nothing {}),
            2 if peer != leg => To::PeerLegId(peer),
            _ => To::MixId(format!("room{}", self.random.below(4))),
        };
        self.node.connect(&leg, to).await;
    }

    async fn leave(&mut self) {
        let caller = self.callers.swap_remove(self.random.below(self.callers.len()));
        // An echo of who is silent is silent; in a room, or alone, there is always something.
        self.node.connect(&caller.leg, To::Nothing(Nothing {})).await;
        caller.hears_something().await;
        assert!(self.node.release(&caller.leg).await.unwrap().packets_sent > 0);
    }

    async fn record(&mut self) {
        if self.recordings.len() == RECORDINGS_MAX {
            let first = self.recordings.pop_front();
            return self.stop_recording(first).await;
        }
        self.next += 1;
        let leg = self.callers[self.random.below(self.callers.len())].leg.clone();
        let request = pb::StartRecordingRequest {
            recording_id: uuid(500_000 + self.next),
            tenant: "demo".into(),
            call_id: uuid(1),
            leg_ids: vec![leg],
            ..Default::default()
        };
        self.recordings.push_back(request.recording_id.clone());
        self.node.media.start_recording(Request::new(request)).await.unwrap();
        self.done[3] += 1;
    }

    async fn stop_recording(&self, recording: Option<String>) {
        let Some(recording_id) = recording else { return };
        let request = pb::StopRecordingRequest { recording_id: recording_id.clone() };
        let finished = self.node.media.stop_recording(Request::new(request)).await.unwrap().into_inner();
        let finished = finished.recording.unwrap();
        assert!(finished.failure.is_none(), "{finished:?}");
        self.node.media.ack_recording(Request::new(pb::AckRecordingRequest { recording_id })).await.unwrap();
    }

    async fn play(&mut self) {
        use pb::play_request::Target;
        self.next += 1;
        let leg = self.callers[self.random.below(self.callers.len())].leg.clone();
        let request = pb::PlayRequest {
            playback_id: format!("prompt{}", self.next),
            target: Some(Target::LegId(leg)),
            prompt: ["beep", "tone", "welcome"][self.random.below(3)].into(),
            repeat: 1,
            ..Default::default()
        };
        self.node.media.play(Request::new(request)).await.unwrap();
        self.done[4] += 1;
    }
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Resident memory in MB.
fn resident_mb() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4 / 1024
}

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_behind() {
    let (seconds, seed) = (number("STEADY_SECONDS", 12), number("SEED", 0x57EA));
    eprintln!("SEED={seed}");
    let sounds = CODECS.into_iter().map(|codec| tone(codec, 600.0, 20)).collect();
    let node = node_with(|config| config.legs_max = 64).await;
    let before = descriptors();
    let random = Random(seed);
    let (callers, recordings) = (Vec::new(), VecDeque::new());
    let mut load =
        Load { node, random, sounds: Arc::new(sounds), callers, recordings, next: 0, done: [0; 5] };
    let (begin, length) = (Instant::now(), Duration::from_secs(seconds));
    let mut settled_mb = None;
    // On a slow machine it takes longer until everything happened once.
    while begin.elapsed() < length || load.done.contains(&0) {
        assert!(begin.elapsed() < length + 8 * PATIENCE, "{:?}, seed {seed}", load.done);
        load.step().await;
        if settled_mb.is_none() && begin.elapsed() > length / 4 {
            settled_mb = Some(resident_mb());
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
    while let Some(first) = load.recordings.pop_front() {
        load.stop_recording(Some(first)).await;
    }
    while !load.callers.is_empty() {
        load.leave().await;
    }
    let legs =
        load.node.media.list_legs(Request::new(pb::ListLegsRequest::default())).await.unwrap().into_inner();
    assert_eq!(legs.legs, []);
    let back = async || (descriptors() <= before).then_some(());
    until("descriptors that are closed", back).await;
    let (settled_mb, now_mb) = (settled_mb.unwrap_or_default(), resident_mb());
    let node = load.node.media.get_node(Request::new(pb::GetNodeRequest {})).await.unwrap().into_inner();
    eprintln!(
        "{seconds} s: {:?} calls, codec changes, moves, recordings, prompts; {} of {} late ticks excused; \
         {settled_mb} MB after a quarter, {now_mb} MB at the end; {before} descriptors before, {} after",
        load.done,
        node.late_ticks_excused,
        node.late_ticks,
        descriptors(),
    );
    // What the allocator keeps for each thread is taken in the first minutes.
    assert!(seconds < 120 || now_mb <= settled_mb + 24, "{settled_mb} MB grew to {now_mb} MB");
    if number("STEADY_STRICT", 0) == 1 {
        assert_eq!(node.late_ticks, node.late_ticks_excused, "late ticks that nothing excuses");
    }
}
