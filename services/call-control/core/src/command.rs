//! Commands of applications.

use sidetone_model::call::LegCause;
use sidetone_model::command::{Audience, CallCommand, CallCommandKind};
use sidetone_model::fact::{CommandSubject, CompletedCommand};
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{CallId, LegId, RecordingId, TenantId};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Pause, Step};
use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// Carries out a command. `fingerprint` is a digest of its body; `from` and `to` are the routings of the numbers it
    /// names, where it names some.
    ///
    /// A repeated command (same tenant, key and fingerprint) changes nothing and is answered as the first time.
    ///
    /// # Errors
    /// See [`CommandError`]; nothing has changed, and the key may be used again.
    pub fn handle_command(
        &mut self,
        command: &CallCommand,
        fingerprint: [u8; 32],
        mut from: Routing,
        to: Routing,
        now: Timestamp,
    ) -> Result<(CommandSubject, Step), CommandError> {
        // Whoever acts has all its phones at hand, whatever their order for others is.
        from.all_at_once();
        let key = (command.tenant.clone(), command.key.clone());
        if let Some(done) = self.completed.get(&key) {
            let same = done.fingerprint == fingerprint;
            return if same { Ok((done.subject, self.finish())) } else { Err(CommandError::KeyReused) };
        }
        let subject = self.carry_out(command, from, to, now)?;
        let (tenant, key) = key;
        self.complete(CompletedCommand { tenant, at: now, key, fingerprint, subject });
        Ok((subject, self.finish()))
    }

    /// What the command of a key has made or acted upon, as long as its outcome is remembered.
    pub fn done_before(&self, tenant: &TenantId, key: &str) -> Option<CommandSubject> {
        self.completed.get(&(tenant.clone(), key.into())).map(|done| done.subject)
    }

    fn carry_out(
        &mut self,
        command: &CallCommand,
        from: Routing,
        to: Routing,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        let tenant = &command.tenant;
        match &command.kind {
            CallCommandKind::Place { from_number, to_number, options, .. } => {
                let call = self.place(tenant, (from_number, from), (to_number, to), options, now)?;
                Ok(CommandSubject::Call(call))
            }
            CallCommandKind::Answer { leg, to_number, .. } => {
                self.answer_waiting(tenant, *leg, (to_number, to), now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::HangUpCall { .. } | CallCommandKind::HangUpLeg { .. } => {
                self.hang_up(tenant, &command.kind, now)
            }
            CallCommandKind::AnswerRinging { .. }
            | CallCommandKind::Reject { .. }
            | CallCommandKind::Redirect { .. }
            | CallCommandKind::Deflect { .. }
            | CallCommandKind::Overflow { .. }
            | CallCommandKind::PickUp { .. }
            | CallCommandKind::PickUpInGroup { .. } => {
                self.with_ringing(tenant, &command.kind, (from, to), now)
            }
            CallCommandKind::Hold { .. }
            | CallCommandKind::Retrieve { .. }
            | CallCommandKind::Enquire { .. }
            | CallCommandKind::Alternate { .. }
            | CallCommandKind::Reconnect { .. }
            | CallCommandKind::Merge { .. }
            | CallCommandKind::TransferAttended { .. }
            | CallCommandKind::TransferBlind { .. } => {
                self.between_two(tenant, &command.kind, (from, to), now)
            }
            CallCommandKind::AddParticipant { .. }
            | CallCommandKind::DropParticipant { .. }
            | CallCommandKind::HoldParticipant { .. }
            | CallCommandKind::RetrieveParticipant { .. }
            | CallCommandKind::DropMe { .. }
            | CallCommandKind::SwitchDevice { .. }
            | CallCommandKind::AddDevice { .. }
            | CallCommandKind::Intrude { .. }
            | CallCommandKind::Join { .. }
            | CallCommandKind::AddExternalRef { .. } => {
                self.among_several(tenant, &command.kind, (from, to), now)
            }
            CallCommandKind::MarkMessageHeard { user, message }
            | CallCommandKind::DeleteMessage { user, message } => {
                let delete = matches!(command.kind, CallCommandKind::DeleteMessage { .. });
                self.change_message(tenant, (user, *message), delete, now)
            }
            CallCommandKind::Conversation(command) => self.converse(tenant, command, to, now),
            CallCommandKind::SetAudio { .. }
            | CallCommandKind::SendDigits { .. }
            | CallCommandKind::StartRecording { .. }
            | CallCommandKind::StopRecording { .. }
            | CallCommandKind::PauseRecording { .. }
            | CallCommandKind::ResumeRecording { .. }
            | CallCommandKind::Play { .. }
            | CallCommandKind::StopPlay { .. }
            | CallCommandKind::SteerPlay { .. }
            | CallCommandKind::StartStream { .. }
            | CallCommandKind::StopStream { .. } => self.with_media(tenant, &command.kind, now),
        }
    }

    fn with_ringing(
        &mut self,
        tenant: &TenantId,
        kind: &CallCommandKind,
        (from, to): (Routing, Routing),
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        match kind {
            CallCommandKind::AnswerRinging { leg } => {
                self.answer_ringing(tenant, *leg)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Reject { leg } => {
                self.reject(tenant, *leg, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Redirect { leg, to: elsewhere, anonymous } => {
                self.redirect(tenant, *leg, (elsewhere, to), *anonymous, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Deflect { leg, numbers } => {
                self.deflect(tenant, *leg, numbers, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Overflow { leg } => {
                self.overflow(tenant, *leg, to, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::PickUp { leg, by } => {
                let leg = self.pick_up(tenant, *leg, (by.device.as_ref(), from), now)?;
                Ok(CommandSubject::Leg(leg))
            }
            CallCommandKind::PickUpInGroup { by, .. } => {
                let leg = self.rings_for(tenant, &by.user, to.destination.as_ref())?;
                let leg = self.pick_up(tenant, leg, (by.device.as_ref(), from), now)?;
                Ok(CommandSubject::Leg(leg))
            }
            _ => Err(CommandError::CapabilityMissing),
        }
    }

    fn between_two(
        &mut self,
        tenant: &TenantId,
        kind: &CallCommandKind,
        (from, to): (Routing, Routing),
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        match kind {
            CallCommandKind::Hold { leg } => {
                self.hold(tenant, *leg, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Retrieve { leg } => {
                self.retrieve(tenant, *leg, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::Enquire { leg, to_number, anonymous } => {
                let call = self.enquire(tenant, *leg, (from, (to_number, to)), *anonymous, now)?;
                Ok(CommandSubject::Call(call))
            }
            CallCommandKind::Alternate { active, held } => {
                self.alternate(tenant, (*active, *held), now)?;
                Ok(CommandSubject::Leg(*held))
            }
            CallCommandKind::Reconnect { active, held } => {
                self.reconnect(tenant, (*active, *held), now)?;
                Ok(CommandSubject::Leg(*held))
            }
            CallCommandKind::Merge { active, held } => {
                Ok(CommandSubject::Call(self.merge(tenant, (*active, *held), now)?))
            }
            CallCommandKind::TransferAttended { active, held } => {
                Ok(CommandSubject::Call(self.transfer_attended(tenant, (*active, *held), now)?))
            }
            CallCommandKind::TransferBlind { leg, to_number, anonymous } => {
                self.transfer_blind(tenant, *leg, (to_number, to), *anonymous, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            _ => Err(CommandError::CapabilityMissing),
        }
    }

    fn among_several(
        &mut self,
        tenant: &TenantId,
        kind: &CallCommandKind,
        (from, to): (Routing, Routing),
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        let leg = match kind {
            CallCommandKind::AddParticipant { leg, to_number, anonymous } => {
                self.add_participant(tenant, *leg, (to_number, to), *anonymous, now)?
            }
            CallCommandKind::DropParticipant { leg, by } => {
                self.drop_participant(tenant, *leg, *by, now)?;
                *leg
            }
            CallCommandKind::HoldParticipant { leg, by } => {
                self.hold_participant(tenant, *leg, *by, now)?;
                *leg
            }
            CallCommandKind::RetrieveParticipant { leg } => {
                self.retrieve_participant(tenant, *leg, now)?;
                *leg
            }
            CallCommandKind::DropMe { leg } => {
                self.drop_me(tenant, *leg, now)?;
                *leg
            }
            CallCommandKind::SwitchDevice { leg, device } => {
                self.other_device(tenant, (*leg, device), LegCause::DeviceSwitched, from, now)?
            }
            CallCommandKind::AddDevice { leg, device } => {
                self.other_device(tenant, (*leg, device), LegCause::DeviceAdded, from, now)?
            }
            CallCommandKind::Intrude { call, by } => {
                self.intrude(tenant, *call, (by.device.as_ref(), from), now)?
            }
            CallCommandKind::Join { call, to_number, from_number, contact, .. } => {
                let call = self.join(tenant, call, (from_number, contact), (to_number, to), now)?;
                return Ok(CommandSubject::Call(call));
            }
            CallCommandKind::AddExternalRef { call, external } => {
                self.add_external_ref(tenant, *call, external, now)?;
                return Ok(CommandSubject::Call(*call));
            }
            _ => return Err(CommandError::CapabilityMissing),
        };
        Ok(CommandSubject::Leg(leg))
    }

    fn with_media(
        &mut self,
        tenant: &TenantId,
        kind: &CallCommandKind,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        match kind {
            CallCommandKind::SetAudio { leg, muted, deafened, voice } => {
                self.set_audio(tenant, *leg, (*muted, *deafened), *voice, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::SendDigits { leg, digits } => {
                self.send_digits(tenant, *leg, digits, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::StartRecording { call, options } => {
                self.own_call(tenant, *call)?;
                Ok(CommandSubject::Recording(self.start_recording(*call, options, now)?))
            }
            CallCommandKind::StopRecording { recording } => {
                self.own_recording(tenant, *recording)?;
                self.stop_recording(*recording, now)?;
                Ok(CommandSubject::Recording(*recording))
            }
            CallCommandKind::PauseRecording { recording, mask } => {
                self.own_recording(tenant, *recording)?;
                self.pause_recording(*recording, Some(Pause { mask: *mask }), now)?;
                Ok(CommandSubject::Recording(*recording))
            }
            CallCommandKind::ResumeRecording { recording } => {
                self.own_recording(tenant, *recording)?;
                self.pause_recording(*recording, None, now)?;
                Ok(CommandSubject::Recording(*recording))
            }
            CallCommandKind::Play { to, sources, repeat, manner, options } => {
                self.own_audience(tenant, *to)?;
                let how = (*repeat, *manner, *options);
                Ok(CommandSubject::Playback(self.play(*to, sources, how, now)?))
            }
            CallCommandKind::SteerPlay { playback, steer } => {
                self.steer_play(tenant, *playback, *steer)?;
                Ok(CommandSubject::Playback(*playback))
            }
            CallCommandKind::StopPlay { to, playback } => {
                let call = self.own_audience(tenant, *to)?;
                self.stop_play(*to, *playback, now);
                Ok(playback.map_or(CommandSubject::Call(call), CommandSubject::Playback))
            }
            CallCommandKind::StartStream { call, format } => {
                self.own_call(tenant, *call)?;
                Ok(CommandSubject::Stream(self.start_stream(*call, *format, now)?))
            }
            CallCommandKind::StopStream { stream } => {
                let own = self.fold.stream(*stream).is_some_and(|view| view.tenant == *tenant);
                if !own {
                    return Err(CommandError::NoSuchStream);
                }
                self.stop_stream(*stream, now);
                Ok(CommandSubject::Stream(*stream))
            }
            _ => Err(CommandError::CapabilityMissing),
        }
    }

    pub(crate) fn own_call(&self, tenant: &TenantId, call: CallId) -> Result<(), CommandError> {
        let view = self.fold.call(call).filter(|view| view.tenant == *tenant && view.ended.is_none());
        view.map(drop).ok_or(CommandError::NoSuchCall)
    }

    pub(crate) fn own_leg(&self, tenant: &TenantId, leg: LegId) -> Result<LegView, CommandError> {
        self.live(leg).filter(|view| view.tenant == *tenant).ok_or(CommandError::NoSuchLeg)
    }

    fn own_recording(&self, tenant: &TenantId, recording: RecordingId) -> Result<(), CommandError> {
        let own = self.fold.recording(recording).is_some_and(|view| view.tenant == *tenant);
        if own { Ok(()) } else { Err(CommandError::NoSuchRecording) }
    }

    fn own_audience(&self, tenant: &TenantId, to: Audience) -> Result<CallId, CommandError> {
        match to {
            Audience::Call(call) => self.own_call(tenant, call).map(|()| call),
            Audience::Leg(leg) => self.own_leg(tenant, leg).map(|leg| leg.call),
        }
    }

    fn answer_waiting(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (to_number, to): (&str, Routing),
        now: Timestamp,
    ) -> Result<(), CommandError> {
        // Whoever rings now is shown by the own number, and not by the one at which the caller waits.
        let to = Routing { number: to_number.into(), ..to };
        let view = self.own_leg(tenant, leg)?;
        if view.phase != LegPhase::Waiting || self.is_ending(leg) {
            return Err(CommandError::NotWaiting);
        }
        if to.destination.is_none() {
            return Err(CommandError::ToLeadsNowhere);
        }
        if to.is_unregistered() && !self.leads_on(&to) {
            return Err(CommandError::TargetUnregistered);
        }
        self.close_decision(&view, now);
        self.send_waiting(&view, to, now);
        Ok(())
    }

    fn hang_up(
        &mut self,
        tenant: &TenantId,
        kind: &CallCommandKind,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        match kind {
            CallCommandKind::HangUpCall { call } => {
                self.hang_up_call(tenant, *call, now)?;
                Ok(CommandSubject::Call(*call))
            }
            CallCommandKind::HangUpLeg { leg } => {
                let view = self.own_leg(tenant, *leg)?;
                self.end_any(&view, ended_by_application(&view), now);
                Ok(CommandSubject::Leg(*leg))
            }
            _ => Err(CommandError::CapabilityMissing),
        }
    }

    fn hang_up_call(&mut self, tenant: &TenantId, call: CallId, now: Timestamp) -> Result<(), CommandError> {
        self.own_call(tenant, call)?;
        let legs: Vec<LegView> = self.fold.live_legs(call).cloned().collect();
        for leg in legs {
            self.end_any(&leg, ended_by_application(&leg), now);
        }
        Ok(())
    }
}

/// Who waits to be let in, and is not, was refused: records do not show it among the calls that went well.
fn ended_by_application(leg: &LegView) -> Termination {
    match leg.phase {
        LegPhase::Waiting => {
            Termination::new(Cause::Rejected).with_text("the application did not let the caller in")
        }
        _ => Termination::new(Cause::Application),
    }
}
