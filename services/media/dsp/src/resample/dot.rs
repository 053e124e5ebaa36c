//! The inner product of 16-bit vectors, per instruction set, all with the same result.
#![allow(unsafe_code)]

use crate::cpu::{InstructionSet, instruction_set};
use std::sync::OnceLock;

/// Lengths are multiples of this.
pub(super) const BLOCK: usize = 32;

pub(super) type Dot = fn(&[i16], &[i16]) -> i32;

/// The kernel that this process uses.
pub(super) fn chosen() -> Dot {
    static CHOSEN: OnceLock<Dot> = OnceLock::new();
    *CHOSEN.get_or_init(|| of(instruction_set()))
}

/// The kernel of one set; the portable one if the processor lacks it.
pub(super) fn of(set: InstructionSet) -> Dot {
    match set {
        // SAFETY: handed out only after AVX2 was detected.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx2 if set.is_available() => |a, b| unsafe { avx2(a, b) },
        // SAFETY: handed out only after AVX-512 F and BW were detected.
        #[cfg(target_arch = "x86_64")]
        InstructionSet::Avx512Vbmi if set.is_available() => |a, b| unsafe { avx512(a, b) },
        // SAFETY: handed out only after NEON was detected.
        #[cfg(target_arch = "aarch64")]
        InstructionSet::Neon if set.is_available() => |a, b| unsafe { neon(a, b) },
        _ => scalar,
    }
}

fn scalar(a: &[i16], b: &[i16]) -> i32 {
    a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b)).sum()
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn avx2(a: &[i16], b: &[i16]) -> i32 {
    use std::arch::x86_64::*;
    let mut sum = _mm256_setzero_si256();
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        // SAFETY: both are 32 readable bytes; the loads have no alignment demand.
        let (a, b) =
            unsafe { (_mm256_loadu_si256(a.as_ptr().cast()), _mm256_loadu_si256(b.as_ptr().cast())) };
        sum = _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
    }
    let half = _mm_add_epi32(_mm256_castsi256_si128(sum), _mm256_extracti128_si256::<1>(sum));
    let quarter = _mm_add_epi32(half, _mm_shuffle_epi32::<0b00_00_11_10>(half));
    _mm_cvtsi128_si32(_mm_add_epi32(quarter, _mm_shuffle_epi32::<0b00_00_00_01>(quarter)))
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bw")]
fn avx512(a: &[i16], b: &[i16]) -> i32 {
    use std::arch::x86_64::*;
    let mut sum = _mm512_setzero_si512();
    for (a, b) in a.as_chunks::<32>().0.iter().zip(b.as_chunks::<32>().0) {
        // SAFETY: both are 64 readable bytes; the loads have no alignment demand.
        let (a, b) =
            unsafe { (_mm512_loadu_si512(a.as_ptr().cast()), _mm512_loadu_si512(b.as_ptr().cast())) };
        sum = _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
    }
    _mm512_reduce_add_epi32(sum)
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon")]
fn neon(a: &[i16], b: &[i16]) -> i32 {
    use std::arch::aarch64::*;
    let (mut low, mut high) = (vdupq_n_s32(0), vdupq_n_s32(0));
    for (a, b) in a.as_chunks::<8>().0.iter().zip(b.as_chunks::<8>().0) {
        // SAFETY: both are 16 readable bytes; the loads have no alignment demand.
        let (a, b) = unsafe { (vld1q_s16(a.as_ptr()), vld1q_s16(b.as_ptr())) };
        low = vmlal_s16(low, vget_low_s16(a), vget_low_s16(b));
        high = vmlal_high_s16(high, a, b);
    }
    vaddvq_s32(vaddq_s32(low, high))
}
