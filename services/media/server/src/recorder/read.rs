//! Files of ended recordings: read and deleted.

use std::io::{self, SeekFrom};
use std::path::{Component, Path};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt as _};
use sidetone_record_core::Container;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use super::RecorderHandle;
use crate::error::MediaError;

/// A file on its way out.
pub(crate) struct FileBytes {
    pub(crate) size_bytes: u64,
    pub(crate) content_type: &'static str,
    pub(crate) parts: BoxStream<'static, Result<Bytes, MediaError>>,
}

/// Bytes read at once.
const PART: usize = 64 * 1024;

impl RecorderHandle {
    /// The name of one of a recording's files: of an ended one by its track, of an acknowledged one as it was told.
    pub(crate) fn file_of(&self, id: &str, track: u32, told: &str) -> Result<String, MediaError> {
        if !told.is_empty() {
            return if is_of(told, id) { Ok(told.into()) } else { Err(MediaError::NotFound("file")) };
        }
        let finished = self.finished(id).ok_or(MediaError::NotFound("recording"))?;
        let found = if track == 0 {
            Some(finished.file)
        } else {
            finished.tracks.into_iter().nth(track as usize - 1)
        };
        found.ok_or(MediaError::NotFound("track"))
    }

    /// A file of the spool or of the bucket from an offset on.
    pub(crate) async fn read(&self, name: &str, offset: u64) -> Result<FileBytes, MediaError> {
        match (self.read_spool(name, offset).await, &self.bucket) {
            (Err(MediaError::NotFound(_)), Some(bucket)) => bucket.read(name, offset).await,
            (read, _) => read,
        }
    }

    async fn read_spool(&self, name: &str, offset: u64) -> Result<FileBytes, MediaError> {
        let failed = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound => MediaError::NotFound("file"),
            _ => MediaError::Io { what: "reading a recording", problem: error.to_string() },
        };
        let mut file = tokio::fs::File::open(self.spool.path(name)).await.map_err(failed)?;
        let size_bytes = file.metadata().await.map_err(failed)?.len();
        if offset > size_bytes {
            return Err(MediaError::Invalid { field: "offset", problem: "is behind the end of the file" });
        }
        file.seek(SeekFrom::Start(offset)).await.map_err(failed)?;
        let parts = stream::unfold(Some(file), move |file| async move {
            let mut file = file?;
            let mut part = vec![0; PART];
            match file.read(&mut part).await {
                Ok(0) => None,
                Ok(length) => {
                    part.truncate(length);
                    Some((Ok(Bytes::from(part)), Some(file)))
                }
                Err(error) => Some((Err(failed(error)), None)),
            }
        });
        Ok(FileBytes { size_bytes, content_type: content_type(name), parts: parts.boxed() })
    }

    /// Takes files of an ended recording away, and its sheet.
    pub(crate) async fn delete(&self, id: &str, told: &[String]) -> Result<Vec<String>, MediaError> {
        if told.iter().any(|name| !is_of(name, id)) {
            return Err(MediaError::Invalid { field: "files", problem: "are not of this recording" });
        }
        let mut names = told.to_vec();
        if let Some(finished) = self.finished(id) {
            names.extend(std::iter::once(finished.file).chain(finished.tracks));
        }
        for name in &names {
            match tokio::fs::remove_file(self.spool.path(name)).await {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(MediaError::Io { what: "deleting a recording", problem: error.to_string() });
                }
                _ => {}
            }
            if let Some(bucket) = &self.bucket {
                bucket.delete(name).await?;
            }
        }
        self.acknowledge(id).await?;
        let (spool, owned) = (self.spool.clone(), id.to_owned());
        // What is no longer there must not be uploaded either.
        let removed = tokio::task::spawn_blocking(move || spool.remove(&owned)).await;
        removed.map_err(|_| MediaError::Stopping)?.map_err(|error| MediaError::Io {
            what: "removing a recording's sheet",
            problem: error.to_string(),
        })?;
        Ok(names)
    }
}

/// What a file is, by its name.
pub(crate) fn content_type(name: &str) -> &'static str {
    Container::of_name(name).map_or("application/octet-stream", Container::content_type)
}

/// Whether a name that came from outside can be that of a recording's file, and lies in the folder.
fn is_of(name: &str, id: &str) -> bool {
    let path = Path::new(name);
    let inside = path.components().all(|part| matches!(part, Component::Normal(_)));
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    inside && !id.is_empty() && file.strip_prefix(id).is_some_and(|rest| rest.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_recording_are_touched() {
        assert!(is_of("demo/2026-11-21/abc.wav", "abc"));
        assert!(is_of("demo/2026-11-21/abc.3.mp3", "abc"));
        for (name, id) in [
            ("/etc/abc.wav", "abc"),
            ("../abc.wav", "abc"),
            ("demo/abcd.wav", "abc"),
            ("a/.wav", ""),
            ("", ""),
        ] {
            assert!(!is_of(name, id), "{name} {id}");
        }
    }
}
