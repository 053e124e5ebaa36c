//! Recordings on disk and live streams: one thread that takes frames off the workers' rings.
//!
//! Each leg that anybody wants to hear has one feed; the thread knows to which recordings and streams a feed goes. What the
//! legs say is placed by sample position into a short window, where voices of one channel add up. A recording is written half a
//! second behind the clock and its header put right with each write: a file of a process that was killed plays up to a second
//! before that. A small sheet beside the recordings (`.spool/<node>/<recording>.json`) is kept until the end of the recording is
//! acknowledged; sheets that a dead process left open are adopted, those of
//! other nodes that recorded into the same folder, too ([`takeover`]). A stream is made a tenth of a second behind
//! the clock and given to whoever listens.

mod ear;
pub(crate) mod live;
mod rate;
mod read;
mod ready;
mod recording;
mod room;
mod spool;
mod takeover;
mod thread;
mod track;
mod warning;
mod writer;

#[cfg(test)]
pub(crate) mod stalls;

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rtrb::Consumer;
use sidetone_dsp::Rate;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::media::v1 as pb;
use sidetone_record_core::{Container, Form};
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};

use crate::error::MediaError;
use crate::storage::Bucket;
use crate::worker::rings::RecordingFrame;
use live::{Listener, StreamFormat};
pub use rate::RecordingRate;
pub(crate) use read::{FileBytes, content_type};
pub use ready::FolderError;
pub(crate) use ready::prepare;
pub(crate) use room::{Bounds, Room};
pub(crate) use spool::{Spool, Spooled, date, duration_ms, read_range};
pub(crate) use warning::{EVERY_MS, Warned};
pub(crate) use writer::TRACKS_MAX;

/// A recording to be begun.
#[derive(Debug, Clone)]
pub(crate) struct NewRecording {
    /// By its number in this process.
    pub(crate) number: u32,
    pub(crate) id: String,
    pub(crate) tenant: String,
    pub(crate) container: Container,
    /// Of each file; two channels are one for each side.
    pub(crate) form: Form,
    /// On the node's clock.
    pub(crate) began_ms: u64,
}

/// A recording that has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Finished {
    pub(crate) id: String,
    /// Relative to the folder of recordings.
    pub(crate) file: String,
    /// The other files, where each leg has one.
    #[serde(default)]
    pub(crate) tracks: Vec<String>,
    pub(crate) duration_ms: u64,
    pub(crate) size_bytes: u64,
    /// Why it is not whole.
    pub(crate) failure: Option<String>,
    /// It is in the bucket, and no more in the spool.
    #[serde(default)]
    pub(crate) stored: bool,
}

/// The way to the recorder's thread.
#[derive(Debug)]
pub(crate) struct RecorderHandle {
    orders: SyncSender<Order>,
    finished: Arc<Mutex<Vec<Finished>>>,
    spool: Spool,
    bucket: Option<Bucket>,
    full: Arc<AtomicBool>,
}

/// Whether a recording has its file.
pub(crate) type Begun = oneshot::Receiver<Result<(), MediaError>>;

/// What the thread is asked to do.
#[derive(Debug)]
enum Order {
    Begin {
        new: NewRecording,
        done: oneshot::Sender<Result<(), MediaError>>,
    },
    End {
        number: u32,
        failure: Option<&'static str>,
        done: oneshot::Sender<Result<Finished, MediaError>>,
    },
    Route {
        feed: u32,
        place: Place,
    },
    /// Of one recording or stream, or of all.
    Unroute {
        feed: u32,
        output: Option<u32>,
    },
    /// In which channels a recording's warning tone is heard.
    Warn {
        number: u32,
        all: Vec<Warned>,
    },
    Hold {
        number: u32,
        mask: bool,
    },
    Resume {
        number: u32,
    },
    BeginStream {
        number: u32,
        made_of: (StreamFormat, Rate),
        done: oneshot::Sender<Result<(), MediaError>>,
    },
    EndStream {
        number: u32,
    },
    Listen {
        number: u32,
        listener: Listener,
    },
    Stop,
}

/// Where in a recording or stream a leg is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The recording or stream, by its number in this process.
    pub(crate) output: u32,
    pub(crate) track: usize,
    pub(crate) channel: usize,
    /// At which it is made.
    pub(crate) rate: Rate,
}

/// A recording that could not go on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failed {
    pub(crate) number: u32,
    pub(crate) problem: &'static str,
}

/// Orders that may wait for the thread; more are refused.
const ORDERS_MAX: usize = 1024;

/// Starts the thread. Failures of running recordings are told through the returned channel.
pub(crate) fn start(
    folder: PathBuf,
    node_id: &str,
    epoch: Instant,
    frames: Vec<Consumer<RecordingFrame>>,
    telemetry: Arc<Telemetry>,
    bucket: Option<Bucket>,
) -> std::io::Result<(RecorderHandle, mpsc::Receiver<Failed>, std::thread::JoinHandle<()>)> {
    let spool = Spool::new(folder, node_id, bucket.is_some());
    let held = spool.hold()?;
    let mut adopted = Vec::new();
    spool.take_over().into_iter().for_each(|one| writer::keep(&mut adopted, one));
    let finished = Arc::new(Mutex::new(adopted));
    let (orders, waiting) = sync_channel(ORDERS_MAX);
    let (failures, failed) = mpsc::channel(ORDERS_MAX);
    let shared = writer::Shared {
        spool: spool.clone(),
        finished: Arc::clone(&finished),
        failures,
        telemetry: Arc::clone(&telemetry),
        #[cfg(test)]
        gate: stalls::gate_of(node_id),
    };
    let recorder = thread::Recorder::new(writer::Writers::start(&shared)?, epoch, frames, telemetry);
    let join = std::thread::Builder::new().name("media-recorder".into()).spawn(move || {
        recorder.run(&waiting);
        // Until here nobody may take over what it writes.
        drop(held);
    })?;
    Ok((RecorderHandle { orders, finished, spool, bucket, full: Arc::default() }, failed, join))
}

impl RecorderHandle {
    /// Whether the disk has too little room for one more; kept by [`Room`].
    pub(crate) fn full(&self) -> &Arc<AtomicBool> {
        &self.full
    }

    /// Where its files are.
    pub(crate) fn spool(&self) -> Spool {
        self.spool.clone()
    }

    /// Takes in what is said from now on; the answer comes when there is a file.
    pub(crate) fn begin(&self, new: NewRecording) -> Result<Begun, MediaError> {
        let (done, begun) = oneshot::channel();
        self.order(Order::Begin { new, done })?;
        Ok(begun)
    }

    /// Closes the file, after everything that is in the rings.
    pub(crate) async fn end(
        &self,
        number: u32,
        failure: Option<&'static str>,
    ) -> Result<Finished, MediaError> {
        let (done, ended) = oneshot::channel();
        self.order(Order::End { number, failure, done })?;
        ended.await.map_err(|_| MediaError::Stopping)?
    }

    /// Lets what a leg says be heard in a recording or stream.
    pub(crate) fn route(&self, feed: u32, place: Place) -> Result<(), MediaError> {
        self.order(Order::Route { feed, place })
    }

    /// No longer lets what a leg says be heard in one output, or anywhere.
    pub(crate) fn unroute(&self, feed: u32, output: Option<u32>) {
        // Refused, it costs a few bytes until the output ends: no frame of the feed comes any more.
        let _ = self.order(Order::Unroute { feed, output });
    }

    /// Lets the warning tone be in a recording as those hear it who are in it.
    pub(crate) fn warn(&self, number: u32, all: Vec<Warned>) -> Result<(), MediaError> {
        self.order(Order::Warn { number, all })
    }

    /// Takes nothing in for a while.
    pub(crate) fn hold(&self, number: u32, mask: bool) -> Result<(), MediaError> {
        self.order(Order::Hold { number, mask })
    }

    /// Takes in again what is said.
    pub(crate) fn resume(&self, number: u32) -> Result<(), MediaError> {
        self.order(Order::Resume { number })
    }

    /// Begins a live stream of a rate; what has no container is of 8 kHz.
    pub(crate) async fn begin_stream(
        &self,
        number: u32,
        made_of: (StreamFormat, Rate),
    ) -> Result<(), MediaError> {
        let (done, begun) = oneshot::channel();
        self.order(Order::BeginStream { number, made_of, done })?;
        begun.await.map_err(|_| MediaError::Stopping)?
    }

    /// Ends a live stream, and with it those who listen.
    pub(crate) fn end_stream(&self, number: u32) -> Result<(), MediaError> {
        self.order(Order::EndStream { number })
    }

    /// One more who listens.
    pub(crate) fn listen(&self, number: u32, listener: Listener) -> Result<(), MediaError> {
        self.order(Order::Listen { number, listener })
    }

    /// An ended recording that was not acknowledged.
    pub(crate) fn finished(&self, id: &str) -> Option<Finished> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).iter().find(|f| f.id == id).cloned()
    }

    /// All of them.
    pub(crate) fn all_finished(&self) -> Vec<Finished> {
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A recording of another node, which is in the bucket as a whole.
    pub(crate) async fn take_over(&self, finished: Finished) {
        let (spool, sheet) = (self.spool.clone(), finished.clone());
        let noted = tokio::task::spawn_blocking(move || spool.end(&sheet)).await;
        if let Ok(Err(error)) = noted {
            // It is told now, and found in the bucket by whoever asks again.
            tracing::error!(recording = finished.id, %error, "the end of a recording could not be noted");
        }
        let mut all = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        writer::keep(&mut all, finished);
    }

    /// Finishes what nodes have left in the same folder that are gone by now; what nobody has acknowledged.
    pub(crate) async fn take_over_others(&self) -> Vec<Finished> {
        let spool = self.spool.clone();
        let taken = tokio::task::spawn_blocking(move || spool.take_over()).await.unwrap_or_default();
        let mut all = self.finished.lock().unwrap_or_else(PoisonError::into_inner);
        taken.iter().for_each(|one| writer::keep(&mut all, one.clone()));
        taken
    }

    /// Forgets an ended recording; its file stays.
    pub(crate) async fn acknowledge(&self, id: &str) -> Result<(), MediaError> {
        if self.finished(id).is_none() {
            return Ok(());
        }
        let (spool, owned) = (self.spool.clone(), id.to_owned());
        let removed = tokio::task::spawn_blocking(move || spool.acknowledge(&owned)).await;
        removed.map_err(|_| MediaError::Stopping)?.map_err(|error| MediaError::Io {
            what: "removing a recording's sheet",
            problem: error.to_string(),
        })?;
        self.finished.lock().unwrap_or_else(PoisonError::into_inner).retain(|f| f.id != id);
        Ok(())
    }

    /// Ends every recording and the thread.
    pub(crate) fn stop(&self) {
        // A thread that is gone, or whose list of orders is full for good, has nothing to end any more.
        let _ = self.orders.try_send(Order::Stop);
    }

    fn order(&self, order: Order) -> Result<(), MediaError> {
        self.orders.try_send(order).map_err(|error| match error {
            TrySendError::Full(_) => MediaError::Overloaded,
            TrySendError::Disconnected(_) => MediaError::Stopping,
        })
    }
}

impl From<&Finished> for pb::FinishedRecording {
    fn from(finished: &Finished) -> Self {
        let failure = finished
            .failure
            .as_deref()
            .map(|text| (&Termination::new(Cause::Internal).with_text(text)).into());
        Self {
            recording_id: finished.id.clone(),
            file: finished.file.clone(),
            duration_ms: finished.duration_ms,
            size_bytes: finished.size_bytes,
            failure,
            tracks: finished.tracks.clone(),
        }
    }
}
