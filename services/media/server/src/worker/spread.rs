//! A room on several workers: each has a part of it, with its own members. The sound goes between them by
//! [`sidetone_mix_core::Submix`]; here is what has to be known of the whole room besides.
//!
//! One part is the room's home: what is played to the room is played there, and who speaks is told from there.

use sidetone_dsp::Gain;
use sidetone_mix_core::{Mixer, Notes, Submix};

use crate::worker::TICK;

/// One worker's end of a room on several.
#[derive(Debug)]
pub(crate) struct Spread {
    submix: Submix,
    /// The worker of the room's home; none when this is it.
    home: Option<usize>,
    /// The member that speaks most here, and how loud, in dBov.
    pub(super) loudest: Option<(u128, f32)>,
}

impl Spread {
    /// `home` is the worker of the room's home; none makes this the home.
    pub(crate) fn new(submix: Submix, home: Option<usize>) -> Self {
        Self { submix, home, loudest: None }
    }

    pub(super) fn is_home(&self) -> bool {
        self.home.is_none()
    }

    /// What the home said last of the whole room; none when this is it, or it is not there yet.
    fn said_by_home(&self) -> Option<&Notes> {
        self.submix.other(self.home?)
    }

    /// How loud voices are to be beside what is played; none when that is decided here.
    pub(super) fn voices(&self) -> Option<Gain> {
        self.home.map(|_| self.said_by_home().map_or(Gain::UNITY, |notes| notes.voices))
    }

    /// Who was told of last as speaking in the room; none when that is decided here.
    pub(super) fn speaker(&self) -> Option<Option<u128>> {
        self.home.map(|_| self.said_by_home().and_then(|notes| notes.speaker))
    }

    /// Whether the home has to know whether somebody speaks here.
    pub(super) fn is_asked(&self) -> bool {
        self.said_by_home().is_some_and(|notes| notes.asks)
    }

    /// Members on other workers.
    pub(super) fn members_elsewhere(&self) -> usize {
        self.submix.others().map(|notes| notes.members as usize).sum()
    }

    /// Whether somebody speaks on another worker.
    pub(super) fn speaks_elsewhere(&self) -> bool {
        self.submix.others().any(|notes| notes.speaks)
    }

    /// Those who speak most on each other worker, and how loud they are, in dBov.
    pub(super) fn loudest_elsewhere(&self) -> impl Iterator<Item = (u128, f32)> {
        self.submix.others().filter_map(|notes| notes.loudest)
    }

    /// Tells the other parts what is said here, and adds what is said there; how many of those are late. `due_us` is when the
    /// tick should be, on the grid that all workers share.
    pub(super) fn exchange(&mut self, due_us: u64, notes: &Notes, mixer: &mut Mixer) -> u32 {
        self.submix.exchange(due_us / TICK.as_micros() as u64, notes, mixer)
    }

    /// Nothing is said here any more.
    pub(super) fn close(&self) {
        self.submix.close();
    }
}
