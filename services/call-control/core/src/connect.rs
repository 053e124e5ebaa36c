//! Where a leg goes.

use sidetone_model::call::LegCause;
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::media::{Manner, PlayOptions, Source};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, Heard, MediaRequest};
use crate::error::CommandError;
use crate::forwarding::no_device;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;
use crate::topology::music_of;

impl Shard {
    /// A caller's leg exists: what cannot be done is refused, for the rest a port is asked for.
    pub(crate) fn admit(&mut self, leg: LegId, mut routing: Routing, now: Timestamp) {
        let Some(leg) = self.live(leg) else { return };
        if let Some(refusal) = self.refusal(&leg, &routing) {
            self.end(&leg, refusal);
            return;
        }
        self.pin_to_meeting(&leg, &mut routing);
        self.prefer_node_of_user(&leg, &mut routing);
        if matches!(routing.destination, Some(Destination::Wait)) && leg.phase != LegPhase::Waiting {
            self.open_decision(&leg, &routing, now);
        }
        self.control(leg.leg).passing.then = Some(routing.clone());
        self.ask_for_port(&leg, &routing, now);
    }

    fn refusal(&self, leg: &LegView, routing: &Routing) -> Option<Termination> {
        if self.is_full(&leg.tenant, routing) {
            return Some(
                Termination::new(Cause::NoCapacity).with_text("the tenant has as many calls as it may have"),
            );
        }
        match &routing.destination {
            None => Some(Termination::new(Cause::NotFound).with_text("nobody has this number")),
            Some(Destination::User(_)) if routing.bindings.is_empty() && !self.leads_on(routing) => {
                Some(no_device())
            }
            Some(Destination::Room(room)) => {
                let meeting = self.fold.conference_in(&leg.tenant, room);
                let here = meeting.map_or(0, |meeting| meeting.participants.len());
                let max = routing.room.participants_max as usize;
                let full = max > 0 && here >= max;
                full.then(|| Termination::new(Cause::NoCapacity).with_text("the room is full"))
            }
            Some(group @ Destination::PickUpGroup { .. }) => {
                // What rings was looked for before: then this is no call of its own.
                let rings =
                    leg.party.user.as_ref().map(|user| self.rings_for(&leg.tenant, user, Some(group)));
                let member = !matches!(rings, None | Some(Err(CommandError::NotInGroup)));
                let (cause, text) = if member {
                    (Cause::NotFound, "nothing rings there that could be taken")
                } else {
                    (Cause::Forbidden, "only a member, or a user of the tenant, may take this call")
                };
                Some(Termination::new(cause).with_text(text))
            }
            Some(_) => None,
        }
    }

    /// Whether a tenant has more calls than it may have, the present one counted.
    pub(crate) fn is_full(&self, tenant: &TenantId, routing: &Routing) -> bool {
        routing.calls_max > 0 && self.fold.live_calls_of(tenant) > routing.calls_max
    }

    /// Whoever goes into a meeting needs a port on the node that mixes it.
    fn pin_to_meeting(&self, leg: &LegView, routing: &mut Routing) {
        if let Some(Destination::Room(room)) = &routing.destination
            && let Some(meeting) = self.fold.conference_in(&leg.tenant, room)
        {
            routing.nodes.retain(|candidate| candidate.node == meeting.node);
        }
    }

    /// A second call of somebody who talks is best on the same node: the two may be made one. Who has more of them is no
    /// person, and its calls are spread.
    fn prefer_node_of_user(&self, leg: &LegView, routing: &mut Routing) {
        let Some(user) = &leg.party.user else { return };
        let mut others = self.fold.live_legs_of(&leg.tenant, user).filter(|other| other.leg != leg.leg);
        let (Some(other), None) = (others.next(), others.next()) else { return };
        if let Some((node, _)) = &other.node {
            routing.nodes.sort_by_key(|candidate| candidate.node != *node);
        }
    }

    /// A leg with media goes where its number leads.
    pub(crate) fn route(&mut self, leg: &LegView, routing: Routing, now: Timestamp) {
        match &routing.destination {
            None => self.end(leg, Termination::new(Cause::NotFound)),
            Some(
                served @ (Destination::Echo | Destination::Announcement { .. } | Destination::Voicemail(_)),
            ) => {
                self.accept(leg, now);
                self.serve(leg, (served.clone(), routing.assistant), now);
            }
            Some(Destination::Room(room)) => {
                let room = room.clone();
                self.accept(leg, now);
                self.enter(leg, &room, &routing, now);
            }
            Some(Destination::User(_)) if routing.bindings.is_empty() => {
                self.forward_unregistered(leg, routing, now);
            }
            Some(Destination::User(_)) => self.call_devices(leg, &routing, now),
            Some(Destination::Wait) => {
                if leg.phase != LegPhase::Answered {
                    self.control(leg.leg).passing.rung = true;
                    self.command(leg, LegCommandKind::Ring { media: None });
                }
            }
            Some(Destination::Mailbox(user))
                if leg.party.user.as_ref() != Some(user) && routing.pin_set_at.is_none() =>
            {
                let text = "a voicemail without a PIN is listened to from its user's own phones alone";
                self.end(leg, Termination::new(Cause::Forbidden).with_text(text));
            }
            Some(served @ Destination::Mailbox(user)) => {
                self.accept(leg, now);
                if let Some(set_at) = routing.pin_set_at {
                    self.forget_tries_of_before(&leg.tenant, user, set_at, now);
                }
                self.serve(leg, (served.clone(), routing.assistant), now);
            }
            Some(Destination::OwnMailbox) => {
                let own = leg.party.user.clone().map(Destination::Mailbox);
                self.route(leg, Routing { destination: own, ..routing }, now);
            }
            Some(Destination::PickUpGroup { .. }) => {
                let text = "calls of a group are taken from a phone of a member, or by the operation";
                self.end(leg, Termination::new(Cause::Forbidden).with_text(text));
            }
            Some(Destination::Assistant) => {
                let text = "nothing is set up to take the call";
                self.end(leg, Termination::new(Cause::Unavailable).with_text(text));
            }
        }
    }

    /// Opens a leg to each device where the dialled user is registered, on the media node of the caller.
    fn call_devices(&mut self, caller: &LegView, routing: &Routing, now: Timestamp) {
        let Some(call) = self.fold.call(caller.call).cloned() else { return };
        let ring = Ring {
            call: call.call,
            tenant: caller.tenant.clone(),
            number: match routing.number.is_empty() {
                true => call.diverted_to.as_ref().map_or(call.dialled, |party| party.number.clone()),
                false => routing.number.clone(),
            },
            cause: LegCause::Normal,
            by: None,
            auto_answer: false,
            contact: "".into(),
            then: None,
        };
        if self.ring(&ring, routing, now).is_empty() {
            let text = "no device of the user is registered";
            self.end(caller, Termination::new(Cause::Unavailable).with_text(text));
        }
    }

    /// An answered leg talks to a machine, which may be the tenant's assistant.
    fn serve(&mut self, leg: &LegView, (by, assistant): (Destination, bool), now: Timestamp) {
        if self.is_ending(leg.leg) {
            return;
        }
        self.fact(&leg.tenant, now, FactKind::LegServed { leg: leg.leg, by: by.clone(), assistant });
        let Some(leg) = &self.live(leg.leg) else { return };
        match by {
            Destination::Announcement { prompt, repeat } => self.announce(leg, prompt, repeat),
            Destination::Voicemail(_) => self.greet(leg),
            Destination::Mailbox(_) => self.listen(leg),
            _ => {}
        }
        self.arrange_media(leg.call);
    }

    /// Plays what a leg was called for.
    pub(crate) fn announce(&mut self, leg: &LegView, prompt: Box<str>, repeat: u32) {
        let sources = vec![Source::Prompt(prompt)];
        let playback = music_of(leg.leg);
        self.ask(
            leg,
            MediaRequest::Play {
                playback,
                to: Heard::Leg(leg.leg),
                sources,
                repeat,
                manner: Manner::Instead,
                options: PlayOptions::default(),
            },
        );
    }

    /// Answers a leg that called us, unless it was answered before.
    pub(crate) fn accept(&mut self, leg: &LegView, now: Timestamp) {
        if leg.phase == LegPhase::Answered || self.is_ending(leg.leg) {
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
        self.let_through(leg.call);
    }

    pub(crate) fn connect(&mut self, leg: &LegView, to: Connection) {
        self.ask(leg, MediaRequest::ConnectLeg { leg: leg.leg, to });
    }
}
