//! The recorder warning tone in a file: in each channel when somebody who speaks there hears it.

use sidetone_dsp::Rate;
use sidetone_record_core::Form;

use crate::prompts;

/// Where a tone is to be in a recording, and since when it is heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Warned {
    pub(crate) track: usize,
    pub(crate) channel: usize,
    /// On the node's clock.
    pub(crate) began_ms: u64,
}

/// The tones of one recording.
#[derive(Debug)]
pub(super) struct Warnings {
    form: Form,
    /// Made when it is first wanted.
    tone: Box<[i16]>,
    channels: Vec<(Warned, u64)>,
}

/// From the beginning of one tone to that of the next, in ms.
pub(crate) const EVERY_MS: u64 = 15_000;

impl Warnings {
    pub(super) fn new(form: Form) -> Self {
        Self { form, tone: Box::default(), channels: Vec::new() }
    }

    /// In which channels it is heard from now on, and since when. What is there already is not there twice.
    pub(super) fn set(&mut self, all: Vec<Warned>) {
        if self.tone.is_empty() && !all.is_empty() {
            self.tone = tone(self.form.rate);
        }
        let done =
            |warned: &Warned| self.channels.iter().find(|(known, _)| known == warned).map(|known| known.1);
        let channels = all.iter().map(|one| (*one, done(one).unwrap_or(self.form.samples(one.began_ms))));
        self.channels = channels.collect();
    }

    /// What of the tones falls before `clock`, in samples of the recording's rate; `say` is given the place of each piece.
    pub(super) fn say_until(&mut self, clock: u64, mut say: impl FnMut(u64, &Warned, &[i16])) {
        let every = self.form.samples(EVERY_MS);
        for (warned, done) in &mut self.channels {
            while *done < clock {
                let into = (*done - self.form.samples(warned.began_ms)) % every;
                match self.tone.get(into as usize..).filter(|rest| !rest.is_empty()) {
                    Some(rest) => {
                        let length = rest.len().min((clock - *done) as usize);
                        say(*done, warned, &rest[..length]);
                        *done += length as u64;
                    }
                    None => *done = (*done + every - into).min(clock),
                }
            }
        }
    }
}

fn tone(rate: Rate) -> Box<[i16]> {
    let mut samples = vec![0; rate.samples(prompts::WARNING_MS)];
    prompts::fill_warning(rate.hz(), &mut samples);
    samples.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_half_a_second_at_the_beginning_and_every_15_s_and_never_twice() {
        let form = Form::new(1, Rate::Wide);
        let mut warnings = Warnings::new(form);
        let warned = Warned { track: 0, channel: 0, began_ms: 100 };
        let mut heard = vec![0_i32; form.samples(32_000) as usize];
        for clock_ms in (0..=32_000).step_by(20) {
            // Told again, as when somebody comes later.
            warnings.set(vec![warned]);
            warnings.say_until(form.samples(clock_ms), |at, _, samples| {
                for (sum, sample) in heard[at as usize..].iter_mut().zip(samples) {
                    *sum += i32::from(*sample);
                }
            });
        }
        let (once, at) = (tone(Rate::Wide), |ms| form.samples(ms) as usize);
        for begins in [100, 15_100, 30_100] {
            let said = &heard[at(begins)..at(begins + 500)];
            assert!(said.iter().zip(&once).all(|(heard, once)| *heard == i32::from(*once)), "{begins}");
        }
        for silent in [0..100, 600..15_100, 15_600..30_100, 30_600..32_000] {
            assert!(heard[at(silent.start)..at(silent.end)].iter().all(|sample| *sample == 0), "{silent:?}");
        }
    }
}
