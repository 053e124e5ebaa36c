//! Prompts played to legs and mixes.

use std::sync::Arc;

use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;

use super::{Control, Engine, PlaybackEntry};
use crate::error::MediaError;
use crate::prompts::{self, Prompt};
use crate::worker::mix::MIX_PLAYBACKS_MAX;
use crate::worker::playing::Playing;
use crate::worker::rings::Command;

/// Who is to hear a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    Leg(LegId),
    Mix(Box<str>),
}

/// What is to be stopped.
#[derive(Debug, Clone)]
pub(crate) enum Stopped {
    Playback(Box<str>),
    /// All that somebody hears.
    All(Audience),
}

/// Playbacks of one node at a time.
const PLAYBACKS_MAX: usize = 10_000;

impl Engine {
    /// Plays a prompt; the length of one round in ms.
    pub(crate) async fn play(&self, audience: Audience, request: pb::PlayRequest) -> Result<u64, MediaError> {
        let prompt = self.prompt(&request.prompt).await?;
        let mut control = self.control.lock().await;
        if let Some(entry) = control.playbacks.get(request.playback_id.as_str()) {
            let same = entry.request == request;
            return if same { Ok(entry.duration_ms) } else { Err(MediaError::Reused("playback")) };
        }
        if control.playbacks.len() >= PLAYBACKS_MAX {
            return Err(MediaError::TooMany("playbacks"));
        }
        let number = control.number();
        let duration_ms = prompt.duration_ms();
        let rounds = (request.repeat > 0).then_some(request.repeat);
        let playing = Box::new(Playing { playback: number, prompt, rounds, frame: 0, stopped: false });
        let (worker, command) = self.place(&control, &audience, playing)?;
        let id = request.playback_id.as_str().into();
        control.playbacks.insert(id, PlaybackEntry { request, audience, number, duration_ms });
        let pushed = control.workers[worker].push(command).await;
        if pushed.is_err() {
            control.playbacks.retain(|_, entry| entry.number != number);
        }
        pushed.map(|()| duration_ms)
    }

    /// Tells a leg that it is recorded from now on.
    pub(super) async fn beep(&self, leg: LegId, recording: &str) -> Result<(), MediaError> {
        let request = pb::PlayRequest {
            playback_id: format!("beep:{recording}:{leg}"),
            target: Some(pb::play_request::Target::LegId(leg.to_string())),
            prompt: "beep".into(),
            repeat: 1,
            manner: pb::PlayManner::Over.into(),
            ..Default::default()
        };
        self.play(Audience::Leg(leg), request).await.map(drop)
    }

    fn place(
        &self,
        control: &Control,
        audience: &Audience,
        playing: Box<Playing>,
    ) -> Result<(usize, Command), MediaError> {
        match audience {
            Audience::Leg(id) => {
                let leg = control.legs.get(id).ok_or(MediaError::NotFound("leg"))?;
                Ok((leg.worker, Command::PlayToLeg { slot: leg.slot, playing }))
            }
            Audience::Mix(name) => {
                let mix = control.mixes.get(name).ok_or(MediaError::NotFound("mix"))?;
                let here = control.playbacks.values().filter(|playback| playback.audience == *audience);
                if here.count() >= MIX_PLAYBACKS_MAX {
                    return Err(MediaError::TooMany("playbacks of one mix"));
                }
                Ok((mix.worker, Command::PlayToMix { slot: mix.slot, playing }))
            }
        }
    }

    async fn prompt(&self, name: &str) -> Result<Arc<Prompt>, MediaError> {
        let folder = {
            let control = self.control.lock().await;
            if let Some(prompt) = control.prompts.get(name) {
                return Ok(prompt);
            }
            control.prompts.folder().to_owned()
        };
        let owned = name.to_owned();
        let loaded = tokio::task::spawn_blocking(move || prompts::load(&folder, &owned)).await;
        let prompt = Arc::new(loaded.map_err(|_| MediaError::Stopping)??);
        self.control.lock().await.prompts.keep(name, Arc::clone(&prompt));
        Ok(prompt)
    }

    /// Stops playbacks. One that has ended is no fault.
    pub(crate) async fn stop_play(&self, chosen: &Stopped) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let is_chosen = |id: &str, entry: &PlaybackEntry| match chosen {
            Stopped::Playback(playback) => **playback == *id,
            Stopped::All(audience) => entry.audience == *audience,
        };
        let playbacks = control.playbacks.iter();
        let numbers: Vec<u64> =
            playbacks.filter(|(id, entry)| is_chosen(id, entry)).map(|(_, entry)| entry.number).collect();
        for playback in numbers {
            // Its leg may have moved: every worker is asked.
            for link in &mut control.workers {
                link.push(Command::StopPlay { playback }).await?;
            }
        }
        Ok(())
    }

    /// Tells of the end of a playback, once.
    pub(super) async fn playback_ended(&self, number: u64, stopped: bool) {
        let mut control = self.control.lock().await;
        let id = control.playbacks.iter().find(|(_, entry)| entry.number == number).map(|(id, _)| id.clone());
        let Some(id) = id else { return };
        control.playbacks.remove(&id);
        drop(control);
        let finished = pb::PlaybackFinished { playback_id: id.into(), stopped, failure: None };
        self.tell(pb::media_event::Kind::PlaybackFinished(finished));
    }
}
