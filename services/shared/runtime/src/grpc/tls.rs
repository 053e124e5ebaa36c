//! Certificates: one private authority, and one certificate by which every service knows every other.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use serde::Deserialize;
use tonic::transport::{Certificate, ClientTlsConfig, Identity, ServerTlsConfig};

use crate::config::ConfigError;

/// The name in every service's certificate. Pods are called by address, so the name checked is this one.
pub const INTERNAL_NAME: &str = "sidetone.internal";

/// Files of the private authority and of this process. Either all three are set or none.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TlsConfig {
    /// The authority's certificate, PEM.
    pub ca: Option<PathBuf>,
    /// This process's certificate, PEM. It must be good for `sidetone.internal`.
    pub cert: Option<PathBuf>,
    /// Its key, PEM.
    pub key: Option<PathBuf>,
}

/// Certificates could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("{}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("cannot make a certificate")]
    Make(#[from] rcgen::Error),
}

struct Pem {
    ca: String,
    cert: String,
    key: String,
}

impl TlsConfig {
    /// Whether TLS is wanted.
    pub fn is_set(&self) -> bool {
        self.ca.is_some() && self.cert.is_some() && self.key.is_some()
    }

    /// Looks for mistakes that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let parts = [("ca", &self.ca), ("cert", &self.cert), ("key", &self.key)];
        let any = parts.iter().any(|(_, path)| path.is_some());
        for (name, path) in parts {
            match path {
                None if any => {
                    errors.push(ConfigError::new(format!("tls.{name}"), "ca, cert and key go together"));
                }
                Some(path) if !path.is_file() => {
                    errors.push(ConfigError::new(
                        format!("tls.{name}"),
                        format!("{} is not a file", path.display()),
                    ));
                }
                _ => {}
            }
        }
    }

    /// For a server: callers must show a certificate, unless `tokens` lets them show a bearer token instead.
    pub fn server(&self, tokens: bool) -> Result<Option<ServerTlsConfig>, TlsError> {
        Ok(self.read()?.map(|pem| {
            ServerTlsConfig::new()
                .identity(Identity::from_pem(pem.cert, pem.key))
                .client_ca_root(Certificate::from_pem(pem.ca))
                .client_auth_optional(tokens)
        }))
    }

    /// For a client.
    pub fn client(&self) -> Result<Option<ClientTlsConfig>, TlsError> {
        if let (Some(ca), None, None) = (&self.ca, &self.cert, &self.key) {
            let ca = Certificate::from_pem(read(ca)?);
            return Ok(Some(ClientTlsConfig::new().ca_certificate(ca).domain_name(INTERNAL_NAME)));
        }
        Ok(self.read()?.map(|pem| {
            ClientTlsConfig::new()
                .ca_certificate(Certificate::from_pem(pem.ca))
                .identity(Identity::from_pem(pem.cert, pem.key))
                .domain_name(INTERNAL_NAME)
        }))
    }

    fn read(&self) -> Result<Option<Pem>, TlsError> {
        let (Some(ca), Some(cert), Some(key)) = (&self.ca, &self.cert, &self.key) else { return Ok(None) };
        Ok(Some(Pem { ca: read(ca)?, cert: read(cert)?, key: read(key)? }))
    }
}

fn read(path: &Path) -> Result<String, TlsError> {
    std::fs::read_to_string(path).map_err(|source| TlsError::File { path: path.to_owned(), source })
}

/// Makes an authority and one certificate for all services in `folder` (`ca.crt`, `ca.key`, `tls.crt`, `tls.key`),
/// good for `names` beside [`INTERNAL_NAME`]. Existing files are left alone and are an error.
pub fn make_certificates(folder: &Path, names: &[String]) -> Result<TlsConfig, TlsError> {
    let file_error = |path: &Path, source| TlsError::File { path: path.to_owned(), source };
    std::fs::create_dir_all(folder).map_err(|e| file_error(folder, e))?;
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.distinguished_name.push(DnType::CommonName, "Sidetone private authority");
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_cert = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, &authority_key);

    let mut all = vec![INTERNAL_NAME.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
    all.extend(names.iter().cloned());
    let mut service = CertificateParams::new(all)?;
    service.distinguished_name.push(DnType::CommonName, INTERNAL_NAME);
    service.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let service_key = KeyPair::generate()?;
    let service_cert = service.signed_by(&service_key, &issuer)?;

    let path = |name: &str| folder.join(name);
    write_new(&path("ca.crt"), &authority_cert.pem(), 0o644)?;
    write_new(&path("ca.key"), &authority_key.serialize_pem(), 0o600)?;
    write_new(&path("tls.crt"), &service_cert.pem(), 0o644)?;
    write_new(&path("tls.key"), &service_key.serialize_pem(), 0o600)?;
    Ok(TlsConfig { ca: Some(path("ca.crt")), cert: Some(path("tls.crt")), key: Some(path("tls.key")) })
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), TlsError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| TlsError::File { path: path.to_owned(), source })
}
