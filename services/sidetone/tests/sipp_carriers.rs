//! sipp with scenarios of our own as carriers: what kamailio does not do by itself. Skipped, with the reason printed, where it is not
//! installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use sidetone_testkit::phone::PhoneError;
use support::kamailio::Sipp;
use support::phones::{call, eventually, registered};
use support::process::{Installation, free_port};

fn skipped() -> bool {
    let found = Command::new("sipp").arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if found.is_err() {
        eprintln!("SKIPPED: sipp is not installed (apt install sip-tester)");
    }
    found.is_err()
}

/// A free port of one of the loopback addresses, so that each carrier has its own.
fn free(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), free_port())
}

/// A trunk of the tests' tenant, with more of its settings.
fn trunk(name: &str, carrier: SocketAddr, priority: u32, more: &str) -> String {
    format!(
        "[[seed.tenants.trunks]]\ntrunk = \"{name}\"\nuri = \"sip:{carrier}\"\n{more}\n\
         routes = [{{ prefix = \"+\", priority = {priority}, weight = 1 }}]\n\
         outbound = [{{ prefix = \"0\", strip = 1, prepend = \"+49\" }}]\n"
    )
}

/// sipp as a carrier, for so many calls; 0 for as many as come.
fn carrier(folder: &Path, address: SocketAddr, scenario: &str, calls: u32) -> Sipp {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sipp").join(format!("{scenario}.xml"));
    let own = own.display().to_string();
    let mut arguments = if scenario == "uas" { vec!["-sn", "uas"] } else { vec!["-sf", &own] };
    let calls = calls.to_string();
    if calls != "0" {
        arguments.extend(["-m", &calls]);
    }
    Sipp::start(folder, address, &arguments)
}

fn succeeded(installation: &Installation, mut sipp: Sipp) {
    let status = sipp.wait();
    assert!(status.success(), "{status}\n{}\n{}", sipp.errors(), installation.logs());
}

fn status(installation: &Installation, name: &str) -> serde_json::Value {
    let all = installation.json(&["directory", "trunks", "status"]);
    all.as_array().unwrap().iter().find(|state| state["trunk"] == name).cloned().unwrap_or_default()
}

async fn is_there(installation: &Installation, name: &str) {
    eventually(installation, "the trunk is there", || status(installation, name)["trunk"] == name).await;
}

fn counted(installation: &Installation, trunk: &str, result: &str) -> f64 {
    let labels = format!("sidetone_signalling_trunk_calls_total{{result=\"{result}\",trunk=\"{trunk}\"}}");
    installation.serve.as_ref().unwrap().metric(&labels)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trunk_answers_the_challenge_of_its_registrar_with_its_password() {
    if skipped() {
        return;
    }
    let (folder, right, wrong) = (tempfile::tempdir().unwrap(), free("127.0.0.3"), free("127.0.0.4"));
    let registers =
        |password: &str| format!("register_as = \"site@carrier.test\"\npassword = \"{password}\"");
    let (accepts, refuses) = (
        carrier(folder.path(), right, "carrier-registrar", 1),
        carrier(folder.path(), wrong, "carrier-registrar", 1),
    );
    let seed = trunk("right", right, 1, &registers("carrier-secret"))
        + &trunk("wrong", wrong, 2, &registers("not-it"));
    let installation = Installation::with_seed(&seed);
    eventually(&installation, "registered", || status(&installation, "right")["registered"] == true).await;
    let refused = || status(&installation, "wrong")["problem"] == "403";
    eventually(&installation, "refused", refused).await;
    assert_eq!(status(&installation, "wrong")["registered"], false);
    succeeded(&installation, accepts);
    succeeded(&installation, refuses);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_announcement_of_a_carrier_is_heard_before_it_answers() {
    if skipped() {
        return;
    }
    let (folder, address) = (tempfile::tempdir().unwrap(), free("127.0.0.3"));
    std::fs::write(folder.path().join("tone.alaw"), tone(1100.0)).unwrap();
    let announcing = carrier(folder.path(), address, "carrier-early-media", 1);
    let installation = Installation::with_seed(&trunk("carrier", address, 1, ""));
    is_there(&installation, "carrier").await;
    let ada = registered(&installation, "1001", 440.0).await;
    // Her user waits until the tone was heard, and then gives up.
    let heard = eventually(&installation, "the announcement, before any answer", || {
        ada.dialled().is_some_and(|ear| ear.hears(1100.0))
    });
    tokio::select! {
        answered = ada.call_within("030555", std::time::Duration::from_secs(120)) => panic!("{answered:?}"),
        () = heard => {}
    }
    let trace = ada.trace().join("\n");
    assert!(trace.contains("SIP/2.0 183 ") && !trace.contains("SIP/2.0 180 "), "{trace}");
    let calls = installation.calls();
    installation.command(&["calls", "hang-up", &calls[0]]).unwrap();
    succeeded(&installation, announcing);
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_has_no_room_is_left_for_the_next_at_once() {
    if skipped() {
        return;
    }
    let (folder, first, second) = (tempfile::tempdir().unwrap(), free("127.0.0.3"), free("127.0.0.4"));
    let full = carrier(folder.path(), first, "carrier-unavailable", 1);
    let reserve = carrier(folder.path(), second, "uas", 2);
    let installation =
        Installation::with_seed(&(trunk("first", first, 1, "") + &trunk("second", second, 2, "")));
    is_there(&installation, "first").await;
    is_there(&installation, "second").await;
    let ada = registered(&installation, "1001", 440.0).await;
    call(&installation, &ada, "030555").await.hang_up().await.unwrap();
    assert_eq!(
        (counted(&installation, "first", "failed"), counted(&installation, "second", "tried")),
        (1.0, 1.0)
    );
    succeeded(&installation, full);
    // While the first rests, the second is asked first: nobody is at the first any more.
    call(&installation, &ada, "030555").await.hang_up().await.unwrap();
    succeeded(&installation, reserve);
}

#[tokio::test(flavor = "multi_thread")]
async fn options_tell_whether_a_carrier_lives() {
    if skipped() {
        return;
    }
    let (folder, address) = (tempfile::tempdir().unwrap(), free("127.0.0.3"));
    let installation = Installation::with_seed(&trunk("carrier", address, 1, "options_interval_s = 1"));
    is_there(&installation, "carrier").await;
    let health = async |scenario: &str, healthy: bool, problem: &str| {
        let _sipp = carrier(folder.path(), address, scenario, 0);
        eventually(&installation, scenario, || {
            let status = status(&installation, "carrier");
            status["healthy"] == healthy && status["problem"] == problem
        })
        .await;
    };
    health("carrier-sick", false, "503").await;
    health("carrier-healthy", true, "").await;
    health("carrier-sick", false, "503").await;
    health("carrier-healthy", true, "").await;
    assert!(counted(&installation, "carrier", "options_failed") >= 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_rate_of_a_trunk_are_refused_and_later_ones_taken() {
    if skipped() {
        return;
    }
    let (folder, address) = (tempfile::tempdir().unwrap(), free("127.0.0.3"));
    let _carrier = carrier(folder.path(), address, "uas", 0);
    let installation = Installation::with_seed(&trunk("carrier", address, 1, "calls_per_s = 1"));
    is_there(&installation, "carrier").await;
    let mut phones = Vec::new();
    for number in 1001..=1008 {
        phones.push(registered(&installation, &number.to_string(), 440.0).await);
    }
    let calling = phones.iter().map(|phone| phone.call("030555"));
    let (mut taken, mut refused) = (Vec::new(), 0);
    for outcome in futures_util::future::join_all(calling).await {
        match outcome {
            Ok(call) => taken.push(call),
            Err(PhoneError::Refused { status: 503, .. }) => refused += 1,
            Err(other) => panic!("{other}\n{}", installation.logs()),
        }
    }
    assert!(!taken.is_empty() && refused > 0, "{} taken, {refused} refused", taken.len());
    let counts = (counted(&installation, "carrier", "tried"), counted(&installation, "none", "no_way"));
    assert_eq!(
        counts,
        (taken.len() as f64, f64::from(refused)),
        "who is refused is never sent to the carrier"
    );
    for call in taken {
        call.hang_up().await.unwrap();
    }
    // As a user does who is told to come again.
    call(&installation, &phones[0], "030555").await.hang_up().await.unwrap();
}

/// Some seconds of a tone, as PCMA (G.711, 8 kHz).
fn tone(hz: f32) -> Vec<u8> {
    let sample = |n: u32| (n as f32 * hz * std::f32::consts::TAU / 8000.0).sin() * 8000.0;
    (0..8000 * 4).map(|n| a_law(sample(n) as i16)).collect()
}

/// G.711, table 1a: the sign, the segment and four bits of the place in it, every second bit inverted.
fn a_law(sample: i16) -> u8 {
    let (sign, magnitude) = if sample >= 0 { (0x80, sample) } else { (0, !sample) };
    let magnitude = magnitude >> 3;
    let segment = (16 - (magnitude >> 5).leading_zeros()) as i16;
    let place = if segment > 1 { magnitude >> segment } else { magnitude >> 1 };
    (sign | (segment << 4) as u8 | (place & 0x0f) as u8) ^ 0x55
}
