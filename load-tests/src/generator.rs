//! What the generator itself did: whether it, and not the server, was too slow.

use std::time::Duration;

use serde::Serialize;
use sidetone_testkit::phone::Call;

/// The generator in a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Generator {
    /// Processor time of this process over the run, in s; the server's too, when it is in the same process.
    pub cpu_s: f64,
    /// Frames sent by callers.
    pub frames: u64,
    /// Those of them that went out more than 10 ms after their time.
    pub late: u64,
    /// How late the latest was, in ms.
    pub latest_ms: f64,
}

impl Generator {
    /// What was done for these calls, by a process that had used `since` when the run began.
    pub(crate) fn of<'a>(calls: impl Iterator<Item = &'a Call>, since: Duration) -> Self {
        let cpu_s = cpu_time().saturating_sub(since).as_secs_f64();
        calls.map(|call| call.media().pace()).fold(Self { cpu_s, ..Self::default() }, |sum, pace| Self {
            cpu_s,
            frames: sum.frames + pace.frames,
            late: sum.late + pace.late,
            latest_ms: sum.latest_ms.max(pace.latest_ms),
        })
    }

    /// This and what was done for others.
    pub(crate) fn with(self, other: &Self) -> Self {
        Self {
            cpu_s: self.cpu_s,
            frames: self.frames + other.frames,
            late: self.late + other.late,
            latest_ms: self.latest_ms.max(other.latest_ms),
        }
    }
}

/// Processor time that this process has used: user and system time of `/proc/self/stat`, in ticks of 10 ms. Zero where there is
/// no such file.
pub(crate) fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold anything; behind it the 12th and 13th field are meant (proc(5)).
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let ticks: u64 =
        behind.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_processor_time() {
        let before = cpu_time();
        let begin = std::time::Instant::now();
        let mut sum = 0u64;
        while cpu_time() == before && begin.elapsed() < Duration::from_secs(20) {
            sum = (0..1_000_000).fold(sum, |sum: u64, n| sum.wrapping_mul(31).wrapping_add(n));
        }
        assert!(cpu_time() > before, "{sum}");
    }
}
