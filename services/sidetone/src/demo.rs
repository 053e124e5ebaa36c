//! `sidetone demo`: everything in one process on free ports, generated callers in a room, and who heard whom.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use comfy_table::Table;
use sidetone_load_tests::{Credential, Hostility, Kind, Pass, Quiet, Report, Scenario, Steady, Target};

use crate::cli::{Output, line};
use crate::serve::{Role, Running, start};

/// What the demonstration is like.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Callers that meet in the room, 2 to 70: with more, what the limiter makes of their tones reaches the ear's threshold.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u16).range(2..=70))]
    callers: u16,
    /// How long they stay, in seconds, 2 to 3600.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(2..=3600))]
    seconds: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

/// Runs the demonstration; an error when somebody did not hear somebody else, or heard itself.
pub(crate) async fn run(args: DemoArgs) -> anyhow::Result<()> {
    let callers = usize::from(args.callers);
    let mut settings = crate::settings::parse(&configuration(callers))?;
    // Nothing is recorded, and a server that runs in this folder has its own there.
    let nowhere = Scratch::new();
    settings.media.recordings_dir = nowhere.0.clone();
    settings.log.install()?;
    let running = start(Role::All, settings).await?;
    let outcome = meet(&running, callers, args.seconds).await;
    running.lifecycle.stop();
    running.stopped().await;
    let report = outcome?;
    print(args.output, &report)?;
    let deaf = report.calls.iter().filter(|call| !call.heard).count();
    anyhow::ensure!(deaf == 0, "{deaf} of {callers} callers did not hear what they should");
    Ok(())
}

/// A folder that goes with the demonstration.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("sidetone-demo-{}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What was never made cannot be taken away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn meet(running: &Running, callers: usize, seconds: u64) -> anyhow::Result<Report> {
    let ready = async {
        while !running.lifecycle.is_ready() {
            tokio::time::sleep(READY_POLL).await;
        }
    };
    let waited = tokio::time::timeout(READY_MAX, ready).await;
    waited.with_context(|| format!("not ready: {}", running.lifecycle.not_ready().join(", ")))?;
    let server = *running.sip.first().context("there is no SIP listener")?;
    let target =
        Target { server, transport: sidetone_load_tests::Transport::Udp, domain: server.ip().to_string() };
    let scenario = Scenario {
        kind: Kind::Room,
        number: ROOM_NUMBER.to_owned(),
        calls: callers,
        seconds,
        calls_per_second: 20.0,
        register: None,
        phones: 0,
        hostile: Hostility::default(),
        steady: Steady::default(),
        pass: Pass::default(),
    };
    let credentials: Vec<_> = (1..=callers).map(credential).collect();
    Ok(sidetone_load_tests::run(&scenario, &target, &credentials, &Quiet).await?)
}

fn credential(caller: usize) -> Credential {
    let number = (1000 + caller).to_string();
    Credential { password: format!("sidetone-{number}"), number }
}

/// Everything on loopback with ports that the system chooses; a tenant with a user for each caller.
fn configuration(callers: usize) -> String {
    let mut text = FIXED.to_owned();
    for caller in 1..=callers {
        let Credential { number, password } = credential(caller);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "\n[[seed.tenants.users]]\nuser = \"user{number}\"\nnumbers = [\"{number}\"]\n\
             devices = [{{ device = \"phone{number}\", auth_username = \"{number}\", password = \"{password}\" }}]\n"
        );
    }
    text
}

fn print(output: Output, report: &Report) -> anyhow::Result<()> {
    match output {
        Output::Json => line(&report.to_json()?),
        Output::Csv => report.levels_dbov.iter().try_for_each(|levels| line(&words(levels).join(","))),
        Output::Table => line(&for_people(report)),
    }
}

fn for_people(report: &Report) -> String {
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    let heads = (1..=report.calls.len()).map(|caller| format!("CALLER {caller}"));
    table.set_header(std::iter::once("HEARS (dBov)".to_owned()).chain(heads));
    for (n, levels) in report.levels_dbov.iter().enumerate() {
        let name = format!("caller {} ({} Hz)", n + 1, report.calls[n].tone_hz);
        table.add_row(std::iter::once(name).chain(words(levels)));
    }
    let errors: String = report
        .calls
        .iter()
        .enumerate()
        .filter_map(|(n, call)| call.error.as_ref().map(|error| format!("caller {}: {error}\n", n + 1)))
        .collect();
    format!(
        "{}\n\n{errors}set-up: median {:.1} ms, longest {:.1} ms; RTP loss {:.3} %, longest gap {:.0} ms",
        table.trim_fmt(),
        report.setup.p50_ms,
        report.setup.max_ms,
        report.loss * 100.0,
        report.max_gap_ms,
    )
}

fn words(levels: &[f32]) -> Vec<String> {
    levels.iter().map(|level| format!("{level:.0}")).collect()
}

const ROOM_NUMBER: &str = "3000";
const READY_MAX: Duration = Duration::from_secs(20);
const READY_POLL: Duration = Duration::from_millis(20);

const FIXED: &str = r#"
[log]
filter = "error"
[admin]
bind = "127.0.0.1:0"
[grpc]
bind = "127.0.0.1:0"
[http]
bind = "127.0.0.1:0"
[[signalling.listeners]]
transport = "udp"
bind = "127.0.0.1:0"
[media]
pin_workers = false
[[media.realms]]
bind_ip = "127.0.0.1"
port_min = 0
[[seed.tenants]]
tenant = "demo"
domains = ["127.0.0.1"]
[[seed.tenants.rooms]]
room = "lobby"
[[seed.tenants.numbers]]
number = "3000"
room = "lobby"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_configuration_is_a_good_one() {
        crate::settings::parse(&configuration(3)).unwrap();
    }
}
