//! How far phones that are called may send the call on (302): the tenant's choice, and the trunk's (decision 76).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::net::UdpSocket;

use support::phones::{call_again, eventually, hears, incoming, registered, ringing};
use support::process::Installation;

/// The tenant's choice from now on.
fn choose(installation: &Installation, redirects: &str) {
    let domains = ["--domain", "127.0.0.1", "--domain", "acme.example"];
    let put = [&["directory", "put-tenant", "acme"], &domains[..], &["--redirects", redirects]].concat();
    installation.command(&put).unwrap();
    let tenants = installation.command(&["directory", "tenants"]).unwrap();
    assert!(tenants.contains(redirects), "{tenants}");
}

fn counted(installation: &Installation, result: &str) -> f64 {
    let metric = format!("sidetone_call_control_redirections_total{{result=\"{result}\"}}");
    installation.serve.as_ref().unwrap().metric(&metric)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_leads_its_callers_as_far_as_its_tenant_lets_it() {
    // A carrier that answers nothing, so that a call to it can be seen.
    let carrier = UdpSocket::bind("127.0.0.1:0").unwrap();
    let installation = Installation::with_seed(&format!(
        "[[seed.tenants.trunks]]\ntrunk = \"carrier\"\nuri = \"sip:{}\"\nroutes = [{{ prefix = \"+\" }}]\n\
         outbound = [{{ prefix = \"0\", strip = 1, prepend = \"+49\" }}]\n",
        carrier.local_addr().unwrap()
    ));
    eventually(&installation, "the trunk is there", || {
        installation.json(&["directory", "trunks", "status"]).to_string().contains("\"carrier\"")
    })
    .await;
    let ben = ringing(&installation, "1002", 700.0, false).await;
    let _cid = registered(&installation, "1003", 1100.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    for (policy, named, result) in
        [("never", "1003", "never"), ("inside", "030555", "outside"), ("inside", "1003", "followed")]
    {
        choose(&installation, policy);
        let before = counted(&installation, result);
        let called = call_again(&ada, "1002");
        let sends_on = async { incoming(&ben).await.redirect(named) };
        let (answered, ()) = tokio::join!(called, sends_on);
        match answered {
            Ok(call) => {
                hears(&installation, &call, 1100.0).await;
                call.hang_up().await.unwrap();
            }
            Err(refused) => assert!(refused.to_string().starts_with("480"), "{policy} {named}: {refused}"),
        }
        assert_eq!(counted(&installation, result) - before, 1.0, "{policy} {named}");
    }
    carrier.set_nonblocking(true).unwrap();
    let mut buffer = [0; 2048];
    let invited =
        std::iter::from_fn(|| carrier.recv(&mut buffer).ok().map(|_| buffer.starts_with(b"INVITE")));
    assert!(!invited.into_iter().any(|invite| invite), "the carrier was called");
}
