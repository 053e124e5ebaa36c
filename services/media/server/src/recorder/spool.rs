//! Where recordings lie, and the sheets that outlive the process that writes them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sidetone_record_core::{Container, HEADER_LEN};

use crate::recorder::{Finished, NewRecording};

/// The folder of recordings with this node's sheets.
#[derive(Debug, Clone)]
pub(super) struct Spool {
    folder: PathBuf,
    sheets: PathBuf,
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
    pub(super) fn new(folder: PathBuf, node_id: &str) -> Self {
        let sheets = folder.join(".spool").join(node_id);
        Self { folder, sheets }
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
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Notes the end of a recording.
    pub(super) fn end(&self, finished: &Finished) -> io::Result<()> {
        self.put(&finished.id, &Sheet::Ended(finished.clone()))
    }

    /// Forgets the sheet of a recording.
    pub(super) fn remove(&self, id: &str) -> io::Result<()> {
        match fs::remove_file(self.sheet(id)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            result => result,
        }
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
                let finished = Finished { id, file, tracks, duration_ms, size_bytes, failure };
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
        let repair = Container::of_name(name).and_then(|container| container.repair(&start, size_bytes));
        let Some(repair) = repair else { return Ok((0, size_bytes)) };
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

    fn sheet(&self, id: &str) -> PathBuf {
        self.sheets.join(format!("{id}.json"))
    }
}

fn date(unix_ms: u64) -> io::Result<String> {
    let at = jiff::Timestamp::from_millisecond(unix_ms as i64).map_err(io::Error::other)?;
    Ok(at.strftime("%Y-%m-%d").to_string())
}
