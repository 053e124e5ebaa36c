//! A TCP port that leads to one for TLS: for programs that speak SIP and no TLS, as Debian's sipp.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// It lasts as long as the runtime.
pub struct TlsTunnel {
    /// Where it is entered.
    pub entrance: SocketAddr,
    opened: Arc<AtomicUsize>,
}

impl TlsTunnel {
    /// A tunnel to a port whose certificate is the one in a file.
    pub async fn to(server: SocketAddr, certificate: &Path) -> Self {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_root_certificates(roots).with_no_client_auth();
        let connector = TlsConnector::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let entrance = listener.local_addr().unwrap();
        let opened = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&opened);
        tokio::spawn(async move {
            while let Ok((mut plain, _)) = listener.accept().await {
                let (connector, count) = (connector.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let stream = TcpStream::connect(server).await.unwrap();
                    let mut secure = connector.connect(ServerName::from(server.ip()), stream).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                    // Either side may end it.
                    let _ended = tokio::io::copy_bidirectional(&mut plain, &mut secure).await;
                });
            }
        });
        Self { entrance, opened }
    }

    /// Connections over which TLS was spoken.
    pub fn opened(&self) -> usize {
        self.opened.load(Ordering::Relaxed)
    }
}
