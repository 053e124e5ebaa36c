//! A recording that is being written: its timeline and its files.

use std::io;

use sidetone_record_core::{Container, Timeline};

use crate::engine::unix_ms;
use crate::recorder::spool::Spool;
use crate::recorder::track::Track;
use crate::recorder::{Finished, NewRecording};

/// One recording.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) id: String,
    container: Container,
    channels: u16,
    timeline: Timeline,
    /// The first is the recording's file.
    tracks: Vec<Track>,
}

/// Files of one recording.
pub(crate) const TRACKS_MAX: usize = 64;

impl Recording {
    /// Makes its sheet and its first file.
    pub(super) fn begin(spool: &Spool, new: &NewRecording) -> io::Result<Self> {
        let name = Spool::name(new, unix_ms())?;
        let file = spool.create(&name)?;
        spool.open(&new.id, &name, &[])?;
        let track = Track::new(name, file, new.container, new.channels)?;
        Ok(Self {
            id: new.id.clone(),
            container: new.container,
            channels: new.channels,
            timeline: Timeline::new(new.began_ms * 8),
            tracks: vec![track],
        })
    }

    /// Makes files up to this one, if they are not there. They begin with the silence of the time before.
    pub(super) fn need_track(&mut self, spool: &Spool, track: usize) -> io::Result<()> {
        if track < self.tracks.len() {
            return Ok(());
        }
        if track >= TRACKS_MAX {
            return Err(io::Error::other("too many tracks"));
        }
        let first = &self.tracks[0].name;
        let stem = first.rsplit_once('.').map_or(first.as_str(), |(stem, _)| stem).to_owned();
        for n in self.tracks.len()..=track {
            let name = format!("{stem}.{n}.{}", self.container.extension());
            let file = spool.create(&name)?;
            self.tracks.push(Track::new(name, file, self.container, self.channels)?);
        }
        let names: Vec<String> = self.tracks[1..].iter().map(|track| track.name.clone()).collect();
        spool.open(&self.id, &self.tracks[0].name, &names)
    }

    /// Adds what one leg said at a moment of the node's clock, in samples.
    pub(super) fn add(&mut self, clock: u64, track: usize, channel: usize, samples: &[i16]) {
        let Some((at, audible)) = self.timeline.place(clock, samples.len()) else { return };
        if let Some(track) = self.tracks.get_mut(track) {
            track.add(at, channel, &samples[..audible]);
        }
    }

    pub(super) fn hold(&mut self, clock: u64, mask: bool) {
        self.timeline.hold(clock, mask);
    }

    pub(super) fn resume(&mut self, clock: u64) {
        self.timeline.resume(clock);
    }

    pub(super) fn flush_until(&mut self, clock: u64) -> io::Result<()> {
        let now = self.timeline.length(clock);
        self.tracks.iter_mut().try_for_each(|track| track.flush_until(now))
    }

    /// Writes everything and puts the headers right for the last time.
    pub(super) fn finish(mut self, clock: u64, failure: Option<String>) -> Finished {
        let end = self.timeline.length(clock);
        let written = self.tracks.iter_mut().try_for_each(|track| track.finish(end));
        let failure = failure.or_else(|| written.err().map(|error| format!("writing failed: {error}")));
        let duration_ms = self.tracks.iter().map(Track::duration_ms).max().unwrap_or(0);
        let size_bytes = self.tracks.iter().map(Track::length).sum();
        let mut names = self.tracks.into_iter().map(|track| track.name);
        let file = names.next().unwrap_or_default();
        let tracks = names.collect();
        Finished { id: self.id, file, tracks, duration_ms, size_bytes, failure, stored: false }
    }
}
