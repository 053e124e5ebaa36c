//! What is looked for in the sound that a leg sends: digits, and speech that ends what is played to it.

use sidetone_dsp::codec::Codec;
use sidetone_dsp::{Law, Rate, Resampler, g711};

use crate::negotiate::clock_per_ms;
use crate::worker::PACKET_MAX;
use crate::worker::coding::Heard;
use crate::worker::inband::{Inband, Place};
use crate::worker::leg::{Accepted, Leg, Now};
use crate::worker::playing::Playing;
use crate::worker::rings::Route;

/// Those of a leg that want to know what it says.
pub(super) struct Searched<'a> {
    /// Whether digits are looked for.
    pub(super) digits: bool,
    pub(super) inband: &'a mut Inband,
    pub(super) played: [&'a mut Option<Box<Playing>>; 2],
}

impl Searched<'_> {
    /// Searches what was decoded; G.711 has been before it was decoded for this.
    pub(super) fn search(
        &mut self,
        (rate, lower): (Rate, &mut Option<Resampler>),
        heard: &Heard<'_>,
        now_ms: u64,
    ) {
        if heard.sound.is_empty() || matches!(heard.codec, Codec::G711(_)) {
            return;
        }
        if self.digits {
            let per_ms = clock_per_ms(heard.codec);
            let ticks = heard.sound.len() as u32 * heard.codec.clock_hz() / rate.hz();
            let place = Place { timestamp: heard.header.timestamp, per_ms, ticks, now_ms };
            self.inband.hear_decoded(lower.as_mut(), heard.sound, place);
        }
        if self.digits && self.inband.sounds() {
            return;
        }
        for playing in self.played.iter_mut().filter_map(|playing| playing.as_deref_mut()) {
            playing.note_voice(rate, heard.sound, heard.header.timestamp);
        }
    }
}

impl Leg {
    /// Searches what is said, where that is not decoded for somebody to hear it. G.711 always goes this way: it costs little, and
    /// what is passed on as it came is searched as well.
    pub(crate) fn overhear(&mut self, accepted: &Accepted, codec: Codec, payload: &[u8], now: Now) {
        let (digits, speech) = (self.searches(), self.listens_for_speech());
        if !digits && !speech {
            return;
        }
        if let Codec::G711(law) = codec {
            let ticks = payload.len() as u32;
            let place = Place { timestamp: accepted.header.timestamp, per_ms: 8, ticks, now_ms: now.ms };
            if digits {
                self.inband.hear_coded(law, payload, place);
            }
            if speech && !(digits && self.inband.sounds()) {
                self.note_coded_voice(law, payload, accepted);
            }
        } else if matches!(self.route, Route::Fresh | Route::Silence)
            && let Some(coding) = self.coding.as_deref_mut()
        {
            let played = [&mut self.playing, &mut self.over];
            let mut searched = Searched { digits, inband: &mut self.inband, played };
            let (rate, lower) = (coding.rate, &mut coding.lower);
            let mut hear = |heard: Heard<'_>| searched.search((rate, &mut *lower), &heard, now.ms);
            coding.ear.take(&accepted.header, payload, now.us, &mut hear);
        }
    }

    fn note_coded_voice(&mut self, law: Law, payload: &[u8], accepted: &Accepted) {
        let mut sound = [0; PACKET_MAX];
        let Some(sound) = sound.get_mut(..payload.len()) else { return };
        g711::decode(law, payload, sound);
        for playing in self.playing.iter_mut().chain(&mut self.over) {
            playing.note_voice(Rate::Narrow, sound, accepted.header.timestamp);
        }
    }
}
