//! `sidetone call TO`.

use sidetone_proto::callcontrol::v1::{CommandResponse, PlaceCallRequest, command_response::Subject};

use super::ClientArgs;
use super::client::{explain, idempotency_key};
use super::output::one;

/// Ring a user's phones and connect whoever answers to a number.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone call 9196 --from 1001      1001's phones ring; whoever answers hears the echo
  sidetone call 1002 --from 1001      click to dial
  sidetone call 3000 --from 1001      fetch 1001 into the room 3000")]
pub(crate) struct CallArgs {
    /// The number to connect to.
    to: String,
    /// Whose phones ring first: a user or a number of one.
    #[arg(long)]
    from: String,
    /// Idempotency key: the same key never makes a second call within 24 h. Made up when absent.
    #[arg(long)]
    idempotency_key: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: CallArgs) -> anyhow::Result<()> {
    let request = PlaceCallRequest {
        tenant: args.client.tenant.clone(),
        idempotency_key: args.idempotency_key.unwrap_or_else(idempotency_key),
        from: args.from,
        to: args.to,
    };
    let response = args.client.calls()?.place_call(request).await.map_err(|s| explain(&s))?.into_inner();
    one(args.client.output, &response, done)
}

/// What a command made or acted upon, in words.
pub(crate) fn done(response: &CommandResponse) -> String {
    match &response.subject {
        Some(Subject::CallId(id)) => format!("call {id}"),
        Some(Subject::LegId(id)) => format!("leg {id}"),
        Some(Subject::RecordingId(id)) => format!("recording {id}"),
        Some(Subject::PlaybackId(id)) => format!("playback {id}"),
        // For l16 and pcmu the same with ws:// is a WebSocket.
        Some(Subject::StreamId(id)) if !response.url.is_empty() => format!("stream {id}\n{}", response.url),
        Some(Subject::StreamId(id)) => format!("stream {id}"),
        Some(Subject::ConversationId(conversation)) => conversation.clone(),
        Some(Subject::ConversationEvent(event)) => format!("event {event}"),
        None => "done".to_owned(),
    }
}
