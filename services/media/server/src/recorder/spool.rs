//! Where recordings lie, and the sheets that outlive the process that writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use sidetone_record_core::{Container, HEADER_LEN};

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
}

/// A recording that is not in the bucket as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Spooled {
    pub(crate) id: String,
    pub(crate) files: Vec<String>,
    pub(crate) ended: bool,
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

impl Spool {
    pub(super) fn new(folder: PathBuf, node_id: &str, uploads: bool) -> Self {
        let sheets = folder.join(".spool").join(node_id);
        Self { folder, sheets, uploads, changing: Arc::default() }
    }

    /// The name of a recording's first file, relative to the folder.
    pub(super) fn name(new: &NewRecording, unix_ms: u64) -> io::Result<String> {
        Ok(format!("{}/{}/{}.{}", new.tenant, date(unix_ms)?, new.id, new.container.extension()))
    }

    /// Makes a new file.
    pub(super) fn create(&self, name: &str) -> io::Result<File> {
        let path = self.folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// Notes which files a running recording has.
    pub(super) fn open(&self, id: &str, file: &str, tracks: &[String]) -> io::Result<()> {
        self.put(id, &Sheet::Open { id: id.into(), file: file.into(), tracks: tracks.into() })
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
            match self.adopt_sheet(&path) {
                Ok(Some(recording)) => finished.push(recording),
                Ok(None) => {}
                Err(error) => {
                    tracing::error!(sheet = %path.display(), %error, "a recording cannot be adopted")
                }
            }
        }
        finished.sort_by(|a, b| a.id.cmp(&b.id));
        finished
    }

    fn adopt_sheet(&self, path: &Path) -> io::Result<Option<Finished>> {
        if path.extension().is_none_or(|ending| ending != "json") {
            return Ok(None);
        }
        match serde_json::from_slice(&fs::read(path)?)? {
            Sheet::Ended(finished) => Ok(Some(finished)),
            Sheet::Open { id, file, tracks } => {
                let failure = Some("the process that recorded ended".to_owned());
                let (mut duration_ms, mut size_bytes) = (0, 0);
                for name in std::iter::once(&file).chain(&tracks) {
                    let (duration, size) = self.repair(name)?;
                    duration_ms = duration_ms.max(duration);
                    size_bytes += size;
                }
                let stored = false;
                let finished = Finished { id, file, tracks, duration_ms, size_bytes, failure, stored };
                self.end(&finished)?;
                tracing::info!(recording = finished.id, "recording of an ended process adopted");
                Ok(Some(finished))
            }
        }
    }

    /// Makes a left-behind file whole; its length in ms and in bytes.
    fn repair(&self, name: &str) -> io::Result<(u64, u64)> {
        let mut file = match OpenOptions::new().read(true).write(true).open(self.folder.join(name)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((0, 0)),
            Err(error) => return Err(error),
        };
        let size_bytes = file.metadata()?.len();
        let mut start = Vec::new();
        (&mut file).take(HEADER_LEN as u64).read_to_end(&mut start)?;
        // A file without even a header has nothing in it that could be heard.
        let units = Container::of_name(name).and_then(|container| container.units_of(&start));
        let Some(mut units) = units else { return Ok((0, size_bytes)) };
        let mut looking = true;
        while looking {
            let bytes = read_range(&file, units.wanted(size_bytes))?;
            looking = units.see(size_bytes, &bytes, u64::MAX, true);
        }
        let Some(repair) = units.repair(&start, size_bytes) else { return Ok((0, size_bytes)) };
        if let Some(patch) = &repair.patch {
            file.write_all_at(&patch.bytes, patch.offset)?;
        }
        file.set_len(repair.length)?;
        file.sync_all()?;
        Ok((repair.duration_ms, repair.length))
    }

    /// Whole or not at all: a sheet that was cut would lose its recording.
    fn put(&self, id: &str, sheet: &Sheet) -> io::Result<()> {
        fs::create_dir_all(&self.sheets)?;
        let draft = self.sheets.join(format!("{id}.draft"));
        fs::write(&draft, serde_json::to_vec(sheet)?)?;
        fs::rename(draft, self.sheet(id))
    }

    fn acknowledged(&self, id: &str) -> PathBuf {
        self.sheets.join(format!("{id}.acked"))
    }

    fn sheet(&self, id: &str) -> PathBuf {
        self.sheets.join(format!("{id}.json"))
    }
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
    Some(Spooled { id, files: std::iter::once(file).chain(tracks).collect(), ended })
}

fn date(unix_ms: u64) -> io::Result<String> {
    let at = jiff::Timestamp::from_millisecond(unix_ms as i64).map_err(io::Error::other)?;
    Ok(at.strftime("%Y-%m-%d").to_string())
}
