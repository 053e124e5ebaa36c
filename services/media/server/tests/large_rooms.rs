//! Rooms on several workers, as telephones hear them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use pb::connect_leg_request::{Nothing, To};
use pb::leg_role::Kind;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::coded_phone::{CodedPhone, perfect};
use support::*;
use tonic::Request;

const TONES: [f32; 6] = [440.0, 620.0, 810.0, 1070.0, 1370.0, 1790.0];
const PROMPT_HZ: f32 = 2_300.0;
/// So much quieter, five voices together stay below the knee of the limiter.
const QUIETER_MDB: i32 = -8_000;

fn room() -> To {
    To::MixId("room".into())
}

/// Two members of the room on each of three workers.
async fn spread_node() -> TestNode {
    node_with(|config| {
        config.workers = 3;
        config.room_members_per_worker = 2;
    })
    .await
}

async fn set(node: &TestNode, request: pb::SetLegAudioRequest) {
    node.media.set_leg_audio(Request::new(request)).await.unwrap();
}

fn of(leg: &str) -> pb::SetLegAudioRequest {
    pb::SetLegAudioRequest { leg_id: leg.into(), gain_mdb: QUIETER_MDB, ..Default::default() }
}

/// Six telephones in a room, each with a tone.
async fn meeting(node: &TestNode, codecs: [Codec; 6]) -> Vec<CodedPhone> {
    let mut phones = Vec::new();
    for (n, (codec, hz)) in codecs.into_iter().zip(TONES).enumerate() {
        let phone = CodedPhone::call(node, n as u32, codec, hz, 20, perfect).await;
        set(node, of(&phone.leg)).await;
        node.connect(&phone.leg, room()).await;
        phones.push(phone);
    }
    assert_eq!(node.telemetry.media.rooms_spread.get(), 1, "the room is on several workers");
    phones
}

const PLAIN: [Codec; 6] = [Codec::G711(Law::Mu); 6];

/// Listens until exactly these tones are heard for half a second.
async fn hears(phone: &CodedPhone, expected: [bool; 6], what: &str) {
    until(what, async || {
        let heard = phone.hear(500).await;
        TONES.iter().zip(expected).all(|(hz, is)| has_tone(&heard, *hz) == is).then_some(())
    })
    .await;
}

async fn everybody_hears_the_others(phones: &[CodedPhone], here: [bool; 6]) {
    for (n, phone) in phones.iter().enumerate().filter(|(n, _)| here[*n]) {
        let mut expected = here;
        expected[n] = false;
        hears(phone, expected, &format!("all but itself by {n}, {:?}", phone.codec)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_hears_all_but_themselves_whatever_they_speak() {
    let node = spread_node().await;
    let codecs =
        [Codec::G711(Law::Mu), Codec::Opus, Codec::G722, Codec::Gsm, Codec::G711(Law::A), Codec::Opus];
    let phones = meeting(&node, codecs).await;
    everybody_hears_the_others(&phones, [true; 6]).await;
    // Without a gap in anybody's stream.
    for phone in &phones {
        assert_continuous(&phone.heard.lock().unwrap());
    }
    for phone in &phones {
        node.release(&phone.leg).await;
    }
    assert_eq!((node.telemetry.media.rooms_spread.get(), node.telemetry.media.mixes.get()), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn members_leave_in_any_order_and_come_back() {
    // The home's members first, last, and in between.
    for order in [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0], [2, 0, 5, 3, 1, 4]] {
        let node = spread_node().await;
        let phones = meeting(&node, PLAIN).await;
        let mut here = [true; 6];
        for (left, n) in order.into_iter().enumerate() {
            match n % 2 {
                0 => node.connect(&phones[n].leg, To::Nothing(Nothing {})).await,
                _ => drop(node.release(&phones[n].leg).await),
            }
            here[n] = false;
            if left == 2 {
                everybody_hears_the_others(&phones, here).await;
                // One comes back into what is left.
                let back = order[..3].iter().copied().find(|n| n % 2 == 0).unwrap();
                node.connect(&phones[back].leg, room()).await;
                here[back] = true;
                everybody_hears_the_others(&phones, here).await;
                node.connect(&phones[back].leg, To::Nothing(Nothing {})).await;
                here[back] = false;
            }
        }
        let media = &node.telemetry.media;
        assert_eq!((media.rooms_spread.get(), media.mixes.get()), (0, 0), "{order:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_and_roles_hold_across_workers() {
    let node = spread_node().await;
    let phones = meeting(&node, PLAIN).await;
    let muted = pb::SetLegAudioRequest { muted: true, ..of(&phones[0].leg) };
    set(&node, muted).await;
    let deafened = pb::SetLegAudioRequest { deafened: true, ..of(&phones[1].leg) };
    set(&node, deafened).await;
    let role = |kind| Some(pb::LegRole { kind: Some(kind) });
    let monitor = role(Kind::Monitor(pb::leg_role::Monitor {}));
    set(&node, pb::SetLegAudioRequest { role: monitor, ..of(&phones[2].leg) }).await;
    // The coach of one who is on another worker comes to that one, and again when it becomes another's.
    for (coached, other) in [(1usize, 4usize), (4, 1)] {
        set(&node, of(&phones[1].leg)).await;
        let coach = pb::leg_role::Coach { heard_by_leg_id: phones[coached].leg.clone() };
        set(&node, pb::SetLegAudioRequest { role: role(Kind::Coach(coach)), ..of(&phones[5].leg) }).await;
        let heard_by =
            |n: usize| std::array::from_fn(|k| k != n && !matches!(k, 0 | 2 | 5) || k == 5 && n == coached);
        hears(&phones[coached], heard_by(coached), "its coach").await;
        hears(&phones[other], heard_by(other), "not the coach").await;
        hears(&phones[0], heard_by(0), "who is muted").await;
        hears(&phones[2], heard_by(2), "a monitor").await;
        hears(&phones[5], heard_by(5), "a coach").await;
    }
    let deafened = pb::SetLegAudioRequest { deafened: true, ..of(&phones[3].leg) };
    set(&node, deafened).await;
    hears(&phones[3], [false; 6], "who is deafened").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prompts_and_who_speaks_are_of_the_whole_room() {
    let node = spread_node().await;
    let mut events = node.media.watch(Request::new(pb::WatchRequest {})).await.unwrap().into_inner();
    let phones = meeting(&node, PLAIN).await;
    // One on the last worker goes on alone: it is told of, and the prompt turns it down for everybody.
    phones[..5].iter().for_each(CodedPhone::hush);
    until("who speaks", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::SpeakerChanged(changed)) => {
            (changed.leg_id == phones[5].leg).then_some(())
        }
        _ => None,
    })
    .await;
    let levels = async |phone: &CodedPhone| {
        let heard = phone.hear(500).await;
        (tone_dbov(&heard, TONES[5]), tone_dbov(&heard, PROMPT_HZ))
    };
    let request = |id: &str, manner: pb::PlayManner| pb::PlayRequest {
        playback_id: id.into(),
        target: Some(pb::play_request::Target::MixId("room".into())),
        sources: vec![pb::PlaySource { source: Some(pb::play_source::Source::Data(wav(PROMPT_HZ, 3_000))) }],
        manner: manner.into(),
        duck_mdb: Some(-15_000),
        ..Default::default()
    };
    for (id, manner, voice, prompt) in
        [("over", pb::PlayManner::Over, -39.0, -16.0), ("under", pb::PlayManner::Under, -24.0, -31.0)]
    {
        node.media.play(Request::new(request(id, manner))).await.unwrap();
        for phone in [&phones[0], &phones[2], &phones[4]] {
            until(&format!("a prompt {id} a voice of another worker"), async || {
                let (says, plays) = levels(phone).await;
                ((says - voice).abs() < 4.0 && (plays - prompt).abs() < 4.0).then_some(())
            })
            .await;
        }
        let stop = pb::StopPlayRequest { playback_id: id.into(), ..Default::default() };
        node.media.stop_play(Request::new(stop)).await.unwrap();
        until("the voice alone", async || {
            let (says, plays) = levels(&phones[0]).await;
            ((says + 24.0).abs() < 4.0 && plays < -50.0).then_some(())
        })
        .await;
    }
    phones[5].hush();
    until("silence", async || match events.next().await?.unwrap().kind {
        Some(pb::media_event::Kind::SpeakerChanged(changed)) => changed.leg_id.is_empty().then_some(()),
        _ => None,
    })
    .await;
}

/// A thousand who listen, and a few who speak, heard by some on each worker.
#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_a_thousand() {
    const LISTENERS: u32 = 1_000;
    const EARS: usize = 10;
    let node = node_with(|config| {
        config.workers = 2;
        config.legs_max = 1_100;
        config.room_members_per_worker = 600;
    })
    .await;
    let mut phones = Vec::new();
    for (n, hz) in TONES.into_iter().take(2).enumerate() {
        phones.push(Phone::call(&node, n as u32, Law::A, hz, 20).await);
    }
    node.connect(&phones[0].leg, room()).await;
    // What they hear comes to a few sockets, for it comes all at once, and is counted by leg.
    let heard: Arc<Vec<AtomicU64>> = Arc::new((0..1 << 16).map(|_| AtomicU64::new(0)).collect());
    let mut offers = Vec::new();
    for _ in 0..EARS {
        let socket = ear().await;
        offers.push(description(socket.local_addr().unwrap(), &[(8, "PCMA")], 20));
        let counting = Arc::clone(&heard);
        tokio::spawn(async move {
            let mut buffer = [0; 2_000];
            while let Ok((_, from)) = socket.recv_from(&mut buffer).await {
                counting[usize::from(from.port())].fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let mut ports = Vec::new();
    for (n, offer) in (0..LISTENERS).zip(offers.iter().cycle()) {
        let request = create(100 + n, Some(offer.clone()));
        let made = node.media.create_leg(Request::new(request)).await.unwrap().into_inner();
        ports.push(address(made.local.as_ref().unwrap()).port());
        node.connect(&uuid(100 + n), room()).await;
    }
    // The last is on the other worker.
    node.connect(&phones[1].leg, room()).await;
    assert_eq!(node.telemetry.media.rooms_spread.get(), 1);
    phones[0].until_tones("one of the other worker", &TONES[..2], &[false, true]).await;
    phones[1].until_tones("one of the other worker", &TONES[..2], &[true, false]).await;
    until("packets for everybody", async || {
        let hears = |port: &&u16| heard[usize::from(**port)].load(Ordering::Relaxed) > 5;
        (ports.iter().filter(hears).count() == ports.len()).then_some(())
    })
    .await;
    // Whoever asks the node sees that both work for it.
    let has_account = std::path::Path::new("/proc/self/schedstat").exists();
    if !has_account {
        eprintln!("skipped: this kernel keeps no account of what threads do (schedstat)");
    }
    until("two workers at work", async || {
        let now = node.media.get_node(Request::new(pb::GetNodeRequest {})).await.unwrap().into_inner();
        assert_eq!(now.worker_load_permille.len(), 2);
        let works = now.worker_load_permille.iter().all(|load| *load > 0);
        (works || !has_account).then_some(())
    })
    .await;
    for n in 0..LISTENERS {
        node.release(&uuid(100 + n)).await;
    }
    phones[0].until_tones("still the other", &TONES[..2], &[false, true]).await;
}
