//! The shard with phones and a media node around it, which do at once whatever they are told.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sidetone_call_core::{
    Connection, Effect, HeldMedia, Limits, MediaReply, MediaRequest, NodeCandidate, RoomSettings, Routing,
    Shard, Step,
};
use sidetone_model::command::{LegCommand, LegCommandKind};
use sidetone_model::fact::{FactKind, FactRecord};
use sidetone_model::ids::{
    BootId, CallId, DeviceId, IdSource, LegId, NodeId, ReplicaId, RoomId, TenantId, UserId,
};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{HeldLeg, Hello, LegSignal, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::model::operations::Operation;
use crate::model::{Call, Leg, Model, ROOM_MAX, SLEEPER, Target, WAKE_MS};

/// A leg as its signalling replica holds it.
#[derive(Debug, Default)]
pub(crate) struct Phone {
    sent: u64,
    commanded: u64,
    pub(crate) answered: bool,
    /// It sends only: its user has put the other side on hold.
    pub(crate) holds: bool,
}

pub(crate) struct World {
    pub(crate) rng: StdRng,
    pub(crate) model: Model,
    pub(crate) shard: Shard,
    pub(crate) tenant: TenantId,
    pub(crate) now: Timestamp,
    limits: Limits,
    ids: IdSource,
    pub(crate) log: Vec<FactRecord>,
    replica: ReplicaId,
    boot: BootId,
    node: NodeCandidate,
    pub(crate) phones: BTreeMap<LegId, Phone>,
    /// What the shard calls the legs and calls of the model, in the model's order.
    pub(crate) legs: Vec<Option<LegId>>,
    pub(crate) calls: Vec<Option<CallId>>,
    down: VecDeque<LegCommand>,
    requests: VecDeque<MediaRequest>,
    pub(crate) hears: BTreeMap<LegId, Connection>,
    pub(crate) keys: u64,
    /// How often each operation was carried out, and how often refused.
    pub(crate) tally: BTreeMap<String, [u32; 2]>,
}

pub(crate) fn media(direction: Direction) -> MediaDescription {
    MediaDescription {
        holder: Holder::External,
        rtp: SocketAddr::from(([192, 0, 2, 7], 4000)),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![Format::new(8, Encoding::Pcma, 8000)],
        direction,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

pub(crate) fn user_id(user: u8) -> UserId {
    UserId::new(format!("u{user}")).unwrap()
}

fn sleeper() -> DeviceId {
    format!("d{SLEEPER}").parse().unwrap()
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let mut ids = IdSource::seeded(bytes);
        let now = Timestamp::from_millis(1_000_000);
        // Phones that are told of a hold answer one more offer: nobody may hear anything else for that.
        let limits = Limits { hold_told: seed % 2 == 1, ..Limits::default() };
        bytes[31] = 1;
        let mut model = Model::default();
        model.time_is(now.as_millis());
        Self {
            rng: StdRng::seed_from_u64(seed),
            model,
            shard: Shard::new(limits.clone(), bytes),
            tenant: TenantId::new("demo").unwrap(),
            now,
            limits,
            log: Vec::new(),
            replica: ReplicaId::new("s1").unwrap(),
            boot: ids.make(now),
            node: NodeCandidate { node: NodeId::new("m1").unwrap(), boot: ids.make(now) },
            ids,
            phones: BTreeMap::new(),
            legs: Vec::new(),
            calls: Vec::new(),
            down: VecDeque::new(),
            requests: VecDeque::new(),
            hears: BTreeMap::new(),
            keys: 0,
            tally: BTreeMap::new(),
        }
    }

    pub(crate) fn tried(&mut self, operation: Operation, done: bool) {
        let name: String = format!("{operation:?}").chars().take_while(|c| c.is_alphabetic()).collect();
        self.tally.entry(name).or_default()[usize::from(!done)] += 1;
    }

    pub(crate) fn id(&self, leg: Leg) -> LegId {
        self.legs[leg].unwrap()
    }

    pub(crate) fn call_id(&self, call: Call) -> CallId {
        self.calls[call].unwrap()
    }

    /// The shard's name for a leg of the model, and for its call. Each has one, and keeps it.
    fn name(&mut self, leg: Leg, (id, call_id): (LegId, CallId)) {
        let call = self.model.leg(leg).call;
        self.legs.resize(self.legs.len().max(leg + 1), None);
        self.calls.resize(self.calls.len().max(call + 1), None);
        assert!(self.legs[leg].replace(id).is_none_or(|known| known == id), "a leg of two names");
        let known = self.calls[call].replace(call_id);
        assert!(known.is_none_or(|known| known == call_id), "leg {leg} came to another call than {call}");
    }

    pub(crate) fn take(&mut self, step: Step) {
        for fact in &step.record.facts {
            if let FactKind::LegCreated { leg, call, party, incoming: false, cause, .. } = &fact.kind {
                let rung = self.model.rung.pop_front().expect("a phone is rung that nobody wants to ring");
                let it = self.model.leg(rung);
                let expected = (it.user.map(user_id), it.device.map(|device| format!("d{device}")), it.cause);
                let device = party.device.as_ref().map(ToString::to_string);
                assert_eq!((party.user.clone(), device, *cause), expected, "another phone is rung");
                self.name(rung, (*leg, *call));
            }
        }
        self.down.extend(step.record.commands.iter().cloned());
        if step.record != FactRecord::default() {
            self.log.push(step.record);
        }
        for effect in step.effects {
            match effect {
                Effect::Media { request, .. } => self.requests.push_back(request),
                Effect::Resend { commands, .. } => self.down.extend(commands),
                // Counts.
                Effect::Acknowledge { .. } | Effect::Redirected { .. } | Effect::Woken { .. } => {}
                // It has not registered since.
                Effect::FindDevice { .. } => {}
                other => panic!("nothing is lost here, and yet: {other:?}"),
            }
        }
    }

    /// A phone calls. Its leg and call are the ones that the model has just made.
    pub(crate) fn dial(&mut self, leg: Leg, from: Party, replaces: Option<LegId>, routing: Routing) {
        let id = self.ids.make(self.now);
        self.legs.resize(self.legs.len().max(leg + 1), None);
        self.legs[leg] = Some(id);
        self.phones.insert(id, Phone::default());
        let offered = Offered {
            from,
            dialled: "200".into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media: Some(media(Direction::SendRecv)),
            sip_call_id: "c".into(),
            replaces,
            anonymous: false,
            headers: Vec::new(),
            max_forwards: None,
            invite: Default::default(),
        };
        self.signal(id, LegSignalKind::Offered(Box::new(offered)), Some(routing));
        let call = self.shard.fold().leg(id).expect("a call that was offered is known").call;
        self.name(leg, (id, call));
        self.come_to_rest();
    }

    /// A phone says something, and whatever follows is done.
    pub(crate) fn says(&mut self, leg: Leg, kind: LegSignalKind, routing: Option<Routing>) {
        self.signal(self.id(leg), kind, routing);
        self.come_to_rest();
    }

    fn signal(&mut self, leg: LegId, kind: LegSignalKind, routing: Option<Routing>) {
        let phone = self.phones.get_mut(&leg).expect("a phone that is there");
        phone.sent += 1;
        if matches!(kind, LegSignalKind::Answered { .. }) {
            phone.answered = true;
        }
        let (tenant, n, at) = (self.tenant.clone(), phone.sent, self.now);
        let over = matches!(kind, LegSignalKind::Ended(_));
        let signal = LegSignal { boot: self.boot, leg, tenant, n, at, trunk: None, kind };
        let step = self.shard.handle_signal(&self.replica, signal, routing, self.now);
        if over {
            self.phones.remove(&leg);
        }
        self.take(step);
    }

    /// Everybody does what they are told, in whatever order.
    pub(crate) fn come_to_rest(&mut self) {
        loop {
            match (self.down.is_empty(), self.requests.is_empty()) {
                (true, true) => return,
                (false, true) => self.deliver(),
                (true, false) => self.answer(),
                _ if self.rng.random() => self.deliver(),
                _ => self.answer(),
            }
        }
    }

    fn deliver(&mut self) {
        let Some(command) = self.down.pop_front() else { return };
        if matches!(command.kind, LegCommandKind::Invite(_)) && command.n == 1 {
            self.phones.entry(command.leg).or_default();
        }
        // What comes to one that has just ended comes too late.
        let Some(phone) = self.phones.get_mut(&command.leg) else { return };
        if command.n <= phone.commanded {
            return;
        }
        assert_eq!(command.n, phone.commanded + 1, "a gap in a leg's commands");
        phone.commanded = command.n;
        self.shard.handle_applied(command.leg, command.n);
        self.obey(command);
    }

    fn obey(&mut self, command: LegCommand) {
        let phone = self.phones.get_mut(&command.leg).expect("it was there");
        let told = match command.kind {
            LegCommandKind::End(why) => LegSignalKind::Ended(why.with_sip_status(487)),
            LegCommandKind::Deflect { .. } => LegSignalKind::Ended(Termination::new(Cause::Diverted)),
            LegCommandKind::Answer { .. } => {
                phone.answered = true;
                return;
            }
            LegCommandKind::Talk if self.rng.random_range(0..3) == 0 => {
                let leg = self.legs.iter().position(|id| *id == Some(command.leg)).expect("it has a name");
                self.model.refuses_to_talk(leg);
                LegSignalKind::TalkRefused(Termination::new(Cause::ProtocolError).with_sip_status(489))
            }
            LegCommandKind::Talk if phone.holds => {
                phone.holds = false;
                let leg = self.legs.iter().position(|id| *id == Some(command.leg)).expect("it has a name");
                self.model.offers_anew(leg, false);
                LegSignalKind::Reoffered { media: Some(media(Direction::SendRecv)) }
            }
            LegCommandKind::Reoffer { media: offer } => {
                let direction = match (offer.direction, phone.holds) {
                    (Direction::SendOnly, true) | (Direction::Inactive, _) => Direction::Inactive,
                    (Direction::SendOnly, false) => Direction::RecvOnly,
                    (Direction::RecvOnly, _) | (_, true) => Direction::SendOnly,
                    (Direction::SendRecv, false) => Direction::SendRecv,
                };
                LegSignalKind::Reanswered { media: media(direction) }
            }
            _ => return,
        };
        self.signal(command.leg, told, None);
    }

    fn answer(&mut self) {
        let Some(request) = self.requests.pop_front() else { return };
        let local = media(Direction::SendRecv);
        let reply = match &request {
            MediaRequest::CreateLeg { leg, .. } => {
                self.hears.insert(*leg, Connection::Nothing);
                MediaReply::Created { local, boot: self.node.boot }
            }
            MediaRequest::UpdateLeg { .. } => MediaReply::Updated { local },
            MediaRequest::OfferLeg { .. } => MediaReply::Offered { local },
            MediaRequest::ReleaseLeg { leg } => {
                self.hears.remove(leg);
                self.unbridge(*leg);
                MediaReply::Done
            }
            MediaRequest::ConnectLeg { leg, to } => {
                self.connect(*leg, *to);
                MediaReply::Done
            }
            _ => MediaReply::Done,
        };
        let step = self.shard.handle_media(&self.node.node.clone(), request, Ok(reply), self.now);
        self.take(step);
    }

    /// As a media node does it: a bridge has two ends, and whoever is left by the other end hears nothing.
    fn connect(&mut self, leg: LegId, to: Connection) {
        self.unbridge(leg);
        if let Connection::Peer(peer) = to {
            self.unbridge(peer);
            self.hears.entry(peer).and_modify(|there| *there = Connection::Peer(leg));
        }
        self.hears.entry(leg).and_modify(|here| *here = to);
    }

    fn unbridge(&mut self, leg: LegId) {
        for to in self.hears.values_mut().filter(|to| **to == Connection::Peer(leg)) {
            *to = Connection::Nothing;
        }
    }

    pub(crate) fn pass(&mut self, ms: u64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + ms);
        self.model.time_is(self.now.as_millis());
        let step = self.shard.handle_timeout(self.now);
        self.take(step);
        self.come_to_rest();
    }

    /// Call control is started again from its log, or from a snapshot: nobody hears of it.
    pub(crate) fn restart(&mut self) {
        let seed = self.rng.random();
        let (mut fresh, mut short) =
            (Shard::new(self.limits.clone(), seed), Shard::new(self.limits.clone(), seed));
        self.log.iter().for_each(|record| fresh.replay(record));
        assert!(fresh.is_same_log(&self.shard), "the folded log is not the state");
        self.shard.snapshot().iter().for_each(|record| short.replay(record));
        assert!(short.is_same_log(&self.shard), "the snapshot is not the state");
        self.shard = if self.rng.random() { fresh } else { short };
        self.shard.begin(self.now);
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
        let held = |(leg, to): (&LegId, &Connection)| HeldMedia {
            leg: *leg,
            local: Some(media(Direction::SendRecv)),
            mix: if let Connection::Mix(mix) = to { Some(*mix) } else { None },
            peer: if let Connection::Peer(peer) = to { Some(*peer) } else { None },
        };
        let held: Vec<HeldMedia> = self.hears.iter().map(held).collect();
        let NodeCandidate { node, boot } = self.node.clone();
        let step = self.shard.handle_node_legs(&node, boot, &held, self.now);
        self.take(step);
        self.model.forgets();
        self.come_to_rest();
    }

    /// Every fact folds out of what is written of it, and all of them to the state.
    pub(crate) fn reads_its_log(&self) {
        let mut fresh = Shard::new(self.limits.clone(), [7; 32]);
        for record in &self.log {
            let read = FactRecord::decode(&record.encode_to_bytes()).expect("what is written can be read");
            assert_eq!(read, *record);
            fresh.replay(&read);
        }
        assert!(fresh.is_same_log(&self.shard), "the log as it is written is not the state");
    }

    /// Where a number leads.
    pub(crate) fn routing(&self, to: Target) -> Routing {
        let (destination, bindings) = match to {
            Target::Nobody => (None, Vec::new()),
            Target::User(user, devices) => {
                (Some(Destination::User(user_id(user))), self.bindings(user, devices))
            }
            Target::Echo => (Some(Destination::Echo), Vec::new()),
            Target::Voicemail => (Some(Destination::Voicemail(user_id(7))), Vec::new()),
            Target::Room(room) => {
                (Some(Destination::Room(RoomId::new(format!("r{room}")).unwrap())), Vec::new())
            }
            Target::Wait => (Some(Destination::Wait), Vec::new()),
        };
        let room = RoomSettings { participants_max: ROOM_MAX as u32, record: false };
        let wakes = vec![(sleeper(), Duration::from_millis(WAKE_MS))];
        Routing { destination, bindings, wakes, room, nodes: vec![self.node.clone()], ..Routing::default() }
    }

    /// A device that sleeps registers, and its registration runs out.
    pub(crate) fn is_registered(&mut self, user: u8) {
        let (device, contact) = (sleeper(), self.binding(user, SLEEPER));
        for contacts in [&[contact][..], &[]] {
            let step = self.shard.handle_device_state(
                &self.tenant.clone(),
                (&user_id(user), &device),
                contacts,
                self.now,
            );
            self.take(step);
        }
        self.come_to_rest();
    }

    fn bindings(&self, user: u8, devices: u8) -> Vec<Binding> {
        let asleep = || Binding::asleep(user_id(user), sleeper());
        (0..devices)
            .map(|device| if device == SLEEPER { asleep() } else { self.binding(user, device) })
            .collect()
    }

    fn binding(&self, user: u8, device: u8) -> Binding {
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        Binding {
            user: user_id(user),
            device: format!("d{device}").parse().unwrap(),
            contact_uri: "sip:u@192.0.2.9".into(),
            replica: self.replica.clone(),
            flow: Flow { transport: Transport::Udp, local: remote, remote },
            path: Vec::new(),
        }
    }
}
