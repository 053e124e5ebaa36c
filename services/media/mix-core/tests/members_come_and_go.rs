//! Joining, leaving, falling silent, muting, deafening and whispering change the sound over one frame, without a step.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_mix_core::{MemberId, Mixer};

const FRAME: usize = 160;
/// What a constant voice of 8,000 may move by from one sample to the next while it fades over a frame.
const STEP_MAX: i32 = 8_000 / 160 + 2;

fn say(mixer: &mut Mixer, id: MemberId, value: i16) {
    mixer.speak(id).unwrap().fill(value);
}

fn largest_step(samples: &[i16]) -> i32 {
    samples.windows(2).map(|pair| (i32::from(pair[1]) - i32::from(pair[0])).abs()).max().unwrap()
}

/// A mix of a speaker and listeners, all past their first frame.
fn meeting(listeners: usize) -> (Mixer, MemberId, Vec<MemberId>) {
    let mut mixer = Mixer::new(FRAME, 8);
    let speaker = mixer.join().unwrap();
    let others = (0..listeners).map(|_| mixer.join().unwrap()).collect();
    say(&mut mixer, speaker, 8_000);
    mixer.mix();
    (mixer, speaker, others)
}

#[test]
fn who_stops_speaking_fades_out_and_is_gone() {
    let (mut mixer, speaker, listeners) = meeting(1);
    say(&mut mixer, speaker, 8_000);
    mixer.mix();
    let mut heard = mixer.heard(listeners[0]).to_vec();
    assert_eq!(heard, [8_000; FRAME]);
    for _ in 0..3 {
        mixer.mix();
        heard.extend(mixer.heard(listeners[0]));
    }
    assert!(largest_step(&heard) <= STEP_MAX, "{}", largest_step(&heard));
    assert!(heard[2 * FRAME..].iter().all(|sample| *sample == 0), "the last frame is heard once more only");
    assert_eq!(mixer.voices(), 0);
    assert!(mixer.voice(speaker).is_none());
}

/// The first sound of a word must not be lost, nor be heard late.
#[test]
fn who_begins_to_speak_is_heard_from_the_start() {
    let (mut mixer, _, listeners) = meeting(2);
    mixer.mix();
    let mut heard = vec![0];
    for _ in 0..2 {
        say(&mut mixer, listeners[0], 8_000);
        mixer.mix();
        heard.extend(mixer.heard(listeners[1]));
    }
    assert!(largest_step(&heard) <= 8_000 / 20 + 2, "{}: it begins as a word does", largest_step(&heard));
    assert_eq!(heard[20..], [8_000; 2 * FRAME - 19], "2.5 ms and no more");
    (0..2).for_each(|_| mixer.mix());
    let newcomer = mixer.join().unwrap();
    let mut joins = vec![0];
    for _ in 0..2 {
        say(&mut mixer, newcomer, 8_000);
        mixer.mix();
        joins.extend(mixer.heard(listeners[1]));
    }
    assert!(largest_step(&joins) <= STEP_MAX, "{}: who joins in mid-word", largest_step(&joins));
}

#[test]
fn a_mute_and_its_end_are_faded() {
    let (mut mixer, speaker, listeners) = meeting(1);
    let mut heard = vec![8_000];
    for muted in [false, true, true, false, false] {
        mixer.set_muted(speaker, muted);
        say(&mut mixer, speaker, 8_000);
        mixer.mix();
        heard.extend(mixer.heard(listeners[0]));
    }
    assert!(largest_step(&heard) <= STEP_MAX, "{}", largest_step(&heard));
    assert!(heard[1 + 2 * FRAME..][..FRAME].iter().all(|sample| *sample == 0), "muted is silent");
    assert_eq!(heard.last(), Some(&8_000));
}

#[test]
fn who_is_deafened_hears_the_sound_fade_and_others_do_not() {
    let (mut mixer, speaker, listeners) = meeting(2);
    let mut heard = vec![8_000];
    for deaf in [false, true, true, false, false] {
        mixer.set_deaf(listeners[0], deaf);
        say(&mut mixer, speaker, 8_000);
        mixer.mix();
        heard.extend(mixer.heard(listeners[0]));
        assert_eq!(mixer.heard(listeners[1]), [8_000; FRAME]);
    }
    assert!(largest_step(&heard) <= STEP_MAX, "{}", largest_step(&heard));
    assert!(heard[1 + 2 * FRAME..][..FRAME].iter().all(|sample| *sample == 0), "deaf is silent");
    assert_eq!(heard.last(), Some(&8_000));
}

#[test]
fn a_coach_is_heard_by_one_alone_and_hears_everybody() {
    let (mut mixer, agent, others) = meeting(2);
    let (customer, coach) = (others[0], others[1]);
    mixer.set_whisper(coach, Some(agent));
    for _ in 0..3 {
        say(&mut mixer, agent, 8_000);
        say(&mut mixer, customer, 4_000);
        say(&mut mixer, coach, 1_000);
        mixer.mix();
    }
    assert_eq!(mixer.heard(agent), [5_000; FRAME], "the customer and the coach");
    assert_eq!(mixer.heard(customer), [8_000; FRAME], "the agent alone");
    assert_eq!(mixer.heard(coach), [12_000; FRAME], "both");
    assert_eq!(mixer.common(), [12_000; FRAME], "a whisper is in no recording of the whole");
    mixer.leave(agent);
    for _ in 0..2 {
        say(&mut mixer, customer, 4_000);
        say(&mut mixer, coach, 1_000);
        mixer.mix();
    }
    assert_eq!(mixer.heard(customer), [0; FRAME], "who is coached has left: the coach is heard by nobody");
    mixer.set_whisper(coach, None);
    for _ in 0..3 {
        say(&mut mixer, coach, 1_000);
        mixer.mix();
    }
    assert_eq!(mixer.heard(customer), [1_000; FRAME]);
}

#[test]
fn a_larger_mix_goes_on_in_mid_word() {
    let (mut small, speaker, listeners) = meeting(1);
    let mut large = Mixer::new(FRAME, 16);
    large.take_over(&mut small);
    assert_eq!(large.len(), 2);
    let late = large.join().unwrap();
    say(&mut large, speaker, 8_000);
    large.mix();
    for listener in [listeners[0], late] {
        assert_eq!(large.heard(listener), [8_000; FRAME], "nobody fades in again");
    }
    assert_eq!(large.heard(speaker), [0; FRAME]);
}
