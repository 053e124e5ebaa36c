//! `sidetone load deliver`: webhooks to a receiver in a bad way.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use sidetone_load_tests::delivery::{self, Delivery, DeliveryReport, Receivers};
use sidetone_load_tests::{Progress, Step};

use crate::cli::{Output, line};
use crate::probe::CallerArgs;

/// What is called, and who listens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The cluster must have two applications of kind bot in the tenant that is called, with the event URLs http://ADDRESS/events of the
two receivers, and outbox.allowed_networks must let them be reached. The password comes from SIDETONE_PROBE_PASSWORD.")]
pub(crate) struct DeliverArgs {
    /// The number of an echo.
    number: String,
    #[command(flatten)]
    caller: CallerArgs,
    /// Where the receiver in a bad way listens.
    #[arg(long)]
    moody: SocketAddr,
    /// Where the receiver that always answers listens.
    #[arg(long)]
    steady: SocketAddr,
    /// Calls in all, 1 to 100000.
    #[arg(long, default_value_t = 1000)]
    calls: usize,
    /// Over how long they begin, in seconds, 2 to 86400.
    #[arg(long, default_value_t = 300)]
    seconds: u64,
    /// How long each call lasts, in milliseconds, 500 to 600000.
    #[arg(long, default_value_t = 2000)]
    call_ms: u64,
    /// How long the receiver is in each of its four moods, in seconds, 1 to 3600.
    #[arg(long, default_value_t = 30)]
    turn: u64,
    /// How late a slow answer is, in milliseconds.
    #[arg(long, default_value_t = 12_000)]
    slow_ms: u64,
    /// How long what is owed may take after the last call, in seconds, 1 to 86400.
    #[arg(long, default_value_t = 900)]
    settle: u64,
    /// Largest 99th percentile of the time to the good receiver, in milliseconds. Default none.
    #[arg(long)]
    steady_p99_ms: Option<f64>,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs it.
pub(crate) async fn run(args: DeliverArgs) -> anyhow::Result<()> {
    let delivery = Delivery {
        number: args.number,
        calls: args.calls,
        seconds: args.seconds,
        call_ms: args.call_ms,
        turn_s: args.turn,
        slow_ms: args.slow_ms,
        settle_s: args.settle,
        steady_p99_ms: args.steady_p99_ms,
    };
    let target = args.caller.target().await?;
    let receivers = Receivers { moody: args.moody, steady: args.steady };
    let credentials = args.caller.credentials();
    let report = delivery::run(&delivery, &target, receivers, &credentials, &Count::default()).await?;
    match args.output {
        Output::Json => line(&serde_json::to_string_pretty(&report)?)?,
        Output::Table | Output::Csv => line(&summary(&report))?,
    }
    anyhow::ensure!(report.passed, "failed: {}", report.failures.join("; "));
    Ok(())
}

fn summary(report: &DeliveryReport) -> String {
    let (verdict, found) = (if report.passed { "passed" } else { "failed" }, &report.judgement);
    let times = |[p50, p99, max]: [f64; 3]| format!("p50 {p50:.0} ms, p99 {p99:.0} ms, longest {max:.0} ms");
    let settled = report.settled_s.map_or("never".to_owned(), |s| format!("{s:.1} s after the last call"));
    format!(
        "delivery: {verdict}\ncalls {}, answered {}\nevents {}, lost {}, calls out of order {}, under two keys {}\n\
         sent again under the same key: {} to the receiver in a bad way, {} to the good one\n\
         good receiver: {}\nreceiver in a bad way: {}\neverything delivered: {settled}",
        report.delivery.calls,
        report.answered,
        found.events,
        found.lost,
        found.out_of_order,
        found.doubled,
        found.repeats[0],
        found.repeats[1],
        times(found.steady_ms),
        times(found.moody_ms),
    )
}

/// Says on standard error how far it is.
#[derive(Default)]
struct Count(AtomicUsize);

impl Progress for Count {
    fn step(&self, step: Step) {
        let calls = self.0.fetch_add(usize::from(step != Step::Holding), Ordering::Relaxed);
        if step == Step::Holding || (calls + 1).is_multiple_of(100) {
            tracing::info!(calls = calls + 1, "calls made");
        }
    }
}
