//! What one leg says, brought to 8 kHz out of whatever codec it speaks.

use sidetone_dsp::codec::{Codec, Decoder};
use sidetone_dsp::{Rate, g711};

use crate::worker::rings::RecordingFrame;

/// The decoder of one feed.
#[derive(Debug)]
pub(super) struct Ear {
    /// For a codec with a memory; made anew when the leg changes it.
    decoder: Option<Decoder>,
    /// A packet that came in several frames.
    packet: Vec<u8>,
    samples: Box<[i16]>,
}

/// The longest packet, in ms.
const PACKET_MS_MAX: usize = 120;

impl Default for Ear {
    fn default() -> Self {
        let samples = vec![0; Rate::Narrow.samples(PACKET_MS_MAX)].into_boxed_slice();
        Self { decoder: None, packet: Vec::new(), samples }
    }
}

impl Ear {
    /// The samples of a frame; none for a part of a packet, or for what is none of its codec.
    pub(super) fn hear(&mut self, frame: &RecordingFrame) -> Option<&[i16]> {
        let bytes = frame.bytes.get(..usize::from(frame.length))?;
        if let Codec::G711(law) = frame.codec {
            let length = g711::decode(law, bytes, &mut self.samples);
            return Some(&self.samples[..length]);
        }
        self.packet.extend_from_slice(bytes);
        if frame.goes_on {
            return None;
        }
        if self.decoder.as_ref().is_none_or(|decoder| decoder.codec() != frame.codec) {
            self.decoder = Decoder::new(frame.codec, Rate::Narrow).ok();
        }
        let made = self.decoder.as_mut().map(|decoder| decoder.decode(&self.packet, &mut self.samples));
        self.packet.clear();
        made?.ok().map(|length| &self.samples[..length])
    }
}
