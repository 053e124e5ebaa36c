//! Every codec through decoders and playout on a virtual clock: losses, jitter, reordering and drift.

use sidetone_dsp::codec::{Codec, Encoder, OpusSettings};
use sidetone_dsp::comfort::{Noise, NoiseGenerator};
use sidetone_dsp::tone::{Tone, ToneGenerator};
use sidetone_dsp::{Law, Rate, goertzel, level};
use sidetone_model::media::{Encoding, Format, MediaDescription};
use sidetone_rtp_core::{Header, Playout, PlayoutConfig, Pulled, RtpTimestamp, SequenceNumber};

use super::*;
use crate::negotiate;

mod pairs;

const CODECS: [Codec; 5] =
    [Codec::Opus, Codec::G722, Codec::Gsm, Codec::L16(Rate::Wide), Codec::G711(Law::A)];
const TONE_HZ: f32 = 700.0;
/// Packets of ten seconds.
const ROUND: usize = 500;

/// What a network does to a stream.
#[derive(Debug, Clone, Copy, Default)]
struct Network {
    loss_percent: u64,
    jitter_us: u64,
    /// How much faster the sender's clock runs, in parts per million.
    drift_ppm: i64,
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }
}

fn plan(codec: Codec, rate: Rate) -> Plan {
    let local = "127.0.0.1:4000".parse().unwrap();
    let ours = negotiate::offer(local, &[codec]).unwrap();
    let (_, agreement) = negotiate::answer(local, &ours, &[codec]).unwrap();
    // G.711 at 8 kHz needs no plan; the rate above asks for one.
    Plan::new(&agreement, rate, OpusSettings::default()).unwrap()
}

/// Twenty seconds of a tone in packets. The second ten may be played round and round: the codec's memory is nearly the same at
/// their end as it was at their beginning.
fn packets(codec: Codec) -> Vec<Vec<u8>> {
    let rate = codec.native_rate();
    let mut encoder = Encoder::new(codec, rate, &OpusSettings::default()).unwrap();
    let mut tone = ToneGenerator::new(rate.hz(), &[Tone { freq_hz: TONE_HZ, level_dbm0: -10.0 }]);
    let mut sound = vec![0; rate.samples(20)];
    let mut payload = vec![0; codec.payload_bytes_max(20)];
    let mut next = || {
        tone.fill(&mut sound);
        let length = encoder.encode(&sound, &mut payload).unwrap();
        payload[..length].to_vec()
    };
    (0..2 * ROUND).map(|_| next()).collect()
}

/// What is heard over so many seconds, at 16 kHz, and how many ticks were silent after the first sound.
fn heard(codec: Codec, network: Network, seconds: u64, seed: u64) -> (Vec<i16>, usize) {
    let plan = plan(codec, Rate::Wide);
    let mut coding = Coding::new(&plan).unwrap();
    let mut playout = Playout::new(PlayoutConfig::of(plan.rate, plan.clock_hz()));
    let (payloads, mut random) = (packets(codec), Random(seed));
    let ticks_of_packet = codec.clock_hz() / 50;
    let count = seconds * 50;
    let mut arrivals: Vec<(u64, u32)> = Vec::new();
    for n in 0..count {
        let sent_us = (n as i64 * 20_000 - n as i64 * 20_000 * network.drift_ppm / 1_000_000) as u64;
        if random.below(100) >= network.loss_percent {
            arrivals.push((1_000_000 + sent_us + random.below(network.jitter_us), n as u32));
        }
    }
    arrivals.sort_unstable();
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut sound, mut silent) = (Vec::new(), 0);
    let mut frame = vec![0; plan.rate.samples(20)];
    for tick in 0..count {
        let due_us = 1_007_000 + tick * 20_000;
        while let Some((at_us, n)) = arrivals.next_if(|(at_us, _)| *at_us <= due_us) {
            let header = Header {
                payload_type: plan.receive.audio().unwrap().0,
                sequence: SequenceNumber(65_000u16.wrapping_add(n as u16)),
                timestamp: RtpTimestamp(0xffff_0000u32.wrapping_add(n.wrapping_mul(ticks_of_packet))),
                ..Header::default()
            };
            let n = n as usize;
            let payload = &payloads[if n < ROUND { n } else { ROUND + n % ROUND }];
            coding.ear.take(&header, payload, at_us, &mut |heard: Heard<'_>| {
                playout.insert(heard.header, heard.sound, heard.at_us);
            });
        }
        while playout.lacks(due_us)
            && coding.ear.release(&mut |heard: Heard<'_>| {
                playout.insert(heard.header, heard.sound, heard.at_us);
            })
        {}
        match playout.pull(due_us, &mut frame) {
            Pulled::Sound => sound.extend_from_slice(&frame),
            Pulled::Silence => silent += usize::from(!sound.is_empty()),
        }
    }
    (sound, silent)
}

/// How far the tone stands above everything else, in dB, over blocks of 100 ms: the worst one in so many of a hundred.
fn purity_db(sound: &[i16], worst_percent: usize) -> f32 {
    let mut blocks: Vec<f32> = sound[16_000..]
        .chunks_exact(1_600)
        .map(|block| {
            let tone = goertzel::tone_power(block, 16_000, TONE_HZ);
            10.0 * (tone / (level::mean_square(block) - tone).max(1.0)).log10()
        })
        .collect();
    blocks.sort_unstable_by(f32::total_cmp);
    blocks[blocks.len() * worst_percent / 100]
}

/// The level of the tone, whatever its phase is from block to block: what is taken out or put in moves it.
fn mean_tone_dbov(sound: &[i16]) -> f32 {
    let powers = sound.chunks_exact(1_600).map(|block| goertzel::tone_power(block, 16_000, TONE_HZ));
    level::dbov_of_mean_square(powers.sum::<f32>() / (sound.len() / 1_600) as f32)
}

#[test]
fn a_perfect_network_costs_nothing() {
    for codec in CODECS {
        let (sound, silent) = heard(codec, Network::default(), 5, 1);
        assert_eq!(silent, 0);
        let worst = purity_db(&sound, 0);
        let least = if codec == Codec::Gsm { 8.0 } else { 15.0 };
        assert!(worst > least, "{codec:?}: {worst} dB");
    }
}

#[test]
fn losses_are_concealed_in_every_codec() {
    for (loss_percent, least_db) in [(1, 10.0), (5, 8.0), (10, 5.0)] {
        for codec in CODECS {
            let (sound, silent) = heard(codec, Network { loss_percent, ..Network::default() }, 20, 7);
            assert_eq!(silent, 0, "{codec:?}");
            // Half of the blocks at least are without a loss even at 10 %.
            let middle = purity_db(&sound, 50);
            let least_db = if codec == Codec::Gsm { least_db - 3.0 } else { least_db };
            assert!(middle > least_db, "{codec:?}, {loss_percent} %: {middle} dB");
            let tone = mean_tone_dbov(&sound[16_000..]);
            assert!(tone > -20.0, "{codec:?}, {loss_percent} %: {tone} dBov");
        }
    }
}

#[test]
fn jitter_to_80_ms_and_the_reordering_it_brings_end_in_delay_and_not_in_losses() {
    for jitter_us in [10_000, 40_000, 80_000] {
        for codec in CODECS {
            let (sound, silent) = heard(codec, Network { jitter_us, ..Network::default() }, 30, 11);
            assert_eq!(silent, 0, "{codec:?}");
            // Once the delay has grown, and while it is not given up, nothing is late.
            let middle = purity_db(&sound, 50);
            let least = if codec == Codec::Gsm { 7.0 } else { 13.0 };
            assert!(middle > least, "{codec:?}, {jitter_us} us: {middle} dB");
        }
    }
}

#[test]
fn ten_minutes_of_a_clock_that_is_200_ppm_off_are_followed_without_a_click() {
    for drift_ppm in [-200, 200] {
        for codec in CODECS {
            let (sound, silent) = heard(codec, Network { drift_ppm, ..Network::default() }, 600, 3);
            assert!(silent <= 1, "{codec:?}: {silent} silent ticks");
            // One or two blocks in a hundred hold the seam of the looped packets, where the codec's memory jumps.
            let (middle, worst) = (purity_db(&sound, 50), purity_db(&sound, 5));
            let least = if codec == Codec::Gsm { 7.0 } else { 13.0 };
            assert!(middle > least, "{codec:?}, {drift_ppm} ppm: {middle} dB");
            assert!(
                worst > least - 8.0,
                "{codec:?}, {drift_ppm} ppm: five blocks in a hundred have {worst} dB or less"
            );
        }
    }
}

/// What an encoder with DTX sends for so many frames of words and of silence by turns: packets without sound where silence
/// begins, and every 400 ms one with sound in between.
fn discontinuous(turns: &[(usize, usize)]) -> Vec<(usize, Vec<u8>)> {
    let (mut encoder, rate) =
        (Encoder::new(Codec::Opus, Rate::Wide, &OpusSettings::default()).unwrap(), Rate::Wide);
    let mut tone = ToneGenerator::new(rate.hz(), &[Tone { freq_hz: TONE_HZ, level_dbm0: -10.0 }]);
    let mut noise = NoiseGenerator::new(rate, rate);
    noise.begin(&Noise::white(-58.0));
    let (mut sound, mut payload) = (vec![0; rate.samples(20)], vec![0; 1_275]);
    let (mut sent, mut n) = (Vec::new(), 0);
    for (words, silence) in turns {
        // Encoders send some silence before they stop.
        for frame in 0..words + silence {
            if frame < *words {
                tone.fill(&mut sound);
            } else {
                noise.fill(&mut sound);
            }
            let length = encoder.encode(&sound, &mut payload).unwrap();
            let quiet = (frame + 1).saturating_sub(words + 10);
            match quiet % 21 {
                _ if quiet == 0 => sent.push((n, payload[..length].to_vec())),
                1 => sent.push((n, vec![payload[0] & !3])),
                0 => sent.push((n, payload[..length].to_vec())),
                _ => {}
            }
            n += 1;
        }
    }
    sent
}

#[test]
fn an_opus_sender_that_stops_in_silence_loses_nothing_and_sounds_on() {
    for (seed, network) in [
        (1, Network::default()),
        (2, Network { jitter_us: 25_000, ..Network::default() }),
        (3, Network { drift_ppm: 200, jitter_us: 5_000, ..Network::default() }),
        (4, Network { drift_ppm: -200, jitter_us: 5_000, ..Network::default() }),
        (5, Network { loss_percent: 5, ..Network::default() }),
    ] {
        let plan = plan(Codec::Opus, Rate::Wide);
        let mut coding = Coding::new(&plan).unwrap();
        let mut playout = Playout::new(PlayoutConfig::of(plan.rate, plan.clock_hz()));
        let turns: Vec<_> = (0..30).map(|n| (40 + n % 9, 60 + n * 11 % 200)).collect();
        let mut random = Random(seed);
        let mut arrivals: Vec<(u64, usize, usize, Vec<u8>)> = Vec::new();
        let mut lost = 0;
        for (number, (n, payload)) in discontinuous(&turns).into_iter().enumerate() {
            if random.below(100) < network.loss_percent {
                lost += 1;
                continue;
            }
            let sent_us = n as i64 * 20_000 - n as i64 * 20_000 * network.drift_ppm / 1_000_000;
            arrivals.push((1_000_000 + sent_us as u64 + random.below(network.jitter_us), number, n, payload));
        }
        arrivals.sort_unstable();
        let end = arrivals.last().unwrap().2 as u64;
        let (mut arrivals, mut levels) = (arrivals.into_iter().peekable(), Vec::new());
        let mut frame = vec![0; plan.rate.samples(20)];
        for tick in 0..end {
            let due_us = 1_007_000 + tick * 20_000;
            let mut keep = |heard: Heard<'_>| {
                match &heard.pause {
                    Some(noise) => playout.insert_pause(heard.header, noise, heard.at_us),
                    None => playout.insert(heard.header, heard.sound, heard.at_us),
                };
            };
            while let Some((at_us, number, n, payload)) = arrivals.next_if(|(at_us, ..)| *at_us <= due_us) {
                let header = Header {
                    payload_type: plan.receive.audio().unwrap().0,
                    sequence: SequenceNumber(65_000u16.wrapping_add(number as u16)),
                    timestamp: RtpTimestamp(0xffff_0000u32.wrapping_add(n as u32 * 960)),
                    ..Header::default()
                };
                coding.ear.take(&header, &payload, at_us, &mut keep);
            }
            let mut keep = |heard: Heard<'_>| {
                match &heard.pause {
                    Some(noise) => playout.insert_pause(heard.header, noise, heard.at_us),
                    None => playout.insert(heard.header, heard.sound, heard.at_us),
                };
            };
            // As the worker asks for it.
            coding.ear.release(&mut keep);
            if playout.pull(due_us, &mut frame) == Pulled::Sound {
                levels.push(level::level_dbov(&frame));
            } else {
                levels.push(f32::MIN);
            }
        }
        let c = *playout.counters();
        assert_eq!((c.resets, c.strays), (0, 0), "seed {seed}: {c:?}");
        assert!(c.concealed <= (lost + 2) * 22 * 320 + c.late * 640, "seed {seed}: {lost} lost, {c:?}");
        assert!(c.late < 25, "seed {seed}: {c:?}");
        assert!(playout.delay_us() < 90_000, "seed {seed}: {} us", playout.delay_us());
        let heard = &levels[5..];
        let words = heard.iter().filter(|level| **level > -20.0).count();
        let noise = heard.iter().filter(|level| (-70.0..-44.0).contains(*level)).count();
        let expected: usize = turns.iter().map(|(words, _)| words).sum();
        assert!(words.abs_diff(expected) < 60 + lost as usize, "seed {seed}: {words} of {expected}");
        let dead = heard.len() - words - noise;
        assert!(dead < 100 + lost as usize * 20, "seed {seed}: {dead} of {}", heard.len());
    }
}

#[test]
fn one_description_of_several_codecs_gets_a_decoder_for_each() {
    let local = "127.0.0.1:4000".parse().unwrap();
    let ours = negotiate::offer(local, &CODECS).unwrap();
    let mut theirs: MediaDescription = ours.clone();
    theirs.formats.retain(|format: &Format| format.encoding != Encoding::L16);
    let agreement = negotiate::conclude(&ours, &theirs).unwrap();
    let mut coding =
        Coding::new(&Plan::new(&agreement, Rate::Narrow, OpusSettings::default()).unwrap()).unwrap();
    let mut samples = Vec::new();
    for (n, (payload_type, codec)) in agreement.receive.codecs().enumerate() {
        let header = Header { payload_type, sequence: SequenceNumber(n as u16), ..Header::default() };
        let payload = &packets(codec)[0];
        assert!(coding.ear.take(&header, payload, 0, &mut |heard: Heard<'_>| {
            samples.push((heard.codec, heard.sound.len()));
        }));
    }
    let expected: Vec<_> = CODECS
        .into_iter()
        .filter(|codec| !matches!(codec, Codec::L16(_)))
        .map(|codec| (codec, 160))
        .collect();
    assert_eq!(samples, expected);
    assert!(!coding.ear.take(
        &Header { payload_type: 77, ..Header::default() },
        &[1, 2, 3],
        0,
        &mut |_: Heard<'_>| {}
    ));
}
