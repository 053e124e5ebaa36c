//! Energy and level of a frame.

/// Mean of the squared samples, 0 to 2^30; 0 for an empty frame.
pub fn mean_square(samples: &[i16]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    (energy(samples) as f64 / samples.len() as f64) as f32
}

/// Sum of the squared samples.
pub fn energy(samples: &[i16]) -> u64 {
    // Two squares fit a u32, so the inner sums stay narrow enough to be vectorised.
    samples
        .chunks(2)
        .map(|pair| pair.iter().map(|s| u32::from(s.unsigned_abs()).pow(2)).sum::<u32>())
        .map(u64::from)
        .sum()
}

/// Level in dBov: 0 is a full-scale square wave, a full-scale sine is -3.01, digital silence is [`SILENCE_DBOV`] (RFC 6464,
/// section 3, counts the same level without its sign).
pub fn level_dbov(samples: &[i16]) -> f32 {
    dbov_of_mean_square(mean_square(samples))
}

/// [`level_dbov`] of a mean square as [`mean_square`] gives it.
pub fn dbov_of_mean_square(mean_square: f32) -> f32 {
    if mean_square <= 0.0 {
        return SILENCE_DBOV;
    }
    (10.0 * (mean_square / FULL_SCALE_POWER).log10()).max(SILENCE_DBOV)
}

/// The largest magnitude, 0 to 32,768.
pub fn peak(samples: &[i16]) -> u16 {
    samples.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0)
}

/// What digital silence counts as: the least value that RFC 6464 can carry.
pub const SILENCE_DBOV: f32 = -127.0;

const FULL_SCALE_POWER: f32 = 32_768.0 * 32_768.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_known_frames() {
        assert_eq!(level_dbov(&[]), SILENCE_DBOV);
        assert_eq!(level_dbov(&[0; 160]), SILENCE_DBOV);
        assert!(level_dbov(&[i16::MIN; 160]).abs() < 1e-3);
        let sine: Vec<i16> = (0..800).map(|n| (32_767.0 * (n as f64 * 0.0785398).sin()) as i16).collect();
        assert!((level_dbov(&sine) + 3.01).abs() < 0.02);
        assert_eq!(energy(&[i16::MIN; 3]), 3 << 30);
        assert_eq!(peak(&[3, i16::MIN, 9]), 32_768);
    }
}
