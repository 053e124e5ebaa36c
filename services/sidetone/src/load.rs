//! `sidetone load`: generated traffic with pass lines.

mod deliver;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sidetone_load_tests::{Harm, Kind, Limit, Progress, Report, Scenario, Steadiness, Step, limit};

use crate::cli::{Output, line};
use crate::probe::CallerArgs;

/// Load tests.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArgs {
    #[command(subcommand)]
    command: LoadCommand,
}

#[derive(Debug, clap::Subcommand)]
enum LoadCommand {
    /// Run a scenario; the exit status is that of its pass lines.
    Run(RunArgs),
    /// Make calls while the receiver of their webhooks is killed, slow and answers 500 in turn; the exit status tells whether it
    /// got everything, in order and once.
    Deliver(deliver::DeliverArgs),
    /// Find out how many calls one processor of this machine can drive, without a server.
    Limit(LimitArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
Calls send to each other on loopback, all on one processor; half as many again each time, until more than one frame in a
thousand goes out over 10 ms late or is not heard. Let nothing else run meanwhile.")]
struct LimitArgs {
    /// How long each number of calls is driven, in seconds, 1 to 600.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The most calls that are tried, 100 to 20000. Each takes a socket and two threads.
    #[arg(long, default_value_t = 4000, value_parser = clap::value_parser!(u64).range(100..=20_000))]
    calls_max: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "The password comes from SIDETONE_PROBE_PASSWORD; it is the same for all users.")]
struct RunArgs {
    /// A TOML file, or a built-in scenario: room, echo-200, two-party, hostile, steady.
    scenario: String,
    #[command(flatten)]
    caller: CallerArgs,
    /// URL of the metrics of a process that steady watches; may be given several times.
    #[arg(long = "metrics", value_name = "URL")]
    metrics: Vec<String>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Writes report.json and report.html into this folder, which is made.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Carries out a load command.
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let args = match args.command {
        LoadCommand::Run(args) => args,
        LoadCommand::Limit(args) => return find_limit(args).await,
        LoadCommand::Deliver(args) => return deliver::run(args).await,
    };
    let mut scenario = Scenario::load(&args.scenario)?;
    scenario.steady.metrics.extend(args.metrics);
    let target = args.caller.target().await?;
    let bar = Bar::new(&scenario)?;
    let report = sidetone_load_tests::run(&scenario, &target, &args.caller.credentials(), &bar).await?;
    bar.0.finish_and_clear();
    if let Some(folder) = &args.report {
        write(folder, &report).with_context(|| format!("--report {}", folder.display()))?;
    }
    match args.output {
        Output::Json => line(&report.to_json()?)?,
        Output::Table | Output::Csv => line(&summary(&report))?,
    }
    anyhow::ensure!(report.passed, "failed: {}", report.failures.join("; "));
    Ok(())
}

/// On a thread of its own, whose children stay on the one processor that it takes.
async fn find_limit(args: LimitArgs) -> anyhow::Result<()> {
    let (step, calls_max) = (Duration::from_secs(args.seconds), usize::try_from(args.calls_max)?);
    let measured = tokio::task::spawn_blocking(move || {
        let cpu = sidetone_net::allowed_cpus()?.into_iter().next_back();
        cpu.map_or(Ok(()), sidetone_net::pin_current_thread)?;
        limit::measure(step, calls_max)
    });
    let limit: Limit = measured.await?.context("opening calls")?;
    match args.output {
        Output::Json => line(&serde_json::to_string_pretty(&limit)?)?,
        Output::Csv => {
            line("calls,cpu,late,latest_ms,loss,good")?;
            let rows = limit.steps.iter().map(|step| step_row(step).join(","));
            rows.into_iter().try_for_each(|row| line(&row))?;
        }
        Output::Table => {
            let mut table = comfy_table::Table::new();
            table.load_preset(comfy_table::presets::NOTHING);
            table.set_header(["CALLS", "CPU", "LATE", "LATEST MS", "LOSS", "GOOD"]);
            table.add_rows(limit.steps.iter().map(step_row));
            line(&table.trim_fmt())?;
            line(&format!("one processor of this machine drives {} calls", limit.calls))?;
        }
    }
    Ok(())
}

fn step_row(step: &limit::LimitStep) -> Vec<String> {
    vec![
        step.calls.to_string(),
        format!("{:.2}", step.cpu),
        format!("{:.5}", step.late),
        format!("{:.1}", step.latest_ms),
        format!("{:.5}", step.loss),
        step.good.to_string(),
    ]
}

fn write(folder: &std::path::Path, report: &Report) -> anyhow::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("report.json"), report.to_json()?)?;
    std::fs::write(folder.join("report.html"), report.to_html())?;
    Ok(())
}

fn summary(report: &Report) -> String {
    let verdict = if report.passed { "passed" } else { "failed" };
    let kind = match report.scenario.kind {
        Kind::Room => "room",
        Kind::Echo => "echo",
        Kind::Pair => "pair",
        Kind::Hostile => "hostile",
        Kind::Steady => "steady",
    };
    let text = format!(
        "{kind}: {verdict}\ncalls {}, heard {:.2} %\nset-up p50 {:.1} ms, p99 {:.1} ms\nloss {:.4} %, longest gap {:.0} ms\n\
         {} p50 {:.1} ms, p99 {:.1} ms ({} of {} markers found)\n\
         generator: {:.1} s of processor time, {} of {} frames late, the latest by {:.1} ms",
        report.calls_made,
        report.heard * 100.0,
        report.setup.p50_ms,
        report.setup.p99_ms,
        report.loss * 100.0,
        report.max_gap_ms,
        report.delay.name(),
        report.delay.p50_ms,
        report.delay.p99_ms,
        report.delay.found,
        report.delay.sent,
        report.generator.cpu_s,
        report.generator.late,
        report.generator.frames,
        report.generator.latest_ms,
    );
    match (&report.harm, &report.steadiness) {
        (Some(harm), _) => format!("{text}\n{}", harm_suffered(harm)),
        (None, Some(steadiness)) => format!("{text}\n{}", needed(steadiness)),
        (None, None) => text,
    }
}

fn needed(steadiness: &Steadiness) -> String {
    let descriptors =
        |sample: Option<&sidetone_load_tests::Sample>| sample.map_or(0, |sample| sample.descriptors);
    format!(
        "{} codecs changed, {} calls held\nresident memory grew by {:.1} MB; descriptors {} before, {} after; late ticks {}, \
         excused {}",
        steadiness.codec_changes,
        steadiness.holds,
        steadiness.memory_growth_mb,
        descriptors(steadiness.samples.first()),
        descriptors(steadiness.samples.last()),
        steadiness.late_ticks,
        steadiness.late_ticks_excused,
    )
}

fn harm_suffered(harm: &Harm) -> String {
    format!(
        "{} of {} waiting phones stayed registered\n{} datagrams of phones, {} damaged; {} hostile ones; {} requests tried again",
        harm.registered, harm.phones, harm.sent, harm.damaged, harm.hostile, harm.tried_again
    )
}

/// Progress on standard error, when that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let calls = match scenario.kind {
            // About as many: how long each lasts is left to chance.
            Kind::Steady => {
                let [shortest, longest] = scenario.steady.call_s;
                scenario.calls as u64 * scenario.seconds * 2 / (shortest + longest)
            }
            _ => u64::try_from(scenario.calls)?,
        };
        let bar = ProgressBar::new(calls);
        bar.set_style(ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {elapsed}")?);
        bar.set_message("calling");
        Ok(Self(bar))
    }
}

impl Progress for Bar {
    fn step(&self, step: Step) {
        match step {
            Step::Answered | Step::Failed => self.0.inc(1),
            Step::Holding => self.0.set_message("listening"),
            Step::HangingUp => self.0.set_message("hanging up"),
        }
    }
}
