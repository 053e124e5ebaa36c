//! What a leg says on its way to the recorder, with its place on the recording's clock.
//!
//! A source's own timestamps say where its packets belong, as long as they agree with the clock. Clocks of telephones differ by up to
//! some hundred parts in a million: a source that is further off the clock than jitter explains is moved by one sample with each
//! packet, which nobody hears; only what is far off is placed anew.

use sidetone_dsp::codec::Codec;

use crate::negotiate::clock_per_ms;
use crate::state::Tap;
use crate::worker::Worker;
use crate::worker::leg::{Accepted, Now};
use crate::worker::rings::{FRAME_BYTES, RecordingFrame};

/// By how much a source may be off the recording's clock before it is placed anew, in samples.
const OFF_MAX: u64 = 2400;
/// By how much before it is moved: what jitter of a usual network makes.
const OFF_SLACK: u64 = 320;

impl Worker {
    /// Sends what was said on to the recorder.
    pub(super) fn record(&mut self, slot: usize, codec: Codec, accepted: &Accepted, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        // Whoever is not heard in the call is not heard in what is made of it.
        let heard = !leg.state.audio.is_silent();
        let Some(tap) = leg.state.tap.as_mut().filter(|_| heard) else { return };
        let (ssrc, timestamp) = (accepted.header.ssrc.0, accepted.header.timestamp.0);
        let position = place(tap, ssrc, timestamp, clock_per_ms(codec), now.ms);
        let (recording, sequence) = (tap.recording, accepted.header.sequence.0);
        let mut lost = false;
        let payload = &self.buffer[accepted.payload.clone()];
        let parts = payload.len().div_ceil(FRAME_BYTES);
        for (n, part) in payload.chunks(FRAME_BYTES).enumerate() {
            let mut bytes = [0; FRAME_BYTES];
            bytes[..part.len()].copy_from_slice(part);
            let (part, goes_on, length) = (n as u8, n + 1 < parts, part.len() as u16);
            let frame =
                RecordingFrame { recording, codec, part, goes_on, ssrc, sequence, position, length, bytes };
            lost |= self.frames.push(frame).is_err();
        }
        if lost {
            // It has its place, so what is missing is silent; the recording goes on.
            self.counters.ring_full.add(1);
        }
    }
}

/// Where a packet belongs in the recording.
fn place(tap: &mut Tap, ssrc: u32, timestamp: u32, per_ms: u8, now_ms: u64) -> u64 {
    let by_clock = now_ms.saturating_sub(tap.began_ms) * 8;
    if let Some((source, anchor, position)) = tap.anchor
        && source == ssrc
    {
        let moved = i64::from(timestamp.wrapping_sub(anchor) as i32) * 8 / i64::from(per_ms);
        let by_timestamp = position.saturating_add_signed(moved);
        let off = by_timestamp.abs_diff(by_clock);
        if off <= OFF_MAX {
            if moved <= 0 {
                return by_timestamp;
            }
            let towards = if by_clock > by_timestamp { 1 } else { -1 };
            let place = by_timestamp.saturating_add_signed(if off > OFF_SLACK { towards } else { 0 });
            // Anchored anew each time, so that a long call never comes near the wrap of the timestamps.
            tap.anchor = Some((ssrc, timestamp, place));
            return place;
        }
    }
    tap.anchor = Some((ssrc, timestamp, by_clock));
    by_clock
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap() -> Tap {
        Tap { recording: 1, channel: 0, began_ms: 500, anchor: None }
    }

    #[test]
    fn a_source_whose_clock_is_off_stays_near_the_clock_without_a_jump() {
        for parts_in_a_million in [-500_i64, -200, 0, 200, 500] {
            let mut tap = tap();
            let mut before = None;
            // Half an hour of packets of 20 ms.
            for n in 0..90_000_u64 {
                let arrives_us = n as i64 * 20_000 * (1_000_000 + parts_in_a_million) / 1_000_000;
                // Up to 30 ms of jitter, by a sequence of its own.
                let jitter_us = (n.wrapping_mul(2_654_435_761) >> 7) as i64 % 30_000;
                let now_ms = 500 + ((arrives_us + jitter_us) / 1000) as u64;
                let at = place(&mut tap, 1, (n as u32).wrapping_mul(160), 8, now_ms);
                if let Some(before) = before {
                    assert!((159..=161).contains(&(at - before)), "packet {n}: {}", at - before);
                }
                before = Some(at);
                assert!(at.abs_diff((now_ms - 500) * 8) <= OFF_SLACK + 10 + 240, "packet {n}");
            }
        }
    }

    #[test]
    fn what_is_far_off_is_placed_anew_and_what_comes_late_keeps_its_place() {
        let mut tap = tap();
        assert_eq!(place(&mut tap, 1, 5_000, 8, 600), 800);
        assert_eq!(place(&mut tap, 1, 5_320, 8, 640), 1120);
        assert_eq!(place(&mut tap, 1, 5_160, 8, 650), 960, "before the last one");
        assert_eq!(place(&mut tap, 1, 5_160 + 80_000, 8, 700), 1600, "its clock has jumped");
        assert_eq!(place(&mut tap, 2, 9, 8, 720), 1760, "another source");
        assert_eq!(place(&mut tap, 2, 9 + 960, 48, 740), 1920, "at another clock");
    }
}
