//! Every codec at every rate.

use super::*;
use crate::goertzel::tone_power;
use crate::level::mean_square;
use crate::tone::{Tone, ToneGenerator};

const FREQ_HZ: f32 = 1_004.0;

fn tone(rate: Rate, ms: usize) -> Vec<i16> {
    let mut samples = vec![0; rate.samples(ms)];
    ToneGenerator::new(rate.hz(), &[Tone { freq_hz: FREQ_HZ, level_dbm0: -13.0 }]).fill(&mut samples);
    samples
}

fn packets(codec: Codec, rate: Rate, ms: u8, sound: &[i16]) -> Vec<Vec<u8>> {
    let settings = OpusSettings { bitrate_bps: 32_000, ..OpusSettings::default() };
    let mut encoder = Encoder::new(codec, rate, &settings).unwrap();
    sound
        .chunks_exact(rate.samples(usize::from(ms)))
        .map(|frame| {
            let mut packet = vec![0; codec.payload_bytes_max(usize::from(ms))];
            let length = encoder.encode(frame, &mut packet).unwrap();
            packet.truncate(length);
            packet
        })
        .collect()
}

#[test]
fn a_tone_comes_through_every_codec_at_every_rate_and_packet_time() {
    for codec in Codec::ALL {
        for (from, to) in Rate::ALL.into_iter().flat_map(|from| Rate::ALL.map(|to| (from, to))) {
            for wanted_ms in [10, 20, 30, 40, 50, 60] {
                let ms = codec.packet_time_ms(wanted_ms);
                let mut decoder = Decoder::new(codec, to).unwrap();
                let mut heard = Vec::new();
                for packet in packets(codec, from, ms, &tone(from, 600)) {
                    assert_eq!(codec.duration(&packet), Some(codec.clock_hz() / 1_000 * u32::from(ms)));
                    let mut out = vec![0; to.samples(usize::from(ms))];
                    assert_eq!(decoder.samples_of(&packet), Some(out.len()), "{codec:?}");
                    assert_eq!(decoder.decode(&packet, &mut out), Ok(out.len()), "{codec:?} {ms} ms");
                    heard.extend(out);
                }
                let heard = &heard[to.samples(200)..to.samples(500)];
                let (sent, got) = (mean_square(&tone(from, 300)), tone_power(heard, to.hz(), FREQ_HZ));
                let gain_db = 10.0 * (got / sent).log10();
                assert!(gain_db.abs() < 1.5, "{codec:?} {from:?} to {to:?}, {ms} ms: {gain_db} dB");
                let rest = (mean_square(heard) - got).max(1.0);
                let purity_db = 10.0 * (got / rest).log10();
                let least = if codec == Codec::Gsm { 9.0 } else { 14.0 };
                assert!(purity_db > least, "{codec:?} {from:?} to {to:?}, {ms} ms: {purity_db} dB");
            }
        }
    }
}

#[test]
fn a_lost_packet_is_concealed_and_a_long_gap_becomes_silent() {
    for codec in Codec::ALL {
        for rate in Rate::ALL {
            let packets = packets(codec, rate, 20, &tone(rate, 1_000));
            let mut decoder = Decoder::new(codec, rate).unwrap();
            let mut out = vec![0; rate.samples(20)];
            decoder.conceal(None, &mut out).unwrap();
            assert!(mean_square(&out) < 4.0, "{codec:?}: nothing was heard before");
            for packet in &packets[..25] {
                decoder.decode(packet, &mut out).unwrap();
            }
            let before = tone_power(&out, rate.hz(), FREQ_HZ);
            decoder.conceal(packets.get(26).map(Vec::as_slice), &mut out).unwrap();
            let concealed = tone_power(&out, rate.hz(), FREQ_HZ);
            assert!(concealed > before / 8.0, "{codec:?} {rate:?}: {concealed} of {before}");
            decoder.decode(&packets[26], &mut out).unwrap();
            for _ in 0..60 {
                decoder.conceal(None, &mut out).unwrap();
            }
            assert!(mean_square(&out) < before / 100.0, "{codec:?} {rate:?}: {}", mean_square(&out));
        }
    }
}

#[test]
fn garbage_is_refused_or_sounds_but_never_harms() {
    let mut state = 11u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    for codec in Codec::ALL {
        let mut decoder = Decoder::new(codec, Rate::Wide).unwrap();
        let mut out = vec![0; Rate::Wide.samples(60)];
        for length in (0..400).chain([480, 960, 961, 1_472, 9_000]) {
            let payload: Vec<u8> = (0..length).map(|_| random()).collect();
            if let Ok(made) = decoder.decode(&payload, &mut out) {
                assert_eq!(Some(made), decoder.samples_of(&payload), "{codec:?}");
            }
        }
        assert_eq!(decoder.decode(&[], &mut out), Err(CodecError::Malformed), "{codec:?}");
        assert!(decoder.conceal(None, &mut [0; 7]).is_err());
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    for codec in Codec::ALL {
        let mut encoder = Encoder::new(codec, Rate::Narrow, &OpusSettings::default()).unwrap();
        assert!(
            matches!(encoder.encode(&[], &mut [0; 999]), Err(CodecError::FrameLength { .. })),
            "{codec:?}"
        );
        assert!(matches!(encoder.encode(&[0; 161], &mut [0; 999]), Err(CodecError::FrameLength { .. })));
        // A packet of Opus may be one byte (RFC 6716, section 3.1), and libopus makes such of silence.
        let may_fit = codec == Codec::Opus && cfg!(feature = "opus-c");
        assert!(may_fit || encoder.encode(&[0; 160], &mut [0; 1]).is_err(), "{codec:?}");
    }
    let mut gsm = Encoder::new(Codec::Gsm, Rate::Narrow, &OpusSettings::default()).unwrap();
    assert_eq!(gsm.encode(&[0; 80], &mut [0; 99]), Err(CodecError::FrameLength { samples: 80 }));
}

#[test]
fn packet_times_that_each_can_make() {
    let fits = |codec: Codec| [0, 5, 10, 25, 30, 50, 60, 200].map(|ms| codec.packet_time_ms(ms));
    assert_eq!(fits(Codec::G711(Law::A)), [10, 10, 10, 20, 30, 50, 60, 60]);
    assert_eq!(fits(Codec::Gsm), [20, 20, 20, 20, 20, 40, 60, 60]);
    assert_eq!(fits(Codec::Opus), [10, 10, 10, 20, 20, 40, 60, 60]);
}
