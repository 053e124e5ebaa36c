//! A shard with everybody around it played: phones behind one replica, and two media nodes.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "every test file uses a part; a test stops where something is wrong"
)]

use std::collections::BTreeMap;
use std::net::SocketAddr;

use sidetone_call_core::{
    CommandError, Connection, Effect, FinishedRecording, GatheringId, HeldMedia, Limits, MediaFailure,
    MediaReply, MediaRequest, NodeCandidate, RoomSettings, Routing, Shard, Step,
};
use sidetone_model::classify::Class;
use sidetone_model::command::{
    CallCommand, CallCommandKind, LegCommand, LegCommandKind, PlaceOptions, RecordingOptions, ReferralState,
};
use sidetone_model::fact::{CommandSubject, FactKind, FactRecord};
use sidetone_model::fold::{LegPhase, LegView, RecordingPhase};
use sidetone_model::ids::{
    BootId, CallId, DeviceId, IdSource, LegId, NodeId, RecordingId, ReplicaId, RoomId, TenantId, UserId,
};
use sidetone_model::media::{Direction, Encoding, Format, Holder, Layout, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{HeldLeg, Hello, InviteId, LegSignal, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

pub struct Office {
    pub shard: Shard,
    pub log: Vec<FactRecord>,
    pub now: Timestamp,
    pub ids: IdSource,
    pub tenant: TenantId,
    pub replica: ReplicaId,
    pub boot: BootId,
    pub nodes: Vec<NodeCandidate>,
    pub commands: Vec<LegCommand>,
    pub requests: Vec<(NodeId, MediaRequest)>,
    pub released: Vec<LegId>,
    pub limits: Limits,
    /// The last signal of each leg that need not be sent again.
    pub acknowledged: BTreeMap<LegId, u64>,
    sent: BTreeMap<LegId, u64>,
    /// Legs that have come to one node, or will not.
    pub gathered: Vec<(GatheringId, Result<(), CommandError>)>,
    pub evicted: Vec<(&'static str, usize)>,
    /// Legs whose INVITE came before, and who answers it.
    pub repeated: Vec<(LegId, Option<ReplicaId>)>,
    /// What became of INVITEs that came again.
    pub invites_repeated: Vec<&'static str>,
    /// What became of redirections.
    pub redirections: Vec<&'static str>,
    /// Devices that calls wait for, as they are to be looked up.
    pub looked_for: Vec<DeviceId>,
    /// What became of devices that were waited for.
    pub woken: Vec<&'static str>,
    /// Calls to mailboxes that were ended because of wrong PINs.
    pub mailbox_refused: usize,
    /// Times that a mailbox began to take no PIN.
    pub mailbox_locked: usize,
}

pub fn media() -> MediaDescription {
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
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

pub fn stereo() -> RecordingOptions {
    RecordingOptions { layout: Layout::Stereo, ..RecordingOptions::default() }
}

pub fn held(leg: LegId) -> HeldMedia {
    HeldMedia { leg, local: Some(media()), mix: None, peer: None }
}

pub fn ended(cause: Cause, status: u16) -> LegSignalKind {
    LegSignalKind::Ended(Termination::new(cause).with_sip_status(status))
}

impl Office {
    pub fn new() -> Self {
        let mut ids = IdSource::seeded([3; 32]);
        let now = Timestamp::from_millis(1_000_000);
        let nodes =
            ["m1", "m2"].map(|name| NodeCandidate { node: NodeId::new(name).unwrap(), boot: ids.make(now) });
        Self {
            shard: Shard::new(Limits::default(), [4; 32]),
            log: Vec::new(),
            now,
            tenant: TenantId::new("demo").unwrap(),
            replica: ReplicaId::new("s1").unwrap(),
            boot: ids.make(now),
            nodes: nodes.into(),
            ids,
            commands: Vec::new(),
            requests: Vec::new(),
            released: Vec::new(),
            limits: Limits::default(),
            acknowledged: BTreeMap::new(),
            sent: BTreeMap::new(),
            gathered: Vec::new(),
            evicted: Vec::new(),
            redirections: Vec::new(),
            repeated: Vec::new(),
            invites_repeated: Vec::new(),
            looked_for: Vec::new(),
            woken: Vec::new(),
            mailbox_refused: 0,
            mailbox_locked: 0,
        }
    }

    pub fn with_hold_prompt(prompt: &str) -> Self {
        Self::with(Limits { hold_prompt: Some(prompt.into()), ..Limits::default() })
    }

    /// Phones of people who are held are told so.
    pub fn telling_of_hold() -> Self {
        Self::with(Limits { hold_told: true, ..Limits::default() })
    }

    pub fn with(limits: Limits) -> Self {
        Self { shard: Shard::new(limits.clone(), [4; 32]), limits, ..Self::new() }
    }

    /// Whether so many are mixed with a leg.
    pub fn legs_in_mix(&self, leg: LegId, count: usize) -> bool {
        let mix = self.leg(leg).conference.and_then(|mix| self.shard.fold().conference(mix));
        mix.is_some_and(|mix| mix.participants.len() == count)
    }

    pub fn take(&mut self, step: Step) {
        self.commands.extend(step.record.commands.iter().cloned());
        if step.record != FactRecord::default() {
            self.log.push(step.record);
        }
        for effect in step.effects {
            match effect {
                Effect::Media { node, request } => self.requests.push((node, request)),
                Effect::Release { leg, .. } => self.released.push(leg),
                Effect::Resend { commands, .. } => self.commands.extend(commands),
                Effect::Acknowledge { leg, n, .. } => drop(self.acknowledged.insert(leg, n)),
                Effect::Gathered { gathering, outcome } => self.gathered.push((gathering, outcome)),
                Effect::Evicted { why, count } => self.evicted.push((why, count)),
                Effect::Repeated { leg, at, .. } => self.repeated.push((leg, at)),
                Effect::InviteRepeated { result } => self.invites_repeated.push(result),
                Effect::Redirected { result } => self.redirections.push(result),
                Effect::FindDevice { device, .. } => self.looked_for.push(device),
                Effect::Woken { result } => self.woken.push(result),
                Effect::MailboxLocked => self.mailbox_locked += 1,
                Effect::MailboxRefused => self.mailbox_refused += 1,
            }
        }
    }

    pub fn to(&self, destination: Destination, devices: u8) -> Routing {
        Routing {
            destination: Some(destination),
            bindings: (0..devices).map(|n| self.binding(n)).collect(),
            room: RoomSettings { participants_max: 2, record: false },
            nodes: self.nodes.clone(),
            ..Routing::default()
        }
    }

    pub fn to_user(&self, devices: u8) -> Routing {
        self.to(Destination::User(UserId::new("bob").unwrap()), devices)
    }

    pub fn to_room(&self) -> Routing {
        self.to(Destination::Room(RoomId::new("r1").unwrap()), 0)
    }

    /// Where the devices of a user are registered.
    pub fn registered(&self, user: &str, devices: &[&str]) -> Routing {
        let user = UserId::new(user).unwrap();
        let binding = |device: &&str| Binding {
            user: user.clone(),
            device: device.parse().unwrap(),
            ..self.binding(0)
        };
        Routing {
            bindings: devices.iter().map(binding).collect(),
            ..self.to(Destination::User(user.clone()), 0)
        }
    }

    /// A user's device calls, and media does whatever follows.
    pub fn dial(&mut self, user: &str, device: &str, routing: Routing) -> LegId {
        self.dial_and(user, device, routing).0
    }

    /// The same, with what media was asked to do.
    pub fn dial_and(&mut self, user: &str, device: &str, routing: Routing) -> (LegId, Vec<MediaRequest>) {
        let leg = self.ids.make(self.now);
        let from = Party {
            user: Some(UserId::new(user).unwrap()),
            device: Some(device.parse().unwrap()),
            number: user.into(),
            ..Party::default()
        };
        let LegSignalKind::Offered(offered) = self.offered(Some(media())) else { unreachable!() };
        let offered = LegSignalKind::Offered(Box::new(Offered { from, ..*offered }));
        self.routed_signal(leg, offered, Some(routing));
        (leg, self.serve())
    }

    /// A phone calls a number, and media does whatever follows.
    pub fn dial_number(&mut self, from: Party, dialled: &str, routing: Routing) -> LegId {
        let leg = self.ids.make(self.now);
        let LegSignalKind::Offered(offered) = self.offered(Some(media())) else { unreachable!() };
        let offered = Offered { from, dialled: dialled.into(), ..*offered };
        self.routed_signal(leg, LegSignalKind::Offered(Box::new(offered)), Some(routing));
        self.serve();
        leg
    }

    /// The phone that was called rings.
    pub fn rings(&mut self, leg: LegId) {
        self.signal(leg, LegSignalKind::Progress { media: None });
    }

    /// The phone that was called answers, and media does whatever follows.
    pub fn answers(&mut self, leg: LegId) -> Vec<MediaRequest> {
        self.signal(leg, LegSignalKind::Answered { media: Some(media()) });
        self.serve()
    }

    /// The live legs of a user.
    pub fn legs_of(&self, user: &str) -> Vec<LegId> {
        let user = UserId::new(user).unwrap();
        self.shard.fold().live_legs_of(&self.tenant, &user).map(|leg| leg.leg).collect()
    }

    /// `from` dials `to`'s phone, which answers.
    pub fn connect(&mut self, from: &str, to: &str) -> (LegId, LegId) {
        let before = self.legs_of(to);
        let caller = self.dial(from, "desk", self.registered(to, &["desk"]));
        let callee = *self.legs_of(to).iter().find(|leg| !before.contains(leg)).unwrap();
        self.rings(callee);
        self.answers(callee);
        assert_eq!(self.leg(caller).peer, Some(callee));
        (caller, callee)
    }

    /// A command that needs no routing, under a key of its own.
    pub fn does(&mut self, kind: CallCommandKind) -> Result<CommandSubject, CommandError> {
        self.does_to(kind, Routing::default(), Routing::default())
    }

    pub fn does_to(
        &mut self,
        kind: CallCommandKind,
        from: Routing,
        to: Routing,
    ) -> Result<CommandSubject, CommandError> {
        let key = format!("key {}", self.log.len());
        self.ask(&key, kind, from, to)
    }

    /// What media was asked for lately that concerns what legs hear.
    pub fn heard(&mut self) -> Vec<(LegId, Connection)> {
        connects(&self.serve())
    }

    /// What is said to have happened, from a place in the log on.
    pub fn happened_since(&self, place: usize) -> Vec<&FactKind> {
        self.log[place..].iter().flat_map(|record| &record.facts).map(|fact| &fact.kind).collect()
    }

    fn binding(&self, n: u8) -> Binding {
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        Binding {
            user: UserId::new("bob").unwrap(),
            device: format!("d{n}").parse().unwrap(),
            contact_uri: "sip:bob@192.0.2.9".into(),
            replica: self.replica.clone(),
            flow: Flow { transport: Transport::Udp, local: remote, remote },
            path: Vec::new(),
        }
    }

    pub fn signal(&mut self, leg: LegId, kind: LegSignalKind) {
        self.routed_signal(leg, kind, None);
    }

    /// The acknowledgement of a leg's last signal was lost, or never sent: it is told again.
    pub fn signal_again(&mut self, leg: LegId, kind: LegSignalKind, routing: Option<Routing>) {
        *self.sent.get_mut(&leg).unwrap() -= 1;
        self.routed_signal(leg, kind, routing);
    }

    pub fn routed_signal(&mut self, leg: LegId, kind: LegSignalKind, routing: Option<Routing>) {
        let n = self.sent.entry(leg).or_default();
        *n += 1;
        let signal = LegSignal {
            boot: self.boot,
            leg,
            tenant: self.tenant.clone(),
            n: *n,
            at: self.now,
            trunk: None,
            kind,
        };
        let step = self.shard.handle_signal(&self.replica, signal, routing, self.now);
        self.take(step);
    }

    /// A phone calls; its port is being asked for.
    pub fn offer(&mut self, routing: Routing, media: Option<MediaDescription>) -> LegId {
        let leg = self.ids.make(self.now);
        self.routed_signal(leg, self.offered(media), Some(routing));
        leg
    }

    pub fn offered(&self, media: Option<MediaDescription>) -> LegSignalKind {
        let offered = Offered {
            from: Party { number: "100".into(), ..Party::default() },
            dialled: "200".into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media,
            sip_call_id: "c".into(),
            replaces: None,
            anonymous: false,
            headers: Vec::new(),
            max_forwards: None,
            invite: InviteId::default(),
        };
        LegSignalKind::Offered(Box::new(offered))
    }

    /// A phone calls, and media does whatever follows.
    pub fn call(&mut self, routing: Routing) -> LegId {
        let leg = self.offer(routing, Some(media()));
        self.serve();
        leg
    }

    pub fn boot_of(&self, node: &NodeId) -> BootId {
        self.nodes.iter().find(|candidate| candidate.node == *node).unwrap().boot
    }

    /// Media answers everything well; what it was asked is returned.
    pub fn serve(&mut self) -> Vec<MediaRequest> {
        let mut served = Vec::new();
        while !self.requests.is_empty() {
            let (node, request) = self.requests.remove(0);
            let reply = match &request {
                MediaRequest::CreateLeg { .. } => {
                    MediaReply::Created { local: media(), boot: self.boot_of(&node) }
                }
                MediaRequest::UpdateLeg { .. } => MediaReply::Updated { local: media() },
                MediaRequest::OfferLeg { .. } => MediaReply::Offered { local: media() },
                _ => MediaReply::Done,
            };
            served.push(request.clone());
            let step = self.shard.handle_media(&node, request, Ok(reply), self.now);
            self.take(step);
        }
        served
    }

    /// Media refuses the oldest request.
    pub fn refuse(&mut self, class: Class) {
        let (node, request) = self.requests.remove(0);
        let failure = MediaFailure { class, text: "no".into() };
        let step = self.shard.handle_media(&node, request, Err(failure), self.now);
        self.take(step);
    }

    pub fn pass(&mut self, seconds: u64) {
        self.now = Timestamp::from_millis(self.now.as_millis() + seconds * 1000);
        let step = self.shard.handle_timeout(self.now);
        self.take(step);
    }

    pub fn ask(
        &mut self,
        key: &str,
        kind: CallCommandKind,
        from: Routing,
        to: Routing,
    ) -> Result<CommandSubject, CommandError> {
        let command = CallCommand { tenant: self.tenant.clone(), key: key.into(), kind };
        let fingerprint = [key.len() as u8; 32];
        let (subject, step) = self.shard.handle_command(&command, fingerprint, from, to, self.now)?;
        self.take(step);
        Ok(subject)
    }

    pub fn place(&mut self, to: Routing) -> CallId {
        let (user, target) = (self.to_user(1), to.destination.clone().unwrap());
        let kind = CallCommandKind::Place {
            from: user.destination.clone().unwrap(),
            from_number: "bob".into(),
            to: target,
            to_number: "200".into(),
            options: PlaceOptions::default(),
        };
        let Ok(CommandSubject::Call(call)) = self.ask("place", kind, user, to) else { panic!("not placed") };
        self.serve();
        call
    }

    pub fn leg(&self, leg: LegId) -> &LegView {
        self.shard.fold().leg(leg).unwrap()
    }

    pub fn phase(&self, leg: LegId) -> LegPhase {
        self.leg(leg).phase
    }

    /// The legs of a call but its first.
    pub fn others(&self, first: LegId) -> Vec<LegId> {
        let call = self.shard.fold().call(self.leg(first).call).unwrap();
        call.legs.iter().copied().filter(|leg| *leg != first).collect()
    }

    /// Why we commanded a leg to end.
    pub fn end_of(&self, leg: LegId) -> Option<Cause> {
        self.commands.iter().filter(|command| command.leg == leg).find_map(|command| match &command.kind {
            LegCommandKind::End(termination) => Some(termination.cause),
            _ => None,
        })
    }

    /// The replica does what it was told: every leg commanded to end has ended.
    pub fn hang_up_as_told(&mut self) {
        let told: Vec<LegId> = self
            .commands
            .iter()
            .filter(|command| matches!(command.kind, LegCommandKind::End(_)))
            .map(|command| command.leg)
            .collect();
        for leg in told {
            if self.shard.fold().leg(leg).is_some_and(LegView::is_live) {
                self.signal(leg, ended(Cause::Normal, 200));
            }
        }
    }

    pub fn cause(&self, leg: LegId) -> Option<Cause> {
        self.leg(leg).ended.as_ref().map(|(_, end)| end.cause)
    }

    pub fn call_cause(&self, leg: LegId) -> Option<Cause> {
        let call = self.shard.fold().call(self.leg(leg).call).unwrap();
        call.ended.as_ref().map(|(_, end)| end.cause)
    }

    pub fn kinds(&self, leg: LegId) -> Vec<&'static str> {
        let of = self.commands.iter().filter(|command| command.leg == leg);
        of.map(|command| match command.kind {
            LegCommandKind::Invite(_) => "invite",
            LegCommandKind::Ring { .. } => "ring",
            LegCommandKind::Answer { .. } => "answer",
            LegCommandKind::AnswerReoffer { media: Some(_) } => "reoffer taken",
            LegCommandKind::AnswerReoffer { media: None } => "reoffer refused",
            LegCommandKind::Talk => "talk",
            LegCommandKind::Reoffer { .. } => "reoffer",
            LegCommandKind::SendDigits { .. } => "digits",
            LegCommandKind::Deflect { .. } => "deflect",
            LegCommandKind::Referral(ReferralState::Accepted) => "refer: accepted",
            LegCommandKind::Referral(ReferralState::Ringing) => "refer: ringing",
            LegCommandKind::Referral(ReferralState::Succeeded) => "refer: succeeded",
            LegCommandKind::Referral(ReferralState::Failed(_)) => "refer: failed",
            LegCommandKind::End(_) => "end",
        })
        .collect()
    }

    pub fn facts(&self, wanted: impl Fn(&FactKind) -> bool) -> usize {
        self.log.iter().flat_map(|record| &record.facts).filter(|fact| wanted(&fact.kind)).count()
    }

    /// A two-party call, talking: caller and called.
    pub fn talk(&mut self) -> (LegId, LegId) {
        let caller = self.call(self.to_user(1));
        let callee = self.others(caller)[0];
        self.signal(callee, LegSignalKind::Progress { media: None });
        self.signal(callee, LegSignalKind::Answered { media: Some(media()) });
        self.serve();
        assert_eq!(self.leg(caller).peer, Some(callee));
        (caller, callee)
    }

    pub fn start_recording(&mut self, leg: LegId) -> RecordingId {
        let call = self.leg(leg).call;
        let kind = CallCommandKind::StartRecording { call, options: stereo() };
        let subject = self.ask("record", kind, Routing::default(), Routing::default());
        let Ok(CommandSubject::Recording(recording)) = subject else { panic!("{subject:?}") };
        recording
    }

    pub fn finish_recording(&mut self, recording: RecordingId) {
        let finished = FinishedRecording {
            recording,
            file: "f.wav".into(),
            duration_ms: 10,
            size_bytes: 20,
            tracks: Vec::new(),
            failure: None,
        };
        let node = self.nodes[0].node.clone();
        let step = self.shard.handle_recording_finished(&node, finished, self.now);
        self.take(step);
    }

    /// The recording's own node, back again, is asked for it and has it not, or cannot.
    pub fn refuse_to_finish(&mut self, recording: RecordingId, class: Class) {
        let node = self.nodes[0].node.clone();
        let asked = |request: &MediaRequest| matches!(request, MediaRequest::FinishRecording { recording: of, .. } if *of == recording);
        let request =
            self.requests.iter().map(|(_, request)| request).find(|request| asked(request)).cloned();
        let request = request.expect("somebody is asked to finish it");
        self.requests.retain(|(_, request)| !asked(request));
        self.refuse_by(&node, request, class);
    }

    pub fn refuse_by(&mut self, node: &NodeId, request: MediaRequest, class: Class) {
        let failure = MediaFailure { class, text: "no".into() };
        let step = self.shard.handle_media(node, request, Err(failure), self.now);
        self.take(step);
    }

    pub fn recording(&self, recording: RecordingId) -> &RecordingPhase {
        &self.shard.fold().recording(recording).unwrap().phase
    }

    /// Call control is started again from its log; whatever had not been carried out is lost.
    pub fn restart(&mut self) {
        let mut fresh = Shard::new(self.limits.clone(), [5; 32]);
        self.log.iter().for_each(|record| fresh.replay(record));
        fresh.begin(self.now);
        self.shard = fresh;
        self.requests.clear();
        self.commands.clear();
    }

    pub fn hello(&mut self, boot: BootId, legs: &[LegId]) {
        let held = |leg: &LegId| HeldLeg { leg: *leg, tenant: self.tenant.clone(), last_command_n: 99 };
        let legs = legs.iter().map(held).collect();
        let hello = Hello { replica: self.replica.clone(), boot, legs };
        let step = self.shard.handle_hello(&hello, self.now);
        self.take(step);
    }

    pub fn node_holds(&mut self, held: &[HeldMedia]) {
        let NodeCandidate { node, boot } = self.nodes[0].clone();
        let step = self.shard.handle_node_legs(&node, boot, held, self.now);
        self.take(step);
    }

    pub fn lose_node(&mut self) {
        let NodeCandidate { node, boot } = self.nodes[0].clone();
        let step = self.shard.handle_node_lost(&node, boot, self.now);
        self.take(step);
    }
}

pub fn connects(requests: &[MediaRequest]) -> Vec<(LegId, Connection)> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::ConnectLeg { leg, to } => Some((*leg, *to)),
        _ => None,
    };
    requests.iter().filter_map(one).collect()
}
