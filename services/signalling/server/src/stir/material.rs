//! Keys and authorities from files.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use sidetone_stir_core::{Anchors, CertificateError, Chain, KeyError, SigningKey};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use super::StirConfig;
use crate::reload::Files;

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
        let pairs = config.keys.iter().flat_map(|key| [&key.cert, &key.key]);
        let telemetry = Arc::clone(telemetry);
        let files = Files {
            what: "the keys and authorities of callers' numbers",
            paths: pairs.chain(&config.trust).cloned().collect(),
            pause: Duration::from_secs(config.reload_s),
            count: Box::new(move |result| telemetry.stir.reloads.with_label_values(&[result]).inc()),
        };
        let config = config.clone();
        files.open(move || Self::read(&config), stopping)
    }
}
