//! What has happened, for ever: the log of a shard.
//!
//! One command's or signal's facts are one record. A record is appended with the number of the last one it has
//! seen, so that two writers can never both succeed.

use crate::call::{
    AnsweredBy, DecisionKind, DivertCause, ExternalRef, HeldBy, LegCause, LegOrigin, LegQuality, MoveCause,
    PlaybackEnd,
};
use crate::callback::Callback;
use crate::command::LegCommand;
use crate::conversation::ConversationFact;
use crate::ids::{
    BootId, CallId, ConferenceId, ConversationId, DeviceId, LegId, NodeId, PlaybackId, RecordingId,
    ReplicaId, RoomId, StreamId, TenantId, UserId,
};
use crate::media::{BargeIn, Direction, FileFormat, Layout, Source};
use crate::party::{Destination, Party};
use crate::termination::Termination;
use crate::time::Timestamp;
use crate::voice::LegVoice;

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

/// What there is of a recording and can be fetched.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RecordedSound {
    /// Relative to the recording folder of its node.
    pub file: Box<str>,
    /// The files of the other legs, where each has one of its own.
    pub tracks: Vec<Box<str>>,
    /// Its length in ms of sound.
    pub duration_ms: u64,
    /// The size of all files together in bytes.
    pub size_bytes: u64,
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
    /// A playback.
    Playback(PlaybackId),
    /// A live stream.
    Stream(StreamId),
    /// A conversation.
    Conversation(ConversationId),
    /// An event of a conversation, by its number.
    ConversationEvent(ConversationId, u32),
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
        /// Whoever began it wants not to be named to the other side.
        anonymous: bool,
        /// A conversation that a lone party does not end: people are asked in one by one.
        open: bool,
        /// Headers of the INVITE that others may want: X-, P-, Diversion, Subject; in their order.
        headers: Vec<(Box<str>, Box<str>)>,
        /// How many hops the INVITE had left when it came here; none for a call that began here.
        max_forwards: Option<u8>,
    },
    /// Only in snapshots, behind a call's legs: what legs said of it that have gone to other calls since.
    CallRestated {
        /// The call.
        call: CallId,
        /// When its first leg was answered.
        answered_at: Option<Timestamp>,
        /// Who took the place of a party last.
        diverted_to: Option<Party>,
        /// The leg with which it began; none where an older release wrote it.
        first_leg: Option<LegId>,
        /// Who passed it on last while talking.
        transferred_by: Option<Party>,
    },
    /// Only in snapshots: what other calls, or legs that are forgotten, said of a leg.
    LegRestated {
        /// The leg.
        leg: LegId,
        /// Where it began; none for in its present call.
        origin: Option<Box<LegOrigin>>,
        /// Who passed it on, or the call on to it.
        transferred_by: Option<Party>,
        /// Who has answered it, so far.
        answered_by: AnsweredBy,
    },
    /// A client named a call. Its key leads to the call until that ends.
    ExternalRefAdded {
        /// The call.
        call: CallId,
        /// The key.
        external: ExternalRef,
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
        /// Why it came to the call.
        cause: LegCause,
        /// The leg that caused it, where `cause` names one.
        by: Option<LegId>,
        /// It is called as the tenant's assistant.
        assistant: bool,
        /// Over which trunk it came, where that is known at once; empty for none. Later it is told by `LegRouted`.
        trunk: Box<str>,
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
    /// The phone that rings was asked to take the call by itself, and will not. It rings on.
    LegTalkRefused {
        /// The leg.
        leg: LegId,
        /// Why, with the phone's status.
        why: Termination,
    },
    /// Nobody has decided yet what becomes of this incoming leg; an application may.
    LegWaiting {
        /// The leg.
        leg: LegId,
    },
    /// The device at the far end of this outgoing leg has no contact now: it is woken, and rings once it has registered.
    LegWaking {
        /// The leg.
        leg: LegId,
    },
    /// The leg comes or goes over this trunk; of several that are tried each is told.
    LegRouted {
        /// The leg.
        leg: LegId,
        /// The trunk's name in the directory.
        trunk: Box<str>,
    },
    /// Somebody has dialled the PIN of a user's mailbox.
    MailboxPinTried {
        /// The user.
        user: UserId,
        /// Wrong ones in a row with this one; 0 for the right one, and when the PIN is another one since.
        wrong: u32,
    },
    /// It has registered, and is called there.
    LegWoken {
        /// The leg.
        leg: LegId,
        /// The replica that holds the leg from now on.
        replica: ReplicaId,
    },
    /// Until then it is to be decided what becomes of a leg. The leg's answer or end closes it, too.
    DecisionOpened {
        /// The leg.
        leg: LegId,
        /// What.
        kind: DecisionKind,
        /// Until when.
        deadline: Timestamp,
        /// Where the caller goes when nobody has decided; none for nowhere.
        fallback: Option<Destination>,
    },
    /// It is decided, or nobody has in time.
    DecisionClosed {
        /// The leg.
        leg: LegId,
        /// Nobody has decided in time.
        expired: bool,
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
    /// The leg put whoever it talks with on hold. In a conference the others go on without it.
    LegHeld {
        /// The holder.
        leg: LegId,
        /// On whose wish.
        by: HeldBy,
    },
    /// The holder talks again.
    LegRetrieved {
        /// The holder.
        leg: LegId,
    },
    /// What an application lets through of a leg's sound.
    LegAudioChanged {
        /// The leg.
        leg: LegId,
        /// The others do not hear it.
        muted: bool,
        /// It does not hear the others.
        deafened: bool,
        /// How it sounds to the others.
        voice: LegVoice,
    },
    /// How an ended leg sounded, told by its media node when it let go of it; not of a leg from which nothing came.
    LegMeasured {
        /// The leg.
        leg: LegId,
        /// How.
        quality: Box<LegQuality>,
    },
    /// The leg talks to a machine: an echo, an announcement, a voicemail.
    LegServed {
        /// The leg.
        leg: LegId,
        /// By what.
        by: Destination,
        /// That is the tenant's assistant.
        assistant: bool,
    },
    /// The leg goes on in another call.
    LegMoved {
        /// The leg.
        leg: LegId,
        /// The call that it leaves.
        from: CallId,
        /// The call that it joins.
        to: CallId,
        /// Why.
        cause: MoveCause,
    },
    /// Digits were sent to the far end.
    LegDigitsSent {
        /// The leg.
        leg: LegId,
        /// Out of `0-9 * # A-D`.
        digits: Box<str>,
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
    /// The leg is about to be told as lost, and was last known to be there at an earlier time.
    LegLastHeld {
        /// The leg.
        leg: LegId,
        /// When.
        held: Timestamp,
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
    /// A party of the call was replaced: from now on `to` is meant. Before anything is done about it.
    CallDiverted {
        /// The call.
        call: CallId,
        /// The leg of whoever is replaced: of several that ring, the first.
        leg: LegId,
        /// Why.
        cause: DivertCause,
        /// Who takes the place.
        to: Party,
    },
    /// A call has so many parties that they are mixed; a conference in no room.
    CallConferenced {
        /// The call.
        call: CallId,
        /// The meeting.
        conference: ConferenceId,
        /// The media node that mixes it.
        node: NodeId,
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
    /// Somebody put a participant aside: it neither hears nor is heard.
    ParticipantHeld {
        /// Who is put aside.
        leg: LegId,
        /// Who did it, if it was a participant.
        by: Option<LegId>,
    },
    /// A participant is let in again.
    ParticipantRetrieved {
        /// Who.
        leg: LegId,
    },
    /// The last participant left, or two are left and talk without a mix.
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
        /// What the file is made of.
        format: FileFormat,
        /// How the legs are laid out; `stereo` says the same in the words of release 0.1.
        layout: Layout,
        /// The name that a client wants for it; empty for none.
        name: Box<str>,
        /// Whom it records; empty for everybody in the call.
        legs: Vec<LegId>,
        /// Who wants to be told when it can be fetched.
        callback: Option<Box<Callback>>,
        /// Everybody who is recorded is told so by a tone.
        beep: bool,
    },
    /// A recording leaves out what is said from now on.
    RecordingPaused {
        /// The recording.
        recording: RecordingId,
        /// Silence stands for it; otherwise the file has nothing of that time.
        mask: bool,
    },
    /// It takes in again what is said.
    RecordingResumed {
        /// The recording.
        recording: RecordingId,
    },
    /// An application has ended it, or what it records goes on in another one: nobody is taken into it any more, and it is
    /// completed.
    RecordingStopping {
        /// The recording.
        recording: RecordingId,
        /// The recording that has what is said from now on: the two calls have become one, or their sound has gone to another
        /// media node.
        into: Option<RecordingId>,
    },
    /// A recording goes on, in the same file, in the call into which its own has come.
    RecordingMoved {
        /// The recording.
        recording: RecordingId,
        /// The call that it leaves.
        from: CallId,
        /// The call that it records from now on.
        to: CallId,
    },
    /// A recording is complete. Exactly one of this and [`FactKind::RecordingFailed`] follows every start.
    RecordingFinished {
        /// The recording.
        recording: RecordingId,
        /// The file, relative to the recording folder of its node.
        file: Box<str>,
        /// Its length in ms of sound.
        duration_ms: u64,
        /// Its size in bytes, that of all files together.
        size_bytes: u64,
        /// The files of the other legs, where each has one of its own.
        tracks: Vec<Box<str>>,
    },
    /// A recording could not be completed.
    RecordingFailed {
        /// The recording.
        recording: RecordingId,
        /// Why.
        termination: Termination,
        /// What there is of it nevertheless, and can be fetched.
        kept: Option<Box<RecordedSound>>,
    },
    /// A message was left in a user's voicemail.
    MessageLeft {
        /// The recording that it is.
        message: RecordingId,
        /// Whose voicemail.
        user: UserId,
        /// The call in which it was left.
        call: CallId,
        /// Who left it.
        from: Party,
        /// The node that recorded it.
        node: NodeId,
        /// Relative to the recording folder of that node.
        file: Box<str>,
        /// Milliseconds of sound.
        duration_ms: u64,
    },
    /// The user has listened to a message.
    MessageHeard {
        /// The message.
        message: RecordingId,
        /// Whose voicemail.
        user: UserId,
    },
    /// A message is in the voicemail no more.
    MessageDeleted {
        /// The message.
        message: RecordingId,
        /// Whose voicemail.
        user: UserId,
    },
    /// Something is played into a call.
    PlaybackStarted {
        /// The playback.
        playback: PlaybackId,
        /// The call.
        call: CallId,
        /// The one leg that hears it; none for everybody.
        leg: Option<LegId>,
        /// What: the first of a playlist.
        source: Source,
        /// What of whoever hears it ends it.
        barge_in: BargeIn,
    },
    /// Exactly one follows every start.
    PlaybackFinished {
        /// The playback.
        playback: PlaybackId,
        /// How it ended.
        end: PlaybackEnd,
    },
    /// A playback goes on for those who have come from its call into another. In a snapshot it tells who hears it.
    PlaybackMoved {
        /// The playback.
        playback: PlaybackId,
        /// The call that it leaves.
        from: CallId,
        /// The call in which it goes on.
        to: CallId,
        /// Who hears it there; nobody for a playback to one leg, which is told with its start.
        legs: Vec<LegId>,
    },
    /// A call can be listened to from outside.
    StreamStarted {
        /// The stream.
        stream: StreamId,
        /// The call.
        call: CallId,
        /// Of what it is made.
        format: FileFormat,
        /// Where it is made.
        node: NodeId,
    },
    /// Exactly one follows every start.
    StreamStopped {
        /// The stream.
        stream: StreamId,
    },
    /// A stream goes on in the call into which its own has come.
    StreamMoved {
        /// The stream.
        stream: StreamId,
        /// The call that it leaves.
        from: CallId,
        /// The call that is heard in it from now on.
        to: CallId,
        /// Where it is made from now on.
        node: NodeId,
    },
    /// A device came into reach, or went out of it.
    DeviceStateChanged {
        /// Whose.
        user: UserId,
        /// Which.
        device: DeviceId,
        /// Whether it can be reached.
        in_service: bool,
    },
    /// Something about conversations, their members and who can be one.
    Conversation {
        /// What.
        fact: Box<ConversationFact>,
    },
    /// The call is over: none of its legs is left.
    CallEnded {
        /// The call.
        call: CallId,
        /// Why.
        termination: Termination,
    },
}
