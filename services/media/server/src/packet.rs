//! The fixed RTP header (RFC 3550, section 5.1), read and written in place in the receive loop.

use std::ops::Range;

/// Bytes of a header without contributing sources.
pub(crate) const HEADER: usize = 12;
/// The longest packet that is looked at: 60 ms of G.711 with a long header.
pub(crate) const PACKET_MAX: usize = 1500;

/// What the header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) marker: bool,
    pub(crate) payload_type: u8,
    pub(crate) sequence: u16,
    pub(crate) timestamp: u32,
    pub(crate) ssrc: u32,
}

impl Header {
    /// The header and where the payload is; none for what is not an RTP packet.
    pub(crate) fn read(packet: &[u8]) -> Option<(Self, Range<usize>)> {
        let fixed: &[u8; HEADER] = packet.first_chunk()?;
        if fixed[0] >> 6 != 2 {
            return None;
        }
        let mut start = HEADER + usize::from(fixed[0] & 0x0f) * 4;
        if fixed[0] & 0x10 != 0 {
            let length = packet.get(start + 2..start + 4)?;
            start += 4 + usize::from(u16::from_be_bytes([length[0], length[1]])) * 4;
        }
        let padding = if fixed[0] & 0x20 != 0 { usize::from(*packet.last()?) } else { 0 };
        let end = packet.len().checked_sub(padding)?;
        let header = Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7f,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        };
        (start <= end).then_some((header, start..end))
    }

    /// Writes a header without contributing sources, extension or padding.
    pub(crate) fn write(&self, out: &mut [u8; HEADER]) {
        out[0] = 0x80;
        out[1] = u8::from(self.marker) << 7 | self.payload_type;
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&self.timestamp.to_be_bytes());
        out[8..12].copy_from_slice(&self.ssrc.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_written_and_nonsense_is_refused() {
        let header = Header {
            marker: true,
            payload_type: 101,
            sequence: 65_535,
            timestamp: u32::MAX,
            ssrc: 0xdead_beef,
        };
        let mut packet = [7u8; HEADER + 4];
        header.write(packet.first_chunk_mut().unwrap());
        assert_eq!(Header::read(&packet), Some((header, 12..16)));
        packet[0] = 0x80 | 0x20;
        packet[15] = 3;
        assert_eq!(Header::read(&packet).unwrap().1, 12..13, "padding");
        packet[15] = 5;
        assert_eq!(Header::read(&packet), None, "more padding than packet");
        packet[0] = 0x80 | 2;
        assert_eq!(Header::read(&packet), None, "contributing sources past the end");
        packet[0] = 0x90;
        packet[14..16].copy_from_slice(&[0, 1]);
        assert_eq!(Header::read(&packet), None, "extension past the end");
        for length in 0..HEADER {
            assert_eq!(Header::read(&packet[..length]), None);
        }
    }
}
