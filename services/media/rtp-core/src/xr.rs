//! RTCP extended reports: the VoIP metrics block (RFC 3611, section 4.7).

use crate::packet::Ssrc;

/// How one stream is heard at its receiver. Values that nobody knows are [`UNKNOWN`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoipMetrics {
    /// Whose stream.
    pub ssrc: Ssrc,
    /// Share of packets lost since the start, in 1/256.
    pub loss_rate: u8,
    /// Share of packets that came too late to be heard, in 1/256.
    pub discard_rate: u8,
    /// Share lost within bursts, and within the gaps between them, in 1/256.
    pub burst_density: u8,
    /// See [`Self::burst_density`].
    pub gap_density: u8,
    /// Mean length of a burst, and of a gap, in ms.
    pub burst_ms: u16,
    /// See [`Self::burst_ms`].
    pub gap_ms: u16,
    /// Between the two ends and back, in ms; 0 when unknown.
    pub round_trip_ms: u16,
    /// From the socket to the ear, in ms; 0 when unknown.
    pub end_system_ms: u16,
    /// The rating R of the E-model, 0 to 100.
    pub rating: u8,
    /// Mean opinion score for listening, in tenths, 10 to 50.
    pub opinion_listening: u8,
    /// Mean opinion score for a conversation, in tenths, 10 to 50.
    pub opinion_conversation: u8,
    /// The delay of the playout now, and the largest it may take, in ms.
    pub playout_ms: u16,
    /// See [`Self::playout_ms`].
    pub playout_max_ms: u16,
}

/// A rating or score that is not known.
pub const UNKNOWN: u8 = 127;
/// Length of a whole XR packet with one such block.
pub(crate) const XR_LEN: usize = 8 + 36;
/// Its packet type.
pub(crate) const XR: u8 = 207;

const BLOCK_TYPE: u8 = 7;
/// Words of the block behind its first.
const BLOCK_WORDS: usize = 8;
/// Losses are concealed better than by repeating, and the playout adapts itself (section 4.7.6).
const RX_CONFIG: u8 = 0b1011_0000;
const GAP_MIN: u8 = crate::bursts::GAP_MIN as u8;

impl VoipMetrics {
    /// The whole packet, from `own`.
    pub(crate) fn packet(&self, own: Ssrc) -> [u8; XR_LEN] {
        let mut out = [0; XR_LEN];
        let mut at = 0;
        let mut put = |bytes: &[u8]| {
            out[at..at + bytes.len()].copy_from_slice(bytes);
            at += bytes.len();
        };
        put(&[0x80, XR, 0, (XR_LEN / 4 - 1) as u8]);
        put(&own.0.to_be_bytes());
        put(&[BLOCK_TYPE, 0, 0, BLOCK_WORDS as u8]);
        put(&self.ssrc.0.to_be_bytes());
        put(&[self.loss_rate, self.discard_rate, self.burst_density, self.gap_density]);
        for ms in [self.burst_ms, self.gap_ms, self.round_trip_ms, self.end_system_ms] {
            put(&ms.to_be_bytes());
        }
        // Levels of signal, noise and echo: they are not measured.
        put(&[UNKNOWN, UNKNOWN, UNKNOWN, GAP_MIN]);
        put(&[self.rating, UNKNOWN, self.opinion_listening, self.opinion_conversation]);
        put(&[RX_CONFIG, 0]);
        for ms in [self.playout_ms, self.playout_max_ms, self.playout_max_ms] {
            put(&ms.to_be_bytes());
        }
        out
    }

    /// The first such block of an XR packet, of those of known length; none when it has none.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let mut rest = packet.get(8..)?;
        while let Some((head, after)) = rest.split_first_chunk::<4>() {
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (block, behind) = after.split_at_checked(words * 4)?;
            if head[0] == BLOCK_TYPE && words == BLOCK_WORDS {
                return Self::read_block(block);
            }
            rest = behind;
        }
        None
    }

    fn read_block(block: &[u8]) -> Option<Self> {
        let block: &[u8; BLOCK_WORDS * 4] = block.try_into().ok()?;
        let two = |at: usize| u16::from_be_bytes([block[at], block[at + 1]]);
        Some(Self {
            ssrc: Ssrc(u32::from_be_bytes([block[0], block[1], block[2], block[3]])),
            loss_rate: block[4],
            discard_rate: block[5],
            burst_density: block[6],
            gap_density: block[7],
            burst_ms: two(8),
            gap_ms: two(10),
            round_trip_ms: two(12),
            end_system_ms: two(14),
            rating: block[20],
            opinion_listening: block[22],
            opinion_conversation: block[23],
            playout_ms: two(26),
            playout_max_ms: two(28),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics() -> VoipMetrics {
        VoipMetrics {
            ssrc: Ssrc(0x0102_0304),
            loss_rate: 5,
            discard_rate: 6,
            burst_density: 7,
            gap_density: 8,
            burst_ms: 0x0910,
            gap_ms: 0x1112,
            round_trip_ms: 0x1314,
            end_system_ms: 0x1516,
            rating: 93,
            opinion_listening: 44,
            opinion_conversation: 43,
            playout_ms: 0x1718,
            playout_max_ms: 0x1920,
        }
    }

    #[test]
    fn a_block_stands_as_section_4_7_draws_it_and_is_read_back() {
        let packet = metrics().packet(Ssrc(0xAABB_CCDD));
        let expected = [
            0x80, 207, 0, 10, 0xAA, 0xBB, 0xCC, 0xDD, 7, 0, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0x10, 0x11,
            0x12, 0x13, 0x14, 0x15, 0x16, 127, 127, 127, 16, 93, 127, 44, 43, 0xB0, 0, 0x17, 0x18, 0x19,
            0x20, 0x19, 0x20,
        ];
        assert_eq!(packet, expected);
        assert_eq!(VoipMetrics::read(&packet), Some(metrics()));
    }

    #[test]
    fn other_blocks_are_passed_over_and_cut_ones_are_none() {
        let packet = metrics().packet(Ssrc(1));
        // A receiver reference time block (section 4.4) before it.
        let mut several = packet[..8].to_vec();
        several.extend([4, 0, 0, 2, 1, 1, 1, 1, 2, 2, 2, 2]);
        several.extend(&packet[8..]);
        assert_eq!(VoipMetrics::read(&several), Some(metrics()));
        for length in 0..packet.len() {
            assert_eq!(VoipMetrics::read(&packet[..length]), None, "{length}");
        }
    }
}
