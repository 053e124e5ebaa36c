//! A recording is read by an independent reader, whole and killed at every byte.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::io::Cursor;

use sidetone_record_core::wav::{Encoding, GAP_FRAMES_MAX, HEADER_BYTES, WavSpec, WavWriter, repair};
use sidetone_record_core::{Patch, RecordError};

const MONO: WavSpec = WavSpec { rate_hz: 8000, channels: 1, encoding: Encoding::Pcm16 };

fn patched(mut file: Vec<u8>, patches: &[Patch]) -> Vec<u8> {
    for patch in patches {
        let at = patch.offset as usize;
        file[at..at + 4].copy_from_slice(&patch.bytes);
    }
    file
}

fn samples(file: Vec<u8>) -> Vec<i16> {
    let mut reader = hound::WavReader::new(Cursor::new(file)).unwrap();
    assert_eq!(reader.spec().sample_rate, 8000);
    reader.samples::<i16>().map(Result::unwrap).collect()
}

#[test]
fn blocks_land_where_they_belong() {
    let mut writer = WavWriter::new(MONO);
    let mut file = MONO.header(0).to_vec();
    writer.write(0, &[1, 2, 3], &mut file).unwrap();
    writer.write(5, &[6, 7], &mut file).unwrap();
    writer.write(6, &[99, 8], &mut file).unwrap();
    assert_eq!(samples(patched(file, &writer.patches())), [1, 2, 3, 0, 0, 6, 7, 8]);
    assert_eq!((writer.silent_frames(), writer.overlapped_frames()), (2, 1));
}

#[test]
fn two_sides_stay_on_their_sides() {
    let spec = WavSpec { channels: 2, ..MONO };
    let mut writer = WavWriter::new(spec);
    let mut file = spec.header(0).to_vec();
    writer.write(1, &[10, -10, 11, -11], &mut file).unwrap();
    assert_eq!(samples(patched(file, &writer.patches())), [0, 0, 10, -10, 11, -11]);
    assert_eq!(
        writer.write(3, &[1], &mut Vec::new()),
        Err(RecordError::PartialFrame { samples: 1, channels: 2 })
    );
}

#[test]
fn a_jump_of_the_clock_does_not_fill_the_disk() {
    let mut writer = WavWriter::new(MONO);
    let mut out = Vec::new();
    let refused = writer.write(GAP_FRAMES_MAX + 1, &[1], &mut out);
    assert_eq!(refused, Err(RecordError::GapTooLong { frames: GAP_FRAMES_MAX + 1 }));
    assert!(out.is_empty());
}

#[test]
fn a_file_cut_at_any_byte_plays_up_to_there() {
    let spec = WavSpec { channels: 2, ..MONO };
    let mut writer = WavWriter::new(spec);
    let mut file = spec.header(0).to_vec();
    let sound: Vec<i16> = (0..40).collect();
    writer.write(0, &sound, &mut file).unwrap();
    for cut in 0..=file.len() {
        let left = &file[..cut];
        let Ok(repaired) = repair(&left[..cut.min(HEADER_BYTES)], cut as u64) else {
            assert!(cut < HEADER_BYTES, "cut at {cut} was given up");
            continue;
        };
        let whole = patched(left[..repaired.file_bytes as usize].to_vec(), &repaired.patches);
        assert_eq!(samples(whole), sound[..(cut - HEADER_BYTES) / 4 * 2], "cut at {cut}");
        assert_eq!(repaired.frames as usize, (cut - HEADER_BYTES) / 4);
    }
}

#[test]
fn g711_is_kept_as_it_is_and_announced_as_such() {
    let spec = WavSpec { encoding: Encoding::Alaw, ..MONO };
    let mut writer = WavWriter::new(spec);
    let mut file = spec.header(0).to_vec();
    writer.write_coded(1, &[0x12, 0x34], &mut file).unwrap();
    let file = patched(file, &writer.patches());
    assert_eq!(file[HEADER_BYTES..], [0xd5, 0x12, 0x34]);
    assert_eq!(u16::from_le_bytes([file[20], file[21]]), 6);
    assert_eq!(u32::from_le_bytes(file[46..50].try_into().unwrap()), 3);
    assert_eq!(repair(&file[..HEADER_BYTES], file.len() as u64).unwrap().spec, spec);
}

#[test]
fn somebody_elses_file_is_left_alone() {
    assert_eq!(repair(b"RIFFxxxxWAVEfmt ", 100), Err(RecordError::NotOurs));
    let mut other = MONO.header(0);
    other[38] = b'L';
    assert_eq!(repair(&other, 100), Err(RecordError::NotOurs));
}
