//! How loud a packet is, read off its first bytes instead of being decoded.
//!
//! SILK (and the lower band of hybrid packets) begins with the verdict of the encoder's voice detector (RFC 6716, section
//! 4.2.3). CELT begins with the energy of each band in steps of 6 dB (section 4.3.2.1), each told relative to the packet
//! before; their sum, without the pre-emphasis, is the level.

use opus_rs::modes::{E_MEANS, EBAND_5MS, default_mode};
use opus_rs::quant_bands::unquant_coarse_energy;
use opus_rs::range_coder::RangeCoder;

use crate::level::SILENCE_DBOV;

/// What the first bytes of a packet tell.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Loudness {
    /// The encoder heard no voice, or sends nothing (DTX). It may have been noise of any level.
    NoVoice,
    /// The level in dBov, to some 4 dB.
    Level(f32),
    /// Only decoding tells.
    Unknown,
}

/// Reads the packets of one stream, every one of them.
#[derive(Debug, Clone)]
pub struct LoudnessReader {
    /// Of each band, in units of 6 dB (log2 of the amplitude) above its mean; the second channel's behind the first's.
    energies: [f32; 2 * BANDS],
    /// What makes up for the pre-emphasis, as power.
    weights: [f32; BANDS],
    /// CELT packets that were read one after the other.
    in_step: u8,
}

impl LoudnessReader {
    /// Nothing is known of the stream. The first one of a process makes the tables of the codec.
    pub fn new() -> Self {
        let weights = std::array::from_fn(|band| {
            let middle_hz = f32::from(EBAND_5MS[band] + EBAND_5MS[band + 1]) * 100.0;
            let turn = (std::f32::consts::TAU * middle_hz / 48_000.0).cos();
            1.0 / (1.0 + PRE_EMPHASIS * PRE_EMPHASIS - 2.0 * PRE_EMPHASIS * turn)
        });
        // Made here, so that nothing is made on the tick.
        let _tables = default_mode();
        Self { energies: [0.0; 2 * BANDS], weights, in_step: 0 }
    }

    /// A packet did not come, or others were decoded meanwhile.
    pub fn lose_step(&mut self) {
        self.in_step = 0;
    }

    /// Reads the next packet of the stream.
    pub fn read(&mut self, packet: &[u8]) -> Loudness {
        let Some((&toc, frame)) = packet.split_first() else { return Loudness::Unknown };
        let stereo = toc & 4 != 0;
        if toc & 3 != 0 {
            self.lose_step();
            return Loudness::Unknown;
        }
        if frame.len() < 2 {
            self.lose_step();
            return Loudness::NoVoice;
        }
        match toc >> 3 {
            config @ 0..16 => {
                self.lose_step();
                if has_voice(config, stereo, frame[0]) { Loudness::Unknown } else { Loudness::NoVoice }
            }
            config => self.read_celt(config, stereo, frame),
        }
    }

    fn read_celt(&mut self, config: u8, stereo: bool, frame: &[u8]) -> Loudness {
        let channels = 1 + usize::from(stereo);
        let size = usize::from(config & 3);
        let end = [13, 17, 19, 21][usize::from((config - 16) >> 2)];
        let mut coder = RangeCoder::new_decoder(&frame[..frame.len().min(LOOKED_AT)]);
        let bits = coder.storage as i32 * 8;
        if coder.tell() == 1 && coder.decode_bit_logp(15) {
            self.lose_step();
            return Loudness::NoVoice;
        }
        // A pitch is taken out before the bands are measured, and put in again behind them.
        let pitched = coder.tell() + 16 <= bits && coder.decode_bit_logp(1);
        if pitched {
            let octave = coder.dec_uint(6);
            coder.dec_bits(4 + octave);
            coder.dec_bits(3);
            if coder.tell() + 2 <= bits {
                coder.decode_icdf(&[2, 1, 0], 2);
            }
        }
        if size > 0 && coder.tell() + 3 <= bits {
            coder.decode_bit_logp(3);
        }
        let intra = coder.tell() + 3 <= bits && coder.decode_bit_logp(3);
        if self.in_step == 0 {
            self.energies.fill(0.0);
        } else if !stereo {
            let (first, second) = self.energies.split_at_mut(BANDS);
            first.iter_mut().zip(second).for_each(|(first, second)| *first = first.max(*second));
        }
        unquant_coarse_energy(default_mode(), 0, end, &mut self.energies, intra, &mut coder, channels, size);
        if !stereo {
            let (first, second) = self.energies.split_at_mut(BANDS);
            second.copy_from_slice(first);
        }
        self.in_step = if intra { IN_STEP } else { self.in_step.saturating_add(1).min(IN_STEP) };
        if self.in_step < IN_STEP || pitched {
            Loudness::Unknown
        } else {
            Loudness::Level(self.level(channels, end))
        }
    }

    /// The level in dBov that the energies of the bands make.
    fn level(&self, channels: usize, end: usize) -> f32 {
        let power_of = |channel: &[f32]| -> f32 {
            let bands = channel[..end].iter().zip(E_MEANS).zip(self.weights);
            bands.map(|((energy, mean), weight)| (2.0 * (energy + mean)).exp2() * weight).sum()
        };
        let power: f32 = self.energies.chunks(BANDS).take(channels).map(power_of).sum();
        let level = 10.0 * (power / channels as f32).max(f32::MIN_POSITIVE).log10() - FULL_SCALE_DB;
        level.max(SILENCE_DBOV)
    }
}

impl Default for LoudnessReader {
    fn default() -> Self {
        Self::new()
    }
}

/// Whether any frame of a SILK packet is marked as voice. The marks are equally likely, so that they are the first bits: one
/// for each 20 ms, then one that tells of a copy of the packet before; for stereo the same of the second channel.
const fn has_voice(config: u8, stereo: bool, first: u8) -> bool {
    let frames = match config {
        0..12 if config & 3 > 1 => config & 3,
        _ => 1,
    };
    let second = first << (frames + 1);
    first >> (8 - frames) != 0 || stereo && second >> (8 - frames) != 0
}

/// Bands of a CELT packet.
const BANDS: usize = 21;
/// Bytes of a packet in which the energies are, with room to spare.
const LOOKED_AT: usize = 96;
/// After so many packets what was before the first one no longer matters: it halves with each.
const IN_STEP: u8 = 8;
/// Of CELT's filter before the transform (section 4.3.7).
const PRE_EMPHASIS: f32 = 0.85;
/// The power that the bands of noise of 0 dBov have, in dB: 2^30 by the scale of the transform, as measured.
const FULL_SCALE_DB: f32 = 93.9;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rate;
    use crate::codec::opus::{OpusEncode, OpusSettings, PureEncoder};
    use crate::level::level_dbov;
    use crate::tone::{Tone, ToneGenerator};

    /// White noise of a level in dBov.
    fn noise(rate: Rate, ms: usize, dbov: f32) -> Vec<i16> {
        let amplitude = 32_768.0 * 10f32.powf(dbov / 20.0) * 3f32.sqrt();
        let mut state = 0x51DEu64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..rate.samples(ms)).map(|_| (next() * amplitude).round() as i16).collect()
    }

    fn packets<E: OpusEncode>(rate: Rate, bitrate_bps: u32, sound: &[i16]) -> Vec<Vec<u8>> {
        let mut encoder = E::new(rate, &OpusSettings { bitrate_bps, ..OpusSettings::default() }).unwrap();
        let packet = |frame: &[i16]| {
            let mut packet = vec![0; 1_500];
            let length = encoder.encode(frame, &mut packet).unwrap();
            packet.truncate(length);
            packet
        };
        sound.chunks_exact(rate.samples(20)).map(packet).collect()
    }

    fn levels_of_celt<E: OpusEncode>(hybrid: bool) {
        for dbov in [-25.0, -45.0, -60.0] {
            let sound = noise(Rate::Full, 2_000, dbov);
            let mut reader = LoudnessReader::new();
            let told: Vec<Loudness> =
                packets::<E>(Rate::Full, 96_000, &sound).iter().map(|packet| reader.read(packet)).collect();
            // Noise up to 24 kHz, of which CELT carries what is below 20 kHz.
            let truth = level_dbov(&sound) - 0.8;
            for told in &told[20..] {
                // libopus may code the lower band by SILK (hybrid), which tells nothing: such a packet is decoded.
                let Loudness::Level(level) = told else {
                    assert!(hybrid, "{told:?} at {dbov}");
                    continue;
                };
                assert!((level - truth).abs() < 4.0, "{level} for {truth} dBov");
            }
        }
        for hz in [120.0, 400.0, 1_000.0, 3_000.0] {
            let mut sound = vec![0; Rate::Full.samples(2_000)];
            let tone = Tone { freq_hz: hz, level_dbm0: -30.0 };
            ToneGenerator::new(48_000, &[tone]).fill(&mut sound);
            let mut reader = LoudnessReader::new();
            let told: Vec<Loudness> =
                packets::<E>(Rate::Full, 96_000, &sound).iter().map(|packet| reader.read(packet)).collect();
            let truth = level_dbov(&sound);
            for told in &told[20..] {
                // Too loud costs a packet that is decoded; too quiet would cost a word.
                let Loudness::Level(level) = told else { continue };
                assert!((-4.0..8.0).contains(&(level - truth)), "{level} for {truth} dBov at {hz} Hz");
            }
        }
    }

    fn marks_of_silk<E: OpusEncode>() {
        let mut sound = noise(Rate::Wide, 4_000, -60.0);
        sound.extend((0..Rate::Wide.samples(500)).map(|n| {
            let t = n as f32 / 16_000.0;
            ((t * 150.0 * std::f32::consts::TAU).sin() * 5_000.0
                + (t * 450.0 * std::f32::consts::TAU).sin() * 4_000.0) as i16
        }));
        let mut reader = LoudnessReader::new();
        let told: Vec<Loudness> =
            packets::<E>(Rate::Wide, 24_000, &sound).iter().map(|packet| reader.read(packet)).collect();
        let quiet = told[100..200].iter().filter(|told| **told == Loudness::NoVoice).count();
        assert!(quiet > 90, "{quiet} of 100 packets of steady noise are marked as no voice");
        assert!(told[200..204].contains(&Loudness::Unknown), "{:?}", &told[198..206]);
    }

    #[test]
    fn the_level_of_celt_is_that_of_the_sound() {
        levels_of_celt::<PureEncoder>(false);
        #[cfg(feature = "opus-c")]
        levels_of_celt::<crate::codec::opus::LibopusEncoder>(true);
    }

    #[test]
    fn steady_noise_is_no_voice_and_a_voice_is() {
        marks_of_silk::<PureEncoder>();
        #[cfg(feature = "opus-c")]
        marks_of_silk::<crate::codec::opus::LibopusEncoder>();
    }

    #[test]
    fn marks_stand_where_the_standard_puts_them() {
        assert!(has_voice(9, false, 0x80) && !has_voice(9, false, 0x40), "20 ms: a mark, then the copy's");
        assert!(has_voice(10, false, 0x40) && !has_voice(10, false, 0x20), "40 ms");
        assert!(has_voice(11, false, 0x20) && !has_voice(11, false, 0x10), "60 ms");
        assert!(has_voice(13, true, 0x20) && !has_voice(13, true, 0x10), "the second channel's");
        let mut reader = LoudnessReader::new();
        assert_eq!(reader.read(&[9 << 3]), Loudness::NoVoice, "DTX");
        assert_eq!(reader.read(&[9 << 3 | 1, 0, 0, 0]), Loudness::Unknown, "two frames");
        assert_eq!(reader.read(&[]), Loudness::Unknown);
        // Whatever comes, nothing panics.
        let mut state = 7u64;
        for length in 0..4_000usize {
            let mut packet = vec![0u8; length % 130];
            for byte in &mut packet {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                *byte = (state >> 56) as u8;
            }
            reader.read(&packet);
        }
    }
}
