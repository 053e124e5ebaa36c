use std::net::SocketAddr;

use sidetone_model::command::Invite;
use sidetone_model::ids::{IdSource, ReplicaId};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};
use sidetone_model::party::{Binding, Party, Transport};
use sidetone_model::time::Timestamp;
use sidetone_sip_core::identity::Audience;
use sidetone_sip_core::leg::{Encryption, LegSetup};
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::Timers;

use super::*;

fn flow(transport: Transport, port: u16) -> Flow {
    let local = SocketAddr::from(([127, 0, 0, 1], 5060));
    Flow { transport, local, remote: SocketAddr::from(([192, 0, 2, 7], port)) }
}

fn leg(over: &Flow) -> Leg {
    let setup = LegSetup {
        flow: over.clone(),
        advertised: over.local,
        domain: "a.example".into(),
        product: "test".into(),
        timers: Timers::default(),
        session_interval_s: 0,
        encryption: Encryption::default(),
    };
    let media = MediaDescription {
        holder: Holder::Node,
        rtp: SocketAddr::from(([127, 0, 0, 1], 4000)),
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
    };
    let binding = Binding::outside("1002", ReplicaId::new("r").unwrap());
    let invite = Invite {
        from: Party { number: "1001".into(), ..Party::default() },
        to: "1002".into(),
        binding: Binding { contact_uri: "sip:1002@192.0.2.7".into(), flow: over.clone(), ..binding },
        media,
        auto_answer: false,
        anonymous: false,
        diversions: Vec::new(),
        call: None,
        headers: Vec::new(),
        max_forwards: None,
    };
    Leg::outgoing(setup, &invite, Audience::Phone, "1".into(), &mut Tokens::seeded([1; 32])).unwrap()
}

#[test]
fn legs_are_found_by_their_connection_wherever_they_go() {
    let (old, new, udp) =
        (flow(Transport::Tcp, 4001), flow(Transport::Tcp, 4002), flow(Transport::Udp, 4001));
    let (mut legs, mut ids) = (Legs::default(), IdSource::seeded([2; 32]));
    let tenant = TenantId::new("t").unwrap();
    let made: Vec<LegId> = (0..4).map(|n| ids.make(Timestamp::from_millis(n))).collect();
    for (id, over) in made.iter().zip([&old, &old, &new, &udp]) {
        legs.insert(*id, tenant.clone(), Some(leg(over)), None);
    }
    let over = |legs: &Legs, flow: &Flow| legs.over(flow).collect::<Vec<_>>();
    assert_eq!((over(&legs, &old), over(&legs, &new)), (made[..2].to_vec(), vec![made[2]]));
    assert!(over(&legs, &udp).is_empty(), "over UDP nothing closes");
    legs.move_to(made[0], &new);
    legs.move_to(made[3], &old);
    assert_eq!((over(&legs, &old), over(&legs, &new)), (vec![made[1], made[3]], vec![made[0], made[2]]));
    // Another way is taken, and the leg begins anew over it.
    legs.replace(made[1], leg(&new));
    assert_eq!((over(&legs, &old), over(&legs, &new)), (vec![made[3]], made[..3].to_vec()));
    made.iter().for_each(|id| legs.finish(*id));
    assert!(over(&legs, &new).is_empty() && legs.by_flow.is_empty(), "nothing is left of what is over");
}

#[test]
fn the_index_holds_after_any_moves() {
    let flows: Vec<Flow> = (0..5).map(|n| flow(Transport::Tcp, 4000 + n)).collect();
    let (mut legs, mut ids, mut random) =
        (Legs::default(), IdSource::seeded([2; 32]), Tokens::seeded([3; 32]));
    let tenant = TenantId::new("t").unwrap();
    let mut live: Vec<LegId> = Vec::new();
    for n in 0..2000 {
        let over = &flows[random.below(5) as usize];
        let which = random.below(live.len().max(1) as u32) as usize;
        match (random.below(4), live.get(which).copied()) {
            (1, Some(id)) => legs.move_to(id, over),
            (2, Some(id)) => drop(legs.replace(id, leg(over))),
            (3, Some(id)) => {
                legs.finish(id);
                live.swap_remove(which);
            }
            _ => {
                let id = ids.make(Timestamp::from_millis(n));
                legs.insert(id, tenant.clone(), Some(leg(over)), None);
                live.push(id);
            }
        }
        assert!(flows.iter().all(|flow| legs.is_true_of(flow)), "after {n} changes");
    }
    live.iter().for_each(|id| legs.finish(*id));
    assert!(legs.by_flow.is_empty());
}
