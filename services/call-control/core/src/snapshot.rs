//! A shard's present state as the shortest log that folds to it.

use std::collections::BTreeMap;

use sidetone_model::call::{AnsweredBy, Decision, DivertCause};
use sidetone_model::command::LegCommand;
use sidetone_model::fact::{Fact, FactKind, FactRecord, RecordedSound, SignalCursor};
use sidetone_model::fold::{CallView, LegPhase, LegView, RecordingPhase};
use sidetone_model::media::Direction;
use sidetone_model::time::Timestamp;

use crate::shard::Shard;

impl Shard {
    /// Records that, replayed into an empty shard, give this one: all that is durable, and nothing that is over and
    /// forgotten. One record per call, so that a writer can cut where it likes.
    pub fn snapshot(&self) -> Vec<FactRecord> {
        let calls = self.fold.calls().map(|call| self.call_record(call));
        let completed = self
            .completed
            .values()
            .map(|done| FactRecord { completed: Some(done.clone()), ..FactRecord::default() });
        calls
            .chain([self.meetings_record(), self.rest_record(), self.mailbox_record()])
            .chain(self.conversation_records())
            .chain(completed)
            .collect()
    }

    fn call_record(&self, call: &CallView) -> FactRecord {
        let mut record = FactRecord::default();
        let created = FactKind::CallCreated {
            call: call.call,
            from: call.from.clone(),
            dialled: call.dialled.clone(),
            destination: call.destination.clone(),
            by_application: call.by_application,
            anonymous: call.anonymous,
            open: call.open,
            headers: call.headers.clone(),
            max_forwards: call.max_forwards,
        };
        let fact = |at: Timestamp, kind: FactKind| Fact { tenant: call.tenant.clone(), at, kind };
        record.facts.push(fact(call.created_at, created));
        for leg in call.legs.iter().filter_map(|leg| self.fold.leg(*leg)) {
            record.facts.extend(leg_facts(leg).into_iter().map(|(at, kind)| fact(at, kind)));
            self.leg_control(leg, &mut record);
        }
        for (a, b) in self.bridges(call) {
            let bridged = FactKind::LegsBridged { call: call.call, a, b };
            record.facts.push(fact(call.created_at, bridged));
        }
        record.facts.extend(self.media_facts(call));
        record.facts.push(fact(call.created_at, restated(call)));
        if let Some((at, termination)) = &call.ended {
            let ended = FactKind::CallEnded { call: call.call, termination: termination.clone() };
            record.facts.push(fact(*at, ended));
        }
        // Behind the end: a name of a call that is over does not lead to it.
        for external in call.externals.iter().cloned() {
            record
                .facts
                .push(fact(call.created_at, FactKind::ExternalRefAdded { call: call.call, external }));
        }
        record
    }

    /// What is recorded, played and listened to.
    fn media_facts(&self, call: &CallView) -> Vec<Fact> {
        let fact = |at: Timestamp, kind: FactKind| Fact { tenant: call.tenant.clone(), at, kind };
        let recordings = self.recording_facts(call).into_iter().map(|kind| fact(call.created_at, kind));
        let playbacks = call.playbacks.iter().filter_map(|id| self.fold.playback(*id)).flat_map(|view| {
            let (playback, call, leg, source) = (view.playback, view.call, view.leg, view.source.clone());
            let started = FactKind::PlaybackStarted { playback, call, leg, source, barge_in: view.barge_in };
            // Some may have come since, who do not hear it.
            let heard =
                FactKind::PlaybackMoved { playback, from: call, to: call, legs: self.hearers_of(playback) };
            let heard = leg.is_none().then_some(heard);
            [Some(started), heard].into_iter().flatten().map(move |kind| fact(view.started_at, kind))
        });
        let streams = call.streams.iter().filter_map(|id| self.fold.stream(*id)).map(|view| {
            let (stream, call, format, node) = (view.stream, view.call, view.format, view.node.clone());
            fact(view.started_at, FactKind::StreamStarted { stream, call, format, node })
        });
        let moved = call.recordings_moved.iter().map(|recording| {
            let to = self.fold.recording(*recording).map_or(call.call, |view| view.call);
            let moved = FactKind::RecordingMoved { recording: *recording, from: call.call, to };
            fact(call.created_at, moved)
        });
        recordings.chain(moved).chain(playbacks).chain(streams).collect()
    }

    fn leg_control(&self, leg: &LegView, record: &mut FactRecord) {
        let Some(control) = self.legs.get(&leg.leg) else { return };
        if let Some(boot) = control.durable.boot
            && control.durable.consumed > 0
        {
            record.consumed.push(SignalCursor { boot, leg: leg.leg, n: control.durable.consumed });
        }
        let durable = &control.durable;
        let durable = durable.end_command.iter().chain(&durable.last_command).chain(&durable.described);
        let commands: BTreeMap<u64, &LegCommand> =
            durable.chain(&control.passing.unacknowledged).map(|command| (command.n, command)).collect();
        record.commands.extend(commands.into_values().cloned());
    }

    fn bridges(&self, call: &CallView) -> Vec<(sidetone_model::ids::LegId, sidetone_model::ids::LegId)> {
        let legs = call.legs.iter().filter_map(|leg| self.fold.leg(*leg));
        legs.filter_map(|leg| leg.peer.filter(|peer| leg.leg < *peer).map(|peer| (leg.leg, peer))).collect()
    }

    fn recording_facts(&self, call: &CallView) -> Vec<FactKind> {
        let mut facts = Vec::new();
        for view in call.recordings.iter().filter_map(|recording| self.fold.recording(*recording)) {
            let (recording, node) = (view.recording, view.node.clone());
            facts.push(FactKind::RecordingStarted {
                recording,
                call: call.call,
                node,
                stereo: view.stereo,
                format: view.format,
                layout: view.layout,
                name: view.name.clone(),
                legs: view.legs.clone(),
                callback: view.callback.clone(),
                beep: view.beep,
            });
            if view.stopping {
                facts.push(FactKind::RecordingStopping { recording, into: view.into });
            }
            match &view.phase {
                RecordingPhase::Running => {}
                RecordingPhase::Paused => {
                    facts.push(FactKind::RecordingPaused { recording, mask: view.mask });
                }
                RecordingPhase::Finished => {
                    let sound = view.sound.clone().unwrap_or_default();
                    let RecordedSound { file, tracks, duration_ms, size_bytes } = sound;
                    facts.push(FactKind::RecordingFinished {
                        recording,
                        file,
                        duration_ms,
                        size_bytes,
                        tracks,
                    });
                }
                RecordingPhase::Failed(termination) => {
                    let (termination, kept) = (termination.clone(), view.sound.clone().map(Box::new));
                    facts.push(FactKind::RecordingFailed { recording, termination, kept });
                }
            }
        }
        facts
    }

    fn mailbox_record(&self) -> FactRecord {
        let mut record = FactRecord::default();
        for (tenant, user, messages) in self.fold.mailboxes() {
            for view in messages {
                let (message, user, at) = (view.message, user.clone(), view.left_at);
                let left = FactKind::MessageLeft {
                    message,
                    user: user.clone(),
                    call: view.call,
                    from: view.from.clone(),
                    node: view.node.clone(),
                    file: view.file.clone(),
                    duration_ms: view.duration_ms,
                };
                let heard = view.heard.then_some(FactKind::MessageHeard { message, user });
                let facts = [Some(left), heard].into_iter().flatten();
                record.facts.extend(facts.map(|kind| Fact { tenant: tenant.clone(), at, kind }));
            }
        }
        for (tenant, user, wrong, at) in self.fold.all_wrong_pins() {
            let kind = FactKind::MailboxPinTried { user: user.clone(), wrong };
            record.facts.push(Fact { tenant: tenant.clone(), at, kind });
        }
        record
    }

    fn meetings_record(&self) -> FactRecord {
        let mut record = FactRecord::default();
        for meeting in self.fold.conferences() {
            let conference = meeting.conference;
            let mut push = |kind| {
                record.facts.push(Fact { tenant: meeting.tenant.clone(), at: meeting.started_at, kind });
            };
            let node = meeting.node.clone();
            match (&meeting.room, meeting.call) {
                (Some(room), _) => push(FactKind::ConferenceStarted { conference, room: room.clone(), node }),
                (None, Some(call)) => push(FactKind::CallConferenced { call, conference, node }),
                (None, None) => {}
            }
            for leg in &meeting.participants {
                push(FactKind::ParticipantJoined { conference, leg: *leg });
            }
        }
        record
    }

    /// Who passed a call on and waits, what records are to tell of legs, and which devices can be reached.
    fn rest_record(&self) -> FactRecord {
        let mut record = FactRecord::default();
        for leg in self.fold.legs().filter(|leg| leg.diverted) {
            let Some(call) = self.fold.call(leg.call) else { continue };
            let to = call.diverted_to.clone().unwrap_or_default();
            // Why is not kept: nothing depends on it any more.
            let cause = DivertCause::Redirected;
            let diverted = FactKind::CallDiverted { call: leg.call, leg: leg.leg, cause, to };
            for kind in [diverted, restated(call)] {
                record.facts.push(Fact { tenant: leg.tenant.clone(), at: leg.created_at, kind });
            }
        }
        for view in self.fold.legs() {
            let (leg, at, tenant) = (view.leg, view.created_at, &view.tenant);
            let mut push = |kind| record.facts.push(Fact { tenant: tenant.clone(), at, kind });
            let answered_by = view.answered_by;
            let told = view.origin.is_some() || view.transferred_by.is_some() || view.by.is_some();
            if told || answered_by != AnsweredBy::Nobody || view.answered_at.is_some() {
                let (origin, transferred_by) = (view.origin.clone(), view.transferred_by.clone());
                push(FactKind::LegRestated { leg, origin, transferred_by, answered_by });
            }
            if let Some(held) = view.last_held {
                push(FactKind::LegLastHeld { leg, held });
            }
        }
        for (tenant, user, device, in_service) in self.fold.devices() {
            let (user, device) = (user.clone(), device.clone());
            let kind = FactKind::DeviceStateChanged { user, device, in_service };
            record.facts.push(Fact { tenant: tenant.clone(), at: Timestamp::default(), kind });
        }
        record
    }
}

/// What legs have said of a call, of which some may have gone to others since.
fn restated(call: &CallView) -> FactKind {
    FactKind::CallRestated {
        call: call.call,
        answered_at: call.answered_at,
        diverted_to: call.diverted_to.clone(),
        first_leg: call.first_leg,
        transferred_by: call.transferred_by.clone(),
    }
}

/// How a leg came to where it is.
fn leg_facts(view: &LegView) -> Vec<(Timestamp, FactKind)> {
    let leg = view.leg;
    let mut facts = vec![(
        view.created_at,
        FactKind::LegCreated {
            leg,
            call: view.call,
            party: view.party.clone(),
            incoming: view.incoming,
            replica: view.replica.clone(),
            boot: view.boot,
            sip_call_id: view.sip_call_id.clone(),
            cause: view.cause,
            by: view.by,
            assistant: view.assistant,
            trunk: "".into(),
        },
    )];
    if let Some(trunk) = view.trunk.clone() {
        facts.push((view.created_at, FactKind::LegRouted { leg, trunk }));
    }
    if view.was_asleep {
        facts.push((view.created_at, FactKind::LegWaking { leg }));
    }
    if let Some(at) = view.woken_at {
        facts.push((at, FactKind::LegWoken { leg, replica: view.replica.clone() }));
    }
    if let Some((node, boot)) = &view.node {
        let allocated = FactKind::LegMediaAllocated { leg, node: node.clone(), boot: *boot };
        facts.push((view.created_at, allocated));
    }
    if let Some(at) = view.rang_at {
        facts.push((at, FactKind::LegRinging { leg }));
    }
    if view.phase == LegPhase::Waiting {
        facts.push((view.created_at, FactKind::LegWaiting { leg }));
    }
    if let Some(at) = view.answered_at {
        facts.push((at, FactKind::LegAnswered { leg }));
    }
    if view.direction != Direction::default() {
        facts.push((view.created_at, FactKind::LegDirectionChanged { leg, direction: view.direction }));
    }
    facts.extend(leg_marks(view).into_iter().map(|kind| (view.created_at, kind)));
    if let Some((at, termination)) = &view.ended {
        facts.push((*at, FactKind::LegEnded { leg, termination: termination.clone() }));
    }
    facts
}

/// What was done to a leg that stands.
fn leg_marks(view: &LegView) -> Vec<FactKind> {
    let leg = view.leg;
    let mut marks = Vec::new();
    if let Some(decision) = &view.decision {
        let Decision { kind, deadline, fallback } = decision.clone();
        marks.push(FactKind::DecisionOpened { leg, kind, deadline, fallback });
    }
    if let Some(why) = &view.talk_refused {
        marks.push(FactKind::LegTalkRefused { leg, why: why.clone() });
    }
    if let Some(by) = &view.served_by {
        // Who has answered is restated.
        marks.push(FactKind::LegServed { leg, by: by.clone(), assistant: false });
    }
    if let Some(by) = view.held {
        marks.push(FactKind::LegHeld { leg, by });
    }
    if view.put_aside {
        marks.push(FactKind::ParticipantHeld { leg, by: view.put_aside_by });
    }
    if let Some((muted, deafened, voice)) = view.audio() {
        marks.push(FactKind::LegAudioChanged { leg, muted, deafened, voice });
    }
    marks
}
