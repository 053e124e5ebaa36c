//! Webhooks while their receiver is killed, slow and answers 500 in turn, over real SIP and HTTP: the short form of
//! `sidetone load deliver`, whose long form is run by hand (load-tests/README.md).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::net::SocketAddr;

use sidetone_load_tests::delivery::{self, Delivery, Receivers};
use sidetone_load_tests::{Credential, Quiet, Target, Transport};
use support::clients::SECRET;
use support::process::{Installation, free_address};

fn team(name: &str, receiver: SocketAddr) -> String {
    format!(
        "[[seed.tenants.applications]]\napplication = \"{name}\"\nkind = \"bot\"\nbot = \"{name}\"\n\
         event_url = \"http://{receiver}/events\"\nsecret = \"{SECRET}\"\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_out_of_order_or_told_twice_while_a_receiver_is_killed_slow_and_failing() {
    let receivers = Receivers { moody: free_address(), steady: free_address() };
    let seed = team("moody", receivers.moody) + &team("steady", receivers.steady);
    let outbox = "[outbox]\nallowed_networks = [\"127.0.0.0/8\"]\nbackoff_first_ms = 50\nbackoff_max_ms = 1000\n\
                  attempt_timeout_ms = 500\nheld_per_receiver_max = 16\n";
    let installation = Installation::one_process_with("", &seed, outbox);
    let target =
        Target { server: installation.sip, transport: Transport::Udp, domain: "127.0.0.1".to_owned() };
    let credentials = [Credential { number: "1001".to_owned(), password: "secret-1001".to_owned() }];
    // Every mood twice, with calls that begin and end in each.
    let delivery = Delivery {
        number: "9196".to_owned(),
        calls: 60,
        seconds: 16,
        call_ms: 1000,
        turn_s: 2,
        slow_ms: 1500,
        settle_s: 90,
        steady_p99_ms: None,
    };
    let report = delivery::run(&delivery, &target, receivers, &credentials, &Quiet).await.unwrap();
    let found = &report.judgement;
    // A busy machine may refuse a call now and then; what it tells of those that were made must be whole all the same.
    assert_eq!(
        (found.lost, found.out_of_order, found.doubled),
        (0, 0, 0),
        "{report:#?}\n{}",
        installation.logs()
    );
    assert!(report.settled_s.is_some(), "{report:#?}\n{}", installation.logs());
    assert!(report.answered * 2 > delivery.calls && found.events >= 3 * report.answered, "{report:#?}");
    let waited = found.moody_ms[2] > found.steady_ms[2];
    assert!(found.repeats[0] > 0 || waited, "the receiver was in no bad way: {report:#?}");
}
