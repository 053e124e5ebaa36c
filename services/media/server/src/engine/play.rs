//! Prompts, files and tones played to legs and mixes.

use std::sync::Arc;
use std::time::Instant;

use sidetone_dsp::Gain;
use sidetone_model::ids::LegId;
use sidetone_model::media::BargeIn;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::wire;
use sidetone_proto::media::v1 as pb;
use tokio_util::sync::CancellationToken;

use super::streaming::Seeker;
use super::{Control, Engine, PlaybackEntry};
use crate::error::MediaError;
use crate::prompts::{self, Playable, Source, Walk};
use crate::service::{GAIN_MDB_MAX, GAIN_MDB_MIN};
use crate::worker::barging::Barging;
use crate::worker::mix::MIX_PLAYBACKS_MAX;
use crate::worker::overlay::{Lay, Yields};
use crate::worker::playing::{Ending, Playing, Program, Steer};
use crate::worker::rings::Command;

/// Who is to hear a prompt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Audience {
    Leg(LegId),
    Mix(Box<str>),
}

/// What is to be played.
#[derive(Debug)]
enum Sound {
    /// All of it is in memory.
    Program(Program),
    /// Some of it is long.
    Walk(Box<Walk>),
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
/// Sounds that are brought before they are played, at a time: what is fetched is in memory meanwhile.
pub(super) const PREPARING_MAX: usize = 32;
/// Sources of one playback.
const SOURCES_MAX: usize = 64;
/// The longest silence between two sources, in ms.
const PAUSE_MAX_MS: u32 = 60_000;
/// By how much what gives way is turned down unless it is said, and the most, in thousandths of a decibel.
const DUCK_MDB: i32 = -15_000;
const DUCK_MDB_MIN: i32 = -72_000;
/// The largest file in a request, in bytes.
const DATA_MAX: usize = 4 << 20;

impl Engine {
    /// Plays; the length of one round in ms, 0 when it has to be fetched first.
    pub(crate) async fn play(
        self: &Arc<Self>,
        audience: Audience,
        request: pb::PlayRequest,
    ) -> Result<u64, MediaError> {
        let sources = sources(&request)?;
        if matches!(audience, Audience::Mix(_)) && barge_in(&request)? != BargeIn::None {
            return Err(MediaError::Invalid { field: "barge_in", problem: "is for what is played to a leg" });
        }
        if let Some(duration_ms) = self.known(&request).await? {
            return Ok(duration_ms);
        }
        if !sources.iter().any(Source::is_far) {
            let sound = self.sound(sources, &request).await?;
            return self.begin_playback(audience, request, sound).await;
        }
        let id: Box<str> = request.playback_id.as_str().into();
        let (number, stopped) = self.expect_playback(&audience, &request).await?;
        let engine = Arc::clone(self);
        tokio::spawn(async move {
            let sound = tokio::select! {
                sound = engine.sound(sources, &request) => sound.map(Some),
                () = stopped.cancelled() => Ok(None),
            };
            let begun = match sound {
                Ok(Some(sound)) => engine.begin_expected(&id, number, sound).await,
                Ok(None) => return engine.playback_ended(number, Some(Ending::Stopped)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = begun {
                tracing::info!(playback = %id, %error, "a playback failed");
                engine.end_playback(number, None, Some(&error)).await;
            }
        });
        Ok(0)
    }

    /// Brings what a later playback needs, so that it can begin at once; the length of one round in ms.
    pub(crate) async fn prepare_play(&self, request: pb::PreparePlayRequest) -> Result<u64, MediaError> {
        let request = pb::PlayRequest { sources: request.sources, ..Default::default() };
        if request.sources.is_empty() {
            return Err(MediaError::Invalid { field: "sources", problem: "none is there" });
        }
        let sources = sources(&request)?;
        let _place = self.preparing.try_acquire().map_err(|_| MediaError::TooMany("sounds being brought"))?;
        Ok(self.sound(sources, &request).await?.duration_ms())
    }

    /// The answer to a playback that was asked for before.
    async fn known(&self, request: &pb::PlayRequest) -> Result<Option<u64>, MediaError> {
        let control = self.control.lock().await;
        match control.playbacks.get(request.playback_id.as_str()) {
            Some(entry) if entry.request == *request => Ok(Some(entry.duration_ms)),
            Some(_) => Err(MediaError::Reused("playback")),
            None if control.playbacks.len() >= PLAYBACKS_MAX => Err(MediaError::TooMany("playbacks")),
            None => Ok(None),
        }
    }

    /// Writes a playback down whose sound is still to come.
    async fn expect_playback(
        &self,
        audience: &Audience,
        request: &pb::PlayRequest,
    ) -> Result<(u64, CancellationToken), MediaError> {
        let mut control = self.control.lock().await;
        room(&control, audience)?;
        let number = control.number();
        let loading = CancellationToken::new();
        let entry = PlaybackEntry {
            request: request.clone(),
            audience: audience.clone(),
            number,
            duration_ms: 0,
            loading: Some(loading.clone()),
            steered: Vec::new(),
            seeker: None,
        };
        control.playbacks.insert(request.playback_id.as_str().into(), entry);
        Ok((number, loading))
    }

    /// What was expected has come.
    async fn begin_expected(self: &Arc<Self>, id: &str, number: u64, sound: Sound) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let Some(entry) = control.playbacks.get_mut(id).filter(|entry| entry.number == number) else {
            return Ok(());
        };
        let stopped = entry.loading.take().is_some_and(|loading| loading.is_cancelled());
        let (mut playing, seeker) = self.playing(number, sound, &entry.request)?;
        entry.seeker = seeker;
        let steered = std::mem::take(&mut entry.steered);
        steered.into_iter().for_each(|steer| playing.steer(entry.numbered(steer)));
        if stopped {
            playing.end(Ending::Stopped);
        }
        let audience = entry.audience.clone();
        self.encode_for_all(&control, &audience, &playing);
        self.push_playing(&mut control, &audience, playing).await
    }

    async fn begin_playback(
        self: &Arc<Self>,
        audience: Audience,
        request: pb::PlayRequest,
        sound: Sound,
    ) -> Result<u64, MediaError> {
        let mut control = self.control.lock().await;
        // The same request may have come twice meanwhile.
        if let Some(entry) = control.playbacks.get(request.playback_id.as_str()) {
            let same = entry.request == request;
            return if same { Ok(entry.duration_ms) } else { Err(MediaError::Reused("playback")) };
        }
        room(&control, &audience)?;
        let number = control.number();
        let duration_ms = sound.duration_ms();
        let (playing, seeker) = self.playing(number, sound, &request)?;
        let id: Box<str> = request.playback_id.as_str().into();
        let entry = PlaybackEntry {
            request,
            audience: audience.clone(),
            number,
            duration_ms,
            loading: None,
            steered: Vec::new(),
            seeker,
        };
        control.playbacks.insert(id.clone(), entry);
        self.encode_for_all(&control, &audience, &playing);
        let pushed = self.push_playing(&mut control, &audience, playing).await;
        if pushed.is_err() {
            control.playbacks.remove(&id);
        }
        pushed.map(|()| duration_ms)
    }

    pub(super) async fn push_playing(
        &self,
        control: &mut Control,
        audience: &Audience,
        playing: Box<Playing>,
    ) -> Result<(), MediaError> {
        let (worker, command) = match audience {
            Audience::Leg(id) => {
                let leg = control.legs.get(id).ok_or(MediaError::NotFound("leg"))?;
                (leg.worker, Command::PlayToLeg { slot: leg.slot, playing })
            }
            Audience::Mix(name) => {
                let mix = control.mixes.get(name).ok_or(MediaError::NotFound("mix"))?;
                let home = mix.home();
                (home.worker, Command::PlayToMix { slot: home.slot, playing })
            }
        };
        control.workers[worker].push(command).await
    }

    /// Brings everything of a playback.
    async fn sound(&self, sources: Vec<Source>, request: &pb::PlayRequest) -> Result<Sound, MediaError> {
        let mut parts = Vec::with_capacity(sources.len());
        for source in sources {
            parts.push(self.prompt(source).await?);
        }
        let pause_frames = request.pause_between_ms as usize / 20;
        let whole = |part: &Playable| match part {
            Playable::Whole(prompt) => Some(Arc::clone(prompt)),
            Playable::Long(_) => None,
        };
        Ok(match parts.iter().map(whole).collect() {
            Some(prompts) => Sound::Program(Program::new(prompts, pause_frames)),
            None => Sound::Walk(Box::new(Walk::new(parts, pause_frames, rounds(request)))),
        })
    }

    async fn prompt(&self, source: Source) -> Result<Playable, MediaError> {
        let folder = {
            let mut control = self.control.lock().await;
            if let Some(prompt) = control.prompts.get(&source, Instant::now()) {
                return Ok(prompt);
            }
            control.prompts.folder().to_owned()
        };
        let is_far = source.is_far();
        let loaded = prompts::load(&folder, &self.config.fetch, source.clone()).await;
        if is_far {
            let result = if loaded.is_ok() { "fetched" } else { "failed" };
            self.telemetry.audio.fetches.with_label_values(&[result]).inc();
        }
        let prompt = loaded?;
        let mut control = self.control.lock().await;
        let held = control.prompts.keep(source, prompt.clone(), Instant::now());
        self.telemetry.audio.prompt_cache_bytes.set(held as i64);
        Ok(prompt)
    }

    /// What a worker plays, and where it is long, what decodes it.
    fn playing(
        &self,
        number: u64,
        sound: Sound,
        request: &pb::PlayRequest,
    ) -> Result<(Box<Playing>, Option<Seeker>), MediaError> {
        let start = request.start_offset_ms as usize / 20;
        let (mut playing, seeker) = match sound {
            Sound::Program(program) => {
                (Playing::new(number, Arc::new(program), rounds(request), start), None)
            }
            Sound::Walk(walk) => {
                let (streamed, seeker) = self.stream(*walk, start)?;
                (Playing::streamed(number, streamed), Some(seeker))
            }
        };
        playing.lay = lay(request)?.map(Box::new);
        playing.barging = Barging::new(barge_in(request)?);
        Ok((Box::new(playing), seeker))
    }

    /// Stops playbacks. One that has ended is no fault.
    pub(crate) async fn stop_play(&self, chosen: &Stopped) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let is_chosen = |id: &str, entry: &PlaybackEntry| match chosen {
            Stopped::Playback(playback) => **playback == *id,
            Stopped::All(audience) => entry.audience == *audience,
        };
        let mut numbers = Vec::new();
        for (_, entry) in control.playbacks.iter().filter(|(id, entry)| is_chosen(id, entry)) {
            match &entry.loading {
                Some(loading) => loading.cancel(),
                None => numbers.push(entry.number),
            }
        }
        for playback in numbers {
            // Its leg may have moved: every worker is asked.
            for link in &mut control.workers {
                link.push(Command::StopPlay { playback }).await?;
            }
        }
        Ok(())
    }

    /// Changes a playback. One that has ended is no fault.
    pub(crate) async fn steer_play(&self, request: &pb::SteerPlayRequest) -> Result<(), MediaError> {
        use pb::steer_play_request::Change;
        let steer = match request.change {
            Some(Change::Paused(paused)) => Steer::Paused(paused),
            Some(Change::PositionMs(ms)) => {
                Steer::To { frame: usize::try_from(ms / 20).unwrap_or(usize::MAX), generation: 0 }
            }
            None => return Err(MediaError::Invalid { field: "change", problem: "is missing" }),
        };
        let mut control = self.control.lock().await;
        let Some(entry) = control.playbacks.get_mut(request.playback_id.as_str()) else { return Ok(()) };
        if entry.loading.is_some() {
            // The last of each kind is what counts.
            entry.steered.retain(|other| std::mem::discriminant(other) != std::mem::discriminant(&steer));
            entry.steered.push(steer);
            return Ok(());
        }
        let (playback, steer) = (entry.number, entry.numbered(steer));
        for link in &mut control.workers {
            link.push(Command::SteerPlay { playback, steer }).await?;
        }
        Ok(())
    }

    /// Tells of the end of a playback, once.
    pub(super) async fn playback_ended(&self, number: u64, ended: Option<Ending>) {
        self.end_playback(number, ended, None).await;
    }

    async fn end_playback(&self, number: u64, ended: Option<Ending>, failure: Option<&MediaError>) {
        let mut control = self.control.lock().await;
        let id = control.playbacks.iter().find(|(_, entry)| entry.number == number).map(|(id, _)| id.clone());
        let Some(id) = id else { return };
        control.playbacks.remove(&id);
        drop(control);
        let failure =
            failure.map(|error| (&Termination::new(Cause::Internal).with_text(error.to_string())).into());
        let ended_by = match ended {
            Some(Ending::Key) => wire::number(BargeIn::Key),
            Some(Ending::Voice) => wire::number(BargeIn::Voice),
            Some(Ending::Stopped) | None => wire::number(BargeIn::None),
        };
        if let Some(by) = ended.and_then(Ending::of_hearer) {
            self.telemetry.audio.barge_ins.with_label_values(&[by]).inc();
        }
        let stopped = ended.is_some();
        let finished = pb::PlaybackFinished { playback_id: id.into(), stopped, failure, ended_by };
        self.tell(pb::media_event::Kind::PlaybackFinished(finished));
    }
}

/// How often all of it is played; none is for ever.
fn rounds(request: &pb::PlayRequest) -> Option<u32> {
    (request.repeat > 0).then_some(request.repeat)
}

impl Sound {
    /// Of one round, in ms; 0 where a long part does not say it.
    fn duration_ms(&self) -> u64 {
        match self {
            Self::Program(program) => program.duration_ms(),
            Self::Walk(walk) => walk.duration_ms().unwrap_or(0),
        }
    }
}

impl PlaybackEntry {
    /// A change as a worker is told of it: whoever decodes it is told first.
    fn numbered(&self, steer: Steer) -> Steer {
        match (steer, &self.seeker) {
            (Steer::To { frame, .. }, Some(seeker)) => Steer::To { frame, generation: seeker.seek(frame) },
            _ => steer,
        }
    }
}

/// What of its hearer ends it.
fn barge_in(request: &pb::PlayRequest) -> Result<BargeIn, MediaError> {
    let problem = "expected none, key, voice or any";
    wire::enumeration("barge_in", request.barge_in)
        .map_err(|_| MediaError::Invalid { field: "barge_in", problem })
}

/// How it is laid over what is heard besides, or under it; none where it is not.
fn lay(request: &pb::PlayRequest) -> Result<Option<Lay>, MediaError> {
    let invalid = |field, problem| Err(MediaError::Invalid { field, problem });
    let yields = match request.manner() {
        pb::PlayManner::Over => Yields::Speech,
        pb::PlayManner::Under => Yields::Prompt,
        pb::PlayManner::Unspecified | pb::PlayManner::Instead => {
            let plain = request.duck_mdb.is_none() && request.gain_mdb == 0;
            let problem = "is for what is played over or under something else";
            return if plain { Ok(None) } else { invalid("manner", problem) };
        }
    };
    let duck_mdb = request.duck_mdb.unwrap_or(DUCK_MDB);
    if !(DUCK_MDB_MIN..=0).contains(&duck_mdb) {
        return invalid("duck_mdb", "expected -72000 to 0");
    }
    if !(GAIN_MDB_MIN..=GAIN_MDB_MAX).contains(&request.gain_mdb) {
        return invalid("gain_mdb", "expected -72000 to 18000");
    }
    let gain = Gain::from_db(request.gain_mdb as f32 / 1000.0);
    Ok(Some(Lay::new(yields, duck_mdb as f32 / 1000.0, gain)))
}

/// Whether somebody may be played one more to.
fn room(control: &Control, audience: &Audience) -> Result<(), MediaError> {
    match audience {
        Audience::Leg(id) if !control.legs.contains_key(id) => Err(MediaError::NotFound("leg")),
        Audience::Mix(name) if !control.mixes.contains_key(name) => Err(MediaError::NotFound("mix")),
        Audience::Leg(_) => Ok(()),
        Audience::Mix(_) => {
            let here = control.playbacks.values().filter(|playback| playback.audience == *audience);
            if here.count() >= MIX_PLAYBACKS_MAX {
                return Err(MediaError::TooMany("playbacks of one mix"));
            }
            Ok(())
        }
    }
}

/// What is to be played, in its order.
fn sources(request: &pb::PlayRequest) -> Result<Vec<Source>, MediaError> {
    use pb::play_source::Source as Wire;
    let invalid = |field, problem| MediaError::Invalid { field, problem };
    if request.pause_between_ms > PAUSE_MAX_MS {
        return Err(invalid("pause_between_ms", "expected at most 60000"));
    }
    // A mistake is told before anything is fetched.
    lay(request)?;
    if request.sources.is_empty() {
        return Ok(vec![Source::Named(request.prompt.as_str().into())]);
    }
    if !request.prompt.is_empty() || request.sources.len() > SOURCES_MAX {
        return Err(invalid("sources", "expected at most 64, and no prompt besides"));
    }
    let source = |source: &pb::PlaySource| match &source.source {
        Some(Wire::Prompt(name)) => Ok(Source::Named(name.as_str().into())),
        Some(Wire::Url(url)) if url.len() <= 4096 => Ok(Source::Url(url.as_str().into())),
        Some(Wire::Url(_)) => Err(invalid("url", "is longer than 4096 characters")),
        Some(Wire::Data(data)) if data.len() <= DATA_MAX => Ok(Source::Bytes(data.clone())),
        Some(Wire::Data(_)) => Err(invalid("data", "is larger than 4 MB")),
        None => Err(invalid("sources", "one of them is empty")),
    };
    request.sources.iter().map(source).collect()
}
