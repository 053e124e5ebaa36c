//! `sidetone directory applications` and its kin: who steers calls through an HTTP dialect.

use sidetone_directory::WARNING;
use sidetone_proto::directory::v1::{
    Application, ApplicationKind, DeleteApplicationRequest, ListRequest, PutApplicationRequest,
};

use super::change::{replace, replace_all};
use super::client::{ClientArgs, explain};
use super::output::{one, rows};

/// What to do with applications and teams.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum ApplicationAction {
    /// List them.
    List,
    /// Add or change one; what is not given stays as it is. Its secret is read from standard input with --secret-stdin.
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
    /// Which dialect it speaks. A new one needs it.
    #[arg(long, value_enum)]
    kind: Option<Kind>,
    /// For people.
    #[arg(long)]
    name: Option<String>,
    /// Where events are posted.
    #[arg(long)]
    event_url: Option<String>,
    /// Where calls that come in are told; the event URL when not given.
    #[arg(long)]
    answer_url: Option<String>,
    /// Where to when the others fail.
    #[arg(long)]
    fallback_url: Option<String>,
    /// The bot of a team.
    #[arg(long)]
    bot: Option<String>,
    /// A PEM file with the public key of its JWTs.
    #[arg(long, value_name = "FILE")]
    public_key: Option<std::path::PathBuf>,
    /// A number of its own; may be repeated: all of them at once, '' for none. Without any it has all calls of the tenant.
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
            let request = ListRequest { tenant: tenant.clone(), user: String::new() };
            let found = directory.list_applications(request).await.map_err(|status| explain(&status))?;
            let application = Some(put.changed(tenant, found.into_inner().applications)?);
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
    /// The record that is there with what was given; the revision that it had goes with it.
    fn changed(self, tenant: String, found: Vec<Application>) -> anyhow::Result<Application> {
        let known = found.into_iter().find(|it| it.application == self.application);
        anyhow::ensure!(known.is_some() || self.kind.is_some(), "a new application needs --kind");
        let mut record = known.unwrap_or_default();
        (record.tenant, record.application) = (tenant, self.application);
        let kind = self.kind.map(|kind| match kind {
            Kind::Conversation => ApplicationKind::Conversation,
            Kind::Bot => ApplicationKind::Bot,
        });
        replace(&mut record.kind, kind.map(Into::into));
        replace(&mut record.name, self.name);
        replace(&mut record.event_url, self.event_url);
        replace(&mut record.answer_url, self.answer_url);
        replace(&mut record.fallback_url, self.fallback_url);
        replace(&mut record.bot, self.bot);
        replace(&mut record.public_key, self.public_key.map(std::fs::read_to_string).transpose()?);
        replace_all(&mut record.numbers, self.numbers);
        Ok(record)
    }
}
