//! Certificates and clients for TLS.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::client::WantsClientCert;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ConfigBuilder, RootCertStore};
use sidetone_model::party::Transport;
use sidetone_signalling::{CertificateConfig, ClientAuth, TlsConfig};
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

/// An authority for phones, with one certificate that it gave and may take back.
pub(crate) struct Phones {
    folder: PathBuf,
    authority: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Phones {
    /// Writes `phones.crt`, and `revoked.pem` with nobody on it.
    pub(crate) fn new(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "Phones");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("phones.crt"), params.self_signed(&key).unwrap().pem()).unwrap();
        let authority = Issuer::new(params, key);
        let mut phone = CertificateParams::new(vec!["phone.alpha.test".to_owned()]).unwrap();
        phone.serial_number = Some(SerialNumber::from(SERIAL));
        let key = KeyPair::generate().unwrap();
        let certificate = phone.signed_by(&key, &authority).unwrap().der().clone();
        let new = Self { folder: folder.to_owned(), authority, certificate, key: key.serialize_der() };
        new.revoke(&[]);
        new
    }

    /// The configuration of a server that lets only them in.
    pub(crate) fn required(&self) -> TlsConfig {
        TlsConfig {
            client_auth: ClientAuth::Required,
            client_ca: Some(self.folder.join("phones.crt")),
            client_crl: Some(self.folder.join("revoked.pem")),
            ..config(&self.folder)
        }
    }

    /// Writes who is on the list.
    pub(crate) fn revoke(&self, serials: &[u64]) {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let list = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            next_update: rcgen::date_time_ymd(2034, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = list.signed_by(&self.authority).unwrap().pem().unwrap();
        std::fs::write(self.folder.join("revoked.pem"), list).unwrap();
    }

    /// Shakes hands with the certificate.
    pub(crate) async fn connect(&self, rig: &Rig) -> io::Result<TlsStream<TcpStream>> {
        let key = PrivateKeyDer::Pkcs8(self.key.clone().into());
        let config = trusting(rig.certificate.as_ref().unwrap())
            .with_client_auth_cert(vec![self.certificate.clone()], key)
            .unwrap();
        let stream = TcpStream::connect(rig.address(Transport::Tls)).await?;
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await
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
    let config = trusting(trusted).with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

fn trusting(trusted: &Path) -> ConfigBuilder<ClientConfig, WantsClientCert> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(trusted).unwrap() {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
}

/// The number of the phone's certificate.
pub(crate) const SERIAL: u64 = 4711;
