//! Prompts over and under what is heard besides, judged by ear: who gives way, by how much, and that nothing tears.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::{Echo, Nothing, To};
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::level::level_dbov;
use sidetone_proto::media::v1 as pb;

use support::coded_phone::{CodedPhone, perfect};
use support::*;

const PROMPT_HZ: f32 = 900.0;
/// By how much the one gives way in these tests, in dB.
const DUCK_DB: f32 = 15.0;

fn request(id: &str, target: pb::play_request::Target, manner: pb::PlayManner) -> pb::PlayRequest {
    // Seconds without a seam, for ever.
    let source = pb::PlaySource { source: Some(pb::play_source::Source::Data(wav(PROMPT_HZ, 3_000))) };
    pb::PlayRequest {
        playback_id: id.into(),
        target: Some(target),
        sources: vec![source],
        manner: manner.into(),
        duck_mdb: Some(-15_000),
        ..Default::default()
    }
}

fn to_leg(leg: &str) -> pb::play_request::Target {
    pb::play_request::Target::LegId(leg.into())
}

/// Whether a tone is there at its full level, some -13 dBov; or turned down by [`DUCK_DB`].
fn is_full(samples: &[i16], hz: f32) -> bool {
    (tone_dbov(samples, hz) + 16.0).abs() < 4.0
}

fn is_down(samples: &[i16], hz: f32) -> bool {
    (tone_dbov(samples, hz) + 16.0 + DUCK_DB).abs() < 4.0
}

fn is_absent(samples: &[i16], hz: f32) -> bool {
    tone_dbov(samples, hz) < -50.0
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridged_leg_hears_it_over_the_other_who_notices_nothing() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let ben = Phone::call(&node, 2, Law::Mu, 500.0, 20).await;
    node.connect(&ada.leg, To::PeerLegId(ben.leg.clone())).await;
    ada.until_hears("the other", |heard| is_full(heard, 500.0)).await;
    let began = ada.count();

    node.play(request("over", to_leg(&ada.leg), pb::PlayManner::Over)).await;
    ada.until_hears("the prompt over the other", |heard| is_full(heard, PROMPT_HZ) && is_down(heard, 500.0))
        .await;
    ben.until_hears("one voice alone", |heard| is_full(heard, 300.0) && is_absent(heard, PROMPT_HZ)).await;

    node.stop("over").await;
    ada.until_hears("the other again", |heard| is_full(heard, 500.0) && is_absent(heard, PROMPT_HZ)).await;
    // The other makes no pause, so that passing on begins again after a while; the marker tells of it.
    let passed_on = |ada: &Phone| ada.heard.lock().unwrap()[began..].iter().filter(|p| p.marker).count() >= 2;
    until("packets passed on again", async || passed_on(&ada).then_some(())).await;
    ada.until_hears("the other still", |heard| is_full(heard, 500.0)).await;
    assert_continuous(&ada.heard.lock().unwrap()[began..]);
}

/// On a machine that stalls, sound may be missing for its own reasons: one switch of several without a gap shows that the
/// switch makes none.
#[tokio::test(flavor = "multi_thread")]
async fn the_other_voice_has_no_gap_when_a_prompt_comes() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let ben = Phone::call(&node, 2, Law::A, 500.0, 20).await;
    node.connect(&ada.leg, To::PeerLegId(ben.leg.clone())).await;
    ada.until_hears("the other", |heard| is_full(heard, 500.0)).await;
    let mut gaps = Vec::new();
    for n in 0..20 {
        let from = ada.count();
        let id = format!("over-{n}");
        // Silent itself, and turning nothing down: what is heard is the other alone.
        let silent = pb::PlayRequest {
            duck_mdb: Some(0),
            gain_mdb: -72_000,
            ..request(&id, to_leg(&ada.leg), pb::PlayManner::Over)
        };
        ada.hear(10).await;
        node.play(silent).await;
        ada.hear(25).await;
        node.stop(&id).await;
        let heard = linear(ada.law, &ada.heard.lock().unwrap()[from..]);
        let silences = heard.chunks_exact(80).filter(|part| level_dbov(part) < -30.0).count();
        if silences == 0 {
            return;
        }
        gaps.push(silences);
        // Back to passing on before the next one.
        ada.hear(200).await;
    }
    panic!("every switch tore a gap, in parts of 10 ms: {gaps:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_echo_and_a_leg_without_anybody_hear_it() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::Mu, 300.0, 20).await;
    node.connect(&ada.leg, To::Echo(Echo {})).await;
    node.play(request("over", to_leg(&ada.leg), pb::PlayManner::Over)).await;
    ada.until_hears("it over oneself", |heard| is_full(heard, PROMPT_HZ) && is_down(heard, 300.0)).await;
    node.connect(&ada.leg, To::Nothing(Nothing {})).await;
    ada.until_hears("it alone", |heard| is_full(heard, PROMPT_HZ) && is_absent(heard, 300.0)).await;
    // What is heard instead of everything else hides it, and it is still there afterwards.
    let instead = pb::PlayRequest {
        sources: vec![pb::PlaySource { source: Some(pb::play_source::Source::Data(wav(1_500.0, 2_000))) }],
        duck_mdb: None,
        repeat: 0,
        ..request("instead", to_leg(&ada.leg), pb::PlayManner::Instead)
    };
    node.play(instead).await;
    ada.until_hears("the other prompt alone", |heard| is_full(heard, 1_500.0) && is_absent(heard, PROMPT_HZ))
        .await;
    node.stop("instead").await;
    ada.until_hears("the first again", |heard| is_full(heard, PROMPT_HZ) && is_absent(heard, 1_500.0)).await;
    node.release(&ada.leg).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_member_of_a_room_is_whispered_to() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let ben = Phone::call(&node, 2, Law::Mu, 500.0, 20).await;
    for phone in [&ada, &ben] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    node.play(request("over", to_leg(&ada.leg), pb::PlayManner::Over)).await;
    ada.until_hears("the whisper", |heard| is_full(heard, PROMPT_HZ) && is_down(heard, 500.0)).await;
    ben.until_hears("no whisper", |heard| is_full(heard, 300.0) && is_absent(heard, PROMPT_HZ)).await;
    node.stop("over").await;
    ada.until_hears("the room", |heard| is_full(heard, 500.0) && is_absent(heard, PROMPT_HZ)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_gives_way_to_a_prompt_and_music_gives_way_to_a_room() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let ben = Phone::call(&node, 2, Law::Mu, 500.0, 20).await;
    for phone in [&ada, &ben] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    let mix = || pb::play_request::Target::MixId("room".into());
    node.play(request("over", mix(), pb::PlayManner::Over)).await;
    ada.until_hears("the prompt over the room", |heard| is_full(heard, PROMPT_HZ) && is_down(heard, 500.0))
        .await;
    node.stop("over").await;
    ada.until_hears("the room", |heard| is_full(heard, 500.0) && is_absent(heard, PROMPT_HZ)).await;
    node.play(request("under", mix(), pb::PlayManner::Under)).await;
    ada.until_hears("music under the room", |heard| is_down(heard, PROMPT_HZ) && is_full(heard, 500.0)).await;
    ada.hush();
    ben.hush();
    ada.until_hears("music in the pause", |heard| is_full(heard, PROMPT_HZ)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn music_under_a_bridge_gives_way_to_who_speaks() {
    let node = node().await;
    let ada = Phone::call(&node, 1, Law::A, 300.0, 20).await;
    let ben = Phone::call(&node, 2, Law::A, 500.0, 20).await;
    node.connect(&ada.leg, To::PeerLegId(ben.leg.clone())).await;
    node.play(request("under", to_leg(&ada.leg), pb::PlayManner::Under)).await;
    ada.until_hears("music under the other", |heard| is_down(heard, PROMPT_HZ) && is_full(heard, 500.0))
        .await;
    ben.hush();
    ada.until_hears("music in the pause", |heard| is_full(heard, PROMPT_HZ) && is_absent(heard, 500.0)).await;
}

/// Listens again and again to a phone of any codec.
async fn until_coded(phone: &CodedPhone, what: &str, right: impl Fn(&[i16]) -> bool) {
    until(what, async || right(&phone.hear(500).await).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bridge_of_one_wideband_codec_is_opened_for_it_and_closed_again() {
    let node = node().await;
    let ada = CodedPhone::call(&node, 1, Codec::G722, 300.0, 20, perfect).await;
    let ben = CodedPhone::call(&node, 2, Codec::G722, 500.0, 20, perfect).await;
    node.connect(&ada.leg, To::PeerLegId(ben.leg.clone())).await;
    until_coded(&ada, "the other", |heard| is_full(heard, 500.0)).await;
    node.play(request("over", to_leg(&ada.leg), pb::PlayManner::Over)).await;
    until_coded(&ada, "the prompt over the other", |heard| {
        is_full(heard, PROMPT_HZ) && is_down(heard, 500.0)
    })
    .await;
    node.stop("over").await;
    until_coded(&ada, "the other again", |heard| is_full(heard, 500.0) && is_absent(heard, PROMPT_HZ)).await;
    let markers = || ada.heard.lock().unwrap().iter().filter(|packet| packet.marker).count();
    until("packets passed on again", async || (markers() >= 3).then_some(())).await;
}
