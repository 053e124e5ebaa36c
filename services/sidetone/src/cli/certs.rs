//! `sidetone certs`.

use std::path::PathBuf;

use sidetone_runtime::grpc::make_certificates;

use super::Output;
use super::output::one;

/// Make a private authority and a certificate for mutual TLS between the services.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLE
  sidetone certs /etc/sidetone/tls --name sidetone.example.net
Put the files into every service's [tls] section. Keep ca.key off the servers.")]
pub(crate) struct CertsArgs {
    /// The folder for ca.crt, ca.key, tls.crt and tls.key. Existing files are never overwritten.
    folder: PathBuf,
    /// A further name or address the certificate shall be good for. May be given again.
    #[arg(long)]
    name: Vec<String>,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

pub(crate) fn run(args: &CertsArgs) -> anyhow::Result<()> {
    let there = ["ca.crt", "ca.key", "tls.crt", "tls.key"].map(|name| args.folder.join(name));
    if let Some(there) = there.iter().find(|path| path.exists()) {
        anyhow::bail!(
            "{} is there and is not overwritten: name another folder, or move it away",
            there.display()
        );
    }
    make_certificates(&args.folder, &args.name)?;
    let document = serde_json::json!({ "folder": args.folder });
    one(args.output, &document, |_| {
        format!("ca.crt, ca.key, tls.crt and tls.key are in {}", args.folder.display())
    })
}
