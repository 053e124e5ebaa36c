//! Comfort noise: what is sent in place of silence, and what is heard in place of what is not sent (RFC 3389).
//!
//! A noise is a level and, if anybody cared to tell it, a spectrum: the reflection coefficients of an all-pole filter. It is
//! measured by Levinson's recursion, and made by that filter, as a lattice, out of white noise.

use crate::level::{SILENCE_DBOV, level_dbov};
use crate::{Rate, Resampler};

/// A noise as it is told in one packet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// In dBov, 0 to -127.
    pub level_dbov: f32,
    reflection: [f32; ORDER_MAX],
    order: usize,
}

/// What makes a noise, endlessly. All memory is taken when it is made.
#[derive(Debug, Clone)]
pub struct NoiseGenerator {
    noise: Noise,
    /// Of what excites the filter, as it is and as it becomes.
    amplitude: f32,
    target: f32,
    lattice: [f32; ORDER_MAX + 1],
    /// State of a small generator (xorshift).
    random: u32,
    /// From the rate of the noise to that of who hears it.
    resampler: Resampler,
    native: Rate,
    /// Made, and not heard yet.
    made: Box<[i16]>,
    at: usize,
}

/// The highest order of a spectrum that is made; what a far side tells beyond it is left out, as RFC 3389, section 3, allows.
pub const ORDER_MAX: usize = 12;
/// The longest payload that is written.
pub const NOISE_BYTES_MAX: usize = 1 + ORDER_MAX;
/// The order of what is measured here.
const ORDER: usize = 8;
/// A filter nearer to ringing than this is none of a noise.
const REFLECTION_MAX: f32 = 0.98;
/// What is made at a time, in ms.
const PART_MS: usize = 10;
/// How much of a change of the level is left after a sample at 8 kHz: it is spread over some 20 ms.
const RAMP: f32 = 0.98;
const FULL_SCALE: f32 = 32_768.0;

impl Noise {
    /// A noise without a spectrum.
    pub fn white(level_dbov: f32) -> Self {
        Self { level_dbov, reflection: [0.0; ORDER_MAX], order: 0 }
    }

    /// Reads the payload of a packet (RFC 3389, section 3); none of an empty one.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let (level, coefficients) = payload.split_first()?;
        let mut noise = Self::white(-f32::from(level & 0x7f));
        for (out, byte) in noise.reflection.iter_mut().zip(coefficients) {
            // Section 3.2; 255 stands for nothing.
            let number = f32::from(*byte.min(&254)) - 127.0;
            *out = (258.0 * number / FULL_SCALE).clamp(-REFLECTION_MAX, REFLECTION_MAX);
        }
        noise.order = coefficients.len().min(ORDER_MAX);
        Some(noise)
    }

    /// Writes a payload and returns its length in bytes.
    pub fn write(&self, out: &mut [u8; NOISE_BYTES_MAX]) -> usize {
        out[0] = (-self.level_dbov).round().clamp(0.0, 127.0) as u8;
        for (out, k) in out[1..].iter_mut().zip(&self.reflection[..self.order]) {
            *out = (k * FULL_SCALE / 258.0 + 127.0).round().clamp(0.0, 254.0) as u8;
        }
        1 + self.order
    }

    /// Measures some 10 ms or more of sound.
    pub fn of(sound: &[i16]) -> Self {
        let mut noise = Self::white(level_dbov(sound));
        if noise.level_dbov <= SILENCE_DBOV || sound.len() <= ORDER {
            return noise;
        }
        let mut correlation = [0.0f32; ORDER + 1];
        for (lag, out) in correlation.iter_mut().enumerate() {
            let pairs = sound[lag..].iter().zip(sound);
            *out = pairs.map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
        }
        // A floor of white noise, 40 dB below, so that a tone does not make a filter that rings.
        correlation[0] *= 1.000_1;
        noise.order = levinson(&correlation, &mut noise.reflection);
        noise
    }

    /// The same spectrum at another level.
    #[must_use]
    pub fn at_level(self, level_dbov: f32) -> Self {
        Self { level_dbov, ..self }
    }

    /// The amplitude of what excites the filter: the filter adds the rest.
    fn excitation(&self) -> f32 {
        if self.level_dbov <= SILENCE_DBOV {
            return 0.0;
        }
        let taken: f32 = self.reflection.iter().map(|k| 1.0 - k * k).product();
        let power = 10f32.powf(self.level_dbov / 10.0) * taken;
        // An even distribution between -1 and 1 has a power of a third.
        FULL_SCALE * (3.0 * power).sqrt()
    }
}

/// Reflection coefficients out of an autocorrelation, where a positive one at lag 1 gives a negative first one; how many.
fn levinson(correlation: &[f32; ORDER + 1], reflection: &mut [f32; ORDER_MAX]) -> usize {
    let (mut predictor, mut error) = ([0.0f32; ORDER + 1], correlation[0]);
    predictor[0] = 1.0;
    for order in 1..=ORDER {
        let sum: f32 = (0..order).map(|n| predictor[n] * correlation[order - n]).sum();
        let k = (-sum / error).clamp(-REFLECTION_MAX, REFLECTION_MAX);
        reflection[order - 1] = k;
        let before = predictor;
        for n in 1..=order {
            predictor[n] = before[n] + k * before[order - n];
        }
        error *= 1.0 - k * k;
        if error <= 0.0 {
            return order;
        }
    }
    ORDER
}

impl NoiseGenerator {
    /// Makes noise that was measured at `native`, for who hears at `rate`. Silent until it is told of one.
    pub fn new(native: Rate, rate: Rate) -> Self {
        let made = vec![0; rate.samples(PART_MS)].into_boxed_slice();
        Self {
            noise: Noise::white(SILENCE_DBOV),
            amplitude: 0.0,
            target: 0.0,
            lattice: [0.0; ORDER_MAX + 1],
            random: 0x9E37_79B9,
            resampler: Resampler::new(native, rate),
            native,
            at: made.len(),
            made,
        }
    }

    /// Another noise from now on; its level changes over some 20 ms.
    pub fn set(&mut self, noise: &Noise) {
        self.noise = *noise;
        self.target = noise.excitation();
    }

    /// The same without a change that could be heard: nobody has heard the one before for long.
    pub fn begin(&mut self, noise: &Noise) {
        self.set(noise);
        self.amplitude = self.target;
        self.at = self.made.len();
    }

    /// Goes on by so many samples.
    pub fn fill(&mut self, mut out: &mut [i16]) {
        while !out.is_empty() {
            if self.at == self.made.len() {
                self.make();
            }
            let length = out.len().min(self.made.len() - self.at);
            let (now, rest) = out.split_at_mut(length);
            now.copy_from_slice(&self.made[self.at..self.at + length]);
            self.at += length;
            out = rest;
        }
    }

    fn make(&mut self) {
        let mut sound = [0; Rate::Full.samples(PART_MS)];
        let sound = &mut sound[..self.native.samples(PART_MS)];
        for sample in sound.iter_mut() {
            *sample = self.sample();
        }
        let made = self.resampler.process(sound, &mut self.made);
        self.made[made..].fill(0);
        self.at = 0;
    }

    fn sample(&mut self) -> i16 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 17;
        self.random ^= self.random << 5;
        self.amplitude = self.target + (self.amplitude - self.target) * RAMP;
        let mut forward = (self.random as i32) as f32 / -(i32::MIN as f32) * self.amplitude;
        for order in (0..self.noise.order).rev() {
            let k = self.noise.reflection[order];
            forward -= k * self.lattice[order];
            self.lattice[order + 1] = self.lattice[order] + k * forward;
        }
        self.lattice[0] = forward;
        // A float cast saturates.
        forward.round() as i16
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goertzel::tone_level_dbov;

    fn made(noise: &Noise, native: Rate, rate: Rate) -> Vec<i16> {
        let mut generator = NoiseGenerator::new(native, rate);
        generator.begin(noise);
        let mut sound = vec![0; rate.samples(2_000)];
        // In parts of any length.
        sound.chunks_mut(97).for_each(|part| generator.fill(part));
        sound
    }

    /// Noise below some 1 kHz: every sample is much like the one before.
    fn hum(level: f32) -> Vec<i16> {
        let white = made(&Noise::white(level), Rate::Narrow, Rate::Narrow);
        let mut state = 0.0;
        let mut low = |sample: &i16| {
            state += (f32::from(*sample) - state) * 0.3;
            state as i16
        };
        white.iter().map(&mut low).collect()
    }

    #[test]
    fn it_is_as_loud_as_it_is_told_at_every_rate() {
        for level in [-30.0, -50.0, -62.0] {
            for (native, rate) in [
                (Rate::Narrow, Rate::Narrow),
                (Rate::Wide, Rate::Wide),
                (Rate::Narrow, Rate::Wide),
                (Rate::Narrow, Rate::Full),
                (Rate::Full, Rate::Full),
            ] {
                let got = level_dbov(&made(&Noise::white(level), native, rate));
                // Raising takes what is at the edge of the band.
                assert!((got - level).abs() < 1.5, "{level} became {got} from {native:?} to {rate:?}");
            }
        }
        let silent = made(&Noise::white(-127.0), Rate::Narrow, Rate::Narrow);
        assert!(silent.iter().all(|sample| *sample == 0));
    }

    #[test]
    fn what_is_measured_told_and_made_again_has_the_level_and_the_spectrum_of_the_first() {
        let first = hum(-35.0);
        let mut payload = [0; NOISE_BYTES_MAX];
        let length = Noise::of(&first[800..2_400]).write(&mut payload);
        assert_eq!(length, 1 + ORDER);
        let again = made(&Noise::parse(&payload[..length]).unwrap(), Rate::Narrow, Rate::Narrow);
        assert!((level_dbov(&again) - level_dbov(&first)).abs() < 1.5);
        let tilt = |sound: &[i16]| {
            let band = |from: u16| -> f32 {
                let powers = (0..8).map(|n| tone_level_dbov(sound, 8_000, f32::from(from + n * 37)));
                powers.map(|level| 10f32.powf(level / 10.0)).sum()
            };
            10.0 * (band(250) / band(3_000)).log10()
        };
        assert!(tilt(&first) > 8.0, "{}", tilt(&first));
        assert!((tilt(&again) - tilt(&first)).abs() < 5.0, "{} {}", tilt(&again), tilt(&first));
    }

    #[test]
    fn any_payload_makes_a_noise_that_stays_in_its_bounds() {
        assert_eq!(Noise::parse(&[]), None);
        assert_eq!(Noise::parse(&[0xff]).unwrap().level_dbov, -127.0);
        let mut state = 7u32;
        for length in 1..40 {
            let mut payload = vec![0u8; length];
            for byte in &mut payload {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *byte = (state >> 24) as u8;
            }
            payload[0] = 40;
            let noise = Noise::parse(&payload).unwrap();
            let got = level_dbov(&made(&noise, Rate::Narrow, Rate::Narrow));
            // A filter that nearly rings takes long to become as loud as it is to be.
            assert!(got < -34.0, "{got} of {payload:?}");
        }
        let tone: Vec<i16> = (0..320).map(|n| (9_000.0 * (f64::from(n) * 0.7).sin()) as i16).collect();
        let got = level_dbov(&made(&Noise::of(&tone), Rate::Narrow, Rate::Narrow));
        assert!((got - level_dbov(&tone)).abs() < 6.0, "{got}");
    }

    #[test]
    fn a_change_of_the_level_takes_a_moment() {
        let mut generator = NoiseGenerator::new(Rate::Narrow, Rate::Narrow);
        generator.begin(&Noise::white(-60.0));
        let mut part = [0; 80];
        generator.fill(&mut part);
        generator.set(&Noise::white(-30.0));
        generator.fill(&mut part[..16]);
        assert!(level_dbov(&part[..16]) < -36.0);
        (0..20).for_each(|_| generator.fill(&mut part));
        assert!((level_dbov(&part) + 30.0).abs() < 2.0);
    }
}
