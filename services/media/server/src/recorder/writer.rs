//! The threads that encode and write.
//!
//! A disk that does not answer holds up what is written to it and nothing else: the recorder's thread hands sound over and goes
//! on. What waits to be written is bounded, for each recording and for all; what is beyond is a gap, which costs no memory and stands
//! in the file as silence, so that the timeline stays right. A disk that takes nothing (it is full) is tried again with each piece of
//! sound for [`TROUBLE_MAX`]; only then the recording fails, with what it has.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use sidetone_record_core::{Container, Form};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};

use crate::engine::unix_ms;
use crate::error::MediaError;
use crate::recorder::spool::Spool;
use crate::recorder::track::{Sound, Track};
use crate::recorder::{Failed, Finished, NewRecording};

/// Writing threads. A file is one thread's for as long as it is written.
const THREADS: usize = 4;
/// How much of one recording may wait, in ms of one file.
const WAITING_MS_MAX: u64 = 30_000;
/// Samples of all recordings that may wait: 64 MB.
const WAITING_ALL_MAX: u64 = 32 << 20;
/// How long a disk may take nothing.
const TROUBLE_MAX: Duration = Duration::from_secs(30);
/// Ended recordings that are answered without having been acknowledged; the oldest are forgotten, their sheets stay.
const FINISHED_MAX: usize = 10_000;
/// Files of one recording.
pub(crate) const TRACKS_MAX: usize = 64;

/// Who waits for the end of a recording.
pub(super) type Ended = oneshot::Sender<Result<Finished, MediaError>>;

/// What a writing thread is asked to do. Jobs of one recording are done in their order.
#[derive(Debug)]
enum Job {
    Begin {
        new: NewRecording,
        done: oneshot::Sender<Result<(), MediaError>>,
    },
    Write {
        number: u32,
        track: usize,
        sound: Sound,
        waiting: Arc<AtomicU64>,
    },
    /// Without anybody who waits when the process stops.
    End {
        number: u32,
        failure: Option<String>,
        done: Option<Ended>,
    },
}

/// The way to the writing threads.
#[derive(Debug)]
pub(super) struct Writers {
    queues: Vec<Sender<Job>>,
    joins: Vec<JoinHandle<()>>,
    /// Samples that wait, of all recordings.
    waiting: Arc<AtomicU64>,
    telemetry: Arc<Telemetry>,
}

/// What the writing threads share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    pub(super) spool: Spool,
    pub(super) finished: Arc<Mutex<Vec<Finished>>>,
    pub(super) failures: mpsc::Sender<Failed>,
    pub(super) telemetry: Arc<Telemetry>,
    /// Where a test stands in for a disk that does not answer.
    #[cfg(test)]
    pub(super) gate: crate::recorder::stalls::Gate,
}

/// What the recorder's thread knows of the writing of one file.
#[derive(Debug)]
pub(super) struct Backlog {
    /// Samples of each channel that are left out and not told to the writer yet.
    gap: u64,
}

/// One writing thread.
#[derive(Debug)]
struct Writer {
    shared: Shared,
    waiting: Arc<AtomicU64>,
    open: HashMap<u32, Written>,
}

/// A recording as far as its files go.
#[derive(Debug)]
struct Written {
    id: String,
    container: Container,
    form: Form,
    /// The first is the recording's file.
    tracks: Vec<Track>,
    /// Samples of each channel with which files begin that could not be made yet.
    owed: HashMap<usize, u64>,
    /// Of how many the sheet knows.
    noted: usize,
    /// Since when the disk takes nothing.
    trouble: Option<Instant>,
    /// Why it was given up.
    broken: Option<String>,
}

impl Backlog {
    /// Of a file that is to begin with so many samples of silence.
    pub(super) fn of(gap: u64) -> Self {
        Self { gap }
    }
}

impl Writers {
    pub(super) fn start(shared: &Shared) -> std::io::Result<Self> {
        let waiting = Arc::new(AtomicU64::new(0));
        let mut writers = Self {
            queues: Vec::new(),
            joins: Vec::new(),
            waiting: Arc::clone(&waiting),
            telemetry: Arc::clone(&shared.telemetry),
        };
        for number in 0..THREADS {
            // Bounded by what each recording may have waiting.
            let (queue, jobs) = channel();
            let (shared, waiting) = (shared.clone(), Arc::clone(&waiting));
            let writer = Writer { shared, waiting, open: HashMap::new() };
            let named = std::thread::Builder::new().name(format!("media-writer-{number}"));
            writers.joins.push(named.spawn(move || writer.run(&jobs))?);
            writers.queues.push(queue);
        }
        Ok(writers)
    }

    /// Makes a recording's sheet and first file, and answers then.
    pub(super) fn begin(&self, new: NewRecording, done: oneshot::Sender<Result<(), MediaError>>) {
        self.send(new.number, Job::Begin { new, done });
    }

    /// Hands over samples of one file, channels interleaved; or leaves them out, when too many wait already. `waiting` is what of
    /// the recording waits.
    pub(super) fn write(
        &self,
        (number, track): (u32, usize),
        samples: Vec<i16>,
        form: Form,
        (backlog, waiting): (&mut Backlog, &Arc<AtomicU64>),
    ) {
        let length = samples.len() as u64;
        let is_full = waiting.load(Ordering::Relaxed) + length > form.samples(WAITING_MS_MAX)
            || self.waiting.load(Ordering::Relaxed) + length > WAITING_ALL_MAX;
        if is_full {
            self.telemetry.media.recording_gap_samples.inc_by(length);
            backlog.gap += length / u64::from(form.channels.max(1));
            return;
        }
        self.hand_over_gap((number, track), (backlog, waiting));
        waiting.fetch_add(length, Ordering::Relaxed);
        self.waiting.fetch_add(length, Ordering::Relaxed);
        let (sound, waiting) = (Sound::Samples(samples), Arc::clone(waiting));
        self.send(number, Job::Write { number, track, sound, waiting });
    }

    /// Lets what was left out stand in the file as silence.
    pub(super) fn hand_over_gap(
        &self,
        (number, track): (u32, usize),
        (backlog, waiting): (&mut Backlog, &Arc<AtomicU64>),
    ) {
        let gap = std::mem::take(&mut backlog.gap);
        if gap > 0 {
            let (sound, waiting) = (Sound::Silence(gap), Arc::clone(waiting));
            self.send(number, Job::Write { number, track, sound, waiting });
        }
    }

    /// Completes a recording, after all that waits, and answers then.
    pub(super) fn end(&self, number: u32, failure: Option<String>, done: Option<Ended>) {
        self.send(number, Job::End { number, failure, done });
    }

    /// Waits until all is written.
    pub(super) fn stop(self) {
        drop(self.queues);
        for join in self.joins {
            if join.join().is_err() {
                tracing::error!("a writing thread had panicked");
            }
        }
    }

    fn send(&self, number: u32, job: Job) {
        // A thread that is gone has dropped whoever waits for an answer, which tells them.
        let _ = self.queues[number as usize % self.queues.len()].send(job);
    }
}

impl Writer {
    fn run(mut self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            #[cfg(test)]
            self.shared.gate.pass();
            match job {
                // Whether anybody still waits for an answer does not matter to the recording.
                Job::Begin { new, done } => drop(done.send(self.begin(&new))),
                Job::Write { number, track, sound, waiting } => {
                    let length = if let Sound::Samples(samples) = &sound { samples.len() as u64 } else { 0 };
                    self.write(number, track, sound);
                    waiting.fetch_sub(length, Ordering::Relaxed);
                    self.waiting.fetch_sub(length, Ordering::Relaxed);
                }
                Job::End { number, failure, done } => {
                    let ended = self.end(number, failure);
                    if let Some(done) = done {
                        let _ = done.send(ended);
                    }
                }
            }
        }
    }

    fn begin(&mut self, new: &NewRecording) -> Result<(), MediaError> {
        let written = Written::begin(&self.shared.spool, new)
            .map_err(|error| MediaError::Io { what: "opening a recording", problem: error.to_string() })?;
        self.open.insert(new.number, written);
        Ok(())
    }

    fn write(&mut self, number: u32, track: usize, sound: Sound) {
        let Some(written) = self.open.get_mut(&number).filter(|written| written.broken.is_none()) else {
            return;
        };
        let Err(error) = written.write(&self.shared.spool, track, sound) else {
            if written.trouble.take().is_some() {
                tracing::info!(recording = written.id, "the disk takes the recording again");
            }
            return;
        };
        let since = *written.trouble.get_or_insert_with(|| {
            tracing::warn!(recording = written.id, %error, "the disk does not take a recording");
            Instant::now()
        });
        if since.elapsed() >= TROUBLE_MAX {
            tracing::error!(recording = written.id, %error, "recording failed");
            written.broken = Some(format!("writing failed: {error}"));
            // A full channel means that as many are being ended; this one ends with its legs.
            let _ = self.shared.failures.try_send(Failed { number, problem: "writing failed" });
        }
    }

    fn end(&mut self, number: u32, failure: Option<String>) -> Result<Finished, MediaError> {
        let written = self.open.remove(&number).ok_or(MediaError::NotFound("recording"))?;
        let finished = written.finish(failure);
        if let Err(error) = self.shared.spool.end(&finished) {
            tracing::error!(recording = finished.id, %error, "the end of a recording could not be noted");
        }
        keep(&mut self.shared.finished.lock().unwrap_or_else(PoisonError::into_inner), finished.clone());
        Ok(finished)
    }
}

impl Written {
    fn begin(spool: &Spool, new: &NewRecording) -> std::io::Result<Self> {
        let name = Spool::name(new, unix_ms())?;
        let file = spool.create(&name)?;
        spool.open(&new.id, &name, &[])?;
        let track = Track::new(name, file, new.container, new.form)?;
        Ok(Self {
            id: new.id.clone(),
            container: new.container,
            form: new.form,
            tracks: vec![track],
            owed: HashMap::new(),
            noted: 1,
            trouble: None,
            broken: None,
        })
    }

    /// What could not be written stays with its track, and is tried again with what comes next. A file that cannot be made holds
    /// up no other; its own sound is silence until it can be.
    fn write(&mut self, spool: &Spool, track: usize, sound: Sound) -> std::io::Result<()> {
        let made = self.need_track(spool, track);
        self.note(spool);
        match self.tracks.get_mut(track) {
            Some(track) => track.write(sound)?,
            None => *self.owed.entry(track).or_default() += sound.length(self.form.channels),
        }
        made
    }

    /// Makes files up to this one, if they are not there.
    fn need_track(&mut self, spool: &Spool, track: usize) -> std::io::Result<()> {
        if track < self.tracks.len() {
            return Ok(());
        }
        let first = &self.tracks[0].name;
        let stem = first.rsplit_once('.').map_or(first.as_str(), |(stem, _)| stem).to_owned();
        for n in self.tracks.len()..=track {
            let name = format!("{stem}.{n}.{}", self.container.extension());
            let file = spool.create(&name)?;
            let mut made = Track::new(name, file, self.container, self.form)?;
            if let Some(owed) = self.owed.remove(&n) {
                // What the disk does not take of it now waits in the track.
                let _ = made.write(Sound::Silence(owed));
            }
            self.tracks.push(made);
        }
        Ok(())
    }

    /// Notes which files there are. Until that is done the process after this one would find the others only, which is no reason
    /// to lose what is said.
    fn note(&mut self, spool: &Spool) {
        if self.noted == self.tracks.len() {
            return;
        }
        let names: Vec<String> = self.tracks[1..].iter().map(|track| track.name.clone()).collect();
        match spool.open(&self.id, &self.tracks[0].name, &names) {
            Ok(()) => self.noted = self.tracks.len(),
            Err(error) => {
                tracing::debug!(recording = self.id, %error, "the files of a recording are not noted")
            }
        }
    }

    /// Writes everything and puts the headers right for the last time.
    fn finish(mut self, failure: Option<String>) -> Finished {
        let mut written = Ok(());
        for track in &mut self.tracks {
            written = written.and(track.finish());
        }
        let unmade = (!self.owed.is_empty()).then(|| "a file could not be made".to_owned());
        let failure = self.broken.or(failure).or(unmade);
        let failure = failure.or_else(|| written.err().map(|error| format!("writing failed: {error}")));
        let duration_ms = self.tracks.iter().map(Track::duration_ms).max().unwrap_or(0);
        let size_bytes = self.tracks.iter().map(Track::length).sum();
        let mut names = self.tracks.into_iter().map(|track| track.name);
        let file = names.next().unwrap_or_default();
        let tracks = names.collect();
        Finished { id: self.id, file, tracks, duration_ms, size_bytes, failure, stored: false }
    }
}

/// One more that waits to be acknowledged; what was known of it before is out of date.
pub(super) fn keep(all: &mut Vec<Finished>, finished: Finished) {
    all.retain(|known| known.id != finished.id);
    if all.len() >= FINISHED_MAX {
        all.remove(0);
    }
    all.push(finished);
}

#[cfg(test)]
#[path = "writer_tests.rs"]
mod tests;
