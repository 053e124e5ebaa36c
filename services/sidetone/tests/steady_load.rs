//! The short form of the scenario `steady`: calls come and go, change, are recorded and hear prompts, over a whole process. Half an
//! hour of it, with its late ticks and its memory, is for `sidetone load run steady`; here it counts that nothing fails and that
//! descriptors are given back.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

mod support;

use sidetone_load_tests::{Credential, Quiet, Scenario, Target, Transport};
use support::process::Installation;

const CALLS: usize = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_and_goes_leaves_nothing_behind() {
    let seed = std::env::var("STEADY_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_122_u64);
    eprintln!("STEADY_SEED={seed}");
    let server = Installation::one_process();
    let text = format!(
        "kind = 'steady'\nnumber = '9196'\ncalls = {CALLS}\nseconds = 20\ncalls_per_second = 5\n\
         [steady]\nnumbers = ['3000', '3001', '9197']\ncall_s = [4, 6]\nseed = {seed}\nlate_ticks_max = 1000000\n\
         memory_growth_max_mb = 1e6\nmetrics = ['http://{}/metrics']\n\
         [pass]\nheard_min = 0.0\nloss_max = 1.0\nmax_gap_ms = 1e9\nsetup_p99_ms = 1e9",
        server.serve.as_ref().unwrap().admin()
    );
    let scenario = Scenario::parse("short", &text).unwrap();
    let target = Target { server: server.sip, transport: Transport::Udp, domain: "127.0.0.1".into() };
    let credential = |n| Credential { number: format!("100{n}"), password: format!("secret-100{n}") };
    let credentials: Vec<Credential> = (1..=3).map(credential).collect();
    let report = sidetone_load_tests::run(&scenario, &target, &credentials, &Quiet).await.unwrap();
    let steadiness = report.steadiness.as_ref().unwrap();
    eprintln!("{} calls, {steadiness:?}", report.calls_made);
    assert!(report.calls.iter().all(|call| call.error.is_none()), "{:?}", report.calls);
    assert!(report.passed, "{:?}", report.failures);
    assert!(report.calls_made >= CALLS && steadiness.codec_changes + steadiness.holds > 0);
    assert!(steadiness.samples.len() > 2 && steadiness.samples.iter().all(|sample| sample.resident_mb > 1.0));
}
