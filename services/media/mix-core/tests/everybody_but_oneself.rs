//! Each member has a tone of its own; everybody hears all the others and not themselves.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_dsp::goertzel::tone_level_dbov;
use sidetone_dsp::{Gain, Law, g711};
use sidetone_mix_core::{MemberId, Mixer, MixerFull};

const FRAME: usize = 160;
const TICKS: usize = 50;

/// A member's tone: apart from each other by more than a Goertzel bin of the measured second.
fn tone_hz(member: usize) -> f32 {
    300.0 + 29.0 * member as f32
}

fn voice(member: usize, amplitude: f32, at: usize) -> i16 {
    let angle = std::f32::consts::TAU * tone_hz(member) / 8000.0 * at as f32;
    (amplitude * angle.sin()) as i16
}

/// What each member heard, from the second tick on.
fn meeting(
    mixer: &mut Mixer,
    ids: &[MemberId],
    speakers: usize,
    amplitude: f32,
    coded: bool,
) -> Vec<Vec<i16>> {
    let mut heard = vec![Vec::new(); ids.len()];
    for tick in 0..=TICKS {
        for (member, id) in ids.iter().enumerate().take(speakers) {
            let slot = mixer.speak(*id).unwrap();
            for (at, sample) in slot.iter_mut().enumerate() {
                *sample = voice(member, amplitude, tick * FRAME + at);
            }
        }
        mixer.mix();
        for (member, id) in ids.iter().enumerate() {
            let mut frame = [0; FRAME];
            if coded {
                let law = if member % 2 == 0 { Law::Mu } else { Law::A };
                g711::decode(law, mixer.heard_coded(*id, law), &mut frame);
            } else {
                frame.copy_from_slice(mixer.heard(*id));
            }
            if tick > 0 {
                heard[member].extend(frame);
            }
        }
    }
    heard
}

fn check(members: usize, speakers: usize, coded: bool) {
    let mut mixer = Mixer::new(FRAME, members);
    let ids: Vec<MemberId> = (0..members).map(|_| mixer.join().unwrap()).collect();
    // Below the limiter's knee even when all peaks meet, so that nothing but the voices is measured.
    let amplitude = 20_000.0 / speakers as f32;
    let heard = meeting(&mut mixer, &ids, speakers, amplitude, coded);
    let alone = 20.0 * (amplitude / 32768.0 / std::f32::consts::SQRT_2).log10();
    for (listener, sound) in heard.iter().enumerate() {
        for speaker in 0..speakers {
            let level = tone_level_dbov(sound, 8000, tone_hz(speaker));
            if speaker == listener {
                assert!(level < alone - 30.0, "{listener} of {members} hears itself at {level} dBov");
            } else {
                assert!(
                    (level - alone).abs() < 3.0,
                    "{listener} of {members} hears {speaker} at {level}, not {alone}"
                );
            }
        }
    }
}

#[test]
fn two_three_ten_and_a_hundred() {
    for (members, speakers) in [(2, 2), (3, 3), (10, 10), (100, 20)] {
        check(members, speakers, false);
        check(members, speakers, true);
    }
}

#[test]
fn one_voice_passes_unchanged() {
    let mut mixer = Mixer::new(FRAME, 2);
    let ids = [mixer.join().unwrap(), mixer.join().unwrap()];
    let heard = meeting(&mut mixer, &ids, 1, 30_000.0, false);
    let said: Vec<i16> = (FRAME..(TICKS + 1) * FRAME).map(|at| voice(0, 30_000.0, at)).collect();
    assert_eq!(heard[1], said);
    assert!(heard[0].iter().all(|sample| *sample == 0), "the only speaker hears something");
}

#[test]
fn a_hundred_at_full_scale_do_not_wrap_around() {
    let mut mixer = Mixer::new(FRAME, 100);
    let ids: Vec<MemberId> = (0..100).map(|_| mixer.join().unwrap()).collect();
    for sign in [i16::MAX, i16::MIN] {
        for _ in 0..2 {
            for id in &ids {
                mixer.speak(*id).unwrap().fill(sign);
            }
            mixer.mix();
        }
        for id in &ids {
            let heard = mixer.heard(*id);
            assert!(heard.iter().all(|sample| sample.signum() == sign.signum()), "the sum of {sign} wrapped");
        }
    }
}

#[test]
fn joining_muting_and_leaving_do_not_click() {
    let mut mixer = Mixer::new(FRAME, 2);
    let (speaker, listener) = (mixer.join().unwrap(), mixer.join().unwrap());
    let mut sound: Vec<i16> = vec![0];
    let mut tick = |mixer: &mut Mixer, speaks: bool| {
        if speaks && let Some(slot) = mixer.speak(speaker) {
            slot.fill(10_000);
        }
        mixer.mix();
        sound.extend(mixer.heard(listener));
    };
    tick(&mut mixer, true);
    mixer.set_gain(speaker, Gain::from_db(-6.0));
    tick(&mut mixer, true);
    mixer.set_muted(speaker, true);
    tick(&mut mixer, true);
    mixer.set_muted(speaker, false);
    tick(&mut mixer, true);
    mixer.leave(speaker);
    tick(&mut mixer, false);
    tick(&mut mixer, false);
    let step = sound.windows(2).map(|pair| (i32::from(pair[0]) - i32::from(pair[1])).abs()).max().unwrap();
    assert!(step <= 10_000 / FRAME as i32 + 2, "a step of {step} is a click");
    assert_eq!(sound.last(), Some(&0));
}

#[test]
fn a_kept_handle_reaches_nobody_else() {
    let mut mixer = Mixer::new(FRAME, 1);
    let gone = mixer.join().unwrap();
    assert_eq!(mixer.join(), Err(MixerFull));
    mixer.leave(gone);
    mixer.mix();
    let next = mixer.join().unwrap();
    assert_ne!(gone, next);
    assert!(mixer.speak(gone).is_none());
    mixer.leave(gone);
    assert_eq!(mixer.len(), 1);
}

#[test]
fn deaf_members_hear_nothing_and_the_loudest_come_first() {
    let mut mixer = Mixer::new(FRAME, 4);
    let ids: Vec<MemberId> = (0..4).map(|_| mixer.join().unwrap()).collect();
    mixer.set_deaf(ids[3], true);
    for _ in 0..10 {
        for (loudness, id) in [(500, ids[0]), (9000, ids[1]), (3000, ids[2])] {
            mixer.speak(id).unwrap().fill(loudness);
        }
        mixer.mix();
    }
    assert!(mixer.heard(ids[3]).iter().all(|sample| *sample == 0));
    let mut ranking = [ids[3]; 2];
    assert_eq!(mixer.loudest(&mut ranking), 2);
    assert_eq!(ranking, [ids[1], ids[2]]);
}
