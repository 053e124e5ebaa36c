//! What is asked: of signalling for one leg, and of call control by applications.

use crate::ids::{CallId, LegId, RecordingId, ReplicaId, TenantId};
use crate::media::MediaDescription;
use crate::party::{Binding, Destination, Party};
use crate::termination::Termination;

/// Something signalling is to do on one leg. Stands in the log before it is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegCommand {
    /// The replica that holds the leg, or is to open it.
    pub replica: ReplicaId,
    /// The tenant of the leg.
    pub tenant: TenantId,
    /// The leg. For an outgoing call, call control made the id.
    pub leg: LegId,
    /// Counts the leg's commands from 1, without a gap. A number seen before is acknowledged and not done again.
    pub n: u64,
    /// What to do.
    pub kind: LegCommandKind,
}

/// What signalling is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegCommandKind {
    /// Call a device: opens the leg.
    Invite(Box<Invite>),
    /// Tell the caller that it rings (180), or let it hear something before the answer (183 with SDP).
    Ring {
        /// Early media, when there is some.
        media: Option<MediaDescription>,
    },
    /// Answer the caller (200). The description is the answer to its offer, or our offer when it made none.
    Answer {
        /// Our media.
        media: MediaDescription,
    },
    /// Answer a re-INVITE or UPDATE.
    AnswerReoffer {
        /// Our media; none refuses the change (488) and leaves everything as it was.
        media: Option<MediaDescription>,
    },
    /// End the leg in the way its state asks for: a final response, CANCEL or BYE, with a Reason header (RFC 3326).
    End(Termination),
}

/// A call to be made to a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invite {
    /// Who calls, as the device shall see it.
    pub from: Party,
    /// The number that was called, for the To header.
    pub to: Box<str>,
    /// The device.
    pub binding: Binding,
    /// Our offer.
    pub media: MediaDescription,
}

/// Something an application asks of call control.
///
/// `key` is the idempotency key: the same key with the same body is answered as the first time for 24 h, with
/// another body it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallCommand {
    /// The tenant on whose calls it acts.
    pub tenant: TenantId,
    /// Idempotency key, 1 to 128 characters, chosen by the client, unique in the tenant.
    pub key: Box<str>,
    /// What to do.
    pub kind: CallCommandKind,
}

/// What an application can ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallCommandKind {
    /// Make a call: ring `from` first; when it answers, connect it to `to`.
    Place {
        /// Who is rung first: a user, already resolved from a number.
        from: Destination,
        /// The number shown for `from`.
        from_number: Box<str>,
        /// Where it is then connected.
        to: Destination,
        /// The number dialled for `to`.
        to_number: Box<str>,
    },
    /// Answer a waiting leg and connect it.
    Answer {
        /// The leg.
        leg: LegId,
        /// Where it is connected.
        to: Destination,
        /// The number of `to`.
        to_number: Box<str>,
    },
    /// End a whole call.
    HangUpCall {
        /// The call.
        call: CallId,
    },
    /// End one leg; the call goes on if enough others remain.
    HangUpLeg {
        /// The leg.
        leg: LegId,
    },
    /// Record a call, mixed to one channel or with one side per channel.
    StartRecording {
        /// The call.
        call: CallId,
        /// Caller left, everybody else right, instead of mono.
        stereo: bool,
    },
    /// End a recording; its file is ready when the "finished" fact says so.
    StopRecording {
        /// The recording.
        recording: RecordingId,
    },
}
