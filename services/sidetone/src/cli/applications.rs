//! `sidetone directory applications` and its kin: who steers calls through an HTTP dialect.

use sidetone_directory::WARNING;
use sidetone_proto::directory::v1::{
    Application, ApplicationKind, DeleteApplicationRequest, ListRequest, PutApplicationRequest,
};

use super::client::{ClientArgs, explain};
use super::output::{one, rows};

/// What to do with applications and teams.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApplicationAction {
    /// List them.
    List,
    /// Add or change one. Its secret is read from standard input with --secret-stdin.
    Put(PutApplication),
    /// Remove one with its secret.
    Delete {
        /// Its id.
        application: String,
    },
}

/// One application or team.
#[derive(Debug, clap::Args)]
pub(crate) struct PutApplication {
    /// Its id, unique in the installation: the application_id of its JWTs, or the team of its paths.
    application: String,
    /// Which dialect it speaks.
    #[arg(long, value_enum)]
    kind: Kind,
    /// For people.
    #[arg(long, default_value = "")]
    name: String,
    /// Where events are posted.
    #[arg(long, default_value = "")]
    event_url: String,
    /// Where calls that come in are told; the event URL when not given.
    #[arg(long, default_value = "")]
    answer_url: String,
    /// Where to when the others fail.
    #[arg(long, default_value = "")]
    fallback_url: String,
    /// The bot of a team.
    #[arg(long, default_value = "")]
    bot: String,
    /// A PEM file with the public key of its JWTs.
    #[arg(long, value_name = "FILE")]
    public_key: Option<std::path::PathBuf>,
    /// A number of its own; may be repeated. Without any it has all calls of the tenant.
    #[arg(long = "number", value_name = "NUMBER")]
    numbers: Vec<String>,
    /// Read the secret from standard input; else the present one stays.
    #[arg(long)]
    secret_stdin: bool,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Kind {
    /// Conversations, users and members.
    Conversation,
    /// A team with its bot.
    Bot,
}

pub(crate) async fn run(action: ApplicationAction, client: &ClientArgs) -> anyhow::Result<()> {
    let mut directory = client.directory()?;
    let tenant = client.tenant.clone();
    match action {
        ApplicationAction::List => {
            let request = ListRequest { tenant, user: String::new() };
            let found = directory.list_applications(request).await.map_err(|status| explain(&status))?;
            let heads = ["application", "kind", "name", "event_url", "numbers", "secret"];
            rows(client.output, &heads, &found.into_inner().applications, |a| {
                let kind = a.kind().as_str_name().trim_start_matches("APPLICATION_KIND_").to_lowercase();
                let secret = if a.has_secret { "yes" } else { "no" };
                let numbers = a.numbers.join(" ");
                vec![
                    a.application.clone(),
                    kind,
                    a.name.clone(),
                    a.event_url.clone(),
                    numbers,
                    secret.to_owned(),
                ]
            })
        }
        ApplicationAction::Put(put) => {
            let secret = put.secret_stdin.then(super::directory::read_password).transpose()?;
            let application = Some(put.record(tenant)?);
            let request = PutApplicationRequest { application, secret };
            let put = directory.put_application(request).await.map_err(|status| explain(&status))?;
            if let Some(warning) = put.metadata().get(WARNING).and_then(|warning| warning.to_str().ok()) {
                super::output::warn(warning);
            }
            one(client.output, &put.into_inner(), |put| put.application.clone())
        }
        ApplicationAction::Delete { application } => {
            let request = DeleteApplicationRequest { tenant, application };
            let answer = directory.delete_application(request).await.map_err(|status| explain(&status))?;
            one(client.output, &answer.into_inner(), |_| "deleted".to_owned())
        }
    }
}

impl PutApplication {
    fn record(self, tenant: String) -> anyhow::Result<Application> {
        let public_key = self.public_key.map(std::fs::read_to_string).transpose()?.unwrap_or_default();
        let kind = match self.kind {
            Kind::Conversation => ApplicationKind::Conversation,
            Kind::Bot => ApplicationKind::Bot,
        };
        Ok(Application {
            tenant,
            application: self.application,
            kind: kind.into(),
            name: self.name,
            event_url: self.event_url,
            answer_url: self.answer_url,
            fallback_url: self.fallback_url,
            bot: self.bot,
            public_key,
            numbers: self.numbers,
            has_secret: false,
            revision: 0,
        })
    }
}
