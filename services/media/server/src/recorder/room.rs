//! Room on the disk of recordings: how much there is, and which recordings are old enough to go.
//!
//! Below a watermark no recording is begun; those that run go on with what is left. What is named by a sheet (it runs, waits to be
//! acknowledged or to be uploaded) is never removed, whichever node of the folder has the sheet.

use std::collections::HashSet;
use std::fs::{self, DirEntry};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use sidetone_record_core::Container;
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::recorder::spool::Spool;

/// What is kept, and how much room is left for others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// After this time an ended recording is removed; none keeps all.
    pub(crate) keep: Option<Duration>,
    /// Below so many free bytes of the disk none is begun; 0 does not look.
    pub(crate) free_min: u64,
    /// Beyond so many bytes in the folder none is begun; 0 does not look.
    pub(crate) held_max: u64,
}

/// Looks after the room of one folder.
#[derive(Debug)]
pub(crate) struct Room {
    spool: Spool,
    bounds: Bounds,
    full: Arc<AtomicBool>,
    telemetry: Arc<Telemetry>,
}

/// What a walk through the folder found.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Walked {
    held_bytes: u64,
    removed: u64,
}

/// How often the disk is asked, and after how many times the folder is walked through.
const LOOK_EVERY: Duration = Duration::from_secs(5);
const WALK_EVERY: u32 = 12;
/// An empty folder of a day goes when nothing has been put there for so long: nobody is about to.
const DAY_OVER: Duration = Duration::from_secs(48 * 3600);

impl Room {
    pub(crate) fn new(
        spool: Spool,
        bounds: Bounds,
        full: Arc<AtomicBool>,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self { spool, bounds, full, telemetry }
    }

    /// Looks until `stopping`.
    pub(crate) async fn run(self, stopping: CancellationToken) {
        let this = Arc::new(self);
        let mut held_bytes = 0;
        for n in 0_u32.. {
            let looking = Arc::clone(&this);
            let walk = n % WALK_EVERY == 0;
            let looked = tokio::task::spawn_blocking(move || looking.look(walk, held_bytes)).await;
            held_bytes = looked.unwrap_or(held_bytes);
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    fn look(&self, walk: bool, mut held_bytes: u64) -> u64 {
        let media = &self.telemetry.media;
        if walk {
            match self.walk(SystemTime::now()) {
                Ok(walked) => {
                    held_bytes = walked.held_bytes;
                    media.recordings_held_bytes.set(held_bytes as i64);
                    media.recordings_removed.inc_by(walked.removed);
                }
                Err(error) => tracing::error!(%error, "the folder of recordings cannot be looked through"),
            }
        }
        let free_bytes = free_bytes(self.spool.folder());
        if let Some(free_bytes) = free_bytes {
            media.recordings_free_bytes.set(free_bytes as i64);
        }
        let Bounds { free_min, held_max, .. } = self.bounds;
        let full = free_bytes.is_some_and(|free| free < free_min) || (held_max > 0 && held_bytes > held_max);
        if self.full.swap(full, Ordering::Relaxed) != full {
            if full {
                tracing::error!(
                    free_bytes,
                    held_bytes,
                    "no recording is begun any more: the disk is nearly full"
                );
            } else {
                tracing::info!(free_bytes, held_bytes, "there is room for recordings again");
            }
        }
        held_bytes
    }

    /// Adds up what lies there, and removes what is old enough.
    fn walk(&self, now: SystemTime) -> io::Result<Walked> {
        // Twice: a sheet that goes over to another node in between is missed by one look at most.
        let mut needed = self.spool.needed();
        needed.extend(self.spool.needed());
        let mut walked = Walked::default();
        let root = self.spool.folder();
        for tenant in folders(root)? {
            for day in folders(&tenant.path())? {
                let quiet = age(&day, now).is_some_and(|age| age > DAY_OVER);
                self.walk_day(&day.path(), &needed, now, &mut walked)?;
                if quiet && self.bounds.keep.is_some() {
                    // One that is not empty stays.
                    let _ = fs::remove_dir(day.path());
                }
            }
        }
        Ok(walked)
    }

    fn walk_day(
        &self,
        day: &Path,
        needed: &HashSet<String>,
        now: SystemTime,
        walked: &mut Walked,
    ) -> io::Result<()> {
        let files = match fs::read_dir(day) {
            // Another node of the folder has just removed it, empty.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            files => files?,
        };
        for file in files.flatten() {
            let path = file.path();
            let name = path.strip_prefix(self.spool.folder()).ok().and_then(Path::to_str);
            let Some(name) = name.filter(|name| Container::of_name(name).is_some()) else { continue };
            let is_old = self.bounds.keep.is_some_and(|keep| age(&file, now).is_some_and(|age| age > keep));
            if is_old && !needed.contains(name) {
                match fs::remove_file(&path) {
                    Ok(()) => walked.removed += 1,
                    // Whoever asked for it, or another node of the folder, was first.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        tracing::warn!(%error, "an old recording cannot be removed");
                        walked.held_bytes += file.metadata().map_or(0, |data| data.len());
                    }
                }
            } else {
                walked.held_bytes += file.metadata().map_or(0, |data| data.len());
            }
        }
        Ok(())
    }
}

fn age(entry: &DirEntry, now: SystemTime) -> Option<Duration> {
    now.duration_since(entry.metadata().ok()?.modified().ok()?).ok()
}

/// The folders in one, but for the hidden one of the sheets.
fn folders(of: &Path) -> io::Result<Vec<DirEntry>> {
    let entries = match fs::read_dir(of) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let shown = |entry: &DirEntry| !entry.file_name().as_encoded_bytes().starts_with(b".");
    Ok(entries.flatten().filter(|entry| shown(entry) && entry.path().is_dir()).collect())
}

/// What a process may still write to the disk of a folder.
pub(super) fn free_bytes(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn room(folder: &Path, bounds: Bounds) -> Room {
        let spool = Spool::new(folder.to_owned(), "media-a", false);
        Room::new(spool, bounds, Arc::default(), Telemetry::new().unwrap())
    }

    fn file(folder: &Path, name: &str, age: Duration) {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, [0; 1000]).unwrap();
        fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn what_is_old_enough_and_needed_by_nobody_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        for (name, hours) in [
            ("demo/2026-11-20/old.wav", 49),
            ("demo/2026-11-20/old.1.wav", 49),
            ("demo/2026-11-20/waits.wav", 49),
            ("demo/2026-11-22/young.mp3", 47),
            ("demo/2026-11-22/notes.txt", 99),
        ] {
            file(folder.path(), name, HOUR * hours);
        }
        // Of another node: whoever has it, it is needed.
        let sheet = r#"{"state":"open","id":"waits","file":"demo/2026-11-20/waits.wav"}"#;
        fs::create_dir_all(folder.path().join(".spool/media-b")).unwrap();
        fs::write(folder.path().join(".spool/media-b/waits.acked"), sheet).unwrap();
        let bounds = Bounds { keep: None, free_min: 0, held_max: 0 };
        let all = room(folder.path(), bounds).walk(SystemTime::now()).unwrap();
        assert_eq!(all, Walked { held_bytes: 4000, removed: 0 }, "0 hours keep all");
        let two_days = room(folder.path(), Bounds { keep: Some(HOUR * 48), ..bounds });
        let walked = two_days.walk(SystemTime::now()).unwrap();
        assert_eq!(walked, Walked { held_bytes: 2000, removed: 2 });
        let there = |name: &str| folder.path().join(name).exists();
        assert!(there("demo/2026-11-20/waits.wav") && there("demo/2026-11-22/young.mp3"));
        assert!(there("demo/2026-11-22/notes.txt") && !there("demo/2026-11-20/old.1.wav"));
        fs::remove_file(folder.path().join(".spool/media-b/waits.acked")).unwrap();
        assert_eq!(two_days.walk(SystemTime::now()).unwrap(), Walked { held_bytes: 1000, removed: 1 });
    }

    #[test]
    fn what_cannot_be_removed_holds_up_nothing() {
        let folder = tempfile::tempdir().unwrap();
        // No file, and so none that can be removed as one.
        let odd = folder.path().join("demo/2026-11-19/odd.wav");
        fs::create_dir_all(&odd).unwrap();
        File::open(&odd).unwrap().set_modified(SystemTime::now() - HOUR * 72).unwrap();
        for n in 0..5 {
            file(folder.path(), &format!("demo/2026-11-{n}/old.wav"), HOUR * 49);
            file(folder.path(), &format!("demo/2026-11-19/{n}.wav"), HOUR * 49);
        }
        let bounds = Bounds { keep: Some(HOUR * 48), free_min: 0, held_max: 0 };
        assert_eq!(room(folder.path(), bounds).walk(SystemTime::now()).unwrap().removed, 10);
        assert!(odd.exists());
    }

    #[test]
    fn a_watermark_is_of_the_disk_or_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        file(folder.path(), "demo/2026-11-20/a.wav", HOUR);
        for (free_min, held_max, full) in
            [(0, 0, false), (1, 1000, false), (u64::MAX, 0, true), (0, 999, true), (1, 1_000_000, false)]
        {
            let room = room(folder.path(), Bounds { keep: None, free_min, held_max });
            room.look(true, 0);
            assert_eq!(room.full.load(Ordering::Relaxed), full, "{free_min} {held_max}");
        }
    }
}
