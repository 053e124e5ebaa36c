//! FLAC: what another implementation decodes is sample for sample what was recorded, wherever the file was cut.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::process::Command;

use proptest::prelude::*;
use sidetone_dsp::Rate;
use sidetone_record_core::{Container, Encoder, Form, Repair, Segments, Units};
use symphonia::core::audio::GenericAudioBufferRef;
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

const fn narrow(channels: u16) -> Form {
    Form::new(channels, Rate::Narrow)
}

/// A file as the recorder makes it.
fn file(form: Form, sound: &[i16], piece: usize) -> Vec<u8> {
    let (mut encoder, mut file) = Encoder::new(Container::Flac, form).unwrap();
    for part in sound.chunks(piece * usize::from(form.channels)) {
        encoder.write(part, &mut file).unwrap();
        assert_eq!(encoder.patch(), None, "nothing is known before the end");
    }
    encoder.finish(&mut file).unwrap();
    let patch = encoder.patch().unwrap();
    file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    file
}

/// A file as it is while it grows.
fn growing(form: Form, sound: &[i16]) -> Vec<u8> {
    let (mut encoder, mut file) = Encoder::new(Container::Flac, form).unwrap();
    encoder.write(sound, &mut file).unwrap();
    file
}

/// Decoded by symphonia, which checks each frame; the samples, channels interleaved, and whether the sum over all agrees.
fn decode(bytes: &[u8]) -> (Vec<i16>, Option<bool>) {
    let stream = MediaSourceStream::new(Box::new(std::io::Cursor::new(bytes.to_vec())), Default::default());
    let mut hint = Hint::new();
    hint.with_extension("flac");
    let probed = symphonia::default::get_probe().probe(&hint, stream, Default::default(), Default::default());
    let mut format = probed.unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    let told = Container::Flac.form_of(bytes).map(|form| form.rate.hz());
    assert_eq!(parameters.sample_rate, told);
    let options = AudioDecoderOptions::default().verify(true);
    let mut decoder = symphonia::default::get_codecs().make_audio_decoder(parameters, &options).unwrap();
    let mut samples = Vec::new();
    while let Ok(Some(packet)) = format.next_packet() {
        let decoded: GenericAudioBufferRef<'_> = decoder.decode(&packet).unwrap();
        let mut part: Vec<i16> = Vec::new();
        decoded.copy_to_vec_interleaved(&mut part);
        samples.extend(part);
    }
    (samples, decoder.finalize().verify_ok)
}

fn repaired(left: &[u8]) -> Option<(Repair, Vec<u8>)> {
    let length = left.len() as u64;
    let mut units = Container::Flac.units_of(left)?;
    loop {
        let range = units.wanted(length);
        if !units.see(length, &left[range.start as usize..range.end as usize], u64::MAX, true) {
            break;
        }
    }
    let repair = units.repair(left, length)?;
    let mut whole = left[..repair.length as usize].to_vec();
    let patch = repair.patch.clone().unwrap();
    whole[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    Some((repair, whole))
}

/// Something like speech: tones that come and go over noise, and silence between them.
fn speech(seconds: usize, seed: u64) -> Vec<i16> {
    let mut state = seed | 1;
    let mut noise = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as i32 % 200 - 100
    };
    let loudness =
        |n: usize| if n / 4_000 % 3 == 2 { 0.0 } else { (n as f64 / 1_900.0).sin().abs() * 9_000.0 };
    (0..seconds * 8_000)
        .map(|n| {
            let silent = n / 12_000 % 4 == 3;
            let tone = (n as f64 * 0.17).sin() + 0.4 * (n as f64 * 0.45).sin();
            if silent { 0 } else { (loudness(n) * tone) as i16 + noise() as i16 }
        })
        .collect()
}

fn kinds() -> impl Strategy<Value = Vec<i16>> {
    let loud = prop::collection::vec(any::<i16>(), 0..4_000);
    let extreme = prop::collection::vec(prop::sample::select(vec![i16::MIN, i16::MAX, 0, -1, 1]), 0..4_000);
    let level = (any::<i16>(), 0..5_000usize).prop_map(|(level, length)| vec![level; length]);
    let quiet = prop::collection::vec(-3..3i16, 0..4_000);
    let shifted = (prop::collection::vec(-500..500i16, 0..4_000), 0..6u32)
        .prop_map(|(samples, bits)| samples.into_iter().map(|sample| sample << bits).collect());
    let steep = prop::collection::vec(any::<i16>(), 2..40)
        .prop_map(|levels| levels.windows(2).flat_map(|two| ramp(two[0], two[1])).collect());
    prop_oneof![loud, extreme, level, quiet, shifted, steep]
}

fn ramp(from: i16, to: i16) -> Vec<i16> {
    let (from, to) = (i32::from(from), i32::from(to));
    (0..100).map(|n| (from + (to - from) * n / 100) as i16).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn every_sound_comes_back_as_it_was(parts in prop::collection::vec(kinds(), 0..4), channels in 1..3u16, rate in 0..3usize, piece in 1..5_000usize) {
        let form = Form::new(channels, Rate::ALL[rate]);
        let mut sound = parts.concat();
        sound.truncate(sound.len() / usize::from(channels) * usize::from(channels));
        let bytes = file(form, &sound, piece);
        if sound.is_empty() {
            prop_assert_eq!(bytes.len(), 42);
            return Ok(());
        }
        let (decoded, verified) = decode(&bytes);
        prop_assert!(decoded == sound);
        prop_assert_eq!(verified, Some(true));
        let (repair, whole) = repaired(&bytes).unwrap();
        prop_assert_eq!(repair.length, bytes.len() as u64);
        prop_assert!(decode(&whole).0 == sound);
    }
}

#[test]
fn a_file_cut_at_every_byte_keeps_all_its_whole_frames() {
    for channels in [1u16, 2] {
        let sound = speech(1, 7);
        let bytes = growing(narrow(channels), &sound);
        let mut kept = 0;
        for cut in 0..=bytes.len() {
            let Some((repair, whole)) = repaired(&bytes[..cut]) else {
                assert!(cut < 42, "cut at {cut}");
                continue;
            };
            assert!(repair.length <= cut as u64);
            assert_eq!(repair.duration_ms % 200, 0);
            // Decoded whenever there is more than there was, and now and then.
            if repair.length > kept || cut % 997 == 0 {
                kept = repair.length;
                let samples = repair.duration_ms as usize * 8 * usize::from(channels);
                if samples > 0 {
                    assert!(decode(&whole).0 == sound[..samples], "cut at {cut}");
                }
            }
            // Even without repair.
            if cut % 1_009 == 0 && repair.length > 42 {
                let samples = repair.duration_ms as usize * 8 * usize::from(channels);
                assert!(decode(&bytes[..cut]).0.starts_with(&sound[..samples]));
            }
        }
        let all = sound.len() / usize::from(channels) / 1_600 * 200;
        assert_eq!(repaired(&bytes).unwrap().0.duration_ms, all as u64);
    }
}

#[test]
fn segments_end_between_frames_play_alone_and_are_the_sound() {
    for form in [narrow(1), narrow(2), Form::new(1, Rate::Wide), Form::new(2, Rate::Full)] {
        let (channels, ten) = (form.channels, form.samples(10_000));
        // As many samples as 33 s have.
        let seconds = 33 * form.samples(1) as usize / 8;
        let sound: Vec<i16> = (0..u64::from(channels)).flat_map(|n| speech(seconds, n)).collect();
        let bytes = file(form, &sound, 160);
        let mut cut = Segments::new(Container::Flac, form);
        let mut heard = Vec::new();
        let mut firsts = Vec::new();
        // It grows, and is looked at now and then.
        let mut length = 0;
        while length < bytes.len() {
            length = (length + 7_001 * seconds / 33).min(bytes.len());
            let ended = length == bytes.len();
            loop {
                let range = cut.wanted(length as u64);
                let seen = &bytes[range.start as usize..range.end as usize];
                let Some(segment) = cut.next(length as u64, seen, ended) else { break };
                let mut alone = cut.header(&segment);
                alone.extend(&bytes[segment.bytes.start as usize..segment.bytes.end as usize]);
                let (samples, _) = decode(&alone);
                assert_eq!(segment.first_sample as usize * usize::from(channels), heard.len());
                assert!(samples.len() <= ten as usize * usize::from(channels));
                firsts.push((segment.index, segment.first_sample));
                heard.extend(samples);
            }
        }
        assert_eq!(firsts, [(0, 0), (1, ten), (2, 2 * ten), (3, 3 * ten)]);
        assert!(heard == sound);
    }
}

#[test]
fn a_stream_is_heard_from_its_middle() {
    let sound = speech(20, 3);
    let bytes = growing(narrow(1), &sound);
    let mut units = Units::new(Container::Flac, narrow(1));
    let range = units.wanted(bytes.len() as u64);
    units.see(bytes.len() as u64, &bytes[range.start as usize..range.end as usize], 9 * 8_000, false);
    assert_eq!(units.samples(), 9 * 8_000);
    let mut late = Container::Flac.stream_header(narrow(1));
    late.extend(&bytes[units.end() as usize..]);
    assert!(decode(&late).0 == sound[9 * 8_000..]);
}

#[test]
fn foreign_files_are_none_of_ours() {
    let bytes = file(narrow(1), &speech(1, 1), 160);
    assert_eq!(Container::Flac.form_of(&bytes[..58]), Some(narrow(1)));
    // Another mark, length of blocks, rate or width.
    for at in [0, 7, 9, 18, 20, 21] {
        let mut other = bytes.clone();
        other[at] ^= 0x11;
        assert_eq!(Container::Flac.form_of(&other), None, "byte {at}");
    }
    assert_eq!(Container::Flac.form_of(&bytes[..41]), None);
    assert_eq!(Container::of_name("a/b.flac"), Some(Container::Flac));
    assert_eq!(Container::Flac.content_type(), "audio/flac");
}

#[test]
fn what_came_as_g711_takes_less_than_four_fifths_of_what_does_not() {
    let sound = speech(10, 5);
    let coarse: Vec<i16> = sound.iter().map(|sample| sample & !7).collect();
    let (fine, coarse) = (file(narrow(1), &sound, 160).len(), file(narrow(1), &coarse, 160).len());
    assert!(coarse * 5 < fine * 4, "{coarse} of {fine}");
    assert!(fine < sound.len() * 3 / 2, "{fine} bytes of {}", sound.len() * 2);
}

#[test]
fn the_reference_decoder_agrees() {
    let tool = Command::new("flac").arg("--version").output();
    if tool.is_err() {
        eprintln!("SKIPPED: no flac on this machine; Debian's package flac has it");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for form in Rate::ALL.into_iter().flat_map(|rate| [1, 2].map(|channels| Form::new(channels, rate))) {
        let sound = speech(31, 11);
        let path = folder.path().join(format!("{}-{}.flac", form.channels, form.rate.hz()));
        std::fs::write(&path, file(form, &sound, 333)).unwrap();
        let test = Command::new("flac").arg("--test").arg(&path).output().unwrap();
        let said = String::from_utf8_lossy(&test.stderr).into_owned();
        assert!(test.status.success() && said.contains("ok") && !said.contains("WARNING"), "{said}");
        let raw = Command::new("flac")
            .args([
                "--decode",
                "--stdout",
                "--silent",
                "--force-raw-format",
                "--endian=little",
                "--sign=signed",
            ])
            .arg(&path)
            .output()
            .unwrap();
        let samples: Vec<i16> =
            raw.stdout.chunks_exact(2).map(|two| i16::from_le_bytes([two[0], two[1]])).collect();
        assert!(samples == sound);
    }
}
