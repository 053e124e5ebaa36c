//! Browsers: SRTP keyed by DTLS, addresses proved by ICE, everything on one port.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::sync::Arc;

use futures_util::StreamExt as _;
use pb::connect_leg_request::To;
use sidetone_dsp::Law;
use sidetone_media::{Ice, Srtp};
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1 as types;
use sidetone_rtp_core::srtp::{Sender, Suite};
use support::browser::*;
use support::secure::{SSRC, key_of, master, sealed};
use support::*;
use tokio::net::UdpSocket;
use tonic::Request;
use types::Setup;

const BROWSER: Way = Way { ice: true, setup: Setup::Actpass };

async fn stats(node: &TestNode, leg: &str) -> pb::LegStats {
    node.leg(leg).await.unwrap().stats.unwrap()
}

/// Whether the last half second that a plain phone heard has a tone.
fn hears(phone: &Phone, hz: f32) -> bool {
    let heard = phone.heard.lock().unwrap().clone();
    let sound = linear(Law::Mu, &heard);
    sound.len() > 8000 && has_tone(&sound[sound.len() - 4000..], hz)
}

/// Both hear each other over a bridge.
async fn assert_heard_both_ways(node: &TestNode, browser: &mut BrowserPhone, n: u32, what: &str) {
    let plain = Phone::call(node, n, Law::Mu, 900.0, 20).await;
    node.connect(&browser.leg, To::PeerLegId(plain.leg.clone())).await;
    browser.speak_until(what, |browser| browser.hears(900.0) && hears(&plain, 500.0)).await;
    assert_continuous(&plain.heard.lock().unwrap());
    plain.hush();
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_begins_and_with_or_without_ice_both_are_heard() {
    let node = node().await;
    for (n, (ice, setup)) in
        [(true, Setup::Actpass), (true, Setup::Passive), (false, Setup::Active), (false, Setup::Passive)]
            .into_iter()
            .enumerate()
    {
        let n = n as u32 * 2 + 1;
        let mut browser = BrowserPhone::offer(&node, n, Way { ice, setup }, 500.0).await;
        browser.connect().await;
        assert_heard_both_ways(&node, &mut browser, n + 1, &format!("{ice} {setup:?}")).await;
        assert_eq!(stats(&node, &browser.leg).await.srtp_suite, "AEAD_AES_256_GCM");
        node.release(&browser.leg).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_that_is_called_is_heard() {
    let node = node().await;
    for (n, setup) in [(1, Setup::Active), (3, Setup::Passive)] {
        let mut browser = BrowserPhone::answer(&node, n, setup, 500.0).await;
        browser.connect().await;
        assert_heard_both_ways(&node, &mut browser, n + 1, "called").await;
    }
    // Who was offered nothing but DTLS and takes none gets no call.
    let request = pb::CreateLegRequest { browser: true, ..create(9, None) };
    node.media.create_leg(Request::new(request)).await.unwrap();
    let plain = description("127.0.0.1:4000".parse().unwrap(), &[(0, "PCMU")], 20);
    let request =
        pb::UpdateLegRequest { leg_id: uuid(9), remote: Some(plain), is_answer: true, ..Default::default() };
    assert!(node.media.update_leg(Request::new(request)).await.is_err());
}

/// Sends until the node has refused so many packets more.
async fn send_until_refused(node: &TestNode, leg: &str, from: &UdpSocket, packets: &[Vec<u8>]) {
    let to = address(&node.leg(leg).await.unwrap().local.unwrap());
    let before = stats(node, leg).await.packets_refused;
    for packet in packets {
        from.send_to(packet, to).await.unwrap();
    }
    let all = before + packets.len() as u64;
    until("refusals", async || (stats(node, leg).await.packets_refused >= all).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_proves_nothing_gets_no_byte_and_is_not_heard() {
    let node = node().await;
    let mut browser = BrowserPhone::offer(&node, 1, BROWSER, 500.0).await;
    let plain = Phone::call(&node, 2, Law::Mu, 900.0, 20).await;
    node.connect(&browser.leg, To::PeerLegId(plain.leg.clone())).await;
    let attacker = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut wrong = Sender::new(&master(Suite::AeadAes256Gcm, &key_of(Suite::AeadAes256Gcm, 9))).unwrap();
    let junk: Vec<Vec<u8>> = (0..20)
        .flat_map(|n| [packet(0, n, 0, SSRC, &[0x80; 160]), sealed(&mut wrong, n, SSRC, &[0x80; 160])])
        .collect();
    // Before anybody has proved anything: checks with another password, a handshake, and sound.
    for _ in 0..5 {
        attacker.send_to(&check(&browser.local, "another-password-of-24-c").0, browser.node).await.unwrap();
        attacker.send_to(&client_hello(), browser.node).await.unwrap();
    }
    send_until_refused(&node, &browser.leg, &attacker, &junk).await;
    assert_eq!(plain.count(), 0, "something was injected");
    // In mid-call, sound of others and of the phone itself once again.
    browser.connect().await;
    let last = browser.speak_until("the call", |browser| browser.hears(900.0) && hears(&plain, 500.0)).await;
    let received = received_when_read(&node, &browser.leg).await;
    send_until_refused(&node, &browser.leg, &attacker, &junk).await;
    send_until_refused(&node, &browser.leg, &attacker, &vec![last.clone(); 10]).await;
    send_until_refused(&node, &browser.leg, &browser.socket, &vec![last; 10]).await;
    // A packet under the right key counts from a checked address alone.
    let stolen = vec![browser.next_packet()];
    send_until_refused(&node, &browser.leg, &attacker, &stolen).await;
    assert_eq!(stats(&node, &browser.leg).await.packets_received, received);
    let mut nothing = [0; 2000];
    assert!(attacker.try_recv(&mut nothing).is_err(), "the attacker was sent something");
}

fn client_hello() -> Vec<u8> {
    use dimpl::{Config, Dtls, Output, certificate};
    let certificate = certificate::generate_self_signed_certificate().unwrap();
    let mut dtls = Dtls::new_auto(Arc::new(Config::default()), certificate, std::time::Instant::now());
    dtls.set_active(true);
    dtls.handle_timeout(std::time::Instant::now()).unwrap();
    let mut buffer = [0; 2048];
    match dtls.poll_output(&mut buffer) {
        Output::Packet(packet) => packet.to_vec(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checked_browser_may_move_while_it_speaks() {
    let node = node().await;
    let mut browser = BrowserPhone::offer(&node, 1, BROWSER, 500.0).await;
    let plain = Phone::call(&node, 2, Law::Mu, 900.0, 20).await;
    node.connect(&browser.leg, To::PeerLegId(plain.leg.clone())).await;
    browser.connect().await;
    browser.speak_until("the call", |browser| browser.hears(900.0)).await;
    browser.socket = Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap());
    browser.check().await;
    plain.forget();
    browser.speak_until("the call goes on", |_| hears(&plain, 500.0)).await;
    let mut buffer = [0; 2000];
    until("sound at the new address", async || browser.socket.try_recv(&mut buffer).ok()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_certificate_than_described_ends_the_leg_and_says_why() {
    let node = node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest::default())).await.unwrap().into_inner();
    let browser = BrowserPhone::offer_as(&node, 1, BROWSER, 500.0, |offer| {
        offer.dtls.as_mut().unwrap().fingerprints[0].value = vec![7; 32];
    })
    .await;
    let leg = browser.leg.clone();
    let shaking = tokio::spawn(async move {
        let mut browser = browser;
        browser.connect().await;
    });
    let failed = tokio::time::timeout(PATIENCE, async {
        loop {
            if let Some(pb::media_event::Kind::LegFailed(failed)) = events.next().await.unwrap().unwrap().kind
            {
                return failed;
            }
        }
    });
    let failed = failed.await.expect("the failure is told");
    shaking.abort();
    assert_eq!(failed.leg_id, leg);
    assert!(failed.reason.contains("certificate"), "{}", failed.reason);
    assert!(node.leg(&leg).await.is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_decides() {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
    let offer = BrowserPhone::describe(&socket, &certificate, BROWSER);
    for (srtp, ice, taken) in [
        (Srtp::Optional, Ice::Lite, Some(true)),
        (Srtp::Required, Ice::Off, Some(false)),
        (Srtp::Off, Ice::Lite, None),
    ] {
        let node = node_with(|config| (config.srtp, config.ice) = (srtp, ice)).await;
        let made = node.media.create_leg(Request::new(create(1, Some(offer.clone())))).await;
        let with_ice = made.ok().map(|made| made.into_inner().local.unwrap().ice.is_some());
        assert_eq!(with_ice, taken, "{srtp:?} {ice:?}");
        let request = pb::CreateLegRequest { browser: true, ..create(2, None) };
        let ours = node.media.create_leg(Request::new(request)).await.unwrap().into_inner().local.unwrap();
        assert_eq!((ours.dtls.is_some(), ours.ice.is_some()), (taken.is_some(), taken == Some(true)));
    }
}
