//! `sidetone voicemail`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use sidetone_proto::callcontrol::v1::execute_request::Command;
use sidetone_proto::callcontrol::v1::{ExecuteRequest, ListMessagesRequest, OneMessage, ReadMessageRequest};

use super::ClientArgs;
use super::client::{explain, idempotency_key};
use super::output::{duration, line, new_file, rows, time};

/// Voicemail of users.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone voicemail list alice --tenant acme
  sidetone voicemail save alice MESSAGE message.wav --tenant acme
  sidetone directory put-number 9300 --own-mailbox     whoever calls 9300 listens: 1 again, 2 or # next, 3 delete, * end")]
pub(crate) struct VoicemailArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the messages of a user, oldest first.
    List {
        /// The user.
        user: String,
    },
    /// Write the sound of a message into a WAV file.
    Save {
        /// The user.
        user: String,
        /// The message.
        message: String,
        /// The file.
        file: PathBuf,
        /// Write over a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Mark a message as heard.
    Heard {
        /// The user.
        user: String,
        /// The message.
        message: String,
    },
    /// Take a message out of the voicemail.
    Delete {
        /// The user.
        user: String,
        /// The message.
        message: String,
    },
}

pub(crate) async fn run(args: VoicemailArgs) -> anyhow::Result<()> {
    let client = args.client;
    match args.action {
        Action::List { user } => list(&client, user).await,
        Action::Save { user, message, file, force } => save(&client, (user, message), file, force).await,
        Action::Heard { user, message: message_id } => {
            change(&client, Command::MarkMessageHeard(OneMessage { user, message_id })).await
        }
        Action::Delete { user, message: message_id } => {
            change(&client, Command::DeleteMessage(OneMessage { user, message_id })).await
        }
    }
}

async fn list(client: &ClientArgs, user: String) -> anyhow::Result<()> {
    let request = ListMessagesRequest { tenant: client.tenant.clone(), user };
    let found = client.calls()?.list_messages(request).await.map_err(|s| explain(&s))?.into_inner();
    let heads = ["message_id", "from", "left", "duration", "heard"];
    rows(client.output, &heads, &found.messages, |message| {
        vec![
            message.message_id.clone(),
            message.from.as_ref().map(|party| party.number.clone()).unwrap_or_default(),
            time(message.left_unix_ms),
            duration(message.duration_ms),
            message.heard.to_string(),
        ]
    })
}

async fn save(
    client: &ClientArgs,
    (user, message_id): (String, String),
    path: PathBuf,
    force: bool,
) -> anyhow::Result<()> {
    let request = ReadMessageRequest { tenant: client.tenant.clone(), user, message_id };
    let mut pieces = client.calls()?.read_message(request).await.map_err(|s| explain(&s))?.into_inner();
    let opening = || format!("{}", path.display());
    let mut file = new_file(&path, force)?;
    while let Some(piece) = pieces.message().await.map_err(|s| explain(&s))? {
        file.write_all(&piece.data).with_context(opening)?;
    }
    line(&opening())
}

async fn change(client: &ClientArgs, command: Command) -> anyhow::Result<()> {
    let request = ExecuteRequest {
        tenant: client.tenant.clone(),
        idempotency_key: idempotency_key(),
        command: Some(command),
    };
    client.calls()?.execute(request).await.map_err(|s| explain(&s))?;
    Ok(())
}
