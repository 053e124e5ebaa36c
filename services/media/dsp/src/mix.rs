//! Sums of many voices in 32 bits, and the way back to 16 bits: subtraction of one's own voice, limiting, gain ramps.
//!
//! A sum of up to 65,536 voices at full scale fits 32 bits, so sums never wrap.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
use crate::cpu::InstructionSet;
use crate::cpu::instruction_set;

/// Compiles a loop once for each instruction set and jumps to the chosen one. On aarch64 the portable loop is vectors already:
/// NEON belongs to every such processor, and the compiler counts on it.
macro_rules! dispatch {
    ($body:ident($($name:ident),*)) => {
        match instruction_set() {
            #[cfg(target_arch = "x86_64")]
            // SAFETY: the set is chosen only when the processor has it.
            InstructionSet::Avx512Vbmi => unsafe { wide::$body($($name),*) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: as above.
            InstructionSet::Avx2 => unsafe { half::$body($($name),*) },
            _ => $body($($name),*),
        }
    };
}
/// A linear gain in Q12: 4096 is unity, 0 is silence, the most is just under 8 (+18 dB).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gain(u16);

impl Gain {
    /// Samples unchanged.
    pub const UNITY: Self = Self(1 << 12);
    /// Nothing left.
    pub const SILENCE: Self = Self(0);
    /// The largest gain, just under 18.1 dB.
    pub const MAX: Self = Self((1 << 15) - 1);

    /// The gain of so many decibels, limited to [`Gain::MAX`]; below -72 dB it is silence. Not a number is silence.
    pub fn from_db(db: f32) -> Self {
        let linear = 10f32.powf(db / 20.0) * f32::from(Self::UNITY.0);
        Self((linear.round().min(f32::from(Self::MAX.0))) as u16)
    }

    /// The gain with that Q12 value, limited to [`Gain::MAX`].
    pub const fn from_q12(value: u16) -> Self {
        Self(if value > Self::MAX.0 { Self::MAX.0 } else { value })
    }

    /// The Q12 value.
    pub const fn q12(self) -> u16 {
        self.0
    }
}

impl Default for Gain {
    fn default() -> Self {
        Self::UNITY
    }
}

/// Adds samples to the sums.
pub fn accumulate(sum: &mut [i32], samples: &[i16]) {
    dispatch!(accumulate_body(sum, samples));
}

/// Takes samples out of the sums again.
pub fn deduct(sum: &mut [i32], samples: &[i16]) {
    dispatch!(deduct_body(sum, samples));
}

/// `out = saturate(sum - own)`: what one speaker hears, exact as long as it fits 16 bits.
pub fn subtract_own_and_saturate(sum: &[i32], own: &[i16], out: &mut [i16]) {
    dispatch!(subtract_body(sum, own, out));
}

/// `out = saturate(sum)`.
pub fn saturate(sum: &[i32], out: &mut [i16]) {
    dispatch!(saturate_body(sum, out));
}

/// `out = limit(sum - own)`: as [`subtract_own_and_saturate`], but what exceeds -2.5 dBov bends smoothly toward full scale
/// instead of being cut off. Use it where several voices meet; a single voice should pass unchanged.
pub fn subtract_own_and_limit(sum: &[i32], own: &[i16], out: &mut [i16]) {
    dispatch!(subtract_limit_body(sum, own, out));
}

/// `out = limit(sum)`, with the knee of [`subtract_own_and_limit`].
pub fn limit(sum: &[i32], out: &mut [i16]) {
    dispatch!(limit_body(sum, out));
}

/// Multiplies with a gain that goes linearly from `from` (before the first sample) to `to` (at the last one), saturating.
pub fn ramp(samples: &mut [i16], from: Gain, to: Gain) {
    if from == to {
        if from != Gain::UNITY {
            let gain = i32::from(from.0);
            dispatch!(scale_body(samples, gain));
        }
        return;
    }
    let length = samples.len() as i32;
    let (start, span) = (i32::from(from.0), i32::from(to.0) - i32::from(from.0));
    for (index, sample) in (1..).zip(samples.iter_mut()) {
        let gain = start + span * index / length;
        *sample = scaled(*sample, gain);
    }
}

macro_rules! variants {
    ($($body:ident($($name:ident: $type:ty),*);)*) => {
        #[cfg(target_arch = "x86_64")]
        mod half {
            $(#[target_feature(enable = "avx2")]
            pub(super) fn $body($($name: $type),*) { super::$body($($name),*) })*
        }
        #[cfg(target_arch = "x86_64")]
        mod wide {
            $(#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
            pub(super) fn $body($($name: $type),*) { super::$body($($name),*) })*
        }
    };
}

variants! {
    accumulate_body(sum: &mut [i32], samples: &[i16]);
    deduct_body(sum: &mut [i32], samples: &[i16]);
    subtract_body(sum: &[i32], own: &[i16], out: &mut [i16]);
    saturate_body(sum: &[i32], out: &mut [i16]);
    subtract_limit_body(sum: &[i32], own: &[i16], out: &mut [i16]);
    limit_body(sum: &[i32], out: &mut [i16]);
    scale_body(samples: &mut [i16], gain: i32);
}

#[inline(always)]
fn accumulate_body(sum: &mut [i32], samples: &[i16]) {
    for (total, sample) in sum.iter_mut().zip(samples) {
        *total += i32::from(*sample);
    }
}

#[inline(always)]
fn deduct_body(sum: &mut [i32], samples: &[i16]) {
    for (total, sample) in sum.iter_mut().zip(samples) {
        *total -= i32::from(*sample);
    }
}

#[inline(always)]
fn subtract_body(sum: &[i32], own: &[i16], out: &mut [i16]) {
    for ((total, own), out) in sum.iter().zip(own).zip(out) {
        *out = saturated(*total - i32::from(*own));
    }
}

#[inline(always)]
fn saturate_body(sum: &[i32], out: &mut [i16]) {
    for (total, out) in sum.iter().zip(out) {
        *out = saturated(*total);
    }
}

#[inline(always)]
fn subtract_limit_body(sum: &[i32], own: &[i16], out: &mut [i16]) {
    for ((total, own), out) in sum.iter().zip(own).zip(out) {
        *out = limited(*total - i32::from(*own));
    }
}

#[inline(always)]
fn limit_body(sum: &[i32], out: &mut [i16]) {
    for (total, out) in sum.iter().zip(out) {
        *out = limited(*total);
    }
}

#[inline(always)]
fn scale_body(samples: &mut [i16], gain: i32) {
    for sample in samples {
        *sample = scaled(*sample, gain);
    }
}

#[inline(always)]
fn saturated(value: i32) -> i16 {
    value.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

#[inline(always)]
fn scaled(sample: i16, gain: i32) -> i16 {
    saturated((i32::from(sample) * gain) >> 12)
}

/// Identity up to the knee, then `knee + room * d / (d + room)` for an excess `d`: continuous in value and slope, monotonic,
/// and never above full scale.
#[inline(always)]
fn limited(value: i32) -> i16 {
    let excess = (value.abs() - KNEE).max(0) as f32;
    let bent = (ROOM * excess / (excess + ROOM)) as i32;
    let magnitude = value.abs().min(KNEE) + bent;
    (if value < 0 { -magnitude } else { magnitude }) as i16
}

/// -2.5 dBov.
const KNEE: i32 = 24_576;
const ROOM: f32 = (32_767 - KNEE) as f32;

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: u32, n: usize) -> Vec<i16> {
        let mut state = seed;
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 16) as i16
            })
            .collect()
    }

    #[test]
    fn the_chosen_kernels_agree_with_their_scalar_twins() {
        for n in [0, 1, 7, 31, 80, 160, 163, 480] {
            let voices: Vec<_> = (0..9).map(|i| noise(i, n)).collect();
            let (mut sum, mut twin) = (vec![0; n], vec![0; n]);
            for voice in &voices {
                accumulate(&mut sum, voice);
                accumulate_body(&mut twin, voice);
            }
            deduct(&mut sum, &voices[1]);
            deduct_body(&mut twin, &voices[1]);
            assert_eq!(sum, twin);
            let (mut got, mut expected) = (vec![0; n], vec![0; n]);
            for (kernel, body) in [
                (
                    subtract_own_and_saturate as fn(&[i32], &[i16], &mut [i16]),
                    subtract_body as fn(&[i32], &[i16], &mut [i16]),
                ),
                (subtract_own_and_limit, subtract_limit_body),
            ] {
                kernel(&sum, &voices[0], &mut got);
                body(&sum, &voices[0], &mut expected);
                assert_eq!(got, expected);
            }
            saturate(&sum, &mut got);
            saturate_body(&sum, &mut expected);
            assert_eq!(got, expected);
            limit(&sum, &mut got);
            limit_body(&sum, &mut expected);
            assert_eq!(got, expected);
        }
    }

    #[test]
    fn limiting_is_identity_below_the_knee_monotonic_and_bounded() {
        let mut previous = i16::MIN;
        for value in (-400_000..400_000).chain([i32::MAX / 2]) {
            let y = limited(value);
            assert!(y >= previous, "{value}");
            previous = y;
            if value.abs() <= KNEE {
                assert_eq!(i32::from(y), value);
            }
        }
        assert!(limited(i32::from(i16::MAX) * 65_536) > 32_000);
        assert!(limited(i32::from(i16::MIN) * 65_535) >= -i16::MAX);
    }

    #[test]
    fn a_ramp_ends_at_its_goal_and_has_no_step() {
        let mut samples = [8000; 160];
        ramp(&mut samples, Gain::SILENCE, Gain::UNITY);
        assert_eq!(samples[159], 8000);
        assert!(samples[0] <= 50);
        assert!(samples.windows(2).all(|w| (0..=52).contains(&(w[1] - w[0]))));
        let mut loud = [i16::MIN; 4];
        ramp(&mut loud, Gain::MAX, Gain::MAX);
        assert_eq!(loud, [i16::MIN; 4]);
        assert_eq!(Gain::from_db(0.0), Gain::UNITY);
        assert_eq!(Gain::from_db(60.0), Gain::MAX);
        assert_eq!(Gain::from_db(-200.0), Gain::SILENCE);
    }
}
