//! The part of the spool that is on disk: a few files, the oldest of which goes when there are too many bytes.
//!
//! A file is a row of protobuf messages, each behind its length; one that was cut short by a crash is read as far as it goes.
//! Keys and answers to challenges are taken out before anything is written, and only the owner of the process may read them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::party::Flow;
use sidetone_proto::types::v1 as types;
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use super::ring::{Marker, Ring, Segment};
use super::{Record, lock};

/// What stands in a file.
#[derive(Clone, PartialEq, prost::Message)]
struct Entry {
    #[prost(uint64, tag = "1")]
    at_us: u64,
    #[prost(bool, tag = "2")]
    received: bool,
    #[prost(message, optional, tag = "3")]
    flow: Option<types::Flow>,
    #[prost(bytes = "bytes", tag = "4")]
    bytes: Bytes,
    #[prost(message, optional, tag = "5")]
    leg: Option<LegEntry>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LegEntry {
    #[prost(string, tag = "1")]
    leg: String,
    #[prost(string, tag = "2")]
    tenant: String,
    #[prost(string, tag = "3")]
    call_id: String,
    #[prost(string, tag = "4")]
    local_tag: String,
    #[prost(string, tag = "5")]
    caller_tag: String,
    /// Empty for none.
    #[prost(string, tag = "6")]
    caller_address: String,
}

/// Writes what the ring seals.
#[derive(Debug)]
pub(super) struct Writer {
    directory: PathBuf,
    bytes_max: u64,
    telemetry: Arc<Telemetry>,
    current: Option<(File, u64)>,
    next_segment: u64,
    messages: u64,
    failing: bool,
}

impl Writer {
    pub(super) fn open(directory: &Path, bytes_max: usize, telemetry: &Arc<Telemetry>) -> io::Result<Self> {
        fs::create_dir_all(directory)?;
        Ok(Self {
            directory: directory.to_owned(),
            bytes_max: bytes_max as u64,
            telemetry: Arc::clone(telemetry),
            current: None,
            next_segment: 0,
            messages: 0,
            failing: false,
        })
    }

    /// Until the process stops, and then once more.
    pub(super) async fn run(mut self, ring: Arc<Mutex<Ring>>, stopping: CancellationToken) {
        loop {
            let over = tokio::select! {
                () = tokio::time::sleep(INTERVAL) => false,
                () = stopping.cancelled() => true,
            };
            let segments = {
                let mut ring = lock(&ring);
                ring.seal();
                ring.sealed_from(self.next_segment)
            };
            let written = tokio::task::spawn_blocking(move || {
                self.write(&segments);
                self
            });
            let Ok(writer) = written.await else { return };
            self = writer;
            if over {
                return;
            }
        }
    }

    fn write(&mut self, segments: &[Arc<Segment>]) {
        for segment in segments {
            // What fell out of memory before it was its turn.
            self.count_lost(segment.messages_before - self.messages);
            self.next_segment = segment.number + 1;
            self.messages = segment.messages_before + segment.records.len() as u64;
            let result = self.append(segment);
            if let Err(error) = &result {
                self.count_lost(segment.records.len() as u64);
                self.current = None;
                if !self.failing {
                    tracing::warn!(%error, "the files of the ladder cannot be written; trying on");
                }
            }
            self.failing = result.is_err();
        }
    }

    fn append(&mut self, segment: &Segment) -> io::Result<()> {
        let mut bytes = Vec::new();
        let entries = segment.markers.iter().map(Entry::from).chain(segment.records.iter().map(Entry::from));
        for entry in entries {
            bytes.extend(entry.encode_length_delimited_to_vec());
        }
        if self.current.as_ref().is_none_or(|(_, size)| *size >= self.bytes_max / FILES) {
            let at_us = segment.records.first().map_or_else(super::now_us, |record| record.at_us);
            let path = self.directory.join(format!("{PREFIX}{at_us:020}{SUFFIX}"));
            let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
            self.current = Some((file, 0));
            self.remove_oldest()?;
        }
        if let Some((file, size)) = &mut self.current {
            file.write_all(&bytes)?;
            *size += bytes.len() as u64;
        }
        Ok(())
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let mut files = list(&self.directory)?;
        let sizes = |files: &[PathBuf]| -> u64 {
            files.iter().filter_map(|path| fs::metadata(path).ok()).map(|found| found.len()).sum()
        };
        // Room for the file that has just been begun.
        let room = self.bytes_max - self.bytes_max / FILES;
        while files.len() > 1 && sizes(&files) > room {
            fs::remove_file(files.remove(0))?;
        }
        Ok(())
    }

    fn count_lost(&self, messages: u64) {
        self.telemetry.signalling.ladder_lost.with_label_values(&["files"]).inc_by(messages);
    }
}

/// What was read from files.
#[derive(Debug, Default)]
pub(super) struct Stored {
    pub(super) records: Vec<Record>,
    pub(super) markers: Vec<Marker>,
}

/// Everything in the files that is older than a time.
pub(super) fn read(directory: &Path, before_us: Option<u64>) -> Stored {
    let mut stored = Stored::default();
    for path in list(directory).unwrap_or_default() {
        // A file that has just been removed holds nothing any more.
        let Ok(bytes) = fs::read(path) else { continue };
        let mut rest = Bytes::from(bytes);
        while let Ok(entry) = Entry::decode_length_delimited(&mut rest) {
            if let Some(marker) = entry.leg.as_ref().and_then(LegEntry::marker) {
                stored.markers.push(marker);
            } else if before_us.is_none_or(|before| entry.at_us < before)
                && let Some(flow) = entry.flow.and_then(|flow| Flow::try_from(flow).ok())
            {
                let Entry { at_us, received, bytes, .. } = entry;
                stored.records.push(Record { at_us, received, flow, bytes });
            }
            if rest.is_empty() {
                break;
            }
        }
    }
    stored
}

/// The files, oldest first.
fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

impl From<&Record> for Entry {
    fn from(record: &Record) -> Self {
        let bytes = super::redact::without_secrets(&record.bytes).into();
        let flow = Some(types::Flow::from(&record.flow));
        Self { at_us: record.at_us, received: record.received, flow, bytes, leg: None }
    }
}

impl From<&Marker> for Entry {
    fn from(marker: &Marker) -> Self {
        let (caller_tag, caller_address) = match &marker.caller {
            Some((tag, address)) => (tag.to_string(), address.to_string()),
            None => Default::default(),
        };
        let leg = LegEntry {
            leg: marker.leg.to_string(),
            tenant: marker.tenant.to_string(),
            call_id: marker.call_id.to_string(),
            local_tag: marker.local_tag.to_string(),
            caller_tag,
            caller_address,
        };
        Self { leg: Some(leg), ..Self::default() }
    }
}

impl LegEntry {
    fn marker(&self) -> Option<Marker> {
        Some(Marker {
            leg: self.leg.parse::<LegId>().ok()?,
            tenant: TenantId::new(&self.tenant).ok()?,
            call_id: self.call_id.as_str().into(),
            local_tag: self.local_tag.as_str().into(),
            caller: self
                .caller_address
                .parse()
                .ok()
                .map(|address| (self.caller_tag.as_str().into(), address)),
        })
    }
}

const INTERVAL: Duration = Duration::from_secs(1);
/// Into how many files the bytes are divided.
const FILES: u64 = 8;
const PREFIX: &str = "ladder-";
const SUFFIX: &str = ".sip";
