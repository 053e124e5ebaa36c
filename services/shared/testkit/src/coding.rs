//! What a phone speaks and hears in: formats of RTP, and the way between them and samples at 8 kHz.

use std::fmt;

use sidetone_dsp::codec::{Codec, Decoder, Encoder, OpusSettings};
use sidetone_dsp::g711::{self, Law};
use sidetone_dsp::{Rate, codec};

/// A codec under the number that one side has given it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// How sound is carried.
    pub codec: Codec,
    /// RTP payload type.
    pub payload_type: u8,
}

impl From<Law> for Format {
    fn from(law: Law) -> Self {
        Self { codec: Codec::G711(law), payload_type: law.payload_type() }
    }
}

impl Format {
    /// Under the number that every phone of the kit receives it by: where none is fixed (RFC 3551), one that servers rarely
    /// choose, so that nobody may take the other side's number for granted.
    pub(crate) fn own(codec: Codec) -> Self {
        let dynamic = match codec {
            Codec::Opus => 120,
            Codec::L16(Rate::Narrow) => 121,
            _ => 122,
        };
        Self { codec, payload_type: codec.static_payload_type().unwrap_or(dynamic) }
    }

    /// What came under a number.
    pub(crate) fn received(payload_type: u8) -> Option<Self> {
        Codec::ALL.map(Self::own).into_iter().find(|format| format.payload_type == payload_type)
    }

    /// What a number and its `rtpmap`, if there is one, stand for.
    pub(crate) fn described(payload_type: u8, map: Option<&str>) -> Option<Self> {
        let codec = match map {
            Some(map) => {
                let map = map.trim().to_ascii_lowercase();
                let map = map.strip_suffix("/1").unwrap_or(&map);
                Codec::ALL.into_iter().find(|codec| rtpmap(*codec).eq_ignore_ascii_case(map))
            }
            None => Codec::ALL.into_iter().find(|codec| codec.static_payload_type() == Some(payload_type)),
        };
        codec.map(|codec| Self { codec, payload_type })
    }

    /// Its lines of a description.
    pub(crate) fn attributes(self) -> String {
        let number = self.payload_type;
        let parameters = match self.codec {
            Codec::Opus => format!("a=fmtp:{number} useinbandfec=1\r\n"),
            _ => String::new(),
        };
        format!("a=rtpmap:{number} {}\r\n{parameters}", rtpmap(self.codec))
    }
}

/// Encoding name, RTP clock and channels (RFC 3551, RFC 7587).
fn rtpmap(codec: Codec) -> &'static str {
    match codec {
        Codec::G711(Law::A) => "PCMA/8000",
        Codec::G711(Law::Mu) => "PCMU/8000",
        Codec::G722 => "G722/8000",
        Codec::Gsm => "GSM/8000",
        Codec::Opus => "opus/48000/2",
        Codec::L16(Rate::Narrow) => "L16/8000",
        Codec::L16(_) => "L16/16000",
    }
}

/// Encodes frames of 20 ms. G.711 has no state, and none is taken for it: a load test has thousands of these.
#[derive(Default)]
pub(crate) struct Voice(Option<Encoder>);

impl Voice {
    /// The payload of the next frame; what went before matters as long as the codec stays the same.
    pub(crate) fn encode(&mut self, codec: Codec, samples: &[i16]) -> Vec<u8> {
        let mut payload = vec![0; codec.payload_bytes_max(samples.len() / SAMPLES_PER_MS)];
        let length = match codec {
            Codec::G711(law) => Ok(g711::encode(law, samples, &mut payload)),
            _ => self.encoder(codec).and_then(|encoder| encoder.encode(samples, &mut payload)),
        };
        // Nothing but a bug makes a codec refuse a frame of 20 ms; it shows as silence.
        payload.truncate(length.unwrap_or(0));
        payload
    }

    fn encoder(&mut self, codec: Codec) -> Result<&mut Encoder, codec::CodecError> {
        let known = self.0.take().filter(|encoder| encoder.codec() == codec);
        let encoder = match known {
            Some(encoder) => encoder,
            None => Encoder::new(codec, Rate::Narrow, &OpusSettings::default())?,
        };
        Ok(self.0.insert(encoder))
    }
}

/// Decodes what comes.
#[derive(Default)]
pub(crate) struct Hearing(Option<Decoder>);

impl Hearing {
    /// The sound of a payload; nothing for one that no encoder makes.
    pub(crate) fn decode(&mut self, codec: Codec, payload: &[u8]) -> Vec<i16> {
        let mut samples = vec![0; PACKET_MS_MAX * SAMPLES_PER_MS];
        let length = match codec {
            Codec::G711(law) => Ok(g711::decode(law, payload, &mut samples)),
            _ => self.decoder(codec).and_then(|decoder| decoder.decode(payload, &mut samples)),
        };
        samples.truncate(length.unwrap_or(0));
        samples
    }

    fn decoder(&mut self, codec: Codec) -> Result<&mut Decoder, codec::CodecError> {
        let known = self.0.take().filter(|decoder| decoder.codec() == codec);
        let decoder = match known {
            Some(decoder) => decoder,
            None => Decoder::new(codec, Rate::Narrow)?,
        };
        Ok(self.0.insert(decoder))
    }
}

impl fmt::Debug for Voice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Voice").field(&self.0.as_ref().map(Encoder::codec)).finish()
    }
}

impl fmt::Debug for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Hearing").field(&self.0.as_ref().map(Decoder::codec)).finish()
    }
}

const SAMPLES_PER_MS: usize = 8;
/// Of Opus (RFC 6716, section 2.1.4).
const PACKET_MS_MAX: usize = 120;

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_dsp::goertzel::tone_level_dbov;
    use sidetone_dsp::tone::{Tone, ToneGenerator};

    #[test]
    fn every_codec_is_described_and_heard() {
        for codec in Codec::ALL {
            let own = Format::own(codec);
            assert_eq!(Format::received(own.payload_type), Some(own));
            assert_eq!(Format::described(99, Some(rtpmap(codec))).unwrap().codec, codec);
            let (mut voice, mut hearing) = (Voice::default(), Hearing::default());
            let mut tone = ToneGenerator::new(8_000, &[Tone { freq_hz: 700.0, level_dbm0: -16.0 }]);
            let mut heard = Vec::new();
            for _ in 0..60 {
                let mut samples = [0; 160];
                tone.fill(&mut samples);
                let payload = voice.encode(codec, &samples);
                assert_eq!(codec.duration(&payload), Some(codec.clock_hz() / 50), "{codec:?}");
                heard.extend(hearing.decode(codec, &payload));
            }
            assert_eq!(heard.len(), 60 * 160, "{codec:?}");
            let level = tone_level_dbov(&heard[1_600..], 8_000, 700.0);
            assert!((level + 22.15).abs() < 1.5, "{codec:?}: {level}");
        }
        assert_eq!(Format::described(3, None), Some(Format::own(Codec::Gsm)));
        assert_eq!(Format::described(97, None), None);
        assert_eq!(Format::described(0, Some("PCMU/8000/1")), Some(Law::Mu.into()));
    }
}
