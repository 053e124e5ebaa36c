//! What was recorded: found in the log for as long as facts are kept, also when its call is looked up no more.
//!
//! That somebody had the files of one taken away stands beside the log, for as long as the log may tell of it.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sidetone_model::fact::{Fact, FactKind, RecordedSound};
use sidetone_model::fold::Fold;
use sidetone_model::ids::{CallId, NodeId, RecordingId, ShardId, TenantId};
use sidetone_model::termination::Termination;
use sidetone_model::time::Timestamp;
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_proto::media::v1 as media;
use sidetone_runtime::{Caller, status};
use sidetone_store::Expect;
use tonic::{Code, Request, Response, Status};

use crate::CallControl;
use crate::api::{parsed, tenant};
use crate::clock;
use crate::content::NoContent;
use crate::entries::Source;
use crate::facts::{self, Cursor};

/// One recording, as the log tells of it.
#[derive(Debug, Clone)]
pub(crate) struct Recorded {
    pub(crate) node: NodeId,
    /// The call in which it began.
    call: CallId,
    /// Further ones: in which it went on, and those whose own recordings go on in it.
    others: Vec<CallId>,
    stereo: bool,
    name: Box<str>,
    from: Box<str>,
    dialled: Box<str>,
    started: Timestamp,
    ended: Option<Timestamp>,
    failure: Option<Termination>,
    /// The recording that has what was said since.
    into: Option<RecordingId>,
    pub(crate) sound: Option<RecordedSound>,
}

/// Which of them are wanted.
#[derive(Debug, Default)]
struct Wanted {
    tenant: Option<TenantId>,
    /// Begun at or after, and before.
    from_ms: u64,
    until_ms: Option<u64>,
    number: String,
    call: String,
    after: Option<RecordingId>,
    only: Option<RecordingId>,
}

/// Recordings of one page, unless it is said.
const PAGE_DEFAULT: u32 = 100;
const PAGE_MAX: u32 = 1000;
/// How long ended calls are kept while folding.
const ENDED_KEPT_MS: u64 = 60_000;
/// A fact outlives its retention until the log is trimmed next; what was taken away is known for longer.
const TRIMMED_WITHIN: Duration = Duration::from_secs(2 * 24 * 3600);

impl Wanted {
    fn wants(&self, fact: &Fact, recording: RecordingId, told: &Recorded) -> bool {
        let number = &*self.number;
        let numbered = number.is_empty() || *told.from == *number || *told.dialled == *number;
        let until = self.until_ms.unwrap_or(u64::MAX);
        self.tenant.as_ref() == Some(&fact.tenant)
            && self.only.is_none_or(|only| only == recording)
            && self.after.is_none_or(|after| recording > after)
            && (self.from_ms..until).contains(&fact.at.as_millis())
            && numbered
    }

    /// Whether it belongs, or has belonged, to the wanted call.
    fn is_of_call(&self, told: &Recorded) -> bool {
        let mut calls = std::iter::once(&told.call).chain(&told.others);
        self.call.is_empty() || calls.any(|call| call.to_string() == self.call)
    }
}

impl Recorded {
    fn begun(fact: &Fact, fold: &Fold) -> Option<(RecordingId, Self)> {
        let FactKind::RecordingStarted { recording, call, node, stereo, name, .. } = &fact.kind else {
            return None;
        };
        let view = fold.call(*call);
        let begun = Self {
            node: node.clone(),
            call: *call,
            others: Vec::new(),
            stereo: *stereo,
            name: name.clone(),
            from: view.map(|call| call.from.number.clone()).unwrap_or_default(),
            dialled: view.map(|call| call.dialled.clone()).unwrap_or_default(),
            started: fact.at,
            ended: None,
            failure: None,
            into: None,
            sound: None,
        };
        Some((*recording, begun))
    }

    /// Its end, or what comes after it, if the fact tells that.
    fn end(all: &mut BTreeMap<RecordingId, Self>, fact: &Fact) {
        let (recording, failure, sound) = match &fact.kind {
            FactKind::RecordingFinished { recording, file, duration_ms, size_bytes, tracks } => {
                let (file, tracks) = (file.clone(), tracks.clone());
                let sound =
                    RecordedSound { file, tracks, duration_ms: *duration_ms, size_bytes: *size_bytes };
                (recording, None, Some(sound))
            }
            FactKind::RecordingFailed { recording, termination, kept } => {
                (recording, Some(termination.clone()), kept.as_deref().cloned())
            }
            FactKind::RecordingStopping { recording, into } => {
                return all.get_mut(recording).into_iter().for_each(|told| told.into = *into);
            }
            _ => return,
        };
        if let Some(told) = all.get_mut(recording) {
            (told.ended, told.failure, told.sound) = (Some(fact.at), failure, sound);
        }
    }

    /// The name of one of its files: 0 is the first.
    pub(crate) fn file(&self, track: u32) -> Option<&str> {
        let sound = self.sound.as_ref()?;
        match track.checked_sub(1) {
            None => Some(&sound.file),
            Some(other) => sound.tracks.get(other as usize).map(AsRef::as_ref),
        }
    }

    fn to_proto(&self, recording: RecordingId, deleted: bool) -> pb::CallRecording {
        let sound = self.sound.clone();
        let state = match (&self.failure, self.ended) {
            _ if deleted => pb::RecordingState::Deleted,
            (Some(_), _) => pb::RecordingState::Failed,
            (None, Some(_)) => pb::RecordingState::Finished,
            (None, None) => pb::RecordingState::Running,
        };
        let files = sound.filter(|_| !deleted).map(|sound| pb::Recording {
            file: sound.file.into(),
            tracks: sound.tracks.into_iter().map(Into::into).collect(),
            duration_ms: sound.duration_ms,
            size_bytes: sound.size_bytes,
            ..Default::default()
        });
        let recording = pb::Recording {
            recording_id: recording.to_string(),
            node_id: self.node.to_string(),
            stereo: self.stereo,
            state: state.into(),
            failure: self.failure.as_ref().map(Into::into),
            goes_on_in_recording_id: self.into.map(|into| into.to_string()).unwrap_or_default(),
            ..files.unwrap_or_default()
        };
        pb::CallRecording {
            recording: Some(recording),
            call_id: self.call.to_string(),
            other_call_ids: self.others.iter().map(ToString::to_string).collect(),
            from_number: self.from.to_string(),
            dialled: self.dialled.to_string(),
            started_unix_ms: self.started.as_millis(),
            ended_unix_ms: self.ended.map_or(0, Timestamp::as_millis),
            name: self.name.to_string(),
        }
    }
}

/// The recordings that are looked for, while the log is read.
struct Search<'a> {
    wanted: &'a Wanted,
    keep: usize,
    found: BTreeMap<RecordingId, Recorded>,
    /// Of other calls, that go on and may come to the wanted one.
    elsewhere: BTreeMap<RecordingId, Recorded>,
}

impl Search<'_> {
    fn take(&mut self, fact: &Fact, fold: &Fold) {
        if let Some((recording, begun)) = Recorded::begun(fact, fold)
            && self.wanted.wants(fact, recording, &begun)
        {
            let of_call = self.wanted.is_of_call(&begun);
            let all = if of_call { &mut self.found } else { &mut self.elsewhere };
            all.insert(recording, begun);
        }
        match &fact.kind {
            FactKind::RecordingMoved { recording, to, .. } => self.belongs(*recording, &[*to]),
            FactKind::RecordingStopping { recording, into: Some(into) } => {
                // What is said of its calls from now on is in the other one.
                let told = self.found.get(recording).or_else(|| self.elsewhere.get(recording));
                let calls: Vec<CallId> = told
                    .into_iter()
                    .flat_map(|told| [told.call].into_iter().chain(told.others.clone()))
                    .collect();
                self.belongs(*into, &calls);
            }
            _ => {}
        }
        if self.found.len() > self.keep {
            self.found.pop_last();
        }
        Recorded::end(&mut self.found, fact);
        if let FactKind::RecordingFinished { recording, .. } | FactKind::RecordingFailed { recording, .. } =
            &fact.kind
        {
            self.elsewhere.remove(recording);
        }
    }

    /// A recording is of these calls, too: it is found under each of them.
    fn belongs(&mut self, recording: RecordingId, calls: &[CallId]) {
        let told = self.found.get_mut(&recording).or_else(|| self.elsewhere.get_mut(&recording));
        let Some(told) = told else { return };
        for call in calls {
            if told.call != *call && !told.others.contains(call) {
                told.others.push(*call);
            }
        }
        if self.wanted.is_of_call(told)
            && let Some(told) = self.elsewhere.remove(&recording)
        {
            self.found.insert(recording, told);
        }
    }
}

/// Reads a shard's log to its end. Of what is wanted no more than `keep` are held, those with the first ids.
async fn read(
    source: Source,
    wanted: &Wanted,
    keep: usize,
) -> Result<BTreeMap<RecordingId, Recorded>, Status> {
    let mut entries = facts::read(source, Cursor::START, false).await?;
    let (mut fold, mut seen) = (Fold::default(), 0u32);
    let mut search = Search { wanted, keep, found: BTreeMap::new(), elsewhere: BTreeMap::new() };
    while let Some(entry) = entries.try_next().await? {
        for (_, fact) in facts::placed(&entry) {
            fold.apply(fact);
            search.take(fact, &fold);
            seen = seen.wrapping_add(1);
            if seen.is_multiple_of(1024) {
                let before = fact.at.as_millis().saturating_sub(ENDED_KEPT_MS);
                fold.forget_ended(Timestamp::from_millis(before));
            }
        }
    }
    Ok(search.found)
}

/// What is not there any more needs not be taken away.
fn gone<T>(answer: Result<T, Status>) -> Result<(), Status> {
    match answer {
        Err(error) if error.code() != Code::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn mark(tenant: &TenantId, recording: &str) -> String {
    format!("recordings-deleted/{tenant}/{recording}")
}

impl CallControl {
    pub(crate) async fn list_recordings_request(
        &self,
        request: Request<pb::ListRecordingsRequest>,
    ) -> Result<Response<pb::ListRecordingsResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let after = match request.after_recording_id.as_str() {
            "" => None,
            id => Some(parsed::<RecordingId>("after_recording_id", id)?),
        };
        let limit = if request.limit == 0 { PAGE_DEFAULT } else { request.limit.min(PAGE_MAX) } as usize;
        let deleted = self.deleted(&tenant).await?;
        let source = self.source(ShardId::of(&tenant, self.shared().shards));
        let wanted = Wanted {
            tenant: Some(tenant.clone()),
            from_ms: request.from_unix_ms,
            until_ms: (request.until_unix_ms > 0).then_some(request.until_unix_ms),
            number: request.number,
            call: request.call_id,
            after,
            only: None,
        };
        let mut found = read(source, &wanted, limit + 1).await?;
        if found.is_empty() {
            self.must_be_there(&tenant).await?;
        }
        let more = found.len() > limit;
        if more {
            found.pop_last();
        }
        let told = found.iter().map(|(id, told)| told.to_proto(*id, deleted.contains(&id.to_string())));
        Ok(Response::new(pb::ListRecordingsResponse { recordings: told.collect(), more }))
    }

    pub(crate) async fn delete_recording_request(
        &self,
        request: Request<pb::DeleteRecordingRequest>,
    ) -> Result<Response<pb::DeleteRecordingResponse>, Status> {
        let caller = Caller::of(&request);
        let request = request.into_inner();
        let tenant = tenant(&caller, &request.tenant)?;
        let id: RecordingId = parsed("recording_id", &request.recording_id)?;
        if self.deleted(&tenant).await?.contains(&id.to_string()) {
            return Ok(Response::new(pb::DeleteRecordingResponse {}));
        }
        let told = self.recorded_before(&tenant, id).await;
        let told = told.map_err(|error| status(&error))?;
        if told.ended.is_none() {
            return Err(status(&NoContent::Running));
        }
        if let Some(sound) = &told.sound {
            let files = std::iter::once(&sound.file).chain(&sound.tracks).map(ToString::to_string).collect();
            self.take_away(&told.node, media::DeleteRecordingRequest { recording_id: id.to_string(), files })
                .await?;
        }
        let kept = self.shared().retention + TRIMMED_WITHIN;
        let (key, store) = (mark(&tenant, &id.to_string()), &self.shared().store);
        let marked = store.put(&key, Bytes::new(), Some(clock::now() + kept), Expect::Any).await;
        marked.map_err(|error| status(&error))?;
        Ok(Response::new(pb::DeleteRecordingResponse {}))
    }

    /// A recording of a tenant, from the log.
    pub(crate) async fn recorded_before(
        &self,
        tenant: &TenantId,
        recording: RecordingId,
    ) -> Result<Recorded, NoContent> {
        let source = self.source(ShardId::of(tenant, self.shared().shards));
        let wanted = Wanted { tenant: Some(tenant.clone()), only: Some(recording), ..Wanted::default() };
        let found = read(source, &wanted, 1).await;
        let mut found = found.map_err(|error| {
            tracing::warn!(%error, "the log cannot be looked through for a recording");
            NoContent::Away
        })?;
        found.remove(&recording).ok_or(NoContent::Gone)
    }

    /// By the node that recorded it or, while that is gone, one that has the same object storage or has taken over its folder.
    async fn take_away(&self, node: &NodeId, request: media::DeleteRecordingRequest) -> Result<(), Status> {
        let nodes = &self.shared().router.nodes;
        if let Some(own) = nodes.service(node) {
            return gone(own.delete_recording(Request::new(request)).await);
        }
        let (recording_id, file) =
            (&request.recording_id, request.files.first().cloned().unwrap_or_default());
        for other in nodes.services() {
            let read = media::ReadRecordingRequest {
                recording_id: recording_id.clone(),
                file: file.clone(),
                ..Default::default()
            };
            if let Ok(bytes) = other.read_recording(Request::new(read)).await {
                drop(bytes);
                return gone(other.delete_recording(Request::new(request)).await);
            }
        }
        // Its node may come back with it.
        Err(status(&NoContent::Away))
    }

    /// The ids of those that were taken away.
    async fn deleted(&self, tenant: &TenantId) -> Result<HashSet<String>, Status> {
        let prefix = mark(tenant, "");
        let marks = self.shared().store.list(&prefix).await.map_err(|error| status(&error))?;
        let id = |key: &str| key.strip_prefix(&prefix).map(str::to_owned);
        Ok(marks.iter().filter_map(|mark| id(&mark.key)).collect())
    }
}
