//! What is asked: of signalling for one leg, and of call control by applications.

use crate::call::{DeviceOf, Diversion, Elsewhere, ExternalRef};
use crate::callback::Callback;
use crate::conversation::ConversationCommand;
use crate::ids::{CallId, DeviceId, LegId, PlaybackId, RecordingId, ReplicaId, StreamId, TenantId, UserId};
use crate::media::{FileFormat, Layout, Manner, MediaDescription, PlayOptions, PlaySteer, Source};
use crate::party::{Binding, Destination, Party};
use crate::termination::Termination;
use crate::voice::LegVoice;

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
    /// Ask the phone that rings to take the call by itself, or the one that holds to talk again: NOTIFY with `Event: talk` in its
    /// dialog. That it did is told by `Answered` or `Reoffered`, that it will not by `TalkRefused`.
    Talk,
    /// Offer other media to a phone that has answered: re-INVITE (RFC 3261, section 14.1). Told by `Reanswered` or
    /// `ReofferRefused`. Waits while a change of the phone's own is under way; of two that wait the later counts.
    Reoffer {
        /// Our media from now on.
        media: MediaDescription,
    },
    /// How what a phone asked for by REFER goes on.
    Referral(ReferralState),
    /// Send digits by INFO with application/dtmf-relay, to a phone that takes no telephone-events.
    SendDigits {
        /// 1 to 64 out of `0-9 * # A-D`.
        digits: Box<str>,
        /// How long each is, in ms.
        duration_ms: u32,
    },
    /// Tell a caller that was not answered to call elsewhere: 302 with these numbers of ours as Contacts, the best first. 1 to 8.
    /// `Ended` with [`crate::termination::Cause::Diverted`] follows.
    Deflect {
        /// The numbers.
        numbers: Vec<Box<str>>,
    },
    /// End the leg in the way its state asks for: a final response, CANCEL or BYE, with a Reason header (RFC 3326).
    End(Termination),
}

/// How it goes with a call that a phone passes on (RFC 3515, section 2.4.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReferralState {
    /// It is being done: 202, and NOTIFY with 100.
    Accepted,
    /// The new phone rings: NOTIFY with 180.
    Ringing,
    /// The others are connected: NOTIFY with 200, the last.
    Succeeded,
    /// Nothing came of it: NOTIFY with the cause's status, the last; before `Accepted` the final response to the REFER.
    Failed(Termination),
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
    /// The device is asked to take the call by itself (Call-Info with `answer-after=0`, RFC 5373 in spirit; Alert-Info with
    /// `info=alert-autoanswer`).
    pub auto_answer: bool,
    /// The far end is not told who calls, unless it is trusted to keep that to itself (RFC 3325, section 7).
    pub anonymous: bool,
    /// Through whose hands the call has gone here, the first first; what is said of it in `headers` came before.
    pub diversions: Vec<Diversion>,
    /// Header fields to be handed on: of the names that [`crate::signal::Offered::headers`] has. Signalling leaves out what
    /// the far end is not trusted with.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Of which call the leg is one, for the eyes of those who follow calls; none from a call control that did not tell.
    pub call: Option<CallId>,
    /// Max-Forwards of the INVITE: one less than the call had when it came to us (RFC 7332, section 3). None for a call that begins
    /// here.
    pub max_forwards: Option<u8>,
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

/// What there is to be known of a call that an application makes, beside its two ends.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlaceOptions {
    /// Only this device of the user is rung; none is all of them.
    pub device: Option<DeviceId>,
    /// The other side is not told who calls.
    pub anonymous: bool,
    /// The user's device is asked to take the call by itself.
    pub auto_answer: bool,
    /// The key under which the client knows the call.
    pub external: Option<ExternalRef>,
    /// Header fields for the INVITE to whoever is called: X- and P- ones that do not say who calls, Subject, Referred-By and
    /// Diversion. 20 at most, and 2048 bytes of names and values.
    pub headers: Vec<(Box<str>, Box<str>)>,
}

/// A call, by either of its names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallName {
    /// Ours.
    Id(CallId),
    /// The client's.
    External(ExternalRef),
}

/// What to record, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecordingOptions {
    /// What the file is made of.
    pub format: FileFormat,
    /// How the legs are laid out.
    pub layout: Layout,
    /// Whom; empty for everybody, also those who come later.
    pub legs: Vec<LegId>,
    /// The name that the client wants for it; empty for none.
    pub name: Box<str>,
    /// Who wants to be told when it can be fetched.
    pub callback: Option<Box<Callback>>,
    /// Everybody who is recorded is told so by a tone, again and again.
    pub beep: bool,
}

/// Who hears a playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// Everybody in a call.
    Call(CallId),
    /// One leg.
    Leg(LegId),
}

/// What an application can ask for.
///
/// A command that the state of its call does not allow is refused and changes nothing. What is allowed now is told by
/// [`crate::fold::Fold::capabilities`], and by nothing else.
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
        /// What else there is to know.
        options: PlaceOptions,
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
    /// A phone that rings is asked to take the call (RFC 3265, Event: talk).
    AnswerRinging {
        /// The leg that rings.
        leg: LegId,
    },
    /// The user at whom it rings does not want the call: all the user's devices stop.
    Reject {
        /// A leg of the user that rings.
        leg: LegId,
    },
    /// A caller that is not answered yet is told to call elsewhere by itself (302), and leaves.
    Deflect {
        /// The caller's leg.
        leg: LegId,
        /// Numbers of the tenant's domain, the best first; 1 to 8.
        numbers: Vec<Box<str>>,
    },
    /// A call that rings is sent on.
    Redirect {
        /// A leg that rings.
        leg: LegId,
        /// Where to.
        to: Elsewhere,
        /// It is not told who calls.
        anonymous: bool,
    },
    /// The caller chooses the voicemail of whoever does not answer.
    Overflow {
        /// The caller's leg.
        leg: LegId,
    },
    /// Put on hold whoever a leg talks with.
    Hold {
        /// The leg that will be the holder.
        leg: LegId,
    },
    /// Talk again.
    Retrieve {
        /// The holder.
        leg: LegId,
    },
    /// Hold, and call somebody else from the same device.
    Enquire {
        /// The leg that talks or holds.
        leg: LegId,
        /// The number to call.
        to_number: Box<str>,
        /// It is not told who calls.
        anonymous: bool,
    },
    /// Of two calls of one device hold the one and talk in the other.
    Alternate {
        /// The leg that talks.
        active: LegId,
        /// The leg that holds.
        held: LegId,
    },
    /// End a call of a device and talk again in the one that it holds.
    Reconnect {
        /// The leg to end.
        active: LegId,
        /// The leg that holds.
        held: LegId,
    },
    /// Make one conversation of two calls of a device.
    Merge {
        /// The leg that talks, and stays.
        active: LegId,
        /// The leg that holds.
        held: LegId,
    },
    /// Connect the two others with each other.
    TransferAttended {
        /// The leg that talks, or waits while it rings.
        active: LegId,
        /// The leg that holds.
        held: LegId,
    },
    /// Pass a call on without asking.
    TransferBlind {
        /// The leg of whoever passes it on.
        leg: LegId,
        /// The number to call.
        to_number: Box<str>,
        /// It is not told who calls.
        anonymous: bool,
    },
    /// Ask somebody into a conversation.
    AddParticipant {
        /// The leg of whoever asks.
        leg: LegId,
        /// The number to call.
        to_number: Box<str>,
        /// It is not told who asks.
        anonymous: bool,
    },
    /// Somebody has to go.
    DropParticipant {
        /// Who.
        leg: LegId,
        /// By whom, where it is a participant.
        by: Option<LegId>,
    },
    /// Put a participant aside.
    HoldParticipant {
        /// Who.
        leg: LegId,
        /// By whom, where it is a participant.
        by: Option<LegId>,
    },
    /// Let a participant in again.
    RetrieveParticipant {
        /// Who.
        leg: LegId,
    },
    /// Leave a conference; the others go on.
    DropMe {
        /// Who leaves.
        leg: LegId,
    },
    /// Go on with another device: it rings, and when it answers, takes over.
    SwitchDevice {
        /// The leg that talks.
        leg: LegId,
        /// The other device of the same user.
        device: DeviceId,
    },
    /// Another device of the same user joins.
    AddDevice {
        /// The leg that talks.
        leg: LegId,
        /// The other device of the same user.
        device: DeviceId,
    },
    /// Take a call that rings at somebody else.
    PickUp {
        /// The leg that rings.
        leg: LegId,
        /// Who takes it.
        by: DeviceOf,
    },
    /// Take the call that has rung longest at another member of a group.
    PickUpInGroup {
        /// The number of the group.
        number: Box<str>,
        /// Who takes it.
        by: DeviceOf,
    },
    /// Break into a conversation.
    Intrude {
        /// The call.
        call: CallId,
        /// Who breaks in.
        by: DeviceOf,
    },
    /// Call a number into a conversation, which is begun if it is not there.
    Join {
        /// The conversation.
        call: CallName,
        /// Where the number leads.
        to: Destination,
        /// The number.
        to_number: Box<str>,
        /// As whom it is called.
        from_number: Box<str>,
        /// Under which name the application knows whoever is called; empty for the user or the number.
        contact: Box<str>,
    },
    /// Let through, or not, what a leg says and hears.
    SetAudio {
        /// The leg.
        leg: LegId,
        /// The others do not hear it.
        muted: bool,
        /// It does not hear the others.
        deafened: bool,
        /// How it sounds to the others; none leaves that as it is.
        voice: Option<LegVoice>,
    },
    /// Send digits to the far end.
    SendDigits {
        /// The leg.
        leg: LegId,
        /// 1 to 64 out of `0-9 * # A-D`.
        digits: Box<str>,
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
    /// Record a call.
    StartRecording {
        /// The call.
        call: CallId,
        /// What and how.
        options: RecordingOptions,
    },
    /// End a recording; its file is ready when the "finished" fact says so.
    StopRecording {
        /// The recording.
        recording: RecordingId,
    },
    /// Leave out of a recording what is said from now on.
    PauseRecording {
        /// The recording.
        recording: RecordingId,
        /// Silence stands in the recording for as long as it lasts, so that what comes after keeps its place in time; without it
        /// the time is left out, too.
        mask: bool,
    },
    /// Take in again what is said.
    ResumeRecording {
        /// The recording.
        recording: RecordingId,
    },
    /// Play something.
    Play {
        /// To whom.
        to: Audience,
        /// What, one after the other; 1 to 32.
        sources: Vec<Source>,
        /// How often; 0 is for ever.
        repeat: u32,
        /// Instead of what is heard, over it or under it.
        manner: Manner,
        /// Where it begins, and what ends it.
        options: PlayOptions,
    },
    /// Change a playback that runs.
    SteerPlay {
        /// Which.
        playback: PlaybackId,
        /// How.
        steer: PlaySteer,
    },
    /// End one playback, or all of an audience.
    StopPlay {
        /// Whose.
        to: Audience,
        /// Which; none is all.
        playback: Option<PlaybackId>,
    },
    /// Let people outside listen to a call.
    StartStream {
        /// The call.
        call: CallId,
        /// Of what the stream is made.
        format: FileFormat,
    },
    /// No longer.
    StopStream {
        /// The stream.
        stream: StreamId,
    },
    /// A voicemail message was listened to elsewhere.
    MarkMessageHeard {
        /// Whose voicemail.
        user: UserId,
        /// The message.
        message: RecordingId,
    },
    /// Take a message out of a voicemail.
    DeleteMessage {
        /// Whose voicemail.
        user: UserId,
        /// The message.
        message: RecordingId,
    },
    /// Name a call.
    AddExternalRef {
        /// The call.
        call: CallId,
        /// The client's key for it.
        external: ExternalRef,
    },
    /// Something about conversations.
    Conversation(Box<ConversationCommand>),
}

impl CallCommandKind {
    /// A stable short word: the metric label.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Place { .. } => "place_call",
            Self::Answer { .. } => "answer_leg",
            Self::AnswerRinging { .. } => "answer_ringing",
            Self::Reject { .. } => "reject",
            Self::Deflect { .. } => "deflect",
            Self::Redirect { .. } => "redirect",
            Self::Overflow { .. } => "overflow",
            Self::Hold { .. } => "hold",
            Self::Retrieve { .. } => "retrieve",
            Self::Enquire { .. } => "enquire",
            Self::Alternate { .. } => "alternate",
            Self::Reconnect { .. } => "reconnect",
            Self::Merge { .. } => "merge",
            Self::TransferAttended { .. } => "transfer_attended",
            Self::TransferBlind { .. } => "transfer_blind",
            Self::AddParticipant { .. } => "add_participant",
            Self::DropParticipant { .. } => "drop_participant",
            Self::HoldParticipant { .. } => "hold_participant",
            Self::RetrieveParticipant { .. } => "retrieve_participant",
            Self::DropMe { .. } => "drop_me",
            Self::SwitchDevice { .. } => "switch_device",
            Self::AddDevice { .. } => "add_device",
            Self::PickUp { .. } => "pick_up",
            Self::PickUpInGroup { .. } => "pick_up_in_group",
            Self::Intrude { .. } => "intrude",
            Self::Join { .. } => "join",
            Self::SetAudio { .. } => "set_audio",
            Self::SendDigits { .. } => "send_digits",
            Self::HangUpCall { .. } => "hang_up",
            Self::HangUpLeg { .. } => "hang_up",
            Self::StartRecording { .. } => "start_recording",
            Self::StopRecording { .. } => "stop_recording",
            Self::PauseRecording { .. } => "pause_recording",
            Self::ResumeRecording { .. } => "resume_recording",
            Self::Play { .. } => "play",
            Self::StopPlay { .. } => "stop_play",
            Self::SteerPlay { .. } => "steer_play",
            Self::StartStream { .. } => "start_stream",
            Self::StopStream { .. } => "stop_stream",
            Self::AddExternalRef { .. } => "add_external_ref",
            Self::MarkMessageHeard { .. } => "mark_message_heard",
            Self::DeleteMessage { .. } => "delete_message",
            Self::Conversation(_) => "conversation",
        }
    }
}
