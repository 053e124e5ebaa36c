//! What a fold holds.

use crate::call::{AnsweredBy, Decision, ExternalRef, HeldBy, LegCause, LegOrigin};
use crate::callback::Callback;
use crate::fact::RecordedSound;
use crate::ids::{
    BootId, CallId, ConferenceId, LegId, NodeId, PlaybackId, RecordingId, ReplicaId, RoomId, StreamId,
    TenantId,
};
use crate::media::{BargeIn, Direction, FileFormat, Layout, Source};
use crate::party::{Destination, Party};
use crate::termination::Termination;
use crate::time::Timestamp;
use crate::voice::LegVoice;

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
    /// Whoever began it is not to be named to the other side.
    pub anonymous: bool,
    /// A lone party does not end it.
    pub open: bool,
    /// Headers of the INVITE.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// How many hops the INVITE had left (Max-Forwards); none for a call that began here.
    pub max_forwards: Option<u8>,
    /// The names that clients gave it.
    pub externals: Vec<ExternalRef>,
    /// Who is meant since the last time that a party was replaced.
    pub diverted_to: Option<Party>,
    /// The mix of its parties, while they are more than two.
    pub conference: Option<ConferenceId>,
    /// When it began.
    pub created_at: Timestamp,
    /// When its first leg was answered; of a call that an application makes, when its two sides first met.
    pub answered_at: Option<Timestamp>,
    /// When and why it ended.
    pub ended: Option<(Timestamp, Termination)>,
    /// The leg with which it began, wherever that is now.
    pub first_leg: Option<LegId>,
    /// Who passed it on last while talking.
    pub transferred_by: Option<Party>,
    /// All its legs, in the order in which they joined; those that went to another call are there.
    pub legs: Vec<LegId>,
    /// All its recordings.
    pub recordings: Vec<RecordingId>,
    /// Recordings of it that have gone on in another call.
    pub recordings_moved: Vec<RecordingId>,
    /// What is being played into it.
    pub playbacks: Vec<PlaybackId>,
    /// The streams that come out of it.
    pub streams: Vec<StreamId>,
}

/// How far a leg is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegPhase {
    /// It exists; nobody is alerted yet.
    SettingUp,
    /// An application may decide what becomes of it.
    Waiting,
    /// Its device had no contact and is being woken, or was, and does not ring yet.
    Waking,
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
    /// Why it came to the call.
    pub cause: LegCause,
    /// The leg that caused it.
    pub by: Option<LegId>,
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
    /// Until when it may be decided what becomes of it, while it waits, or its device is being woken.
    pub decision: Option<Decision>,
    /// How the far end describes the direction of its media.
    pub direction: Direction,
    /// The leg it is bridged with.
    pub peer: Option<LegId>,
    /// The meeting it is in.
    pub conference: Option<ConferenceId>,
    /// The machine that it talks to.
    pub served_by: Option<Destination>,
    /// Why it cannot be asked to take the call by itself, or to talk again, once it was asked.
    pub talk_refused: Option<Termination>,
    /// It holds whoever it talks with, on whose wish.
    pub held: Option<HeldBy>,
    /// It passed the call on, and is only there until it is known how that went.
    pub diverted: bool,
    /// Somebody put it aside.
    pub put_aside: bool,
    /// Who did, if it was a participant.
    pub put_aside_by: Option<LegId>,
    /// The others do not hear it.
    pub muted: bool,
    /// It does not hear the others.
    pub deafened: bool,
    /// How it sounds to the others.
    pub voice: LegVoice,
    /// Somebody has set one of these three: its media node is told after a restart, also when all is as usual again.
    pub audio_set: bool,
    /// The call in which it began, when that is another one.
    pub origin: Option<Box<LegOrigin>>,
    /// Who passed it on, or the call on to it.
    pub transferred_by: Option<Party>,
    /// Of a leg that is lost: when it was last known to be there.
    pub last_held: Option<Timestamp>,
    /// When it began.
    pub created_at: Timestamp,
    /// Over which trunk it comes or goes.
    pub trunk: Option<Box<str>>,
    /// Who has answered it.
    pub answered_by: AnsweredBy,
    /// It was called as the tenant's assistant.
    pub assistant: bool,
    /// Its device had no contact when it was called.
    pub was_asleep: bool,
    /// When that device had registered.
    pub woken_at: Option<Timestamp>,
    /// When the far end was first said to be alerted.
    pub rang_at: Option<Timestamp>,
    /// When it was answered.
    pub answered_at: Option<Timestamp>,
    /// When and why it ended.
    pub ended: Option<(Timestamp, Termination)>,
}

impl LegView {
    /// What is let through of its sound and how it sounds, (muted, deafened, voice): none where nobody ever wanted anything else than
    /// the usual.
    pub fn audio(&self) -> Option<(bool, bool, LegVoice)> {
        self.audio_set.then_some((self.muted, self.deafened, self.voice))
    }

    /// As whom records know its far end, once that talks.
    pub(super) fn answers_as(&self) -> AnsweredBy {
        if self.assistant { AnsweredBy::Assistant } else { AnsweredBy::Person }
    }

    /// Whether it has not ended.
    pub fn is_live(&self) -> bool {
        self.phase != LegPhase::Ended
    }

    /// Whether what it holds can be retrieved: what an application held, and what the phone holds by itself unless that has said
    /// that it cannot be asked to talk.
    pub fn can_be_retrieved(&self) -> bool {
        match self.held {
            None => false,
            Some(HeldBy::Application) => true,
            Some(HeldBy::Phone) => self.talk_refused.is_none(),
        }
    }

    /// Whether its device has no contact yet, so that no replica has heard of it.
    pub fn is_asleep(&self) -> bool {
        self.phase == LegPhase::Waking && self.woken_at.is_none()
    }

    /// Whether whoever calls it hears that it rings: it does, or its device is being woken.
    pub fn is_alerting(&self) -> bool {
        matches!(self.phase, LegPhase::Ringing | LegPhase::Waking)
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
    /// The room; none for the mix of a call.
    pub room: Option<RoomId>,
    /// The call whose parties are mixed; none for a room.
    pub call: Option<CallId>,
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
    /// It runs, and leaves out what is said.
    Paused,
    /// It is complete.
    Finished,
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
    /// What the file is made of.
    pub format: FileFormat,
    /// How the legs are laid out.
    pub layout: Layout,
    /// The client's name for it.
    pub name: Box<str>,
    /// Whom it records; empty for everybody.
    pub legs: Vec<LegId>,
    /// Who wants to be told when it can be fetched.
    pub callback: Option<Box<Callback>>,
    /// Everybody who is recorded is told so by a tone.
    pub beep: bool,
    /// How far it is.
    pub phase: RecordingPhase,
    /// While it is paused: silence stands for what is left out.
    pub mask: bool,
    /// An application has ended it, or another has what is said from now on.
    pub stopping: bool,
    /// The recording that has what is said since.
    pub into: Option<RecordingId>,
    /// What can be fetched: of one that is complete, and of one that failed if something of it was kept.
    pub sound: Option<RecordedSound>,
}

impl RecordingView {
    /// Whether its end is still to come.
    pub fn is_running(&self) -> bool {
        matches!(self.phase, RecordingPhase::Running | RecordingPhase::Paused)
    }

    /// The name of one of its files: 0 is the first, the others are those of the other legs.
    pub fn file(&self, track: u32) -> Option<&str> {
        let sound = self.sound.as_ref()?;
        match track.checked_sub(1) {
            None => Some(&sound.file),
            Some(other) => sound.tracks.get(other as usize).map(AsRef::as_ref),
        }
    }
}

/// Something that is being played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlaybackView {
    /// Its id.
    pub playback: PlaybackId,
    /// Whose.
    pub tenant: TenantId,
    /// Into which call.
    pub call: CallId,
    /// The one leg that hears it; none for everybody.
    pub leg: Option<LegId>,
    /// What.
    pub source: Source,
    /// Since when.
    pub started_at: Timestamp,
    /// What of whoever hears it ends it.
    pub barge_in: BargeIn,
}

/// A call that can be listened to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamView {
    /// Its id.
    pub stream: StreamId,
    /// Whose.
    pub tenant: TenantId,
    /// Which call.
    pub call: CallId,
    /// Of what it is made.
    pub format: FileFormat,
    /// Where.
    pub node: NodeId,
    /// Since when.
    pub started_at: Timestamp,
}
