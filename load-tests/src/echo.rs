//! Calls to an echo: everybody hears themselves.

use crate::delay::{Delay, Marking, hold};
use crate::generator::{Generator, cpu_time};
use crate::report::Report;
use crate::scenario::Scenario;
use crate::traffic::{Credential, Progress, Target, hang_up, judge, phone_config, set_up, tone};

/// Runs the scenario. Callers take the credentials in turn.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Report {
    let cpu = cpu_time();
    let configs = (0..scenario.calls)
        .zip(credentials.iter().cycle())
        .map(|(n, credential)| phone_config(target, credential, tone(n, scenario.calls)))
        .collect();
    let callers = set_up(scenario, configs, credentials.len(), |_| scenario.number.clone(), progress).await;
    let calls = || callers.iter().filter_map(|caller| caller.call.as_ref().ok());
    calls().for_each(|call| call.ear().forget());
    let everybody = |_| calls().map(|call| Marking { talker: call, listeners: vec![call] }).collect();
    let caught = hold(scenario, everybody).await;
    let reports = callers
        .iter()
        .map(|caller| judge(caller, caller.call.as_ref().is_ok_and(|call| call.ear().hears(caller.tone_hz))))
        .collect();
    let generator = Generator::of(calls(), cpu);
    hang_up(&callers, progress).await;
    Report::new(scenario, reports, Vec::new(), (Delay::of(scenario.kind, &caught), generator))
}
