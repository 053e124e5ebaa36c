//! Two phones call each other without a server between them.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::{Duration, Instant};

use sidetone_testkit::phone::{Direction, EndedBy, Phone, PhoneConfig, PhoneError};

const NOWHERE: &str = "127.0.0.1:9";
const DEADLINE: Duration = Duration::from_secs(20);

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// A phone that sends 500 Hz, and one that calls it and sends 700 Hz.
async fn two(auto_answer: bool) -> (Phone, Phone) {
    let mut config = PhoneConfig::new(NOWHERE.parse().unwrap(), "test", "1001", "secret").with_tone(500.0);
    config.auto_answer = auto_answer;
    let called = Phone::start(config).await.unwrap();
    let config = PhoneConfig::new(called.local_addr(), "test", "1002", "secret").with_tone(700.0);
    (called, Phone::start(config).await.unwrap())
}

#[tokio::test]
async fn they_hear_each_other_and_the_far_end_hangs_up() {
    let (called, caller) = two(true).await;
    let call = caller.call("1001").await.unwrap();
    let answered = called.calls().remove(0);
    until("both hear", || call.ear().hears(500.0) && answered.ear().hears(700.0)).await;
    assert!(!call.ear().hears(700.0) && !answered.ear().hears(500.0));
    assert_eq!(call.ear().received().lost, 0);

    assert!(call.media().dial("12#"));
    until("the digits arrive", || answered.ear().digits() == "12#").await;

    call.reinvite(Direction::SendOnly).await.unwrap();
    let sent = answered.media().sent();
    call.ear().forget();
    until("the held side still hears", || answered.ear().hears(700.0)).await;
    assert!(answered.media().sent() <= sent + 2);
    call.reinvite(Direction::SendRecv).await.unwrap();
    until("it is heard again", || call.ear().hears(500.0)).await;

    answered.hang_up().await.unwrap();
    assert_eq!(call.wait_ended(DEADLINE).await, Some(EndedBy::FarEnd { reason: None }));
    assert_eq!(answered.ended(), Some(EndedBy::Us));
    assert!(
        caller.trace().iter().any(|message| message.starts_with("-> ") && message.contains("ACK sip:1001@"))
    );
}

#[tokio::test]
async fn a_rejected_call_fails_with_its_status() {
    let (called, caller) = two(false).await;
    let (call, ()) = tokio::join!(caller.call("1001"), async {
        called.next_incoming().await.unwrap().reject(486, "Busy Here");
    });
    assert!(matches!(call, Err(PhoneError::Refused { status: 486, .. })), "{call:?}");
}

#[tokio::test]
async fn a_call_that_rings_too_long_is_cancelled() {
    let (called, caller) = two(false).await;
    let (call, cancelled) = tokio::join!(caller.call_within("1001", Duration::from_millis(50)), async {
        called.next_incoming().await.unwrap().wait_cancelled(DEADLINE).await
    });
    assert!(cancelled);
    assert!(matches!(call, Err(PhoneError::Refused { status: 487, .. })), "{call:?}");
}
