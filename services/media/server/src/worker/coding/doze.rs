//! Which packets of somebody who has long been quiet have to be decoded, to hear the first word all the same.

use sidetone_dsp::codec::Codec;
use sidetone_dsp::codec::opus::{Loudness, LoudnessReader};
use sidetone_rtp_core::Header;

/// What is known of a stream whose packets are passed over. Only Opus is dear enough to decode: of other codecs every packet is.
#[derive(Debug)]
pub(crate) struct Doze {
    reader: LoudnessReader,
    /// What follows the packet that was looked at last.
    next: Option<Header>,
    /// Packets passed over since one was decoded.
    passed: u8,
    /// The last one that might have been loud was not: so many of the next such ones are passed over.
    in_vain: u8,
}

/// So many packets are passed over on the word of the far side's encoder before one is decoded: half a second.
const PASSED_MAX: u8 = 25;
/// Encoders call much a voice that is none. After a packet that was measured in vain so many more are passed over: at the most 40 ms of a
/// word that begins below the threshold.
const IN_VAIN: u8 = 2;
/// How much louder than read a packet may be, in dB.
const MARGIN_DB: f32 = 4.0;

impl Doze {
    pub(super) fn new() -> Self {
        Self { reader: LoudnessReader::new(), next: None, passed: 0, in_vain: 0 }
    }

    /// Whether a packet need not be decoded: it is quieter than `loud_dbov`, or as those were that were decoded last.
    pub(super) fn passes_over(
        &mut self,
        codec: Codec,
        header: &Header,
        payload: &[u8],
        loud_dbov: f32,
    ) -> bool {
        if codec != Codec::Opus {
            return false;
        }
        let follows = |next: Header| (next.ssrc, next.sequence) == (header.ssrc, header.sequence);
        if !self.next.is_some_and(follows) {
            self.reader.lose_step();
        }
        self.next = Some(Header { sequence: header.sequence.next(), ..*header });
        let passes = match self.reader.read(payload) {
            Loudness::NoVoice => {
                self.in_vain = 0;
                self.passed < PASSED_MAX
            }
            Loudness::Level(level) if level + MARGIN_DB < loud_dbov => self.passed < PASSED_MAX,
            Loudness::Level(level) if level > loud_dbov + MARGIN_DB => false,
            Loudness::Level(_) | Loudness::Unknown => {
                let passes = self.in_vain > 0;
                self.in_vain = if passes { self.in_vain - 1 } else { IN_VAIN };
                passes
            }
        };
        self.passed = if passes { self.passed + 1 } else { 0 };
        passes
    }
}
