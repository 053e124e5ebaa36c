//! Playout by sample position: what was received waits in a ring at the place its timestamp gives it, and is taken out at
//! the node's own pace. Packet times, order and duplicates of the sender therefore do not matter.

use sidetone_dsp::plc::Plc;
use sidetone_dsp::{Law, g711};

/// Samples of one tick at 8 kHz.
pub(crate) const FRAME: usize = 160;
/// Capacity in samples: 256 ms, and a power of two so that a timestamp is a place.
const CAPACITY: usize = 2048;
/// How far ahead of its turn a packet is wanted to come, in samples: at first, and how much may come to it.
const TARGET: i32 = 320;
const TARGET_MAX: i32 = 1280;
/// Packets whose timestamps are remembered.
const RECENT: usize = 32;
/// A packet that comes this much too late begins a new stretch rather than widening the delay.
const RESTART: i32 = 1600;
/// Packets over which the smallest headroom is looked for before delay is given up.
const WINDOW: u32 = 100;
/// Ticks without anything before a source counts as silent.
const HANGOVER_TICKS: u32 = 10;

/// What one source says, waiting for its turn.
#[derive(Debug)]
pub(crate) struct Playout {
    samples: Box<[i16; CAPACITY]>,
    filled: Box<[bool; CAPACITY]>,
    /// Timestamp of the next sample to be taken; none until something came.
    next: Option<u32>,
    plc: Plc,
    empty_ticks: u32,
    headroom_min: i32,
    window: u32,
    /// Delay beyond the first target, in samples.
    extra: i32,
    /// A timestamp far from all others, that the next packet may confirm.
    jump: Option<u32>,
    /// Timestamps of the last packets: a copy must neither be heard again nor widen the delay.
    recent: [Option<u32>; RECENT],
    recent_at: usize,
}

impl Playout {
    pub(crate) fn new() -> Self {
        Self {
            samples: Box::new([0; CAPACITY]),
            filled: Box::new([false; CAPACITY]),
            next: None,
            plc: Plc::new(sidetone_dsp::Rate::Narrow),
            empty_ticks: 0,
            headroom_min: i32::MAX,
            window: 0,
            extra: 0,
            jump: None,
            recent: [None; RECENT],
            recent_at: 0,
        }
    }

    /// Forgets everything: another source follows.
    pub(crate) fn clear(&mut self) {
        self.filled.fill(false);
        self.next = None;
        self.plc.reset();
        self.headroom_min = i32::MAX;
        self.window = 0;
        self.extra = 0;
        self.jump = None;
        self.recent = [None; RECENT];
    }

    /// Puts a packet at its place; whether it can still be heard in whole. A copy of one that came before changes nothing.
    pub(crate) fn push(&mut self, law: Law, timestamp: u32, payload: &[u8]) -> bool {
        if self.is_copy(timestamp) {
            return true;
        }
        let next = *self.next.get_or_insert(timestamp.wrapping_sub(TARGET as u32));
        // As a difference of timestamps it is anywhere in 32 bits; only a near one is worth counting with.
        let mut headroom = timestamp.wrapping_sub(next) as i32;
        let near = i64::from(headroom) + payload.len() as i64 <= CAPACITY as i64 && headroom >= -RESTART;
        if !near {
            if !self.confirms_jump(timestamp) {
                return false;
            }
            self.clear();
            self.next = Some(timestamp.wrapping_sub(TARGET as u32));
            headroom = TARGET;
        }
        self.jump = None;
        let in_time = headroom >= 0;
        if !in_time {
            // The network has become slower: wait longer from now on, as far as that is bearable.
            let wider = (-headroom + 80).min(TARGET_MAX - self.extra).max(0);
            self.extra += wider;
            headroom += wider;
            self.next = self.next.map(|next| next.wrapping_sub(wider as u32));
        }
        self.remember(timestamp);
        self.note_headroom(headroom);
        if headroom >= 0 {
            self.write(law, timestamp, payload);
        }
        in_time
    }

    /// Whether a packet with this timestamp was among the last ones.
    fn is_copy(&self, timestamp: u32) -> bool {
        self.recent.contains(&Some(timestamp))
    }

    fn remember(&mut self, timestamp: u32) {
        self.recent[self.recent_at] = Some(timestamp);
        self.recent_at = (self.recent_at + 1) % RECENT;
    }

    /// One packet far away may be a stray; a second one right behind it is where the sender is now.
    fn confirms_jump(&mut self, timestamp: u32) -> bool {
        let before = self.jump.replace(timestamp);
        before.is_some_and(|before| (1..=CAPACITY as u32).contains(&timestamp.wrapping_sub(before)))
    }

    /// The next 20 ms; whether there was any sound to take. Gaps are concealed.
    pub(crate) fn pull(&mut self, frame: &mut [i16; FRAME]) -> bool {
        let Some(next) = self.next else {
            frame.fill(0);
            return false;
        };
        let mut missing = 0;
        for (n, sample) in frame.iter_mut().enumerate() {
            let place = next.wrapping_add(n as u32) as usize % CAPACITY;
            if std::mem::take(&mut self.filled[place]) {
                *sample = self.samples[place];
            } else {
                *sample = 0;
                missing += 1;
            }
        }
        self.next = Some(next.wrapping_add(FRAME as u32));
        if missing < FRAME {
            self.empty_ticks = 0;
            self.plc.good_frame(frame);
            return true;
        }
        self.empty_ticks += 1;
        if self.empty_ticks < HANGOVER_TICKS {
            self.plc.conceal(frame);
            return true;
        }
        // Whatever comes after a long pause is a new stretch with a delay of its own.
        self.next = None;
        false
    }

    fn write(&mut self, law: Law, timestamp: u32, payload: &[u8]) {
        let start = timestamp as usize % CAPACITY;
        let (head, tail) = payload.split_at(payload.len().min(CAPACITY - start));
        g711::decode(law, head, &mut self.samples[start..start + head.len()]);
        self.filled[start..start + head.len()].fill(true);
        g711::decode(law, tail, &mut self.samples[..tail.len()]);
        self.filled[..tail.len()].fill(true);
    }

    /// Gives delay up when nothing has needed it for a while: 10 ms at a time.
    fn note_headroom(&mut self, headroom: i32) {
        self.headroom_min = self.headroom_min.min(headroom);
        self.window += 1;
        if self.window < WINDOW {
            return;
        }
        if self.headroom_min > TARGET + 160
            && let Some(next) = self.next
        {
            for n in 0..80u32 {
                self.filled[next.wrapping_add(n) as usize % CAPACITY] = false;
            }
            self.next = Some(next.wrapping_add(80));
            self.extra = (self.extra - 80).max(0);
        }
        self.window = 0;
        self.headroom_min = i32::MAX;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(timestamp: u32, samples: usize) -> Vec<u8> {
        let linear: Vec<i16> = (0..samples).map(|n| ((timestamp as usize + n) % 200) as i16 * 100).collect();
        let mut bytes = vec![0; samples];
        g711::encode(Law::Mu, &linear, &mut bytes);
        bytes
    }

    /// Sends packets of `samples` in `order` and takes as much as they hold.
    fn heard(samples: usize, order: &[u32]) -> Vec<i16> {
        let mut playout = Playout::new();
        for n in order {
            playout.push(Law::Mu, n * samples as u32, &packet(n * samples as u32, samples));
        }
        let mut out = Vec::new();
        let mut frame = [0; FRAME];
        for _ in 0..(TARGET as usize + samples * order.len()) / FRAME {
            playout.pull(&mut frame);
            out.extend_from_slice(&frame);
        }
        out[TARGET as usize..].to_vec()
    }

    #[test]
    fn packet_time_order_and_duplicates_do_not_matter() {
        let straight = heard(80, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
        assert_eq!(heard(480, &[0, 1]), straight);
        assert_eq!(heard(160, &[0, 2, 1, 1, 3, 5, 4])[..straight.len()], straight);
        assert_eq!(heard(320, &[0, 2, 1]), straight);
    }

    #[test]
    fn a_late_packet_is_told_and_widens_the_delay() {
        let mut playout = Playout::new();
        let mut frame = [0; FRAME];
        assert!(playout.push(Law::Mu, 0, &packet(0, 160)));
        for _ in 0..4 {
            playout.pull(&mut frame);
        }
        assert!(!playout.push(Law::Mu, 160, &packet(160, 160)));
        assert!(playout.push(Law::Mu, 320, &packet(320, 160)));
    }

    #[test]
    fn a_stray_changes_nothing_and_a_jump_is_followed() {
        let mut playout = Playout::new();
        assert!(playout.push(Law::Mu, 0, &packet(0, 160)));
        for stray in [900_000, u32::MAX / 2, u32::MAX - 5000] {
            assert!(!playout.push(Law::Mu, stray, &packet(0, 160)), "a stray was taken");
        }
        assert!(playout.push(Law::Mu, 160, &packet(160, 160)), "the stream goes on");
        assert!(!playout.push(Law::Mu, 500_000, &packet(0, 160)));
        assert!(playout.push(Law::Mu, 500_160, &packet(0, 160)), "two in a row are a jump");
    }

    #[test]
    fn the_delay_has_a_limit_and_copies_do_not_widen_it() {
        let mut playout = Playout::new();
        let mut frame = [0; FRAME];
        playout.push(Law::Mu, 0, &packet(0, 160));
        for _ in 0..6 {
            playout.pull(&mut frame);
            assert!(playout.push(Law::Mu, 0, &packet(0, 160)), "a copy counts as late");
        }
        assert_eq!(playout.extra, 0);
        for n in 1..200u32 {
            playout.push(Law::Mu, n * 160, &packet(n * 160, 160));
            playout.pull(&mut frame);
            playout.pull(&mut frame);
        }
        assert!(playout.extra <= TARGET_MAX, "{}", playout.extra);
    }

    #[test]
    fn a_source_that_stops_becomes_silent() {
        let mut playout = Playout::new();
        let mut frame = [0; FRAME];
        assert!(!playout.pull(&mut frame));
        playout.push(Law::Mu, 0, &packet(0, 160));
        let sounding = (0..50).filter(|_| playout.pull(&mut frame)).count();
        assert!(sounding < 20, "{sounding}");
        assert_eq!(frame, [0; FRAME]);
    }
}
