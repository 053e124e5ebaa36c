//! Where packets come densely, a short rest lets one wake-up serve many of them: waking up costs more than a packet.

use std::time::{Duration, Instant};

/// Rests between two looks at the sockets, taken only under load.
#[derive(Debug)]
pub(super) struct Batching {
    /// Where packets go on as they come. Zero: never.
    rest: Duration,
    /// Sockets that were ready since the last turn of a tick.
    ready: usize,
    is_dense: bool,
    /// A packet went on as it came since then.
    has_passed_on: bool,
    /// Nothing went on as it came of late: what comes is for the next turns of the tick.
    is_for_ticks: bool,
}

/// Ready sockets in one of the four turns of a tick from which on traffic is dense: 5,000 a second.
const DENSE: usize = 25;
/// A rest may take longer than it should; the tick must not.
const MARGIN: Duration = Duration::from_micros(500);
/// So much longer are rests where what comes waits for a tick in any case. Not longer still: when a packet came is known to the rest only,
/// and what is uncertain there is waited for in the playout.
const FOR_TICKS: u32 = 4;

impl Batching {
    pub(super) fn new(rest: Duration) -> Self {
        Self { rest, ready: 0, is_dense: false, has_passed_on: false, is_for_ticks: false }
    }

    /// So many sockets were ready at once.
    pub(super) fn note_ready(&mut self, ready: usize) {
        self.ready += ready;
    }

    /// A packet went on as it came: somebody hears it before the next tick.
    pub(super) fn note_passed_on(&mut self) {
        self.has_passed_on = true;
    }

    /// Turns were made, or none.
    pub(super) fn note_turns(&mut self, turns: u32) {
        if turns > 0 {
            self.is_dense = std::mem::take(&mut self.ready) >= DENSE * turns as usize;
            self.is_for_ticks = !std::mem::take(&mut self.has_passed_on);
        }
    }

    /// How long to rest before the next look, if at all; never so long that the tick at `due` could be late.
    pub(super) fn rest(&self, now: Instant, due: Instant) -> Option<Duration> {
        let wanted = if self.is_for_ticks { self.rest * FOR_TICKS } else { self.rest };
        let left = due.saturating_duration_since(now).saturating_sub(MARGIN);
        (self.is_dense && left > self.rest && !wanted.is_zero()).then_some(wanted.min(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rests_under_load_alone_and_never_into_a_tick() {
        let rest = Duration::from_micros(400);
        let (mut batching, now) = (Batching::new(rest), Instant::now());
        let soon = now + Duration::from_millis(20);
        assert_eq!(batching.rest(now, soon), None, "nobody knows yet");
        batching.note_ready(DENSE - 1);
        batching.note_turns(1);
        assert_eq!(batching.rest(now, soon), None);
        (0..DENSE).for_each(|_| batching.note_ready(1));
        batching.note_passed_on();
        batching.note_turns(0);
        batching.note_turns(1);
        assert_eq!(batching.rest(now, soon), Some(rest), "what went on before a look without a turn counts");
        assert_eq!(batching.rest(now, now + Duration::from_micros(900)), None, "the tick comes first");
        assert_eq!(batching.rest(soon, now), None);
        batching.note_ready(DENSE);
        batching.note_turns(1);
        assert_eq!(batching.rest(now, soon), Some(rest * FOR_TICKS), "nobody hears it before the tick");
        let soon = now + MARGIN + rest * 2;
        assert_eq!(batching.rest(now, soon), Some(rest * 2), "the tick comes first");
        batching.note_ready(DENSE);
        batching.note_turns(2);
        assert_eq!(batching.rest(now, soon), None, "it was for two turns");
        let mut off = Batching::new(Duration::ZERO);
        off.note_ready(10 * DENSE);
        off.note_turns(1);
        assert_eq!(off.rest(now, soon), None);
    }
}
