//! How much earlier than needed packets come.

use super::config::PlayoutConfig;

/// What was seen in a stretch of time, in samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct SlackWindow {
    /// The least slack of this window.
    pub(super) least: i64,
    /// When it ends.
    pub(super) ends: i64,
    /// Packets in a row that came nearly too late.
    pub(super) low_in_row: u32,
    most: i64,
    /// The most of the window before.
    most_before: i64,
}

impl SlackWindow {
    pub(super) fn new(now: i64, config: &PlayoutConfig) -> Self {
        let mut window =
            Self { least: 0, ends: 0, low_in_row: 0, most: config.slack(), most_before: i64::MIN / 2 };
        window.begin(now, WINDOW_US, config);
        window
    }

    /// Begins a window that lasts for `us`.
    pub(super) fn begin(&mut self, now: i64, us: u64, config: &PlayoutConfig) {
        self.most_before = self.most;
        self.most = i64::MIN / 2;
        self.extend(now, us, config);
    }

    /// Lets this window begin anew, in what was the least.
    pub(super) fn extend(&mut self, now: i64, us: u64, config: &PlayoutConfig) {
        self.least = i64::MAX / 2;
        self.ends = now + config.samples(us);
        self.low_in_row = 0;
    }

    /// All packets come with this slack by now, and with no more.
    pub(super) fn settle(&mut self, slack: i64) {
        self.most = slack;
        self.most_before = slack;
    }

    pub(super) fn note(&mut self, slack: i64, config: &PlayoutConfig) {
        self.least = self.least.min(slack);
        self.most = self.most.max(slack);
        self.low_in_row = if slack < config.samples(LOW_US) { self.low_in_row + 1 } else { 0 };
    }

    /// The slack of the packet that came earliest of late.
    pub(super) fn most(&self) -> i64 {
        self.most.max(self.most_before)
    }

    /// Everything is played later by so many samples.
    pub(super) fn move_by(&mut self, by: i64) {
        self.least += by;
        self.most += by;
        self.most_before += by;
    }
}

/// How long nothing may have needed some delay before it is given up.
pub(super) const WINDOW_US: u64 = 4_000_000;
/// Slack that is nearly none.
const LOW_US: u64 = 1_000;
