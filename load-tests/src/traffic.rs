//! Callers, at a rate.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use sidetone_testkit::phone::{Call, EndedBy, Phone, PhoneConfig, PhoneError, Transport};

use crate::hostile;
use crate::report::CallReport;
use crate::scenario::Scenario;

/// What is called.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where SIP goes.
    pub server: SocketAddr,
    /// How.
    pub transport: Transport,
    /// Host part of addresses.
    pub domain: String,
}

/// Who calls.
#[derive(Clone)]
pub struct Credential {
    /// Number and digest user name.
    pub number: String,
    /// Digest password.
    pub password: String,
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credential").field("number", &self.number).finish_non_exhaustive()
    }
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// A call was answered.
    Answered,
    /// A call was not.
    Failed,
    /// All calls are set up or failed; now they are held.
    Holding,
    /// The calls are being hung up.
    HangingUp,
}

/// Is told how far a run is.
pub trait Progress: Sync {
    /// Called at each step, from several tasks.
    fn step(&self, step: Step);
}

/// Tells nobody.
#[derive(Debug, Clone, Copy)]
pub struct Quiet;

impl Progress for Quiet {
    fn step(&self, _: Step) {}
}

/// One caller: its phone, and its call or why there is none.
pub(crate) struct Caller {
    pub(crate) tone_hz: f32,
    pub(crate) call: Result<Call, PhoneError>,
    /// Its sockets stay open as long as it is here.
    phone: Option<Phone>,
    /// Begin of REGISTER to its 2xx.
    registered: Option<Duration>,
    /// How often it tried again, because what arrived damaged had earned a refusal.
    pub(crate) tried_again: u64,
}

async fn call_with(
    phone: &Phone,
    number: &str,
    register: bool,
) -> (Result<Call, PhoneError>, Option<Duration>) {
    let begin = tokio::time::Instant::now();
    if register && let Err(error) = phone.register().await {
        return (Err(error), None);
    }
    let registered = register.then(|| begin.elapsed());
    (phone.call_within(number, RING_MAX).await, registered)
}

/// The same over a bad line, where a refusal may be one of what has been damaged; and how often it was tried again.
async fn call_anyway(
    phone: &Phone,
    number: &str,
    (register, bad): (bool, bool),
) -> (Result<Call, PhoneError>, Option<Duration>, u64) {
    let mut again = 0;
    loop {
        match call_with(phone, number, register).await {
            (Err(error), _) if bad && hostile::earned(&error) && again < hostile::AGAIN_MAX => again += 1,
            (call, registered) => return (call, registered, again),
        }
    }
}

/// The tone of one of `all` callers: whole Hz, so that a second of one has nothing of the others. As many as meet in a
/// room take theirs from [`TONES`], spread over the band; more are never mixed, and need only differ.
pub(crate) fn tone(caller: usize, all: usize) -> f32 {
    if all <= TONES.len() {
        return f32::from(TONES[caller * TONES.len() / all]);
    }
    let step = (SPAN_HZ / all).max(1);
    (LOWEST_HZ + caller * step % SPAN_HZ) as f32
}

pub(crate) fn phone_config(target: &Target, credential: &Credential, tone_hz: f32) -> PhoneConfig {
    let mut config =
        PhoneConfig::new(target.server, &target.domain, &credential.number, &credential.password);
    config.transport = target.transport;
    config.tone_hz = Some(tone_hz);
    config
}

/// Sets up all calls at the scenario's rate; `number` says whom a caller calls. The first `distinct` callers have credentials
/// of their own, and register if the scenario says so: the others share theirs, and a device has few contacts.
pub(crate) async fn set_up(
    scenario: &Scenario,
    configs: Vec<PhoneConfig>,
    distinct: usize,
    number: impl Fn(usize) -> String,
    progress: &dyn Progress,
) -> Vec<Caller> {
    let start = tokio::time::Instant::now();
    let calls = configs.into_iter().enumerate().map(|(n, config)| {
        let number = number(n);
        async move {
            tokio::time::sleep_until(start + Duration::from_secs_f64(n as f64 / scenario.calls_per_second))
                .await;
            let tone_hz = config.tone_hz.unwrap_or_default();
            let bad = config.line.is_some();
            let caller = match Phone::start(config).await {
                Ok(phone) => {
                    let register = scenario.registers() && n < distinct;
                    let (call, registered, tried_again) = call_anyway(&phone, &number, (register, bad)).await;
                    Caller { tone_hz, call, phone: Some(phone), registered, tried_again }
                }
                Err(error) => {
                    Caller { tone_hz, call: Err(error), phone: None, registered: None, tried_again: 0 }
                }
            };
            progress.step(if caller.call.is_ok() { Step::Answered } else { Step::Failed });
            caller
        }
    });
    let callers = join_all(calls).await;
    progress.step(Step::Holding);
    callers
}

/// Reports on a caller; `heard` is judged before anybody hangs up.
pub(crate) fn judge(caller: &Caller, heard: bool) -> CallReport {
    measured(caller.tone_hz, &caller.call, caller.registered, heard)
}

/// Reports on a call, or why there is none.
pub(crate) fn measured(
    tone_hz: f32,
    call: &Result<Call, PhoneError>,
    registered: Option<Duration>,
    heard: bool,
) -> CallReport {
    let mut report = CallReport::failed(tone_hz);
    match call {
        Ok(call) => {
            let received = call.ear().received();
            report.heard = heard;
            report.ended_by = match call.ended() {
                Some(EndedBy::FarEnd { .. }) => "far_end",
                Some(EndedBy::Us) | None => "us",
            };
            report.register_ms = registered.map(|time| time.as_secs_f64() * 1000.0);
            report.setup_ms = Some(call.setup().as_secs_f64() * 1000.0);
            report.packets = received.packets;
            report.lost = received.lost;
            report.loss = received.loss();
            report.max_gap_ms = received.max_gap_ms;
        }
        Err(error) => report.error = Some(error.to_string()),
    }
    report
}

/// Hangs all up, at once, and removes registrations.
pub(crate) async fn hang_up(callers: &[Caller], progress: &dyn Progress) {
    progress.step(Step::HangingUp);
    // A registration that is not removed expires by itself.
    join_all(callers.iter().map(|caller| async {
        if let Ok(call) = &caller.call {
            hang_up_call(call).await;
        }
        if let Some(phone) = caller.phone.as_ref().filter(|_| caller.registered.is_some()) {
            drop(within(phone.unregister()).await);
        }
    }))
    .await;
}

/// Hangs one up. A far end that does not answer BYE is nothing the caller can do more about.
pub(crate) async fn hang_up_call(call: &Call) {
    drop(within(call.hang_up()).await);
}

async fn within<T>(work: impl Future<Output = T>) -> Option<T> {
    tokio::time::timeout(HANG_UP_MAX, work).await.ok()
}

const LOWEST_HZ: usize = 400;
const SPAN_HZ: usize = 2_900;
const RING_MAX: Duration = Duration::from_secs(60);
const HANG_UP_MAX: Duration = Duration::from_secs(5);

/// Primes from 310 to 3,300 Hz, at least 15 Hz apart, none within 5 Hz of a multiple of another. Evenly spaced tones
/// would not do: what a limiter makes of two of them (2a - b) lies on a third, and a caller seems to hear itself.
#[rustfmt::skip]
const TONES: [u16; 103] = [
    419, 571, 709, 829, 857, 883, 929, 1019, 1061, 1097, 1129, 1163, 1187, 1217, 1283,
    1303, 1321, 1361, 1381, 1427, 1451, 1471, 1493, 1553, 1579, 1601, 1621, 1669, 1699, 1723,
    1741, 1759, 1789, 1811, 1831, 1847, 1873, 1889, 1913, 1933, 1951, 1973, 1993, 2011, 2029,
    2053, 2069, 2089, 2113, 2143, 2161, 2179, 2203, 2221, 2251, 2273, 2293, 2311, 2341, 2357,
    2383, 2399, 2423, 2441, 2459, 2477, 2503, 2521, 2539, 2557, 2593, 2617, 2633, 2659, 2677,
    2693, 2713, 2731, 2753, 2777, 2803, 2819, 2843, 2861, 2887, 2909, 2927, 2953, 2971, 3001,
    3023, 3049, 3067, 3089, 3121, 3137, 3169, 3191, 3209, 3229, 3253, 3271, 3299,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_tone_is_near_another_or_a_multiple_of_it() {
        for (n, &high) in TONES.iter().enumerate() {
            assert!((310..=3_300).contains(&high) && (2..high).all(|divisor| high % divisor != 0), "{high}");
            for &low in &TONES[..n] {
                let beside = (high % low).min(low - high % low);
                assert!(high - low >= 15 && beside > 5, "{low} and {high}");
            }
        }
    }

    #[test]
    fn every_caller_has_a_tone_of_its_own() {
        for all in [1, 2, 4, 48, 100, TONES.len(), TONES.len() + 1, 200, 2_000] {
            let tones: std::collections::BTreeSet<u32> = (0..all).map(|n| tone(n, all) as u32).collect();
            assert_eq!(tones.len(), all);
            assert!(tones.iter().all(|hz| (310..=3_300).contains(hz)));
        }
    }
}
