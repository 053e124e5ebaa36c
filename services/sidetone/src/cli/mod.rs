//! The command line.

mod applications;
mod audio;
mod bans;
mod call;
mod calls;
mod cdrs;
mod certs;
mod change;
mod client;
mod conferences;
mod directory;
mod events;
mod ladder;
mod nodes;
mod operations;
mod outbox;
pub(crate) mod output;
mod playing;
mod recordings;
mod sound;
mod stir;
mod trunks;
mod user_options;
mod voicemail;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

pub(crate) use client::ClientArgs;
pub(crate) use output::{Output, line, warn};

/// A media-processing cluster for telephony.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    max_term_width = 110,
    after_help = "\
EXAMPLES
  sidetone demo                             start everything, call each other, print who heard whom
  sidetone serve                            everything in one process, on loopback, with a demonstration tenant
  sidetone serve --config sidetone.toml     the same, configured
  sidetone call 9196 --from 1001            ring 1001's phones; whoever answers hears the echo
  sidetone calls --output json | jq         what is going on"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run all four services in this process.
    Serve(ServeArgs),
    /// Run the SIP edge alone.
    Signalling(ServeArgs),
    /// Run call control alone.
    CallControl(ServeArgs),
    /// Run a media node alone.
    Media(ServeArgs),
    /// Run the push service alone.
    Push(ServeArgs),
    /// Start everything on free ports, let generated callers meet in a room, and print what each of them heard.
    Demo(crate::demo::DemoArgs),
    /// Call an echo number and listen: is it up, and does it sound right?
    Probe(crate::probe::ProbeArgs),
    /// Generated SIP and RTP traffic with pass lines.
    Load(crate::load::LoadArgs),
    /// Read a configuration and report every mistake in it.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
    /// Make a private authority and a certificate for mutual TLS between the services.
    Certs(certs::CertsArgs),
    /// Ring a user's phones and connect whoever answers to a number.
    Call(call::CallArgs),
    /// Live calls: list, show, hang up, answer, record.
    Calls(calls::CallsArgs),
    /// Rooms in which somebody is.
    Conferences(conferences::ConferencesArgs),
    /// Media nodes and signalling replicas.
    Nodes(nodes::NodesArgs),
    /// Sources that get no answer because of wrong passwords: list them, end a ban.
    Bans(bans::BansArgs),
    /// What happens, as it happens.
    Events(events::EventsArgs),
    /// Call detail records.
    Cdrs(cdrs::CdrsArgs),
    /// What was recorded: list, fetch, delete.
    Recordings(recordings::RecordingsArgs),
    /// Voicemail of users: list, save, mark as heard, delete.
    Voicemail(voicemail::VoicemailArgs),
    /// Webhooks of applications: what is owed, and what could not be delivered.
    Outbox(outbox::OutboxArgs),
    /// Signatures of callers' numbers (STIR/SHAKEN): make one, or find out what is wrong with one.
    Stir(stir::StirArgs),
    /// Tenants, users, devices, numbers, rooms and access tokens.
    Directory(directory::DirectoryArgs),
}

/// How a service is run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
SIGTERM drains: readiness drops, no new call is taken, running ones go on for at most `drain_max_s`.
SIGINT stops at once. Without a configuration everything listens on loopback only.")]
pub(crate) struct ServeArgs {
    /// The configuration file (TOML). deploy/sidetone.toml documents every key.
    #[arg(long, env = "SIDETONE_CONFIG")]
    pub(crate) config: Option<PathBuf>,
}

/// Carries out what is not a service.
pub(crate) async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::Certs(args) => certs::run(&args),
        Command::Stir(args) => stir::run(&args),
        Command::Call(args) => call::run(args).await,
        Command::Calls(args) => calls::run(args).await,
        Command::Conferences(args) => conferences::run(args).await,
        Command::Nodes(args) => nodes::run(args).await,
        Command::Bans(args) => bans::run(args).await,
        Command::Events(args) => events::run(args).await,
        Command::Cdrs(args) => cdrs::run(args).await,
        Command::Recordings(args) => recordings::run(args).await,
        Command::Voicemail(args) => voicemail::run(args).await,
        Command::Outbox(args) => outbox::run(args).await,
        Command::Directory(args) => directory::run(args).await,
        Command::Demo(args) => crate::demo::run(args).await,
        Command::Probe(args) => crate::probe::run(args).await,
        Command::Load(args) => crate::load::run(args).await,
        Command::CheckConfig { file } => crate::settings::check(&file).await,
        Command::Serve(_)
        | Command::Signalling(_)
        | Command::CallControl(_)
        | Command::Media(_)
        | Command::Push(_) => anyhow::bail!("a service is not a client command"),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    /// An argument that has the name of one that every command below has takes its value: `Arguments` would panic, or send
    /// one as the other.
    #[test]
    fn no_argument_has_the_name_of_one_of_all_commands() {
        fn look(command: &clap::Command, above: &[String]) {
            let own = |global: bool| {
                let args = command.get_arguments().filter(move |arg| arg.is_global_set() == global);
                args.map(|arg| arg.get_id().to_string())
            };
            for id in own(false) {
                assert!(!above.contains(&id), "{} has an argument {id} of its own", command.get_name());
            }
            let below: Vec<String> = above.iter().cloned().chain(own(true)).collect();
            command.get_subcommands().for_each(|command| look(command, &below));
        }
        look(&Arguments::command(), &[]);
        Arguments::command().debug_assert();
    }
}
