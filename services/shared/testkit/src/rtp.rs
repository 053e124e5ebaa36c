//! The media of a generated call: a tone that goes out every 20 ms, and an ear for what comes in.
//!
//! Both directions run on threads of their own with absolute deadlines, so that a busy async runtime shows neither as
//! jitter of what is sent nor as a gap in what is received.

mod sender;

use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sidetone_dsp::codec::Codec;
use sidetone_dsp::goertzel::tone_level_dbov;

use crate::coding::{Format, Hearing};
use crate::line::BadLine;
use crate::marker;
use crate::netem::Conditions;
use sender::Sender;

/// Sender, receiver and their socket. Dropping it ends both threads.
#[derive(Debug)]
pub struct Media {
    local: SocketAddr,
    shared: Arc<Shared>,
}

/// Listens to what a [`Media`] receives; outlives it.
#[derive(Debug, Clone)]
pub struct Ear {
    shared: Arc<Shared>,
}

/// What came in.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Received {
    /// RTP packets.
    pub packets: u64,
    /// Sequence numbers that never came.
    pub lost: u64,
    /// Packets that came after a later one, or twice.
    pub late: u64,
    /// Longest time between two packets, in ms.
    pub max_gap_ms: f64,
}

impl Received {
    /// Share of packets lost, 0 to 1.
    pub fn loss(&self) -> f64 {
        let expected = self.packets + self.lost;
        if expected == 0 { 0.0 } else { self.lost as f64 / expected as f64 }
    }
}

/// How punctually frames were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pace {
    /// Frames sent.
    pub frames: u64,
    /// Those of them that went out more than half a frame, 10 ms, after their time.
    pub late: u64,
    /// How late the latest was, in ms.
    pub latest_ms: f64,
}

/// A piece of what was heard, with the times of its packets: see [`Ear::since`].
#[derive(Debug, Clone)]
pub struct Caught {
    since: Instant,
    pcm: Vec<i16>,
    /// Where packets begin in it, and when they came.
    arrivals: Vec<(usize, Instant)>,
}

impl Caught {
    /// How long the marker was under way that was sent when this piece begins: from socket to socket, so that neither the
    /// packet of the sender nor a play-out buffer of the receiver is in it. None when it is not there. Takes some ms.
    pub fn delay(&self) -> Option<Duration> {
        let at = marker::find(&self.pcm)?;
        let (begin, came) = self.arrivals.iter().rev().find(|(begin, _)| *begin <= at)?;
        let within = Duration::from_secs_f64((at - begin) as f64 / f64::from(RATE));
        Some((*came + within).saturating_duration_since(self.since))
    }
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    out: Mutex<Outgoing>,
    heard: Mutex<Heard>,
}

#[derive(Debug, Default)]
struct Outgoing {
    to: Option<(SocketAddr, Format)>,
    event_payload_type: Option<u8>,
    digits: VecDeque<u8>,
    sent: u64,
    pace: Pace,
    /// A marker is to be sent.
    mark: bool,
    /// When the last marker began.
    marked: Option<Instant>,
    /// What damages some of what is sent.
    line: Option<Arc<BadLine>>,
    /// A network that is to be sent over from the next frame on, by its seed.
    network: Option<(u64, Conditions)>,
}

#[derive(Debug, Default)]
struct Heard {
    received: Received,
    source: Option<Source>,
    last_arrival: Option<Instant>,
    /// When the call ended; what comes later is not of it.
    closed: Option<Instant>,
    pcm: VecDeque<i16>,
    /// Samples that ever came.
    total: u64,
    /// How many had come before a packet, and when it came; of the packets in `pcm`.
    arrivals: VecDeque<(u64, Instant)>,
    digits: String,
    last_event: Option<u32>,
    hearing: Hearing,
}

#[derive(Debug)]
struct Source {
    ssrc: u32,
    highest: u16,
    next_timestamp: u32,
    /// What its last sound was in.
    codec: Option<Codec>,
    /// What follows a packet that leapt too far to be believed by itself.
    after_leap: Option<u16>,
}

impl Media {
    /// Binds a port on `ip` and starts both threads. Nothing is sent before [`Media::send_to`]. `tone_hz` sounds
    /// continuously at [`TONE_DBM0`]; without one, silence is sent.
    pub fn open(ip: IpAddr, tone_hz: Option<f32>) -> io::Result<Self> {
        let socket = UdpSocket::bind((ip, 0))?;
        socket.set_read_timeout(Some(STOP_POLL))?;
        let local = socket.local_addr()?;
        let shared =
            Arc::new(Shared { stop: AtomicBool::new(false), out: Mutex::default(), heard: Mutex::default() });
        let sender = Sender::new(socket.try_clone()?, Arc::clone(&shared), tone_hz);
        std::thread::Builder::new().name("tone".into()).stack_size(STACK).spawn(move || sender.run())?;
        let listener = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("ear".into())
            .stack_size(STACK)
            .spawn(move || listen(&socket, &listener))?;
        Ok(Self { local, shared })
    }

    /// Where RTP is received.
    pub fn local_addr(&self) -> SocketAddr {
        self.local
    }

    /// Sends to `to` from the next frame on; `None` stops sending, for a call on hold.
    /// Digits are for codecs whose timestamps count 8,000 a second, as telephone events do.
    pub fn send_to(&self, to: Option<(SocketAddr, Format)>, event_payload_type: Option<u8>) {
        let mut out = self.shared.out();
        out.event_payload_type =
            event_payload_type.filter(|_| to.is_none_or(|(_, format)| format.codec.clock_hz() == RATE));
        out.to = to;
    }

    /// Lets some of what is sent from now on arrive damaged.
    pub fn set_line(&self, line: Option<Arc<BadLine>>) {
        self.shared.out().line = line;
    }

    /// Lets what is sent from now on go over a network that loses, delays and reorders it, always alike for the same seed.
    pub fn set_network(&self, seed: u64, conditions: Conditions) {
        self.shared.out().network = Some((seed, conditions));
    }

    /// The call has ended: nothing is sent any more, and the ear keeps what it has.
    pub fn close(&self) {
        self.send_to(None, None);
        self.shared.heard().closed.get_or_insert_with(Instant::now);
    }

    /// Sends digits (0-9, *, #, A-D) one after the other as telephone events (RFC 4733). False when the far end did not
    /// negotiate them, or for any other character.
    pub fn dial(&self, digits: &str) -> bool {
        let codes: Option<Vec<u8>> = digits.chars().map(event_code).collect();
        let mut out = self.shared.out();
        match codes {
            Some(codes) if out.event_payload_type.is_some() => out.digits.extend(codes),
            _ => return false,
        }
        true
    }

    /// Sends a marker in place of the tone, from the next frame on, for 100 ms.
    pub fn mark(&self) {
        self.shared.out().mark = true;
    }

    /// When the last marker began to be sent, if one was.
    pub fn marked(&self) -> Option<Instant> {
        self.shared.out().marked
    }

    /// How punctually frames were sent so far.
    pub fn pace(&self) -> Pace {
        self.shared.out().pace
    }

    /// RTP packets sent.
    pub fn sent(&self) -> u64 {
        self.shared.out().sent
    }

    /// What is heard.
    pub fn ear(&self) -> Ear {
        Ear { shared: Arc::clone(&self.shared) }
    }
}

impl Drop for Media {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Ear {
    /// Level of one frequency over the last second of the call, in dBov; silence when less than a second came in, or
    /// nothing for [`STALE`].
    pub fn level_of(&self, freq_hz: f32) -> f32 {
        let level = self.last_second().map(|samples| tone_level_dbov(&samples, RATE, freq_hz));
        level.map_or(SILENCE_DBOV, |level| level.max(SILENCE_DBOV))
    }

    fn last_second(&self) -> Option<Vec<i16>> {
        let heard = self.shared.heard();
        let start = heard.pcm.len().checked_sub(RATE as usize)?;
        (heard.quiet_for() <= STALE).then(|| heard.pcm.range(start..).copied().collect())
    }

    /// Whether that tone is there, at [`HEARD_DBOV`] or more.
    pub fn hears(&self, freq_hz: f32) -> bool {
        self.level_of(freq_hz) >= HEARD_DBOV
    }

    /// The same of either half of that second: where somebody stood still in its midst the tone goes on with another phase, and may cancel
    /// itself over the whole.
    pub fn hears_at_least_half(&self, freq_hz: f32) -> bool {
        self.last_second().is_some_and(|samples| louder_half_dbov(&samples, freq_hz) >= HEARD_DBOV)
    }

    /// The last samples, at 8,000 Hz; at most [`KEPT_SECONDS`].
    pub fn pcm(&self) -> Vec<i16> {
        self.shared.heard().pcm.iter().copied().collect()
    }

    /// What came from then on, up to [`MARKER_WINDOW`]: enough to find a marker in that was sent then.
    pub fn since(&self, sent: Instant) -> Caught {
        let heard = self.shared.heard();
        let oldest = heard.total - heard.pcm.len() as u64;
        let kept = |(begin, came): &&(u64, Instant)| *begin >= oldest && *came >= sent;
        let wanted = |(_, came): &&(u64, Instant)| *came <= sent + MARKER_WINDOW;
        let packets: Vec<_> = heard.arrivals.iter().filter(kept).take_while(wanted).copied().collect();
        let first = packets.first().map_or(heard.total, |(begin, _)| *begin);
        let place = |begin: u64| (begin - first) as usize;
        let from = (first - oldest) as usize;
        let until = packets.last().map_or(from, |(begin, _)| (begin - oldest) as usize);
        Caught {
            since: sent,
            pcm: heard.pcm.range(from..until).copied().collect(),
            arrivals: packets.into_iter().map(|(begin, came)| (place(begin), came)).collect(),
        }
    }

    /// Forgets the samples, so that what is heard from now on stands alone.
    pub fn forget(&self) {
        self.shared.heard().pcm.clear();
    }

    /// Counts since the call began. A pause that lasts still is a gap too.
    pub fn received(&self) -> Received {
        let heard = self.shared.heard();
        let mut received = heard.received;
        received.max_gap_ms = received.max_gap_ms.max(heard.quiet_for().as_secs_f64() * 1000.0);
        received
    }

    /// Digits received as telephone events.
    pub fn digits(&self) -> String {
        self.shared.heard().digits.clone()
    }
}

impl Shared {
    fn out(&self) -> MutexGuard<'_, Outgoing> {
        self.out.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    fn count(&mut self, late: Duration) {
        self.frames += 1;
        self.late += u64::from(late > FRAME_TIME / 2);
        self.latest_ms = self.latest_ms.max(late.as_secs_f64() * 1000.0);
    }
}

fn event_code(digit: char) -> Option<u8> {
    EVENTS.find(digit.to_ascii_uppercase()).map(|at| at as u8)
}

fn listen(socket: &UdpSocket, shared: &Shared) {
    let mut packet = [0u8; 2048];
    while !shared.stop.load(Ordering::Relaxed) {
        if let Ok((length, _)) = socket.recv_from(&mut packet) {
            shared.heard().take(&packet[..length], Instant::now());
        }
    }
}

impl Heard {
    /// Time since the last packet, up to the end of the call. Zero when none came at all.
    fn quiet_for(&self) -> Duration {
        let now = self.closed.unwrap_or_else(Instant::now);
        self.last_arrival.map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }

    fn take(&mut self, packet: &[u8], now: Instant) {
        if self.closed.is_some() {
            return;
        }
        let Some((header, payload)) = split(packet) else { return };
        let payload_type = header[1] & 0x7f;
        let sequence = u16::from_be_bytes([header[2], header[3]]);
        let timestamp = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let ssrc = u32::from_be_bytes([header[8], header[9], header[10], header[11]]);
        self.received.packets += 1;
        if let Some(last) = self.last_arrival.replace(now) {
            let gap_ms = now.duration_since(last).as_secs_f64() * 1000.0;
            self.received.max_gap_ms = self.received.max_gap_ms.max(gap_ms);
        }
        let format = Format::received(payload_type);
        if format.is_none() {
            self.event(timestamp, payload);
        }
        if self.source.as_ref().is_none_or(|source| source.ssrc != ssrc) {
            let highest = sequence.wrapping_sub(1);
            self.source =
                Some(Source { ssrc, highest, next_timestamp: timestamp, codec: None, after_leap: None });
        }
        let Some(source) = &mut self.source else { return };
        let step = sequence.wrapping_sub(source.highest);
        if step == 0 || step > u16::MAX / 2 {
            self.received.late += 1;
            self.received.lost = self.received.lost.saturating_sub(u64::from(step != 0));
            return;
        }
        // A number may have been damaged on its way: one that leaps is believed when the next follows it (RFC 3550, appendix A.1).
        let follows_leap = source.after_leap.take() == Some(sequence);
        if step > LEAP_MAX && !follows_leap {
            source.after_leap = Some(sequence.wrapping_add(1));
            self.received.late += 1;
            return;
        }
        self.received.lost += u64::from(step - 1) - u64::from(follows_leap);
        source.highest = sequence;
        let Some(Format { codec, .. }) = format else { return };
        let Some(ticks) = codec.duration(payload) else { return };
        // Samples stay where their timestamps put them, so that a gap does not shift the phase of a tone. The timestamps of
        // another codec are no continuation.
        let goes_on = source.codec.replace(codec) == Some(codec);
        let missing = if goes_on { timestamp.wrapping_sub(source.next_timestamp) } else { 0 };
        source.next_timestamp = timestamp.wrapping_add(ticks);
        if missing <= codec.clock_hz() {
            let missing = missing / (codec.clock_hz() / RATE);
            self.pcm.extend(std::iter::repeat_n(0, missing as usize));
            self.total += u64::from(missing);
        }
        self.arrivals.push_back((self.total, now));
        let samples = self.hearing.decode(codec, payload);
        self.total += samples.len() as u64;
        self.pcm.extend(samples);
        let excess = self.pcm.len().saturating_sub(KEPT_SECONDS * RATE as usize);
        self.pcm.drain(..excess);
        let oldest = self.total.saturating_sub((KEPT_SECONDS * RATE as usize) as u64);
        while self.arrivals.front().is_some_and(|(begin, _)| *begin < oldest) {
            self.arrivals.pop_front();
        }
    }

    fn event(&mut self, timestamp: u32, payload: &[u8]) {
        let Some(code) = payload.first() else { return };
        if payload.len() < 4 || self.last_event == Some(timestamp) {
            return;
        }
        if let Some(digit) = EVENTS.chars().nth(usize::from(*code)) {
            self.last_event = Some(timestamp);
            self.digits.push(digit);
        }
    }
}

/// Fixed header and payload of an RTP packet (RFC 3550, section 5.1); RTCP on the same port is left out (RFC 5761).
fn split(packet: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = packet.split_at_checked(12)?;
    if header[0] >> 6 != 2 || (192..=223).contains(&header[1]) {
        return None;
    }
    let mut rest = rest.get(usize::from(header[0] & 0x0f) * 4..)?;
    if header[0] & 0x10 != 0 {
        let words = u16::from_be_bytes([*rest.get(2)?, *rest.get(3)?]);
        rest = rest.get(4 + usize::from(words) * 4..)?;
    }
    if header[0] & 0x20 != 0 {
        rest = rest.get(..rest.len().checked_sub(usize::from(*rest.last()?))?)?;
    }
    Some((header, rest))
}

/// Level of the tone that is sent, in dBm0.
pub const TONE_DBM0: f32 = -16.0;

/// A tone counts as heard from this level on: far below what was sent, far above what companding leaves of another.
pub const HEARD_DBOV: f32 = -40.0;

/// Nothing at all.
pub const SILENCE_DBOV: f32 = -127.0;

/// Without a packet for that long, nothing is heard.
pub const STALE: Duration = Duration::from_millis(500);

/// A marker that takes longer is not found.
pub const MARKER_WINDOW: Duration = Duration::from_millis(650);

/// Seconds of samples that are kept.
pub const KEPT_SECONDS: usize = 10;

/// Packets that may be missing at once: two seconds.
const LEAP_MAX: u16 = 100;
const RATE: u32 = 8_000;
const FRAME: usize = 160;
const FRAME_TIME: Duration = Duration::from_millis(20);
const STOP_POLL: Duration = Duration::from_millis(200);
/// As much as the codecs take at most; what is not used takes no memory.
const STACK: usize = 1024 * 1024;
const EVENTS: &str = "0123456789*#ABCD";

/// Level of one frequency over that half of the samples in which it is louder.
fn louder_half_dbov(samples: &[i16], freq_hz: f32) -> f32 {
    let (first, second) = samples.split_at(samples.len() / 2);
    tone_level_dbov(first, RATE, freq_hz).max(tone_level_dbov(second, RATE, freq_hz))
}

#[cfg(test)]
#[path = "rtp_tests.rs"]
mod tests;
