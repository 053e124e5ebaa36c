//! kamailio as a carrier, before and behind: registered at, called over, called from, and out of order. Skipped, with the
//! reason printed, where kamailio or sipp are not installed.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use support::kamailio::{self, Kamailio, Sipp};
use support::phones::{call, eventually, registered};
use support::process::{Installation, free_port};

fn skipped() -> bool {
    let missing = !kamailio::are_installed();
    if missing {
        eprintln!("SKIPPED: kamailio and sipp are not both installed (apt install kamailio sip-tester)");
    }
    missing
}

/// A free port of one of the loopback addresses, so that carriers and phones have different ones.
fn free(ip: &str) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), free_port())
}

/// A trunk of the tests' tenant to a carrier that asks for a digest.
fn trunk(name: &str, carrier: SocketAddr, transport: &str, priority: u32) -> String {
    format!(
        "[[seed.tenants.trunks]]\ntrunk = \"{name}\"\nuri = \"sip:{carrier};transport={transport}\"\nregister_as = \"site@carrier.test\"\n\
         password = \"carrier-secret\"\nsources = [\"{}/32\"]\noptions_interval_s = 1\n\
         routes = [{{ prefix = \"+\", priority = {priority}, weight = 1 }}]\n\
         outbound = [{{ prefix = \"0\", strip = 1, prepend = \"+49\" }}]\n\
         inbound = [{{ prefix = \"+4930\", strip = 5 }}]\n",
        carrier.ip()
    )
}

fn status(installation: &Installation, name: &str) -> serde_json::Value {
    let all = installation.json(&["directory", "trunks", "status"]);
    all.as_array().unwrap().iter().find(|state| state["trunk"] == name).cloned().unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_go_out_over_a_carrier_we_registered_at_and_come_in_from_it() {
    if skipped() {
        return;
    }
    let (carrier, callee, caller) = (free("127.0.0.3"), free("127.0.0.4"), free("127.0.0.5"));
    let installation = Installation::with_seed(&trunk("carrier", carrier, "udp", 1));
    let kamailio = Kamailio::start(carrier, installation.sip, callee);
    eventually(&installation, "registered", || kamailio.log().contains("registered site")).await;
    eventually(&installation, "known to be alive", || status(&installation, "carrier")["healthy"] == true)
        .await;

    let folder = tempfile::tempdir().unwrap();
    let mut far_end = Sipp::start(folder.path(), callee, &["-sn", "uas", "-m", "1"]);
    let ada = registered(&installation, "1001", 440.0).await;
    let outward = call(&installation, &ada, "030555").await;
    assert!(kamailio.log().contains("outward +4930555"), "{}", kamailio.log());
    outward.hang_up().await.unwrap();
    assert_eq!(far_end.wait().code(), Some(0), "the far end was hung up\n{}", far_end.errors());
    eventually(&installation, "the call is over", || installation.calls().is_empty()).await;

    let to = carrier.to_string();
    let arguments = ["-sn", "uac", "-m", "3", "-r", "2", "-d", "300", "-s", "+49301001", &to];
    let mut customer = Sipp::start(folder.path(), caller, &arguments);
    assert_eq!(customer.wait().code(), Some(0), "{}\n{}", customer.errors(), installation.logs());
    // Each time that an INVITE comes: sipp says one again whose answer is late.
    assert!(kamailio.log().matches("inward +49301001").count() >= 3, "{}", kamailio.log());
    eventually(&installation, "the calls are over", || installation.calls().is_empty()).await;
    let cdrs = installation.json(&["cdrs"]);
    let answered = cdrs.as_array().unwrap().iter().filter(|cdr| cdr["to_number"] == "1001").count();
    assert!(answered >= 3, "{cdrs:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_carrier_that_dies_is_left_out_and_comes_back() {
    if skipped() {
        return;
    }
    let (first, second, callee) = (free("127.0.0.3"), free("127.0.0.6"), free("127.0.0.4"));
    let installation =
        Installation::with_seed(&(trunk("first", first, "tcp", 1) + &trunk("second", second, "tcp", 2)));
    let running = Kamailio::start(first, installation.sip, callee);
    let reserve = Kamailio::start(second, installation.sip, callee);
    for name in ["first", "second"] {
        eventually(&installation, name, || {
            let status = status(&installation, name);
            status["healthy"] == true && status["registered"] == true
        })
        .await;
    }
    let folder = tempfile::tempdir().unwrap();
    let _far_end = Sipp::start(folder.path(), callee, &["-sn", "uas"]);
    let ada = registered(&installation, "1001", 440.0).await;
    call(&installation, &ada, "030555").await.hang_up().await.unwrap();
    assert_eq!((count(&running), count(&reserve)), (1, 0), "the first one is preferred");

    drop(running);
    // Nobody waits until OPTIONS have told: the call goes on to the second by itself.
    call(&installation, &ada, "030555").await.hang_up().await.unwrap();
    assert_eq!(count(&reserve), 1);
    eventually(&installation, "known to be dead", || status(&installation, "first")["healthy"] == false)
        .await;
    call(&installation, &ada, "030555").await.hang_up().await.unwrap();
    assert_eq!(count(&reserve), 2);

    let running = Kamailio::start(first, installation.sip, callee);
    eventually(&installation, "known to be alive again", || {
        status(&installation, "first")["healthy"] == true
    })
    .await;
    // A carrier that failed rests for some seconds, and has to be registered at again.
    let deadline = Instant::now() + Duration::from_secs(90);
    while count(&running) == 0 && Instant::now() < deadline {
        call(&installation, &ada, "030555").await.hang_up().await.unwrap();
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(count(&running), 1, "the first one is preferred again\n{}", installation.logs());
}

fn count(kamailio: &Kamailio) -> usize {
    kamailio.log().matches("outward +4930555").count()
}
