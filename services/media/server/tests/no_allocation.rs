//! Workers neither allocate nor free while they carry bridges (also between SRTP and RTP), conferences on several of them, prompts
//! (also over and under what is said, long ones, and those that are ended by speech), recordings with their warning tone, set
//! levels and suppress noise, and look for digits in the sound.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used)]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use pb::connect_leg_request::{Echo, To};
use pb::steer_play_request::Change;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::level::level_dbov;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1::BargeIn;
use sidetone_rtp_core::srtp::Suite;
use support::coded_phone::{CodedPhone, perfect};
use support::secure::SecurePhone;
use support::*;
use tonic::Request;

struct Counting;

static ON_WORKERS: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Whether this thread is a worker, by the name the system has for it. Asking allocates nothing.
fn is_worker() -> bool {
    IS_WORKER.with(|known| {
        if !known.get() {
            let mut name = [0u8; 16];
            // SAFETY: PR_GET_NAME writes at most 16 bytes to a live buffer of that size.
            unsafe { libc::prctl(libc::PR_GET_NAME, name.as_mut_ptr()) };
            known.set(name.starts_with(b"media-") && name[6].is_ascii_digit());
        }
        known.get()
    })
}

fn note() {
    if is_worker() {
        ON_WORKERS.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed to the system's allocator unchanged; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        note();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Plays to legs what their phones end by speaking, steers it before, and waits for the ends.
async fn barged_in(node: &TestNode, legs: &[&String]) {
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    for (n, leg) in legs.iter().enumerate() {
        let playback_id = format!("menu-{n}");
        let play = pb::PlayRequest {
            playback_id: playback_id.clone(),
            target: Some(pb::play_request::Target::LegId((*leg).clone())),
            prompt: "tone".into(),
            barge_in: BargeIn::Any.into(),
            ..Default::default()
        };
        node.media.play(Request::new(play)).await.unwrap();
        for change in [Change::Paused(true), Change::PositionMs(500), Change::Paused(false)] {
            let steer = pb::SteerPlayRequest { playback_id: playback_id.clone(), change: Some(change) };
            node.media.steer_play(Request::new(steer)).await.unwrap();
        }
    }
    let mut ended = 0;
    until("all of them to be ended", async || {
        if let Some(pb::media_event::Kind::PlaybackFinished(it)) = events.next().await?.unwrap().kind {
            ended += usize::from(it.playback_id.starts_with("menu-") && it.ended_by() == BargeIn::Voice);
        }
        (ended == legs.len()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_ticks_of_everything_leave_the_heap_alone() {
    let node = node_with(|config| {
        // Both rooms are on both.
        config.workers = 2;
        config.room_members_per_worker = 2;
        config.inband_digits = sidetone_media::InbandDigits::Always;
    })
    .await;
    let mut phones = Vec::new();
    for n in 1..=7 {
        let law = if n % 2 == 0 { Law::A } else { Law::Mu };
        phones.push(Phone::call(&node, n, law, 400.0 + 100.0 * n as f32, [10, 20, 30][n as usize % 3]).await);
    }
    node.connect(&phones[0].leg, To::PeerLegId(phones[1].leg.clone())).await;
    for phone in &phones[2..5] {
        node.connect(&phone.leg, To::MixId("room".into())).await;
    }
    node.connect(&phones[5].leg, To::Echo(Echo {})).await;
    // Every codec in a room that is raised to 16 kHz, and in bridges that transcode.
    let mut coded = Vec::new();
    for (n, codec) in (20..).zip([Codec::Opus, Codec::G722, Codec::Gsm, Codec::G711(Law::A), Codec::Opus]) {
        let phone = CodedPhone::call(&node, n, codec, 700.0, 20, perfect).await;
        node.connect(&phone.leg, To::MixId("wide".into())).await;
        coded.push(phone);
    }
    coded[4].hush();
    for (n, pair) in [[Codec::Opus, Codec::G711(Law::Mu)], [Codec::G722, Codec::Gsm]].into_iter().enumerate()
    {
        let left = CodedPhone::call(&node, 30 + 2 * n as u32, pair[0], 500.0, 20, perfect).await;
        let right = CodedPhone::call(&node, 31 + 2 * n as u32, pair[1], 600.0, 30, perfect).await;
        node.connect(&left.leg, To::PeerLegId(right.leg.clone())).await;
        coded.extend([left, right]);
    }
    // In a bridge, a room, an echo, and at 16 kHz.
    let conditioned = [&phones[0].leg, &phones[2].leg, &phones[5].leg, &coded[0].leg, &coded[1].leg];
    for (n, leg) in conditioned.into_iter().enumerate() {
        let request = pb::SetLegAudioRequest {
            leg_id: leg.clone(),
            automatic_gain: true,
            suppress_noise: n != 2,
            ..Default::default()
        };
        node.media.set_leg_audio(Request::new(request)).await.unwrap();
    }
    let plain = Phone::call(&node, 8, Law::A, 900.0, 20).await;
    let mut secure = SecurePhone::call(&node, 9, Suite::AesCm128HmacSha1_80, 300.0).await;
    node.connect(&secure.leg, To::PeerLegId(plain.leg.clone())).await;
    let play = pb::PlayRequest {
        playback_id: "p".into(),
        target: Some(pb::play_request::Target::LegId(phones[6].leg.clone())),
        prompt: "tone".into(),
        repeat: 0,
        ..Default::default()
    };
    node.media.play(Request::new(play)).await.unwrap();
    // Over a bridge, an echo, a member of each room, and both rooms, each in both manners.
    let to_leg = |leg: &String| pb::play_request::Target::LegId(leg.clone());
    let to_mix = |mix: &str| pb::play_request::Target::MixId(mix.into());
    let laid = [
        to_leg(&phones[0].leg),
        to_leg(&phones[5].leg),
        to_leg(&phones[3].leg),
        to_leg(&coded[1].leg),
        to_leg(&coded[5].leg),
        to_leg(&coded[8].leg),
        to_mix("room"),
        to_mix("wide"),
    ];
    for (n, target) in laid.into_iter().enumerate() {
        let manner = if n % 2 == 0 { pb::PlayManner::Over } else { pb::PlayManner::Under };
        let over = pb::PlayRequest {
            playback_id: format!("over-{n}"),
            target: Some(target),
            prompt: "tone".into(),
            manner: manner.into(),
            ..Default::default()
        };
        node.media.play(Request::new(over)).await.unwrap();
    }
    // Decoded while it plays, in a room.
    let long = pb::PlaySource { source: Some(pb::play_source::Source::Data(wav(350.0, 125_000))) };
    let long = pb::PlayRequest {
        playback_id: "long".into(),
        target: Some(to_mix("room")),
        sources: vec![long],
        ..Default::default()
    };
    node.media.play(Request::new(long)).await.unwrap();
    until("what is long", async || (node.telemetry.audio.long_prompts.get() == 1).then_some(())).await;
    let recording = pb::StartRecordingRequest {
        recording_id: uuid(9),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: phones.iter().map(|phone| phone.leg.clone()).collect(),
        stereo: true,
        beep: true,
        ..Default::default()
    };
    node.media.start_recording(Request::new(recording)).await.unwrap();
    assert_eq!(node.telemetry.media.rooms_spread.get(), 2);
    phones[0].hear(20).await;
    for phone in &coded {
        phone.hear(500).await;
    }
    secure.speak(20).await;
    assert!(ON_WORKERS.load(Ordering::Relaxed) > 0, "the guard sees the worker at all");

    let before = ON_WORKERS.load(Ordering::Relaxed);
    // All the others hear as much meanwhile, and some end what is played to them by speaking.
    let legs = [&phones[2].leg, &phones[5].leg, &coded[0].leg, &coded[2].leg];
    tokio::join!(phones[4].hear(100), secure.speak(100), barged_in(&node, &legs));
    until("the wide room", async || (level_dbov(&coded[4].hear(500).await) > -30.0).then_some(())).await;
    assert_eq!(ON_WORKERS.load(Ordering::Relaxed) - before, 0, "the tick must leave the heap alone");
    secure.speak_until("the other", |secure| secure.hears(900.0)).await;
}
