//! The thread that writes.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rtrb::Consumer;
use sidetone_telemetry::Telemetry;
use tokio::sync::mpsc;

use crate::error::MediaError;
use crate::recorder::ear::Ear;
use crate::recorder::live::Live;
use crate::recorder::recording::Recording;
use crate::recorder::spool::Spool;
use crate::recorder::{Failed, Finished, NewRecording, Order, Place};
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
    /// Where what a leg says goes, by the number of its feed.
    routes: HashMap<u32, Vec<Place>>,
    /// What each feed is decoded with.
    ears: HashMap<u32, Ear>,
    open: HashMap<u32, Recording>,
    streams: HashMap<u32, Live>,
    /// Recordings that could not go on and wait for their end.
    broken: HashMap<u32, String>,
    finished: Arc<Mutex<Vec<Finished>>>,
    failures: mpsc::Sender<Failed>,
    telemetry: Arc<Telemetry>,
}

/// What the thread shares.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) finished: Arc<Mutex<Vec<Finished>>>,
    pub(super) failures: mpsc::Sender<Failed>,
    pub(super) telemetry: Arc<Telemetry>,
}

impl Recorder {
    pub(super) fn new(
        spool: Spool,
        epoch: Instant,
        frames: Vec<Consumer<RecordingFrame>>,
        shared: Shared,
    ) -> Self {
        let Shared { finished, failures, telemetry } = shared;
        Self {
            spool,
            epoch,
            frames,
            routes: HashMap::new(),
            ears: HashMap::new(),
            open: HashMap::new(),
            streams: HashMap::new(),
            broken: HashMap::new(),
            finished,
            failures,
            telemetry,
        }
    }

    /// Works until it is told to stop, or until the control plane is gone.
    pub(super) fn run(mut self, orders: &Receiver<Order>) {
        let mut next = Instant::now() + PERIOD;
        loop {
            match orders.recv_timeout(next.saturating_duration_since(Instant::now())) {
                Ok(Order::Stop) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(order) => self.handle(order),
                Err(RecvTimeoutError::Timeout) => {
                    self.take_frames();
                    self.flush();
                    self.stream();
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

    /// Whether anybody still waits for an answer does not matter to the recording.
    fn handle(&mut self, order: Order) {
        match order {
            Order::Begin { new, done } => drop(done.send(self.begin(&new))),
            Order::End { number, failure, done } => drop(done.send(self.end(number, failure))),
            Order::Route { feed, place, done } => drop(done.send(self.route(feed, place))),
            Order::Unroute { feed, output } => self.unroute(feed, output),
            Order::Hold { number, mask } => {
                self.take_frames();
                let clock = self.clock();
                if let Some(recording) = self.open.get_mut(&number) {
                    recording.hold(clock, mask);
                }
            }
            Order::Resume { number } => {
                self.take_frames();
                let clock = self.clock();
                if let Some(recording) = self.open.get_mut(&number) {
                    recording.resume(clock);
                }
            }
            Order::BeginStream { number, format, done } => {
                let live = Live::begin(format, self.clock());
                let begun = live.map(|live| drop(self.streams.insert(number, live)));
                drop(done.send(begun.map_err(|error| encoder(&error))));
            }
            Order::EndStream { number } => {
                self.streams.remove(&number);
                self.forget_routes(number);
                self.count_listeners();
            }
            Order::Listen { number, listener } => {
                // Of a stream that has ended it is dropped, which tells whoever listens.
                if let Some(live) = self.streams.get_mut(&number) {
                    live.listen(listener);
                }
                self.count_listeners();
            }
            Order::Stop => {}
        }
    }

    fn begin(&mut self, new: &NewRecording) -> Result<(), MediaError> {
        let recording = Recording::begin(&self.spool, new)
            .map_err(|error| MediaError::Io { what: "opening a recording", problem: error.to_string() })?;
        self.open.insert(new.number, recording);
        Ok(())
    }

    fn route(&mut self, feed: u32, place: Place) -> Result<(), MediaError> {
        if let Some(recording) = self.open.get_mut(&place.output) {
            recording
                .need_track(&self.spool, place.track)
                .map_err(|error| MediaError::Io { what: "opening a track", problem: error.to_string() })?;
        }
        self.routes.entry(feed).or_default().push(place);
        Ok(())
    }

    fn unroute(&mut self, feed: u32, output: Option<u32>) {
        self.take_frames();
        if let Some(places) = self.routes.get_mut(&feed) {
            places.retain(|place| output.is_some_and(|output| place.output != output));
            if places.is_empty() {
                self.routes.remove(&feed);
                self.ears.remove(&feed);
            }
        }
    }

    fn forget_routes(&mut self, output: u32) {
        self.routes.retain(|_, places| {
            places.retain(|place| place.output != output);
            !places.is_empty()
        });
        self.ears.retain(|feed, _| self.routes.contains_key(feed));
    }

    fn take_frames(&mut self) {
        for ring in &mut self.frames {
            // What came until now, and no more: a fast worker must not keep the others waiting.
            for _ in 0..ring.slots() {
                let Ok(frame) = ring.pop() else { break };
                let Some(places) = self.routes.get(&frame.recording) else { continue };
                let Some(samples) = self.ears.entry(frame.recording).or_default().hear(&frame) else {
                    continue;
                };
                for place in places {
                    if let Some(recording) = self.open.get_mut(&place.output) {
                        recording.add(frame.position, place.track, place.channel, samples);
                    } else if let Some(live) = self.streams.get_mut(&place.output) {
                        live.add(frame.position, samples);
                    }
                }
            }
        }
    }

    fn flush(&mut self) {
        let clock = self.clock();
        for (number, recording) in &mut self.open {
            if self.broken.contains_key(number) {
                continue;
            }
            if let Err(error) = recording.flush_until(clock) {
                tracing::error!(recording = recording.id, %error, "recording failed");
                self.broken.insert(*number, format!("writing failed: {error}"));
                // A full channel means that as many are being ended; this one ends with its legs.
                let _ = self.failures.try_send(Failed { number: *number, problem: "writing failed" });
            }
        }
    }

    fn stream(&mut self) {
        let clock = self.clock();
        let mut changed = false;
        self.streams.retain(|_, live| {
            let before = live.listeners();
            let flushed = live.flush_until(clock);
            changed |= live.listeners() != before;
            match flushed {
                Ok(cut_off) => {
                    self.telemetry.audio.listeners_cut_off.inc_by(cut_off as u64);
                    true
                }
                Err(error) => {
                    tracing::error!(%error, "a stream ends");
                    changed = true;
                    false
                }
            }
        });
        if changed {
            self.count_listeners();
        }
    }

    fn count_listeners(&self) {
        let listeners: usize = self.streams.values().map(Live::listeners).sum();
        self.telemetry.audio.listeners.set(listeners as i64);
    }

    fn end(&mut self, number: u32, failure: Option<&'static str>) -> Result<Finished, MediaError> {
        self.take_frames();
        let recording = self.open.remove(&number).ok_or(MediaError::NotFound("recording"))?;
        self.forget_routes(number);
        let failure = self.broken.remove(&number).or_else(|| failure.map(str::to_owned));
        let finished = recording.finish(self.clock(), failure);
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

    /// The node's clock in samples.
    fn clock(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64 * 8
    }
}

fn encoder(error: &sidetone_record_core::EncodeError) -> MediaError {
    MediaError::Io { what: "making an encoder", problem: error.to_string() }
}
