//! What a recording or a live stream is made of: one interface over the containers.

use sidetone_dsp::Rate;
use thiserror::Error;

use crate::flac::{self, FlacWriter};
#[cfg(feature = "mp3-encode")]
use crate::mp3::Mp3Writer;
use crate::mp3_frame;
use crate::opus::{self, OpusWriter};
use crate::{Form, HEADER_LEN, Patch, SampleFormat, WavFormat, WavWriter};

/// A container for telephone sound of any [`Form`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// 16-bit PCM.
    Wav,
    /// MPEG layer III, frames of one size: at 8 kHz (MPEG-2.5) 32 kbit/s a channel and 72 ms, at 16 kHz (MPEG-2) 48 kbit/s and 36 ms, at
    /// 48 kHz (MPEG-1) 64 kbit/s and 24 ms.
    Mp3,
    /// Opus in Ogg (RFC 7845), pages of 200 ms and of one size; 25, 33 or 49 kbit/s a channel at 8, 16 and 48 kHz.
    OggOpus,
    /// 16-bit PCM, compressed without loss (RFC 9639) in frames of 200 ms, at 48 kHz of 67 ms.
    Flac,
}

/// One file, or stream, being made.
#[derive(Debug)]
pub struct Encoder {
    kind: Kind,
    form: Form,
    position: u64,
}

#[derive(Debug)]
enum Kind {
    Wav(WavWriter),
    #[cfg(feature = "mp3-encode")]
    Mp3(Mp3Writer),
    Opus(OpusWriter),
    Flac(FlacWriter),
}

/// Why nothing can be encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum EncodeError {
    /// This build has no encoder for it.
    #[error("this build cannot make such files")]
    Absent,
    /// More than the container holds.
    #[error("the file is full")]
    Full,
    /// The encoder gave up.
    #[error("the encoder failed")]
    Encoder,
}

impl Container {
    /// As in file names, without a dot.
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Wav => "wav",
            Self::Mp3 => "mp3",
            Self::OggOpus => "ogg",
            Self::Flac => "flac",
        }
    }

    /// The other way round, from a file's name.
    pub fn of_name(name: &str) -> Option<Self> {
        match name.rsplit_once('.')?.1 {
            "wav" => Some(Self::Wav),
            "mp3" => Some(Self::Mp3),
            "ogg" => Some(Self::OggOpus),
            "flac" => Some(Self::Flac),
            _ => None,
        }
    }

    /// The media type (RFC 3003 for MP3, RFC 5334 for Ogg, RFC 9639 for FLAC).
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::OggOpus => "audio/ogg",
            Self::Flac => "audio/flac",
        }
    }

    /// Whether this build makes it.
    pub const fn is_here(self) -> bool {
        match self {
            Self::Wav | Self::OggOpus | Self::Flac => true,
            Self::Mp3 => cfg!(feature = "mp3-encode"),
        }
    }

    /// Bytes before the first sound.
    pub const fn header_bytes(self, form: Form) -> u64 {
        match self {
            Self::Wav => HEADER_LEN as u64,
            Self::Mp3 => 0,
            Self::OggOpus => opus::header_bytes(form),
            Self::Flac => flac::HEADER_BYTES,
        }
    }

    /// The smallest unit that can be cut off, as bytes and samples of one channel; none where they are of different sizes.
    pub(crate) const fn unit(self, form: Form) -> Option<(u64, u64)> {
        match self {
            Self::Wav => Some((2 * form.channels as u64, 1)),
            Self::Mp3 => Some(mp3_frame::size(form)),
            Self::OggOpus => Some((opus::page_bytes(form), opus::page_samples(form.rate))),
            Self::Flac => None,
        }
    }

    /// How a stream begins that has no end yet.
    pub fn stream_header(self, form: Form) -> Vec<u8> {
        match self {
            Self::Wav => {
                let (_, mut header) = WavWriter::new(wav(form));
                // Sizes that no player takes for the end.
                header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
                header[46..50].copy_from_slice(&u32::MAX.to_le_bytes());
                header[54..58].copy_from_slice(&(u32::MAX - HEADER_LEN as u32).to_le_bytes());
                header
            }
            Self::Mp3 => Vec::new(),
            Self::OggOpus => opus::header(form),
            Self::Flac => flac::header(form),
        }
    }

    /// What a file is, by its first [`HEADER_LEN`] bytes; none for what is not of this container, or of a rate that no recording
    /// has.
    pub fn form_of(self, start: &[u8]) -> Option<Form> {
        match self {
            Self::Wav => {
                let channels = u16::from_le_bytes([*start.get(22)?, *start.get(23)?]);
                let hz = u32::from_le_bytes(*start.get(24..)?.first_chunk()?);
                let form = Form::new(channels, Rate::of_hz(hz)?);
                (start.starts_with(b"RIFF") && (1..=2).contains(&channels)).then_some(form)
            }
            Self::Mp3 => mp3_frame::form_of(start),
            Self::OggOpus => opus::form_of(start),
            Self::Flac => flac::form_of(start),
        }
    }
}

impl Encoder {
    /// An encoder, and what its file begins with.
    pub fn new(container: Container, form: Form) -> Result<(Self, Vec<u8>), EncodeError> {
        let (kind, header) = match container {
            Container::Wav => {
                let (writer, header) = WavWriter::new(wav(form));
                (Kind::Wav(writer), header)
            }
            #[cfg(feature = "mp3-encode")]
            Container::Mp3 => (Kind::Mp3(Mp3Writer::new(form)?), Vec::new()),
            #[cfg(not(feature = "mp3-encode"))]
            Container::Mp3 => return Err(EncodeError::Absent),
            Container::OggOpus => (Kind::Opus(OpusWriter::new(form)?), opus::header(form)),
            Container::Flac => (Kind::Flac(FlacWriter::new(form)), flac::header(form)),
        };
        Ok((Self { kind, form, position: 0 }, header))
    }

    /// Appends to `out` what belongs in the file for the next samples, channels interleaved.
    pub fn write(&mut self, samples: &[i16], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match &mut self.kind {
            Kind::Wav(writer) => {
                let pcm: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
                writer.write(self.position, &pcm, out).map_err(|_| EncodeError::Full)?;
            }
            #[cfg(feature = "mp3-encode")]
            Kind::Mp3(writer) => writer.write(samples, out)?,
            Kind::Opus(writer) => writer.write(samples, out)?,
            Kind::Flac(writer) => writer.write(samples, out),
        }
        self.position += (samples.len() / self.form.width()) as u64;
        Ok(())
    }

    /// What the encoder still holds, at the end.
    pub fn finish(&mut self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match &mut self.kind {
            Kind::Wav(_) => {}
            #[cfg(feature = "mp3-encode")]
            Kind::Mp3(writer) => writer.finish(out)?,
            Kind::Opus(writer) => writer.finish(out)?,
            Kind::Flac(writer) => writer.finish(out),
        }
        Ok(())
    }

    /// To be written over the start of the file after what [`Self::write`] gave.
    pub fn patch(&mut self) -> Option<Patch> {
        match &mut self.kind {
            Kind::Wav(writer) => Some(writer.patch()),
            #[cfg(feature = "mp3-encode")]
            Kind::Mp3(_) => None,
            Kind::Opus(_) => None,
            Kind::Flac(writer) => writer.patch(),
        }
    }

    /// Of what was written, in ms.
    pub fn duration_ms(&self) -> u64 {
        self.form.ms(self.position)
    }
}

pub(crate) const fn wav(form: Form) -> WavFormat {
    WavFormat { samples: SampleFormat::Pcm16, channels: form.channels, rate_hz: form.rate.hz() }
}
