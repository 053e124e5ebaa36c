//! Packet-loss concealment for waveform codecs, of the class of ITU-T G.711 Appendix I.
//!
//! A gap is filled with the last pitch period, repeated without a seam, with more periods the longer the gap lasts so that it
//! does not buzz, fading from 10 ms on and silent after 60 ms. The first samples after the gap are cross-faded. Unlike the
//! Appendix it adds no delay: the joint at the start of a gap is smoothed inside the synthetic signal.

use crate::Rate;

/// Concealment of one received stream, frames of any length.
#[derive(Debug, Clone)]
pub struct Plc {
    /// Samples for each one at 8 kHz.
    scale: usize,
    /// The last good samples, newest last; a gap leaves it as it is.
    history: Box<[i16]>,
    /// The seamless loop that is played during a gap.
    cycle: Box<[f32]>,
    period: usize,
    cycle_len: usize,
    position: usize,
    /// Samples since the gap began.
    gap: usize,
    /// Step at the start of the gap that decays over `JOINT` samples.
    step: f32,
    primed: bool,
}

impl Plc {
    /// Nothing heard yet: concealment gives silence.
    pub fn new(rate: Rate) -> Self {
        let scale = (rate.hz() / 8_000) as usize;
        Self {
            scale,
            history: vec![0; HISTORY * scale].into_boxed_slice(),
            cycle: vec![0.0; HISTORY * scale].into_boxed_slice(),
            period: 0,
            cycle_len: 0,
            position: 0,
            gap: 0,
            step: 0.0,
            primed: false,
        }
    }

    /// Forgets what was heard: another source follows.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.gap = 0;
        self.primed = false;
    }

    /// Takes a frame that arrived; the first one after a gap is cross-faded with the synthetic signal in place.
    pub fn good_frame(&mut self, frame: &mut [i16]) {
        if self.gap > 0 {
            self.fade_back(frame);
            self.gap = 0;
        }
        self.remember(frame);
        self.primed = true;
    }

    /// Fills a frame that did not arrive.
    pub fn conceal(&mut self, frame: &mut [i16]) {
        if !self.primed {
            frame.fill(0);
            return;
        }
        if self.gap == 0 {
            self.begin_gap();
        }
        for sample in frame.iter_mut() {
            *sample = self.next_synthetic();
        }
    }

    /// Whether the last frame was concealed.
    pub fn is_concealing(&self) -> bool {
        self.gap > 0
    }

    fn begin_gap(&mut self) {
        self.period = pitch_period(&self.history, self.scale);
        self.lay_cycle(1);
        self.position = 0;
        let end = self.history.len() - 1;
        // What the loop implies for the last real sample, against what that was.
        self.step = f32::from(self.history[end]) - self.cycle[self.cycle_len - 1];
    }

    /// Copies the last `periods` pitch periods and blends their end into what came before their start, so that the loop has
    /// no seam.
    fn lay_cycle(&mut self, periods: usize) {
        let length = (self.period * periods).min(self.history.len() - MAX_PERIOD / 4 * self.scale);
        let blend = self.period / 4;
        let start = self.history.len() - length;
        for (index, out) in self.cycle[..length].iter_mut().enumerate() {
            *out = f32::from(self.history[start + index]);
        }
        for index in 0..blend {
            let weight = (index + 1) as f32 / (blend + 1) as f32;
            let at = length - blend + index;
            let before = f32::from(self.history[start - blend + index]);
            self.cycle[at] = self.cycle[at] * (1.0 - weight) + before * weight;
        }
        self.cycle_len = length;
    }

    fn next_synthetic(&mut self) -> i16 {
        let ten_ms = TEN_MS * self.scale;
        if self.gap > 0 && self.gap < 3 * ten_ms && self.gap.is_multiple_of(ten_ms) {
            let phase = self.position % self.period;
            self.lay_cycle(1 + self.gap / ten_ms);
            self.position = phase;
        }
        let joint_len = JOINT * self.scale;
        let joint = self.step * (joint_len.saturating_sub(self.gap + 1) as f32 / joint_len as f32);
        let value = (self.cycle[self.position] + joint) * attenuation(self.gap / self.scale);
        self.position = (self.position + 1) % self.cycle_len;
        self.gap = self.gap.saturating_add(1);
        value.round() as i16
    }

    fn fade_back(&mut self, frame: &mut [i16]) {
        let ten_ms = TEN_MS * self.scale;
        let fade = FADE_BACK * self.scale;
        let length = (fade + self.gap / ten_ms * fade).min(ten_ms).min(frame.len());
        for (index, sample) in frame[..length].iter_mut().enumerate() {
            let weight = (index + 1) as f32 / (length + 1) as f32;
            let synthetic = f32::from(self.next_synthetic());
            *sample = (f32::from(*sample) * weight + synthetic * (1.0 - weight)).round() as i16;
        }
    }

    fn remember(&mut self, frame: &[i16]) {
        let n = frame.len().min(self.history.len());
        let kept = self.history.len() - n;
        self.history.copy_within(n.., 0);
        self.history[kept..].copy_from_slice(&frame[frame.len() - n..]);
    }
}

/// The lag that repeats the last 20 ms best, between 5 ms (200 Hz) and 15 ms (66 Hz), in samples. Above 8 kHz it is sought
/// among averages first, and then around what was found.
fn pitch_period(history: &[i16], scale: usize) -> usize {
    let mut coarse = [0.0f32; HISTORY];
    for (out, group) in coarse.iter_mut().zip(history.chunks_exact(scale)) {
        *out = group.iter().map(|sample| f32::from(*sample)).sum::<f32>() / scale as f32;
    }
    let lag = best_lag(&coarse, WINDOW, MIN_PERIOD..=MAX_PERIOD);
    if scale == 1 {
        return lag;
    }
    let mut fine = [0.0f32; HISTORY * SCALE_MAX];
    let fine = &mut fine[..history.len()];
    for (out, sample) in fine.iter_mut().zip(history) {
        *out = f32::from(*sample);
    }
    let (shortest, longest) = (MIN_PERIOD * scale, MAX_PERIOD * scale);
    let around = ((lag - 1) * scale).max(shortest)..=((lag + 1) * scale).min(longest);
    best_lag(fine, WINDOW * scale, around)
}

/// The lag with the best normalised cross-correlation between the last `window` samples and those before.
fn best_lag(history: &[f32], window: usize, lags: std::ops::RangeInclusive<usize>) -> usize {
    let end = history.len();
    let recent = &history[end - window..];
    let mut best = (f32::MIN, *lags.start());
    for lag in lags {
        let earlier = &history[end - window - lag..end - lag];
        let (product, power) = products(recent, earlier);
        let score = product / (power + 1.0).sqrt();
        if score > best.0 {
            best = (score, lag);
        }
    }
    best.1
}

/// The inner product of both, and the power of the second; eight sums each, so that the compiler may use vectors.
fn products(a: &[f32], b: &[f32]) -> (f32, f32) {
    let (mut product, mut power) = ([0.0f32; 8], [0.0f32; 8]);
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        for lane in 0..8 {
            product[lane] += a[lane] * b[lane];
            power[lane] += b[lane] * b[lane];
        }
    }
    (product.iter().sum(), power.iter().sum())
}

/// 1 for 10 ms, then 20 % less every 10 ms, nothing after 60 ms; `gap` in samples at 8 kHz.
fn attenuation(gap: usize) -> f32 {
    1.0 - gap.saturating_sub(TEN_MS).min(SILENT_AFTER - TEN_MS) as f32 / (SILENT_AFTER - TEN_MS) as f32
}

/// 48 kHz over 8 kHz.
const SCALE_MAX: usize = 6;
// In samples at 8 kHz.
const TEN_MS: usize = 80;
const MIN_PERIOD: usize = 40;
const MAX_PERIOD: usize = 120;
const WINDOW: usize = 160;
/// 48.75 ms: three longest periods and a quarter.
const HISTORY: usize = 3 * MAX_PERIOD + MAX_PERIOD / 4;
const SILENT_AFTER: usize = 480;
const JOINT: usize = 16;
const FADE_BACK: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::level::{level_dbov, mean_square};
    use crate::tone::{Tone, ToneGenerator};

    fn voice() -> ToneGenerator {
        ToneGenerator::new(
            8_000,
            &[Tone { freq_hz: 125.0, level_dbm0: -14.0 }, Tone { freq_hz: 250.0, level_dbm0: -18.0 }],
        )
    }

    #[test]
    fn a_lost_frame_of_a_periodic_signal_is_nearly_restored_without_clicks() {
        let mut source = voice();
        let mut plc = Plc::new(Rate::Narrow);
        let mut heard = Vec::new();
        let mut sent = Vec::new();
        for number in 0..12 {
            let mut frame = [0; 160];
            source.fill(&mut frame);
            sent.extend_from_slice(&frame);
            if number == 6 {
                plc.conceal(&mut frame)
            } else {
                plc.good_frame(&mut frame)
            }
            heard.extend_from_slice(&frame);
        }
        let lost: Vec<i16> = (960..1_040).map(|i| heard[i] - sent[i]).collect();
        assert!(mean_square(&lost) < mean_square(&sent[960..1_040]) / 50.0, "first 10 ms are close");
        let jump = |s: &[i16]| s.windows(2).map(|w| (i32::from(w[1]) - i32::from(w[0])).abs()).max();
        assert!(jump(&heard) <= jump(&sent).map(|j| j * 3 / 2), "{:?} {:?}", jump(&heard), jump(&sent));
    }

    #[test]
    fn a_long_gap_fades_to_silence_and_recovers() {
        let mut source = voice();
        let mut plc = Plc::new(Rate::Narrow);
        let mut frame = [0; 160];
        plc.conceal(&mut frame);
        assert_eq!(frame, [0; 160], "nothing to repeat yet");
        for _ in 0..5 {
            source.fill(&mut frame);
            plc.good_frame(&mut frame);
        }
        let mut last = level_dbov(&frame) + 0.5;
        for _ in 0..3 {
            plc.conceal(&mut frame);
            assert!(level_dbov(&frame) < last);
            last = level_dbov(&frame);
        }
        plc.conceal(&mut frame);
        assert_eq!(frame, [0; 160]);
        source.fill(&mut frame);
        let clean = frame;
        plc.good_frame(&mut frame);
        assert_eq!(frame[80..], clean[80..], "only the cross-fade differs");
        assert!(frame[0].abs() <= clean[0].abs());
    }

    #[test]
    fn full_scale_noise_and_odd_frame_lengths_do_no_harm() {
        let mut plc = Plc::new(Rate::Narrow);
        let mut state = 1u32;
        for length in [1, 7, 80, 480, 160, 3, 481, 1_000] {
            let mut frame = vec![0i16; length];
            for sample in &mut frame {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                *sample = if state >> 31 == 0 { i16::MAX } else { i16::MIN };
            }
            plc.good_frame(&mut frame);
            plc.conceal(&mut vec![0; length]);
            plc.conceal(&mut vec![0; 161]);
        }
    }
}
