//! The embedded backend: one file on this machine with its journal, held by one process.
//!
//! Two kinds of threads own the file, and no call ever blocks a thread of the async runtime:
//!
//! - *One writer.* Everything that has arrived while it was busy goes into the next commit, which is durable before
//!   anybody is answered. There is no waiting for more to come: a lone write costs one sync of the journal, and under
//!   load a sync is shared by as many as arrived during the one before (at most 1024, or 8 MB). The tables follow at
//!   once for whoever reads, and on the disk at the next checkpoint (see `journal`; decision 57).
//! - *Two readers.* Each call sees the last durable state, so a caller always reads what it was told is written.
//!
//! Their queues are bounded; a caller waits while one is full.
//!
//! A watch begins in the writer thread, between two commits, with a view of the state at that moment; the changes that
//! follow wait in a bounded buffer (see `watchers`) while the snapshot is read. A tail keeps only its place: it is
//! woken after each commit and reads what is new, so it can be as slow as it likes.

mod change;
mod durable;
mod journal;
mod reader;
mod tables;
mod watchers;
mod writer;

use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use redb::backends::InMemoryBackend;
use redb::{Builder, Database};
use sidetone_model::classify::Classify as _;
use sidetone_model::time::Timestamp;
use sidetone_telemetry::Telemetry;
use tokio::sync::{mpsc, oneshot};

use crate::clock::Clock;
use crate::contract::{
    Append, Entry, Expect, Record, RecordStream, Revision, Sequence, Store, WatchEvent, WatchStream,
};
use crate::error::StoreError;
use crate::key::{check_append, check_key, check_prefix, check_value};
use durable::Durable;
use writer::{Command, Writer};

/// How an embedded store works. The default is right for everything but tests.
#[derive(Debug, Clone)]
pub struct Options {
    /// By which expiry is judged.
    pub clock: Clock,
    /// How often expired keys are removed from the file.
    pub sweep_interval: Duration,
    /// Memory for pages of the file, in bytes.
    pub cache_bytes: usize,
    /// Where the store counts.
    pub telemetry: Option<Arc<Telemetry>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            clock: Clock::system(),
            sweep_interval: Duration::from_secs(10),
            cache_bytes: 64 * 1024 * 1024,
            telemetry: None,
        }
    }
}

/// A store in one file, or in memory.
///
/// Dropping it ends its threads soon after; [`EmbeddedStore::close`] waits for that, after which the file can be
/// opened again.
#[derive(Debug)]
pub struct EmbeddedStore {
    shared: Arc<Shared>,
    ended: tokio::sync::Mutex<mpsc::Receiver<()>>,
    /// Its end ends the sweeper.
    sweeper: Mutex<Option<std::sync::mpsc::Sender<()>>>,
    failed: tokio::sync::watch::Receiver<Option<StoreError>>,
}

/// What calls and open tails need.
#[derive(Debug)]
struct Shared {
    writer: mpsc::Sender<Command>,
    readers: Vec<mpsc::Sender<Job>>,
    next_reader: AtomicUsize,
    clock: Clock,
    telemetry: Option<Arc<Telemetry>>,
}

/// What a reader thread is asked to do.
enum Job {
    Run(Reading),
    Close,
}

type Reading = Box<dyn FnOnce(&Arc<Database>) + Send>;

impl EmbeddedStore {
    /// Opens the file at `path`, or makes it and the folders above it. It is for the owner only (mode 0600), since it
    /// holds credentials. Blocks; after a crash for as long as the repair takes.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when the file cannot be opened or another process has it open,
    /// [`StoreError::Corrupt`] when it is not a store of this format.
    pub fn open(path: impl AsRef<Path>) -> Result<Arc<Self>, StoreError> {
        Self::open_with(path, Options::default())
    }

    /// Like [`EmbeddedStore::open`], with options.
    pub fn open_with(path: impl AsRef<Path>, options: Options) -> Result<Arc<Self>, StoreError> {
        let file = open_file(path.as_ref()).map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let database =
            Builder::new().set_cache_size(options.cache_bytes).create_file(file).map_err(failure)?;
        Self::start(database, Some(path.as_ref()), options)
    }

    /// A store that is gone with its process.
    pub fn in_memory() -> Result<Arc<Self>, StoreError> {
        Self::in_memory_with(Options::default())
    }

    /// Like [`EmbeddedStore::in_memory`], with options.
    pub fn in_memory_with(options: Options) -> Result<Arc<Self>, StoreError> {
        let database = Builder::new()
            .set_cache_size(options.cache_bytes)
            .create_with_backend(InMemoryBackend::new())
            .map_err(failure)?;
        Self::start(database, None, options)
    }

    fn start(database: Database, file: Option<&Path>, options: Options) -> Result<Arc<Self>, StoreError> {
        let database = Arc::new(database);
        let tables = Durable::open(database.clone(), file, options.clock.clone())?;
        let (alive, ended) = mpsc::channel(1);
        let (writer, commands) = mpsc::channel(QUEUE_MAX);
        let (failure_of_writer, failed) = tokio::sync::watch::channel(None);
        let thread = Writer::new(tables, options.telemetry.clone(), failure_of_writer);
        spawn("store-writer", alive.clone(), move || thread.run(commands))?;
        let mut readers = Vec::with_capacity(READERS);
        for _ in 0..READERS {
            let (reader, jobs) = mpsc::channel(QUEUE_MAX);
            let database = database.clone();
            spawn("store-reader", alive.clone(), move || run_jobs(database, jobs))?;
            readers.push(reader);
        }
        let (sweeper, stopped) = std::sync::mpsc::channel();
        let (sweeps, interval) = (writer.downgrade(), options.sweep_interval);
        spawn("store-sweeper", alive, move || run_sweeper(&stopped, &sweeps, interval))?;
        let shared = Shared {
            writer,
            readers,
            next_reader: AtomicUsize::new(0),
            clock: options.clock,
            telemetry: options.telemetry,
        };
        Ok(Arc::new(Self {
            shared: Arc::new(shared),
            ended: tokio::sync::Mutex::new(ended),
            sweeper: Mutex::new(Some(sweeper)),
            failed,
        }))
    }

    /// Ends the store: what was asked before is still done, what is asked after is refused as unavailable, watches and
    /// tails end. Returns when the file is free.
    pub async fn close(&self) {
        self.sweeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        let _ = self.shared.writer.send(Command::Close).await;
        for reader in &self.shared.readers {
            let _ = reader.send(Job::Close).await;
        }
        let _ = self.ended.lock().await.recv().await;
    }

    /// Waits until the store cannot go on, and tells why: a disk that is full or broken. All it is asked is refused then. A
    /// process that opens it anew goes on with all that was acknowledged. None when the store was closed instead.
    pub async fn failed(&self) -> Option<StoreError> {
        let mut failed = self.failed.clone();
        let failure = failed.wait_for(Option::is_some).await.ok()?;
        failure.clone()
    }

    /// Removes what has expired, now.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        self.shared.writer.send(Command::Sweep).await.map_err(|_| closed())
    }
}

impl Shared {
    /// Asks the writer and waits for its answer.
    async fn write<T>(&self, command: impl FnOnce(writer::Reply<T>) -> Command) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.writer.send(command(reply)).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Has a reader thread do something and waits for it.
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Arc<Database>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        let job = Job::Run(Box::new(move |database| {
            let _ = reply.send(job(database));
        }));
        let reader = self.next_reader.fetch_add(1, Ordering::Relaxed) % self.readers.len();
        self.readers[reader].send(job).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    async fn records(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        let stream = stream.to_owned();
        self.read(move |database| reader::read(database, &stream, from, limit)).await
    }

    fn count<T>(&self, operation: &'static str, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some(telemetry) = &self.telemetry {
            let reason = result.as_ref().err().map_or("ok", |e| e.reason());
            telemetry.store.requests.with_label_values(&[operation, reason]).inc();
        }
        result
    }

    fn open_watch(&self) -> OpenWatch {
        if let Some(telemetry) = &self.telemetry {
            telemetry.store.watchers.inc();
        }
        OpenWatch(self.telemetry.clone())
    }
}

#[async_trait::async_trait]
impl Store for EmbeddedStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        check_key(key)?;
        let (key, now) = (key.to_owned(), self.shared.clock.now());
        let result = self.shared.read(move |database| reader::get(database, &key, now)).await;
        self.shared.count("get", result)
    }

    async fn put(
        &self,
        key: &str,
        value: Bytes,
        expires_at: Option<Timestamp>,
        expect: Expect,
    ) -> Result<Revision, StoreError> {
        check_key(key)?;
        check_value(&value)?;
        let key = key.to_owned();
        let result = self.shared.write(|reply| Command::Put { key, value, expires_at, expect, reply }).await;
        self.shared.count("put", result)
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), StoreError> {
        check_key(key)?;
        let key = key.to_owned();
        let result = self.shared.write(|reply| Command::Delete { key, expect, reply }).await;
        self.shared.count("delete", result)
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Entry>, StoreError> {
        check_prefix(prefix)?;
        let (prefix, now) = (prefix.to_owned(), self.shared.clock.now());
        let result = self
            .shared
            .read(move |database| {
                use redb::ReadableDatabase as _;
                reader::list(&database.begin_read().map_err(failure)?, &prefix, now)
            })
            .await;
        self.shared.count("list", result)
    }

    async fn watch(&self, prefix: &str) -> Result<WatchStream, StoreError> {
        check_prefix(prefix)?;
        let wanted = prefix.to_owned();
        let begun = self.shared.write(|reply| Command::Watch { prefix: wanted, reply }).await;
        let (buffer, view) = self.shared.count("watch", begun)?;
        let (prefix, now) = (prefix.to_owned(), self.shared.clock.now());
        let snapshot = self.shared.read(move |_| reader::list(&view, &prefix, now)).await?;
        let open = self.shared.open_watch();
        let snapshot = snapshot.into_iter().map(WatchEvent::Put).chain([WatchEvent::Current]);
        let changes = futures_util::stream::unfold(Some((buffer, open)), |state| async move {
            let (buffer, open) = state?;
            match buffer.next().await {
                Ok(event) => Some((Ok(event), Some((buffer, open)))),
                Err(error) => Some((Err(error), None)),
            }
        });
        Ok(futures_util::stream::iter(snapshot.map(Ok)).chain(changes).boxed())
    }

    async fn append(&self, append: Append) -> Result<Sequence, StoreError> {
        check_append(&append)?;
        let result = self.shared.write(|reply| Command::Append { append, reply }).await;
        self.shared.count("append", result)
    }

    async fn read(&self, stream: &str, from: Sequence, limit: usize) -> Result<Vec<Record>, StoreError> {
        check_key(stream)?;
        let result = self.shared.records(stream, from, limit).await;
        self.shared.count("read", result)
    }

    async fn tail(&self, stream: &str, from: Sequence) -> Result<RecordStream, StoreError> {
        check_key(stream)?;
        let name = stream.to_owned();
        let followed = self.shared.write(|reply| Command::Follow { stream: name, reply }).await;
        let news = self.shared.count("tail", followed)?;
        let (first, _) = self.bounds(stream).await?;
        let from = Sequence(from.0.max(1));
        if from < first {
            return Err(StoreError::Trimmed { first });
        }
        let tail = Tail {
            shared: Arc::downgrade(&self.shared),
            stream: stream.to_owned(),
            next: from,
            read: Vec::new().into_iter(),
            news,
            _open: self.shared.open_watch(),
        };
        Ok(futures_util::stream::unfold(Some(tail), Tail::step).boxed())
    }

    async fn trim(&self, stream: &str, before: Sequence) -> Result<(), StoreError> {
        check_key(stream)?;
        let stream = stream.to_owned();
        let result = self.shared.write(|reply| Command::Trim { stream, before, reply }).await;
        self.shared.count("trim", result)
    }

    async fn bounds(&self, stream: &str) -> Result<(Sequence, Sequence), StoreError> {
        check_key(stream)?;
        let stream = stream.to_owned();
        let result = self.shared.read(move |database| reader::bounds(database, &stream)).await;
        self.shared.count("bounds", result)
    }
}

/// A reader's place in a stream. It does not keep the store open.
struct Tail {
    shared: Weak<Shared>,
    stream: String,
    next: Sequence,
    read: std::vec::IntoIter<Record>,
    /// Says that the stream has grown; ends with the store.
    news: tokio::sync::watch::Receiver<u64>,
    _open: OpenWatch,
}

impl Tail {
    /// The next record; after an error the end.
    async fn step(state: Option<Self>) -> Option<(Result<Record, StoreError>, Option<Self>)> {
        let mut tail = state?;
        match tail.next().await {
            Ok(record) => Some((Ok(record), Some(tail))),
            Err(error) => Some((Err(error), None)),
        }
    }

    async fn next(&mut self) -> Result<Record, StoreError> {
        loop {
            if let Some(record) = self.read.next() {
                self.next = Sequence(record.sequence.0 + 1);
                return Ok(record);
            }
            // Seen before reading: what is appended while we read wakes us again.
            self.news.mark_unchanged();
            let shared = self.shared.upgrade().ok_or_else(closed)?;
            let records = shared.records(&self.stream, self.next, TAIL_RECORDS).await?;
            drop(shared);
            if records.is_empty() {
                self.news.changed().await.map_err(|_| closed())?;
            }
            self.read = records.into_iter();
        }
    }
}

/// Counts a watch or tail for as long as it is open.
#[derive(Debug)]
struct OpenWatch(Option<Arc<Telemetry>>);

impl Drop for OpenWatch {
    fn drop(&mut self) {
        if let Some(telemetry) = &self.0 {
            telemetry.store.watchers.dec();
        }
    }
}

/// Runs the jobs of one reader thread until every sender is gone or the store is closed.
fn run_jobs(database: Arc<Database>, mut jobs: mpsc::Receiver<Job>) {
    while let Some(Job::Run(job)) = jobs.blocking_recv() {
        job(&database);
    }
}

/// Asks for a sweep at every interval until the store is gone. Skips one when the writer has more to do than it can.
fn run_sweeper(
    stopped: &std::sync::mpsc::Receiver<()>,
    sweeps: &mpsc::WeakSender<Command>,
    interval: Duration,
) {
    while stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout) {
        let Some(writer) = sweeps.upgrade() else { return };
        if let Err(mpsc::error::TrySendError::Closed(_)) = writer.try_send(Command::Sweep) {
            return;
        }
    }
}

/// Starts a thread that drops `alive` last of all.
fn spawn(name: &str, alive: mpsc::Sender<()>, run: impl FnOnce() + Send + 'static) -> Result<(), StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(move || {
            run();
            drop(alive);
        })
        .map(drop)
        .map_err(|e| StoreError::Unavailable(format!("no thread for the store: {e}")))
}

/// Opens or makes the file, and makes its name durable too.
fn open_file(path: &Path) -> std::io::Result<File> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    Ok(file)
}

/// What an error of the engine means to the caller.
fn failure(error: impl Into<redb::Error>) -> StoreError {
    match error.into() {
        redb::Error::DatabaseAlreadyOpen => {
            StoreError::Unavailable("another process has the store open".to_owned())
        }
        error @ (redb::Error::Io(_) | redb::Error::PreviousIo | redb::Error::DatabaseClosed) => {
            StoreError::Unavailable(error.to_string())
        }
        error => StoreError::Corrupt(error.to_string()),
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// How many calls wait for one thread before further callers wait themselves.
const QUEUE_MAX: usize = 4096;
const READERS: usize = 2;
/// How many records a tail reads at once.
const TAIL_RECORDS: usize = 256;
