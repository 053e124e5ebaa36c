//! SIGKILL of call control between the steps of a set-up and of a re-INVITE, at seeded moments: every phone gets an answer, what
//! was answered works, and nothing is left over.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and prints its seed")]

use crate::support;

use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sidetone_testkit::phone::{Direction, Phone, PhoneError};
use support::phones::{call, eventually, hears, registered};
use support::process::Installation;

/// Kills of each kind.
const KILLS: usize = 6;
/// A set-up takes about so long, in ms, where nothing else is going on.
const STEPS_MS: u64 = 40;

fn moments() -> Vec<Duration> {
    let seed =
        std::env::var("SIDETONE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121u64);
    eprintln!("SIDETONE_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    (0..KILLS).map(|_| Duration::from_millis(random.random_range(0..STEPS_MS))).collect()
}

/// Kills call control when `moment` has passed, and starts it again.
async fn kill_after(installation: &mut Installation, moment: Duration) {
    tokio::time::sleep(moment).await;
    let call_control = installation.call_control.as_mut().unwrap();
    call_control.kill();
    call_control.restart();
    call_control.wait_until_ready();
}

/// Calls until somebody takes it: whoever comes while nobody decides is asked to come again.
async fn call_until_taken(installation: &Installation, phone: &Phone, number: &str) {
    for _ in 0..40 {
        match phone.call(number).await {
            Ok(call) => {
                hears(installation, &call, 700.0).await;
                call.hang_up().await.unwrap();
                return;
            }
            Err(PhoneError::Refused { status: 480 | 500 | 503, .. }) => {
                tokio::time::sleep(Duration::from_millis(250)).await;
            }
            Err(error) => panic!("{number}: {error}\n{}", installation.logs()),
        }
    }
    panic!("nobody takes calls any more\n{}", installation.logs());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_being_set_up_is_answered_or_refused_and_leaves_nothing() {
    let mut installation = Installation::four_processes();
    let ben = registered(&installation, "1002", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let (mut answered, mut refused) = (0, 0);
    for moment in moments() {
        let (outcome, ()) = tokio::join!(ada.call("1002"), kill_after(&mut installation, moment));
        match outcome {
            Ok(call) => {
                answered += 1;
                hears(&installation, &call, 700.0).await;
                call.hang_up().await.unwrap();
            }
            // 408: the phone's own transaction came to its end.
            Err(PhoneError::Refused { status: 400.., .. }) => refused += 1,
            Err(error) => panic!("after {moment:?}: {error}\n{}", installation.logs()),
        }
        eventually(&installation, "nothing is left of it", || {
            installation.calls().is_empty() && ben.calls().is_empty()
        })
        .await;
    }
    eprintln!("answered {answered}, refused {refused}");
    call_until_taken(&installation, &ada, "1002").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_media_that_is_under_way_is_answered_and_the_call_goes_on() {
    let mut installation = Installation::four_processes();
    let ben = registered(&installation, "1002", 700.0).await;
    let ada = registered(&installation, "1001", 440.0).await;
    let talk = call(&installation, &ada, "1002").await;
    hears(&installation, &talk, 700.0).await;
    for (n, moment) in moments().into_iter().enumerate() {
        let direction = if n % 2 == 0 { Direction::SendOnly } else { Direction::SendRecv };
        let (told, ()) = tokio::join!(talk.reinvite(direction), kill_after(&mut installation, moment / 2));
        // Refused it may be (500 while there is no owner, or 491); ended it must not be.
        assert!(
            matches!(told, Ok(()) | Err(PhoneError::Refused { .. })),
            "{told:?}\n{}",
            installation.logs()
        );
        assert_eq!(talk.ended(), None, "the call was ended\n{}", installation.logs());
    }
    for _ in 0..40 {
        if talk.reinvite(Direction::SendRecv).await.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    hears(&installation, &talk, 700.0).await;
    let at_ben = ben.calls().remove(0);
    hears(&installation, &at_ben, 440.0).await;
    talk.hang_up().await.unwrap();
    assert!(at_ben.wait_ended(Duration::from_secs(30)).await.is_some());
    eventually(&installation, "nothing is left of it", || installation.calls().is_empty()).await;
}
