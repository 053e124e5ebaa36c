//! The tables of G.711, computed at compile time except for the two translation tables, which the Recommendation lists.

pub(super) static MU_TO_LINEAR: [i16; 256] = linear_table(true);
pub(super) static A_TO_LINEAR: [i16; 256] = linear_table(false);

/// Indexed by the top 14 bits of a sample as an unsigned number.
pub(super) static LINEAR_TO_MU: [u8; 1 << 14] = mu_codes();
/// Indexed by the top 12 bits of a sample as an unsigned number.
pub(super) static LINEAR_TO_A: [u8; 1 << 12] = a_codes();

pub(super) static MU_TO_A: [u8; 256] = mu_to_a();
pub(super) static A_TO_MU: [u8; 256] = a_to_mu();

/// One byte of mu-law to linear.
pub(super) const fn mu_to_linear(byte: u8) -> i16 {
    let code = !byte;
    let magnitude = ((((code & 0x0F) as i16) << 3) + MU_BIAS) << ((code >> 4) & 7);
    if code & 0x80 != 0 { MU_BIAS - magnitude } else { magnitude - MU_BIAS }
}

/// One byte of A-law to linear.
pub(super) const fn a_to_linear(byte: u8) -> i16 {
    let code = byte ^ 0x55;
    let step = (((code & 0x0F) as i16) << 4) + 8;
    let magnitude = match (code >> 4) & 7 {
        0 => step,
        segment => (step + 0x100) << (segment - 1),
    };
    if code & 0x80 != 0 { magnitude } else { -magnitude }
}

/// One linear sample to mu-law.
pub(super) const fn linear_to_mu(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = ((if positive { sample } else { !sample }) >> 2) as u16 + 33;
    let magnitude = if magnitude > 0x1FFF { 0x1FFF } else { magnitude };
    let segment = bit_length(magnitude >> 6);
    let code = (segment << 4) as u8 | ((magnitude >> (segment + 1)) & 0x0F) as u8;
    (code ^ 0x7F) | if positive { 0x80 } else { 0 }
}

/// One linear sample to A-law.
pub(super) const fn linear_to_a(sample: i16) -> u8 {
    let positive = sample >= 0;
    let magnitude = ((if positive { sample } else { !sample }) >> 4) as u16;
    let segment = bit_length(magnitude >> 4);
    let shift = if segment == 0 { 0 } else { segment - 1 };
    let code = (segment << 4) as u8 | ((magnitude >> shift) & 0x0F) as u8;
    (code | if positive { 0x80 } else { 0 }) ^ 0x55
}

const fn bit_length(value: u16) -> u16 {
    (u16::BITS - value.leading_zeros()) as u16
}

const fn linear_table(mu: bool) -> [i16; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = if mu { mu_to_linear(byte as u8) } else { a_to_linear(byte as u8) };
        byte += 1;
    }
    table
}

const fn mu_codes() -> [u8; 1 << 14] {
    let mut table = [0; 1 << 14];
    let mut index = 0;
    while index < table.len() {
        table[index] = linear_to_mu((index << 2) as u16 as i16);
        index += 1;
    }
    table
}

const fn a_codes() -> [u8; 1 << 12] {
    let mut table = [0; 1 << 12];
    let mut index = 0;
    while index < table.len() {
        table[index] = linear_to_a((index << 4) as u16 as i16);
        index += 1;
    }
    table
}

const fn mu_to_a() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let sign = byte as u8 & 0x80;
        table[byte] = ((MU_TO_A_DECISION[(byte & 0x7F) ^ 0x7F] - 1) ^ 0x55) | sign;
        byte += 1;
    }
    table
}

const fn a_to_mu() -> [u8; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let sign = byte as u8 & 0x80;
        table[byte] = (A_TO_MU_DECISION[(byte & 0x7F) ^ 0x55] ^ 0x7F) | sign;
        byte += 1;
    }
    table
}

/// Bias that makes the segments of mu-law powers of two, in the left-aligned 16-bit scale.
const MU_BIAS: i16 = 0x84;

/// G.711, table 3: the A-law decoder output number (from 1) for each mu-law decoder output number (from 0).
///
/// Not decode followed by encode: for 18 numbers (48, 49, 64 and 81 to 95) the table takes the value next to the nearest one.
/// Compared with public implementations that cite the Recommendation, in their corrected form (number 80 gives 80).
const MU_TO_A_DECISION: [u8; 128] = [
    1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 8, //
    9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, //
    25, 27, 29, 31, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43, 44, //
    46, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, //
    64, 65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, //
    80, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, 96, //
    97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, 112, //
    113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127, 128,
];

/// G.711, table 4: the mu-law decoder output number (from 0) for each A-law decoder output number (from 0 here).
///
/// Not decode followed by encode either, for the numbers 80 to 94. Compared in the same way (79 gives 80).
const A_TO_MU_DECISION: [u8; 128] = [
    1, 3, 5, 7, 9, 11, 13, 15, 16, 17, 18, 19, 20, 21, 22, 23, //
    24, 25, 26, 27, 28, 29, 30, 31, 32, 32, 33, 33, 34, 34, 35, 35, //
    36, 37, 38, 39, 40, 41, 42, 43, 44, 45, 46, 47, 48, 48, 49, 49, //
    50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63, 64, 64, //
    65, 66, 67, 68, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, //
    80, 81, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92, 93, 94, 95, //
    96, 97, 98, 99, 100, 101, 102, 103, 104, 105, 106, 107, 108, 109, 110, 111, //
    112, 113, 114, 115, 116, 117, 118, 119, 120, 121, 122, 123, 124, 125, 126, 127,
];
