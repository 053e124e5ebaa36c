//! NEON kernels. Whatever does not fill a vector goes to the scalar twin.
//!
//! NEON counts leading zeros and shifts each lane by its own count, so that segments need no table as with AVX2.
#![allow(unsafe_code)]

use super::Kernels;
use super::shared::{A, A_TO_MU_LOW, MU, MU_TO_A_LOW, scalar_decode, scalar_encode, scalar_translate};
use std::arch::aarch64::*;

pub(super) static NEON: Kernels = Kernels {
    // SAFETY: `Kernels::of` hands this table out only after NEON was detected.
    decode: [|b, s| unsafe { decode::<MU>(b, s) }, |b, s| unsafe { decode::<A>(b, s) }],
    // SAFETY: as above.
    encode: [|s, b| unsafe { encode::<MU>(s, b) }, |s, b| unsafe { encode::<A>(s, b) }],
    // SAFETY: as above.
    translate: [|b| unsafe { translate::<MU>(b) }, |b| unsafe { translate::<A>(b) }],
};

/// Sixteen bytes at a time: the step with its leading bit fits a byte, which is widened and shifted by its segment.
#[target_feature(enable = "neon")]
fn decode<const LAW: bool>(bytes: &[u8], samples: &mut [i16]) {
    let (byte_blocks, byte_rest) = bytes.as_chunks::<16>();
    let (sample_blocks, sample_rest) = samples.as_chunks_mut::<16>();
    for (input, output) in byte_blocks.iter().zip(sample_blocks) {
        // SAFETY: `input` is 16 readable bytes; the load has no alignment demand.
        let raw = unsafe { vld1q_u8(input.as_ptr()) };
        let code = veorq_u8(raw, vdupq_n_u8(if LAW == MU { 0xFF } else { 0x55 }));
        let step = vandq_u8(vshlq_n_u8::<3>(code), vdupq_n_u8(0x78));
        let segment = vandq_u8(vshrq_n_u8::<4>(code), vdupq_n_u8(7));
        let (mantissa, shift) = if LAW == MU {
            (vorrq_u8(step, vdupq_n_u8(0x84)), segment)
        } else {
            // Half of the magnitude in segment 0, which alone has no leading bit and is as coarse as segment 1.
            let leading = vandq_u8(vtstq_u8(code, vdupq_n_u8(0x70)), vdupq_n_u8(0x80));
            let centred = vorrq_u8(step, vdupq_n_u8(4));
            (vorrq_u8(centred, leading), vmaxq_u8(segment, vdupq_n_u8(1)))
        };
        // In both laws a clear sign bit on the wire means negative.
        let negative = vreinterpretq_s8_u8(vcgezq_s8(vreinterpretq_s8_u8(raw)));
        let low = widened::<LAW>(vget_low_u8(mantissa), vget_low_u8(shift), vget_low_s8(negative));
        let high = widened::<LAW>(vget_high_u8(mantissa), vget_high_u8(shift), vget_high_s8(negative));
        // SAFETY: `output` is 16 samples, two vectors of 8; the store has no alignment demand.
        unsafe { vst1q_s16_x2(output.as_mut_ptr(), int16x8x2_t(low, high)) };
    }
    scalar_decode(LAW, byte_rest, sample_rest);
}

/// Eight samples: the mantissa shifted, less the bias of mu-law, with its sign.
#[target_feature(enable = "neon")]
fn widened<const LAW: bool>(mantissa: uint8x8_t, shift: uint8x8_t, negative: int8x8_t) -> int16x8_t {
    let shifted = vshlq_u16(vmovl_u8(mantissa), vreinterpretq_s16_u16(vmovl_u8(shift)));
    let magnitude = if LAW == MU { vsubq_u16(shifted, vdupq_n_u16(0x84)) } else { shifted };
    let negative = vmovl_s8(negative);
    vsubq_s16(veorq_s16(vreinterpretq_s16_u16(magnitude), negative), negative)
}

/// Sixteen samples at a time: the segment is the bit length of the magnitude's top, the step what is left after a shift by it.
#[target_feature(enable = "neon")]
fn encode<const LAW: bool>(samples: &[i16], bytes: &mut [u8]) {
    let (sample_blocks, sample_rest) = samples.as_chunks::<16>();
    let (byte_blocks, byte_rest) = bytes.as_chunks_mut::<16>();
    for (input, output) in sample_blocks.iter().zip(byte_blocks) {
        // SAFETY: `input` is 16 samples, two vectors of 8; the load has no alignment demand.
        let int16x8x2_t(low, high) = unsafe { vld1q_s16_x2(input.as_ptr()) };
        let (low_segment, low_step) = segment_and_step::<LAW>(low);
        let (high_segment, high_step) = segment_and_step::<LAW>(high);
        let segment = vmovn_high_u16(vmovn_u16(low_segment), high_segment);
        let step = vmovn_high_u16(vmovn_u16(low_step), high_step);
        // The segment takes the place of everything above the four bits of the step.
        let code = vsliq_n_u8::<4>(step, segment);
        let top = vshrn_high_n_s16::<8>(vshrn_n_s16::<8>(low), high);
        let sign = vandq_u8(vreinterpretq_u8_s8(top), vdupq_n_u8(0x80));
        let flip = vdupq_n_u8(if LAW == MU { 0xFF } else { 0xD5 });
        let byte = veorq_u8(veorq_u8(code, flip), sign);
        // SAFETY: `output` is 16 writable bytes; the store has no alignment demand.
        unsafe { vst1q_u8(output.as_mut_ptr(), byte) };
    }
    scalar_encode(LAW, sample_rest, byte_rest);
}

/// Of eight samples the segments, and the steps in the low four bits.
#[target_feature(enable = "neon")]
fn segment_and_step<const LAW: bool>(linear: int16x8_t) -> (uint16x8_t, uint16x8_t) {
    let folded = vreinterpretq_u16_s16(veorq_s16(linear, vshrq_n_s16::<15>(linear)));
    let (magnitude, top) = if LAW == MU {
        let biased = vaddq_u16(vshrq_n_u16::<2>(folded), vdupq_n_u16(33));
        let clipped = vminq_u16(biased, vdupq_n_u16(0x1FFF));
        (clipped, vshrq_n_u16::<6>(clipped))
    } else {
        (vshrq_n_u16::<4>(folded), vshrq_n_u16::<8>(folded))
    };
    let segment = vsubq_u16(vdupq_n_u16(16), vclzq_u16(top));
    let one = vdupq_n_u16(1);
    let shift = if LAW == MU { vaddq_u16(segment, one) } else { vqsubq_u16(segment, one) };
    // A negative count shifts to the right.
    let step = vshlq_u16(magnitude, vnegq_s16(vreinterpretq_s16_u16(shift)));
    (segment, step)
}

/// Sixteen bytes at a time: seven bits look up in eight registers, the sign bit stays as it is.
#[target_feature(enable = "neon")]
fn translate<const FROM: bool>(bytes: &mut [u8]) {
    let (first, second) = load_table(if FROM == MU { &MU_TO_A_LOW } else { &A_TO_MU_LOW });
    let sign = vdupq_n_u8(0x80);
    let (blocks, rest) = bytes.as_chunks_mut::<16>();
    for block in blocks {
        // SAFETY: `block` is 16 readable bytes; the load has no alignment demand.
        let raw = unsafe { vld1q_u8(block.as_ptr()) };
        let index = vbicq_u8(raw, sign);
        // An index beyond 63 finds nothing in a table of 64; the second look-up then leaves what the first one found.
        let found = vqtbl4q_u8(first, index);
        let looked_up = vqtbx4q_u8(found, second, vsubq_u8(index, vdupq_n_u8(64)));
        let signed = vbslq_u8(sign, raw, looked_up);
        // SAFETY: `block` is 16 writable bytes; the store has no alignment demand.
        unsafe { vst1q_u8(block.as_mut_ptr(), signed) };
    }
    scalar_translate(FROM, rest);
}

#[target_feature(enable = "neon")]
fn load_table(table: &[u8; 128]) -> (uint8x16x4_t, uint8x16x4_t) {
    let start: *const u8 = table.as_ptr();
    // SAFETY: `table` is 128 readable bytes, twice four vectors of 16; the loads have no alignment demand.
    unsafe { (vld1q_u8_x4(start), vld1q_u8_x4(start.add(64))) }
}
