//! The operations of the model as commands of an application.

use sidetone_call_core::Routing;
use sidetone_model::call::{DeviceOf, Elsewhere, ExternalRef};
use sidetone_model::command::{CallCommandKind, CallName, PlaceOptions};
use sidetone_model::fold::Capability;
use sidetone_model::party::Destination;

use crate::model::operations::Operation;
use crate::model::{Leg, Target};
use crate::world::{World, user_id};

impl World {
    /// The command, and where its numbers lead: of whoever acts, and of whom it is about.
    pub(crate) fn command_of(&self, operation: Operation) -> (CallCommandKind, Routing, Routing) {
        if let Some(plain) = self.without_numbers(operation) {
            return (plain, Routing::default(), Routing::default());
        }
        if let Some((kind, own)) = self.with_own_phones(operation) {
            return (kind, own, Routing::default());
        }
        self.to_a_number(operation)
    }

    fn without_numbers(&self, operation: Operation) -> Option<CallCommandKind> {
        use CallCommandKind as K;
        use Operation::*;
        let id = |leg: Leg| self.id(leg);
        Some(match operation {
            AnswerRinging(leg) => K::AnswerRinging { leg: id(leg) },
            Reject(leg) => K::Reject { leg: id(leg) },
            Deflect(leg) => K::Deflect { leg: id(leg), numbers: vec!["200".into()] },
            Hold(leg) => K::Hold { leg: id(leg) },
            Retrieve(leg) => K::Retrieve { leg: id(leg) },
            Alternate { active, held } => K::Alternate { active: id(active), held: id(held) },
            Reconnect { active, held } => K::Reconnect { active: id(active), held: id(held) },
            Merge { active, held } => K::Merge { active: id(active), held: id(held) },
            TransferAttended { active, held } => K::TransferAttended { active: id(active), held: id(held) },
            DropParticipant { leg, by } => K::DropParticipant { leg: id(leg), by: Some(id(by)) },
            HoldParticipant { leg, by } => K::HoldParticipant { leg: id(leg), by: Some(id(by)) },
            RetrieveParticipant(leg) => K::RetrieveParticipant { leg: id(leg) },
            DropMe(leg) => K::DropMe { leg: id(leg) },
            SetAudio { leg, muted, deafened } => K::SetAudio { leg: id(leg), muted, deafened, voice: None },
            SendDigits(leg) => K::SendDigits { leg: id(leg), digits: "12#".into() },
            HangUpLeg(leg) => K::HangUpLeg { leg: id(leg) },
            HangUpCall(call) => K::HangUpCall { call: self.call_id(call) },
            _ => return None,
        })
    }

    fn with_own_phones(&self, operation: Operation) -> Option<(CallCommandKind, Routing)> {
        use CallCommandKind as K;
        let by = |user| DeviceOf { user: user_id(user), device: None };
        let device = |device| format!("d{device}").parse().unwrap();
        Some(match operation {
            Operation::PickUp { leg, user, devices } => {
                (K::PickUp { leg: self.id(leg), by: by(user) }, self.routing(Target::User(user, devices)))
            }
            Operation::Intrude { call, user, devices } => {
                let kind = K::Intrude { call: self.call_id(call), by: by(user) };
                (kind, self.routing(Target::User(user, devices)))
            }
            Operation::SwitchDevice { leg, device: to } => {
                (K::SwitchDevice { leg: self.id(leg), device: device(to) }, self.own(leg))
            }
            Operation::AddDevice { leg, device: to } => {
                (K::AddDevice { leg: self.id(leg), device: device(to) }, self.own(leg))
            }
            _ => return None,
        })
    }

    fn to_a_number(&self, operation: Operation) -> (CallCommandKind, Routing, Routing) {
        use CallCommandKind as K;
        let (to_number, anonymous) = (Box::<str>::from("200"), false);
        // Where they lead is looked up before; what stands in the command is what the client wrote.
        let somewhere = Destination::Echo;
        let nowhere = Routing::default();
        match operation {
            Operation::Place { user, devices, to } => {
                let kind = K::Place {
                    from: Destination::User(user_id(user)),
                    from_number: "100".into(),
                    to: somewhere,
                    to_number,
                    options: PlaceOptions::default(),
                };
                (kind, self.routing(Target::User(user, devices)), self.routing(to))
            }
            Operation::Decide { leg, to } => {
                (K::Answer { leg: self.id(leg), to: somewhere, to_number }, nowhere, self.routing(to))
            }
            Operation::Redirect { leg, to, how } => {
                let elsewhere = match how {
                    Capability::RedirectToVoicemail => Elsewhere::Voicemail,
                    Capability::RedirectToAssistant => Elsewhere::Assistant,
                    _ => Elsewhere::Number(to_number),
                };
                (K::Redirect { leg: self.id(leg), to: elsewhere, anonymous }, nowhere, self.routing(to))
            }
            Operation::Overflow(leg) => {
                (K::Overflow { leg: self.id(leg) }, nowhere, self.routing(Target::Voicemail))
            }
            Operation::Enquire { leg, to } => {
                (K::Enquire { leg: self.id(leg), to_number, anonymous }, self.own(leg), self.routing(to))
            }
            Operation::TransferBlind { leg, to } => {
                (K::TransferBlind { leg: self.id(leg), to_number, anonymous }, nowhere, self.routing(to))
            }
            Operation::AddParticipant { leg, to } => {
                (K::AddParticipant { leg: self.id(leg), to_number, anonymous }, nowhere, self.routing(to))
            }
            Operation::Join { to } => {
                let external = ExternalRef { dialect: "bot".into(), key: "thread".into() };
                let kind = K::Join {
                    call: CallName::External(external),
                    to: somewhere,
                    to_number,
                    from_number: "bot".into(),
                    contact: "".into(),
                };
                (kind, nowhere, self.routing(to))
            }
            other => unreachable!("{other:?} names no number"),
        }
    }

    /// Where the user of a leg is registered.
    fn own(&self, leg: Leg) -> Routing {
        self.model.leg(leg).user.map(|user| self.routing(Target::User(user, 3))).unwrap_or_default()
    }
}
