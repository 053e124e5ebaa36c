//! What workers tell, on its way to whoever waits for it.

use std::sync::Arc;

use rtrb::Consumer;
use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::Engine;
use super::link::Reply;
use crate::worker::playing::Ending;
use crate::worker::rings::Event;

/// Changes of one worker that may wait for the engine's lock, besides four for each leg. Each leg, playback and tap is told of
/// once, so there is always room; waiting for it could keep an answer from whoever holds the lock.
const CHANGES_MAX: usize = 16_384;

/// What has to be written into the books.
#[derive(Debug)]
enum Change {
    PlaybackEnded { number: u64, ended: Option<Ending> },
    Idle { leg: LegId },
    Speaker { leg: LegId, speaking: bool },
    FarLoss { leg: LegId, fraction_lost: u8 },
}

/// Hands on what one worker tells until `stopping`. Answers are completed at once, because who waits for one may hold the
/// engine's lock; changes of the books are made by a second task.
pub(crate) async fn pump(
    engine: Arc<Engine>,
    mut events: Consumer<Event>,
    told: pipe::Receiver,
    stopping: tokio_util::sync::CancellationToken,
) -> std::io::Result<()> {
    let (changes, waiting) = mpsc::channel(CHANGES_MAX + 4 * engine.config.legs_max);
    let writer = tokio::spawn(write_changes(Arc::clone(&engine), waiting));
    let mut worker_ended = false;
    loop {
        while let Ok(event) = events.pop() {
            for change in engine.handle_event(event) {
                // What the far side lost is told again; other changes are not.
                if matches!(change, Change::FarLoss { .. }) && changes.capacity() < CHANGES_MAX / 2 {
                    continue;
                }
                if changes.try_send(change).is_err() {
                    engine.telemetry.media.ring_full.inc();
                    tracing::error!("a change that a worker told of is lost: too many wait");
                }
            }
        }
        if worker_ended {
            break;
        }
        tokio::select! {
            ready = told.readable() => {
                ready?;
                // What the bytes are does not matter, nor how many: the ring is emptied in any case. Its end means that
                // the worker has ended, and that what is in the ring now is the last of it.
                worker_ended = matches!(told.try_read(&mut [0; 64]), Ok(0));
            }
            () = stopping.cancelled() => break,
        }
    }
    drop(changes);
    let _ = writer.await;
    Ok(())
}

async fn write_changes(engine: Arc<Engine>, mut waiting: mpsc::Receiver<Change>) {
    while let Some(change) = waiting.recv().await {
        match change {
            Change::PlaybackEnded { number, ended } => engine.playback_ended(number, ended).await,
            Change::Idle { leg } => engine.time_out(leg).await,
            Change::Speaker { leg, speaking } => engine.speaker_changed(leg, speaking).await,
            Change::FarLoss { leg, fraction_lost } => engine.adapt(leg, fraction_lost).await,
        }
    }
}

impl Engine {
    fn handle_event(&self, event: Event) -> Vec<Change> {
        match event {
            Event::Removed { token, leg } => self.replies.complete(token, Reply::Leg(leg)),
            Event::Listed { token, page } => self.replies.complete(token, Reply::States(page.legs)),
            Event::Untapped { token } => self.replies.complete(token, Reply::Done),
            // A mix that ended while it was played to takes its prompts with it.
            Event::MixRemoved { mix: Some(mix) } => {
                let ended = |number| Change::PlaybackEnded { number, ended: Some(Ending::Stopped) };
                return mix.playing.iter().map(|playing| ended(playing.playback)).collect();
            }
            Event::MixRemoved { mix: None }
            | Event::RetiredDescription(_)
            | Event::RetiredKeys(_)
            | Event::RetiredConditioner(_)
            | Event::Retired(_) => {}
            Event::Digit { leg, digit, duration_ms, in_band } => {
                let digit = char::from(digit).to_string();
                let leg_id = leg_id(leg).to_string();
                self.tell(pb::media_event::Kind::Digit(pb::Digit { leg_id, digit, duration_ms, in_band }));
            }
            Event::PlaybackEnded { playing } => {
                return vec![Change::PlaybackEnded { number: playing.playback, ended: playing.ended }];
            }
            Event::Idle { leg, unwanted: true } => return vec![Change::Idle { leg: leg_id(leg) }],
            // Whoever wants it decides: an early leg need not send anything yet.
            Event::Idle { leg, unwanted: false } => {
                let leg_id = leg_id(leg).to_string();
                self.tell(pb::media_event::Kind::LegTimedOut(pb::LegTimedOut { leg_id, no_rtp: true }));
            }
            Event::FarLoss { leg, fraction_lost } => {
                return vec![Change::FarLoss { leg: leg_id(leg), fraction_lost }];
            }
            Event::Speaker { leg, speaking } => return vec![Change::Speaker { leg: leg_id(leg), speaking }],
        }
        Vec::new()
    }

    async fn time_out(&self, leg: LegId) {
        match self.release_leg(leg).await {
            Ok(Some(_)) => {
                tracing::info!(%leg, "leg freed: neither RTP nor a refresh for the idle time");
                self.telemetry.media.legs_timed_out.inc();
                let leg_id = leg.to_string();
                self.tell(pb::media_event::Kind::LegTimedOut(pb::LegTimedOut { leg_id, no_rtp: false }));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%leg, %error, "an idle leg could not be freed"),
        }
    }
}

fn leg_id(number: u128) -> LegId {
    LegId::from(Uuid::from_u128(number))
}
