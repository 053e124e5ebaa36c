//! A recording that runs: its timeline, and the windows in which what is said is put together.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sidetone_record_core::{Form, Mixdown, Timeline};

use crate::recorder::NewRecording;
use crate::recorder::warning::{Warned, Warnings};
use crate::recorder::writer::{Backlog, TRACKS_MAX, Writers};

/// How far behind the clock a file is written, in ms: what comes later than that is lost.
const BEHIND_MS: u64 = 500;
/// The least that is written at once, in ms.
const STEP_MS: u64 = 200;
/// The most that is handed over in one piece, in samples.
const PIECE: usize = 80_000;

/// One recording.
#[derive(Debug)]
pub(super) struct Recording {
    number: u32,
    form: Form,
    timeline: Timeline,
    /// One for each file.
    windows: Vec<Window>,
    warnings: Warnings,
    /// Samples that wait to be written.
    waiting: Arc<AtomicU64>,
}

/// What one file is about to have.
#[derive(Debug)]
struct Window {
    mix: Mixdown,
    backlog: Backlog,
}

impl Recording {
    pub(super) fn begin(new: &NewRecording) -> Self {
        let mut recording = Self {
            number: new.number,
            form: new.form,
            timeline: Timeline::new(new.form.samples(new.began_ms)),
            windows: Vec::new(),
            warnings: Warnings::new(new.form),
            waiting: Arc::default(),
        };
        recording.need_track(0);
        recording
    }

    /// Makes windows up to this one, if they are not there. One that begins late begins where the others are, and its file with
    /// the silence of the time before.
    pub(super) fn need_track(&mut self, track: usize) {
        let taken = self.windows.first().map_or(0, |first| first.mix.taken());
        while self.windows.len() <= track.min(TRACKS_MAX - 1) {
            let mix = Mixdown::starting_at(taken, self.form);
            self.windows.push(Window { mix, backlog: Backlog::of(taken) });
        }
    }

    /// Adds what one leg said at a moment of the node's clock, in samples of the recording's rate. What is late by more than half a second is lost, as the
    /// jitter buffer of a phone would lose it.
    pub(super) fn add(&mut self, clock: u64, track: usize, channel: usize, samples: &[i16]) {
        let Some((at, audible)) = self.timeline.place(clock, samples.len()) else { return };
        if let Some(window) = self.windows.get_mut(track) {
            window.mix.add(at, channel, &samples[..audible]);
        }
    }

    /// In which channels the warning tone is heard from now on.
    pub(super) fn warn(&mut self, all: Vec<Warned>) {
        self.warnings.set(all);
    }

    /// What of the warning tone was heard until now; of what was held nothing.
    fn add_warnings(&mut self, clock: u64) {
        let Self { warnings, timeline, windows, .. } = self;
        warnings.say_until(clock, |at, warned, samples| {
            let Some((place, audible)) = timeline.place(at, samples.len()) else { return };
            if let Some(window) = windows.get_mut(warned.track) {
                window.mix.add(place, warned.channel, &samples[..audible]);
            }
        });
    }

    pub(super) fn hold(&mut self, clock_ms: u64, mask: bool) {
        let clock = self.form.samples(clock_ms);
        self.add_warnings(clock);
        self.timeline.hold(clock, mask);
    }

    pub(super) fn resume(&mut self, clock_ms: u64) {
        let clock = self.form.samples(clock_ms);
        self.add_warnings(clock);
        self.timeline.resume(clock);
    }

    /// Hands over what is old enough.
    pub(super) fn flush_until(&mut self, clock_ms: u64, writers: &Writers) {
        let clock = self.form.samples(clock_ms);
        self.add_warnings(clock);
        let length = self.timeline.length(clock);
        let (end, step) = (length.saturating_sub(self.form.samples(BEHIND_MS)), self.form.samples(STEP_MS));
        for track in 0..self.windows.len() {
            if end >= self.windows[track].mix.taken() + step {
                self.write_until(track, end, writers);
            }
        }
    }

    /// Hands over everything.
    pub(super) fn finish(mut self, clock_ms: u64, writers: &Writers) {
        let clock = self.form.samples(clock_ms);
        self.add_warnings(clock);
        let end = self.timeline.length(clock);
        for track in 0..self.windows.len() {
            self.write_until(track, end, writers);
            let place = (self.number, track);
            writers.hand_over_gap(place, (&mut self.windows[track].backlog, &self.waiting));
        }
    }

    fn write_until(&mut self, track: usize, end: u64, writers: &Writers) {
        let (place, window) = ((self.number, track), &mut self.windows[track]);
        while window.mix.taken() < end {
            let samples = window.mix.take_until(end, PIECE);
            writers.write(place, samples, self.form, (&mut window.backlog, &self.waiting));
        }
    }
}
