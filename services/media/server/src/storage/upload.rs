//! What of the spool is not in the bucket yet, and how it comes there.

use std::collections::HashMap;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sidetone_record_core::{Container, Segments};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use super::Bucket;
use crate::recorder::{Spool, Spooled};

/// How often the spool is looked through.
const PERIOD: Duration = Duration::from_millis(500);
/// The longest pause after the bucket could not be reached.
const BACKOFF_MAX: Duration = Duration::from_secs(30);

/// The task that uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    pub(crate) bucket: Bucket,
    pub(crate) spool: Spool,
    pub(crate) telemetry: Arc<Telemetry>,
    /// Segments put by this process, by file: the first that is not there, and the names of the others.
    pub(crate) segments: HashMap<String, Vec<String>>,
}

/// What came to be in the bucket as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) objects: u32,
    pub(crate) size_bytes: u64,
}

impl Uploads {
    pub(crate) fn new(bucket: Bucket, spool: Spool, telemetry: Arc<Telemetry>) -> Self {
        Self { bucket, spool, telemetry, segments: HashMap::new() }
    }

    /// Uploads until `stopping`; what is whole in the bucket is told.
    pub(crate) async fn run(mut self, stopping: CancellationToken, stored: impl Fn(Stored)) {
        let mut pause = PERIOD;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = stopping.cancelled() => return,
            }
            let spool = self.spool.clone();
            let Ok(waiting) = tokio::task::spawn_blocking(move || spool.waiting()).await else { return };
            self.telemetry.audio.uploads_waiting.set(waiting.len() as i64);
            let mut failed = false;
            for recording in waiting {
                tokio::select! {
                    result = self.upload(&recording) => match result {
                        Ok(Some(whole)) => stored(whole),
                        Ok(None) => {}
                        Err(error) => {
                            tracing::warn!(recording = recording.id, %error, "a recording waits for the bucket");
                            self.count("failed");
                            failed = true;
                        }
                    },
                    () = stopping.cancelled() => return,
                }
                if failed {
                    break;
                }
            }
            pause = if failed { (pause * 2).min(BACKOFF_MAX) } else { PERIOD };
        }
    }

    async fn upload(&mut self, recording: &Spooled) -> io::Result<Option<Stored>> {
        if !recording.ended {
            for (track, name) in recording.files.iter().enumerate() {
                self.put_segments(track, name).await?;
            }
            return Ok(None);
        }
        let mut size_bytes = 0;
        for name in &recording.files {
            match tokio::fs::File::open(self.spool.path(name)).await {
                Ok(file) => size_bytes += self.bucket.put_file(name, file).await?,
                // It was deleted, or nothing could ever be written.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            self.count("stored");
            for segment in self.segments.remove(name).unwrap_or_default() {
                self.bucket.delete(&segment).await.map_err(io::Error::other)?;
            }
        }
        let (spool, done) = (self.spool.clone(), recording.clone());
        tokio::task::spawn_blocking(move || spool.stored(&done)).await.map_err(io::Error::other)??;
        let objects = recording.files.len() as u32;
        Ok(Some(Stored { id: recording.id.clone(), objects, size_bytes }))
    }

    /// Puts the segments that have closed.
    async fn put_segments(&mut self, track: usize, name: &str) -> io::Result<()> {
        let Some(container) = Container::of_name(name) else { return Ok(()) };
        loop {
            let index = self.segments.get(name).map_or(0, Vec::len) as u32;
            let path = self.spool.path(name);
            let cut = move || segment(&path, container, index);
            let Some((first_sample, bytes)) =
                tokio::task::spawn_blocking(cut).await.map_err(io::Error::other)??
            else {
                return Ok(());
            };
            // Files of one recording differ in what follows its id.
            let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
            let object = format!("{stem}/{track}-{index:06}-{first_sample:012}.{}", container.extension());
            self.bucket.put(&object, bytes).await.map_err(io::Error::other)?;
            self.count("segment");
            self.segments.entry(name.to_owned()).or_default().push(object);
        }
    }

    fn count(&self, result: &str) {
        self.telemetry.audio.uploads.with_label_values(&[result]).inc();
    }
}

/// A closed segment of a file that still grows, as it is to lie in the bucket.
fn segment(path: &std::path::Path, container: Container, index: u32) -> io::Result<Option<(u64, Bytes)>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut start = [0; 64];
    let length = file.read_at(&mut start, 0)?;
    let Some(channels) = container.channels_of(&start[..length]) else { return Ok(None) };
    let segments = Segments::new(container, channels);
    let Some(segment) = segments.get(index, file.metadata()?.len(), false) else { return Ok(None) };
    let mut bytes = segments.header(&segment);
    let header = bytes.len();
    bytes.resize(header + (segment.bytes.end - segment.bytes.start) as usize, 0);
    file.read_exact_at(&mut bytes[header..], segment.bytes.start)?;
    Ok(Some((segment.first_sample, bytes.into())))
}
