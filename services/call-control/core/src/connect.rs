//! Where a leg goes.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, MediaRequest};
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// A caller's leg exists: what cannot be done is refused, for the rest a port is asked for.
    pub(crate) fn admit(&mut self, leg: LegId, mut routing: Routing, now: Timestamp) {
        let Some(leg) = self.live(leg) else { return };
        if let Some(refusal) = self.refusal(&leg, &routing) {
            self.end(&leg, refusal);
            return;
        }
        self.pin_to_meeting(&leg, &mut routing);
        if matches!(routing.destination, Some(Destination::Wait)) {
            self.fact(&leg.tenant, now, FactKind::LegWaiting { leg: leg.leg });
        }
        self.control(leg.leg).passing.then = Some(routing.clone());
        self.ask_for_port(&leg, &routing);
    }

    fn refusal(&self, leg: &LegView, routing: &Routing) -> Option<Termination> {
        if self.is_full(&leg.tenant, routing) {
            return Some(
                Termination::new(Cause::NoCapacity).with_text("the tenant has as many calls as it may have"),
            );
        }
        match &routing.destination {
            None => Some(Termination::new(Cause::NotFound).with_text("nobody has this number")),
            Some(Destination::User(_)) if routing.bindings.is_empty() => {
                Some(Termination::new(Cause::Unavailable).with_text("no device of the user is registered"))
            }
            Some(Destination::Room(room)) => {
                let meeting = self.fold.conference_in(&leg.tenant, room);
                let here = meeting.map_or(0, |meeting| meeting.participants.len());
                let max = routing.room.participants_max as usize;
                let full = max > 0 && here >= max;
                full.then(|| Termination::new(Cause::NoCapacity).with_text("the room is full"))
            }
            Some(_) => None,
        }
    }

    /// Whether a tenant has more calls than it may have, the present one counted.
    pub(crate) fn is_full(&self, tenant: &TenantId, routing: &Routing) -> bool {
        let live = self.fold.calls().filter(|call| call.ended.is_none() && call.tenant == *tenant);
        routing.calls_max > 0
            && live.take(routing.calls_max as usize + 1).count() > routing.calls_max as usize
    }

    /// Whoever goes into a meeting needs a port on the node that mixes it.
    fn pin_to_meeting(&self, leg: &LegView, routing: &mut Routing) {
        if let Some(Destination::Room(room)) = &routing.destination
            && let Some(meeting) = self.fold.conference_in(&leg.tenant, room)
        {
            routing.nodes.retain(|candidate| candidate.node == meeting.node);
        }
    }

    /// A leg with media goes where its number leads.
    pub(crate) fn route(&mut self, leg: &LegView, routing: Routing, now: Timestamp) {
        match &routing.destination {
            None => self.end(leg, Termination::new(Cause::NotFound)),
            Some(Destination::Voicemail(_) | Destination::Mailbox(_) | Destination::Assistant) => {
                self.end(leg, Termination::new(Cause::Unavailable).with_text("no voicemail takes the call"));
            }
            Some(Destination::Echo) => {
                self.accept(leg, now);
                self.connect(leg, Connection::Echo);
            }
            Some(Destination::Announcement { prompt, repeat }) => {
                let request = MediaRequest::Play { leg: leg.leg, prompt: prompt.clone(), repeat: *repeat };
                self.accept(leg, now);
                self.ask(leg, request);
            }
            Some(Destination::Room(room)) => {
                let room = room.clone();
                self.accept(leg, now);
                self.enter(leg, &room, &routing, now);
            }
            Some(Destination::User(_)) => self.call_devices(leg, &routing, now),
            Some(Destination::Wait) => {
                if leg.phase != LegPhase::Answered {
                    self.control(leg.leg).passing.rung = true;
                    self.command(leg, LegCommandKind::Ring { media: None });
                }
            }
        }
    }

    /// Answers a leg that called us, unless it was answered before.
    pub(crate) fn accept(&mut self, leg: &LegView, now: Timestamp) {
        if leg.phase == LegPhase::Answered {
            return;
        }
        let Some(media) = self.control(leg.leg).passing.local.clone() else {
            // Only after a restart in the middle of a set-up, when the node has not told yet what it holds.
            let text = "call control was restarted while the call was being set up";
            self.end(leg, Termination::new(Cause::Shutdown).with_text(text));
            return;
        };
        self.command(leg, LegCommandKind::Answer { media });
        self.fact(&leg.tenant, now, FactKind::LegAnswered { leg: leg.leg });
    }

    pub(crate) fn connect(&mut self, leg: &LegView, to: Connection) {
        self.ask(leg, MediaRequest::ConnectLeg { leg: leg.leg, to });
    }

    /// Two legs hear each other from now on.
    pub(crate) fn bridge(&mut self, caller: &LegView, callee: &LegView, now: Timestamp) {
        self.accept(caller, now);
        if self.is_ending(caller.leg) {
            self.end(callee, Termination::new(Cause::Shutdown));
            return;
        }
        self.connect(caller, Connection::Peer(callee.leg));
        let bridged = FactKind::LegsBridged { call: caller.call, a: caller.leg, b: callee.leg };
        self.fact(&caller.tenant, now, bridged);
    }
}
