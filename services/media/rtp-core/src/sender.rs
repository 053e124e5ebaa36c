//! The outgoing stream of a leg as one plain value that can be moved between workers and nodes.
//!
//! It is one source and one unbroken run of sequence numbers, whatever the leg is connected to: sound made here, another
//! source that is forwarded, or digits.

use crate::packet::{Header, RtpTimestamp, SequenceNumber, Ssrc};
use crate::rtcp::SenderInfo;

/// Where an outgoing stream stands. Times are in ms on any steady clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderState {
    /// Our source.
    pub ssrc: Ssrc,
    /// Number of the next packet.
    pub sequence: SequenceNumber,
    /// Timestamp of the next sample.
    pub timestamp: RtpTimestamp,
    /// Units of the timestamps in a ms: 8 for everything at 8 kHz and for G.722, 48 for Opus.
    pub units_per_ms: u32,
    /// When the last packet went, in ms; 0 before the first.
    pub at_ms: u64,
    /// Whether the next packet begins a talk spurt (RFC 3550, section 5.1: marker).
    pub starts: bool,
    /// How a source that is being forwarded maps onto this stream.
    pub mapping: Option<Mapping>,
    /// Packets sent since the start.
    pub packets: u64,
    /// Payload bytes sent since the start.
    pub octets: u64,
}

/// How the packets of one source go on in our stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapping {
    /// The source.
    pub ssrc: Ssrc,
    /// Added to its sequence numbers.
    pub sequence: u16,
    /// Added to its timestamps.
    pub timestamp: u32,
    /// Its packet that was far from all before, and which number would confirm it: the source has begun anew then.
    pub candidate: Option<SequenceNumber>,
}

impl SenderState {
    /// A stream that has sent nothing, at 8 kHz. All three should be random (RFC 3550, section 5.1).
    pub fn new(ssrc: Ssrc, sequence: SequenceNumber, timestamp: RtpTimestamp) -> Self {
        Self {
            ssrc,
            sequence,
            timestamp,
            units_per_ms: 8,
            at_ms: 0,
            starts: true,
            mapping: None,
            packets: 0,
            octets: 0,
        }
    }

    /// The header for `units` of sound made by ourselves.
    pub fn next(&mut self, payload_type: u8, units: u32, now_ms: u64) -> Header {
        if self.mapping.take().is_some() {
            self.starts = true;
        }
        self.resume(now_ms);
        let header = self.header(payload_type, self.sequence, self.timestamp);
        self.sequence = self.sequence.next();
        self.timestamp = self.timestamp.plus(units);
        self.at_ms = now_ms;
        header
    }

    /// The header with which a packet of another stream, of `units` of sound, goes on. Gaps and exchanges in the source's
    /// order stay visible, so that the receiver can conceal and sort. A source that begins anew under its old name, or comes back
    /// after a long outage, does not: our numbers go on. None for a packet far from all others of its source, which the next has
    /// to confirm (RFC 3550, appendix A.1).
    pub fn forward(&mut self, source: &Header, payload_type: u8, units: u32, now_ms: u64) -> Option<Header> {
        let known = self.mapping.filter(|mapping| mapping.ssrc == source.ssrc);
        let mapping = match known {
            Some(mapping) if !self.is_far(mapping, source) => Mapping { candidate: None, ..mapping },
            Some(mapping) if mapping.candidate != Some(source.sequence) => {
                self.mapping = Some(Mapping { candidate: Some(source.sequence.next()), ..mapping });
                return None;
            }
            _ => {
                self.resume(now_ms);
                self.starts = true;
                Mapping {
                    ssrc: source.ssrc,
                    sequence: self.sequence.0.wrapping_sub(source.sequence.0),
                    timestamp: self.timestamp.0.wrapping_sub(source.timestamp.0),
                    candidate: None,
                }
            }
        };
        self.mapping = Some(mapping);
        let sequence = SequenceNumber(source.sequence.0.wrapping_add(mapping.sequence));
        let timestamp = source.timestamp.plus(mapping.timestamp);
        if sequence.distance(self.sequence) >= 0 {
            self.sequence = sequence.next();
            self.timestamp = timestamp.plus(units);
        }
        self.at_ms = now_ms;
        let header = self.header(payload_type, sequence, timestamp);
        Some(Header { marker: source.marker | header.marker, ..header })
    }

    /// The header for `units` of another stream's sound that is cut to other packets here. Time and numbers go on without a look at
    /// the clock: what is missing of the source is said by [`Self::skip`], and what is another source by [`Self::begin`].
    pub(crate) fn cut(&mut self, payload_type: u8, units: u32, now_ms: u64) -> Header {
        let header = self.header(payload_type, self.sequence, self.timestamp);
        self.sequence = self.sequence.next();
        self.timestamp = self.timestamp.plus(units);
        self.at_ms = now_ms;
        header
    }

    /// So much is missing, and so many packets of it.
    pub(crate) fn skip(&mut self, units: u32, packets: u16, spurt: bool) {
        self.timestamp = self.timestamp.plus(units);
        self.sequence = SequenceNumber(self.sequence.0.wrapping_add(packets));
        self.starts |= spurt;
    }

    /// Something else goes on here, at the time that it is.
    pub(crate) fn begin(&mut self, now_ms: u64) {
        self.mapping = None;
        self.starts = true;
        self.resume(now_ms);
    }

    /// A packet of another stream is not passed on although it came: it is no loss of the far side's. What is passed on next follows
    /// the last that was sent, at the time that it is, as a talk spurt.
    pub fn withhold(&mut self) {
        if self.mapping.take().is_some() {
            self.starts = true;
        }
    }

    /// Whether a packet would be so far from the last one that a receiver could take it for another stream's, or for a copy.
    fn is_far(&self, mapping: Mapping, source: &Header) -> bool {
        let sequence = SequenceNumber(source.sequence.0.wrapping_add(mapping.sequence));
        sequence.distance(self.sequence).unsigned_abs() > FAR
    }

    /// The header of a packet of a telephone event that began at `start` and lasts for `elapsed` units so far: the
    /// timestamp is that of the event's start (RFC 4733, section 2.2), and the stream's own time goes on.
    pub fn event(
        &mut self,
        payload_type: u8,
        marker: bool,
        start: RtpTimestamp,
        elapsed: u32,
        now_ms: u64,
    ) -> Header {
        self.mapping = None;
        let header = self.header(payload_type, self.sequence, start);
        self.sequence = self.sequence.next();
        self.timestamp = start.plus(elapsed);
        self.at_ms = now_ms;
        Header { marker, ..header }
    }

    /// The header of a packet of comfort noise (RFC 3389): it stands for the silence that follows, takes no time by itself, and
    /// never begins a talk spurt (RFC 3551, section 4.1).
    pub fn noise(&mut self, payload_type: u8, now_ms: u64) -> Header {
        self.leave_out(0, now_ms);
        let header = self.header(payload_type, self.sequence, self.timestamp);
        self.sequence = self.sequence.next();
        self.starts = true;
        Header { marker: false, ..header }
    }

    /// Sends nothing for `units` of silence, which the far side shall not take for a loss: the next sound begins a talk spurt.
    pub fn leave_out(&mut self, units: u32, now_ms: u64) {
        self.mapping = None;
        self.resume(now_ms);
        self.timestamp = self.timestamp.plus(units);
        self.at_ms = now_ms;
        self.starts = true;
    }

    /// Counts a packet that was sent, with its payload's bytes.
    pub fn note_sent(&mut self, octets: usize) {
        self.packets += 1;
        self.octets += octets as u64;
    }

    /// What a sender report says at this moment (RFC 3550, section 6.4.1).
    pub fn info(&self, ntp: u64, now_ms: u64) -> SenderInfo {
        let since = now_ms.saturating_sub(self.at_ms) as u32;
        SenderInfo {
            ntp,
            rtp_timestamp: self.timestamp.plus(since.wrapping_mul(self.units_per_ms)).0,
            packets: self.packets as u32,
            octets: self.octets as u32,
        }
    }

    /// What was silent for longer than a few packets goes on where the clock is.
    fn resume(&mut self, now_ms: u64) {
        let idle_ms = now_ms.saturating_sub(self.at_ms);
        if self.at_ms != 0 && idle_ms > RESUME_MS {
            self.timestamp = self.timestamp.plus((idle_ms as u32 - 20).wrapping_mul(self.units_per_ms));
        }
    }

    fn header(&mut self, payload_type: u8, sequence: SequenceNumber, timestamp: RtpTimestamp) -> Header {
        let marker = std::mem::take(&mut self.starts);
        Header { marker, payload_type, sequence, timestamp, ssrc: self.ssrc }
    }
}

/// So many packets are 2 s of sound. SRTP takes none that is 128 older than the newest.
const FAR: u16 = 100;
/// A pause longer than this is shown in the timestamps, in ms.
const RESUME_MS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn source(ssrc: u32, sequence: u16, timestamp: u32) -> Header {
        Header {
            ssrc: Ssrc(ssrc),
            sequence: SequenceNumber(sequence),
            timestamp: RtpTimestamp(timestamp),
            ..Header::default()
        }
    }

    #[test]
    fn a_stream_stays_in_sequence_over_every_change_of_its_source() {
        let mut out = SenderState::new(Ssrc(1), SequenceNumber(65_534), RtpTimestamp(1000));
        let told = |h: Header| (h.sequence.0, h.timestamp.0, h.marker);
        assert_eq!(told(out.next(0, 160, 20)), (65_534, 1000, true));
        assert_eq!(told(out.forward(&source(7, 100, 5_000), 0, 160, 40).unwrap()), (65_535, 1160, true));
        assert_eq!(
            told(out.forward(&source(7, 102, 5_320), 0, 160, 80).unwrap()),
            (1, 1480, false),
            "a loss stays visible"
        );
        let late = told(out.forward(&source(7, 101, 5_160), 0, 160, 81).unwrap());
        assert_eq!(late, (0, 1320, false), "and so does a late packet");
        assert_eq!(told(out.next(0, 160, 100)), (2, 1640, true));
        let after = told(out.forward(&source(9, 4, 4), 0, 160, 1100).unwrap());
        assert_eq!(after, (3, 1800 + 980 * 8, true), "a pause shows in the time alone");
    }

    #[test]
    fn what_was_left_out_on_purpose_is_no_loss() {
        let mut out = SenderState::new(Ssrc(1), SequenceNumber(10), RtpTimestamp(1000));
        let told = |h: Header| (h.sequence.0, h.timestamp.0, h.marker);
        assert_eq!(told(out.forward(&source(7, 100, 0), 0, 160, 20).unwrap()), (10, 1000, true));
        // The far side holds for a second, in which the source speaks on.
        (0..50).for_each(|_| out.withhold());
        let after = told(out.forward(&source(7, 151, 51 * 160), 0, 160, 1040).unwrap());
        assert_eq!(after, (11, 1160 + 1000 * 8, true));
    }

    #[test]
    fn a_source_that_begins_anew_under_its_name_goes_on_without_a_jump() {
        let mut out = SenderState::new(Ssrc(1), SequenceNumber(900), RtpTimestamp(1000));
        let told = |h: Option<Header>| h.map(|h| (h.sequence.0, h.timestamp.0, h.marker));
        for n in 0..3u16 {
            out.forward(&source(7, 40_000 + n, 160 * u32::from(n)), 0, 160, 20 * u64::from(n + 1));
        }
        // A gateway was started again, or its clock set.
        for (began, at_ms) in [(12u16, 80), (30_000, 1_000), (29_000, 1_500)] {
            let next = (out.sequence.0, out.timestamp.0);
            let first = out.forward(&source(7, began, 777_777), 0, 160, at_ms);
            assert_eq!(first, None, "one alone may be a stray");
            let second = told(out.forward(&source(7, began.wrapping_add(1), 777_937), 0, 160, at_ms + 20));
            let (sequence, timestamp, marker) = second.unwrap();
            assert_eq!((sequence, marker), (next.0, true));
            let ahead = timestamp.wrapping_sub(next.1);
            assert!(ahead <= (at_ms as u32 + 20) * 8, "{ahead}");
            let third = told(out.forward(&source(7, began.wrapping_add(2), 778_097), 0, 160, at_ms + 40));
            assert_eq!(third, Some((next.0.wrapping_add(1), timestamp.wrapping_add(160), false)));
        }
        // A stray changes nothing, and neither does what comes late.
        let next = out.sequence.0;
        assert_eq!(out.forward(&source(7, 5, 5), 0, 160, 1_600), None);
        assert_eq!(out.forward(&source(7, 29_003, 778_257), 0, 160, 1_600).unwrap().sequence.0, next);
        assert_eq!(out.forward(&source(7, 6, 5), 0, 160, 1_620), None, "the stray was not confirmed at once");
        assert_eq!(out.forward(&source(7, 29_002, 778_097), 0, 160, 1_621).unwrap().sequence.0, next - 1);
    }

    #[test]
    fn silence_takes_time_and_no_numbers_and_the_next_word_begins_a_spurt() {
        let mut out = SenderState::new(Ssrc(1), SequenceNumber(65_535), RtpTimestamp(u32::MAX - 159));
        let told = |h: Header| (h.sequence.0, h.timestamp.0, h.marker);
        out.next(0, 160, 20);
        assert_eq!(told(out.noise(13, 40)), (0, 0, false));
        for tick in 0..50 {
            out.leave_out(160, 40 + tick * 20);
        }
        assert_eq!(told(out.noise(13, 1_040)), (1, 8_000, false));
        assert_eq!(told(out.next(0, 160, 1_040)), (2, 8_000, true));
        assert_eq!(told(out.next(0, 160, 1_060)), (3, 8_160, false));
    }
}
