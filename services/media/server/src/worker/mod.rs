//! One worker: a pinned thread that owns sockets, legs and mixes and ticks every 20 ms.
//!
//! On this thread nothing locks, allocates, logs or awaits. It reads commands and writes events through rings, and counts.
//! What is ready between two ticks is handled at once: a packet of a bridged leg goes on in the moment it comes.

pub(crate) mod barging;
pub(crate) mod coding;
pub(crate) mod conditioning;
pub(crate) mod counters;
pub(crate) mod dialing;
pub(crate) mod inband;
pub(crate) mod leg;
pub(crate) mod mix;
pub(crate) mod overlay;
pub(crate) mod playing;
pub(crate) mod proofs;
pub(crate) mod rings;

mod batching;
mod commands;
pub(crate) mod gate;
mod packets;
pub(crate) mod phases;
mod recutting;
mod schedule;
mod searching;
mod sending;
mod speaking;
pub(crate) mod spread;
pub(crate) mod srtp;
pub(crate) mod streamed;
mod suppression;
mod tap;
mod tick;
mod voice;

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rtrb::{Consumer, Producer};
use sidetone_net::{Poller, Wake};

use crate::reporting::RtcpXr;
use counters::Counters;
use leg::{Leg, Now};
use mix::Mix;
use phases::{PHASE, PHASES, Phase};
use proofs::Door;
use rings::{Command, EVENTS_PER_COMMAND, Event, RecordingFrame};

/// Samples of one tick at 8 kHz.
pub(crate) const FRAME: usize = 160;
/// The time between two ticks.
pub(crate) const TICK: Duration = Duration::from_millis(20);
/// Ticks that are made up for in one go after a stall; the rest is left out and counted.
const CATCH_UP_MAX: u32 = 3;
/// By how much less than a tick is behind the thread may have waited for its processor, for the tick to be excused.
const EXCUSE_MARGIN: Duration = Duration::from_millis(1);
/// The longest packet that is looked at: 60 ms of G.711 with a long header.
pub(crate) const PACKET_MAX: usize = 1500;
/// Reports read from one socket before others have their turn.
const BURST_MAX: usize = 16;
/// Errors of earlier packets that are taken from one socket before others have their turn.
const ERRORS_MAX: usize = 4;
/// Commands carried out between two looks at the sockets.
const COMMANDS_PER_TURN: usize = 64;
/// Readable descriptors told by one wait.
const READY_MAX: usize = 256;
/// The token under which the wake-up stands. Legs have their slot times two, plus one for RTCP.
const WAKE_TOKEN: u64 = u64::MAX - 1;

/// Times that end a leg, in ms.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) idle_ms: u64,
    pub(crate) held_ms: u64,
    /// Without a sign of life of the far side, whether somebody wants the leg or not; 0 for ever.
    pub(crate) lifeless_ms: u64,
    /// To whom reports tell how it is heard.
    pub(crate) extended_reports: RtcpXr,
    /// Rests under load, so that one wake-up serves many packets.
    pub(crate) batch: Duration,
}

/// A worker before its thread runs. Everything it will ever need is allocated here.
#[derive(Debug)]
pub(crate) struct Worker {
    poller: Poller,
    epoch: Instant,
    legs: Vec<Option<Box<Leg>>>,
    mixes: Vec<Option<Box<Mix>>>,
    /// When each leg has its turn, beside them: most are not looked at when it is not theirs.
    phases: Box<[Phase]>,
    /// A quarter of the present tick began late.
    is_late: bool,
    batching: batching::Batching,
    /// Playbacks to legs whose end could not be told yet, and mixes that play, are found by walking the tables.
    commands: Consumer<Command>,
    events: Producer<Event>,
    frames: Producer<RecordingFrame>,
    door: Door,
    wake: Wake,
    told: File,
    told_something: bool,
    counters: Arc<Counters>,
    limits: Limits,
    buffer: Box<[u8; PACKET_MAX]>,
}

/// The ends of the rings that belong to a worker.
#[derive(Debug)]
pub(crate) struct WorkerEnds {
    pub(crate) commands: Consumer<Command>,
    pub(crate) events: Producer<Event>,
    pub(crate) frames: Producer<RecordingFrame>,
    /// Where packets of handshakes and checks leave.
    pub(crate) door: Door,
    /// Rung by the control plane after a command.
    pub(crate) wake: Wake,
    /// A non-blocking pipe, written to by the worker after events.
    pub(crate) told: File,
}

impl Worker {
    /// A worker with room for `slots` legs and as many mixes. `epoch` is zero of the node's clock.
    pub(crate) fn new(
        slots: usize,
        epoch: Instant,
        limits: Limits,
        counters: Arc<Counters>,
        ends: WorkerEnds,
    ) -> std::io::Result<Self> {
        let poller = Poller::new(READY_MAX)?;
        poller.add(&ends.wake, WAKE_TOKEN)?;
        Ok(Self {
            poller,
            epoch,
            legs: std::iter::repeat_with(|| None).take(slots).collect(),
            mixes: std::iter::repeat_with(|| None).take(slots).collect(),
            phases: vec![Phase::default(); slots].into(),
            is_late: false,
            batching: batching::Batching::new(limits.batch),
            commands: ends.commands,
            events: ends.events,
            frames: ends.frames,
            door: ends.door,
            wake: ends.wake,
            told: ends.told,
            told_something: false,
            counters,
            limits,
            buffer: Box::new([0; PACKET_MAX]),
        })
    }

    /// Works until it is told to stop, or until the control plane is gone.
    pub(crate) fn run(mut self) {
        sidetone_dsp::Denoiser::prepare_thread();
        let mut due = self.next_on_grid();
        let mut schedule = schedule::Schedule::of_this_thread();
        loop {
            if let Some(rest) = self.batching.rest(Instant::now(), due) {
                self.wake.rest(rest);
                self.counters.rests.add(1);
            }
            // A wait that fails is as good as one that was interrupted: the tick must go on.
            let ready = self.poller.wait(due).map_or(0, |ready| ready.count);
            self.batching.note_ready(ready);
            if (0..ready).any(|n| self.poller.token(n) == WAKE_TOKEN) {
                self.wake.take();
            }
            // Commands before packets: what is sent after a command was answered meets what it made.
            if !self.handle_commands() {
                return;
            }
            for n in 0..ready {
                self.handle_ready(self.poller.token(n));
            }
            let late_before = self.counters.late_ticks.get();
            let behind = Instant::now().saturating_duration_since(due);
            let made;
            (due, made) = self.make_turns(due, ready);
            self.batching.note_turns(made);
            // Not this program's fault where the kernel says that others had the processor meanwhile.
            if made > 0 {
                let spent = schedule.since_last();
                self.counters.busy_ns.add(spent.ran.as_nanos() as u64);
                if spent.waited + EXCUSE_MARGIN >= behind {
                    self.counters.late_ticks_excused.add(self.counters.late_ticks.get() - late_before);
                }
            }
            if std::mem::take(&mut self.told_something) {
                // A full pipe is readable, which is all that is wanted.
                let _ = self.told.write(&[1]);
            }
        }
    }

    /// Makes the turns that are due, those of three ticks at the most; when the next one is, and how many were made. So many sockets
    /// were ready just before.
    fn make_turns(&mut self, mut due: Instant, ready: usize) -> (Instant, u32) {
        let mut made = 0;
        while Instant::now() >= due && made < CATCH_UP_MAX * PHASES {
            if ready > 0 || made > 0 {
                self.look_again(due);
            }
            self.tick_at(due);
            due += PHASE;
            made += 1;
        }
        (self.skip_missed(due), made)
    }

    /// Reads what has come while packets were handled, or the turn before this one was made: what was there when a turn was due must
    /// not be late for it, nor be taken for a slow network, because this thread was busy or held up.
    fn look_again(&mut self, due: Instant) {
        // The time is over: this waits for nothing.
        let ready = self.poller.wait(due).map_or(0, |ready| ready.count);
        self.batching.note_ready(ready);
        for n in 0..ready {
            self.handle_ready(self.poller.token(n));
        }
    }

    /// The next tick on the grid that all workers of the node share: rooms on several of them count on it.
    fn next_on_grid(&self) -> Instant {
        let ticks = self.epoch.elapsed().as_nanos() / TICK.as_nanos() + 1;
        self.epoch + TICK * ticks as u32
    }

    /// A quarter of a tick.
    fn tick_at(&mut self, due: Instant) {
        let began = Instant::now();
        self.is_late |= began.duration_since(due) > TICK;
        let due_us = due.saturating_duration_since(self.epoch).as_micros() as u64;
        let (phase, sent) = (Phase::at(due_us), self.counters.sent.get());
        self.tick(phase, self.now(), due_us);
        if phase.is_last() {
            self.counters.ticks.add(1);
            self.counters.late_ticks.add(std::mem::take(&mut self.is_late).into());
        }
        self.counters.note_burst(self.counters.sent.get() - sent);
        self.counters.note_work(began.elapsed().as_nanos() as u64);
    }

    /// After a stall longer than the catch-up the grid goes on from now, in phase.
    fn skip_missed(&self, mut due: Instant) -> Instant {
        let missed = Instant::now().saturating_duration_since(due).as_nanos() / TICK.as_nanos();
        if missed > 0 {
            self.counters.skipped_ticks.add(missed as u64);
            self.counters.late_ticks.add(missed as u64);
            due += TICK * missed as u32;
        }
        due
    }

    fn now(&self) -> Now {
        let us = self.epoch.elapsed().as_micros() as u64;
        Now { ms: us / 1000, us }
    }

    fn handle_ready(&mut self, token: u64) {
        match token {
            WAKE_TOKEN => {}
            token if token & 1 == 0 => self.handle_rtp((token / 2) as usize),
            token => self.handle_rtcp((token / 2) as usize),
        }
    }

    /// Carries out what waits, as long as there is room for the answers; false when it is to stop.
    fn handle_commands(&mut self) -> bool {
        for _ in 0..COMMANDS_PER_TURN {
            if self.events.slots() < EVENTS_PER_COMMAND {
                self.counters.ring_full.add(1);
                break;
            }
            match self.commands.pop() {
                Ok(Command::Stop) => return false,
                Ok(command) => self.handle_command(command),
                Err(_) => return !self.commands.is_abandoned(),
            }
        }
        if !self.commands.is_empty() {
            self.wake.ring();
        }
        true
    }

    /// Tells the control plane; gives the event back when there is no room.
    fn tell(&mut self, event: Event) -> Result<(), Event> {
        match self.events.push(event) {
            Ok(()) => {
                self.told_something = true;
                Ok(())
            }
            Err(rtrb::PushError::Full(event)) => {
                self.counters.ring_full.add(1);
                Err(event)
            }
        }
    }

    fn leg(&mut self, slot: u32) -> Option<&mut Leg> {
        self.legs.get_mut(slot as usize)?.as_deref_mut()
    }
}
