//! The codecs of the live path behind one face: what a leg decodes and encodes on its tick.
//!
//! A [`Decoder`] turns packets into linear sound at the [`Rate`] its listener wants, and conceals what did not come; an
//! [`Encoder`] does the way back. All memory is taken when they are made. The set is closed, so a call costs one branch.
//!
//! | codec | RTP clock | native rate | packet times |
//! |---|---|---|---|
//! | PCMU, PCMA | 8 kHz | 8 kHz | any multiple of 10 ms |
//! | G.722 | 8 kHz (RFC 3551, section 4.5.2) | 16 kHz | any multiple of 10 ms |
//! | GSM | 8 kHz | 8 kHz | multiples of 20 ms |
//! | Opus | 48 kHz (RFC 7587) | whatever is wanted | 10, 20, 40, 60 ms |
//! | L16 | 8 or 16 kHz | the same | any multiple of 10 ms, at 16 kHz to 40 ms |

mod decoder;
mod encoder;
pub mod g722;
pub mod gsm;
pub mod l16;
pub mod opus;

#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use encoder::Encoder;
pub use opus::OpusSettings;

use crate::{Law, Rate};

/// A way to carry sound in RTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Codec {
    /// G.711: PCMU or PCMA.
    G711(Law),
    /// G.722 at 64 kbit/s.
    G722,
    /// GSM 06.10 full rate.
    Gsm,
    /// Opus.
    Opus,
    /// Linear samples, one channel, at 8 or 16 kHz.
    L16(Rate),
}

/// Why a codec did not do its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// A payload that no encoder of this codec makes, or longer than there is room.
    #[error("the payload is malformed")]
    Malformed,
    /// A number of samples that this codec cannot put into one packet.
    #[error("{samples} samples do not make a packet of this codec")]
    FrameLength {
        /// How many were given.
        samples: usize,
    },
    /// There is no room for the encoded packet.
    #[error("no room for the packet")]
    NoRoom,
    /// The library behind a codec refused.
    #[error("the codec's library refused")]
    Library,
}

impl Codec {
    /// Every codec, best to hear first.
    pub const ALL: [Self; 7] = [
        Self::Opus,
        Self::G722,
        Self::L16(Rate::Wide),
        Self::L16(Rate::Narrow),
        Self::G711(Law::A),
        Self::G711(Law::Mu),
        Self::Gsm,
    ];

    /// Rate of its RTP timestamps in Hz. G.722 counts 8,000 although it samples at 16,000 Hz.
    pub const fn clock_hz(self) -> u32 {
        match self {
            Self::G711(_) | Self::G722 | Self::Gsm => 8_000,
            Self::Opus => 48_000,
            Self::L16(rate) => rate.hz(),
        }
    }

    /// The rate beyond which it carries nothing more.
    pub const fn native_rate(self) -> Rate {
        match self {
            Self::G711(_) | Self::Gsm => Rate::Narrow,
            Self::G722 => Rate::Wide,
            Self::Opus => Rate::Full,
            Self::L16(rate) => rate,
        }
    }

    /// The payload type that RFC 3551 gives it for good; none when it has to be agreed.
    pub const fn static_payload_type(self) -> Option<u8> {
        match self {
            Self::G711(law) => Some(law.payload_type()),
            Self::Gsm => Some(3),
            Self::G722 => Some(9),
            Self::Opus | Self::L16(_) => None,
        }
    }

    /// The longest packet time of at most `wanted_ms` that it can make and a datagram takes; its shortest if there is none.
    pub const fn packet_time_ms(self, wanted_ms: u8) -> u8 {
        // A packet has to fit a datagram of an Ethernet.
        let longest_ms = match self {
            Self::L16(Rate::Wide) => 40,
            Self::L16(Rate::Full) => 10,
            _ => 60,
        };
        let wanted_ms = if wanted_ms > longest_ms { longest_ms } else { wanted_ms };
        match self {
            Self::Gsm => {
                if wanted_ms < 20 {
                    20
                } else {
                    wanted_ms / 20 * 20
                }
            }
            Self::Opus => match wanted_ms {
                60.. => 60,
                40..60 => 40,
                20..40 => 20,
                _ => 10,
            },
            _ => {
                if wanted_ms < 10 {
                    10
                } else {
                    wanted_ms / 10 * 10
                }
            }
        }
    }

    /// How long a payload is, in ticks of the RTP clock; none for what this codec cannot have made.
    pub fn duration(self, payload: &[u8]) -> Option<u32> {
        let bytes = payload.len() as u32;
        let ticks = match self {
            Self::G711(_) | Self::G722 => Some(bytes),
            Self::Gsm => payload.len().is_multiple_of(gsm::BYTES).then_some(bytes / gsm::BYTES as u32 * 160),
            Self::Opus => opus::packet_duration(payload),
            Self::L16(_) => bytes.is_multiple_of(2).then_some(bytes / 2),
        };
        ticks.filter(|ticks| *ticks > 0)
    }

    /// Bytes that a packet of `ms` has at most.
    pub const fn payload_bytes_max(self, ms: usize) -> usize {
        match self {
            Self::G711(_) | Self::G722 => 8 * ms,
            Self::Gsm => ms.div_ceil(20) * gsm::BYTES,
            Self::Opus => 1_275,
            Self::L16(rate) => 2 * rate.samples(ms),
        }
    }
}
