//! G.722 against spandsp, where it is installed.
#![allow(unsafe_code, reason = "the reference is called over FFI")]

use crate::Rate;
use crate::codec::{Codec, Decoder, Encoder, OpusSettings};
use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

type Init = unsafe extern "C" fn(*mut c_void, c_int, c_int) -> *mut c_void;
type Encode = unsafe extern "C" fn(*mut c_void, *mut u8, *const i16, c_int) -> c_int;
type Decode = unsafe extern "C" fn(*mut c_void, *mut i16, *const u8, c_int) -> c_int;

/// spandsp's encoder and decoder.
struct Reference {
    new_encoder: Init,
    encode: Encode,
    new_decoder: Init,
    decode: Decode,
}

fn reference() -> Option<Reference> {
    let name = |s: &str| CString::new(s).unwrap();
    // SAFETY: the name ends with NUL; the library's constructors have no demands.
    let library = unsafe { dlopen(name("libspandsp.so.2").as_ptr(), 2) };
    if library.is_null() {
        eprintln!("SKIPPED: no libspandsp.so.2 (apt install libspandsp2): G.722 was not compared with it");
        return None;
    }
    // SAFETY: the library is open and stays so.
    let find = |s: &str| unsafe { dlsym(library, name(s).as_ptr()) };
    let found = ["g722_encode_init", "g722_encode", "g722_decode_init", "g722_decode"].map(find);
    assert!(!found.iter().any(|symbol| symbol.is_null()));
    // SAFETY: these are the signatures in spandsp/g722.h.
    unsafe {
        Some(Reference {
            new_encoder: std::mem::transmute::<*mut c_void, Init>(found[0]),
            encode: std::mem::transmute::<*mut c_void, Encode>(found[1]),
            new_decoder: std::mem::transmute::<*mut c_void, Init>(found[2]),
            decode: std::mem::transmute::<*mut c_void, Decode>(found[3]),
        })
    }
}

impl Reference {
    fn encoded(&self, sound: &[i16]) -> Vec<u8> {
        let mut bytes = vec![0; sound.len() / 2];
        // SAFETY: at 64 kbit/s two samples are one byte; the state is used by this thread alone.
        let made = unsafe {
            let state = (self.new_encoder)(std::ptr::null_mut(), 64_000, 0);
            (self.encode)(state, bytes.as_mut_ptr(), sound.as_ptr(), sound.len() as c_int)
        };
        assert_eq!(made as usize, bytes.len());
        bytes
    }

    fn decoded(&self, bytes: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; bytes.len() * 2];
        // SAFETY: as above.
        let made = unsafe {
            let state = (self.new_decoder)(std::ptr::null_mut(), 64_000, 0);
            (self.decode)(state, samples.as_mut_ptr(), bytes.as_ptr(), bytes.len() as c_int)
        };
        assert_eq!(made as usize, samples.len());
        samples
    }
}

/// Noise that swells and shrinks, with tones in both bands.
fn sound() -> Vec<i16> {
    let mut state = 17u32;
    (0..16_000)
        .map(|n| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let t = n as f32 / 16_000.0;
            let tones = (t * 4_400.0).sin() * 5_000.0 + (t * 33_000.0).sin() * 2_000.0;
            let noise = (state >> 16) as i16 as f32 * (t * 7.0).sin().powi(2) * 0.3;
            (tones + noise) as i16
        })
        .collect()
}

fn ours(sound: &[i16]) -> Vec<u8> {
    let mut encoder = Encoder::new(Codec::G722, Rate::Wide, &OpusSettings::default()).unwrap();
    let mut bytes = vec![0; sound.len() / 2];
    for (frame, packet) in sound.chunks_exact(320).zip(bytes.chunks_exact_mut(160)) {
        assert_eq!(encoder.encode(frame, packet), Ok(160));
    }
    bytes
}

#[test]
fn every_decoded_sample_is_that_of_spandsp() {
    let Some(reference) = reference() else { return };
    let bytes = reference.encoded(&sound());
    let expected = reference.decoded(&bytes);
    let mut decoder = Decoder::new(Codec::G722, Rate::Wide).unwrap();
    for (n, packet) in bytes.chunks_exact(160).enumerate() {
        let mut out = [0; 320];
        assert_eq!(decoder.decode(packet, &mut out), Ok(320));
        assert_eq!(out, expected[n * 320..][..320], "frame {n}");
    }
}

#[test]
fn every_encoded_octet_is_that_of_spandsp() {
    let Some(reference) = reference() else { return };
    let sound = sound();
    let (expected, made) = (reference.encoded(&sound), ours(&sound));
    let differ = expected.iter().zip(&made).position(|(a, b)| a != b);
    assert_eq!(differ, None, "octet");
}

/// Squares of full scale and falling frequency.
fn squares() -> Vec<i16> {
    (0..16_000)
        .map(|n: usize| if (n / (1 + n / 900)).is_multiple_of(2) { i16::MAX } else { i16::MIN })
        .collect()
}

#[test]
fn full_scale_square_waves_saturate_as_in_spandsp() {
    let Some(reference) = reference() else { return };
    let sound = squares();
    let bytes = reference.encoded(&sound);
    assert!(bytes == ours(&sound));
    let mut out = vec![0; bytes.len() * 2];
    super::G722Decoder::new().decode(&bytes, &mut out);
    let expected = reference.decoded(&bytes);
    // spandsp lets what exceeds 16 bits wrap around; the Recommendation (clause 4.4, block LIMIT of the output) limits it.
    let wraps =
        |(ours, theirs): &(&i16, &i16)| ours.unsigned_abs() >= 32_767 && ours.signum() != theirs.signum();
    let pairs = || out.iter().zip(&expected);
    assert!(pairs().all(|pair| pair.0 == pair.1 || wraps(&pair)));
    assert!(pairs().filter(|(ours, theirs)| ours == theirs).count() > out.len() / 2);
}

/// FNV-1a.
fn digest(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[test]
fn the_squares_are_made_alike_where_there_is_no_spandsp() {
    let bytes = ours(&squares());
    let mut out = vec![0; bytes.len() * 2];
    super::G722Decoder::new().decode(&bytes, &mut out);
    // Of spandsp's octets, and of our samples, which are limited where its own wrap around.
    assert_eq!(digest(bytes.iter().copied()), 0x9bab_f51c_dab3_6a71, "octets");
    assert_eq!(digest(out.iter().flat_map(|sample| sample.to_le_bytes())), 0x4325_0497_e726_fe58, "samples");
}
