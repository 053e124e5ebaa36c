//! Bytes and samples against libgsm, where it is installed.
#![allow(unsafe_code, reason = "the reference is called over FFI")]

use super::*;
use crate::tone::{Tone, ToneGenerator};
use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Create = unsafe extern "C" fn() -> *mut c_void;
type Encode = unsafe extern "C" fn(*mut c_void, *mut i16, *mut u8);
type Decode = unsafe extern "C" fn(*mut c_void, *mut u8, *mut i16) -> c_int;

struct Reference {
    create: Create,
    encode: Encode,
    decode: Decode,
}

fn reference() -> Option<Reference> {
    const NOW: c_int = 2;
    let name = |s: &str| CString::new(s).unwrap();
    // SAFETY: the names end with NUL; the library's constructors have no demands.
    let library = unsafe { dlopen(name("libgsm.so.1").as_ptr(), NOW) };
    if library.is_null() {
        eprintln!("SKIPPED: no libgsm.so.1 (apt install libgsm1): GSM was not compared with it");
        return None;
    }
    // SAFETY: the library is open and stays so.
    let find = |s: &str| unsafe { dlsym(library, name(s).as_ptr()) };
    let symbols = ["gsm_create", "gsm_encode", "gsm_decode"].map(find);
    assert!(symbols.iter().all(|s| !s.is_null()));
    // SAFETY: these are the signatures in gsm.h.
    unsafe {
        Some(Reference {
            create: std::mem::transmute::<*mut c_void, Create>(symbols[0]),
            encode: std::mem::transmute::<*mut c_void, Encode>(symbols[1]),
            decode: std::mem::transmute::<*mut c_void, Decode>(symbols[2]),
        })
    }
}

/// Voices, silence, full-scale noise, clipping and rumble: whatever drives the arithmetic to its ends.
fn material() -> Vec<[i16; FRAME]> {
    let mut frames = Vec::new();
    let mut state = 7u32;
    let mut noise = move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) as i16
    };
    let tone = |freq_hz, level_dbm0| Tone { freq_hz, level_dbm0 };
    let mut voice =
        ToneGenerator::new(8_000, &[tone(131.0, -12.0), tone(655.0, -16.0), tone(2_500.0, -20.0)]);
    let mut clipped = ToneGenerator::new(8_000, &[tone(300.0, 3.0), tone(350.0, 3.0)]);
    for n in 0..600 {
        let mut frame = [0i16; FRAME];
        match n / 50 {
            0 => {}
            1 => voice.fill(&mut frame),
            2 => frame.fill_with(&mut noise),
            3 => clipped.fill(&mut frame),
            4 => frame.fill_with(|| noise() >> 9),
            5 => frame.fill(i16::MIN),
            6 => frame.fill_with(|| if noise() > 0 { i16::MAX } else { i16::MIN }),
            7 => frame[n % FRAME] = i16::MAX,
            8 => frame.fill(i16::MAX),
            _ => {
                voice.fill(&mut frame);
                frame.iter_mut().for_each(|s| *s = s.saturating_add(noise() >> (n % 12)));
            }
        }
        frames.push(frame);
    }
    frames
}

#[test]
fn every_byte_and_every_sample_is_that_of_libgsm() {
    let Some(theirs) = reference() else { return };
    // SAFETY: `create` has no demands; both states are used by this thread alone.
    let (their_encoder, their_decoder) = unsafe { ((theirs.create)(), (theirs.create)()) };
    let (mut encoder, mut decoder) = (GsmEncoder::new(), GsmDecoder::new());
    let mut golden = Vec::new();
    for (number, frame) in material().into_iter().enumerate() {
        let (mut ours, mut expected) = ([0; BYTES], [0; BYTES]);
        encoder.encode(&frame, &mut ours);
        let mut input = frame;
        // SAFETY: 160 samples and 33 bytes, as the library wants.
        unsafe { (theirs.encode)(their_encoder, input.as_mut_ptr(), expected.as_mut_ptr()) };
        assert_eq!(ours, expected, "encoded frame {number}");
        if (GOLDEN_FROM..GOLDEN_TO).contains(&number) {
            golden.extend_from_slice(&expected);
        }
        let (mut heard, mut should) = ([0; FRAME], [0; FRAME]);
        assert!(decoder.decode(&ours, &mut heard));
        // SAFETY: as above.
        unsafe { (theirs.decode)(their_decoder, expected.as_mut_ptr(), should.as_mut_ptr()) };
        assert_eq!(heard, should, "decoded frame {number}");
    }
    if std::env::var_os("UPDATE").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/codec/gsm/voice.gsm");
        std::fs::write(path, &golden).unwrap();
    }
}

#[test]
fn random_frames_decode_as_in_libgsm() {
    let Some(theirs) = reference() else { return };
    // SAFETY: as above.
    let their_decoder = unsafe { (theirs.create)() };
    let mut decoder = GsmDecoder::new();
    let mut state = 99u64;
    for number in 0..2_000 {
        let mut bytes = [0u8; BYTES];
        for byte in &mut bytes {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        bytes[0] = bytes[0] & 0x0F | 0xD0;
        let (mut heard, mut should) = ([0; FRAME], [0; FRAME]);
        assert!(decoder.decode(&bytes, &mut heard));
        // SAFETY: as above.
        unsafe { (theirs.decode)(their_decoder, bytes.as_mut_ptr(), should.as_mut_ptr()) };
        assert_eq!(heard, should, "frame {number}");
    }
}

/// Which frames of the material are committed as libgsm 1.0.22 encodes them.
const GOLDEN_FROM: usize = 30;
const GOLDEN_TO: usize = 130;

#[test]
fn the_committed_frames_are_made_alike_where_there_is_no_libgsm() {
    let golden = include_bytes!("voice.gsm").as_chunks::<BYTES>().0;
    let mut encoder = GsmEncoder::new();
    for (number, frame) in material().iter().enumerate().take(GOLDEN_TO) {
        let mut bytes = [0; BYTES];
        encoder.encode(frame, &mut bytes);
        if number >= GOLDEN_FROM {
            assert_eq!(bytes, golden[number - GOLDEN_FROM], "frame {number}");
        }
    }
    assert_eq!(golden.len(), GOLDEN_TO - GOLDEN_FROM);
}

#[test]
fn what_is_no_frame_is_refused_and_a_gap_fades() {
    let mut decoder = GsmDecoder::new();
    let mut out = [1; FRAME];
    assert!(!decoder.decode(&[0; BYTES], &mut out), "no signature");
    decoder.conceal(&mut out);
    assert_eq!(out, [0; FRAME], "nothing to repeat");
    let mut encoder = GsmEncoder::new();
    let mut bytes = [0; BYTES];
    for frame in &material()[50..70] {
        encoder.encode(frame, &mut bytes);
        assert!(decoder.decode(&bytes, &mut out));
    }
    let level = |frame: &[i16]| crate::level::mean_square(frame);
    let before = level(&out);
    decoder.conceal(&mut out);
    assert!(level(&out) > before / 4.0, "the first lost frame goes on as it was");
    for _ in 0..LOST_MAX {
        decoder.conceal(&mut out);
    }
    assert_eq!(out, [0; FRAME]);
}
