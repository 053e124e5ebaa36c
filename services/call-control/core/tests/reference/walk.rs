//! What is done next: something that is possible as often as something that is not.

use rand::{RngExt as _, seq::IndexedRandom as _};
use sidetone_model::command::CallCommand;
use sidetone_model::fold::Capability;
use sidetone_model::media::Direction;
use sidetone_model::party::Party;
use sidetone_model::signal::{LegSignalKind, Referred, Target as Named};
use sidetone_model::termination::{Cause, Termination};

use crate::model::capabilities::{ALL, bit};
use crate::model::operations::Operation;
use crate::model::{Leg, State, Target};
use crate::world::{World, media, user_id};

/// The users who have phones, and those who only take calls from others.
const USERS: u8 = 4;
const TAKER: u8 = 9;
/// Calls at once, so that conversations grow instead of becoming many.
const CALLS: usize = 6;

impl World {
    /// One step, in words.
    pub(crate) fn step(&mut self) -> String {
        self.pass_by_a_little();
        match self.rng.random_range(0..100) {
            0..14 if self.model.calls_here() < CALLS => self.somebody_calls(),
            0..48 => self.a_phone_acts(),
            98 => {
                let ms = self.rng.random_range(1..130) * 1000;
                self.pass(ms);
                format!("{ms} ms pass")
            }
            99 => {
                self.restart();
                "call control is started again".into()
            }
            _ => self.an_application_acts(),
        }
    }

    /// Time does not stand still between two steps: what comes later is younger.
    fn pass_by_a_little(&mut self) {
        let ms = self.now.as_millis() + 1;
        self.now = sidetone_model::time::Timestamp::from_millis(ms);
        self.model.a_moment_later(ms);
    }

    fn user(&mut self) -> u8 {
        self.rng.random_range(0..USERS)
    }

    fn target(&mut self) -> Target {
        match self.rng.random_range(0..20) {
            0 => Target::Nobody,
            1 => Target::User(self.user(), 0),
            2 => Target::Echo,
            3 => Target::Voicemail,
            4 | 5 => Target::Room(self.rng.random_range(0..2)),
            _ => Target::User(self.user(), self.rng.random_range(1..4)),
        }
    }

    /// Any leg that is there.
    fn any(&mut self) -> Option<Leg> {
        let all: Vec<Leg> = self.model.here().map(|(leg, _)| leg).collect();
        all.choose(&mut self.rng).copied()
    }

    /// One with which the same phone holds another call, where there is one.
    fn any_beside(&mut self, leg: Leg) -> Leg {
        let held = self.model.held_beside(leg);
        held.choose(&mut self.rng).copied().or_else(|| self.any()).unwrap_or(leg)
    }

    fn somebody_calls(&mut self) -> String {
        let outside = self.rng.random_range(0..6) == 0;
        let (user, device) = (self.user(), self.rng.random_range(0..2));
        let who = if outside { (None, None) } else { (Some(user), Some(device)) };
        let to = if self.rng.random_range(0..12) == 0 { Target::Wait } else { self.target() };
        let replaces = if self.rng.random_range(0..6) == 0 { self.any() } else { None };
        let from = match outside {
            true => Party { number: "100".into(), ..Party::default() },
            false => Party {
                user: Some(user_id(user)),
                device: Some(format!("d{device}").parse().unwrap()),
                number: "1".into(),
                ..Party::default()
            },
        };
        let (routing, old) = (self.routing(to), replaces.map(|old| self.id(old)));
        let leg = self.model.incoming(who, to, replaces);
        self.dial(leg, from, old, routing);
        format!("leg {leg}: {who:?} calls {to:?}, in the place of {replaces:?}")
    }

    pub(crate) fn hang_up(&mut self, leg: Leg) {
        let talks = self.model.leg(leg).state == State::Talking;
        let cause = if talks || !self.model.leg(leg).called_us { Cause::Normal } else { Cause::Cancelled };
        self.model.hangs_up(leg);
        self.says(leg, LegSignalKind::Ended(Termination::new(cause)), None);
    }

    fn a_phone_acts(&mut self) -> String {
        let Some(leg) = self.any() else { return "nobody is there".into() };
        let it = self.model.leg(leg).clone();
        match (it.state, it.called_us, self.rng.random_range(0..12)) {
            (_, _, n) if it.asleep => {
                if n < 6 {
                    self.registers(leg);
                }
                format!("leg {leg} sleeps, and wakes up: {}", n < 6)
            }
            (State::Talking, _, 0..2) | (_, true, 0) => {
                self.hang_up(leg);
                format!("leg {leg} hangs up")
            }
            (State::Talking, _, 2..7) => self.a_phone_holds(leg),
            (State::Talking, _, 7..11) => self.a_phone_refers(leg),
            (State::Talking, _, _) => {
                self.says(leg, LegSignalKind::Digit { digit: '5', duration_ms: 80 }, None);
                format!("leg {leg} dials 5")
            }
            (_, true, _) => "a caller waits".into(),
            (_, false, 0..4) => {
                self.model.rings(leg);
                self.says(leg, LegSignalKind::Progress { media: None }, None);
                format!("leg {leg} rings")
            }
            (_, false, 4..9) => {
                self.model.answers(leg);
                self.says(leg, LegSignalKind::Answered { media: Some(media(Direction::SendRecv)) }, None);
                format!("leg {leg} answers")
            }
            (_, false, 9) => self.a_phone_names_another(leg),
            (_, false, n) => {
                let everywhere = n == 11;
                self.model.declines(leg, everywhere);
                let (cause, status) = if everywhere { (Cause::Rejected, 603) } else { (Cause::Busy, 486) };
                self.says(leg, LegSignalKind::Ended(Termination::new(cause).with_sip_status(status)), None);
                format!("leg {leg} declines, everywhere: {everywhere}")
            }
        }
    }

    /// The device of a leg registers, and is gone again before the next step.
    pub(crate) fn registers(&mut self, leg: Leg) {
        let user = self.model.leg(leg).user;
        self.model.registers(user);
        self.is_registered(user.unwrap_or_default());
    }

    fn a_phone_holds(&mut self, leg: Leg) -> String {
        use Direction::{Inactive, RecvOnly, SendOnly, SendRecv};
        let direction = *[SendRecv, SendRecv, SendOnly, Inactive, RecvOnly].choose(&mut self.rng).unwrap();
        let holds = matches!(direction, SendOnly | Inactive);
        self.model.offers_anew(leg, holds);
        let id = self.id(leg);
        self.phones.get_mut(&id).expect("it is there").holds = holds;
        self.says(leg, LegSignalKind::Reoffered { media: Some(media(direction)) }, None);
        format!("leg {leg} offers {direction:?}")
    }

    fn a_phone_refers(&mut self, leg: Leg) -> String {
        let named = Named { number: "200".into(), own: true };
        if self.rng.random() {
            let to = self.target();
            self.model.refers(leg, to);
            let referred = Referred { to: named, replaces: None };
            self.says(leg, LegSignalKind::Referred(referred), Some(self.routing(to)));
            return format!("leg {leg} refers to {to:?}");
        }
        let other = self.any_beside(leg);
        self.model.refers_to(leg, other);
        let referred = Referred { to: named, replaces: Some(self.id(other)) };
        self.says(leg, LegSignalKind::Referred(referred), None);
        format!("leg {leg} refers to the call of leg {other}")
    }

    fn a_phone_names_another(&mut self, leg: Leg) -> String {
        let to = self.target();
        self.model.names_another(leg, to);
        let targets = vec![Named { number: "200".into(), own: true }];
        self.says(leg, LegSignalKind::Redirected { targets }, Some(self.routing(to)));
        if self.phones.contains_key(&self.id(leg)) {
            let over = Termination::new(Cause::Diverted).with_sip_status(302);
            self.says(leg, LegSignalKind::Ended(over), None);
        }
        format!("leg {leg} names {to:?}")
    }

    fn an_application_acts(&mut self) -> String {
        let Some(leg) = self.any().filter(|_| self.rng.random_range(0..20) != 0) else {
            let to = self.target();
            let (user, devices) = (self.user(), self.rng.random_range(0..4));
            let few = self.model.calls_here() < CALLS;
            let operation = match self.rng.random() {
                true if few => Operation::Place { user, devices, to },
                _ => Operation::Join { to },
            };
            return self.operate(operation);
        };
        let possible: Vec<Capability> =
            ALL.iter().copied().filter(|one| self.model.possible(leg) & bit(*one) != 0).collect();
        let one = match self.rng.random_range(0..3) {
            0 => ALL.choose(&mut self.rng).copied(),
            _ => possible.choose(&mut self.rng).copied(),
        };
        let operation = one.map(|one| self.operation(leg, one)).unwrap_or(Operation::HangUpLeg(leg));
        self.operate(operation)
    }

    /// The operation for which a capability stands.
    fn operation(&mut self, leg: Leg, what: Capability) -> Operation {
        use Capability as C;
        use Operation::*;
        let to = self.target();
        let (held, device) = (self.any_beside(leg), self.rng.random_range(0..3));
        let beside: Vec<Leg> = self.model.others(leg).map(|(other, _)| other).collect();
        let other = beside.choose(&mut self.rng).copied().unwrap_or(held);
        let (user, devices) = (TAKER, self.rng.random_range(1..3));
        let seldom = self.rng.random_range(0..8) == 0;
        match what {
            C::Terminate if seldom => HangUpCall(self.model.leg(leg).call),
            C::Drop if seldom => HangUpLeg(leg),
            C::Terminate => RetrieveParticipant(leg),
            C::Drop if self.model.leg(leg).state == State::Waiting => Decide { leg, to },
            C::Drop => Deflect(leg),
            C::Answer => AnswerRinging(leg),
            C::Reject => Reject(leg),
            C::Redirect => Redirect { leg, to, how: what },
            C::RedirectToVoicemail => Redirect { leg, to: Target::Voicemail, how: what },
            C::RedirectToAssistant => Redirect { leg, to: Target::Echo, how: what },
            C::PickedUp => PickUp { leg, user, devices },
            C::OverflowToVoicemail => Overflow(leg),
            C::Reconnect => Reconnect { active: leg, held },
            C::Hold => Hold(leg),
            C::Retrieve => Retrieve(leg),
            C::Enquire => Enquire { leg, to },
            C::Alternate => Alternate { active: leg, held },
            C::Merge => Merge { active: leg, held },
            C::Transfer => TransferAttended { active: leg, held },
            C::BlindTransfer => TransferBlind { leg, to },
            C::AddParticipant => AddParticipant { leg, to },
            C::DropParticipant => DropParticipant { leg: other, by: leg },
            C::HoldParticipant => HoldParticipant { leg: other, by: leg },
            C::DropMe => DropMe(leg),
            C::Intruded => Intrude { call: self.model.leg(leg).call, user, devices },
            C::AddDevice => AddDevice { leg, device },
            C::SwitchDevice => SwitchDevice { leg, device },
            C::SetAudio => SetAudio { leg, muted: self.rng.random(), deafened: self.rng.random() },
            _ => SendDigits(leg),
        }
    }

    /// The application does it: it succeeds where the model says so, and is refused where not. That nothing has changed then is
    /// seen by the comparison that follows every step.
    fn operate(&mut self, operation: Operation) -> String {
        let (kind, from, to) = self.command_of(operation);
        self.keys += 1;
        let command = CallCommand { tenant: self.tenant.clone(), key: self.keys.to_string().into(), kind };
        let expected = self.model.operate(operation);
        self.tried(operation, expected);
        match self.shard.handle_command(&command, [1; 32], from, to, self.now) {
            Ok((_, step)) => {
                assert!(expected, "done, and the model says that it may not be: {operation:?}");
                self.take(step);
            }
            Err(error) => assert!(!expected, "refused with {error:?}: {operation:?}"),
        }
        self.come_to_rest();
        format!("{operation:?}: {expected}")
    }
}
