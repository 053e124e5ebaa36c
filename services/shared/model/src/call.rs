//! Words for what happens between the legs of calls.

use crate::ids::{CallId, UserId};
use crate::party::{Destination, Party};
use crate::time::Timestamp;

/// Why a leg came to its call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LegCause {
    /// The call was made to reach it, or it made the call.
    #[default]
    Normal,
    /// A device of a user who holds another call consults somebody; `by` is the leg that holds.
    Enquiry,
    /// The call was transferred to it; `by` is the leg of whoever transferred.
    Transferred,
    /// The call was sent on to it while it rang elsewhere, or because nobody took it there; `by` is that leg.
    Redirected,
    /// The caller chose the voicemail; `by` is the caller's leg.
    Overflown,
    /// It was asked into a conversation that goes on; `by` is the leg of whoever asked.
    Conferenced,
    /// It takes the call of `by`, a leg of another user that rings.
    PickedUp,
    /// It breaks into a conversation that goes on.
    Intrusion,
    /// Another device of the user of `by` comes in beside it.
    DeviceAdded,
    /// Another device of the user of `by`; when it answers, `by` ends.
    DeviceSwitched,
    /// An INVITE with Replaces (RFC 3891) for the dialog of `by`; when it is answered, `by` ends.
    Replaced,
}

impl LegCause {
    /// Whether the leg, once answered, takes the place of the leg that caused it.
    pub fn takes_over(self) -> bool {
        matches!(self, Self::PickedUp | Self::DeviceSwitched | Self::Replaced)
    }
}

/// Who put a call on hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeldBy {
    /// A command: the phone does not know of it.
    Application,
    /// The phone itself, by what it offered (RFC 3264, section 8.4; RFC 2543 for `0.0.0.0`).
    Phone,
}

/// Why a party of a call was replaced by another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DivertCause {
    /// It passed the call on while it talked.
    Transferred,
    /// It, or somebody for it, sent the call on while it rang.
    Redirected,
    /// The caller chose its voicemail, or the call went there because nobody took it.
    Overflown,
    /// Somebody else took the call that rang there.
    PickedUp,
}

/// One step by which a call came to be where it is: who was called, and passed it on (RFC 5806).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diversion {
    /// The number that had been called.
    pub number: Box<str>,
    /// Why the call did not stay there.
    pub reason: DiversionReason,
}

/// Why a call was passed on before it was answered (RFC 5806, section 4; RFC 4458, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DiversionReason {
    /// Nobody says.
    Unknown,
    /// Every call is.
    Unconditional,
    /// Somebody was talking there.
    Busy,
    /// Nobody answered.
    NoAnswer,
    /// Whoever was alerted wanted so.
    Deflection,
    /// There was no way to the phone.
    Unavailable,
}

/// Why a leg went from one call to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveCause {
    /// Whoever talked to both connected them with each other.
    Transferred,
    /// Whoever talked to both made one conversation of them.
    Merged,
}

/// The call in which a leg began that is in another one now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegOrigin {
    /// It.
    pub call: CallId,
    /// Who began it.
    pub from: Party,
    /// The number that was called.
    pub dialled: Box<str>,
}

/// Who has answered somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum AnsweredBy {
    /// Nobody yet.
    #[default]
    Nobody,
    /// A person.
    Person,
    /// A user's voicemail, for a message.
    Voicemail,
    /// A user's voicemail, to listen to it.
    Mailbox,
    /// An announcement.
    Announcement,
    /// The echo.
    Echo,
    /// A room, whoever else was in it.
    Room,
    /// The tenant's assistant, whatever its number leads to.
    Assistant,
}

impl AnsweredBy {
    /// The machine that serves a destination.
    pub fn machine(served_by: &Destination) -> Self {
        match served_by {
            Destination::Voicemail(_) => Self::Voicemail,
            Destination::Mailbox(_) | Destination::OwnMailbox => Self::Mailbox,
            Destination::Announcement { .. } => Self::Announcement,
            Destination::Echo => Self::Echo,
            _ => Self::Nobody,
        }
    }

    /// As records have it; empty for nobody.
    pub fn label(self) -> &'static str {
        match self {
            Self::Nobody => "",
            Self::Person => "person",
            Self::Voicemail => "voicemail",
            Self::Mailbox => "mailbox",
            Self::Announcement => "announcement",
            Self::Echo => "echo",
            Self::Room => "room",
            Self::Assistant => "assistant",
        }
    }

    /// A person counts before the assistant, and both before a machine, whoever came first; of machines the first.
    pub fn and(self, by: Self) -> Self {
        match (self, by) {
            (Self::Nobody, by) => by,
            (_, Self::Person) => Self::Person,
            (Self::Person, _) => Self::Person,
            (_, Self::Assistant) => Self::Assistant,
            (before, _) => before,
        }
    }
}

/// What is decided about a leg.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum DecisionKind {
    /// What becomes of a caller who waits: by an application.
    #[default]
    Application,
    /// Whether a device that is being woken can be called: by its registration.
    Waking,
}

/// What becomes of a leg is decided within a time: of a caller who waits by an application, of a device that is being woken by its
/// registration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What.
    pub kind: DecisionKind,
    /// Until then.
    pub deadline: Timestamp,
    /// Where the caller goes when nobody has decided; none for nowhere.
    pub fallback: Option<Destination>,
}

/// How a playback came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PlaybackEnd {
    /// It was heard to its end.
    Done,
    /// It was told to stop, or whoever heard it is gone.
    Stopped,
    /// It could not be played: no such prompt, or not to be fetched or decoded.
    Failed,
    /// Whoever heard it pressed a key, and it was to end by that.
    Key,
    /// Whoever heard it spoke, and it was to end by that.
    Voice,
}

/// How a leg sounded over its whole life, as its media node saw it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LegQuality {
    /// The encoding that came from it last, for example `PCMU`.
    pub encoding: Box<str>,
    /// RTP packets that came from it.
    pub packets_received: u64,
    /// Those that did not, by sequence number.
    pub packets_lost: u64,
    /// Those that came too late to be heard.
    pub packets_late: u64,
    /// RTP packets sent to it.
    pub packets_sent: u64,
    /// Interarrival jitter at the end (RFC 3550, section 6.4.1), in microseconds.
    pub jitter_us: u32,
    /// Round trip in microseconds; 0 when unknown.
    pub round_trip_us: u32,
    /// The rating R of the E-model (ITU-T G.107) of what came from it, 0 to 93.
    pub rating: u32,
    /// The mean opinion score of that, in hundredths, 100 to 450.
    pub mean_opinion_hundredths: u32,
    /// The score that the far side gives to what it heard of us (RFC 3611); 0 when it told none.
    pub far_mean_opinion_hundredths: u32,
}

/// The key under which a client of an HTTP dialect knows a call or a conference: unique in its tenant and dialect.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExternalRef {
    /// Whose key it is, for example `bot`.
    pub dialect: Box<str>,
    /// As the client chose it, 1 to 256 characters.
    pub key: Box<str>,
}

/// A voicemail box belongs to a user; the assistant to the tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Elsewhere {
    /// To another number of the tenant, already looked up by whoever hands the command in.
    Number(Box<str>),
    /// To the voicemail of the user at whom the call rings or rang.
    Voicemail,
    /// To the destination that the tenant has set for calls nobody takes.
    Assistant,
}

/// One device of one user.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceOf {
    /// The user.
    pub user: UserId,
    /// The device; none is all of the user's.
    pub device: Option<crate::ids::DeviceId>,
}
