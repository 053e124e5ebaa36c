//! STIR/SHAKEN between two installations, as two carriers would: one signs for its caller, the other judges and tells its phone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use sidetone_testkit::phone::{Phone, PhoneConfig};
use sidetone_testkit::stir::{Authority, CertificateServer, GoodFor, Issued};
use support::process::Installation;

/// Their folder has roots.pem, key.pem and cert.pem.
fn write(folder: &Path, authority: &Authority, issued: &Issued) {
    std::fs::write(folder.join("roots.pem"), authority.root_pem()).unwrap();
    std::fs::write(folder.join("key.pem"), &issued.key_pem).unwrap();
    std::fs::write(folder.join("cert.pem"), &issued.chain_pem).unwrap();
}

fn config(at: &Installation, number: &str) -> PhoneConfig {
    PhoneConfig::new(at.sip, "127.0.0.1", number, &format!("secret-{number}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_between_two_installations_is_signed_and_judged() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    let issued = authority.issue(GoodFor::Provider("709J")).unwrap();
    write(folder.path(), &authority, &issued);
    let server = CertificateServer::start().await.unwrap();
    let x5u = server.put("/cert.pem", issued.chain_pem.clone());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let allowed = "allowed_networks = [\"127.0.0.0/8\"]\ntimeout_ms = 10000";

    let trunk = "[[seed.tenants.trunks]]\ntrunk = \"first\"\nuri = \"sip:127.0.0.1:9\"\n\
                 inbound = [{ prefix = \"+49302\", strip = 6 }]\nstir_verify = \"mark\"\n";
    let sections = format!("[signalling.stir]\n{allowed}\ntrust = \"{}\"\n", file("roots.pem"));
    let second = Installation::one_process_with("", trunk, &sections);
    let trunk = format!(
        "[[seed.tenants.trunks]]\ntrunk = \"second\"\nuri = \"sip:{}\"\nroutes = [{{ prefix = \"+\" }}]\n\
         outbound = [{{ prefix = \"1\", prepend = \"+49301\" }}]\nstir_sign = \"shaken\"\n",
        second.sip
    );
    let sections = format!(
        "[signalling.stir]\n{allowed}\n[[signalling.stir.keys]]\nname = \"shaken\"\nkey = \"{}\"\ncert = \"{}\"\nx5u = \"{x5u}\"\n",
        file("key.pem"),
        file("cert.pem")
    );
    let first = Installation::one_process_with("", &trunk, &sections);

    let mut callee = config(&second, "1002");
    callee.auto_answer = true;
    let callee = Phone::start(callee).await.unwrap();
    callee.register().await.unwrap();
    let caller = Phone::start(config(&first, "1001")).await.unwrap();
    caller.register().await.unwrap();
    // The trunks are read a moment after the start; until then nobody takes the number.
    let mut call = caller.call("+493021002").await;
    for _ in 0..40 {
        if call.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
        call = caller.call("+493021002").await;
    }
    let call = call.unwrap();
    let invite = callee.trace().into_iter().find(|text| text.contains("INVITE sip:")).unwrap();
    assert!(invite.contains("+493011001;verstat=TN-Validation-Passed@"), "{invite}");
    let shown = second.command(&["calls", "show", &second.calls()[0]]).unwrap();
    assert!(shown.contains("vouched for: passed_a"), "{shown}");
    call.hang_up().await.unwrap();
    second.wait_until("the call's record", || {
        let cdrs = second.json(&["cdrs"]);
        cdrs.as_array().unwrap().iter().any(|cdr| cdr["kind"] == "KIND_CALL" && cdr["proof"] == "passed_a")
    });
    let signalling = second.serve.as_ref().unwrap();
    assert!(signalling.metric("sidetone_stir_verified_total") >= 1.0);
    assert!(first.serve.as_ref().unwrap().metric("sidetone_stir_signed_total") >= 1.0);
}

fn sidetone(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sidetone")).arg("stir").args(arguments).output().unwrap()
}

#[test]
fn the_command_line_signs_and_says_what_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new().unwrap();
    write(folder.path(), &authority, &authority.issue(GoodFor::Provider("709J")).unwrap());
    let file = |name: &str| folder.path().join(name).display().to_string();
    let (key, cert, roots) = (file("key.pem"), file("cert.pem"), file("roots.pem"));
    let numbers = ["--from", "+12155551212", "--to", "+12155551213"];
    let sign = ["sign", "--key", &key, "--cert", &cert, "--x5u", "https://c.example/a.pem", "--attest", "A"];
    let signed = sidetone(&[&sign[..], &numbers, &["--origid", "123e4567"]].concat());
    assert!(signed.status.success(), "{signed:?}");
    let identity = String::from_utf8(signed.stdout).unwrap();
    let verify = |identity: &str, numbers: &[&str], more: &[&str]| {
        sidetone(&[&["verify", identity, "--trust", &roots][..], numbers, more].concat())
    };
    let good = verify(&identity, &numbers, &["--cert", &cert]);
    let text = String::from_utf8(good.stdout).unwrap();
    assert!(good.status.success() && text.contains("attestation A") && text.contains("709J"), "{text}");
    let needed = verify(&identity, &numbers, &[]);
    assert!(!needed.status.success() && needed.stdout.starts_with(b"certificate https://c.example/a.pem"));
    let other = ["--from", "+12155559999", "--to", "+12155551213"];
    let late = ["--cert", &cert, "--at", "2100-01-01T00:00:00Z"];
    for (identity, numbers, more, problem) in [
        (identity.as_str(), &other, &["--cert", &cert][..], "of another caller (438"),
        (identity.as_str(), &numbers, &late[..], "not fresh (403 Stale Date"),
        ("abc", &numbers, &["--cert", &cert][..], "malformed (438"),
    ] {
        let bad = verify(identity, numbers, more);
        let text = String::from_utf8(bad.stderr).unwrap();
        assert!(!bad.status.success() && text.contains(problem), "{text}");
    }
}
