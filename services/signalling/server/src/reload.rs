//! Files that are read again when what is in them has changed: certificates, keys, authorities.
//!
//! They are looked at every few seconds, by content and not by time: Kubernetes replaces a mounted secret by a symbolic link. What
//! cannot be used is told, counted and left; the old stays.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio_util::sync::CancellationToken;

/// Files, and who is told of them.
pub(crate) struct Files {
    /// What is in them, for the log.
    pub(crate) what: &'static str,
    pub(crate) paths: Vec<PathBuf>,
    /// How often they are looked at.
    pub(crate) pause: Duration,
    /// Counts attempts to use a change, by result: `ok` or `failed`.
    pub(crate) count: Box<dyn Fn(&'static str) + Send + Sync>,
}

impl Files {
    /// Reads them, and goes on watching them until the process stops.
    ///
    /// # Errors
    /// When they are of no use at the start.
    pub(crate) fn open<T, E>(
        self,
        read: impl Fn() -> Result<T, E> + Send + Sync + 'static,
        stopping: &CancellationToken,
    ) -> Result<Arc<ArcSwap<T>>, E>
    where
        T: Send + Sync + 'static,
        E: Error + Send + 'static,
    {
        // Before they are read: a change in between is noticed then.
        let seen = self.contents();
        let current = Arc::new(ArcSwap::from_pointee(read()?));
        if !self.paths.is_empty() {
            tokio::spawn(self.watch(seen, Arc::clone(&current), Arc::new(read), stopping.clone()));
        }
        Ok(current)
    }

    async fn watch<T, E>(
        self,
        mut seen: Vec<Option<Vec<u8>>>,
        current: Arc<ArcSwap<T>>,
        read: Arc<impl Fn() -> Result<T, E> + Send + Sync + 'static>,
        stopping: CancellationToken,
    ) where
        T: Send + Sync + 'static,
        E: Error + Send + 'static,
    {
        let files = Arc::new(self);
        loop {
            tokio::select! {
                () = tokio::time::sleep(files.pause) => {}
                () = stopping.cancelled() => return,
            }
            let (looking, reading) = (Arc::clone(&files), Arc::clone(&read));
            let look = move || (looking.contents(), reading());
            let Ok((now, fresh)) = tokio::task::spawn_blocking(look).await else { return };
            if now == seen {
                continue;
            }
            let result = match fresh {
                Ok(fresh) => {
                    current.store(Arc::new(fresh));
                    tracing::info!(what = files.what, "files changed and are in use");
                    "ok"
                }
                Err(error) => {
                    let cause = error.source().map(ToString::to_string);
                    tracing::error!(what = files.what, %error, cause, "files changed and cannot be used; the old ones stay");
                    "failed"
                }
            };
            (files.count)(result);
            seen = now;
        }
    }

    fn contents(&self) -> Vec<Option<Vec<u8>>> {
        self.paths.iter().map(|path| std::fs::read(path).ok()).collect()
    }
}
