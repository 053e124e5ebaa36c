//! Webhooks while their receiver is killed, slow and answers 500 in turn.
//!
//! Calls begin and end at a steady rate. Two applications of one tenant are told of them: one has a receiver that is in a bad way
//! most of the time, the other one that always answers. What the good one got is what there was to be told; the other must have got
//! the same of every call, in the same order, and more than once only under the same idempotency key.

mod judge;
mod receiver;

use std::net::SocketAddr;
use std::time::Duration;

use serde::Serialize;
use sidetone_testkit::phone::Phone;
use tokio::time::Instant;

use crate::traffic::{Credential, Progress, Step, Target, phone_config};
pub use judge::Judgement;
use receiver::{Mood, Receiver};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Delivery {
    /// The number of an echo, open to whoever calls.
    pub number: String,
    /// Calls in all, 1 to 100,000.
    pub calls: usize,
    /// Over how long they begin, in seconds, 2 to 86,400.
    pub seconds: u64,
    /// How long each call lasts, in ms, 500 to 600,000. Two digits are dialled in it.
    pub call_ms: u64,
    /// How long the receiver is killed, slow, answering 500 and well each time, in seconds, 1 to 3,600.
    pub turn_s: u64,
    /// After how long it answers when it is slow, in ms: longer than an attempt of the outbox may take.
    pub slow_ms: u64,
    /// How long what is still owed may take after the last call, in seconds, 1 to 86,400.
    pub settle_s: u64,
    /// The largest 99th percentile of the time from a call's beginning to its event at the good receiver, in ms; none is no
    /// pass line.
    pub steady_p99_ms: Option<f64>,
}

/// Where the two receivers listen. The server must have two applications of kind `bot` whose event URLs are
/// `http://ADDRESS/events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receivers {
    /// Of the one in a bad way.
    pub moody: SocketAddr,
    /// Of the other.
    pub steady: SocketAddr,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeliveryReport {
    /// What was done.
    pub delivery: Delivery,
    /// No event was lost, out of order or told twice under two keys, and the pass line was kept.
    pub passed: bool,
    /// What went wrong, in words.
    pub failures: Vec<String>,
    /// Calls that were answered.
    pub answered: usize,
    /// How long the slowest event was owed after the last call, in seconds; none when something is owed still.
    pub settled_s: Option<f64>,
    /// How it was for the receiver in a bad way, and for the other.
    pub judgement: Judgement,
}

/// Why it cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// A value out of range.
    #[error("{key} {problem}")]
    Value {
        /// The option.
        key: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A receiver cannot listen.
    #[error("the receiver cannot listen at {address}: {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
}

impl Delivery {
    /// Reports the first value out of range.
    pub fn check(&self) -> Result<(), DeliveryError> {
        let rules = [
            ("calls", "must be 1 to 100000", (1..=100_000).contains(&self.calls)),
            ("seconds", "must be 2 to 86400", (2..=86_400).contains(&self.seconds)),
            ("call-ms", "must be 500 to 600000", (500..=600_000).contains(&self.call_ms)),
            ("turn", "must be 1 to 3600", (1..=3600).contains(&self.turn_s)),
            ("settle", "must be 1 to 86400", (1..=86_400).contains(&self.settle_s)),
        ];
        match rules.into_iter().find(|(_, _, good)| !good) {
            Some((key, problem, _)) => Err(DeliveryError::Value { key, problem }),
            None => Ok(()),
        }
    }
}

/// Makes the calls, listens, and judges.
///
/// # Errors
/// When a value is out of range or a receiver cannot listen. That something was lost is told in the report.
pub async fn run(
    delivery: &Delivery,
    target: &Target,
    receivers: Receivers,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Result<DeliveryReport, DeliveryError> {
    delivery.check()?;
    let listen =
        |address| Receiver::start(address).map_err(|source| DeliveryError::Listen { address, source });
    let (moody, steady) = (listen(receivers.moody)?, listen(receivers.steady)?);
    let calling = call_all(delivery, target, credentials, progress);
    tokio::pin!(calling);
    let answered = tokio::select! {
        answered = &mut calling => answered,
        () = changing_moods(delivery, &moody) => 0,
    };
    progress.step(Step::Holding);
    moody.set(Mood::Well).await;
    let settled_s = settle(delivery, answered, &moody, &steady).await;
    let judgement = Judgement::of(&moody.got(), &steady.got());
    let failures = judgement.failures(delivery, answered, settled_s);
    Ok(DeliveryReport {
        delivery: delivery.clone(),
        passed: failures.is_empty(),
        failures,
        answered,
        settled_s,
        judgement,
    })
}

/// One mood after the other, until whoever asked has enough of it.
async fn changing_moods(delivery: &Delivery, moody: &Receiver) {
    let slow = Mood::Slow { after: Duration::from_millis(delivery.slow_ms) };
    for mood in [Mood::Dead, slow, Mood::Fails, Mood::Well].into_iter().cycle() {
        moody.set(mood).await;
        tokio::time::sleep(Duration::from_secs(delivery.turn_s)).await;
    }
}

/// Makes all calls at their rate; how many were answered.
async fn call_all(
    delivery: &Delivery,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> usize {
    let start = Instant::now();
    let each = Duration::from_secs(delivery.seconds).div_f64(delivery.calls as f64);
    let calls = (0..delivery.calls).zip(credentials.iter().cycle()).map(|(n, credential)| async move {
        tokio::time::sleep_until(start + each.mul_f64(n as f64)).await;
        let answered = one_call(delivery, target, credential).await;
        progress.step(if answered { Step::Answered } else { Step::Failed });
        usize::from(answered)
    });
    futures_util::future::join_all(calls).await.into_iter().sum()
}

/// Calls, dials two digits, and hangs up.
async fn one_call(delivery: &Delivery, target: &Target, credential: &Credential) -> bool {
    let Ok(phone) = Phone::start(phone_config(target, credential, TONE_HZ)).await else { return false };
    let Ok(call) = phone.call_within(&delivery.number, RING_MAX).await else { return false };
    call.media().dial(DIGITS);
    tokio::time::sleep(Duration::from_millis(delivery.call_ms)).await;
    // A far end that does not answer BYE has ended the call all the same.
    drop(tokio::time::timeout(RING_MAX, call.hang_up()).await);
    true
}

/// Waits until both have got the end of every answered call and the same of each; how long that took.
async fn settle(delivery: &Delivery, answered: usize, moody: &Receiver, steady: &Receiver) -> Option<f64> {
    let begin = Instant::now();
    while begin.elapsed() < Duration::from_secs(delivery.settle_s) {
        let judgement = Judgement::of(&moody.got(), &steady.got());
        if judgement.calls_ended >= answered && judgement.lost == 0 {
            return Some(begin.elapsed().as_secs_f64());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    None
}

const TONE_HZ: f32 = 440.0;
const DIGITS: &str = "12";
const RING_MAX: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(250);
