//! Segments of one or several nodes give one file, with silence where nobody recorded.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_dsp::Rate;
use sidetone_record_core::{Container, Encoder, Form, JoinError, Joiner, Segments};
use symphonia::core::codecs::audio::AudioDecoderOptions;
use symphonia::core::formats::TrackType;
use symphonia::core::formats::probe::Hint;
use symphonia::core::io::MediaSourceStream;

/// As a node leaves it in the bucket: the place of each segment and its bytes.
type Part = Vec<(u64, Vec<u8>)>;

fn containers() -> Vec<Container> {
    let all = [Container::Wav, Container::Mp3, Container::OggOpus, Container::Flac];
    all.into_iter().filter(|container| container.is_here()).collect()
}

/// Each container with one and with two channels, and at each rate.
fn all() -> impl Iterator<Item = (Container, Form)> {
    let forms = [(1, Rate::Narrow), (2, Rate::Narrow), (2, Rate::Wide), (1, Rate::Full)];
    let forms = forms.map(|(channels, rate)| Form::new(channels, rate));
    containers().into_iter().flat_map(move |container| forms.map(move |form| (container, form)))
}

fn tone(hz: f64, samples: usize, form: Form) -> Vec<i16> {
    let rate = f64::from(form.rate.hz());
    let sample = |n: usize| (8_000.0 * (n as f64 * hz * std::f64::consts::TAU / rate).sin()) as i16;
    (0..samples).flat_map(|n| vec![sample(n); usize::from(form.channels)]).collect()
}

fn file(container: Container, form: Form, sound: &[i16]) -> Vec<u8> {
    let (mut encoder, mut file) = Encoder::new(container, form).unwrap();
    encoder.write(sound, &mut file).unwrap();
    encoder.finish(&mut file).unwrap();
    if let Some(patch) = encoder.patch() {
        file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    }
    file
}

/// What a node has put of a file that began at `from` on the recording's timeline.
fn part(container: Container, form: Form, from: u64, file: &[u8]) -> Part {
    let mut cut = Segments::new(container, form);
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

fn join(container: Container, form: Form, part: &Part) -> Vec<u8> {
    let (mut joiner, mut file) = Joiner::new(container, form).unwrap();
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
fn loudness(sound: &[i16], hz: f64, rate: Rate) -> f64 {
    let rate = f64::from(rate.hz());
    let turn = |n: usize| (n as f64 * hz * std::f64::consts::TAU / rate).sin_cos();
    let sum = sound.iter().enumerate().fold((0.0, 0.0), |sum, (n, sample)| {
        let (sin, cos) = turn(n);
        (sum.0 + f64::from(*sample) * sin, sum.1 + f64::from(*sample) * cos)
    });
    sum.0.hypot(sum.1) * 2.0 / sound.len() as f64 / 8_000.0
}

#[test]
fn segments_of_one_node_are_the_file_they_were_cut_of() {
    for (container, form) in all() {
        // A whole number of units of every container at every rate, so that no end is padded.
        let sound = tone(440.0, 25 * form.samples(1_800) as usize, form);
        let whole = file(container, form, &sound);
        assert_eq!(Joiner::form_of(container, &whole), Some(form), "{container:?}");
        let part = part(container, form, 0, &whole);
        assert!(part.len() >= 4, "{container:?} {form:?}: {}", part.len());
        for (_, segment) in &part {
            assert_eq!(Joiner::form_of(container, segment), Some(form), "each tells its rate");
        }
        let joined = join(container, form, &part);
        if container == Container::OggOpus {
            // The last page of a file that has ended says where in it the sound ends; a joined one plays to its end.
            let last = whole.windows(4).rposition(|bytes| bytes == b"OggS").unwrap();
            assert!(joined[..last] == whole[..last], "{container:?} {form:?}");
            assert_eq!(joined.len(), whole.len());
        } else {
            assert!(joined == whole, "{container:?} {form:?}");
        }
    }
}

#[test]
fn parts_of_two_nodes_are_heard_in_their_places_with_silence_between() {
    for (container, form) in all() {
        let (rate, second) = (form.rate, form.samples(1_000) as usize);
        let first = part(container, form, 0, &file(container, form, &tone(440.0, 24 * second, form)));
        let second_at = 37 * second + 123;
        let late = file(container, form, &tone(900.0, 12 * second, form));
        let late = part(container, form, second_at as u64, &late);
        // The open segment of the first node is lost with it.
        let left: Part = first[..first.len() - 1].iter().chain(&late).cloned().collect();
        let lost = first.last().unwrap().0 as usize;
        let joined = join(container, form, &left);
        let Some(sound) = decoded(container, &joined) else { continue };
        assert_eq!(sound.len(), usize::from(form.channels));
        for side in &sound {
            let end = second_at + 12 * second;
            assert!(side.len().abs_diff(end) <= 1_200.max(second / 20), "{container:?}: {}", side.len());
            let heard = |from: usize, hz: f64| loudness(&side[from..from + second], hz, rate);
            assert!(heard(second, 440.0) > 0.8 && heard(lost - 2 * second, 440.0) > 0.8, "{container:?}");
            assert!(heard(lost + second, 440.0) < 0.05 && heard(36 * second - 600, 900.0) < 0.05);
            assert!(heard(38 * second, 900.0) > 0.8 && heard(47 * second, 900.0) > 0.8, "{container:?}");
        }
        if container == Container::Flac || container == Container::Wav {
            let side = &sound[0];
            assert_eq!(side.len(), second_at + 12 * second);
            assert!(side[lost..second_at].iter().all(|sample| *sample == 0));
            let mono = Form::new(1, rate);
            assert_eq!(side[second_at..], tone(900.0, 12 * second, mono)[..], "to the sample");
        }
    }
}

#[test]
fn what_two_nodes_have_both_is_heard_once() {
    for (container, form) in all().filter(|(_, form)| form.channels == 1) {
        if !matches!(container, Container::Wav | Container::Flac) {
            continue;
        }
        let second = form.samples(1_000) as usize;
        let first = part(container, form, 0, &file(container, form, &tone(440.0, 20 * second, form)));
        let late = file(container, form, &tone(900.0, 15 * second, form));
        let late = part(container, form, 15 * second as u64, &late);
        let mut both: Part = first.into_iter().chain(late).collect();
        both.sort_by_key(|(first_sample, _)| *first_sample);
        let sound = decoded(container, &join(container, form, &both)).unwrap().remove(0);
        assert_eq!(sound.len(), 30 * second);
        assert_eq!(sound[..20 * second], tone(440.0, 20 * second, form)[..]);
        assert_eq!(sound[20 * second..], tone(900.0, 15 * second, form)[5 * second..]);
    }
}

#[test]
fn what_is_no_segment_is_refused_and_nothing_is_written() {
    for container in containers() {
        let form = Form::new(1, Rate::Narrow);
        let (mut joiner, mut out) = Joiner::new(container, form).unwrap();
        let before = out.len();
        // Of other channels, and of another rate.
        let other =
            |form| part(container, form, 0, &file(container, form, &tone(440.0, 50_000, form))).remove(0).1;
        let others = [other(Form::new(2, Rate::Narrow)), other(Form::new(1, Rate::Wide))];
        for bad in [&b""[..], b"no sound", &[0; 4000], &others[0], &others[1]] {
            assert_eq!(joiner.add(0, bad, &mut out), Err(JoinError::Foreign), "{container:?}");
        }
        assert_eq!(joiner.fill(u64::MAX, &mut out), Err(JoinError::TooFar));
        assert_eq!((out.len(), joiner.samples()), (before, 0));
    }
}

#[test]
fn what_only_a_wideband_file_has_is_in_it() {
    for (container, form) in all().filter(|(_, form)| form.rate > Rate::Narrow) {
        let second = form.samples(1_000) as usize;
        let bytes = file(container, form, &tone(5_000.0, 4 * second, form));
        let Some(sound) = decoded(container, &bytes) else { continue };
        for side in &sound {
            let heard = loudness(&side[2 * second..3 * second], 5_000.0, form.rate);
            assert!((0.8..1.2).contains(&heard), "{container:?} {form:?}: {heard}");
        }
    }
}
