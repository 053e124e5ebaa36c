//! Which packets of a source have been opened (RFC 3711, section 3.3.2), and the index of the one at hand.

/// Indices of 48 bits that came, the newest and 127 before it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Window {
    newest: Option<u64>,
    /// Bit n: the index n before the newest one came.
    came: u128,
}

/// What has to be known of the packets of one source to go on elsewhere: without it they could be played back, and what is
/// sent would repeat a key stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The source; 0 for our own.
    pub ssrc: u32,
    /// The newest index: roll-over counter and sequence number, or the index of SRTCP.
    pub newest: u64,
    /// Bit n: the index n before the newest one came or went.
    pub seen: u128,
}

impl Window {
    pub(super) fn place(&self, ssrc: u32) -> Option<Place> {
        self.newest.map(|newest| Place { ssrc, newest, seen: self.came })
    }

    pub(super) fn resume(place: &Place) -> Self {
        Self { newest: Some(place.newest & INDEX_MASK), came: place.seen | 1 }
    }

    /// The index of an RTP packet by its sequence number (RFC 3711, appendix A): the one nearest to the newest. None for a
    /// number from before the first roll-over.
    pub(super) fn guess(&self, sequence: u16) -> Option<u64> {
        let Some(newest) = self.newest else { return Some(u64::from(sequence)) };
        let roll_over = newest >> 16;
        let ahead = i32::from(sequence) - i32::from(newest as u16);
        let roll_over = match ahead {
            i32::MIN..-0x8000 => roll_over + 1,
            0x8001.. => roll_over.checked_sub(1)?,
            _ => roll_over,
        };
        (roll_over <= u64::from(u32::MAX)).then_some(roll_over << 16 | u64::from(sequence))
    }

    /// Whether this index may still be opened.
    pub(super) fn is_new(&self, index: u64) -> bool {
        match self.newest {
            Some(newest) if index <= newest => {
                let behind = newest - index;
                behind < 128 && self.came >> behind & 1 == 0
            }
            _ => true,
        }
    }

    /// An authentic packet of this index has come.
    pub(super) fn note(&mut self, index: u64) {
        match self.newest {
            Some(newest) if index <= newest => {
                self.came |= 1u128.checked_shl((newest - index) as u32).unwrap_or(0)
            }
            Some(newest) => {
                let ahead = u32::try_from(index - newest).unwrap_or(u32::MAX);
                self.came = self.came.checked_shl(ahead).unwrap_or(0) | 1;
                self.newest = Some(index);
            }
            None => (self.newest, self.came) = (Some(index), 1),
        }
    }
}

/// Indices have 48 bits.
const INDEX_MASK: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_follows_the_roll_over_both_ways() {
        let mut window = Window::default();
        assert_eq!(window.guess(65_530), Some(65_530));
        window.note(65_530);
        assert_eq!(window.guess(3), Some(0x1_0003));
        window.note(0x1_0003);
        assert_eq!(window.guess(65_535), Some(65_535), "late, from before the roll-over");
        let mut young = Window::default();
        young.note(2);
        assert_eq!(young.guess(65_535), None, "before the first");
    }

    #[test]
    fn each_index_is_new_once_and_old_ones_never() {
        let mut window = Window::default();
        for index in [1000, 1002, 1001, 1127, 1000 + 128] {
            assert!(window.is_new(index), "{index}");
            window.note(index);
            assert!(!window.is_new(index), "{index}");
        }
        assert!(!window.is_new(1000) && !window.is_new(1002) && window.is_new(1003) && !window.is_new(999));
        window.note(1 << 40);
        assert!(!window.is_new(1128) && window.is_new((1 << 40) - 1));
    }
}
