//! Traffic against phones instead of a server: what counts is what is heard, not that somebody answers.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::sync::atomic::{AtomicUsize, Ordering};

use sidetone_load_tests::{Credential, Progress, Scenario, Step, Target, Transport};
use sidetone_testkit::phone::{Phone, PhoneConfig};

#[derive(Default)]
struct Count(AtomicUsize);

impl Progress for Count {
    fn step(&self, step: Step) {
        self.0.fetch_add(usize::from(step == Step::Answered), Ordering::Relaxed);
    }
}

/// Runs until one is not spoilt by a machine that stalls.
const RUNS_MAX: usize = 8;

/// Somebody who answers every call with that tone.
async fn answering(tone_hz: f32) -> (Phone, Target) {
    let mut config = PhoneConfig::new("127.0.0.1:9".parse().unwrap(), "test", "9196", "").with_tone(tone_hz);
    config.auto_answer = true;
    let phone = Phone::start(config).await.unwrap();
    let target = Target { server: phone.local_addr(), transport: Transport::Udp, domain: "test".into() };
    (phone, target)
}

fn callers() -> Vec<Credential> {
    vec![Credential { number: "1001".into(), password: "secret".into() }]
}

#[tokio::test]
async fn a_server_that_answers_with_something_else_fails() {
    let (_phone, target) = answering(3_100.0).await;
    let text = "kind = 'echo'\nnumber = '9196'\ncalls = 2\nseconds = 2\n[pass]\nmax_gap_ms = 1e9\nsetup_p99_ms = 1e9";
    let scenario = Scenario::parse("test", text).unwrap();
    for _ in 0..RUNS_MAX {
        let count = Count::default();
        let report = sidetone_load_tests::run(&scenario, &target, &callers(), &count).await.unwrap();
        assert_eq!(count.0.into_inner(), 2);
        assert!(!report.passed && report.calls.iter().all(|call| !call.heard && call.ended_by == "us"));
        assert_eq!(report.failures.len(), 1, "{:?}", report.failures);
        assert!(report.calls.iter().all(|call| call.packets > 0 && call.setup_ms.is_some()));
        assert_eq!(report.delay.found, 0, "a tone is no marker that came back");
        // A caller that has no processor in time sends no marker.
        if report.delay.sent == 2 && report.generator.frames > 100 {
            return;
        }
        eprintln!("{} markers, {} frames", report.delay.sent, report.generator.frames);
    }
    panic!("no run in which both callers sent a marker");
}

#[tokio::test]
async fn whose_own_tone_comes_back_has_heard_itself() {
    // A caller alone has the lowest of the tones.
    let (_phone, target) = answering(419.0).await;
    let text = "kind = 'echo'\nnumber = '9196'\ncalls = 1\nseconds = 2\n[pass]\nmax_gap_ms = 1e9\nsetup_p99_ms = 1e9";
    let scenario = Scenario::parse("test", text).unwrap();
    for _ in 0..RUNS_MAX {
        let report =
            sidetone_load_tests::run(&scenario, &target, &callers(), &Count::default()).await.unwrap();
        if report.passed {
            return;
        }
        // What is heard is asked once, and half a second without packets is silence.
        eprintln!("{:?}", report.failures);
    }
    panic!("no run passed");
}
