//! Phones subscribe to their mailbox (RFC 6665, RFC 3842): the testkit's, sipp by a scenario, and baresip by itself.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use sidetone_testkit::phone::Phone;
use support::baresip::{self, Baresip, Setup};
use support::kamailio::Sipp;
use support::phones::{eventually, registered};
use support::process::{Installation, free_port};
use support::voicemail::{SEED, leave_message, messages};

/// What a phone was told by NOTIFYs: Subscription-State, and the line of the body that begins so; oldest first.
fn told(phone: &Phone, line: &str) -> Vec<(String, String)> {
    let trace = phone.trace();
    let notified = trace.iter().filter(|entry| entry.contains("NOTIFY sip:"));
    let find = |entry: &String, start: &str| {
        let found = entry.lines().find_map(|line| line.strip_prefix(start));
        found.map(|value| value.trim().to_owned())
    };
    notified.filter_map(|entry| Some((find(entry, "Subscription-State: ")?, find(entry, line)?))).collect()
}

async fn shows(installation: &Installation, phone: &Phone, last: &str) {
    eventually(installation, &format!("the phone is told {last}"), || {
        told(phone, "Voice-Message: ").last().is_some_and(|(_, line)| line == last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_that_has_subscribed_is_told_at_every_change_also_after_a_restart() {
    let mut installation = Installation::with_seed(SEED);
    installation.command(&["directory", "put-user", "user1002", "--message-waiting", "subscribed"]).unwrap();
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = registered(&installation, "1002", 700.0).await;
    ben.subscribe("1002", "message-summary", 600).await.unwrap();
    shows(&installation, &ben, "0/0 (0/0)").await;
    leave_message(&installation, &ada).await;
    shows(&installation, &ben, "1/0 (0/0)").await;
    let message = messages(&installation).remove(0);

    // The subscription is in the store: the phone need not do anything.
    let serve = installation.serve.as_mut().unwrap();
    serve.kill();
    serve.restart();
    serve.wait_until_ready();
    installation.command(&["voicemail", "heard", "user1002", &message]).unwrap();
    shows(&installation, &ben, "0/1 (0/0)").await;
    installation.command(&["voicemail", "delete", "user1002", &message]).unwrap();
    shows(&installation, &ben, "0/0 (0/0)").await;
    let all = told(&ben, "Voice-Message: ");
    assert!(all.iter().all(|(state, _)| state.starts_with("active;expires=")), "none outside of it: {all:?}");
    assert_eq!(told(&ada, "Voice-Message: "), [], "it is nobody else's affair");
    let refused = ada.subscribe("1002", "message-summary", 600).await.unwrap_err();
    assert!(refused.to_string().contains("403"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_somebody_else_makes_subscribes_refreshes_and_ends_it() {
    let found = Command::new("sipp").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: sipp is not installed (apt install sip-tester)");
        return;
    }
    let installation = Installation::with_seed(SEED);
    let folder = tempfile::tempdir().unwrap();
    for scenario in ["subscribe", "subscribe-bad-event"] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
        let (file, server) = (file.display().to_string(), installation.sip.to_string());
        let credentials = ["-s", "1002", "-au", "1002", "-ap", "secret-1002"];
        let mut arguments = vec!["-sf", &file, "-m", "1", "-trace_msg", "-message_file", "messages.log"];
        arguments.extend(credentials);
        arguments.push(&server);
        let local = SocketAddr::from(([127, 0, 0, 1], free_port()));
        tokio::task::block_in_place(|| {
            let mut sipp = Sipp::start(folder.path(), local, &arguments);
            let status = sipp.wait();
            let messages = std::fs::read_to_string(folder.path().join("messages.log")).unwrap_or_default();
            let errors = sipp.errors();
            assert!(status.success(), "{scenario}: {status}\n{errors}\n{messages}\n{}", installation.logs());
        });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn baresip_sees_a_message_that_was_left() {
    if !baresip::is_installed() {
        eprintln!("SKIPPED: baresip is not installed (apt install baresip-core)");
        return;
    }
    let installation = Installation::with_seed(SEED);
    installation.command(&["directory", "put-user", "user1002", "--message-waiting", "subscribed"]).unwrap();
    let ada = registered(&installation, "1001", 440.0).await;
    let setup = Setup {
        encryption: "",
        number: "1002",
        password: "secret-1002",
        transport: "udp",
        server: &installation.sip.to_string(),
        codec: "PCMA",
        tone_hz: 700,
    };
    let phone = tokio::task::block_in_place(|| {
        let phone = Baresip::start_with(&setup, &["mwi"]);
        phone.wait_until_registered();
        phone.wait_for_log("Voice-Message: 0/0");
        phone
    });
    leave_message(&installation, &ada).await;
    tokio::task::block_in_place(|| phone.wait_for_log("Voice-Message: 1/0"));
}
