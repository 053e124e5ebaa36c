//! `sidetone bans`: a phone with a wrong password is banned, seen and let in again.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use sidetone_testkit::phone::{Phone, PhoneConfig};
use support::process::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_sees_a_ban_and_lifts_it() {
    let section = "[signalling.defence]\nfailures_max = 1\n";
    let installation = Installation::one_process_with("", "", section);
    assert_eq!(installation.json(&["bans", "list"]), serde_json::json!([]));
    let bans = || installation.serve.as_ref().unwrap().metric("sidetone_signalling_bans_total");
    let wrong = PhoneConfig::new(installation.sip, "127.0.0.1", "1001", "not-it");
    for _ in 0..10 {
        if bans() > 0.0 {
            break;
        }
        // Refused while it may still try, and not heard afterwards.
        let phone = Phone::start(wrong.clone()).await.unwrap();
        let refused = tokio::time::timeout(std::time::Duration::from_secs(10), phone.register()).await;
        assert!(!matches!(refused, Ok(Ok(_))), "a wrong password is none");
    }
    let listed = installation.json(&["bans", "list"]);
    assert_eq!(
        (&listed[0]["source"], &listed[0]["replica_id"]),
        (&"127.0.0.1".into(), &"sip-1".into()),
        "{listed}"
    );
    assert_eq!(
        (&listed[0]["reason"], &listed[0]["times"]),
        (&"wrong_passwords".into(), &1.into()),
        "{listed}"
    );
    let table = installation.command(&["bans", "list"]).unwrap();
    assert!(table.contains("127.0.0.1") && table.contains("wrong_passwords"), "{table}");

    let unknown = installation.command(&["bans", "lift", "192.0.2.1"]).unwrap_err();
    assert!(unknown.contains("no replica bans the address") && !unknown.contains("--tenant"), "{unknown}");
    let mistyped = installation.command(&["bans", "lift", "somewhere"]).unwrap_err();
    assert!(mistyped.contains("expected an IP address"), "{mistyped}");
    let lifted = installation.json(&["bans", "lift", "127.0.0.1"]);
    assert_eq!(lifted["replica_ids"], serde_json::json!(["sip-1"]), "{lifted}");
    assert_eq!(installation.json(&["bans", "list"]), serde_json::json!([]));
    let right = PhoneConfig::new(installation.sip, "127.0.0.1", "1001", "secret-1001");
    Phone::start(right).await.unwrap().register().await.unwrap();
}
