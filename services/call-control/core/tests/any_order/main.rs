//! Signals, commands, answers of media, restarts and losses in any order: what must hold always, holds.
//!
//! The seed of a failing walk is in the message. `SIDETONE_WALK_SEED` walks one seed alone.
#![allow(
    clippy::unwrap_used,
    clippy::map_entry,
    reason = "a test stops where something is not as it must be"
)]

mod operations;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng, seq::IndexedRandom as _};
use sidetone_call_core::{
    Connection, Effect, FinishedRecording, HeldMedia, Limits, MediaFailure, MediaReply, MediaRequest,
    NodeCandidate, RoomSettings, Routing, Shard, Step,
};
use sidetone_model::classify::Class;
use sidetone_model::command::{
    CallCommand, CallCommandKind, LegCommand, LegCommandKind, PlaceOptions, RecordingOptions,
};
use sidetone_model::fact::{FactKind, FactRecord};
use sidetone_model::fold::{Fold, LegPhase, LegView, RecordingPhase};
use sidetone_model::ids::{
    BootId, IdSource, LegId, NodeId, RecordingId, ReplicaId, RoomId, TenantId, UserId,
};
use sidetone_model::media::{Direction, Encoding, Format, Holder, Layout, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{HeldLeg, Hello, LegSignal, LegSignalKind, Offered, Referred, Target};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

/// A leg as its signalling replica holds it.
#[derive(Debug, Clone, Default)]
struct Phone {
    sent: u64,
    commanded: u64,
    incoming: bool,
    answered: bool,
}

struct World {
    rng: StdRng,
    ids: IdSource,
    now: Timestamp,
    shard: Shard,
    log: Vec<FactRecord>,
    tenant: TenantId,
    replica: ReplicaId,
    boot: BootId,
    node_boots: BTreeMap<NodeId, BootId>,
    phones: BTreeMap<LegId, Phone>,
    ended: BTreeSet<LegId>,
    /// Commands on their way to the replica.
    down: VecDeque<LegCommand>,
    /// Requests on their way to media.
    requests: Vec<(NodeId, MediaRequest)>,
    held: BTreeMap<(NodeId, LegId), Connection>,
    recording: BTreeSet<(NodeId, RecordingId)>,
    /// Signals that were not acknowledged: told again on the next stream.
    unacknowledged: BTreeMap<LegId, VecDeque<(LegSignal, Option<Routing>)>>,
    keys: u64,
    /// Nothing is lost, nobody fails, and few hang up: conversations grow.
    calm: bool,
    /// How often each operation was carried out and refused.
    tally: BTreeMap<&'static str, [u32; 2]>,
}

fn media() -> MediaDescription {
    MediaDescription {
        holder: Holder::External,
        rtp: SocketAddr::from(([192, 0, 2, 7], 4000)),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![Format::new(8, Encoding::Pcma, 8000)],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
    }
}

fn limits() -> Limits {
    Limits { hold_told: true, ..Limits::default() }
}

/// As a phone answers an offer (RFC 3264, section 6.1).
fn answer_to(offer: MediaDescription) -> MediaDescription {
    let direction = match offer.direction {
        Direction::SendOnly => Direction::RecvOnly,
        Direction::RecvOnly => Direction::SendOnly,
        same => same,
    };
    MediaDescription { direction, ..offer }
}

fn stereo() -> RecordingOptions {
    RecordingOptions { layout: Layout::Stereo, ..RecordingOptions::default() }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut ids = IdSource::seeded([seed as u8; 32]);
        let now = Timestamp::from_millis(1_000_000);
        let nodes = ["m1", "m2"].map(|name| NodeId::new(name).unwrap());
        Self {
            rng: StdRng::seed_from_u64(seed),
            now,
            shard: Shard::new(limits(), [seed as u8 ^ 0x55; 32]),
            log: Vec::new(),
            tenant: TenantId::new("demo").unwrap(),
            replica: ReplicaId::new("s1").unwrap(),
            boot: ids.make(now),
            node_boots: nodes.map(|node| (node, ids.make(now))).into(),
            ids,
            phones: BTreeMap::new(),
            ended: BTreeSet::new(),
            down: VecDeque::new(),
            requests: Vec::new(),
            held: BTreeMap::new(),
            recording: BTreeSet::new(),
            unacknowledged: BTreeMap::new(),
            keys: 0,
            calm: seed % 2 == 1,
            tally: BTreeMap::new(),
        }
    }

    fn take(&mut self, step: Step) {
        if step.record != FactRecord::default() {
            self.log.push(step.record.clone());
        }
        // What is sent again comes before what is new.
        for effect in &step.effects {
            if let Effect::Resend { commands, .. } = effect {
                self.down.extend(commands.iter().cloned());
            }
        }
        self.down.extend(step.record.commands);
        for effect in step.effects {
            match effect {
                Effect::Media { node, request } => self.requests.push((node, request)),
                Effect::Release { leg, .. } => {
                    // What is still on its way to it comes too late.
                    self.phones.remove(&leg);
                    self.ended.insert(leg);
                }
                Effect::Resend { .. } => {}
                Effect::Acknowledge { leg, n, .. } => {
                    if let Some(waiting) = self.unacknowledged.get_mut(&leg) {
                        waiting.retain(|(signal, _)| signal.n > n);
                    }
                }
            }
        }
    }

    fn routing(&mut self) -> Routing {
        let room = |name: &str| Destination::Room(RoomId::new(name).unwrap());
        let user = self.user();
        let destination = match self.rng.random_range(if self.calm { 5 } else { 0 }..9) {
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

    fn user(&mut self) -> UserId {
        UserId::new(["u0", "u1", "u2", "u3"][self.rng.random_range(0..4)]).unwrap()
    }

    fn routing_to(&mut self, destination: Option<Destination>) -> Routing {
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
        };
        let mut nodes: Vec<NodeCandidate> = self
            .node_boots
            .iter()
            .map(|(node, boot)| NodeCandidate { node: node.clone(), boot: *boot })
            .collect();
        if self.rng.random() {
            nodes.reverse();
        }
        Routing {
            destination,
            bindings: (0..devices).map(binding).collect(),
            room: RoomSettings { participants_max: 3, record: self.rng.random() },
            nodes: if self.rng.random_range(0..20) == 0 { Vec::new() } else { nodes },
            calls_max: [0, 0, 12][self.rng.random_range(0..3)],
        }
    }

    fn signal(&mut self, leg: LegId, kind: LegSignalKind, routing: Option<Routing>) {
        let phone = self.phones.entry(leg).or_default();
        phone.sent += 1;
        let (tenant, n, at) = (self.tenant.clone(), phone.sent, self.now);
        let signal = LegSignal { boot: self.boot, leg, tenant, n, at, kind };
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
    fn tell_again(&mut self, leg: LegId) {
        let (boot, tenant, at) = (self.boot, self.tenant.clone(), self.now);
        let source = SocketAddr::from(([192, 0, 2, 7], 5060));
        let offered = Offered {
            from: Party::default(),
            dialled: "200".into(),
            source,
            media: Some(media()),
            sip_call_id: "c".into(),
            replaces: self.any_leg(8),
        };
        let kind = LegSignalKind::Offered(Box::new(offered));
        let signal = LegSignal { boot, leg, tenant, n: 1, at, kind };
        let routing = self.routing_to(Some(Destination::Echo));
        let step = self.shard.handle_signal(&self.replica.clone(), signal, Some(routing), self.now);
        assert_nothing_done(&step, "an ended leg came to life again");
    }

    fn incoming(&mut self) {
        let leg = self.ids.make(self.now);
        let routing = self.routing();
        let offered = Offered {
            from: self.caller(),
            dialled: "200".into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media: self.rng.random_range(0..8).ne(&0).then(media),
            sip_call_id: "c".into(),
            replaces: self.any_leg(8),
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
    fn caller(&mut self) -> Party {
        if self.rng.random_range(0..5) == 0 {
            return Party { number: "100".into(), ..Party::default() };
        }
        let device = ["d0", "d1"][self.rng.random_range(0..2)].parse().unwrap();
        Party { user: Some(self.user()), device: Some(device), number: "1".into(), display_name: "".into() }
    }

    fn phone_acts(&mut self) {
        let legs: Vec<LegId> = self.phones.keys().copied().collect();
        let Some(leg) = legs.choose(&mut self.rng).copied() else { return };
        let phone = self.phones[&leg].clone();
        let kind = match (phone.incoming, phone.answered, self.rng.random_range(0..6)) {
            (false, false, 0 | 1) => LegSignalKind::Progress { media: None },
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
            (false, false, _) => LegSignalKind::Ended(Termination::new(Cause::Busy).with_sip_status(486)),
            (true, false, 0) => LegSignalKind::Ended(Termination::new(Cause::Cancelled)),
            (true, false, _) => return,
            (_, true, 0) if self.calm && self.rng.random_range(0..8) != 0 => return,
            (_, true, 0) => LegSignalKind::Ended(Termination::new(Cause::Normal)),
            (_, true, 1) => LegSignalKind::Digit { digit: '5', duration_ms: 80 },
            (_, true, 2) => LegSignalKind::Reoffered { media: self.reoffer() },
            (_, true, 4) => {
                let replaces = self.any_leg(3);
                let referred = Referred { to: self.target(), replaces };
                let routing = replaces.is_none().then(|| self.routing());
                return self.signal(leg, LegSignalKind::Referred(referred), routing);
            }
            (true, true, 3) => LegSignalKind::Confirmed { media: None },
            _ => return,
        };
        self.signal(leg, kind, None);
    }

    fn reoffer(&mut self) -> Option<MediaDescription> {
        use Direction::*;
        let direction = [SendRecv, SendRecv, SendOnly, Inactive, RecvOnly][self.rng.random_range(0..5)];
        self.rng.random_range(0..6).ne(&0).then(|| MediaDescription { direction, ..media() })
    }

    fn deliver_command(&mut self) {
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
        let rings = !phone.answered;
        if self.rng.random_range(0..4) != 0 {
            self.shard.handle_applied(command.leg, command.n);
        }
        let why = || Termination::new(Cause::ProtocolError).with_sip_status(489);
        let told = match command.kind {
            LegCommandKind::End(why) => LegSignalKind::Ended(why.with_sip_status(487)),
            LegCommandKind::Talk if rings && self.rng.random_range(0..2) == 0 => {
                LegSignalKind::TalkRefused(why())
            }
            LegCommandKind::Reoffer { media } => match self.rng.random_range(0..4) {
                0 => LegSignalKind::ReofferRefused(why()),
                _ => LegSignalKind::Reanswered { media: answer_to(media) },
            },
            _ => return,
        };
        self.signal(command.leg, told, None);
    }

    fn answer_request(&mut self) {
        if self.requests.is_empty() {
            return;
        }
        let (node, request) = self.requests.remove(0);
        let boot = self.node_boots[&node];
        // A node that cannot even release is lost, which comes by itself.
        let release = matches!(request, MediaRequest::ReleaseLeg { .. });
        if !self.calm && !release && self.rng.random_range(0..12) == 0 {
            let class = [Class::Exhausted, Class::FailedPrecondition, Class::Unavailable, Class::NotFound]
                [self.rng.random_range(0..4)];
            let failure = MediaFailure { class, text: "no".into() };
            let step = self.shard.handle_media(&node, request, Err(failure), self.now);
            return self.take(step);
        }
        let reply = match &request {
            MediaRequest::CreateLeg { leg, .. } => {
                self.held.entry((node.clone(), *leg)).or_insert(Connection::Nothing);
                MediaReply::Created { local: media(), boot }
            }
            MediaRequest::UpdateLeg { .. } => MediaReply::Updated { local: media() },
            MediaRequest::ReleaseLeg { leg } => {
                self.held.remove(&(node.clone(), *leg));
                self.unbridge(&node, *leg);
                MediaReply::Done
            }
            MediaRequest::StartRecording { recording, .. } => {
                self.recording.insert((node.clone(), *recording));
                MediaReply::Done
            }
            MediaRequest::StopRecording { recording } => {
                self.finish_recording(&node, *recording);
                MediaReply::Done
            }
            MediaRequest::AckRecording { recording } => {
                self.recording.remove(&(node.clone(), *recording));
                MediaReply::Done
            }
            MediaRequest::ConnectLeg { leg, to } => {
                self.connect(&node, *leg, *to);
                MediaReply::Done
            }
            _ => MediaReply::Done,
        };
        let step = self.shard.handle_media(&node, request, Ok(reply), self.now);
        self.take(step);
    }

    fn connect(&mut self, node: &NodeId, leg: LegId, to: Connection) {
        self.unbridge(node, leg);
        if let Connection::Peer(peer) = to {
            self.unbridge(node, peer);
            self.held.entry((node.clone(), peer)).and_modify(|there| *there = Connection::Peer(leg));
        }
        self.held.entry((node.clone(), leg)).and_modify(|here| *here = to);
    }

    fn unbridge(&mut self, node: &NodeId, leg: LegId) {
        for ((of, _), to) in &mut self.held {
            if of == node && *to == Connection::Peer(leg) {
                *to = Connection::Nothing;
            }
        }
    }

    fn finish_recording(&mut self, node: &NodeId, recording: RecordingId) {
        let finished = FinishedRecording {
            recording,
            file: "f.wav".into(),
            duration_ms: 1,
            size_bytes: 2,
            failure: None,
        };
        let step = self.shard.handle_recording_finished(node, finished, self.now);
        self.take(step);
    }

    fn application_acts(&mut self) {
        let call = self.shard.fold().calls().find(|call| call.ended.is_none()).map(|call| call.call);
        let leg = self.shard.fold().legs().filter(|leg| leg.is_live()).last().map(|leg| leg.leg);
        let waiting = self.shard.fold().legs().find(|leg| leg.phase == LegPhase::Waiting).map(|leg| leg.leg);
        let running = self.shard.fold().recordings().find(|view| view.phase == RecordingPhase::Running);
        let running = running.map(|view| view.recording);
        let user = Destination::User(self.user());
        let (from, to) = (self.routing_to(Some(user.clone())), self.routing());
        let kind = match self.rng.random_range(if self.calm { 2 } else { 0 }..6) {
            0 => call.map(|call| CallCommandKind::HangUpCall { call }),
            1 => leg.map(|leg| CallCommandKind::HangUpLeg { leg }),
            2 => call.map(|call| CallCommandKind::StartRecording { call, options: stereo() }),
            3 => running.map(|recording| CallCommandKind::StopRecording { recording }),
            4 => waiting.map(|leg| CallCommandKind::Answer { leg, to: user, to_number: "200".into() }),
            _ => Some(CallCommandKind::Place {
                from: user.clone(),
                from_number: "100".into(),
                to: user,
                to_number: "200".into(),
                options: PlaceOptions::default(),
            }),
        };
        let Some(kind) = kind else { return };
        self.keys += 1;
        let command = CallCommand { tenant: self.tenant.clone(), key: self.keys.to_string().into(), kind };
        if let Ok((subject, step)) =
            self.shard.handle_command(&command, [1; 32], from.clone(), to.clone(), self.now)
        {
            self.take(step);
            let again = self.shard.handle_command(&command, [1; 32], from, to, self.now);
            let (same, step) = again.expect("a repeated command is answered");
            assert_eq!((same, step), (subject, Step::default()), "a repeated command did something");
        }
    }

    fn hello(&mut self) {
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

    fn restart(&mut self) {
        let mut seed = [0; 32];
        self.rng.fill(&mut seed);
        let mut fresh = Shard::new(limits(), seed);
        self.log.iter().for_each(|record| fresh.replay(record));
        assert_same(fresh.fold(), self.shard.fold(), "the folded log is not what was shown");
        assert!(fresh.is_same_log(&self.shard), "the folded log is not the state");
        let mut short = Shard::new(limits(), seed);
        self.shard.snapshot().iter().for_each(|record| short.replay(record));
        assert_same(short.fold(), self.shard.fold(), "the snapshot is not what was shown");
        assert!(short.is_same_log(&self.shard), "the snapshot is not the state");
        self.shard = fresh;
        self.shard.begin(self.now);
        self.requests.clear();
        self.hello();
        for (node, boot) in self.node_boots.clone() {
            let held: Vec<HeldMedia> = self
                .held
                .iter()
                .filter(|((of, _), _)| *of == node)
                .map(|((_, leg), to)| HeldMedia {
                    leg: *leg,
                    local: Some(media()),
                    mix: if let Connection::Mix(mix) = to { Some(*mix) } else { None },
                    peer: if let Connection::Peer(peer) = to { Some(*peer) } else { None },
                })
                .collect();
            let step = self.shard.handle_node_legs(&node, boot, &held, self.now);
            self.take(step);
        }
    }

    fn lose_node(&mut self) {
        let node = self.node_boots.keys().next().cloned().expect("there are nodes");
        let old = self.node_boots[&node];
        self.held.retain(|(of, _), _| *of != node);
        self.recording.retain(|(of, _)| *of != node);
        let unanswered: Vec<_> = std::mem::take(&mut self.requests);
        let (gone, kept): (Vec<_>, Vec<_>) = unanswered.into_iter().partition(|(of, _)| *of == node);
        self.requests = kept;
        let step = self.shard.handle_node_lost(&node, old, self.now);
        self.take(step);
        for (of, request) in gone {
            let failure = MediaFailure { class: Class::Unavailable, text: "gone".into() };
            let step = self.shard.handle_media(&of, request, Err(failure), self.now);
            self.take(step);
        }
        let boot = self.ids.make(self.now);
        self.node_boots.insert(node, boot);
    }

    fn pass(&mut self, seconds: u64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + seconds * 1000);
        let step = self.shard.handle_timeout(self.now);
        self.take(step);
    }

    fn act(&mut self) {
        match self.rng.random_range(0..200) {
            0..20 if self.calm && self.shard.fold().live_calls_of(&self.tenant) > 4 => self.operate(),
            0..20 => self.incoming(),
            20..60 => self.phone_acts(),
            60..110 => self.deliver_command(),
            110..165 => self.answer_request(),
            165..170 => self.application_acts(),
            170..178 => self.operate(),
            178..190 => self.pass(1),
            190..197 if self.calm => self.operate(),
            190 => self.pass(30),
            191 | 192 => self.restart(),
            193 => self.lose_node(),
            194..197 => {
                let leg = self.held.keys().next().map(|(_, leg)| *leg);
                if let Some(leg) = leg {
                    let step = self.shard.handle_leg_timed_out(leg);
                    self.take(step);
                }
            }
            _ => self.hello(),
        }
    }

    fn check(&self) {
        let fold = self.shard.fold();
        for call in fold.calls() {
            let live = fold.live_legs(call.call).count();
            assert_eq!(call.ended.is_some(), live == 0, "a call with {live} live legs: {call:?}");
        }
        for leg in fold.legs() {
            let call = fold.call(leg.call);
            assert!(call.is_some_and(|call| call.legs.contains(&leg.leg)), "a leg without its call: {leg:?}");
            self.check_leg(leg);
        }
        for meeting in fold.conferences() {
            assert!(!meeting.participants.is_empty(), "an empty meeting");
            assert!(meeting.room.is_some() != meeting.call.is_some(), "{meeting:?}");
        }
    }

    fn check_leg(&self, leg: &LegView) {
        let fold = self.shard.fold();
        if let Some(user) = &leg.party.user {
            // Busy is who has a live leg.
            let busy = fold.live_legs_of(&leg.tenant, user).any(|other| other.leg == leg.leg);
            assert_eq!(busy, leg.is_live(), "free in a call, or busy without one: {leg:?}");
        }
        if let Some(peer) = leg.peer {
            let peer = fold.leg(peer).expect("a peer is known");
            assert_eq!((peer.peer, peer.call), (Some(leg.leg), leg.call), "a bridge with one end: {leg:?}");
            assert!(leg.is_answered() && peer.is_answered() && leg.conference.is_none(), "{leg:?}");
        }
        if !leg.is_live() {
            assert_eq!(fold.capabilities(leg.leg), Default::default());
            assert!(leg.peer.is_none() && leg.conference.is_none(), "over, and in a conversation: {leg:?}");
        }
    }

    fn check_log(&self) {
        let mut last = Timestamp::default();
        let (mut started, mut over) = (BTreeSet::new(), BTreeSet::new());
        for fact in self.log.iter().flat_map(|record| &record.facts) {
            assert!(fact.at >= last, "facts step back in time");
            last = fact.at;
            match &fact.kind {
                FactKind::RecordingStarted { recording, .. } => {
                    assert!(started.insert(*recording), "a recording started twice");
                }
                FactKind::RecordingFinished { recording, .. }
                | FactKind::RecordingFailed { recording, .. } => {
                    assert!(
                        started.contains(recording) && over.insert(*recording),
                        "a recording's second end"
                    );
                }
                _ => {}
            }
        }
    }

    /// Nobody does anything more, but everything that was asked is answered: nothing may hang.
    fn settle(&mut self) {
        for _ in 0..4 {
            while !self.down.is_empty() || !self.requests.is_empty() {
                self.deliver_command();
                self.answer_request();
            }
            self.hello();
            self.pass(61);
        }
        for leg in self.shard.fold().legs().filter(|leg| leg.is_live()) {
            let hangs = match leg.phase {
                LegPhase::SettingUp => true,
                LegPhase::Ringing => !leg.incoming,
                _ => false,
            };
            assert!(!hangs, "nothing moves this leg any more: {leg:?}");
            self.check_media(leg);
        }
        for view in self.shard.fold().recordings().filter(|view| view.phase == RecordingPhase::Running) {
            let runs = self.recording.contains(&(view.node.clone(), view.recording));
            assert!(runs, "a recording that the log has and the node has not: {view:?}");
        }
    }

    /// What a leg hears is what the log says, whatever was lost on the way.
    fn check_media(&self, leg: &LegView) {
        let Some((node, _)) = leg.node.clone().filter(|_| leg.is_answered()) else { return };
        let Some(hears) = self.held.get(&(node, leg.leg)) else { panic!("answered, and no media: {leg:?}") };
        let fold = self.shard.fold();
        let silent = |leg: &LegView| leg.held.is_some() || leg.put_aside;
        let peer = leg.peer.and_then(|peer| fold.leg(peer));
        let wanted = match (leg.conference, peer, &leg.served_by) {
            _ if silent(leg) => Connection::Nothing,
            (Some(conference), _, _) => Connection::Mix(conference),
            (None, Some(peer), _) if silent(peer) => Connection::Nothing,
            (None, Some(peer), _) => Connection::Peer(peer.leg),
            (None, None, Some(Destination::Echo)) => Connection::Echo,
            (None, None, _) => Connection::Nothing,
        };
        assert_eq!(*hears, wanted, "media is not what the log says: {leg:?}");
    }

    /// Whoever is left hangs up: every phone can, whatever state its call is in, and nothing remains.
    fn all_hang_up(&mut self) {
        let phones: Vec<LegId> = self.phones.keys().copied().collect();
        for leg in phones {
            let told = self.ended.contains(&leg) || !self.phones.contains_key(&leg);
            if !told && self.shard.fold().leg(leg).is_some_and(LegView::is_live) {
                self.signal(leg, LegSignalKind::Ended(Termination::new(Cause::Normal)), None);
                assert!(!self.shard.fold().leg(leg).unwrap().is_live(), "a phone could not hang up");
            }
        }
        for _ in 0..4 {
            while !self.down.is_empty() || !self.requests.is_empty() {
                self.deliver_command();
                self.answer_request();
            }
            self.hello();
            self.pass(61);
        }
        let fold = self.shard.fold();
        for call in fold.calls() {
            assert!(call.ended.is_some(), "everybody hung up, and the call goes on: {call:?}");
            assert!(call.playbacks.is_empty() && call.streams.is_empty(), "{call:?}");
        }
        assert_eq!(fold.conferences().count(), 0);
    }
}

/// Two folds are equal; otherwise the first lines in which they differ are told.
fn assert_same(one: &Fold, other: &Fold, what: &str) {
    if one != other {
        let (one, other) = (format!("{one:#?}"), format!("{other:#?}"));
        let pairs = one.lines().zip(other.lines()).enumerate();
        let differ: Vec<_> = pairs.filter(|(_, (a, b))| a != b).take(6).collect();
        panic!("{what}: {differ:#?}");
    }
}

/// Nothing but, at most, an acknowledgement.
fn assert_nothing_done(step: &Step, what: &str) {
    let only_acknowledged = step.effects.iter().all(|effect| matches!(effect, Effect::Acknowledge { .. }));
    assert!(step.record == FactRecord::default() && only_acknowledged, "{what}: {step:?}");
}

fn walk(seed: u64, steps: u32) -> BTreeMap<&'static str, [u32; 2]> {
    let mut world = World::new(seed);
    for _ in 0..steps {
        world.act();
        world.check();
    }
    world.settle();
    world.check();
    world.all_hang_up();
    world.check();
    world.check_log();
    world.tally
}

/// Steps of one walk, and how many walks: a million steps.
const STEPS: u32 = 400;
const WALKS: u64 = 2500;

#[test]
fn what_must_hold_always_holds() {
    if let Some(seed) = std::env::var("SIDETONE_WALK_SEED").ok().and_then(|seed| seed.parse().ok()) {
        walk(seed, STEPS);
        return;
    }
    let mut tally: BTreeMap<&'static str, [u32; 2]> = BTreeMap::new();
    for seed in 0..WALKS {
        let outcome = std::panic::catch_unwind(|| walk(seed, STEPS));
        let Ok(counts) = outcome else { panic!("seed {seed}") };
        for (name, [done, refused]) in counts {
            let sum = tally.entry(name).or_default();
            *sum = [sum[0] + done, sum[1] + refused];
        }
    }
    for (name, [done, refused]) in &tally {
        println!("{name}: {done} carried out, {refused} refused");
        assert!(*done > 0 && *refused > 0, "the walk never came to both with {name}");
    }
}
