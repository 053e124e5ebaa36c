//! What one side of a leg says about its media: an SDP body (RFC 8866) after parsing, and nothing of its text.

use std::net::SocketAddr;

/// Who holds the media that a description speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Holder {
    /// A phone, or one of our media nodes.
    #[default]
    Node,
    /// A third party that an application named; our media nodes see none of it.
    External,
}

/// Which way media flows, seen from the side that describes itself (RFC 3264, section 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Sends and receives.
    #[default]
    SendRecv,
    /// Sends only: the other side is on hold with music.
    SendOnly,
    /// Receives only.
    RecvOnly,
    /// Neither: on hold.
    Inactive,
}

impl Direction {
    /// Whether the describing side sends.
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the describing side wants to receive.
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The same flow seen from the other side; also the answer to it that limits nothing further.
    pub fn reversed(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            same => same,
        }
    }
}

/// An RTP encoding by its registered name (RFC 3551; RFC 4733 for telephone-event).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// G.711 mu-law, 8 kHz.
    Pcmu,
    /// G.711 A-law, 8 kHz.
    Pcma,
    /// G.722 at 64 kbit/s: 16 kHz of sound, with an RTP clock of 8 kHz by an old mistake (RFC 3551, section 4.5.2).
    G722,
    /// GSM 06.10 full rate, 8 kHz.
    Gsm,
    /// Opus (RFC 7587): always 48,000 Hz and two channels in a description, whatever is sent.
    Opus,
    /// Linear samples of 16 bits (RFC 3551, section 4.5.11), at the rate that the format gives.
    L16,
    /// Comfort noise in pauses (RFC 3389).
    ComfortNoise,
    /// DTMF digits and other events beside the audio.
    TelephoneEvent,
    /// Anything else that was offered, in upper case: kept so that it can be named, never chosen by us.
    Other(Box<str>),
}

impl Encoding {
    /// The registered name.
    pub fn name(&self) -> &str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
            Self::G722 => "G722",
            Self::Gsm => "GSM",
            Self::Opus => "opus",
            Self::L16 => "L16",
            Self::ComfortNoise => "CN",
            Self::TelephoneEvent => "telephone-event",
            Self::Other(name) => name,
        }
    }

    /// The encoding of that name; names are compared without case (RFC 8866, section 6.6).
    pub fn from_name(name: &str) -> Self {
        match name.to_ascii_uppercase().as_str() {
            "PCMU" => Self::Pcmu,
            "PCMA" => Self::Pcma,
            "G722" => Self::G722,
            "GSM" => Self::Gsm,
            "OPUS" => Self::Opus,
            "L16" => Self::L16,
            "CN" => Self::ComfortNoise,
            "TELEPHONE-EVENT" => Self::TelephoneEvent,
            other => Self::Other(other.into()),
        }
    }

    /// Whether this carries sound (and can therefore be all that a call needs).
    pub fn is_audio(&self) -> bool {
        !matches!(self, Self::TelephoneEvent | Self::ComfortNoise)
    }
}

/// One line of the format list of a media description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    /// RTP payload type, 0 to 127, in the numbering of the describing side.
    pub payload_type: u8,
    /// What it carries.
    pub encoding: Encoding,
    /// RTP clock rate in Hz.
    pub clock_rate_hz: u32,
    /// Audio channels, at least 1.
    pub channels: u8,
    /// The `a=fmtp` parameters, unparsed.
    pub parameters: Option<Box<str>>,
}

impl Format {
    /// A single-channel format without parameters.
    pub fn new(payload_type: u8, encoding: Encoding, clock_rate_hz: u32) -> Self {
        Self { payload_type, encoding, clock_rate_hz, channels: 1, parameters: None }
    }

    /// Whether two formats carry the same thing, whatever payload types the two sides gave it.
    pub fn same_media(&self, other: &Self) -> bool {
        self.encoding == other.encoding
            && self.clock_rate_hz == other.clock_rate_hz
            && self.channels == other.channels
    }
}

/// One side's description of the one audio stream of a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaDescription {
    /// Who holds the media.
    pub holder: Holder,
    /// Where the describing side wants RTP. Port 0 means that it refuses the stream (RFC 3264, section 6);
    /// an unspecified address means that it is on hold the old way (RFC 2543 `c=0.0.0.0`).
    pub rtp: SocketAddr,
    /// Where it wants RTCP, when not on the RTP port plus one (RFC 3605).
    pub rtcp: Option<SocketAddr>,
    /// Whether RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// What it can receive, best first.
    pub formats: Vec<Format>,
    /// Which way it wants media to flow.
    pub direction: Direction,
    /// Packet time it prefers to receive, in ms.
    pub ptime_ms: u8,
    /// SRTP is a must (RTP/SAVP, RFC 3711); without, keys are an offer to use it (RFC 8643).
    pub secured: bool,
    /// Keys for SRTP in the order of preference; one in an answer (RFC 4568).
    pub crypto: Vec<Crypto>,
    /// Keys are agreed by DTLS in the path of the media (RFC 5763).
    pub dtls: Option<Box<Dtls>>,
    /// Addresses are proved by ICE (RFC 8445).
    pub ice: Option<Box<Ice>>,
    /// It asks to be told how what it sends is heard: VoIP metrics in RTCP XR (RFC 3611, section 5.1).
    pub wants_voip_metrics: bool,
}

/// DTLS-SRTP as one side describes it (RFC 5763, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dtls {
    /// Of the certificate that the side shows in the handshake.
    pub fingerprints: Vec<Fingerprint>,
    /// Who begins the handshake.
    pub setup: Setup,
}

/// One `a=fingerprint` line (RFC 8122, section 5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fingerprint {
    /// The hash function's name, in lower case.
    pub hash: Box<str>,
    /// The hash of the certificate in DER.
    pub value: Box<[u8]>,
}

/// Who begins the handshake, as `a=setup` says it (RFC 4145, section 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Setup {
    /// Either will do: offers only.
    #[default]
    Actpass,
    /// The describing side.
    Active,
    /// The other side.
    Passive,
}

/// ICE as one side describes it (RFC 8839, section 5.4). Its password is never shown, and belongs into no event and no store.
#[derive(Clone, PartialEq, Eq)]
pub struct Ice {
    /// Names the side in checks, 4 to 256 characters.
    pub ufrag: Box<str>,
    /// Proves a check of the other side, 22 to 256 characters.
    pub pwd: Box<str>,
    /// The side only answers checks (RFC 8445, section 2.5).
    pub lite: bool,
}

impl std::fmt::Debug for Ice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ice").field("ufrag", &self.ufrag).field("lite", &self.lite).finish_non_exhaustive()
    }
}

/// One `a=crypto` line (RFC 4568, section 9.1). Its key is never shown, and belongs into no event and no store.
#[derive(Clone, PartialEq, Eq)]
pub struct Crypto {
    /// Names the line; an answer repeats the offer's.
    pub tag: u32,
    /// The crypto suite's name.
    pub suite: Box<str>,
    /// What follows `inline:`.
    pub inline: Box<str>,
    /// Session parameters, unparsed; empty when there are none.
    pub parameters: Box<str>,
}

impl std::fmt::Debug for Crypto {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crypto").field("tag", &self.tag).field("suite", &self.suite).finish_non_exhaustive()
    }
}

impl MediaDescription {
    /// The format list's first entry that carries sound.
    pub fn first_audio(&self) -> Option<&Format> {
        self.formats.iter().find(|f| f.encoding.is_audio())
    }
}

/// Something that can be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A prompt of the media nodes, by its name without an ending.
    Prompt(Box<str>),
    /// A file that the media node fetches, within its limits.
    Url(Box<str>),
}

/// How what is played is heard beside everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Manner {
    /// Instead of everything else.
    #[default]
    Instead,
    /// Added to what is heard besides, which is turned down while it sounds.
    Over(Beside),
    /// Added beneath what is heard besides: it is turned down while somebody speaks.
    Under(Beside),
}

/// The levels of what is played beside something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    duck_mdb: Option<i32>,
    gain_mdb: i32,
}

impl Beside {
    /// By how much the one that gives way is turned down, -72000 to 0 thousandths of a decibel (none leaves it to the node), and
    /// how loud it is played, -72000 to 18000; none where one of them is outside.
    pub fn new(duck_mdb: Option<i32>, gain_mdb: i32) -> Option<Self> {
        let ducks = duck_mdb.is_none_or(|duck| (MDB_MIN..=0).contains(&duck));
        (ducks && (MDB_MIN..=GAIN_MDB_MAX).contains(&gain_mdb)).then_some(Self { duck_mdb, gain_mdb })
    }

    /// By how much the one that gives way is turned down, in thousandths of a decibel; none is what the node thinks best.
    pub fn duck_mdb(self) -> Option<i32> {
        self.duck_mdb
    }

    /// How loud it is played, in thousandths of a decibel.
    pub fn gain_mdb(self) -> i32 {
        self.gain_mdb
    }
}

/// What of whoever hears a playback ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BargeIn {
    /// Nothing.
    #[default]
    None,
    /// A key.
    Key,
    /// Speech.
    Voice,
    /// Either.
    Any,
}

impl BargeIn {
    /// Whether a key ends it.
    pub fn by_key(self) -> bool {
        matches!(self, Self::Key | Self::Any)
    }

    /// Whether speech ends it.
    pub fn by_voice(self) -> bool {
        matches!(self, Self::Voice | Self::Any)
    }
}

/// Where a playback begins, what lies between its parts, and what ends it before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayOptions {
    /// Where the first round begins, in ms.
    pub start_ms: u32,
    /// Silence between two sources and two rounds, in ms, at most [`PAUSE_MS_MAX`].
    pub pause_ms: u32,
    /// What of whoever hears it ends it.
    pub barge_in: BargeIn,
}

/// A change of a playback that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlaySteer {
    /// Silence from now on.
    Pause,
    /// Go on where it was paused.
    Resume,
    /// Go to another place of the present round.
    Seek {
        /// From its beginning, in ms.
        to_ms: u64,
    },
}

/// The longest silence between two sources of a playback, in ms.
pub const PAUSE_MS_MAX: u32 = 60_000;
/// Silence, in thousandths of a decibel.
pub const MDB_MIN: i32 = -72_000;
/// The most by which anything is made louder, in thousandths of a decibel.
pub const GAIN_MDB_MAX: i32 = 18_000;

/// What a recording's file is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FileFormat {
    /// PCM of 16 bits.
    #[default]
    Wav,
    /// MPEG-1 layer III.
    Mp3,
    /// Opus in Ogg (RFC 7845).
    OggOpus,
    /// FLAC (RFC 9639).
    Flac,
    /// Linear PCM of 16 bits, little-endian, without a container. For streams alone.
    L16,
    /// G.711 mu-law, without a container. For streams alone.
    Pcmu,
}

/// How the legs of a recording are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Layout {
    /// Everybody in one channel.
    #[default]
    Mono,
    /// The first leg left, everybody else right.
    Stereo,
    /// A file for every leg.
    TrackPerLeg,
}
