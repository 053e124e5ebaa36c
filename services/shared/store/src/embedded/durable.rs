//! The tables together with the journal: a batch of changes is durable first, and then made.

use std::path::Path;
use std::sync::Arc;

use redb::{Database, Durability, ReadTransaction, ReadableDatabase as _};
use sidetone_model::time::Timestamp;

use super::change::{Batch, Change, Made, Outcome};
use super::journal::Journal;
use super::tables::{Place, Tables};
use super::{failure, reader};
use crate::clock::Clock;
use crate::error::StoreError;

/// What each change of a batch came to, and what all of them changed.
pub(super) type Committed = (Vec<Result<Made, StoreError>>, Outcome);

/// The tables as their only writer holds them.
pub(super) struct Durable {
    database: Arc<Database>,
    clock: Clock,
    /// None for a store in memory, which is as durable as its process.
    journal: Option<Journal>,
    /// The last batch that is made.
    batch: u64,
    /// Bytes of batches since the last checkpoint.
    uncommitted: u64,
    /// Why nothing more can be made.
    broken: Option<StoreError>,
}

impl Durable {
    /// Opens the tables, and makes in them what the journal beside `file` holds beyond them.
    pub(super) fn open(
        database: Arc<Database>,
        file: Option<&Path>,
        clock: Clock,
    ) -> Result<Self, StoreError> {
        let place = place(&database, &clock)?;
        let mut durable =
            Self { database, clock, journal: None, batch: place.batch, uncommitted: 0, broken: None };
        let Some(file) = file else { return Ok(durable) };
        let opened = Journal::open(file, place.store, place.batch);
        let (journal, ahead) = opened.map_err(|error| unavailable(&error))?;
        if let Some(first) = ahead.first().filter(|first| first.number > place.batch + 1) {
            return Err(StoreError::Corrupt(format!(
                "the file ends with batch {}, its journal begins with {}: they were not copied at the same time",
                place.batch, first.number
            )));
        }
        for held in &ahead {
            let batch = Batch::decode(&held.batch).ok_or_else(|| {
                StoreError::Corrupt(format!(
                    "batch {} of the journal is of no release known here",
                    held.number
                ))
            })?;
            durable.make(batch.now, &batch.changes)?;
        }
        durable.journal = Some(journal);
        if !ahead.is_empty() {
            tracing::info!(batches = ahead.len(), "taken from the journal");
            durable.checkpoint()?;
        }
        Ok(durable)
    }

    /// Makes a batch durable, and then visible. A failure of the journal refuses this batch alone; one of the tables
    /// leaves them [broken](Self::broken).
    pub(super) fn commit(&mut self, changes: &[Change]) -> Result<Committed, StoreError> {
        let now = self.clock.now();
        let bytes = match &mut self.journal {
            Some(journal) => {
                let batch = Batch::encode(now, changes);
                journal.write(&batch).map_err(|error| unavailable(&error))?;
                batch.len()
            }
            None => changes.iter().map(Change::bytes).sum(),
        };
        let made = self.make(now, changes);
        match (&made, &mut self.journal) {
            (Ok(_), Some(journal)) => journal.keep(),
            (Err(error), journal) => {
                self.broken = Some(error.clone());
                // It was refused, and must not come back at the next start; if this fails too, its fate is open.
                let _ = journal.as_mut().map(Journal::take_back);
            }
            (Ok(_), None) => {}
        }
        self.uncommitted += bytes as u64 + 1;
        made
    }

    /// Why the tables cannot be written any more. The engine takes no change after a failure of its file, also when that
    /// is well again; opened anew, the store is what the journal says.
    pub(super) fn broken(&self) -> Option<&StoreError> {
        self.broken.as_ref()
    }

    /// Makes the tables themselves durable, after which the journal is not needed any more. A failure leaves them
    /// [broken](Self::broken).
    pub(super) fn checkpoint(&mut self) -> Result<(), StoreError> {
        if let Err(error) = self.make_durable() {
            self.broken = Some(error.clone());
            return Err(error);
        }
        if let Some(journal) = &mut self.journal {
            journal.begin_again();
        }
        self.uncommitted = 0;
        Ok(())
    }

    fn make_durable(&self) -> Result<(), StoreError> {
        let mut transaction = self.database.begin_write().map_err(failure)?;
        transaction.set_durability(Durability::Immediate).map_err(failure)?;
        transaction.commit().map_err(failure)
    }

    /// Bytes of batches since the last checkpoint.
    pub(super) fn uncommitted(&self) -> u64 {
        self.uncommitted
    }

    /// The state as it is now.
    pub(super) fn view(&self) -> Result<ReadTransaction, StoreError> {
        self.database.begin_read().map_err(failure)
    }

    /// Whether a sweep would find something.
    pub(super) fn has_expired(&self) -> bool {
        reader::has_expired(&self.database, self.clock.now()).unwrap_or(true)
    }

    fn make(&mut self, now: Timestamp, changes: &[Change]) -> Result<Committed, StoreError> {
        let mut transaction = self.database.begin_write().map_err(failure)?;
        transaction.set_durability(Durability::None).map_err(failure)?;
        let mut tables = Tables::open(&transaction, now)?;
        let mut outcome = Outcome::default();
        let results = changes.iter().map(|change| change.apply(&mut tables, &mut outcome));
        let results = results.collect::<Result<Vec<_>, StoreError>>()?;
        tables.finish(self.batch + 1)?;
        transaction.commit().map_err(failure)?;
        self.batch += 1;
        Ok((results, outcome))
    }
}

/// Makes the tables if there are none, and reads where the journal has to go on.
fn place(database: &Database, clock: &Clock) -> Result<Place, StoreError> {
    let transaction = database.begin_write().map_err(failure)?;
    let mut tables = Tables::open(&transaction, clock.now())?;
    let place = tables.place(name())?;
    tables.finish(place.batch)?;
    transaction.commit().map_err(failure)?;
    Ok(place)
}

/// A name that no other store has, by which the journal is known to belong to this one.
fn name() -> u64 {
    use std::hash::BuildHasher as _;
    std::hash::RandomState::new().hash_one(std::time::SystemTime::now())
}

fn unavailable(error: &std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("the store's journal: {error}"))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::sync::atomic::{AtomicBool, Ordering};

    use bytes::Bytes;

    use super::super::journal;
    use super::*;
    use crate::contract::{Append, Expect, Sequence};

    fn open(file: &Path) -> Result<Durable, StoreError> {
        let database = Database::create(file).unwrap();
        Durable::open(Arc::new(database), Some(file), Clock::system())
    }

    fn changes(n: u64) -> [Change; 2] {
        let append = Append {
            stream: "s".into(),
            expected_last: Sequence(n),
            idempotency_key: n.to_string(),
            record: Bytes::from(vec![n as u8; 100]),
        };
        let (key, value) = (format!("k{}", n % 3), Bytes::from(n.to_string()));
        [Change::Append(append), Change::Put { key, value, expires_at: None, expect: Expect::Any }]
    }

    /// What a process would find that is started after this one was killed now.
    fn after_a_kill(file: &Path) -> Durable {
        let found = file.with_extension("found");
        std::fs::copy(file, &found).unwrap();
        std::fs::copy(journal::path(file), journal::path(&found)).unwrap();
        open(&found).unwrap()
    }

    #[test]
    fn a_kill_between_and_after_checkpoints_loses_nothing_and_makes_nothing_twice() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        let mut durable = open(&file).unwrap();
        for n in 0..12 {
            for result in durable.commit(&changes(n)).unwrap().0 {
                result.unwrap();
            }
            if n % 5 == 4 {
                durable.checkpoint().unwrap();
            }
            let found = after_a_kill(&file);
            let bounds = reader::bounds(&found.database, "s").unwrap();
            assert_eq!(bounds, (Sequence(1), Sequence(n + 1)));
            let value = reader::get(&found.database, &format!("k{}", n % 3), Timestamp::from_millis(1));
            let entry = value.unwrap().unwrap();
            assert_eq!((entry.value, entry.revision.0), (Bytes::from(n.to_string()), n + 1));
            assert_eq!(found.uncommitted(), 0);
        }
    }

    #[test]
    fn a_store_of_before_the_journal_is_taken_over() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        drop(open(&file).unwrap());
        let set_format = |format: u64| {
            let database = Database::create(&file).unwrap();
            let transaction = database.begin_write().unwrap();
            let meta = redb::TableDefinition::<&str, u64>::new("meta");
            transaction.open_table(meta).unwrap().insert("format", format).unwrap();
            transaction.commit().unwrap();
        };
        set_format(1);
        open(&file).unwrap().commit(&changes(0)).unwrap();
        assert_eq!(reader::bounds(&open(&file).unwrap().database, "s").unwrap().1, Sequence(1));
        set_format(3);
        assert!(matches!(open(&file), Err(StoreError::Corrupt(_))), "written by a newer release");
    }

    /// A file whose disk can be full.
    #[derive(Debug)]
    struct Disk {
        file: redb::backends::FileBackend,
        full: Arc<AtomicBool>,
    }

    impl redb::StorageBackend for Disk {
        fn len(&self) -> std::io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.file.set_len(len)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            if self.full.load(Ordering::Relaxed) {
                return Err(std::io::ErrorKind::StorageFull.into());
            }
            self.file.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.file.write(offset, data)
        }
        fn close(&self) -> std::io::Result<()> {
            self.file.close()
        }
    }

    #[test]
    fn after_a_full_disk_a_new_start_has_all_that_was_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        let full = Arc::new(AtomicBool::new(false));
        let opened =
            OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&file).unwrap();
        let disk = Disk { file: redb::backends::FileBackend::new(opened).unwrap(), full: Arc::clone(&full) };
        let database = redb::Builder::new().create_with_backend(disk).unwrap();
        let mut durable = Durable::open(Arc::new(database), Some(&file), Clock::system()).unwrap();
        durable.commit(&changes(0)).unwrap();
        full.store(true, Ordering::Relaxed);
        durable.commit(&changes(1)).unwrap();
        assert!(durable.broken().is_none(), "the journal goes on");
        assert!(matches!(durable.checkpoint(), Err(StoreError::Unavailable(_))));
        assert!(durable.broken().is_some());
        full.store(false, Ordering::Relaxed);
        assert!(durable.commit(&changes(2)).is_err(), "the engine must be opened anew");
        drop(durable);

        let durable = open(&file).unwrap();
        assert_eq!(reader::bounds(&durable.database, "s").unwrap(), (Sequence(1), Sequence(2)));
    }

    #[test]
    fn a_journal_that_begins_after_the_end_of_its_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store");
        let mut durable = open(&file).unwrap();
        let old = std::fs::read(&file).unwrap();
        durable.commit(&changes(0)).unwrap();
        durable.checkpoint().unwrap();
        durable.commit(&changes(1)).unwrap();
        let (found, journal) = (folder.path().join("copied"), std::fs::read(journal::path(&file)).unwrap());
        std::fs::write(&found, old).unwrap();
        std::fs::write(journal::path(&found), journal).unwrap();
        let refused = open(&found).map(drop).unwrap_err();
        assert!(refused.to_string().contains("not copied at the same time"), "{refused}");
    }
}
