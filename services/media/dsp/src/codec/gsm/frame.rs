//! A frame of parameters, and its 33 bytes in RTP (RFC 3551, section 4.5.8.1).

use super::{BYTES, ORDER, PULSES, SUBFRAMES};

/// The first four bits of every frame.
const SIGNATURE: u32 = 0xD;
/// Bits of each log-area ratio.
const RATIO_BITS: [u32; ORDER] = [6, 6, 5, 5, 4, 4, 3, 3];

/// Excitation of one subframe.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Pulses {
    /// Offset of the first pulse, 0 to 3.
    pub(super) grid: u8,
    /// Coded maximum of the pulses, 0 to 63.
    pub(super) block_maximum: u8,
    /// 3 bits each.
    pub(super) codes: [u8; PULSES],
}

/// Parameters of 5 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Subframe {
    /// Pitch lag in samples, 40 to 120 when sent by a sound encoder.
    pub(super) lag: u8,
    /// Coded gain of the pitch, 0 to 3.
    pub(super) gain: u8,
    pub(super) pulses: Pulses,
}

/// Parameters of 20 ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Frame {
    /// Codes of the log-area ratios.
    pub(super) ratios: [i16; ORDER],
    pub(super) subframes: [Subframe; SUBFRAMES],
}

impl Frame {
    pub(super) fn pack(&self, out: &mut [u8; BYTES]) {
        let mut bits = BitWriter { out, at: 0, held: 0, count: 0 };
        bits.put(SIGNATURE, 4);
        for (ratio, width) in self.ratios.iter().zip(RATIO_BITS) {
            bits.put(*ratio as u32, width);
        }
        for subframe in &self.subframes {
            bits.put(u32::from(subframe.lag), 7);
            bits.put(u32::from(subframe.gain), 2);
            bits.put(u32::from(subframe.pulses.grid), 2);
            bits.put(u32::from(subframe.pulses.block_maximum), 6);
            for code in subframe.pulses.codes {
                bits.put(u32::from(code), 3);
            }
        }
    }

    /// None when the bytes do not begin with the signature of a frame.
    pub(super) fn unpack(bytes: &[u8; BYTES]) -> Option<Self> {
        let mut bits = BitReader { bytes, at: 0 };
        if bits.take(4) != SIGNATURE {
            return None;
        }
        let mut frame = Self::default();
        for (ratio, width) in frame.ratios.iter_mut().zip(RATIO_BITS) {
            *ratio = bits.take(width) as i16;
        }
        for subframe in &mut frame.subframes {
            subframe.lag = bits.take(7) as u8;
            subframe.gain = bits.take(2) as u8;
            subframe.pulses.grid = bits.take(2) as u8;
            subframe.pulses.block_maximum = bits.take(6) as u8;
            for code in &mut subframe.pulses.codes {
                *code = bits.take(3) as u8;
            }
        }
        Some(frame)
    }
}

/// Most significant bit first.
struct BitWriter<'a> {
    out: &'a mut [u8; BYTES],
    at: usize,
    held: u32,
    count: u32,
}

impl BitWriter<'_> {
    fn put(&mut self, value: u32, width: u32) {
        self.held = self.held << width | (value & ((1 << width) - 1));
        self.count += width;
        while self.count >= 8 {
            self.count -= 8;
            self.out[self.at] = (self.held >> self.count) as u8;
            self.at += 1;
        }
    }
}

struct BitReader<'a> {
    bytes: &'a [u8; BYTES],
    at: usize,
}

impl BitReader<'_> {
    fn take(&mut self, width: u32) -> u32 {
        let mut value = 0;
        for _ in 0..width {
            value = value << 1 | u32::from(self.bytes[self.at / 8] >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        value
    }
}
