//! `sidetone events`.

use sidetone_proto::events::v1::{WatchRequest, WatchedFact};
use tokio_stream::StreamExt as _;

use super::client::explain;
use super::output::{line, time};
use super::{ClientArgs, Output};

/// What happens, as it happens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone events                        everything that is kept, then what comes
  sidetone events --now                  only what comes
  sidetone events --cursor C --output json
Each JSON line has the cursor from which to resume.")]
pub(crate) struct EventsArgs {
    /// Go on after this one.
    #[arg(long, default_value = "", hide_default_value = true)]
    cursor: String,
    /// Only what comes from now on.
    #[arg(long, conflicts_with = "cursor")]
    now: bool,
    /// End after so many.
    #[arg(long)]
    limit: Option<usize>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: EventsArgs) -> anyhow::Result<()> {
    let client = args.client;
    let request = WatchRequest { tenant: client.tenant.clone(), cursor: args.cursor, from_now: args.now };
    let facts = client.events()?.watch(request).await.map_err(|s| explain(&s))?.into_inner();
    let mut facts = facts.take(args.limit.unwrap_or(usize::MAX));
    while let Some(fact) = facts.next().await {
        let fact = fact.map_err(|s| explain(&s))?;
        match client.output {
            Output::Json => line(&serde_json::to_string(&fact)?)?,
            Output::Table | Output::Csv => line(&describe(&fact)?)?,
        }
    }
    Ok(())
}

/// A fact on one line: its time, its name, and what it says.
fn describe(watched: &WatchedFact) -> anyhow::Result<String> {
    let Some(fact) = &watched.fact else { return Ok(String::new()) };
    let mut document = serde_json::to_value(fact)?;
    let mut text = time(fact.at_unix_ms);
    let kinds = document.as_object_mut().into_iter().flatten();
    for (name, body) in kinds.filter(|(_, body)| body.is_object()) {
        text.push_str(&format!("  {name:<22}"));
        for (key, value) in body.as_object().into_iter().flatten() {
            match value {
                serde_json::Value::String(value) if value.is_empty() => {}
                serde_json::Value::String(value) => text.push_str(&format!(" {key}={value}")),
                other => text.push_str(&format!(" {key}={other}")),
            }
        }
    }
    Ok(text)
}
