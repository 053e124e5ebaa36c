//! `sidetone events`.

use sidetone_proto::events::v1::{WatchRequest, WatchedFact};
use tokio_stream::StreamExt as _;

use super::client::explain;
use super::output::{csv_line, line, time};
use super::{ClientArgs, Output};

/// What happens, as it happens.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone events                        everything that is kept, then what comes
  sidetone events --now                  only what comes
  sidetone events --cursor C --output json
  sidetone events --output csv > facts.csv
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
    if client.output == Output::Csv {
        csv_line(&HEADS.map(str::to_owned))?;
    }
    while let Some(fact) = facts.next().await {
        let fact = fact.map_err(|s| explain(&s))?;
        match client.output {
            Output::Json => line(&serde_json::to_string(&fact)?)?,
            Output::Csv => csv_line(&row(&fact)?)?,
            Output::Table => line(&describe(&fact)?)?,
        }
    }
    Ok(())
}

/// The columns of CSV: those by which facts are looked for, and all that the fact says, as JSON.
const HEADS: [&str; 7] = ["cursor", "at", "at_unix_ms", "kind", "call_id", "leg_id", "fact"];

fn row(watched: &WatchedFact) -> anyhow::Result<[String; 7]> {
    let Some(fact) = &watched.fact else {
        return Ok([
            watched.cursor.clone(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
        ]);
    };
    let document = serde_json::to_value(fact)?;
    let mut kinds = document.as_object().into_iter().flatten();
    let (kind, body) = kinds
        .rfind(|(_, body)| body.is_object())
        .map_or_else(Default::default, |(kind, body)| (kind.clone(), body.clone()));
    let text = |key: &str| body[key].as_str().unwrap_or_default().to_owned();
    Ok([
        watched.cursor.clone(),
        time(fact.at_unix_ms),
        fact.at_unix_ms.to_string(),
        kind,
        text("call_id"),
        text("leg_id"),
        body.to_string(),
    ])
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
