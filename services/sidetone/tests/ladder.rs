//! `sidetone calls ladder` on the whole program from outside: one process, and the four apart.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use support::phones::{call, eventually, registered};
use support::process::Installation;

/// Ada calls Ben, who answers; gives back the call's id once it is over.
async fn a_call_between_two(installation: &Installation) -> String {
    let ada = registered(installation, "1001", 440.0).await;
    let ben = registered(installation, "1002", 700.0).await;
    let at_ada = call(installation, &ada, "1002").await;
    eventually(installation, "Ben's phone is in the call", || !ben.calls().is_empty()).await;
    let id = installation.calls().remove(0);
    at_ada.hang_up().await.unwrap();
    eventually(installation, "the call is over", || installation.calls().is_empty()).await;
    id
}

fn check(installation: &Installation, id: &str) {
    let messages = installation.json(&["calls", "ladder", id]);
    let messages = messages.as_array().unwrap();
    let legs: std::collections::HashSet<_> = messages.iter().map(|m| m["leg_id"].as_str().unwrap()).collect();
    assert_eq!(legs.len(), 2, "both legs: {messages:#?}");
    for leg in legs {
        let of_leg = |method: &str, status: u16| {
            messages.iter().any(|m| m["leg_id"] == leg && m["method"] == method && m["status"] == status)
        };
        assert!(of_leg("INVITE", 0) && of_leg("INVITE", 200) && of_leg("ACK", 0), "{messages:#?}");
        assert!(of_leg("BYE", 0) && of_leg("BYE", 200), "{messages:#?}");
    }
    let ladder = installation.command(&["calls", "ladder", id]).unwrap();
    for needed in ["sidetone", "INVITE (sdp) ", "200 INVITE (sdp)", "▶", "◀"] {
        assert!(ladder.contains(needed), "{ladder}");
    }
    let text = installation.command(&["calls", "ladder", id, "--messages"]).unwrap();
    assert!(text.contains("CSeq: ") && !text.contains("sip:1001@") && !text.contains("sip:1002@"), "{text}");
    let text = installation.command(&["calls", "ladder", id, "--messages", "--numbers"]).unwrap();
    assert!(text.contains("sip:1001@") && text.contains("sip:1002@"), "{text}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("call.pcap");
    installation.command(&["calls", "ladder", id, "--pcap", file.to_str().unwrap()]).unwrap();
    let capture = std::fs::read(file).unwrap();
    assert_eq!(capture[..4], 0xa1b2_c3d4u32.to_le_bytes());
    let (mut rest, mut packets) = (&capture[24..], 0);
    while !rest.is_empty() {
        let length = u32::from_le_bytes(rest[8..12].try_into().unwrap()) as usize;
        assert_eq!(rest[16] >> 4, 4, "an IPv4 packet");
        rest = &rest[16 + length..];
        packets += 1;
    }
    assert_eq!(packets, messages.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_legs_of_a_call_are_read_back_and_numbers_only_by_the_operator() {
    let installation = Installation::one_process();
    let id = a_call_between_two(&installation).await;
    check(&installation, &id);
    let token = installation.command(&["directory", "create-token", "test"]).unwrap();
    let with_token = |more: &[&str]| {
        let own = ["calls", "ladder", &id, "--token", token.trim(), "--tenant", "acme"];
        installation.command_as(&own.iter().chain(more).copied().collect::<Vec<_>>())
    };
    assert!(with_token(&[]).unwrap().contains("INVITE"));
    assert!(with_token(&["--numbers"]).unwrap_err().contains("only the operator"));
    let unknown = installation.command(&["calls", "ladder", "019a1b2c-3d4e-7f00-8123-456789abcdef"]);
    assert!(unknown.unwrap_err().contains("no call has this id"));
}

#[tokio::test(flavor = "multi_thread")]
async fn call_control_asks_the_replicas_of_a_cluster() {
    let installation = Installation::four_processes();
    let id = a_call_between_two(&installation).await;
    check(&installation, &id);
}
