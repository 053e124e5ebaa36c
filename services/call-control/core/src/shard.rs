//! The state of a shard, and how a step is made of it.

use std::collections::{BTreeMap, BTreeSet};

use sidetone_model::command::{LegCommand, LegCommandKind};
use sidetone_model::fact::{CompletedCommand, Fact, FactKind, FactRecord, SignalCursor};
use sidetone_model::fold::{Fold, LegView};
use sidetone_model::ids::{BootId, IdSource, LegId, NodeId, PlaybackId, RecordingId, ReplicaId, TenantId};
use sidetone_model::time::Timestamp;

use crate::control::LegControl;
use crate::effect::{Effect, MediaRequest, Step};
use crate::input::Limits;
use crate::mailbox::Listening;
use crate::moving::{Gathering, GatheringId};
use crate::recording::Unfinished;
use crate::repeated::Invites;
use crate::sounds::Unanswered;

/// One shard.
#[derive(Debug)]
pub struct Shard {
    pub(crate) fold: Fold,
    pub(crate) legs: BTreeMap<LegId, LegControl>,
    pub(crate) completed: BTreeMap<(TenantId, Box<str>), CompletedCommand>,
    /// Their keys in the order in which they are forgotten.
    completed_by_age: BTreeSet<(Timestamp, (TenantId, Box<str>))>,
    /// Legs that no replica has shown to hold, since when.
    pub(crate) missing: BTreeMap<LegId, Timestamp>,
    /// Phones that we call and that have not answered, by the time since when.
    pub(crate) alerting: BTreeSet<(Timestamp, LegId)>,
    /// Until when phones ring before others are called. Those that no longer ring stay until then.
    pub(crate) hunting: BTreeSet<(Timestamp, LegId)>,
    /// Until when applications may decide about callers who wait.
    pub(crate) deciding: BTreeSet<(Timestamp, LegId)>,
    /// Until when phones may be silent that have other flows. Those that said something stay until then.
    pub(crate) silent_flows: BTreeSet<(Timestamp, LegId)>,
    /// Legs that leave a message, by the time since when. After a restart it begins anew.
    pub(crate) messages: BTreeSet<(Timestamp, LegId)>,
    /// Until when whoever is in a mailbox may take to press the next digit, or to speak a greeting.
    pub(crate) choosing: BTreeSet<(Timestamp, LegId)>,
    /// What users hear who listen to their voicemail.
    pub(crate) listening: BTreeMap<PlaybackId, Listening>,
    /// What single legs hear of a playback to all of a call, by its own name: the playback. Folded from the log.
    pub(crate) hearing: BTreeMap<PlaybackId, PlaybackId>,
    /// Legs that replicas hold and that are not known here, since when.
    pub(crate) unknown: BTreeMap<(ReplicaId, LegId), Timestamp>,
    /// By which INVITEs calls came in, so that none makes two. After a restart those before are not known.
    pub(crate) invites: Invites,
    /// Legs that media nodes hold and that are not known here, since when.
    pub(crate) unknown_media: BTreeMap<(NodeId, LegId), Timestamp>,
    /// Nodes that hold something according to the folded log, and have not shown themselves since when.
    pub(crate) missing_nodes: BTreeMap<NodeId, Timestamp>,
    /// Recordings whose node is gone, and that somebody has been asked to finish. After a restart they are asked for again.
    pub(crate) unfinished: BTreeMap<RecordingId, Unfinished>,
    /// Playbacks that nodes were asked for and have not answered.
    pub(crate) unanswered: Unanswered,
    /// Legs on their way to other media nodes. After a restart they are led back.
    pub(crate) gatherings: BTreeMap<GatheringId, Gathering>,
    pub(crate) gathered: u64,
    /// When time was last an input.
    pub(crate) seen_at: Timestamp,
    pub(crate) limits: Limits,
    pub(crate) ids: IdSource,
    pub(crate) last_fact_at: Timestamp,
    /// Until when the process before this one is known to have run.
    pub(crate) ran_until: Timestamp,
    /// When conversations in which nobody is were last looked for.
    pub(crate) conversations_swept: Timestamp,
    step: Step,
}

impl Shard {
    /// A shard with an empty log. `seed` makes the ids it gives.
    pub fn new(limits: Limits, seed: [u8; 32]) -> Self {
        Self {
            fold: Fold::default(),
            legs: BTreeMap::new(),
            completed: BTreeMap::new(),
            completed_by_age: BTreeSet::new(),
            missing: BTreeMap::new(),
            alerting: BTreeSet::new(),
            hunting: BTreeSet::new(),
            deciding: BTreeSet::new(),
            silent_flows: BTreeSet::new(),
            messages: BTreeSet::new(),
            choosing: BTreeSet::new(),
            listening: BTreeMap::new(),
            hearing: BTreeMap::new(),
            unknown: BTreeMap::new(),
            invites: Invites::default(),
            unknown_media: BTreeMap::new(),
            missing_nodes: BTreeMap::new(),
            unfinished: BTreeMap::new(),
            unanswered: Unanswered::default(),
            gatherings: BTreeMap::new(),
            gathered: 0,
            seen_at: Timestamp::default(),
            limits,
            ids: IdSource::seeded(seed),
            last_fact_at: Timestamp::default(),
            ran_until: Timestamp::default(),
            conversations_swept: Timestamp::default(),
            step: Step::default(),
        }
    }

    /// Takes a record of the log in, in its order, before any input. After the last one call
    /// [`Shard::begin`].
    pub fn replay(&mut self, record: &FactRecord) {
        for fact in &record.facts {
            self.take_in(fact);
        }
        for cursor in &record.consumed {
            self.take_in_cursor(*cursor);
        }
        for command in &record.commands {
            self.take_in_command(command);
        }
        if let Some(completed) = &record.completed {
            self.take_in_completed(completed.clone());
        }
    }

    /// What the log says.
    pub fn fold(&self) -> &Fold {
        &self.fold
    }

    /// Whether two shards have folded the same log: all that is durable is equal.
    pub fn is_same_log(&self, other: &Self) -> bool {
        let durable = |shard: &Self| -> Vec<_> {
            shard.legs.iter().map(|(leg, control)| (*leg, control.durable.clone())).collect()
        };
        self.fold == other.fold && self.completed == other.completed && durable(self) == durable(other)
    }

    /// Whether a command of this key was carried out and is remembered: a repeated one is answered as the first was.
    pub fn remembers(&self, tenant: &TenantId, key: &str) -> bool {
        self.completed.contains_key(&(tenant.clone(), key.into()))
    }

    /// Ends an input: what has gathered.
    pub(crate) fn finish(&mut self) -> Step {
        std::mem::take(&mut self.step)
    }

    pub(crate) fn fact(&mut self, tenant: &TenantId, now: Timestamp, kind: FactKind) {
        // Clocks step back; facts do not.
        let at = now.max(self.last_fact_at);
        let fact = Fact { tenant: tenant.clone(), at, kind };
        self.take_in(&fact);
        self.step.record.facts.push(fact);
    }

    pub(crate) fn command(&mut self, leg: &LegView, kind: LegCommandKind) {
        let n = self.legs.get(&leg.leg).map_or(0, |control| control.durable.commanded) + 1;
        let command =
            LegCommand { replica: leg.replica.clone(), tenant: leg.tenant.clone(), leg: leg.leg, n, kind };
        if matches!(command.kind, LegCommandKind::Reoffer { .. }) {
            let offered_at = self.seen_at.max(self.last_fact_at);
            let passing = &mut self.control(leg.leg).passing;
            // Signalling makes one of all that wait behind the one that is under way.
            (passing.offers_open, passing.offered_at) = ((passing.offers_open + 1).min(2), offered_at);
        }
        self.take_in_command(&command);
        self.step.record.commands.push(command);
    }

    pub(crate) fn consumed(&mut self, cursor: SignalCursor) {
        self.take_in_cursor(cursor);
        self.step.record.consumed.push(cursor);
    }

    pub(crate) fn complete(&mut self, completed: CompletedCommand) {
        self.take_in_completed(completed.clone());
        self.step.record.completed = Some(completed);
    }

    pub(crate) fn effect(&mut self, effect: Effect) {
        self.step.effects.push(effect);
    }

    /// Asks the node that holds a leg.
    pub(crate) fn ask(&mut self, leg: &LegView, request: MediaRequest) {
        if let Some((node, _)) = &leg.node {
            self.ask_node(node.clone(), request);
        }
    }

    pub(crate) fn ask_node(&mut self, node: NodeId, request: MediaRequest) {
        self.unanswered.asked(&request);
        self.effect(Effect::Media { node, request });
    }

    pub(crate) fn control(&mut self, leg: LegId) -> &mut LegControl {
        self.legs.entry(leg).or_default()
    }

    /// A live leg, as a value of its own: steps change the fold while they look at it.
    pub(crate) fn live(&self, leg: LegId) -> Option<LegView> {
        self.fold.leg(leg).filter(|view| view.is_live()).cloned()
    }

    /// Whether we have told signalling to end a leg.
    pub(crate) fn is_ending(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|control| control.durable.end_command.is_some())
    }

    fn take_in(&mut self, fact: &Fact) {
        self.last_fact_at = self.last_fact_at.max(fact.at);
        self.no_longer_deciding(&fact.kind);
        self.fold.apply(fact);
        match &fact.kind {
            FactKind::LegCreated { leg, boot, incoming, .. } => {
                self.control(*leg).durable.boot = *boot;
                if !incoming {
                    self.alerting.insert((fact.at, *leg));
                }
            }
            FactKind::LegAnswered { leg } => self.no_longer_alerting(*leg),
            FactKind::DecisionOpened { leg, deadline, .. } => drop(self.deciding.insert((*deadline, *leg))),
            FactKind::RecordingStarted { legs, name, .. } if name.starts_with("voicemail/") => {
                self.messages.extend(legs.iter().map(|leg| (fact.at, *leg)));
            }
            FactKind::PlaybackStarted { playback, call, leg: None, .. } => {
                self.note_hearers(*playback, *call)
            }
            FactKind::PlaybackMoved { playback, legs, .. } => self.note_hearers_moved(*playback, legs),
            FactKind::PlaybackFinished { playback, .. } => self.hearing.retain(|_, of| of != playback),
            // Who has ended is of no further concern.
            FactKind::LegEnded { leg, .. } => {
                self.no_longer_alerting(*leg);
                self.missing.remove(leg);
                self.no_longer_choosing(*leg);
                self.legs.remove(leg);
                self.invites.over(*leg, fact.at);
                self.listening.retain(|_, it| it.leg != *leg);
                self.forget_hearer(*leg);
            }
            _ => {}
        }
    }

    /// Before a fact that closes a decision is taken in.
    fn no_longer_deciding(&mut self, kind: &FactKind) {
        let (FactKind::DecisionClosed { leg, .. }
        | FactKind::LegAnswered { leg }
        | FactKind::LegEnded { leg, .. }) = kind
        else {
            return;
        };
        if let Some(decision) = self.fold.leg(*leg).and_then(|view| view.decision.as_ref()) {
            self.deciding.remove(&(decision.deadline, *leg));
        }
    }

    fn no_longer_alerting(&mut self, leg: LegId) {
        if let Some(view) = self.fold.leg(leg) {
            self.alerting.remove(&(view.created_at, leg));
        }
    }

    /// Whether a leg is over. In a record its end stands before the cursors and commands of the same step, which must
    /// not bring it back.
    pub(crate) fn is_over(&self, leg: LegId) -> bool {
        self.fold.leg(leg).is_some_and(|view| !view.is_live())
    }

    fn take_in_cursor(&mut self, cursor: SignalCursor) {
        if self.is_over(cursor.leg) {
            return;
        }
        let durable = &mut self.control(cursor.leg).durable;
        durable.consumed = durable.consumed.max(cursor.n);
        durable.boot = Some(cursor.boot);
    }

    fn take_in_command(&mut self, command: &LegCommand) {
        if self.is_over(command.leg) {
            return;
        }
        let durable = &mut self.control(command.leg).durable;
        // A snapshot may hold a command twice: as the last one, and among those not acknowledged.
        let again = command.n <= durable.commanded;
        if matches!(command.kind, LegCommandKind::End(_) | LegCommandKind::Deflect { .. }) {
            durable.end_command.get_or_insert_with(|| command.clone());
        }
        let describes = matches!(
            command.kind,
            LegCommandKind::Reoffer { .. } | LegCommandKind::AnswerReoffer { media: Some(_) }
        );
        let newer = durable.described.as_ref().is_none_or(|last| last.n <= command.n);
        if describes && newer {
            durable.described = Some(command.clone());
        }
        if command.n >= durable.commanded {
            durable.commanded = command.n;
            durable.last_command = Some(command.clone());
        }
        if !again {
            self.control(command.leg).passing.unacknowledged.push_back(command.clone());
        }
    }

    fn take_in_completed(&mut self, completed: CompletedCommand) {
        let key = (completed.tenant.clone(), completed.key.clone());
        self.completed_by_age.insert((completed.at, key.clone()));
        self.completed.insert(key, completed);
    }

    /// Commands are remembered for a time only. Only the oldest are looked at: there are millions of others.
    pub(crate) fn forget_commands(&mut self, now: Timestamp) {
        while let Some((at, _)) = self.completed_by_age.first()
            && now.since(*at) >= self.limits.idempotency
        {
            if let Some((_, key)) = self.completed_by_age.pop_first() {
                self.completed.remove(&key);
            }
        }
    }

    pub(crate) fn boot_of(&self, leg: LegId) -> Option<BootId> {
        self.legs.get(&leg).and_then(|control| control.durable.boot)
    }
}
