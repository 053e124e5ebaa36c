//! What the shard shows, held against what the model says.

use std::collections::{BTreeMap, BTreeSet};

use sidetone_call_core::Connection;
use sidetone_model::call::HeldBy;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::ConferenceId;

use crate::model::capabilities::{ALL, bit};
use crate::model::{Call, Hears, Holds, Leg, State, Telephone};
use crate::world::{World, user_id};

/// Which mix is which: everybody of a call hears one, and nobody else hears that one.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Mixed {
    Call(Call),
    Room(u8),
}

impl World {
    /// Everybody is where the model has them, hears whom the model says, and may do what the model allows.
    pub(crate) fn compare(&self) {
        assert!(self.model.rung.is_empty(), "phones that nobody rang: {:?}", self.model.rung);
        let mut here = 0;
        let mut mixes: BTreeMap<Mixed, ConferenceId> = BTreeMap::new();
        let mut busy = [0; 10];
        for (leg, it) in self.model.here() {
            let id = self.id(leg);
            // Whose device sleeps is known here alone.
            here += usize::from(!it.asleep);
            assert_eq!(self.phones.contains_key(&id), !it.asleep, "leg {leg} is nobody's: {it:?}");
            let view = self.shard.fold().leg(id).expect("a leg that is known");
            self.compare_leg(leg, it, view);
            match it.asleep {
                true => assert!(!self.hears.contains_key(&id), "leg {leg} sleeps, and has a port"),
                false => self.compare_sound(leg, &mut mixes),
            }
            if let Some(user) = it.user {
                busy[usize::from(user)] += 1;
            }
        }
        assert_eq!(self.phones.len(), here, "phones that are in no call");
        let fold = self.shard.fold();
        assert_eq!(fold.live_calls_of(&self.tenant) as usize, self.model.calls_here(), "calls");
        let distinct: BTreeSet<ConferenceId> = mixes.values().copied().collect();
        assert_eq!(distinct.len(), mixes.len(), "two conversations in one mix");
        // A meeting that nobody is in is over.
        assert!(fold.conferences().count() <= self.model.calls_here(), "a meeting of nobody");
        for (user, legs) in (0..).zip(busy) {
            // Nobody is free in a call, or busy without one.
            assert_eq!(fold.live_legs_of(&self.tenant, &user_id(user)).count(), legs, "user {user} is busy");
        }
    }

    fn compare_leg(&self, leg: Leg, it: &Telephone, view: &LegView) {
        let phase = match it.state {
            State::SettingUp => LegPhase::SettingUp,
            State::Waiting => LegPhase::Waiting,
            State::Waking => LegPhase::Waking,
            State::Ringing => LegPhase::Ringing,
            State::Talking => LegPhase::Answered,
            State::Gone => LegPhase::Ended,
        };
        let held = match it.holds {
            Holds::No => None,
            Holds::ByApplication => Some(HeldBy::Application),
            Holds::ByPhone => Some(HeldBy::Phone),
        };
        let about = || format!("leg {leg}, {it:?}, is {view:?}");
        assert_eq!(view.phase, phase, "{}", about());
        assert_eq!(Some(view.call), self.calls[it.call], "{}", about());
        assert_eq!((view.incoming, view.cause), (it.called_us, it.cause), "{}", about());
        assert_eq!((view.held, view.put_aside), (held, it.aside), "{}", about());
        assert_eq!(view.is_asleep(), it.asleep, "{}", about());
        assert_eq!(view.diverted, it.diverted, "{}", about());
        assert_eq!((view.muted, view.deafened), (it.muted, it.deafened), "{}", about());
        assert_eq!(
            self.phones.get(&view.leg).is_some_and(|phone| phone.answered),
            it.state == State::Talking,
            "{}",
            about()
        );
        let (offered, possible) = (self.shard.fold().capabilities(view.leg), self.model.possible(leg));
        for one in ALL {
            let may = possible & bit(one) != 0;
            assert_eq!(offered.contains(one), may, "{one:?} is offered, and the model says: {}", about());
        }
    }

    fn compare_sound(&self, leg: Leg, mixes: &mut BTreeMap<Mixed, ConferenceId>) {
        let there = self.hears.get(&self.id(leg)).copied().expect("a leg without a port");
        let wanted = self.model.hears(leg);
        let mixed = match (wanted, there) {
            (Hears::Nothing, Connection::Nothing) | (Hears::Itself, Connection::Echo) => return,
            (Hears::Other(other), Connection::Peer(peer)) if peer == self.id(other) => return,
            (Hears::Mix(call), Connection::Mix(mix)) => (Mixed::Call(call), mix),
            (Hears::Room(room), Connection::Mix(mix)) => (Mixed::Room(room), mix),
            _ => panic!("leg {leg}, {:?}, hears {there:?} instead of {wanted:?}", self.model.leg(leg)),
        };
        let known = *mixes.entry(mixed.0).or_insert(mixed.1);
        assert_eq!(known, mixed.1, "leg {leg} is in another mix than the others");
    }

    /// Whoever is left hangs up: every phone can, whatever its call is doing, and nothing remains.
    pub(crate) fn all_hang_up(&mut self) {
        loop {
            let first = self.model.here().next().map(|(leg, _)| leg);
            let Some(first) = first else { break };
            if self.model.leg(first).asleep {
                self.registers(first);
                continue;
            }
            self.hang_up(first);
            self.compare();
        }
        let fold = self.shard.fold();
        assert_eq!(fold.live_calls_of(&self.tenant), 0, "everybody hung up, and a call goes on");
        assert_eq!(fold.conferences().count(), 0, "everybody hung up, and a meeting goes on");
        assert!(self.hears.is_empty(), "everybody hung up, and a port is kept");
    }
}
