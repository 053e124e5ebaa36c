//! Many RTP streams from one thread, and what comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_dsp::g711::{self, Law};
use sidetone_net::{Datagram, Poller};

use crate::job::Job;

/// Packets of a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Sent to the peer.
    pub(crate) sent: u64,
    /// Come back from it.
    pub(crate) received: u64,
}

/// What a peer did.
#[derive(Debug, Clone, serde::Serialize)]
pub(crate) struct Measured {
    /// Processor time of the peer for each packet that was sent to it, in microseconds.
    pub(crate) us_per_packet: f64,
    /// Share of one processor.
    pub(crate) load: f64,
    /// Packets that came back, for each one sent.
    pub(crate) returned: f64,
    /// Resident memory that the legs added, in bytes a leg.
    pub(crate) bytes_per_leg: u64,
    /// Median delay from the onset of a sound at the sender to its onset at a listener, in milliseconds: from when a packet
    /// goes or comes, and the place of the onset in it.
    pub(crate) delay_p50_ms: f64,
    /// 99th percentile of it.
    pub(crate) delay_p99_ms: f64,
    /// How many onsets were heard.
    pub(crate) onsets: usize,
}

impl Measured {
    pub(crate) fn new(
        spent: Duration,
        of: Duration,
        counted: Counted,
        bytes_per_leg: u64,
        mut delays: Vec<Duration>,
    ) -> Self {
        delays.sort_unstable();
        let at = |share: f64| {
            let rank = (delays.len() as f64 * share).ceil() as usize;
            delays.get(rank.saturating_sub(1)).map_or(f64::NAN, |delay| delay.as_secs_f64() * 1e3)
        };
        Self {
            us_per_packet: spent.as_secs_f64() * 1e6 / counted.sent.max(1) as f64,
            load: spent.as_secs_f64() / of.as_secs_f64(),
            returned: counted.received as f64 / counted.sent.max(1) as f64,
            bytes_per_leg,
            delay_p50_ms: at(0.5),
            delay_p99_ms: at(0.99),
            onsets: delays.len(),
        }
    }
}

/// The streams.
pub(crate) struct Generator {
    job: Job,
    streams: Vec<Stream>,
    poller: Poller,
    /// Packets sent so far; packet k is of stream k modulo their number.
    next: u64,
    origin: Instant,
}

struct Stream {
    socket: Datagram,
    packet: [u8; PACKET],
    law: Law,
    /// When the present sound of its group began, and whether this stream has heard it.
    heard: bool,
}

/// One sound of a group, for the measuring of delays.
#[derive(Clone, Copy)]
struct Sound {
    began: Instant,
}

/// How long the samples before a place last.
fn until_sample(place: usize) -> Duration {
    Duration::from_micros(place as u64 * 125)
}

const HEADER: usize = 12;
const SAMPLES: usize = 160;
const PACKET: usize = HEADER + SAMPLES;
const PTIME: Duration = Duration::from_millis(20);
/// How late a packet may be sent, so that one wait serves several.
const SLOT: Duration = Duration::from_millis(1);
/// Below the range from which the system gives ports are the peers'; these are looked for above.
const FIRST_PORT: u16 = 43_000;
/// A sound of a tenth of a second, every second.
const SOUND_EVERY: u64 = 50;
const SOUND_FRAMES: u64 = 5;

impl Generator {
    /// Binds a socket for each leg.
    pub(crate) fn bind(job: Job, legs: usize) -> anyhow::Result<Self> {
        let poller = Poller::new(512)?;
        let mut streams = Vec::new();
        let mut ports = FIRST_PORT..;
        while streams.len() < legs {
            let port = ports.next().context("no free port")?;
            let Ok(socket) = Datagram::bind((Ipv4Addr::LOCALHOST, port).into()) else { continue };
            poller.add(&socket, streams.len() as u64)?;
            let law = if job.is_a_law(streams.len()) { Law::A } else { Law::Mu };
            streams.push(Stream { socket, packet: header(streams.len(), law), law, heard: true });
        }
        Ok(Self { job, streams, poller, next: 0, origin: Instant::now() })
    }

    /// Where the legs are.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.streams.iter().map(|stream| stream.socket.local()).collect()
    }

    /// Tells each leg where to send.
    pub(crate) fn connect(&mut self, peers: &[SocketAddr]) -> anyhow::Result<()> {
        anyhow::ensure!(peers.len() == self.streams.len(), "the peer has another number of legs");
        for (stream, peer) in self.streams.iter_mut().zip(peers) {
            stream.socket.connect(*peer)?;
        }
        self.origin = Instant::now();
        self.next = 0;
        Ok(())
    }

    /// Sends for so long; those who speak have a tone of their own.
    pub(crate) fn run(&mut self, for_: Duration) -> anyhow::Result<Counted> {
        let tones = [Tones::new(Law::Mu), Tones::new(Law::A)];
        let job = self.job;
        let fill = |leg: usize, frame: u64, law: Law, payload: &mut [u8]| {
            let tones = &tones[usize::from(law == Law::A)];
            payload.copy_from_slice(if job.speaks(leg) { tones.frame(leg, frame) } else { &tones.silence });
        };
        self.go(for_, fill, |_, _, _| {})
    }

    /// Only the first of each group speaks, in short sounds; how long each takes to be heard by the others of the group
    /// (by the speaker itself where the peer is an echo).
    pub(crate) fn delays(&mut self, for_: Duration) -> anyhow::Result<Vec<Duration>> {
        use std::cell::RefCell;
        let group = self.job.group(self.streams.len());
        let groups = self.streams.len().div_ceil(group);
        let tones = [Tones::new(Law::Mu), Tones::new(Law::A)];
        let sounds: RefCell<Vec<Option<Sound>>> = RefCell::new(vec![None; groups]);
        let delays = RefCell::new(Vec::new());
        let begin = self.next / self.streams.len() as u64;
        let fill = |leg: usize, frame: u64, law: Law, payload: &mut [u8]| {
            let tones = &tones[usize::from(law == Law::A)];
            // Groups take turns, so that not all sound at once.
            let place = (frame - begin + (leg / group) as u64 * 7) % SOUND_EVERY;
            let sounds_now = leg.is_multiple_of(group) && frame > begin + SOUND_EVERY && place < SOUND_FRAMES;
            payload.copy_from_slice(if sounds_now { tones.frame(leg, frame) } else { &tones.silence });
            if sounds_now && place == 0 {
                let began = Instant::now() + until_sample(onset(law, payload).unwrap_or_default());
                sounds.borrow_mut()[leg / group] = Some(Sound { began });
            }
        };
        let heard = |leg: usize, stream: &mut Stream, payload: &[u8]| {
            let Some(onset) = onset(stream.law, payload) else {
                stream.heard = false;
                return;
            };
            if let (false, Some(sound)) = (stream.heard, sounds.borrow()[leg / group]) {
                let heard = Instant::now() + until_sample(onset);
                delays.borrow_mut().push(heard.saturating_duration_since(sound.began));
            }
            stream.heard = true;
        };
        self.go(for_, fill, heard)?;
        Ok(delays.into_inner())
    }

    fn go(
        &mut self,
        for_: Duration,
        fill: impl Fn(usize, u64, Law, &mut [u8]),
        heard: impl Fn(usize, &mut Stream, &[u8]),
    ) -> anyhow::Result<Counted> {
        let until = Instant::now() + for_;
        let mut counted = Counted::default();
        let mut buffer = [0; 2048];
        let legs = self.streams.len() as u64;
        loop {
            let now = Instant::now();
            if now >= until {
                return Ok(counted);
            }
            while self.due() <= now + SLOT / 2 {
                let (frame, leg) = (self.next / legs, (self.next % legs) as usize);
                let stream = &mut self.streams[leg];
                fill(leg, frame, stream.law, &mut stream.packet[HEADER..]);
                stamp(&mut stream.packet, frame);
                let to = stream.socket.peer().context("not connected")?;
                // What the peer's queue does not take is lost, and shows as not returned.
                drop(stream.socket.send(&stream.packet, to));
                counted.sent += 1;
                self.next += 1;
            }
            let ready = self.poller.wait((now + SLOT).min(until))?;
            for index in 0..ready.count {
                let leg = self.poller.token(index) as usize;
                let stream = &mut self.streams[leg];
                while let Ok(Some((length, _))) = stream.socket.receive(&mut buffer) {
                    // RTCP on the same port would be no audio.
                    if length > HEADER && buffer[1] & 0x7f < 64 {
                        counted.received += 1;
                        heard(leg, stream, &buffer[HEADER..length]);
                    }
                }
            }
        }
    }

    /// When the next packet is to be sent: all streams are spread evenly over a packet time.
    fn due(&self) -> Instant {
        self.origin + Duration::from_nanos(self.next * PTIME.as_nanos() as u64 / self.streams.len() as u64)
    }
}

/// One second of tones, so that legs differ.
struct Tones {
    frames: Vec<Vec<u8>>,
    silence: Vec<u8>,
}

const PITCHES: usize = 8;
const FRAMES: u64 = 50;

impl Tones {
    fn new(law: Law) -> Self {
        let frames = (0..PITCHES).flat_map(|pitch| {
            let hz = 300.0 + 50.0 * pitch as f32;
            (0..FRAMES as usize).map(move |frame| {
                let sample = |n: usize| {
                    let seconds = (frame * SAMPLES + n) as f32 / 8000.0;
                    (3000.0 * (std::f32::consts::TAU * hz * seconds).sin()) as i16
                };
                encoded(law, std::array::from_fn(sample))
            })
        });
        Self { frames: frames.collect(), silence: encoded(law, [0; SAMPLES]) }
    }

    fn frame(&self, leg: usize, frame: u64) -> &[u8] {
        &self.frames[leg % PITCHES * FRAMES as usize + (frame % FRAMES) as usize]
    }
}

fn encoded(law: Law, samples: [i16; SAMPLES]) -> Vec<u8> {
    let mut coded = vec![0; SAMPLES];
    g711::encode(law, &samples, &mut coded);
    coded
}

fn header(leg: usize, law: Law) -> [u8; PACKET] {
    let mut packet = [0; PACKET];
    packet[0] = 0x80;
    packet[1] = if law == Law::A { 8 } else { 0 };
    packet[8..12].copy_from_slice(&(leg as u32 + 0x5151_0000).to_be_bytes());
    packet
}

fn stamp(packet: &mut [u8; PACKET], frame: u64) {
    packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
    packet[4..8].copy_from_slice(&(frame as u32).wrapping_mul(SAMPLES as u32).to_be_bytes());
}

/// The first sample of a frame that is in the upper half of the segments of G.711.
fn onset(law: Law, payload: &[u8]) -> Option<usize> {
    let mask = if law == Law::A { 0x55 } else { 0xff };
    payload.iter().position(|byte| (*byte ^ mask) & 0x40 != 0)
}
