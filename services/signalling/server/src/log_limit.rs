//! One line of log for each reason now and then, whatever comes in.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Since when and how often each reason was not said.
#[derive(Debug, Default)]
pub(crate) struct LogLimit {
    reasons: HashMap<&'static str, (Instant, u64)>,
}

impl LogLimit {
    /// Notes one; gives back how many there were since the last line, when a line is due.
    pub(crate) fn note(&mut self, reason: &'static str, now: Instant) -> Option<u64> {
        let Some((said, since)) = self.reasons.get_mut(reason) else {
            self.reasons.insert(reason, (now, 0));
            return Some(1);
        };
        *since += 1;
        if now.saturating_duration_since(*said) < PAUSE {
            return None;
        }
        *said = now;
        Some(std::mem::take(since))
    }
}

const PAUSE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_one_line_a_minute_with_its_number() {
        let mut limit = LogLimit::default();
        let now = Instant::now();
        assert_eq!(limit.note("a", now), Some(1));
        assert_eq!((0..500).filter_map(|_| limit.note("a", now)).count(), 0);
        assert_eq!(limit.note("b", now), Some(1));
        assert_eq!(limit.note("a", now + PAUSE), Some(501));
    }
}
