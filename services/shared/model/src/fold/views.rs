//! What a fold holds.

use crate::ids::{BootId, CallId, ConferenceId, LegId, NodeId, RecordingId, ReplicaId, RoomId, TenantId};
use crate::media::Direction;
use crate::party::{Destination, Party};
use crate::termination::Termination;
use crate::time::Timestamp;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallView {
    /// Its id.
    pub call: CallId,
    /// Whose.
    pub tenant: TenantId,
    /// Who began it.
    pub from: Party,
    /// The number that was called.
    pub dialled: Box<str>,
    /// Where that led.
    pub destination: Option<Destination>,
    /// Made through the API.
    pub by_application: bool,
    /// When it began.
    pub created_at: Timestamp,
    /// When its first leg was answered.
    pub answered_at: Option<Timestamp>,
    /// When and why it ended.
    pub ended: Option<(Timestamp, Termination)>,
    /// All its legs, in the order in which they joined.
    pub legs: Vec<LegId>,
    /// All its recordings.
    pub recordings: Vec<RecordingId>,
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegPhase {
    /// It exists; nobody is alerted yet.
    SettingUp,
    /// An application may decide what becomes of it.
    Waiting,
    /// The far end is being alerted.
    Ringing,
    /// Answered.
    Answered,
    /// Over.
    Ended,
}

/// One leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegView {
    /// Its id.
    pub leg: LegId,
    /// Its call.
    pub call: CallId,
    /// Whose.
    pub tenant: TenantId,
    /// Who is at the far end.
    pub party: Party,
    /// A phone called us.
    pub incoming: bool,
    /// The signalling replica that holds it.
    pub replica: ReplicaId,
    /// That replica's life, where known.
    pub boot: Option<BootId>,
    /// Its SIP Call-ID, where known.
    pub sip_call_id: Box<str>,
    /// The media node that holds its media, and that node's life.
    pub node: Option<(NodeId, BootId)>,
    /// How far it is.
    pub phase: LegPhase,
    /// How the far end describes the direction of its media.
    pub direction: Direction,
    /// The leg it is bridged with.
    pub peer: Option<LegId>,
    /// The meeting it is in.
    pub conference: Option<ConferenceId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When and why it ended.
    pub ended: Option<(Timestamp, Termination)>,
}

impl LegView {
    /// Whether it has not ended.
    pub fn is_live(&self) -> bool {
        self.phase != LegPhase::Ended
    }

    /// Whether it was answered and has not ended.
    pub fn is_answered(&self) -> bool {
        self.phase == LegPhase::Answered
    }
}

/// One meeting.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConferenceView {
    /// Its id, which is also the mix's on the media node.
    pub conference: ConferenceId,
    /// Whose.
    pub tenant: TenantId,
    /// The room.
    pub room: RoomId,
    /// The media node that mixes it.
    pub node: NodeId,
    /// When the first came in.
    pub started_at: Timestamp,
    /// Who is in it, in the order in which they came.
    pub participants: Vec<LegId>,
}

/// How far a recording is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingPhase {
    /// It runs.
    Running,
    /// It is complete.
    Finished {
        /// Relative to the node's recording folder.
        file: Box<str>,
        /// Milliseconds of sound.
        duration_ms: u64,
        /// Bytes.
        size_bytes: u64,
    },
    /// It could not be completed.
    Failed(Termination),
}

/// One recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordingView {
    /// Its id.
    pub recording: RecordingId,
    /// What it records; for a room, the call of whoever was in it first.
    pub call: CallId,
    /// Whose.
    pub tenant: TenantId,
    /// Where.
    pub node: NodeId,
    /// Two channels.
    pub stereo: bool,
    /// How far it is.
    pub phase: RecordingPhase,
}
