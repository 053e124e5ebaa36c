//! The loop.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sidetone_call_core::{CommandError, Effect, GatheringId, MediaRequest, Shard, Step};
use sidetone_model::fact::{CommandSubject, FactKind, FactRecord};
use sidetone_model::ids::{BootId, LegId, ReplicaId, ShardId, TenantId};
use sidetone_model::signal::{LegSignal, OwnerMessage};
use sidetone_model::time::Timestamp;
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::input::{Input, Life};
use super::log::{Log, LogError};
use super::replicas::{ReplicaInfo, Replicas};
use super::waiting::{Asked, Waiting};
use super::watchers::Watchers;
use crate::clock;
use crate::devices::Finder;
use crate::nodes::Nodes;
use crate::waiting::Mailboxes;

/// Inputs taken into one round at most, so that nobody waits long for an append.
const ROUND_MAX: usize = 256;
/// How often time itself is an input, at most this late.
const TICK: Duration = Duration::from_millis(250);

/// What an owner is made of.
pub(crate) struct OwnerParts {
    pub(crate) boot: BootId,
    pub(crate) shards: Vec<(Shard, Log)>,
    pub(crate) inputs: mpsc::Receiver<Input>,
    pub(crate) nodes: Arc<Nodes>,
    pub(crate) telemetry: Arc<Telemetry>,
    pub(crate) snapshot_records: u64,
    pub(crate) replica_infos: Arc<Mutex<Vec<ReplicaInfo>>>,
    pub(crate) mailboxes: Mailboxes,
    pub(crate) finder: Finder,
}

/// What follows from a step once it is durable.
enum Then {
    Effects(usize, Vec<Effect>),
    Commands(Vec<sidetone_model::command::LegCommand>),
    Reply(oneshot::Sender<Result<CommandSubject, CommandError>>, Result<CommandSubject, CommandError>),
}

/// The only writer.
pub(crate) struct Owner {
    parts: OwnerParts,
    replicas: Replicas,
    records: Vec<Vec<FactRecord>>,
    then: Vec<Then>,
    waiting: Waiting,
    watchers: Watchers,
}

impl Owner {
    pub(crate) fn new(parts: OwnerParts) -> Self {
        let records = parts.shards.iter().map(|_| Vec::new()).collect();
        Self {
            parts,
            replicas: Replicas::default(),
            records,
            then: Vec::new(),
            waiting: Waiting::default(),
            watchers: Watchers::default(),
        }
    }

    /// Runs until it is to stop, between two rounds, or until the log is lost.
    pub(crate) async fn run(mut self, stopping: CancellationToken) -> Result<(), LogError> {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                input = self.parts.inputs.recv() => {
                    let Some(input) = input else { return Ok(()) };
                    self.take(input, clock::now());
                    for _ in 1..ROUND_MAX {
                        let Ok(input) = self.parts.inputs.try_recv() else { break };
                        self.take(input, clock::now());
                    }
                }
                _ = tick.tick() => self.pass_time(clock::now()),
                () = stopping.cancelled() => return Ok(()),
            }
            self.commit().await?;
            self.carry_out();
            self.tell_watchers();
        }
    }

    fn pass_time(&mut self, now: Timestamp) {
        for index in 0..self.parts.shards.len() {
            let step = self.parts.shards[index].0.handle_timeout(now);
            self.keep(index, step);
        }
        self.show_gauges();
    }

    fn shard_of(&self, tenant: &TenantId) -> usize {
        usize::from(ShardId::of(tenant, self.parts.shards.len() as u16).0)
    }

    fn shard_of_leg(&self, leg: LegId) -> Option<usize> {
        self.parts.shards.iter().position(|(shard, _)| shard.fold().leg(leg).is_some())
    }

    /// Makes a step of an input.
    fn take(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Signal { replica, signal, routing } => self.on_signal(replica, signal, routing, now),
            Input::Command { command, fingerprint, from, to, until, reply } => {
                self.on_command(Asked { command, fingerprint, from, to, until, replies: vec![reply] }, now);
            }
            Input::Media { shard, node, request, answer } => {
                let step = self.parts.shards[shard].0.handle_media(&node, request, answer, now);
                self.keep(shard, step);
            }
            Input::Device { tenant, user, device, contacts } => {
                let index = self.shard_of(&tenant);
                let shard = &mut self.parts.shards[index].0;
                let step = shard.handle_device_state(&tenant, (&user, &device), &contacts, now);
                self.keep(index, step);
            }
            Input::Waiting { replica, waiting } => {
                self.replicas.offer(&replica, OwnerMessage::MessagesWaiting(waiting));
            }
            Input::Watch { replica, watch } => {
                if !self.watchers.handle_watch(&replica, watch) {
                    self.count_watched("refused", 1);
                }
            }
            Input::Look(look) => {
                let shards: Vec<&Shard> = self.parts.shards.iter().map(|(shard, _)| shard).collect();
                look(&shards);
            }
            Input::Hello { .. }
            | Input::Applied { .. }
            | Input::ReplicaDraining { .. }
            | Input::ReplicaGone { .. } => self.on_replica(input, now),
            other => self.on_node(other, now),
        }
    }

    fn on_signal(
        &mut self,
        replica: ReplicaId,
        signal: LegSignal,
        routing: Option<sidetone_call_core::Routing>,
        now: Timestamp,
    ) {
        let index = self.shard_of(&signal.tenant);
        let step = self.parts.shards[index].0.handle_signal(&replica, signal, routing, now);
        self.keep(index, step);
    }

    fn on_command(&mut self, asked: Asked, now: Timestamp) {
        if asked.until <= Instant::now() {
            return self.refuse_late(asked);
        }
        let index = self.shard_of(&asked.command.tenant);
        let Some(asked) = self.waiting.join(index, asked) else { return };
        match self.parts.shards[index].0.gather(&asked.command, now) {
            Some((gathering, step)) => {
                self.waiting.keep(index, gathering, asked);
                self.keep(index, step);
            }
            None => self.carry_out_command(index, asked, now),
        }
    }

    /// Whoever asked has been told that it was not carried out, and may have done something else instead.
    fn refuse_late(&mut self, asked: Asked) {
        self.parts.telemetry.call_control.commands_expired.inc();
        let late = || Err(CommandError::TooLate);
        self.then.extend(asked.replies.into_iter().map(|reply| Then::Reply(reply, late())));
    }

    fn carry_out_command(&mut self, index: usize, asked: Asked, now: Timestamp) {
        let Asked { command, fingerprint, from, to, replies, .. } = asked;
        let outcome = self.parts.shards[index].0.handle_command(&command, fingerprint, from, to, now);
        let answer = outcome.map(|(subject, step)| {
            self.keep(index, step);
            subject
        });
        self.then.extend(replies.into_iter().map(|reply| Then::Reply(reply, answer)));
    }

    /// The legs that a command needs together are together, or will not be.
    fn on_gathered(
        &mut self,
        index: usize,
        (gathering, outcome): (GatheringId, Result<(), CommandError>),
        now: Timestamp,
    ) {
        let result = outcome.as_ref().map_or_else(sidetone_model::classify::Classify::reason, |()| "ok");
        self.parts.telemetry.call_control.gatherings.with_label_values(&[result]).inc();
        if let Some(asked) = self.waiting.take(index, gathering) {
            match outcome {
                Ok(()) if asked.until <= Instant::now() => self.refuse_late(asked),
                Ok(()) => self.carry_out_command(index, asked, now),
                Err(why) => {
                    self.then.extend(asked.replies.into_iter().map(|reply| Then::Reply(reply, Err(why))));
                }
            }
        }
        let step = self.parts.shards[index].0.end_gathering(gathering);
        self.keep(index, step);
    }

    fn on_replica(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::Hello { hello, stream } => {
                self.watchers.forget_replica(&hello.replica);
                self.replicas.attach(hello.replica.clone(), hello.boot, stream);
                self.replicas.send(&hello.replica, OwnerMessage::Welcome { boot: self.parts.boot });
                for index in 0..self.parts.shards.len() {
                    // A shard hears of its own tenants' legs only: the others would be unknown to it.
                    let mut own = hello.clone();
                    own.legs.retain(|leg| self.shard_of(&leg.tenant) == index);
                    let step = self.parts.shards[index].0.handle_hello(&own, now);
                    self.keep(index, step);
                }
            }
            Input::Applied { leg, n } => {
                if let Some(index) = self.shard_of_leg(leg) {
                    self.parts.shards[index].0.handle_applied(leg, n);
                }
            }
            Input::ReplicaDraining { replica } => self.replicas.set_draining(&replica),
            Input::ReplicaGone { replica, stream } if self.replicas.detach(&replica, stream) => {
                self.watchers.forget_replica(&replica);
                for (shard, _) in &mut self.parts.shards {
                    shard.handle_replica_gone(&replica, now);
                }
            }
            _ => {}
        }
        self.show_replicas();
    }

    fn on_node(&mut self, input: Input, now: Timestamp) {
        match input {
            Input::NodeLegs { node, boot, held, sounds } => {
                for index in 0..self.parts.shards.len() {
                    let own: Vec<_> =
                        held.iter().filter(|leg| self.is_for(index, leg.leg)).cloned().collect();
                    let step = self.parts.shards[index].0.handle_node_legs(&node, boot, &own, now);
                    self.keep(index, step);
                    if let Some(sounds) = &sounds {
                        let step = self.parts.shards[index].0.handle_node_sounds(&node, sounds, now);
                        self.keep(index, step);
                    }
                }
            }
            Input::EndCalls => {
                for index in 0..self.parts.shards.len() {
                    let step = self.parts.shards[index].0.handle_shutdown(now);
                    self.keep(index, step);
                }
            }
            Input::NodeLost { node, boot } => {
                for index in 0..self.parts.shards.len() {
                    let step = self.parts.shards[index].0.handle_node_lost(&node, boot, now);
                    self.keep(index, step);
                }
            }
            Input::LegFailed { leg, on, reason } => {
                self.with_leg_on(leg, on, |shard| shard.handle_leg_failed(leg, &reason))
            }
            Input::LegTimedOut { leg, on } => {
                self.with_leg_on(leg, on, |shard| shard.handle_leg_timed_out(leg))
            }
            Input::LegLifeless { leg, on } => {
                self.with_leg_on(leg, on, |shard| shard.handle_leg_lifeless(leg))
            }
            Input::Digit { leg, digit, duration_ms } => {
                self.with_leg(leg, |shard| shard.handle_digit(leg, digit, duration_ms, now));
            }
            Input::PlaybackFinished { playback, end } => {
                let mut shards = self.parts.shards.iter();
                if let Some(index) = shards.position(|(shard, _)| shard.plays(playback)) {
                    let step = self.parts.shards[index].0.handle_playback_finished(playback, end, now);
                    self.keep(index, step);
                }
            }
            Input::StreamEnded { node, stream } => {
                let mut shards = self.parts.shards.iter();
                if let Some(index) = shards.position(|(shard, _)| shard.fold().stream(stream).is_some()) {
                    let step = self.parts.shards[index].0.handle_stream_ended(&node, stream, now);
                    self.keep(index, step);
                }
            }
            Input::RecordingFinished { node, finished } => {
                let id = finished.recording;
                let mut shards = self.parts.shards.iter();
                if let Some(index) = shards.position(|(shard, _)| shard.fold().recording(id).is_some()) {
                    let step = self.parts.shards[index].0.handle_recording_finished(&node, finished, now);
                    self.keep(index, step);
                } else {
                    // Of a call that is forgotten: it would be told again for ever.
                    self.parts.nodes.ask(0, node, MediaRequest::AckRecording { recording: id });
                }
            }
            _ => {}
        }
    }

    /// Whether a leg that a node holds is a shard's affair; what nobody knows is the first one's.
    fn is_for(&self, index: usize, leg: LegId) -> bool {
        self.shard_of_leg(leg).unwrap_or(0) == index
    }

    fn with_leg(&mut self, leg: LegId, handle: impl FnOnce(&mut Shard) -> Step) {
        if let Some(index) = self.shard_of_leg(leg) {
            let step = handle(&mut self.parts.shards[index].0);
            self.keep(index, step);
        }
    }

    /// The same where the leg is on that node, in that life: of one that has moved on the old node knows nothing, and its port may
    /// be there for a while.
    fn with_leg_on(&mut self, leg: LegId, on: Life, handle: impl FnOnce(&mut Shard) -> Step) {
        let index = self.shard_of_leg(leg);
        let view = index.and_then(|index| self.parts.shards[index].0.fold().leg(leg));
        if view.is_some_and(|view| view.node.as_ref().is_none_or(|present| *present == on)) {
            self.with_leg(leg, handle);
        }
    }

    /// Puts a step with those that are to be appended.
    fn keep(&mut self, index: usize, step: Step) {
        let Step { record, effects } = step;
        let (resend, effects): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Resend { .. }));
        let gathered = |effect: &Effect| match effect {
            Effect::Gathered { gathering, outcome } => Some((*gathering, *outcome)),
            _ => None,
        };
        let gathered: Vec<_> = effects.iter().filter_map(gathered).collect();
        if !resend.is_empty() {
            self.then.push(Then::Effects(index, resend));
        }
        if !record.commands.is_empty() {
            self.then.push(Then::Commands(record.commands.clone()));
        }
        if !effects.is_empty() {
            self.then.push(Then::Effects(index, effects));
        }
        if record != FactRecord::default() {
            self.count(index, &record);
            self.watchers.note(self.parts.shards[index].0.fold(), &record.facts);
            self.records[index].push(record);
        }
        for gathered in gathered {
            self.on_gathered(index, gathered, clock::now());
        }
    }

    async fn commit(&mut self) -> Result<(), LogError> {
        let began = std::time::Instant::now();
        let mut appended = false;
        let appends = self.parts.shards.iter_mut().zip(&mut self.records).map(|((_, log), records)| {
            let records = std::mem::take(records);
            appended |= !records.is_empty();
            async move { if records.is_empty() { Ok(()) } else { log.append(records).await } }
        });
        let appends: Vec<_> = appends.collect();
        for outcome in futures_util::future::join_all(appends).await {
            if let Err(error) = &outcome {
                self.parts
                    .telemetry
                    .call_control
                    .fenced
                    .inc_by(u64::from(matches!(error, LogError::Fenced { .. })));
            }
            outcome?;
        }
        if appended {
            self.parts.telemetry.call_control.append.observe(began.elapsed().as_secs_f64());
            let every = self.parts.snapshot_records;
            for (shard, log) in &mut self.parts.shards {
                log.snapshot_if_due(every, shard);
            }
        }
        Ok(())
    }

    /// Does what follows, in the order in which it was decided.
    fn carry_out(&mut self) {
        for then in std::mem::take(&mut self.then) {
            match then {
                Then::Commands(commands) => self.send_commands(commands),
                Then::Reply(reply, answer) => drop(reply.send(answer)),
                Then::Effects(index, effects) => {
                    effects.into_iter().for_each(|effect| self.carry_out_effect(index, effect));
                }
            }
        }
    }

    fn carry_out_effect(&mut self, shard: usize, effect: Effect) {
        match effect {
            Effect::Media { node, request } => self.parts.nodes.ask(shard, node, request),
            Effect::Acknowledge { replica, leg, n } => {
                self.replicas.send(&replica, OwnerMessage::Ack { leg, n });
            }
            Effect::Release { replica, leg } => self.replicas.send(&replica, OwnerMessage::Release { leg }),
            Effect::Repeated { replica, leg, at } => {
                self.replicas.send(&replica, OwnerMessage::Repeated { leg, at });
            }
            Effect::Resend { commands, .. } => self.send_commands(commands),
            // Seen to when the step was kept.
            Effect::Gathered { .. } => {}
            Effect::Evicted { why, count } => {
                let evicted = &self.parts.telemetry.call_control.conversations_evicted;
                evicted.with_label_values(&[why]).inc_by(count as u64);
            }
            Effect::InviteRepeated { result } => {
                self.parts.telemetry.call_control.invites_repeated.with_label_values(&[result]).inc();
            }
            Effect::Redirected { result } => {
                self.parts.telemetry.call_control.redirections.with_label_values(&[result]).inc();
            }
            Effect::FindDevice { tenant, user, device } => self.parts.finder.find(tenant, user, device),
            Effect::Woken { result } => {
                self.parts.telemetry.call_control.wakings.with_label_values(&[result]).inc();
            }
            Effect::MailboxLocked => self.parts.telemetry.call_control.mailbox_locked.inc(),
            Effect::MailboxRefused => self.parts.telemetry.call_control.mailbox_refused.inc(),
        }
    }

    fn send_commands(&mut self, commands: Vec<sidetone_model::command::LegCommand>) {
        for command in commands {
            let (replica, leg) = (command.replica.clone(), command.leg);
            if !self.replicas.is_attached(&replica)
                && let Some(index) = self.shard_of_leg(leg)
            {
                self.parts.shards[index].0.handle_unheard(leg, clock::now());
            }
            self.replicas.send(&replica, OwnerMessage::Command(command));
        }
    }

    /// What is in the log is told to whom it concerns.
    fn tell_watchers(&mut self) {
        let (shards, count) = (&self.parts.shards, self.parts.shards.len() as u16);
        let fold_of = |tenant: &TenantId| {
            shards.get(usize::from(ShardId::of(tenant, count).0)).map(|(shard, _)| shard.fold())
        };
        let told = self.watchers.tell(&self.replicas, fold_of);
        self.count_watched("sent", told.sent);
        self.count_watched("later", told.later);
    }

    fn count_watched(&self, result: &str, more: u64) {
        if more > 0 {
            self.parts.telemetry.call_control.watched_states.with_label_values(&[result]).inc_by(more);
        }
    }

    fn count(&self, index: usize, record: &FactRecord) {
        let metrics = &self.parts.telemetry.call_control;
        metrics.facts.inc_by(record.facts.len() as u64);
        for fact in &record.facts {
            let (family, termination) = match &fact.kind {
                FactKind::CallEnded { termination, .. } => (&metrics.calls_ended, termination),
                FactKind::LegEnded { termination, .. } => (&metrics.legs_ended, termination),
                FactKind::MessageLeft { user, .. }
                | FactKind::MessageHeard { user, .. }
                | FactKind::MessageDeleted { user, .. } => {
                    self.parts.mailboxes.changed(&fact.tenant, user);
                    continue;
                }
                _ => continue,
            };
            let cause = termination.cause;
            family.with_label_values(&[cause.outcome().label(), cause.label()]).inc();
        }
        tracing::debug!(shard = index, facts = record.facts.len(), "step");
    }

    fn show_gauges(&self) {
        let metrics = &self.parts.telemetry.call_control;
        let folds = || self.parts.shards.iter().map(|(shard, _)| shard.fold());
        let calls: usize = folds().map(|fold| fold.calls().filter(|call| call.ended.is_none()).count()).sum();
        let legs: usize = folds().map(|fold| fold.legs().filter(|leg| leg.is_live()).count()).sum();
        metrics.calls.set(calls as i64);
        metrics.legs.set(legs as i64);
        metrics.watched.set(self.watchers.len() as i64);
    }

    fn show_replicas(&self) {
        self.parts.telemetry.call_control.replicas.set(self.replicas.len() as i64);
        *self.parts.replica_infos.lock().unwrap_or_else(PoisonError::into_inner) = self.replicas.infos();
    }
}
