//! Legs move between silence, echo, bridge and conference at random, change their sound meanwhile, hear prompts and are sent digits: what
//! each telephone receives stays one stream.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::{Echo, Nothing, To};
use sidetone_dsp::Law;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::*;
use tonic::Request;

const MOVES: usize = 60;

/// A small generator whose seed is in the failure's text.
struct Random(u64);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n as u64) as usize
    }
}

async fn do_something(node: &TestNode, random: &mut Random, phones: &[Phone]) {
    let at = random.below(phones.len());
    let (leg, peer) = (phones[at].leg.clone(), phones[(at + 1) % phones.len()].leg.clone());
    match random.below(9) {
        0 => node.connect(&leg, To::Nothing(Nothing {})).await,
        1 => node.connect(&leg, To::Echo(Echo {})).await,
        2 | 3 => node.connect(&leg, To::PeerLegId(peer)).await,
        4 => node.connect(&leg, To::MixId(format!("room{}", random.below(2)))).await,
        5 => {
            let (muted, deafened) = (random.below(3) == 0, random.below(3) == 0);
            let gain_mdb = random.below(3) as i32 * 3000 - 3000;
            let (automatic_gain, suppress_noise) = (random.below(4) == 0, random.below(4) == 0);
            let request = pb::SetLegAudioRequest {
                leg_id: leg,
                muted,
                deafened,
                gain_mdb,
                automatic_gain,
                suppress_noise,
                role: None,
            };
            node.media.set_leg_audio(Request::new(request)).await.unwrap();
        }
        6 => {
            let manner =
                [pb::PlayManner::Instead, pb::PlayManner::Over, pb::PlayManner::Under][random.below(3)];
            let request = pb::PlayRequest {
                playback_id: random.below(usize::MAX).to_string(),
                target: Some(pb::play_request::Target::LegId(leg)),
                prompt: "beep".into(),
                repeat: 1 + random.below(3) as u32,
                manner: manner.into(),
                ..Default::default()
            };
            node.media.play(Request::new(request)).await.unwrap();
        }
        _ => {
            let digits = "12".into();
            let request =
                pb::SendDigitsRequest { leg_id: leg, digits, duration_ms: 60, ..Default::default() };
            // So many at once that some may not be taken is all right here.
            let _ = node.media.send_digits(Request::new(request)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_stream_stays_one() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x51DE_70E5);
    eprintln!("SEED={seed}");
    let mut random = Random(seed);
    let node = node().await;
    let mut phones = Vec::new();
    for (n, (law, ptime_ms)) in [(Law::Mu, 20), (Law::A, 20), (Law::Mu, 30)].into_iter().enumerate() {
        phones.push(Phone::call(&node, n as u32, law, 500.0 + 400.0 * n as f32, ptime_ms).await);
    }
    for phone in &phones {
        node.connect(&phone.leg, To::Echo(Echo {})).await;
    }
    for _ in 0..MOVES {
        do_something(&node, &mut random, &phones).await;
        // Everybody hears something, wherever one is.
        for phone in &phones {
            phone.hear(2).await;
        }
    }
    for phone in &phones {
        let heard = phone.heard.lock().unwrap().clone();
        assert_continuous(&heard);
        let steps = heard.windows(2).map(|pair| pair[1].timestamp.wrapping_sub(pair[0].timestamp));
        let largest = steps.max().unwrap();
        // Pauses of the machine show in it, seconds at worst; another epoch would be of any size.
        assert!(largest < 40_000, "a leap of {largest} samples, seed {seed}");
        let audio = if phone.law == Law::Mu { 0 } else { 8 };
        assert!(heard.iter().any(|packet| packet.payload_type == audio && !packet.payload.is_empty()));
        assert!(heard.iter().any(|packet| packet.payload_type > 90), "digits, seed {seed}");
    }
}
