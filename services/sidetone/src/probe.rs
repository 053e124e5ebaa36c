//! `sidetone probe`: calls a number that answers with an echo, and says whether the calls heard themselves.

use std::net::SocketAddr;

use anyhow::Context as _;
use comfy_table::Table;
use sidetone_load_tests::{
    CallReport, Credential, Hostility, Kind, Pass, Quiet, Scenario, Steady, Target, Transport,
};

use crate::cli::{Output, line};

/// What is probed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The password comes from SIDETONE_PROBE_PASSWORD. The exit status is an error when no call heard itself.")]
pub(crate) struct ProbeArgs {
    /// The number to call; it must be an echo.
    number: String,
    #[command(flatten)]
    pub(crate) caller: CallerArgs,
    /// Calls at once, 1 to 2000.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=2000))]
    calls: u16,
    /// How long the calls are held, in seconds, 2 to 86400.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(2..=86_400))]
    seconds: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Who calls whom; common to the commands that generate calls.
#[derive(Debug, clap::Args)]
pub(crate) struct CallerArgs {
    /// The SIP address of the cluster, host:port.
    #[arg(long, default_value = "127.0.0.1:5060")]
    target: String,
    /// Host part of SIP addresses. Default: the host of the target.
    #[arg(long)]
    domain: Option<String>,
    /// Digest user names of the callers, which are their numbers too; all have the same password. 2000..4499 is all from the
    /// first to the last.
    #[arg(long = "user", required = true)]
    users: Vec<String>,
    /// Use one TCP connection for each caller instead of UDP.
    #[arg(long)]
    tcp: bool,
    /// Digest password.
    #[arg(long, env = "SIDETONE_PROBE_PASSWORD", hide = true, hide_env_values = true, default_value = "")]
    password: String,
}

impl CallerArgs {
    /// Resolves the target.
    pub(crate) async fn target(&self) -> anyhow::Result<Target> {
        let found = tokio::net::lookup_host(&self.target).await;
        let found: Vec<SocketAddr> = found.with_context(|| format!("--target {}", self.target))?.collect();
        let server = found.iter().find(|address| address.is_ipv4()).or(found.first()).copied();
        let server = server.with_context(|| format!("--target {} has no address", self.target))?;
        let host = self.target.rsplit_once(':').map_or(self.target.as_str(), |(host, _)| host);
        let domain = self.domain.clone().unwrap_or_else(|| host.to_owned());
        let transport = if self.tcp { Transport::Tcp } else { Transport::Udp };
        Ok(Target { server, transport, domain })
    }

    /// The callers.
    pub(crate) fn credentials(&self) -> Vec<Credential> {
        let credential = |number| Credential { number, password: self.password.clone() };
        self.users.iter().flat_map(|user| numbers(user)).map(credential).collect()
    }
}

/// All users that one word stands for.
fn numbers(word: &str) -> Vec<String> {
    let range =
        word.split_once("..").and_then(|(first, last)| Some((first.parse().ok()?, last.parse().ok()?)));
    match range {
        Some((first, last)) => (first..=last).take(USERS_MAX).map(|n: u64| n.to_string()).collect(),
        None => vec![word.to_owned()],
    }
}

/// Probes.
pub(crate) async fn run(args: ProbeArgs) -> anyhow::Result<()> {
    let scenario = Scenario {
        kind: Kind::Echo,
        number: args.number,
        calls: usize::from(args.calls),
        seconds: args.seconds,
        calls_per_second: 50.0,
        register: None,
        phones: 0,
        hostile: Hostility::default(),
        steady: Steady::default(),
        pass: Pass::default(),
    };
    let target = args.caller.target().await?;
    let report = sidetone_load_tests::run(&scenario, &target, &args.caller.credentials(), &Quiet).await?;
    match args.output {
        Output::Json => line(&serde_json::to_string_pretty(&report.calls)?)?,
        Output::Csv => {
            line(&HEADS.join(","))?;
            report.calls.iter().try_for_each(|call| line(&row(call).join(",")))?;
        }
        Output::Table => {
            let mut table = Table::new();
            table.load_preset(comfy_table::presets::NOTHING);
            table.set_header(HEADS.map(str::to_uppercase));
            table.add_rows(report.calls.iter().map(row));
            line(&table.trim_fmt())?;
        }
    }
    anyhow::ensure!(report.calls.iter().any(|call| call.heard), "no call heard itself");
    Ok(())
}

fn row(call: &CallReport) -> Vec<String> {
    vec![
        call.heard.to_string(),
        call.ended_by.to_owned(),
        call.setup_ms.map_or_else(|| "-".to_owned(), |ms| format!("{ms:.1}")),
        format!("{:.5}", call.loss),
        format!("{:.0}", call.max_gap_ms),
        call.error.clone().unwrap_or_default().replace(',', ";"),
    ]
}

/// Of one range.
const USERS_MAX: usize = 100_000;
const HEADS: [&str; 6] = ["heard", "ended_by", "setup_ms", "loss", "max_gap_ms", "error"];
