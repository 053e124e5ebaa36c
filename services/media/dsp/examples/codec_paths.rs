//! Takes speech through codecs and losses, for `load-tests/audio-quality/score` to judge.
//!
//! `codec_paths PATH RATE LOSS SEED < speech > heard`: samples of 16 bits at RATE Hz in and out, little-endian. PATH names codecs,
//! one after the other with a decoding and an encoding between them, as two phones of a transcoded call have it: `opus`,
//! `pcmu+gsm`. Opus without error correction is `opus-nofec`, at 32 kbit/s `opus-32k`; what ends in `-silence` conceals nothing, and is
//! silent where a packet is lost. LOSS is the percentage of packets of 20 ms that the first codec's receiver does not get; SEED picks which.

use std::error::Error;
use std::io::{Read as _, Write as _};

use sidetone_dsp::codec::{Codec, Decoder, Encoder, OpusSettings};
use sidetone_dsp::{Law, Rate};

const PACKET_MS: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [path, rate, loss, seed] = arguments.as_slice() else {
        return Err("expected PATH RATE LOSS SEED".into());
    };
    let rate = Rate::of_hz(rate.parse()?).ok_or("RATE is 8000, 16000 or 48000")?;
    let mut bytes = Vec::new();
    std::io::stdin().read_to_end(&mut bytes)?;
    let mut sound: Vec<i16> = bytes.as_chunks::<2>().0.iter().map(|pair| i16::from_le_bytes(*pair)).collect();
    let mut loss_percent: u32 = loss.parse()?;
    for name in path.split('+') {
        let codec = named(name.trim_end_matches(SILENCE)).ok_or("unknown codec")?;
        let loss = Loss { percent: loss_percent, seed: seed.parse()?, conceals: !name.ends_with(SILENCE) };
        sound = through(codec, rate, &sound, &opus(name, loss_percent), loss)?;
        loss_percent = 0;
    }
    let bytes: Vec<u8> = sound.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::io::stdout().write_all(&bytes)?;
    Ok(())
}

/// What is lost, and whether something is heard in its place.
struct Loss {
    percent: u32,
    seed: u64,
    conceals: bool,
}

const SILENCE: &str = "-silence";

fn named(name: &str) -> Option<Codec> {
    Some(match name {
        "opus" | "opus-nofec" | "opus-32k" => Codec::Opus,
        "g722" => Codec::G722,
        "pcmu" => Codec::G711(Law::Mu),
        "pcma" => Codec::G711(Law::A),
        "gsm" => Codec::Gsm,
        "l16" => Codec::L16(Rate::Wide),
        _ => return None,
    })
}

/// How Opus is encoded, as its name says; it prepares for at least the loss that a server prepares for which knows nothing.
fn opus(name: &str, loss_percent: u32) -> OpusSettings {
    let usual = OpusSettings { loss_percent: loss_percent.max(5) as u8, ..OpusSettings::default() };
    match name {
        "opus-nofec" => OpusSettings { fec: false, loss_percent: 0, ..usual },
        "opus-32k" => OpusSettings { bitrate_bps: 32_000, ..usual },
        _ => usual,
    }
}

/// Encodes, loses, conceals and decodes.
fn through(
    codec: Codec,
    rate: Rate,
    sound: &[i16],
    settings: &OpusSettings,
    loss: Loss,
) -> Result<Vec<i16>, Box<dyn Error>> {
    let (mut encoder, mut decoder) = (Encoder::new(codec, rate, settings)?, Decoder::new(codec, rate)?);
    let frame = rate.samples(PACKET_MS);
    let mut packets = Vec::new();
    for samples in sound.chunks_exact(frame) {
        let mut packet = vec![0; codec.payload_bytes_max(PACKET_MS)];
        let length = encoder.encode(samples, &mut packet)?;
        packet.truncate(length);
        packets.push(packet);
    }
    let mut state = loss.seed.wrapping_mul(2).wrapping_add(1);
    let lost: Vec<bool> = packets
        .iter()
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((state >> 33) % 100) < u64::from(loss.percent)
        })
        .collect();
    let mut heard = Vec::with_capacity(sound.len());
    let mut out = vec![0; frame];
    for (n, packet) in packets.iter().enumerate() {
        if lost[n] && !loss.conceals {
            out.fill(0);
        } else if lost[n] {
            let next = packets.get(n + 1).filter(|_| !lost[n + 1]);
            decoder.conceal(next.map(Vec::as_slice), &mut out)?;
        } else {
            decoder.decode(packet, &mut out)?;
        }
        heard.extend_from_slice(&out);
    }
    Ok(heard)
}
