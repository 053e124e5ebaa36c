//! Call detail records: projected from the log, for queries and into files.

use std::collections::BTreeMap;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{StreamExt as _, TryStreamExt as _};
use sidetone_model::fold::{Cdr, CdrKind, Fold};
use sidetone_model::ids::ShardId;
use sidetone_model::time::Timestamp;
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_store::{Expect, Sequence};
use tonic::Status;

use crate::CallControl;
use crate::entries::Source;
use crate::facts::{self, Cursor};

/// How long ended calls are kept while folding; nothing looks at them after their last record.
const ENDED_KEPT_MS: u64 = 60_000;

/// Every record of a shard, from the oldest fact that is kept, and, with `follow`, those that come.
pub(crate) async fn records(
    source: Source,
    follow: bool,
) -> Result<BoxStream<'static, Result<(Cursor, Cdr), Status>>, Status> {
    projected(source, follow, None).await
}

async fn projected(
    source: Source,
    follow: bool,
    progress: Option<Arc<Progress>>,
) -> Result<BoxStream<'static, Result<(Cursor, Cdr), Status>>, Status> {
    let entries = facts::read(source, Cursor::START, follow).await?;
    let mut fold = Fold::default();
    let mut seen = 0u32;
    let records = entries.map_ok(move |entry| {
        let mut records = Vec::new();
        for (cursor, fact) in facts::placed(&entry) {
            fold.apply(fact);
            records.extend(Cdr::project(fact, &fold).map(|record| Ok((cursor, record))));
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(1024) {
                let before = fact.at.as_millis().saturating_sub(ENDED_KEPT_MS);
                fold.forget_ended(Timestamp::from_millis(before));
            }
        }
        if let Some(progress) = &progress {
            progress.unwritten.fetch_add(records.len(), Ordering::SeqCst);
            progress.read.store(entry.sequence.0, Ordering::SeqCst);
        }
        stream::iter(records)
    });
    Ok(records.try_flatten().boxed())
}

/// A record in the form of the contract.
pub(crate) fn to_proto(cdr: &Cdr) -> pb::Cdr {
    let kind = match cdr.kind {
        CdrKind::Leg => pb::cdr::Kind::Leg,
        CdrKind::Call => pb::cdr::Kind::Call,
        CdrKind::Quality => pb::cdr::Kind::Quality,
    };
    let quality = cdr.quality.as_deref().cloned().unwrap_or_default();
    let user = |party: &sidetone_model::party::Party| party.user.as_ref().map(ToString::to_string);
    let by = cdr.transferred_by.as_ref();
    let far_end = if cdr.incoming { &cdr.from } else { &cdr.to };
    pb::Cdr {
        kind: kind.into(),
        tenant: cdr.tenant.to_string(),
        call_id: cdr.call.to_string(),
        leg_id: cdr.leg.map(|leg| leg.to_string()).unwrap_or_default(),
        direction: if cdr.incoming { "incoming" } else { "outgoing" }.to_owned(),
        from_number: cdr.from.number.to_string(),
        from_user: user(&cdr.from).unwrap_or_default(),
        to_number: cdr.to.number.to_string(),
        to_user: user(&cdr.to).unwrap_or_default(),
        device: far_end.device.as_ref().map(ToString::to_string).unwrap_or_default(),
        started_unix_ms: cdr.started_at.as_millis(),
        trunk: cdr.trunk.as_deref().unwrap_or_default().to_owned(),
        answered_by: cdr.answered_by.label().to_owned(),
        was_asleep: cdr.was_asleep,
        woken_unix_ms: cdr.woken_at.map_or(0, Timestamp::as_millis),
        answered_unix_ms: cdr.answered_at.map_or(0, Timestamp::as_millis),
        ended_unix_ms: cdr.ended_at.as_millis(),
        talk_ms: cdr.talk_ms(),
        outcome: cdr.termination.cause.outcome().label().to_owned(),
        cause: cdr.termination.cause.label().to_owned(),
        sip_status: cdr.termination.sip_status.unwrap_or(0).into(),
        text: cdr.termination.text.to_string(),
        node_id: cdr.node.as_ref().map(ToString::to_string).unwrap_or_default(),
        replica_id: cdr.replica.as_ref().map(ToString::to_string).unwrap_or_default(),
        sip_call_id: cdr.sip_call_id.to_string(),
        recording_ids: cdr.recordings.iter().map(ToString::to_string).collect(),
        encoding: quality.encoding.into(),
        packets_received: quality.packets_received,
        packets_lost: quality.packets_lost,
        packets_late: quality.packets_late,
        packets_sent: quality.packets_sent,
        jitter_us: quality.jitter_us,
        round_trip_us: quality.round_trip_us,
        rating: quality.rating,
        mean_opinion_hundredths: quality.mean_opinion_hundredths,
        far_mean_opinion_hundredths: quality.far_mean_opinion_hundredths,
        proof: cdr.from.proof.label().to_owned(),
        first_call_id: cdr.first_call.map(|call| call.to_string()).unwrap_or_default(),
        transferred_by_number: by.map(|by| by.number.to_string()).unwrap_or_default(),
        transferred_by_user: by.and_then(user).unwrap_or_default(),
    }
}

/// How far a shard's records have come on their way into the files.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// The last entry of the log that was read.
    read: AtomicU64,
    /// Records of those entries that are in no file yet.
    unwritten: AtomicUsize,
}

impl Progress {
    /// Whether every record up to an entry of the log is in its file.
    fn has_written(&self, end: Sequence) -> bool {
        self.read.load(Ordering::SeqCst) >= end.0 && self.unwritten.load(Ordering::SeqCst) == 0
    }

    fn begin(&self) {
        self.read.store(0, Ordering::SeqCst);
        self.unwritten.store(0, Ordering::SeqCst);
    }
}

/// Waits until all that is in the logs now is in the files, if there are any. A disk that takes longer than [`WRITTEN_MAX`]
/// is left: the next process writes the rest.
pub(crate) async fn written(control: &CallControl) {
    let progress = control.shared().cdrs.get().map_or(&[][..], Vec::as_slice);
    let shards = (0..control.shared().shards).map(ShardId);
    let ends: Vec<Sequence> = shards.map(|shard| control.source(shard).end()).collect();
    let written = || progress.iter().zip(&ends).all(|(progress, end)| progress.has_written(*end));
    let waited = tokio::time::timeout(WRITTEN_MAX, async {
        while !written() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    if waited.await.is_err() {
        tracing::warn!("not every CDR is in its file yet; the next process writes the rest");
    }
}

/// Writes every record into a file of its day, if a folder is given.
pub(crate) fn start(control: &CallControl, folder: Option<&Path>) -> anyhow::Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("call_control.cdr_dir {}", folder.display()))?;
    let all: Vec<Arc<Progress>> = (0..control.shared().shards).map(|_| Arc::default()).collect();
    let _ = control.shared().cdrs.set(all.clone());
    for (shard, progress) in (0..).map(ShardId).zip(all) {
        let (control, folder) = (control.clone(), folder.to_owned());
        tokio::spawn(async move {
            let stopping = control.shared().lifecycle.stopping();
            while !stopping.is_cancelled() {
                tokio::select! {
                    Err(error) = export(control.source(shard), &folder, &progress) => {
                        tracing::warn!(%shard, %error, "CDRs could not be written; trying again");
                    }
                    () = stopping.cancelled() => return,
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    Ok(())
}

/// Writes what is behind the shard's cursor, and then what comes. A record is written before the cursor moves: after a crash
/// one may be there twice, none is missing.
async fn export(source: Source, folder: &Path, progress: &Arc<Progress>) -> anyhow::Result<()> {
    let store = Arc::clone(&source.store);
    let key = format!("cdr-cursors/{}", source.shard);
    let kept = store.get(&key).await?;
    let mut done = kept.and_then(|entry| parse_cursor(&entry.value)).unwrap_or(Cursor::START);
    progress.begin();
    let records = projected(source, true, Some(Arc::clone(progress))).await?;
    // What has come together is written with one move of the cursor: each of the two is durable, and costs a sync.
    let mut together = records.ready_chunks(TOGETHER);
    while let Some(ready) = together.next().await {
        let from = done;
        let (count, full) = (ready.len(), ready.len() == TOGETHER);
        let mut lines = BTreeMap::<PathBuf, String>::new();
        for ready in ready {
            let (cursor, record) = ready?;
            if cursor <= from && from != Cursor::START {
                continue;
            }
            let lines = lines.entry(file_of(folder, record.ended_at)).or_default();
            lines.push_str(&serde_json::to_string(&to_proto(&record))?);
            lines.push('\n');
            done = cursor;
        }
        if done == from {
            progress.unwritten.fetch_sub(count, Ordering::SeqCst);
            continue;
        }
        tokio::task::spawn_blocking(move || lines.iter().try_for_each(|(path, lines)| append(path, lines)))
            .await??;
        progress.unwritten.fetch_sub(count, Ordering::SeqCst);
        store.put(&key, Bytes::from(done.to_string()), None, Expect::Any).await?;
        if !full {
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    }
    Ok(())
}

fn parse_cursor(value: &[u8]) -> Option<Cursor> {
    Cursor::parse(std::str::from_utf8(value).ok()?)
}

/// `cdrs-2026-11-21.jsonl`, in UTC.
fn file_of(folder: &Path, at: Timestamp) -> PathBuf {
    let day = jiff::Timestamp::from_millisecond(at.as_millis() as i64).unwrap_or_default();
    folder.join(format!("cdrs-{}.jsonl", day.strftime("%Y-%m-%d")))
}

/// Adds whole lines, for good. A half one that a full disk or a crash has left at the end is cut off: it is among the
/// lines that are written again now.
fn append(path: &Path, lines: &str) -> std::io::Result<()> {
    // Who called whom is for the operator.
    let mut file = std::fs::OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)?;
    let whole = length_of_whole_lines(&mut file)?;
    file.set_len(whole)?;
    file.write_all(lines.as_bytes())?;
    file.sync_data()
}

/// How long a file is up to the end of its last whole line.
fn length_of_whole_lines(file: &mut std::fs::File) -> std::io::Result<u64> {
    let mut end = file.metadata()?.len();
    let mut block = [0; 512];
    while end > 0 {
        let from = end.saturating_sub(block.len() as u64);
        let block = &mut block[..(end - from) as usize];
        file.seek(SeekFrom::Start(from))?;
        file.read_exact(block)?;
        if let Some(at) = block.iter().rposition(|byte| *byte == b'\n') {
            return Ok(from + at as u64 + 1);
        }
        end = from;
    }
    Ok(0)
}

/// How many records are written at once at most.
const TOGETHER: usize = 256;
/// How long the next ones are gathered after a write that was not full.
const BETWEEN_WRITES: Duration = Duration::from_millis(100);
/// How long a process that stops waits for a slow disk.
const WRITTEN_MAX: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_not_glued_to_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cdrs.jsonl");
        append(&path, "{\"a\":1}\n{\"b\":2}\n").unwrap();
        let long = "x".repeat(2000);
        for half in ["{\"c\":", long.as_str()] {
            let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
            file.write_all(half.as_bytes()).unwrap();
            append(&path, "").unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":2}\n");
        }
        append(&path, "{\"c\":3}\n").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "{\"a\":1}\n{\"b\":2}\n{\"c\":3}\n");
    }
}
