//! What a shard knows of a leg beside the fold.

use std::collections::{BTreeMap, VecDeque};

use sidetone_model::command::{LegCommand, LegCommandKind};
use sidetone_model::ids::{BootId, LegId, NodeId};
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::Binding;
use sidetone_model::signal::LegSignal;
use sidetone_model::termination::Termination;
use sidetone_model::time::Timestamp;

use crate::digits::Digits;
use crate::effect::Connection;
use crate::forwarding::Awaited;
use crate::input::{Later, NodeCandidate, Routing};
use crate::mailbox_menu::Menu;
use crate::matching::Matching;
use crate::moving::Moving;
use crate::topology::Meanwhile;

/// The durable half is folded from records; the other half is found out again after a restart.
#[derive(Debug, Default)]
pub(crate) struct LegControl {
    pub(crate) durable: Durable,
    pub(crate) passing: Passing,
}

/// Folded from the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Durable {
    /// The replica's life in which the last signal was sent.
    pub(crate) boot: Option<BootId>,
    /// The last signal taken into account.
    pub(crate) consumed: u64,
    /// The last command's number.
    pub(crate) commanded: u64,
    /// The last command itself.
    pub(crate) last_command: Option<LegCommand>,
    /// The last command that told the phone of a port within the session: an offer of ours, or our answer to one of its own.
    pub(crate) described: Option<LegCommand>,
    /// The command that ended it, once there is one.
    pub(crate) end_command: Option<LegCommand>,
}

impl Durable {
    /// What the phone was told of our media within the session.
    pub(crate) fn told(&self) -> Option<&MediaDescription> {
        match self.described.as_ref().map(|command| &command.kind) {
            Some(
                LegCommandKind::Reoffer { media } | LegCommandKind::AnswerReoffer { media: Some(media) },
            ) => Some(media),
            _ => None,
        }
    }

    /// Why we ended the leg, once we have.
    pub(crate) fn ended_by_us(&self) -> Option<&Termination> {
        match self.end_command.as_ref().map(|command| &command.kind) {
            Some(LegCommandKind::End(termination)) => Some(termination),
            _ => None,
        }
    }
}

/// Not in the log.
#[derive(Debug, Default)]
pub(crate) struct Passing {
    /// Commands that signalling has not acknowledged.
    pub(crate) unacknowledged: VecDeque<LegCommand>,
    /// When it was last known to be there, while nobody holds it for sure.
    pub(crate) last_held: Option<Timestamp>,
    /// What the media node describes for us.
    pub(crate) local: Option<MediaDescription>,
    /// The far side's offer, until media has answered it.
    pub(crate) offer: Option<MediaDescription>,
    /// Where the phone's signalling comes from.
    pub(crate) signalling_ip: Option<std::net::IpAddr>,
    /// The node that is being asked for a port.
    pub(crate) asked_node: Option<NodeId>,
    /// Nodes to ask next when one is full.
    pub(crate) other_nodes: VecDeque<NodeCandidate>,
    /// Where the leg is to be connected once its media is ready.
    pub(crate) then: Option<Routing>,
    /// Where it goes when no application has decided in time what becomes of it.
    pub(crate) fallback: Option<Routing>,
    /// The device that is to be called once the leg has a port.
    pub(crate) call_device: Option<Binding>,
    /// A signal whose consequences wait for media. Until then it is not in the log, and its replica keeps it.
    pub(crate) pending: Option<LegSignal>,
    /// What came behind that signal.
    pub(crate) behind: VecDeque<LegSignal>,
    /// What media was asked last that the leg hear.
    pub(crate) asked: Connection,
    /// Nobody knows what it hears: its node tells of mixes and bridges only.
    pub(crate) hears_unknown: bool,
    /// What media was asked to play while it waits.
    pub(crate) music: Meanwhile,
    /// Why its message is not recorded; it hears a tone, and then the call ends.
    pub(crate) unrecorded: Option<Termination>,
    /// A recording or a stream of the whole call was told of it.
    pub(crate) captured: bool,
    /// The phone is asked to take the call by itself.
    pub(crate) auto_answer: bool,
    /// Who is called when neither it nor those that ring beside it take the call.
    pub(crate) later: Vec<Later>,
    /// Where the call goes when none of them does.
    pub(crate) awaited: Awaited,
    /// Over which flows its phone can be reached when this one is dead.
    pub(crate) other_flows: Vec<Binding>,
    /// The phone is not to show who calls.
    pub(crate) anonymous: bool,
    /// The direction of our media that the phone was offered last by ourselves.
    pub(crate) offered: Option<Direction>,
    /// Where the numbers lead that signals name, by the signal's number.
    pub(crate) named: BTreeMap<u64, Routing>,
    /// Whoever passed the call on has been told that the leg rings.
    pub(crate) referrer_told: bool,
    /// Names of playbacks of a mailbox alternate.
    pub(crate) listened: bool,
    /// How far it is in a mailbox.
    pub(crate) mailbox: Menu,
    /// The caller has been told that it rings.
    pub(crate) rung: bool,
    /// The phone that it heard last before that answered.
    pub(crate) early: Option<LegId>,
    /// It was given our description before the answer.
    pub(crate) told_early: bool,
    /// Media was asked to keep back what it says until the phone that it hears early has answered.
    pub(crate) kept_back: bool,
    /// What it speaks, and could speak.
    pub(crate) matching: Matching,
    /// What it has dialled.
    pub(crate) digits: Digits,
    /// It is on its way to another media node.
    pub(crate) moving: Option<Moving>,
    /// How often the phone was told to come back to its old port, and has not said yes.
    pub(crate) led_home: u8,
    /// Offers of ours within the session that the phone has not answered: one under way, and one behind it.
    pub(crate) offers_open: u8,
    /// When the last of them was made.
    pub(crate) offered_at: Timestamp,
    /// It was there when the log was folded, and its node has not told yet what it holds of it.
    pub(crate) resumed: bool,
}

impl Passing {
    /// The number of the last signal that waits; 0 for none.
    pub(crate) fn last_kept(&self) -> u64 {
        let pending = self.pending.as_ref().map_or(0, |signal| signal.n);
        self.behind.back().map_or(pending, |signal| signal.n)
    }
}
