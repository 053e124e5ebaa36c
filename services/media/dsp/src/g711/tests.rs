use super::*;

fn available() -> impl Iterator<Item = InstructionSet> {
    InstructionSet::ALL.into_iter().filter(|set| set.is_available())
}

#[test]
fn every_set_of_this_processor_has_kernels_of_its_own() {
    for set in available() {
        let portable = std::ptr::eq(Kernels::of(set), &scalar::KERNELS);
        assert_eq!(portable, set == InstructionSet::Scalar, "{set:?}");
    }
    let best = available().last().unwrap();
    assert!(std::ptr::eq(chosen(), Kernels::of(best)), "{best:?} is what calls without a named set use");
}

#[test]
#[cfg(target_arch = "aarch64")]
fn every_aarch64_has_neon() {
    assert_eq!(crate::instruction_set(), InstructionSet::Neon);
}

#[test]
fn every_set_does_every_length_as_the_portable_one() {
    let samples: Vec<i16> = (0..400).map(|n: i32| (n * 7_919) as i16).collect();
    let bytes: Vec<u8> = (0..400).map(|n: i32| (n * 37) as u8).collect();
    for law in [Law::Mu, Law::A] {
        for set in available() {
            for length in 0..=200 {
                let start = length % 33;
                let done = |set| {
                    // What lies behind the slice must stay as it is.
                    let (mut linear, mut coded) = ([0x55AA; 400], [0xA5; 400]);
                    decode_with(set, law, &bytes[start..start + length], &mut linear[start..start + length]);
                    encode_with(set, law, &samples[start..start + length], &mut coded[start..start + length]);
                    let mut translated = bytes.clone();
                    translate_in_place_with(set, law, &mut translated[start..start + length]);
                    (linear, coded, translated)
                };
                assert!(done(set) == done(InstructionSet::Scalar), "{set:?} {law:?}: {length} from {start}");
            }
        }
    }
}

#[test]
fn every_set_decodes_every_byte_alike_at_every_length_and_offset() {
    let bytes: Vec<u8> = (0..=255).chain(0..=255).collect();
    for law in [Law::Mu, Law::A] {
        for set in available() {
            for (start, end) in [(0, 256), (1, 512), (3, 163), (7, 7), (0, 160), (0, 15), (5, 400)] {
                let mut expected = vec![0; end - start];
                scalar_reference(law, &bytes[start..end], &mut expected);
                let mut got = vec![1; end - start];
                assert_eq!(decode_with(set, law, &bytes[start..end], &mut got), end - start);
                assert_eq!(got, expected, "{set:?} {law:?} {start}..{end}");
            }
        }
    }
}

fn scalar_reference(law: Law, bytes: &[u8], samples: &mut [i16]) {
    for (sample, byte) in samples.iter_mut().zip(bytes) {
        *sample = match law {
            Law::Mu => tables::mu_to_linear(*byte),
            Law::A => tables::a_to_linear(*byte),
        };
    }
}

#[test]
fn every_set_encodes_all_65536_samples_alike() {
    let samples: Vec<i16> = (i16::MIN..=i16::MAX).collect();
    for law in [Law::Mu, Law::A] {
        let expected: Vec<u8> = samples
            .iter()
            .map(|s| match law {
                Law::Mu => tables::linear_to_mu(*s),
                Law::A => tables::linear_to_a(*s),
            })
            .collect();
        for set in available() {
            for cut in [0, 1, 17, 31] {
                let mut got = vec![0; samples.len() - cut];
                encode_with(set, law, &samples[cut..], &mut got);
                assert!(got == expected[cut..], "{set:?} {law:?} from {cut}");
            }
        }
    }
}

#[test]
fn encoding_stays_within_half_a_step_of_the_sample() {
    // The widest step of a segment is a sixteenth of the segment's start; decisions are taken in 14 or 13 bits.
    for law in [Law::Mu, Law::A] {
        for sample in i16::MIN..=i16::MAX {
            let mut byte = [0];
            encode(law, &[sample], &mut byte);
            let error = (i32::from(one(law, byte[0])) - i32::from(sample)).abs();
            assert!(error <= i32::from(sample).abs() / 32 + 16, "{law:?} {sample}: {error}");
        }
    }
}

fn one(law: Law, byte: u8) -> i16 {
    let mut sample = [0];
    decode(law, &[byte], &mut sample);
    sample[0]
}

#[test]
fn decode_then_encode_gives_back_every_byte() {
    for law in [Law::Mu, Law::A] {
        for byte in 0..=255u8 {
            let mut again = [0];
            encode(law, &[one(law, byte)], &mut again);
            let expected = if law == Law::Mu && byte == 0x7F { 0xFF } else { byte };
            assert_eq!(again[0], expected, "{law:?}");
        }
    }
}

#[test]
fn known_points_of_the_recommendation() {
    assert_eq!(one(Law::Mu, 0x00), -32124);
    assert_eq!(one(Law::Mu, 0x80), 32124);
    assert_eq!(one(Law::Mu, 0xFF), 0);
    assert_eq!(one(Law::A, 0xD5), 8);
    assert_eq!(one(Law::A, 0x55), -8);
    assert_eq!(one(Law::A, 0xAA), 32256);
    assert_eq!(one(Law::A, 0x2A), -32256);
    assert_eq!((Law::Mu.silence(), Law::A.silence()), (0xFF, 0xD5));
}

#[test]
fn every_set_translates_every_byte_alike() {
    let all: Vec<u8> = (0..=255).cycle().take(256 * 3 + 37).collect();
    for law in [Law::Mu, Law::A] {
        let mut expected = all.clone();
        translate_in_place_with(InstructionSet::Scalar, law, &mut expected);
        for set in available() {
            let mut got = all.clone();
            translate_in_place_with(set, law, &mut got);
            assert_eq!(got, expected, "{set:?} from {law:?}");
        }
    }
}

#[test]
fn translation_keeps_sign_and_order_and_stays_within_a_step() {
    for law in [Law::Mu, Law::A] {
        let mut previous = i16::MIN;
        let mut by_level: Vec<u8> = (0..=255).collect();
        by_level.sort_by_key(|b| one(law, *b));
        for byte in by_level {
            let mut other = [byte];
            translate_in_place(law, &mut other);
            let (before, after) = (one(law, byte), one(law.other(), other[0]));
            assert_eq!(byte & 0x80, other[0] & 0x80, "sign of {byte:#x}");
            assert!(after >= previous || after.abs() <= 8, "order at {byte:#x}");
            previous = after;
            let error = (i32::from(before) - i32::from(after)).abs();
            assert!(
                error <= 8 + i32::from(before.unsigned_abs()) / 24,
                "{law:?} {byte:#x}: {before} {after}"
            );
        }
    }
}

#[test]
fn going_there_and_back_settles_after_one_round() {
    for law in [Law::Mu, Law::A] {
        for byte in 0..=255u8 {
            let round = |b: u8| {
                let mut x = [b];
                translate_in_place(law, &mut x);
                translate_in_place(law.other(), &mut x);
                x[0]
            };
            let once = round(byte);
            assert_eq!(round(once), once, "{law:?} {byte:#x}: tandem conversions must not drift");
        }
    }
}
