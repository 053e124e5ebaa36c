//! Playout by sample position: packets in any order, length and rhythm in, a steady stream of linear frames out.
//!
//! The stream's samples have places on one line, which its timestamps give; a place is played at a fixed distance from
//! when its packet was expected to come. That distance, the delay, is one frame and a slack: the frame because a packet may
//! come at any moment between two ticks, so that every stream has the same delay whatever its phase; the slack because
//! packets come unevenly. The slack begins low, grows at once by what a late packet missed, and is given up again when
//! nothing has needed it for a while. Corrections that are not forced by a gap take out or repeat one pitch period, without
//! a seam (`stretch`); that is also how a sender whose clock runs at another pace is followed.
//!
//! A sender that pauses on purpose says so ([`Playout::insert_pause`]): what is missing then is noise (`pause`) and no loss, the
//! delay stays as it is, and corrections cost nothing.

mod config;
mod pause;
mod ring;
mod slack;
mod stream;
mod stretch;

use sidetone_dsp::comfort::Noise;
use sidetone_dsp::plc::Plc;

use crate::packet::Header;
pub use config::{Inserted, PlayoutConfig, PlayoutCounters, Pulled};
use pause::{Gap, Pause};
use ring::Ring;
use stream::Stream;

/// What was taken out for a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Taken {
    Nothing,
    Noise,
    Sound,
}

/// One received stream waiting for its turn. All memory is taken when it is made.
#[derive(Debug)]
pub struct Playout {
    config: PlayoutConfig,
    ring: Ring,
    stream: Option<Stream>,
    plc: Plc,
    pause: Pause,
    counters: PlayoutCounters,
    /// With how much delay the next stream begins, in microseconds; 0 is the least.
    delay_us: u32,
}

impl Playout {
    /// Takes all memory that will be needed.
    pub fn new(config: PlayoutConfig) -> Self {
        let room = config.samples(u64::from(config.delay_max_us) + BEYOND_US);
        Self {
            ring: Ring::new(room as usize),
            stream: None,
            plc: Plc::new(config.rate),
            pause: Pause::new(&config),
            counters: PlayoutCounters::default(),
            delay_us: 0,
            config,
        }
    }

    /// The next stream begins with a delay that it was found to need elsewhere; a stream after it with the least again.
    #[must_use]
    pub fn with_delay_us(mut self, delay_us: u32) -> Self {
        self.delay_us = delay_us.min(self.config.delay_max_us);
        self
    }

    /// Takes a packet that arrived at `now_us`, decoded to `samples`.
    pub fn insert(&mut self, header: &Header, samples: &[i16], now_us: u64) -> Inserted {
        let length = samples.len() as i64;
        if samples.is_empty() || length > self.config.samples(LONGEST_US) {
            self.counters.bad_size += 1;
            return Inserted::BadSize;
        }
        let now = self.config.samples(now_us);
        let mut stream = self.stream_of(header, now);
        let ahead = i32::from(header.sequence.distance(stream.newest_sequence));
        let step = header.timestamp.distance(stream.newest_timestamp);
        let is_spurt = step > 0 && ahead == 1 && self.is_due(&stream, header, now);
        if !is_spurt && self.is_jump(ahead, step, header) {
            if !stream.confirms(header, self.config.clock_hz) {
                self.stream = Some(stream);
                self.counters.strays += 1;
                return Inserted::Stray;
            }
            self.counters.resets += 1;
            stream = self.begin(header, now);
        }
        stream.candidate = None;
        if stream.has_seen(header.sequence) {
            // Also one whose original was played: a copy says nothing of the delay.
            self.stream = Some(stream);
            self.counters.duplicates += 1;
            return Inserted::Duplicate;
        }
        let result = self.put(&mut stream, header, samples, now);
        self.stream = Some(stream);
        result
    }

    /// Takes word that the far side sends nothing on purpose from the packet's timestamp on, until it has something to say again,
    /// and that it wants to be heard as `noise` meanwhile. The packet has a number and no sound.
    pub fn insert_pause(&mut self, header: &Header, noise: &Noise, now_us: u64) -> Inserted {
        let now = self.config.samples(now_us);
        let mut stream = self.stream_of(header, now);
        let ahead = i32::from(header.sequence.distance(stream.newest_sequence));
        if ahead.unsigned_abs() > SEQUENCE_JUMP {
            // Sound shows whether it is a restart.
            self.stream = Some(stream);
            self.counters.strays += 1;
            return Inserted::Stray;
        }
        if stream.has_seen(header.sequence) {
            self.stream = Some(stream);
            self.counters.duplicates += 1;
            return Inserted::Duplicate;
        }
        let units = stream.units_of(header);
        let place = self.config.place(units);
        if stream.slack_of(place, now, &self.config) >= 0 {
            stream.note_slack(place, now, &self.config);
        }
        stream.note_seen(header, units);
        stream.dry = 0;
        // Some senders stamp it with the packet before.
        let place = if ahead >= 0 { place.max(stream.sound_end) } else { place };
        self.pause.tell(place, stream.sound_end, noise);
        self.counters.pauses += 1;
        self.stream = Some(stream);
        Inserted::Accepted
    }

    /// Takes the next frame out: `due_us` is the time of the tick it belongs to, and goes on by 20 ms from call to call
    /// (by more where ticks were missed, whose sound is then left out). `frame` is [`PlayoutConfig::frame`] samples long.
    pub fn pull(&mut self, due_us: u64, frame: &mut [i16]) -> Pulled {
        let Some(mut stream) = self.stream else {
            frame.fill(0);
            return Pulled::Silence;
        };
        let from = self.config.samples(due_us) - stream.offset;
        // What is not played any more, because ticks were missed, makes room all the same.
        self.ring.forget(stream.taken, from);
        let taken = self.take(&mut stream, from, frame);
        if taken == Taken::Sound {
            stream.dry = 0;
            stream.sounding = true;
            self.counters.played += 1;
        } else {
            stream.dry = stream.dry.saturating_add(frame.len() as i64);
        }
        let is_silent = taken != Taken::Noise && (!stream.sounding || self.is_idle(&stream));
        self.stream = Some(stream);
        if is_silent { Pulled::Silence } else { Pulled::Sound }
    }

    /// Whether some of the frame that [`Self::pull`] would give at `due_us` is not there: what is still held back
    /// elsewhere, because something before it is missing, should be put in now.
    pub fn lacks(&self, due_us: u64) -> bool {
        let Some(stream) = self.stream else { return true };
        let from = self.config.samples(due_us) - stream.offset;
        from >= stream.taken && self.ring.run(from, self.config.frame()) != (true, self.config.frame())
    }

    /// What happened so far.
    pub fn counters(&self) -> &PlayoutCounters {
        &self.counters
    }

    /// From the coming of the packet that comes earliest to the playing of its first sample, in microseconds.
    pub fn delay_us(&self) -> u32 {
        let slack = self.stream.map_or(self.config.slack(), |stream| stream.slack.most().max(0));
        ((slack + self.config.frame() as i64) * 1_000_000 / i64::from(self.config.rate.hz())) as u32
    }

    /// Forgets the stream and keeps the counters: it goes elsewhere, or another one follows.
    pub fn clear(&mut self) {
        if self.stream.take().is_some() {
            self.ring.clear();
            self.plc.reset();
            self.pause.clear();
        }
    }

    /// The stream to which a packet belongs, which may begin with it.
    fn stream_of(&mut self, header: &Header, now: i64) -> Stream {
        match self.stream {
            Some(stream) if stream.ssrc == header.ssrc => stream,
            before => {
                self.counters.ssrc_changes += u64::from(before.is_some());
                self.begin(header, now)
            }
        }
    }

    fn is_idle(&self, stream: &Stream) -> bool {
        stream.is_idle(self.pause.is_told(), &self.config)
    }

    /// Begins with a packet that came at `now`: it has the least delay, or the one that was asked for.
    fn begin(&mut self, header: &Header, now: i64) -> Stream {
        self.ring.clear();
        self.pause.clear();
        let mut stream = Stream::begin(header, now, &self.config);
        let delay = self.config.samples(std::mem::take(&mut self.delay_us).into());
        stream.begin_later(delay - self.config.frame() as i64 - self.config.slack(), now, &self.config);
        stream
    }

    /// Whether a packet comes about when it would be played: after silence of which nothing was told, the clock has gone on.
    fn is_due(&self, stream: &Stream, header: &Header, now: i64) -> bool {
        let due = self.config.place(stream.units_of(header)) + stream.offset;
        self.is_idle(stream) && due.abs_diff(now) < self.config.samples(DUE_WITHIN_US) as u64
    }

    fn is_jump(&self, ahead: i32, step: i32, header: &Header) -> bool {
        // A leap of the timestamp with the very next sequence number and a marker is a talk spurt after silence.
        // So is one after a pause that was told of, of whose first packets some may be lost.
        let is_spurt = (header.marker && ahead == 1 || self.pause.is_told() && ahead > 0) && step > 0;
        ahead.unsigned_abs() > SEQUENCE_JUMP
            || step.unsigned_abs() > self.config.clock_hz * JUMP_S && !is_spurt
    }

    /// Puts a packet of the stream at its place.
    fn put(&mut self, stream: &mut Stream, header: &Header, samples: &[i16], now: i64) -> Inserted {
        let mut units = stream.units_of(header);
        let mut place = self.config.place(units);
        if self.is_idle(stream) && place >= stream.taken {
            // A talk spurt after silence has the least delay again.
            self.ring.clear();
            self.plc.reset();
            stream.anchor(place, now, &self.config);
        }
        let late = place < stream.taken;
        stream.late_in_row = if late { stream.late_in_row + 1 } else { 0 };
        self.counters.late += u64::from(late);
        if stream.late_in_row >= LATE_BEFORE_RESET {
            // The sender's clock stood still or went back: nothing would ever be in time again.
            self.counters.resets += 1;
            *stream = self.begin(header, now);
            (units, place) = (0, 0);
        } else if late {
            self.counters.grown += u64::from(stream.grow(place, now, &self.config));
        }
        stream.note_slack(place, now, &self.config);
        let length = samples.len() as i64;
        let skipped = (stream.taken - place).clamp(0, length);
        if place + length > stream.taken + self.ring.len() as i64 {
            self.counters.overflow += 1;
            return Inserted::Overflow;
        }
        self.counters.reordered += u64::from(!late && stream.newest_sequence.is_after(header.sequence));
        stream.note_seen(header, units);
        if skipped == length {
            self.counters.discarded += 1;
            return Inserted::Late;
        }
        self.ring.write(place + skipped, &samples[skipped as usize..]);
        stream.sound_end = stream.sound_end.max(place + length);
        self.counters.accepted += 1;
        if late { Inserted::Late } else { Inserted::Accepted }
    }

    /// Fills a frame from `from` on.
    fn take(&mut self, stream: &mut Stream, from: i64, frame: &mut [i16]) -> Taken {
        if from < stream.taken {
            // Ticks that are made up for come before what has just begun.
            self.plc.conceal(frame);
            return Taken::Nothing;
        }
        stream.since_correction = stream.since_correction.saturating_add(1);
        let corrected = stream.correction != 0
            && (self.try_shorten(stream, from, frame) || self.try_lengthen(stream, from, frame));
        if corrected {
            self.plc.good_frame(frame);
            self.pause.played(stream.taken);
            return Taken::Sound;
        }
        let (mut at, mut taken) = (0, Taken::Nothing);
        while at < frame.len() {
            let (length, part) = self.take_part(stream, from + at as i64, &mut frame[at..]);
            taken = taken.max(part);
            at += length;
        }
        stream.taken = from + frame.len() as i64 + self.correct_in_pause(stream, from, frame.len());
        self.ring.forget(from, stream.taken);
        taken
    }

    /// Fills the beginning of a frame as far as it is of one kind; how much that was.
    fn take_part(&mut self, stream: &Stream, place: i64, frame: &mut [i16]) -> (usize, Taken) {
        let (filled, length) = self.ring.run(place, frame.len());
        if filled {
            let part = &mut frame[..length];
            self.ring.read(place, part);
            self.plc.good_frame(part);
            self.pause.played(place + length as i64);
            return (length, Taken::Sound);
        }
        match self.pause.gap(place, length) {
            Gap::Pause(length) => {
                let part = &mut frame[..length];
                self.pause.fill(part);
                self.plc.good_frame(part);
                (length, Taken::Noise)
            }
            Gap::Lost(length) => {
                self.plc.conceal(&mut frame[..length]);
                self.counters.concealed += if stream.sounding { length as u64 } else { 0 };
                (length, Taken::Nothing)
            }
        }
    }

    /// In noise the delay may change at will; by how many places what is played next leaps.
    fn correct_in_pause(&self, stream: &mut Stream, from: i64, length: usize) -> i64 {
        let by = stream.correction;
        let needed = length + by.max(0) as usize;
        if by == 0 || !self.pause.holds(from) || self.ring.run(from, needed) != (false, needed) {
            return 0;
        }
        stream.move_by(-by, &self.config);
        by
    }

    /// Takes a pitch period out, if there is too much delay and enough sound to do it with.
    fn try_shorten(&mut self, stream: &mut Stream, from: i64, frame: &mut [i16]) -> bool {
        let (least, most, fade) = self.config.periods();
        // It may come down to the least that is no emergency.
        let most = most.min((stream.correction + self.config.slack() / 2).max(0) as usize);
        if stream.correction <= 0 || stream.since_correction < REST || most < least {
            return false;
        }
        let mut sound = [0; STRETCH_MAX];
        let Some(sound) = sound.get_mut(..frame.len() + most) else { return false };
        if self.ring.run(from, sound.len()) != (true, sound.len()) {
            return false;
        }
        self.ring.read(from, sound);
        let period = stretch::period(sound, fade, least..=most, self.config.coarse());
        if period.likeness < ALIKE && stream.since_correction < PATIENCE {
            return false;
        }
        stretch::shorten(sound, period.lag, fade, frame);
        let lag = period.lag as i64;
        stream.taken = from + frame.len() as i64 + lag;
        self.ring.forget(from, stream.taken);
        stream.move_by(-lag, &self.config);
        self.counters.shortened += 1;
        true
    }

    /// Plays a pitch period twice, if the delay runs out.
    fn try_lengthen(&mut self, stream: &mut Stream, from: i64, frame: &mut [i16]) -> bool {
        let (least, most, fade) = self.config.periods();
        let most = most.min(frame.len() - fade);
        if stream.correction >= 0 || stream.since_correction < REST {
            return false;
        }
        let mut sound = [0; STRETCH_MAX];
        let Some(sound) = sound.get_mut(..frame.len()) else { return false };
        if self.ring.run(from, sound.len()) != (true, sound.len()) {
            return false;
        }
        self.ring.read(from, sound);
        let period = stretch::period(sound, fade, least..=most, self.config.coarse());
        if period.likeness < ALIKE && stream.since_correction < PATIENCE {
            return false;
        }
        stretch::lengthen(sound, period.lag, fade, frame);
        let lag = period.lag as i64;
        stream.taken = from + frame.len() as i64 - lag;
        self.ring.forget(from, stream.taken);
        stream.move_by(lag, &self.config);
        self.counters.lengthened += 1;
        true
    }
}

/// Room beyond the largest delay, for what comes early.
const BEYOND_US: u64 = 56_000;
/// The longest packet.
const LONGEST_US: u64 = 120_000;
const LATE_BEFORE_RESET: u32 = 5;
/// RFC 3550, appendix A.1, allows 3,000; of audio nothing older than a second is of use.
const SEQUENCE_JUMP: u32 = 100;
/// How far a timestamp may step, in seconds.
const JUMP_S: u32 = 2;
/// How far from its time the first packet after silence may come.
const DUE_WITHIN_US: u64 = 2_000_000;
/// How alike two ends must be to be joined, as a correlation, and after how many frames any will do.
const ALIKE: f32 = 0.7;
const PATIENCE: u32 = 50;
/// Frames between two corrections.
const REST: u32 = 4;
/// A frame and the longest period at 48 kHz.
const STRETCH_MAX: usize = 960 + 600;
