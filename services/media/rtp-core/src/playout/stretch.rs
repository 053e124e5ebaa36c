//! A little less or a little more of a sound, without a seam: one pitch period is taken out or played twice, and the two
//! ends are cross-faded where they are most alike (overlap-add, as in WSOLA).

/// Which period to take out or to repeat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Period {
    /// Its length in samples.
    pub(super) lag: usize,
    /// How alike the two ends are, -1 to 1; 1 also where there is nothing to be heard.
    pub(super) likeness: f32,
}

/// The period of a length within `lags` after which `sound` is most like its beginning, over `fade` samples. `coarse` is
/// the step in samples in which it is looked for: a voice needs no finer one than 1/8,000 s.
pub(super) fn period(
    sound: &[i16],
    fade: usize,
    lags: std::ops::RangeInclusive<usize>,
    coarse: usize,
) -> Period {
    let power =
        |part: &[i16]| part.iter().step_by(coarse).map(|s| f32::from(*s) * f32::from(*s)).sum::<f32>();
    let beginning = &sound[..fade];
    let begins = power(beginning);
    let quiet = (fade / coarse) as f32 * QUIET * QUIET;
    let mut best = Period { lag: *lags.start(), likeness: -1.0 };
    for lag in lags.step_by(coarse) {
        let Some(later) = sound.get(lag..lag + fade) else { break };
        let ends = power(later);
        if begins < quiet && ends < quiet {
            return Period { lag, likeness: 1.0 };
        }
        let pairs = beginning.iter().zip(later).step_by(coarse);
        let product: f32 = pairs.map(|(a, b)| f32::from(*a) * f32::from(*b)).sum();
        let likeness = product / (begins * ends).sqrt().max(1.0);
        if likeness > best.likeness {
            best = Period { lag, likeness };
        }
    }
    best
}

/// Fills `out` with `sound` less the period that begins with it; `sound` is longer than `out` by the period.
pub(super) fn shorten(sound: &[i16], lag: usize, fade: usize, out: &mut [i16]) {
    out.copy_from_slice(&sound[lag..lag + out.len()]);
    blend(&sound[..fade], &mut out[..fade]);
}

/// Fills `out` with the beginning of `sound`, its first period twice; `sound` is as long as `out`.
pub(super) fn lengthen(sound: &[i16], lag: usize, fade: usize, out: &mut [i16]) {
    out[..lag].copy_from_slice(&sound[..lag]);
    let again = out.len() - lag;
    out[lag..].copy_from_slice(&sound[..again]);
    blend(&sound[lag..lag + fade], &mut out[lag..lag + fade]);
}

/// From `old` to what is in `new`, over their length.
fn blend(old: &[i16], new: &mut [i16]) {
    let step = 1.0 / (new.len() + 1) as f32;
    for (n, (old, new)) in old.iter().zip(new).enumerate() {
        let weight = (n + 1) as f32 * step;
        *new = (f32::from(*old) * (1.0 - weight) + f32::from(*new) * weight) as i16;
    }
}

/// Amplitude below which a sound is as good as none: a little above the noise of G.711.
const QUIET: f32 = 40.0;
