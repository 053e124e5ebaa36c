//! One suite for every library, and each against the other.

use super::pure::guarded;
use super::*;
use crate::level::mean_square;

/// A sound with some voice to it: harmonics of a gliding pitch, in syllables.
fn voice(rate: Rate, ms: usize) -> Vec<i16> {
    let hz = rate.hz() as f32;
    let mut phase = 0.0f32;
    (0..rate.samples(ms))
        .map(|n| {
            let t = n as f32 / hz;
            phase += (130.0 + 30.0 * (t * 5.0).sin()) / hz;
            let syllable = (t * 3.5 * std::f32::consts::PI).sin().abs();
            let harmonics: f32 =
                (1..20).map(|k| (std::f32::consts::TAU * phase * k as f32).sin() / k as f32).sum();
            (harmonics * syllable * 6_000.0) as i16
        })
        .collect()
}

fn snr_db(reference: &[i16], heard: &[i16]) -> f32 {
    let error: Vec<i16> = reference.iter().zip(heard).map(|(a, b)| a.saturating_sub(*b)).collect();
    10.0 * (mean_square(reference) / mean_square(&error).max(1e-3)).log10()
}

/// The best signal-to-noise ratio over the delays that Opus may have.
fn best_snr_db(sent: &[i16], heard: &[i16], rate: Rate) -> f32 {
    let window = rate.samples(200)..sent.len() - rate.samples(20);
    (0..rate.samples(15))
        .map(|delay| snr_db(&sent[window.clone()], &heard[window.start + delay..window.end + delay]))
        .fold(f32::MIN, f32::max)
}

fn carries<E: OpusEncode, D: OpusDecode>() {
    for rate in Rate::ALL {
        for ms in [10, 20, 40, 60] {
            let settings = OpusSettings { bitrate_bps: 40_000, complexity: 8, fec: false, loss_percent: 0 };
            let (mut encoder, mut decoder) = (E::new(rate, &settings).unwrap(), D::new(rate).unwrap());
            let sent = voice(rate, 1_200);
            let mut heard = Vec::new();
            for frame in sent.chunks_exact(rate.samples(ms)) {
                let mut packet = [0; 1_500];
                let length = encoder.encode(frame, &mut packet).unwrap();
                assert_eq!(packet_duration(&packet[..length]), Some(48 * ms as u32), "{rate:?} {ms} ms");
                let mut out = vec![0; rate.samples(ms)];
                assert_eq!(decoder.decode(&packet[..length], &mut out), Ok(out.len()));
                heard.extend(out);
            }
            let snr = best_snr_db(&sent, &heard, rate);
            // Filters and delays of fractions of a sample count as noise here: this is about being the same sound at all.
            assert!(snr > 2.5, "{rate:?} {ms} ms: {snr} dB");
        }
    }
}

/// Every fifth packet is lost; what is heard in its place is compared with what it held.
fn lost_ones<E: OpusEncode, D: OpusDecode>(fec: bool) -> f32 {
    let rate = Rate::Wide;
    let settings = OpusSettings { bitrate_bps: 32_000, complexity: 8, fec, loss_percent: 20 };
    let (mut encoder, mut decoder) = (E::new(rate, &settings).unwrap(), D::new(rate).unwrap());
    let sent = voice(rate, 4_000);
    let packets: Vec<Vec<u8>> = sent
        .chunks_exact(rate.samples(20))
        .map(|frame| {
            let mut packet = vec![0; 1_500];
            let length = encoder.encode(frame, &mut packet).unwrap();
            packet.truncate(length);
            packet
        })
        .collect();
    let mut clean = D::new(rate).unwrap();
    let (mut error, mut power) = (0.0, 0.0);
    for (n, packet) in packets.iter().enumerate() {
        let (mut out, mut expected) = (vec![0; rate.samples(20)], vec![0; rate.samples(20)]);
        clean.decode(packet, &mut expected).unwrap();
        if n % 5 == 4 {
            decoder.conceal(packets.get(n + 1).map(Vec::as_slice), &mut out).unwrap();
            let difference: Vec<i16> = out.iter().zip(&expected).map(|(a, b)| a.saturating_sub(*b)).collect();
            error += mean_square(&difference);
            power += mean_square(&expected);
        } else {
            decoder.decode(packet, &mut out).unwrap();
        }
    }
    10.0 * (power / error).log10()
}

fn repairs<E: OpusEncode, D: OpusDecode>() {
    let (with, without) = (lost_ones::<E, D>(true), lost_ones::<E, D>(false));
    assert!(with > 3.0 && with > without + 3.0, "lost packets: {with} dB with FEC, {without} dB without");
}

fn refuses<E: OpusEncode, D: OpusDecode>() {
    let mut encoder = E::new(Rate::Narrow, &OpusSettings::default()).unwrap();
    for samples in [0, 1, 159, 240, 800, 961] {
        let got = encoder.encode(&vec![0; samples], &mut [0; 1_500]);
        assert_eq!(got, Err(CodecError::FrameLength { samples }));
    }
    let mut decoder = D::new(Rate::Narrow).unwrap();
    let mut out = [0; 960];
    assert_eq!(decoder.decode(&[], &mut out), Err(CodecError::Malformed));
    assert_eq!(decoder.decode(&[0xFF, 0], &mut out), Err(CodecError::Malformed), "no frame in it");
    assert_eq!(decoder.decode(&[0xFF, 50], &mut out), Err(CodecError::Malformed), "a second of sound");
    assert!(decoder.conceal(None, &mut [0; 13]).is_err());
    let mut state = 3u64;
    for length in 0..2_000usize {
        let mut packet = vec![0u8; length % 90];
        for byte in &mut packet {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (state >> 56) as u8;
        }
        if let Ok(samples) = decoder.decode(&packet, &mut out) {
            assert!(samples <= out.len());
        }
    }
}

/// The mean size of a packet changes with the bit rate, in mid-stream.
fn adapts<E: OpusEncode>() {
    let mut encoder =
        E::new(Rate::Wide, &OpusSettings { bitrate_bps: 12_000, ..Default::default() }).unwrap();
    let sent = voice(Rate::Wide, 4_000);
    let (mut bytes, mut packet) = ([0; 2], [0; 1_500]);
    for (n, frame) in sent.chunks_exact(320).enumerate() {
        if n == 100 {
            encoder.adapt(&OpusSettings { bitrate_bps: 40_000, ..Default::default() });
        }
        bytes[n / 100] += encoder.encode(frame, &mut packet).unwrap();
    }
    assert!(bytes[1] > bytes[0] * 2, "{bytes:?}");
    assert!((1_500..4_500).contains(&bytes[0]), "12 kbit/s are 3,000 bytes in 2 s: {}", bytes[0]);
}

/// Bit rate and expected loss change with every packet, between words and silence: each packet is one that can be decoded.
fn adapts_at_any_time<E: OpusEncode, D: OpusDecode>() {
    let mut state = 11u32;
    let mut random = |limit: u32| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 16) % limit
    };
    for rate in Rate::ALL {
        for ms in [10, 20, 40, 60] {
            let mut settings = OpusSettings::default();
            let (mut encoder, mut decoder) = (E::new(rate, &settings).unwrap(), D::new(rate).unwrap());
            let sound = voice(rate, 6_000);
            for (n, frame) in sound.chunks_exact(rate.samples(ms)).enumerate() {
                settings.bitrate_bps = 6_000 + random(60_000);
                settings.loss_percent = random(40) as u8;
                encoder.adapt(&settings);
                let silence = vec![0; frame.len()];
                let mut packet = [0; 1_500];
                let frame = if n / 20 % 3 == 2 { &silence } else { frame };
                let length = encoder.encode(frame, &mut packet).unwrap();
                let mut out = vec![0; rate.samples(ms)];
                assert_eq!(
                    decoder.decode(&packet[..length], &mut out),
                    Ok(out.len()),
                    "{rate:?} {ms} ms, {n}"
                );
            }
        }
    }
}

#[test]
fn the_one_in_rust_may_be_adapted_with_every_packet() {
    adapts_at_any_time::<PureEncoder, PureDecoder>();
}

/// Every bit rate with every loss, at the rate where `opus-rs` by itself panics at some of them.
#[test]
fn the_one_in_rust_prepares_for_any_loss_at_any_bit_rate() {
    let rate = Rate::Full;
    let sound = voice(rate, 800);
    for loss_percent in [0, 5, 10, 20, 30, 100] {
        for bitrate_bps in (6_000..=48_000).step_by(3_000) {
            let settings = OpusSettings { bitrate_bps, loss_percent, ..OpusSettings::default() };
            let mut encoder = PureEncoder::new(rate, &settings).unwrap();
            for frame in sound.chunks_exact(rate.samples(20)) {
                let made = encoder.encode(frame, &mut [0; 1_500]);
                assert!(made.is_ok(), "{bitrate_bps} bit/s, {loss_percent} %");
            }
        }
    }
}

#[test]
fn a_panic_of_the_library_costs_a_packet_and_not_the_thread() {
    let mut calls = 0;
    let mut again = |fails: bool| {
        guarded(
            &mut calls,
            |calls| {
                *calls += 1;
                assert!(!fails, "as a library would");
                Ok(7)
            },
            |calls| *calls = 100,
        )
    };
    assert_eq!(again(false), Ok(7));
    assert_eq!(again(true), Err(CodecError::Library));
    assert_eq!(again(false), Ok(7));
    assert_eq!(calls, 101, "it was made anew");
}

#[test]
fn the_one_in_rust_carries_every_rate_and_packet_time() {
    carries::<PureEncoder, PureDecoder>();
}

#[test]
fn the_one_in_rust_repairs_losses_from_the_next_packet() {
    repairs::<PureEncoder, PureDecoder>();
}

#[test]
fn the_one_in_rust_refuses_what_is_no_packet() {
    refuses::<PureEncoder, PureDecoder>();
}

#[test]
fn the_one_in_rust_follows_the_bit_rate() {
    adapts::<PureEncoder>();
}

#[cfg(feature = "opus-c")]
mod with_libopus {
    use super::*;

    #[test]
    fn libopus_does_all_of_it_too() {
        adapts_at_any_time::<LibopusEncoder, LibopusDecoder>();
        carries::<LibopusEncoder, LibopusDecoder>();
        repairs::<LibopusEncoder, LibopusDecoder>();
        refuses::<LibopusEncoder, LibopusDecoder>();
        adapts::<LibopusEncoder>();
    }

    #[test]
    fn each_understands_the_other() {
        carries::<LibopusEncoder, PureDecoder>();
        carries::<PureEncoder, LibopusDecoder>();
        repairs::<LibopusEncoder, PureDecoder>();
        repairs::<PureEncoder, LibopusDecoder>();
    }

    #[test]
    fn both_decode_libopus_alike() {
        for rate in Rate::ALL {
            let settings = OpusSettings { bitrate_bps: 24_000, ..Default::default() };
            let mut encoder = LibopusEncoder::new(rate, &settings).unwrap();
            let (mut pure, mut reference) =
                (PureDecoder::new(rate).unwrap(), LibopusDecoder::new(rate).unwrap());
            for frame in voice(rate, 2_000).chunks_exact(rate.samples(20)) {
                let mut packet = [0; 1_500];
                let length = encoder.encode(frame, &mut packet).unwrap();
                let (mut a, mut b) = (vec![0; frame.len()], vec![0; frame.len()]);
                pure.decode(&packet[..length], &mut a).unwrap();
                reference.decode(&packet[..length], &mut b).unwrap();
                let apart = a.iter().zip(&b).map(|(a, b)| a.abs_diff(*b)).max();
                assert!(apart <= Some(4), "{rate:?}: {apart:?}");
            }
        }
    }
}

#[test]
fn durations_of_packets() {
    assert_eq!(packet_duration(&[]), None);
    assert_eq!(packet_duration(&[1 << 3]), Some(960), "SILK, 20 ms");
    assert_eq!(packet_duration(&[3 << 3]), Some(2_880));
    assert_eq!(packet_duration(&[13 << 3 | 1]), Some(1_920), "two of hybrid");
    assert_eq!(packet_duration(&[28 << 3 | 3, 4]), Some(480), "four of CELT of 2.5 ms");
    assert_eq!(packet_duration(&[3 << 3 | 3, 3]), None, "180 ms");
}
