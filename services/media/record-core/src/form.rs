//! What the sound of a file is: how many voices apart, and how many samples a second.

use sidetone_dsp::Rate;

/// The sound of a recording or stream. All files of a recording have one, from its beginning to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Form {
    /// 1, or 2 with one party a side.
    pub channels: u16,
    /// 8, 16 or 48 kHz.
    pub rate: Rate,
}

impl Form {
    /// So many channels at a rate.
    pub const fn new(channels: u16, rate: Rate) -> Self {
        Self { channels, rate }
    }

    /// Samples of one channel in so many ms.
    pub const fn samples(self, ms: u64) -> u64 {
        ms * (self.rate.hz() / 1000) as u64
    }

    /// How long so many samples of one channel are, in whole ms.
    pub const fn ms(self, samples: u64) -> u64 {
        samples / (self.rate.hz() / 1000) as u64
    }

    /// Channels as a length.
    pub(crate) const fn width(self) -> usize {
        if self.channels == 0 { 1 } else { self.channels as usize }
    }
}
