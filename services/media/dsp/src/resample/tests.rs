use super::*;
use crate::level::mean_square;
use crate::tone::{Tone, ToneGenerator};

fn pairs() -> impl Iterator<Item = (Rate, Rate)> {
    Rate::ALL.into_iter().flat_map(|from| Rate::ALL.into_iter().map(move |to| (from, to)))
}

/// Half a second of a sine through a resampler in frames of 20 ms, its first 100 ms left out.
fn through(from: Rate, to: Rate, freq_hz: f32) -> Vec<i16> {
    let mut tone = ToneGenerator::new(from.hz(), &[Tone { freq_hz, level_dbm0: -6.0 }]);
    let mut resampler = Resampler::new(from, to);
    let mut heard = Vec::new();
    for _ in 0..25 {
        let mut input = vec![0; from.samples(20)];
        tone.fill(&mut input);
        let mut output = vec![0; to.samples(20)];
        assert_eq!(resampler.process(&input, &mut output), output.len());
        heard.extend(output);
    }
    heard.split_off(to.samples(100))
}

fn level_db(samples: &[i16]) -> f32 {
    10.0 * (mean_square(samples) / 32_768f32.powi(2)).max(1e-12).log10()
}

/// Level of everything but a sine, which is taken out by least squares.
fn rest_db(samples: &[i16], rate: Rate, freq_hz: f64) -> f32 {
    let step = std::f64::consts::TAU * freq_hz / f64::from(rate.hz());
    let (mut a, mut b) = (0.0, 0.0);
    for (n, sample) in samples.iter().enumerate() {
        a += f64::from(*sample) * (step * n as f64).sin();
        b += f64::from(*sample) * (step * n as f64).cos();
    }
    let half = samples.len() as f64 / 2.0;
    let rest: Vec<i16> = samples
        .iter()
        .enumerate()
        .map(|(n, s)| {
            let sine = a / half * (step * n as f64).sin() + b / half * (step * n as f64).cos();
            (f64::from(*s) - sine).round() as i16
        })
        .collect();
    level_db(&rest)
}

#[test]
fn the_pass_band_is_flat() {
    for (from, to) in pairs() {
        let top = if from.min(to) == Rate::Narrow { 3_400 } else { 7_000 };
        for freq_hz in [100, 300, 1_000, 2_000, 3_000, 3_400, 5_000, 6_000, 7_000] {
            if freq_hz <= top {
                let gain = level_db(&through(from, to, freq_hz as f32))
                    - level_db(&through(from, from, freq_hz as f32));
                assert!(gain.abs() < 0.12, "{from:?} to {to:?} at {freq_hz} Hz: {gain} dB");
            }
        }
    }
}

#[test]
fn nothing_but_the_tone_comes_out_when_the_rate_is_raised() {
    for (from, to) in pairs().filter(|(from, to)| to > from) {
        for freq_hz in [300.0, 1_000.0, 3_000.0, 3_400.0] {
            let rest = rest_db(&through(from, to, freq_hz), to, f64::from(freq_hz));
            assert!(rest < -64.0, "{from:?} to {to:?} at {freq_hz} Hz: images at {rest} dBov");
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_carry_does_not_fold_back() {
    for (from, to) in pairs().filter(|(from, to)| to < from) {
        let nyquist = to.hz() as f32 / 2.0;
        let highest = from.hz() as f32 / 2.0;
        for freq_hz in
            [nyquist * 1.06, nyquist * 1.2, nyquist * 1.5, nyquist * 1.9, nyquist * 2.5, nyquist * 4.4]
        {
            if freq_hz < highest {
                let alias = level_db(&through(from, to, freq_hz)) - level_db(&through(from, from, freq_hz));
                assert!(alias < -55.0, "{from:?} to {to:?} at {freq_hz} Hz: {alias} dB");
            }
        }
    }
}

#[test]
fn every_instruction_set_gives_the_same_samples() {
    let mut state = 5u32;
    let input: Vec<i16> = (0..3_000)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            if n % 700 < 300 { i16::MIN } else { (state >> 16) as i16 }
        })
        .collect();
    for (from, to) in pairs() {
        let made = |set| {
            let mut out = vec![0; input.len() * 6];
            let n = Resampler::with(set, from, to).process(&input, &mut out);
            out.truncate(n);
            out
        };
        let expected = made(InstructionSet::Scalar);
        for set in InstructionSet::ALL.into_iter().filter(|set| set.is_available()) {
            assert!(made(set) == expected, "{set:?} {from:?} to {to:?}");
        }
    }
}

#[test]
fn how_the_input_is_cut_does_not_matter() {
    let input: Vec<i16> = (0..2_400).map(|n| (n * 7_919 % 20_011) as i16).collect();
    for (from, to) in pairs() {
        let mut whole = vec![0; input.len() * 6];
        let n = Resampler::new(from, to).process(&input, &mut whole);
        let mut resampler = Resampler::new(from, to);
        let (mut parts, mut at) = (Vec::new(), 0);
        for length in [1, 2, 47, 480, 961, 6, 903] {
            let mut out = vec![0; length * 6 + 6];
            let made = resampler.process(&input[at..at + length], &mut out);
            parts.extend_from_slice(&out[..made]);
            at += length;
        }
        assert_eq!(at, input.len());
        assert!(parts == whole[..n], "{from:?} to {to:?}");
    }
}

#[test]
fn delay_is_as_told_and_short() {
    for (from, to) in pairs() {
        let mut input = vec![0i16; from.samples(20)];
        input[0] = 32_000;
        let mut resampler = Resampler::new(from, to);
        let mut out = vec![0; to.samples(20)];
        resampler.process(&input, &mut out);
        let peak = (0..out.len()).max_by_key(|n| out[*n].unsigned_abs()).unwrap();
        let told = resampler.delay();
        assert!(peak.abs_diff(told) <= 1, "{from:?} to {to:?}: peak at {peak}, told {told}");
        assert!(told * 1_000 <= 3 * to.hz() as usize, "{from:?} to {to:?}");
    }
}
