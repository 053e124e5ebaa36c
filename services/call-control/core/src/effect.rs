//! What a shard wants done once its record is in the log.

use sidetone_model::fact::FactRecord;
use sidetone_model::ids::{CallId, ConferenceId, LegId, NodeId, RecordingId, ReplicaId, TenantId};
use sidetone_model::media::MediaDescription;
use std::net::IpAddr;

/// The outcome of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// To be appended. Empty when nothing durable happened.
    pub record: FactRecord,
    /// To be carried out after that.
    pub effects: Vec<Effect>,
}

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a media node; hand the answer to [`crate::Shard::handle_media`].
    Media {
        /// The node.
        node: NodeId,
        /// What.
        request: MediaRequest,
    },
    /// Tell a replica that a leg of its is not known here.
    Release {
        /// The replica.
        replica: ReplicaId,
        /// The leg.
        leg: LegId,
    },
    /// Commands that this replica has not acknowledged are to be sent again.
    Resend {
        /// The replica.
        replica: ReplicaId,
        /// They stand in the log already.
        commands: Vec<sidetone_model::command::LegCommand>,
    },
}

/// What a leg is to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connection {
    /// Silence.
    Nothing,
    /// Another leg, both ways.
    Peer(LegId),
    /// Everybody in a meeting.
    Mix(ConferenceId),
    /// Itself.
    Echo,
}

/// A request to a media node. Repeating one is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRequest {
    /// Take a port.
    CreateLeg {
        /// The leg.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// Whose.
        tenant: TenantId,
        /// The far side's offer; none when we offer.
        remote: Option<MediaDescription>,
        /// Where the phone's signalling comes from, for the receive policy.
        signalling_ip: Option<IpAddr>,
    },
    /// The far side's new description.
    UpdateLeg {
        /// The leg.
        leg: LegId,
        /// The description.
        remote: MediaDescription,
        /// It answers our offer.
        is_answer: bool,
    },
    /// Change what a leg hears.
    ConnectLeg {
        /// The leg.
        leg: LegId,
        /// To what.
        to: Connection,
    },
    /// Free a leg.
    ReleaseLeg {
        /// The leg.
        leg: LegId,
    },
    /// Play a prompt to a leg. The leg's id is also the playback's.
    Play {
        /// The leg.
        leg: LegId,
        /// The prompt's name.
        prompt: Box<str>,
        /// How often; 0 is for ever.
        repeat: u32,
    },
    /// Record legs; repeated with more legs, it takes those in too.
    StartRecording {
        /// The recording.
        recording: RecordingId,
        /// Whose.
        tenant: TenantId,
        /// The call.
        call: CallId,
        /// The legs, the left channel's first.
        legs: Vec<LegId>,
        /// Two channels.
        stereo: bool,
    },
    /// End a recording.
    StopRecording {
        /// The recording.
        recording: RecordingId,
    },
    /// The end of a recording is in the log.
    AckRecording {
        /// The recording.
        recording: RecordingId,
    },
}

impl MediaRequest {
    /// The leg that this is about, if it is about one.
    pub fn leg(&self) -> Option<LegId> {
        match self {
            Self::CreateLeg { leg, .. }
            | Self::UpdateLeg { leg, .. }
            | Self::ConnectLeg { leg, .. }
            | Self::ReleaseLeg { leg }
            | Self::Play { leg, .. } => Some(*leg),
            Self::StartRecording { .. } | Self::StopRecording { .. } | Self::AckRecording { .. } => None,
        }
    }
}
