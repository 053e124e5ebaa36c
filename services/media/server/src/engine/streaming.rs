//! Long prompts: decoded outside of the tick, a few seconds ahead of what is heard.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rtrb::{Producer, PushError, RingBuffer};
use sidetone_telemetry::Telemetry;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_util::sync::CancellationToken;

use super::Engine;
use crate::error::MediaError;
use crate::prompts::Walk;
use crate::worker::streamed::{Coming, Playback, Streamed};

/// Playbacks of long prompts at a time.
pub(super) const STREAMS_MAX: usize = 500;
/// What is decoded ahead, in frames: 5 s, 85 kB.
const AHEAD: usize = 250;
/// What is decoded at a time, in frames: 1 s.
const CHUNK: usize = 50;
/// How often is looked whether there is room for more.
const LOOK: Duration = Duration::from_millis(100);

/// Where a long prompt is to be played from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    generation: u32,
    frame: usize,
}

/// Sends a long prompt to other places.
#[derive(Debug)]
pub(crate) struct Seeker(watch::Sender<Place>);

impl Seeker {
    /// The number under which the playback knows the place.
    pub(crate) fn seek(&self, frame: usize) -> u32 {
        let generation = self.0.borrow().generation.wrapping_add(1);
        self.0.send_replace(Place { generation, frame });
        generation
    }
}

/// What decodes one long prompt.
struct Feeder {
    frames: Producer<Coming>,
    places: watch::Receiver<Place>,
    told: Arc<Playback>,
    telemetry: Arc<Telemetry>,
    stopping: CancellationToken,
    _place: OwnedSemaphorePermit,
}

impl Engine {
    /// Begins to decode what is long from a frame of its first round on; what a worker hears of it.
    pub(super) fn stream(&self, walk: Walk, frame: usize) -> Result<(Streamed, Seeker), MediaError> {
        let place = Arc::clone(&self.streaming).try_acquire_owned();
        let place = place.map_err(|_| MediaError::TooMany("long prompts being played"))?;
        let (frames, coming) = RingBuffer::new(AHEAD);
        let (seeker, places) = watch::channel(Place { generation: 0, frame });
        let told = Arc::new(Playback::default());
        let feeder = Feeder {
            frames,
            places,
            told: Arc::clone(&told),
            telemetry: Arc::clone(&self.telemetry),
            stopping: self.stopping.clone(),
            _place: place,
        };
        tokio::spawn(async move {
            feeder.telemetry.audio.long_prompts.inc();
            let telemetry = Arc::clone(&feeder.telemetry);
            feeder.feed(walk).await;
            telemetry.audio.long_prompts.dec();
        });
        Ok((Streamed::new(coming, told), Seeker(seeker)))
    }
}

impl Feeder {
    /// Keeps the ring full until the playback is gone, or has heard all of it.
    async fn feed(mut self, mut walk: Walk) {
        let (mut reached, mut ended) = (None, false);
        while !self.is_done() {
            self.telemetry.audio.long_prompt_late.inc_by(self.told.late.swap(0, Ordering::Relaxed));
            let place = *self.places.borrow_and_update();
            let goes_to = (reached != Some(place)).then_some(place.frame);
            if goes_to.is_none() && (ended || self.frames.slots() < CHUNK) {
                if ended && self.frames.slots() == AHEAD {
                    return;
                }
                tokio::time::sleep(LOOK).await;
                continue;
            }
            let round = if reached.is_none() { 0 } else { self.told.round.load(Ordering::Relaxed) };
            let decode = move || {
                if let Some(frame) = goes_to {
                    walk.seek(round, frame);
                }
                let mut made = Vec::with_capacity(CHUNK);
                let goes_on = walk.take(CHUNK, place.generation, &mut made);
                (walk, made, goes_on)
            };
            let Ok((walked, made, goes_on)) = tokio::task::spawn_blocking(decode).await else { return };
            (walk, reached, ended) = (walked, Some(place), !goes_on);
            self.push(made).await;
        }
    }

    /// Hands frames on as there is room, unless they are not wanted any more.
    async fn push(&mut self, made: Vec<Coming>) {
        for mut coming in made {
            while let Err(PushError::Full(back)) = self.frames.push(coming) {
                if self.is_done() || self.places.has_changed().unwrap_or(false) {
                    return;
                }
                coming = back;
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    fn is_done(&self) -> bool {
        self.frames.is_abandoned() || self.stopping.is_cancelled()
    }
}
