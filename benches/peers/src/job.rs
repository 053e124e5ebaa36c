//! What is measured.

use std::fmt;
use std::str::FromStr;

use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;

/// One kind of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Job {
    /// Pairs of PCMU legs.
    Relay,
    /// The same, of phones that send digits as tones: Sidetone alone searches their sound for them.
    RelayInBand,
    /// Pairs of a PCMU and a PCMA leg.
    MuLawToALaw,
    /// Pairs of a PCMU leg under SRTP (AES_CM_128_HMAC_SHA1_80, keys by SDES) and one without.
    SrtpToRtp,
    /// Pairs of an Opus leg and a PCMU leg.
    OpusToMuLaw,
    /// Rooms of three PCMU legs, all of whom speak.
    RoomsOf3,
    /// All legs in one PCMU room, of whom four speak.
    Room,
    /// Rooms of three Opus legs at 16 kHz, all of whom speak.
    OpusRoomsOf3,
    /// All legs in one Opus room at 16 kHz, of whom four speak; the others send noise of -60 dBFS without DTX.
    OpusRoom,
    /// Pairs of which one speaks, bridged or each in a room of their own: not measured but heard.
    #[serde(skip)]
    Speech {
        /// What the one speaks.
        from: Codec,
        /// What the other does.
        to: Codec,
        /// Whether they are in a room.
        room: bool,
    },
}

const ALL: [Job; 9] = [
    Job::Relay,
    Job::RelayInBand,
    Job::MuLawToALaw,
    Job::SrtpToRtp,
    Job::OpusToMuLaw,
    Job::RoomsOf3,
    Job::Room,
    Job::OpusRoomsOf3,
    Job::OpusRoom,
];

impl Job {
    /// How many legs keep a peer well below a whole processor, so that queues do not blur the comparison.
    pub(crate) fn legs(self) -> usize {
        match self {
            Self::Relay | Self::RelayInBand | Self::SrtpToRtp => 800,
            Self::MuLawToALaw => 500,
            Self::OpusToMuLaw => 80,
            Self::RoomsOf3 => 180,
            Self::Room => 300,
            Self::OpusRoomsOf3 => 60,
            Self::OpusRoom => 80,
            Self::Speech { .. } => 2,
        }
    }

    /// The legs that hear each other are numbered one after the other, so many at a time.
    pub(crate) fn group(self, legs: usize) -> usize {
        match self {
            Self::Relay | Self::RelayInBand | Self::MuLawToALaw | Self::SrtpToRtp | Self::OpusToMuLaw => 2,
            Self::Speech { .. } => 2,
            Self::RoomsOf3 | Self::OpusRoomsOf3 => 3,
            Self::Room | Self::OpusRoom => legs,
        }
    }

    /// What a leg speaks.
    pub(crate) fn codec(self, leg: usize) -> Codec {
        match self {
            Self::Speech { from, to, .. } => {
                if leg.is_multiple_of(2) {
                    from
                } else {
                    to
                }
            }
            Self::MuLawToALaw if leg % 2 == 1 => Codec::G711(Law::A),
            Self::OpusToMuLaw if leg.is_multiple_of(2) => Codec::Opus,
            Self::OpusRoomsOf3 | Self::OpusRoom => Codec::Opus,
            _ => Codec::G711(Law::Mu),
        }
    }

    /// Whether the legs of a group are in a room, and not bridged.
    pub(crate) fn is_room(self) -> bool {
        match self {
            Self::Relay | Self::RelayInBand | Self::MuLawToALaw | Self::SrtpToRtp | Self::OpusToMuLaw => {
                false
            }
            Self::RoomsOf3 | Self::Room | Self::OpusRoomsOf3 | Self::OpusRoom => true,
            Self::Speech { room, .. } => room,
        }
    }

    /// Whether a leg's RTP is under SRTP.
    pub(crate) fn is_secured(self, leg: usize) -> bool {
        self == Self::SrtpToRtp && leg.is_multiple_of(2)
    }

    /// Whether a leg speaks; the others send silence, or noise that is next to silence.
    pub(crate) fn speaks(self, leg: usize) -> bool {
        !matches!(self, Self::Room | Self::OpusRoom) || leg < SPEAKERS
    }

    /// How many of each group say something in turn when delays are measured: of a pair only the first, whose codec comes first
    /// in the job's name.
    pub(crate) fn take_turns(self) -> usize {
        match self {
            Self::Room | Self::OpusRoom => SPEAKERS,
            Self::RoomsOf3 | Self::OpusRoomsOf3 => 3,
            _ => 1,
        }
    }

    /// Whether the legs agree to telephone events (RFC 4733), as nearly all phones do.
    pub(crate) fn has_events(self) -> bool {
        self != Self::RelayInBand
    }

    /// How hard an Opus encoder tries, 0 to 10, at every peer: what the peer that is measured against does by default and cannot
    /// be told otherwise (rtpengine), or does by default (Janus).
    pub(crate) fn opus_complexity(self) -> u8 {
        if self == Self::OpusToMuLaw { 10 } else { 4 }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Relay => "relay",
            Self::RelayInBand => "relay-in-band",
            Self::MuLawToALaw => "mu-law-to-a-law",
            Self::SrtpToRtp => "srtp-to-rtp",
            Self::OpusToMuLaw => "opus-to-mu-law",
            Self::RoomsOf3 => "rooms-of-3",
            Self::Room => "room",
            Self::OpusRoomsOf3 => "opus-rooms-of-3",
            Self::OpusRoom => "opus-room",
            Self::Speech { .. } => "speech",
        }
    }
}

/// What an Opus encoder of any peer may spend, in bit/s.
pub(crate) const OPUS_BITRATE_BPS: u32 = 24_000;
/// The RTP payload type of Opus.
pub(crate) const OPUS_PAYLOAD_TYPE: u8 = 111;
/// The RTP payload type of telephone events.
pub(crate) const EVENT_PAYLOAD_TYPE: u8 = 101;
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
