use sidetone_dsp::Rate;

use super::*;
use crate::recorder::recording::Recording;

fn new() -> NewRecording {
    NewRecording {
        number: 1,
        id: "r1".into(),
        tenant: "demo".into(),
        container: Container::Wav,
        form: Form::new(1, Rate::Narrow),
        began_ms: 0,
    }
}

fn spool(folder: &tempfile::TempDir) -> Spool {
    Spool::new(folder.path().to_owned(), "media-tracks", false)
}

fn samples(folder: &tempfile::TempDir, name: &str) -> Vec<i16> {
    let file = hound::WavReader::open(folder.path().join(name)).unwrap();
    file.into_samples().map(Result::unwrap).collect()
}

#[test]
fn a_file_that_cannot_be_made_holds_up_no_other_and_begins_with_silence() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(&folder);
    let mut written = Written::begin(&spool, &new()).unwrap();
    let first = written.tracks[0].name.clone();
    let second = first.replace(".wav", ".1.wav");
    // What stands in the way of the file.
    std::fs::create_dir(folder.path().join(&second)).unwrap();
    for track in [1, 0] {
        assert!(written.write(&spool, track, Sound::Samples(vec![1; 8000])).is_err() == (track == 1));
    }
    assert!(written.write(&spool, 1, Sound::Silence(4000)).is_err());
    std::fs::remove_dir(folder.path().join(&second)).unwrap();
    written.write(&spool, 1, Sound::Samples(vec![2; 8000])).unwrap();
    let finished = written.finish(None);
    assert_eq!((finished.failure, finished.tracks), (None, vec![second.clone()]));
    assert!(samples(&folder, &first) == [1; 8000]);
    let expected: Vec<i16> = std::iter::repeat_n(0, 12_000).chain([2; 8000]).collect();
    assert!(samples(&folder, &second) == expected, "its place on the timeline is kept");
}

#[test]
fn a_file_that_never_could_be_made_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let spool = spool(&folder);
    let mut written = Written::begin(&spool, &new()).unwrap();
    let second = written.tracks[0].name.replace(".wav", ".1.wav");
    std::fs::create_dir(folder.path().join(second)).unwrap();
    assert!(written.write(&spool, 1, Sound::Samples(vec![1; 8000])).is_err());
    assert_eq!(written.finish(None).failure.as_deref(), Some("a file could not be made"));
}

#[test]
fn a_track_that_begins_late_has_its_sound_where_it_was_said() {
    let (folder, telemetry) = (tempfile::tempdir().unwrap(), Telemetry::new().unwrap());
    let shared = Shared {
        spool: spool(&folder),
        finished: Arc::default(),
        failures: mpsc::channel(1).0,
        telemetry: Arc::clone(&telemetry),
        gate: crate::recorder::stalls::Gate::default(),
    };
    let finished = Arc::clone(&shared.finished);
    let writers = Writers::start(&shared).unwrap();
    let mut recording = Recording::begin(&new());
    writers.begin(new(), oneshot::channel().0);
    // 20 s of one leg alone, then another with it, 100 ms at a time. All of it is less than what may wait for the disk.
    for n in 0..220_u64 {
        recording.add(n * 800, 0, 0, &[1000; 800]);
        if n == 200 {
            recording.need_track(1);
        }
        if n >= 200 {
            recording.add(n * 800, 1, 0, &[2000; 800]);
        }
        recording.flush_until(n * 100, &writers);
    }
    recording.finish(22_000, &writers);
    writers.end(1, None, None);
    writers.stop();
    let finished = finished.lock().unwrap().remove(0);
    assert_eq!((finished.duration_ms, finished.failure), (22_000, None));
    assert!(samples(&folder, &finished.file) == [1000; 176_000]);
    let expected: Vec<i16> = std::iter::repeat_n(0, 160_000).chain([2000; 16_000]).collect();
    assert!(samples(&folder, &finished.tracks[0]) == expected);
    assert_eq!(telemetry.media.recording_gap_samples.get(), 0, "nothing was left out");
}

#[test]
fn what_waits_to_be_acknowledged_is_bounded_and_known_once() {
    let mut all = Vec::new();
    let one = |n: usize, duration_ms| Finished { id: n.to_string(), duration_ms, ..Finished::default() };
    (0..FINISHED_MAX).for_each(|n| all.push(one(n, 1)));
    keep(&mut all, one(5, 2));
    assert_eq!(all.len(), FINISHED_MAX);
    assert_eq!(all.iter().filter(|known| known.id == "5").map(|known| known.duration_ms).sum::<u64>(), 2);
    keep(&mut all, one(FINISHED_MAX, 1));
    assert_eq!((all.len(), all[0].id.as_str()), (FINISHED_MAX, "1"), "the oldest is forgotten");
}
