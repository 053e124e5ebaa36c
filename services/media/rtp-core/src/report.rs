//! What RTCP reports about a received stream (RFC 3550, section 6.4 and appendix A).

use crate::packet::{RtpTimestamp, SequenceNumber, Ssrc};

/// One report block as it stands in a sender or receiver report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReportBlock {
    /// Whose stream.
    pub ssrc: Ssrc,
    /// Share lost since the last report, in 1/256.
    pub fraction_lost: u8,
    /// Packets lost since the start, within 24 bits signed; negative with duplicates.
    pub cumulative_lost: i32,
    /// Highest sequence number with the count of wraps above it.
    pub extended_highest: u32,
    /// Interarrival jitter in clock units.
    pub jitter: u32,
    /// Middle 32 bits of the NTP time of the last sender report, 0 without one.
    pub last_sr: u32,
    /// Time since it came, in 1/65,536 s.
    pub delay_since_last_sr: u32,
}

/// Statistics of one received stream. A new SSRC needs a new value.
#[derive(Debug, Clone)]
pub struct ReceiverStats {
    ssrc: Ssrc,
    base: u32,
    highest: u32,
    received: u32,
    expected_prior: u32,
    received_prior: u32,
    transit: Option<i32>,
    /// Scaled by 16 (appendix A.8).
    jitter_q4: u32,
    last_sr: Option<(u32, u64)>,
}

impl ReceiverStats {
    /// Starts with the first packet.
    pub fn new(ssrc: Ssrc, first: SequenceNumber) -> Self {
        let base = u32::from(first.0);
        Self {
            ssrc,
            base,
            highest: base,
            received: 0,
            expected_prior: 0,
            received_prior: 0,
            transit: None,
            jitter_q4: 0,
            last_sr: None,
        }
    }

    /// Whose stream.
    pub fn ssrc(&self) -> Ssrc {
        self.ssrc
    }

    /// Counts a packet, the first one too. `arrival` is the arrival time in clock units (wrapping).
    pub fn on_packet(&mut self, sequence: SequenceNumber, timestamp: RtpTimestamp, arrival: u32) {
        let ahead = i32::from(sequence.distance(SequenceNumber(self.highest as u16)));
        if !(-MAX_MISORDER..=MAX_DROPOUT).contains(&ahead) {
            self.restart(sequence);
        } else if ahead > 0 {
            self.highest = self.highest.wrapping_add(ahead as u32);
        }
        self.received = self.received.wrapping_add(1);
        let transit = arrival.wrapping_sub(timestamp.0) as i32;
        if let Some(last) = self.transit {
            let d = transit.wrapping_sub(last).unsigned_abs().min(MAX_TRANSIT_STEP);
            self.jitter_q4 = self.jitter_q4.wrapping_add(d).wrapping_sub((self.jitter_q4 + 8) >> 4);
        }
        self.transit = Some(transit);
    }

    /// Notes a sender report: its NTP time (64 bits) and when it came.
    pub fn on_sender_report(&mut self, ntp: u64, now_ms: u64) {
        self.last_sr = Some(((ntp >> 16) as u32, now_ms));
    }

    /// The block to send now; starts a new interval for the lost fraction.
    pub fn report(&mut self, now_ms: u64) -> ReportBlock {
        let expected = self.expected();
        let expected_now = expected.wrapping_sub(self.expected_prior);
        let received_now = self.received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = self.received;
        let lost = i64::from(expected_now) - i64::from(received_now);
        let fraction_lost = if expected_now == 0 || lost <= 0 {
            0
        } else {
            ((lost << 8) / i64::from(expected_now)).min(255) as u8
        };
        let (last_sr, delay_since_last_sr) = match self.last_sr {
            Some((ntp, at)) => (ntp, (now_ms.saturating_sub(at).saturating_mul(65_536) / 1_000) as u32),
            None => (0, 0),
        };
        ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: self.cumulative_lost(),
            extended_highest: self.highest,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr,
        }
    }

    /// Packets lost since the start; negative with duplicates.
    pub fn cumulative_lost(&self) -> i32 {
        (i64::from(self.expected()) - i64::from(self.received)).clamp(-0x80_0000, 0x7F_FFFF) as i32
    }

    /// Interarrival jitter in clock units.
    pub fn jitter(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    fn expected(&self) -> u32 {
        if self.received == 0 { 0 } else { self.highest.wrapping_sub(self.base).wrapping_add(1) }
    }

    fn restart(&mut self, sequence: SequenceNumber) {
        *self = Self { last_sr: self.last_sr, jitter_q4: self.jitter_q4, ..Self::new(self.ssrc, sequence) };
    }
}

/// Round-trip time in ms from a report block about our own stream; `ntp` is the NTP time of its arrival. `None` if the other
/// side had no report of ours yet or its clock made no sense (RFC 3550, section 6.4.1).
pub fn round_trip_ms(block: &ReportBlock, ntp: u64) -> Option<u32> {
    if block.last_sr == 0 {
        return None;
    }
    let units = ((ntp >> 16) as u32).wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    (units < 1 << 31).then(|| (u64::from(units) * 1_000 / 65_536) as u32)
}

/// RFC 3550, appendix A.1.
const MAX_DROPOUT: i32 = 3_000;
const MAX_MISORDER: i32 = 3_000;
/// A step of transit beyond this is a restarted clock, not jitter.
const MAX_TRANSIT_STEP: u32 = 1 << 20;
