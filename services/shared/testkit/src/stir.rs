//! An authority of telephone numbers' certificates (RFC 8226), and a server under whose URLs they stand.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CustomExtension, IsCa, Issuer, KeyPair};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// An authority with one certificate between itself and those that it gives.
pub struct Authority {
    root_pem: String,
    between_pem: String,
    between: Issuer<'static, KeyPair>,
}

/// A certificate that an authority gave.
#[derive(Debug, Clone)]
pub struct Issued {
    /// The certificate, and behind it the one of its authority.
    pub chain_pem: String,
    /// The certificate alone.
    pub der: Vec<u8>,
    /// Its key, PKCS #8.
    pub key_pem: String,
}

/// What a certificate is good for.
#[derive(Debug, Clone)]
pub enum GoodFor {
    /// Whatever a service provider with that code says.
    Provider(&'static str),
    /// One number.
    Number(&'static str),
    /// No TNAuthList at all.
    Nothing,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A new one.
    ///
    /// # Errors
    /// When keys cannot be made.
    pub fn new() -> Result<Self, rcgen::Error> {
        let ca = |name: &str| {
            let mut params = CertificateParams::new(Vec::<String>::new())?;
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            Ok::<_, rcgen::Error>(params)
        };
        let root_key = KeyPair::generate()?;
        let root_params = ca("Root of numbers")?;
        let root_pem = root_params.self_signed(&root_key)?.pem();
        let root = Issuer::new(root_params, root_key);
        let key = KeyPair::generate()?;
        let params = ca("Authority of numbers")?;
        let between_pem = params.signed_by(&key, &root)?.pem();
        Ok(Self { root_pem, between_pem, between: Issuer::new(params, key) })
    }

    /// What must be trusted.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// A certificate that is good now.
    ///
    /// # Errors
    /// When its key cannot be made.
    pub fn issue(&self, good_for: GoodFor) -> Result<Issued, rcgen::Error> {
        self.issue_until(good_for, 2100)
    }

    /// A certificate that was good once.
    ///
    /// # Errors
    /// When its key cannot be made.
    pub fn issue_expired(&self, good_for: GoodFor) -> Result<Issued, rcgen::Error> {
        self.issue_until(good_for, 2021)
    }

    fn issue_until(&self, good_for: GoodFor, year: i32) -> Result<Issued, rcgen::Error> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.distinguished_name.push(rcgen::DnType::CommonName, "SHAKEN 709J");
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        params.custom_extensions.extend(good_for.extension());
        let made = params.signed_by(&key, &self.between)?;
        Ok(Issued {
            chain_pem: format!("{}{}", made.pem(), self.between_pem),
            der: made.der().to_vec(),
            key_pem: key.serialize_pem(),
        })
    }
}

impl GoodFor {
    /// RFC 8226, section 9: a list of one entry, tagged explicitly.
    fn extension(&self) -> Option<CustomExtension> {
        let (tag, text) = match self {
            Self::Provider(code) => (0xa0, code),
            Self::Number(number) => (0xa2, number),
            Self::Nothing => return None,
        };
        let length = text.len() as u8;
        let head = [0x30, length + 4, tag, length + 2, 0x16, length];
        let list = head.into_iter().chain(text.bytes()).collect();
        Some(CustomExtension::from_oid_content(&[1, 3, 6, 1, 5, 5, 7, 1, 26], list))
    }
}

/// An HTTP server on loopback for certificates.
#[derive(Debug)]
pub struct CertificateServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Shared {
    bodies: Mutex<HashMap<String, Vec<u8>>>,
    delay: Mutex<Duration>,
    asked: AtomicU64,
}

impl CertificateServer {
    /// Listens on a free port.
    ///
    /// # Errors
    /// When there is none.
    pub async fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (address, shared) = (listener.local_addr()?, Arc::<Shared>::default());
        let serving = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&serving);
                // Who goes away early is not answered.
                tokio::spawn(async move { drop(answer(stream, &shared).await) });
            }
        });
        Ok(Self { address, shared, task: task.abort_handle() })
    }

    /// Puts a body under a path that begins with a slash; its URL.
    pub fn put(&self, path: &str, body: impl Into<Vec<u8>>) -> String {
        let mut bodies = self.shared.bodies.lock().unwrap_or_else(PoisonError::into_inner);
        bodies.insert(path.to_owned(), body.into());
        format!("http://{}{path}", self.address)
    }

    /// Lets every later answer wait.
    pub fn set_delay(&self, delay: Duration) {
        *self.shared.delay.lock().unwrap_or_else(PoisonError::into_inner) = delay;
    }

    /// How often it was asked.
    pub fn asked(&self) -> u64 {
        self.shared.asked.load(Ordering::SeqCst)
    }
}

impl Drop for CertificateServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 1024];
        let length = stream.read(&mut piece).await?;
        if length == 0 || head.len() > 16_384 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..length]);
    }
    shared.asked.fetch_add(1, Ordering::SeqCst);
    let delay = *shared.delay.lock().unwrap_or_else(PoisonError::into_inner);
    tokio::time::sleep(delay).await;
    let head = String::from_utf8_lossy(&head);
    let path = head.split_whitespace().nth(1).unwrap_or_default();
    let body = shared.bodies.lock().unwrap_or_else(PoisonError::into_inner).get(path).cloned();
    let status = if body.is_some() { "200 OK" } else { "404 Not Found" };
    let body = body.unwrap_or_default();
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/pem-certificate-chain\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&body).await
}
