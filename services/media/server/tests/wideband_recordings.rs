//! A recording has the rate that its sources deserve, and keeps it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use futures_util::StreamExt as _;
use pb::connect_leg_request::To;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::goertzel::tone_level_dbov;
use sidetone_dsp::{Law, Rate};
use sidetone_media::RecordingRate;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use support::audio::{Sound, decode};
use support::coded_phone::{CodedPhone, perfect};
use support::*;
use tonic::Request;

/// Above what 8 kHz carries, and below.
const HIGH_HZ: f32 = 5_000.0;
const LOW_HZ: f32 = 900.0;

fn request(n: u32, legs: &[&str], format: pb::AudioFormat) -> pb::StartRecordingRequest {
    pb::StartRecordingRequest {
        recording_id: uuid(n),
        tenant: "demo".into(),
        call_id: uuid(1),
        leg_ids: legs.iter().map(|leg| (*leg).into()).collect(),
        layout: pb::RecordingLayout::Stereo.into(),
        format: format.into(),
        ..Default::default()
    }
}

impl TestNode {
    async fn record_in_stereo(&self, n: u32, legs: &[&str], format: pb::AudioFormat) {
        self.media.start_recording(Request::new(request(n, legs, format))).await.unwrap();
    }

    async fn recorded_in_stereo(&self, n: u32) -> (pb::FinishedRecording, Vec<u8>) {
        let stop = pb::StopRecordingRequest { recording_id: uuid(n) };
        let stopped = self.media.stop_recording(Request::new(stop)).await.unwrap().into_inner();
        let finished = stopped.recording.unwrap();
        let bytes = std::fs::read(self.folder.path().join("recordings").join(&finished.file)).unwrap();
        (finished, bytes)
    }
}

/// Whether a tone is in the middle of each channel.
fn has(sound: &Sound, hz: f32) -> Vec<bool> {
    let middle = |side: &Vec<i16>| {
        let part = side.get(side.len() / 3..side.len() * 2 / 3).unwrap_or_default();
        tone_level_dbov(part, sound.rate_hz, hz) > -30.0
    };
    sound.channels.iter().map(middle).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_wideband_carries_is_in_every_kind_of_file() {
    let node = node().await;
    let a = CodedPhone::call(&node, 1, Codec::G722, HIGH_HZ, 20, perfect).await;
    let b = CodedPhone::call(&node, 2, Codec::G711(Law::A), LOW_HZ, 20, perfect).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    b.hear(200).await;
    for (first, format, ending) in [
        (100, pb::AudioFormat::Wav, "wav"),
        (200, pb::AudioFormat::Flac, "flac"),
        #[cfg(feature = "mp3-encode")]
        (300, pb::AudioFormat::Mp3, "mp3"),
    ] {
        sooner_or_later("both sides", async |attempt| {
            let n = first + attempt;
            node.record_in_stereo(n, &[&a.leg, &b.leg], format).await;
            a.hear(2_000).await;
            let (finished, bytes) = node.recorded_in_stereo(n).await;
            assert!(finished.failure.is_none() && finished.file.ends_with(ending), "{finished:?}");
            let sound = decode(&bytes, ending);
            assert_eq!(sound.rate_hz, 16_000, "{ending}");
            if ending != "mp3" {
                assert_eq!(sound.channels[0].len() as u64 / 16, finished.duration_ms);
            }
            let heard = [has(&sound, HIGH_HZ), has(&sound, LOW_HZ)];
            expect(heard == [[true, false], [false, true]], || format!("{ending}: {heard:?}"))
        })
        .await;
    }
    node.record_in_stereo(400, &[&a.leg, &b.leg], pb::AudioFormat::OggOpus).await;
    a.hear(500).await;
    let (finished, bytes) = node.recorded_in_stereo(400).await;
    let head = bytes.windows(8).position(|at| at == b"OpusHead").unwrap();
    assert_eq!(bytes[head + 12..head + 16], 16_000_u32.to_le_bytes());
    let last = bytes.windows(5).rposition(|at| at == b"OggS\0").unwrap();
    let granule = u64::from_le_bytes(bytes[last + 6..last + 14].try_into().unwrap());
    assert_eq!((granule - 312) / 48, finished.duration_ms);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_of_g711_stays_narrow_and_as_small_as_it_was() {
    let node = node().await;
    let a = Phone::call(&node, 1, Law::Mu, 500.0, 20).await;
    let b = Phone::call(&node, 2, Law::A, LOW_HZ, 20).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    node.record_in_stereo(50, &[&a.leg, &b.leg], pb::AudioFormat::Wav).await;
    a.hear(60).await;
    let (finished, bytes) = node.recorded_in_stereo(50).await;
    let sound = decode(&bytes, "wav");
    assert_eq!(sound.rate_hz, 8_000);
    assert_eq!(sound.channels[0].len() as u64 / 8, finished.duration_ms);
    assert_eq!(finished.size_bytes, 58 + 4 * sound.channels[0].len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_that_is_set_is_that_of_all() {
    for rate in [Rate::Narrow, Rate::Full] {
        let node = node_with(|config| config.recording_hz = RecordingRate::Fixed(rate)).await;
        let a = CodedPhone::call(&node, 1, Codec::Opus, 1_200.0, 20, perfect).await;
        node.connect(&a.leg, To::Nothing(pb::connect_leg_request::Nothing {})).await;
        sooner_or_later("the tone", async |attempt| {
            let n = 50 + attempt;
            node.record_in_stereo(n, &[&a.leg], pb::AudioFormat::Flac).await;
            until("a second", async || {
                let heard = node.leg(&a.leg).await?.stats?.packets_received;
                (heard > 100 * (u64::from(attempt) + 1)).then_some(())
            })
            .await;
            let sound = decode(&node.recorded_in_stereo(n).await.1, "flac");
            assert_eq!(sound.rate_hz, rate.hz());
            expect(has(&sound, 1_200.0)[0], || "no tone".into())
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_to_another_codec_is_heard_at_the_rate_of_the_beginning() {
    let node = node().await;
    let mut a = CodedPhone::call(&node, 1, Codec::G722, HIGH_HZ, 20, perfect).await;
    let b = CodedPhone::call(&node, 2, Codec::G711(Law::A), 1_500.0, 20, perfect).await;
    node.connect(&a.leg, To::PeerLegId(b.leg.clone())).await;
    b.hear(200).await;
    node.record_in_stereo(60, &[&a.leg, &b.leg], pb::AudioFormat::Wav).await;
    b.hear(1_500).await;
    a.change(&node, Codec::G711(Law::A), LOW_HZ).await;
    b.hear(2_500).await;
    let (finished, bytes) = node.recorded_in_stereo(60).await;
    let sound = decode(&bytes, "wav");
    assert_eq!((sound.rate_hz, sound.channels[0].len() as u64 / 16), (16_000, finished.duration_ms));
    let parts =
        |hz| sound.channels[0].chunks(3_200).map(move |part| tone_level_dbov(part, 16_000, hz) > -30.0);
    let (high, low) = (parts(HIGH_HZ).rposition(|there| there), parts(LOW_HZ).position(|there| there));
    assert!(high.unwrap() <= low.unwrap(), "{high:?} {low:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_hears_it_wide_in_a_container_and_narrow_without() {
    let node = node().await;
    let a = CodedPhone::call(&node, 1, Codec::G722, HIGH_HZ, 20, perfect).await;
    node.connect(&a.leg, To::Nothing(pb::connect_leg_request::Nothing {})).await;
    for (id, format) in [("wav", pb::AudioFormat::Wav), ("raw", pb::AudioFormat::L16)] {
        let start = pb::StartStreamRequest {
            stream_id: id.into(),
            tenant: "demo".into(),
            call_id: uuid(1),
            leg_ids: vec![a.leg.clone()],
            format: format.into(),
            ..Default::default()
        };
        node.media.start_stream(Request::new(start)).await.unwrap();
        let listen = pb::ListenRequest { stream_id: id.into() };
        let mut parts = node.media.listen(Request::new(listen)).await.unwrap().into_inner();
        let first = parts.next().await.unwrap().unwrap();
        let next = parts.next().await.unwrap().unwrap().data;
        match format {
            pb::AudioFormat::Wav => assert_eq!(next[24..28], 16_000_u32.to_le_bytes()),
            _ => assert_eq!((first.content_type.as_str(), next.len()), ("audio/L16;rate=8000", 320)),
        }
    }
}
