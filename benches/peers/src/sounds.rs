//! What the legs say, encoded beforehand: the generator's own work must not be what is measured.

use std::time::Duration;

use sidetone_dsp::codec::{Codec, Decoder, Encoder, OpusSettings};
use sidetone_dsp::{Law, Rate};

use crate::job::{Job, OPUS_BITRATE_BPS};

/// One second of tones of different pitch, one second that begins with a short one, and one second of next to nothing, in
/// packets of 20 ms.
pub(crate) struct Sounds {
    tones: Vec<Vec<u8>>,
    bursts: Vec<Vec<u8>>,
    quiet: Vec<Vec<u8>>,
}

/// The onset of a sound is its first sample beyond this.
const LOUD: u16 = 1_500;
const AMPLITUDE: f32 = 3_000.0;
/// -60 dBFS.
const NOISE: f32 = 32.0;
const PITCHES: usize = 8;
const FRAMES: usize = 50;
const FRAME_MS: usize = 20;
/// A short sound lasts a tenth of a second.
pub(crate) const SOUND_FRAMES: u64 = 5;
/// The longest packet that is encoded.
pub(crate) const PAYLOAD_MAX: usize = 256;

impl Sounds {
    /// Of the codecs that a job needs.
    pub(crate) fn of(job: Job) -> anyhow::Result<Vec<(Codec, Self)>> {
        let mut all: Vec<(Codec, Self)> = Vec::new();
        for codec in [Codec::G711(Law::Mu), Codec::G711(Law::A), Codec::Opus] {
            if (0..2).any(|leg| job.codec(leg) == codec) {
                all.push((codec, Self::new(codec, job)?));
            }
        }
        Ok(all)
    }

    fn new(codec: Codec, job: Job) -> anyhow::Result<Self> {
        let nothing = match codec {
            Codec::Opus => noise(rate(codec)),
            _ => vec![0; rate(codec).samples(1_000)],
        };
        let (mut tones, mut bursts) = (Vec::new(), Vec::new());
        for pitch in 0..PITCHES {
            let tone = tone(rate(codec), pitch);
            tones.extend(second(codec, job, &tone)?);
            // Encoded as one: a decoder finds the beginning of a tone where it is only if it was heard to begin.
            let short = rate(codec).samples(FRAME_MS) * SOUND_FRAMES as usize;
            bursts.extend(second(codec, job, &[&tone[..short], &nothing[short..]].concat())?);
        }
        Ok(Self { tones, bursts, quiet: second(codec, job, &nothing)? })
    }

    /// The frame of a leg's tone.
    pub(crate) fn tone(&self, leg: usize, frame: u64) -> &[u8] {
        &self.tones[leg % PITCHES * FRAMES + (frame % FRAMES as u64) as usize]
    }

    /// The frame of a leg's second that begins with a short tone.
    pub(crate) fn burst(&self, leg: usize, frame: u64) -> &[u8] {
        &self.bursts[leg % PITCHES * FRAMES + (frame % FRAMES as u64) as usize]
    }

    /// A frame of nothing, or next to nothing.
    pub(crate) fn quiet(&self, frame: u64) -> &[u8] {
        &self.quiet[(frame % FRAMES as u64) as usize]
    }
}

fn rate(codec: Codec) -> Rate {
    if codec == Codec::Opus { Rate::Wide } else { Rate::Narrow }
}

/// All pitches are whole numbers of Hz, so that a second can be repeated.
fn tone(rate: Rate, pitch: usize) -> Vec<i16> {
    let hz = 300.0 + 50.0 * pitch as f32;
    let sample = |n: usize| AMPLITUDE * (std::f32::consts::TAU * hz * n as f32 / rate.hz() as f32).sin();
    (0..rate.samples(1_000)).map(|n| sample(n) as i16).collect()
}

/// The same noise in every run (a linear congruential generator).
fn noise(rate: Rate) -> Vec<i16> {
    let mut state = 1_u32;
    let mut sample = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let unit = (state >> 8) as f32 / 8_388_608.0 - 1.0;
        (unit * NOISE * 3_f32.sqrt()) as i16
    };
    (0..rate.samples(1_000)).map(|_| sample()).collect()
}

/// Encoded twice over, of which the second time is kept: its first packet follows upon its last.
fn second(codec: Codec, job: Job, samples: &[i16]) -> anyhow::Result<Vec<Vec<u8>>> {
    let settings = opus(job);
    let mut encoder = Encoder::new(codec, rate(codec), &settings)?;
    let mut packets = Vec::new();
    for frame in
        samples.chunks(rate(codec).samples(FRAME_MS)).chain(samples.chunks(rate(codec).samples(FRAME_MS)))
    {
        let mut packet = vec![0; PAYLOAD_MAX];
        let length = encoder.encode(frame, &mut packet)?;
        packet.truncate(length);
        packets.push(packet);
    }
    Ok(packets.split_off(FRAMES))
}

fn opus(job: Job) -> OpusSettings {
    OpusSettings {
        bitrate_bps: OPUS_BITRATE_BPS,
        complexity: job.opus_complexity(),
        fec: false,
        loss_percent: 0,
    }
}

/// Finds onsets in what one leg sends or hears.
pub(crate) struct Ear {
    decoder: Decoder,
    sound: Vec<i16>,
}

impl Ear {
    pub(crate) fn new(codec: Codec) -> anyhow::Result<Self> {
        Ok(Self { decoder: Decoder::new(codec, Rate::Narrow)?, sound: vec![0; Rate::Narrow.samples(120)] })
    }

    /// Where in the next packet its first loud sample is.
    pub(crate) fn onset(&mut self, payload: &[u8]) -> Option<Duration> {
        let length = self.decoder.decode(payload, &mut self.sound).ok()?;
        let place = self.sound[..length].iter().position(|sample| sample.unsigned_abs() >= LOUD)?;
        // At 8 kHz.
        Some(Duration::from_micros(place as u64 * 125))
    }
}
