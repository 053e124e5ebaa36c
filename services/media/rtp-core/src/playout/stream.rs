//! Where a stream stands, and by how much it is delayed.

use super::config::PlayoutConfig;
use super::slack::{SlackWindow, WINDOW_US};
use crate::packet::{Header, RtpTimestamp, SequenceNumber, Ssrc};

/// Places are in samples from the stream's first one, times in samples of the local clock.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stream {
    pub(super) ssrc: Ssrc,
    /// The newest packet, which extends timestamps.
    pub(super) newest_sequence: SequenceNumber,
    pub(super) newest_timestamp: RtpTimestamp,
    /// Its distance from the first packet in units of the RTP clock.
    pub(super) newest_units: i64,
    /// Place `p` is played at time `p + offset`.
    pub(super) offset: i64,
    /// Everything before this place was taken.
    pub(super) taken: i64,
    /// The place after the last sample that was put in.
    pub(super) sound_end: i64,
    /// There was sound since the beginning or the last pause, and so many samples without since.
    pub(super) sounding: bool,
    pub(super) dry: i64,
    pub(super) slack: SlackWindow,
    /// By how many samples the delay is to shrink, or to grow where negative.
    pub(super) correction: i64,
    /// Frames since the last correction.
    pub(super) since_correction: u32,
    pub(super) late_in_row: u32,
    /// The packet after one that jumped.
    pub(super) candidate: Option<(SequenceNumber, RtpTimestamp)>,
    /// Bit n: the packet n before the newest one came.
    pub(super) seen: u128,
}

impl Stream {
    /// Begins with a packet that came at `now`.
    pub(super) fn begin(header: &Header, now: i64, config: &PlayoutConfig) -> Self {
        let mut stream = Self {
            ssrc: header.ssrc,
            newest_sequence: header.sequence,
            newest_timestamp: header.timestamp,
            newest_units: 0,
            offset: 0,
            taken: 0,
            sound_end: 0,
            sounding: false,
            dry: 0,
            slack: SlackWindow::new(now, config),
            correction: 0,
            since_correction: 0,
            late_in_row: 0,
            candidate: None,
            seen: 0,
        };
        stream.anchor(0, now, config);
        stream
    }

    /// Whether the second packet in a row is where a first one has jumped to; remembers a first one.
    pub(super) fn confirms(&mut self, header: &Header, clock_hz: u32) -> bool {
        let expected = self.candidate.replace((header.sequence.next(), header.timestamp));
        expected.is_some_and(|(sequence, timestamp)| {
            sequence == header.sequence
                && header.timestamp.distance(timestamp).unsigned_abs() <= clock_hz / 1000 * JUMP_STEP_MS
        })
    }

    pub(super) fn units_of(&self, header: &Header) -> i64 {
        self.newest_units + i64::from(header.timestamp.distance(self.newest_timestamp))
    }

    /// Lets `place` be played one least delay from now.
    pub(super) fn anchor(&mut self, place: i64, now: i64, config: &PlayoutConfig) {
        let frame = config.frame() as i64;
        self.offset = now + frame + config.slack() - place;
        // The next frame is of a tick that is due now or later; one earlier still may be made up for.
        self.taken = now - self.offset - frame;
        self.sounding = false;
        self.dry = 0;
        self.slack = SlackWindow::new(now, config);
        self.correction = 0;
    }

    /// The network has become slower: from now on a packet like the one for `place` comes in time, as far as that is
    /// bearable. What is played meanwhile is concealment, so that it costs no step. Whether there was room to grow.
    pub(super) fn grow(&mut self, place: i64, now: i64, config: &PlayoutConfig) -> bool {
        let missing = config.samples(GROW_US) - self.slack_of(place, now, config);
        let room = config.slack_max() - self.slack.most();
        let by = missing.min(room).max(0);
        self.taken -= by;
        self.move_by(by, config);
        // Nothing is given up before a whole window has gone by without need.
        self.slack.extend(now, WINDOW_US, config);
        self.correction = 0;
        by > 0
    }

    /// Gives a stream that has just begun so many samples more of delay.
    pub(super) fn begin_later(&mut self, by: i64, now: i64, config: &PlayoutConfig) {
        if by > 0 {
            self.taken -= by;
            self.move_by(by, config);
            self.slack.extend(now, WINDOW_US, config);
        }
    }

    /// Notes how much earlier than needed a packet came, and decides on corrections.
    pub(super) fn note_slack(&mut self, place: i64, now: i64, config: &PlayoutConfig) {
        let slack = self.slack_of(place, now, config);
        self.slack.note(slack, config);
        if self.slack.low_in_row >= LOW_IN_ROW && self.correction == 0 {
            // All come late by now, though none too late: the sender's clock is the slower one.
            self.correction = (slack - config.slack()).min(-1);
            self.slack.settle(slack);
            self.slack.extend(now, PATIENCE_US, config);
        }
        if now >= self.slack.ends {
            if self.slack.least > config.slack() + config.samples(EASE_US) {
                self.correction = self.slack.least - config.slack();
            }
            self.slack.begin(now, WINDOW_US, config);
        }
    }

    pub(super) fn slack_of(&self, place: i64, now: i64, config: &PlayoutConfig) -> i64 {
        place + self.offset - now - config.frame() as i64
    }

    /// Everything is played later by so many samples.
    pub(super) fn move_by(&mut self, by: i64, config: &PlayoutConfig) {
        self.offset += by;
        self.slack.move_by(by);
        self.since_correction = 0;
        let (least, ..) = config.periods();
        let left = self.correction + by;
        // What is left is less than can be taken out, or more than was asked for.
        let is_done =
            self.correction > 0 && left < least as i64 || self.correction < 0 && left > -(least as i64);
        self.correction = if is_done { 0 } else { left };
    }

    pub(super) fn has_seen(&self, sequence: SequenceNumber) -> bool {
        let behind = -i32::from(sequence.distance(self.newest_sequence));
        (0..128).contains(&behind) && self.seen >> behind & 1 == 1
    }

    pub(super) fn note_seen(&mut self, header: &Header, units: i64) {
        match i32::from(header.sequence.distance(self.newest_sequence)) {
            ahead @ 1..128 => self.seen = self.seen << ahead | 1,
            behind @ -127..=0 => self.seen |= 1 << -behind,
            _ => self.seen = 1,
        }
        if header.sequence.is_after(self.newest_sequence) {
            self.newest_sequence = header.sequence;
            self.newest_timestamp = header.timestamp;
            self.newest_units = units;
        }
    }

    /// Whether there was nothing for so long that what comes next is a new beginning. Where the far side has said that it
    /// `pauses`, what is known of its network and its clock holds for longer.
    pub(super) fn is_idle(&self, pauses: bool, config: &PlayoutConfig) -> bool {
        self.dry >= config.samples(if pauses { IDLE_PAUSED_US } else { IDLE_US })
    }
}

/// With nothing to play for so long the sender has stopped.
const IDLE_US: u64 = 120_000;
/// The same since it last said that it pauses.
const IDLE_PAUSED_US: u64 = 10_000_000;
/// By how much the second packet of a jump may follow its first, in ms.
const JUMP_STEP_MS: u32 = 120;
/// What a late packet gets beyond what it missed.
const GROW_US: u64 = 1_000;
/// How long some delay stays that was made on purpose.
const PATIENCE_US: u64 = 60_000_000;
/// By how much the slack must be larger than wanted before it is corrected.
const EASE_US: u64 = 5_000;
/// After how many packets in a row that came nearly too late the delay is made longer.
const LOW_IN_ROW: u32 = 10;
