//! What of the spool is not in the bucket yet, and how it comes there.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sidetone_record_core::{Container, Segment, Segments};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use super::Bucket;
use crate::recorder::{Spool, Spooled, read_range};

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
    /// What this process put of files that still grow.
    growing: HashMap<String, Growing>,
}

/// A file of which segments are in the bucket.
#[derive(Debug, Default)]
struct Growing {
    /// How far it is cut; none while it has no header.
    cut: Option<Segments>,
    objects: Vec<String>,
}

/// A segment as it is to lie in the bucket.
#[derive(Debug)]
struct Closed {
    segment: Segment,
    bytes: Bytes,
    /// Where the file is to be cut on when it is there.
    then: Segments,
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
        Self { bucket, spool, telemetry, growing: HashMap::new() }
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
            for segment in self.growing.remove(name).unwrap_or_default().objects {
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
            let cut = self.growing.get(name).and_then(|growing| growing.cut);
            let path = self.spool.path(name);
            let next = tokio::task::spawn_blocking(move || next_segment(&path, container, cut));
            let (cut, closed) = next.await.map_err(io::Error::other)??;
            let Some(Closed { segment, bytes, then }) = closed else {
                // What was looked through once need not be again.
                self.growing.entry(name.to_owned()).or_default().cut = cut;
                return Ok(());
            };
            // Files of one recording differ in what follows its id.
            let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
            let Segment { index, first_sample, .. } = segment;
            let object = format!("{stem}/{track}-{index:06}-{first_sample:012}.{}", container.extension());
            self.bucket.put(&object, bytes).await.map_err(io::Error::other)?;
            self.count("segment");
            let growing = self.growing.entry(name.to_owned()).or_default();
            growing.objects.push(object);
            growing.cut = Some(then);
        }
    }

    fn count(&self, result: &str) {
        self.telemetry.audio.uploads.with_label_values(&[result]).inc();
    }
}

/// How far a file that still grows is cut, and the next segment of it that has closed.
fn next_segment(
    path: &Path,
    container: Container,
    cut: Option<Segments>,
) -> io::Result<(Option<Segments>, Option<Closed>)> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((cut, None)),
        Err(error) => return Err(error),
    };
    let begun = || {
        let mut start = [0; 64];
        let length = file.read_at(&mut start, 0)?;
        let channels = container.channels_of(&start[..length]);
        Ok::<_, io::Error>(channels.map(|channels| Segments::new(container, channels)))
    };
    let Some(mut cut) = cut.map_or_else(begun, |cut| Ok(Some(cut)))? else { return Ok((None, None)) };
    let length = file.metadata()?.len();
    let seen = read_range(&file, cut.wanted(length))?;
    let Some(segment) = cut.next(length, &seen, false) else { return Ok((Some(cut), None)) };
    let mut bytes = cut.header(&segment);
    bytes.extend(read_range(&file, segment.bytes.clone())?);
    Ok((Some(cut), Some(Closed { segment, bytes: bytes.into(), then: cut })))
}
