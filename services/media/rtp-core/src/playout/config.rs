//! What a playout is set to, and what it tells.

use sidetone_dsp::Rate;

/// Rates and bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayoutConfig {
    /// Units of the RTP timestamps a second.
    pub clock_hz: u32,
    /// Of the sound that is put in and taken out.
    pub rate: Rate,
    /// How much earlier than needed a packet is wanted to come at the least, in microseconds.
    pub slack_us: u32,
    /// The largest delay from the coming of a packet to the playing of its first sample, in microseconds.
    pub delay_max_us: u32,
}

/// How often what happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PlayoutCounters {
    /// Packets taken.
    pub accepted: u64,
    /// Packets that came after a later one, and still in time.
    pub reordered: u64,
    /// Packets that were there already.
    pub duplicates: u64,
    /// Packets of which some or all was needed before it came.
    pub late: u64,
    /// Late packets of which nothing could be played any more.
    pub discarded: u64,
    /// Packets too far ahead.
    pub overflow: u64,
    /// Empty ones, and ones longer than 120 ms.
    pub bad_size: u64,
    /// Changes of the source.
    pub ssrc_changes: u64,
    /// Restarts because sequence or timestamp jumped.
    pub resets: u64,
    /// Packets of a jump that nothing confirmed.
    pub strays: u64,
    /// Frames with sound in them.
    pub played: u64,
    /// Samples that were concealed.
    pub concealed: u64,
    /// Times that the delay grew because a packet was late.
    pub grown: u64,
    /// Pitch periods taken out.
    pub shortened: u64,
    /// Pitch periods repeated.
    pub lengthened: u64,
    /// Packets that told of a pause.
    pub pauses: u64,
}

/// What became of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inserted {
    /// It will be played in whole.
    Accepted,
    /// It was there already.
    Duplicate,
    /// It came too late for some of it, or for all. From now on there is more time, up to the largest delay.
    Late,
    /// It is further ahead than there is room for.
    Overflow,
    /// It is empty, or longer than 120 ms.
    BadSize,
    /// It jumped; only a second packet in its sequence confirms the jump.
    Stray,
}

/// What a frame that was pulled holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pulled {
    /// Sound, some or all of which may be concealment.
    Sound,
    /// The far side sends nothing at the moment; the frame is silent.
    Silence,
}

impl PlayoutConfig {
    /// Sound of a rate under timestamps of a clock, within the bounds of [`Self::NARROW`].
    pub const fn of(rate: Rate, clock_hz: u32) -> Self {
        Self { clock_hz, rate, ..Self::NARROW }
    }

    /// Timestamps and samples at 8 kHz: 3 ms of slack, at most 200 ms of delay.
    pub const NARROW: Self =
        Self { clock_hz: 8_000, rate: Rate::Narrow, slack_us: 3_000, delay_max_us: 200_000 };

    /// Shortest and longest period that is taken out or repeated (2.5 and 12.5 ms), and the cross-fade (8 ms), in samples.
    pub(super) const fn periods(&self) -> (usize, usize, usize) {
        (self.frame() / 8, self.frame() * 5 / 8, self.frame() * 2 / 5)
    }

    /// The step of 1/8,000 s, in samples.
    pub(super) const fn coarse(&self) -> usize {
        self.rate.hz() as usize / 8_000
    }

    /// Samples in a frame of 20 ms, which is what is pulled.
    pub const fn frame(&self) -> usize {
        self.rate.hz() as usize / 50
    }

    pub(super) fn samples(&self, us: u64) -> i64 {
        (us * u64::from(self.rate.hz()) / 1_000_000) as i64
    }

    pub(super) fn slack(&self) -> i64 {
        self.samples(u64::from(self.slack_us))
    }

    /// The largest slack.
    pub(super) fn slack_max(&self) -> i64 {
        self.samples(u64::from(self.delay_max_us)) - self.frame() as i64
    }

    pub(super) fn place(&self, units: i64) -> i64 {
        units * i64::from(self.rate.hz()) / i64::from(self.clock_hz)
    }
}
