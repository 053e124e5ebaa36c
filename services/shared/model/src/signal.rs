//! What signalling says to the owner of a shard, and what the owner says back: one ordered stream per replica.
//!
//! ## The order, and what a break does to it
//!
//! A replica numbers the signals of each leg from 1 and keeps them (bounded) until they are acknowledged; the owner
//! acknowledges a signal when the record that holds its consequences is in the log. The owner numbers the commands
//! of each leg from 1; they stand in the log too, and the replica acknowledges each when it has been acted upon.
//! After a break either side sends again what is not acknowledged, and the other side drops what it has seen.

use std::net::SocketAddr;

use crate::command::LegCommand;
use crate::ids::{BootId, LegId, ReplicaId, TenantId};
use crate::media::MediaDescription;
use crate::party::{Binding, Party};
use crate::termination::Termination;
use crate::time::Timestamp;
use crate::watch::{Watch, WatchedState};

/// Something that happened on one leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LegSignal {
    /// The life of the replica in which the leg lives.
    pub boot: BootId,
    /// The leg. For an incoming call, signalling made the id.
    pub leg: LegId,
    /// The tenant, which decides the shard.
    pub tenant: TenantId,
    /// Counts the leg's signals from 1, without a gap.
    pub n: u64,
    /// When signalling saw it.
    pub at: Timestamp,
    /// Over which trunk the leg comes or goes; of one that tries several, the last.
    pub trunk: Option<Box<str>>,
    /// What happened.
    pub kind: LegSignalKind,
}

/// What happened on a leg.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LegSignalKind {
    /// A new call comes in (INVITE outside a dialog). 100 has been sent; nothing else will be without a command.
    Offered(Box<Offered>),
    /// The called phone rings (180), perhaps with early media (183 with SDP).
    Progress {
        /// The early answer, if it sent one.
        media: Option<MediaDescription>,
    },
    /// The called phone answered (2xx). The ACK has been sent.
    Answered {
        /// Its answer to our offer.
        media: Option<MediaDescription>,
    },
    /// The calling phone confirmed our 2xx with its ACK.
    Confirmed {
        /// Its answer, when the offer was in our 2xx.
        media: Option<MediaDescription>,
    },
    /// The phone offers other media within the dialog (re-INVITE or UPDATE). A pure session refresh is answered by
    /// signalling alone and is not told.
    Reoffered {
        /// The offer; none when the phone asks us to make one.
        media: Option<MediaDescription>,
    },
    /// The phone took the offer that we made within the dialog, and this is its answer.
    Reanswered {
        /// Its media from now on.
        media: MediaDescription,
    },
    /// The phone did not take the offer that we made within the dialog. The session stays as it was.
    ReofferRefused(Termination),
    /// The phone was asked to take the call by itself, and will not: it does not know how to, or did not answer. It rings on.
    TalkRefused(Termination),
    /// The phone wants the call passed on (REFER, RFC 3515). It is told how that goes by
    /// [`crate::command::LegCommandKind::Referral`].
    Referred(Referred),
    /// The phone that was called names others in its place (3xx). `Ended` follows.
    Redirected {
        /// In the order of its preference (RFC 3261, section 8.1.3.4), 8 at most.
        targets: Vec<Target>,
    },
    /// A digit came by INFO.
    Digit {
        /// One of `0-9 * # A-D`.
        digit: char,
        /// How long it was pressed, in ms.
        duration_ms: u32,
    },
    /// The leg is over, whoever ended it: always the last signal of a leg, and always sent, also after a command
    /// that ended it.
    Ended(Termination),
}

/// Whom a phone names: in Refer-To, or in the Contact of a 3xx.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The user part, or the number of a `tel:` address.
    pub number: Box<str>,
    /// The address is one of ours, or a number, and none in somebody else's domain.
    pub own: bool,
}

impl Target {
    /// Whether it may be called as a number of ours; addresses of others only where those are taken for numbers.
    pub fn is_callable(&self, foreign_as_numbers: bool) -> bool {
        !self.number.is_empty() && (self.own || foreign_as_numbers)
    }
}

/// What a phone asks for by REFER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referred {
    /// Whom the others are to be connected with.
    pub to: Target,
    /// The phone's other leg, whose far end is meant (Replaces in Refer-To, RFC 3891): an attended transfer.
    pub replaces: Option<LegId>,
}

/// A call that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offered {
    /// Who calls: with user and device when the digest proved them.
    pub from: Party,
    /// The user part of the Request-URI: what was dialled.
    pub dialled: Box<str>,
    /// Where the INVITE really came from. Media may use it as the `nat` policy's address.
    pub source: SocketAddr,
    /// The caller's offer; none when it leaves the offer to us.
    pub media: Option<MediaDescription>,
    /// The Call-ID, for correlation with traces and CDRs of other systems.
    pub sip_call_id: Box<str>,
    /// The leg whose place the caller takes (Replaces, RFC 3891).
    pub replaces: Option<LegId>,
    /// The caller wants not to be named to the other side (RFC 3323). `from` is then whatever the other side may be shown,
    /// unless the caller is a user of the tenant.
    pub anonymous: bool,
    /// Header fields of the INVITE that others may want, in their order, bounded: X-, P-, Referred-By, Subject; from carriers
    /// that are trusted also P-Asserted-Identity, Remote-Party-ID, Diversion and History-Info.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// Max-Forwards of the INVITE (RFC 3261, section 20.22); none when it had none.
    pub max_forwards: Option<u8>,
    /// By what the INVITE is known again when it comes to another replica.
    pub invite: InviteId,
}

/// What two copies of an INVITE agree in, beside the Call-ID (RFC 3261, sections 8.2.2.2 and 17.2.3).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct InviteId {
    /// The tag in From; may be empty (RFC 2543).
    pub from_tag: Box<str>,
    /// The number in CSeq.
    pub cseq: u32,
    /// The sent-by and the branch of the topmost Via: two copies that agree in them are one that was sent again, others have come over two
    /// ways. Empty when the replica does not tell; then it is not looked for.
    pub transaction: Box<str>,
}

/// From a replica to the owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReplicaMessage {
    /// The first message on every stream.
    Hello(Hello),
    /// Something happened on a leg.
    Signal(LegSignal),
    /// A command has been acted upon (or was known already).
    Applied {
        /// The leg.
        leg: LegId,
        /// The command's number.
        n: u64,
    },
    /// The replica will take no new legs and will be gone when its last leg is.
    Draining,
    /// A phone has subscribed to something of a user; or the last one that had has not any more.
    Watch(Watch),
}

/// Who a replica is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hello {
    /// The replica's name.
    pub replica: ReplicaId,
    /// Its present life.
    pub boot: BootId,
    /// Every leg it holds, also those that ended and whose last signal is not acknowledged.
    pub legs: Vec<HeldLeg>,
}

/// One leg that a replica holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldLeg {
    /// The leg.
    pub leg: LegId,
    /// Its tenant.
    pub tenant: TenantId,
    /// The number of the last command acted upon; 0 for none.
    pub last_command_n: u64,
}

/// From the owner to a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerMessage {
    /// The first message on every stream: the owner's present life.
    Welcome {
        /// Changes when the owner restarted.
        boot: BootId,
    },
    /// The consequences of a leg's signals up to `n` are in the log.
    Ack {
        /// The leg.
        leg: LegId,
        /// The last acknowledged signal.
        n: u64,
    },
    /// Do something on a leg.
    Command(LegCommand),
    /// The owner does not know this leg (and has waited long enough to be sure): end it, with Reason, and forget it.
    Release {
        /// The leg.
        leg: LegId,
    },
    /// The INVITE of an offered leg has come to another replica before: it makes no call here.
    Repeated {
        /// The leg.
        leg: LegId,
        /// The replica that has its transaction, and answers it (RFC 3261, section 17.2.3); none when it came over another way and is
        /// answered with 482 (section 8.2.2.2).
        at: Option<ReplicaId>,
    },
    /// A phone is to show how many voicemail messages wait for its user.
    MessagesWaiting(Box<MessagesWaiting>),
    /// How things stand with somebody whom the replica watches.
    Watched(WatchedState),
}

/// How many voicemail messages wait for the user of a registered phone (RFC 3842).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessagesWaiting {
    /// The tenant.
    pub tenant: TenantId,
    /// Where the phone is registered.
    pub binding: Binding,
    /// Messages that were not heard yet.
    pub new: u32,
    /// Messages that were.
    pub old: u32,
}
