//! What a node refuses, forgets and answers twice.

#![allow(clippy::unwrap_used)]

use crate::support;

use pb::connect_leg_request::{Echo, To};
use prost::Message as _;
use sidetone_dsp::Law;
use sidetone_media::Realm;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::{Code, Request};

fn here() -> std::net::SocketAddr {
    "127.0.0.1:9".parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_is_answered_as_the_first_time_and_another_is_refused() {
    let node = node().await;
    let request = create(1, Some(description(here(), &[(8, "PCMA")], 20)));
    let first = node.media.create_leg(Request::new(request.clone())).await.unwrap().into_inner();
    let again = node.media.create_leg(Request::new(request.clone())).await.unwrap().into_inner();
    assert_eq!(first, again);
    let other = pb::CreateLegRequest { remote: None, ..request };
    assert_eq!(node.media.create_leg(Request::new(other)).await.unwrap_err().code(), Code::AlreadyExists);
    let video = create(2, Some(description(here(), &[(96, "H264")], 20)));
    let refused = node.media.create_leg(Request::new(video)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert!(
        refused.message().contains("switch on one of") && refused.message().contains("PCMA"),
        "{refused:?}"
    );
    let missing = pb::ConnectLegRequest { leg_id: uuid(7), to: Some(To::Echo(Echo {})) };
    assert_eq!(node.media.connect_leg(Request::new(missing)).await.unwrap_err().code(), Code::NotFound);
    let bad = pb::ReleaseLegRequest { leg_id: "x".into() };
    assert_eq!(node.media.release_leg(Request::new(bad)).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test(flavor = "multi_thread")]
async fn our_offer_is_answered_and_a_hold_keeps_port_and_stream() {
    let node = node().await;
    let offer =
        node.media.create_leg(Request::new(create(1, None))).await.unwrap().into_inner().local.unwrap();
    let offered: Vec<&str> = offer.formats.iter().map(|format| format.encoding.as_str()).collect();
    for encoding in ["opus", "G722", "PCMA", "PCMU", "GSM", "telephone-event"] {
        assert!(offered.iter().any(|name| name.eq_ignore_ascii_case(encoding)), "{encoding}: {offered:?}");
    }
    let update = |remote, is_answer| pb::UpdateLegRequest {
        leg_id: uuid(1),
        remote: Some(remote),
        is_answer,
        is_reanswer: false,
    };
    let answer = update(description(here(), &[(8, "PCMA"), (97, "telephone-event")], 20), true);
    for _ in 0..2 {
        node.media.update_leg(Request::new(answer.clone())).await.unwrap();
    }
    let mut held = description(here(), &[(8, "PCMA")], 20);
    held.direction = sidetone_proto::types::v1::Direction::Sendonly.into();
    let reply =
        node.media.update_leg(Request::new(update(held, false))).await.unwrap().into_inner().local.unwrap();
    assert_eq!(reply.rtp, offer.rtp);
    assert_eq!(reply.direction(), sidetone_proto::types::v1::Direction::Recvonly);
    let stale = update(description(here(), &[(0, "PCMU")], 20), true);
    let refused = node.media.update_leg(Request::new(stale)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn ports_and_legs_run_out_with_a_clear_word() {
    // Somebody else may have taken a port that was free a moment ago.
    let node = until("a pair of ports", async || {
        let probe = node().await;
        let made = probe.media.create_leg(Request::new(create(1, None))).await.unwrap().into_inner();
        let port = address(made.local.as_ref().unwrap()).port();
        probe.release(&uuid(1)).await;
        let realm = Realm { port_min: port, port_max: port + 1, ..Realm::default() };
        let node = node_with(|config| config.realms = vec![realm]).await;
        node.media.create_leg(Request::new(create(1, None))).await.ok()?;
        Some(node)
    })
    .await;
    let full = node.media.create_leg(Request::new(create(2, None))).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
    assert!(full.metadata().get("retry-after").is_some());
    node.release(&uuid(1)).await;
    let resting = node.media.create_leg(Request::new(create(3, None))).await.unwrap_err();
    assert_eq!(resting.code(), Code::ResourceExhausted, "a freed port rests");

    let node = node_with(|config| config.legs_max = 1).await;
    node.media.create_leg(Request::new(create(1, None))).await.unwrap();
    let full = node.media.create_leg(Request::new(create(2, None))).await.unwrap_err();
    assert_eq!(full.code(), Code::ResourceExhausted);
}

/// With a tenth of a tick little fits, whatever the machine.
#[tokio::test(flavor = "multi_thread")]
async fn legs_that_workers_have_no_time_for_are_refused_and_the_others_go_on() {
    let node = node_with(|config| (config.legs_max, config.load_max_permille) = (2_000, 100)).await;
    let registered = async || {
        let entry = node.store.get("media-nodes/media-1").await.unwrap()?;
        pb::NodeRegistration::decode(entry.value).ok()?.fullness_permille
    };
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    phone.hear(5).await;
    let mut taken = 0;
    let mut refused = None;
    until("a node that is full and says so", async || {
        for _ in 0..50 {
            match node.media.create_leg(Request::new(create(100 + taken, None))).await {
                Ok(_) => taken += 1,
                Err(status) => refused = Some(status),
            }
        }
        // What legs cost is seen twice a second, and there may be room again.
        (refused.is_some() && registered().await? >= 1_000).then_some(())
    })
    .await;
    assert!(taken < 1_000, "{taken} on two workers with two milliseconds each");
    let refused = refused.unwrap();
    assert_eq!(refused.code(), Code::ResourceExhausted);
    assert!(refused.metadata().get("retry-after").is_some());
    assert!(node.telemetry.media.refused.with_label_values(&["no_room"]).get() > 0);
    let now = node.media.get_node(Request::new(pb::GetNodeRequest {})).await.unwrap().into_inner();
    assert_eq!(now.worker_expected_permille.len(), 2);
    phone.hear(25).await;
    for n in 0..taken {
        node.release(&uuid(100 + n)).await;
    }
    until("room again", async || node.media.create_leg(Request::new(create(99, None))).await.ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leg_without_rtp_and_refresh_is_freed_and_told_of() {
    use futures_util::StreamExt as _;
    // Longer than a machine stalls: what talks must not be silent for so long.
    let node = node_with(|config| config.idle_timeout_s = 6).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let talking = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.media.create_leg(Request::new(create(2, None))).await.unwrap();
    let mut held = description(here(), &[(0, "PCMU")], 20);
    held.direction = sidetone_proto::types::v1::Direction::Inactive.into();
    node.media.create_leg(Request::new(create(3, Some(held)))).await.unwrap();
    let gone = loop {
        let event = tokio::time::timeout(PATIENCE, events.next()).await.unwrap().unwrap().unwrap();
        if let Some(pb::media_event::Kind::LegTimedOut(gone)) = event.kind {
            break gone.leg_id;
        }
    };
    assert_eq!(gone, uuid(2));
    assert!(node.leg(&talking.leg).await.is_some(), "RTP keeps a leg");
    assert!(node.leg(&uuid(3)).await.is_some(), "a held leg needs none");
    let ids = vec![uuid(1), uuid(2), uuid(3)];
    let reply =
        node.media.refresh(Request::new(pb::RefreshRequest { leg_ids: ids })).await.unwrap().into_inner();
    assert_eq!(reply.unknown_leg_ids, [uuid(2)]);
}

/// Whether call control is told that nothing comes of a leg, while all legs are wanted.
async fn lifeless(
    node: &TestNode,
    events: &mut (impl futures_util::Stream<Item = Result<pb::MediaEvent, tonic::Status>> + Unpin),
) -> String {
    use futures_util::StreamExt as _;
    loop {
        let ids = vec![uuid(1), uuid(2), uuid(3)];
        node.media.refresh(Request::new(pb::RefreshRequest { leg_ids: ids })).await.unwrap();
        let Ok(event) = tokio::time::timeout(std::time::Duration::from_millis(500), events.next()).await
        else {
            continue;
        };
        if let Some(pb::media_event::Kind::LegTimedOut(gone)) = event.unwrap().unwrap().kind {
            assert!(gone.no_rtp);
            return gone.leg_id;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_garbage_is_told_of_although_it_is_wanted_and_who_sends_reports_is_not() {
    let node = node_with(|config| config.rtp_timeout_s = 5).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let formats = description(here(), &[(0, "PCMU")], 20).formats;
    let garbage = Phone::quiet(&node, 1, Law::Mu, formats.clone(), 20).await;
    let reports = Phone::quiet(&node, 2, Law::Mu, formats, 20).await;
    let mut held = description(here(), &[(0, "PCMU")], 20);
    held.direction = sidetone_proto::types::v1::Direction::Sendonly.into();
    node.media.create_leg(Request::new(create(3, Some(held)))).await.unwrap();
    let send = |phone: Phone, report: bool| {
        tokio::spawn(async move {
            for n in 0u32.. {
                if report {
                    // A receiver report without blocks, and who it is of.
                    let _ = phone.socket.send_to(&[0x80, 201, 0, 1, 0, 0, 0, 2], next_port(phone.node)).await;
                } else {
                    // Of a number that nobody agreed on.
                    phone.send(77, 1, n * 160, &[0; 160]).await;
                }
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        })
    };
    let senders = [send(garbage.clone(), false), send(reports.clone(), true)];
    for phone in [&garbage, &reports] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    node.connect(&uuid(3), To::MixId("room".into())).await;
    for _ in 0..2 {
        let gone = tokio::time::timeout(PATIENCE, lifeless(&node, &mut events)).await.unwrap();
        assert_eq!(gone, garbage.leg, "and again, until it is ended");
    }
    assert!(node.leg(&garbage.leg).await.is_some(), "that is for call control");
    senders.iter().for_each(|sender| sender.abort());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_told_of_as_lifeless_is_freed_when_nobody_wants_it_any_more() {
    use futures_util::StreamExt as _;
    let node = node_with(|config| (config.rtp_timeout_s, config.idle_timeout_s) = (2, 10)).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let formats = description(here(), &[(0, "PCMU")], 20).formats;
    let silent = Phone::quiet(&node, 1, Law::Mu, formats, 20).await;
    node.connect(&silent.leg, To::MixId("room".into())).await;
    // Nobody refreshes it: whoever was told of it is gone.
    let mut told = async || {
        until("word of the leg", async || match events.next().await?.unwrap().kind {
            Some(pb::media_event::Kind::LegTimedOut(gone)) => Some((gone.leg_id, gone.no_rtp)),
            _ => None,
        })
        .await
    };
    assert_eq!(told().await, (silent.leg.clone(), true));
    assert_eq!(tokio::time::timeout(PATIENCE, told()).await.unwrap(), (silent.leg.clone(), false));
    assert!(node.leg(&silent.leg).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_phone_that_rang_for_long_rtp_is_expected_from_when_it_is_connected() {
    let node = node_with(|config| config.rtp_timeout_s = 2).await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let formats = description(here(), &[(0, "PCMU")], 20).formats;
    let phones = [
        Phone::quiet(&node, 1, Law::Mu, formats.clone(), 20).await,
        Phone::quiet(&node, 2, Law::Mu, formats, 20).await,
    ];
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    let connected = std::time::Instant::now();
    node.connect(&phones[0].leg, To::PeerLegId(phones[1].leg.clone())).await;
    tokio::time::timeout(PATIENCE, lifeless(&node, &mut events)).await.unwrap();
    let after = connected.elapsed();
    // Whole milliseconds count; without the rule it would be told at once.
    assert!(after > std::time::Duration::from_millis(1_500), "told after {after:?}");
}

/// Where RTCP is taken.
fn next_port(rtp: std::net::SocketAddr) -> std::net::SocketAddr {
    std::net::SocketAddr::new(rtp.ip(), rtp.port() + 1)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draining_node_takes_no_legs_and_says_so_in_its_registration() {
    let node = node().await;
    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    let registered = async || {
        let entry = node.store.get("media-nodes/media-1").await.unwrap()?;
        pb::NodeRegistration::decode(entry.value).ok()
    };
    // An entry is good for two seconds, and is renewed.
    assert_eq!(until("an entry", async || registered().await).await.grpc_address, "127.0.0.1:1");
    node.lifecycle.drain();
    until("draining in the store", async || registered().await?.draining.then_some(())).await;
    let refused = node.media.create_leg(Request::new(create(2, None))).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unavailable);
    phone.hear(5).await;
    node.release(&phone.leg).await;
    node.node.drained().await;
    node.lifecycle.stop();
    node.node.finished().await;
    let is_gone = async || node.store.get("media-nodes/media-1").await.unwrap().is_none().then_some(());
    until("no entry", is_gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_house_full_of_idle_legs_is_emptied_and_the_node_stops() {
    let node = node_with(|config| {
        config.idle_timeout_s = 1;
        config.legs_max = 1500;
    })
    .await;
    for n in 0..1500 {
        node.media.create_leg(Request::new(create(n, None))).await.unwrap();
    }
    let empty = async || {
        let now = node.media.get_node(Request::new(pb::GetNodeRequest {})).await.unwrap().into_inner();
        (now.legs == 0).then_some(())
    };
    until("an empty node", empty).await;
    node.lifecycle.stop();
    tokio::time::timeout(PATIENCE, node.node.finished()).await.unwrap();
}
