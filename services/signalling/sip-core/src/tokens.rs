//! Tags, branches and Call-IDs (RFC 3261 sections 8.1.1.4, 8.1.1.7 and 19.3) from a seeded source.

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Makes the random words of SIP. A shell seeds it from the system once; a test with a constant.
#[derive(Debug)]
pub struct Tokens {
    rng: StdRng,
}

impl Tokens {
    /// A source that repeats itself for the same seed.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self { rng: StdRng::from_seed(seed) }
    }

    /// A tag of 64 random bits (section 19.3 asks for at least 32).
    pub fn tag(&mut self) -> String {
        format!("{:016x}", self.rng.random::<u64>())
    }

    /// A branch with the magic cookie of section 8.1.1.7.
    pub fn branch(&mut self) -> String {
        format!("z9hG4bK{:032x}", self.rng.random::<u128>())
    }

    /// A Call-ID; it names no host, which would tell the network's layout.
    pub fn call_id(&mut self) -> String {
        format!("{:032x}", self.rng.random::<u128>())
    }

    /// An SDP session id: it must fit a signed 64-bit number for some phones.
    pub fn session_id(&mut self) -> u64 {
        self.rng.random::<u64>() >> 2
    }

    /// A number below `bound` (at least 1).
    pub fn below(&mut self, bound: u32) -> u32 {
        self.rng.random_range(0..bound.max(1))
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }
}
