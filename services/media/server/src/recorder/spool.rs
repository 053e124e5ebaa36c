//! Where recordings lie, and the sheets that outlive the process that writes them.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use sidetone_record_core::{Container, HEADER_LEN, Units};

use crate::recorder::takeover::Lock;
use crate::recorder::{Finished, NewRecording};

/// The folder of recordings with this node's sheets.
#[derive(Debug, Clone)]
pub(crate) struct Spool {
    folder: PathBuf,
    sheets: PathBuf,
    /// Recordings go on to a bucket: their sheets are kept until they are there.
    uploads: bool,
    /// An acknowledgement and the end of an upload change the same sheet.
    changing: Arc<Mutex<()>>,
    /// That nobody else takes over what this process records.
    pub(super) lock: Arc<Mutex<Lock>>,
}

/// A recording that is not in the bucket as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) id: String,
    pub(crate) files: Vec<String>,
    /// None while it runs.
    pub(crate) ended_at: Option<SystemTime>,
}

impl Spooled {
    pub(crate) fn ended(&self) -> bool {
        self.ended_at.is_some()
    }
}

/// What is kept of a recording until its end is acknowledged.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
enum Sheet {
    Open {
        id: String,
        file: String,
        #[serde(default)]
        tracks: Vec<String>,
    },
    Ended(Finished),
}

/// How files end that are put together.
const DRAFT: &str = "joining";

impl Spool {
    pub(super) fn new(folder: PathBuf, node_id: &str, uploads: bool) -> Self {
        let sheets = folder.join(".spool").join(node_id);
        Self { folder, sheets, uploads, changing: Arc::default(), lock: Arc::default() }
    }

    /// The name of a recording's first file, relative to the folder.
    pub(super) fn name(new: &NewRecording, unix_ms: u64) -> io::Result<String> {
        Ok(format!("{}/{}/{}.{}", new.tenant, date(unix_ms)?, new.id, new.container.extension()))
    }

    /// Makes a new file.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        self.need_lock()?;
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        // What people said is for whoever runs this process.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
    }

    /// Notes which files a running recording has.
    pub(super) fn open(&self, id: &str, file: &str, tracks: &[String]) -> io::Result<()> {
        self.put(id, &Sheet::Open { id: id.into(), file: file.into(), tracks: tracks.into() })
    }

    /// The folder of this node's sheets.
    pub(super) fn sheets(&self) -> &Path {
        &self.sheets
    }

    /// The folder of recordings.
    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The files that any node's sheets name.
    pub(super) fn needed(&self) -> HashSet<String> {
        let nodes = self.sheets.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
        let sheets = nodes.filter_map(|node| fs::read_dir(node.path()).ok()).flatten().flatten();
        sheets.flat_map(|sheet| Self::files_of(&sheet.path())).collect()
    }

    /// The files that a sheet names.
    pub(super) fn files_of(sheet: &Path) -> Vec<String> {
        match read_sheet(sheet) {
            Some(Sheet::Open { file, tracks, .. } | Sheet::Ended(Finished { file, tracks, .. })) => {
                std::iter::once(file).chain(tracks).collect()
            }
            None => Vec::new(),
        }
    }

    /// Where a file lies.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Notes the end of a recording.
    pub(super) fn end(&self, finished: &Finished) -> io::Result<()> {
        self.put(&finished.id, &Sheet::Ended(finished.clone()))
    }

    /// The end of a recording is known where it must be: its sheet is kept only for an upload that is not done.
    pub(super) fn acknowledge(&self, id: &str) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let sheet = self.sheet(id);
        if self.uploads && !is_stored(&sheet) {
            return none_is_fine(fs::rename(&sheet, self.acknowledged(id)));
        }
        none_is_fine(fs::remove_file(sheet))
    }

    /// Forgets the sheet of a recording, whatever is still to be done.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        none_is_fine(fs::remove_file(self.acknowledged(id)))?;
        none_is_fine(fs::remove_file(self.sheet(id)))
    }

    /// Where a file of a recording is put together whose node is gone; what was there is gone.
    pub(crate) fn draft(&self, id: &str, track: u32) -> io::Result<(PathBuf, File)> {
        fs::create_dir_all(&self.sheets)?;
        let path = self.sheets.join(format!("{id}.{track}.{DRAFT}"));
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).mode(0o600).open(&path)?;
        Ok((path, file))
    }

    /// What is still to be brought to the bucket.
    pub(crate) fn waiting(&self) -> Vec<Spooled> {
        let Ok(entries) = fs::read_dir(&self.sheets) else { return Vec::new() };
        let mut waiting: Vec<Spooled> = entries.flatten().filter_map(|entry| waits(&entry.path())).collect();
        waiting.sort_by(|a, b| a.id.cmp(&b.id));
        waiting
    }

    /// A recording is in the bucket as a whole: its files go away, and its sheet when nobody waits for it any more.
    pub(crate) fn stored(&self, recording: &Spooled) -> io::Result<()> {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        none_is_fine(fs::remove_file(self.acknowledged(&recording.id)))?;
        if let Ok(bytes) = fs::read(self.sheet(&recording.id))
            && let Sheet::Ended(finished) = serde_json::from_slice(&bytes)?
        {
            self.put(&recording.id, &Sheet::Ended(Finished { stored: true, ..finished }))?;
        }
        recording.files.iter().try_for_each(|name| none_is_fine(fs::remove_file(self.path(name))))
    }

    /// The recordings that ended without being acknowledged. Those whose process died are made whole first.
    pub(super) fn adopt(&self) -> Vec<Finished> {
        let Ok(entries) = fs::read_dir(&self.sheets) else { return Vec::new() };
        let mut finished = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.extension().is_some_and(|ending| ending == DRAFT) {
                // Whoever is asked for it begins anew.
                let _ = fs::remove_file(path);
                continue;
            }
            finished.extend(self.adopt_or_tell(&path));
        }
        finished.sort_by(|a, b| a.id.cmp(&b.id));
        finished
    }

    /// One whose sheet or file cannot be read has ended all the same, and is told of.
    pub(super) fn adopt_or_tell(&self, path: &Path) -> Option<Finished> {
        match self.adopt_sheet(path) {
            Ok(adopted) => adopted,
            Err(error) => {
                tracing::error!(sheet = %path.display(), %error, "a recording cannot be adopted");
                let id = path.file_stem()?.to_str()?.to_owned();
                let failure = Some(format!("what the ended process left cannot be read: {error}"));
                Some(Finished {
                    id,
                    file: String::new(),
                    tracks: Vec::new(),
                    duration_ms: 0,
                    size_bytes: 0,
                    failure,
                    stored: false,
                })
            }
        }
    }

    fn adopt_sheet(&self, path: &Path) -> io::Result<Option<Finished>> {
        if path.extension().is_none_or(|ending| ending != "json") {
            return Ok(None);
        }
        match serde_json::from_slice(&fs::read(path)?)? {
            Sheet::Ended(finished) => Ok(Some(finished)),
            Sheet::Open { id, file, tracks } => {
                let (mut duration_ms, mut size_bytes) = (0, 0);
                for name in std::iter::once(&file).chain(&tracks) {
                    let (duration, size) = measure(&self.path(name))?;
                    duration_ms = duration_ms.max(duration);
                    size_bytes += size;
                }
                // All but the last second that was said is there.
                let failure = (duration_ms == 0).then(|| "the process that recorded ended".to_owned());
                let stored = false;
                let finished = Finished { id, file, tracks, duration_ms, size_bytes, failure, stored };
                self.end(&finished)?;
                tracing::info!(recording = finished.id, "recording of an ended process adopted");
                Ok(Some(finished))
            }
        }
    }

    /// Whole or not at all: a sheet that was cut would lose its recording.
    fn put(&self, id: &str, sheet: &Sheet) -> io::Result<()> {
        fs::create_dir_all(&self.sheets)?;
        let draft = self.sheets.join(format!("{id}.draft"));
        let mut file = File::create(&draft)?;
        file.write_all(&serde_json::to_vec(sheet)?)?;
        // A power failure after the renaming must not leave an empty sheet.
        file.sync_all()?;
        fs::rename(draft, self.sheet(id))
    }

    fn acknowledged(&self, id: &str) -> PathBuf {
        self.sheets.join(format!("{id}.acked"))
    }

    fn sheet(&self, id: &str) -> PathBuf {
        self.sheets.join(format!("{id}.json"))
    }
}

/// Makes a left-behind file whole; its length in ms and in bytes.
fn measure(path: &Path) -> io::Result<(u64, u64)> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
        Err(error) => return Err(error),
    };
    let size_bytes = file.metadata()?.len();
    let container = path.to_str().and_then(Container::of_name);
    // A file without even a header has nothing in it that could be heard.
    let Some((units, start)) = container.map(|container| units_in(container, &file)).transpose()?.flatten()
    else {
        return Ok((0, size_bytes));
    };
    let Some(repair) = units.repair(&start, size_bytes) else { return Ok((0, size_bytes)) };
    if let Some(patch) = &repair.patch {
        file.write_all_at(&patch.bytes, patch.offset)?;
    }
    file.set_len(repair.length)?;
    file.sync_all()?;
    Ok((repair.duration_ms, repair.length))
}

/// How long the sound in a file is that grows no more, in ms; none for what is not of the container.
pub(crate) fn duration_ms(container: Container, file: &File) -> io::Result<Option<u64>> {
    Ok(units_in(container, file)?.map(|(units, _)| units.duration_ms()))
}

/// The units of a file that grows no more, and how it starts.
fn units_in(container: Container, file: &File) -> io::Result<Option<(Units, Vec<u8>)>> {
    let size_bytes = file.metadata()?.len();
    let mut start = vec![0; (HEADER_LEN as u64).min(size_bytes) as usize];
    file.read_exact_at(&mut start, 0)?;
    let Some(mut units) = container.units_of(&start) else { return Ok(None) };
    let mut looking = true;
    while looking {
        let bytes = read_range(file, units.wanted(size_bytes))?;
        looking = units.see(size_bytes, &bytes, u64::MAX, true);
    }
    Ok(Some((units, start)))
}

/// The bytes of a part of a file that is there.
pub(crate) fn read_range(file: &File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut bytes, range.start)?;
    Ok(bytes)
}

fn none_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        result => result,
    }
}

fn read_sheet(path: &Path) -> Option<Sheet> {
    serde_json::from_slice(&fs::read(path).ok()?).ok()
}

fn is_stored(path: &Path) -> bool {
    matches!(read_sheet(path), Some(Sheet::Ended(Finished { stored: true, .. })))
}

fn waits(path: &Path) -> Option<Spooled> {
    if !path.extension().is_some_and(|ending| ending == "json" || ending == "acked") {
        return None;
    }
    let (id, file, tracks, ended) = match read_sheet(path)? {
        Sheet::Open { id, file, tracks } => (id, file, tracks, false),
        Sheet::Ended(finished) if !finished.stored => (finished.id, finished.file, finished.tracks, true),
        Sheet::Ended(_) => return None,
    };
    // With its end the sheet was written for the last time.
    let written = || fs::metadata(path).and_then(|sheet| sheet.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
    let ended_at = ended.then(written);
    Some(Spooled { id, files: std::iter::once(file).chain(tracks).collect(), ended_at })
}

/// As it is in the names of recordings.
pub(crate) fn date(unix_ms: u64) -> io::Result<String> {
    let at = jiff::Timestamp::from_millisecond(unix_ms as i64).map_err(io::Error::other)?;
    Ok(at.strftime("%Y-%m-%d").to_string())
}
