//! RTCP of one leg: sender and receiver reports with a name, a goodbye, and the round trip (RFC 3550, section 6).

use crate::state::{Incoming, LegState};

/// When reports go, and what is needed to make and to read them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reports {
    /// When the next one goes, in ms.
    next_ms: u64,
    /// State of a small generator (xorshift) that spreads reports in time.
    random: u32,
    /// Middle of the NTP time of the far side's last sender report, and when it came in ms.
    last_report: Option<(u32, u64)>,
    /// What the last report of ours said.
    expected_before: u32,
    received_before: u32,
    /// The source that it was about, and the number with which that began.
    about: Option<(u32, u16)>,
    /// NTP time, in 1/2^32 s, at zero of the node's clock.
    ntp_at_zero: u64,
    name: [u8; NAME],
}

/// Mean time between two reports, in ms (RFC 3550, section 6.2).
const INTERVAL_MS: u64 = 5000;
/// Seconds from the NTP epoch to the Unix epoch.
const NTP_OFFSET_S: u64 = 2_208_988_800;
/// Length of a canonical name: random, as RFC 7022 asks for, and the same for the whole leg.
const NAME: usize = 16;
/// Room for the longest report.
pub(crate) const REPORT_MAX: usize = 120;
const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const DESCRIPTION: u8 = 202;
const GOODBYE: u8 = 203;

impl Reports {
    /// `unix_us_at_zero` is the wall clock at zero of the node's clock; `random` any number.
    pub(crate) fn new(unix_us_at_zero: u64, random: u128, now_ms: u64) -> Self {
        let mut name = [0; NAME];
        for (n, letter) in name.iter_mut().enumerate() {
            *letter = b"abcdefghijklmnopqrstuvwxyz234567"[(random >> (n * 5)) as usize % 32];
        }
        let seconds = unix_us_at_zero / 1_000_000 + NTP_OFFSET_S;
        let fraction = ((unix_us_at_zero % 1_000_000) << 32) / 1_000_000;
        let mut reports = Self {
            next_ms: 0,
            random: (random >> 96) as u32 | 1,
            last_report: None,
            expected_before: 0,
            received_before: 0,
            about: None,
            ntp_at_zero: seconds << 32 | fraction,
            name,
        };
        // The first one goes after half the time (section 6.2).
        reports.next_ms = now_ms + reports.interval() / 2;
        reports
    }

    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms
    }

    /// Writes the report that is due; its length.
    pub(crate) fn write(
        &mut self,
        leg: &LegState,
        now_ms: u64,
        goodbye: bool,
        out: &mut [u8; REPORT_MAX],
    ) -> usize {
        self.next_ms = now_ms + self.interval();
        let sends = leg.outgoing.packets > 0 && now_ms.saturating_sub(leg.outgoing.at_ms) < 2 * INTERVAL_MS;
        let heard = leg.incoming.ssrc;
        let mut writer = Writer { out, length: 0 };
        let start = writer.length;
        let kind = if sends { SENDER_REPORT } else { RECEIVER_REPORT };
        writer.begin(kind, u8::from(heard.is_some()), leg.outgoing.ssrc);
        if sends {
            let ntp = self.ntp(now_ms);
            let since = now_ms.saturating_sub(leg.outgoing.at_ms) as u32;
            writer.word((ntp >> 32) as u32);
            writer.word(ntp as u32);
            writer.word(leg.outgoing.timestamp.wrapping_add(since.wrapping_mul(8)));
            writer.word(leg.outgoing.packets as u32);
            writer.word(leg.outgoing.octets as u32);
        }
        if let Some(ssrc) = heard {
            self.write_block(ssrc, &leg.incoming, now_ms, &mut writer);
        }
        writer.end(start);
        let start = writer.length;
        writer.begin(DESCRIPTION, 1, leg.outgoing.ssrc);
        writer.bytes(&[1, NAME as u8]);
        writer.bytes(&self.name);
        // The list of items ends with at least one zero and at a word.
        writer.bytes(&[0; 2]);
        writer.end(start);
        if goodbye {
            let start = writer.length;
            writer.begin(GOODBYE, 1, leg.outgoing.ssrc);
            writer.end(start);
        }
        writer.length
    }

    fn write_block(&mut self, ssrc: u32, incoming: &Incoming, now_ms: u64, writer: &mut Writer<'_>) {
        if self.about.replace((ssrc, incoming.base)) != Some((ssrc, incoming.base)) {
            (self.expected_before, self.received_before) = (0, 0);
        }
        let expected = incoming.highest.wrapping_sub(u32::from(incoming.base)).wrapping_add(1);
        let received = incoming.packets as u32;
        let expected_now = expected.wrapping_sub(self.expected_before);
        let lost_now = expected_now.saturating_sub(received.wrapping_sub(self.received_before));
        (self.expected_before, self.received_before) = (expected, received);
        let fraction = if expected_now == 0 {
            0
        } else {
            (u64::from(lost_now) * 256 / u64::from(expected_now)).min(255)
        };
        let lost = expected.saturating_sub(received).min(0x007f_ffff);
        writer.word(ssrc);
        writer.word((fraction as u32) << 24 | lost);
        writer.word(incoming.highest);
        writer.word(incoming.jitter_q4 >> 4);
        let (last, delay) = match self.last_report {
            Some((middle, at_ms)) => (middle, (now_ms.saturating_sub(at_ms) * 65_536 / 1000) as u32),
            None => (0, 0),
        };
        writer.word(last);
        writer.word(delay);
    }

    /// Reads a compound packet of the far side: `own` is our SSRC. Returns the round trip in microseconds if it tells.
    pub(crate) fn read(&mut self, mut packet: &[u8], own: u32, now_us: u64) -> Option<u32> {
        let mut round_trip = None;
        while let Some(head) = packet.first_chunk::<4>() {
            let length = (usize::from(u16::from_be_bytes([head[2], head[3]])) + 1) * 4;
            if head[0] >> 6 != 2 || packet.len() < length {
                break;
            }
            let (this, rest) = packet.split_at(length);
            packet = rest;
            let blocks = match head[1] {
                SENDER_REPORT if this.len() >= 28 => {
                    let middle = (word(this, 8) << 16) | (word(this, 12) >> 16);
                    self.last_report = Some((middle, now_us / 1000));
                    &this[28..]
                }
                RECEIVER_REPORT if this.len() >= 8 => &this[8..],
                _ => continue,
            };
            for block in blocks.chunks_exact(24).take(usize::from(head[0] & 0x1f)) {
                if word(block, 0) == own && word(block, 16) != 0 {
                    let now = (self.ntp_us(now_us) >> 16) as u32;
                    let ticks = now.wrapping_sub(word(block, 16)).wrapping_sub(word(block, 20));
                    // Clocks that disagree make it negative, which says nothing.
                    if ticks < 1 << 31 {
                        round_trip =
                            Some((u64::from(ticks) * 1_000_000 / 65_536).min(u64::from(u32::MAX)) as u32);
                    }
                }
            }
        }
        round_trip
    }

    fn ntp(&self, now_ms: u64) -> u64 {
        self.ntp_us(now_ms * 1000)
    }

    fn ntp_us(&self, now_us: u64) -> u64 {
        let fraction = ((now_us % 1_000_000) << 32) / 1_000_000;
        self.ntp_at_zero.wrapping_add((now_us / 1_000_000) << 32).wrapping_add(fraction)
    }

    /// Half to one and a half times the mean (section 6.2), so that reports of many legs do not meet.
    fn interval(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        INTERVAL_MS / 2 + u64::from(self.random) * INTERVAL_MS / (1 << 32)
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |w| u32::from_be_bytes([w[0], w[1], w[2], w[3]]))
}

struct Writer<'a> {
    out: &'a mut [u8; REPORT_MAX],
    length: usize,
}

impl Writer<'_> {
    fn bytes(&mut self, bytes: &[u8]) {
        self.out[self.length..self.length + bytes.len()].copy_from_slice(bytes);
        self.length += bytes.len();
    }

    fn word(&mut self, word: u32) {
        self.bytes(&word.to_be_bytes());
    }

    fn begin(&mut self, kind: u8, count: u8, ssrc: u32) {
        self.bytes(&[0x80 | count, kind, 0, 0]);
        self.word(ssrc);
    }

    fn end(&mut self, start: usize) {
        let words = ((self.length - start) / 4 - 1) as u16;
        self.out[start + 2..start + 4].copy_from_slice(&words.to_be_bytes());
    }
}
