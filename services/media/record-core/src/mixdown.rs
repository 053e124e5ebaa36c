//! The window in which voices are put together by their place before they are written.

use std::collections::VecDeque;

use sidetone_dsp::mix;

use crate::Form;

/// Sums samples of several voices, channels interleaved, until they are taken out in order. One voice alone comes out as it went in;
/// where several meet, what is too loud for 16 bits bends smoothly towards full scale.
#[derive(Debug)]
pub struct Mixdown {
    form: Form,
    /// From `taken` on.
    window: VecDeque<Sum>,
    taken: u64,
}

/// What is said at one moment.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    value: i32,
    voices: u16,
}

/// The longest window, in ms. What lies beyond is of another time.
const WINDOW_MS_MAX: u64 = 10_000;

impl Mixdown {
    /// An empty window.
    pub fn new(form: Form) -> Self {
        Self::starting_at(0, form)
    }

    /// An empty window of which everything before a sample is taken out already.
    pub fn starting_at(taken: u64, form: Form) -> Self {
        Self { form, window: VecDeque::new(), taken }
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
        if heard.is_empty() || ahead > self.form.samples(WINDOW_MS_MAX) {
            return samples.is_empty();
        }
        let (first, channels) = (ahead as usize, self.form.width());
        let end = (first + heard.len()) * channels;
        if self.window.len() < end {
            self.window.resize(end, Sum::default());
        }
        let channel = channel.min(channels - 1);
        for (n, sample) in heard.iter().enumerate() {
            let sum = &mut self.window[(first + n) * channels + channel];
            sum.value = sum.value.saturating_add(i32::from(*sample));
            sum.voices = sum.voices.saturating_add(1);
        }
        late == 0
    }

    /// Takes out everything before `end`, at most `most` samples of each channel; silence where nobody spoke.
    pub fn take_until(&mut self, end: u64, most: usize) -> Vec<i16> {
        let wanted = end.saturating_sub(self.taken).min(most as u64);
        self.taken += wanted;
        let length = wanted as usize * self.form.width();
        let mut sums: Vec<Sum> = self.window.drain(..length.min(self.window.len())).collect();
        sums.resize(length, Sum::default());
        let values: Vec<i32> = sums.iter().map(|sum| sum.value).collect();
        let mut out = vec![0; length];
        mix::limit(&values, &mut out);
        for (out, alone) in out.iter_mut().zip(&sums).filter(|(_, sum)| sum.voices < 2) {
            // It is one sample of 16 bits.
            *out = alone.value as i16;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::Rate;

    use super::*;

    #[test]
    fn one_voice_is_as_loud_as_it_was_and_several_keep_their_order() {
        let mut mix = Mixdown::new(Form::new(1, Rate::Narrow));
        mix.add(0, 0, &[i16::MAX, i16::MIN, 25_000]);
        assert_eq!(mix.take_until(3, 3), [i16::MAX, i16::MIN, 25_000]);
        for _ in 0..3 {
            mix.add(3, 0, &[8_000, 9_000, 10_000, 20_000, -20_000]);
        }
        let loud = mix.take_until(8, 5);
        assert!(loud[..4].is_sorted_by(|a, b| a < b), "what is louder stays louder: {loud:?}");
        assert!(loud[3] > 29_000 && loud[4] < -29_000, "{loud:?}");
    }

    #[test]
    fn voices_add_up_at_their_places_and_late_ones_are_cut() {
        let mut mix = Mixdown::new(Form::new(2, Rate::Narrow));
        assert!(mix.add(2, 0, &[1, 2, 3]));
        assert!(mix.add(3, 0, &[20_000, i16::MAX]));
        assert!(mix.add(2, 1, &[-7]));
        assert_eq!(mix.take_until(4, 100), [0, 0, 0, 0, 1, -7, 20_002, 0]);
        assert!(!mix.add(3, 1, &[9, 9]), "half of it came too late");
        let both = mix.take_until(6, 1);
        assert!((28_000..i16::MAX).contains(&both[0]), "two that are loud are not cut off: {}", both[0]);
        assert_eq!(both[1], 9);
        assert_eq!(mix.take_until(6, 100), [0, 0]);
        assert!(!mix.add(1_000_000, 0, &[1]), "too far ahead");
        assert_eq!(mix.taken(), 6);
    }
}
