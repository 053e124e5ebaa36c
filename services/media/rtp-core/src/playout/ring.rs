//! Samples at their places on the stream's line, and which of them are there.

/// A ring of samples. A place is a distance from the stream's beginning; the caller keeps all places that are filled within
/// one length of the ring.
#[derive(Debug)]
pub(super) struct Ring {
    samples: Box<[i16]>,
    /// One bit for each sample.
    filled: Box<[u64]>,
}

const WORD: usize = u64::BITS as usize;

impl Ring {
    /// Room for at least so many samples.
    pub(super) fn new(room: usize) -> Self {
        let length = room.max(WORD).next_power_of_two();
        Self {
            samples: vec![0; length].into_boxed_slice(),
            filled: vec![0; length / WORD].into_boxed_slice(),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.samples.len()
    }

    pub(super) fn clear(&mut self) {
        self.filled.fill(0);
    }

    /// Puts samples from `place` on. What is there already stays: the first packet to fill a place is the one that is heard.
    pub(super) fn write(&mut self, place: i64, samples: &[i16]) {
        let start = self.index(place);
        let (head, tail) = samples.split_at(samples.len().min(self.len() - start));
        self.samples[start..start + head.len()].copy_from_slice(head);
        self.samples[..tail.len()].copy_from_slice(tail);
        self.mark(start, start + head.len(), true);
        self.mark(0, tail.len(), true);
    }

    /// Reads what is there, filled or not.
    pub(super) fn read(&self, place: i64, out: &mut [i16]) {
        let start = self.index(place);
        let (head, tail) = out.split_at_mut(out.len().min(self.len() - start));
        head.copy_from_slice(&self.samples[start..start + head.len()]);
        tail.copy_from_slice(&self.samples[..tail.len()]);
    }

    /// Whether `place` is filled, and for how many samples, at most `most`, that goes on.
    pub(super) fn run(&self, place: i64, most: usize) -> (bool, usize) {
        let start = self.index(place);
        let first = self.is_filled(start);
        let mut length = 0;
        while length < most {
            let index = (start + length) & (self.len() - 1);
            let word = self.filled[index / WORD] >> (index % WORD);
            let same = if first { word.trailing_ones() } else { word.trailing_zeros() } as usize;
            let left = WORD - index % WORD;
            if same < left {
                length += same;
                break;
            }
            length += left;
        }
        (first, length.min(most))
    }

    /// Makes the places `from..until` free.
    pub(super) fn forget(&mut self, from: i64, until: i64) {
        let count = (until - from).clamp(0, self.len() as i64) as usize;
        let start = self.index(from);
        let head = count.min(self.len() - start);
        self.mark(start, start + head, false);
        self.mark(0, count - head, false);
    }

    fn index(&self, place: i64) -> usize {
        // The length is a power of two, so that this is right for negative places too.
        place as usize & (self.len() - 1)
    }

    fn is_filled(&self, index: usize) -> bool {
        self.filled[index / WORD] >> (index % WORD) & 1 == 1
    }

    fn mark(&mut self, from: usize, until: usize, filled: bool) {
        let mut at = from;
        while at < until {
            let (word, bit) = (at / WORD, at % WORD);
            let count = (WORD - bit).min(until - at);
            let mask = (u64::MAX >> (WORD - count)) << bit;
            if filled {
                self.filled[word] |= mask;
            } else {
                self.filled[word] &= !mask;
            }
            at += count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_and_gaps_are_told_over_words_and_over_the_end() {
        let mut ring = Ring::new(200);
        assert_eq!(ring.len(), 256);
        let sound: Vec<i16> = (0..150).collect();
        ring.write(-70, &sound);
        assert_eq!(ring.run(-70, 200), (true, 150));
        assert_eq!(ring.run(-80, 200), (false, 10));
        assert_eq!(ring.run(79, 200), (true, 1));
        assert_eq!(ring.run(80, 90), (false, 90));
        let mut out = [0; 150];
        ring.read(-70, &mut out);
        assert_eq!(out[..], sound[..]);
        ring.forget(-70, -1);
        assert_eq!(ring.run(-70, 200), (false, 69));
        assert_eq!(ring.run(-1, 200), (true, 81));
        ring.forget(-10_000, 10_000);
        assert_eq!(ring.run(0, 256), (false, 256));
    }
}
