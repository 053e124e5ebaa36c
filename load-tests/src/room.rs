//! Calls to a room: everybody hears everybody else, and not themselves.

use sidetone_testkit::rtp::{HEARD_DBOV, SILENCE_DBOV};

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
    let calls: Vec<_> = callers.iter().filter_map(|caller| caller.call.as_ref().ok()).collect();
    calls.iter().for_each(|call| call.ear().forget());
    // One after the other: in a mix, nobody could tell the markers of two apart.
    let one = |round: usize| {
        let talker = if calls.is_empty() { 0 } else { round % calls.len() };
        let (before, from) = calls.split_at(talker);
        let others = from.iter().skip(1).chain(before).copied().collect();
        from.first().map(|talker| Marking { talker, listeners: others }).into_iter().collect()
    };
    let caught = hold(scenario, one).await;
    let levels: Vec<Vec<f32>> = callers
        .iter()
        .map(|listener| {
            let ear = listener.call.as_ref().ok().map(|call| call.ear());
            let level = |tone| ear.as_ref().map_or(SILENCE_DBOV, |ear| ear.level_of(tone));
            callers.iter().map(|talker| level(talker.tone_hz)).collect()
        })
        .collect();
    let reports =
        callers.iter().enumerate().map(|(n, caller)| judge(caller, heard_right(n, &levels[n]))).collect();
    let generator = Generator::of(calls.iter().copied(), cpu);
    hang_up(&callers, progress).await;
    Report::new(scenario, reports, levels, (Delay::of(scenario.kind, &caught), generator))
}

fn heard_right(listener: usize, levels: &[f32]) -> bool {
    levels.iter().enumerate().all(|(talker, level)| (*level >= HEARD_DBOV) == (talker != listener))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hearing_oneself_or_missing_another_is_wrong() {
        assert!(heard_right(1, &[-22.0, -80.0, -23.0]));
        assert!(!heard_right(1, &[-22.0, -30.0, -23.0]));
        assert!(!heard_right(1, &[-22.0, -80.0, -70.0]));
    }
}
