//! The one program: every service, the demonstration, and the command line.

mod cli;
mod demo;
mod load;
mod probe;
mod serve;
mod settings;

use clap::Parser as _;
use std::process::ExitCode;

use cli::{Arguments, Command, output};
use serve::Role;

/// A bad configuration (`EX_CONFIG` of sysexits.h): restarting will not help.
const EXIT_CONFIG: u8 = 78;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    // One provider for all of TLS; a second installation can only come from a second call of main.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error.into()),
    };
    match runtime.block_on(run(arguments.command)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    let (role, args) = match command {
        Command::Serve(args) => (Role::All, args),
        Command::Signalling(args) => (Role::Signalling, args),
        Command::CallControl(args) => (Role::CallControl, args),
        Command::Media(args) => (Role::Media, args),
        Command::Push(args) => (Role::Push, args),
        client => return cli::run(client).await.or_else(output::unless_unread),
    };
    serve::run(role, settings::load(args.config.as_deref())?).await
}

fn fail(error: &anyhow::Error) -> ExitCode {
    use std::io::Write as _;
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(std::io::stderr(), "sidetone: {error:#}");
    if error.is::<sidetone_runtime::config::ConfigErrors>() {
        ExitCode::from(EXIT_CONFIG)
    } else {
        ExitCode::FAILURE
    }
}
