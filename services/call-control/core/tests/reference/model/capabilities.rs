//! What may be done from where a leg stands.

use sidetone_model::call::LegCause;
use sidetone_model::fold::Capability;

use super::{Holds, Leg, Model, Place, State, Telephone};

/// Those that are told apart here. Whether a recording may be begun, paused and ended is for its own tests.
pub(crate) const ALL: [Capability; 26] = {
    use Capability::*;
    [
        Terminate,
        Drop,
        Answer,
        Reject,
        Redirect,
        RedirectToVoicemail,
        RedirectToAssistant,
        PickedUp,
        OverflowToVoicemail,
        Reconnect,
        Hold,
        Retrieve,
        Enquire,
        Alternate,
        Merge,
        Transfer,
        BlindTransfer,
        AddParticipant,
        DropParticipant,
        HoldParticipant,
        DropMe,
        Intruded,
        AddDevice,
        SwitchDevice,
        SetAudio,
        SendDigits,
    ]
};

impl Model {
    pub(crate) fn may(&self, leg: Leg, what: Capability) -> bool {
        self.possible(leg) & bit(what) != 0
    }

    /// What may be done, a bit for each.
    pub(crate) fn possible(&self, leg: Leg) -> u64 {
        use Capability::*;
        let it = &self.legs[leg];
        let anybody = match it.state {
            State::Gone => return 0,
            _ => bits(&[Terminate, Drop]),
        };
        anybody
            | match it.state {
                State::Talking => self.of_talking(leg, it),
                _ if it.called_us => self.of_waiting(leg),
                State::Ringing | State::Waking => self.of_ringing(leg, it),
                _ => 0,
            }
    }

    /// A phone rings, or will: once it does it may be told to take the call; where somebody waits for it, the call may go elsewhere.
    fn of_ringing(&self, leg: Leg, it: &Telephone) -> u64 {
        use Capability::*;
        let answer = if it.talk_refused || it.state == State::Waking { 0 } else { bit(Answer) };
        let own_purpose = it.cause.takes_over() || it.cause == LegCause::DeviceAdded;
        if own_purpose || self.company(leg).next().is_none() {
            return answer;
        }
        answer | bits(&[Reject, Redirect, RedirectToVoicemail, RedirectToAssistant, PickedUp])
    }

    /// Nobody is there yet, and somebody rings or will: the caller may leave a message, or go back to whom it holds.
    fn of_waiting(&self, leg: Leg) -> u64 {
        use Capability::*;
        match (self.awaits(leg), self.can_go_back(leg)) {
            (false, _) => 0,
            (true, false) => bit(OverflowToVoicemail),
            (true, true) => bits(&[OverflowToVoicemail, Reconnect]),
        }
    }

    fn of_talking(&self, leg: Leg, it: &Telephone) -> u64 {
        use Capability::*;
        let second_call = match (it.user, it.device) {
            (Some(_), Some(_)) => bit(Enquire),
            _ => 0,
        };
        if it.holds != Holds::No {
            return if it.can_be_retrieved() { bit(Retrieve) | second_call } else { second_call };
        }
        let own = bits(&[SetAudio, SendDigits]);
        let with_machine = matches!(it.place, Place::Echo | Place::Voicemail);
        let parties = self.company(leg).count();
        if parties == 0 || with_machine {
            return if self.awaits(leg) { self.of_waiting(leg) } else { own };
        }
        if self.peer(leg).is_some_and(|peer| self.legs[peer].holds != Holds::No) {
            // Whoever is held waits.
            return 0;
        }
        let mut all = own | second_call | bits(&[Hold, AddParticipant, Intruded, BlindTransfer]);
        if it.user.is_some() {
            all |= bits(&[SwitchDevice, AddDevice]);
        }
        // Of several calls that it holds, what is possible with one of them.
        let held = self.held_beside(leg);
        if !held.is_empty() {
            all |= bit(Merge);
        }
        if self.can_go_back(leg) {
            all |= bit(Alternate);
        }
        if held.iter().any(|held| self.holds_somebody(*held)) {
            all |= bit(Transfer);
        }
        let asked_in = self.others(leg).any(|(_, it)| {
            let joins = [LegCause::Conferenced, LegCause::Intrusion, LegCause::DeviceAdded];
            !it.is_party() && !it.diverted && joins.contains(&it.cause)
        });
        if parties > 1 || asked_in {
            all |= bits(&[DropMe, DropParticipant]);
            if self.company(leg).any(|it| it.state == State::Talking && !it.aside) {
                all |= bit(HoldParticipant);
            }
        }
        all
    }

    /// Whether somebody is there, or will be, whom a leg holds.
    pub(super) fn holds_somebody(&self, leg: Leg) -> bool {
        self.legs[leg].place == Place::Call || self.others(leg).any(|(_, it)| !it.diverted)
    }

    /// Whether the same phone can talk again in a call in which it holds.
    fn can_go_back(&self, leg: Leg) -> bool {
        self.held_beside(leg).into_iter().any(|held| self.legs[held].can_be_retrieved())
    }

    /// The others who are there and stay.
    fn company(&self, leg: Leg) -> impl Iterator<Item = &Telephone> {
        self.others(leg).map(|(_, it)| it).filter(|it| it.is_party() && !it.diverted)
    }

    fn awaits(&self, leg: Leg) -> bool {
        let sent_on = [LegCause::Transferred, LegCause::Redirected, LegCause::Overflown];
        let comes = |it: &Telephone| {
            it.diverted
                || (!it.is_party()
                    && (matches!(it.state, State::Ringing | State::Waking) || sent_on.contains(&it.cause)))
        };
        self.company(leg).next().is_none() && self.others(leg).any(|(_, it)| comes(it))
    }
}

pub(crate) fn bit(capability: Capability) -> u64 {
    1 << capability as u64
}

fn bits(capabilities: &[Capability]) -> u64 {
    capabilities.iter().fold(0, |all, one| all | bit(*one))
}
