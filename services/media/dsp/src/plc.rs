//! Packet-loss concealment for waveform codecs at 8 kHz, of the class of ITU-T G.711 Appendix I.
//!
//! A gap is filled with the last pitch period, repeated without a seam, with more periods the longer the gap lasts so that it
//! does not buzz, fading from 10 ms on and silent after 60 ms. The first samples after the gap are cross-faded. Unlike the
//! Appendix it adds no delay: the joint at the start of a gap is smoothed inside the synthetic signal.

/// Concealment of one received stream at 8,000 Hz, frames of any length up to [`MAX_FRAME`].
#[derive(Debug, Clone)]
pub struct Plc {
    /// The last good samples, newest last; a gap leaves it as it is.
    history: [i16; HISTORY],
    /// The seamless loop that is played during a gap.
    cycle: [f32; HISTORY],
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
    pub fn new() -> Self {
        Self {
            history: [0; HISTORY],
            cycle: [0.0; HISTORY],
            period: 0,
            cycle_len: 0,
            position: 0,
            gap: 0,
            step: 0.0,
            primed: false,
        }
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
        self.period = pitch_period(&self.history);
        self.lay_cycle(1);
        self.position = 0;
        let end = HISTORY - 1;
        // What the loop implies for the last real sample, against what that was.
        self.step = f32::from(self.history[end]) - self.cycle[self.cycle_len - 1];
    }

    /// Copies the last `periods` pitch periods and blends their end into what came before their start, so that the loop has
    /// no seam.
    fn lay_cycle(&mut self, periods: usize) {
        let length = (self.period * periods).min(HISTORY - MAX_PERIOD / 4);
        let blend = self.period / 4;
        let start = HISTORY - length;
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
        let periods = 1 + (self.gap / TEN_MS).min(2);
        if self.gap > 0 && self.gap < 3 * TEN_MS && self.gap.is_multiple_of(TEN_MS) {
            let phase = self.position % self.period;
            self.lay_cycle(periods);
            self.position = phase;
        }
        let joint = self.step * (JOINT.saturating_sub(self.gap + 1) as f32 / JOINT as f32);
        let value = (self.cycle[self.position] + joint) * attenuation(self.gap);
        self.position = (self.position + 1) % self.cycle_len;
        self.gap = self.gap.saturating_add(1);
        value.round() as i16
    }

    fn fade_back(&mut self, frame: &mut [i16]) {
        let length = (FADE_BACK + self.gap / TEN_MS * FADE_BACK).min(TEN_MS).min(frame.len());
        for (index, sample) in frame[..length].iter_mut().enumerate() {
            let weight = (index + 1) as f32 / (length + 1) as f32;
            let synthetic = f32::from(self.next_synthetic());
            *sample = (f32::from(*sample) * weight + synthetic * (1.0 - weight)).round() as i16;
        }
    }

    fn remember(&mut self, frame: &[i16]) {
        let n = frame.len().min(HISTORY);
        self.history.copy_within(n.., 0);
        self.history[HISTORY - n..].copy_from_slice(&frame[frame.len() - n..]);
    }
}

impl Default for Plc {
    fn default() -> Self {
        Self::new()
    }
}

/// The lag of the best normalised cross-correlation of the last 20 ms, between 5 ms (200 Hz) and 15 ms (66 Hz).
fn pitch_period(history: &[i16; HISTORY]) -> usize {
    let recent = &history[HISTORY - WINDOW..];
    let mut best = (f32::MIN, MIN_PERIOD);
    for lag in MIN_PERIOD..=MAX_PERIOD {
        let earlier = &history[HISTORY - WINDOW - lag..HISTORY - lag];
        let (mut product, mut power) = (0.0f32, 1.0f32);
        for (a, b) in recent.iter().zip(earlier) {
            let (a, b) = (f32::from(*a), f32::from(*b));
            product += a * b;
            power += b * b;
        }
        let score = product / power.sqrt();
        if score > best.0 {
            best = (score, lag);
        }
    }
    best.1
}

/// 1 for 10 ms, then 20 % less every 10 ms, nothing after 60 ms.
fn attenuation(gap: usize) -> f32 {
    1.0 - gap.saturating_sub(TEN_MS).min(SILENT_AFTER - TEN_MS) as f32 / (SILENT_AFTER - TEN_MS) as f32
}

/// Longest frame in samples: 60 ms.
pub const MAX_FRAME: usize = 480;

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
        let mut plc = Plc::new();
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
        let mut plc = Plc::new();
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
        let mut plc = Plc::new();
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
