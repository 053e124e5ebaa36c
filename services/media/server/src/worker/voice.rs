//! How loud a leg is to whom it is bridged to. What is to pass unchanged is not touched; a change is spread over a packet.

use sidetone_dsp::{Gain, Law, g711, mix};

use crate::worker::PACKET_MAX;

/// The gain at which the last packet of a leg ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Voice {
    reached: Gain,
}

impl Voice {
    /// Whether the last packet ended at that gain.
    pub(crate) fn is_at(&self, gain: Gain) -> bool {
        self.reached == gain
    }

    /// Brings linear sound from where the frame before ended to `wanted`.
    pub(crate) fn shape_linear(&mut self, wanted: Gain, sound: &mut [i16]) {
        let before = std::mem::replace(&mut self.reached, wanted);
        if before != Gain::UNITY || wanted != Gain::UNITY {
            mix::ramp(sound, before, wanted);
        }
    }

    /// Brings G.711 of at most [`PACKET_MAX`] bytes from where the packet before ended to `wanted`.
    pub(crate) fn shape(&mut self, law: Law, wanted: Gain, sound: &mut [u8]) {
        let before = std::mem::replace(&mut self.reached, wanted);
        match (before, wanted) {
            (Gain::UNITY, Gain::UNITY) => {}
            (Gain::SILENCE, Gain::SILENCE) => sound.fill(silence(law)),
            _ => {
                let mut linear = [0; PACKET_MAX];
                let linear = &mut linear[..sound.len()];
                g711::decode(law, sound, linear);
                mix::ramp(linear, before, wanted);
                g711::encode(law, linear, sound);
            }
        }
    }
}

/// The byte that stands for silence.
pub(super) const fn silence(law: Law) -> u8 {
    match law {
        Law::Mu => 0xff,
        Law::A => 0xd5,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_fades_over_one_packet_and_unity_passes_bit_for_bit() {
        let mut voice = Voice::default();
        let loud = [0x80u8; 160];
        let mut sound = loud;
        voice.shape(Law::Mu, Gain::UNITY, &mut sound);
        assert_eq!(sound, loud);
        voice.shape(Law::Mu, Gain::SILENCE, &mut sound);
        let mut linear = [0; 160];
        g711::decode(Law::Mu, &sound, &mut linear);
        assert!(linear.windows(2).all(|pair| pair[1] <= pair[0]), "it only becomes quieter");
        assert!(linear[0] > 30_000 && linear[159] < 200, "{} {}", linear[0], linear[159]);
        sound = loud;
        voice.shape(Law::Mu, Gain::SILENCE, &mut sound);
        assert_eq!(sound, [0xff; 160]);
        sound = loud;
        voice.shape(Law::A, Gain::UNITY, &mut sound);
        voice.shape(Law::A, Gain::UNITY, &mut sound);
        assert_ne!(sound, loud, "the return is faded, too");
    }
}
