//! `sidetone conferences`.

use sidetone_proto::callcontrol::v1::ListConferencesRequest;

use super::ClientArgs;
use super::client::explain;
use super::output::{rows, time};

/// Rooms in which somebody is.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLE\n  sidetone conferences --output json")]
pub(crate) struct ConferencesArgs {
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: ConferencesArgs) -> anyhow::Result<()> {
    let client = args.client;
    let request = ListConferencesRequest { tenant: client.tenant.clone() };
    let response = client.calls()?.list_conferences(request).await.map_err(|s| explain(&s))?.into_inner();
    rows(
        client.output,
        &["conference_id", "room", "participants", "node", "started"],
        &response.conferences,
        |conference| {
            vec![
                conference.conference_id.clone(),
                conference.room.clone(),
                conference.participants.len().to_string(),
                conference.node_id.clone(),
                time(conference.started_unix_ms),
            ]
        },
    )
}
