//! Live calls in one shard: what one costs in memory, and that placing another does not walk them.
//!
//! `cargo bench -p sidetone-benches --bench live_calls` prints the memory of a two-party call by the growth of the resident set, then measures one more call among 10 and among
//! 10,000 live ones: the baseline row is the small one, and both should cost the same.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench tells, and stops where something is wrong"
)]

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, criterion_group, criterion_main};
use sidetone_call_core::{Effect, Limits, MediaReply, MediaRequest, NodeCandidate, Routing, Shard, Step};
use sidetone_model::ids::{BootId, IdSource, LegId, NodeId, ReplicaId, TenantId, UserId};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Destination, Flow, Party, Transport};
use sidetone_model::signal::{LegSignal, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

const CALLS: usize = 10_000;

struct Office {
    shard: Shard,
    ids: IdSource,
    tenant: TenantId,
    replica: ReplicaId,
    boot: BootId,
    node: NodeCandidate,
    now: Timestamp,
}

impl Office {
    fn new() -> Self {
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
        }
    }

    fn routing(&self) -> Routing {
        let user = UserId::new("bob").unwrap();
        let remote = SocketAddr::from(([192, 0, 2, 9], 5060));
        let binding = Binding {
            user: user.clone(),
            device: "desk".parse().unwrap(),
            contact_uri: "sip:bob@192.0.2.9".into(),
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
        let signal = LegSignal { boot: self.boot, leg, tenant: self.tenant.clone(), n, at: self.now, kind };
        let step = self.shard.handle_signal(&self.replica.clone(), signal, routing, self.now);
        self.serve(&step)
    }

    /// Signalling acknowledges every command, and media answers every request.
    fn serve(&mut self, step: &Step) -> Step {
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
                _ => MediaReply::Done,
            };
            let next = self.shard.handle_media(node, request.clone(), Ok(reply), self.now);
            self.serve(&next);
        }
        Step::default()
    }

    /// A call from the INVITE to two who talk.
    fn call(&mut self) -> (LegId, LegId) {
        let caller = self.ids.make(self.now);
        let offered = Offered {
            from: Party { number: "100".into(), ..Party::default() },
            dialled: "200".into(),
            source: SocketAddr::from(([192, 0, 2, 7], 5060)),
            media: Some(media()),
            sip_call_id: "a-call-id-of-usual-length@192.0.2.7".into(),
            replaces: None,
            anonymous: false,
            headers: Vec::new(),
        };
        let routing = self.routing();
        self.signal(caller, 1, LegSignalKind::Offered(Box::new(offered)), Some(routing));
        let call = self.shard.fold().leg(caller).unwrap().call;
        let callee = self.shard.fold().call(call).unwrap().legs[1];
        self.signal(callee, 1, LegSignalKind::Progress { media: None }, None);
        self.signal(callee, 2, LegSignalKind::Answered { media: Some(media()) }, None);
        assert_eq!(self.shard.fold().leg(caller).unwrap().peer, Some(callee));
        (caller, callee)
    }

    fn hang_up(&mut self, (caller, callee): (LegId, LegId)) {
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
    }
}

/// The resident set of this process, in bytes.
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

fn calls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one call from INVITE to BYE");
    // The many first: memory that others have left would be taken for nothing.
    for live in [CALLS, 10] {
        let mut office = Office::new();
        let before = resident();
        let kept: Vec<_> = (0..live).map(|_| office.call()).collect();
        let each = resident().saturating_sub(before) / live;
        if live == CALLS {
            println!("{live} live calls: {each} bytes a call");
        }
        group.bench_function(format!("among {live} live calls"), |bench| {
            bench.iter(|| {
                let call = office.call();
                office.hang_up(black_box(call));
                // What is over is forgotten, so that only the live ones are many.
                office.now = Timestamp::from_millis(office.now.as_millis() + 1);
            });
        });
        group.bench_function(format!("a look at the clock among {live} live calls"), |bench| {
            bench.iter(|| black_box(office.shard.poll_timeout()));
        });
        drop(kept);
    }
    group.finish();
}

criterion_group!(benches, calls);
criterion_main!(benches);
