//! Object storage for recordings: segments as they close, the whole file when the recording has ended.
//!
//! While a recording runs, each closed segment of at most 10 s goes to
//! `PREFIX/TENANT/DATE/RECORDING/TRACK-INDEX-FIRSTSAMPLE.EXT`; it plays alone, and its name says where on the recording's timeline
//! it belongs. When the recording has ended its files go to `PREFIX/TENANT/DATE/RECORDING.EXT`, after which the segments and the
//! files of the spool are taken away. All of it follows from the spool's sheets and files, so nothing is lost when the process dies
//! or the bucket cannot be reached: the next round, or the next process, goes on. Segments of a node that is gone for good are joined
//! to the whole file by another that is asked to.

mod join;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::aws::{AmazonS3Builder, Checksum};
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{ClientOptions, GetOptions, GetRange, ObjectStore, ObjectStoreExt as _, RetryConfig};
use tokio::io::AsyncWriteExt as _;

use crate::config::Storage;
use crate::error::MediaError;
use crate::recorder::{FileBytes, content_type};

pub(crate) use join::{Joined, Joining, Joins, Orders, Wanted};
pub(crate) use upload::{Stored, Uploads};

/// One bucket.
#[derive(Debug, Clone)]
pub(crate) struct Bucket {
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

/// Objects of one recording that are looked at: two days of 64 tracks.
const NAMES_MAX: usize = 1_000_000;
/// Bytes of one part of a large object.
const PART: usize = 8 << 20;

impl Bucket {
    /// The configured one; none when recordings stay on the node.
    pub(crate) fn open(config: &Storage) -> Result<Option<Self>, object_store::Error> {
        if config.bucket.is_empty() {
            return Ok(None);
        }
        let plain = config.endpoint.starts_with("http://");
        let client = ClientOptions::new()
            .with_timeout(Duration::from_secs(60))
            .with_connect_timeout(Duration::from_secs(5))
            .with_allow_http(plain);
        // What fails is tried again by the next round; here only what a moment mends.
        let retry =
            RetryConfig { max_retries: 1, retry_timeout: Duration::from_secs(5), ..RetryConfig::default() };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&config.bucket)
            .with_region(&config.region)
            .with_checksum_algorithm(Checksum::SHA256)
            .with_disable_bulk_delete(true)
            .with_client_options(client)
            .with_retry(retry);
        if !config.endpoint.is_empty() {
            builder = builder.with_endpoint(&config.endpoint);
        }
        if !config.access_key.is_empty() {
            builder = builder
                .with_access_key_id(&config.access_key)
                .with_secret_access_key(config.secret_key.reveal());
        }
        let prefix = config.prefix.trim_matches('/').to_owned();
        Ok(Some(Self { store: Arc::new(builder.build()?), prefix }))
    }

    fn path(&self, name: &str) -> Path {
        if self.prefix.is_empty() { Path::from(name) } else { Path::from(format!("{}/{name}", self.prefix)) }
    }

    /// Puts a small object.
    async fn put(&self, name: &str, bytes: Bytes) -> Result<(), object_store::Error> {
        self.store.put(&self.path(name), bytes.into()).await.map(drop)
    }

    /// Puts a whole file.
    async fn put_file(&self, name: &str, mut file: tokio::fs::File) -> std::io::Result<u64> {
        let mut writer = BufWriter::with_capacity(Arc::clone(&self.store), self.path(name), PART);
        let copied = tokio::io::copy(&mut file, &mut writer).await;
        match copied {
            Ok(length) => writer.shutdown().await.map(|()| length),
            Err(error) => {
                // The parts that are there already must not be kept and paid for.
                let _ = writer.abort().await;
                Err(error)
            }
        }
    }

    /// Takes an object away; one that is not there is no fault.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), MediaError> {
        match self.store.delete(&self.path(name)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(unreachable_bucket(&error)),
        }
    }

    /// The names of all that lies in a folder.
    async fn list(&self, folder: &str) -> Result<Vec<String>, object_store::Error> {
        let within = if self.prefix.is_empty() { String::new() } else { format!("{}/", self.prefix) };
        let mut names = Vec::new();
        let mut found = self.store.list(Some(&self.path(folder)));
        while let Some(object) = found.try_next().await? {
            let name = object.location.as_ref();
            names.extend(name.strip_prefix(&within).map(str::to_owned));
            if names.len() >= NAMES_MAX {
                break;
            }
        }
        Ok(names)
    }

    /// A small object; none when it is not there.
    async fn get(&self, name: &str) -> Result<Option<Bytes>, object_store::Error> {
        match self.store.get(&self.path(name)).await {
            Ok(found) => found.bytes().await.map(Some),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether an object is there.
    async fn has(&self, name: &str) -> Result<bool, object_store::Error> {
        match self.store.head(&self.path(name)).await {
            Ok(_) => Ok(true),
            Err(object_store::Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Writes an object to a file; how many bytes it has.
    async fn copy(&self, name: &str, file: &mut tokio::fs::File) -> std::io::Result<u64> {
        let found = self.store.get(&self.path(name)).await.map_err(std::io::Error::other)?;
        let mut parts = found.into_stream();
        let mut length = 0;
        while let Some(part) = parts.try_next().await.map_err(std::io::Error::other)? {
            file.write_all(&part).await?;
            length += part.len() as u64;
        }
        file.sync_all().await?;
        Ok(length)
    }

    /// An object from an offset on.
    pub(crate) async fn read(&self, name: &str, offset: u64) -> Result<FileBytes, MediaError> {
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let found =
            self.store.get_opts(&self.path(name), GetOptions { range, ..GetOptions::default() }).await;
        let found = found.map_err(|error| match error {
            object_store::Error::NotFound { .. } => MediaError::NotFound("file"),
            error => unreachable_bucket(&error),
        })?;
        let size_bytes = found.meta.size;
        let parts = found.into_stream().map(|part| part.map_err(|error| unreachable_bucket(&error)));
        Ok(FileBytes { size_bytes, content_type: content_type(name), parts: parts.boxed() })
    }
}

fn unreachable_bucket(error: &object_store::Error) -> MediaError {
    MediaError::Io { what: "object storage", problem: error.to_string() }
}
