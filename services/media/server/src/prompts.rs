//! Prompts: decoded, resampled and encoded once, then shared by all who hear them.

mod decode;
mod fetch;
mod forms;
mod long;
mod ogg_opus;
mod tones;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use sidetone_dsp::{Law, g711};

use crate::config::{Config, Fetch};
use crate::error::MediaError;
use crate::worker::FRAME;
use decode::Decoded;
pub(crate) use forms::Form;
use forms::Forms;
use long::Stored;
pub(crate) use long::{Long, Walk};

/// One prompt at 8 kHz, a whole number of 20 ms frames, in every form in which it is played.
#[derive(Debug)]
pub(crate) struct Prompt {
    linear: Box<[[i16; FRAME]]>,
    mu: Box<[[u8; FRAME]]>,
    a: Box<[[u8; FRAME]]>,
    forms: Forms,
}

/// Something that can be played.
#[derive(Debug, Clone)]
pub(crate) enum Playable {
    Whole(Arc<Prompt>),
    /// More than is held in memory.
    Long(Arc<Long>),
}

/// Where a prompt comes from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A file of the folder, a built-in one, or a tone.
    Named(Box<str>),
    Url(Box<str>),
    Bytes(Vec<u8>),
}

/// The prompts that were asked for, as long as there is room.
#[derive(Debug)]
pub(crate) struct Prompts {
    folder: PathBuf,
    bytes_max: usize,
    bytes: usize,
    loaded: HashMap<Source, Loaded>,
}

#[derive(Debug)]
struct Loaded {
    prompt: Playable,
    bytes: usize,
    at: Instant,
    used: Instant,
}

/// The built-in greeting: 8 kHz, mono, 16 bit.
const WELCOME: &[u8] = include_bytes!("../prompts/welcome.wav");
/// How long what was fetched is taken for what the server would give now.
const FRESH: Duration = Duration::from_secs(300);
/// Bytes of one frame in all its forms.
const FRAME_BYTES: usize = FRAME * 4;

impl Prompt {
    /// A prompt out of samples at 8 kHz; the last frame is filled up with silence.
    pub(crate) fn new(samples: &[i16]) -> Self {
        let mut linear = Vec::with_capacity(samples.len().div_ceil(FRAME));
        for part in samples.chunks(FRAME) {
            let mut frame = [0; FRAME];
            frame[..part.len()].copy_from_slice(part);
            linear.push(frame);
        }
        let encode = |law| {
            let encode_frame = |samples: &[i16; FRAME]| {
                let mut bytes = [0; FRAME];
                g711::encode(law, samples, &mut bytes);
                bytes
            };
            linear.iter().map(encode_frame).collect()
        };
        Self { mu: encode(Law::Mu), a: encode(Law::A), linear: linear.into(), forms: Forms::default() }
    }

    pub(crate) fn frames(&self) -> usize {
        self.linear.len()
    }

    pub(crate) fn linear(&self, frame: usize) -> &[i16; FRAME] {
        &self.linear[frame]
    }

    pub(crate) fn encoded(&self, law: Law, frame: usize) -> &[u8; FRAME] {
        match law {
            Law::Mu => &self.mu[frame],
            Law::A => &self.a[frame],
        }
    }

    /// Whether the caller is to [`Self::make`] this form.
    pub(crate) fn claim(&self, form: Form) -> bool {
        self.forms.claim(form)
    }

    /// Encodes all of it; the bytes that it takes more.
    pub(crate) fn make(&self, form: Form) -> usize {
        self.forms.make(form, &self.linear)
    }

    /// Where this form of it is, once it is made.
    pub(crate) fn place(&self, form: &Form) -> Option<usize> {
        self.forms.place(form)
    }

    /// A frame's packet in the form at a place.
    pub(crate) fn packet(&self, place: usize, frame: usize) -> Option<&[u8]> {
        self.forms.packet(place, frame)
    }
}

pub(crate) use tones::{WARNING_MS, fill_warning};

/// What tells that somebody is recorded.
pub(crate) fn recorder_warning() -> Arc<Prompt> {
    static WARNING: LazyLock<Arc<Prompt>> =
        LazyLock::new(|| Arc::new(Prompt::new(&tones::recorder_warning())));
    Arc::clone(&WARNING)
}

impl Prompts {
    /// At most so many bytes of sound are kept.
    pub(crate) fn new(folder: &Path, bytes_max: usize) -> Self {
        Self { folder: folder.into(), bytes_max, bytes: 0, loaded: HashMap::new() }
    }

    /// A prompt that has been loaded before.
    pub(crate) fn get(&mut self, source: &Source, now: Instant) -> Option<Playable> {
        let loaded = self.loaded.get_mut(source)?;
        if matches!(source, Source::Url(_)) && now.duration_since(loaded.at) > FRESH {
            return None;
        }
        loaded.used = now;
        Some(loaded.prompt.clone())
    }

    /// Keeps a prompt that was loaded with [`load`]; those that were not used for longest make room. Bytes held now.
    pub(crate) fn keep(&mut self, source: Source, prompt: Playable, now: Instant) -> usize {
        if matches!(source, Source::Bytes(_)) {
            return self.bytes;
        }
        let bytes = prompt.bytes();
        self.bytes += bytes;
        if let Some(before) = self.loaded.insert(source, Loaded { prompt, bytes, at: now, used: now }) {
            self.bytes -= before.bytes;
        }
        self.make_room()
    }

    /// Whether a prompt is kept, so that what is made of it is used again.
    pub(crate) fn keeps(&self, prompt: &Arc<Prompt>) -> bool {
        self.loaded.values().any(|loaded| loaded.prompt.is(prompt))
    }

    /// A prompt that is kept takes so many bytes more. Bytes held now.
    pub(crate) fn grew(&mut self, prompt: &Arc<Prompt>, bytes: usize) -> usize {
        if let Some(loaded) = self.loaded.values_mut().find(|loaded| loaded.prompt.is(prompt)) {
            loaded.bytes += bytes;
            self.bytes += bytes;
        }
        self.make_room()
    }

    fn make_room(&mut self) -> usize {
        while self.bytes > self.bytes_max {
            let oldest = self.loaded.iter().min_by_key(|(_, loaded)| loaded.used);
            let Some(oldest) = oldest.map(|(source, _)| source.clone()) else { break };
            if let Some(gone) = self.loaded.remove(&oldest) {
                self.bytes -= gone.bytes;
            }
        }
        self.bytes
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Playable {
    /// What it takes of memory.
    fn bytes(&self) -> usize {
        match self {
            Self::Whole(prompt) => prompt.frames() * FRAME_BYTES,
            Self::Long(long) => long.bytes(),
        }
    }

    fn is(&self, prompt: &Arc<Prompt>) -> bool {
        matches!(self, Self::Whole(own) if Arc::ptr_eq(own, prompt))
    }
}

impl From<Vec<i16>> for Playable {
    fn from(samples: Vec<i16>) -> Self {
        Self::Whole(Arc::new(Prompt::new(&samples)))
    }
}

impl Source {
    /// Whether it may take longer than a file does.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self, Self::Url(_))
    }
}

/// Brings a prompt, wherever it is.
pub(crate) async fn load(folder: &Path, config: &Fetch, source: Source) -> Result<Playable, MediaError> {
    let (bytes, ending) = match source {
        Source::Url(url) => {
            let fetched = fetch::fetch(config, &url).await?;
            (fetched.bytes, fetched.ending)
        }
        Source::Bytes(bytes) => (bytes, "wav"),
        Source::Named(name) => {
            let folder = folder.to_owned();
            let read = tokio::task::spawn_blocking(move || named(&folder, &name)).await;
            return read.map_err(|_| MediaError::Stopping)?;
        }
    };
    let file = Stored::Bytes(bytes.into());
    let decoded = tokio::task::spawn_blocking(move || playable(file, ending)).await;
    decoded.map_err(|_| MediaError::Stopping)?
}

/// All of a file in memory, or, where it is long, how it is to be decoded as it is played.
fn playable(file: Stored, ending: &'static str) -> Result<Playable, MediaError> {
    match decode::decode(file.open()?, ending)? {
        Decoded::Whole(samples) => Ok(samples.into()),
        Decoded::Long(duration_ms) => Ok(Playable::Long(Arc::new(Long::new(file, ending, duration_ms)))),
    }
}

/// A file of the folder, or a built-in one. A file goes before the built-in one of the same name.
fn named(folder: &Path, name: &str) -> Result<Playable, MediaError> {
    if let Some(tone) = name.strip_prefix("tone:") {
        return tones::progress(tone).map(Playable::from).ok_or(MediaError::NotFound("tone"));
    }
    let is_plain = !name.is_empty()
        && name.len() <= 128
        && !name.starts_with('.')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !is_plain {
        return Err(MediaError::Invalid { field: "prompt", problem: "expected a plain name without ending" });
    }
    for ending in decode::ENDINGS {
        let file = folder.join(format!("{name}.{ending}"));
        if file.try_exists().is_ok_and(|there| !there) {
            continue;
        }
        return playable(Stored::File(file), ending);
    }
    match name {
        "welcome" => playable(Stored::Bytes(WELCOME.into()), "wav"),
        "tone" => Ok(tones::tone().into()),
        "beep" => Ok(tones::beep().into()),
        _ => Err(MediaError::NotFound("prompt")),
    }
}

impl Config {
    /// Why this machine could not play a prompt of this name; none when it could.
    pub fn prompt_problem(&self, name: &str) -> Option<String> {
        named(&self.prompts_dir, name).err().map(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests;
