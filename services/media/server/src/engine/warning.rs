//! The tone by which people are told that they are recorded.
//!
//! Half a second of 1400 Hz, and again every 15 s: the recorder warning tone of the United States (Federal Standard 1037C), which
//! other countries have taken over. A leg hears it once, however many recordings take it in, and not while all of them are paused.

use std::sync::Arc;

use sidetone_dsp::Gain;
use sidetone_model::ids::LegId;

use super::{Control, Engine};
use crate::error::MediaError;
use crate::prompts;
use crate::worker::overlay::{Lay, Yields};
use crate::worker::playing::{Playing, Program};
use crate::worker::rings::Command;

/// Between the end of one tone and the beginning of the next, in frames of 20 ms.
const PAUSE_FRAMES: usize = (15_000 - 500) / 20;

impl Engine {
    /// Lets legs hear the tone as long as a recording wants that, and no longer.
    pub(super) async fn warn(&self, control: &mut Control, legs: &[LegId]) -> Result<(), MediaError> {
        for leg in legs {
            let Some(entry) = control.legs.get(leg) else { continue };
            let (worker, slot) = (entry.worker, entry.slot);
            match (control.is_warned(*leg), control.warned.get(leg).copied()) {
                (true, None) => {
                    let playback = control.number();
                    control.warned.insert(*leg, playback);
                    let playing = Box::new(warning(playback));
                    control.workers[worker].push(Command::Warn { slot, playing }).await?;
                }
                (false, Some(playback)) => {
                    control.warned.remove(leg);
                    for link in &mut control.workers {
                        link.push(Command::StopPlay { playback }).await?;
                    }
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        Ok(())
    }
}

impl Control {
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
