//! What one core of this machine can drive: generated calls without a server, more and more, until tones go out late.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use serde::Serialize;
use sidetone_dsp::g711::Law;
use sidetone_testkit::rtp::{Media, Pace};

use crate::generator::cpu_time;

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Limit {
    /// The most calls that were driven well; 0 when not even the first step was.
    pub calls: usize,
    /// All steps, in order.
    pub steps: Vec<LimitStep>,
}

/// One number of calls.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LimitStep {
    /// Calls: each sends a packet and hears one every 20 ms.
    pub calls: usize,
    /// Share of one core that they took.
    pub cpu: f64,
    /// Share of frames sent more than 10 ms late.
    pub late: f64,
    /// The latest frame, in ms.
    pub latest_ms: f64,
    /// Share of packets that were not heard.
    pub loss: f64,
    /// Late and loss are both below one in a thousand.
    pub good: bool,
}

/// Drives calls on the calling thread's processors, for `step` each, half as many again each time, up to `calls_max`. Whoever
/// wants to know about one core pins the thread before. Blocks.
///
/// # Errors
/// A socket or thread cannot be had: file or thread limits of the process.
pub fn measure(step: Duration, calls_max: usize) -> std::io::Result<Limit> {
    let mut limit = Limit { calls: 0, steps: Vec::new() };
    let mut calls = FIRST;
    while calls <= calls_max {
        let result = drive(calls, step)?;
        limit.steps.push(result);
        if !result.good {
            break;
        }
        limit.calls = calls;
        calls += calls / 2;
    }
    Ok(limit)
}

/// Calls in pairs: each hears the other.
fn drive(calls: usize, step: Duration) -> std::io::Result<LimitStep> {
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let open = |n| {
        // Calls do not begin all at once, and their frames are not all due at once.
        std::thread::sleep(FRAME / calls as u32);
        Media::open(ip, Some(400.0 + n as f32))
    };
    let media: Vec<Media> = (0..calls).map(open).collect::<Result<_, _>>()?;
    for pair in media.chunks_exact(2) {
        pair[0].send_to(Some((pair[1].local_addr(), Law::A.into())), None);
        pair[1].send_to(Some((pair[0].local_addr(), Law::A.into())), None);
    }
    // Threads that start all at once are late at first.
    std::thread::sleep(SETTLE);
    let before: Vec<Pace> = media.iter().map(Media::pace).collect();
    let heard_before: u64 = media.iter().map(|media| media.ear().received().packets).sum();
    let (cpu, begin) = (cpu_time(), Instant::now());
    std::thread::sleep(step);
    let (cpu, wall) = (cpu_time().saturating_sub(cpu), begin.elapsed());
    let after: Vec<Pace> = media.iter().map(Media::pace).collect();
    let heard: u64 = media.iter().map(|media| media.ear().received().packets).sum();
    let (mut frames, mut late) = (0, 0);
    for (after, before) in after.iter().zip(&before) {
        frames += after.frames - before.frames;
        late += after.late - before.late;
    }
    let late = late as f64 / frames.max(1) as f64;
    let due = calls as f64 * wall.as_secs_f64() * FRAMES_PER_S;
    // A packet of each call may be under way at either end.
    let loss = (1.0 - (heard - heard_before + calls as u64) as f64 / due).max(0.0);
    let latest_ms = after.iter().map(|pace| pace.latest_ms).fold(0.0, f64::max);
    let cpu = cpu.as_secs_f64() / wall.as_secs_f64();
    Ok(LimitStep { calls, cpu, late, latest_ms, loss, good: late < 0.001 && loss < 0.001 })
}

const FIRST: usize = 100;
const SETTLE: Duration = Duration::from_millis(500);
const FRAME: Duration = Duration::from_millis(20);
const FRAMES_PER_S: f64 = 50.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_sends_and_hears_and_more_than_may_be_is_not_tried() {
        // Time goes on while the machine stands still: what should have been heard by then is not.
        let steps = (0..20).map(|_| drive(4, Duration::from_millis(500)).unwrap());
        let step = steps.inspect(|step| eprintln!("{step:?}")).find(|step| step.loss < 0.5).unwrap();
        assert!(step.calls == 4 && step.latest_ms >= 0.0, "{step:?}");
        assert_eq!(measure(Duration::ZERO, 50).unwrap(), Limit { calls: 0, steps: Vec::new() });
    }
}
