//! Operations in any state: what is offered succeeds, what is not offered is refused and changes nothing.

use rand::{RngExt as _, seq::IndexedRandom as _};
use sidetone_call_core::{CommandError, Routing, Step};
use sidetone_model::call::{DeviceOf, Elsewhere, ExternalRef};
use sidetone_model::command::{Audience, CallCommand, CallCommandKind, CallName};
use sidetone_model::fold::{Capability, LegView, RecordingPhase};
use sidetone_model::ids::UserId;
use sidetone_model::media::{BargeIn, Beside, FileFormat, Manner, PlayOptions, Source};
use sidetone_model::party::{Binding, Destination};
use sidetone_model::voice::LegVoice;

use crate::World;

impl World {
    pub(crate) fn operate(&mut self) {
        let legs: Vec<LegView> = self.shard.fold().legs().filter(|leg| leg.is_live()).cloned().collect();
        let Some(mut leg) = legs.choose(&mut self.rng).cloned() else { return };
        let (mut kind, mut offered) = self.any_operation(&leg, &legs);
        // Most of what comes to mind is not possible: now and then the rarest of what is.
        let mut rarest = u32::MAX;
        for _ in 0..self.rng.random_range(0..3) * 20 {
            let other = legs.choose(&mut self.rng).cloned().unwrap_or_else(|| leg.clone());
            let (another, possible) = self.any_operation(&other, &legs);
            let done = self.tally.get(name(&another)).map_or(0, |[done, _]| *done);
            if possible && done < rarest {
                (leg, kind, offered, rarest) = (other, another, possible, done);
            }
        }
        let own = leg.party.user.clone().unwrap_or_else(|| UserId::new("u9").unwrap());
        let other = self.user();
        let (from, mut to) = (self.reachable(own), self.reachable(other.clone()));
        let voicemail = Elsewhere::Voicemail;
        match &kind {
            CallCommandKind::Overflow { .. } => to.destination = Some(Destination::Voicemail(other)),
            CallCommandKind::Redirect { to: elsewhere, .. } if *elsewhere == voicemail => {
                to.destination = Some(Destination::Voicemail(other));
            }
            CallCommandKind::Redirect { to: Elsewhere::Assistant, .. } => {
                to.destination = Some(Destination::Echo)
            }
            _ => {}
        }
        if !matches!(to.destination, Some(Destination::User(_))) {
            to.bindings.clear();
        }
        self.expect(kind, offered, from, to);
    }

    fn any_operation(&mut self, leg: &LegView, legs: &[LegView]) -> (CallCommandKind, bool) {
        // Two calls of one device are rare and soon over: where there are some, more is done with them.
        let fold = self.shard.fold();
        let two = legs.iter().find(|leg| fold.held_beside(leg).is_some()).cloned();
        if let Some(two) = two.filter(|_| self.rng.random()) {
            return self.with_two(&two);
        }
        match self.rng.random_range(0..4) {
            0 => self.with_ringing(leg),
            1 => self.with_two(leg),
            2 => self.among_several(leg, legs),
            _ => self.with_media(leg),
        }
    }

    fn with_ringing(&mut self, leg: &LegView) -> (CallCommandKind, bool) {
        let may = |what| self.shard.fold().capabilities(leg.leg).contains(what);
        let number = || Elsewhere::Number("200".into());
        let leg_id = leg.leg;
        match self.rng.random_range(0..7) {
            4 => (CallCommandKind::Overflow { leg: leg_id }, may(Capability::OverflowToVoicemail)),
            5 => (
                CallCommandKind::Redirect { leg: leg_id, to: Elsewhere::Voicemail, anonymous: false },
                may(Capability::RedirectToVoicemail),
            ),
            6 => (
                CallCommandKind::Redirect { leg: leg_id, to: Elsewhere::Assistant, anonymous: false },
                may(Capability::RedirectToAssistant),
            ),
            3 => (CallCommandKind::AnswerRinging { leg: leg_id }, may(Capability::Answer)),
            0 => (CallCommandKind::Reject { leg: leg_id }, may(Capability::Reject)),
            1 => (
                CallCommandKind::Redirect { leg: leg_id, to: number(), anonymous: false },
                may(Capability::Redirect),
            ),
            _ => {
                let by = DeviceOf { user: UserId::new("u9").unwrap(), device: None };
                (CallCommandKind::PickUp { leg: leg_id, by }, may(Capability::PickedUp))
            }
        }
    }

    fn with_two(&mut self, leg: &LegView) -> (CallCommandKind, bool) {
        let fold = self.shard.fold();
        let may = |what| fold.capabilities(leg.leg).contains(what);
        let (active, held_id) = (leg.leg, fold.held_beside(leg).map_or(leg.leg, |held| held.leg));
        let to_number = || "200".into();
        match self.rng.random_range(0..8) {
            0 => (CallCommandKind::Hold { leg: active }, may(Capability::Hold)),
            1 => (CallCommandKind::Retrieve { leg: active }, may(Capability::Retrieve)),
            2 => (
                CallCommandKind::Enquire { leg: active, to_number: to_number(), anonymous: false },
                may(Capability::Enquire),
            ),
            what @ (3 | 4) => {
                let held = fold.all_held_beside(leg).into_iter().find(|held| held.can_be_retrieved());
                let held = held.map_or(held_id, |held| held.leg);
                match what {
                    3 => (CallCommandKind::Alternate { active, held }, may(Capability::Alternate)),
                    _ => (CallCommandKind::Reconnect { active, held }, may(Capability::Reconnect)),
                }
            }
            5 => (CallCommandKind::Merge { active, held: held_id }, may(Capability::Merge)),
            6 => {
                let held = fold.all_held_beside(leg).into_iter().find(|held| fold.holds_somebody(held));
                let held = held.map_or(held_id, |held| held.leg);
                (CallCommandKind::TransferAttended { active, held }, may(Capability::Transfer))
            }
            _ => (
                CallCommandKind::TransferBlind { leg: active, to_number: to_number(), anonymous: false },
                may(Capability::BlindTransfer),
            ),
        }
    }

    fn among_several(&mut self, leg: &LegView, legs: &[LegView]) -> (CallCommandKind, bool) {
        let other = legs.choose(&mut self.rng).cloned().expect("there is one");
        let fold = self.shard.fold();
        let may = |what| fold.capabilities(leg.leg).contains(what);
        let beside = other.call == leg.call && other.leg != leg.leg;
        let device = if leg.party.device.as_ref().is_some_and(|device| device.to_string() == "d0") {
            "d1"
        } else {
            "d0"
        };
        let (id, by, device) = (leg.leg, Some(leg.leg), device.parse().unwrap());
        match self.rng.random_range(0..9) {
            0 => (
                CallCommandKind::AddParticipant { leg: id, to_number: "200".into(), anonymous: false },
                may(Capability::AddParticipant),
            ),
            1 => (
                CallCommandKind::DropParticipant { leg: other.leg, by },
                beside && may(Capability::DropParticipant),
            ),
            2 => (
                CallCommandKind::HoldParticipant { leg: other.leg, by },
                beside && may(Capability::HoldParticipant) && other.is_answered() && !other.put_aside,
            ),
            3 => (CallCommandKind::RetrieveParticipant { leg: id }, leg.put_aside),
            4 => (CallCommandKind::DropMe { leg: id }, may(Capability::DropMe)),
            5 => (CallCommandKind::SwitchDevice { leg: id, device }, may(Capability::SwitchDevice)),
            6 => (CallCommandKind::AddDevice { leg: id, device }, may(Capability::AddDevice)),
            7 => {
                let offered = fold
                    .live_legs(leg.call)
                    .any(|leg| fold.capabilities(leg.leg).contains(Capability::Intruded));
                let by = DeviceOf { user: UserId::new("u9").unwrap(), device: None };
                (CallCommandKind::Intrude { call: leg.call, by }, offered)
            }
            _ => {
                let known = self.rng.random::<bool>();
                let external = ExternalRef { dialect: "bot".into(), key: "thread".into() };
                let call =
                    if known { CallName::External(external) } else { CallName::Id(self.ids.make(self.now)) };
                let to = Destination::User(UserId::new("u9").unwrap());
                let join = CallCommandKind::Join {
                    call,
                    to,
                    to_number: "200".into(),
                    from_number: "bot".into(),
                    contact: "".into(),
                };
                (join, known)
            }
        }
    }

    fn with_media(&mut self, leg: &LegView) -> (CallCommandKind, bool) {
        let fold = self.shard.fold();
        let may = |what| fold.capabilities(leg.leg).contains(what);
        let first = fold.live_legs(leg.call).find(|leg| leg.is_answered());
        let first_may = |what| first.is_some_and(|leg| fold.capabilities(leg.leg).contains(what));
        let any_may = |what| fold.live_legs(leg.call).any(|leg| fold.capabilities(leg.leg).contains(what));
        let recording = fold.recordings().filter(|view| view.call == leg.call).last();
        let recording = recording.map(|view| (view.recording, view.phase.clone()));
        let sources = vec![Source::Prompt("welcome".into())];
        match (self.rng.random_range(0..9), recording) {
            (7, Some((recording, phase))) => {
                let runs = matches!(phase, RecordingPhase::Running | RecordingPhase::Paused);
                (CallCommandKind::StopRecording { recording }, runs)
            }
            (8, Some((recording, phase))) => {
                (CallCommandKind::ResumeRecording { recording }, phase == RecordingPhase::Paused)
            }
            (0, _) => {
                let (muted, deafened) = (self.rng.random(), self.rng.random());
                let voice = LegVoice { gain_mdb: self.rng.random_range(-3..3), ..LegVoice::default() };
                let voice = self.rng.random::<bool>().then_some(voice);
                let kind = CallCommandKind::SetAudio { leg: leg.leg, muted, deafened, voice };
                (kind, may(Capability::SetAudio))
            }
            (1, _) => (
                CallCommandKind::SendDigits { leg: leg.leg, digits: "12#".into() },
                may(Capability::SendDigits),
            ),
            (2, _) => (
                CallCommandKind::Play {
                    to: Audience::Leg(leg.leg),
                    sources,
                    repeat: 1,
                    manner: Manner::Over(Beside::default()),
                    options: PlayOptions::default(),
                },
                may(Capability::Play),
            ),
            (3, _) => (
                CallCommandKind::Play {
                    to: Audience::Call(leg.call),
                    sources,
                    repeat: 0,
                    manner: Manner::Instead,
                    options: PlayOptions { barge_in: BargeIn::Any, ..PlayOptions::default() },
                },
                any_may(Capability::Play),
            ),
            (4, _) => (
                CallCommandKind::StartStream { call: leg.call, format: FileFormat::Mp3 },
                any_may(Capability::StartStream),
            ),
            (5, Some((recording, phase))) => {
                (CallCommandKind::PauseRecording { recording, mask: false }, phase == RecordingPhase::Running)
            }
            _ => {
                let options = crate::stereo();
                (
                    CallCommandKind::StartRecording { call: leg.call, options },
                    first_may(Capability::StartRecording),
                )
            }
        }
    }

    /// A user with every device registered, and media nodes with room.
    fn reachable(&mut self, user: UserId) -> Routing {
        let mut routing = self.routing_to(Some(Destination::User(user.clone())));
        let replica = self.replica.clone();
        let remote = std::net::SocketAddr::from(([192, 0, 2, 9], 5060));
        let transport = sidetone_model::party::Transport::Udp;
        let flow = sidetone_model::party::Flow { transport, local: remote, remote };
        let binding = |n: u32| Binding {
            user: user.clone(),
            device: format!("d{n}").parse().unwrap(),
            contact_uri: "sip:u@192.0.2.9".into(),
            replica: replica.clone(),
            flow: flow.clone(),
            path: Vec::new(),
        };
        routing.bindings = (0..4).map(binding).collect();
        let candidate = |(node, boot): (&sidetone_model::ids::NodeId, &sidetone_model::ids::BootId)| {
            sidetone_call_core::NodeCandidate { node: node.clone(), boot: *boot }
        };
        routing.nodes = self.node_boots.iter().map(candidate).collect();
        routing.calls_max = 0;
        routing
    }

    fn expect(&mut self, kind: CallCommandKind, offered: bool, from: Routing, to: Routing) {
        let name = name(&kind);
        self.keys += 1;
        let command = CallCommand { tenant: self.tenant.clone(), key: self.keys.to_string().into(), kind };
        let before = self.shard.fold().clone();
        if let Some((gathering, step)) = self.shard.gather(&command, self.now) {
            assert!(offered, "not offered, and begun: {command:?}");
            self.take(step);
            assert_eq!(*self.shard.fold(), before, "nothing is to be seen before all have come");
            self.waiting.insert(gathering, (command, from, to));
            return;
        }
        match self.shard.handle_command(&command, [1; 32], from.clone(), to.clone(), self.now) {
            Ok((subject, step)) => {
                assert!(offered, "not offered, and done: {command:?}");
                self.take(step);
                let again = self.shard.handle_command(&command, [1; 32], from, to, self.now);
                let (same, step) = again.expect("a repeated command is answered");
                assert_eq!((same, step), (subject, Step::default()), "a repeated command did something");
                self.tally.entry(name).or_default()[0] += 1;
            }
            Err(error) => {
                // Whether a phone can be moved at once depends on what it is being asked, which the log does not have.
                let on_two_nodes = error == CommandError::OnTwoNodes;
                assert!(!offered || on_two_nodes, "offered, and refused with {error:?}: {command:?}");
                let known = matches!(
                    error,
                    CommandError::CapabilityMissing
                        | CommandError::HeldByPhone
                        | CommandError::OnTwoNodes
                        | CommandError::NotAnswered
                        | CommandError::AlreadyRecording
                        | CommandError::NotRecording
                        | CommandError::NoSuchCall
                );
                assert!(known, "refused for the wrong reason: {error:?} of {command:?}");
                assert_eq!(*self.shard.fold(), before, "refused, and yet something happened");
                self.tally.entry(name).or_default()[1] += 1;
            }
        }
    }
}

fn name(kind: &CallCommandKind) -> &'static str {
    match kind {
        CallCommandKind::AnswerRinging { .. } => "answer ringing",
        CallCommandKind::Reject { .. } => "reject",
        CallCommandKind::Redirect { to: Elsewhere::Number(_), .. } => "redirect",
        CallCommandKind::Redirect { to: Elsewhere::Voicemail, .. } => "redirect to voicemail",
        CallCommandKind::Redirect { to: Elsewhere::Assistant, .. } => "redirect to the assistant",
        CallCommandKind::Overflow { .. } => "overflow",
        CallCommandKind::PickUp { .. } => "pick up",
        CallCommandKind::Hold { .. } => "hold",
        CallCommandKind::Retrieve { .. } => "retrieve",
        CallCommandKind::Enquire { .. } => "enquire",
        CallCommandKind::Alternate { .. } => "alternate",
        CallCommandKind::Reconnect { .. } => "reconnect",
        CallCommandKind::Merge { .. } => "merge",
        CallCommandKind::TransferAttended { .. } => "attended transfer",
        CallCommandKind::TransferBlind { .. } => "blind transfer",
        CallCommandKind::AddParticipant { .. } => "add participant",
        CallCommandKind::DropParticipant { .. } => "drop participant",
        CallCommandKind::HoldParticipant { .. } => "hold participant",
        CallCommandKind::RetrieveParticipant { .. } => "retrieve participant",
        CallCommandKind::DropMe { .. } => "drop me",
        CallCommandKind::SwitchDevice { .. } => "switch device",
        CallCommandKind::AddDevice { .. } => "add device",
        CallCommandKind::Intrude { .. } => "intrude",
        CallCommandKind::Join { .. } => "join",
        CallCommandKind::SetAudio { .. } => "set audio",
        CallCommandKind::SendDigits { .. } => "send digits",
        CallCommandKind::Play { .. } => "play",
        CallCommandKind::StartStream { .. } => "start stream",
        CallCommandKind::StopRecording { .. } => "stop recording",
        CallCommandKind::PauseRecording { .. } => "pause recording",
        CallCommandKind::ResumeRecording { .. } => "resume recording",
        CallCommandKind::StartRecording { .. } => "start recording",
        _ => "another",
    }
}
