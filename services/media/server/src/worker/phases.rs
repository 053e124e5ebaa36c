//! Where in the 20 ms of a tick each leg and room has its turn.
//!
//! All at once they would send all their packets in one burst, which queues of switches and telephones take for jitter, and a packet
//! that comes meanwhile would wait for all of them. So the tick is cut into quarters: each leg and each room has one. Who is connected
//! has one together, because what one of them says is taken with the turn of whoever hears it; the parts of a room on several workers
//! have the same, so that their sums are of one time.

use std::time::Duration;

use crate::worker::TICK;

/// Quarters of a tick.
pub(crate) const PHASES: u32 = 4;
/// How long each is.
pub(super) const PHASE: Duration = Duration::from_millis(TICK.as_millis() as u64 / PHASES as u64);

/// The quarter of a tick in which something has its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Phase(u8);

impl Phase {
    /// One for each number in turn.
    pub(crate) fn of(number: u64) -> Self {
        Self((number % u64::from(PHASES)) as u8)
    }

    /// The one that is due, by the node's clock.
    pub(super) fn at(due_us: u64) -> Self {
        Self::of(due_us / PHASE.as_micros() as u64)
    }

    /// Whether a tick is over with it.
    pub(super) fn is_last(self) -> bool {
        u32::from(self.0) == PHASES - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_once_in_a_tick_and_the_number_of_the_tick_is_the_same_in_all() {
        let tick_us = TICK.as_micros() as u64;
        for tick in 0..3 {
            let dues: Vec<u64> = (0..u64::from(PHASES)).map(|n| tick * tick_us + n * tick_us / 4).collect();
            let phases: Vec<Phase> = dues.iter().map(|due_us| Phase::at(*due_us)).collect();
            assert_eq!(phases, [0, 1, 2, 3].map(Phase::of));
            assert_eq!(phases.iter().filter(|phase| phase.is_last()).count(), 1);
            assert!(dues.iter().all(|due_us| due_us / tick_us == tick));
        }
        assert_eq!(Phase::of(9), Phase::of(5));
    }
}
