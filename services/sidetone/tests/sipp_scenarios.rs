//! sipp with scenarios of our own (`tests/sipp`), and sipsak. Skipped, with the reason printed, where they are not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use support::kamailio::Sipp;
use support::operations::{does, legs};
use support::phones::{call, hears, registered};
use support::process::{Installation, free_port, tls_listener};
use support::tls_tunnel::TlsTunnel;

fn skipped(program: &str) -> bool {
    let found = Command::new(program).arg("-h").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: {program} is not installed (apt install sip-tester sipsak)");
    }
    found.is_err()
}

fn installation() -> Installation {
    Installation::with_seed("[[seed.tenants.numbers]]\nnumber = \"9199\"\nwait = true\nopen = true\n")
}

/// Runs one scenario once, from a port, against the installation.
fn start(installation: &Installation, folder: &Path, scenario: &str, port: u16, more: &[&str]) -> Sipp {
    start_at(installation.sip, folder, scenario, port, more)
}

/// The same against the server at an address.
fn start_at(server: SocketAddr, folder: &Path, scenario: &str, port: u16, more: &[&str]) -> Sipp {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
    let (file, server) = (file.display().to_string(), server.to_string());
    let mut arguments = vec!["-sf", &file, "-m", "1", "-trace_msg", "-message_file", "messages.log"];
    arguments.extend(more);
    arguments.push(&server);
    Sipp::start(folder, SocketAddr::from(([127, 0, 0, 1], port)), &arguments)
}

/// The scenario is over, and everything in it was as it says.
fn succeeds(installation: &Installation, mut sipp: Sipp, scenario: &str, folder: &Path) {
    let status = sipp.wait();
    let messages = std::fs::read_to_string(folder.join("messages.log")).unwrap_or_default();
    assert!(status.success(), "{scenario}: {status}\n{}\n{messages}\n{}", sipp.errors(), installation.logs());
}

fn runs(installation: &Installation, scenario: &str, more: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let sipp = start(installation, folder.path(), scenario, free_port(), more);
    succeeds(installation, sipp, scenario, folder.path());
}

#[test]
fn a_phone_registers_and_calls_with_its_password_and_not_with_another() {
    if skipped("sipp") {
        return;
    }
    let installation = installation();
    let right = ["-s", "1001", "-au", "1001", "-ap", "secret-1001"];
    let wrong = ["-s", "1001", "-au", "1001", "-ap", "not-it"];
    runs(&installation, "register", &right);
    runs(&installation, "wrong-password", &wrong);
    let uri = format!("9198@{}", installation.sip);
    let of_call = |password| ["-auth_uri", &uri, "-au", "1001", "-ap", password];
    runs(&installation, "call-with-digest", &of_call("secret-1001"));
    runs(&installation, "call-refused", &of_call("not-it"));
    // As sipp does by itself: the digest's uri is the server, with its port and without a user.
    runs(&installation, "call-with-digest", &["-au", "1001", "-ap", "secret-1001"]);
    // As phones do: the domain where the Request-URI has an address, and parameters that it has not.
    let uri = "9198@acme.example:5061;transport=udp";
    runs(&installation, "call-with-digest", &["-auth_uri", uri, "-au", "1001", "-ap", "secret-1001"]);
    for uri in ["9197@acme.example", "9198@evil.example"] {
        let credentials = ["-auth_uri", uri, "-au", "1001", "-ap", "secret-1001"];
        runs(&installation, "call-digest-of-another", &credentials);
    }
    installation.wait_until("every call is over", || installation.calls().is_empty());
}

#[test]
fn reliable_ringing_changes_of_media_and_session_timers() {
    if skipped("sipp") {
        return;
    }
    let installation = installation();
    for scenario in ["prack", "reinvite", "session-timer"] {
        runs(&installation, scenario, &[]);
    }
    installation.wait_until("every call is over", || installation.calls().is_empty());
}

/// Debian's sipp is built without TLS: what it says goes through a tunnel that speaks it.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_over_tls() {
    if skipped("sipp") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (section, tls) = tls_listener(folder.path());
    let open = "[[seed.tenants.numbers]]\nnumber = \"9199\"\nwait = true\nopen = true\n";
    let installation = Installation::one_process_with("", open, &section);
    let tunnel = TlsTunnel::to(tls.parse().unwrap(), &folder.path().join("sip.crt")).await;
    let uri = format!("9198@{}", tunnel.entrance);
    let of_call = |password| ["-auth_uri", &uri, "-au", "1001", "-ap", password];
    let of_phone = |password| ["-s", "1001", "-au", "1001", "-ap", password];
    let (right, wrong) = (of_phone("secret-1001"), of_phone("not-it"));
    let (called, refused) = (of_call("secret-1001"), of_call("not-it"));
    let scenarios: [(&str, &[&str]); 7] = [
        ("register", &right),
        ("wrong-password", &wrong),
        ("call-with-digest", &called),
        ("call-refused", &refused),
        ("prack", &[]),
        ("reinvite", &[]),
        ("session-timer", &[]),
    ];
    for (scenario, more) in scenarios {
        let more = [more, &["-t", "t1"][..]].concat();
        tokio::task::block_in_place(|| {
            let folder = tempfile::tempdir().unwrap();
            let sipp = start_at(tunnel.entrance, folder.path(), scenario, free_port(), &more);
            succeeds(&installation, sipp, scenario, folder.path());
        });
    }
    assert_eq!(tunnel.opened(), scenarios.len());
    tokio::task::block_in_place(|| {
        let registered = installation.json(&["directory", "registrations"]).to_string();
        assert!(registered.contains("transport=tls") || registered.contains("TLS"), "{registered}");
        installation.wait_until("every call is over", || installation.calls().is_empty());
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_passes_its_call_on_by_refer() {
    if skipped("sipp") {
        return;
    }
    let installation = installation();
    let ben = registered(&installation, "1002", 700.0).await;
    let uri = format!("1002@{}", installation.sip);
    let credentials = ["-auth_uri", &uri, "-au", "1001", "-ap", "secret-1001"];
    tokio::task::block_in_place(|| runs(&installation, "refer", &credentials));
    // Ben hears himself by the echo number.
    let passed_on = ben.calls().pop().expect("it is in the call");
    hears(&installation, &passed_on, 700.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_diverted_phone_sends_its_caller_elsewhere() {
    if skipped("sipp") {
        return;
    }
    let installation = installation();
    let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
    let credentials = ["-s", "1002", "-au", "1002", "-ap", "secret-1002"];
    let register = start(&installation, folder.path(), "register", port, &credentials);
    succeeds(&installation, register, "register", folder.path());
    let diverted = start(&installation, folder.path(), "redirect", port, &[]);
    let ada = registered(&installation, "1001", 440.0).await;
    let echoed = call(&installation, &ada, "1002").await;
    hears(&installation, &echoed, 440.0).await;
    succeeds(&installation, diverted, "redirect", folder.path());
}

#[test]
fn an_application_tells_a_caller_to_call_elsewhere() {
    if skipped("sipp") {
        return;
    }
    let installation = installation();
    let folder = tempfile::tempdir().unwrap();
    let caller = start(&installation, folder.path(), "deflected", free_port(), &[]);
    let waiting = |leg: &serde_json::Value| leg["incoming"] == true;
    installation.wait_until("it waits", || legs(&installation, waiting).len() == 1);
    does(&installation, &["deflect", &legs(&installation, waiting)[0], "9196"]);
    succeeds(&installation, caller, "deflected", folder.path());
    installation.wait_until("it is gone", || installation.calls().is_empty());
}

#[test]
fn sipsak_asks_for_life_and_registers() {
    if skipped("sipsak") {
        return;
    }
    let installation = installation();
    let sipsak = |arguments: &[&str]| {
        let output = Command::new("sipsak").args(arguments).stdin(Stdio::null()).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let problem = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success(),
            "{arguments:?}: {}\n{text}\n{problem}\n{}",
            output.status,
            installation.logs()
        );
    };
    let proxy = installation.sip.to_string();
    // An OPTIONS to an address, and not to a domain, is a scanner's and gets no answer.
    sipsak(&["-v", "-p", &proxy, "-s", "sip:9196@acme.example"]);
    let (aor, contact) = (format!("sip:1003@{proxy}"), format!("sip:1003@127.0.0.1:{}", free_port()));
    sipsak(&["-v", "-i", "-U", "-C", &contact, "-x", "60", "-u", "1003", "-a", "secret-1003", "-s", &aor]);
    let registered = installation.json(&["directory", "registrations"]);
    assert!(registered.to_string().contains("user1003"), "{registered}");
}
