//! Commands of applications.

use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fact::{CommandSubject, CompletedCommand, FactKind};
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{CallId, LegId, TenantId};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::Step;
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
        from: Routing,
        to: Routing,
        now: Timestamp,
    ) -> Result<(CommandSubject, Step), CommandError> {
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

    fn carry_out(
        &mut self,
        command: &CallCommand,
        from: Routing,
        to: Routing,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        let tenant = &command.tenant;
        match &command.kind {
            CallCommandKind::Place { from_number, to_number, .. } => {
                let call = self.place(tenant, (from_number, from), (to_number, to), now)?;
                Ok(CommandSubject::Call(call))
            }
            CallCommandKind::Answer { leg, .. } => {
                self.answer_waiting(tenant, *leg, to, now)?;
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::HangUpCall { call } => {
                self.hang_up_call(tenant, *call, now)?;
                Ok(CommandSubject::Call(*call))
            }
            CallCommandKind::HangUpLeg { leg } => {
                let view = self.own_leg(tenant, *leg)?;
                self.hang_up(&view, now);
                Ok(CommandSubject::Leg(*leg))
            }
            CallCommandKind::StartRecording { call, options } => {
                self.own_call(tenant, *call)?;
                Ok(CommandSubject::Recording(self.start_recording(*call, options, now)?))
            }
            CallCommandKind::StopRecording { recording } => {
                let own = self.fold.recording(*recording).is_some_and(|view| view.tenant == *tenant);
                if !own {
                    return Err(CommandError::NoSuchRecording);
                }
                self.stop_recording(*recording)?;
                Ok(CommandSubject::Recording(*recording))
            }
            _ => Err(CommandError::CapabilityMissing),
        }
    }

    fn own_call(&self, tenant: &TenantId, call: CallId) -> Result<(), CommandError> {
        let view = self.fold.call(call).filter(|view| view.tenant == *tenant && view.ended.is_none());
        view.map(drop).ok_or(CommandError::NoSuchCall)
    }

    fn own_leg(&self, tenant: &TenantId, leg: LegId) -> Result<LegView, CommandError> {
        self.live(leg).filter(|view| view.tenant == *tenant).ok_or(CommandError::NoSuchLeg)
    }

    fn answer_waiting(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        to: Routing,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let view = self.own_leg(tenant, leg)?;
        if view.phase != LegPhase::Waiting || self.is_ending(leg) {
            return Err(CommandError::NotWaiting);
        }
        if to.destination.is_none() {
            return Err(CommandError::ToLeadsNowhere);
        }
        if self.control(leg).passing.local.is_none() {
            // Its port is still being taken; it then goes there at once.
            self.control(leg).passing.then = Some(to);
            return Ok(());
        }
        self.route(&view, to, now);
        Ok(())
    }

    fn hang_up_call(&mut self, tenant: &TenantId, call: CallId, now: Timestamp) -> Result<(), CommandError> {
        self.own_call(tenant, call)?;
        let legs: Vec<LegView> = self.fold.live_legs(call).cloned().collect();
        for leg in legs {
            self.hang_up(&leg, now);
        }
        Ok(())
    }

    fn hang_up(&mut self, leg: &LegView, now: Timestamp) {
        let termination = Termination::new(Cause::Application);
        if self.is_unopened(leg) {
            self.drop_unopened(leg, termination, now)
        } else {
            self.end(leg, termination)
        }
    }

    pub(crate) fn forget_commands(&mut self, now: Timestamp) {
        let kept = self.limits.idempotency;
        self.completed.retain(|_, done| now.since(done.at) < kept);
    }

    /// What a placed call is said to come from.
    pub(crate) fn call_created_by_application(
        &mut self,
        tenant: &TenantId,
        call: CallId,
        from_number: &str,
        to: (&str, &Routing),
        now: Timestamp,
    ) {
        let from = sidetone_model::party::Party { number: from_number.into(), ..Default::default() };
        self.fact(
            tenant,
            now,
            FactKind::CallCreated {
                call,
                from,
                dialled: to.0.into(),
                destination: to.1.destination.clone(),
                by_application: true,
                anonymous: false,
                open: false,
                headers: Vec::new(),
            },
        );
    }
}
