//! Many RTP streams from one thread, and what comes back.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use sidetone_dsp::codec::Codec;
use sidetone_net::{Datagram, Poller};

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
fn percentile_ms(times: &mut [Duration], share: f64) -> f64 {
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
    sounds: Vec<(Codec, Sounds)>,
    poller: Poller,
    /// Packets sent so far; packet k is of stream k modulo their number.
    next: u64,
    origin: Instant,
}

/// How long the samples before a place last, at 8 kHz.
fn until_sample(place: usize) -> Duration {
    Duration::from_micros(place as u64 * 125)
}

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
            streams.push(Stream::new(job, streams.len(), socket)?);
        }
        Ok(Self { job, streams, sounds: Sounds::of(job)?, poller, next: 0, origin: Instant::now() })
    }

    /// Where the legs are.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        self.streams.iter().map(|stream| stream.socket.local()).collect()
    }

    /// Tells each leg where to send, and under which key the other side does.
    pub(crate) fn connect(&mut self, peers: &[Place]) -> anyhow::Result<()> {
        anyhow::ensure!(peers.len() == self.streams.len(), "the peer has another number of legs");
        for (leg, (stream, peer)) in self.streams.iter_mut().zip(peers).enumerate() {
            stream.socket.connect(peer.address)?;
            if let Some(key) = &peer.key {
                stream.secure(leg, key)?;
            }
        }
        self.origin = Instant::now();
        self.next = 0;
        Ok(())
    }

    /// Sends for so long; those who speak have a tone of their own.
    pub(crate) fn run(&mut self, for_: Duration) -> anyhow::Result<Counted> {
        let mut counted = Counted::default();
        let until = Instant::now() + for_;
        while self.go(until, &mut counted, |job, leg, _| job.speaks(leg), |_, _, _| {})? {}
        Ok(counted)
    }

    /// Only the first of each group speaks, in short sounds; how long each takes to be heard by the others of the group
    /// (by the speaker itself where the peer is an echo).
    pub(crate) fn delays(&mut self, for_: Duration) -> anyhow::Result<Vec<Duration>> {
        use std::cell::RefCell;
        let group = self.job.group(self.streams.len());
        let groups = self.streams.len().div_ceil(group);
        let began: RefCell<Vec<Option<Instant>>> = RefCell::new(vec![None; groups]);
        let mut delays = Vec::new();
        let begin = self.next / self.streams.len() as u64;
        // Groups take turns, so that not all sound at once.
        let place = |leg: usize, frame: u64| (frame - begin + (leg / group) as u64 * 7) % SOUND_EVERY;
        let sounds = |_: Job, leg: usize, frame: u64| {
            leg.is_multiple_of(group) && frame > begin + SOUND_EVERY && place(leg, frame) < SOUND_FRAMES
        };
        let until = Instant::now() + for_;
        let mut heard = |leg: usize, stream: &mut Stream, moment: Moment<'_>| match moment {
            Moment::Sent(frame, payload) => {
                let onset = stream.own_ear.onset(payload);
                if sounds(Job::Relay, leg, frame) && place(leg, frame) == 0 {
                    let onset = until_sample(onset.unwrap_or_default());
                    began.borrow_mut()[leg / group] = Some(Instant::now() + onset);
                }
            }
            Moment::Came(payload) => {
                let onset = stream.ear.onset(payload);
                if let (Some(onset), false, Some(began)) = (onset, stream.heard, began.borrow()[leg / group])
                {
                    let heard = Instant::now() + until_sample(onset);
                    delays.push(heard.saturating_duration_since(began));
                }
                stream.heard = onset.is_some();
            }
        };
        while self.go(until, &mut Counted::default(), sounds, &mut heard)? {}
        Ok(delays)
    }

    /// Sends what is due and takes what has come; whether there is time left.
    fn go(
        &mut self,
        until: Instant,
        counted: &mut Counted,
        speaks: impl Fn(Job, usize, u64) -> bool,
        mut tell: impl FnMut(usize, &mut Stream, Moment<'_>),
    ) -> anyhow::Result<bool> {
        let legs = self.streams.len() as u64;
        let now = Instant::now();
        while self.due() <= now + SLOT / 2 {
            let (frame, leg) = (self.next / legs, (self.next % legs) as usize);
            let stream = &mut self.streams[leg];
            let sounds = self.sounds.iter().find(|(codec, _)| *codec == stream.codec);
            let (_, sounds) = sounds.context("no sounds of this codec")?;
            let payload =
                if speaks(self.job, leg, frame) { sounds.tone(leg, frame) } else { sounds.quiet(frame) };
            tell(leg, stream, Moment::Sent(frame, payload));
            stream.send(frame, payload)?;
            counted.sent += 1;
            self.next += 1;
        }
        let ready = self.poller.wait((now + SLOT).min(until))?;
        let mut buffer = [0; 2048];
        for index in 0..ready.count {
            let leg = self.poller.token(index) as usize;
            let stream = &mut self.streams[leg];
            while let Some(received) = stream.receive(&mut buffer) {
                if let Received::Sound(payload) = received {
                    counted.received += 1;
                    tell(leg, stream, Moment::Came(payload));
                }
            }
        }
        Ok(Instant::now() < until)
    }

    /// When the next packet is to be sent: all streams are spread evenly over a packet time.
    fn due(&self) -> Instant {
        self.origin + Duration::from_nanos(self.next * PTIME.as_nanos() as u64 / self.streams.len() as u64)
    }
}

/// What happens to a stream.
enum Moment<'a> {
    /// It sends this frame.
    Sent(u64, &'a [u8]),
    /// This has come to it.
    Came(&'a [u8]),
}
