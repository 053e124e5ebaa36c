//! Noise suppression: a small recurrent network (RNNoise, in Rust) that keeps what is speech in each of 22 bands.
//!
//! The network hears frames of 10 ms at 48 kHz, so other rates are brought there and back. What comes out is some 10 ms later
//! than what went in, and 5 to 6 ms more at 8 and 16 kHz.

use std::fmt;

use nnnoiseless::DenoiseState;

use crate::{Rate, Resampler};

/// One direction of one leg. All memory of its own is taken when it is made; see [`Denoiser::prepare_thread`] for the rest.
pub struct Denoiser {
    rate: Rate,
    state: Box<DenoiseState<'static>>,
    raise: Resampler,
    lower: Resampler,
}

/// Samples of 10 ms at 48 kHz.
const PART: usize = DenoiseState::FRAME_SIZE;

impl Denoiser {
    /// For sound at a rate.
    pub fn new(rate: Rate) -> Self {
        Self {
            rate,
            state: DenoiseState::new(),
            raise: Resampler::new(rate, Rate::Full),
            lower: Resampler::new(Rate::Full, rate),
        }
    }

    /// Takes what a thread needs besides, once for all that it suppresses (the Fourier transform keeps its plans and its scratch
    /// memory by thread): afterwards [`Self::process`] takes no memory on this thread.
    pub fn prepare_thread() {
        let mut denoiser = Self::new(Rate::Full);
        let mut random = 1u32;
        // Loud enough that no step is left out.
        let mut noise = [0; PART * 4];
        noise.fill_with(|| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (random >> 20) as i16
        });
        denoiser.process(&mut noise);
    }

    /// The rate for which it was made.
    pub fn rate(&self) -> Rate {
        self.rate
    }

    /// Takes a whole number of 10 ms at its rate, and leaves there what is speech in them. What is left over behind the last
    /// 10 ms stays as it is.
    pub fn process(&mut self, frame: &mut [i16]) {
        for part in frame.chunks_exact_mut(self.rate.samples(10)) {
            let mut raised = [0i16; PART];
            self.raise.process(part, &mut raised);
            let noisy = raised.map(f32::from);
            let mut clean = [0f32; PART];
            self.state.process_frame(&mut clean, &noisy);
            let clean = clean.map(|sample| sample.round().clamp(-32_768.0, 32_767.0) as i16);
            self.lower.process(&clean, part);
        }
    }
}

impl fmt::Debug for Denoiser {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Denoiser").field("rate", &self.rate).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::level_dbov;

    /// Noise as of a fan or of wind: its spectrum falls from 1 kHz on, as that of noises does that the network has learnt.
    fn noise(rate: Rate, seconds: usize) -> Vec<i16> {
        let (mut random, mut low) = (7u32, 0f32);
        let keeps = (-std::f32::consts::TAU * 1_000.0 / rate.hz() as f32).exp();
        (0..seconds * rate.hz() as usize)
            .map(|_| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                low = low * keeps + (1.0 - keeps) * (random as f32 / u32::MAX as f32 - 0.5);
                (low * 2_500.0) as i16
            })
            .collect()
    }

    /// What a voice sounds like to the network: harmonics of a pitch that moves, under formants, in syllables.
    fn voice(rate: Rate, seconds: usize) -> Vec<i16> {
        let hz = rate.hz() as f32;
        let mut phase = 0f32;
        (0..seconds * rate.hz() as usize)
            .map(|n| {
                let at = n as f32 / hz;
                let pitch = 120.0 + 25.0 * (at * 9.0).sin();
                phase = (phase + pitch / hz).fract();
                let formants = [
                    (600.0 + 150.0 * (at * 13.0).sin(), 1.0),
                    (1_400.0 + 300.0 * (at * 7.0).sin(), 0.6),
                    (2_600.0, 0.3),
                ];
                let sound: f32 = (1..28)
                    .map(|k| {
                        let at_hz = pitch * k as f32;
                        let loud: f32 =
                            formants.iter().map(|(f, g)| g * (-((at_hz - f) / 180.0).powi(2)).exp()).sum();
                        (phase * k as f32 * std::f32::consts::TAU).sin() * (loud + 0.03)
                    })
                    .sum();
                let syllable = (at * 4.0 * std::f32::consts::PI).sin().abs().powf(0.5);
                (sound * syllable * 5_000.0) as i16
            })
            .collect()
    }

    fn through(rate: Rate, sound: &[i16]) -> Vec<i16> {
        let (mut denoiser, mut out) = (Denoiser::new(rate), sound.to_vec());
        out.chunks_mut(rate.samples(20)).for_each(|frame| denoiser.process(frame));
        out
    }

    #[test]
    fn noise_is_lowered_and_a_voice_stays_at_each_rate() {
        for rate in Rate::ALL {
            let hiss = noise(rate, 6);
            let before = level_dbov(&hiss[rate.samples(3_000)..]);
            let after = level_dbov(&through(rate, &hiss)[rate.samples(3_000)..]);
            assert!(after < before - 10.0, "{rate:?}: noise went from {before} to {after}");
            let voice = voice(rate, 6);
            let mixed: Vec<i16> = voice.iter().zip(&hiss).map(|(a, b)| a.saturating_add(*b)).collect();
            let before = level_dbov(&mixed[rate.samples(3_000)..]);
            let after = level_dbov(&through(rate, &mixed)[rate.samples(3_000)..]);
            assert!((before - after).abs() < 4.0, "{rate:?}: a voice went from {before} to {after}");
        }
    }

    #[test]
    fn what_is_no_whole_part_stays() {
        let mut denoiser = Denoiser::new(Rate::Narrow);
        let mut frame = [9; 100];
        denoiser.process(&mut frame);
        assert_eq!(frame[80..], [9; 20]);
        assert_eq!(denoiser.rate(), Rate::Narrow);
    }
}
