//! Registered phones that are called by others: both sides hear the other.

use futures_util::future::join_all;
use sidetone_testkit::phone::{Phone, PhoneError};

use crate::report::Report;
use crate::scenario::Scenario;
use crate::traffic::{Credential, Progress, Target, hang_up, hold, judge, phone_config, set_up, tone};

/// Runs the scenario: the first half of the credentials is called, the second calls. The report has the callers.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Report {
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
    let callers = set_up(scenario, configs, |n| called[n].number.clone(), progress).await;
    let calls = || callers.iter().filter_map(|caller| caller.call.as_ref().ok());
    for call in phones.iter().flatten().flat_map(Phone::calls) {
        call.ear().forget();
    }
    hold(scenario, calls()).await;
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
    hang_up(calls(), progress).await;
    // Registrations of a server that is gone expire by themselves.
    join_all(phones.iter().flatten().map(|phone| async { drop(phone.unregister().await) })).await;
    Report::new(scenario, reports, Vec::new())
}
