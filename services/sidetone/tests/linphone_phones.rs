//! A second stack beside baresip: linphonec from Debian's packages. Skipped, with the reason printed, where it is not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use support::linphone::{self, Linphone, Setup};
use support::process::{Installation, tls_listener};

const PLAIN: Setup<'static> = Setup {
    number: "1001",
    transport: "udp",
    server: "",
    codec: "opus",
    tone_hz: 440,
    encryption: "none",
    ice: false,
    answers: true,
};

fn skipped() -> bool {
    let missing = !linphone::is_installed();
    if missing {
        eprintln!("SKIPPED: linphonec is not installed (apt install linphone-cli)");
    }
    missing
}

#[test]
fn a_call_is_held_taken_back_and_transferred() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let server = installation.sip.to_string();
    let mut ada = Linphone::start(&Setup { server: &server, ..PLAIN });
    let ben = Linphone::start(&Setup {
        number: "1002",
        transport: "tcp",
        codec: "PCMA",
        tone_hz: 700,
        server: &server,
        ..PLAIN
    });
    let mut cleo =
        Linphone::start(&Setup { number: "1003", codec: "G722", tone_hz: 1150, server: &server, ..PLAIN });
    ada.command("call sip:1002@127.0.0.1");
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ada.wait_until_it_hears_no(440);
    ada.command("pause");
    ada.wait_for_log("to LinphoneCallPaused");
    ben.wait_until_it_hears_no(440);
    ada.command("resume");
    ben.wait_until_it_hears(440);
    ada.wait_until_it_hears(700);
    // Blind: Ben is brought to Cleo, and Ada is out.
    ada.command("transfer sip:1003@127.0.0.1");
    cleo.wait_until_it_hears(700);
    ben.wait_until_it_hears(1150);
    ada.wait_for_log("to LinphoneCallReleased");
    installation.wait_until("one call is left", || installation.calls().len() == 1);
    cleo.command("terminate");
    ben.wait_for_log("to LinphoneCallReleased");
    installation.wait_until("the call is over", || installation.calls().is_empty());
}

#[test]
fn two_calls_are_joined_by_an_attended_transfer() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let server = installation.sip.to_string();
    let mut ada = Linphone::start(&Setup { server: &server, codec: "PCMU", ..PLAIN });
    let ben =
        Linphone::start(&Setup { number: "1002", codec: "PCMU", tone_hz: 700, server: &server, ..PLAIN });
    let cleo =
        Linphone::start(&Setup { number: "1003", codec: "PCMU", tone_hz: 1150, server: &server, ..PLAIN });
    ada.command("call sip:1002@127.0.0.1");
    ben.wait_until_it_hears(440);
    ada.command("pause");
    ada.wait_for_log("to LinphoneCallPaused");
    ada.command("call sip:1003@127.0.0.1");
    cleo.wait_until_it_hears(440);
    ada.command("transfer 1 --to-call 2");
    ben.wait_until_it_hears(1150);
    cleo.wait_until_it_hears(700);
    cleo.wait_until_it_hears_no(440);
    installation.wait_until("one call is left", || installation.calls().len() == 1);
}

#[test]
fn every_codec_of_its_comes_back_from_the_echo() {
    if skipped() {
        return;
    }
    let installation = Installation::one_process();
    let server = installation.sip.to_string();
    let phones = [("1001", "opus"), ("1002", "PCMU"), ("1003", "PCMA"), ("1004", "GSM"), ("1005", "G722")];
    let mut phones =
        phones.map(|(number, codec)| Linphone::start(&Setup { number, codec, server: &server, ..PLAIN }));
    for phone in &mut phones {
        phone.command("call sip:9196@127.0.0.1");
    }
    for phone in &phones {
        phone.wait_until_it_hears(440);
    }
    for phone in &mut phones {
        phone.command("terminate");
    }
    installation.wait_until("every call is over", || installation.calls().is_empty());
}

#[test]
fn tls_srtp_and_ice() {
    if skipped() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (section, tls) = tls_listener(folder.path());
    let installation = Installation::one_process_with("", "", &section);
    let plain = installation.sip.to_string();
    let secure = Setup { transport: "tls", encryption: "srtp", ice: true, server: &tls, ..PLAIN };
    let mut ada = Linphone::start(&Setup { codec: "PCMU", ..secure });
    let mut ben =
        Linphone::start(&Setup { number: "1002", codec: "PCMU", tone_hz: 700, server: &plain, ..PLAIN });
    ada.command("call sip:1002@127.0.0.1");
    ada.wait_until_it_hears(700);
    ben.wait_until_it_hears(440);
    ada.command("terminate");
    installation.wait_until("the call is over", || installation.calls().is_empty());
    // And to the secure phone, over the connection that it opened.
    ben.command("call sip:1001@127.0.0.1");
    ben.wait_until_it_hears(440);
    assert!(ada.log().contains("RTP/SAVP"), "no SRTP was spoken\n{}", ada.log());
    assert!(!installation.logs().contains("inline:"), "a key in the log");
}
