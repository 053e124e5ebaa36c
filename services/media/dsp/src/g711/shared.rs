//! What the vector kernels of every processor share: a law as a constant argument, the rest that does not fill a vector, and
//! the translation of the low seven bits.

use super::scalar;
use super::tables::{A_TO_MU, MU_TO_A};

/// [`super::Law::Mu`] as a constant argument.
pub(super) const MU: bool = false;
/// [`super::Law::A`] as a constant argument.
pub(super) const A: bool = true;

/// A-law by mu-law without its sign.
pub(super) static MU_TO_A_LOW: [u8; 128] = first_half(&MU_TO_A);
/// Mu-law by A-law without its sign.
pub(super) static A_TO_MU_LOW: [u8; 128] = first_half(&A_TO_MU);

pub(super) fn scalar_decode(law: bool, bytes: &[u8], samples: &mut [i16]) {
    if law == MU { scalar::decode_mu(bytes, samples) } else { scalar::decode_a(bytes, samples) }
}

pub(super) fn scalar_encode(law: bool, samples: &[i16], bytes: &mut [u8]) {
    if law == MU { scalar::encode_mu(samples, bytes) } else { scalar::encode_a(samples, bytes) }
}

pub(super) fn scalar_translate(from: bool, bytes: &mut [u8]) {
    if from == MU { scalar::mu_to_a(bytes) } else { scalar::a_to_mu(bytes) }
}

const fn first_half(table: &[u8; 256]) -> [u8; 128] {
    let mut half = [0; 128];
    let mut index = 0;
    while index < 128 {
        half[index] = table[index] & 0x7F;
        index += 1;
    }
    half
}
