//! A leg as one plain value: what has to be known to go on with it elsewhere.

use sidetone_dsp::Gain;

use crate::negotiate::Agreement;
use crate::policy::Policy;

/// The layout of [`LegState`] that this release writes.
pub const LEG_STATE_VERSION: u32 = 2;

/// Everything that makes a leg, apart from its sockets and what is on its way: a live leg is built from it, and a live
/// leg can tell it. Times are in ms on the node's monotonic clock.
#[derive(Debug, Clone, PartialEq)]
pub struct LegState {
    /// [`LEG_STATE_VERSION`] of who wrote it.
    pub version: u32,
    /// The leg, by its id as a number.
    pub leg: u128,
    /// From where RTP is accepted, and where it goes.
    pub policy: Policy,
    /// RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Where RTCP goes if not to the RTP port plus one.
    pub rtcp: Option<std::net::SocketAddr>,
    /// What was agreed; none until the far side has answered.
    pub agreement: Option<Agreement>,
    /// The stream that we send.
    pub outgoing: Outgoing,
    /// The stream that we receive.
    pub incoming: Incoming,
    /// Who hears it, how loud, and whether it hears.
    pub audio: Audio,
    /// Its place in a recording.
    pub tap: Option<Tap>,
    /// When it was created or last refreshed.
    pub refreshed_ms: u64,
    /// When RTP was last accepted; none when none came yet.
    pub heard_ms: Option<u64>,
}

/// What is set for the sound of a leg, wherever it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audio {
    /// Others hear silence instead of it.
    pub muted: bool,
    /// It hears silence.
    pub deafened: bool,
    /// How loud it is to others.
    pub gain: Gain,
    /// Its part in a conversation.
    pub role: Role,
}

/// A leg's part in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Heard by everybody.
    #[default]
    Speaker,
    /// Hears, and is not heard.
    Listener,
    /// Hears everybody, and is heard by one leg alone.
    Coach {
        /// That leg, by its id as a number.
        heard_by: u128,
    },
    /// Hears, is not heard, and is never told of as a speaker.
    Monitor,
}

impl Audio {
    /// Nobody at all hears the leg.
    pub(crate) fn is_silent(&self) -> bool {
        self.muted || matches!(self.role, Role::Listener | Role::Monitor)
    }

    /// How loud the leg is to the one other leg it is bridged to.
    pub(crate) fn gain_towards(&self, hearer: u128, deafened: bool) -> Gain {
        let unheard = matches!(self.role, Role::Coach { heard_by } if heard_by != hearer);
        if deafened || unheard || self.is_silent() { Gain::SILENCE } else { self.gain }
    }
}

/// The stream that we send. One source and one unbroken run of sequence numbers, whatever the leg is connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outgoing {
    /// Synchronisation source.
    pub ssrc: u32,
    /// The next sequence number.
    pub sequence: u16,
    /// The next timestamp, at 8 kHz.
    pub timestamp: u32,
    /// When the last packet went, in ms; 0 before the first.
    pub at_ms: u64,
    /// The next packet begins a new stretch of sound (RFC 3550, section 5.1: marker).
    pub starts: bool,
    /// How a source that is being forwarded maps onto this stream.
    pub mapping: Option<Mapping>,
    /// Packets sent.
    pub packets: u64,
    /// Payload bytes sent.
    pub octets: u64,
}

/// How the packets of one source go on in our stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The source's SSRC.
    pub ssrc: u32,
    /// Added to its sequence numbers.
    pub sequence: u16,
    /// Added to its timestamps.
    pub timestamp: u32,
}

/// The stream that we receive, and what is counted of it (RFC 3550, appendix A).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incoming {
    /// Its source; none before the first packet.
    pub ssrc: Option<u32>,
    /// The first sequence number.
    pub base: u16,
    /// The highest sequence number, extended by its cycles.
    pub highest: u32,
    /// The number after one that leapt: should it come, the source has restarted (appendix A.1).
    pub leapt_to: Option<u16>,
    /// Packets of this source.
    pub packets: u64,
    /// Packets of earlier sources.
    pub packets_before: u64,
    /// Losses of earlier sources.
    pub lost_before: u64,
    /// Refused by the policy.
    pub refused: u64,
    /// Came too late to be heard.
    pub late: u64,
    /// Interarrival jitter in samples, times 16.
    pub jitter_q4: u32,
    /// The last packet's transit time, in samples.
    pub transit: u32,
    /// Round trip in microseconds; 0 when unknown.
    pub round_trip_us: u32,
    /// The payload type that came last.
    pub payload_type: u8,
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// The recording, by its number in this process.
    pub recording: u32,
    /// 0 is left (or mono), 1 is right.
    pub channel: u8,
    /// When the recording began, in ms.
    pub began_ms: u64,
    /// What the source's timestamps are off the recording's sample positions; none before the first packet.
    pub anchor: Option<(u32, u32, u64)>,
}

impl Outgoing {
    /// A stream that has not begun.
    pub(crate) fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Self {
        Self { ssrc, sequence, timestamp, at_ms: 0, starts: true, mapping: None, packets: 0, octets: 0 }
    }

    /// The sequence number and timestamp for `samples` of sound made by ourselves.
    pub(crate) fn next(&mut self, samples: u32, now_ms: u64) -> (u16, u32) {
        if self.mapping.take().is_some() {
            self.starts = true;
        }
        // What was silent for longer than a few packets goes on where the clock is.
        let idle_ms = now_ms.saturating_sub(self.at_ms);
        if self.at_ms != 0 && idle_ms > RESUME_MS {
            self.timestamp = self.timestamp.wrapping_add((idle_ms as u32 - 20).wrapping_mul(8));
        }
        let stamped = (self.sequence, self.timestamp);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(samples);
        self.at_ms = now_ms;
        stamped
    }

    /// The sequence number and timestamp with which a packet of another stream goes on. Gaps and exchanges in the
    /// source's order stay visible, so that the receiver can conceal and sort.
    pub(crate) fn map(
        &mut self,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        samples: u32,
        now_ms: u64,
    ) -> (u16, u32) {
        let mapping = match self.mapping {
            Some(mapping) if mapping.ssrc == ssrc => mapping,
            _ => {
                let idle_ms = now_ms.saturating_sub(self.at_ms);
                if self.at_ms != 0 && idle_ms > RESUME_MS {
                    self.timestamp = self.timestamp.wrapping_add((idle_ms as u32 - 20).wrapping_mul(8));
                }
                self.starts = true;
                Mapping {
                    ssrc,
                    sequence: self.sequence.wrapping_sub(sequence),
                    timestamp: self.timestamp.wrapping_sub(timestamp),
                }
            }
        };
        self.mapping = Some(mapping);
        let sequence = sequence.wrapping_add(mapping.sequence);
        let timestamp = timestamp.wrapping_add(mapping.timestamp);
        if sequence.wrapping_sub(self.sequence) < 0x8000 {
            self.sequence = sequence.wrapping_add(1);
            self.timestamp = timestamp.wrapping_add(samples);
        }
        self.at_ms = now_ms;
        (sequence, timestamp)
    }

    /// The sequence number of a packet of an event that began at `start` and lasts for `elapsed` samples so far.
    pub(crate) fn put_event(&mut self, start: u32, elapsed: u32, now_ms: u64) -> u16 {
        self.mapping = None;
        let sequence = self.sequence;
        self.sequence = sequence.wrapping_add(1);
        self.timestamp = start.wrapping_add(elapsed);
        self.at_ms = now_ms;
        sequence
    }

    /// Whether the next packet carries the marker, which it then has carried.
    pub(crate) fn take_start(&mut self) -> bool {
        std::mem::take(&mut self.starts)
    }
}

impl Incoming {
    /// Counts an accepted packet. One stray number far from all others counts as nothing; two in a row are a source that
    /// has restarted (RFC 3550, appendix A.1).
    pub(crate) fn count(&mut self, ssrc: u32, sequence: u16, timestamp: u32, now_us: u64) {
        // Reduced to 32 bits only after the product, so that the wrap is that of the timestamps.
        let arrival = (now_us.wrapping_mul(8) / 1000) as u32;
        let transit = arrival.wrapping_sub(timestamp);
        if self.ssrc != Some(ssrc) {
            self.begin(ssrc, sequence, transit);
        }
        let ahead = sequence.wrapping_sub(self.highest as u16);
        if (DROPOUT_MAX..=u16::MAX - MISORDER_MAX).contains(&ahead) {
            if self.leapt_to != Some(sequence) {
                self.leapt_to = Some(sequence.wrapping_add(1));
                return;
            }
            self.begin(ssrc, sequence, transit);
        } else if ahead < DROPOUT_MAX {
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        self.leapt_to = None;
        self.packets += 1;
        let difference = (transit.wrapping_sub(self.transit) as i32).unsigned_abs().min(0x00ff_ffff);
        self.transit = transit;
        self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
    }

    /// Starts anew with a packet, and keeps what was counted before.
    fn begin(&mut self, ssrc: u32, sequence: u16, transit: u32) {
        *self = Self {
            ssrc: Some(ssrc),
            base: sequence,
            highest: u32::from(sequence),
            leapt_to: None,
            packets: 0,
            packets_before: self.packets_before + self.packets,
            lost_before: self.lost(),
            jitter_q4: 0,
            transit,
            ..*self
        };
    }

    /// Packets lost, over all sources.
    pub(crate) fn lost(&self) -> u64 {
        if self.ssrc.is_none() {
            return self.lost_before;
        }
        let expected = u64::from(self.highest.wrapping_sub(u32::from(self.base))) + 1;
        self.lost_before + expected.saturating_sub(self.packets)
    }
}

/// How far sequence numbers may leap ahead, and lag behind, within one source (RFC 3550, appendix A.1).
const DROPOUT_MAX: u16 = 3000;
const MISORDER_MAX: u16 = 100;
/// A pause longer than this is shown in the timestamps, in ms.
const RESUME_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_stays_in_sequence_over_every_change_of_its_source() {
        let mut out = Outgoing::new(1, 65_534, 1000);
        assert_eq!(out.next(160, 20), (65_534, 1000));
        assert_eq!(out.map(7, 100, 5_000, 160, 40), (65_535, 1160));
        assert_eq!(out.map(7, 102, 5_320, 160, 80), (1, 1480), "a loss stays visible");
        assert_eq!(out.map(7, 101, 5_160, 160, 81), (0, 1320), "and so does a late packet");
        assert_eq!(out.next(160, 100), (2, 1640));
        assert_eq!(out.map(9, 4, 4, 160, 1100), (3, 1800 + 980 * 8), "a pause shows in the time alone");
    }

    #[test]
    fn losses_are_counted_by_sequence_over_a_wrap_and_a_change_of_source() {
        let mut stream = Incoming::default();
        for (n, sequence) in [65_534u16, 65_535, 1, 2].into_iter().enumerate() {
            stream.count(7, sequence, n as u32 * 160, n as u64 * 20_000);
        }
        assert_eq!(stream.lost(), 1);
        stream.count(8, 500, 0, 0);
        assert_eq!((stream.lost(), stream.packets_before), (1, 4));
    }

    #[test]
    fn a_stray_number_is_no_loss_and_a_restart_begins_anew() {
        let mut stream = Incoming::default();
        for (n, sequence) in [10u16, 11, 40_000, 12, 13, 30_000, 30_001, 30_002].into_iter().enumerate() {
            stream.count(7, sequence, n as u32 * 160, n as u64 * 20_000);
        }
        assert_eq!((stream.lost(), stream.base, stream.packets, stream.packets_before), (0, 30_001, 2, 4));
        stream.count(7, 29_950, 0, 200_000);
        assert_eq!((stream.lost(), stream.highest), (0, 30_002), "late, not a leap");
    }
}
