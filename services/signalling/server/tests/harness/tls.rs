//! Certificates and clients for TLS.

use std::io;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use sidetone_signalling::{CertificateConfig, TlsConfig};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::Rig;

/// Writes a certificate for a name that vouches for itself, and its key.
pub(crate) fn write_certificate(folder: &Path, file: &str, name: &str) -> CertificateConfig {
    let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
    let pair = CertificateConfig {
        cert: folder.join(format!("{file}.crt")),
        key: folder.join(format!("{file}.key")),
    };
    std::fs::write(&pair.key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&pair.cert, made.cert.pem()).unwrap();
    pair
}

/// A configuration with one certificate, for `localhost`.
pub(crate) fn config(folder: &Path) -> TlsConfig {
    TlsConfig {
        certificates: vec![write_certificate(folder, "sip", "localhost")],
        reload_s: 1,
        ..TlsConfig::default()
    }
}

/// Shakes hands, trusting only the replica's certificate as it stands in its file now.
pub(crate) async fn connect(stream: TcpStream, rig: &Rig, name: &str) -> io::Result<TlsStream<TcpStream>> {
    connect_trusting(stream, rig.certificate.as_ref().unwrap(), name).await
}

/// Shakes hands, trusting one certificate.
pub(crate) async fn connect_trusting(
    stream: TcpStream,
    trusted: &Path,
    name: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trusted).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}
