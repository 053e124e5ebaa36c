//! A neighbour takes what rings, with a number that only members of the group may dial, and by the operation.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::PhoneError;
use support::operations::{does, ended_by_far_end, rings, silent, taken};
use support::phones::{call_again, hears, registered};
use support::process::Installation;

const CANCELLED_MAX: Duration = Duration::from_secs(30);

fn installation() -> Installation {
    Installation::one_process_with(
        "",
        "[[seed.tenants.numbers]]\nnumber = \"*8\"\npick_up_group = [\"user1002\", \"user1003\"]\n",
        "",
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_dials_the_number_of_the_group_and_nobody_else_may() {
    let installation = installation();
    let ben = silent(&installation, "1002").await;
    let cid = registered(&installation, "1003", 1100.0).await;
    let dan = registered(&installation, "1004", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let refused = |error: PhoneError| match error {
        PhoneError::Refused { status, .. } => status,
        other => panic!("{other}"),
    };
    assert_eq!(refused(call_again(&cid, "*8").await.unwrap_err()), 404, "nothing rings");
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let (ringing, _) = rings(&installation, &ben, "1002").await;
    assert_eq!(refused(call_again(&dan, "*8").await.unwrap_err()), 403, "no member");
    let at_cid = call_again(&cid, "*8").await.unwrap();
    assert!(ringing.wait_cancelled(CANCELLED_MAX).await, "it rings on");
    let (at_ada, _ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
    assert_eq!(installation.calls().len(), 1, "it is still the same call");
    at_ada.hang_up().await.unwrap();
    ended_by_far_end(&at_cid).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_dials_the_prefix_and_a_number_takes_what_rings_there() {
    let installation = installation();
    let ben = silent(&installation, "1002").await;
    let dan = registered(&installation, "1004", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    for nowhere in ["**1002", "**9999"] {
        let Err(PhoneError::Refused { status, .. }) = call_again(&dan, nowhere).await else {
            panic!("taken")
        };
        assert_eq!(status, 404, "{nowhere}");
    }
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let (ringing, _) = rings(&installation, &ben, "1002").await;
    let at_dan = call_again(&dan, "**1002").await.unwrap();
    assert!(ringing.wait_cancelled(CANCELLED_MAX).await, "it rings on");
    let (at_ada, _ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    hears(&installation, &at_ada, 700.0).await;
    hears(&installation, &at_dan, 440.0).await;
    at_dan.hang_up().await.unwrap();
    ended_by_far_end(&at_ada).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operation_has_a_members_phone_take_it() {
    let installation = installation();
    let numbers = installation.command(&["directory", "numbers"]).unwrap();
    assert!(numbers.contains("pick-up group user1002,user1003"), "{numbers}");
    let ben = silent(&installation, "1002").await;
    let cid = registered(&installation, "1003", 1100.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let refused = installation.command(&["calls", "pick-up-in-group", "*8", "user1003"]).unwrap_err();
    assert!(refused.contains("rings at no other member"), "{refused}");
    let calling = tokio::spawn(async move { (call_again(&ada, "1002").await, ada) });
    let (ringing, _) = rings(&installation, &ben, "1002").await;
    let refused = installation.command(&["calls", "pick-up-in-group", "*8", "user1004"]).unwrap_err();
    assert!(refused.contains("only a member"), "{refused}");
    does(&installation, &["pick-up-in-group", "*8", "user1003"]);
    assert!(ringing.wait_cancelled(CANCELLED_MAX).await, "it rings on");
    let (at_ada, _ada) = calling.await.unwrap();
    let at_ada = at_ada.unwrap();
    let at_cid = taken(&installation, &cid).await;
    hears(&installation, &at_ada, 1100.0).await;
    hears(&installation, &at_cid, 440.0).await;
}
