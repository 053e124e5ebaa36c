//! Phones show that voicemail messages wait: they are told when that changes, when they register, and after a restart.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use sidetone_testkit::phone::Phone;
use support::kamailio::Sipp;
use support::phones::{eventually, registered};
use support::process::{Installation, free_port};
use support::voicemail::{SEED, leave_message, messages};

/// What a phone was told of its messages, oldest first.
fn told(phone: &Phone) -> Vec<String> {
    let trace = phone.trace();
    // One that comes again, because its answer was late, tells nothing new.
    let mut seen = BTreeSet::new();
    let mut is_new = |entry: &str| {
        let is_own = |line: &&str| line.starts_with("Call-ID:") || line.starts_with("CSeq:");
        seen.insert(entry.lines().filter(is_own).map(str::to_owned).collect::<Vec<_>>())
    };
    let notified = trace
        .iter()
        .filter(|entry| entry.contains("NOTIFY sip:") && entry.contains("message-summary") && is_new(entry));
    let lines =
        notified.filter_map(|entry| entry.lines().find_map(|line| line.strip_prefix("Voice-Message: ")));
    lines.map(|line| line.trim().to_owned()).collect()
}

async fn shows(installation: &Installation, phone: &Phone, last: &str) {
    eventually(installation, &format!("the phone is told {last}"), || {
        told(phone).last().is_some_and(|line| line == last)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_phone_of_the_user_is_told_at_every_change_and_when_it_registers() {
    let mut installation = Installation::with_seed(SEED);
    let ada = registered(&installation, "1001", 440.0).await;
    let ben = registered(&installation, "1002", 700.0).await;
    leave_message(&installation, &ada).await;
    shows(&installation, &ben, "1/0 (0/0)").await;
    // A registration that is refreshed is told nothing that it knows.
    ben.register().await.unwrap();
    let message = messages(&installation).remove(0);
    installation.command(&["voicemail", "heard", "user1002", &message]).unwrap();
    shows(&installation, &ben, "0/1 (0/0)").await;
    assert_eq!(told(&ben), ["1/0 (0/0)", "0/1 (0/0)"]);
    // A new phone in its place hears of it as soon as it has registered.
    let second = registered(&installation, "1002", 900.0).await;
    shows(&installation, &second, "0/1 (0/0)").await;

    // What waits is in the log: a phone that registers after a restart is told.
    let serve = installation.serve.as_mut().unwrap();
    serve.kill();
    serve.restart();
    serve.wait_until_ready();
    let third = registered(&installation, "1002", 900.0).await;
    shows(&installation, &third, "0/1 (0/0)").await;
    installation.command(&["voicemail", "delete", "user1002", &message]).unwrap();
    shows(&installation, &third, "0/0 (0/0)").await;
    assert_eq!(told(&ada), Vec::<String>::new(), "it is nobody else's affair");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_of_somebody_else_makes_understands_it() {
    let found = Command::new("sipp").arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: sipp is not installed (apt install sip-tester)");
        return;
    }
    let installation = Installation::with_seed(SEED);
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let start = |scenario: &str, more: &[&str]| {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
        let (file, server) = (file.display().to_string(), installation.sip.to_string());
        let mut arguments = vec!["-sf", &file, "-m", "1", "-trace_msg", "-message_file", "messages.log"];
        arguments.extend(more);
        arguments.push(&server);
        Sipp::start(folder.path(), SocketAddr::from(([127, 0, 0, 1], port)), &arguments)
    };
    let ends_well = |mut sipp: Sipp| {
        let status = sipp.wait();
        let messages = std::fs::read_to_string(folder.path().join("messages.log")).unwrap_or_default();
        assert!(status.success(), "{status}\n{}\n{messages}\n{}", sipp.errors(), installation.logs());
    };
    let credentials = ["-s", "1002", "-au", "1002", "-ap", "secret-1002"];
    tokio::task::block_in_place(|| ends_well(start("register", &credentials)));
    let lamp = start("message-waiting", &[]);
    let ada = registered(&installation, "1001", 440.0).await;
    leave_message(&installation, &ada).await;
    tokio::task::block_in_place(|| ends_well(lamp));
}
