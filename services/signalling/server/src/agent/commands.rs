//! What the owner says, and what is said to it.

use std::time::Instant;

use sidetone_model::command::{Invite, LegCommand, LegCommandKind};
use sidetone_model::ids::{DeviceId, LegId, TenantId, UserId};
use sidetone_model::signal::{Hello, OwnerMessage, ReplicaMessage};
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::identity::Audience;
use sidetone_sip_core::leg::{CommandError, Encryption, Leg, LegSetup};
use tokio::sync::mpsc;

use super::Agent;
use super::upstream::{Said, Sent};
use crate::stir;

impl Agent {
    /// A new stream: says what is held, and everything again that is not acknowledged.
    pub(super) fn handle_link_up(&mut self, to_owner: mpsc::Sender<ReplicaMessage>) {
        self.upstream.open(to_owner);
        let hello =
            Hello { replica: self.parts.replica.clone(), boot: self.parts.boot, legs: self.legs.held() };
        // The first message always has room.
        self.upstream.send(ReplicaMessage::Hello(hello));
        if self.draining {
            self.upstream.say(Said::Draining);
        }
        self.say_watches_again();
        for leg in self.legs.ids() {
            let numbers: Vec<u64> =
                self.legs.get(leg).map(|entry| entry.outbox.numbers().collect()).unwrap_or_default();
            for n in numbers {
                self.upstream.say(Said::Signal { leg, n });
            }
        }
    }

    pub(super) fn handle_link_down(&mut self) {
        self.upstream.close();
        self.set_owner_away(true);
    }

    fn set_owner_away(&mut self, away: bool) {
        for id in self.legs.live_ids() {
            if let Some(leg) = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()) {
                leg.set_owner_away(away);
            }
        }
    }

    /// Sends what waits, as far as the stream takes it.
    pub(super) fn flush_upstream(&mut self, _now: Instant) {
        while let Some(said) = self.upstream.front() {
            let message = match said {
                Said::Applied { leg, n } => Some(ReplicaMessage::Applied { leg, n }),
                Said::Draining => Some(ReplicaMessage::Draining),
                Said::Watch => self.subscriptions.front().cloned().map(ReplicaMessage::Watch),
                // What was acknowledged or released meanwhile need not be said any more.
                Said::Signal { leg, n } => self
                    .legs
                    .get(leg)
                    .and_then(|entry| entry.outbox.get(n))
                    .map(|signal| ReplicaMessage::Signal(signal.clone())),
            };
            match message.map_or(Sent::Yes, |message| self.upstream.send(message)) {
                Sent::Yes => {
                    if said == Said::Watch {
                        self.subscriptions.pop();
                    }
                    self.upstream.pop();
                }
                Sent::Later => return,
                Sent::Broken => return self.handle_link_down(),
            }
        }
    }

    pub(super) fn handle_owner_message(&mut self, message: OwnerMessage, now: Instant) {
        match message {
            OwnerMessage::Welcome { boot } => {
                self.upstream.set_attached();
                self.set_owner_away(false);
                self.parts.ready.set_ready(true);
                tracing::info!(owner = %boot, legs = self.legs.live(), "attached to call control");
            }
            OwnerMessage::Ack { leg, n } => {
                for kept_at in self.legs.acknowledge(leg, n) {
                    let waited = now.saturating_duration_since(kept_at).as_secs_f64();
                    self.parts.telemetry.signalling.owner_ack.observe(waited);
                }
                self.legs.forget_if_done(leg);
            }
            OwnerMessage::Command(command) => self.handle_command(command, now),
            OwnerMessage::MessagesWaiting(waiting) => self.tell_waiting(&waiting, now),
            OwnerMessage::Watched(state) => self.handle_watched(&state, now),
            OwnerMessage::Repeated { leg, at } => self.handle_repeated(leg, at, now),
            OwnerMessage::Release { leg } => {
                tracing::debug!(%leg, "released by call control");
                self.legs.close_outbox(leg);
                let text = "call control does not know the leg";
                self.end_leg(leg, Termination::new(Cause::Internal).with_text(text), now);
                self.legs.forget_if_done(leg);
            }
        }
    }

    fn handle_command(&mut self, command: LegCommand, now: Instant) {
        let (leg, n) = (command.leg, command.n);
        // What was done before a restart is not known in detail; call control begins with what it knows not to be done.
        self.legs.begin_commands(leg, n);
        let last = match self.legs.get(leg) {
            Some(entry) => entry.last_command_n,
            None if self.legs.is_forgotten(leg) => u64::MAX,
            None => 0,
        };
        if n <= last {
            self.count_command("repeated");
            return self.upstream.say(Said::Applied { leg, n });
        }
        if self.legs.get(leg).is_none() {
            return self.open_leg(command, now);
        }
        let Some(entry) = self.legs.get_mut(leg) else { return };
        if n > last + 1 {
            // The owner sends again what is missing; what finds no place is sent again, too, after the next break.
            let result = if entry.held.len() < HELD_MAX { "held" } else { "held_full" };
            if entry.held.len() < HELD_MAX {
                entry.held.insert(n, command.kind);
            }
            return self.count_command(result);
        }
        self.apply(leg, n, command.kind, now);
        self.apply_held(leg, now);
    }

    fn apply_held(&mut self, leg: LegId, now: Instant) {
        while let Some(entry) = self.legs.get_mut(leg) {
            let n = entry.last_command_n + 1;
            let Some(kind) = entry.held.remove(&n) else { return };
            self.apply(leg, n, kind, now);
        }
    }

    fn apply(&mut self, id: LegId, n: u64, kind: LegCommandKind, now: Instant) {
        let Some(entry) = self.legs.get_mut(id) else { return };
        entry.last_command_n = n;
        if matches!(kind, LegCommandKind::End(_)) {
            self.trunking.taken_back(id);
        }
        let result = match entry.leg.as_mut().map(|leg| leg.handle_command(kind, now)) {
            Some(Ok(())) => "done",
            // It crossed with something the phone did, of which the owner hears by a signal.
            Some(Err(error)) => {
                use sidetone_model::classify::Classify as _;
                tracing::debug!(leg = %id, n, %error, "command not carried out");
                error.reason()
            }
            None => "leg_ended",
        };
        self.count_command(result);
        self.upstream.say(Said::Applied { leg: id, n });
        self.settle_leg(id, now);
    }

    /// A command for a leg that is not here: an Invite makes it; for any other command the leg is lost.
    fn open_leg(&mut self, command: LegCommand, now: Instant) {
        let LegCommand { tenant, leg: id, n, kind, .. } = command;
        match kind {
            LegCommandKind::Invite(invite) if n == 1 => match self.invite(id, &invite, &tenant, now) {
                Ok(mut leg) => {
                    if let Some(call) = invite.call {
                        self.parts.ladder.belongs(id, call);
                    }
                    leg.set_owner_away(!self.upstream.is_attached());
                    tracing::debug!(leg = %id, call = ?invite.call, %tenant, "calling a device");
                    self.legs.insert(id, tenant, Some(leg), None);
                    if invite.binding.outside_number().is_none() {
                        self.note_owner(id, &invite.binding.user, &invite.binding.device);
                    }
                    self.count_command("done");
                }
                Err(termination) => {
                    self.count_command("refused");
                    self.stillborn(id, tenant, termination, now);
                }
            },
            _ => {
                self.count_command("leg_lost");
                self.stillborn(id, tenant, Termination::new(Cause::SignallingLost), now);
            }
        }
        if let Some(entry) = self.legs.get_mut(id) {
            entry.last_command_n = n;
        }
        self.upstream.say(Said::Applied { leg: id, n });
        self.settle_leg(id, now);
    }

    fn invite(
        &mut self,
        id: LegId,
        invite: &Invite,
        tenant: &sidetone_model::ids::TenantId,
        now: Instant,
    ) -> Result<Leg, Termination> {
        if self.draining {
            return Err(Termination::new(Cause::Shutdown));
        }
        if self.legs.live() >= self.parts.config.legs_max {
            return Err(Termination::new(Cause::NoCapacity));
        }
        if let Some(number) = invite.binding.outside_number() {
            return self.invite_outside(id, invite, number, tenant, now);
        }
        let flow = invite.binding.flow.clone();
        let mut setup = self.leg_setup(flow, tenant).ok_or(Termination::new(Cause::TransportFailure))?;
        setup.encryption = self.encryption_of(tenant, &invite.binding.user, &invite.binding.device);
        let mut leg = Leg::outgoing(setup, invite, Audience::Phone, id.sip_call_id(), &mut self.parts.tokens)
            .map_err(not_begun)?;
        if let Some(verstat) = invite.from.proof.verstat() {
            leg.amend_invite(|request| stir::with_verstat(request, verstat));
        }
        Ok(leg)
    }

    /// What a leg over a flow is given; none when no listener has that transport.
    pub(super) fn leg_setup(
        &self,
        flow: sidetone_model::party::Flow,
        tenant: &sidetone_model::ids::TenantId,
    ) -> Option<LegSetup> {
        let advertised = self.parts.outputs.advertised(&flow)?;
        let domain = self.domains.get(tenant).cloned();
        Some(LegSetup {
            flow,
            advertised,
            domain: domain.unwrap_or_else(|| match advertised.ip() {
                std::net::IpAddr::V4(ip) => ip.to_string().into(),
                std::net::IpAddr::V6(ip) => format!("[{ip}]").into(),
            }),
            product: super::requests::PRODUCT.into(),
            timers: self.parts.timers,
            session_interval_s: self.parts.config.session_interval_s,
            encryption: Encryption::default(),
        })
    }

    /// What is set of a device's media.
    pub(super) fn encryption_of(&self, tenant: &TenantId, user: &UserId, device: &DeviceId) -> Encryption {
        let known = self.parts.encryptions.borrow();
        known.get(&(tenant.clone(), user.clone(), device.clone())).copied().unwrap_or_default()
    }

    pub(super) fn count_command(&self, result: &str) {
        self.parts.telemetry.signalling.commands.with_label_values(&[result]).inc();
    }
}

/// Why a call could not be begun.
fn not_begun(error: CommandError) -> Termination {
    match error {
        CommandError::NoKeys => Termination::new(Cause::NoCommonCodec).with_text(error.to_string()),
        error => Termination::from(&error),
    }
}

/// Commands of one leg that may wait for a missing one.
const HELD_MAX: usize = 64;
