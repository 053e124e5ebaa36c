//! A sender that pauses on purpose: noise and no loss, on a virtual clock.
#![allow(clippy::unwrap_used, reason = "tests")]

use sidetone_dsp::comfort::Noise;
use sidetone_dsp::level::level_dbov;
use sidetone_rtp_core::playout::Inserted;
use sidetone_rtp_core::{
    Header, Playout, PlayoutConfig, Pulled, ReceiverStats, RtpTimestamp, SequenceNumber, Ssrc,
};

const FRAME: usize = 160;
const TICK_US: u64 = 20_000;

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

/// What a sender puts on the wire: when, with which number and timestamp, and whether it speaks.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at_us: u64,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    speaks: bool,
}

/// Speaks and pauses by turns of so many frames; word of a pause comes every `sid` frames, or once only with 0.
fn talk(turns: &[(usize, usize)], sid: usize, drift_ppm: i64) -> Vec<Sent> {
    let (mut sent, mut n, mut sequence) = (Vec::new(), 0usize, 65_500u16);
    let at = |n: usize| (1_000_000 + n as i64 * 20_000 - n as i64 * 20_000 * drift_ppm / 1_000_000) as u64;
    let mut push = |n: usize, marker, speaks| {
        let timestamp = (u32::MAX - 3_000).wrapping_add((n * FRAME) as u32);
        sent.push(Sent { at_us: at(n), sequence, timestamp, marker, speaks });
        sequence = sequence.wrapping_add(1);
    };
    for (words, pause) in turns {
        for frame in 0..*words {
            push(n, frame == 0, true);
            n += 1;
        }
        for frame in 0..*pause {
            if frame == 0 || sid > 0 && frame % sid == 0 {
                push(n, false, false);
            }
            n += 1;
        }
    }
    sent
}

/// What was heard of it: level of each frame and what it was.
struct Listener {
    playout: Playout,
    stats: ReceiverStats,
    heard: Vec<(Pulled, f32)>,
}

fn listen(sent: &[Sent], mut network: impl FnMut(usize) -> Option<u64>) -> Listener {
    let mut playout = Playout::new(PlayoutConfig::NARROW);
    let mut stats = ReceiverStats::default();
    let mut arrivals: Vec<(u64, Sent)> =
        sent.iter().enumerate().filter_map(|(n, sent)| Some((sent.at_us + network(n)?, *sent))).collect();
    arrivals.sort_by_key(|(at_us, _)| *at_us);
    let end = arrivals.last().unwrap().0 + 100_000;
    let (mut arrivals, mut heard) = (arrivals.into_iter().peekable(), Vec::new());
    let mut due_us = 1_007_000;
    while due_us < end {
        while let Some((at_us, sent)) = arrivals.next_if(|(at_us, _)| *at_us <= due_us) {
            let header = Header {
                marker: sent.marker,
                sequence: SequenceNumber(sent.sequence),
                timestamp: RtpTimestamp(sent.timestamp),
                ssrc: Ssrc(5),
                ..Header::default()
            };
            stats.on_packet(&header, (at_us * 8 / 1_000) as u32);
            if sent.speaks {
                playout.insert(&header, &voice(sent.timestamp), at_us);
            } else {
                let got = playout.insert_pause(&header, &Noise::white(-50.0), at_us);
                assert_eq!(got, Inserted::Accepted);
            }
        }
        let mut frame = [0; FRAME];
        let pulled = playout.pull(due_us, &mut frame);
        heard.push((pulled, level_dbov(&frame)));
        due_us += TICK_US;
    }
    Listener { playout, stats, heard }
}

/// A tone of 500 Hz at -13 dBov, as it is at a timestamp.
fn voice(timestamp: u32) -> [i16; FRAME] {
    std::array::from_fn(|n| {
        let phase = f64::from(timestamp.wrapping_add(n as u32) % 16) / 16.0 * std::f64::consts::TAU;
        (10_000.0 * phase.sin()) as i16
    })
}

impl Listener {
    /// Frames of words, of noise, and of neither, between the first and the last word.
    fn shares(&self) -> (usize, usize, usize) {
        let first = self.heard.iter().position(|(_, level)| *level > -16.0).unwrap();
        let last = self.heard.iter().rposition(|(_, level)| *level > -16.0).unwrap();
        let within = &self.heard[first..=last];
        let is = |from: f32, to: f32| within.iter().filter(|(_, level)| (from..to).contains(level)).count();
        let (words, noise) = (is(-16.0, 0.0), is(-53.0, -47.0));
        (words, noise, within.len() - words - noise)
    }
}

#[test]
fn a_pause_is_noise_at_the_level_that_was_told_and_nothing_is_lost() {
    for sid in [0, 1, 10, 50] {
        let sent = talk(&[(50, 100), (30, 400), (50, 1), (5, 1), (50, 0)], sid, 0);
        let listener = listen(&sent, |_| Some(0));
        let c = listener.playout.counters();
        assert_eq!((c.late, c.grown, c.shortened, c.resets, c.strays), (0, 0, 0, 0, 0), "every {sid}: {c:?}");
        assert!(c.concealed < 2_000, "only after the end: {c:?}");
        assert_eq!(listener.stats.lost(), 0);
        assert_eq!(listener.playout.delay_us(), 23_000);
        let (words, noise, other) = listener.shares();
        // At each change one frame is of both.
        assert!((180..=186).contains(&words) && (485..=502).contains(&noise), "{words} {noise} {other}");
        assert!(other <= 12, "every {sid}: {words} {noise} {other}");
        let paused = &listener.heard[70..140];
        assert!(paused.iter().all(|(pulled, _)| *pulled == Pulled::Sound));
    }
}

#[test]
fn who_begins_with_a_pause_is_heard_as_noise_and_then_in_whole() {
    let sent = talk(&[(0, 20), (50, 0)], 0, 0);
    let listener = listen(&sent, |_| Some(0));
    let (words, ..) = listener.shares();
    assert!((49..=51).contains(&words), "{words}");
    assert!(listener.heard[5..18].iter().all(|(pulled, level)| *pulled == Pulled::Sound && *level > -53.0));
}

#[test]
fn pauses_do_not_widen_the_delay_nor_make_it_forget_what_the_network_needs() {
    for (drift_ppm, seed) in [(0, 1), (200, 2), (-200, 3), (0, 4)] {
        let turns: Vec<_> = (0..80).map(|n| (30 + n % 40, 20 + n * 7 % 130)).collect();
        let sent = talk(&turns, 25, drift_ppm);
        let mut random = Random(seed);
        let listener = listen(&sent, |_| Some(random.below(30_000)));
        let c = listener.playout.counters();
        // The delay is found once, and not anew with every word after a pause.
        assert!(c.late < 25, "{drift_ppm} ppm, seed {seed}: {c:?}");
        assert!(
            listener.playout.delay_us() < 80_000,
            "{drift_ppm} ppm, seed {seed}: {} us",
            listener.playout.delay_us()
        );
        assert_eq!((listener.stats.lost(), c.resets, c.strays), (0, 0, 0), "{c:?}");
        let (words, noise, other) = listener.shares();
        let all = words + noise + other;
        assert!(other * 100 < all * 4, "{drift_ppm} ppm, seed {seed}: {words} {noise} {other}");
    }
}

#[test]
fn losses_are_concealed_in_words_and_unheard_in_pauses() {
    for seed in 1..6 {
        let turns: Vec<_> = (0..60).map(|n| (40, 30 + n % 90)).collect();
        let sent = talk(&turns, 20, 0);
        let mut random = Random(seed);
        let mut lost_words = 0;
        let lost: Vec<bool> = sent
            .iter()
            .map(|sent| {
                let lost = random.below(100) < 5;
                lost_words += usize::from(lost && sent.speaks);
                lost
            })
            .collect();
        let listener = listen(&sent, |n| (!lost[n]).then_some(0));
        let c = listener.playout.counters();
        assert_eq!((c.late, c.resets, c.strays), (0, 0, 0), "seed {seed}: {c:?}");
        // The words that are lost, and the time until the next word of a pause where the first was lost.
        let pauses_missed = turns.len() * 5 / 100 + 6;
        let most = (lost_words + pauses_missed * 20 + 8) * FRAME;
        assert!(c.concealed as usize <= most, "seed {seed}: {} of {most}", c.concealed);
        let all: usize = turns.iter().map(|(words, _)| words).sum();
        let (words, ..) = listener.shares();
        assert!(words >= all - lost_words - turns.len(), "seed {seed}: {words} of {all}, {lost_words} lost");
    }
}

#[test]
fn a_delay_that_is_not_needed_any_more_is_given_up_in_a_pause() {
    let sent = talk(&[(100, 20), (200, 300), (100, 0)], 10, 0);
    // A second of a bad network, then a good one.
    let listener = listen(&sent, |n| Some(if n % 7 == 3 && n < 50 { 60_000 } else { 0 }));
    let c = listener.playout.counters();
    assert!(c.grown > 0 && listener.playout.delay_us() < 30_000, "{c:?} {}", listener.playout.delay_us());
}
