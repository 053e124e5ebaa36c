//! What applications do. What may not be done is refused, and changes nothing.

use sidetone_model::call::LegCause;
use sidetone_model::fold::Capability;

use super::{Call, Holds, Leg, Model, State, Target};

/// An operation, and where the numbers lead that it names.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Operation {
    /// Rings so many phones of a user, and connects the first that answers.
    Place {
        user: u8,
        devices: u8,
        to: Target,
    },
    /// Decides about a caller who waits.
    Decide {
        leg: Leg,
        to: Target,
    },
    AnswerRinging(Leg),
    Reject(Leg),
    Redirect {
        leg: Leg,
        to: Target,
        how: Capability,
    },
    Deflect(Leg),
    Overflow(Leg),
    PickUp {
        leg: Leg,
        user: u8,
        devices: u8,
    },
    Hold(Leg),
    Retrieve(Leg),
    Enquire {
        leg: Leg,
        to: Target,
    },
    Alternate {
        active: Leg,
        held: Leg,
    },
    Reconnect {
        active: Leg,
        held: Leg,
    },
    Merge {
        active: Leg,
        held: Leg,
    },
    TransferAttended {
        active: Leg,
        held: Leg,
    },
    TransferBlind {
        leg: Leg,
        to: Target,
    },
    AddParticipant {
        leg: Leg,
        to: Target,
    },
    DropParticipant {
        leg: Leg,
        by: Leg,
    },
    HoldParticipant {
        leg: Leg,
        by: Leg,
    },
    RetrieveParticipant(Leg),
    DropMe(Leg),
    SwitchDevice {
        leg: Leg,
        device: u8,
    },
    AddDevice {
        leg: Leg,
        device: u8,
    },
    Intrude {
        call: Call,
        user: u8,
        devices: u8,
    },
    /// Asks a user into the call that has a name, which begins with that if it is not there.
    Join {
        to: Target,
    },
    SetAudio {
        leg: Leg,
        muted: bool,
        deafened: bool,
    },
    SendDigits(Leg),
    HangUpLeg(Leg),
    HangUpCall(Call),
}

impl Model {
    /// Does it, if it may be done; false if not.
    pub(crate) fn operate(&mut self, operation: Operation) -> bool {
        use Operation::*;
        let done = match operation {
            Place { user, devices, to } => self.place(user, devices, to),
            Decide { leg, to } => self.decide(leg, to),
            AnswerRinging(leg) => self.may(leg, Capability::Answer),
            Reject(leg) => self.when(self.may(leg, Capability::Reject), |model| model.end_fork(leg)),
            Redirect { leg, to, how } => self.when(self.may(leg, how) && to.takes_calls(), |model| {
                model.send_ringing_on(leg, LegCause::Redirected, to);
            }),
            Deflect(leg) => self.deflect(leg),
            Overflow(leg) => self.may(leg, Capability::OverflowToVoicemail) && self.overflow(leg),
            PickUp { leg, user, devices } => self.when(self.may(leg, Capability::PickedUp), |model| {
                model.ring_all(model.legs[leg].call, (user, devices), (LegCause::PickedUp, Some(leg)));
            }),
            SwitchDevice { leg, device } => {
                self.other_device(leg, device, (Capability::SwitchDevice, LegCause::DeviceSwitched))
            }
            AddDevice { leg, device } => {
                self.other_device(leg, device, (Capability::AddDevice, LegCause::DeviceAdded))
            }
            Intrude { call, user, devices } => self.intrude(call, user, devices),
            Join { to } => self.join(to),
            SetAudio { leg, muted, deafened } => self.when(self.may(leg, Capability::SetAudio), |model| {
                let it = &mut model.legs[leg];
                (it.muted, it.deafened) = (muted, deafened);
            }),
            SendDigits(leg) => self.may(leg, Capability::SendDigits),
            HangUpLeg(leg) => self.when(self.legs[leg].is_here(), |model| model.end(leg)),
            HangUpCall(call) => {
                let all = self.calls[call].legs.clone();
                all.iter().for_each(|leg| self.end(*leg));
                !all.is_empty()
            }
            _ => self.between_two(operation).unwrap_or_else(|| self.among_several(operation)),
        };
        self.come_to_rest();
        done
    }

    fn between_two(&mut self, operation: Operation) -> Option<bool> {
        use Operation::*;
        Some(match operation {
            Hold(leg) => self.when(self.may(leg, Capability::Hold), |model| model.put_on_hold(leg)),
            Retrieve(leg) => {
                self.when(self.may(leg, Capability::Retrieve), |model| model.take_from_hold(leg))
            }
            Enquire { leg, to } => self.enquire(leg, to),
            Alternate { active, held } => {
                self.when(self.can_change(active, held, Capability::Alternate), |model| {
                    model.put_on_hold(active);
                    model.take_from_hold(held);
                })
            }
            Reconnect { active, held } => {
                self.when(self.can_change(active, held, Capability::Reconnect), |model| {
                    model.end(active);
                    let rings = |leg: &Leg| !model.legs[*leg].is_party();
                    let call = model.legs[active].call;
                    let ringing: Vec<Leg> = model.calls[call].legs.iter().copied().filter(rings).collect();
                    ringing.into_iter().for_each(|leg| model.end(leg));
                    model.take_from_hold(held);
                })
            }
            Merge { active, held } => self.when(self.are_two(active, held, Capability::Merge), |model| {
                model.move_others(held, model.legs[active].call);
                model.end(held);
            }),
            TransferAttended { active, held } => self.when(self.can_connect(active, held), |model| {
                model.connect_others(active, held);
            }),
            TransferBlind { leg, to } => {
                self.when(self.may(leg, Capability::BlindTransfer) && to.takes_calls(), |model| {
                    model.legs[leg].diverted = true;
                    model.end(leg);
                    model.send_on(leg, LegCause::Transferred, to);
                })
            }
            _ => return None,
        })
    }

    fn among_several(&mut self, operation: Operation) -> bool {
        use Operation::*;
        match operation {
            AddParticipant { leg, to: Target::User(user, devices @ 1..) } => {
                self.when(self.may(leg, Capability::AddParticipant), |model| {
                    let why = (LegCause::Conferenced, Some(leg));
                    model.ring_all(model.legs[leg].call, (user, devices), why);
                })
            }
            DropParticipant { leg, by } => {
                self.when(self.is_beside(leg, by, Capability::DropParticipant), |model| {
                    match model.legs[leg].is_party() {
                        true => model.end(leg),
                        false => model.end_fork(leg),
                    }
                })
            }
            HoldParticipant { leg, by } => {
                let can = self.legs[leg].state == State::Talking && !self.legs[leg].aside;
                self.when(can && self.is_beside(leg, by, Capability::HoldParticipant), |model| {
                    let it = &mut model.legs[leg];
                    (it.aside, it.aside_by) = (true, Some(by));
                })
            }
            RetrieveParticipant(leg) => {
                self.when(self.legs[leg].is_here() && self.legs[leg].aside, |model| {
                    let it = &mut model.legs[leg];
                    (it.aside, it.aside_by) = (false, None);
                })
            }
            DropMe(leg) => self.when(self.may(leg, Capability::DropMe), |model| model.end(leg)),
            _ => false,
        }
    }

    fn when(&mut self, may: bool, does: impl FnOnce(&mut Self)) -> bool {
        if may {
            does(self);
        }
        may
    }

    fn end_fork(&mut self, leg: Leg) {
        self.fork_of(leg).into_iter().for_each(|ringing| self.end(ringing));
    }

    /// What an application holds; what the phone holds by itself it takes back itself, when it has been asked.
    fn take_from_hold(&mut self, leg: Leg) {
        let it = &mut self.legs[leg];
        if it.holds == Holds::ByApplication {
            it.holds = Holds::No;
        }
    }

    /// Whether a phone can change from one of its calls to another.
    fn can_change(&self, active: Leg, held: Leg, what: Capability) -> bool {
        self.legs[held].can_be_retrieved() && self.are_two(active, held, what)
    }

    fn put_on_hold(&mut self, leg: Leg) {
        let it = &mut self.legs[leg];
        if it.holds == Holds::No {
            it.holds = Holds::ByApplication;
        }
    }

    fn can_connect(&self, active: Leg, held: Leg) -> bool {
        self.are_two(active, held, Capability::Transfer) && self.holds_somebody(held)
    }

    fn place(&mut self, user: u8, devices: u8, to: Target) -> bool {
        if devices == 0 || !to.takes_calls() {
            return false;
        }
        let call = self.begin_call(false);
        for device in 0..devices {
            let leg = self.ring(call, (user, device), (LegCause::Normal, None));
            self.legs[leg].then = Some(to);
        }
        true
    }

    fn decide(&mut self, leg: Leg, to: Target) -> bool {
        let may = self.legs[leg].state == State::Waiting && to.takes_calls();
        if may {
            self.legs[leg].decided_by_ms = None;
            self.route(leg, to);
        }
        may
    }

    /// A caller who was not answered is sent away, to call elsewhere.
    fn deflect(&mut self, leg: Leg) -> bool {
        let it = &self.legs[leg];
        let may = it.is_here() && it.called_us && it.state != State::Talking;
        if may {
            self.end(leg);
        }
        may
    }

    /// The caller leaves a message where it rings, or was about to.
    fn overflow(&mut self, caller: Leg) -> bool {
        let order = |leg: Leg| {
            (self.legs[leg].diverted, !matches!(self.legs[leg].state, State::Ringing | State::Waking))
        };
        let awaited = self.others(caller).filter(|(_, it)| it.diverted || !it.is_party());
        let Some((awaited, _)) = awaited.min_by_key(|(leg, _)| order(*leg)) else { return false };
        let call = self.legs[caller].call;
        let passed_it_on = self.legs[awaited].is_party();
        self.send_ringing_on(awaited, LegCause::Overflown, Target::Voicemail);
        if passed_it_on {
            self.release_transferors(call);
        }
        true
    }

    fn enquire(&mut self, leg: Leg, to: Target) -> bool {
        let (Some(user), Some(device)) = (self.legs[leg].user, self.legs[leg].device) else { return false };
        if !self.may(leg, Capability::Enquire) || !to.takes_calls() {
            return false;
        }
        self.put_on_hold(leg);
        let call = self.begin_call(false);
        let own = self.ring(call, (user, device), (LegCause::Enquiry, Some(leg)));
        self.legs[own].then = Some(to);
        true
    }

    /// Whether it may be done with two calls of one phone.
    fn are_two(&self, active: Leg, held: Leg, what: Capability) -> bool {
        let (one, two) = (&self.legs[active], &self.legs[held]);
        let same_phone = two.user.is_some() && (one.user, one.device) == (two.user, two.device);
        let holds = two.state == State::Talking && two.holds != Holds::No && two.call != one.call;
        self.may(active, what) && same_phone && holds
    }

    /// All of a leg's call but itself go to another call.
    fn move_others(&mut self, but: Leg, to: Call) {
        let from = self.legs[but].call;
        let stays = |leg: &Leg| *leg == but || self.legs[*leg].ending;
        let (stay, go): (Vec<Leg>, Vec<Leg>) = self.calls[from].legs.iter().partition(|leg| stays(leg));
        for leg in &go {
            let it = &mut self.legs[*leg];
            it.call = to;
            if it.aside_by == Some(but) {
                (it.aside, it.aside_by) = (false, None);
            }
        }
        self.calls[from].legs = stay;
        self.calls[to].legs.extend(go);
    }

    /// Those with whom one phone talks and whom it holds are connected, in the held call.
    pub(super) fn connect_others(&mut self, active: Leg, held: Leg) {
        self.move_others(active, self.legs[held].call);
        self.legs[held].diverted = true;
        self.end(held);
        self.end(active);
    }

    fn other_device(&mut self, leg: Leg, device: u8, (what, cause): (Capability, LegCause)) -> bool {
        let (Some(user), own) = (self.legs[leg].user, self.legs[leg].device) else { return false };
        let may = self.may(leg, what) && own != Some(device);
        if may {
            self.ring(self.legs[leg].call, (user, device), (cause, Some(leg)));
        }
        may
    }

    /// Somebody disposes of another participant.
    fn is_beside(&self, leg: Leg, by: Leg, what: Capability) -> bool {
        self.legs[leg].is_here()
            && leg != by
            && self.legs[leg].call == self.legs[by].call
            && self.may(by, what)
    }

    fn intrude(&mut self, call: Call, user: u8, devices: u8) -> bool {
        let talking = self.calls[call].legs.iter().find(|leg| self.may(**leg, Capability::Intruded)).copied();
        let Some(talking) = talking.filter(|_| devices > 0) else { return false };
        self.ring_all(call, (user, devices), (LegCause::Intrusion, Some(talking)));
        true
    }

    fn join(&mut self, to: Target) -> bool {
        let Target::User(user, devices @ 1..) = to else { return false };
        let call = self.named.unwrap_or_else(|| self.begin_call(true));
        self.named = Some(call);
        self.ring_all(call, (user, devices), (LegCause::Conferenced, None));
        true
    }
}
