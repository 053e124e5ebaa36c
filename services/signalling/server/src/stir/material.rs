//! Keys and authorities from files, looked at again every few seconds as the certificates of TLS are.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sidetone_stir_core::{Anchors, CertificateError, Chain, KeyError, SigningKey};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use super::StirConfig;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MaterialError {
    /// It cannot be read.
    #[error("{0}")]
    File(PathBuf, #[source] std::io::Error),
    /// It holds no certificate of use.
    #[error("{0}")]
    Certificate(PathBuf, #[source] CertificateError),
    /// It holds no key of use.
    #[error("{0}")]
    Key(PathBuf, #[source] KeyError),
    /// Key and certificate do not go together.
    #[error("{0} is not the key of its certificate")]
    OtherKey(PathBuf),
}

/// What is read from the files.
#[derive(Debug, Default)]
pub(super) struct Material {
    pub(super) anchors: Anchors,
    pub(super) keys: HashMap<String, SigningKey>,
}

impl Material {
    fn read(config: &StirConfig) -> Result<Self, MaterialError> {
        let read =
            |path: &PathBuf| std::fs::read(path).map_err(|source| MaterialError::File(path.clone(), source));
        let anchors = match &config.trust {
            Some(path) => Anchors::from_pem(&read(path)?)
                .map_err(|source| MaterialError::Certificate(path.clone(), source))?,
            None => Anchors::default(),
        };
        let mut keys = HashMap::new();
        for key in &config.keys {
            let chain = Chain::parse(&read(&key.cert)?)
                .map_err(|source| MaterialError::Certificate(key.cert.clone(), source))?;
            let signing = SigningKey::from_pem(&read(&key.key)?)
                .map_err(|source| MaterialError::Key(key.key.clone(), source))?;
            if !signing.is_of(&chain) {
                return Err(MaterialError::OtherKey(key.key.clone()));
            }
            keys.insert(key.name.clone(), signing);
        }
        Ok(Self { anchors, keys })
    }

    /// Reads the files, and goes on watching them until the process stops.
    ///
    /// # Errors
    /// When they are of no use at the start.
    pub(super) fn open(
        config: &StirConfig,
        telemetry: &Arc<Telemetry>,
        stopping: &CancellationToken,
    ) -> Result<Arc<ArcSwap<Self>>, MaterialError> {
        let current = Arc::new(ArcSwap::from_pointee(Self::read(config)?));
        if config.trust.is_some() || !config.keys.is_empty() {
            let watch = Watch {
                seen: contents(config),
                config: config.clone(),
                current: Arc::clone(&current),
                telemetry: Arc::clone(telemetry),
            };
            tokio::spawn(watch.run(stopping.clone()));
        }
        Ok(current)
    }
}

struct Watch {
    config: StirConfig,
    current: Arc<ArcSwap<Material>>,
    telemetry: Arc<Telemetry>,
    seen: Vec<Option<Vec<u8>>>,
}

impl Watch {
    async fn run(mut self, stopping: CancellationToken) {
        let pause = Duration::from_secs(self.config.reload_s);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => return,
            }
            let config = self.config.clone();
            let read = move || (contents(&config), Material::read(&config));
            let Ok((now, fresh)) = tokio::task::spawn_blocking(read).await else { return };
            if now == self.seen {
                continue;
            }
            let result = match fresh {
                Ok(fresh) => {
                    self.current.store(Arc::new(fresh));
                    tracing::info!("the keys and authorities of callers' numbers changed and are in use");
                    "ok"
                }
                Err(error) => {
                    let cause = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(%error, cause, "the keys or authorities of callers' numbers changed and cannot be used; the old ones stay");
                    "failed"
                }
            };
            self.telemetry.stir.reloads.with_label_values(&[result]).inc();
            self.seen = now;
        }
    }
}

/// By content and not by time: Kubernetes replaces a mounted secret by a symbolic link.
fn contents(config: &StirConfig) -> Vec<Option<Vec<u8>>> {
    let pairs = config.keys.iter().flat_map(|key| [&key.cert, &key.key]);
    pairs.chain(&config.trust).map(|path| std::fs::read(path).ok()).collect()
}
