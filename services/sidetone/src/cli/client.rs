//! How the command line reaches call control.

use std::path::PathBuf;

use anyhow::Context as _;
use sidetone_proto::callcontrol::v1::call_control_client::CallControlClient;
use sidetone_proto::directory::v1::directory_client::DirectoryClient;
use sidetone_proto::events::v1::events_client::EventsClient;
use sidetone_proto::outbox::v1::outbox_client::OutboxClient;
use sidetone_proto::signalling::v1::bans_client::BansClient;
use sidetone_proto::signalling::v1::ladders_client::LaddersClient;
use sidetone_runtime::grpc::{TlsConfig, channel};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;
use tonic::{Request, Status};

use super::Output;

/// Where call control is and who asks.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct ClientArgs {
    /// Call control's gRPC address, host:port.
    #[arg(long, env = "SIDETONE_SERVER", default_value = "127.0.0.1:50051", global = true)]
    server: String,
    /// The authority's certificate. With --cert and --key, or with --token.
    #[arg(long, env = "SIDETONE_CA", global = true)]
    ca: Option<PathBuf>,
    /// The operator's certificate.
    #[arg(long, env = "SIDETONE_CERT", requires = "key", global = true)]
    cert: Option<PathBuf>,
    /// Its key.
    #[arg(long, env = "SIDETONE_KEY", requires = "cert", global = true)]
    key: Option<PathBuf>,
    /// An access token of a tenant.
    #[arg(long, env = "SIDETONE_TOKEN", hide_env_values = true, global = true)]
    token: Option<String>,
    /// On whose behalf.
    #[arg(long, env = "SIDETONE_TENANT", default_value = "demo", global = true)]
    pub(crate) tenant: String,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table, global = true)]
    pub(crate) output: Output,
}

/// Adds the token to every request.
#[derive(Clone)]
pub(crate) struct Bearer(Option<MetadataValue<Ascii>>);

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(token) = &self.0 {
            request.metadata_mut().insert("authorization", token.clone());
        }
        Ok(request)
    }
}

pub(crate) type Authorized = InterceptedService<Channel, Bearer>;

impl ClientArgs {
    fn authorized(&self) -> anyhow::Result<Authorized> {
        let tls = TlsConfig { ca: self.ca.clone(), cert: self.cert.clone(), key: self.key.clone() };
        let channel = channel(&self.server, &tls).with_context(|| format!("--server {}", self.server))?;
        let bearer = match &self.token {
            Some(token) => {
                let mut value: MetadataValue<Ascii> =
                    format!("Bearer {token}").parse().context("--token has characters that no token has")?;
                value.set_sensitive(true);
                Some(value)
            }
            None => None,
        };
        Ok(InterceptedService::new(channel, Bearer(bearer)))
    }

    pub(crate) fn calls(&self) -> anyhow::Result<CallControlClient<Authorized>> {
        Ok(CallControlClient::new(self.authorized()?))
    }

    pub(crate) fn directory(&self) -> anyhow::Result<DirectoryClient<Authorized>> {
        Ok(DirectoryClient::new(self.authorized()?))
    }

    pub(crate) fn outbox(&self) -> anyhow::Result<OutboxClient<Authorized>> {
        Ok(OutboxClient::new(self.authorized()?))
    }

    pub(crate) fn ladders(&self) -> anyhow::Result<LaddersClient<Authorized>> {
        Ok(LaddersClient::new(self.authorized()?))
    }

    pub(crate) fn bans(&self) -> anyhow::Result<BansClient<Authorized>> {
        Ok(BansClient::new(self.authorized()?))
    }

    pub(crate) fn events(&self) -> anyhow::Result<EventsClient<Authorized>> {
        Ok(EventsClient::new(self.authorized()?))
    }
}

/// Turns a status into words for the person at the terminal.
pub(crate) fn explain(status: &Status) -> anyhow::Error {
    use tonic::Code;
    let hint = match status.code() {
        Code::Unavailable => {
            "\nIs it running? `sidetone serve` starts it; --server says where it is. One with [tls] wants --ca, with --cert and --key \
             or --token."
        }
        Code::Unauthenticated => "\nGive --ca with --cert and --key (operator) or with --token (one tenant).",
        Code::NotFound if status.message().contains("prompt") => {
            "\nPrompts are files in the media nodes' media.prompts_dir; welcome and the call-progress tones are always there."
        }
        Code::NotFound if status.message().contains("number") => {
            "\n`sidetone directory numbers` lists them; is --tenant right?"
        }
        Code::NotFound => "\nIs --tenant right?",
        _ => "",
    };
    let words = if status.message().is_empty() { "no answer" } else { status.message() };
    anyhow::anyhow!("{words}{hint}")
}

/// A new idempotency key.
pub(crate) fn idempotency_key() -> String {
    let mut bytes = [0u8; 16];
    rand::fill(&mut bytes);
    format!("cli-{:032x}", u128::from_be_bytes(bytes))
}
