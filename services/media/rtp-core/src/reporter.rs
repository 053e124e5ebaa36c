//! RTCP of one leg: when reports go, what they say, and what those of the far side tell (RFC 3550, section 6).

use crate::packet::Ssrc;
use crate::report::{ReceiverStats, round_trip_us};
use crate::rtcp::{self, Incoming, MAX_COMPOUND, Outgoing};
use crate::sender::SenderState;
use crate::xr::VoipMetrics;

/// The reports of one leg, as a plain value. Times are those of the steady clock whose zero was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reporter {
    /// When the next one goes, in ms.
    next_ms: u64,
    /// State of a small generator (xorshift) that spreads reports in time.
    random: u32,
    /// NTP time, in 1/2^32 s, at zero of the clock.
    ntp_at_zero: u64,
    name: [u8; NAME],
}

/// What a report of the far side tells of the stream that we send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The round trip in microseconds.
    pub round_trip_us: Option<u32>,
    /// How it is heard over there.
    pub metrics: Option<VoipMetrics>,
    /// How much of it was lost since the report before, in 1/256.
    pub fraction_lost: Option<u8>,
    /// All of it was understood.
    pub is_sound: bool,
}

impl Reporter {
    /// `unix_us_at_zero` is the wall clock at zero of the steady clock; `random` any number.
    pub fn new(unix_us_at_zero: u64, random: u128, now_ms: u64) -> Self {
        let mut name = [0; NAME];
        for (n, letter) in name.iter_mut().enumerate() {
            *letter = b"abcdefghijklmnopqrstuvwxyz234567"[(random >> (n * 5)) as usize % 32];
        }
        let seconds = unix_us_at_zero / 1_000_000 + NTP_OFFSET_S;
        let fraction = ((unix_us_at_zero % 1_000_000) << 32) / 1_000_000;
        let mut reporter = Self {
            next_ms: 0,
            random: (random >> 96) as u32 | 1,
            ntp_at_zero: seconds << 32 | fraction,
            name,
        };
        // The first one goes after half the time (section 6.2).
        reporter.next_ms = now_ms + reporter.interval() / 2;
        reporter
    }

    /// The canonical name, by which the far side knows the leg (RFC 7022).
    pub fn name(&self) -> &str {
        std::str::from_utf8(&self.name).unwrap_or_default()
    }

    /// Goes on under the name that the leg had elsewhere; one of another form changes nothing.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        if let Ok(bytes) = name.as_bytes().try_into()
            && name.bytes().all(|byte| byte.is_ascii_graphic())
        {
            self.name = bytes;
        }
        self
    }

    /// Whether a report is to be sent.
    pub fn is_due(&self, now_ms: u64) -> bool {
        now_ms >= self.next_ms
    }

    /// Writes the compound packet that is due, with a goodbye if we leave; its length.
    pub fn write(
        &mut self,
        sender: &SenderState,
        received: &mut ReceiverStats,
        metrics: Option<VoipMetrics>,
        now_ms: u64,
        bye: bool,
        out: &mut [u8; MAX_COMPOUND],
    ) -> usize {
        self.next_ms = now_ms + self.interval();
        let sends = sender.packets > 0 && now_ms.saturating_sub(sender.at_ms) < 2 * INTERVAL_MS;
        let compound = Outgoing {
            ssrc: sender.ssrc,
            sender: sends.then(|| sender.info(self.ntp(now_ms * 1000), now_ms)),
            report: received.report(now_ms),
            metrics,
            cname: std::str::from_utf8(&self.name).unwrap_or_default(),
            bye,
        };
        // A name of this length always finds room.
        compound.write(out).unwrap_or(0)
    }

    /// Reads a compound packet of the far side: `own` is our source. What is no RTCP is passed over.
    pub fn read(&self, packet: &[u8], own: Ssrc, received: &mut ReceiverStats, now_us: u64) -> Told {
        let mut told = Told::default();
        let ntp = self.ntp(now_us);
        let statement = |statement| match statement {
            Incoming::SenderReport { ssrc, info } => {
                received.on_sender_report(ssrc, info.ntp, now_us / 1000);
            }
            Incoming::Report(block) if block.ssrc == own => {
                told.round_trip_us = round_trip_us(&block, ntp).or(told.round_trip_us);
                told.fraction_lost = Some(block.fraction_lost);
            }
            Incoming::Metrics(metrics) if metrics.ssrc == own => told.metrics = Some(metrics),
            Incoming::Report(_) | Incoming::Metrics(_) | Incoming::Bye(_) => {}
        };
        // Statements before a fault count; the rest says nothing.
        let is_sound = rtcp::read(packet, statement).is_ok();
        Told { is_sound, ..told }
    }

    fn ntp(&self, now_us: u64) -> u64 {
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

/// Mean time between two reports, in ms (RFC 3550, section 6.2).
const INTERVAL_MS: u64 = 5000;
/// Seconds from the NTP epoch to the Unix epoch.
const NTP_OFFSET_S: u64 = 2_208_988_800;
/// Length of a canonical name: random, as RFC 7022 asks for, and the same for the whole leg.
const NAME: usize = 16;
