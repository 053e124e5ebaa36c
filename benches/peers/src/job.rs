//! What is measured.

use std::fmt;
use std::str::FromStr;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    /// Pairs of PCMU legs.
    Relay,
    /// Pairs of a PCMU and a PCMA leg.
    MuLawToALaw,
    /// Rooms of three PCMU legs, all of whom speak.
    RoomsOf3,
    /// All legs in one PCMU room, of whom four speak.
    Room,
}

const ALL: [Job; 4] = [Job::Relay, Job::MuLawToALaw, Job::RoomsOf3, Job::Room];

impl Job {
    /// How many legs keep a peer well below a whole processor, so that queues do not blur the comparison.
    pub(crate) fn legs(self) -> usize {
        match self {
            Self::Relay | Self::MuLawToALaw => 800,
            Self::RoomsOf3 => 180,
            Self::Room => 400,
        }
    }

    /// The legs that hear each other are numbered one after the other, so many at a time.
    pub(crate) fn group(self, legs: usize) -> usize {
        match self {
            Self::Relay | Self::MuLawToALaw => 2,
            Self::RoomsOf3 => 3,
            Self::Room => legs,
        }
    }

    /// Whether a leg speaks A-law.
    pub(crate) fn is_a_law(self, leg: usize) -> bool {
        self == Self::MuLawToALaw && leg % 2 == 1
    }

    /// Whether a leg speaks; the others send silence.
    pub(crate) fn speaks(self, leg: usize) -> bool {
        self != Self::Room || leg < SPEAKERS
    }

    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::MuLawToALaw => "mu-law-to-a-law",
            Self::RoomsOf3 => "rooms-of-3",
            Self::Room => "room",
        }
    }
}

/// How many speak at once in one large room.
const SPEAKERS: usize = 4;

impl fmt::Display for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Job {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = ALL.into_iter().find(|job| job.name() == text);
        found.ok_or_else(|| format!("no job {text}; there are {}", ALL.map(Job::name).join(", ")))
    }
}
