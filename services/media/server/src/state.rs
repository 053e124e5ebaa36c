//! A leg as one plain value: what has to be known to go on with it elsewhere.

use sidetone_dsp::Gain;
use sidetone_rtp_core::srtp::Suite;
use sidetone_rtp_core::{ReceiverStats, SenderState, VoipMetrics};

use crate::negotiate::Agreement;
use crate::policy::Policy;

/// The layout of [`LegState`] that this release writes.
pub const LEG_STATE_VERSION: u32 = 5;

/// Everything that makes a leg, apart from its sockets and what is on its way: a live leg is built from it, and a live
/// leg can tell it. Times are in ms on the node's monotonic clock.
#[derive(Debug, Clone, PartialEq)]
pub struct LegState {
    /// [`LEG_STATE_VERSION`] of who wrote it.
    pub version: u32,
    /// The leg, by its id as a number.
    pub leg: u128,
    /// From where RTP is accepted, and where it goes.
    pub policy: Policy,
    /// RTCP shares the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// Where RTCP goes if not to the RTP port plus one.
    pub rtcp: Option<std::net::SocketAddr>,
    /// What was agreed; none until the far side has answered.
    pub agreement: Option<Agreement>,
    /// The stream that we send.
    pub outgoing: SenderState,
    /// The stream that we receive.
    pub incoming: Incoming,
    /// What RTP is protected with; none where it is plain.
    pub suite: Option<Suite>,
    /// Who hears it, how loud, and whether it hears.
    pub audio: Audio,
    /// Its place in a recording.
    pub tap: Option<Tap>,
    /// When it was created or last refreshed.
    pub refreshed_ms: u64,
    /// When RTP was last accepted; none when none came yet.
    pub heard_ms: Option<u64>,
}

/// What is set for the sound of a leg, wherever it is connected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Audio {
    /// Others hear silence instead of it.
    pub muted: bool,
    /// It hears silence.
    pub deafened: bool,
    /// How loud it is to others.
    pub gain: Gain,
    /// Its part in a conversation.
    pub role: Role,
    /// Who speaks quietly is raised, and who is loud turned down.
    pub automatic_gain: bool,
    /// What is no speech is taken away.
    pub suppress_noise: bool,
}

/// A leg's part in a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Role {
    /// Heard by everybody.
    #[default]
    Speaker,
    /// Hears, and is not heard.
    Listener,
    /// Hears everybody, and is heard by one leg alone.
    Coach {
        /// That leg, by its id as a number.
        heard_by: u128,
    },
    /// Hears, is not heard, and is never told of as a speaker.
    Monitor,
}

impl Audio {
    /// Nobody at all hears the leg.
    pub(crate) fn is_silent(&self) -> bool {
        self.muted || matches!(self.role, Role::Listener | Role::Monitor)
    }

    /// Its sound is changed, so that it has to be decoded wherever it goes.
    pub(crate) fn is_conditioned(&self) -> bool {
        self.automatic_gain || self.suppress_noise
    }

    /// How loud the leg is to the one other leg it is bridged to.
    pub(crate) fn gain_towards(&self, hearer: u128, deafened: bool) -> Gain {
        let unheard = matches!(self.role, Role::Coach { heard_by } if heard_by != hearer);
        if deafened || unheard || self.is_silent() { Gain::SILENCE } else { self.gain }
    }
}

/// The stream that we receive, and what is counted of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Incoming {
    /// What RTCP reports of it.
    pub stats: ReceiverStats,
    /// Refused by the policy.
    pub refused: u64,
    /// Came too late to be heard in whole.
    pub late: u64,
    /// Round trip in microseconds; 0 when unknown.
    pub round_trip_us: u32,
    /// The payload type that came last.
    pub payload_type: u8,
    /// How the far side hears us, as it reports (RFC 3611); none when it does not.
    pub far: Option<VoipMetrics>,
}

/// A place in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tap {
    /// The recording, by its number in this process.
    pub recording: u32,
    /// 0 is left (or mono), 1 is right.
    pub channel: u8,
    /// When the recording began, in ms.
    pub began_ms: u64,
    /// What the source's timestamps are off the recording's sample positions; none before the first packet.
    pub anchor: Option<(u32, u32, u64)>,
}
