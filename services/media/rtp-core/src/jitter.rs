//! Playout: packets in any order and rhythm in, a steady stream of payload bytes out.
//!
//! For payloads of one byte a sample (G.711). Everything is measured on the sender's clock: a packet that arrives `margin`
//! samples before its first sample is due has waited long enough; negative margins are late. The delay grows at once by what a
//! late packet missed and shrinks by one frame when the least margin of a window stayed comfortable. Clock drift shows up as
//! margins that wander and is corrected by the same two rules.

use crate::packet::{Header, RtpTimestamp, SequenceNumber, Ssrc};

/// Sizes and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JitterConfig {
    /// Samples (and payload bytes) a ms; 8 for G.711.
    pub samples_per_ms: u32,
    /// Delay at the start and the least one, in ms.
    pub min_delay_ms: u32,
    /// The largest delay, in ms.
    pub max_delay_ms: u32,
    /// How many packets can wait.
    pub slots: usize,
    /// Bytes a packet's payload may have.
    pub slot_bytes: usize,
}

impl Default for JitterConfig {
    /// 8 kHz, 20 to 200 ms, 32 packets of up to 1,500 bytes.
    fn default() -> Self {
        Self { samples_per_ms: 8, min_delay_ms: 20, max_delay_ms: 200, slots: 32, slot_bytes: 1_500 }
    }
}

/// How often what happened; wraps never in practice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct JitterCounters {
    /// Packets taken.
    pub accepted: u64,
    /// Packets that came after a later one.
    pub reordered: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets whose time was over.
    pub late: u64,
    /// Packets without a free slot.
    pub overflow: u64,
    /// Payloads longer than a slot, or empty.
    pub bad_size: u64,
    /// Changes of the source.
    pub ssrc_changes: u64,
    /// Restarts because sequence or timestamp jumped.
    pub resets: u64,
    /// Packets of a jump that nothing confirmed.
    pub strays: u64,
    /// Frames played out of the buffer.
    pub played: u64,
    /// Frames of which some or all was lost.
    pub lost: u64,
    /// Frames held back because the delay grew.
    pub held: u64,
    /// Times that the delay grew.
    pub grown: u64,
    /// Times that the delay shrank by a frame.
    pub shrunk: u64,
}

/// What one pull gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Playout {
    /// The slice holds payload. `missing` of its bytes were not there and were left as they are.
    Audio {
        /// How to decode it.
        payload_type: u8,
        /// Bytes of the slice that were not written.
        missing: usize,
    },
    /// Something should have been here: conceal it.
    Lost,
    /// The other side sends nothing at the moment.
    Silence,
    /// No packet came yet, or the first ones are still held back.
    NotYet,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It will be played.
    Accepted,
    /// It was there already.
    Duplicate,
    /// Its time was over.
    Late,
    /// All slots are taken.
    Overflow,
    /// Its payload is empty or longer than a slot.
    BadSize,
    /// It jumped; only a second packet in its sequence confirms the jump.
    Stray,
}

/// One received stream.
#[derive(Debug)]
pub struct JitterBuffer {
    config: JitterConfig,
    slots: Box<[Slot]>,
    bytes: Box<[u8]>,
    stream: Option<Stream>,
    counters: JitterCounters,
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// 0 is free.
    len: usize,
    position: i64,
    sequence: SequenceNumber,
    payload_type: u8,
}

#[derive(Debug, Clone, Copy)]
struct Stream {
    ssrc: Ssrc,
    /// The newest packet, which extends timestamps to 64 bits.
    newest_timestamp: RtpTimestamp,
    newest_position: i64,
    newest_sequence: SequenceNumber,
    /// Position of the next sample to be played.
    next: i64,
    /// Whether anything was played.
    started: bool,
    /// Samples since the last played one.
    dry: i64,
    /// Samples still to be held back because the delay grew.
    hold: i64,
    /// Samples by which the delay was grown over its least.
    extra: i64,
    least_margin: i64,
    window_end_ms: u64,
    late_in_row: u32,
    /// The number after a packet that jumped.
    candidate: Option<(SequenceNumber, RtpTimestamp)>,
    last_played: Option<SequenceNumber>,
    /// Bit n: the packet n before the newest one was accepted.
    seen: u128,
}

impl JitterBuffer {
    /// Allocates all slots.
    pub fn new(config: JitterConfig) -> Self {
        let slots = config.slots.max(1);
        Self {
            slots: vec![Slot::default(); slots].into_boxed_slice(),
            bytes: vec![0; slots * config.slot_bytes].into_boxed_slice(),
            stream: None,
            counters: JitterCounters::default(),
            config,
        }
    }

    /// Takes a packet that arrived at `arrival_ms`.
    pub fn insert(&mut self, header: &Header, payload: &[u8], arrival_ms: u64) -> Inserted {
        if payload.is_empty() || payload.len() > self.config.slot_bytes {
            self.counters.bad_size += 1;
            return Inserted::BadSize;
        }
        let mut stream = match self.stream {
            Some(s) if s.ssrc == header.ssrc => s,
            other => {
                self.counters.ssrc_changes += u64::from(other.is_some());
                self.begin(header, arrival_ms)
            }
        };
        let ahead = i32::from(header.sequence.distance(stream.newest_sequence));
        let step = header.timestamp.distance(stream.newest_timestamp);
        let jumped = ahead.unsigned_abs() > MAX_SEQUENCE_JUMP
            || step.unsigned_abs() > MAX_JUMP_MS * self.config.samples_per_ms && !paused(ahead, step, header);
        if jumped {
            match stream.candidate {
                Some((sequence, timestamp))
                    if sequence == header.sequence
                        && header.timestamp.distance(timestamp).unsigned_abs()
                            <= 60 * self.config.samples_per_ms =>
                {
                    self.counters.resets += 1;
                    stream = self.begin(header, arrival_ms);
                }
                _ => {
                    stream.candidate = Some((header.sequence.next(), header.timestamp));
                    self.stream = Some(stream);
                    self.counters.strays += 1;
                    return Inserted::Stray;
                }
            }
        }
        stream.candidate = None;
        if stream.has_seen(header.sequence) {
            // Also one whose original was played: a copy says nothing of the delay.
            self.counters.duplicates += 1;
            self.stream = Some(stream);
            return Inserted::Duplicate;
        }
        let mut position =
            stream.newest_position + i64::from(header.timestamp.distance(stream.newest_timestamp));
        if stream.idle(&self.config) && position > stream.next {
            // A new talk spurt after silence: it gets the full delay again.
            stream.next = position - self.delay(&stream);
        }
        let margin = position - stream.next;
        if margin + payload.len() as i64 <= 0 {
            self.counters.late += 1;
            stream.late_in_row += 1;
            if stream.late_in_row < LATE_BEFORE_RESET {
                self.grow(&mut stream, -margin);
                self.stream = Some(stream);
                return Inserted::Late;
            }
            // The sender's clock stood still or went back: nothing would ever be in time again.
            self.counters.resets += 1;
            stream = self.begin(header, arrival_ms);
            position = stream.newest_position;
        } else {
            stream.late_in_row = 0;
            self.adapt(&mut stream, margin, arrival_ms);
        }
        let result = self.store(header, payload, position);
        if result == Inserted::Accepted {
            stream.note_seen(header.sequence);
        }
        if result == Inserted::Accepted && header.sequence.is_after(stream.newest_sequence) {
            stream.newest_sequence = header.sequence;
            stream.newest_timestamp = header.timestamp;
            stream.newest_position = position;
        } else if result == Inserted::Accepted && header.sequence != stream.newest_sequence {
            self.counters.reordered += 1;
        }
        self.stream = Some(stream);
        result
    }

    /// Gives out the next `out.len()` samples; call it once per playout tick.
    pub fn pull(&mut self, out: &mut [u8]) -> Playout {
        let Some(mut stream) = self.stream else { return Playout::NotYet };
        let n = out.len() as i64;
        if stream.hold >= n {
            stream.hold -= n;
            self.counters.held += u64::from(stream.started);
            self.stream = Some(stream);
            return if stream.started { Playout::Lost } else { Playout::NotYet };
        }
        let (from, until) = (stream.next, stream.next + n);
        stream.next = until;
        let (payload_type, written, last) = self.copy_out(from, until, out);
        let result = match payload_type {
            Some(payload_type) => {
                stream.started = true;
                stream.dry = 0;
                stream.last_played = last;
                let missing = out.len() - written;
                self.counters.played += 1;
                self.counters.lost += u64::from(missing > 0);
                Playout::Audio { payload_type, missing }
            }
            None if !stream.started => Playout::NotYet,
            None => {
                stream.dry = stream.dry.saturating_add(n);
                if stream.idle(&self.config) || self.is_pause(&stream) {
                    Playout::Silence
                } else {
                    self.counters.lost += 1;
                    Playout::Lost
                }
            }
        };
        self.stream = Some(stream);
        result
    }

    /// What happened so far.
    pub fn counters(&self) -> &JitterCounters {
        &self.counters
    }

    /// The present playout delay in ms.
    pub fn delay_ms(&self) -> u32 {
        self.stream.map_or(self.config.min_delay_ms, |s| {
            (self.delay(&s) / i64::from(self.config.samples_per_ms.max(1))) as u32
        })
    }

    /// Forgets the stream, keeps the counters: for a leg that was re-negotiated.
    pub fn reset(&mut self) {
        self.stream = None;
        self.slots.fill(Slot::default());
    }

    fn begin(&mut self, header: &Header, arrival_ms: u64) -> Stream {
        self.slots.fill(Slot::default());
        Stream {
            ssrc: header.ssrc,
            newest_timestamp: header.timestamp,
            newest_position: 0,
            newest_sequence: header.sequence,
            next: -self.samples(self.config.min_delay_ms),
            started: false,
            dry: 0,
            hold: 0,
            extra: 0,
            least_margin: i64::MAX,
            window_end_ms: arrival_ms + WINDOW_MS,
            late_in_row: 0,
            candidate: None,
            last_played: None,
            seen: 0,
        }
    }

    fn samples(&self, ms: u32) -> i64 {
        i64::from(ms) * i64::from(self.config.samples_per_ms)
    }

    fn delay(&self, stream: &Stream) -> i64 {
        self.samples(self.config.min_delay_ms) + stream.extra
    }

    fn grow(&mut self, stream: &mut Stream, by: i64) {
        let frame = self.samples(FRAME_MS);
        let room = self.samples(self.config.max_delay_ms) - self.delay(stream);
        // Whole frames, so that held ticks are whole ticks.
        let by = ((by + frame - 1) / frame * frame).min(room / frame * frame) - stream.hold;
        if by > 0 {
            stream.hold += by;
            stream.extra += by;
            self.counters.grown += 1;
        }
    }

    fn adapt(&mut self, stream: &mut Stream, margin: i64, arrival_ms: u64) {
        if margin < 0 {
            self.grow(stream, -margin);
        }
        stream.least_margin = stream.least_margin.min(margin);
        let frame = self.samples(FRAME_MS);
        let too_much = margin > self.samples(self.config.max_delay_ms) + frame;
        if arrival_ms < stream.window_end_ms && !too_much {
            return;
        }
        let comfortable = stream.least_margin >= self.samples(self.config.min_delay_ms) + frame;
        if too_much || comfortable {
            stream.next += frame;
            stream.extra = (stream.extra - frame).max(0);
            self.counters.shrunk += 1;
        }
        stream.least_margin = i64::MAX;
        stream.window_end_ms = arrival_ms + WINDOW_MS;
    }

    fn store(&mut self, header: &Header, payload: &[u8], position: i64) -> Inserted {
        let Some(index) = self.slots.iter().position(|s| s.len == 0) else {
            self.counters.overflow += 1;
            return Inserted::Overflow;
        };
        let start = index * self.config.slot_bytes;
        self.bytes[start..start + payload.len()].copy_from_slice(payload);
        self.slots[index] = Slot {
            len: payload.len(),
            position,
            sequence: header.sequence,
            payload_type: header.payload_type,
        };
        self.counters.accepted += 1;
        Inserted::Accepted
    }

    /// Copies what overlaps `from..until`, of the payload type of the earliest packet, and frees what is over.
    fn copy_out(
        &mut self,
        from: i64,
        until: i64,
        out: &mut [u8],
    ) -> (Option<u8>, usize, Option<SequenceNumber>) {
        let overlaps = |s: &Slot| s.len > 0 && s.position < until && s.position + s.len as i64 > from;
        let first = self.slots.iter().filter(|s| overlaps(s)).min_by_key(|s| s.position).copied();
        let (mut written, mut last) = (0, None);
        for (index, slot) in self.slots.iter_mut().enumerate() {
            if slot.len == 0 {
                continue;
            }
            let end = slot.position + slot.len as i64;
            if overlaps(slot) && first.is_some_and(|f| f.payload_type == slot.payload_type) {
                let (a, b) = (from.max(slot.position), until.min(end));
                let source = index * self.config.slot_bytes + (a - slot.position) as usize;
                let n = (b - a) as usize;
                let target = (a - from) as usize;
                out[target..target + n].copy_from_slice(&self.bytes[source..source + n]);
                written += n;
                last = match last {
                    Some(l) if !slot.sequence.is_after(l) => last,
                    _ => Some(slot.sequence),
                };
            }
            if end <= until {
                slot.len = 0;
            }
        }
        (first.map(|f| f.payload_type), written.min(out.len()), last)
    }

    /// Whether the packet after the gap follows the one before it in sequence: then the gap was meant.
    fn is_pause(&self, stream: &Stream) -> bool {
        let next = self.slots.iter().filter(|s| s.len > 0).min_by_key(|s| s.position);
        matches!((next, stream.last_played), (Some(n), Some(l)) if n.sequence == l.next())
    }
}

impl Stream {
    fn has_seen(&self, sequence: SequenceNumber) -> bool {
        let behind = -i32::from(sequence.distance(self.newest_sequence));
        (0..128).contains(&behind) && self.seen >> behind & 1 == 1
    }

    /// To be called before the newest sequence number moves on.
    fn note_seen(&mut self, sequence: SequenceNumber) {
        match i32::from(sequence.distance(self.newest_sequence)) {
            ahead @ 1..128 => self.seen = self.seen << ahead | 1,
            behind @ -127..=0 => self.seen |= 1 << -behind,
            _ => self.seen = 1,
        }
    }

    fn idle(&self, config: &JitterConfig) -> bool {
        self.dry >= i64::from(IDLE_MS * config.samples_per_ms)
    }
}

/// A leap of the timestamp with the very next sequence number and a marker is a talk spurt after silence.
fn paused(ahead: i32, step: i32, header: &Header) -> bool {
    header.marker && ahead == 1 && step > 0
}

const FRAME_MS: u32 = 20;
const WINDOW_MS: u64 = 2_000;
/// With nothing to play for so long the sender has stopped.
const IDLE_MS: u32 = 120;
const LATE_BEFORE_RESET: u32 = 5;
/// RFC 3550, appendix A.1, allows 3,000; of audio nothing older than a second is of use.
const MAX_SEQUENCE_JUMP: u32 = 100;
const MAX_JUMP_MS: u32 = 2_000;
