//! A prompt in the codecs whose encoders remember what went before: encoded once, for all who hear it from its beginning.

use std::sync::{Mutex, OnceLock, PoisonError};

use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, OpusSettings};

use crate::worker::FRAME;
use crate::worker::coding::Mouth;

/// What the packets of a prompt depend on, beside its sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Form {
    codec: Codec,
    /// At which it is encoded.
    rate: Rate,
    opus: OpusSettings,
}

/// A prompt's packets of 20 ms in each of its forms. Read by the workers without a lock: a form is there, whole, or is not.
#[derive(Debug, Default)]
pub(crate) struct Forms {
    made: [OnceLock<Packets>; FORMS_MAX],
    /// Those that are made or being made; for who makes them alone.
    claimed: Mutex<Vec<Form>>,
}

#[derive(Debug)]
struct Packets {
    form: Form,
    bytes: Box<[u8]>,
    /// Where each frame's packet ends.
    ends: Box<[u32]>,
}

/// Forms in which one prompt is kept; who needs another one encodes alone.
const FORMS_MAX: usize = 6;
const PTIME_MS: u8 = 20;

impl Form {
    /// None of codecs that cost next to nothing. How Opus is encoded makes a difference to Opus alone.
    pub(crate) fn new(codec: Codec, rate: Rate, opus: OpusSettings) -> Option<Self> {
        match codec {
            Codec::Opus => Some(Self { codec, rate, opus }),
            Codec::G722 | Codec::Gsm => Some(Self { codec, rate, opus: OpusSettings::default() }),
            Codec::G711(_) | Codec::L16(_) => None,
        }
    }
}

impl Forms {
    /// Whether the caller is to make this form: false where it is there, is being made, or has no place.
    pub(super) fn claim(&self, form: Form) -> bool {
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !claimed.contains(&form) && claimed.len() < FORMS_MAX;
        if is_new {
            claimed.push(form);
        }
        is_new
    }

    /// Encodes frames of 8 kHz; the bytes that it takes. What the codec refuses is left out: everybody encodes for themselves then.
    pub(super) fn make(&self, form: Form, frames: &[[i16; FRAME]]) -> usize {
        let Some(packets) = Packets::new(form, frames) else { return 0 };
        let bytes = packets.bytes.len() + packets.ends.len() * size_of::<u32>();
        let free = self.made.iter().find(|place| place.get().is_none());
        // Only one at a time is made, of those that were claimed: there is a place.
        if free.is_some_and(|place| place.set(packets).is_ok()) { bytes } else { 0 }
    }

    /// Where a form is, if it is there.
    pub(super) fn place(&self, form: &Form) -> Option<usize> {
        self.made.iter().position(|place| place.get().is_some_and(|packets| packets.form == *form))
    }

    /// The packet of a frame in the form at a place.
    pub(super) fn packet(&self, place: usize, frame: usize) -> Option<&[u8]> {
        let packets = self.made.get(place)?.get()?;
        let begin = frame.checked_sub(1).map_or(Some(0), |before| packets.ends.get(before).copied())?;
        packets.bytes.get(begin as usize..*packets.ends.get(frame)? as usize)
    }
}

impl Packets {
    fn new(form: Form, frames: &[[i16; FRAME]]) -> Option<Self> {
        let mut mouth = Mouth::new(form.codec, form.rate, &form.opus, PTIME_MS).ok()?;
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(frames.len()));
        for frame in frames {
            mouth.hear(Rate::Narrow, frame);
            bytes.extend_from_slice(mouth.packet(PTIME_MS)?);
            ends.push(u32::try_from(bytes.len()).ok()?);
        }
        Some(Self { form, bytes: bytes.into(), ends: ends.into() })
    }
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::codec::Decoder;
    use sidetone_dsp::tone::{Tone, ToneGenerator};

    use super::*;

    fn frames(hz: f32) -> Vec<[i16; FRAME]> {
        let mut tone = ToneGenerator::new(8_000, &[Tone { freq_hz: hz, level_dbm0: -12.0 }]);
        let frame = |_| {
            let mut frame = [0; FRAME];
            tone.fill(&mut frame);
            frame
        };
        (0..50).map(frame).collect()
    }

    #[test]
    fn its_packets_are_those_that_an_encoder_of_its_own_makes() {
        for (codec, rate) in
            [(Codec::G722, Rate::Wide), (Codec::Gsm, Rate::Narrow), (Codec::Opus, Rate::Wide)]
        {
            let (forms, frames) = (Forms::default(), frames(700.0));
            let form = Form::new(codec, rate, OpusSettings::default()).unwrap();
            assert!(forms.claim(form) && forms.make(form, &frames) > 0, "{codec:?}");
            let place = forms.place(&form).unwrap();
            let mut mouth = Mouth::new(codec, rate, &OpusSettings::default(), 20).unwrap();
            let mut decoder = Decoder::new(codec, rate).unwrap();
            for (n, frame) in frames.iter().enumerate() {
                mouth.hear(Rate::Narrow, frame);
                let packet = forms.packet(place, n).unwrap();
                assert_eq!(Some(packet), mouth.packet(20), "{codec:?}, frame {n}");
                let mut sound = [0; 1920];
                assert_eq!(decoder.decode(packet, &mut sound).unwrap(), rate.samples(20));
            }
            assert_eq!(forms.packet(place, frames.len()), None);
        }
    }

    #[test]
    fn a_form_is_made_once_and_there_is_room_for_some() {
        let (forms, frames) = (Forms::default(), frames(700.0));
        for n in 0..FORMS_MAX as u32 {
            let opus = OpusSettings { bitrate_bps: 12_000 + n, ..OpusSettings::default() };
            let form = Form::new(Codec::Opus, Rate::Narrow, opus).unwrap();
            assert_eq!(forms.place(&form), None);
            assert!(forms.claim(form));
            assert!(!forms.claim(form));
            assert!(forms.make(form, &frames) > 0);
            assert!(forms.place(&form).is_some());
        }
        assert!(!forms.claim(Form::new(Codec::G722, Rate::Wide, OpusSettings::default()).unwrap()));
    }

    #[test]
    fn settings_of_opus_make_no_other_form_of_another_codec() {
        let other = OpusSettings { fec: false, ..OpusSettings::default() };
        let form = |codec, opus| Form::new(codec, Rate::Wide, opus);
        assert_eq!(form(Codec::G722, other), form(Codec::G722, OpusSettings::default()));
        assert_ne!(form(Codec::Opus, other), form(Codec::Opus, OpusSettings::default()));
    }
}
