//! The window in which voices are put together by their place before they are written.

use std::collections::VecDeque;

/// Sums samples of several voices, channels interleaved, until they are taken out in order.
#[derive(Debug)]
pub struct Mixdown {
    channels: usize,
    /// Sums from `taken` on.
    window: VecDeque<i32>,
    taken: u64,
}

/// The longest window, in samples of one channel: 10 s at 8 kHz. What lies beyond is of another time.
const WINDOW_MAX: u64 = 80_000;

impl Mixdown {
    /// An empty window for 1 or more channels.
    pub fn new(channels: u16) -> Self {
        Self { channels: usize::from(channels.max(1)), window: VecDeque::new(), taken: 0 }
    }

    /// Samples taken out so far.
    pub fn taken(&self) -> u64 {
        self.taken
    }

    /// Adds a voice at its place. What was taken out already, or lies too far ahead, is lost; whether all of it was heard.
    pub fn add(&mut self, at: u64, channel: usize, samples: &[i16]) -> bool {
        let late = self.taken.saturating_sub(at).min(samples.len() as u64) as usize;
        let heard = &samples[late..];
        let ahead = at.max(self.taken) - self.taken;
        if heard.is_empty() || ahead > WINDOW_MAX {
            return samples.is_empty();
        }
        let first = ahead as usize;
        let end = (first + heard.len()) * self.channels;
        if self.window.len() < end {
            self.window.resize(end, 0);
        }
        let channel = channel.min(self.channels - 1);
        for (n, sample) in heard.iter().enumerate() {
            self.window[(first + n) * self.channels + channel] += i32::from(*sample);
        }
        late == 0
    }

    /// Takes out everything before `end`, at most `most` samples of each channel; silence where nobody spoke.
    pub fn take_until(&mut self, end: u64, most: usize) -> Vec<i16> {
        let wanted = end.saturating_sub(self.taken).min(most as u64);
        self.taken += wanted;
        let clipped = |sum: i32| sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16;
        (0..wanted as usize * self.channels).map(|_| self.window.pop_front().map_or(0, clipped)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_add_up_at_their_places_and_late_ones_are_cut() {
        let mut mix = Mixdown::new(2);
        assert!(mix.add(2, 0, &[1, 2, 3]));
        assert!(mix.add(3, 0, &[30_000, i16::MAX]));
        assert!(mix.add(2, 1, &[-7]));
        assert_eq!(mix.take_until(4, 100), [0, 0, 0, 0, 1, -7, 30_002, 0]);
        assert!(!mix.add(3, 1, &[9, 9]), "half of it came too late");
        assert_eq!(mix.take_until(6, 1), [i16::MAX, 9]);
        assert_eq!(mix.take_until(6, 100), [0, 0]);
        assert!(!mix.add(1_000_000, 0, &[1]), "too far ahead");
        assert_eq!(mix.taken(), 6);
    }
}
