//! Ducking: one sound is turned down while another is there, and comes back afterwards, both without a step.

use crate::Gain;

/// How far, and how fast. Frames are of 20 ms.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DuckConfig {
    /// By how much it is turned down, in dB; 0 or less.
    pub depth_db: f32,
    /// Frames that turning down takes, at least 1.
    pub attack_frames: u16,
    /// Frames that pass before it comes back: short pauses are bridged.
    pub hold_frames: u16,
    /// Frames that coming back takes, at least 1.
    pub release_frames: u16,
}

impl DuckConfig {
    /// By so many dB: down within 60 ms, back within 400 ms, after a hold of 200 ms.
    pub const fn of_depth(depth_db: f32) -> Self {
        Self { depth_db, attack_frames: 3, hold_frames: 10, release_frames: 20 }
    }
}

/// The gain of the sound that gives way.
#[derive(Debug, Clone)]
pub struct Duck {
    floor: f32,
    /// Factors of one frame.
    fall: f32,
    rise: f32,
    hold_frames: u16,
    /// Frames until it may come back.
    held: u16,
    reached: f32,
}

/// As good as silence: what is this far down cannot be told from nothing.
const FLOOR_DB: f32 = -72.0;
/// The least rise within the release: 12 dB.
const RISE_FLOOR: f32 = 0.25;

impl Duck {
    /// Begins at full level.
    pub fn new(config: DuckConfig) -> Self {
        let depth = if config.depth_db.is_nan() { 0.0 } else { config.depth_db.clamp(FLOOR_DB, 0.0) };
        let floor = 10f32.powf(depth / 20.0);
        let step = |floor: f32, frames: u16| floor.powf(1.0 / f32::from(frames.max(1)));
        Self {
            floor,
            fall: step(floor, config.attack_frames),
            // Also one that was further down before comes back.
            rise: 1.0 / step(floor.min(RISE_FLOOR), config.release_frames),
            hold_frames: config.hold_frames,
            held: 0,
            reached: 1.0,
        }
    }

    /// The same sound, from where it is now, by another configuration.
    pub fn onto(&self, config: DuckConfig) -> Self {
        Self { reached: self.reached, ..Self::new(config) }
    }

    /// The gain at which the next frame begins and the one at which it ends; `down` is whether the other sound is there.
    /// Between the two it goes in a straight line ([`crate::mix::ramp`]).
    pub fn next(&mut self, down: bool) -> (Gain, Gain) {
        let before = self.reached;
        if down {
            self.held = self.hold_frames;
        }
        if down || self.held > 0 {
            self.reached = (self.reached * self.fall).max(self.floor);
        } else {
            self.reached = (self.reached * self.rise).min(1.0);
        }
        if !down {
            self.held = self.held.saturating_sub(1);
        }
        (gain(before), gain(self.reached))
    }

    /// Whether it is at full level, so that nothing has to be done.
    pub fn is_open(&self) -> bool {
        self.reached >= 1.0
    }
}

/// Rounded up where it is all but unity, so that a sound at full level passes bit for bit.
fn gain(factor: f32) -> Gain {
    Gain::from_q12((factor * f32::from(Gain::UNITY.q12())).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> DuckConfig {
        DuckConfig { depth_db: -12.0, attack_frames: 3, hold_frames: 2, release_frames: 6 }
    }

    #[test]
    fn it_goes_down_holds_and_comes_back_to_bit_exact_unity() {
        let mut duck = Duck::new(config());
        assert_eq!(duck.next(false), (Gain::UNITY, Gain::UNITY));
        let down: Vec<u16> = (0..5).map(|_| duck.next(true).1.q12()).collect();
        assert!(down[0] < 4096 && down[0] > down[1] && down[1] > down[2], "{down:?}");
        assert_eq!(&down[2..], [1029; 3], "-12 dB after three frames");
        let back: Vec<u16> = (0..10).map(|_| duck.next(false).1.q12()).collect();
        assert_eq!(back[..2], [1029; 2], "held");
        assert!(back[2..8].windows(2).all(|pair| pair[1] > pair[0]), "{back:?}");
        assert!(duck.is_open());
        assert_eq!(duck.next(false), (Gain::UNITY, Gain::UNITY));
    }

    #[test]
    fn frames_join_without_a_step_and_no_depth_is_no_change() {
        let mut duck = Duck::new(config());
        let mut end = Gain::UNITY;
        for n in 0..60 {
            let (from, to) = duck.next(n % 20 < 7);
            assert_eq!(from, end, "frame {n}");
            end = to;
        }
        let mut none = Duck::new(DuckConfig::of_depth(0.0));
        assert_eq!(none.next(true), (Gain::UNITY, Gain::UNITY));
        let mut all = Duck::new(DuckConfig::of_depth(f32::NEG_INFINITY));
        for _ in 0..5 {
            all.next(true);
        }
        assert!(all.next(true).1.q12() <= 2);
    }
}
