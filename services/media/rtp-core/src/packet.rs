//! RTP packets (RFC 3550, section 5.1): reading in place, writing in place.

use std::ops::Range;

use thiserror::Error;

/// A synchronisation source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Ssrc(pub u32);

/// A sequence number, which wraps; compare by [`SequenceNumber::distance`], never by size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SequenceNumber(pub u16);

impl SequenceNumber {
    /// The number after this one.
    pub const fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// How far `self` is ahead of `earlier`, -32,768 to 32,767.
    pub const fn distance(self, earlier: Self) -> i16 {
        self.0.wrapping_sub(earlier.0) as i16
    }

    /// Whether it is ahead of `other`.
    pub const fn is_after(self, other: Self) -> bool {
        self.distance(other) > 0
    }
}

/// A media timestamp, which wraps; compare by [`RtpTimestamp::distance`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RtpTimestamp(pub u32);

impl RtpTimestamp {
    /// So many clock units later.
    pub const fn plus(self, units: u32) -> Self {
        Self(self.0.wrapping_add(units))
    }

    /// How many clock units `self` is ahead of `earlier`.
    pub const fn distance(self, earlier: Self) -> i32 {
        self.0.wrapping_sub(earlier.0) as i32
    }
}

/// The fixed part of the header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Header {
    /// First packet of a talk spurt, or of an event.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Place in the order of sending.
    pub sequence: SequenceNumber,
    /// Sampling instant of the first sample.
    pub timestamp: RtpTimestamp,
    /// Who sends.
    pub ssrc: Ssrc,
}

/// Why bytes are not an RTP packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum PacketError {
    /// Fewer bytes than the header, its sources or its extension need.
    #[error("packet ends inside its header")]
    TooShort,
    /// The version is not 2.
    #[error("version is not 2")]
    Version,
    /// The padding count is 0 or more than what follows the header.
    #[error("padding does not fit")]
    Padding,
    /// It is an RTCP packet on a shared port (RFC 5761, section 4).
    #[error("is an RTCP packet")]
    Rtcp,
    /// The slice to write to is too small.
    #[error("no room for the header")]
    NoRoom,
}

/// A packet that was read where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RtpPacketRef<'a> {
    /// The fixed header.
    pub header: Header,
    /// Contributing sources, 4 bytes each.
    pub csrc: &'a [u8],
    /// The extension's profile word and its body (RFC 3550, section 5.3.1).
    pub extension: Option<(u16, &'a [u8])>,
    /// The payload without padding; may be empty.
    pub payload: &'a [u8],
    /// Where the payload begins in the datagram, at least [`HEADER_LEN`].
    pub payload_start: usize,
}

impl<'a> RtpPacketRef<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let (fixed, mut rest) = datagram.split_first_chunk::<HEADER_LEN>().ok_or(PacketError::TooShort)?;
        if fixed[0] >> 6 != 2 {
            return Err(PacketError::Version);
        }
        if is_rtcp(datagram) {
            return Err(PacketError::Rtcp);
        }
        let csrc = take(&mut rest, usize::from(fixed[0] & 0x0F) * 4)?;
        let extension = if fixed[0] & 0x10 != 0 {
            let head = take(&mut rest, 4)?;
            let words = usize::from(u16::from_be_bytes([head[2], head[3]]));
            Some((u16::from_be_bytes([head[0], head[1]]), take(&mut rest, words * 4)?))
        } else {
            None
        };
        let payload_start = datagram.len() - rest.len();
        if fixed[0] & 0x20 != 0 {
            let padding = usize::from(*rest.last().ok_or(PacketError::Padding)?);
            if padding == 0 || padding > rest.len() {
                return Err(PacketError::Padding);
            }
            rest = &rest[..rest.len() - padding];
        }
        let header = Header {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: SequenceNumber(u16::from_be_bytes([fixed[2], fixed[3]])),
            timestamp: RtpTimestamp(u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]])),
            ssrc: Ssrc(u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]])),
        };
        Ok(Self { header, csrc, extension, payload: rest, payload_start })
    }

    /// Where the payload lies in the datagram.
    pub fn payload_range(&self) -> Range<usize> {
        self.payload_start..self.payload_start + self.payload.len()
    }
}

/// Whether a datagram on a shared port is RTCP: payload types 64 to 95 with the marker bit are RTCP types 192 to 223
/// (RFC 5761, section 4).
pub fn is_rtcp(datagram: &[u8]) -> bool {
    matches!(datagram, [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind))
}

/// Writes a header without sources, extension or padding to the start of `out` and returns its length, [`HEADER_LEN`].
/// The payload goes right behind it.
pub fn write_header(out: &mut [u8], header: &Header) -> Result<usize, PacketError> {
    let out = out.first_chunk_mut::<HEADER_LEN>().ok_or(PacketError::NoRoom)?;
    out[0] = 0x80;
    out[1] = header.payload_type & 0x7F | if header.marker { 0x80 } else { 0 };
    out[2..4].copy_from_slice(&header.sequence.0.to_be_bytes());
    out[4..8].copy_from_slice(&header.timestamp.0.to_be_bytes());
    out[8..].copy_from_slice(&header.ssrc.0.to_be_bytes());
    Ok(HEADER_LEN)
}

fn take<'a>(rest: &mut &'a [u8], n: usize) -> Result<&'a [u8], PacketError> {
    let (taken, left) = rest.split_at_checked(n).ok_or(PacketError::TooShort)?;
    *rest = left;
    Ok(taken)
}

/// Bytes of the fixed header.
pub const HEADER_LEN: usize = 12;
