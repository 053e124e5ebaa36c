//! The thread that puts together what is said. It never waits for a disk: that is what [`super::writer`] is for.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use rtrb::Consumer;
use sidetone_dsp::Rate;
use sidetone_telemetry::Telemetry;

use crate::error::MediaError;
use crate::recorder::ear::Ear;
use crate::recorder::live::Live;
use crate::recorder::recording::Recording;
use crate::recorder::writer::{Ended, Writers};
use crate::recorder::{Order, Place};
use crate::worker::rings::RecordingFrame;

/// How often the rings are emptied.
const PERIOD: Duration = Duration::from_millis(20);

/// What the thread owns.
#[derive(Debug)]
pub(super) struct Recorder {
    writers: Writers,
    epoch: Instant,
    frames: Vec<Consumer<RecordingFrame>>,
    /// Where what a leg says goes, by the number of its feed.
    routes: HashMap<u32, Vec<Place>>,
    /// What each feed is decoded with, for each rate at which it is wanted.
    ears: HashMap<(u32, Rate), Ear>,
    open: HashMap<u32, Recording>,
    streams: HashMap<u32, Live>,
    telemetry: Arc<Telemetry>,
}

impl Recorder {
    pub(super) fn new(
        writers: Writers,
        epoch: Instant,
        frames: Vec<Consumer<RecordingFrame>>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            writers,
            epoch,
            frames,
            routes: HashMap::new(),
            ears: HashMap::new(),
            open: HashMap::new(),
            streams: HashMap::new(),
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
                Err(RecvTimeoutError::Timeout) => {}
            }
            // However many orders there are: the rings have room for some hundred milliseconds.
            if Instant::now() >= next {
                self.take_frames();
                self.look_at_ears(false);
                self.flush();
                self.stream();
                next = Instant::now() + PERIOD;
            }
        }
        self.take_frames();
        for number in self.open.keys().copied().collect::<Vec<_>>() {
            // Its sheet tells how it ended; nobody is left to be told.
            self.end(number, Some("the node was stopped"), None);
        }
        self.writers.stop();
    }

    fn handle(&mut self, order: Order) {
        match order {
            Order::Begin { new, done } => {
                self.open.insert(new.number, Recording::begin(&new));
                self.writers.begin(new, done);
            }
            Order::End { number, failure, done } => self.end(number, failure, Some(done)),
            Order::Route { feed, place } => self.route(feed, place),
            Order::Unroute { feed, output } => self.unroute(feed, output),
            Order::Warn { number, all } => {
                if let Some(recording) = self.open.get_mut(&number) {
                    recording.warn(all);
                }
            }
            Order::Hold { number, mask } => {
                self.take_frames();
                let clock_ms = self.clock_ms();
                if let Some(recording) = self.open.get_mut(&number) {
                    recording.hold(clock_ms, mask);
                }
            }
            Order::Resume { number } => {
                self.take_frames();
                let clock_ms = self.clock_ms();
                if let Some(recording) = self.open.get_mut(&number) {
                    recording.resume(clock_ms);
                }
            }
            Order::BeginStream { number, made_of, done } => {
                let live = Live::begin(made_of, self.clock_ms());
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

    fn route(&mut self, feed: u32, place: Place) {
        if let Some(recording) = self.open.get_mut(&place.output) {
            recording.need_track(place.track);
        }
        self.routes.entry(feed).or_default().push(place);
    }

    fn unroute(&mut self, feed: u32, output: Option<u32>) {
        self.take_frames();
        if let Some(places) = self.routes.get_mut(&feed) {
            places.retain(|place| output.is_some_and(|output| place.output != output));
            if places.is_empty() {
                self.routes.remove(&feed);
            }
        }
        self.forget_ears();
    }

    /// Nothing is decoded that nobody wants, or at a rate at which nobody does.
    fn forget_ears(&mut self) {
        let wanted = |feed: &u32, rate: Rate| {
            self.routes.get(feed).is_some_and(|places| places.iter().any(|place| place.rate == rate))
        };
        self.ears.retain(|(feed, rate), _| wanted(feed, *rate));
    }

    fn forget_routes(&mut self, output: u32) {
        self.routes.retain(|_, places| {
            places.retain(|place| place.output != output);
            !places.is_empty()
        });
        self.forget_ears();
    }

    fn take_frames(&mut self) {
        let Self { frames, routes, ears, open, streams, .. } = self;
        for ring in frames {
            // What came until now, and no more: a fast worker must not keep the others waiting.
            for _ in 0..ring.slots() {
                let Ok(frame) = ring.pop() else { break };
                let Some(places) = routes.get(&frame.recording) else { continue };
                for rate in Rate::ALL {
                    if places.iter().any(|place| place.rate == rate) {
                        let ear = ears.entry((frame.recording, rate)).or_insert_with(|| Ear::new(rate));
                        ear.hear(&frame, &mut |at, samples| {
                            say(places, (open, streams), (at, rate), samples)
                        });
                    }
                }
            }
        }
    }

    /// What waits for packets that may not come is heard when it has waited long enough, or now.
    fn look_at_ears(&mut self, let_go: bool) {
        let Self { routes, ears, open, streams, .. } = self;
        for ((feed, rate), ear) in ears {
            let Some(places) = routes.get(feed) else { continue };
            let mut say = |at, samples: &[i16]| say(places, (open, streams), (at, *rate), samples);
            if let_go { ear.let_go(&mut say) } else { ear.look(&mut say) }
        }
    }

    fn flush(&mut self) {
        let clock_ms = self.clock_ms();
        for recording in self.open.values_mut() {
            recording.flush_until(clock_ms, &self.writers);
        }
    }

    fn stream(&mut self) {
        let clock_ms = self.clock_ms();
        let mut changed = false;
        self.streams.retain(|_, live| {
            let before = live.listeners();
            let flushed = live.flush_until(clock_ms);
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

    fn end(&mut self, number: u32, failure: Option<&'static str>, done: Option<Ended>) {
        self.take_frames();
        self.look_at_ears(true);
        let Some(recording) = self.open.remove(&number) else {
            if let Some(done) = done {
                let _ = done.send(Err(MediaError::NotFound("recording")));
            }
            return;
        };
        self.forget_routes(number);
        recording.finish(self.clock_ms(), &self.writers);
        self.writers.end(number, failure.map(str::to_owned), done);
    }

    /// The node's clock.
    fn clock_ms(&self) -> u64 {
        self.epoch.elapsed().as_millis() as u64
    }
}

/// Lets what a leg says be heard wherever it goes at a rate.
fn say(
    places: &[Place],
    (open, streams): (&mut HashMap<u32, Recording>, &mut HashMap<u32, Live>),
    (at, rate): (u64, Rate),
    samples: &[i16],
) {
    for place in places.iter().filter(|place| place.rate == rate) {
        if let Some(recording) = open.get_mut(&place.output) {
            recording.add(at, place.track, place.channel, samples);
        } else if let Some(live) = streams.get_mut(&place.output) {
            live.add(at, samples);
        }
    }
}

fn encoder(error: &sidetone_record_core::EncodeError) -> MediaError {
    MediaError::Io { what: "making an encoder", problem: error.to_string() }
}
