use sidetone_dsp::{Law, g711};

use super::*;
use crate::worker::rings::FRAME_BYTES;

const SOURCE: u32 = 7;

/// The packet of a number, 20 ms each, with `value` as its sound.
fn packet(sequence: u16, value: i16) -> RecordingFrame {
    let mut bytes = [0; FRAME_BYTES];
    g711::encode(Law::Mu, &[value; 160], &mut bytes[..160]);
    let (codec, position) = (Codec::G711(Law::Mu), u64::from(sequence) * 160);
    RecordingFrame {
        recording: 1,
        codec,
        part: 0,
        goes_on: false,
        ssrc: SOURCE,
        sequence,
        position,
        length: 160,
        bytes,
    }
}

/// What is heard, by its place; the sums where something is heard twice.
#[derive(Default)]
struct Heard(std::collections::BTreeMap<u64, i32>);

impl Heard {
    fn say(&mut self) -> impl FnMut(u64, &[i16]) {
        |position, samples| {
            for (at, sample) in (position..).zip(samples) {
                *self.0.entry(at).or_default() += i32::from(*sample);
            }
        }
    }

    fn level(&self, packet: u64) -> Option<i32> {
        (packet * 160..(packet + 1) * 160).map(|at| self.0.get(&at).copied()).max().flatten()
    }
}

#[test]
fn copies_are_heard_once_and_the_order_is_that_of_the_numbers() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    let mut order = Vec::new();
    for sequence in [1, 1, 3, 2, 2, 5, 4, 3, 6, 6, 1] {
        ear.hear(&packet(sequence, 1000), &mut |position, samples: &[i16]| {
            order.push(position / 160);
            heard.say()(position, samples);
        });
    }
    assert_eq!(order, [1, 2, 3, 4, 5, 6]);
    let once = g711_of(1000);
    assert!(heard.0.values().all(|sample| *sample == once), "nothing is heard twice");
    assert_eq!(heard.0.len(), 6 * 160);
}

fn g711_of(value: i16) -> i32 {
    let (mut coded, mut decoded) = ([0], [0]);
    g711::encode(Law::Mu, &[value], &mut coded);
    g711::decode(Law::Mu, &coded, &mut decoded);
    decoded[0].into()
}

#[test]
fn what_is_lost_is_concealed_and_long_silence_is_not() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    for sequence in (1..=10).chain(12..=20).chain(60..=70) {
        ear.hear(&packet(sequence, 1000), &mut heard.say());
    }
    assert!(heard.level(11).is_some_and(|level| level > 500), "{:?}", heard.level(11));
    assert_eq!(heard.level(40), None, "he was muted");
    assert_eq!((heard.level(20), heard.level(70)), (Some(g711_of(1000)), Some(g711_of(1000))));
}

#[test]
fn who_waits_in_vain_is_heard_at_the_second_look_and_at_the_end() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    ear.hear(&packet(1, 1000), &mut heard.say());
    ear.hear(&packet(3, 1000), &mut heard.say());
    ear.look(&mut heard.say());
    assert_eq!(heard.level(3), None);
    ear.look(&mut heard.say());
    assert!(heard.level(3).is_some());
    ear.hear(&packet(5, 1000), &mut heard.say());
    ear.let_go(&mut heard.say());
    assert!(heard.level(5).is_some());
}

#[test]
fn a_source_that_begins_anew_is_heard() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    ear.hear(&packet(60, 1000), &mut heard.say());
    // Near enough to look like packets of the past.
    for sequence in 1..=20 {
        let again = RecordingFrame { position: 20_000 + u64::from(sequence) * 160, ..packet(sequence, 1000) };
        ear.hear(&again, &mut heard.say());
    }
    assert!(heard.0.keys().any(|at| *at > 22_000), "after some that are taken for copies");
    let far = RecordingFrame { position: 40_000, ..packet(30_000, 1000) };
    ear.hear(&far, &mut heard.say());
    let other = RecordingFrame { position: 41_000, ssrc: 8, ..packet(30_000, 1000) };
    ear.hear(&other, &mut heard.say());
    assert!(heard.0.contains_key(&40_000) && heard.0.contains_key(&41_000));
}

#[test]
fn a_source_that_is_moved_by_a_sample_has_neither_hole_nor_echo() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    let mut moved = 0_i64;
    for sequence in 1..=100_u16 {
        moved += match sequence % 10 {
            3 => 1,
            7 => -1,
            _ => 0,
        };
        let frame = packet(sequence, 1000);
        ear.hear(
            &RecordingFrame { position: frame.position.saturating_add_signed(moved), ..frame },
            &mut heard.say(),
        );
    }
    let once = g711_of(1000);
    assert!((160..101 * 160).all(|at| heard.0.get(&at) == Some(&once)));
}

/// A packet of more than 480 bytes comes in frames, and its codec has a memory: order and wholeness matter.
#[test]
fn a_packet_in_several_frames_is_put_together() {
    let (mut ear, mut heard) = (Ear::new(Rate::Narrow), Heard::default());
    // 40 ms at 16 kHz.
    let payload: Vec<u8> = [3000_i16; 640].iter().flat_map(|sample| sample.to_be_bytes()).collect();
    let parts = payload.len().div_ceil(FRAME_BYTES);
    for sequence in 1..=5_u16 {
        for (n, part) in payload.chunks(FRAME_BYTES).enumerate() {
            // Of the second and the fourth a frame was lost.
            if (sequence, n) == (2, 0) || (sequence, n) == (4, 1) {
                continue;
            }
            let mut bytes = [0; FRAME_BYTES];
            bytes[..part.len()].copy_from_slice(part);
            let frame = RecordingFrame {
                codec: Codec::L16(Rate::Wide),
                part: n as u8,
                goes_on: n + 1 < parts,
                position: u64::from(sequence) * 320,
                length: part.len() as u16,
                bytes,
                ..packet(sequence, 0)
            };
            ear.hear(&frame, &mut heard.say());
        }
    }
    ear.let_go(&mut heard.say());
    for first in [1, 3, 5] {
        let sound: Vec<i32> =
            (first * 320 + 160..(first + 1) * 320).filter_map(|at| heard.0.get(&at).copied()).collect();
        assert_eq!(sound.len(), 160, "packet {first}");
        assert!(sound.iter().all(|sample| (2900..3100).contains(sample)), "packet {first}: {sound:?}");
    }
    assert!(heard.0.keys().all(|at| (320..6 * 320).contains(at)));
}
