//! Phones of every codec call each other through the whole product, SIP and media: each hears the other and not itself, whatever
//! they speak, in bridged calls, in a room, after a change in mid-call, and over networks that lose and delay what is said.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::time::Duration;

use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, Rate};
use sidetone_testkit::netem::Conditions;
use sidetone_testkit::phone::{Call, Phone, PhoneConfig};
use support::phones::{call, eventually};
use support::process::Installation;

const CODECS: [Codec; 7] = Codec::ALL;
/// Of who calls, in the order of the codecs. None is near a multiple of another.
const CALLERS: [f32; 7] = [430.0, 530.0, 610.0, 710.0, 830.0, 970.0, 1_090.0];
/// Of who is called.
const CALLED: [f32; 7] = [470.0, 570.0, 670.0, 770.0, 890.0, 1_030.0, 1_170.0];
/// A tone is there: what was sent at -22 dBov, with what losses take away.
const THERE_DBOV: f32 = -28.0;
/// A tone is not there: what GSM makes of another one may be.
const AWAY_DBOV: f32 = -36.0;

/// The product, with all codecs switched on.
fn installation() -> Installation {
    Installation::with_media(
        "codecs = [\"opus\", \"g722\", \"l16\", \"l16-8000\", \"pcma\", \"pcmu\", \"gsm\"]\n",
    )
}

fn config(installation: &Installation, number: &str, codec: Codec, tone_hz: f32) -> PhoneConfig {
    let config = PhoneConfig::new(installation.sip, "127.0.0.1", number, &format!("secret-{number}"));
    PhoneConfig { auto_answer: true, codecs: vec![codec], ..config.with_tone(tone_hz) }
}

/// A phone of each codec, registered as 1001 and on.
async fn called(installation: &Installation) -> Vec<Phone> {
    let mut phones = Vec::new();
    for (n, codec) in CODECS.into_iter().enumerate() {
        let phone = Phone::start(config(installation, &number(n), codec, CALLED[n])).await.unwrap();
        phone.register().await.unwrap_or_else(|error| panic!("{n}: {error}\n{}", installation.logs()));
        phones.push(phone);
    }
    phones
}

fn number(n: usize) -> String {
    format!("{}", 1001 + n)
}

/// Whether one tone is in it and another is not.
fn is_right(call: &Call, there_hz: f32, away_hz: f32) -> bool {
    let ear = call.ear();
    ear.level_of(there_hz) >= THERE_DBOV && ear.level_of(away_hz) <= AWAY_DBOV
}

/// Waits until the caller hears the called, and the called hears the caller in one of its calls; neither itself.
async fn both_hear(installation: &Installation, caller: &Call, caller_hz: f32, called: &Phone, what: &str) {
    let called_hz = called.tone_hz().unwrap();
    eventually(installation, &format!("{what}: {called_hz} Hz at the caller"), || {
        is_right(caller, called_hz, caller_hz)
    })
    .await;
    eventually(installation, &format!("{what}: {caller_hz} Hz at the called"), || {
        called.calls().iter().any(|call| is_right(call, caller_hz, called_hz))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_every_pair_of_codecs_each_hears_the_other_and_not_itself() {
    let installation = installation();
    let called = called(&installation).await;
    // Seven calls at a time: one codec to all.
    for (n, codec) in CODECS.into_iter().enumerate() {
        let caller = Phone::start(config(&installation, "1008", codec, CALLERS[n])).await.unwrap();
        let mut calls = Vec::new();
        for to in 0..CODECS.len() {
            calls.push(call(&installation, &caller, &number(to)).await);
        }
        for (to, call) in calls.iter().enumerate() {
            assert_eq!(call.remote().unwrap().format.codec, codec, "the answer is in what was offered");
            let what = format!("{codec:?} to {:?}", CODECS[to]);
            both_hear(&installation, call, CALLERS[n], &called[to], &what).await;
        }
        for call in &calls {
            call.hang_up().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_room_with_a_phone_of_each_codec_everybody_hears_all_but_themselves() {
    let installation = installation();
    let (mut phones, mut calls) = (Vec::new(), Vec::new());
    for (n, codec) in CODECS.into_iter().enumerate() {
        let phone = Phone::start(config(&installation, &number(n), codec, CALLERS[n])).await.unwrap();
        calls.push(call(&installation, &phone, "3000").await);
        phones.push(phone);
    }
    for (n, call) in calls.iter().enumerate() {
        for (other, hz) in CALLERS.into_iter().enumerate().filter(|(other, _)| *other != n) {
            let what = format!("{:?} hears {:?} and not itself", CODECS[n], CODECS[other]);
            eventually(&installation, &what, || is_right(call, hz, CALLERS[n])).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_codec_changes_in_mid_call_and_both_go_on_hearing() {
    let installation = installation();
    let called = called(&installation).await;
    let first = Codec::G711(Law::A);
    // To a phone of the same codec, which is bridged without decoding, and to one that is transcoded anyway.
    for to in [CODECS.iter().position(|codec| *codec == first).unwrap(), 0] {
        let caller = Phone::start(config(&installation, "1008", first, 430.0)).await.unwrap();
        let call = call(&installation, &caller, &number(to)).await;
        both_hear(&installation, &call, 430.0, &called[to], "before").await;
        for codec in
            [Codec::Opus, Codec::G722, Codec::Gsm, Codec::L16(Rate::Wide), Codec::G711(Law::Mu), first]
        {
            call.change_codecs(&[codec]).await.unwrap();
            assert_eq!(call.remote().unwrap().format.codec, codec);
            // What it hears from now on stands alone.
            call.ear().forget();
            called[to].calls().iter().for_each(|call| call.ear().forget());
            both_hear(&installation, &call, 430.0, &called[to], &format!("after the change to {codec:?}"))
                .await;
        }
        call.hang_up().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn losses_and_jitter_on_the_way_in_do_not_hide_the_tone_of_any_codec() {
    let installation = installation();
    // Whoever listens makes nothing better: its codec conceals no gap, for there is none left.
    let listener = Phone::start(config(&installation, "1001", Codec::L16(Rate::Wide), 470.0)).await.unwrap();
    listener.register().await.unwrap();
    for (round, loss_per_mille) in [0, 10, 50, 100].into_iter().enumerate() {
        let mut calls = Vec::new();
        for (n, codec) in CODECS.into_iter().enumerate() {
            let seed = (round * 10 + n) as u64;
            let conditions =
                Conditions { loss_per_mille, delay_max: Duration::from_millis(80), ..Conditions::PERFECT };
            let caller = PhoneConfig {
                network: Some((seed, conditions)),
                ..config(&installation, "1008", codec, CALLERS[n])
            };
            let caller = Phone::start(caller).await.unwrap();
            let call = call(&installation, &caller, "1001").await;
            calls.push((caller, call));
        }
        for (n, (_, call)) in calls.iter().enumerate() {
            let what = format!("{:?} with {loss_per_mille} of 1000 lost", CODECS[n]);
            both_hear(&installation, call, CALLERS[n], &listener, &what).await;
        }
        for (_, call) in &calls {
            call.hang_up().await.unwrap();
        }
    }
}
