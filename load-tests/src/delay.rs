//! How long sound is under way, while calls are held.
//!
//! From time to time a talker sends a marker, which its listeners find in what they hear. What was heard is only kept meanwhile;
//! it is searched when the calls are over, so that the search takes no time from the tones.

use std::time::{Duration, Instant};

use serde::Serialize;
use sidetone_testkit::phone::Call;
use sidetone_testkit::rtp::{Caught, MARKER_WINDOW};

use crate::report::percentile;
use crate::scenario::{Kind, Scenario};

/// How long markers were under way, from the sender's socket to the listener's, in ms; 0 when none was found.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Delay {
    /// There and back, or one way.
    pub way: Way,
    /// Markers that were listened for.
    pub sent: usize,
    /// Those of them that were found within 650 ms.
    pub found: usize,
    /// Median.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// Longest.
    pub max_ms: f64,
}

/// Which way a marker went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// To an echo and back.
    RoundTrip,
    /// From one phone to another.
    OneWay,
}

/// Who sends a marker, and who listens for it.
pub(crate) struct Marking<'a> {
    pub(crate) talker: &'a Call,
    pub(crate) listeners: Vec<&'a Call>,
}

/// Holds for the scenario's time. `marking` says who marks in a round; those of one round mark at once, and nobody hears two
/// of them. The last second is left to the tones.
pub(crate) async fn hold<'a>(
    scenario: &Scenario,
    marking: impl Fn(usize) -> Vec<Marking<'a>>,
) -> Vec<Caught> {
    let end = Instant::now() + Duration::from_secs(scenario.seconds);
    let room = Duration::from_secs(scenario.seconds.saturating_sub(1));
    let in_round: usize = marking(0).iter().map(|marking| marking.listeners.len()).sum();
    let rounds = room.as_millis() / ROUND.as_millis();
    let rounds = (rounds as usize).clamp(1, (CAUGHT_MAX / in_round.max(1)).clamp(1, ROUNDS_MAX));
    let mut caught = Vec::new();
    for round in 0..rounds {
        let begin = Instant::now();
        let markings = marking(round);
        markings.iter().for_each(|marking| marking.talker.media().mark());
        tokio::time::sleep(ROUND).await;
        for Marking { talker, listeners } in markings {
            let marked = talker.media().marked().filter(|marked| *marked >= begin);
            caught.extend(marked.iter().flat_map(|at| listeners.iter().map(|call| call.ear().since(*at))));
        }
        tokio::time::sleep((room / rounds as u32).saturating_sub(begin.elapsed())).await;
    }
    tokio::time::sleep(end.saturating_duration_since(Instant::now())).await;
    caught
}

impl Delay {
    pub(crate) fn of(kind: Kind, caught: &[Caught]) -> Self {
        let way = if matches!(kind, Kind::Echo | Kind::Hostile | Kind::Steady) {
            Way::RoundTrip
        } else {
            Way::OneWay
        };
        let mut found: Vec<f64> =
            caught.iter().filter_map(Caught::delay).map(|delay| delay.as_secs_f64() * 1000.0).collect();
        found.sort_by(f64::total_cmp);
        Self {
            way,
            sent: caught.len(),
            found: found.len(),
            p50_ms: percentile(&found, 0.50),
            p99_ms: percentile(&found, 0.99),
            max_ms: percentile(&found, 1.0),
        }
    }

    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self.way {
            Way::RoundTrip => "round trip",
            Way::OneWay => "one way",
        }
    }
}

/// A frame until the marker begins, its way, and what the ear needs to have heard all of it.
const ROUND: Duration = MARKER_WINDOW.saturating_add(Duration::from_millis(50));
const ROUNDS_MAX: usize = 12;
/// Pieces of 10 KB.
const CAUGHT_MAX: usize = 2_000;
