//! `sidetone nodes`.

use serde::Serialize;
use sidetone_proto::callcontrol::v1::ListNodesRequest;

use super::ClientArgs;
use super::client::explain;
use super::output::rows;

/// Media nodes and signalling replicas.
#[derive(Debug, clap::Args)]
#[command(after_help = "EXAMPLE\n  sidetone nodes\nOnly for operators.")]
pub(crate) struct NodesArgs {
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Serialize)]
struct Row {
    kind: &'static str,
    name: String,
    boot_id: String,
    address: String,
    legs: u32,
    legs_max: Option<u32>,
    state: &'static str,
}

pub(crate) async fn run(args: NodesArgs) -> anyhow::Result<()> {
    let client = args.client;
    let response =
        client.calls()?.list_nodes(ListNodesRequest {}).await.map_err(|s| explain(&s))?.into_inner();
    let media = response.media.into_iter().map(|node| Row {
        kind: "media",
        name: node.node_id,
        boot_id: node.boot_id,
        address: node.address,
        legs: node.legs,
        legs_max: Some(node.legs_max),
        state: match (node.reachable, node.draining) {
            (false, _) => "unreachable",
            (true, true) => "draining",
            (true, false) => "ready",
        },
    });
    let signalling = response.signalling.into_iter().map(|node| Row {
        kind: "signalling",
        name: node.replica_id,
        boot_id: node.boot_id,
        address: String::new(),
        legs: node.legs,
        legs_max: None,
        state: if node.draining { "draining" } else { "ready" },
    });
    let nodes: Vec<Row> = media.chain(signalling).collect();
    rows(client.output, &["kind", "name", "address", "legs", "of", "state"], &nodes, |node| {
        vec![
            node.kind.to_owned(),
            node.name.clone(),
            node.address.clone(),
            node.legs.to_string(),
            node.legs_max.map_or_else(String::new, |max| max.to_string()),
            node.state.to_owned(),
        ]
    })
}
