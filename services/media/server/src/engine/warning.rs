//! The tone by which people are told that they are recorded.
//!
//! Half a second of 1400 Hz, and again every 15 s: the recorder warning tone of the United States (Federal Standard 1037C), which
//! other countries have taken over. A leg hears it once, however many recordings take it in, and not while all of them are paused. A
//! recording has it as the first leg hears it of those that speak in the same channel.

use std::sync::Arc;

use sidetone_dsp::Gain;
use sidetone_model::ids::LegId;

use super::{Control, Engine};
use crate::error::MediaError;
use crate::prompts;
use crate::recorder::{EVERY_MS, Place, Warned};
use crate::worker::overlay::{Lay, Yields};
use crate::worker::playing::{Playing, Program};
use crate::worker::rings::Command;

/// Between the end of one tone and the beginning of the next, in frames of 20 ms.
const PAUSE_FRAMES: usize = (EVERY_MS as usize - prompts::WARNING_MS) / 20;

impl Engine {
    /// Lets legs hear the tone as long as a recording wants that, and no longer.
    pub(super) async fn warn(&self, control: &mut Control, legs: &[LegId]) -> Result<(), MediaError> {
        for leg in legs {
            let Some(entry) = control.legs.get(leg) else { continue };
            let (worker, slot) = (entry.worker, entry.slot);
            match (control.is_warned(*leg), control.warned.get(leg).copied()) {
                (true, None) => {
                    let (playback, began_ms) = (control.number(), self.now_ms());
                    control.warned.insert(*leg, Warning { playback, began_ms });
                    let playing = Box::new(warning(playback));
                    control.workers[worker].push(Command::Warn { slot, playing }).await?;
                }
                (false, Some(Warning { playback, .. })) => {
                    control.warned.remove(leg);
                    for link in &mut control.workers {
                        link.push(Command::StopPlay { playback }).await?;
                    }
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        self.tell_warnings(control, legs)
    }

    /// Lets the recordings of legs have the tone as it is heard from now on.
    pub(super) fn tell_warnings(&self, control: &Control, legs: &[LegId]) -> Result<(), MediaError> {
        let recordings = control.recordings.values().filter(|entry| entry.request.beep && !entry.paused);
        let theirs = recordings.filter(|entry| entry.legs().iter().any(|leg| legs.contains(leg)));
        for entry in theirs {
            self.recorder.warn(entry.number, control.heard_in(entry))?;
        }
        Ok(())
    }
}

/// The tone that a leg hears.
#[derive(Debug, Clone, Copy)]
pub(super) struct Warning {
    playback: u64,
    /// On the node's clock.
    began_ms: u64,
}

impl Control {
    /// The channels of a recording in which the tone is heard: as the first hears it of those who speak there.
    fn heard_in(&self, entry: &super::RecordingEntry) -> Vec<Warned> {
        let mut all: Vec<Warned> = Vec::new();
        for (index, leg) in entry.legs().iter().enumerate() {
            let Some(Warning { began_ms, .. }) = self.warned.get(leg) else { continue };
            let Ok(Place { track, channel, .. }) = entry.place(index) else { continue };
            if !all.iter().any(|known| (known.track, known.channel) == (track, channel)) {
                all.push(Warned { track, channel, began_ms: *began_ms });
            }
        }
        all
    }

    /// Whether a recording takes a leg in that its people are to be told of.
    fn is_warned(&self, leg: LegId) -> bool {
        let leg = leg.to_string();
        let warns = |entry: &super::RecordingEntry| entry.request.beep && !entry.paused;
        self.recordings.values().any(|entry| warns(entry) && entry.request.leg_ids.contains(&leg))
    }
}

fn warning(playback: u64) -> Playing {
    let program = Arc::new(Program::new(vec![prompts::recorder_warning()], PAUSE_FRAMES));
    let mut playing = Playing::new(playback, program, None, 0);
    // Nothing gives way to it.
    playing.lay = Some(Box::new(Lay::new(Yields::Speech, 0.0, Gain::UNITY)));
    playing
}
