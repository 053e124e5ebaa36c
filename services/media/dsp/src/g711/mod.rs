//! ITU-T G.711: companded 8-bit samples to and from 16-bit linear, and mu-law to and from A-law byte by byte.
//!
//! Linear samples are left-aligned: full scale of mu-law is ±32,124 and of A-law ±32,256. Encoding truncates toward the lower
//! decision value as the Recommendation's tables do, so that decode followed by encode gives back every byte (except the
//! negative zero of mu-law, 0x7F, which returns as 0xFF).

#[cfg(target_arch = "aarch64")]
mod neon;
mod scalar;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod shared;
mod tables;
#[cfg(target_arch = "x86_64")]
mod x86;

#[cfg(test)]
mod tests;

use crate::cpu::{InstructionSet, instruction_set};
use std::sync::OnceLock;

/// The two companding laws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Law {
    /// mu-law: RTP payload type 0, PCMU.
    Mu,
    /// A-law: RTP payload type 8, PCMA.
    A,
}

impl Law {
    /// The byte that stands for silence (positive zero).
    pub const fn silence(self) -> u8 {
        match self {
            Self::Mu => 0xFF,
            Self::A => 0xD5,
        }
    }

    /// The static RTP payload type (RFC 3551, section 6).
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Mu => 0,
            Self::A => 8,
        }
    }

    /// The law of a static RTP payload type.
    pub const fn of_payload_type(payload_type: u8) -> Option<Self> {
        match payload_type {
            0 => Some(Self::Mu),
            8 => Some(Self::A),
            _ => None,
        }
    }

    /// The other law.
    pub const fn other(self) -> Self {
        match self {
            Self::Mu => Self::A,
            Self::A => Self::Mu,
        }
    }
}

/// Decodes as many samples as the shorter slice holds and returns how many that were.
pub fn decode(law: Law, bytes: &[u8], samples: &mut [i16]) -> usize {
    let n = bytes.len().min(samples.len());
    (chosen().decode[law as usize])(&bytes[..n], &mut samples[..n]);
    n
}

/// Encodes as many samples as the shorter slice holds and returns how many that were.
pub fn encode(law: Law, samples: &[i16], bytes: &mut [u8]) -> usize {
    let n = bytes.len().min(samples.len());
    (chosen().encode[law as usize])(&samples[..n], &mut bytes[..n]);
    n
}

/// Converts bytes of `from` into bytes of the other law in place (G.711, tables 3 and 4): no way over linear samples.
pub fn translate_in_place(from: Law, bytes: &mut [u8]) {
    (chosen().translate[from as usize])(bytes);
}

/// [`decode`] with a named instruction set, for tests and benches; the portable one if the processor lacks it.
pub fn decode_with(set: InstructionSet, law: Law, bytes: &[u8], samples: &mut [i16]) -> usize {
    let n = bytes.len().min(samples.len());
    (Kernels::of(set).decode[law as usize])(&bytes[..n], &mut samples[..n]);
    n
}

/// [`encode`] with a named instruction set, for tests and benches; the portable one if the processor lacks it.
pub fn encode_with(set: InstructionSet, law: Law, samples: &[i16], bytes: &mut [u8]) -> usize {
    let n = bytes.len().min(samples.len());
    (Kernels::of(set).encode[law as usize])(&samples[..n], &mut bytes[..n]);
    n
}

/// [`translate_in_place`] with a named instruction set, for tests and benches; the portable one if the processor lacks it.
pub fn translate_in_place_with(set: InstructionSet, from: Law, bytes: &mut [u8]) {
    (Kernels::of(set).translate[from as usize])(bytes);
}

type Decode = fn(&[u8], &mut [i16]);
type Encode = fn(&[i16], &mut [u8]);
type Translate = fn(&mut [u8]);

/// The kernels of one instruction set, indexed by law. Slices given to one call have equal length.
struct Kernels {
    decode: [Decode; 2],
    encode: [Encode; 2],
    translate: [Translate; 2],
}

impl Kernels {
    fn of(set: InstructionSet) -> &'static Self {
        match set {
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx2 if set.is_available() => &x86::AVX2,
            #[cfg(target_arch = "x86_64")]
            InstructionSet::Avx512Vbmi if set.is_available() => &x86::AVX512_VBMI,
            #[cfg(target_arch = "aarch64")]
            InstructionSet::Neon if set.is_available() => &neon::NEON,
            _ => &scalar::KERNELS,
        }
    }
}

fn chosen() -> &'static Kernels {
    static CHOSEN: OnceLock<&'static Kernels> = OnceLock::new();
    CHOSEN.get_or_init(|| Kernels::of(instruction_set()))
}
