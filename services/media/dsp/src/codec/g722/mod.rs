//! G.722 at 64 kbit/s: ADPCM of two sub-bands of 16 kHz sound, in integers as ITU-T G.722 lays down.
//!
//! A quadrature mirror filter halves the band; the lower half takes 6 bits a sample, the upper 2. Every pair of samples
//! is one octet, the upper band's bits first (RFC 3551, section 4.5.2). A coder owes nothing to packets: any even number
//! of samples may be coded at once, and what comes out does not depend on how they were grouped.

mod band;
mod mirror;
mod tables;

#[cfg(test)]
mod tests;

use band::{Band, HIGH, LOW, saturate};
use mirror::Mirror;
use tables::{LEVEL_HIGH, LEVELS_LOW, STEPS_HIGH, STEPS_LOW, VALUES_2_BIT, VALUES_4_BIT, VALUES_6_BIT};

/// From sound to octets.
#[derive(Debug, Clone)]
pub struct G722Encoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

/// From octets to sound.
#[derive(Debug, Clone)]
pub struct G722Decoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

impl G722Encoder {
    /// Before the first sample.
    pub fn new() -> Self {
        Self { mirror: Mirror::new(), low: Band::new(&LOW), high: Band::new(&HIGH) }
    }

    /// Encodes pairs of samples at 16 kHz, one octet each, and returns how many octets it made: as many as both sides have
    /// room for.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let pairs = samples.as_chunks::<2>().0;
        for (pair, octet) in pairs.iter().zip(out.iter_mut()) {
            let (low, high) = self.mirror.split(pair);
            *octet = (self.encode_high(high) << 6) | self.encode_low(low);
        }
        pairs.len().min(out.len())
    }

    fn encode_low(&mut self, sample: i32) -> u8 {
        let (step, difference) = (self.low.step, saturate(sample - self.low.prediction));
        let size = difference ^ (difference >> 31);
        let level = LEVELS_LOW.partition_point(|level| (level * step) >> 12 <= size) as u8;
        let code = match (difference < 0, level) {
            (false, level) => 61 - level,
            (true, 0) => 63,
            (true, 1) => 62,
            (true, level) => 33 - level,
        };
        let coarse = usize::from(code >> 2);
        self.low.adapt(&LOW, VALUES_4_BIT[coarse], STEPS_LOW[coarse]);
        code
    }

    fn encode_high(&mut self, sample: i32) -> u8 {
        let difference = saturate(sample - self.high.prediction);
        let size = difference ^ (difference >> 31);
        let is_large = size >= (LEVEL_HIGH * self.high.step) >> 12;
        let code = match (difference < 0, is_large) {
            (false, false) => 3,
            (false, true) => 2,
            (true, false) => 1,
            (true, true) => 0,
        };
        self.high.adapt(&HIGH, VALUES_2_BIT[code], STEPS_HIGH[code]);
        code as u8
    }
}

impl G722Decoder {
    /// Before the first octet.
    pub fn new() -> Self {
        Self { mirror: Mirror::new(), low: Band::new(&LOW), high: Band::new(&HIGH) }
    }

    /// Decodes octets to two samples each at 16 kHz, and returns how many samples it made: as many as both sides have
    /// room for.
    pub fn decode(&mut self, octets: &[u8], out: &mut [i16]) -> usize {
        let pairs = out.as_chunks_mut::<2>().0;
        let made = octets.len().min(pairs.len());
        for (octet, pair) in octets.iter().zip(pairs) {
            let low = self.decode_low(octet & 0x3F);
            let high = self.decode_high(octet >> 6);
            *pair = self.mirror.join(low, high);
        }
        2 * made
    }

    fn decode_low(&mut self, code: u8) -> i32 {
        let fine = (self.low.step * VALUES_6_BIT[usize::from(code)]) >> 15;
        let sample = limit(self.low.prediction + fine);
        let coarse = usize::from(code >> 2);
        self.low.adapt(&LOW, VALUES_4_BIT[coarse], STEPS_LOW[coarse]);
        sample
    }

    fn decode_high(&mut self, code: u8) -> i32 {
        let code = usize::from(code);
        let sample = limit(self.high.prediction + ((self.high.step * VALUES_2_BIT[code]) >> 15));
        self.high.adapt(&HIGH, VALUES_2_BIT[code], STEPS_HIGH[code]);
        sample
    }
}

impl Default for G722Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for G722Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// Block LIMIT: a sub-band's sample has 15 bits.
fn limit(sample: i32) -> i32 {
    sample.clamp(-16_384, 16_383)
}
