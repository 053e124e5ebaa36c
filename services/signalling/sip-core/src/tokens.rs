//! Tags, branches and Call-IDs (RFC 3261 sections 8.1.1.4, 8.1.1.7 and 19.3) from a seeded source.

use rand::{RngExt, SeedableRng, rngs::StdRng};

/// Makes the random words of SIP. A shell seeds it from the system once; a test with a constant.
#[derive(Debug)]
pub struct Tokens {
    rng: StdRng,
    /// Stands at the end of every tag.
    mark: Box<str>,
}

impl Tokens {
    /// A source that repeats itself for the same seed.
    pub fn seeded(seed: [u8; 32]) -> Self {
        Self { rng: StdRng::from_seed(seed), mark: "".into() }
    }

    /// The same source, with a word at the end of every tag that tells its maker; letters and digits only.
    #[must_use]
    pub fn marked(self, mark: &str) -> Self {
        Self { mark: mark.into(), ..self }
    }

    /// A tag of 56 random bits (section 19.3 asks for at least 32), and the mark. It is short, since a challenge that is larger than
    /// the request may not be sent at once.
    pub fn tag(&mut self) -> String {
        let mut tag = String::with_capacity(TAG_CHARS + self.mark.len());
        for _ in 0..TAG_CHARS {
            tag.push(char::from(ALPHABET[self.rng.random_range(0..ALPHABET.len())]));
        }
        tag + &self.mark
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

/// Parameters are compared without regard to case by some (section 7.3.1), so each letter is there once.
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
/// 11 of 36 are 56.8 bits.
const TAG_CHARS: usize = 11;
