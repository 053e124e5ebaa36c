//! The short form of the scenario `hostile`: phones and calls among hostile and damaged datagrams, over a whole process. Its load
//! and its pass lines by ear are for `sidetone load run hostile`; here it counts that nothing fails.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

mod support;

use sidetone_load_tests::{Credential, Quiet, Scenario, Target, Transport};
use support::process::Installation;

const PHONES: usize = 12;
const CALLS: usize = 6;
/// Ten times the share of the full form, so that something is damaged in so short a time.
const SHARE: f64 = 0.1;

fn credentials() -> Vec<Credential> {
    let credential = |n| Credential { number: format!("{n}"), password: "secret-of-all".into() };
    (2000..2000 + PHONES + CALLS).map(credential).collect()
}

fn users() -> String {
    let user = |credential: &Credential| {
        let number = &credential.number;
        format!(
            "[[seed.tenants.users]]\nuser = \"user{number}\"\nnumbers = [\"{number}\"]\n\
             devices = [{{ device = \"desk\", auth_username = \"{number}\", password = \"secret-of-all\" }}]\n"
        )
    };
    credentials().iter().map(user).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_fails_among_hostile_and_damaged_datagrams() {
    let seed =
        std::env::var("HOSTILE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121_u64);
    eprintln!("HOSTILE_SEED={seed}");
    let server =
        Installation::one_process_with("", &users(), "[signalling.defence]\nexempt = [\"127.0.0.1\"]\n");
    let text = format!(
        "kind = 'hostile'\nnumber = '9196'\nphones = {PHONES}\ncalls = {CALLS}\nseconds = 6\ncalls_per_second = 5\n\
         [hostile]\nhostile = {SHARE}\ndamaged = {SHARE}\nseed = {seed}\n\
         [pass]\nheard_min = 0.0\nloss_max = 1.0\nmax_gap_ms = 1e9\nsetup_p99_ms = 1e9"
    );
    let scenario = Scenario::parse("short", &text).unwrap();
    let target = Target { server: server.sip, transport: Transport::Udp, domain: "127.0.0.1".into() };
    let report = sidetone_load_tests::run(&scenario, &target, &credentials(), &Quiet).await.unwrap();
    let harm = report.harm.unwrap();
    eprintln!("{harm:?}");
    for call in &report.calls {
        assert!(call.error.is_none() && call.ended_by == "us" && call.packets > 0, "{call:?}");
    }
    assert!(report.passed, "{:?}", report.failures);
    assert_eq!((report.calls.len(), harm.registered), (CALLS, PHONES));
}
