//! Segments of one or several nodes give one file, with silence where nobody recorded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_record_core::{Container, Encoder, JoinError, Joiner, RATE_HZ, Segments};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

const SECOND: usize = RATE_HZ as usize;

/// As a node leaves it in the bucket: the place of each segment and its bytes.
type Part = Vec<(u64, Vec<u8>)>;

fn containers() -> Vec<Container> {
    let all = [Container::Wav, Container::Mp3, Container::OggOpus, Container::Flac];
    all.into_iter().filter(|container| container.is_here()).collect()
}

fn tone(hz: f64, samples: usize, channels: u16) -> Vec<i16> {
    let sample = |n: usize| (8_000.0 * (n as f64 * hz * std::f64::consts::TAU / 8_000.0).sin()) as i16;
    (0..samples).flat_map(|n| vec![sample(n); usize::from(channels)]).collect()
}

fn file(container: Container, channels: u16, sound: &[i16]) -> Vec<u8> {
    let (mut encoder, mut file) = Encoder::new(container, channels).unwrap();
    encoder.write(sound, &mut file).unwrap();
    encoder.finish(&mut file).unwrap();
    if let Some(patch) = encoder.patch() {
        file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

/// What a node has put of a file that began at `from` on the recording's timeline.
fn part(container: Container, channels: u16, from: u64, file: &[u8]) -> Part {
    let mut cut = Segments::new(container, channels);
    let mut part = Vec::new();
    loop {
        let wanted = cut.wanted(file.len() as u64);
        let seen = &file[wanted.start as usize..wanted.end as usize];
        let Some(segment) = cut.next(file.len() as u64, seen, true) else { return part };
        let mut bytes = cut.header(&segment);
        bytes.extend(&file[segment.bytes.start as usize..segment.bytes.end as usize]);
        part.push((from + segment.first_sample, bytes));
    }
}

fn join(container: Container, channels: u16, part: &Part) -> Vec<u8> {
    let (mut joiner, mut file) = Joiner::new(container, channels).unwrap();
    for (first_sample, segment) in part {
        while joiner.fill(*first_sample, &mut file).unwrap() {}
        joiner.add(*first_sample, segment, &mut file).unwrap();
    }
    joiner.finish(&mut file).unwrap();
    if let Some(patch) = joiner.patch() {
        file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

/// By a decoder of others; none for Opus, which it does not know.
fn decoded(container: Container, file: &[u8]) -> Option<Vec<Vec<i16>>> {
    if container == Container::OggOpus {
        return None;
    }
    let source = MediaSourceStream::new(Box::new(std::io::Cursor::new(file.to_vec())), Default::default());
    let mut hint = Hint::new();
    hint.with_extension(container.extension());
    let probe = symphonia::default::get_probe();
    let mut format = probe.probe(&hint, source, Default::default(), Default::default()).unwrap();
    let track = format.default_track(TrackType::Audio).unwrap();
    let parameters = track.codec_params.as_ref().unwrap().audio().unwrap();
    let codecs = symphonia::default::get_codecs();
    let mut decoder = codecs.make_audio_decoder(parameters, &AudioDecoderOptions::default()).unwrap();
    let mut all: Vec<Vec<i16>> = Vec::new();
    while let Ok(Some(packet)) = format.next_packet() {
        let mut planes: Vec<Vec<i16>> = Vec::new();
        decoder.decode(&packet).unwrap().copy_to_vecs_planar(&mut planes);
        all.resize(planes.len(), Vec::new());
        all.iter_mut().zip(planes).for_each(|(all, plane)| all.extend(plane));
    }
    Some(all)
}

/// How loud a frequency is in a second of sound, beside a full tone of the test's.
fn loudness(sound: &[i16], hz: f64) -> f64 {
    let turn = |n: usize| (n as f64 * hz * std::f64::consts::TAU / 8_000.0).sin_cos();
    let sum = sound.iter().enumerate().fold((0.0, 0.0), |sum, (n, sample)| {
        let (sin, cos) = turn(n);
        (sum.0 + f64::from(*sample) * sin, sum.1 + f64::from(*sample) * cos)
    });
    sum.0.hypot(sum.1) * 2.0 / sound.len() as f64 / 8_000.0
}

#[test]
fn segments_of_one_node_are_the_file_they_were_cut_of() {
    for container in containers() {
        for channels in [1, 2] {
            // A whole number of units of every container, so that no end is padded.
            let sound = tone(440.0, 25 * 14_400, channels);
            let whole = file(container, channels, &sound);
            let part = part(container, channels, 0, &whole);
            assert!(part.len() >= 4, "{container:?}: {}", part.len());
            let joined = join(container, channels, &part);
            if container == Container::OggOpus {
                // The last page of a file that has ended says where in it the sound ends; a joined one plays to its end.
                let last = whole.windows(4).rposition(|bytes| bytes == b"OggS").unwrap();
                assert!(joined[..last] == whole[..last], "{container:?} {channels}");
                assert_eq!(joined.len(), whole.len());
            } else {
                assert!(joined == whole, "{container:?} {channels}");
            }
        }
    }
}

#[test]
fn parts_of_two_nodes_are_heard_in_their_places_with_silence_between() {
    for container in containers() {
        for channels in [1, 2] {
            let first =
                part(container, channels, 0, &file(container, channels, &tone(440.0, 24 * SECOND, channels)));
            let second = part(
                container,
                channels,
                37 * SECOND as u64 + 123,
                &file(container, channels, &tone(900.0, 12 * SECOND, channels)),
            );
            // The open segment of the first node is lost with it.
            let left: Part = first[..first.len() - 1].iter().chain(&second).cloned().collect();
            let lost = first.last().unwrap().0 as usize;
            let joined = join(container, channels, &left);
            let Some(sound) = decoded(container, &joined) else { continue };
            assert_eq!(sound.len(), usize::from(channels));
            for side in &sound {
                let end = 49 * SECOND + 123;
                assert!(side.len().abs_diff(end) <= 1200, "{container:?}: {} samples", side.len());
                let heard = |from: usize, hz: f64| loudness(&side[from..from + SECOND], hz);
                assert!(heard(SECOND, 440.0) > 0.8 && heard(lost - 2 * SECOND, 440.0) > 0.8, "{container:?}");
                assert!(heard(lost + SECOND, 440.0) < 0.05 && heard(36 * SECOND - 600, 900.0) < 0.05);
                assert!(heard(38 * SECOND, 900.0) > 0.8 && heard(47 * SECOND, 900.0) > 0.8, "{container:?}");
            }
            if container == Container::Flac || container == Container::Wav {
                let side = &sound[0];
                assert_eq!(side.len(), 49 * SECOND + 123);
                assert!(side[lost..37 * SECOND + 123].iter().all(|sample| *sample == 0));
                assert_eq!(side[37 * SECOND + 123..], tone(900.0, 12 * SECOND, 1)[..], "to the sample");
            }
        }
    }
}

#[test]
fn what_two_nodes_have_both_is_heard_once() {
    for container in [Container::Wav, Container::Flac] {
        let first = part(container, 1, 0, &file(container, 1, &tone(440.0, 20 * SECOND, 1)));
        let second =
            part(container, 1, 15 * SECOND as u64, &file(container, 1, &tone(900.0, 15 * SECOND, 1)));
        let mut both: Part = first.into_iter().chain(second).collect();
        both.sort_by_key(|(first_sample, _)| *first_sample);
        let sound = decoded(container, &join(container, 1, &both)).unwrap().remove(0);
        assert_eq!(sound.len(), 30 * SECOND);
        assert_eq!(sound[..20 * SECOND], tone(440.0, 20 * SECOND, 1)[..]);
        assert_eq!(sound[20 * SECOND..], tone(900.0, 15 * SECOND, 1)[5 * SECOND..]);
    }
}

#[test]
fn what_is_no_segment_is_refused_and_nothing_is_written() {
    for container in containers() {
        let (mut joiner, mut out) = Joiner::new(container, 1).unwrap();
        let before = out.len();
        let stereo = part(container, 2, 0, &file(container, 2, &tone(440.0, SECOND, 2))).remove(0).1;
        for bad in [&b""[..], b"no sound", &[0; 4000], &stereo] {
            assert_eq!(joiner.add(0, bad, &mut out), Err(JoinError::Foreign), "{container:?}");
        }
        assert_eq!(joiner.fill(u64::MAX, &mut out), Err(JoinError::TooFar));
        assert_eq!((out.len(), joiner.samples()), (before, 0));
    }
}
