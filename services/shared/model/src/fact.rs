//! What has happened, for ever: the log of a shard.
//!
//! One command's or signal's facts are one record. A record is appended with the number of the last one it has
//! seen, so that two writers can never both succeed.

use crate::command::LegCommand;
use crate::ids::{BootId, CallId, ConferenceId, LegId, NodeId, RecordingId, ReplicaId, RoomId, TenantId};
use crate::media::Direction;
use crate::party::{Destination, Party};
use crate::termination::Termination;
use crate::time::Timestamp;

/// One entry of a shard's log: the facts of one step, and what makes the step repeatable after a crash.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FactRecord {
    /// What happened, in order.
    pub facts: Vec<Fact>,
    /// Signals whose consequences these are, one per leg: up to and including `n`.
    pub consumed: Vec<SignalCursor>,
    /// Commands to signalling that follow from them. They are sent after the append, and sent again until
    /// acknowledged.
    pub commands: Vec<LegCommand>,
    /// The API command that was carried out, if it was one.
    pub completed: Option<CompletedCommand>,
}

/// The last signal of a leg that has been taken into account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SignalCursor {
    /// The replica's life in which the leg lives.
    pub boot: BootId,
    /// The leg.
    pub leg: LegId,
    /// The signal's number.
    pub n: u64,
}

/// The remembered outcome of an API command, so that a repeated one is answered alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompletedCommand {
    /// Whose command it was.
    pub tenant: TenantId,
    /// When it was carried out.
    pub at: Timestamp,
    /// The client's idempotency key.
    pub key: Box<str>,
    /// A digest of the command's body (SHA-256 of its protocol-buffer form).
    pub fingerprint: [u8; 32],
    /// What it made, for the answer.
    pub subject: CommandSubject,
}

/// What an API command made or acted upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandSubject {
    /// A call.
    Call(CallId),
    /// A leg.
    Leg(LegId),
    /// A recording.
    Recording(RecordingId),
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// Whose.
    pub tenant: TenantId,
    /// When, on the owner's clock; never before the fact that precedes it in the shard.
    pub at: Timestamp,
    /// What.
    pub kind: FactKind,
}

/// What can happen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FactKind {
    /// A call began.
    CallCreated {
        /// The call.
        call: CallId,
        /// Who began it.
        from: Party,
        /// The number that was called.
        dialled: Box<str>,
        /// Where that number led; none when nowhere.
        destination: Option<Destination>,
        /// Made through the API rather than by a phone.
        by_application: bool,
    },
    /// A leg joined a call. It is not answered yet.
    LegCreated {
        /// The leg.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// Who is at the far end.
        party: Party,
        /// A phone called us, rather than we it.
        incoming: bool,
        /// The replica that holds it.
        replica: ReplicaId,
        /// The replica's life, known for incoming legs at once and for others with the first signal.
        boot: Option<BootId>,
        /// The SIP Call-ID where known.
        sip_call_id: Box<str>,
    },
    /// A media node holds the leg's media.
    LegMediaAllocated {
        /// The leg.
        leg: LegId,
        /// The node.
        node: NodeId,
        /// The node's life.
        boot: BootId,
    },
    /// The far end is being alerted.
    LegRinging {
        /// The leg.
        leg: LegId,
    },
    /// Nobody has decided yet what becomes of this incoming leg; an application may.
    LegWaiting {
        /// The leg.
        leg: LegId,
    },
    /// Answered: talk time begins.
    LegAnswered {
        /// The leg.
        leg: LegId,
    },
    /// The far end changed the direction of its media (hold and retrieve).
    LegDirectionChanged {
        /// The leg.
        leg: LegId,
        /// As the far end describes itself now.
        direction: Direction,
    },
    /// A digit was pressed.
    LegDigit {
        /// The leg.
        leg: LegId,
        /// One of `0-9 * # A-D`.
        digit: char,
        /// How long, in ms.
        duration_ms: u32,
    },
    /// The leg is over.
    LegEnded {
        /// The leg.
        leg: LegId,
        /// Why.
        termination: Termination,
    },
    /// The two legs hear each other.
    LegsBridged {
        /// Their call.
        call: CallId,
        /// One leg.
        a: LegId,
        /// The other.
        b: LegId,
    },
    /// A room came to life.
    ConferenceStarted {
        /// The meeting.
        conference: ConferenceId,
        /// The room.
        room: RoomId,
        /// The media node that mixes it.
        node: NodeId,
    },
    /// A leg is in the mix.
    ParticipantJoined {
        /// The meeting.
        conference: ConferenceId,
        /// The leg.
        leg: LegId,
    },
    /// A leg is no longer in the mix.
    ParticipantLeft {
        /// The meeting.
        conference: ConferenceId,
        /// The leg.
        leg: LegId,
    },
    /// The last participant left.
    ConferenceEnded {
        /// The meeting.
        conference: ConferenceId,
    },
    /// A recording runs.
    RecordingStarted {
        /// The recording.
        recording: RecordingId,
        /// What it records.
        call: CallId,
        /// Where.
        node: NodeId,
        /// Two channels instead of one.
        stereo: bool,
    },
    /// A recording is complete. Exactly one of this and [`FactKind::RecordingFailed`] follows every start.
    RecordingFinished {
        /// The recording.
        recording: RecordingId,
        /// The file, relative to the recording folder of its node.
        file: Box<str>,
        /// Its length in ms of sound.
        duration_ms: u64,
        /// Its size in bytes.
        size_bytes: u64,
    },
    /// A recording could not be completed; what there is of it is kept on the node.
    RecordingFailed {
        /// The recording.
        recording: RecordingId,
        /// Why.
        termination: Termination,
    },
    /// The call is over: none of its legs is left.
    CallEnded {
        /// The call.
        call: CallId,
        /// Why.
        termination: Termination,
    },
}
