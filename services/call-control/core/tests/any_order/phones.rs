//! What phones and signalling do: they call, answer, offer anew, hang up, and take commands.

use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt as _, seq::IndexedRandom as _};
use sidetone_call_core::{NodeCandidate, OtherFlow, Redirects, RoomSettings, Routing};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::{DeviceId, LegId, RoomId, UserId};
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{HeldLeg, Hello, InviteId, LegSignal, LegSignalKind, Offered, Referred, Target};
use sidetone_model::termination::{Cause, Termination};

use crate::{Phone, World, answer_to, assert_nothing_done, media, media_of};

impl World {
    pub(crate) fn routing(&mut self) -> Routing {
        let room = |name: &str| Destination::Room(RoomId::new(name).unwrap());
        let user = self.user();
        let destination =
            match if self.calm { self.rng.random_range(5..9) } else { self.rng.random_range(0..11) } {
                9 => Some(Destination::Voicemail(user)),
                10 => Some(Destination::OwnMailbox),
                0 => None,
                1 => Some(Destination::Echo),
                2 => Some(Destination::Announcement { prompt: "welcome".into(), repeat: 1 }),
                3 => Some(Destination::Wait),
                4 => Some(room("r1")),
                5 => Some(room("r2")),
                _ => Some(Destination::User(user)),
            };
        self.routing_to(destination)
    }

    pub(crate) fn user(&mut self) -> UserId {
        UserId::new(["u0", "u1", "u2", "u3"][self.rng.random_range(0..4)]).unwrap()
    }

    pub(crate) fn routing_to(&mut self, destination: Option<Destination>) -> Routing {
        let devices = self.rng.random_range(0..4);
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        let user = match &destination {
            Some(Destination::User(user)) => user.clone(),
            _ => UserId::new("u1").unwrap(),
        };
        let devices = if matches!(destination, Some(Destination::User(_))) { devices } else { 0 };
        let binding = |n: i32| Binding {
            user: user.clone(),
            device: format!("d{n}").parse().unwrap(),
            contact_uri: "sip:u1@192.0.2.9".into(),
            replica: self.replica.clone(),
            flow: Flow { transport: Transport::Udp, local: remote, remote },
            path: Vec::new(),
        };
        let mut nodes: Vec<NodeCandidate> = self
            .node_boots
            .iter()
            .map(|(node, boot)| NodeCandidate { node: node.clone(), boot: *boot })
            .collect();
        if self.rng.random() {
            nodes.reverse();
        }
        let mut bindings: Vec<Binding> = (0..devices).map(binding).collect();
        let mut wakes = Vec::new();
        if devices > 0 && self.rng.random_range(0..4) == 0 {
            // It does not register in time.
            let device: DeviceId = "asleep".parse().unwrap();
            bindings.push(Binding::asleep(user.clone(), device.clone()));
            wakes.push((device, Duration::from_secs(self.rng.random_range(1..20))));
        }
        // Some phones have a second flow.
        let second = |first: &Binding| OtherFlow { instead_of: first.clone(), binding: first.clone() };
        let other_flows = bindings.iter().filter(|_| self.rng.random_range(0..3) == 0).map(second).collect();
        Routing {
            destination,
            bindings,
            other_flows,
            room: RoomSettings { participants_max: 3, record: self.rng.random() },
            nodes: match self.rng.random_range(0..20) {
                0 => Vec::new(),
                // The other one is full.
                1..8 => nodes.into_iter().take(1).collect(),
                _ => nodes,
            },
            calls_max: [0, 0, 12][self.rng.random_range(0..3)],
            later: Vec::new(),
            forwards: Default::default(),
            redirects: Redirects::Everywhere,
            number: Box::default(),
            wakes,
            pin_set_at: None,
            assistant: false,
        }
    }

    pub(crate) fn signal(&mut self, leg: LegId, kind: LegSignalKind, routing: Option<Routing>) {
        let phone = self.phones.entry(leg).or_default();
        phone.sent += 1;
        let (tenant, n, at) = (self.tenant.clone(), phone.sent, self.now);
        let signal = LegSignal { boot: self.boot, leg, tenant, n, at, trunk: None, kind };
        let over = matches!(signal.kind, LegSignalKind::Ended(_));
        self.unacknowledged.entry(leg).or_default().push_back((signal.clone(), routing.clone()));
        let step = self.shard.handle_signal(&self.replica.clone(), signal.clone(), routing.clone(), self.now);
        self.take(step);
        let again = self.shard.handle_signal(&self.replica.clone(), signal, routing, self.now);
        assert_nothing_done(&again, "a signal told twice was taken twice");
        if over {
            self.tell_again(leg);
            self.phones.remove(&leg);
            self.ended.insert(leg);
        }
    }

    /// The acknowledgements were lost: the whole leg is told once more.
    pub(crate) fn tell_again(&mut self, leg: LegId) {
        let (boot, tenant, at) = (self.boot, self.tenant.clone(), self.now);
        let source = SocketAddr::from(([192, 0, 2, 7], 5060));
        let offered = Offered {
            from: Party::default(),
            dialled: "200".into(),
            source,
            media: Some(media()),
            sip_call_id: "c".into(),
            replaces: self.any_leg(8),
            anonymous: false,
            headers: Vec::new(),
            max_forwards: None,
            invite: InviteId::default(),
        };
        let kind = LegSignalKind::Offered(Box::new(offered));
        let signal = LegSignal { boot, leg, tenant, n: 1, at, trunk: None, kind };
        let routing = self.routing_to(Some(Destination::Echo));
        let step = self.shard.handle_signal(&self.replica.clone(), signal, Some(routing), self.now);
        assert_nothing_done(&step, "an ended leg came to life again");
    }

    pub(crate) fn incoming(&mut self) {
        let leg = self.ids.make(self.now);
        let routing = self.routing();
        let offered = Offered {
            from: self.caller(),
            dialled: "200".into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media: self.rng.random_range(0..8).ne(&0).then(media),
            sip_call_id: "c".into(),
            replaces: self.any_leg(8),
            anonymous: false,
            headers: Vec::new(),
            max_forwards: None,
            invite: InviteId::default(),
        };
        self.phones.insert(leg, Phone { incoming: true, ..Phone::default() });
        self.signal(leg, LegSignalKind::Offered(Box::new(offered)), Some(routing));
    }

    /// Once in so many times a leg, of whatever state.
    fn any_leg(&mut self, in_times: u32) -> Option<LegId> {
        let legs: Vec<LegId> = self.phones.keys().copied().collect();
        let wanted = self.rng.random_range(0..in_times) == 0;
        wanted.then(|| legs.choose(&mut self.rng).copied()).flatten()
    }

    fn target(&mut self) -> Target {
        Target { number: "200".into(), own: self.rng.random_range(0..6) != 0 }
    }

    /// A user's device, or somebody from outside.
    pub(crate) fn caller(&mut self) -> Party {
        if self.rng.random_range(0..5) == 0 {
            return Party { number: "100".into(), ..Party::default() };
        }
        let device = ["d0", "d1"][self.rng.random_range(0..2)].parse().unwrap();
        Party { user: Some(self.user()), device: Some(device), number: "1".into(), ..Party::default() }
    }

    pub(crate) fn phone_acts(&mut self) {
        let legs: Vec<LegId> = self.phones.keys().copied().collect();
        let Some(leg) = legs.choose(&mut self.rng).copied() else { return };
        let phone = self.phones[&leg].clone();
        let kind = match (phone.incoming, phone.answered, self.rng.random_range(0..6)) {
            (false, false, 0) => LegSignalKind::Progress { media: None },
            (false, false, 1) => LegSignalKind::Progress { media: Some(media()) },
            (false, false, 2 | 3) => {
                self.phones.get_mut(&leg).unwrap().answered = true;
                LegSignalKind::Answered { media: self.rng.random_range(0..9).ne(&0).then(media) }
            }
            (false, false, 4) => {
                let targets = (0..self.rng.random_range(0..3)).map(|_| self.target()).collect();
                let routing = self.routing();
                self.signal(leg, LegSignalKind::Redirected { targets }, Some(routing));
                LegSignalKind::Ended(Termination::new(Cause::Diverted).with_sip_status(302))
            }
            (false, false, _) if self.calm && self.rng.random_range(0..8) != 0 => return,
            (false, false, _) if self.rng.random_range(0..3) == 0 => {
                LegSignalKind::Ended(Termination::new(Cause::TransportFailure).with_sip_status(430))
            }
            (false, false, _) => LegSignalKind::Ended(Termination::new(Cause::Busy).with_sip_status(486)),
            (true, false, 0) => LegSignalKind::Ended(Termination::new(Cause::Cancelled)),
            (true, false, _) => return,
            (_, true, 0) if self.calm && self.rng.random_range(0..8) != 0 => return,
            (_, true, 0) => LegSignalKind::Ended(Termination::new(Cause::Normal)),
            (_, true, 1) => {
                let digit = ['1', '2', '3', '5', '#', '*'][self.rng.random_range(0..6)];
                LegSignalKind::Digit { digit, duration_ms: 80 }
            }
            (_, true, 2) => LegSignalKind::Reoffered { media: self.reoffer() },
            (_, true, 4) => {
                let replaces = self.any_leg(3);
                let referred = Referred { to: self.target(), replaces };
                let routing = replaces.is_none().then(|| self.routing());
                return self.signal(leg, LegSignalKind::Referred(referred), routing);
            }
            (true, true, 3) => LegSignalKind::Confirmed { media: self.reoffer() },
            _ => return,
        };
        self.signal(leg, kind, None);
    }

    pub(crate) fn reoffer(&mut self) -> Option<MediaDescription> {
        use Direction::*;
        let direction = [SendRecv, SendRecv, SendOnly, Inactive, RecvOnly][self.rng.random_range(0..5)];
        self.rng.random_range(0..6).ne(&0).then(|| MediaDescription { direction, ..media() })
    }

    pub(crate) fn deliver_command(&mut self) {
        let Some(command) = self.down.pop_front() else { return };
        if self.ended.contains(&command.leg) {
            return;
        }
        let invite = matches!(command.kind, LegCommandKind::Invite(_));
        if !self.phones.contains_key(&command.leg) {
            assert!(invite, "the first command of a leg that we open is no Invite: {:?}", command.kind);
            self.phones.insert(command.leg, Phone::default());
        }
        let phone = self.phones.get_mut(&command.leg).unwrap();
        if command.n <= phone.commanded {
            return;
        }
        assert_eq!(command.n, phone.commanded + 1, "a gap in a leg's commands");
        phone.commanded = command.n;
        phone.answered |= matches!(command.kind, LegCommandKind::Answer { .. });
        if self.rng.random_range(0..4) != 0 {
            self.shard.handle_applied(command.leg, command.n);
        }
        match &command.kind {
            LegCommandKind::Invite(invite) => phone.told = invite.media.rtp.port(),
            LegCommandKind::Answer { media } | LegCommandKind::AnswerReoffer { media: Some(media) } => {
                phone.told = media.rtp.port();
            }
            _ => {}
        }
        let told = phone.told;
        let why = || Termination::new(Cause::ProtocolError).with_sip_status(489);
        let told = match command.kind {
            LegCommandKind::End(why) => LegSignalKind::Ended(why.with_sip_status(487)),
            LegCommandKind::Talk if self.rng.random_range(0..2) == 0 => LegSignalKind::TalkRefused(why()),
            LegCommandKind::Reoffer { media } => {
                let home = self.shard.fold().leg(command.leg).and_then(|leg| leg.node.clone());
                let home = home.is_some_and(|(node, _)| media_of(&node).rtp == media.rtp);
                // The way back is one that it takes.
                let may_refuse = media.rtp.port() == told || !home;
                if may_refuse && self.rng.random_range(0..4) == 0 {
                    LegSignalKind::ReofferRefused(why())
                } else {
                    self.phones.get_mut(&command.leg).unwrap().told = media.rtp.port();
                    LegSignalKind::Reanswered { media: answer_to(media) }
                }
            }
            _ => return,
        };
        self.signal(command.leg, told, None);
    }

    pub(crate) fn hello(&mut self) {
        self.down.clear();
        let tenant = &self.tenant;
        let held = |(leg, phone): (&LegId, &Phone)| HeldLeg {
            leg: *leg,
            tenant: tenant.clone(),
            last_command_n: phone.commanded,
        };
        let legs = self.phones.iter().map(held).collect();
        let hello = Hello { replica: self.replica.clone(), boot: self.boot, legs };
        let step = self.shard.handle_hello(&hello, self.now);
        self.take(step);
        let again: Vec<_> = self.unacknowledged.values().flatten().cloned().collect();
        for (signal, routing) in again {
            let step = self.shard.handle_signal(&self.replica.clone(), signal, routing, self.now);
            self.take(step);
        }
        self.unacknowledged.retain(|_, waiting| !waiting.is_empty());
    }
}
