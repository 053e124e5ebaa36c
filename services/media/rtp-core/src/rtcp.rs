//! RTCP compound packets (RFC 3550, section 6): SR or RR, SDES with CNAME, and BYE, into a caller's slice.
//!
//! Building is by hand because the media tick may not allocate; reading uses `rtcp-types`.

use crate::packet::Ssrc;
use crate::report::ReportBlock;
use crate::xr::{VoipMetrics, XR, XR_LEN};
use rtcp_types::{Bye, ReceiverReport, RtcpPacketParser, RtcpParseError, SenderReport};
use thiserror::Error;

/// What a sender report says of our own stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SenderInfo {
    /// NTP time, 32.32 bits.
    pub ntp: u64,
    /// The same instant in the stream's clock.
    pub rtp_timestamp: u32,
    /// Packets sent.
    pub packets: u32,
    /// Payload bytes sent.
    pub octets: u32,
}

/// One compound packet to be built.
#[derive(Debug, Clone, Copy)]
pub struct Outgoing<'a> {
    /// Our source.
    pub ssrc: Ssrc,
    /// With it a sender report, without it a receiver report.
    pub sender: Option<SenderInfo>,
    /// About the stream that we receive.
    pub report: Option<ReportBlock>,
    /// How that stream is heard, as an extended report (RFC 3611).
    pub metrics: Option<VoipMetrics>,
    /// Canonical name, cut at 255 bytes.
    pub cname: &'a str,
    /// Whether we leave.
    pub bye: bool,
}

/// The slice was too small for a compound packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no room for the RTCP packet")]
pub struct NoRoom;

impl Outgoing<'_> {
    /// Writes the compound packet and returns its length. [`MAX_COMPOUND`] bytes are always enough.
    pub fn write(&self, out: &mut [u8]) -> Result<usize, NoRoom> {
        let mut w = Writer { out, at: 0 };
        let blocks = u8::from(self.report.is_some());
        let report_words = u16::from(blocks) * 6;
        match &self.sender {
            Some(s) => {
                w.head(blocks, SR, 6 + report_words)?;
                w.u32(self.ssrc.0)?;
                w.put(&s.ntp.to_be_bytes())?;
                w.u32(s.rtp_timestamp)?;
                w.u32(s.packets)?;
                w.u32(s.octets)?;
            }
            None => {
                w.head(blocks, RR, 1 + report_words)?;
                w.u32(self.ssrc.0)?;
            }
        }
        if let Some(b) = &self.report {
            w.block(b)?;
        }
        w.cname(self.ssrc, self.cname)?;
        if let Some(metrics) = &self.metrics {
            w.put(&metrics.packet(self.ssrc))?;
        }
        if self.bye {
            w.head(1, BYE, 1)?;
            w.u32(self.ssrc.0)?;
        }
        Ok(w.at)
    }
}

struct Writer<'a> {
    out: &'a mut [u8],
    at: usize,
}

impl Writer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), NoRoom> {
        let end = self.at + bytes.len();
        self.out.get_mut(self.at..end).ok_or(NoRoom)?.copy_from_slice(bytes);
        self.at = end;
        Ok(())
    }

    fn u32(&mut self, value: u32) -> Result<(), NoRoom> {
        self.put(&value.to_be_bytes())
    }

    fn head(&mut self, count: u8, kind: u8, words_after: u16) -> Result<(), NoRoom> {
        let length = words_after.to_be_bytes();
        self.put(&[0x80 | count, kind, length[0], length[1]])
    }

    fn block(&mut self, b: &ReportBlock) -> Result<(), NoRoom> {
        self.u32(b.ssrc.0)?;
        self.u32(u32::from(b.fraction_lost) << 24 | b.cumulative_lost as u32 & 0x00FF_FFFF)?;
        self.u32(b.extended_highest)?;
        self.u32(b.jitter)?;
        self.u32(b.last_sr)?;
        self.u32(b.delay_since_last_sr)
    }

    fn cname(&mut self, ssrc: Ssrc, cname: &str) -> Result<(), NoRoom> {
        let name = &cname.as_bytes()[..cname.floor_char_boundary(255)];
        // The item list ends with at least one zero byte and fills its last word.
        let zeros = 4 - (2 + name.len()) % 4;
        self.head(1, SDES, ((4 + 2 + name.len() + zeros) / 4) as u16)?;
        self.u32(ssrc.0)?;
        self.put(&[SDES_CNAME, name.len() as u8])?;
        self.put(name)?;
        self.put(&[0; 4][..zeros])
    }
}

/// What a compound packet that came says, as far as a media node cares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// A sender report, without its blocks.
    SenderReport {
        /// Who sends.
        ssrc: Ssrc,
        /// What it says of its own stream.
        info: SenderInfo,
    },
    /// A block of a sender or receiver report.
    Report(ReportBlock),
    /// How a stream is heard over there.
    Metrics(VoipMetrics),
    /// A source leaves.
    Bye(Ssrc),
}

/// Reads a compound packet and hands every statement to `sink`. Statements before a fault are handed on.
pub fn read(datagram: &[u8], mut sink: impl FnMut(Incoming)) -> Result<(), RtcpParseError> {
    let mut rest = datagram;
    while !rest.is_empty() {
        let (kind, packet) = split_first(&mut rest)?;
        match kind {
            SR => {
                let sr = SenderReport::parse(packet)?;
                let info = SenderInfo {
                    ntp: sr.ntp_timestamp(),
                    rtp_timestamp: sr.rtp_timestamp(),
                    packets: sr.packet_count(),
                    octets: sr.octet_count(),
                };
                sink(Incoming::SenderReport { ssrc: Ssrc(sr.ssrc()), info });
                sr.report_blocks().for_each(|b| sink(Incoming::Report(block_of(&b))));
            }
            RR => {
                let rr = ReceiverReport::parse(packet)?;
                rr.report_blocks().for_each(|b| sink(Incoming::Report(block_of(&b))));
            }
            XR => {
                if let Some(metrics) = VoipMetrics::read(packet) {
                    sink(Incoming::Metrics(metrics));
                }
            }
            BYE => Bye::parse(packet)?.ssrcs().for_each(|s| sink(Incoming::Bye(Ssrc(s)))),
            // Descriptions say nothing that media needs, and reading them would allocate.
            _ => {}
        }
    }
    Ok(())
}

/// The type and the bytes of the next packet of a compound.
fn split_first<'a>(rest: &mut &'a [u8]) -> Result<(u8, &'a [u8]), RtcpParseError> {
    let actual = rest.len();
    let truncated = |expected| RtcpParseError::Truncated { expected, actual };
    let head = rest.first_chunk::<4>().ok_or(truncated(4))?;
    if head[0] >> 6 != 2 {
        return Err(RtcpParseError::UnsupportedVersion(head[0] >> 6));
    }
    let length = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
    let (packet, after) = rest.split_at_checked(length).ok_or(truncated(length))?;
    *rest = after;
    Ok((head[1], packet))
}

fn block_of(b: &rtcp_types::ReportBlock<'_>) -> ReportBlock {
    ReportBlock {
        ssrc: Ssrc(b.ssrc()),
        fraction_lost: b.fraction_lost(),
        // 24 bits signed.
        cumulative_lost: (b.cumulative_lost() << 8) as i32 >> 8,
        extended_highest: b.extended_sequence_number(),
        jitter: b.interarrival_jitter(),
        last_sr: b.last_sender_report_timestamp(),
        delay_since_last_sr: b.delay_since_last_sender_report_timestamp(),
    }
}

/// Length of the longest compound packet that [`Outgoing::write`] makes.
pub const MAX_COMPOUND: usize = 28 + 24 + 8 + 260 + XR_LEN + 8;

const SR: u8 = 200;
const RR: u8 = 201;
const SDES: u8 = 202;
const BYE: u8 = 203;
const SDES_CNAME: u8 = 1;
