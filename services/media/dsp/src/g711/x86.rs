//! AVX2 and AVX-512 VBMI kernels. Whatever does not fill a vector goes to the scalar twin.
#![allow(unsafe_code)]

use super::shared::{A, A_TO_MU_LOW, MU, MU_TO_A_LOW, scalar_decode, scalar_encode, scalar_translate};
use super::{Kernels, Law, scalar};
use std::arch::x86_64::*;

pub(super) static AVX2: Kernels = Kernels {
    // SAFETY: `Kernels::of` hands this table out only after AVX2 was detected.
    decode: [|b, s| unsafe { decode_avx2::<MU>(b, s) }, |b, s| unsafe { decode_avx2::<A>(b, s) }],
    // SAFETY: as above.
    encode: [|s, b| unsafe { encode_avx2::<MU>(s, b) }, |s, b| unsafe { encode_avx2::<A>(s, b) }],
    // 128-entry tables do not fit the 16-entry byte shuffle of AVX2; the table look-up is as fast as eight of them.
    translate: [scalar::mu_to_a, scalar::a_to_mu],
};

pub(super) static AVX512_VBMI: Kernels = Kernels {
    // SAFETY: `Kernels::of` hands this table out only after AVX-512 F, BW and VBMI were detected.
    decode: [|b, s| unsafe { decode_vbmi::<MU>(b, s) }, |b, s| unsafe { decode_vbmi::<A>(b, s) }],
    // SAFETY: as above.
    encode: [|s, b| unsafe { encode_vbmi::<MU>(s, b) }, |s, b| unsafe { encode_vbmi::<A>(s, b) }],
    // SAFETY: as above.
    translate: [|b| unsafe { translate_vbmi::<MU>(b) }, |b| unsafe { translate_vbmi::<A>(b) }],
};

/// Sixteen bytes at a time: the step within the segment is shifted by multiplying with a power of two from a shuffle.
#[target_feature(enable = "avx2")]
fn decode_avx2<const LAW: bool>(bytes: &[u8], samples: &mut [i16]) {
    let (byte_blocks, byte_rest) = bytes.as_chunks::<16>();
    let (sample_blocks, sample_rest) = samples.as_chunks_mut::<16>();
    let zero = _mm256_setzero_si256();
    let powers = broadcast(if LAW == MU { &MU_DECODE_POWERS } else { &A_DECODE_POWERS });
    for (input, output) in byte_blocks.iter().zip(sample_blocks) {
        // SAFETY: `input` is 16 readable bytes; the load has no alignment demand.
        let raw = unsafe { _mm_loadu_si128(input.as_ptr().cast()) };
        let flip = if LAW == MU { 0xFFu8 } else { 0x55 };
        let code = _mm256_cvtepu8_epi16(_mm_xor_si128(raw, _mm_set1_epi8(flip as i8)));
        let step = _mm256_and_si256(code, _mm256_set1_epi16(0x0F));
        let segment = _mm256_and_si256(_mm256_srli_epi16::<4>(code), _mm256_set1_epi16(7));
        // The high byte of each lane is zero in `segment`, looks up entry 0 and is masked away.
        let power = _mm256_and_si256(_mm256_shuffle_epi8(powers, segment), _mm256_set1_epi16(0xFF));
        let magnitude = if LAW == MU {
            let biased = _mm256_add_epi16(_mm256_slli_epi16::<3>(step), _mm256_set1_epi16(0x84));
            _mm256_sub_epi16(_mm256_mullo_epi16(biased, power), _mm256_set1_epi16(0x84))
        } else {
            let leading = _mm256_and_si256(_mm256_cmpgt_epi16(segment, zero), _mm256_set1_epi16(0x100));
            let centred = _mm256_add_epi16(_mm256_slli_epi16::<4>(step), _mm256_set1_epi16(8));
            _mm256_mullo_epi16(_mm256_add_epi16(centred, leading), power)
        };
        // After the flip a set sign bit means negative in mu-law and positive in A-law.
        let sign_bit = _mm256_cmpgt_epi16(code, _mm256_set1_epi16(0x7F));
        let negative = if LAW == MU { sign_bit } else { _mm256_xor_si256(sign_bit, _mm256_set1_epi16(-1)) };
        let signed = _mm256_sub_epi16(_mm256_xor_si256(magnitude, negative), negative);
        // SAFETY: `output` is 32 writable bytes; the store has no alignment demand.
        unsafe { _mm256_storeu_si256(output.as_mut_ptr().cast(), signed) };
    }
    scalar_decode(LAW, byte_rest, sample_rest);
}

/// Sixteen samples at a time; the segment is a bit length looked up by nibbles, the shift a multiplication.
#[target_feature(enable = "avx2")]
fn encode_avx2<const LAW: bool>(samples: &[i16], bytes: &mut [u8]) {
    let (sample_blocks, sample_rest) = samples.as_chunks::<16>();
    let (byte_blocks, byte_rest) = bytes.as_chunks_mut::<16>();
    let low_lengths = broadcast(&NIBBLE_BIT_LENGTH);
    let high_lengths = broadcast(&HIGH_NIBBLE_BIT_LENGTH);
    let powers = broadcast(if LAW == MU { &MU_ENCODE_POWERS } else { &A_ENCODE_POWERS });
    for (input, output) in sample_blocks.iter().zip(byte_blocks) {
        // SAFETY: `input` is 32 readable bytes; the load has no alignment demand.
        let linear = unsafe { _mm256_loadu_si256(input.as_ptr().cast()) };
        let negative = _mm256_srai_epi16::<15>(linear);
        let folded = _mm256_xor_si256(linear, negative);
        let (magnitude, top) = if LAW == MU {
            let biased = _mm256_add_epi16(_mm256_srli_epi16::<2>(folded), _mm256_set1_epi16(33));
            let clipped = _mm256_min_epi16(biased, _mm256_set1_epi16(0x1FFF));
            (clipped, _mm256_srli_epi16::<6>(clipped))
        } else {
            let magnitude = _mm256_srli_epi16::<4>(folded);
            // Doubled so that a shift by nothing is a multiplication by 2^15, which fits.
            (_mm256_slli_epi16::<1>(magnitude), _mm256_srli_epi16::<4>(magnitude))
        };
        let nibble = _mm256_set1_epi16(0x0F);
        let segment = _mm256_max_epu8(
            _mm256_shuffle_epi8(low_lengths, _mm256_and_si256(top, nibble)),
            _mm256_shuffle_epi8(high_lengths, _mm256_srli_epi16::<4>(top)),
        );
        let power = _mm256_slli_epi16::<8>(_mm256_shuffle_epi8(powers, segment));
        let step = _mm256_and_si256(_mm256_mulhi_epu16(magnitude, power), nibble);
        let code = _mm256_or_si256(_mm256_slli_epi16::<4>(segment), step);
        let flip = if LAW == MU { 0xFF } else { 0xD5 };
        let sign = _mm256_and_si256(negative, _mm256_set1_epi16(0x80));
        let byte = _mm256_xor_si256(_mm256_xor_si256(code, _mm256_set1_epi16(flip)), sign);
        let packed = _mm_packus_epi16(_mm256_castsi256_si128(byte), _mm256_extracti128_si256::<1>(byte));
        // SAFETY: `output` is 16 writable bytes; the store has no alignment demand.
        unsafe { _mm_storeu_si128(output.as_mut_ptr().cast(), packed) };
    }
    scalar_encode(LAW, sample_rest, byte_rest);
}

/// Sixty-four bytes at a time: magnitudes come from two 128-entry byte tables held in four registers.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_vbmi<const LAW: bool>(bytes: &[u8], samples: &mut [i16]) {
    let tables = if LAW == MU { &MU_MAGNITUDES } else { &A_MAGNITUDES };
    let (low_a, low_b) = load_table(&tables.0);
    let (high_a, high_b) = load_table(&tables.1);
    // Puts the bytes so that the interleaving within 128-bit lanes leaves the samples in order.
    let order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    let zero = _mm512_setzero_si512();
    let (byte_blocks, byte_rest) = bytes.as_chunks::<64>();
    let (sample_blocks, sample_rest) = samples.as_chunks_mut::<64>();
    for (input, output) in byte_blocks.iter().zip(sample_blocks) {
        // SAFETY: `input` is 64 readable bytes; the load has no alignment demand.
        let raw = unsafe { _mm512_loadu_si512(input.as_ptr().cast()) };
        // In both laws a clear sign bit on the wire means negative.
        let negative = !_mm512_movepi8_mask(raw);
        let ordered = _mm512_permutexvar_epi64(order, raw);
        let low = _mm512_permutex2var_epi8(low_a, ordered, low_b);
        let high = _mm512_permutex2var_epi8(high_a, ordered, high_b);
        let first = _mm512_unpacklo_epi8(low, high);
        let second = _mm512_unpackhi_epi8(low, high);
        let first = _mm512_mask_sub_epi16(first, negative as u32, zero, first);
        let second = _mm512_mask_sub_epi16(second, (negative >> 32) as u32, zero, second);
        let target: *mut i16 = output.as_mut_ptr();
        // SAFETY: `output` is 64 samples, two vectors of 32; the stores have no alignment demand.
        unsafe {
            _mm512_storeu_si512(target.cast(), first);
            _mm512_storeu_si512(target.add(32).cast(), second);
        }
    }
    decode_avx2_or_scalar::<LAW>(byte_rest, sample_rest);
}

/// Thirty-two samples at a time: the segment is one look-up in a 128-entry table, the shift one instruction.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn encode_vbmi<const LAW: bool>(samples: &[i16], bytes: &mut [u8]) {
    let (lengths_a, lengths_b) = load_table(&BIT_LENGTHS);
    let (sample_blocks, sample_rest) = samples.as_chunks::<32>();
    let (byte_blocks, byte_rest) = bytes.as_chunks_mut::<32>();
    for (input, output) in sample_blocks.iter().zip(byte_blocks) {
        // SAFETY: `input` is 64 readable bytes; the load has no alignment demand.
        let linear = unsafe { _mm512_loadu_si512(input.as_ptr().cast()) };
        let negative = _mm512_srai_epi16::<15>(linear);
        let folded = _mm512_xor_si512(linear, negative);
        let (magnitude, top) = if LAW == MU {
            let biased = _mm512_add_epi16(_mm512_srli_epi16::<2>(folded), _mm512_set1_epi16(33));
            let clipped = _mm512_min_epi16(biased, _mm512_set1_epi16(0x1FFF));
            (clipped, _mm512_srli_epi16::<6>(clipped))
        } else {
            let magnitude = _mm512_srli_epi16::<4>(folded);
            (magnitude, _mm512_srli_epi16::<4>(magnitude))
        };
        // The high byte of each lane is zero, and the bit length of zero is zero.
        let segment = _mm512_permutex2var_epi8(lengths_a, top, lengths_b);
        let one = _mm512_set1_epi16(1);
        let shift = if LAW == MU { _mm512_add_epi16(segment, one) } else { _mm512_subs_epu16(segment, one) };
        let step = _mm512_and_si512(_mm512_srlv_epi16(magnitude, shift), _mm512_set1_epi16(0x0F));
        let code = _mm512_or_si512(_mm512_slli_epi16::<4>(segment), step);
        let flip = if LAW == MU { 0xFF } else { 0xD5 };
        let sign = _mm512_and_si512(negative, _mm512_set1_epi16(0x80));
        let byte = _mm512_xor_si512(_mm512_xor_si512(code, _mm512_set1_epi16(flip)), sign);
        // SAFETY: `output` is 32 writable bytes; the store has no alignment demand.
        unsafe { _mm256_storeu_si256(output.as_mut_ptr().cast(), _mm512_cvtepi16_epi8(byte)) };
    }
    scalar_encode(LAW, sample_rest, byte_rest);
}

/// Sixty-four bytes at a time: seven bits look up, the sign bit stays as it is.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn translate_vbmi<const FROM: bool>(bytes: &mut [u8]) {
    let (table_a, table_b) = load_table(if FROM == MU { &MU_TO_A_LOW } else { &A_TO_MU_LOW });
    let sign = _mm512_set1_epi8(0x80u8 as i8);
    let (blocks, rest) = bytes.as_chunks_mut::<64>();
    for block in blocks {
        // SAFETY: `block` is 64 readable bytes; the load has no alignment demand.
        let raw = unsafe { _mm512_loadu_si512(block.as_ptr().cast()) };
        let looked_up = _mm512_permutex2var_epi8(table_a, raw, table_b);
        let signed = _mm512_or_si512(looked_up, _mm512_and_si512(raw, sign));
        // SAFETY: `block` is 64 writable bytes; the store has no alignment demand.
        unsafe { _mm512_storeu_si512(block.as_mut_ptr().cast(), signed) };
    }
    scalar_translate(FROM, rest);
}

/// The remainder of a 512-bit loop; every processor with VBMI has AVX2.
#[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
fn decode_avx2_or_scalar<const LAW: bool>(bytes: &[u8], samples: &mut [i16]) {
    decode_avx2::<LAW>(bytes, samples);
}

#[target_feature(enable = "avx2")]
fn broadcast(table: &[u8; 16]) -> __m256i {
    // SAFETY: `table` is 16 readable bytes; the load has no alignment demand.
    _mm256_broadcastsi128_si256(unsafe { _mm_loadu_si128(table.as_ptr().cast()) })
}

#[target_feature(enable = "avx512f")]
fn load_table(table: &[u8; 128]) -> (__m512i, __m512i) {
    let start: *const u8 = table.as_ptr();
    // SAFETY: `table` is 128 readable bytes, two vectors of 64; the loads have no alignment demand.
    unsafe { (_mm512_loadu_si512(start.cast()), _mm512_loadu_si512(start.add(64).cast())) }
}

/// The low and the high bytes of the magnitudes by the low seven bits of the byte on the wire.
const fn magnitudes(law: Law) -> ([u8; 128], [u8; 128]) {
    let (mut low, mut high) = ([0; 128], [0; 128]);
    let mut byte = 0;
    while byte < 128 {
        let value = match law {
            Law::Mu => super::tables::mu_to_linear(byte as u8 | 0x80),
            Law::A => super::tables::a_to_linear(byte as u8 | 0x80),
        } as u16;
        low[byte] = value as u8;
        high[byte] = (value >> 8) as u8;
        byte += 1;
    }
    (low, high)
}

const fn bit_lengths<const N: usize>(shift: u32) -> [u8; N] {
    let mut table = [0; N];
    let mut index = 1;
    while index < N {
        table[index] = (usize::BITS - index.leading_zeros() + shift) as u8;
        index += 1;
    }
    table
}

static MU_MAGNITUDES: ([u8; 128], [u8; 128]) = magnitudes(Law::Mu);
static A_MAGNITUDES: ([u8; 128], [u8; 128]) = magnitudes(Law::A);
static BIT_LENGTHS: [u8; 128] = bit_lengths(0);
static NIBBLE_BIT_LENGTH: [u8; 16] = bit_lengths(0);
static HIGH_NIBBLE_BIT_LENGTH: [u8; 16] = bit_lengths(4);
/// By segment: 2^segment.
static MU_DECODE_POWERS: [u8; 16] = [1, 2, 4, 8, 16, 32, 64, 128, 0, 0, 0, 0, 0, 0, 0, 0];
/// By segment: 2^(segment - 1), and 1 for segment 0.
static A_DECODE_POWERS: [u8; 16] = [1, 1, 2, 4, 8, 16, 32, 64, 0, 0, 0, 0, 0, 0, 0, 0];
/// By segment: the high byte of 2^(16 - (segment + 1)).
static MU_ENCODE_POWERS: [u8; 16] = [128, 64, 32, 16, 8, 4, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0];
/// By segment: the high byte of 2^(15 - max(segment - 1, 0)), the magnitude being doubled.
static A_ENCODE_POWERS: [u8; 16] = [128, 128, 64, 32, 16, 8, 4, 2, 0, 0, 0, 0, 0, 0, 0, 0];
