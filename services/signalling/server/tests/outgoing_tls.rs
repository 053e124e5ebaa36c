//! Connections that we open under TLS: what we show and whom we trust changes while we run.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harness::carrier::{Carrier, call_out, put, trunk, until};
use harness::{Rig, tls, within};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use sidetone_proto::directory::v1 as pb;
use sidetone_signalling::{CertificateConfig, Config, TlsConfig, TransportKind};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// A carrier that lets in only who shows a certificate, and the first bytes of what it is then told.
async fn takes(
    listener: &TcpListener,
    own: &CertificateConfig,
    lets_in: &Path,
) -> Result<String, std::io::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(lets_in).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.build().unwrap())
        .with_single_cert(
            vec![CertificateDer::from_pem_file(&own.cert).unwrap()],
            PrivateKeyDer::from_pem_file(&own.key).unwrap(),
        )
        .unwrap();
    let (stream, _) = tokio::time::timeout(Duration::from_secs(5), listener.accept()).await??;
    let mut stream = within(TlsAcceptor::from(Arc::new(config)).accept(stream)).await?;
    let mut head = [0; 6];
    within(stream.read_exact(&mut head)).await?;
    Ok(String::from_utf8(head.to_vec()).unwrap())
}

#[tokio::test]
async fn what_we_show_and_whom_we_trust_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let carrier = tls::write_certificate(folder.path(), "carrier", "127.0.0.1");
    let somebody = tls::write_certificate(folder.path(), "somebody", "127.0.0.1");
    let trust = folder.path().join("trust.crt");
    std::fs::copy(&somebody.cert, &trust).unwrap();
    let config = TlsConfig { trust: Some(trust.clone()), ..tls::config(folder.path()) };
    let own = config.certificates[0].cert.clone();
    let config = Config { tls: config, ..Config::default() };
    let rig = Rig::at("127.0.0.1:0", &[TransportKind::Udp, TransportKind::Tls], config).await;
    let owner = rig.attach().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let model = Carrier::new(&rig).await;
    let uri = format!("sip:{};transport=tls", door.local_addr().unwrap());
    put(&rig, pb::Trunk { uri, ..trunk("acme", &model, 1) }).await;
    until(&rig, "acme", |_| true).await;

    let mut seed = 0;
    let mut call = async || {
        seed += 1;
        call_out(&owner, seed, "0401234").await;
        takes(&door, &carrier, &own).await
    };
    let closed = rig.telemetry.signalling.connections_closed.with_label_values(&["tls_handshake"]);
    within(async {
        while closed.get() == 0 {
            call().await.expect_err("it is somebody else");
        }
    })
    .await;

    // Both change; connections from now on know both.
    tls::write_certificate(folder.path(), "sip", "localhost");
    std::fs::copy(&carrier.cert, &trust).unwrap();
    let reloads =
        |result: &str| rig.telemetry.signalling.certificate_reloads.with_label_values(&[result]).get();
    // The two files may be seen to change at different moments: the second time both are there.
    rig.until("told", || reloads("own_side_ok") > 0).await;
    let told = within(async {
        loop {
            match call().await {
                Ok(told) => return told,
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    })
    .await;
    assert_eq!(told, "INVITE");

    // What is of no use changes nothing, and is counted.
    std::fs::write(&trust, "nobody").unwrap();
    rig.until("told", || reloads("own_side_failed") > 0).await;
    assert_eq!(call().await.unwrap(), "INVITE");
}
