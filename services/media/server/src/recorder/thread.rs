//! The thread that writes.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtrb::Consumer;
use tokio::sync::mpsc;

use crate::engine::unix_ms;
use crate::error::MediaError;
use crate::recorder::file::RecordingFile;
use crate::recorder::spool::Spool;
use crate::recorder::{Failed, Finished, NewRecording, Order};
use crate::worker::rings::RecordingFrame;

/// How often the rings are emptied.
const PERIOD: Duration = Duration::from_millis(20);
/// Ended recordings that are answered without having been acknowledged; the oldest are forgotten, their sheets stay.
const FINISHED_MAX: usize = 10_000;

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Recorder {
    spool: Spool,
    epoch: Instant,
    frames: Vec<Consumer<RecordingFrame>>,
    open: HashMap<u32, RecordingFile>,
    /// Recordings that could not go on and wait for their end.
    broken: HashMap<u32, String>,
    finished: Arc<Mutex<Vec<Finished>>>,
    failures: mpsc::Sender<Failed>,
}

impl Recorder {
    pub(super) fn new(
        spool: Spool,
        epoch: Instant,
        frames: Vec<Consumer<RecordingFrame>>,
        finished: Arc<Mutex<Vec<Finished>>>,
        failures: mpsc::Sender<Failed>,
    ) -> Self {
        Self { spool, epoch, frames, open: HashMap::new(), broken: HashMap::new(), finished, failures }
    }

    /// Works until it is told to stop, or until the control plane is gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut next = Instant::now() + PERIOD;
        loop {
            match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                // Whether anybody still waits for the answer does not matter to the recording.
                Ok(Order::Begin { new, done }) => drop(done.send(self.begin(&new))),
                Ok(Order::End { number, failure, done }) => drop(done.send(self.end(number, failure))),
                Err(RecvTimeoutError::Timeout) => {
                    self.take_frames();
                    self.flush();
                    next = Instant::now() + PERIOD;
                }
            }
        }
        self.take_frames();
        for number in self.open.keys().copied().collect::<Vec<_>>() {
            // Its sheet tells how it ended; nobody is left to be told.
            let _ = self.end(number, Some("the node was stopped"));
        }
    }

    fn begin(&mut self, new: &NewRecording) -> Result<(), MediaError> {
        let io = |error: std::io::Error| MediaError::Io {
            what: "opening a recording",
            problem: error.to_string(),
        };
        let (name, file) = self.spool.create(new, unix_ms()).map_err(io)?;
        let file = RecordingFile::new(new.id.clone(), name, new.began_ms, file, new.channels).map_err(io)?;
        self.open.insert(new.number, file);
        Ok(())
    }

    fn take_frames(&mut self) {
        for ring in &mut self.frames {
            // What came until now, and no more: a fast worker must not keep the others waiting.
            for _ in 0..ring.slots() {
                let Ok(frame) = ring.pop() else { break };
                if let Some(file) = self.open.get_mut(&frame.recording) {
                    file.add(&frame);
                }
            }
        }
    }

    fn flush(&mut self) {
        let now_ms = self.now_ms();
        for (number, file) in &mut self.open {
            if self.broken.contains_key(number) {
                continue;
            }
            if let Err(error) = file.flush_until(now_ms) {
                tracing::error!(recording = file.id, %error, "recording failed");
                self.broken.insert(*number, format!("writing failed: {error}"));
                // A full channel means that as many are being ended; this one ends with its legs.
                let _ = self.failures.try_send(Failed { number: *number, problem: "writing failed" });
            }
        }
    }

    fn end(&mut self, number: u32, failure: Option<&'static str>) -> Result<Finished, MediaError> {
        self.take_frames();
        let file = self.open.remove(&number).ok_or(MediaError::NotFound("recording"))?;
        let failure = self.broken.remove(&number).or_else(|| failure.map(str::to_owned));
        let finished = file.finish(self.now_ms(), failure);
        if let Err(error) = self.spool.end(&finished) {
            tracing::error!(recording = finished.id, %error, "the end of a recording could not be noted");
        }
        let mut all = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= FINISHED_MAX {
            all.remove(0);
        }
        all.push(finished.clone());
        Ok(finished)
    }

    fn now_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }
}
