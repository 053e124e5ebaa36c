//! Legs go from node to node and back, over the contract: the far side hears one stream.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pb::connect_leg_request::{Echo, Nothing, To};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tokio::net::UdpSocket;
use tonic::{Code, Request};

const MOVES: usize = 40;

/// A phone that can be told where to send.
struct Wanderer {
    leg: String,
    to: Arc<Mutex<SocketAddr>>,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Wanderer {
    async fn call(node: &TestNode, n: u32) -> Self {
        let socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
        let offer = description(socket.local_addr().unwrap(), &[(0, "PCMU")], 20);
        let answer = node.media.create_leg(Request::new(create(n, Some(offer)))).await.unwrap().into_inner();
        let to = Arc::new(Mutex::new(address(answer.local.as_ref().unwrap())));
        let heard: Arc<Mutex<Vec<Heard>>> = Arc::default();
        let (ear, kept) = (Arc::clone(&socket), Arc::clone(&heard));
        tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            while let Ok((length, _)) = ear.recv_from(&mut buffer).await {
                let packet = &buffer[..length];
                kept.lock().unwrap().push(Heard {
                    marker: packet[1] & 0x80 != 0,
                    payload_type: packet[1] & 0x7f,
                    sequence: u16::from_be_bytes([packet[2], packet[3]]),
                    timestamp: u32::from_be_bytes(packet[4..8].try_into().unwrap()),
                    ssrc: u32::from_be_bytes(packet[8..12].try_into().unwrap()),
                    payload: packet[12..].to_vec(),
                    at: std::time::Instant::now(),
                });
            }
        });
        let target = Arc::clone(&to);
        tokio::spawn(async move {
            let mut timer = tokio::time::interval(Duration::from_millis(20));
            for k in 0u32.. {
                timer.tick().await;
                let bytes = packet(0, k as u16, k.wrapping_mul(160), n, &[0x55; 160]);
                let to = *target.lock().unwrap();
                drop(socket.send_to(&bytes, to).await);
            }
        });
        Self { leg: uuid(n), to, heard }
    }

    async fn hears(&self, packets: usize) {
        let before = self.heard.lock().unwrap().len();
        let enough = async || (self.heard.lock().unwrap().len() >= before + packets).then_some(());
        until("packets", enough).await;
    }

    async fn go(&self, from: &TestNode, to: &TestNode) -> pb::LegValue {
        let request = pb::ExportLegRequest { leg_id: self.leg.clone() };
        let value = from.media.export_leg(Request::new(request)).await.unwrap().into_inner().leg.unwrap();
        let request = pb::RestoreLegRequest { leg: Some(value.clone()) };
        let restored = to.media.restore_leg(Request::new(request)).await.unwrap().into_inner();
        *self.to.lock().unwrap() = address(restored.local.as_ref().unwrap());
        value
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_wanders_and_stays_one_stream() {
    let seed: u64 = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x51DE);
    eprintln!("SEED={seed}");
    let nodes = [node().await, node().await];
    let phone = Wanderer::call(&nodes[0], 1).await;
    let (mut at, mut state) = (0, seed);
    let mut below = |n: u64| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % n
    };
    let mut last = None;
    for _ in 0..MOVES {
        let to = match below(3) {
            0 => To::Echo(Echo {}),
            1 => To::Nothing(Nothing {}),
            _ => To::MixId("room".into()),
        };
        nodes[at].connect(&phone.leg, to).await;
        phone.hears(1 + below(3) as usize).await;
        last = Some(phone.go(&nodes[at], &nodes[1 - at]).await);
        assert!(nodes[at].leg(&phone.leg).await.is_none(), "it is gone here");
        at = 1 - at;
    }
    nodes[at].connect(&phone.leg, To::Echo(Echo {})).await;
    phone.hears(10).await;
    assert_continuous(&phone.heard.lock().unwrap().clone());
    let again = pb::RestoreLegRequest { leg: last };
    let error = nodes[at].media.restore_leg(Request::new(again)).await.unwrap_err();
    assert_eq!(error.code(), Code::AlreadyExists, "{error}");
    let stats = nodes[at].release(&phone.leg).await.unwrap();
    let heard = phone.heard.lock().unwrap().len() as u64;
    assert!(stats.packets_sent >= heard, "{} of {heard} are counted over all moves", stats.packets_sent);
    assert!(stats.packets_received > 20, "{}", stats.packets_received);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_go_on_is_refused() {
    let node = node().await;
    let phone = Wanderer::call(&node, 2).await;
    let export = |leg: &str| Request::new(pb::ExportLegRequest { leg_id: leg.into() });
    let error = node.media.export_leg(export(&uuid(99))).await.unwrap_err();
    assert_eq!(error.code(), Code::NotFound);
    let value = node.media.export_leg(export(&phone.leg)).await.unwrap().into_inner().leg.unwrap();
    let newer = pb::LegValue { version: value.version + 1, ..value.clone() };
    let request = pb::RestoreLegRequest { leg: Some(newer) };
    let error = node.media.restore_leg(Request::new(request)).await.unwrap_err();
    assert_eq!(error.code(), Code::FailedPrecondition);
    assert!(error.message().contains("version 2"), "{error}");
    let broken = pb::LegValue { outgoing: None, ..value.clone() };
    let request = pb::RestoreLegRequest { leg: Some(broken) };
    let error = node.media.restore_leg(Request::new(request)).await.unwrap_err();
    assert_eq!(error.code(), Code::InvalidArgument);
    let request = pb::RestoreLegRequest { leg: Some(value) };
    node.media.restore_leg(Request::new(request)).await.unwrap();
    assert!(node.leg(&phone.leg).await.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_full_takes_in_what_comes_from_another() {
    // Nothing fits in a thousandth of a tick.
    let full = node_with(|config| config.load_max_permille = 1).await;
    let refused = full.media.create_leg(Request::new(create(1, None))).await.unwrap_err();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    let from = node().await;
    let phone = Wanderer::call(&from, 2).await;
    let value = from.media.export_leg(Request::new(pb::ExportLegRequest { leg_id: phone.leg.clone() })).await;
    let restore = pb::RestoreLegRequest { leg: value.unwrap().into_inner().leg };
    full.media.restore_leg(Request::new(restore)).await.unwrap();
    let held = full.media.list_legs(Request::new(pb::ListLegsRequest::default())).await.unwrap().into_inner();
    assert_eq!(held.legs.len(), 1, "it was admitted once");
}
