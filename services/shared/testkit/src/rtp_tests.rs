use sidetone_dsp::g711::{self, Law};
use sidetone_dsp::tone::{Tone, ToneGenerator};

use super::*;

fn packet(sequence: u16, tone: &mut ToneGenerator) -> Vec<u8> {
    let (mut samples, mut payload) = ([0i16; FRAME], [0u8; FRAME]);
    tone.fill(&mut samples);
    g711::encode(Law::A, &samples, &mut payload);
    let timestamp = u32::from(sequence) * 160;
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend([0, 0, 0, 1]);
    packet.extend(payload);
    packet
}

fn ear(lost: impl Fn(u16) -> bool) -> Ear {
    let mut tone = ToneGenerator::new(RATE, &[Tone { freq_hz: 700.0, level_dbm0: TONE_DBM0 }]);
    let mut heard = Heard::default();
    for sequence in 1..=60 {
        let packet = packet(sequence, &mut tone);
        if !lost(sequence) {
            heard.take(&packet, Instant::now());
        }
    }
    Ear { shared: Arc::new(Shared { stop: false.into(), out: Mutex::default(), heard: Mutex::new(heard) }) }
}

#[test]
fn the_ear_hears_the_tone_and_no_other() {
    let ear = ear(|_| false);
    let level = ear.level_of(700.0);
    assert!((level - (TONE_DBM0 - 6.15)).abs() < 0.5, "{level}");
    assert!(ear.hears(700.0));
    assert!(!ear.hears(650.0) && !ear.hears(1400.0));
    assert_eq!(ear.received().lost, 0);
}

#[test]
fn losses_are_counted_and_do_not_hide_the_tone() {
    let ear = ear(|sequence| sequence % 10 == 5);
    assert_eq!((ear.received().packets, ear.received().lost), (54, 6));
    assert!((ear.received().loss() - 0.1).abs() < 1e-9);
    assert!(ear.hears(700.0));
}

#[test]
fn a_damaged_number_is_not_believed_and_a_new_count_is() {
    let mut tone = ToneGenerator::new(RATE, &[Tone { freq_hz: 700.0, level_dbm0: TONE_DBM0 }]);
    let mut heard = Heard::default();
    let mut take = |number: u16| heard.take(&packet(number, &mut tone), Instant::now());
    (1..=20).for_each(&mut take);
    take(20_000);
    (22..=40).for_each(&mut take);
    (5_000..=5_010).for_each(&mut take);
    assert_eq!(heard.source.as_ref().unwrap().highest, 5_010);
    // The damaged one, and those up to 5,000, which itself came.
    assert_eq!((heard.received.packets, heard.received.late, heard.received.lost), (51, 2, 1 + 4_959));
}

#[test]
fn the_delay_of_a_marker_is_that_of_its_packets() {
    let mut heard = Heard::default();
    let sent = Instant::now();
    let mut sound = vec![0i16; FRAME * 40];
    sound[FRAME * 7 + 40..][..marker::LENGTH].copy_from_slice(marker::samples());
    for (n, frame) in sound.chunks(FRAME).enumerate() {
        let mut bytes = packet(n as u16, &mut ToneGenerator::new(RATE, &[]));
        g711::encode(Law::A, frame, &mut bytes[12..]);
        // The first two came before.
        let came = (sent + FRAME_TIME * n as u32).checked_sub(FRAME_TIME * 2).unwrap();
        heard.take(&bytes, came);
    }
    let shared = Shared { stop: false.into(), out: Mutex::default(), heard: Mutex::new(heard) };
    let ear = Ear { shared: Arc::new(shared) };
    let delay = ear.since(sent).delay().unwrap();
    assert!(delay.abs_diff(Duration::from_millis(105)) < Duration::from_millis(1), "{delay:?}");
    assert_eq!(ear.since(sent + FRAME_TIME * 30).delay(), None);
    ear.forget();
    assert_eq!(ear.since(sent).delay(), None);
}

#[test]
fn less_than_a_second_is_silence() {
    assert!(!ear(|sequence| sequence > 40).hears(700.0));
}

#[test]
fn media_that_stopped_without_a_word_is_not_heard_and_a_call_that_ended_was() {
    let silent = ear(|_| false);
    let long_ago = Instant::now().checked_sub(STALE * 4).unwrap();
    silent.shared.heard().last_arrival = Some(long_ago);
    assert!(!silent.hears(700.0));
    assert!(silent.received().max_gap_ms >= 2_000.0);
    silent.shared.heard().closed = Some(long_ago);
    assert!(silent.hears(700.0));
}

#[test]
fn noise_and_rtcp_are_no_media() {
    assert_eq!(split(b"hello"), None);
    assert_eq!(split(&[0x80, 200, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0]), None);
}

#[test]
fn a_tone_that_turns_its_phase_round_is_heard_in_either_half() {
    let sine = |n: usize| (std::f32::consts::TAU * 1789.0 * n as f32 / 8000.0).sin() * 3000.0;
    let turned: Vec<i16> = (0..8000).map(|n| if n < 4000 { sine(n) } else { -sine(n) } as i16).collect();
    assert!(tone_level_dbov(&turned, RATE, 1789.0) < HEARD_DBOV, "it cancels itself");
    assert!(louder_half_dbov(&turned, 1789.0) > -25.0);
    assert!(louder_half_dbov(&turned, 700.0) < HEARD_DBOV, "another one is not there");
}
