//! Finds the messages of some legs among all that are kept.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use sidetone_model::ids::{LegId, TenantId};

use super::redact::Redactor;
use super::ring::{Kept, Marker};
use super::{Record, files, head};

/// Whose messages are wanted.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) tenant: TenantId,
    pub(crate) legs: HashSet<LegId>,
    /// Numbers, names and bodies are shown.
    pub(crate) show_numbers: bool,
}

/// The legs that are asked for, by Call-ID.
struct Wanted {
    by_call_id: HashMap<Box<str>, Vec<Marker>>,
}

pub(super) fn read(
    kept: &Kept,
    directory: Option<&Path>,
    question: &Question,
    redactor: &Redactor,
) -> Vec<(LegId, Record)> {
    // What is still in memory is not read from the files a second time.
    let in_memory_since = kept.segments.iter().flat_map(|s| &s.records).map(|r| r.at_us).next();
    let stored = directory.map(|directory| files::read(directory, in_memory_since)).unwrap_or_default();
    let mut wanted = Wanted { by_call_id: HashMap::new() };
    let markers = kept.segments.iter().flat_map(|segment| &segment.markers);
    for marker in markers.chain(&kept.live).chain(&stored.markers) {
        wanted.add(marker, question);
    }
    let mut found = Vec::new();
    for record in stored.records.iter().chain(kept.segments.iter().flat_map(|s| &s.records)) {
        if let Some(leg) = wanted.leg_of(record) {
            let bytes = redactor.redact(&record.bytes, question.show_numbers);
            found.push((leg, Record { bytes: Bytes::from(bytes), ..record.clone() }));
        }
    }
    found.sort_by_key(|(_, record)| record.at_us);
    // The beginning of a call tells more than its end.
    found.truncate(MESSAGES_MAX);
    found
}

impl Wanted {
    fn add(&mut self, marker: &Marker, question: &Question) {
        if marker.tenant == question.tenant && question.legs.contains(&marker.leg) {
            let of_call_id = self.by_call_id.entry(marker.call_id.clone()).or_default();
            if !of_call_id.contains(marker) {
                of_call_id.push(marker.clone());
            }
        }
    }

    /// By our tag, which is unique; before it is told, by the Call-ID, the tag and the address of whoever calls: another
    /// tenant's phone that chooses the same Call-ID and tag is not shown.
    fn leg_of(&self, record: &Record) -> Option<LegId> {
        let head = head::read(&record.bytes);
        let call_id = std::str::from_utf8(head.call_id).ok()?;
        let is_ours = |marker: &&Marker| [head.from_tag, head.to_tag].contains(&marker.local_tag.as_bytes());
        let is_callers = |marker: &&Marker| {
            let caller = marker.caller.as_ref();
            caller.is_some_and(|(tag, at)| tag.as_bytes() == head.from_tag && *at == record.flow.remote)
        };
        let markers = self.by_call_id.get(call_id)?;
        let found = markers.iter().find(is_ours).or_else(|| markers.iter().find(is_callers));
        found.map(|marker| marker.leg)
    }
}

/// Messages in one answer.
const MESSAGES_MAX: usize = 5000;
