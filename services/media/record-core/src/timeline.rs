//! A recording's own timeline: where sound heard at some moment belongs, with pauses left out or silent.

use std::collections::VecDeque;

/// Maps samples of a clock to samples of a recording. Both run at one rate.
#[derive(Debug, Clone)]
pub struct Timeline {
    began: u64,
    /// Of holds that are forgotten: samples that they left out.
    left_out: u64,
    holds: VecDeque<Hold>,
}

/// A stretch in which nothing is taken in.
#[derive(Debug, Clone, Copy)]
struct Hold {
    from: u64,
    /// None while it lasts.
    to: Option<u64>,
    /// The time counts and is silent; otherwise it is left out.
    mask: bool,
}

/// Holds that are remembered; sound that is late by more of them than these is misplaced.
const HOLDS_MAX: usize = 64;

impl Timeline {
    /// Sample 0 is heard when the clock shows `began`.
    pub fn new(began: u64) -> Self {
        Self { began, left_out: 0, holds: VecDeque::new() }
    }

    /// Takes nothing in from `at` on: the time is silent with `mask`, and left out without. A hold of the other kind ends.
    pub fn hold(&mut self, at: u64, mask: bool) {
        if self.open().is_some_and(|hold| hold.mask == mask) {
            return;
        }
        self.resume(at);
        while self.holds.len() >= HOLDS_MAX {
            self.left_out += self.holds.pop_front().map_or(0, |hold| hold.left_out(u64::MAX));
        }
        self.holds.push_back(Hold { from: at.max(self.began), to: None, mask });
    }

    /// Takes in again what is said from `at` on.
    pub fn resume(&mut self, at: u64) {
        if let Some(hold) = self.holds.back_mut().filter(|hold| hold.to.is_none()) {
            hold.to = Some(at.max(hold.from));
        }
    }

    /// Whether nothing is taken in now.
    pub fn is_held(&self) -> bool {
        self.open().is_some()
    }

    /// Where `length` samples that begin at `at` belong, and how many of them; none when the first is not to be heard.
    pub fn place(&self, at: u64, length: usize) -> Option<(u64, usize)> {
        if at < self.began || self.holds.iter().any(|hold| hold.covers(at)) {
            return None;
        }
        let until = self.holds.iter().map(|hold| hold.from).find(|from| *from > at).unwrap_or(u64::MAX);
        let audible = (until - at).min(length as u64) as usize;
        Some((self.length(at), audible))
    }

    /// How long the recording is when the clock shows `at`.
    pub fn length(&self, at: u64) -> u64 {
        let left_out: u64 = self.holds.iter().map(|hold| hold.left_out(at)).sum();
        at.saturating_sub(self.began).saturating_sub(self.left_out + left_out)
    }

    fn open(&self) -> Option<&Hold> {
        self.holds.back().filter(|hold| hold.to.is_none())
    }
}

impl Hold {
    fn covers(&self, at: u64) -> bool {
        at >= self.from && self.to.is_none_or(|to| at < to)
    }

    /// Samples that it takes out of the recording before `at`.
    fn left_out(&self, at: u64) -> u64 {
        if self.mask { 0 } else { self.to.unwrap_or(u64::MAX).min(at).saturating_sub(self.from) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_left_out_and_a_mask_keeps_its_time() {
        let mut line = Timeline::new(1000);
        assert_eq!(line.place(999, 160), None);
        assert_eq!(line.place(1160, 160), Some((160, 160)));
        line.hold(2000, false);
        line.hold(2100, false);
        assert_eq!(line.place(1900, 160), Some((900, 100)), "what was said before the pause stays");
        assert_eq!(line.place(2000, 160), None);
        assert_eq!(line.length(5000), 1000);
        line.resume(6000);
        assert_eq!(line.place(6000, 160), Some((1000, 160)));
        line.hold(7000, true);
        assert_eq!(line.place(7100, 160), None);
        line.resume(8000);
        assert_eq!(line.place(8000, 160), Some((3000, 160)), "the masked second counts");
        assert_eq!(line.place(1900, 160), Some((900, 100)), "late sound finds its place");
    }

    #[test]
    fn many_pauses_are_remembered_by_their_sum() {
        let mut line = Timeline::new(0);
        for n in 0..1000u64 {
            line.hold(n * 200, n % 2 == 0);
            line.resume(n * 200 + 100);
        }
        assert_eq!(line.length(200_000), 200_000 - 500 * 100);
        assert!(!line.is_held());
    }
}
