//! `sidetone stir`: signatures of callers' numbers, by hand.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use sidetone_model::time::Timestamp;
use sidetone_stir_core::{
    Anchors, Attestation, Chain, Fault, Identifier, Offer, Passport, SigningKey, TelephoneNumber,
};

use super::Output;
use super::output::{line, one};

/// Signatures of callers' numbers (STIR/SHAKEN): make one, or find out what is wrong with one.
#[derive(Debug, clap::Args)]
pub(crate) struct StirArgs {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say whether an Identity header is good for a call, and if not, why. The exit status says it too.
    Verify(VerifyArgs),
    /// Make the Identity header for a call.
    Sign(SignArgs),
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLES
  sidetone stir verify --from +12155551212 --to +12155551213 --trust roots.pem --cert carrier.pem \\
    'eyJhbGciOi...;info=<https://cert.example.org/a.pem>;alg=ES256;ppt=shaken'
  curl -sO https://cert.example.org/a.pem     the certificate stands under the URL that `verify` prints without --cert")]
struct VerifyArgs {
    /// The value of the Identity header field.
    identity: String,
    /// The caller's number, as From has it.
    #[arg(long)]
    from: String,
    /// The called number, as To has it.
    #[arg(long)]
    to: String,
    /// The authorities that are trusted, PEM.
    #[arg(long)]
    trust: PathBuf,
    /// The certificate with its chain. Without it only what needs none is looked at.
    #[arg(long)]
    cert: Option<PathBuf>,
    /// As of when, like 2026-11-21T12:00:00Z; now when not given.
    #[arg(long)]
    at: Option<jiff::Timestamp>,
    /// Seconds for which a signature is fresh.
    #[arg(long, default_value_t = 60)]
    freshness: u64,
    /// How to print.
    #[arg(long, value_enum, default_value_t = Output::Table)]
    output: Output,
}

#[derive(Debug, clap::Args)]
#[command(after_help = "\
EXAMPLE
  sidetone stir sign --key shaken.key --cert shaken.pem --x5u https://cert.example.org/shaken.pem \\
    --from +12155551212 --to +12155551213 --attest A --origid 123e4567-e89b-42d3-a456-426655440000")]
struct SignArgs {
    /// The private key, PEM.
    #[arg(long)]
    key: PathBuf,
    /// Its certificate with the chain, PEM: looked at before it is of use to others.
    #[arg(long)]
    cert: PathBuf,
    /// Where others get the certificate.
    #[arg(long)]
    x5u: String,
    /// The caller's number, with + and country code.
    #[arg(long)]
    from: String,
    /// The called number.
    #[arg(long)]
    to: String,
    /// How well the caller is known: A for a customer with that number, B for a customer, C for who came through a gateway.
    #[arg(long, value_enum, ignore_case = true)]
    attest: Level,
    /// The name of the call's origin, a UUID.
    #[arg(long)]
    origid: String,
}

/// The letters of RFC 8588.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Level {
    A,
    B,
    C,
}

impl From<Level> for Attestation {
    fn from(level: Level) -> Self {
        match level {
            Level::A => Self::A,
            Level::B => Self::B,
            Level::C => Self::C,
        }
    }
}

pub(crate) fn run(args: &StirArgs) -> anyhow::Result<()> {
    match &args.action {
        Action::Verify(args) => verify(args),
        Action::Sign(args) => line(&sign(args)?),
    }
}

fn sign(args: &SignArgs) -> anyhow::Result<String> {
    let key = SigningKey::from_pem(&read(&args.key)?).with_context(|| args.key.display().to_string())?;
    let chain = Chain::parse(&read(&args.cert)?).with_context(|| args.cert.display().to_string())?;
    anyhow::ensure!(key.is_of(&chain), "--key is not the key of --cert");
    let from = TelephoneNumber::international(&args.from).context("--from: expected + and digits")?;
    anyhow::ensure!(chain.list().covers(&from), "--cert is not good for --from");
    let numbers = (from, number("--to", &args.to)?);
    let passport =
        Passport::shaken(&args.x5u, numbers, args.attest.into(), &args.origid, now().as_millis() / 1000);
    Ok(key.sign(&passport)?)
}

fn verify(args: &VerifyArgs) -> anyhow::Result<()> {
    let (from, to) = (number("--from", &args.from)?, number("--to", &args.to)?);
    let at = match args.at {
        Some(at) => {
            Timestamp::from_millis(u64::try_from(at.as_millisecond()).context("--at is before 1970")?)
        }
        None => now(),
    };
    let anchors = Anchors::from_pem(&read(&args.trust)?).with_context(|| args.trust.display().to_string())?;
    let identities = [args.identity.trim().to_owned()];
    let offer =
        Offer::choose(&identities, &[from], Some(&to), None, (at, args.freshness)).map_err(refused)?;
    let Some(path) = &args.cert else {
        line(&format!("certificate {}", offer.certificate_url()))?;
        anyhow::bail!("not verified: the certificate is needed (--cert)");
    };
    let chain = Chain::parse(&read(path)?).with_context(|| path.display().to_string())?;
    // Says more than the verdict does.
    chain.verify(&anchors, at).with_context(|| path.display().to_string())?;
    offer.verify(&chain, &anchors, at).map_err(refused)?;
    let passport = offer.passport();
    let text = |identifier: &Identifier| match identifier {
        Identifier::Number(number) => number.as_str().to_owned(),
        Identifier::Uri(uri) => uri.to_string(),
    };
    let document = serde_json::json!({
        "verdict": "good",
        "orig": text(&passport.orig),
        "dest": passport.dest.iter().map(text).collect::<Vec<_>>(),
        "attest": passport.attest.map(Attestation::as_str),
        "origid": passport.origid,
        "signed_unix_s": passport.iat,
        "certificate": offer.certificate_url(),
        "providers": chain.list().codes().collect::<Vec<_>>(),
    });
    one(args.output, &document, |d| {
        let attest = d["attest"].as_str().map(|letter| format!(", attestation {letter}")).unwrap_or_default();
        let providers: Vec<_> = chain.list().codes().collect();
        format!(
            "good: {} to {}{attest}\nsigned by {} ({}), origin {}",
            d["orig"].as_str().unwrap_or_default(),
            args.to,
            if providers.is_empty() { "the number's holder".to_owned() } else { providers.join(" ") },
            offer.certificate_url(),
            d["origid"].as_str().unwrap_or("not told"),
        )
    })
}

/// With the response that a carrier would get.
fn refused(fault: Fault) -> anyhow::Error {
    let answer = fault.identity_fault();
    anyhow::anyhow!("not good: {fault} ({} {})", answer.sip_status(), answer.phrase())
}

fn number(option: &str, text: &str) -> anyhow::Result<TelephoneNumber> {
    TelephoneNumber::canonical(text).with_context(|| format!("{option}: expected a telephone number"))
}

fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

fn now() -> Timestamp {
    Timestamp::from_millis(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}
