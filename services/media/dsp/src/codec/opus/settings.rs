//! What an Opus encoder is told.

/// How to encode. Values outside their range are brought into it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpusSettings {
    /// Bits per second, 6,000 to 128,000.
    pub bitrate_bps: u32,
    /// 0 (cheapest) to 10.
    pub complexity: u8,
    /// In-band forward error correction (RFC 6716, section 2.1.7).
    pub fec: bool,
    /// Loss that the encoder shall prepare for, in percent, 0 to 100; without some, FEC costs nothing and gives nothing.
    pub loss_percent: u8,
}

impl OpusSettings {
    /// The same within the ranges.
    pub fn in_range(self) -> Self {
        Self {
            bitrate_bps: self.bitrate_bps.clamp(6_000, 128_000),
            complexity: self.complexity.min(10),
            fec: self.fec,
            loss_percent: self.loss_percent.min(100),
        }
    }
}

impl Default for OpusSettings {
    /// 24 kbit/s at complexity 5 with error correction against 5 % of loss.
    fn default() -> Self {
        Self { bitrate_bps: 24_000, complexity: 5, fec: true, loss_percent: 5 }
    }
}
