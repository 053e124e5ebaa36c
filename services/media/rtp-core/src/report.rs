//! What RTCP reports about a received stream (RFC 3550, section 6.4 and appendix A).

use crate::bursts::Bursts;
use crate::packet::{Header, SequenceNumber, Ssrc};

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

/// Statistics of what is received at one place, as a plain value that can be moved. Losses and packets of earlier sources
/// are kept; the rest is about the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverStats {
    /// The present source; none before the first packet.
    pub ssrc: Option<Ssrc>,
    /// Packets of this source.
    pub packets: u64,
    /// Packets of earlier sources.
    pub packets_before: u64,
    lost_before: u64,
    /// Its first sequence number, and the highest one extended by its cycles.
    base: u16,
    highest: u32,
    /// The number after one that leapt: should it come, the source has restarted (appendix A.1).
    leapt_to: Option<SequenceNumber>,
    /// Scaled by 16 (appendix A.8).
    jitter_q4: u32,
    /// None after a move: the next packet's is the first by this clock.
    transit: Option<u32>,
    expected_prior: u32,
    received_prior: u32,
    last_sr: Option<(u32, u64)>,
    bursts: Bursts,
}

/// [`ReceiverStats`] without what only its own clock understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ReceiverValue {
    /// The present source.
    pub ssrc: Option<Ssrc>,
    /// Packets of this source.
    pub packets: u64,
    /// Packets of earlier sources.
    pub packets_before: u64,
    /// Losses of earlier sources.
    pub lost_before: u64,
    /// Its first sequence number.
    pub base: u16,
    /// Its highest one, extended by its cycles.
    pub highest: u32,
    /// Interarrival jitter in 1/16 of the clock's units.
    pub jitter_q4: u32,
    /// Packets that were expected, and those that came, at the last report.
    pub expected_prior: u32,
    /// See [`Self::expected_prior`].
    pub received_prior: u32,
    /// How its losses come.
    pub bursts: Bursts,
}

impl ReceiverStats {
    /// What has to be known to go on elsewhere, by another clock.
    pub fn value(&self) -> ReceiverValue {
        ReceiverValue {
            ssrc: self.ssrc,
            packets: self.packets,
            packets_before: self.packets_before,
            lost_before: self.lost_before,
            base: self.base,
            highest: self.highest,
            jitter_q4: self.jitter_q4,
            expected_prior: self.expected_prior,
            received_prior: self.received_prior,
            bursts: self.bursts,
        }
    }

    /// Goes on with what was counted elsewhere. Until a sender report comes none is told of.
    pub fn resume(value: &ReceiverValue) -> Self {
        Self {
            ssrc: value.ssrc,
            packets: value.packets,
            packets_before: value.packets_before,
            lost_before: value.lost_before,
            base: value.base,
            highest: value.highest,
            jitter_q4: value.jitter_q4.min(TRANSIT_STEP_MAX << 4),
            expected_prior: value.expected_prior,
            received_prior: value.received_prior,
            bursts: value.bursts,
            ..Self::default()
        }
    }

    /// Counts an accepted packet. `arrival` is the arrival time in units of the RTP clock, wrapping. One stray number far
    /// from all others counts as nothing; two in a row are a source that has restarted (appendix A.1).
    pub fn on_packet(&mut self, header: &Header, arrival: u32) {
        let transit = arrival.wrapping_sub(header.timestamp.0);
        if self.ssrc != Some(header.ssrc) {
            self.last_sr = None;
            self.begin(header, transit);
        }
        let ahead = header.sequence.0.wrapping_sub(self.highest as u16);
        if (DROPOUT_MAX..=u16::MAX - MISORDER_MAX).contains(&ahead) {
            if self.leapt_to != Some(header.sequence) {
                self.leapt_to = Some(header.sequence.next());
                return;
            }
            self.begin(header, transit);
        } else if ahead < DROPOUT_MAX {
            if ahead > 0 {
                self.bursts.lost(u32::from(ahead) - 1);
                self.bursts.received();
            }
            self.highest = self.highest.wrapping_add(u32::from(ahead));
        }
        self.leapt_to = None;
        self.packets += 1;
        if let Some(before) = self.transit.replace(transit) {
            let difference = (transit.wrapping_sub(before) as i32).unsigned_abs().min(TRANSIT_STEP_MAX);
            self.jitter_q4 = self.jitter_q4 + difference - ((self.jitter_q4 + 8) >> 4);
        }
    }

    /// Starts anew with a packet, and keeps what was counted before.
    fn begin(&mut self, header: &Header, transit: u32) {
        *self = Self {
            ssrc: Some(header.ssrc),
            base: header.sequence.0,
            highest: u32::from(header.sequence.0),
            packets_before: self.packets_before + self.packets,
            lost_before: self.lost(),
            transit: Some(transit),
            last_sr: self.last_sr,
            bursts: self.bursts,
            ..Self::default()
        };
    }

    /// Notes a sender report of `ssrc`: its NTP time (64 bits) and when it came.
    pub fn on_sender_report(&mut self, ssrc: Ssrc, ntp: u64, now_ms: u64) {
        if self.ssrc == Some(ssrc) {
            self.last_sr = Some(((ntp >> 16) as u32, now_ms));
        }
    }

    /// The block to send now, if there is a source; starts a new interval for the lost fraction.
    pub fn report(&mut self, now_ms: u64) -> Option<ReportBlock> {
        let ssrc = self.ssrc?;
        let (expected, received) = (self.expected(), self.packets as u32);
        let expected_now = expected.wrapping_sub(self.expected_prior);
        let received_now = received.wrapping_sub(self.received_prior);
        self.expected_prior = expected;
        self.received_prior = received;
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
        Some(ReportBlock {
            ssrc,
            fraction_lost,
            cumulative_lost: (i64::from(expected) - i64::from(received)).clamp(-0x80_0000, 0x7F_FFFF) as i32,
            extended_highest: self.highest,
            jitter: self.jitter(),
            last_sr,
            delay_since_last_sr,
        })
    }

    /// Packets received, over all sources.
    pub fn received(&self) -> u64 {
        self.packets_before + self.packets
    }

    /// Packets lost, over all sources; duplicates do not make up for losses of earlier sources.
    pub fn lost(&self) -> u64 {
        self.lost_before + u64::from(self.expected()).saturating_sub(self.packets)
    }

    /// Whether losses come alone or in bursts, over all sources.
    pub fn bursts(&self) -> &Bursts {
        &self.bursts
    }

    /// Interarrival jitter in clock units.
    pub fn jitter(&self) -> u32 {
        self.jitter_q4 >> 4
    }

    fn expected(&self) -> u32 {
        if self.ssrc.is_none() { 0 } else { self.highest.wrapping_sub(u32::from(self.base)).wrapping_add(1) }
    }
}

/// Round-trip time in microseconds from a report block about our own stream; `ntp` is the NTP time of its arrival. `None` if
/// the other side had no report of ours yet or its clock made no sense (RFC 3550, section 6.4.1).
pub fn round_trip_us(block: &ReportBlock, ntp: u64) -> Option<u32> {
    if block.last_sr == 0 {
        return None;
    }
    let units = ((ntp >> 16) as u32).wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    (units < 1 << 31).then(|| (u64::from(units) * 1_000_000 / 65_536).min(u64::from(u32::MAX)) as u32)
}

/// How far sequence numbers may leap ahead, and lag behind, within one source (RFC 3550, appendix A.1).
const DROPOUT_MAX: u16 = 3_000;
const MISORDER_MAX: u16 = 100;
/// A step of transit beyond this is a restarted clock, not jitter.
const TRANSIT_STEP_MAX: u32 = 0x00FF_FFFF;
