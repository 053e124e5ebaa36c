use sidetone_dsp::Rate;
use sidetone_dsp::goertzel::tone_level_dbov;

use super::*;

fn sine(rate_hz: u32) -> impl Iterator<Item = i16> {
    (0..rate_hz).map(move |n| {
        let turns = f64::from(n) * 1000.0 / f64::from(rate_hz);
        ((turns * std::f64::consts::TAU).sin() * 8000.0) as i16
    })
}

fn write(folder: &Path, name: &str, rate_hz: u32, channels: u16) {
    let spec = hound::WavSpec {
        channels,
        sample_rate: rate_hz,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(folder.join(format!("{name}.wav")), spec).unwrap();
    for sample in sine(rate_hz) {
        for _ in 0..channels {
            writer.write_sample(sample).unwrap();
        }
    }
    writer.finalize().unwrap();
}

/// All of a prompt that is held in memory.
fn samples(playable: Playable) -> Vec<i16> {
    let Playable::Whole(prompt) = playable else { panic!("{playable:?}") };
    prompt.linear.concat()
}

fn heard(samples: &[i16]) -> f32 {
    tone_level_dbov(&samples[800..7200], 8000, 1000.0)
}

#[test]
fn files_of_any_rate_play_at_the_right_pitch_and_length() {
    let folder = tempfile::tempdir().unwrap();
    for (rate_hz, channels) in [(8000, 1), (16_000, 1), (44_100, 2), (48_000, 1)] {
        write(folder.path(), "greeting", rate_hz, channels);
        let samples = samples(named(folder.path(), "greeting").unwrap());
        assert!((7840..=8160).contains(&samples.len()), "{rate_hz}: {}", samples.len());
        let level = heard(&samples);
        assert!((-16.0..-11.0).contains(&level), "{rate_hz}: {level}");
    }
}

#[test]
fn every_form_of_file_is_heard() {
    use sidetone_record_core::{Container, Encoder, Form, SampleFormat, WavFormat, WavWriter};
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let linear: Vec<i16> = sine(8000).collect();
    let mut coded = vec![0; linear.len()];
    for (law, ending, samples) in
        [(Law::Mu, "ulaw", SampleFormat::MuLaw), (Law::A, "alaw", SampleFormat::ALaw)]
    {
        g711::encode(law, &linear, &mut coded);
        put(&format!("raw-{ending}.{ending}"), &coded);
        let format = WavFormat { samples, channels: 1, rate_hz: 8000 };
        let mut file = WavWriter::header_for(format, coded.len() as u64);
        file.extend(&coded);
        put(&format!("wav-{ending}.wav"), &file);
    }
    let pcm: Vec<u8> = linear.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    put("raw-sln.sln", &pcm);
    let mut names = vec!["raw-ulaw", "raw-alaw", "wav-ulaw", "wav-alaw", "raw-sln"];
    let both: Vec<i16> = linear.iter().flat_map(|sample| [*sample; 2]).collect();
    for (name, container, channels) in [
        ("mp3.mp3", Container::Mp3, 1),
        ("flac.flac", Container::Flac, 1),
        ("voices.flac", Container::Flac, 2),
        ("opus.ogg", Container::OggOpus, 1),
        ("voices.opus", Container::OggOpus, 2),
    ] {
        if container.is_here() {
            let (mut encoder, mut file) = Encoder::new(container, Form::new(channels, Rate::Narrow)).unwrap();
            encoder.write(if channels == 1 { &linear } else { &both }, &mut file).unwrap();
            encoder.finish(&mut file).unwrap();
            put(name, &file);
            names.push(name.split('.').next().unwrap());
        }
    }
    // Stereo, 48 kHz, by opusenc of Debian's opus-tools.
    put("stereo.opus", include_bytes!("stereo.opus"));
    names.push("stereo");
    for name in names {
        let samples = samples(named(folder.path(), name).unwrap_or_else(|error| panic!("{name}: {error}")));
        let level = heard(&samples);
        assert!((-16.5..-11.0).contains(&level), "{name}: {level}");
    }
    put("broken.wav", b"RIFF and then nothing of the kind");
    assert!(matches!(named(folder.path(), "broken"), Err(MediaError::Invalid { .. })));
}

#[test]
fn built_in_prompts_are_there_and_paths_are_refused() {
    let nowhere = Path::new("/nonexistent");
    assert!((16_000..80_000).contains(&samples(named(nowhere, "welcome").unwrap()).len()));
    assert_eq!(samples(named(nowhere, "tone").unwrap()).len(), 8000);
    assert_eq!(samples(named(nowhere, "tone:ringback/se").unwrap()).len(), 48_000);
    assert_eq!(samples(named(nowhere, "tone:ringback/us").unwrap()).len(), 48_000);
    for missing in ["other", "tone:none", "tone:busy/../x"] {
        assert!(matches!(named(nowhere, missing), Err(MediaError::NotFound(_))), "{missing}");
    }
    for bad in ["", "../welcome", "a/b", ".hidden"] {
        assert!(matches!(named(nowhere, bad), Err(MediaError::Invalid { .. })), "{bad}");
    }
}

#[test]
fn the_cache_keeps_within_its_bytes_and_lets_go_of_what_was_not_used() {
    let now = Instant::now();
    let mut prompts = Prompts::new(Path::new("x"), 100 * FRAME_BYTES);
    let source = |n: usize| Source::Named(n.to_string().into());
    for n in 0..5 {
        let at = now + Duration::from_secs(n as u64);
        prompts.keep(source(n), vec![0; 40 * FRAME].into(), at);
        prompts.get(&source(0), at + Duration::from_millis(1));
    }
    assert!(prompts.get(&source(0), now).is_some(), "it was used all the time");
    assert!(prompts.get(&source(4), now).is_some());
    assert!(prompts.get(&source(2), now).is_none());
    assert_eq!(prompts.bytes, 80 * FRAME_BYTES);
    let url = Source::Url("http://x".into());
    prompts.keep(url.clone(), vec![0; FRAME].into(), now);
    assert!(prompts.get(&url, now + FRESH).is_some());
    assert!(prompts.get(&url, now + FRESH + Duration::from_secs(1)).is_none());
}

/// Compressed silence: 100 kB that are a gigabyte of samples at their own rate.
#[test]
fn a_small_file_of_very_much_sound_is_decoded_as_it_is_played() {
    use sidetone_record_core::{Container, Encoder, Form};
    let folder = tempfile::tempdir().unwrap();
    let (mut encoder, mut file) = Encoder::new(Container::Flac, Form::new(1, Rate::Narrow)).unwrap();
    for _ in 0..100 {
        encoder.write(&[0; 80_000], &mut file).unwrap();
    }
    encoder.finish(&mut file).unwrap();
    assert!(file.len() < 200_000, "{}", file.len());
    std::fs::write(folder.path().join("long.flac"), &file).unwrap();
    let long = named(folder.path(), "long").unwrap();
    assert!(matches!(long, Playable::Long(_)) && long.bytes() < 4096, "{long:?}");
    let mut walk = Walk::new(vec![long], 0, Some(1));
    let (mut frames, mut out) = (0, Vec::new());
    while walk.take(1000, 0, &mut out) {
        frames += out.len();
        out.clear();
    }
    assert_eq!(frames + out.len(), 50_000, "all of the 1,000 s");
    for rate_hz in [3_000, 384_000] {
        write(folder.path(), "rate", rate_hz, 1);
        assert!(matches!(named(folder.path(), "rate"), Err(MediaError::Invalid { .. })), "{rate_hz}");
    }
}
