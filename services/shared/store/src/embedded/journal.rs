//! The journal: a file beside the store in which every batch of changes is durable before it is made in the tables.
//!
//! One sync of a few kilobytes at the end of what has been written is all that a change waits for; the tables' own
//! commit, which writes a dozen pages for the smallest change, is made durable for many batches at once (a
//! *checkpoint*). After that the journal begins again at its start. It is written over and not cut off, so that a sync
//! need not change the file's length.
//!
//! A record is a length and a check sum (32 bits each), the number of the batch and a name of the store (64 bits each,
//! little-endian), and the batch. Numbers grow by one for ever, so a record that an earlier round has left behind is
//! told from one that follows. What a crash has torn is never acknowledged: it ends the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use crc_fast::{CrcAlgorithm, Digest};

/// The file and the place in it.
#[derive(Debug)]
pub(super) struct Journal {
    file: File,
    /// Which store it belongs to.
    store: u64,
    /// The number of the last batch that is in it, or of the last one that is in the tables for good.
    last: u64,
    /// Where the next record goes.
    end: u64,
    /// A record at `end` that has been written and not been kept yet.
    pending: u64,
}

/// One batch that the journal still holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Held {
    pub(super) number: u64,
    pub(super) batch: Vec<u8>,
}

impl Journal {
    /// Opens or makes the journal of the store in the file `of`, whose tables hold everything up to the batch `held`
    /// for good. Returns also what the journal holds beyond that, in order. That it begins with a later one than the next
    /// cannot be as long as both files stay together.
    pub(super) fn open(of: &Path, store: u64, held: u64) -> io::Result<(Self, Vec<Held>)> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path(of))?;
        let folder = of.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()?;
        let length = file.metadata()?.len();
        let mut journal = Self { file, store, last: held, end: 0, pending: 0 };
        let mut ahead = Vec::new();
        let mut at = 0;
        let mut previous = None;
        while let Some(record) = journal.read(at, length)? {
            if previous.is_some_and(|previous: u64| record.number != previous + 1) {
                break;
            }
            previous = Some(record.number);
            at += HEADER + record.batch.len() as u64;
            if record.number > journal.last {
                (journal.last, journal.end) = (record.number, at);
                ahead.push(record);
            }
        }
        Ok((journal, ahead))
    }

    /// Makes a batch durable and returns its number. It counts when it is kept; else the next one takes its place.
    pub(super) fn write(&mut self, batch: &[u8]) -> io::Result<u64> {
        let number = self.last + 1;
        let length = u32::try_from(batch.len()).map_err(io::Error::other)?;
        let mut record = Vec::with_capacity(HEADER as usize + batch.len());
        record.extend(length.to_le_bytes());
        record.extend(check_sum(number, self.store, batch).to_le_bytes());
        record.extend(number.to_le_bytes());
        record.extend(self.store.to_le_bytes());
        record.extend(batch);
        self.file.write_all_at(&record, self.end)?;
        self.file.sync_data()?;
        self.pending = record.len() as u64;
        Ok(number)
    }

    /// The batch that was written last has been made.
    pub(super) fn keep(&mut self) {
        self.last += 1;
        self.end += std::mem::take(&mut self.pending);
    }

    /// The batch that was written last could not be made: it is wiped out.
    pub(super) fn take_back(&mut self) -> io::Result<()> {
        self.pending = 0;
        self.file.write_all_at(&[0; HEADER as usize], self.end)?;
        self.file.sync_data()
    }

    /// Everything is in the tables for good.
    pub(super) fn begin_again(&mut self) {
        self.end = 0;
    }

    /// The record at a place; none where there is no whole one of this store.
    fn read(&self, at: u64, length: u64) -> io::Result<Option<Held>> {
        if at + HEADER > length {
            return Ok(None);
        }
        let mut header = [0; HEADER as usize];
        self.file.read_exact_at(&mut header, at)?;
        let [size, sum] = [0, 4].map(|from| word(&header[from..from + 4]));
        let [number, store] = [8, 16].map(|from| word(&header[from..from + 8]));
        if store != self.store || at + HEADER + size > length {
            return Ok(None);
        }
        let mut batch = vec![0; size as usize];
        self.file.read_exact_at(&mut batch, at + HEADER)?;
        let whole = u64::from(check_sum(number, store, &batch)) == sum;
        Ok(whole.then_some(Held { number, batch }))
    }
}

/// Where the journal of a store is.
pub(super) fn path(of: &Path) -> PathBuf {
    let mut name = of.as_os_str().to_owned();
    name.push(".journal");
    name.into()
}

fn check_sum(number: u64, store: u64, batch: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32Iscsi);
    digest.update(&number.to_le_bytes());
    digest.update(&store.to_le_bytes());
    digest.update(batch);
    digest.finalize() as u32
}

/// A little-endian number of up to eight bytes.
fn word(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte))
}

/// Length, check sum, number, store.
const HEADER: u64 = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn held(numbers: impl IntoIterator<Item = u64>) -> Vec<Held> {
        numbers.into_iter().map(|number| Held { number, batch: content(number) }).collect()
    }

    fn content(number: u64) -> Vec<u8> {
        vec![number as u8; number as usize % 100]
    }

    fn write(journal: &mut Journal, numbers: impl IntoIterator<Item = u64>) {
        for number in numbers {
            assert_eq!(journal.write(&content(number)).unwrap(), number);
            journal.keep();
        }
    }

    #[test]
    fn what_was_written_is_read_back_and_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let of = folder.path().join("store");
        let (mut journal, nothing) = Journal::open(&of, 7, 0).unwrap();
        assert_eq!(nothing, []);
        write(&mut journal, 1..=3);
        let (mut journal, ahead) = Journal::open(&of, 7, 1).unwrap();
        assert_eq!(ahead, held(2..=3), "the tables have the first one already");
        write(&mut journal, [4]);
        assert_eq!(Journal::open(&of, 7, 0).unwrap().1, held(1..=4));
        assert_eq!(Journal::open(&of, 8, 0).unwrap().1, [], "the journal of another store");
    }

    #[test]
    fn after_a_checkpoint_older_rounds_are_told_from_newer() {
        let folder = tempfile::tempdir().unwrap();
        let of = folder.path().join("store");
        let (mut journal, _) = Journal::open(&of, 7, 0).unwrap();
        for round in 0..20 {
            write(&mut journal, round * 10 + 1..=round * 10 + 10);
            journal.begin_again();
            write(&mut journal, []);
            assert_eq!(Journal::open(&of, 7, round * 10 + 10).unwrap().1, []);
        }
        write(&mut journal, 201..=203);
        assert_eq!(Journal::open(&of, 7, 200).unwrap().1, held(201..=203));
    }

    #[test]
    fn a_batch_that_was_taken_back_is_not_there() {
        let folder = tempfile::tempdir().unwrap();
        let of = folder.path().join("store");
        let (mut journal, _) = Journal::open(&of, 7, 0).unwrap();
        write(&mut journal, [1]);
        journal.write(b"this cannot be made").unwrap();
        journal.take_back().unwrap();
        assert_eq!(Journal::open(&of, 7, 0).unwrap().1, held([1]));
        write(&mut journal, [2]);
        assert_eq!(Journal::open(&of, 7, 0).unwrap().1, held([1, 2]));
    }

    #[test]
    fn a_batch_that_was_not_kept_makes_place_for_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let of = folder.path().join("store");
        let (mut journal, _) = Journal::open(&of, 7, 0).unwrap();
        assert_eq!(journal.write(b"this is not kept").unwrap(), 1);
        write(&mut journal, [1]);
        assert_eq!(Journal::open(&of, 7, 0).unwrap().1, held([1]));
    }

    #[test]
    fn wherever_a_crash_tears_it_whole_batches_are_read_and_no_more() {
        let folder = tempfile::tempdir().unwrap();
        let of = folder.path().join("store");
        let (mut journal, _) = Journal::open(&of, 7, 0).unwrap();
        write(&mut journal, 1..=5);
        let whole = std::fs::read(path(&of)).unwrap();
        let ends: Vec<u64> = (1..=5).map(|n| (1..=n).map(|n| HEADER + n % 100).sum()).collect();
        for cut in 0..whole.len() {
            let mut torn = whole.clone();
            torn.truncate(cut);
            // The file may have its length already, and not yet its content.
            torn.resize(whole.len(), 0);
            std::fs::write(path(&of), &torn).unwrap();
            let expected = ends.iter().filter(|end| **end <= cut as u64).count() as u64;
            assert_eq!(Journal::open(&of, 7, 0).unwrap().1, held(1..=expected), "cut at {cut}");
        }
    }
}
