//! `hound` reads what is left of a recording, wherever it was cut.

use sidetone_record_core::{HEADER_LEN, SampleFormat, WavFormat, WavWriter, repaired_header};

const MONO: WavFormat = WavFormat { samples: SampleFormat::Pcm16, channels: 1, rate_hz: 8_000 };

fn bytes(range: std::ops::Range<i16>) -> Vec<u8> {
    range.flat_map(i16::to_le_bytes).collect()
}

#[test]
fn a_spool_cut_at_every_byte_is_repaired_to_all_its_whole_samples() {
    let (mut writer, mut file) = WavWriter::new(MONO);
    writer.write(0, &bytes(0..200), &mut file).unwrap();
    for cut in 0..=file.len() {
        let mut left = file[..cut].to_vec();
        let Ok(patch) = repaired_header(&left, cut as u64) else {
            assert!(cut < HEADER_LEN);
            continue;
        };
        left[..patch.bytes.len()].copy_from_slice(&patch.bytes);
        let samples: Vec<i16> =
            hound::WavReader::new(&left[..]).unwrap().into_samples().map(Result::unwrap).collect();
        assert_eq!(samples, (0..((cut - HEADER_LEN) / 2) as i16).collect::<Vec<_>>(), "cut at {cut}");
    }
}

#[test]
fn without_repair_it_plays_up_to_the_last_patch_which_is_a_second_old_at_most() {
    let (mut writer, mut file) = WavWriter::new(MONO);
    let mut patched = 0;
    for frame in 0..260u64 {
        writer.write(frame * 160, &[1; 320], &mut file).unwrap();
        if let Some(patch) = writer.due_patch() {
            file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
            patched = writer.position();
        }
        let reader = hound::WavReader::new(&file[..]).unwrap();
        assert_eq!(u64::from(reader.len()), patched);
        assert!(writer.position() - patched < 8_000);
    }
}

#[test]
fn gaps_become_silence_and_overlaps_are_dropped() {
    let (mut writer, mut file) = WavWriter::new(MONO);
    writer.write(2, &bytes(1..5), &mut file).unwrap();
    writer.write(4, &bytes(90..94), &mut file).unwrap();
    writer.write(0, &bytes(0..3), &mut file).unwrap();
    writer.pad_to(10, &mut file).unwrap();
    let patch = writer.patch();
    file[..patch.bytes.len()].copy_from_slice(&patch.bytes);
    let samples: Vec<i16> =
        hound::WavReader::new(&file[..]).unwrap().into_samples().map(Result::unwrap).collect();
    assert_eq!(samples, [0, 0, 1, 2, 3, 4, 92, 93, 0, 0]);
    assert_eq!((writer.filled(), writer.overlapped()), (4, 5));
    assert!(writer.write(10, &[1], &mut file).is_err(), "half a sample");
    assert!(writer.write(u64::MAX, &[1, 1], &mut file).is_err());
}

#[test]
fn foreign_files_are_not_repaired() {
    assert!(repaired_header(&[0; 100], 100).is_err());
    let g711 = WavFormat { samples: SampleFormat::ALaw, channels: 2, rate_hz: 8_000 };
    let (_, header) = WavWriter::new(g711);
    let patch = repaired_header(&header, HEADER_LEN as u64 + 5).unwrap();
    assert_eq!(patch.bytes[54..58], [4, 0, 0, 0], "stereo G.711 frames are 2 bytes");
}
