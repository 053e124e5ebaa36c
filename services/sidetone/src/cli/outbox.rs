//! `sidetone outbox`: webhooks that wait, and those that could not be delivered.

use std::time::Duration;

use sidetone_proto::outbox::v1::outbox_client::OutboxClient;
use sidetone_proto::outbox::v1::{CountResponse, DeadLettersRequest, ListOwedRequest};

use super::client::{Authorized, ClientArgs, explain};
use super::output::{one, rows, time};

/// Webhooks that wait, and dead letters.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone outbox owed                     who is owed what, and who fails
  sidetone outbox dead                     what could not be delivered
  sidetone outbox replay team-7            tries all dead letters of an application again
  sidetone outbox discard team-7 12.0.1    forgets one")]
pub(crate) struct OutboxArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// What each application is owed now.
    Owed,
    /// What could not be delivered.
    Dead {
        /// Only this application's.
        #[arg(default_value = "")]
        receiver: String,
    },
    /// Try dead letters again; they stay until they have arrived.
    Replay(Named),
    /// Forget dead letters.
    Discard(Named),
}

#[derive(Debug, clap::Args)]
struct Named {
    /// The application.
    receiver: String,
    /// One of its dead letters; all of them when not given.
    #[arg(default_value = "")]
    id: String,
}

pub(crate) async fn run(args: OutboxArgs) -> anyhow::Result<()> {
    let client = &args.client;
    let mut outbox = client.outbox()?;
    let request = |receiver: String, id: String| DeadLettersRequest {
        tenant: client.tenant.clone(),
        receiver,
        id,
        ..DeadLettersRequest::default()
    };
    match args.action {
        Action::Owed => {
            let owed = outbox.list_owed(ListOwedRequest { tenant: client.tenant.clone() }).await;
            let owed = owed.map_err(|status| explain(&status))?.into_inner().owed;
            let heads = ["receiver", "in_memory", "records_stored", "failures", "oldest", "why"];
            rows(client.output, &heads, &owed, |o| {
                let (held, stored) = (o.held.to_string(), o.records_stored.to_string());
                vec![
                    o.receiver.clone(),
                    held,
                    stored,
                    o.failures.to_string(),
                    time(o.oldest_unix_ms),
                    o.why.clone(),
                ]
            })
        }
        Action::Dead { receiver } => {
            let (mut asked, mut dead) = (request(receiver, String::new()), Vec::new());
            loop {
                let page = outbox.list_dead_letters(asked.clone()).await;
                let page = page.map_err(|status| explain(&status))?.into_inner();
                dead.extend(page.dead_letters);
                if page.next.is_empty() {
                    break;
                }
                asked.after = page.next;
            }
            let heads = ["receiver", "id", "reason", "attempts", "happened", "given_up"];
            rows(client.output, &heads, &dead, |d| {
                vec![
                    d.receiver.clone(),
                    d.id.clone(),
                    match d.reason.as_str() {
                        "forbidden" => "forbidden by outbox.allowed_networks or outbox.allow_http".to_owned(),
                        reason => reason.to_owned(),
                    },
                    d.attempts.to_string(),
                    time(d.happened_unix_ms),
                    time(d.buried_unix_ms),
                ]
            })
        }
        Action::Replay(Named { receiver, id }) => {
            let count = replay_all(outbox, request(receiver, id)).await?;
            anyhow::ensure!(count > 0, NOTHING_DEAD);
            let all = CountResponse { count, next: String::new() };
            one(client.output, &all, |all| format!("{} are tried again", all.count))
        }
        Action::Discard(Named { receiver, id }) => {
            let count = outbox.discard(request(receiver, id)).await.map_err(|status| explain(&status))?;
            let count = count.into_inner();
            anyhow::ensure!(count.count > 0, NOTHING_DEAD);
            one(client.output, &count, |count| format!("{} forgotten", count.count))
        }
    }
}

/// Has all that is asked for tried again, some at a time; how many that were.
async fn replay_all(
    mut outbox: OutboxClient<Authorized>,
    mut asked: DeadLettersRequest,
) -> anyhow::Result<u64> {
    let mut count = 0;
    loop {
        let some = outbox.replay(asked.clone()).await.map_err(|status| explain(&status))?.into_inner();
        count += some.count;
        if some.next.is_empty() {
            return Ok(count);
        }
        // Those before are being tried: the next ones as these arrive, or are given up again.
        tokio::time::sleep(REPLAY_PAUSE).await;
        asked.after = some.next;
    }
}

/// What was named is not there: a slip of the keys, most likely.
const NOTHING_DEAD: &str = "there is no such dead letter: `sidetone outbox dead` lists them";
const REPLAY_PAUSE: Duration = Duration::from_millis(500);
