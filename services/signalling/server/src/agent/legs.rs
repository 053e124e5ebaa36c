//! The legs of this replica, found by id, dialog and time; and what becomes of their outputs.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Instant;

use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::party::Flow;
use sidetone_model::signal::{HeldLeg, LegSignal, LegSignalKind};
use sidetone_model::termination::Termination;
use sidetone_sip_core::leg::{Leg, LegOutput};
use sidetone_sip_core::message::DialogKey;

use super::Agent;
use super::by_flow::ByFlow;
use super::outbox::{Outbox, SIGNALS_MAX};
use super::upstream::Said;
use crate::replica::wall_clock;

/// Call-ID, From tag and CSeq number of an INVITE: two that agree in them and differ in the branch have come over two
/// ways (RFC 3261, section 8.2.2.2).
pub(super) type MergeKey = (Box<str>, Box<str>, u32);

/// One leg, or what is left of it until the owner has heard of its end.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) tenant: TenantId,
    /// The user agent; none once it has finished.
    pub(super) leg: Option<Leg>,
    pub(super) outbox: Outbox,
    pub(super) last_command_n: u64,
    /// Taken up after a restart; no command has come since.
    resumed: bool,
    /// Commands that came before one that is missing.
    pub(super) held: BTreeMap<u64, LegCommandKind>,
    dialog: Option<DialogKey>,
    merge: Option<MergeKey>,
    timer: Option<Instant>,
}

/// All legs.
#[derive(Debug, Default)]
pub(super) struct Legs {
    entries: HashMap<LegId, Entry>,
    by_dialog: HashMap<DialogKey, LegId>,
    by_flow: ByFlow,
    timers: BTreeSet<(Instant, LegId)>,
    merges: HashSet<MergeKey>,
    forgotten: Forgotten,
    live: usize,
    unacknowledged: usize,
    /// New calls of which the owner was told and that it may not have taken up yet, the oldest first.
    offered: VecDeque<(Instant, LegId)>,
}

/// Legs that are over for good, so that a late repetition of a command does not open one again. Bounded: the oldest
/// are forgotten entirely, long after anybody could repeat anything.
#[derive(Debug, Default)]
struct Forgotten {
    order: VecDeque<LegId>,
    known: HashSet<LegId>,
}

impl Legs {
    pub(super) fn live(&self) -> usize {
        self.live
    }

    pub(super) fn unacknowledged(&self) -> usize {
        self.unacknowledged
    }

    /// Since when the owner has not taken up a call of which it was told.
    pub(super) fn waits_since(&mut self) -> Option<Instant> {
        while let Some((at, leg)) = self.offered.front() {
            if self.entries.get(leg).is_some_and(|entry| entry.outbox.get(FIRST_SIGNAL).is_some()) {
                return Some(*at);
            }
            self.offered.pop_front();
        }
        None
    }

    pub(super) fn is_full(&self) -> bool {
        self.unacknowledged >= SIGNALS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn is_forgotten(&self, leg: LegId) -> bool {
        self.forgotten.known.contains(&leg)
    }

    pub(super) fn get_mut(&mut self, leg: LegId) -> Option<&mut Entry> {
        self.entries.get_mut(&leg)
    }

    pub(super) fn get(&self, leg: LegId) -> Option<&Entry> {
        self.entries.get(&leg)
    }

    pub(super) fn by_dialog(&self, key: &DialogKey) -> Option<LegId> {
        self.by_dialog.get(key).copied()
    }

    /// The legs that are reached over a connection.
    pub(super) fn over(&self, flow: &Flow) -> impl Iterator<Item = LegId> + '_ {
        debug_assert!(self.is_true_of(flow), "the index of flows is not true");
        self.by_flow.over(flow)
    }

    /// Whether the index says of a connection what every leg says.
    fn is_true_of(&self, flow: &Flow) -> bool {
        let is_over = |entry: &Entry| entry.leg.as_ref().is_some_and(|leg| leg.flow() == flow);
        let walked = self.entries.iter().filter(|(_, entry)| is_over(entry)).map(|(id, _)| *id);
        !flow.transport.is_reliable()
            || walked.collect::<BTreeSet<LegId>>() == self.by_flow.over(flow).collect::<BTreeSet<LegId>>()
    }

    /// A leg is reached over another connection from now on.
    pub(super) fn move_to(&mut self, id: LegId, flow: &Flow) {
        if let Some(leg) = self.entries.get_mut(&id).and_then(|entry| entry.leg.as_mut()) {
            leg.move_to(flow.clone());
            self.note_flow(id);
        }
    }

    fn note_flow(&mut self, id: LegId) {
        let leg = self.entries.get(&id).and_then(|entry| entry.leg.as_ref());
        self.by_flow.put(id, leg.map(Leg::flow));
    }

    /// In the order in which they were made.
    pub(super) fn ids(&self) -> Vec<LegId> {
        let mut ids: Vec<_> = self.entries.keys().copied().collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn live_ids(&self) -> Vec<LegId> {
        let mut ids = self.ids();
        ids.retain(|id| self.entries.get(id).is_some_and(|entry| entry.leg.is_some()));
        ids
    }

    pub(super) fn held(&self) -> Vec<HeldLeg> {
        let held = |id: LegId| {
            let entry = self.entries.get(&id)?;
            Some(HeldLeg { leg: id, tenant: entry.tenant.clone(), last_command_n: entry.last_command_n })
        };
        self.ids().into_iter().filter_map(held).collect()
    }

    pub(super) fn is_merged(&self, key: &MergeKey) -> bool {
        self.merges.contains(key)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.timers.first().map(|(at, _)| *at)
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<LegId> {
        let (at, leg) = *self.timers.first()?;
        if at > now {
            return None;
        }
        self.timers.pop_first();
        if let Some(entry) = self.entries.get_mut(&leg) {
            entry.timer = None;
        }
        Some(leg)
    }

    /// Adds a leg; without a user agent it exists only to say that it has ended.
    pub(super) fn insert(&mut self, id: LegId, tenant: TenantId, leg: Option<Leg>, merge: Option<MergeKey>) {
        let dialog = leg.as_ref().map(Leg::dialog_key);
        if let Some(dialog) = &dialog {
            self.by_dialog.insert(dialog.clone(), id);
        }
        self.merges.extend(merge.clone());
        self.live += usize::from(leg.is_some());
        let entry = Entry {
            tenant,
            leg,
            outbox: Outbox::default(),
            last_command_n: 0,
            resumed: false,
            held: BTreeMap::new(),
            dialog,
            merge,
            timer: None,
        };
        self.entries.insert(id, entry);
        self.note_flow(id);
    }

    /// A leg has been taken up after a restart.
    pub(super) fn resume(&mut self, id: LegId, last_signal_n: u64) {
        if let Some(entry) = self.entries.get_mut(&id) {
            entry.resumed = true;
            entry.outbox.resume(last_signal_n);
        }
    }

    /// The first command for a leg that was taken up is the next one, whatever its number.
    pub(super) fn begin_commands(&mut self, id: LegId, n: u64) {
        if let Some(entry) = self.entries.get_mut(&id).filter(|entry| entry.resumed) {
            (entry.resumed, entry.last_command_n) = (false, n.saturating_sub(1));
        }
    }

    /// A leg begins anew, as another dialog. Gives back what it was.
    pub(super) fn replace(&mut self, id: LegId, leg: Leg) -> Option<Leg> {
        let entry = self.entries.get_mut(&id)?;
        let dialog = leg.dialog_key();
        let former = entry.leg.replace(leg);
        if let Some(before) = entry.dialog.replace(dialog.clone()) {
            self.by_dialog.remove(&before);
        }
        self.by_dialog.insert(dialog, id);
        self.note_flow(id);
        former
    }

    /// Something was done with a leg: when it wants to be called, and over what it was heard, may have changed.
    fn reschedule(&mut self, id: LegId) {
        self.note_flow(id);
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let next = entry.leg.as_ref().and_then(Leg::poll_timeout).map(|(at, _)| at);
        if entry.timer != next {
            if let Some(at) = entry.timer {
                self.timers.remove(&(at, id));
            }
            entry.timer = next;
            self.timers.extend(next.map(|at| (at, id)));
        }
    }

    /// The user agent is done.
    fn finish(&mut self, id: LegId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        if entry.leg.take().is_some() {
            self.live -= 1;
        }
        if let Some(dialog) = entry.dialog.take() {
            self.by_dialog.remove(&dialog);
        }
        if let Some(merge) = entry.merge.take() {
            self.merges.remove(&merge);
        }
        self.reschedule(id);
    }

    /// Takes the acknowledgement of a leg's signals; gives back when each was kept.
    pub(super) fn acknowledge(&mut self, id: LegId, n: u64) -> Vec<Instant> {
        let Some(entry) = self.entries.get_mut(&id) else { return Vec::new() };
        let kept_at = entry.outbox.acknowledge(n);
        self.unacknowledged -= kept_at.len();
        kept_at
    }

    /// The owner wants to hear nothing more of a leg.
    pub(super) fn close_outbox(&mut self, id: LegId) {
        if let Some(entry) = self.entries.get_mut(&id) {
            self.unacknowledged -= entry.outbox.close();
        }
    }

    /// Forgets a leg of which nothing is left to do or to tell.
    pub(super) fn forget_if_done(&mut self, id: LegId) {
        let done =
            |entry: &Entry| entry.leg.is_none() && entry.outbox.len() == 0 && entry.outbox.is_complete();
        if self.entries.get(&id).is_some_and(done) {
            self.entries.remove(&id);
            self.forgotten.add(id);
        }
    }

    fn keep(&mut self, id: LegId, signal: LegSignal, now: Instant) {
        if let Some(entry) = self.entries.get_mut(&id) {
            if matches!(signal.kind, LegSignalKind::Offered(_)) {
                self.offered.push_back((now, id));
            }
            entry.outbox.keep(signal, now);
            self.unacknowledged += 1;
        }
    }
}

impl Forgotten {
    fn add(&mut self, leg: LegId) {
        if self.known.insert(leg) {
            self.order.push_back(leg);
        }
        if self.order.len() > FORGOTTEN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

impl Agent {
    /// Does something with a leg and carries out what comes of it.
    pub(super) fn with_leg(&mut self, id: LegId, now: Instant, act: impl FnOnce(&mut Leg)) {
        if let Some(leg) = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()) {
            act(leg);
            self.settle_leg(id, now);
        }
    }

    /// Carries out everything that a leg wants done.
    pub(super) fn settle_leg(&mut self, id: LegId, now: Instant) {
        while let Some(output) =
            self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()).and_then(Leg::poll_output)
        {
            if let Some(output) = self.waits_for_store(id, output) {
                self.carry_out(id, output, now);
            }
        }
        self.legs.reschedule(id);
        self.legs.forget_if_done(id);
    }

    pub(super) fn carry_out(&mut self, id: LegId, output: LegOutput, now: Instant) {
        match output {
            LegOutput::Respond { tx, response } => self.respond(tx, response, now),
            LegOutput::Request { flow, request } => {
                let (flow, request) = self.towards_carrier(id, flow, request);
                if let Some((flow, request)) = self.goes_now(id, flow, request, now) {
                    self.send_request(id, flow, request, now);
                }
            }
            LegOutput::Ack { flow, request } => {
                let (flow, request) = self.towards_carrier(id, flow, request);
                self.parts.transactions.send_ack(&request, &flow);
            }
            LegOutput::Again { flow, response } => self.parts.transactions.send_again(&response, &flow),
            LegOutput::Refer { to, replaces } => self.refer(id, to, replaces, now),
            LegOutput::Signal(kind) => {
                if !self.takes_next_way(id, &kind, now) {
                    self.signal(id, kind, now);
                }
            }
            LegOutput::OfferedOtherwise { status, secured } => {
                self.note_second_offer(id, (status, secured), now)
            }
            LegOutput::Finished => {
                self.legs.finish(id);
                self.outgoing.forget_leg(id);
                self.trunking.call_over(id);
                self.trunking.forget(id);
                self.forget_dialog(id);
            }
        }
    }

    /// Numbers a signal, keeps it and passes it on.
    pub(super) fn signal(&mut self, id: LegId, kind: LegSignalKind, now: Instant) {
        let full = self.legs.is_full();
        if let LegSignalKind::Ended(termination) = &kind {
            self.note_end(id, termination);
            self.note_failed_contact(id, termination);
        }
        let Some(entry) = self.legs.get(id) else { return };
        let Some(n) = entry.outbox.number(&kind, full) else {
            if !entry.outbox.is_complete() {
                self.parts.telemetry.signalling.signals_lost.inc();
            }
            return;
        };
        let tenant = entry.tenant.clone();
        let trunk = self.trunking.last_of(id).map(Into::into);
        let signal = LegSignal { boot: self.parts.boot, leg: id, tenant, n, at: wall_clock(), trunk, kind };
        self.legs.keep(id, signal, now);
        self.upstream.say(Said::Signal { leg: id, n });
    }

    fn note_end(&self, id: LegId, termination: &Termination) {
        let cause = termination.cause.label();
        self.parts.telemetry.signalling.legs_ended.with_label_values(&[cause]).inc();
        let call = self.parts.ladder.call_of(id);
        tracing::debug!(leg = %id, ?call, cause, status = termination.sip_status, "leg ended");
    }

    /// A phone is asked twice. Each time is counted, and said now and then: of the last one the leg and the call are named.
    fn note_second_offer(&mut self, id: LegId, (status, secured): (u16, bool), now: Instant) {
        let offered = if secured { "srtp" } else { "plain" };
        self.parts.telemetry.signalling.second_offers.with_label_values(&[offered]).inc();
        let call = self.parts.ladder.call_of(id);
        tracing::debug!(leg = %id, ?call, status, offered, "refused, and offered otherwise");
        let reason = if secured { "offered_srtp" } else { "offered_plain" };
        if let Some(count) = self.said.note(reason, now) {
            tracing::info!(leg = %id, ?call, status, offered, count,
                "phones refused the first offer of media and were called again: media_encryption of their device or trunk spares them that");
        }
    }

    /// A leg that cannot be: it says so and is gone.
    pub(super) fn stillborn(&mut self, id: LegId, tenant: TenantId, termination: Termination, now: Instant) {
        self.legs.insert(id, tenant, None, None);
        self.signal(id, LegSignalKind::Ended(termination), now);
    }

    /// Ends a leg of our own accord.
    pub(super) fn end_leg(&mut self, id: LegId, termination: Termination, now: Instant) {
        self.with_leg(id, now, |leg| {
            // One that is ending already needs no second order.
            let _already = leg.handle_command(LegCommandKind::End(termination), now);
        });
    }
}

const FORGOTTEN_MAX: usize = 16_384;
/// The number of a leg's first signal, which an incoming call's `Offered` is.
const FIRST_SIGNAL: u64 = 1;

#[cfg(test)]
#[path = "legs_tests.rs"]
mod tests;
