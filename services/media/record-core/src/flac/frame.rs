//! One frame: a block of samples of each channel, predicted by a fixed polynomial, the rest Rice-coded (RFC 9639, section 9).

use sidetone_dsp::Rate;

use super::bits::{BitWriter, crc8, crc16};
use crate::Form;

const HEADER_MAX: usize = 14;
/// The header's last bytes: the length of the block and the checksum.
const HEADER_TAIL: usize = 3;

const ORDERS: usize = 5;
/// A block falls into at most 2 to the power of this many partitions, each with a Rice parameter of its own.
const PARTITION_ORDER_MAX: u32 = 6;
/// The largest parameter of four bits; 15 would announce samples that are not coded.
const RICE_MAX: u32 = 14;
const SAMPLE_BITS: u32 = 16;

/// How a channel's rest is coded.
#[derive(Debug)]
struct Partitions {
    order: u32,
    parameters: Vec<u32>,
    /// At most; the parameters' own included.
    bits: u64,
}

/// Samples of one channel in every frame but the last: 200 ms, at 48 kHz a third of it, because the streamable subset has at most
/// 4,608 (RFC 9639, section 7). Ten seconds are a whole number of frames at each rate.
pub(super) const fn block_samples(rate: Rate) -> usize {
    match rate {
        Rate::Narrow => 1600,
        Rate::Wide | Rate::Full => 3200,
    }
}

/// The most bytes of a frame: its header, and every sample as it is.
pub(super) const fn bytes_max(form: Form) -> usize {
    HEADER_MAX + 2 * (1 + 2 * block_samples(form.rate)) + 2
}

/// A frame's header up to the length of its block, which is all that is known of a frame that is still to come.
pub(super) fn header_start(number: u32, form: Form) -> Vec<u8> {
    let rate = match form.rate {
        Rate::Narrow => 0b0100,
        Rate::Wide => 0b0101,
        Rate::Full => 0b1010,
    };
    // Blocks of one length; a length in 16 bits, the rate; so many channels, each by itself, of 16 bits.
    let mut header = vec![0xFF, 0xF8, 0x70 | rate, ((form.width() as u8 - 1) << 4) | 0x08];
    coded_number(number, &mut header);
    header
}

/// A frame's header.
pub(super) fn header(number: u32, form: Form, samples: usize) -> Vec<u8> {
    let mut header = header_start(number, form);
    header.extend((samples as u16).wrapping_sub(1).to_be_bytes());
    header.push(crc8(&header));
    header
}

/// The length of a frame's header and of its block, in samples, where a frame of that number begins.
pub(super) fn read_header(bytes: &[u8], number: u32, form: Form) -> Option<(usize, usize)> {
    let start = header_start(number, form);
    let length = start.len() + HEADER_TAIL;
    let header = bytes.get(..length).filter(|header| header.starts_with(&start))?;
    let samples = usize::from(u16::from_be_bytes([header[length - 3], header[length - 2]])) + 1;
    (crc8(header) == 0 && samples <= block_samples(form.rate)).then_some((length, samples))
}

/// Appends a frame of at most [`block_samples`] a channel, channels interleaved.
pub(super) fn encode(number: u32, form: Form, samples: &[i16], out: &mut Vec<u8>) {
    let start = out.len();
    let channels = form.width();
    out.extend(header(number, form, samples.len() / channels));
    let mut bits = BitWriter::new(out);
    for channel in 0..channels {
        let voice: Vec<i32> =
            samples.iter().skip(channel).step_by(channels).map(|sample| i32::from(*sample)).collect();
        subframe(voice, &mut bits);
    }
    bits.align();
    let crc = crc16(0, &out[start..]);
    out.extend(crc.to_be_bytes());
}

/// As in UTF-8, up to 31 bits (RFC 9639, section 9.1.5).
fn coded_number(number: u32, out: &mut Vec<u8>) {
    if number < 0x80 {
        out.push(number as u8);
        return;
    }
    // Six bits in each byte behind the first, and those that the first has left: eleven bits need one more byte, 16 two.
    let more = (32 - number.leading_zeros() - 2) / 5;
    let lead = 0xFF00u32 >> (more + 1);
    out.push(lead as u8 | (number >> (6 * more)) as u8);
    for n in (0..more).rev() {
        out.push(0x80 | (number >> (6 * n)) as u8 & 0x3F);
    }
}

fn subframe(mut voice: Vec<i32>, bits: &mut BitWriter<'_>) {
    let first = voice.first().copied().unwrap_or(0);
    if voice.iter().all(|sample| *sample == first) {
        bits.put(0, 8);
        bits.put(first as u32, SAMPLE_BITS);
        return;
    }
    // Sound that came as G.711 leaves the lowest bits empty: two of mu-law, three of A-law.
    let wasted = voice.iter().fold(0, |all, sample| all | sample).trailing_zeros();
    voice.iter_mut().for_each(|sample| *sample >>= wasted);
    let width = SAMPLE_BITS - wasted;
    let (order, rest) = predicted(&voice);
    let coded = partitions(&rest, order, voice.len());
    let plain = coded.bits + order as u64 * u64::from(width) >= voice.len() as u64 * u64::from(width);
    let kind = if plain { 0b1 } else { 0b1000 | order as u32 };
    bits.put(kind << 1 | u32::from(wasted > 0), 8);
    if wasted > 0 {
        bits.unary(wasted - 1);
    }
    if plain {
        voice.iter().for_each(|sample| bits.put(*sample as u32, width));
        return;
    }
    voice[..order].iter().for_each(|sample| bits.put(*sample as u32, width));
    residual(&rest, order, &coded, bits);
}

/// The order of the polynomial that leaves least, and what it leaves, folded so that none is negative.
fn predicted(voice: &[i32]) -> (usize, Vec<u32>) {
    let mut left = voice.to_vec();
    let mut best = (0, left.clone());
    let mut least = sum(&left);
    for order in 1..ORDERS.min(voice.len()) {
        // Each order is the difference of the one before it.
        left = left.windows(2).map(|two| two[1] - two[0]).collect();
        let remains = sum(&left);
        if remains < least {
            least = remains;
            best = (order, left.clone());
        }
    }
    let (order, left) = best;
    (order, left.into_iter().map(|value| ((value << 1) ^ (value >> 31)) as u32).collect())
}

fn sum(values: &[i32]) -> u64 {
    values.iter().map(|value| u64::from(value.unsigned_abs())).sum()
}

/// The division of a block of `length` samples that takes least.
fn partitions(rest: &[u32], order: usize, length: usize) -> Partitions {
    let fits = |power: &u32| length.is_multiple_of(1 << power) && length >> power > order;
    let finest = (0..=PARTITION_ORDER_MAX).rev().find(fits).unwrap_or(0);
    let mut sums: Vec<u64> = split(rest, order, length >> finest)
        .map(|part| part.iter().map(|value| u64::from(*value)).sum())
        .collect();
    let mut best: Option<Partitions> = None;
    for power in (0..=finest).rev() {
        let size = length >> power;
        let choices = sums.iter().enumerate().map(|(n, sum)| {
            let count = size - if n == 0 { order } else { 0 };
            parameter(*sum, count as u64)
        });
        let (parameters, costs): (Vec<u32>, Vec<u64>) = choices.unzip();
        let bits = costs.iter().sum::<u64>() + 6;
        if best.as_ref().is_none_or(|best| bits < best.bits) {
            best = Some(Partitions { order: power, parameters, bits });
        }
        sums = sums.chunks(2).map(|two| two.iter().sum()).collect();
    }
    best.unwrap_or(Partitions { order: 0, parameters: vec![0], bits: u64::MAX / 2 })
}

/// The best parameter for values of a sum, and the most bits that they then take with it.
fn parameter(sum: u64, count: u64) -> (u32, u64) {
    let cost = |parameter: u32| count * u64::from(parameter + 1) + (sum >> parameter) + 4;
    let best = (0..=RICE_MAX).min_by_key(|parameter| cost(*parameter)).unwrap_or(0);
    (best, cost(best))
}

/// The values of each partition; the first lacks as many as the polynomial needed to begin with.
fn split(rest: &[u32], order: usize, size: usize) -> impl Iterator<Item = &[u32]> {
    let (first, others) = rest.split_at(size - order);
    std::iter::once(first).chain(others.chunks(size))
}

fn residual(rest: &[u32], order: usize, coded: &Partitions, bits: &mut BitWriter<'_>) {
    bits.put(coded.order, 6);
    let size = (rest.len() + order) >> coded.order;
    for (part, parameter) in split(rest, order, size).zip(&coded.parameters) {
        bits.put(*parameter, 4);
        for value in part {
            bits.unary(value >> parameter);
            bits.put(*value, *parameter);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_coded_as_characters_are() {
        for number in (0..0x11_0000).filter_map(char::from_u32) {
            let mut coded = Vec::new();
            coded_number(number.into(), &mut coded);
            assert_eq!(coded, number.to_string().as_bytes(), "{number:?}");
        }
        for (number, length) in
            [(0x1F_FFFF, 4), (0x20_0000, 5), (0x3FF_FFFF, 5), (0x400_0000, 6), (0x7FFF_FFFF, 6)]
        {
            let mut coded = Vec::new();
            coded_number(number, &mut coded);
            assert_eq!((coded.len(), coded[0].leading_ones()), (length, length as u32), "{number:x}");
        }
    }
}
