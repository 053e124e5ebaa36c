//! Recordings of nodes that are gone, made whole of what they had put into the bucket.
//!
//! Segments lie in the folder of their recording, by track and first sample ([`sidetone_record_core::Joiner`]). The file is put
//! together beside the spool's sheets, goes to the bucket as a whole, and only then do the segments go away: whoever is asked again
//! after this node died in between begins anew, or finds it whole.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sidetone_record_core::{Container, Form, JoinError, Joiner};
use sidetone_telemetry::Telemetry;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::Bucket;
use crate::engine::unix_ms;
use crate::error::MediaError;
use crate::recorder::{Finished, Spool, TRACKS_MAX, date, duration_ms};

/// A recording that is to be made whole.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) container: Container,
}

/// What came of it.
#[derive(Debug)]
pub(crate) enum Joined {
    Whole { finished: Finished, objects: u32 },
    Nothing { id: String },
}

/// Where recordings are asked for.
#[derive(Debug)]
pub(crate) struct Joins {
    wanted: mpsc::Sender<Wanted>,
    under_way: UnderWay,
}

/// Where they come to be worked on.
#[derive(Debug)]
pub(crate) struct Orders {
    wanted: mpsc::Receiver<Wanted>,
    under_way: UnderWay,
}

/// By their ids.
type UnderWay = Arc<Mutex<HashSet<String>>>;

/// The task that joins, one after the other.
#[derive(Debug)]
pub(crate) struct Joining {
    bucket: Bucket,
    spool: Spool,
    telemetry: Arc<Telemetry>,
    orders: Orders,
}

/// What of a recording lies in the bucket.
#[derive(Debug, Default)]
struct Found {
    /// The recording's name without ending, of the day on which it began.
    stem: String,
    /// By track and first sample.
    segments: BTreeMap<(u32, u64), String>,
}

/// A file that is put together.
#[derive(Debug)]
struct Draft {
    path: PathBuf,
    file: File,
    length: u64,
    joiner: Joiner,
}

/// Recordings that may wait; more are refused, and asked for again.
const WAITING_MAX: usize = 4096;
/// How often one is tried before others have their turn, and the pauses between: less than a minute in all. Then it is asked
/// for again.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const DAY_MS: u64 = 24 * 3600 * 1000;

impl Joins {
    pub(crate) fn new() -> (Self, Orders) {
        let (sender, wanted) = mpsc::channel(WAITING_MAX);
        let under_way = UnderWay::default();
        (Self { wanted: sender, under_way: Arc::clone(&under_way) }, Orders { wanted, under_way })
    }

    /// Once more is no more than once.
    pub(crate) fn ask(&self, wanted: Wanted) -> Result<(), MediaError> {
        let mut under_way = self.under_way.lock().unwrap_or_else(PoisonError::into_inner);
        if under_way.contains(&wanted.id) {
            return Ok(());
        }
        let id = wanted.id.clone();
        self.wanted.try_send(wanted).map_err(|_| MediaError::Overloaded)?;
        under_way.insert(id);
        Ok(())
    }
}

impl Joining {
    pub(crate) fn new(bucket: Bucket, spool: Spool, telemetry: Arc<Telemetry>, orders: Orders) -> Self {
        Self { bucket, spool, telemetry, orders }
    }

    /// Joins until `stopping`; what came of each is told.
    pub(crate) async fn run<F: Future<Output = ()> + Send>(
        mut self,
        stopping: CancellationToken,
        told: impl Fn(Joined) -> F,
    ) {
        loop {
            let wanted = tokio::select! {
                wanted = self.orders.wanted.recv() => wanted,
                () = stopping.cancelled() => return,
            };
            let Some(wanted) = wanted else { return };
            tokio::select! {
                joined = self.join_at_last(&wanted) => if let Some(joined) = joined {
                    told(joined).await;
                },
                () = stopping.cancelled() => return,
            }
            self.orders.under_way.lock().unwrap_or_else(PoisonError::into_inner).remove(&wanted.id);
        }
    }

    async fn join_at_last(&self, wanted: &Wanted) -> Option<Joined> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            match self.join(wanted).await {
                Ok(joined) => return Some(joined),
                Err(error) => {
                    tracing::warn!(recording = wanted.id, %error, "a lost node's recording waits for the bucket");
                    self.count("failed");
                }
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        None
    }

    async fn join(&self, wanted: &Wanted) -> io::Result<Joined> {
        let Found { stem, segments } = self.look(wanted).await?;
        if stem.is_empty() {
            return Ok(Joined::Nothing { id: wanted.id.clone() });
        }
        let mut names = Vec::new();
        let mut drafts = Vec::new();
        let mut finished = Finished { id: wanted.id.clone(), stored: true, ..Finished::default() };
        let last = segments.keys().map(|(track, _)| *track).max().unwrap_or(0);
        for track in 0..TRACKS_MAX as u32 {
            let ending = wanted.container.extension();
            let name =
                if track == 0 { format!("{stem}.{ending}") } else { format!("{stem}.{track}.{ending}") };
            let of_track = segments.range((track, 0)..=(track, u64::MAX));
            let of_track: Vec<_> = of_track.map(|((_, at), name)| (*at, name.clone())).collect();
            if let Some((length_ms, size)) = self.whole(wanted, track, &name).await? {
                finished.duration_ms = finished.duration_ms.max(length_ms);
                finished.size_bytes += size;
                names.push(name);
            } else if let Some(draft) = self.track(wanted, track, of_track).await? {
                drafts.push((name.clone(), draft));
                names.push(name);
            } else if track > last {
                // Those that are whole have left no segments, and end here.
                break;
            }
        }
        if names.is_empty() {
            return Ok(Joined::Nothing { id: wanted.id.clone() });
        }
        self.put(drafts, &mut finished).await?;
        for segment in segments.values() {
            self.bucket.delete(segment).await.map_err(io::Error::other)?;
        }
        self.count("joined");
        tracing::info!(recording = wanted.id, "recording of a lost node joined");
        let objects = names.len() as u32;
        let mut names = names.into_iter();
        finished.file = names.next().unwrap_or_default();
        finished.tracks = names.collect();
        Ok(Joined::Whole { finished, objects })
    }

    /// A recording lies under the day on which it began, by the clock of whoever began it.
    async fn look(&self, wanted: &Wanted) -> io::Result<Found> {
        let mut found = Found::default();
        for day in days(&wanted.id, unix_ms()) {
            let stem = format!("{}/{}/{}", wanted.tenant, date(day)?, wanted.id);
            for name in self.bucket.list(&stem).await.map_err(io::Error::other)? {
                if let Some(place) = place(&name, wanted.container) {
                    found.segments.entry(place).or_insert(name);
                }
            }
            let file = format!("{stem}.{}", wanted.container.extension());
            let begins = found.stem.is_empty()
                && (!found.segments.is_empty() || self.bucket.has(&file).await.map_err(io::Error::other)?);
            if begins {
                found.stem = stem;
            }
        }
        Ok(found)
    }

    /// Length in ms and size of a file that is in the bucket already.
    async fn whole(&self, wanted: &Wanted, track: u32, name: &str) -> io::Result<Option<(u64, u64)>> {
        if !self.bucket.has(name).await.map_err(io::Error::other)? {
            return Ok(None);
        }
        let (path, draft) = self.spool.draft(&wanted.id, track)?;
        let mut copy = tokio::fs::File::from_std(draft);
        let size = self.bucket.copy(name, &mut copy).await?;
        let (file, container) = (copy.into_std().await, wanted.container);
        let measured = in_background(move || duration_ms(container, &file)).await?;
        tokio::fs::remove_file(path).await?;
        Ok(measured.map(|length_ms| (length_ms, size)))
    }

    /// A file of the segments of one track; none when none of them can be used.
    async fn track(
        &self,
        wanted: &Wanted,
        track: u32,
        segments: Vec<(u64, String)>,
    ) -> io::Result<Option<Draft>> {
        let mut draft: Option<Draft> = None;
        for (first_sample, name) in segments {
            // One that was deleted meanwhile is silent.
            let Some(bytes) = self.bucket.get(&name).await.map_err(io::Error::other)? else { continue };
            let (spool, id, container) = (self.spool.clone(), wanted.id.clone(), wanted.container);
            let (grown, added) = in_background(move || {
                let mut draft = match draft {
                    Some(draft) => draft,
                    None => match Joiner::form_of(container, &bytes) {
                        Some(form) => Draft::begin(spool.draft(&id, track)?, container, form)?,
                        None => return Ok((None, Err(JoinError::Foreign))),
                    },
                };
                let added = draft.add(first_sample, &bytes)?;
                Ok((Some(draft), added))
            })
            .await?;
            draft = grown;
            if let Err(problem) = added {
                tracing::warn!(recording = wanted.id, track, first_sample, %problem, "a segment is left out");
            }
        }
        Ok(draft)
    }

    /// Files of one recording are equally long.
    async fn put(&self, drafts: Vec<(String, Draft)>, finished: &mut Finished) -> io::Result<()> {
        let end = drafts.iter().map(|(_, draft)| draft.joiner.samples()).max().unwrap_or(0);
        let ms = drafts.iter().map(|(_, draft)| draft.joiner.form().ms(draft.joiner.samples())).max();
        finished.duration_ms = finished.duration_ms.max(ms.unwrap_or(0));
        for (name, mut draft) in drafts {
            let path = in_background(move || draft.finish(end).map(|()| draft.path)).await?;
            finished.size_bytes += self.bucket.put_file(&name, tokio::fs::File::open(&path).await?).await?;
            tokio::fs::remove_file(path).await?;
        }
        Ok(())
    }

    fn count(&self, result: &str) {
        self.telemetry.audio.uploads.with_label_values(&[result]).inc();
    }
}

impl Draft {
    fn begin(at: (PathBuf, File), container: Container, form: Form) -> io::Result<Self> {
        let (path, file) = at;
        let (joiner, header) = Joiner::new(container, form).map_err(io::Error::other)?;
        let mut draft = Self { path, file, length: 0, joiner };
        draft.append(&header)?;
        Ok(draft)
    }

    /// A segment that cannot be used changes nothing.
    fn add(&mut self, first_sample: u64, segment: &Bytes) -> io::Result<Result<(), JoinError>> {
        let mut out = Vec::new();
        if Joiner::form_of(self.joiner.container(), segment) != Some(self.joiner.form()) {
            return Ok(Err(JoinError::Foreign));
        }
        loop {
            match self.joiner.fill(first_sample, &mut out) {
                Ok(more) => {
                    self.append(&out)?;
                    out.clear();
                    if !more {
                        break;
                    }
                }
                Err(problem) => return Ok(Err(problem)),
            }
        }
        let added = self.joiner.add(first_sample, segment, &mut out);
        self.append(&out)?;
        Ok(added)
    }

    fn finish(&mut self, end: u64) -> io::Result<()> {
        let mut out = Vec::new();
        while self.joiner.fill(end, &mut out).map_err(io::Error::other)? {
            self.append(&out)?;
            out.clear();
        }
        self.joiner.finish(&mut out).map_err(io::Error::other)?;
        self.append(&out)?;
        if let Some(patch) = self.joiner.patch() {
            self.file.write_all_at(&patch.bytes, patch.offset)?;
        }
        self.file.sync_all()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.length)?;
        self.length += bytes.len() as u64;
        Ok(())
    }
}

/// Files and decoders are not for a thread that answers others.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The days on which a recording may have begun, the earliest first: around the time at which its id was made, and lately.
fn days(id: &str, now_ms: u64) -> BTreeSet<u64> {
    let made = id.parse::<uuid::Uuid>().ok().and_then(|id| id.get_timestamp());
    let made_ms = made.map_or(now_ms, |made| made.to_unix().0 * 1000);
    let around =
        [made_ms.saturating_sub(DAY_MS), made_ms, made_ms + DAY_MS, now_ms.saturating_sub(DAY_MS), now_ms];
    around.into_iter().map(|at| at / DAY_MS * DAY_MS).filter(|day| *day <= now_ms).collect()
}

/// Track and first sample of a segment, by its name.
fn place(name: &str, container: Container) -> Option<(u32, u64)> {
    let file = name.rsplit('/').next()?.strip_suffix(container.extension())?.strip_suffix('.')?;
    let mut parts = file.split('-');
    let (track, _, first_sample) = (parts.next()?, parts.next()?, parts.next()?);
    let track = track.parse().ok().filter(|track: &u32| (*track as usize) < TRACKS_MAX)?;
    parts.next().is_none().then_some((track, first_sample.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_looked_for_where_it_can_have_begun() {
        // 2026-11-22 00:00:05 UTC.
        let now_ms = 1_795_305_605_000;
        let began = uuid::Builder::from_unix_timestamp_millis(now_ms - 10_000, &[7; 10]).into_uuid();
        let today = now_ms / DAY_MS * DAY_MS;
        let looked = days(&began.to_string(), now_ms);
        assert_eq!(looked.into_iter().collect::<Vec<_>>(), [today - 2 * DAY_MS, today - DAY_MS, today]);
        assert_eq!(days("of no time", now_ms).len(), 2);
    }

    #[test]
    fn what_is_no_segment_is_left_alone() {
        let flac = Container::Flac;
        assert_eq!(place("t/d/r/3-000002-000000160000.flac", flac), Some((3, 160_000)));
        for other in
            ["t/d/r/3-000002-000000160000.wav", "t/d/r/x.flac", "t/d/r/99-1-1.flac", "t/d/r/1-1-1-1.flac", ""]
        {
            assert_eq!(place(other, flac), None, "{other}");
        }
    }
}
