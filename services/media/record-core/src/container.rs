//! What a recording or a live stream is made of: one interface over the containers.

use thiserror::Error;

use crate::flac::{self, FlacWriter};
#[cfg(feature = "mp3-encode")]
use crate::mp3::Mp3Writer;
use crate::opus::{self, OpusWriter};
use crate::{HEADER_LEN, Patch, SampleFormat, WavFormat, WavWriter};

/// A container for telephone sound at [`RATE_HZ`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Container {
    /// 16-bit PCM.
    Wav,
    /// MPEG-2.5 layer III, 32 kbit/s a channel, frames of 72 ms and of one size.
    Mp3,
    /// Opus in Ogg (RFC 7845), 25 or 50 kbit/s, pages of 200 ms and of one size.
    OggOpus,
    /// 16-bit PCM, compressed without loss in frames of 200 ms (RFC 9639).
    Flac,
}

/// One file, or stream, being made.
#[derive(Debug)]
pub struct Encoder {
    kind: Kind,
    channels: u16,
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

/// Samples a second.
pub const RATE_HZ: u32 = 8000;
/// Samples in an MP3 frame (MPEG-2.5), and its bytes for each channel.
const MP3_FRAME_SAMPLES: u64 = 576;
const MP3_FRAME_BYTES: u64 = 288;

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
    pub const fn header_bytes(self, channels: u16) -> u64 {
        match self {
            Self::Wav => HEADER_LEN as u64,
            Self::Mp3 => 0,
            Self::OggOpus => opus::header_bytes(channels),
            Self::Flac => flac::HEADER_BYTES,
        }
    }

    /// The smallest unit that can be cut off, as bytes and samples of one channel; none where they are of different sizes.
    pub(crate) const fn unit(self, channels: u16) -> Option<(u64, u64)> {
        match self {
            Self::Wav => Some((2 * channels as u64, 1)),
            Self::Mp3 => Some((MP3_FRAME_BYTES * channels as u64, MP3_FRAME_SAMPLES)),
            Self::OggOpus => Some((opus::page_bytes(channels), opus::PAGE_SAMPLES)),
            Self::Flac => None,
        }
    }

    /// How a stream begins that has no end yet.
    pub fn stream_header(self, channels: u16) -> Vec<u8> {
        match self {
            Self::Wav => {
                let (_, mut header) = WavWriter::new(wav(channels));
                // Sizes that no player takes for the end.
                header[4..8].copy_from_slice(&u32::MAX.to_le_bytes());
                header[46..50].copy_from_slice(&u32::MAX.to_le_bytes());
                header[54..58].copy_from_slice(&(u32::MAX - HEADER_LEN as u32).to_le_bytes());
                header
            }
            Self::Mp3 => Vec::new(),
            Self::OggOpus => opus::header(channels),
            Self::Flac => flac::header(channels),
        }
    }

    /// How many channels a file has, by its first [`HEADER_LEN`] bytes; none for what is not of this container.
    pub fn channels_of(self, start: &[u8]) -> Option<u16> {
        match self {
            Self::Wav => {
                let channels = u16::from_le_bytes([*start.get(22)?, *start.get(23)?]);
                (start.starts_with(b"RIFF") && (1..=2).contains(&channels)).then_some(channels)
            }
            Self::Mp3 => {
                let &[sync, version, _, mode] = start.first_chunk()?;
                let is_frame = sync == 0xFF && version & 0xE0 == 0xE0;
                is_frame.then_some(if mode >> 6 == 3 { 1 } else { 2 })
            }
            Self::OggOpus => opus::channels_of(start),
            Self::Flac => flac::channels_of(start),
        }
    }
}

impl Encoder {
    /// An encoder, and what its file begins with.
    pub fn new(container: Container, channels: u16) -> Result<(Self, Vec<u8>), EncodeError> {
        let (kind, header) = match container {
            Container::Wav => {
                let (writer, header) = WavWriter::new(wav(channels));
                (Kind::Wav(writer), header)
            }
            #[cfg(feature = "mp3-encode")]
            Container::Mp3 => (Kind::Mp3(Mp3Writer::new(channels)?), Vec::new()),
            #[cfg(not(feature = "mp3-encode"))]
            Container::Mp3 => return Err(EncodeError::Absent),
            Container::OggOpus => (Kind::Opus(OpusWriter::new(channels)?), opus::header(channels)),
            Container::Flac => (Kind::Flac(FlacWriter::new(channels)), flac::header(channels)),
        };
        Ok((Self { kind, channels, position: 0 }, header))
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
        self.position += samples.len() as u64 / u64::from(self.channels.max(1));
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
        self.position * 1000 / u64::from(RATE_HZ)
    }
}

fn wav(channels: u16) -> WavFormat {
    WavFormat { samples: SampleFormat::Pcm16, channels, rate_hz: RATE_HZ }
}
