//! A shard with calls in it, as benches need it.
#![allow(dead_code, unreachable_pub, reason = "each bench uses its part")]

use std::net::SocketAddr;

use sidetone_call_core::{Effect, Limits, MediaReply, MediaRequest, NodeCandidate, Routing, Shard, Step};
use sidetone_model::fact::Fact;
use sidetone_model::ids::{BootId, IdSource, LegId, NodeId, ReplicaId, TenantId, UserId};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{InviteId, LegSignal, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

/// One shard with its surroundings.
pub struct Office {
    pub shard: Shard,
    ids: IdSource,
    tenant: TenantId,
    replica: ReplicaId,
    boot: BootId,
    node: NodeCandidate,
    pub now: Timestamp,
    /// What has happened, where somebody wants it.
    pub facts: Option<Vec<Fact>>,
    calls: usize,
}

/// The user who has a number: each call is between two of its own, with the numbers 1 and 2 followed by the call's.
pub fn user_of(number: &str) -> UserId {
    UserId::new(format!("user{number}")).unwrap()
}

/// The number of a user.
pub fn number_of(user: &UserId) -> &str {
    user.as_str().trim_start_matches("user")
}

impl Office {
    pub fn new() -> Self {
        let mut ids = IdSource::seeded([1; 32]);
        let now = Timestamp::from_millis(1_000_000);
        Self {
            shard: Shard::new(Limits::default(), [2; 32]),
            tenant: TenantId::new("demo").unwrap(),
            replica: ReplicaId::new("s1").unwrap(),
            boot: ids.make(now),
            node: NodeCandidate { node: NodeId::new("m1").unwrap(), boot: ids.make(now) },
            ids,
            now,
            facts: None,
            calls: 0,
        }
    }

    fn routing(&self, dialled: &str) -> Routing {
        let user = user_of(dialled);
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        let binding = Binding {
            user: user.clone(),
            device: "desk".parse().unwrap(),
            contact_uri: format!("sip:{dialled}@192.0.2.9").into(),
            replica: self.replica.clone(),
            flow: Flow { transport: Transport::Udp, local: remote, remote },
            path: Vec::new(),
        };
        Routing {
            destination: Some(Destination::User(user)),
            bindings: vec![binding],
            nodes: vec![self.node.clone()],
            calls_max: 1_000_000,
            ..Routing::default()
        }
    }

    fn signal(&mut self, leg: LegId, n: u64, kind: LegSignalKind, routing: Option<Routing>) -> Step {
        let signal = LegSignal {
            boot: self.boot,
            leg,
            tenant: self.tenant.clone(),
            n,
            at: self.now,
            trunk: None,
            kind,
        };
        let step = self.shard.handle_signal(&self.replica.clone(), signal, routing, self.now);
        self.serve(&step)
    }

    /// Signalling acknowledges every command, and media answers every request.
    fn serve(&mut self, step: &Step) -> Step {
        if let Some(facts) = &mut self.facts {
            facts.extend(step.record.facts.iter().cloned());
        }
        for command in &step.record.commands {
            self.shard.handle_applied(command.leg, command.n);
        }
        for effect in &step.effects {
            let Effect::Media { node, request } = effect else { continue };
            let reply = match request {
                MediaRequest::CreateLeg { .. } => {
                    MediaReply::Created { local: media(), boot: self.node.boot }
                }
                MediaRequest::UpdateLeg { .. } => MediaReply::Updated { local: media() },
                MediaRequest::OfferLeg { .. } => MediaReply::Offered { local: media() },
                _ => MediaReply::Done,
            };
            let next = self.shard.handle_media(node, request.clone(), Ok(reply), self.now);
            self.serve(&next);
        }
        Step::default()
    }

    /// A call from the INVITE to two who talk.
    pub fn call(&mut self) -> (LegId, LegId) {
        self.call_of(&format!("1{}", self.calls + 1))
    }

    /// The same of somebody who may have other calls.
    pub fn call_of(&mut self, from: &str) -> (LegId, LegId) {
        self.calls += 1;
        let dialled = format!("2{}", self.calls);
        let caller = self.ids.make(self.now);
        let routing = self.routing(&dialled);
        let offered = Offered {
            from: Party { user: Some(user_of(from)), number: from.into(), ..Party::default() },
            dialled: dialled.clone().into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media: Some(media()),
            sip_call_id: "a-call-id-of-usual-length@192.0.2.7".into(),
            replaces: None,
            anonymous: false,
            headers: Vec::new(),
            max_forwards: None,
            invite: InviteId {
                from_tag: dialled.into(),
                cseq: 1,
                transaction: "192.0.2.7:5060 z9hG4bK-a-branch-of-usual-length".into(),
            },
        };
        self.signal(caller, 1, LegSignalKind::Offered(Box::new(offered)), Some(routing));
        let call = self.shard.fold().leg(caller).unwrap().call;
        let callee = self.shard.fold().call(call).unwrap().legs[1];
        self.signal(callee, 1, LegSignalKind::Progress { media: None }, None);
        self.signal(callee, 2, LegSignalKind::Answered { media: Some(media()) }, None);
        assert_eq!(self.shard.fold().leg(caller).unwrap().peer, Some(callee));
        (caller, callee)
    }

    pub fn hang_up(&mut self, (caller, callee): (LegId, LegId)) {
        let over = || LegSignalKind::Ended(Termination::new(Cause::Normal));
        self.signal(caller, 2, over(), None);
        self.signal(callee, 3, over(), None);
    }
}

fn media() -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp: SocketAddr::from(([192, 0, 2, 7], 4000)),
        rtcp: None,
        rtcp_mux: false,
        formats: vec![Format::new(8, Encoding::Pcma, 8000), Format::new(101, Encoding::TelephoneEvent, 8000)],
        direction: Direction::SendRecv,
        ptime_ms: 20,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

/// The resident set of this process, in bytes.
pub fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}
