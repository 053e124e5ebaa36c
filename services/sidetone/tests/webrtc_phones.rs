//! A second WebRTC stack (aiortc: OpenSSL's DTLS, libsrtp, aioice, libopus) calls and is called over a WebSocket, with digest, and
//! hears and is heard in Opus. Skipped, with the reason printed, where it is not installed; `.ci/run` installs it.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;
use std::path::PathBuf;

use support::baresip::{self, Baresip, Setup};
use support::process::{Installation, free_port};
use support::webrtc::{WebPhone, python};

fn skipped() -> Option<PathBuf> {
    let python = python();
    if python.is_none() {
        eprintln!("SKIPPED: aiortc is not installed (pip install aiortc websockets)");
    }
    python
}

/// An installation with a door for browsers.
fn installation() -> (Installation, SocketAddr) {
    let door = SocketAddr::from(([127, 0, 0, 1], free_port()));
    let listener = format!("[[signalling.listeners]]\ntransport = \"ws\"\nbind = \"{door}\"\n");
    (Installation::one_process_with("", "", &listener), door)
}

#[test]
fn a_webrtc_phone_hears_itself_at_the_echo_number() {
    let Some(python) = skipped() else { return };
    let (installation, door) = installation();
    let mut phone = WebPhone::start(&python, door, "1001", 440, Some("9196"));
    phone.wait_for("CONNECTED");
    phone.wait_until_it_hears(440);
    let serve = installation.serve.as_ref().unwrap();
    assert_eq!(serve.metric("sidetone_media_dtls_handshakes_total"), 1.0);
    assert!(serve.metric("sidetone_media_ice_messages_total") >= 1.0);
    let logs = installation.logs();
    assert!(!logs.contains("ice-pwd") && !logs.contains("fingerprint"), "more in the log than belongs there");
    phone.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[test]
fn webrtc_phones_call_each_other() {
    let Some(python) = skipped() else { return };
    let (installation, door) = installation();
    let callee = WebPhone::start(&python, door, "1002", 700, None);
    callee.wait_for("REGISTERED");
    let mut caller = WebPhone::start(&python, door, "1001", 440, Some("1002"));
    caller.wait_until_it_hears(700);
    callee.wait_until_it_hears(440);
    caller.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[test]
fn a_webrtc_phone_and_a_desk_phone_talk() {
    let Some(python) = skipped() else { return };
    if !baresip::is_installed() {
        eprintln!("SKIPPED: baresip is not installed (apt install baresip-core)");
        return;
    }
    let (installation, door) = installation();
    let desk = Baresip::start(&Setup {
        encryption: "",
        number: "1002",
        password: "secret-1002",
        transport: "udp",
        server: &installation.sip.to_string(),
        codec: "PCMA",
        tone_hz: 700,
    });
    desk.wait_until_registered();
    let mut web = WebPhone::start(&python, door, "1001", 440, Some("1002"));
    web.wait_until_it_hears(700);
    desk.wait_until_it_hears(440);
    web.hang_up();
    installation.wait_until("the call is over", || installation.calls().is_empty());
}
