//! SIPVicious (PyPI `sipvicious`) against a replica whose tenant is reached by address, as it would be on the internet: its
//! map scan hears nothing, its war scan cannot tell users from others, and its crack is slowed and banned. Each with its own
//! User-Agent and with another.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::harness;

use std::process::{Output, Stdio};
use std::time::Duration;

use harness::Rig;
use harness::phone::Phone;
use sidetone_model::party::Transport;
use sidetone_signalling::{Config, DefenceConfig};
use sidetone_sip_core::auth::Algorithm;
use tokio::process::Command;

fn is_installed() -> bool {
    let installed = std::process::Command::new("python3").args(["-c", "import sipvicious"]).output();
    let installed = installed.is_ok_and(|output| output.status.success());
    if !installed {
        eprintln!("SKIPPED: sipvicious is not installed (pip install sipvicious)");
    }
    installed
}

/// Runs one of the tools against a port for some seconds at most; `agent` replaces its User-Agent.
async fn attack(tool: &str, agent: Option<&str>, rig: &Rig, arguments: &[&str], seconds: u64) -> String {
    let script = format!(
        "import sys, functools\nfrom sipvicious import {tool}\n\
         if len(sys.argv[1]): {tool}.makeRequest = functools.partial({tool}.makeRequest, useragent=sys.argv[1])\n\
         sys.argv = [sys.argv[0]] + sys.argv[2:]\n{tool}.main()\n"
    );
    let port = rig.address(Transport::Udp).port().to_string();
    let child = Command::new("python3")
        .args(["-c", &script, agent.unwrap_or("")])
        .args(arguments)
        .args(["-p", &port, "127.0.0.1"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    match tokio::time::timeout(Duration::from_secs(seconds), child.wait_with_output()).await {
        Ok(output) => {
            let Output { stdout, stderr, .. } = output.unwrap();
            [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat()
        }
        Err(_) => String::new(),
    }
}

fn count(rig: &Rig, rule: &str) -> u64 {
    rig.telemetry.signalling.defended.with_label_values(&[rule]).get()
}

const OTHER_AGENT: Option<&str> = Some("Yealink SIP-T46U 108.86.0.20");

#[tokio::test(flavor = "multi_thread")]
async fn the_map_scan_hears_nothing() {
    if !is_installed() {
        return;
    }
    let rig = Rig::start().await;
    for (agent, rule) in [(None, "scanner"), (OTHER_AGENT, "options_to_address")] {
        let text = attack("svmap", agent, &rig, &["--fromname", "test"], 30).await;
        assert!(count(&rig, rule) > 0, "{rule}: {text}");
        assert!(!text.contains("127.0.0.1:"), "{text}");
    }
    let sent = &rig.telemetry.signalling.responses_sent;
    for class in ["1xx", "2xx", "3xx", "4xx", "5xx", "6xx"] {
        assert_eq!(sent.with_label_values(&[class]).get(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_war_scan_cannot_tell_users_from_others() {
    if !is_installed() {
        return;
    }
    let rig = Rig::start().await;
    // Of the extensions 1000 to 1005 only 1001 is a user.
    for agent in [None, OTHER_AGENT] {
        for method in ["REGISTER", "INVITE", "OPTIONS"] {
            let arguments = ["-e1000-1005", "--force", "-m", method, "--maximumtime", "30"];
            let text = attack("svwar", agent, &rig, &arguments, 60).await;
            let found: Vec<bool> = (1000..=1005).map(|number| text.contains(&number.to_string())).collect();
            assert!(found.iter().all(|one| *one == found[0]), "{agent:?} {method}: {text}");
        }
    }
    assert!(count(&rig, "scanner") > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_crack_is_slowed_and_banned() {
    if !is_installed() {
        return;
    }
    let defence = DefenceConfig { failures_max: 5, ..DefenceConfig::default() };
    // The tool knows no other algorithm.
    let rig =
        Rig::with(Config { defence, digest_algorithms: vec!["MD5".to_owned()], ..Config::default() }).await;
    let mut honest = Phone::new(&rig, Transport::Udp, "127.0.0.1", "1001", "pw-of-beta").await;
    honest.algorithm = Algorithm::Md5;
    assert_eq!(honest.register(600).await.1.status().code(), 200);
    let arguments = ["-u1001", "-r1-2000", "--maximumtime", "6"];
    let text = attack("svcrack", None, &rig, &arguments, 60).await;
    assert!(count(&rig, "scanner") > 0, "{text}");
    assert_eq!(rig.telemetry.signalling.bans.get(), 0, "its name alone silences it");

    // Its answers come later and later, and it has to fail five times.
    let arguments = ["-u1001", "-r1-2000", "--maximumtime", "30"];
    let text = attack("svcrack", OTHER_AGENT, &rig, &arguments, 60).await;
    assert_eq!(rig.telemetry.signalling.bans.get(), 1, "{text}");
    assert!(count(&rig, "banned") > 0);
    let wrong = rig.telemetry.signalling.registrations.with_label_values(&["wrong"]).get();
    assert!(wrong <= 8, "{wrong} guesses of 2000 were looked at");
    // The phone of the same address goes on.
    assert_eq!(honest.register(600).await.1.status().code(), 200);
}
