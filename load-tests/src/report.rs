//! What came out of a run.

use serde::Serialize;

use crate::delay::Delay;
use crate::generator::Generator;
use crate::hostile::Harm;
use crate::scenario::{Pass, Scenario};
use crate::steady::Steadiness;

/// Everything measured in a run, and whether it passed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// What was run.
    pub scenario: Scenario,
    /// No pass line was missed.
    pub passed: bool,
    /// The pass lines that were missed, in words.
    pub failures: Vec<String>,
    /// Set-up times of answered calls.
    pub setup: SetUp,
    /// Times of the registrations before calls, where there were some.
    pub registration: SetUp,
    /// How long sound was under way.
    pub delay: Delay,
    /// The generator itself.
    pub generator: Generator,
    /// Share of RTP packets lost over all calls.
    pub loss: f64,
    /// Longest time without a packet in any call, in ms.
    pub max_gap_ms: f64,
    /// Calls that were tried.
    pub calls_made: usize,
    /// Share of them that heard what they should.
    pub heard: f64,
    /// What the phones and the server had to put up with, of `hostile`.
    pub harm: Option<Harm>,
    /// What went on, and what the server needed for it, of `steady`.
    pub steadiness: Option<Steadiness>,
    /// The calls, in the order in which they began; of `steady` those alone that did not go as they should.
    pub calls: Vec<CallReport>,
    /// Of a room: level in dBov at which the row's caller hears the column's. Empty otherwise.
    pub levels_dbov: Vec<Vec<f32>>,
}

/// Times from a request to its 2xx, in ms; 0 without any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SetUp {
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CallReport {
    /// The caller's tone, in Hz.
    pub tone_hz: f32,
    /// It heard what it should and nothing that it should not.
    pub heard: bool,
    /// `us`, `far_end`, or `failed` for a call that was never answered.
    pub ended_by: &'static str,
    /// From REGISTER to 2xx, in ms, if the caller registered.
    pub register_ms: Option<f64>,
    /// From INVITE to 2xx, in ms.
    pub setup_ms: Option<f64>,
    /// RTP packets received.
    pub packets: u64,
    /// RTP packets lost.
    pub lost: u64,
    /// Share lost.
    pub loss: f64,
    /// Longest time between two packets, in ms.
    pub max_gap_ms: f64,
    /// Why the call was not answered.
    pub error: Option<String>,
    /// Of `steady`: what was called in which codec, and what then changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
}

impl CallReport {
    pub(crate) fn failed(tone_hz: f32) -> Self {
        Self {
            tone_hz,
            heard: false,
            ended_by: "failed",
            register_ms: None,
            setup_ms: None,
            packets: 0,
            lost: 0,
            loss: 0.0,
            max_gap_ms: 0.0,
            error: None,
            about: None,
        }
    }

    /// Whether it went as it should by itself, whatever share of all calls may not.
    fn is_good(&self, pass: &Pass) -> bool {
        let went = self.heard && self.ended_by == "us" && self.error.is_none();
        went && self.loss <= pass.loss_max && self.max_gap_ms <= pass.max_gap_ms
    }
}

impl SetUp {
    fn of(times_ms: impl Iterator<Item = f64>) -> Self {
        let mut times: Vec<f64> = times_ms.collect();
        times.sort_by(f64::total_cmp);
        Self {
            p50_ms: percentile(&times, 0.50),
            p99_ms: percentile(&times, 0.99),
            max_ms: percentile(&times, 1.0),
        }
    }
}

impl Report {
    pub(crate) fn new(
        scenario: &Scenario,
        calls: Vec<CallReport>,
        levels_dbov: Vec<Vec<f32>>,
        (delay, generator): (Delay, Generator),
    ) -> Self {
        let (packets, lost) =
            calls.iter().fold((0, 0), |sum, call| (sum.0 + call.packets, sum.1 + call.lost));
        let heard = calls.iter().filter(|call| call.heard).count();
        let mut report = Self {
            scenario: scenario.clone(),
            passed: false,
            failures: Vec::new(),
            setup: SetUp::of(calls.iter().filter_map(|call| call.setup_ms)),
            registration: SetUp::of(calls.iter().filter_map(|call| call.register_ms)),
            delay,
            generator,
            loss: share(lost, packets + lost),
            max_gap_ms: calls.iter().map(|call| call.max_gap_ms).fold(0.0, f64::max),
            calls_made: calls.len(),
            heard: share(heard as u64, calls.len() as u64),
            harm: None,
            steadiness: None,
            calls,
            levels_dbov,
        };
        report.failures = report.missed();
        report.passed = report.failures.is_empty();
        report
    }

    /// The same with what there was of harm. Too little of it proves nothing.
    pub(crate) fn with_harm(mut self, harm: Harm) -> Self {
        let how = self.scenario.hostile;
        let Harm { sent, damaged, hostile, registered, phones, .. } = harm;
        for (what, count, share) in [("damaged", damaged, how.damaged), ("hostile", hostile, how.hostile)] {
            // Half of what is expected: chance, and the last datagrams of a run.
            if (count as f64) < sent as f64 * share / 2.0 {
                self.failures.push(format!("only {count} of {sent} datagrams were {what}"));
            }
        }
        if registered < phones {
            self.failures.push(format!("{registered} of {phones} waiting phones stayed registered"));
        }
        self.passed = self.failures.is_empty();
        self.harm = Some(harm);
        self
    }

    /// The same with what the server needed.
    pub(crate) fn with_steadiness(mut self, steadiness: Steadiness) -> Self {
        let may = &self.scenario.steady;
        let problem = steadiness.samples.iter().find_map(|sample| sample.problem.as_ref());
        self.failures.extend(problem.map(|problem| format!("metrics cannot be read: {problem}")));
        let (grown, grown_max) = (steadiness.memory_growth_mb, may.memory_growth_max_mb);
        if grown > grown_max {
            self.failures.push(format!("resident memory grew by {grown:.1} MB, at most {grown_max} allowed"));
        }
        let late = steadiness.late_ticks.saturating_sub(steadiness.late_ticks_excused);
        if late > may.late_ticks_max {
            let max = may.late_ticks_max;
            self.failures.push(format!("{late} late ticks without an excuse, at most {max} allowed"));
        }
        if let (Some(before), Some(after)) = (steadiness.samples.first(), steadiness.samples.last())
            && after.descriptors > before.descriptors + may.descriptors_growth_max
        {
            let (before, after) = (before.descriptors, after.descriptors);
            self.failures
                .push(format!("{after} descriptors are open after the last call, {before} before the first"));
        }
        self.calls.retain(|call| !call.is_good(&self.scenario.pass));
        self.passed = self.failures.is_empty();
        self.steadiness = Some(steadiness);
        self
    }

    fn missed(&self) -> Vec<String> {
        let pass = &self.scenario.pass;
        let early = self.calls.iter().filter(|call| call.ended_by == "far_end").count();
        let mut missed = Vec::new();
        let mut rule = |good: bool, text: String| {
            if !good {
                missed.push(text);
            }
        };
        rule(
            self.heard >= pass.heard_min,
            format!("heard {:.4}, at least {} expected", self.heard, pass.heard_min),
        );
        rule(self.loss <= pass.loss_max, format!("loss {:.5}, at most {} allowed", self.loss, pass.loss_max));
        rule(
            self.max_gap_ms <= pass.max_gap_ms,
            format!("longest gap {:.0} ms, at most {} allowed", self.max_gap_ms, pass.max_gap_ms),
        );
        rule(
            self.setup.p99_ms <= pass.setup_p99_ms,
            format!("set-up p99 {:.0} ms, at most {} allowed", self.setup.p99_ms, pass.setup_p99_ms),
        );
        if let Some(max) = pass.delay_p99_ms {
            let (found, sent, p99) = (self.delay.found, self.delay.sent, self.delay.p99_ms);
            rule(found > 0, format!("none of {sent} markers was found, so that no delay is known"));
            let name = self.delay.name();
            rule(p99 <= max, format!("{name} p99 {p99:.0} ms, at most {max} allowed"));
        }
        rule(early == 0, format!("{early} calls were ended by the far end"));
        missed
    }

    /// The report as JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string_pretty(self)
    }

    /// The report as one HTML page that needs nothing else.
    pub fn to_html(&self) -> String {
        crate::html::page(self)
    }
}

/// Nearest-rank percentile of sorted values; 0 for none.
pub(crate) fn percentile(sorted: &[f64], share: f64) -> f64 {
    let rank = (sorted.len() as f64 * share).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied().unwrap_or(0.0)
}

fn share(part: u64, all: u64) -> f64 {
    if all == 0 { 0.0 } else { part as f64 / all as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<f64> = (1..=200).map(f64::from).collect();
        assert_eq!(
            (percentile(&values, 0.5), percentile(&values, 0.99), percentile(&values, 1.0)),
            (100.0, 198.0, 200.0)
        );
        assert_eq!(percentile(&[], 0.5), 0.0);
    }

    #[test]
    fn a_missed_line_fails_the_run_and_is_named() {
        let scenario = Scenario::load("echo-200").unwrap();
        let good = CallReport {
            heard: true,
            ended_by: "us",
            setup_ms: Some(9.0),
            packets: 99,
            ..CallReport::failed(440.0)
        };
        let report = |scenario: &Scenario, calls: &[CallReport]| {
            let measured = (Delay::of(scenario.kind, &[]), Generator::default());
            Report::new(scenario, calls.to_vec(), Vec::new(), measured)
        };
        assert!(report(&scenario, std::slice::from_ref(&good)).passed);
        let mut strict = scenario.clone();
        strict.pass.delay_p99_ms = Some(100.0);
        let unknown = report(&strict, std::slice::from_ref(&good));
        assert!(!unknown.passed && unknown.failures[0].contains("markers"), "{:?}", unknown.failures);
        let report = report(&scenario, &[good, CallReport::failed(441.0)]);
        assert!(!report.passed && report.failures[0].starts_with("heard 0.5"), "{:?}", report.failures);
        assert!(report.to_html().contains("<svg") && report.to_json().unwrap().contains("\"setup_ms\""));
    }
}
