//! SRTP on real legs: heard both ways beside plain RTP, closed to everybody without the key.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::sync::Arc;

use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_media::Srtp;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use sidetone_rtp_core::srtp::{Sender, Suite};
use support::secure::*;
use support::*;
use tokio::net::UdpSocket;
use tonic::Request;

async fn stats(node: &TestNode, leg: &str) -> pb::LegStats {
    node.leg(leg).await.unwrap().stats.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_suite_is_heard_both_ways_over_a_bridge_to_plain_rtp() {
    let node = node().await;
    for (n, suite) in Suite::ALL.into_iter().enumerate() {
        let n = n as u32 * 2 + 1;
        let mut secure = SecurePhone::call(&node, n, suite, 500.0).await;
        let law = if n % 4 == 1 { Law::Mu } else { Law::A };
        let plain = Phone::call(&node, n + 1, law, 900.0, 20).await;
        node.connect(&secure.leg, To::PeerLegId(plain.leg.clone())).await;
        let is_heard = || {
            let sound = linear(law, &plain.heard.lock().unwrap());
            sound.len() > 8000 && has_tone(&sound[sound.len() - 4000..], 500.0)
        };
        secure.speak_until(&format!("{suite:?} both ways"), |secure| secure.hears(900.0) && is_heard()).await;
        assert_continuous(&plain.heard.lock().unwrap());
        let stats = stats(&node, &secure.leg).await;
        assert_eq!((stats.srtp_suite.as_str(), stats.packets_refused), (suite.name(), 0));
        // Nothing lost and 43 ms: R is 92.
        assert!(stats.rating >= 85 && stats.mean_opinion_hundredths > 420, "{stats:?}");
        plain.hush();
        node.release(&secure.leg).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_without_the_key_gets_or_gives_a_packet_and_who_has_it_may_move() {
    let node = node().await;
    let suite = Suite::AesCm128HmacSha1_80;
    let mut secure = SecurePhone::call(&node, 1, suite, 500.0).await;
    let plain = Phone::call(&node, 2, Law::Mu, 900.0, 20).await;
    node.connect(&secure.leg, To::PeerLegId(plain.leg.clone())).await;
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut wrong = Sender::new(&master(suite, &key_of(suite, 99))).unwrap();
    // Before the first packet, from another port of the right IP: plain RTP, and SRTP under another key.
    for n in 0..50 {
        attacker.send_to(&packet(0, n, 0, SSRC, &[0x80; 160]), secure.node).await.unwrap();
        attacker.send_to(&sealed(&mut wrong, n, SSRC, &[0x80; 160]), secure.node).await.unwrap();
    }
    until("refusals", async || (stats(&node, &secure.leg).await.packets_refused >= 100).then_some(())).await;
    assert_eq!(stats(&node, &secure.leg).await.packets_received, 0);
    assert_eq!(plain.count(), 0, "something was injected");
    // In mid-call, from the phone's own socket, so that only the key keeps it out; and what was said already.
    let last = secure.speak(70).await;
    let received = received_when_read(&node, &secure.leg).await;
    for n in 0..50 {
        secure
            .socket
            .send_to(&packet(0, secure.sequence + n, 0, SSRC, &[0x80; 160]), secure.node)
            .await
            .unwrap();
        secure.socket.send_to(&last, secure.node).await.unwrap();
    }
    until("refusals", async || (stats(&node, &secure.leg).await.packets_refused >= 200).then_some(())).await;
    assert_eq!(stats(&node, &secure.leg).await.packets_received, received);
    secure.speak_until("the other still", |secure| secure.hears(900.0)).await;
    let mut nothing = [0; 100];
    assert!(attacker.try_recv(&mut nothing).is_err(), "the attacker was sent something");
    // A new address of the phone is proved by the key alone, once the old one is silent.
    let before = plain.count();
    secure.socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    let is_followed =
        |secure: &SecurePhone| plain.count() > before + 40 && secure.socket.try_recv(&mut [0; 400]).is_ok();
    secure.speak_until("it to be followed, and answered there", is_followed).await;
    // What the move cost shows as a loss in one stream, not as another stream.
    let heard = plain.heard.lock().unwrap().clone();
    assert!(heard.iter().all(|packet| packet.ssrc == heard[0].ssrc));
    assert!(heard.windows(2).all(|pair| (1..100).contains(&pair[1].sequence.wrapping_sub(pair[0].sequence))));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_decides() {
    let plain = || description("127.0.0.1:4000".parse().unwrap(), &[(0, "PCMU")], 20);
    let suite = Suite::AeadAes128Gcm;
    let secure = types::MediaDescription {
        secured: true,
        crypto: vec![crypto(1, suite, &key_of(suite, 1))],
        ..plain()
    };
    for (srtp, takes_plain, takes_secure, keys_of_offers) in [
        (Srtp::Off, true, false, [0, 0]),
        (Srtp::Optional, true, true, [0, 3]),
        (Srtp::Required, false, true, [3, 3]),
    ] {
        let node = node_with(|config| config.srtp = srtp).await;
        let made = async |n, remote| node.media.create_leg(Request::new(create(n, Some(remote)))).await;
        assert_eq!(made(1, plain()).await.is_ok(), takes_plain, "{srtp:?}");
        assert_eq!(made(2, secure.clone()).await.is_ok(), takes_secure, "{srtp:?}");
        for (n, private_path) in [(3, false), (4, true)] {
            let request = pb::CreateLegRequest { private_path, ..create(n, None) };
            let offer =
                node.media.create_leg(Request::new(request)).await.unwrap().into_inner().local.unwrap();
            assert_eq!(offer.crypto.len(), keys_of_offers[usize::from(private_path)], "{srtp:?}");
            assert_eq!(offer.secured, srtp == Srtp::Required);
            let request = pb::UpdateLegRequest {
                leg_id: uuid(n),
                remote: Some(plain()),
                is_answer: true,
                ..Default::default()
            };
            let concluded = node.media.update_leg(Request::new(request)).await;
            assert_eq!(concluded.is_ok(), srtp != Srtp::Required, "{srtp:?}");
        }
    }
}
