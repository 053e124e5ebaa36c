//! Many RTP streams from one thread, and what comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_dsp::codec::Codec;
use sidetone_net::{Datagram, Poller};

use crate::delay::{Log, Turns};
use crate::job::Job;
use crate::peer::Place;
use crate::sounds::Sounds;
use crate::stream::{Received, Stream};

/// Packets of a stretch of time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Sent to the peer.
    pub(crate) sent: u64,
    /// Come back from it.
    pub(crate) received: u64,
}

/// What the legs say, and what becomes of what they hear.
trait Script {
    /// What a leg sends now as its next frame.
    fn say<'a>(&mut self, sounds: &'a Sounds, leg: usize, frame: u64) -> &'a [u8];
    /// Takes what has come to a leg.
    fn hear(&mut self, leg: usize, payload: &[u8]);
}

/// Whoever speaks does so all the time.
struct Run<'a> {
    job: Job,
    counted: &'a mut Counted,
}

impl Script for Run<'_> {
    fn say<'a>(&mut self, sounds: &'a Sounds, leg: usize, frame: u64) -> &'a [u8] {
        self.counted.sent += 1;
        if self.job.speaks(leg) { sounds.tone(leg, frame) } else { sounds.quiet(frame) }
    }

    fn hear(&mut self, _: usize, _: &[u8]) {
        self.counted.received += 1;
    }
}

/// Whoever speaks does so all the time, and how steadily is heard.
struct Steps {
    job: Job,
    came: Vec<Option<Instant>>,
    steps: Vec<Duration>,
}

impl Script for Steps {
    fn say<'a>(&mut self, sounds: &'a Sounds, leg: usize, frame: u64) -> &'a [u8] {
        if self.job.speaks(leg) { sounds.tone(leg, frame) } else { sounds.quiet(frame) }
    }

    fn hear(&mut self, leg: usize, _: &[u8]) {
        let now = Instant::now();
        self.steps.extend(self.came[leg].replace(now).map(|before| now.duration_since(before)));
    }
}

impl Script for Log {
    fn say<'a>(&mut self, sounds: &'a Sounds, leg: usize, frame: u64) -> &'a [u8] {
        let says = self.turns().says(leg, frame);
        let payload = says.map_or(sounds.quiet(frame), |place| sounds.burst(leg, place));
        self.note_sent(leg, payload);
        payload
    }

    fn hear(&mut self, leg: usize, payload: &[u8]) {
        self.note_heard(leg, payload);
    }
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
    /// Median time to set a leg up, in milliseconds: from the request to the answer.
    pub(crate) setup_p50_ms: f64,
    /// 99th percentile of it.
    pub(crate) setup_p99_ms: f64,
}

/// The value in milliseconds that such a share of the times does not exceed.
pub(crate) fn percentile_ms(times: &mut [Duration], share: f64) -> f64 {
    times.sort_unstable();
    let rank = (times.len() as f64 * share).ceil() as usize;
    times.get(rank.saturating_sub(1)).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

impl Measured {
    pub(crate) fn new(
        spent: Duration,
        of: Duration,
        counted: Counted,
        bytes_per_leg: u64,
        mut delays: Vec<Duration>,
        mut setups: Vec<Duration>,
    ) -> Self {
        Self {
            us_per_packet: spent.as_secs_f64() * 1e6 / counted.sent.max(1) as f64,
            load: spent.as_secs_f64() / of.as_secs_f64(),
            returned: counted.received as f64 / counted.sent.max(1) as f64,
            bytes_per_leg,
            delay_p50_ms: percentile_ms(&mut delays, 0.5),
            delay_p99_ms: percentile_ms(&mut delays, 0.99),
            onsets: delays.len(),
            setup_p50_ms: percentile_ms(&mut setups, 0.5),
            setup_p99_ms: percentile_ms(&mut setups, 0.99),
        }
    }
}

/// The streams.
pub(crate) struct Generator {
    job: Job,
    streams: Vec<Stream>,
    /// So many of them have part.
    active: usize,
    sounds: Vec<(Codec, Sounds)>,
    poller: Poller,
    /// Packets sent so far; packet k is of stream k modulo their number.
    next: u64,
    origin: Instant,
}

const PTIME: Duration = Duration::from_millis(20);
/// How late a packet may be sent, so that one wait serves several.
const SLOT: Duration = Duration::from_millis(1);
/// Below the range from which the system gives ports are the peers'; these are looked for above.
const FIRST_PORT: u16 = 43_000;

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
            streams.push(Stream::new(job, streams.len(), socket));
        }
        let active = streams.len();
        Ok(Self { job, streams, active, sounds: Sounds::of(job)?, poller, next: 0, origin: Instant::now() })
    }

    /// Where the legs are.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.streams.iter().map(|stream| stream.socket.local()).collect()
    }

    /// Tells each leg where to send, and under which key the other side does.
    pub(crate) fn connect(&mut self, peers: &[Place]) -> anyhow::Result<()> {
        anyhow::ensure!(peers.len() == self.streams.len(), "the peer has another number of legs");
        self.connect_first(peers)
    }

    /// The same for the first legs; the others have no part in it yet. Legs that had part already go on with what they send.
    pub(crate) fn connect_first(&mut self, peers: &[Place]) -> anyhow::Result<()> {
        for (leg, (stream, peer)) in self.streams.iter_mut().zip(peers).enumerate() {
            stream.socket.connect(peer.address)?;
            if let Some(key) = &peer.key {
                stream.secure(leg, key)?;
            }
        }
        let frame = self.next / self.active as u64 + u64::from(self.next > 0);
        self.active = peers.len();
        self.next = frame * self.active as u64;
        self.origin = Instant::now() - PTIME * frame as u32;
        Ok(())
    }

    /// Sends for so long; those who speak have a tone of their own.
    pub(crate) fn run(&mut self, for_: Duration) -> anyhow::Result<Counted> {
        let (mut counted, until) = (Counted::default(), Instant::now() + for_);
        let mut run = Run { job: self.job, counted: &mut counted };
        while self.go(until, &mut run)? {}
        Ok(counted)
    }

    /// The same, with the times between two packets of each leg that follow each other.
    pub(crate) fn steadiness(&mut self, for_: Duration) -> anyhow::Result<Vec<Duration>> {
        let mut steps = Steps { job: self.job, came: vec![None; self.active], steps: Vec::new() };
        let until = Instant::now() + for_;
        while self.go(until, &mut steps)? {}
        Ok(steps.steps)
    }

    /// Some of each group say short sounds in turn; how long each takes to be heard by the others of the group (by the speaker itself
    /// where the peer is an echo).
    pub(crate) fn delays(&mut self, for_: Duration) -> anyhow::Result<Vec<Duration>> {
        let legs = self.active;
        let turns = Turns {
            group: self.job.group(legs),
            speakers: self.job.take_turns(),
            begin: self.next / legs as u64,
        };
        let (mut log, until) = (Log::new(turns, legs), Instant::now() + for_);
        while self.go(until, &mut log)? {}
        let codecs: Vec<Codec> = self.streams[..legs].iter().map(|stream| stream.codec).collect();
        log.delays(&codecs)
    }

    /// Sends what is due and takes what has come; whether there is time left.
    fn go(&mut self, until: Instant, script: &mut impl Script) -> anyhow::Result<bool> {
        let legs = self.active as u64;
        let now = Instant::now();
        while self.due() <= now + SLOT / 2 {
            let (frame, leg) = (self.next / legs, (self.next % legs) as usize);
            let stream = &mut self.streams[leg];
            let sounds = self.sounds.iter().find(|(codec, _)| *codec == stream.codec);
            let (_, sounds) = sounds.context("no sounds of this codec")?;
            let payload = script.say(sounds, leg, frame);
            stream.send(frame, payload)?;
            self.next += 1;
        }
        let ready = self.poller.wait((now + SLOT).min(until))?;
        let mut buffer = [0; 2048];
        for index in 0..ready.count {
            let leg = self.poller.token(index) as usize;
            let stream = &mut self.streams[leg];
            while let Some(received) = stream.receive(&mut buffer) {
                if let Received::Sound(payload) = received {
                    script.hear(leg, payload);
                }
            }
        }
        Ok(Instant::now() < until)
    }

    /// When the next packet is to be sent: all streams are spread evenly over a packet time.
    fn due(&self) -> Instant {
        self.origin + Duration::from_nanos(self.next * PTIME.as_nanos() as u64 / self.active as u64)
    }
}
