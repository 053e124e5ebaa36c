//! `sidetone bans`.

use clap::Subcommand;
use sidetone_proto::signalling::v1::{LiftBanRequest, ListBansRequest};

use super::ClientArgs;
use super::client::explain;
use super::output::{one, rows, time, warn};

/// Sources that get no answer because of wrong passwords.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone bans list
  sidetone bans list --output json
  sidetone bans lift 192.0.2.7
  sidetone bans lift 2001:db8::/64
Only for operators. Networks in signalling.defence.exempt are never banned.")]
pub(crate) struct BansArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Who is banned now, by which replica, why and until when.
    List,
    /// End the bans of an address at all replicas.
    Lift {
        /// An IP address, or an IPv6 network as the list shows it.
        address: String,
    },
}

pub(crate) async fn run(args: BansArgs) -> anyhow::Result<()> {
    let client = args.client;
    let mut bans = client.bans()?;
    match args.action {
        Action::List => {
            let found = bans.list_bans(ListBansRequest {}).await.map_err(|s| explain(&s))?.into_inner();
            tell_silent(&found.silent_replica_ids);
            let heads = ["source", "replica", "reason", "until", "times"];
            rows(client.output, &heads, &found.bans, |ban| {
                vec![
                    ban.source.clone(),
                    ban.replica_id.clone(),
                    ban.reason.clone(),
                    time(ban.until_unix_ms),
                    ban.times.to_string(),
                ]
            })
        }
        Action::Lift { address } => {
            let request = LiftBanRequest { source: address };
            // No tenant is concerned, and there is no hint to give about one.
            let answer = bans.lift_ban(request).await.map_err(|status| match status.code() {
                tonic::Code::NotFound => anyhow::anyhow!("{}", status.message()),
                _ => explain(&status),
            })?;
            let lifted = answer.into_inner();
            tell_silent(&lifted.silent_replica_ids);
            one(client.output, &lifted, |lifted| match lifted.replica_ids.as_slice() {
                [] => "not banned at the replicas that answered".to_owned(),
                replicas => format!("lifted at {}", replicas.join(", ")),
            })
        }
    }
}

fn tell_silent(replicas: &[String]) {
    if !replicas.is_empty() {
        warn(&format!("no answer from {}: whom they ban is not known", replicas.join(", ")));
    }
}
