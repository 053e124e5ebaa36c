//! Whether recordings can be written where they are to be: found out before anybody speaks.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sidetone_runtime::config::ConfigError;

use crate::config::Config;
use crate::recorder::room::free_bytes;

/// Nothing can be written to the folder of recordings.
#[derive(Debug, thiserror::Error)]
#[error("media.recordings_dir {folder}: nothing can be recorded there", folder = .folder.display())]
pub struct FolderError {
    folder: PathBuf,
    source: io::Error,
}

/// Makes the folder and writes a file to it, which is gone afterwards. A disk that is full passes: that is looked after while the
/// node runs, and calls need no disk.
///
/// # Errors
/// When the folder cannot be made or nothing can be written to it.
pub(crate) fn prepare(folder: &Path) -> Result<(), FolderError> {
    match fs::create_dir_all(folder).and_then(|()| write_to(folder)) {
        Err(source) if !is_full(&source) => Err(FolderError { folder: folder.to_owned(), source }),
        _ => Ok(()),
    }
}

impl Config {
    /// Adds the addresses at which this machine hears nothing.
    pub fn check_addresses(&self, errors: &mut Vec<ConfigError>) {
        for (n, realm) in self.realms.iter().enumerate() {
            if let Err(problem) = UdpSocket::bind((realm.bind_ip, 0)) {
                let problem = format!("{}: nothing can be heard there: {problem}", realm.bind_ip);
                errors.push(ConfigError::new(format!("media.realms[{n}].bind_ip"), problem));
            }
        }
    }

    /// Adds what is wrong with the addresses and folders of this machine, which is a matter of where the configuration is read: that nothing can be
    /// written to the one of recordings, or that it has less room than is asked for. Makes no folder.
    pub fn check_machine(&self, errors: &mut Vec<ConfigError>) {
        self.check_addresses(errors);
        // What is not there yet is made in the nearest that is.
        let there = self.recordings_dir.ancestors().find(|folder| folder.exists());
        let folder = there.filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let shown = self.recordings_dir.display();
        if let Err(problem) = write_to(folder) {
            let problem = format!("{shown}: nothing can be recorded there: {problem}");
            errors.push(ConfigError::new("media.recordings_dir", problem));
            return;
        }
        let free_mb = free_bytes(folder).map(|bytes| bytes >> 20);
        if let Some(free_mb) = free_mb.filter(|free_mb| *free_mb < self.recordings_free_min_mb) {
            let problem = format!("{shown} has {free_mb} MB free: with less than this nothing is recorded");
            errors.push(ConfigError::new("media.recordings_free_min_mb", problem));
        }
    }
}

/// Writes, and waits until the disk has it.
fn write_to(folder: &Path) -> io::Result<()> {
    let path = folder.join(format!(".sidetone-writes-here-{}", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| file.write_all(b"sidetone").and_then(|()| file.sync_all()));
    // Of two that try at once in one folder, in containers with the same process ids, one has removed it for both.
    let removed = fs::remove_file(&path);
    let gone = |error: io::Error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) };
    written.and(removed.or_else(gone))
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(recordings_dir: &Path, recordings_free_min_mb: u64) -> Vec<String> {
        let config =
            Config { recordings_dir: recordings_dir.to_owned(), recordings_free_min_mb, ..Config::default() };
        let mut errors = Vec::new();
        config.check_machine(&mut errors);
        errors.into_iter().map(|error| format!("{}: {}", error.key, error.problem)).collect()
    }

    #[test]
    fn a_folder_is_made_when_the_node_starts_and_only_looked_at_before() {
        let folder = tempfile::tempdir().unwrap();
        let new = folder.path().join("a/b");
        assert_eq!(mistakes(&new, 0), [""; 0]);
        assert!(!new.exists() && fs::read_dir(folder.path()).unwrap().next().is_none());
        prepare(&new).unwrap();
        assert!(new.is_dir() && fs::read_dir(&new).unwrap().next().is_none());
    }

    #[test]
    fn what_cannot_be_written_to_is_told_with_its_key_and_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "x").unwrap();
        for bad in [Path::new("/proc/nope"), &file, &file.join("below")] {
            let told = prepare(bad).unwrap_err().to_string();
            assert!(told.contains("media.recordings_dir") && told.contains(bad.to_str().unwrap()), "{told}");
            let told = mistakes(bad, 0);
            assert!(told.len() == 1 && told[0].starts_with("media.recordings_dir: "), "{told:?}");
            assert!(told[0].contains(bad.to_str().unwrap()), "{told:?}");
        }
    }

    #[test]
    fn too_little_room_is_told_before_a_recording_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let told = mistakes(folder.path(), 100_000_000);
        assert!(told.len() == 1 && told[0].starts_with("media.recordings_free_min_mb: "), "{told:?}");
    }
}
