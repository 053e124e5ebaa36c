//! How a leg sounds to others, what it is sent as digits, and who speaks.

use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::event::code_of_digit;

use super::{Engine, Routed};
use crate::error::MediaError;
use crate::state::Audio;
use crate::worker::dialing::{DIGITS_MAX, DigitRun};
use crate::worker::rings::Command;

/// Digits that a leg is being sent.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Dialed {
    /// How many have been asked for since nothing was dialled last.
    digits: usize,
    /// When the last of them is over at the latest, on the node's clock.
    pub(super) until_ms: u64,
}

/// Digits to be sent, understood.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dial {
    run: DigitRun,
}

/// How long a digit and a gap are when nothing is said (ITU-T Q.24 asks for 40 ms at the least).
const DURATION_MS: u32 = 100;
const GAP_MS: u32 = 80;
const SHORTEST_MS: u32 = 40;
const LONGEST_MS: u32 = 5000;
/// What sending takes longer than asked for: the end of an event goes three times, and ticks are whole.
const DIGIT_OVERHEAD_MS: u64 = 80;

impl Dial {
    /// Reads a request: 1 to [`DIGITS_MAX`] of 0 to 9, *, #, A to D; 0 ms stands for the usual length.
    pub(crate) fn parse(request: &pb::SendDigitsRequest) -> Result<Self, MediaError> {
        let text = request.digits.to_ascii_uppercase();
        if text.is_empty() || text.len() > DIGITS_MAX || !text.chars().all(|c| code_of_digit(c).is_some()) {
            return Err(MediaError::Invalid { field: "digits", problem: "expected 1 to 64 of 0-9 * # A-D" });
        }
        let mut digits = [0; DIGITS_MAX];
        digits[..text.len()].copy_from_slice(text.as_bytes());
        let duration_ms = length_ms("duration_ms", request.duration_ms, DURATION_MS)?;
        let gap_ms = length_ms("gap_ms", request.gap_ms, GAP_MS)?;
        Ok(Self { run: DigitRun { digits, length: text.len(), duration_ms, gap_ms } })
    }

    fn takes_ms(&self) -> u64 {
        let one = u64::from(self.run.duration_ms) + u64::from(self.run.gap_ms) + DIGIT_OVERHEAD_MS;
        one * self.run.length as u64
    }
}

fn length_ms(field: &'static str, asked: u32, usual: u32) -> Result<u16, MediaError> {
    match asked {
        0 => Ok(usual as u16),
        SHORTEST_MS..=LONGEST_MS => Ok(asked as u16),
        _ => Err(MediaError::Invalid { field, problem: "expected 40 to 5000, or 0 for the usual" }),
    }
}

impl Engine {
    /// Sets how a leg sounds, from its next packet on, wherever it is and will be connected.
    pub(crate) async fn set_audio(&self, id: LegId, audio: Audio) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let entry = control.legs.get_mut(&id).ok_or(MediaError::NotFound("leg"))?;
        let (worker, slot) = (entry.worker, entry.slot);
        entry.audio = audio;
        let room = match &entry.route {
            Routed::Mix(name) => Some(name.clone()),
            _ => None,
        };
        control.workers[worker].push(Command::SetAudio { slot, audio }).await?;
        self.condition(&mut control, id).await?;
        if let Some(name) = room {
            self.gather_coaches(&mut control, &name).await;
        }
        Ok(())
    }

    /// Sends digits to a leg, behind those that are still being sent.
    pub(crate) async fn send_digits(&self, id: LegId, dial: Dial) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let control = &mut *control;
        let now_ms = self.now_ms();
        let entry = control.legs.get_mut(&id).ok_or(MediaError::NotFound("leg"))?;
        let before = if now_ms >= entry.dialed.until_ms { Dialed::default() } else { entry.dialed };
        if before.digits + dial.run.length > DIGITS_MAX {
            return Err(MediaError::TooMany("digits of one leg"));
        }
        let command = Command::Dial { slot: entry.slot, digits: dial.run };
        control.workers[entry.worker].push(command).await?;
        entry.dialed = Dialed {
            digits: before.digits + dial.run.length,
            until_ms: before.until_ms.max(now_ms) + dial.takes_ms(),
        };
        Ok(())
    }

    /// Tells who speaks in a mix. Late news of a leg that has left is none.
    pub(super) async fn speaker_changed(&self, id: LegId, speaking: bool) {
        let mix_id = match self.control.lock().await.legs.get(&id).map(|entry| &entry.route) {
            Some(Routed::Mix(name)) => name.to_string(),
            _ => return,
        };
        let leg_id = if speaking { id.to_string() } else { String::new() };
        self.tell(pb::media_event::Kind::SpeakerChanged(pb::SpeakerChanged { mix_id, leg_id }));
    }
}
