//! What a leg says, on its way to recordings and streams: one feed for each leg that anybody wants to hear.

use sidetone_model::ids::LegId;
use tokio::sync::oneshot;

use super::link::Reply;
use super::{Control, Engine};
use crate::error::MediaError;
use crate::recorder::Place;
use crate::state::Tap;
use crate::worker::rings::Command;

/// What one leg says.
#[derive(Debug)]
pub(crate) struct Feed {
    /// By this number the worker marks its frames.
    number: u32,
    /// The recordings and streams that hear it.
    outputs: Vec<u32>,
}

impl Engine {
    /// Lets a leg be heard in a recording or stream.
    pub(super) async fn feed(
        &self,
        control: &mut Control,
        leg: LegId,
        place: Place,
    ) -> Result<(), MediaError> {
        let entry = control.legs.get(&leg).ok_or(MediaError::NotFound("leg"))?;
        let (worker, slot) = (entry.worker, entry.slot);
        if let Some(feed) = control.feeds.get_mut(&leg) {
            if !feed.outputs.contains(&place.output) {
                self.recorder.route(feed.number, place)?;
                feed.outputs.push(place.output);
            }
            return Ok(());
        }
        let number = control.number() as u32;
        self.recorder.route(number, place)?;
        // On the node's own clock: each recording knows when it began.
        let tap = Tap { recording: number, channel: 0, began_ms: 0, anchor: None };
        control.workers[worker].push(Command::Tap { slot, tap }).await?;
        control.feeds.insert(leg, Feed { number, outputs: vec![place.output] });
        Ok(())
    }

    /// No longer lets a leg be heard in a stream.
    pub(super) async fn unfeed(
        &self,
        control: &mut Control,
        leg: LegId,
        output: u32,
    ) -> Result<(), MediaError> {
        let Some(feed) = control.feeds.get_mut(&leg) else { return Ok(()) };
        feed.outputs.retain(|other| *other != output);
        self.recorder.unroute(feed.number, Some(output));
        self.drop_idle_feeds(control).await.map(drop)
    }

    /// Takes an output away from every feed. When the answers are there, workers add nothing for it any more.
    pub(super) async fn drop_output(
        &self,
        control: &mut Control,
        output: u32,
    ) -> Result<Vec<oneshot::Receiver<Reply>>, MediaError> {
        for feed in control.feeds.values_mut() {
            feed.outputs.retain(|other| *other != output);
        }
        self.drop_idle_feeds(control).await
    }

    async fn drop_idle_feeds(
        &self,
        control: &mut Control,
    ) -> Result<Vec<oneshot::Receiver<Reply>>, MediaError> {
        let idle = control.feeds.iter().filter(|(_, feed)| feed.outputs.is_empty());
        let idle: Vec<(LegId, u32)> = idle.map(|(leg, feed)| (*leg, feed.number)).collect();
        let mut pending = Vec::new();
        for (leg, number) in idle {
            control.feeds.remove(&leg);
            let Some(entry) = control.legs.get(&leg) else { continue };
            let (token, done) = self.replies.open();
            let untap = Command::Untap { recording: number, token };
            control.workers[entry.worker].push(untap).await?;
            pending.push(done);
        }
        Ok(pending)
    }

    /// A leg is gone: so is its feed, and streams that had no other leg end.
    pub(super) async fn forget_feed(&self, leg: LegId) {
        let mut control = self.control.lock().await;
        if let Some(feed) = control.feeds.remove(&leg) {
            self.recorder.unroute(feed.number, None);
            // Refused, the tone stays where the leg heard it.
            let _ = self.tell_warnings(&control, &[leg]);
        }
        self.follow_legs(&mut control, leg).await;
    }
}
