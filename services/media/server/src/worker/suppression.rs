//! When what a leg would hear is silence, and what it is sent in place of that.
//!
//! The ends of words are quiet: silence is left out only after a hang-over. Then the far side is told once that nothing follows,
//! and from time to time how the silence sounds: at once when that changes, and otherwise often enough that neither a NAT nor
//! a timer of the far side takes the leg for dead.

use sidetone_dsp::Rate;
use sidetone_dsp::codec::Codec;
use sidetone_dsp::comfort::{NOISE_BYTES_MAX, Noise};
use sidetone_dsp::level::level_dbov;

use crate::negotiate::{Payload, clock_per_ms, pauses_by_noise};
use crate::worker::counters::Counters;
use crate::worker::leg::{Leg, Now};

/// How a far side is told of silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Comfort noise (RFC 3389) under a payload type.
    Noise(u8),
    /// Discontinuous transmission of Opus: a packet without sound.
    Dtx {
        /// A silent one is sent now and then, as libopus does it: not where that would take longer than a frame.
        refreshes: bool,
    },
}

/// What to do about a frame of 20 ms.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// It is sent.
    Sound,
    /// Silence begins.
    Begin,
    /// Silence goes on, and the far side is told how it sounds.
    Update,
    /// Nothing is sent.
    Nothing,
}

/// Where one leg is between words.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Suppression {
    /// Frames of silence in a row.
    quiet: u16,
    /// Frames since the far side was told something.
    since: u16,
    /// That was a packet with sound.
    sounded: bool,
    /// The level of the silence, and as it was told, in dBov.
    level_dbov: f32,
    told_dbov: f32,
}

/// Sound below this level is silence, in dBov: well below the quietest speech, and what G.711 idles with is below it.
const SILENT_DBOV: f32 = -60.0;
/// For so many frames after a loud one everything is sent.
const HANG_OVER: u16 = 10;
/// The level of the silence follows a frame by this share of the distance.
const FOLLOWS: f32 = 0.2;
/// By how much the level must have changed to be told anew, in dB, and how many frames there are between two of that.
const CHANGE_DB: f32 = 3.0;
const CHANGE_FRAMES: u16 = 5;

/// A frame, in ms.
const FRAME_MS: u32 = 20;

impl Form {
    /// Frames between two words of a silence that does not change: a second, and 400 ms as libopus has it.
    const fn frames(self) -> u16 {
        match self {
            Self::Noise(_) => 50,
            Self::Dtx { .. } => 20,
        }
    }
}

impl Suppression {
    /// Takes the next frame.
    pub(crate) fn take(&mut self, form: Form, frame: &[i16]) -> Turn {
        let level = level_dbov(frame);
        if level > SILENT_DBOV {
            *self = Self::default();
            return Turn::Sound;
        }
        self.level_dbov =
            if self.quiet == 0 { level } else { self.level_dbov + (level - self.level_dbov) * FOLLOWS };
        self.quiet = self.quiet.saturating_add(1);
        self.since = self.since.saturating_add(1);
        let changed = (self.level_dbov - self.told_dbov).abs() >= CHANGE_DB;
        let turn = match self.quiet {
            0..=HANG_OVER => return Turn::Sound,
            quiet if quiet == HANG_OVER + 1 => Turn::Begin,
            _ if self.sounded => Turn::Begin,
            _ if self.since < form.frames() && !(changed && self.since >= CHANGE_FRAMES) => Turn::Nothing,
            _ if form == (Form::Dtx { refreshes: false }) => Turn::Begin,
            _ => Turn::Update,
        };
        if turn != Turn::Nothing {
            (self.told_dbov, self.since) = (self.level_dbov, 0);
        }
        // After a packet with sound Opus has to say again that it stops.
        self.sounded = turn == Turn::Update && matches!(form, Form::Dtx { .. });
        turn
    }
}

impl Leg {
    /// How the far side is told of silence, and in which codec; none where silence is sent as it is.
    fn form(&self) -> Option<(Form, Codec)> {
        let agreement = self.state.agreement.as_ref()?;
        let (_, codec) = agreement.send.audio()?;
        let form = match codec {
            Codec::Opus => {
                let refreshes = agreement.ptime_ms <= FRAME_MS as u8;
                agreement.opus.dtx.then_some(Form::Dtx { refreshes })
            }
            codec if pauses_by_noise(codec) => {
                agreement.send.of(Payload::Noise(clock_per_ms(codec))).map(Form::Noise)
            }
            _ => None,
        };
        form.map(|form| (form, codec))
    }

    /// Whether it may be sent nothing in place of silence.
    pub(super) fn suppresses(&self) -> bool {
        self.form().is_some()
    }

    /// Takes 20 ms that are to be sent. [`Turn::Sound`]: they are. [`Turn::Update`]: they are, in one packet by themselves, and
    /// begin no talk spurt. Otherwise what had to be sent was.
    pub(super) fn hush(&mut self, rate: Rate, sound: &[i16], now: Now, counters: &Counters) -> Turn {
        let Some((form, codec)) = self.form() else { return Turn::Sound };
        let turn = self.suppression.take(form, sound);
        if turn == Turn::Sound || turn == Turn::Update && matches!(form, Form::Dtx { .. }) {
            return turn;
        }
        let per_ms = u32::from(clock_per_ms(codec));
        let waiting = self.drop_waiting(per_ms);
        let out = &mut self.state.outgoing;
        out.units_per_ms = per_ms;
        out.leave_out(waiting, now.ms);
        if turn != Turn::Nothing {
            let level_dbov = self.suppression.level_dbov;
            // A spectrum is that of the clock's rate (RFC 3389, section 4).
            let noise = if rate.hz() == codec.clock_hz() {
                Noise::of(sound).at_level(level_dbov)
            } else {
                Noise::white(level_dbov)
            };
            self.tell_silence(form, &noise, now, counters);
        }
        self.state.outgoing.leave_out(FRAME_MS * per_ms, now.ms);
        counters.suppressed.add(1);
        Turn::Nothing
    }

    fn tell_silence(&mut self, form: Form, noise: &Noise, now: Now, counters: &Counters) {
        match form {
            Form::Noise(payload_type) => {
                let mut payload = [0; NOISE_BYTES_MAX];
                let length = noise.write(&mut payload);
                self.emit_soundless(payload_type, &payload[..length], now, counters);
            }
            Form::Dtx { .. } => {
                let audio = self.state.agreement.as_ref().and_then(|agreement| agreement.send.audio());
                let mouth = self.coding.as_deref().and_then(|coding| coding.mouth.as_ref());
                if let (Some((payload_type, _)), Some(toc)) = (audio, mouth.and_then(|mouth| mouth.toc())) {
                    self.emit_soundless(payload_type, &[toc], now, counters);
                }
            }
        }
    }

    /// Drops what waits for a full packet, which is silent; its length in ticks of the clock.
    fn drop_waiting(&mut self, per_ms: u32) -> u32 {
        let bytes = std::mem::take(&mut self.outbox.length) as u32;
        let mouth = self.coding.as_deref_mut().and_then(|coding| coding.mouth.as_mut());
        bytes / 8 * per_ms + mouth.map_or(0, |mouth| mouth.drop_waiting_ms()) * per_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: [i16; 160] = [1_000; 160];
    const SILENT: [i16; 160] = [0; 160];

    fn turns(suppression: &mut Suppression, form: Form, frame: &[i16], count: usize) -> Vec<Turn> {
        (0..count).map(|_| suppression.take(form, frame)).collect()
    }

    fn at(turns: &[Turn], wanted: Turn) -> Vec<usize> {
        (0..turns.len()).filter(|n| turns[*n] == wanted).collect()
    }

    #[test]
    fn the_ends_of_words_are_sent_and_silence_is_told_of_once_a_second() {
        let mut suppression = Suppression::default();
        let form = Form::Noise(13);
        assert!(turns(&mut suppression, form, &LOUD, 5).iter().all(|turn| *turn == Turn::Sound));
        let silent = turns(&mut suppression, form, &SILENT, 200);
        assert_eq!(at(&silent, Turn::Sound), (0..10).collect::<Vec<_>>());
        assert_eq!(at(&silent, Turn::Begin), [10]);
        assert_eq!(at(&silent, Turn::Update), [60, 110, 160]);
        assert_eq!(suppression.take(form, &LOUD), Turn::Sound, "the first loud frame is sent at once");
        assert_eq!(at(&turns(&mut suppression, form, &SILENT, 11), Turn::Begin), [10]);
    }

    #[test]
    fn opus_says_again_that_it_stops_after_each_packet_with_sound() {
        let mut suppression = Suppression::default();
        let silent = turns(&mut suppression, Form::Dtx { refreshes: true }, &SILENT, 80);
        assert_eq!(at(&silent, Turn::Update), [30, 51, 72]);
        assert_eq!(at(&silent, Turn::Begin), [10, 31, 52, 73]);
        let mut suppression = Suppression::default();
        let silent = turns(&mut suppression, Form::Dtx { refreshes: false }, &SILENT, 80);
        assert_eq!((at(&silent, Turn::Update), at(&silent, Turn::Begin)), (vec![], vec![10, 30, 50, 70]));
    }

    #[test]
    fn a_change_of_the_silence_is_told_soon_and_not_with_every_frame() {
        let mut suppression = Suppression::default();
        let form = Form::Noise(13);
        turns(&mut suppression, form, &[3; 160], 30);
        let changed = turns(&mut suppression, form, &[20; 160], 40);
        let updates = at(&changed, Turn::Update);
        assert!(updates[0] < 6 && updates.len() < 6, "{updates:?}");
        // 20 is -64.3 dBov.
        assert!((suppression.told_dbov + 64.3).abs() < CHANGE_DB, "{}", suppression.told_dbov);
    }
}
