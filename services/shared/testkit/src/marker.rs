//! A sound that can be found again to the sample: a sweep through the telephone band.
//!
//! Of what comes back, each place is compared with the sweep (normalised cross-correlation). Tones of others are unlike it
//! everywhere, so that it is found beneath many of them, after companding and mixing.

use std::sync::OnceLock;

/// The sweep, at 8,000 Hz: five frames of 20 ms.
pub(crate) fn samples() -> &'static [i16] {
    static SWEEP: OnceLock<Vec<i16>> = OnceLock::new();
    SWEEP.get_or_init(|| {
        let seconds = LENGTH as f32 / RATE;
        let at = |n: usize| {
            let time = n as f32 / RATE;
            let turns = LOWEST_HZ * time + (HIGHEST_HZ - LOWEST_HZ) * time * time / (2.0 * seconds);
            (PEAK * (std::f32::consts::TAU * turns).sin()) as i16
        };
        (0..LENGTH).map(at).collect()
    })
}

/// Where the sweep begins in what was heard, if it is there.
pub(crate) fn find(heard: &[i16]) -> Option<usize> {
    let sweep: Vec<f32> = samples().iter().map(|sample| f32::from(*sample)).collect();
    let heard: Vec<f32> = heard.iter().map(|sample| f32::from(*sample)).collect();
    let own = energy(&sweep).sqrt();
    let best = heard.windows(LENGTH).enumerate().map(|(at, part)| {
        let together: f32 = sweep.iter().zip(part).map(|(a, b)| a * b).sum();
        (at, together / (own * energy(part).sqrt()).max(1.0))
    });
    best.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, alike)| *alike >= ALIKE_MIN).map(|(at, _)| at)
}

fn energy(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum()
}

/// Samples of a sweep.
pub(crate) const LENGTH: usize = 800;
const RATE: f32 = 8_000.0;
const LOWEST_HZ: f32 = 400.0;
const HIGHEST_HZ: f32 = 3_400.0;
/// About -10 dBm0: louder than the tones, far from clipping.
const PEAK: f32 = 7_200.0;
/// What is alike by chance stays below 0.15 in half a second of noise or of tones.
const ALIKE_MIN: f32 = 0.2;

#[cfg(test)]
mod tests {
    use sidetone_dsp::tone::{Tone, ToneGenerator};

    use super::*;

    fn tones(count: usize) -> Vec<i16> {
        let tones: Vec<Tone> = (0..count)
            .map(|n| Tone { freq_hz: 410.0 + 47.0 * n as f32, level_dbm0: crate::rtp::TONE_DBM0 })
            .collect();
        let mut samples = vec![0; 5_600];
        ToneGenerator::new(8_000, &tones).fill(&mut samples);
        samples
    }

    #[test]
    fn it_is_found_to_the_sample_alone_and_beneath_forty_tones() {
        for others in [0, 2, 40] {
            let mut heard = tones(others);
            for (at, sample) in samples().iter().enumerate() {
                heard[1_234 + at] = heard[1_234 + at].saturating_add(*sample);
            }
            assert_eq!(find(&heard), Some(1_234), "{others} others");
        }
    }

    #[test]
    fn neither_tones_nor_silence_nor_too_little_is_taken_for_it() {
        for heard in [tones(1), tones(8), tones(60), vec![0; 5_600], samples()[..700].to_vec()] {
            assert_eq!(find(&heard), None);
        }
    }
}
