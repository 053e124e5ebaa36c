//! Mixed load that goes on: calls come and go, change their codec, hold, meet in rooms, are recorded and hear prompts, while what
//! the server needs of the machine is watched.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde::{Deserialize, Serialize};
use sidetone_dsp::codec::Codec;
use sidetone_dsp::g711::Law;
use sidetone_testkit::netem::Dice;
use sidetone_testkit::phone::{Call, Direction, EndedBy, Phone, PhoneError};

use crate::delay::Delay;
use crate::generator::{Generator, cpu_time};
use crate::report::{CallReport, Report};
use crate::resources::{self, Sample, Scrapes};
use crate::scenario::Scenario;
use crate::traffic::{Credential, Progress, Step, Target, hang_up_call, measured, phone_config, tone};

/// What goes on, and what the server may need for it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Steady {
    /// Numbers that are called beside the scenario's echo: rooms, recorded ones, announcements. From them packets must come.
    pub numbers: Vec<String>,
    /// Shortest and longest time for which a call lasts, in seconds, 4 to 3600.
    pub call_s: [u64; 2],
    /// Of the random numbers.
    pub seed: u64,
    /// URLs of metrics of the processes that are watched. Without any, only the calls are judged.
    pub metrics: Vec<String>,
    /// By how much resident memory may be larger in the last tenth of the run than in its second, in MB (10^6 bytes), over all
    /// processes watched.
    pub memory_growth_max_mb: f64,
    /// How many more file descriptors may be open a while after the last call than before the first.
    pub descriptors_growth_max: u64,
    /// Late ticks of media nodes that the machine does not excuse.
    pub late_ticks_max: u64,
}

/// What there was of it.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Steadiness {
    /// Codecs changed in calls.
    pub codec_changes: u64,
    /// Calls held and taken back.
    pub holds: u64,
    /// Late ticks during the run, and those of them for which the kernel says that others had the processor.
    pub late_ticks: u64,
    /// See `late_ticks`.
    pub late_ticks_excused: u64,
    /// What hosts took from this machine meanwhile, in ms of all its processors.
    pub stolen_ms: u64,
    /// By how much the mean of resident memory in the last tenth exceeds that in the second, in MB.
    pub memory_growth_mb: f64,
    /// What was watched: before the first call, at intervals, and after the last.
    pub samples: Vec<Sample>,
}

impl Default for Steady {
    fn default() -> Self {
        Self {
            numbers: Vec::new(),
            call_s: [4, 20],
            seed: 1,
            metrics: Vec::new(),
            memory_growth_max_mb: 16.0,
            descriptors_growth_max: 0,
            late_ticks_max: 0,
        }
    }
}

/// Runs the scenario. Callers take the credentials in turn; the report lists those calls alone that did not go as they should.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    credentials: &[Credential],
    progress: &dyn Progress,
) -> Report {
    let cpu = cpu_time();
    let steady = &scenario.steady;
    let scrapes = Scrapes::new(&steady.metrics);
    let before = scrapes.sample(0).await;
    let end = Instant::now() + Duration::from_secs(scenario.seconds);
    let slots = credentials.iter().cycle().take(scenario.calls).enumerate().map(|(n, credential)| {
        let slot = Slot { n, scenario, target, credential, end, dice: Dice::new(steady.seed + n as u64) };
        slot.run(progress)
    });
    let (slots, watched) = tokio::join!(join_all(slots), scrapes.watch(end));
    let after = scrapes.settled(&before, steady.descriptors_growth_max, scenario.seconds).await;

    let mut samples = vec![before];
    samples.extend(watched);
    samples.push(after);
    let mut steadiness = Steadiness {
        late_ticks: resources::grown(&samples, |sample| sample.late_ticks),
        late_ticks_excused: resources::grown(&samples, |sample| sample.late_ticks_excused),
        stolen_ms: resources::grown(&samples, |sample| sample.stolen_ms),
        memory_growth_mb: resources::memory_growth_mb(&samples),
        samples,
        ..Steadiness::default()
    };
    let mut calls = Vec::new();
    let mut generator = Generator::default();
    for done in slots {
        steadiness.codec_changes += done.codec_changes;
        steadiness.holds += done.holds;
        generator = generator.with(&done.generator);
        calls.extend(done.calls);
    }
    generator.cpu_s = cpu_time().saturating_sub(cpu).as_secs_f64();
    let measured = (Delay::of(scenario.kind, &[]), generator);
    Report::new(scenario, calls, Vec::new(), measured).with_steadiness(steadiness)
}

/// One caller after the other, in one place.
struct Slot<'a> {
    n: usize,
    scenario: &'a Scenario,
    target: &'a Target,
    credential: &'a Credential,
    end: Instant,
    dice: Dice,
}

#[derive(Default)]
struct Done {
    calls: Vec<CallReport>,
    codec_changes: u64,
    holds: u64,
    generator: Generator,
}

impl Slot<'_> {
    async fn run(mut self, progress: &dyn Progress) -> Done {
        let mut done = Done::default();
        let stagger = self.n as f64 / self.scenario.calls_per_second;
        tokio::time::sleep(Duration::from_secs_f64(stagger)).await;
        loop {
            let [shortest, longest] = self.scenario.steady.call_s;
            let lasts = Duration::from_secs(shortest + self.dice.below(longest - shortest + 1));
            if Instant::now() + lasts > self.end && !done.calls.is_empty() {
                return done;
            }
            let report = self.call(lasts, &mut done).await;
            progress.step(if report.error.is_none() { Step::Answered } else { Step::Failed });
            if report.error.is_some() {
                // A server that refuses at once is not asked at once again.
                tokio::time::sleep(AFTER_REFUSAL).await;
            }
            done.calls.push(report);
        }
    }

    async fn call(&mut self, lasts: Duration, done: &mut Done) -> CallReport {
        // Of the lower half of the band: GSM (06.10) carries it well, and who meets in a room is not judged by tones here.
        let tone_hz = tone(self.n / 2, self.scenario.calls);
        let others = &self.scenario.steady.numbers;
        let number = others.get(self.dice.below(others.len() as u64 + 1) as usize);
        let mut config = phone_config(self.target, self.credential, tone_hz);
        let codec = self.codec();
        config.codecs = vec![codec];
        let phone = match Phone::start(config).await {
            Ok(phone) => phone,
            Err(error) => return measured(tone_hz, &Err(error), None, false),
        };
        let call = phone.call(number.unwrap_or(&self.scenario.number)).await;
        let Ok(call) = call else { return measured(tone_hz, &call, None, false) };
        let outcome = self.live(&call, lasts, done).await;
        let heard = match number {
            None => call.ear().hears_at_least_half(tone_hz),
            Some(_) => call.ear().received().packets > 0,
        };
        // An announcement may be over before the call is.
        let by_itself = number.is_some() && matches!(call.ended(), Some(EndedBy::FarEnd { .. }));
        done.generator = done.generator.with(&Generator::of(std::iter::once(&call), Duration::ZERO));
        let answered = Ok(call);
        let mut report = measured(tone_hz, &answered, None, heard);
        if let Ok(call) = &answered {
            hang_up_call(call).await;
        }
        if by_itself {
            // Silence is what an announcement ends with.
            (report.ended_by, report.max_gap_ms) = ("us", 0.0);
        }
        let called = number.unwrap_or(&self.scenario.number);
        let change = outcome.as_ref().map_or_else(ToString::to_string, |change| format!("{change:?}"));
        report.about = Some(format!("{called} in {codec:?}, {lasts:?}; {change}"));
        match outcome {
            Ok(Change::Hold) => report.max_gap_ms = 0.0,
            Ok(Change::Codec(_) | Change::Nothing) => {}
            Err(_) if by_itself => {}
            Err(error) => (report.error, report.heard) = (Some(error.to_string()), false),
        }
        report
    }

    /// Half of its time as it was answered, and the other half after something has changed.
    async fn live(&mut self, call: &Call, lasts: Duration, done: &mut Done) -> Result<Change, PhoneError> {
        tokio::time::sleep(lasts / 2).await;
        if call.ended().is_some() {
            return Ok(Change::Nothing);
        }
        let change = match self.dice.below(3) {
            0 => Change::Codec(self.codec()),
            1 => Change::Hold,
            _ => Change::Nothing,
        };
        match change {
            Change::Codec(codec) => {
                call.change_codecs(&[codec]).await?;
                done.codec_changes += 1;
            }
            Change::Hold => {
                call.reinvite(Direction::SendOnly).await?;
                tokio::time::sleep(HELD).await;
                call.reinvite(Direction::SendRecv).await?;
                done.holds += 1;
            }
            Change::Nothing => {}
        }
        call.ear().forget();
        tokio::time::sleep(lasts / 2).await;
        Ok(change)
    }

    fn codec(&mut self) -> Codec {
        CODECS[self.dice.below(CODECS.len() as u64) as usize]
    }
}

/// What happens to a call in the midst of it.
#[derive(Debug, Clone, Copy)]
enum Change {
    Codec(Codec),
    Hold,
    Nothing,
}

/// What every installation takes that has not chosen otherwise.
const CODECS: [Codec; 5] = [Codec::G711(Law::A), Codec::G711(Law::Mu), Codec::G722, Codec::Gsm, Codec::Opus];
const HELD: Duration = Duration::from_millis(1_000);
const AFTER_REFUSAL: Duration = Duration::from_secs(1);
