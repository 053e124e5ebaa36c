//! Phones of both IP versions call each other: each leg has its audio on the network of its own version.
#![allow(clippy::unwrap_used, reason = "a test says with a panic what went wrong")]

use crate::support;

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use sidetone_testkit::phone::{Phone, PhoneConfig, PhoneError};
use support::phones::{call, eventually, hears, registered};
use support::process::{Installation, free_port};

/// An installation that listens on ::1 too, and where; none on a machine without IPv6.
fn with_six(realm: &str) -> Option<(Installation, SocketAddr)> {
    if UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_err() {
        eprintln!("SKIPPED: this machine has no IPv6 loopback address");
        return None;
    }
    let sip = SocketAddr::from((Ipv6Addr::LOCALHOST, free_port()));
    let sections = format!("[[signalling.listeners]]\ntransport = \"udp\"\nbind = \"{sip}\"\n{realm}");
    Some((Installation::one_process_with("", "", &sections), sip))
}

async fn phone_of_six(sip: SocketAddr, number: &str, tone_hz: f32) -> Phone {
    let password = format!("secret-{number}");
    let config = PhoneConfig::new(sip, "acme.example", number, &password).with_tone(tone_hz);
    let phone = Phone::start(PhoneConfig { auto_answer: true, ..config }).await.unwrap();
    phone.register().await.unwrap();
    phone
}

#[tokio::test(flavor = "multi_thread")]
async fn phones_of_both_ip_versions_hear_each_other() {
    let realm = "[[media.realms]]\nname = \"six\"\nbind_ip = \"::1\"\nport_min = 0\n";
    let Some((installation, sip)) = with_six(realm) else { return };
    let four = registered(&installation, "1001", 440.0).await;
    let six = phone_of_six(sip, "1002", 800.0).await;
    for (caller, callee, number, tones) in
        [(&four, &six, "1002", (440.0, 800.0)), (&six, &four, "1001", (800.0, 440.0))]
    {
        let calling = call(&installation, caller, number).await;
        let called = callee.calls().pop().unwrap();
        hears(&installation, &calling, tones.1).await;
        hears(&installation, &called, tones.0).await;
        calling.hang_up().await.unwrap();
        eventually(&installation, "no call is left", || installation.calls().is_empty()).await;
    }
    let room = call(&installation, &six, "3000").await;
    let other = call(&installation, &four, "3000").await;
    hears(&installation, &room, 440.0).await;
    hears(&installation, &other, 800.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_network_of_its_ip_version_a_phone_is_refused_and_told_why() {
    let Some((installation, sip)) = with_six("") else { return };
    let six = phone_of_six(sip, "1002", 800.0).await;
    match six.call("9196").await {
        Err(PhoneError::Refused { status: 488, .. }) => {}
        other => panic!("{:?}\n{}", other.map(drop), installation.logs()),
    }
    let cdrs = installation.command(&["cdrs", "--output", "csv"]).unwrap();
    assert!(cdrs.contains("media.realms"), "{cdrs}");
}
