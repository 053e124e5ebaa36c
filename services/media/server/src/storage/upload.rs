//! What of the spool is not in the bucket yet, and how it comes there.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use sidetone_record_core::{Container, Segment, Segments};
use sidetone_telemetry::Telemetry;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::Bucket;
use crate::recorder::{Spool, Spooled, read_range};

/// How often the spool is looked through.
const PERIOD: Duration = Duration::from_millis(500);
/// Recordings that are brought to the bucket at a time.
const AT_ONCE: usize = 8;
/// The first pause after a recording could not be brought there, and the longest.
const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(15);

/// The task that uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    bucket: Bucket,
    spool: Spool,
    telemetry: Arc<Telemetry>,
    /// What is known of recordings that wait, by their ids.
    known: HashMap<String, Known>,
}

/// A recording that is not in the bucket as a whole.
#[derive(Debug)]
struct Known {
    /// What this process put of its files; none while it is worked on.
    growing: Option<Growing>,
    /// When its turn comes.
    due: Instant,
    /// Since when it could not be brought there, and how long it is left alone for that.
    failing: Option<(Instant, Duration)>,
}

/// Of each file of a recording the segments that are in the bucket, by the file's name.
type Growing = HashMap<String, GrowingFile>;

/// A file of which segments are in the bucket.
#[derive(Debug, Default)]
struct GrowingFile {
    /// How far it is cut; none while it has no header.
    cut: Option<Segments>,
    objects: Vec<String>,
}

/// One recording on its way.
struct Upload {
    bucket: Bucket,
    spool: Spool,
    telemetry: Arc<Telemetry>,
    recording: Spooled,
    growing: Growing,
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
        Self { bucket, spool, telemetry, known: HashMap::new() }
    }

    /// Uploads until `stopping`; what is whole in the bucket is told. Several go at a time, whoever waits for longest first, and
    /// one that cannot be brought there keeps no other from it.
    pub(crate) async fn run(mut self, stopping: CancellationToken, stored: impl Fn(Stored)) {
        let mut under_way = FuturesUnordered::new();
        let mut turns = VecDeque::new();
        let mut look = tokio::time::interval(PERIOD);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = look.tick() => {
                    let spool = self.spool.clone();
                    let Ok(waiting) = tokio::task::spawn_blocking(move || spool.waiting()).await else { return };
                    turns = self.turns(waiting, Instant::now());
                }
                Some((upload, result)) = under_way.next(), if !under_way.is_empty() => {
                    stored_or_not(self.settle(upload, result), &stored);
                }
                () = stopping.cancelled() => return,
            }
            while under_way.len() < AT_ONCE {
                let Some(upload) = turns.pop_front().and_then(|recording| self.begin(recording)) else {
                    break;
                };
                under_way.push(upload.run());
            }
        }
    }

    /// Whose turn it is, of all that wait.
    fn turns(&mut self, waiting: Vec<Spooled>, now: Instant) -> VecDeque<Spooled> {
        self.known.retain(|id, known| {
            known.growing.is_none() || waiting.binary_search_by(|one| one.id.as_str().cmp(id)).is_ok()
        });
        let mut oldest = Duration::ZERO;
        let mut turns = Vec::new();
        for recording in waiting.iter() {
            let known = self.known.entry(recording.id.clone()).or_insert_with(|| Known {
                growing: Some(Growing::new()),
                due: now,
                failing: None,
            });
            let failing = known.failing.map_or(Duration::ZERO, |(since, _)| now.duration_since(since));
            let ended = recording.ended_at.and_then(|at| at.elapsed().ok()).unwrap_or_default();
            oldest = oldest.max(failing).max(ended);
            if known.growing.is_some() && known.due <= now {
                turns.push((known.due, recording.clone()));
            }
        }
        self.telemetry.audio.uploads_waiting.set(waiting.len() as i64);
        self.telemetry.audio.upload_oldest_seconds.set(oldest.as_secs() as i64);
        turns.sort_by_key(|(due, _)| *due);
        turns.into_iter().map(|(_, recording)| recording).collect()
    }

    fn begin(&mut self, recording: Spooled) -> Option<Upload> {
        let growing = self.known.get_mut(&recording.id)?.growing.take()?;
        let (bucket, spool) = (self.bucket.clone(), self.spool.clone());
        Some(Upload { bucket, spool, telemetry: Arc::clone(&self.telemetry), recording, growing })
    }

    /// One came back; what is in the bucket as a whole now.
    fn settle(&mut self, upload: Upload, result: io::Result<Option<Stored>>) -> Option<Stored> {
        let Upload { recording, growing, telemetry, .. } = upload;
        let now = Instant::now();
        let known = self.known.get_mut(&recording.id)?;
        match result {
            Ok(stored) => {
                if known.failing.take().is_some() {
                    tracing::info!(recording = recording.id, "a recording goes on to the bucket again");
                }
                known.due = now;
                known.growing = Some(growing);
                if stored.is_some() {
                    self.known.remove(&recording.id);
                }
                stored
            }
            Err(error) => {
                telemetry.audio.uploads.with_label_values(&["failed"]).inc();
                let (since, pause) = match known.failing {
                    Some((since, pause)) => (since, (pause * 2).min(BACKOFF_MAX)),
                    None => {
                        tracing::warn!(recording = recording.id, %error, "a recording waits for the bucket");
                        (now, BACKOFF_MIN)
                    }
                };
                known.failing = Some((since, pause));
                known.due = now + pause;
                known.growing = Some(growing);
                None
            }
        }
    }
}

fn stored_or_not(whole: Option<Stored>, stored: &impl Fn(Stored)) {
    if let Some(whole) = whole {
        stored(whole);
    }
}

impl Upload {
    async fn run(mut self) -> (Self, io::Result<Option<Stored>>) {
        let result = self.upload().await;
        (self, result)
    }

    async fn upload(&mut self) -> io::Result<Option<Stored>> {
        let recording = self.recording.clone();
        if !recording.ended() {
            for (track, name) in recording.files.iter().enumerate() {
                self.put_segments(track, name).await?;
            }
            return Ok(None);
        }
        let mut size_bytes = 0;
        for (track, name) in recording.files.iter().enumerate() {
            match tokio::fs::File::open(self.spool.path(name)).await {
                Ok(file) => size_bytes += self.bucket.put_file(name, file).await?,
                // It was deleted, or nothing could ever be written.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            }
            self.count("stored");
            let segments = match self.growing.get(name) {
                Some(growing) => growing.objects.clone(),
                // A process before this one may have put some.
                None => self.bucket.list(stem(name)).await.map_err(io::Error::other)?,
            };
            // Tracks that are not whole in the bucket yet have nothing but their segments there.
            for segment in segments.iter().filter(|segment| is_of_track(segment, track)) {
                self.bucket.delete(segment).await.map_err(io::Error::other)?;
            }
        }
        let (spool, done) = (self.spool.clone(), recording.clone());
        tokio::task::spawn_blocking(move || spool.stored(&done)).await.map_err(io::Error::other)??;
        let objects = recording.files.len() as u32;
        Ok(Some(Stored { id: recording.id, objects, size_bytes }))
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
            let stem = stem(name);
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

/// Where the segments of a file lie. Files of one recording differ in what follows its id, in which there is no dot.
fn stem(name: &str) -> &str {
    let file = name.rfind('/').map_or(0, |slash| slash + 1);
    name[file..].find('.').map_or(name, |dot| &name[..file + dot])
}

/// Whether an object is a segment of one track, by its name.
fn is_of_track(object: &str, track: usize) -> bool {
    let file = object.rsplit('/').next().unwrap_or_default();
    file.split_once('-').is_some_and(|(of, _)| of.parse() == Ok(track))
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
        let form = container.form_of(&start[..length]);
        Ok::<_, io::Error>(form.map(|form| Segments::new(container, form)))
    };
    let Some(mut cut) = cut.map_or_else(begun, |cut| Ok(Some(cut)))? else { return Ok((None, None)) };
    let length = file.metadata()?.len();
    let seen = read_range(&file, cut.wanted(length))?;
    let Some(segment) = cut.next(length, &seen, false) else { return Ok((Some(cut), None)) };
    let mut bytes = cut.header(&segment);
    bytes.extend(read_range(&file, segment.bytes.clone())?);
    Ok((Some(cut), Some(Closed { segment, bytes: bytes.into(), then: cut })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dot_in_the_name_of_a_tenant_is_no_ending() {
        assert_eq!(stem("acme.example/2026-11-21/abc.wav"), "acme.example/2026-11-21/abc");
        assert_eq!(stem("acme.example/2026-11-21/abc.3.mp3"), "acme.example/2026-11-21/abc");
        assert_eq!(stem("abc"), "abc");
    }

    #[test]
    fn segments_of_one_track_are_not_those_of_another() {
        assert!(is_of_track("demo/2026-11-21/abc/1-000002-000000160000.wav", 1));
        assert!(!is_of_track("demo/2026-11-21/abc/11-000002-000000160000.wav", 1));
        assert!(!is_of_track("demo/2026-11-21/abc/0-000001-000000080000.wav", 1));
        assert!(!is_of_track("demo/2026-11-21/1-abc/x.wav", 1));
    }
}
