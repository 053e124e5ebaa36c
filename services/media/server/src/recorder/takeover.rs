//! Spools of processes that are gone, finished by the one that is there.
//!
//! A process locks its sheets (`.spool/NODE.lock`, by `flock`) for as long as it lives, however it ends. Whoever gets the lock of
//! another node's sheets moves them to its own, with which they are made whole, told, uploaded and acknowledged. Files of
//! recordings stay where they are: their names hold no node.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::recorder::Finished;
use crate::recorder::spool::Spool;

/// The lock of a node's own sheets.
#[derive(Debug, Default)]
pub(super) enum Lock {
    /// There is no folder yet in which to ask for it.
    #[default]
    Wanted,
    Held {
        /// Until it is dropped; none where the file system has no locks.
        _file: Option<File>,
        /// What the process before this one had left, until it is told of.
        adopted: Vec<Finished>,
    },
    /// This process records nothing any more.
    Ended,
}

/// For as long as it lives nobody takes over what this process records; the lock ends with the process at the latest.
#[derive(Debug)]
pub(super) struct Held(Arc<Mutex<Lock>>);

/// What became of asking for a lock.
enum Asked {
    /// None where the file system has no locks.
    Held(Option<File>),
    /// Its process lives, or it cannot be said.
    Taken,
}

/// How long a node waits for its own lock: the process before it may just be ending.
const OWN_WAIT: Duration = Duration::from_secs(10);
const OWN_STEP: Duration = Duration::from_millis(100);
/// Of a node that never had a lock (release 0.1) nothing may have been written for so long.
const QUIET: Duration = Duration::from_secs(120);
/// Sheets that are taken over at once; the rest is taken in the next round.
const AT_ONCE: usize = 1_000;
const TAKEN: &str = "another media node of this name records into this folder: media.node_id must differ";

impl Spool {
    /// Makes this process the one whose sheets these are. Where the folder cannot be made yet it is tried again before the first
    /// recording, and each time that others are looked for.
    ///
    /// # Errors
    /// When another process of the same name records into the same folder.
    pub(super) fn hold(&self) -> io::Result<Held> {
        let held = Held(Arc::clone(&self.lock));
        let mut waited = Duration::ZERO;
        loop {
            if let Err(error) = fs::create_dir_all(self.sheets()) {
                // A node that records nothing needs no folder; one that shall record tells it with the first recording.
                tracing::warn!(folder = %self.sheets().display(), %error, "nothing can be recorded here");
                return Ok(held);
            }
            if self.own()? {
                return Ok(held);
            }
            if waited >= OWN_WAIT {
                return Err(io::Error::other(TAKEN));
            }
            std::thread::sleep(OWN_STEP);
            waited += OWN_STEP;
        }
    }

    /// That nothing is written to a folder which others may take over.
    pub(super) fn need_lock(&self) -> io::Result<()> {
        if self.own()? { Ok(()) } else { Err(io::Error::other(TAKEN)) }
    }

    /// Whether this process has the lock of its sheets, now at the latest.
    fn own(&self) -> io::Result<bool> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        match *lock {
            Lock::Held { .. } => return Ok(true),
            Lock::Ended => return Ok(false),
            Lock::Wanted => {}
        }
        fs::create_dir_all(self.sheets())?;
        let Asked::Held(file) = ask(&lock_of(self.sheets()), true)? else { return Ok(false) };
        // Before anything of this process lies there.
        *lock = Lock::Held { _file: file, adopted: self.adopt() };
        Ok(true)
    }

    /// Takes over what this node's process before and other nodes have left that are gone. Their recordings that nobody has
    /// acknowledged are given once, made whole.
    pub(super) fn take_over(&self) -> Vec<Finished> {
        if !self.own().unwrap_or(false) {
            return Vec::new();
        }
        let mut finished = match &mut *self.lock.lock().unwrap_or_else(PoisonError::into_inner) {
            Lock::Held { adopted, .. } => std::mem::take(adopted),
            Lock::Wanted | Lock::Ended => Vec::new(),
        };
        finished.extend(self.take_over_others());
        finished
    }

    fn take_over_others(&self) -> Vec<Finished> {
        let Some(Ok(entries)) = self.sheets().parent().map(fs::read_dir) else { return Vec::new() };
        let mut moved = Vec::new();
        for folder in entries.flatten().map(|entry| entry.path()) {
            if folder == self.sheets() || !folder.is_dir() || moved.len() >= AT_ONCE {
                continue;
            }
            if let Err(error) = self.take_folder(&folder, &mut moved) {
                tracing::error!(folder = %folder.display(), %error, "a lost node's spool cannot be taken over");
            }
        }
        if moved.is_empty() {
            return Vec::new();
        }
        tracing::info!(recordings = moved.len(), "recordings of a node that is gone are taken over");
        let mut finished: Vec<Finished> =
            moved.iter().filter_map(|sheet| self.adopt_or_tell(sheet)).collect();
        finished.sort_by(|a, b| a.id.cmp(&b.id));
        finished
    }

    fn take_folder(&self, folder: &Path, moved: &mut Vec<PathBuf>) -> io::Result<()> {
        let lock = lock_of(folder);
        if !lock.exists() && !self.is_quiet(folder)? {
            return Ok(());
        }
        let Asked::Held(_file) = ask(&lock, false)? else { return Ok(()) };
        for sheet in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
            if moved.len() >= AT_ONCE {
                return Ok(());
            }
            let Some(name) = sheet.file_name() else { continue };
            let own = self.sheets().join(name);
            if sheet.extension().is_some_and(|ending| ending == "json" || ending == "acked") {
                // One that is here already was moved by a process that died before it had removed it there: never.
                fs::rename(&sheet, &own)?;
                moved.push(own);
            } else {
                // A draft: what it was to become is there, or not at all.
                fs::remove_file(&sheet)?;
            }
        }
        fs::remove_dir(folder)?;
        fs::remove_file(lock)
    }

    /// Whether nobody has written for a while to what these sheets name.
    fn is_quiet(&self, folder: &Path) -> io::Result<bool> {
        for sheet in fs::read_dir(folder)?.flatten().map(|entry| entry.path()) {
            for name in Self::files_of(&sheet) {
                let changed = fs::metadata(self.path(&name)).and_then(|file| file.modified());
                let age = changed.ok().and_then(|changed| changed.elapsed().ok());
                if age.is_some_and(|age| age < QUIET) {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Lock::Ended;
    }
}

fn lock_of(sheets: &Path) -> PathBuf {
    sheets.with_added_extension("lock")
}

/// Asks for a lock without waiting. Where the file system has no locks `without` says whether that is as good as having it.
fn ask(path: &Path, without: bool) -> io::Result<Asked> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Ok(Asked::Taken),
        Err(TryLockError::Error(error)) if without => {
            tracing::warn!(%error, "the folder of recordings has no locks: what other nodes leave there stays");
            return Ok(Asked::Held(None));
        }
        // Nobody can say whether its process lives.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
            return Ok(Asked::Taken);
        }
        Err(TryLockError::Error(error)) => return Err(error),
    }
    // Whoever took the folder over before may have removed the file in between: its lock is nobody's.
    let is_there = fs::metadata(path).is_ok_and(|there| {
        file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
    });
    Ok(if is_there { Asked::Held(Some(file)) } else { Asked::Taken })
}

#[cfg(test)]
mod tests {
    use sidetone_dsp::Rate;
    use sidetone_record_core::{Container, Form};

    use super::*;
    use crate::recorder::track::{Sound, Track};

    const OPEN: &str = r#"{"state":"open","id":"ID","file":"demo/2026-11-22/ID.wav"}"#;

    fn spool(folder: &Path, node: &str) -> Spool {
        Spool::new(folder.to_owned(), node, false)
    }

    /// A sheet of a recording of 3 s that nobody has ended.
    fn left(folder: &Path, spool: &Spool, id: &str) {
        let file = folder.join(format!("demo/2026-11-22/{id}.wav"));
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        let mut track =
            Track::new(id.into(), File::create(&file).unwrap(), Container::Wav, Form::new(1, Rate::Narrow))
                .unwrap();
        track.write(Sound::Samples(vec![7; 24_000])).unwrap();
        fs::create_dir_all(spool.sheets()).unwrap();
        fs::write(spool.sheets().join(format!("{id}.json")), OPEN.replace("ID", id)).unwrap();
    }

    #[test]
    fn what_a_node_left_is_finished_by_the_next_whatever_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (spool(folder.path(), "media-a"), spool(folder.path(), "media-b"));
        let (held, own) = (first.hold().unwrap(), second.hold().unwrap());
        left(folder.path(), &first, "r1");
        assert_eq!(second.take_over(), [], "its process lives");
        assert!(first.sheets().join("r1.json").exists());
        fs::write(first.sheets().join("r2.acked"), OPEN.replace("ID", "r2")).unwrap();
        fs::write(first.sheets().join("r3.draft"), "{").unwrap();
        drop(held);
        let finished = second.take_over();
        let [recording] = &finished[..] else { panic!("{finished:?}") };
        assert_eq!((recording.id.as_str(), recording.duration_ms), ("r1", 3000));
        assert!(!first.sheets().exists() && second.sheets().join("r2.acked").exists());
        assert_eq!(second.take_over(), [], "it was told of once");
        assert_eq!(second.adopt(), finished, "until it is acknowledged");
        // The next of the first one's name begins anew, and nobody takes what it has.
        let first = spool(folder.path(), "media-a");
        let _again = first.hold().unwrap();
        left(folder.path(), &first, "r4");
        assert_eq!(second.take_over(), []);
        drop(own);
    }

    #[test]
    fn a_file_of_any_rate_is_as_long_as_it_says_itself() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), "media-a");
        let _own = spool.hold().unwrap();
        for (container, held_ms) in [(Container::Wav, 0), (Container::Flac, 67), (Container::OggOpus, 400)] {
            for rate in Rate::ALL {
                let id = format!("r{}", rate.hz());
                let name = format!("demo/{id}.{}", container.extension());
                let path = folder.path().join(&name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                let form = Form::new(1, rate);
                let file = File::create(&path).unwrap();
                let mut track = Track::new(id.clone(), file, container, form).unwrap();
                track.write(Sound::Samples(vec![7; form.samples(3_000) as usize])).unwrap();
                spool.open(&id, &name, &[]).unwrap();
                let adopted = spool.adopt().into_iter().find(|one| one.id == id).unwrap();
                let least = 3_000 - held_ms;
                assert!(
                    (least..=3_000).contains(&adopted.duration_ms),
                    "{rate:?} {container:?}: {adopted:?}"
                );
                spool.remove(&id).unwrap();
            }
        }
    }

    #[test]
    fn a_node_of_a_release_without_locks_is_left_alone_while_it_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (old, new) = (spool(folder.path(), "media-a"), spool(folder.path(), "media-b"));
        left(folder.path(), &old, "r1");
        let _own = new.hold().unwrap();
        assert_eq!(new.take_over(), []);
        let file = File::options().write(true).open(folder.path().join("demo/2026-11-22/r1.wav")).unwrap();
        file.set_modified(std::time::SystemTime::now() - 2 * QUIET).unwrap();
        assert_eq!(new.take_over().len(), 1);
    }

    #[test]
    fn a_folder_that_comes_late_is_held_before_anything_is_recorded_there() {
        let folder = tempfile::tempdir().unwrap();
        // As a volume that is not mounted yet: nothing can be made there.
        let place = folder.path().join("volume");
        fs::write(&place, "").unwrap();
        let (late, other) = (spool(&place, "media-a"), spool(&place, "media-b"));
        let held = late.hold().unwrap();
        assert!(late.create("demo/2026-11-22/r0.wav").is_err());
        fs::remove_file(&place).unwrap();
        left(&place, &late, "r1");
        late.create("demo/2026-11-22/r2.wav").unwrap();
        let _own = other.hold().unwrap();
        left(&place, &late, "r3");
        assert_eq!(other.take_over(), [], "its process lives");
        let told = late.take_over();
        let [before] = &told[..] else { panic!("{told:?}") };
        assert_eq!((before.id.as_str(), before.duration_ms), ("r1", 3000), "what was there before it came");
        drop(held);
        assert!(late.create("demo/2026-11-22/r4.wav").is_err(), "it has ended");
        let ids: Vec<String> = other.take_over().into_iter().map(|finished| finished.id).collect();
        assert_eq!(ids, ["r1", "r3"]);
    }

    #[test]
    fn a_sheet_that_nobody_can_read_is_told_of() {
        let folder = tempfile::tempdir().unwrap();
        let spool = spool(folder.path(), "media-a");
        let _own = spool.hold().unwrap();
        fs::write(spool.sheets().join("r1.json"), "{").unwrap();
        let finished = spool.adopt();
        assert_eq!((finished.len(), finished[0].id.as_str(), finished[0].duration_ms), (1, "r1", 0));
        assert!(finished[0].failure.is_some());
    }
}
