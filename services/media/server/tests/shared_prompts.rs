//! Prompts are encoded once for all who hear them alone, in codecs whose encoders remember what went before.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use pb::connect_leg_request::{Nothing, To};
use sidetone_dsp::codec::Codec;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use tonic::Request;

use crate::support::coded_phone::{CodedPhone, perfect};
use crate::support::*;

fn sources(prompt: &str) -> Vec<pb::PlaySource> {
    vec![pb::PlaySource { source: Some(pb::play_source::Source::Prompt(prompt.into())) }]
}

/// Plays it; frames of 20 ms of a round.
async fn play(node: &TestNode, phone: &CodedPhone, prompt: &str, id: &str) -> usize {
    let request = pb::PlayRequest {
        playback_id: format!("{id}-{}", phone.leg),
        target: Some(pb::play_request::Target::LegId(phone.leg.clone())),
        sources: sources(prompt),
        repeat: 1,
        ..Default::default()
    };
    let played = node.media.play(Request::new(request)).await.unwrap().into_inner();
    played.duration_ms as usize / 20
}

/// Plays it, and waits until it has been encoded for all.
async fn first_to_hear(node: &TestNode, phone: &CodedPhone, prompt: &str) {
    let request = pb::PreparePlayRequest { sources: sources(prompt) };
    node.media.prepare_play(Request::new(request)).await.unwrap();
    let held = &node.telemetry.audio.prompt_cache_bytes;
    let before = held.get();
    play(node, phone, prompt, "first").await;
    until("it is encoded for all", async || (held.get() > before).then_some(())).await;
}

fn payloads(phone: &CodedPhone) -> Vec<Vec<u8>> {
    phone.heard.lock().unwrap().iter().map(|packet| packet.payload.clone()).collect()
}

/// The longest run of packets that both were sent.
fn in_common(first: &[Vec<u8>], second: &[Vec<u8>]) -> usize {
    let (mut longest, mut before) = (0, vec![0; second.len() + 1]);
    for one in first {
        let mut runs = vec![0; second.len() + 1];
        for (n, other) in second.iter().enumerate() {
            runs[n + 1] = if one == other { before[n] + 1 } else { 0 };
            longest = longest.max(runs[n + 1]);
        }
        before = runs;
    }
    longest
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_come_later_are_sent_the_packets_that_were_made_once() {
    let node = node_with(|config| config.codecs = ["opus", "g722", "gsm"].map(Into::into).into()).await;
    for (n, codec) in [(1, Codec::Opus), (3, Codec::G722), (5, Codec::Gsm)] {
        let first = CodedPhone::call(&node, n, codec, 700.0, 20, perfect).await;
        let second = CodedPhone::call(&node, n + 1, codec, 900.0, 20, perfect).await;
        for phone in [&first, &second] {
            node.connect(&phone.leg, To::Nothing(Nothing {})).await;
        }
        // Their own encoders remember different things from now on.
        first_to_hear(&node, &second, "tone").await;
        first_to_hear(&node, &first, "welcome").await;
        let frames = play(&node, &first, "welcome", "again").await;
        assert_eq!(play(&node, &second, "welcome", "again").await, frames);
        until("the same packets at both", async || {
            second.hear(200).await;
            (in_common(&payloads(&first), &payloads(&second)) >= frames).then_some(())
        })
        .await;
        assert_continuous(&first.heard.lock().unwrap());
        assert_continuous(&second.heard.lock().unwrap());
    }
}
