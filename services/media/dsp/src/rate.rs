//! The sample rates at which sound is decoded, mixed and encoded.

/// Sample rate of linear sound on the live path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Rate {
    /// 8 kHz: the telephone band.
    #[default]
    Narrow,
    /// 16 kHz: wideband.
    Wide,
    /// 48 kHz: full band.
    Full,
}

impl Rate {
    /// Every rate, lowest first.
    pub const ALL: [Self; 3] = [Self::Narrow, Self::Wide, Self::Full];

    /// In Hz.
    pub const fn hz(self) -> u32 {
        match self {
            Self::Narrow => 8_000,
            Self::Wide => 16_000,
            Self::Full => 48_000,
        }
    }

    /// The rate of that many Hz.
    pub const fn of_hz(hz: u32) -> Option<Self> {
        match hz {
            8_000 => Some(Self::Narrow),
            16_000 => Some(Self::Wide),
            48_000 => Some(Self::Full),
            _ => None,
        }
    }

    /// Samples in `ms` milliseconds.
    pub const fn samples(self, ms: usize) -> usize {
        self.hz() as usize / 1_000 * ms
    }
}
