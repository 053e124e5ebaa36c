//! `sidetone load`: generated traffic with pass lines.

use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use sidetone_load_tests::{Kind, Progress, Report, Scenario, Step};

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
}

#[derive(Debug, clap::Args)]
#[command(after_help = "The password comes from SIDETONE_PROBE_PASSWORD; it is the same for all users.")]
struct RunArgs {
    /// A TOML file, or a built-in scenario: room, echo-200, two-party.
    scenario: String,
    #[command(flatten)]
    caller: CallerArgs,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
    /// Writes report.json and report.html into this folder, which is made.
    #[arg(long)]
    report: Option<PathBuf>,
}

/// Carries out a load command.
pub(crate) async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let LoadCommand::Run(args) = args.command;
    let scenario = Scenario::load(&args.scenario)?;
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
    };
    format!(
        "{kind}: {verdict}\ncalls {}, heard {:.2} %\nset-up p50 {:.1} ms, p99 {:.1} ms\nloss {:.4} %, longest gap {:.0} ms",
        report.calls.len(),
        report.heard * 100.0,
        report.setup.p50_ms,
        report.setup.p99_ms,
        report.loss * 100.0,
        report.max_gap_ms,
    )
}

/// Progress on standard error, when that is a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new(scenario: &Scenario) -> anyhow::Result<Self> {
        let bar = ProgressBar::new(u64::try_from(scenario.calls)?);
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
