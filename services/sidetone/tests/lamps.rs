//! Lamps beside the keys of desk phones: a phone sees another's call (RFC 4235), and takes it while it rings.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says why it is skipped")]

use crate::support;

use std::time::Duration;

use sidetone_testkit::phone::{Phone, PhoneError};
use support::operations::{ended_by_far_end, rings, silent};
use support::phones::{call_again, call_with_again, eventually, hears, registered};
use support::process::Installation;

const CANCELLED_MAX: Duration = Duration::from_secs(30);

/// The documents that a phone was sent, oldest first.
fn documents(phone: &Phone) -> Vec<String> {
    let trace = phone.trace();
    let notified = trace.iter().filter(|entry| entry.contains("NOTIFY sip:"));
    notified.filter_map(|entry| Some(entry[entry.find("<dialog-info")?..].to_owned())).collect()
}

/// What stands in a document between two texts.
fn between<'a>(document: &'a str, start: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(start)?;
    Some(rest.split_once(end)?.0)
}

async fn shows(installation: &Installation, phone: &Phone, state: &str) -> String {
    let last = || documents(phone).pop().unwrap_or_default();
    eventually(installation, &format!("the lamp shows {state}"), || {
        between(&last(), "<state>", "</state>").unwrap_or("none") == state
    })
    .await;
    last()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lamp_flashes_shines_and_goes_out_and_who_presses_the_key_meanwhile_takes_the_call() {
    let installation = Installation::one_process();
    let ben = silent(&installation, "1002").await;
    let dan = registered(&installation, "1004", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    dan.subscribe("1002", "dialog", 600).await.unwrap();
    eventually(&installation, "the first document", || !documents(&dan).is_empty()).await;
    assert_eq!(between(&documents(&dan)[0], "state=\"", "\""), Some("full"));
    assert!(!documents(&dan)[0].contains("<state>"), "nothing goes on: {}", documents(&dan)[0]);

    // By the number that the key is set to, and by what the document says (Replaces, RFC 3891).
    for by_replaces in [false, true] {
        let calling = async { (call_again(&ada, "1002").await, ()) };
        let pressing = async {
            let (ringing, _) = rings(&installation, &ben, "1002").await;
            let document = shows(&installation, &dan, "early").await;
            assert_eq!(between(&document, "direction=\"", "\""), Some("recipient"));
            assert!(document.contains("<remote><identity>sip:1001@"), "{document}");
            let part = |name: &str| between(&document, &format!("{name}=\""), "\"").unwrap();
            let replaces = format!(
                "{};to-tag={};from-tag={};early-only",
                part("call-id"),
                part("local-tag"),
                part("remote-tag")
            );
            if by_replaces {
                let refused = call_with_again(&dan, "1002", &[("Replaces", &replaces)]).await;
                assert!(
                    matches!(refused, Err(PhoneError::Refused { status: 403, .. })),
                    "to watch is not to take"
                );
                installation.command(&["directory", "put-user", "user1004", "--may-pick-up"]).unwrap();
            }
            let at_dan = match by_replaces {
                true => call_with_again(&dan, "1002", &[("Replaces", &replaces)]).await,
                false => call_again(&dan, "**1002").await,
            };
            let at_dan = at_dan.unwrap_or_else(|error| panic!("{error}\n{}", installation.logs()));
            assert!(ringing.wait_cancelled(CANCELLED_MAX).await, "it rings on");
            (at_dan, replaces)
        };
        let ((at_ada, ()), (at_dan, replaces)) = tokio::join!(calling, pressing);
        let at_ada = at_ada.unwrap();
        hears(&installation, &at_ada, 700.0).await;
        hears(&installation, &at_dan, 440.0).await;
        shows(&installation, &dan, "terminated").await;
        if by_replaces {
            let again = call_with_again(&dan, "1002", &[("Replaces", &replaces)]).await;
            assert!(matches!(again, Err(PhoneError::Refused { status: 481, .. })), "what is over is over");
        }
        at_dan.hang_up().await.unwrap();
        ended_by_far_end(&at_ada).await;
    }
    let versions =
        documents(&dan).into_iter().map(|text| between(&text, "version=\"", "\" state").map(str::to_owned));
    let mut versions: Vec<u32> =
        versions.map(|version| version.unwrap().rsplit('"').next().unwrap().parse().unwrap()).collect();
    versions.dedup();
    assert!(versions.is_sorted(), "{versions:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lamp_shows_who_talks_and_nothing_of_who_wants_none_of_it() {
    let installation = Installation::one_process();
    let _ben = registered(&installation, "1002", 900.0).await;
    let dan = registered(&installation, "1004", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    installation.command(&["directory", "put-user", "user1002", "--busy-lamp", "state"]).unwrap();
    dan.subscribe("1002", "dialog", 600).await.unwrap();
    let call = support::phones::call(&installation, &ada, "1002").await;
    let document = shows(&installation, &dan, "confirmed").await;
    assert!(!document.contains("<remote>"), "not with whom: {document}");
    call.hang_up().await.unwrap();
    shows(&installation, &dan, "terminated").await;
    installation.command(&["directory", "put-user", "user1002", "--busy-lamp", "nobody"]).unwrap();
    let refused = dan.subscribe("1002", "dialog", 600).await;
    assert!(matches!(refused, Err(PhoneError::Refused { status: 403, .. })), "{:?}", refused.err());
}
