//! Portable kernels: one table look-up a sample.

use super::Kernels;
use super::tables::{A_TO_LINEAR, A_TO_MU, LINEAR_TO_A, LINEAR_TO_MU, MU_TO_A, MU_TO_LINEAR};

pub(super) static KERNELS: Kernels =
    Kernels { decode: [decode_mu, decode_a], encode: [encode_mu, encode_a], translate: [mu_to_a, a_to_mu] };

pub(super) fn decode_mu(bytes: &[u8], samples: &mut [i16]) {
    for (sample, byte) in samples.iter_mut().zip(bytes) {
        *sample = MU_TO_LINEAR[usize::from(*byte)];
    }
}

pub(super) fn decode_a(bytes: &[u8], samples: &mut [i16]) {
    for (sample, byte) in samples.iter_mut().zip(bytes) {
        *sample = A_TO_LINEAR[usize::from(*byte)];
    }
}

pub(super) fn encode_mu(samples: &[i16], bytes: &mut [u8]) {
    for (byte, sample) in bytes.iter_mut().zip(samples) {
        *byte = LINEAR_TO_MU[usize::from((*sample as u16) >> 2)];
    }
}

pub(super) fn encode_a(samples: &[i16], bytes: &mut [u8]) {
    for (byte, sample) in bytes.iter_mut().zip(samples) {
        *byte = LINEAR_TO_A[usize::from((*sample as u16) >> 4)];
    }
}

pub(super) fn mu_to_a(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = MU_TO_A[usize::from(*byte)];
    }
}

pub(super) fn a_to_mu(bytes: &mut [u8]) {
    for byte in bytes {
        *byte = A_TO_MU[usize::from(*byte)];
    }
}
