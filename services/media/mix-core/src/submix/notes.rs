//! What threads of one room have to know of each other beside the sound.

use sidetone_dsp::Gain;

/// What one thread says of its part of a room.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Notes {
    /// How many members it has.
    pub members: u32,
    /// Somebody speaks there.
    pub speaks: bool,
    /// It has to know whether somebody speaks with the others.
    pub asks: bool,
    /// How loud voices are to be beside what is played.
    pub voices: Gain,
    /// The member that speaks most there, and how loud it is, in dBov.
    pub loudest: Option<(u128, f32)>,
    /// Who was told of last as speaking in the whole room.
    pub speaker: Option<u128>,
}

/// Words of notes, and of the number of voices.
pub(super) const HEAD: usize = 6;

const SPEAKS: u64 = 1 << 32;
const ASKS: u64 = 1 << 33;
const HAS_LOUDEST: u64 = 1 << 34;
const HAS_SPEAKER: u64 = 1 << 35;
const GAIN_SHIFT: u32 = 48;

impl Notes {
    /// As words, with the number of voices in the sum.
    pub(super) fn head(&self, voices: u32) -> [u64; HEAD] {
        let flag = |is: bool, flag: u64| if is { flag } else { 0 };
        let flags = flag(self.speaks, SPEAKS)
            | flag(self.asks, ASKS)
            | flag(self.loudest.is_some(), HAS_LOUDEST)
            | flag(self.speaker.is_some(), HAS_SPEAKER);
        let (loudest, level) = self.loudest.unwrap_or_default();
        let speaker = self.speaker.unwrap_or_default();
        [
            u64::from(voices) | u64::from(level.to_bits()) << 32,
            u64::from(self.members) | flags | u64::from(self.voices.q12()) << GAIN_SHIFT,
            loudest as u64,
            (loudest >> 64) as u64,
            speaker as u64,
            (speaker >> 64) as u64,
        ]
    }

    /// The number of voices, and the notes.
    pub(super) fn read(head: &[u64; HEAD]) -> (u32, Self) {
        let [first, second, loudest_low, loudest_high, speaker_low, speaker_high] = *head;
        let has = |flag: u64| second & flag != 0;
        let whole = |low: u64, high: u64| u128::from(low) | u128::from(high) << 64;
        let level = f32::from_bits((first >> 32) as u32);
        let notes = Self {
            members: second as u32,
            speaks: has(SPEAKS),
            asks: has(ASKS),
            voices: Gain::from_q12((second >> GAIN_SHIFT) as u16),
            loudest: has(HAS_LOUDEST).then(|| (whole(loudest_low, loudest_high), level)),
            speaker: has(HAS_SPEAKER).then(|| whole(speaker_low, speaker_high)),
        };
        (first as u32, notes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_said_is_what_is_read() {
        let plain = Notes::default();
        let full = Notes {
            members: u32::MAX,
            speaks: true,
            asks: true,
            voices: Gain::MAX,
            loudest: Some((u128::MAX - 7, -12.5)),
            speaker: Some(1 << 100 | 3),
        };
        for notes in [plain, full, Notes { speaks: false, ..full }, Notes { asks: false, ..full }] {
            for voices in [0, 1, 65_536] {
                assert_eq!(Notes::read(&notes.head(voices)), (voices, notes));
            }
        }
    }
}
