//! Conversations: people are asked into one by one, and what happens to them there is numbered.
//!
//! A conversation outlives its calls. The legs of its members belong to one call at a time, whose external name
//! ([`CALLS`]) is the conversation's id; everything about a leg (ringing, answered, muted, over) is told by the leg's own
//! facts, and the fold draws the member's state and the conversation's events from them.

use crate::ids::{ConversationId, LegId, MemberId, PersonId};
use crate::time::Timestamp;

/// The dialect of the names that conversations give to their calls.
pub const CALLS: &str = "conversation";

/// What happens to conversations beside what happens to the legs of their members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationFact {
    /// Somebody who can be a member was added or changed.
    PersonPut {
        /// Who.
        person: PersonId,
        /// The application that knows the person.
        application: Box<str>,
        /// Unique name.
        name: Box<str>,
        /// What others see; may be empty.
        display_name: Box<str>,
    },
    /// Somebody was removed.
    PersonDeleted {
        /// Who.
        person: PersonId,
    },
    /// A conversation was begun or renamed.
    Put {
        /// Which.
        conversation: ConversationId,
        /// The application whose conversation it is.
        application: Box<str>,
        /// Unique name.
        name: Box<str>,
        /// What people see; may be empty.
        display_name: Box<str>,
    },
    /// A conversation is no more, nor are its members and events.
    Deleted {
        /// Which.
        conversation: ConversationId,
    },
    /// Somebody is called into a conversation, or a caller who waited is let in.
    MemberInvited {
        /// Where.
        conversation: ConversationId,
        /// As which member.
        member: MemberId,
        /// Who.
        person: PersonId,
        /// The number that is shown to the phone.
        from: Box<str>,
        /// The number that is called.
        to: Box<str>,
        /// The member's legs: several where somebody has several phones.
        legs: Vec<LegId>,
        /// The caller knocked: its leg came in by itself.
        knocked: bool,
    },
    /// A member has left although its leg said nothing of it.
    MemberLeft {
        /// Where.
        conversation: ConversationId,
        /// Who.
        member: MemberId,
    },
    /// A client says something to the conversation.
    EventPosted {
        /// Where.
        conversation: ConversationId,
        /// Which member says it, where it is one.
        member: Option<MemberId>,
        /// The event's type, `custom:` and what the client chose.
        r#type: Box<str>,
        /// JSON.
        body: Box<str>,
    },
    /// An event is not shown any more.
    EventDeleted {
        /// Where.
        conversation: ConversationId,
        /// Its number.
        event: u32,
    },
    /// Only in snapshots: a member as it is.
    MemberKept {
        /// Where.
        conversation: ConversationId,
        /// The member.
        member: Box<MemberView>,
    },
    /// Only in snapshots: events as they are, and how far numbers are used up.
    EventsKept {
        /// Where.
        conversation: ConversationId,
        /// The last number that was given.
        last: u32,
        /// The events.
        events: Vec<ConversationEvent>,
    },
}

impl ConversationFact {
    /// The conversation that it is about; none for one about a person.
    pub fn conversation(&self) -> Option<ConversationId> {
        match self {
            Self::PersonPut { .. } | Self::PersonDeleted { .. } => None,
            Self::Put { conversation, .. }
            | Self::Deleted { conversation }
            | Self::MemberInvited { conversation, .. }
            | Self::MemberLeft { conversation, .. }
            | Self::EventPosted { conversation, .. }
            | Self::EventDeleted { conversation, .. }
            | Self::MemberKept { conversation, .. }
            | Self::EventsKept { conversation, .. } => Some(*conversation),
        }
    }
}

/// What an application asks of conversations. Ids are chosen by whoever asks, so that a repetition means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationCommand {
    /// Add or change somebody who can be a member.
    PutPerson {
        /// Who.
        person: PersonId,
        /// The application that knows the person.
        application: Box<str>,
        /// Unique name.
        name: Box<str>,
        /// What others see.
        display_name: Box<str>,
    },
    /// Remove somebody.
    DeletePerson {
        /// Who.
        person: PersonId,
    },
    /// Begin or rename a conversation.
    Put {
        /// Which.
        conversation: ConversationId,
        /// The application whose conversation it is.
        application: Box<str>,
        /// Unique name.
        name: Box<str>,
        /// What people see.
        display_name: Box<str>,
    },
    /// End a conversation with its call.
    Delete {
        /// Which.
        conversation: ConversationId,
    },
    /// Call somebody in, or let in a caller who waits.
    Invite {
        /// Where.
        conversation: ConversationId,
        /// As which member.
        member: MemberId,
        /// Who.
        person: PersonId,
        /// The number that is shown to the phone.
        from: Box<str>,
        /// The number to call.
        to: Box<str>,
        /// The leg of the caller who knocks; none calls `to`.
        knocking: Option<LegId>,
    },
    /// Send a member away.
    Leave {
        /// Where.
        conversation: ConversationId,
        /// Who.
        member: MemberId,
    },
    /// Say something to the conversation.
    Post {
        /// Where.
        conversation: ConversationId,
        /// Which member says it.
        member: Option<MemberId>,
        /// `custom:` and what the client chose.
        r#type: Box<str>,
        /// JSON.
        body: Box<str>,
    },
    /// Show an event no more.
    DeleteEvent {
        /// Where.
        conversation: ConversationId,
        /// Its number.
        event: u32,
    },
}

/// Somebody who can be a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonView {
    /// Who.
    pub person: PersonId,
    /// The application that knows the person.
    pub application: Box<str>,
    /// Unique name.
    pub name: Box<str>,
    /// What others see.
    pub display_name: Box<str>,
    /// Since when.
    pub created_at: Timestamp,
}

/// A conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationView {
    /// Its id.
    pub conversation: ConversationId,
    /// The application whose it is.
    pub application: Box<str>,
    /// Unique name.
    pub name: Box<str>,
    /// What people see.
    pub display_name: Box<str>,
    /// Since when.
    pub created_at: Timestamp,
    /// Who is, or was, in it, in the order in which they were invited.
    pub members: Vec<MemberView>,
    /// What happened, oldest first; the last [`EVENTS_MAX`], of [`EVENTS_BYTES_MAX`].
    pub events: std::collections::VecDeque<ConversationEvent>,
    /// The last number that was given to an event.
    pub last_event: u32,
    /// What `events` cost in memory, in bytes, about.
    pub event_bytes: usize,
}

impl ConversationView {
    /// When something last happened there.
    pub fn last_at(&self) -> Timestamp {
        self.events.back().map_or(self.created_at, |event| event.at)
    }

    /// Everybody has left.
    pub fn is_empty(&self) -> bool {
        self.members.iter().all(|member| member.state == MemberState::Left)
    }

    /// A member.
    pub fn member(&self, member: MemberId) -> Option<&MemberView> {
        self.members.iter().find(|view| view.member == member)
    }
}

/// How far a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MemberState {
    /// Called.
    #[default]
    Invited,
    /// In.
    Joined,
    /// Gone.
    Left,
}

/// How far the leg of a member is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LegStatus {
    /// It exists.
    Started,
    /// It rings.
    Ringing,
    /// Somebody talks.
    Answered,
    /// It was answered, and is over.
    Completed,
    /// The far end was busy.
    Busy,
    /// Whoever called gave up before an answer.
    Cancelled,
    /// The far end was not reached.
    Failed,
    /// The far end does not want to.
    Rejected,
    /// Nobody answered in time.
    Timeout,
    /// Nobody answered.
    Unanswered,
}

impl LegStatus {
    /// Every status.
    pub const ALL: [Self; 10] = [
        Self::Started,
        Self::Ringing,
        Self::Answered,
        Self::Completed,
        Self::Busy,
        Self::Cancelled,
        Self::Failed,
        Self::Rejected,
        Self::Timeout,
        Self::Unanswered,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Ringing => "ringing",
            Self::Answered => "answered",
            Self::Completed => "completed",
            Self::Busy => "busy",
            Self::Cancelled => "cancelled",
            Self::Failed => "failed",
            Self::Rejected => "rejected",
            Self::Timeout => "timeout",
            Self::Unanswered => "unanswered",
        }
    }

    /// The status of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }
}

/// A member of a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberView {
    /// Its id.
    pub member: MemberId,
    /// Who it is.
    pub person: PersonId,
    /// How far it is.
    pub state: MemberState,
    /// The number that is shown to the phone.
    pub from: Box<str>,
    /// The number that is called.
    pub to: Box<str>,
    /// Its leg: of several phones the first, then the one that was answered.
    pub leg: Option<LegId>,
    /// All its legs that are not over.
    pub legs: Vec<LegId>,
    /// The caller knocked.
    pub knocked: bool,
    /// How its leg came to where it is, oldest first.
    pub statuses: Vec<(LegStatus, Timestamp)>,
    /// The others do not hear it.
    pub muted: bool,
    /// It does not hear the others.
    pub earmuffed: bool,
    /// It is on hold.
    pub held: bool,
    /// When it was invited.
    pub invited_at: Timestamp,
    /// When it came in.
    pub joined_at: Option<Timestamp>,
    /// When it left.
    pub left_at: Option<Timestamp>,
}

/// Something that happened in a conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConversationEvent {
    /// Its number, from 1; without a gap when it happens.
    pub id: u32,
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: EventKind,
    /// To whom, where it is a member's.
    pub member: Option<MemberId>,
    /// To which leg.
    pub leg: Option<LegId>,
    /// What there is to know beside: a digit, a number of statuses, flags, the type of a custom event.
    pub text: Box<str>,
    /// The body of a custom event, JSON.
    pub body: Box<str>,
}

macro_rules! event_kinds {
    ($($(#[$doc:meta])* $kind:ident = $name:literal),* $(,)?) => {
        /// What can happen in a conversation.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind {
            $($(#[$doc])* $kind,)*
        }

        impl EventKind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// Its name in the log.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)*
                }
            }

            /// The kind of that name.
            pub fn from_name(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|kind| kind.name() == name)
            }
        }
    };
}

event_kinds! {
    /// The conversation was renamed.
    Updated = "updated",
    /// Somebody was invited.
    MemberInvited = "member_invited",
    /// Somebody came in.
    MemberJoined = "member_joined",
    /// Somebody left.
    MemberLeft = "member_left",
    /// What is heard of, or by, a member has changed: muted, earmuffed and held as three digits.
    MemberMedia = "member_media",
    /// A leg has a new status; the number of statuses it then had.
    LegStatus = "leg_status",
    /// The phone rings.
    SipRinging = "sip_ringing",
    /// The phone was answered.
    SipAnswered = "sip_answered",
    /// The phone is no longer connected; why.
    SipHangup = "sip_hangup",
    /// The others do not hear the member any more.
    MuteOn = "mute_on",
    /// They do again.
    MuteOff = "mute_off",
    /// The member does not hear the others any more.
    EarmuffOn = "earmuff_on",
    /// It does again.
    EarmuffOff = "earmuff_off",
    /// A digit was pressed.
    Dtmf = "dtmf",
    /// It is being recorded; which recording.
    Record = "record",
    /// It is no longer recorded.
    RecordStop = "record_stop",
    /// The recording is complete.
    RecordDone = "record_done",
    /// Something is played; which playback.
    Play = "play",
    /// It was stopped.
    PlayStop = "play_stop",
    /// It was heard to its end.
    PlayDone = "play_done",
    /// The sound of a telephone that rings elsewhere is played; which playback.
    RingingStart = "ringing_start",
    /// It is not any more.
    RingingStop = "ringing_stop",
    /// A client said something.
    Custom = "custom",
}

/// How the names of the tones begin that are heard while it rings elsewhere; a country follows.
pub const RINGBACK: &str = "tone:ringback";

/// Events of one conversation that are kept.
pub const EVENTS_MAX: usize = 2000;
/// What the events of one conversation may cost in memory, in bytes; the oldest go.
pub const EVENTS_BYTES_MAX: usize = 1 << 20;
/// Members of one conversation. Of those who left, the first go when others come.
pub const MEMBERS_MAX: usize = 500;
