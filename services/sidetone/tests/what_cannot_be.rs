//! What cannot be recorded or heard is told to whoever can put it right: before a call where that can be known, and in the call
//! and the log where not.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::operations::{ended_by_far_end, leg, no_longer_hears, silent, talking};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;
use support::voicemail;

/// The busy, congestion and ringing tones of ITU-T E.180.
const TONE_HZ: f32 = 425.0;

fn program(arguments: &[&str]) -> (Option<i32>, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_sidetone")).args(arguments).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// What a client command says although it did what was asked.
fn warned(installation: &Installation, arguments: &[&str]) -> String {
    let server = installation.grpc.to_string();
    let mut child = Command::new(env!("CARGO_BIN_EXE_sidetone"))
        .args(arguments)
        .args(["--tenant", "acme", "--server", &server])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // One that asks for no secret may be over before it is written.
    let _ = child.stdin.take().unwrap().write_all(b"a secret of more than sixteen bytes\n");
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
    assert!(output.status.success(), "{text}");
    text
}

/// The record of the call that ended last.
async fn record_of_call(installation: &Installation, cause: &str) -> Value {
    let mut found = Value::Null;
    eventually(installation, &format!("a record of a call that ended by {cause}"), || {
        let cdrs = installation.json(&["cdrs"]);
        let of_call = |cdr: &&Value| cdr["kind"] == "KIND_CALL" && cdr["cause"] == cause;
        found = cdrs.as_array().unwrap().iter().rev().find(of_call).cloned().unwrap_or_default();
        !found.is_null()
    })
    .await;
    found
}

#[test]
fn a_folder_that_cannot_be_written_to_and_a_prompt_that_is_not_there_are_told_before_the_first_call() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    let path = file.to_str().unwrap();
    let config = "[grpc]\nbind = \"127.0.0.1:0\"\n[http]\nbind = \"127.0.0.1:0\"\n[admin]\nbind = \"127.0.0.1:0\"\n\
        [[signalling.listeners]]\ntransport = \"udp\"\nbind = \"127.0.0.1:0\"\n[[media.realms]]\nport_min = 0\n";
    let recordings =
        |at: &str| format!("{config}[media]\nrecordings_free_min_mb = 0\nrecordings_dir = {at:?}\n");
    let config = recordings("/proc/nope").replace("[[media.realms]]\nport_min = 0\n", "");
    std::fs::write(&file, &config).unwrap();
    for arguments in [["check-config", path], ["serve", "--config"]] {
        let serve = [&arguments[..], &[path]].concat();
        let (code, text) = program(if arguments[0] == "serve" { &serve } else { &arguments });
        assert_ne!(code, Some(0), "{text}");
        assert!(text.contains("media.recordings_dir") && text.contains("/proc/nope"), "{text}");
    }
    let good = config.replace("/proc/nope", folder.path().join("new/one").to_str().unwrap());
    let odd = "[call_control]\nhold_prompt = \"nomusic\"\n[[seed.tenants]]\ntenant = \"acme\"\n\
        [[seed.tenants.numbers]]\nnumber = \"1\"\nroom = \"nowhere\"\n[[seed.tenants.numbers]]\nnumber = \"2\"\nannouncement = \"nosuch\"\n";
    std::fs::write(&file, good + odd).unwrap();
    let (code, text) = program(&["check-config", path]);
    assert_eq!(code, Some(0), "{text}");
    for told in [
        "call_control.hold_prompt",
        "nomusic",
        "numbers[0].room",
        "nowhere",
        "numbers[1].announcement",
        "nosuch",
    ] {
        assert!(text.contains(told), "{told} in {text}");
    }
    assert!(!folder.path().join("new").exists(), "looking makes nothing");

    std::fs::write(&file, "[log]\nfilter = \"verbose\"\n[media]\nlegs = 1\ncodecs = [\"g729\"]\n").unwrap();
    let (code, text) = program(&["check-config", path]);
    assert_eq!(code, Some(78), "{text}");
    for key in ["log.filter", "media.legs", "media.codecs"] {
        assert!(text.contains(key), "{key} is not named in: {text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_recorded_hears_so_and_the_log_names_the_folder() {
    let installation = Installation::with_seed(voicemail::SEED);
    // The disk is gone, as far as can be had by whoever may do everything: a file stands where the folder was.
    let folder = installation.folder.path().join("recordings");
    std::fs::rename(&folder, installation.folder.path().join("away")).unwrap();
    std::fs::write(&folder, "").unwrap();

    let ada = registered(&installation, "1001", 440.0).await;
    let at_ada = call(&installation, &ada, "9302").await;
    let id = installation.calls().remove(0);
    hears(&installation, &at_ada, TONE_HZ).await;
    ended_by_far_end(&at_ada).await;
    let record = record_of_call(&installation, "internal").await;
    assert!(record["text"].as_str().unwrap().contains("cannot be recorded"), "{record}");
    let told = installation.logs();
    let line = told.lines().find(|line| line.contains("a recording cannot be begun")).expect(&told);
    assert!(line.contains(&id) && line.contains(folder.to_str().unwrap()), "{line}");
    assert!(!sidetone_telemetry::redact::looks_personal(line), "{line}");

    let talk = call(&installation, &ada, "9196").await;
    let id = installation.calls().remove(0);
    let failed = installation.command(&["calls", "record", &id]).unwrap_err();
    assert!(failed.contains("has failed"), "{failed}");
    talk.hang_up().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_announcement_that_nobody_can_play_is_refused_or_told() {
    let seed = "[[seed.tenants.numbers]]\nnumber = \"9305\"\nannouncement = \"nosuchprompt\"\n";
    let installation = Installation::with_seed(seed);
    let put = |number: &str, prompt: &str| {
        installation.command(&["directory", "put-number", number, "--announcement", prompt])
    };
    let refused = put("1051", "neverheard").unwrap_err();
    assert!(refused.contains("neverheard") && refused.contains("media.prompts_dir"), "{refused}");
    put("1051", "welcome").unwrap();
    put("1052", "tone:busy/se").unwrap();

    let ada = registered(&installation, "1001", 440.0).await;
    let at_ada = call(&installation, &ada, "9305").await;
    ended_by_far_end(&at_ada).await;
    let record = record_of_call(&installation, "prompt_missing").await;
    assert!(record["text"].as_str().unwrap().contains("prompt"), "{record}");
    eventually(&installation, "the log names the prompt, at the start and in the call", || {
        let log = installation.logs();
        let named = log.lines().filter(|line| line.contains("nosuchprompt"));
        named.filter(|line| line.contains("cannot be played")).count() >= 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whose_call_is_passed_on_hears_the_next_phone_ring() {
    let installation = Installation::one_process();
    let (_ada, _ben, at_ada, _at_ben) = talking(&installation).await;
    let cid = silent(&installation, "1003").await;
    let of_ben = leg(&installation, "1002");
    installation.command(&["calls", "transfer", &of_ben, "1003"]).unwrap();
    let incoming = cid.next_incoming().await.unwrap();
    incoming.ring();
    hears(&installation, &at_ada, TONE_HZ).await;
    let at_cid = incoming.answer().unwrap();
    no_longer_hears(&installation, &at_ada, TONE_HZ).await;
    hears(&installation, &at_cid, 440.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_nobody_has_is_told_apart_from_one_without_calls() {
    let installation = Installation::one_process();
    for arguments in [
        &["calls"][..],
        &["cdrs"],
        &["conferences"],
        &["recordings"],
        &["voicemail", "list", "user1001"],
        &["events", "--limit", "1"],
        &["outbox", "owed"],
        &["outbox", "dead"],
        &["directory", "users"],
        &["directory", "numbers"],
        &["directory", "trunks", "list"],
    ] {
        let unknown = installation.command_as(&[arguments, &["--tenant", "nosuch"]].concat());
        assert!(unknown.as_ref().is_err_and(|told| told.contains("tenant")), "{arguments:?}: {unknown:?}");
    }
    for quiet in [&["calls"][..], &["cdrs"], &["recordings"], &["voicemail", "list", "user1001"]] {
        installation.command(quiet).unwrap();
    }
    let nobody = installation.command(&["voicemail", "list", "nobody"]).unwrap_err();
    assert!(nobody.contains("no user nobody"), "{nobody}");
    let number = installation.command(&["voicemail", "list", "1002"]).unwrap_err();
    assert!(number.contains("user1002"), "{number}");

    let put = ["directory", "trunks", "put", "c1", "--uri", "sip:192.0.2.7"];
    let lost = warned(
        &installation,
        &[&put[..], &["--route", "0", "--outbound", "00,2,+", "--outbound", "0,1,+49"]].concat(),
    );
    assert!(lost.contains("warning") && lost.contains("--route +49"), "{lost}");
    let good = warned(&installation, &[&put[..], &["--route", "+", "--outbound", "00,2,+"]].concat());
    assert!(!good.contains("warning"), "{good}");
    let put = [
        "directory",
        "applications",
        "put",
        "team-9",
        "--kind",
        "bot",
        "--bot",
        "b",
        "--secret-stdin",
        "--event-url",
    ];
    let inside = warned(&installation, &[&put[..], &["http://127.0.0.1:9/"]].concat());
    assert!(inside.contains("outbox.allowed_networks"), "{inside}");
    let outside = warned(&installation, &[&put[..], &["https://team.example/"]].concat());
    assert!(!outside.contains("warning"), "{outside}");
}
