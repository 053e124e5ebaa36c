//! The outgoing stream of a leg as one plain value that can be moved between workers and nodes.

use crate::packet::{Header, PacketError, RtpTimestamp, SequenceNumber, Ssrc, write_header};

/// Where an outgoing stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderState {
    /// Our source.
    pub ssrc: Ssrc,
    /// Number of the next packet.
    pub sequence: SequenceNumber,
    /// Timestamp of the next sample.
    pub timestamp: RtpTimestamp,
    /// Whether the next packet begins a talk spurt.
    pub marker: bool,
    /// Packets sent since the start; wraps (RFC 3550, section 6.4.1).
    pub packets: u32,
    /// Payload bytes sent since the start; wraps.
    pub octets: u32,
}

impl SenderState {
    /// A stream that has sent nothing. All three should be random (RFC 3550, section 5.1).
    pub fn new(ssrc: Ssrc, sequence: SequenceNumber, timestamp: RtpTimestamp) -> Self {
        Self { ssrc, sequence, timestamp, marker: true, packets: 0, octets: 0 }
    }

    /// Writes the header of the next audio packet, counts it and moves on by `samples`. Returns the header's length.
    pub fn write_next(
        &mut self,
        out: &mut [u8],
        payload_type: u8,
        payload_len: usize,
        samples: u32,
    ) -> Result<usize, PacketError> {
        let (marker, timestamp) = (self.marker, self.timestamp);
        let n = self.write(out, payload_type, payload_len, marker, timestamp)?;
        self.marker = false;
        self.timestamp = self.timestamp.plus(samples);
        Ok(n)
    }

    /// Writes the header of a packet of a telephone event: the timestamp is that of the event's start (RFC 4733,
    /// section 2.2). Time goes on by [`SenderState::skip`], once per tick.
    pub fn write_event(
        &mut self,
        out: &mut [u8],
        payload_type: u8,
        payload_len: usize,
        marker: bool,
        start: RtpTimestamp,
    ) -> Result<usize, PacketError> {
        self.write(out, payload_type, payload_len, marker, start)
    }

    /// Lets time pass without a packet; `pause` makes the next packet the first of a talk spurt.
    pub fn skip(&mut self, samples: u32, pause: bool) {
        self.timestamp = self.timestamp.plus(samples);
        self.marker |= pause;
    }

    fn write(
        &mut self,
        out: &mut [u8],
        payload_type: u8,
        payload_len: usize,
        marker: bool,
        timestamp: RtpTimestamp,
    ) -> Result<usize, PacketError> {
        let header = Header { marker, payload_type, sequence: self.sequence, timestamp, ssrc: self.ssrc };
        let n = write_header(out, &header)?;
        self.sequence = self.sequence.next();
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(payload_len as u32);
        Ok(n)
    }
}
