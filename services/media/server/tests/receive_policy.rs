//! Nobody else can speak into a leg, and nothing is ever sent to anybody else.

#![allow(clippy::unwrap_used)]

use crate::support;

use pb::connect_leg_request::{Echo, To};
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tokio::net::UdpSocket;
use tonic::{Code, Request};

/// Sends a spray of packets from another address and asserts that nothing ever comes back.
async fn spray(socket: &UdpSocket, phone: &Phone) {
    for sequence in 0..40 {
        let packet = packet(0, sequence, u32::from(sequence) * 160, 1, &[0x2a; 160]);
        let _ = socket.send_to(&packet, phone.node).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spray_before_the_lock_and_in_mid_call_changes_nothing() {
    let node = node().await;
    let attacker = UdpSocket::bind("127.0.0.2:0").await.unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let offer = description(socket.local_addr().unwrap(), &[(0, "PCMU")], 20);
    let created = node.media.create_leg(Request::new(create(9, Some(offer)))).await.unwrap().into_inner();
    let to = address(created.local.as_ref().unwrap());
    node.connect(&uuid(9), To::Echo(Echo {})).await;
    for sequence in 0..40 {
        attacker.send_to(&packet(0, sequence, 0, 7, &[0x2a; 160]), to).await.unwrap();
    }
    let refused = async || (node.leg(&uuid(9)).await?.stats?.packets_refused == 40).then_some(());
    until("40 refusals", refused).await;

    let phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    phone.hear(10).await;
    spray(&attacker, &phone).await;
    phone.until_tones("itself", &[500.0], &[true]).await;
    assert_continuous(&phone.heard.lock().unwrap());
    assert!(attacker.try_recv(&mut [0; 10]).is_err(), "the attacker must not be answered");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_moves_after_silence_is_followed_without_a_break() {
    let node = node().await;
    let mut phone = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    node.connect(&phone.leg, To::Echo(Echo {})).await;
    let before = phone.hear(10).await.pop().unwrap();
    let moved = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let too_early =
        packet(0, phone.sequence.load(std::sync::atomic::Ordering::Relaxed) as u16, 0, 1, &[0xff; 160]);
    moved.send_to(&too_early, phone.node).await.unwrap();
    phone.hear(5).await;
    phone.hush();
    let silent = async || (node.leg(&phone.leg).await?.silent_ms? >= 2000).then_some(());
    until("two seconds of silence", silent).await;
    let last = phone.heard.lock().unwrap().last().cloned().unwrap();
    assert_eq!(last.ssrc, before.ssrc);
    phone.socket = std::sync::Arc::new(moved);
    let timestamp = last.timestamp.wrapping_add(20_000);
    phone.send(0, 1, timestamp, &[0xff; 160]).await;
    let mut buffer = [0; 2000];
    let (length, _) =
        tokio::time::timeout(PATIENCE, phone.socket.recv_from(&mut buffer)).await.unwrap().unwrap();
    let sequence = u16::from_be_bytes([buffer[2], buffer[3]]);
    assert_eq!((length, sequence), (172, last.sequence.wrapping_add(1)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_leg_takes_no_other_port() {
    let node = node().await;
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let other = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut request = create(1, Some(description(socket.local_addr().unwrap(), &[(0, "PCMU")], 20)));
    request.policy = Some(pb::ReceivePolicy {
        mode: pb::receive_policy::Mode::Strict.into(),
        signalling_ip: String::new(),
    });
    let created = node.media.create_leg(Request::new(request.clone())).await.unwrap().into_inner();
    let to = address(created.local.as_ref().unwrap());
    node.connect(&uuid(1), To::Echo(Echo {})).await;
    other.send_to(&packet(0, 1, 0, 1, &[0xff; 160]), to).await.unwrap();
    until("a refusal", async || (node.leg(&uuid(1)).await?.stats?.packets_refused == 1).then_some(())).await;
    socket.send_to(&packet(0, 1, 0, 1, &[0xff; 160]), to).await.unwrap();
    let mut buffer = [0; 200];
    let echoed = tokio::time::timeout(PATIENCE, socket.recv(&mut buffer)).await.unwrap().unwrap();
    assert_eq!(echoed, 172);
    assert!(other.try_recv(&mut buffer).is_err());

    request.leg_id = uuid(2);
    request.policy = Some(pb::ReceivePolicy {
        mode: pb::receive_policy::Mode::Secured.into(),
        signalling_ip: String::new(),
    });
    let refused = node.media.create_leg(Request::new(request)).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
}

#[tokio::test(flavor = "multi_thread")]
async fn reports_go_to_the_peer_and_a_goodbye_at_the_end() {
    let node = node().await;
    // The port above a free one may be somebody else's.
    let (rtp, rtcp) = until("a pair of ports", async || {
        let rtp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let at = rtp.local_addr().unwrap();
        let rtcp = UdpSocket::bind((at.ip(), at.port().checked_add(1)?)).await.ok()?;
        (at.port() % 2 == 0).then_some((rtp, rtcp))
    })
    .await;
    let at = rtp.local_addr().unwrap();
    let offer = description(at, &[(0, "PCMU")], 20);
    node.media.create_leg(Request::new(create(1, Some(offer)))).await.unwrap();
    node.release(&uuid(1)).await;
    let mut buffer = [0; 200];
    let length = tokio::time::timeout(PATIENCE, rtcp.recv(&mut buffer)).await.unwrap().unwrap();
    // A receiver report (nothing was sent), the name, and the goodbye.
    assert_eq!((buffer[1], buffer[9], buffer[length - 7]), (201, 202, 203));
}
