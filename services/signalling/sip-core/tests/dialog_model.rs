//! Dialogs against a model: more than 100,000 generated steps (commands on either side, time, a network that gets worse and
//! better, a restart of the user agent) of which each is judged by a few lines that know what a dialog is.
//!
//! `SIDETONE_SEED=n` runs another sequence, or the one that failed again.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

use crate::harness;

use std::time::{Duration, Instant};

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_sip_core::leg::Leg;
use sidetone_sip_core::tokens::Tokens;
use sidetone_sip_core::transaction::{Timers, Transactions, TransactionsConfig};
use sidetone_testkit::netem::{Conditions, Dice};

/// How far a side's dialog is, seen from its owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// The caller before the answer, the callee before its own.
    Open,
    /// The callee has been told to answer; its 200 waits for a PRACK or an ACK.
    Answering,
    /// The session stands.
    Standing,
    Ended,
}

/// One side as its owner must see it.
#[derive(Debug)]
struct Model {
    callee: bool,
    phase: Phase,
    /// The owner was asked about a change and has not answered: not before, and not after.
    asked_at: Option<(Instant, Instant)>,
    reoffers: u32,
}

/// Whether a command must be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Taken {
    Must,
    MustNot,
    /// It depends on what is on the wire.
    May,
}

impl Model {
    fn new(callee: bool) -> Self {
        Self { callee, phase: Phase::Open, asked_at: None, reoffers: 0 }
    }

    fn expects(&self, command: &LegCommandKind, now: Instant) -> Taken {
        use LegCommandKind as C;
        match (command, self.phase) {
            (_, Phase::Ended) => Taken::MustNot,
            (C::End(_), _) => Taken::Must,
            (C::Ring { .. } | C::Answer { .. }, Phase::Open) if self.callee => Taken::Must,
            (C::Ring { .. } | C::Answer { .. }, Phase::Answering) => Taken::May,
            (C::Reoffer { .. }, Phase::Standing) | (C::SendDigits { .. }, Phase::Standing) => Taken::Must,
            (C::Reoffer { .. }, Phase::Answering) => Taken::May,
            (C::AnswerReoffer { .. }, Phase::Standing) => match self.asked_at {
                Some((after, _)) if now < after + Timers::default().timeout() => Taken::Must,
                Some((_, before)) if now < before + Timers::default().timeout() => Taken::May,
                _ => Taken::MustNot,
            },
            _ => Taken::MustNot,
        }
    }

    fn took(&mut self, command: &LegCommandKind) {
        match command {
            LegCommandKind::Answer { .. } if self.phase == Phase::Open => self.phase = Phase::Answering,
            LegCommandKind::AnswerReoffer { .. } => self.asked_at = None,
            LegCommandKind::Reoffer { .. } => self.reoffers += 1,
            _ => {}
        }
    }

    /// A signal must fit what came before it.
    fn hears(&mut self, signal: &LegSignalKind, within: (Instant, Instant)) {
        assert_ne!(self.phase, Phase::Ended, "after its end: {signal:?}");
        match signal {
            LegSignalKind::Progress { .. } => assert_eq!((self.callee, self.phase), (false, Phase::Open)),
            LegSignalKind::Answered { media } => {
                assert_eq!((self.callee, self.phase), (false, Phase::Open));
                assert!(media.is_some());
                self.phase = Phase::Standing;
            }
            LegSignalKind::Confirmed { .. } => {
                assert_eq!((self.callee, self.phase), (true, Phase::Answering));
                self.phase = Phase::Standing;
            }
            LegSignalKind::Reoffered { .. } => {
                assert_eq!(self.phase, Phase::Standing);
                self.asked_at = Some(within);
            }
            // Also to what a refresh brought to light.
            LegSignalKind::Reanswered { .. } => assert_ne!(self.phase, Phase::Open),
            LegSignalKind::ReofferRefused(_) => {
                assert_ne!(self.phase, Phase::Open);
                assert!(self.reoffers > 0, "nobody offered anything");
            }
            LegSignalKind::Digit { .. } => assert_eq!(self.phase, Phase::Standing),
            LegSignalKind::Ended(_) => self.phase = Phase::Ended,
            other => panic!("not to be heard here: {other:?}"),
        }
    }
}

/// A call, both its sides' models, and chance.
struct Walk {
    pair: Pair,
    a: Model,
    b: Model,
    dice: Dice,
    seed: u64,
    steps: u64,
    tally: Tally,
    /// When the signals were looked at last.
    heard_at: Instant,
}

/// That the walk has been everywhere.
#[derive(Debug, Default)]
struct Tally {
    calls: u64,
    stood: u64,
    taken: u64,
    refused: u64,
    restarts: u64,
    reoffered: u64,
    digits: u64,
    refreshes: u64,
}

impl Walk {
    fn call(&mut self) {
        self.pair = new_pair(&mut self.dice, self.seed);
        (self.a, self.b) = (Model::new(false), Model::new(true));
        self.heard_at = self.pair.now;
        self.pair.call();
        self.tally.calls += 1;
        self.hear();
    }

    fn step(&mut self) {
        self.steps += 1;
        match self.dice.below(100) {
            0..=54 => {
                let side = if self.dice.chance(500) { 'a' } else { 'b' };
                let command = self.any_command(side);
                self.command(side, command);
            }
            55..=89 => {
                let ms = [5, 60, 700, 5_000, 40_000, 200_000][self.dice.below(6) as usize];
                let ms = 1 + self.dice.below(ms);
                self.pair.advance(Duration::from_millis(ms));
            }
            90..=96 => {
                let conditions = any_conditions(&mut self.dice);
                self.pair.over(self.seed, conditions);
            }
            _ => self.restart(),
        }
        self.hear();
    }

    fn any_command(&mut self, side: char) -> LegCommandKind {
        let callee = side == 'b';
        let port = 5000 + 2 * self.dice.below(3) as u16;
        let media = MediaDescription {
            direction: [Direction::SendRecv, Direction::SendOnly, Direction::Inactive]
                [self.dice.below(3) as usize],
            ..media(port)
        };
        match self.dice.below(if callee { 100 } else { 60 }) {
            0..=14 => LegCommandKind::AnswerReoffer { media: Some(media) },
            15..=19 => LegCommandKind::AnswerReoffer { media: None },
            20..=34 => LegCommandKind::Reoffer { media },
            35..=44 => LegCommandKind::SendDigits { digits: "5#".into(), duration_ms: 160 },
            45..=47 => LegCommandKind::End(Termination::new(Cause::Normal)),
            48..=54 => LegCommandKind::Ring { media: None },
            55..=59 => LegCommandKind::Answer { media },
            60..=74 => LegCommandKind::Ring { media: self.dice.chance(500).then_some(media) },
            _ => LegCommandKind::Answer { media },
        }
    }

    fn command(&mut self, side: char, command: LegCommandKind) {
        let now = self.pair.now;
        if self.pair.side(side).leg.is_none() {
            // Its INVITE is still on the way, or is lost.
            return;
        }
        let expected = self.model(side).expects(&command, now);
        let leg = self.pair.side(side).leg.as_mut().unwrap();
        let result = leg.handle_command(command.clone(), now);
        let fits = match expected {
            Taken::Must => result.is_ok(),
            Taken::MustNot => result.is_err(),
            Taken::May => true,
        };
        assert!(fits, "{side} {command:?}: {result:?} instead of {expected:?} in {:?}", self.model(side));
        match result {
            Ok(()) => {
                self.tally.taken += 1;
                self.model(side).took(&command);
            }
            Err(_) => self.tally.refused += 1,
        }
        self.pair.run();
    }

    /// The process of one side is killed and comes again with what it stored.
    fn restart(&mut self) {
        let side = if self.dice.chance(500) { 'a' } else { 'b' };
        let now = self.pair.now;
        if self.model(side).phase != Phase::Standing {
            return;
        }
        let restarts = self.tally.restarts;
        let here = self.pair.side(side);
        let Some(stored) = here.leg.as_ref().and_then(Leg::export) else { return };
        let before = here.leg.as_ref().unwrap().dialog_key();
        let mut leg = Leg::restore(stored, "sidetone", Timers::default(), now).unwrap();
        leg.set_owner_away(false);
        assert_eq!(leg.dialog_key(), before);
        here.leg = Some(leg);
        // Its transactions are gone with the process.
        here.transactions =
            Transactions::new(TransactionsConfig::default(), Tokens::seeded([restarts as u8; 32]));
        let model = self.model(side);
        model.asked_at = None;
        self.tally.restarts += 1;
        self.pair.run();
    }

    fn model(&mut self, side: char) -> &mut Model {
        if side == 'a' { &mut self.a } else { &mut self.b }
    }

    fn hear(&mut self) {
        for side in ['a', 'b'] {
            let (signals, within) = (self.pair.side(side).take(), (self.heard_at, self.pair.now));
            for signal in signals {
                match &signal {
                    LegSignalKind::Offered(_) => {
                        assert_eq!(side, 'b');
                        continue;
                    }
                    LegSignalKind::Reoffered { .. } => self.tally.reoffered += 1,
                    LegSignalKind::Digit { .. } => self.tally.digits += 1,
                    _ => {}
                }
                self.model(side).hears(&signal, within);
            }
        }
        self.heard_at = self.pair.now;
        self.tally.stood += u64::from(self.a.phase == Phase::Standing && self.b.phase == Phase::Standing);
    }

    /// The network heals, both hang up, and after a while nothing is left.
    fn finish(&mut self) {
        self.pair.over(self.seed, Conditions::PERFECT);
        self.agree();
        for side in ['a', 'b'] {
            if self.pair.side(side).leg.is_some() {
                self.command(side, LegCommandKind::End(Termination::new(Cause::Normal)));
                self.hear();
                assert_eq!(self.model(side).phase, Phase::Ended, "said at once");
            }
        }
        self.pair.advance(Duration::from_secs(200));
        self.hear();
        for side in ['a', 'b'] {
            let side = self.pair.side(side);
            if let Some(leg) = &side.leg {
                assert!(side.finished, "{leg:?}");
                assert_eq!(leg.poll_timeout(), None, "{leg:?}");
            }
            assert!(side.transactions.is_empty(), "{:?}", side.transactions);
            let updates = side.requests_of_leg.iter().filter(|text| text.starts_with("UPDATE")).count();
            self.tally.refreshes += updates as u64;
        }
    }

    /// Over a network that works, two that answer what they are asked come to one opinion about the session.
    fn agree(&mut self) {
        if self.a.phase != Phase::Standing || self.b.phase != Phase::Standing {
            return;
        }
        for _ in 0..6 {
            self.pair.advance(Duration::from_secs(40));
            self.hear();
            for side in ['a', 'b'] {
                if self.model(side).asked_at.is_some() {
                    let answer = LegCommandKind::AnswerReoffer { media: Some(media(5000)) };
                    let now = self.pair.now;
                    if self.model(side).expects(&answer, now) == Taken::Must {
                        self.command(side, answer);
                    }
                }
            }
            self.hear();
        }
        assert_eq!(
            self.a.phase == Phase::Ended,
            self.b.phase == Phase::Ended,
            "one thinks that they talk: {:?} {:?}",
            self.a,
            self.b
        );
    }
}

fn any_conditions(dice: &mut Dice) -> Conditions {
    let worst = Duration::from_millis([1, 20, 400][dice.below(3) as usize]);
    Conditions {
        loss_per_mille: [0, 0, 50, 300][dice.below(4) as usize],
        duplicates_per_mille: [0, 50, 300][dice.below(3) as usize],
        delay_min: Duration::from_millis(1),
        delay_max: Duration::from_millis(1) + worst,
    }
}

fn new_pair(dice: &mut Dice, seed: u64) -> Pair {
    let transport = if dice.chance(200) { Transport::Tcp } else { Transport::Udp };
    let mut pair = Pair::new(transport);
    pair.a.session_interval_s = [0, 90, 600][dice.below(3) as usize];
    pair.b.session_interval_s = [0, 90, 1800][dice.below(3) as usize];
    let conditions = if transport == Transport::Udp { any_conditions(dice) } else { Conditions::PERFECT };
    pair.over(seed ^ dice.throw(), conditions);
    pair
}

#[test]
fn a_hundred_thousand_steps() {
    let given = std::env::var("SIDETONE_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or(20_261_121);
    eprintln!("SIDETONE_SEED={seed}");
    let mut dice = Dice::new(seed);
    let pair = new_pair(&mut dice, seed);
    let (a, b, heard_at) = (Model::new(false), Model::new(true), pair.now);
    let mut walk = Walk { pair, a, b, dice, seed, steps: 0, tally: Tally::default(), heard_at };
    while walk.steps < STEPS {
        walk.call();
        for _ in 0..STEPS_OF_A_CALL {
            walk.step();
            if walk.a.phase == Phase::Ended && (walk.b.phase == Phase::Ended || walk.pair.b.leg.is_none()) {
                break;
            }
        }
        walk.finish();
    }
    eprintln!("{} steps: {:?}", walk.steps, walk.tally);
    let Tally { calls, stood, taken, refused, restarts, reoffered, digits, refreshes } = walk.tally;
    for (what, count) in [
        ("calls", calls),
        ("steps with a session", stood),
        ("commands taken", taken),
        ("commands refused", refused),
        ("restarts", restarts),
        ("changes asked about", reoffered),
        ("digits", digits),
        ("refreshes", refreshes),
    ] {
        assert!(count > 300, "the walk has hardly seen {what}: {count}");
    }
}

const STEPS: u64 = 100_000;
const STEPS_OF_A_CALL: u64 = 60;
