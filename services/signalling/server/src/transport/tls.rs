//! TLS: which certificate is shown to whom, and who must show one.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rustls::client::verify_server_name;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::config::{ClientAuth, TlsConfig};
use crate::reload::Files;

/// Certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsError {
    /// A file cannot be read, or is no PEM.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A file holds nothing of what is looked for.
    #[error("{0} holds nothing of what it should")]
    Empty(PathBuf),
    /// Certificate and key do not go together, or are of a kind that is not known.
    #[error("the certificate or key is of no use")]
    Unusable(#[source] rustls::Error),
    /// The authorities for clients are of no use.
    #[error("the authorities for clients are of no use")]
    ClientCa(#[source] rustls::server::VerifierBuilderError),
}

/// What we show to peers that connect: what holds for the next handshake.
pub(super) type Identities = ArcSwap<ServerConfig>;

/// Reads the files and goes on watching them until the process stops.
///
/// # Errors
/// When they are of no use at the start.
pub(super) fn identities(
    config: &TlsConfig,
    telemetry: &Arc<Telemetry>,
    stopping: &CancellationToken,
) -> Result<Arc<Identities>, TlsError> {
    let pairs = config.certificates.iter().flat_map(|pair| [&pair.cert, &pair.key]);
    let telemetry = Arc::clone(telemetry);
    let files = Files {
        what: "the SIP certificates",
        paths: pairs.chain(&config.client_ca).chain(&config.client_crl).cloned().collect(),
        pause: Duration::from_secs(config.reload_s),
        count: Box::new(move |result| {
            telemetry.signalling.certificate_reloads.with_label_values(&[result]).inc();
        }),
    };
    let config = config.clone();
    files.open(move || server_config(&config), stopping)
}

/// What we show and trust on connections that we open: what holds for the next handshake.
pub(super) type OwnSide = ArcSwap<ClientConfig>;

/// The same for connections that we open. Without `trust` the system's authorities are as they were at the start.
///
/// # Errors
/// When the files are of no use at the start.
pub(super) fn own_side(
    config: &TlsConfig,
    telemetry: &Arc<Telemetry>,
    stopping: &CancellationToken,
) -> Result<Arc<OwnSide>, TlsError> {
    let shown = config.certificates.first().map(|pair| [&pair.cert, &pair.key]);
    let telemetry = Arc::clone(telemetry);
    let files = Files {
        what: "the certificates for connections of our own",
        paths: shown.into_iter().flatten().chain(&config.trust).cloned().collect(),
        pause: Duration::from_secs(config.reload_s),
        count: Box::new(move |result| {
            let result = if result == "ok" { "own_side_ok" } else { "own_side_failed" };
            telemetry.signalling.certificate_reloads.with_label_values(&[result]).inc();
        }),
    };
    let config = config.clone();
    files.open(move || client_config(&config), stopping)
}

fn server_config(config: &TlsConfig) -> Result<ServerConfig, TlsError> {
    let provider = provider();
    let mut known = Vec::new();
    for pair in &config.certificates {
        let chain = certificates(&pair.cert)?;
        let key = PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| file_error(&pair.key, error))?;
        let key = CertifiedKey::from_der(chain, key, &provider).map_err(TlsError::Unusable)?;
        known.push(Arc::new(key));
    }
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?;
    let builder = match (&config.client_ca, config.client_auth) {
        (Some(path), ClientAuth::Optional | ClientAuth::Required) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots(path)?), provider);
            let verifier = match &config.client_crl {
                // Those of authorities between are for the roots to revoke, whose lists hardly anybody has at hand.
                Some(path) => verifier.with_crls(revoked(path)?).only_check_end_entity_revocation(),
                None => verifier,
            };
            let verifier = match config.client_auth {
                ClientAuth::Required => verifier,
                _ => verifier.allow_unauthenticated(),
            };
            builder.with_client_cert_verifier(verifier.build().map_err(TlsError::ClientCa)?)
        }
        _ => builder.with_no_client_auth(),
    };
    Ok(builder.with_cert_resolver(Arc::new(ByName { known })))
}

/// For connections that we open: `trust` names the authorities; without it the system's are trusted.
fn client_config(config: &TlsConfig) -> Result<ClientConfig, TlsError> {
    let roots = match &config.trust {
        Some(path) => roots(path)?,
        None => {
            let mut roots = RootCertStore::empty();
            let (_added, _unreadable) =
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            roots
        }
    };
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Unusable)?
        .with_root_certificates(roots);
    // Carriers that ask for a certificate get our first one.
    match config.certificates.first() {
        Some(pair) => {
            let key =
                PrivateKeyDer::from_pem_file(&pair.key).map_err(|error| file_error(&pair.key, error))?;
            builder.with_client_auth_cert(certificates(&pair.cert)?, key).map_err(TlsError::Unusable)
        }
        None => Ok(builder.with_no_client_auth()),
    }
}

fn roots(path: &Path) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(TlsError::Unusable)?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    all_in(path)
}

fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    all_in(path)
}

/// All of one kind that is in a file; at least one.
fn all_in<T: PemObject>(path: &Path) -> Result<Vec<T>, TlsError> {
    let all: Result<Vec<_>, _> =
        T::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| file_error(path, error));
    match all? {
        none if none.is_empty() => Err(TlsError::Empty(path.to_owned())),
        some => Ok(some),
    }
}

fn file_error(path: &Path, error: rustls::pki_types::pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), source: Box::new(error) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Server name indication (RFC 6066, section 3): the first certificate that is good for the name, else the first.
#[derive(Debug)]
struct ByName {
    known: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name.to_owned()).ok());
        let good_for = |key: &&Arc<CertifiedKey>| {
            let (Some(name), Some(certificate)) = (&name, key.cert.first()) else { return false };
            ParsedCertificate::try_from(certificate)
                .is_ok_and(|parsed| verify_server_name(&parsed, name).is_ok())
        };
        self.known.iter().find(good_for).or_else(|| self.known.first()).cloned()
    }
}
