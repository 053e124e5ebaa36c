//! A recording that runs: its timeline, and the windows in which what is said is put together.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use sidetone_record_core::{Mixdown, Timeline};

use crate::recorder::NewRecording;
use crate::recorder::writer::{Backlog, TRACKS_MAX, Writers};

/// How far behind the clock a file is written, in samples: what comes later than that is lost.
const BEHIND: u64 = 4000;
/// The least that is written at once, in samples.
const STEP: u64 = 1600;
/// The most that is handed over in one piece, in samples.
const PIECE: usize = 80_000;

/// One recording.
#[derive(Debug)]
pub(super) struct Recording {
    number: u32,
    channels: u16,
    timeline: Timeline,
    /// One for each file.
    windows: Vec<Window>,
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
            channels: new.channels,
            timeline: Timeline::new(new.began_ms * 8),
            windows: Vec::new(),
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
            let mix = Mixdown::starting_at(taken, self.channels);
            self.windows.push(Window { mix, backlog: Backlog::of(taken) });
        }
    }

    /// Adds what one leg said at a moment of the node's clock, in samples. What is late by more than half a second is lost, as the
    /// jitter buffer of a phone would lose it.
    pub(super) fn add(&mut self, clock: u64, track: usize, channel: usize, samples: &[i16]) {
        let Some((at, audible)) = self.timeline.place(clock, samples.len()) else { return };
        if let Some(window) = self.windows.get_mut(track) {
            window.mix.add(at, channel, &samples[..audible]);
        }
    }

    pub(super) fn hold(&mut self, clock: u64, mask: bool) {
        self.timeline.hold(clock, mask);
    }

    pub(super) fn resume(&mut self, clock: u64) {
        self.timeline.resume(clock);
    }

    /// Hands over what is old enough.
    pub(super) fn flush_until(&mut self, clock: u64, writers: &Writers) {
        let end = self.timeline.length(clock).saturating_sub(BEHIND);
        for track in 0..self.windows.len() {
            if end >= self.windows[track].mix.taken() + STEP {
                self.write_until(track, end, writers);
            }
        }
    }

    /// Hands over everything.
    pub(super) fn finish(mut self, clock: u64, writers: &Writers) {
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
            writers.write(place, samples, self.channels, (&mut window.backlog, &self.waiting));
        }
    }
}
