use super::*;
use crate::codec::{Codec, Decoder, Encoder, OpusSettings};
use crate::tone::{Tone, ToneGenerator};
use crate::{Law, Rate};

const ROWS: [f32; 4] = [697.0, 770.0, 852.0, 941.0];
const COLUMNS: [f32; 4] = [1209.0, 1336.0, 1477.0, 1633.0];

/// How a digit is sent.
#[derive(Debug, Clone, Copy)]
struct Press {
    low_off: f32,
    high_off: f32,
    low_dbm0: f32,
    high_dbm0: f32,
    ms: usize,
    pause_ms: usize,
}

const PLAIN: Press =
    Press { low_off: 1.0, high_off: 1.0, low_dbm0: -9.0, high_dbm0: -7.0, ms: 50, pause_ms: 50 };

struct Random(u32);

impl Random {
    fn noise(&mut self, peak: f32) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.0 >> 8) as f32 / 8_388_608.0 - 1.0) * peak
    }
}

/// The digits one after the other, after a lead of silence that shifts them against the steps.
fn sound(digits: &str, press: Press, lead: usize) -> Vec<i16> {
    let mut samples = vec![0; lead];
    for digit in digits.bytes() {
        let place = KEYS.iter().position(|key| *key == digit).unwrap();
        let low = Tone { freq_hz: ROWS[place / 4] * press.low_off, level_dbm0: press.low_dbm0 };
        let high = Tone { freq_hz: COLUMNS[place % 4] * press.high_off, level_dbm0: press.high_dbm0 };
        let mut tone = vec![0; press.ms * 8];
        ToneGenerator::new(8000, &[low, high]).fill(&mut tone);
        samples.extend(tone);
        samples.extend(vec![0; press.pause_ms * 8]);
    }
    samples.extend([0; 800]);
    samples
}

fn found(samples: &[i16]) -> Vec<Detected> {
    let (mut detector, mut found) = (DtmfDetector::new(), Vec::new());
    // Packets of lengths that fit no step.
    for part in samples.chunks(93) {
        detector.push(part, |digit| found.push(digit));
    }
    found
}

fn digits(samples: &[i16]) -> String {
    found(samples).iter().map(|digit| digit.digit).collect()
}

const ALL: &str = "123A456B789C*0#D";

#[test]
fn every_digit_of_40_ms_after_40_ms_at_every_phase_and_none_of_23_ms() {
    for lead in [0, 7, 13, 20, 31, 39] {
        let shortest = Press { ms: 40, pause_ms: 40, ..PLAIN };
        assert_eq!(digits(&sound(ALL, shortest, lead)), ALL, "lead {lead}");
        let too_short = Press { ms: 23, ..PLAIN };
        assert_eq!(digits(&sound(ALL, too_short, lead)), "", "lead {lead}");
        let again = Press { ms: 45, pause_ms: 40, ..PLAIN };
        assert_eq!(digits(&sound("5555", again, lead)), "5555", "lead {lead}");
    }
}

#[test]
fn lengths_are_told_and_an_end_of_the_sound_ends_a_digit() {
    for ms in [40, 65, 100, 500, 3_000] {
        let one = found(&sound("7", Press { ms, ..PLAIN }, 11));
        assert_eq!(one.len(), 1, "{ms} ms");
        assert!(one[0].duration_ms.abs_diff(ms as u32) <= 10, "{ms} ms: {one:?}");
    }
    let mut detector = DtmfDetector::new();
    let held = sound("7", Press { ms: 100, ..PLAIN }, 0);
    detector.push(&held[..800], |_| panic!("it still sounds"));
    assert_eq!(detector.current().map(|digit| digit.digit), Some('7'));
    assert_eq!(detector.finish().map(|digit| digit.digit), Some('7'));
    assert_eq!(detector.finish(), None);
}

#[test]
fn a_frequency_may_be_off_by_a_percent_and_a_half_and_not_by_three_and_a_half() {
    for (low, high) in [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (-1.0, 1.0)] {
        let taken = Press { low_off: 1.0 + 0.015 * low, high_off: 1.0 + 0.015 * high, ..PLAIN };
        assert_eq!(digits(&sound(ALL, taken, 5)), ALL, "{taken:?}");
        for (low, high) in [(low, 0.0), (0.0, high)] {
            let refused = Press { low_off: 1.0 + 0.035 * low, high_off: 1.0 + 0.035 * high, ..PLAIN };
            assert_eq!(digits(&sound(ALL, refused, 5)), "", "{refused:?}");
        }
    }
}

#[test]
fn levels_and_twist_are_those_of_q_24() {
    for (low_dbm0, high_dbm0, taken) in [
        (0.0, 0.0, true),
        (-27.0, -27.0, true),
        (-10.0, -18.0, true),
        (-14.0, -10.0, true),
        (-40.0, -40.0, false),
        (-5.0, -18.0, false),
        (-18.0, -9.0, false),
    ] {
        let press = Press { low_dbm0, high_dbm0, ..PLAIN };
        assert_eq!(digits(&sound(ALL, press, 3)), if taken { ALL } else { "" }, "{press:?}");
    }
}

#[test]
fn an_interruption_of_10_ms_does_not_make_it_two() {
    for at in [30, 45, 62] {
        let mut once = sound("8", Press { ms: 120, ..PLAIN }, 17);
        once[17 + at * 8..17 + (at + 10) * 8].fill(0);
        assert_eq!(digits(&once), "8", "at {at} ms");
    }
}

#[test]
fn noise_15_db_below_does_not_hide_them() {
    for seed in 1..=20 {
        let mut random = Random(seed);
        // Each frequency at -9 dBm0 is -6 dBm0 together; even noise of this peak has -21 dBm0.
        let mut noisy = sound(ALL, Press { low_dbm0: -9.0, high_dbm0: -9.0, ..PLAIN }, seed as usize);
        noisy.iter_mut().for_each(|sample| *sample += random.noise(2_480.0) as i16);
        assert_eq!(digits(&noisy), ALL, "seed {seed}");
    }
}

fn through(codec: Codec, samples: &[i16]) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, Rate::Narrow, &OpusSettings::default()).unwrap();
    let mut decoder = Decoder::new(codec, Rate::Narrow).unwrap();
    let (mut payload, mut sound, mut heard) = (vec![0; 400], vec![0; 160], Vec::new());
    for frame in samples.chunks_exact(160) {
        let length = encoder.encode(frame, &mut payload).unwrap();
        let made = decoder.decode(&payload[..length], &mut sound).unwrap();
        heard.extend(&sound[..made]);
    }
    heard
}

#[test]
fn they_come_through_telephone_codecs() {
    for (codec, ms) in
        [(Codec::G711(Law::Mu), 40), (Codec::G711(Law::A), 40), (Codec::G722, 50), (Codec::Gsm, 80)]
    {
        let pressed = sound(ALL, Press { ms, pause_ms: ms.max(50), ..PLAIN }, 31);
        assert_eq!(digits(&through(codec, &pressed)), ALL, "{codec:?}");
    }
}

#[test]
fn tones_noise_and_chords_are_no_digits() {
    let mut random = Random(9);
    let noise: Vec<i16> = (0..8_000 * 60).map(|_| random.noise(12_000.0) as i16).collect();
    assert_eq!(digits(&noise), "", "a minute of noise");
    let chords: [&[f32]; 6] = [
        &[425.0],
        &[350.0, 440.0],
        &[480.0, 620.0],
        &[697.0],
        &[697.0, 770.0, 1209.0],
        &[697.0, 1209.0, 2_000.0],
    ];
    for chord in chords {
        let tones: Vec<Tone> = chord.iter().map(|hz| Tone { freq_hz: *hz, level_dbm0: -10.0 }).collect();
        let mut samples = vec![0; 16_000];
        ToneGenerator::new(8000, &tones).fill(&mut samples);
        assert_eq!(digits(&samples), "", "{chord:?}");
    }
}

/// Speech out of espeak-ng, at 8 kHz; none where it is not installed.
fn spoken(voice: &str, pitch: &str, speed: &str, text: &str) -> Option<Vec<i16>> {
    let made = std::process::Command::new("espeak-ng")
        .args(["-v", voice, "-p", pitch, "-s", speed, "-a", "180", "--stdout", text])
        .output();
    let bytes = made.ok().filter(|made| made.status.success())?.stdout;
    // A WAV of 22,050 Hz, mono, 16 bit, behind a head of 44 bytes; brought to 8 kHz through averages and straight lines.
    let sound = bytes.get(44..)?.chunks_exact(2).map(|b| f32::from(i16::from_le_bytes([b[0], b[1]])));
    let sound: Vec<f32> = sound.collect();
    let smooth: Vec<f32> = sound.windows(3).map(|w| (w[0] + w[1] + w[2]) / 3.0).collect();
    let step = 22_050.0 / 8_000.0;
    let count = (smooth.len().saturating_sub(1) as f32 / step) as usize;
    let at = |n: usize| {
        let place = n as f32 * step;
        let (whole, part) = (place as usize, place.fract());
        (smooth[whole] * (1.0 - part) + smooth[whole + 1] * part) as i16
    };
    Some((0..count).map(at).collect())
}

/// Sentences of many vowels, the digits by name, and the sounds that are known to be taken for digits.
const TEXT: &str = "One two three four five six seven eight nine zero star pound. Please hold the line while I put you \
    through to somebody who knows. Ooh, aah, eeh, you owe me an eerie yellow hour. How are you all, Maria Aurelia? \
    We were away a year ago; no one knew. Mmm, hmm, err, uh, well, really, hello? Eleven airy aisles allow a lawyer's aria. \
    Our old uncle knew a new way to moan, roar, bellow and whine: ooooh, weeee, nooo, yeeees, maaaybe. \
    Call me at five five five, oh one two three, or write to the address below; I will be in all morning.";

#[test]
fn minutes_of_speech_hold_no_digit() {
    let mut seconds = 0;
    for voice in ["en", "en+f3", "de+m7", "sv+f2", "it+f4", "fr+m3"] {
        for (pitch, speed) in [("20", "110"), ("55", "150"), ("90", "180")] {
            let Some(speech) = spoken(voice, pitch, speed, TEXT) else {
                eprintln!("SKIPPED: espeak-ng is not installed; talk-off by speech was not tested");
                return;
            };
            seconds += speech.len() / 8_000;
            for heard in
                [speech.clone(), through(Codec::G711(Law::Mu), &speech), through(Codec::Gsm, &speech)]
            {
                assert_eq!(digits(&heard), "", "{voice}, pitch {pitch}, speed {speed}");
            }
        }
    }
    assert!(seconds > 300, "only {seconds} s were spoken");
}
