//! Registered phones that are called by others: both sides hear the other.

use futures_util::future::join_all;
use sidetone_testkit::phone::{Phone, PhoneError};

use crate::delay::{Delay, Marking, hold};
use crate::generator::{Generator, cpu_time};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::traffic::{Credential, Progress, Target, hang_up, judge, phone_config, set_up, tone};

/// Runs the scenario: the first half of the credentials is called, the second calls. The report has the callers.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Report {
    let cpu = cpu_time();
    let (called, callers) = credentials.split_at(scenario.calls);
    let tones = scenario.calls * 2;
    let called_tone = |n: usize| tone(n + scenario.calls, tones);
    // A phone that cannot register shows as a call that fails.
    let phones: Vec<Result<Phone, PhoneError>> =
        join_all(called.iter().enumerate().map(|(n, credential)| async move {
            let mut config = phone_config(target, credential, called_tone(n));
            config.auto_answer = true;
            let phone = Phone::start(config).await?;
            phone.register().await?;
            Ok(phone)
        }))
        .await;
    let configs = callers
        .iter()
        .take(scenario.calls)
        .enumerate()
        .map(|(n, credential)| phone_config(target, credential, tone(n, tones)))
        .collect();
    let callers = set_up(scenario, configs, scenario.calls, |n| called[n].number.clone(), progress).await;
    let calls = || callers.iter().filter_map(|caller| caller.call.as_ref().ok());
    let answered: Vec<_> =
        phones.iter().map(|phone| phone.as_ref().ok().and_then(|phone| phone.calls().pop())).collect();
    calls().chain(answered.iter().flatten()).for_each(|call| call.ear().forget());
    let both_ways = |_| {
        let pairs = callers.iter().zip(&answered);
        let pairs = pairs.filter_map(|(caller, called)| Some((caller.call.as_ref().ok()?, called.as_ref()?)));
        let each = |(caller, called)| {
            [(caller, called), (called, caller)]
                .map(|(talker, listener)| Marking { talker, listeners: vec![listener] })
        };
        pairs.flat_map(each).collect()
    };
    let caught = hold(scenario, both_ways).await;
    let reports = callers
        .iter()
        .enumerate()
        .map(|(n, caller)| {
            let forth = phones[n]
                .as_ref()
                .is_ok_and(|phone| phone.calls().iter().any(|call| call.ear().hears(caller.tone_hz)));
            let back = caller.call.as_ref().is_ok_and(|call| call.ear().hears(called_tone(n)));
            judge(caller, forth && back)
        })
        .collect();
    let generator = Generator::of(calls().chain(answered.iter().flatten()), cpu);
    hang_up(&callers, progress).await;
    // Registrations of a server that is gone expire by themselves.
    join_all(phones.iter().flatten().map(|phone| async { drop(phone.unregister().await) })).await;
    Report::new(scenario, reports, Vec::new(), (Delay::of(scenario.kind, &caught), generator))
}
