//! `sidetone voicemail`.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use sidetone_proto::callcontrol::v1::execute_request::Command;
use sidetone_proto::callcontrol::v1::{ExecuteRequest, ListMessagesRequest, OneMessage, ReadMessageRequest};
use sidetone_proto::directory::v1::put_mailbox_request::{GreetingChange, PinChange};
use sidetone_proto::directory::v1::{GetMailboxRequest, Mailbox, PutMailboxRequest};

use super::ClientArgs;
use super::client::{explain, idempotency_key};
use super::output::{duration, line, new_file, one, rows, time};

/// Voicemail of users.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone voicemail list alice --tenant acme
  sidetone voicemail save alice MESSAGE message.wav --tenant acme
  sidetone voicemail pin alice --tenant acme < pin.txt       from other phones than alice's own the PIN lets in
  sidetone voicemail greeting alice hello.wav --tenant acme
  sidetone directory put-number 9301 --mailbox alice         the number to listen to it from elsewhere
  sidetone directory put-number 9300 --own-mailbox     whoever calls 9300 listens: 1 again, 2 or # next, 3 delete, 0 options, * end")]
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
    /// Set the PIN by which others than the user's own phones listen: read from standard input (one line, 4 to 10 digits).
    Pin {
        /// The user.
        user: String,
        /// The user's own phones alone.
        #[arg(long)]
        remove: bool,
    },
    /// Set what callers are greeted with. Without a file, tell whether there is one.
    Greeting {
        /// The user.
        user: String,
        /// A WAV file of at most 500000 bytes.
        #[arg(conflicts_with = "remove")]
        file: Option<PathBuf>,
        /// What the installation greets with.
        #[arg(long)]
        remove: bool,
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
        Action::Pin { user, remove: true } => {
            put(&client, user, Some(PinChange::RemovePin(true)), None).await
        }
        Action::Pin { user, remove: false } => {
            let pin = super::directory::read_password()?;
            put(&client, user, Some(PinChange::Pin(pin)), None).await
        }
        Action::Greeting { user, remove: true, .. } => {
            put(&client, user, None, Some(GreetingChange::RemoveGreeting(true))).await
        }
        Action::Greeting { user, file: None, .. } => show(&client, user).await,
        Action::Greeting { user, file: Some(file), .. } => {
            let sound = std::fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            put(&client, user, None, Some(GreetingChange::Greeting(sound))).await
        }
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

/// Changes the PIN or the greeting.
async fn put(
    client: &ClientArgs,
    user: String,
    pin_change: Option<PinChange>,
    greeting_change: Option<GreetingChange>,
) -> anyhow::Result<()> {
    let request = PutMailboxRequest { tenant: client.tenant.clone(), user, pin_change, greeting_change };
    let put = client.directory()?.put_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
    tell(client, &put)
}

async fn show(client: &ClientArgs, user: String) -> anyhow::Result<()> {
    let request = GetMailboxRequest { tenant: client.tenant.clone(), user };
    let found = client.directory()?.get_mailbox(request).await.map_err(|s| explain(&s))?.into_inner();
    tell(client, &found)
}

fn tell(client: &ClientArgs, mailbox: &Mailbox) -> anyhow::Result<()> {
    one(client.output, mailbox, |it| {
        let pin = if it.has_pin { "a PIN" } else { "no PIN" };
        let greeting = match it.greeting_bytes {
            0 => "the installation's greeting".to_owned(),
            bytes => format!("a greeting of its own ({bytes} bytes)"),
        };
        format!("voicemail of {}: {pin}, {greeting}", it.user)
    })
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
