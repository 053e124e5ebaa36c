//! The part of a lane that is in the store.
//!
//! Entering writes what is in memory first (it stays in memory too), then every newcomer; newcomers are read back in
//! their turn. A record is settled when all its parcels are; the settled beginning of the stream is trimmed away.

use std::collections::{BTreeMap, VecDeque};

use crate::parcel::{Parcel, ParcelId};
use crate::policy::Limits;

#[derive(Debug, Default)]
pub(crate) struct Spill {
    /// In memory as well: what the lane held when it was spilled.
    dump: VecDeque<Parcel>,
    /// Newcomers that are not written yet.
    waiting: VecDeque<Parcel>,
    /// The record being written.
    writing: Option<Writing>,
    /// The last record written.
    written_to: u64,
    /// The last record of which the parcels are, or were, in memory.
    read_to: u64,
    reading: bool,
    /// Records in memory, with the number of their parcels that are not settled.
    open: BTreeMap<u64, usize>,
    trimmed_before: u64,
}

#[derive(Debug)]
struct Writing {
    ids: Vec<ParcelId>,
    dump: bool,
}

/// A record was written: these parcels are in it.
pub(crate) struct Written {
    pub(crate) ids: Vec<ParcelId>,
    /// They are in memory as well.
    pub(crate) in_memory: bool,
}

impl Spill {
    /// Begins with what is in memory.
    pub(crate) fn enter(dump: impl Iterator<Item = Parcel>) -> Self {
        Self { dump: dump.collect(), ..Self::default() }
    }

    /// Found in the store after a start: records `first` to `last`.
    pub(crate) fn found(first: u64, last: u64) -> Self {
        let read_to = first.saturating_sub(1);
        Self { written_to: last, read_to, trimmed_before: first, ..Self::default() }
    }

    pub(crate) fn push(&mut self, parcel: Parcel) {
        self.waiting.push_back(parcel);
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next record to be written; none while one is being written.
    pub(crate) fn next_record(&mut self, limits: &Limits) -> Option<Vec<Parcel>> {
        if self.writing.is_some() {
            return None;
        }
        let dump = !self.dump.is_empty();
        let from = if dump { &mut self.dump } else { &mut self.waiting };
        let mut bytes = 0;
        let mut record: Vec<Parcel> = Vec::new();
        while let Some(next) = from.front() {
            bytes += next.body.len() + next.order.len() + OVERHEAD_BYTES;
            if !record.is_empty()
                && (record.len() >= limits.spill_record_max || bytes > limits.spill_bytes_max)
            {
                break;
            }
            record.extend(from.pop_front());
        }
        if record.is_empty() {
            return None;
        }
        self.writing = Some(Writing { ids: record.iter().map(|parcel| parcel.id).collect(), dump });
        Some(record)
    }

    /// The record being written is at `sequence`. `held` of its parcels are still in memory.
    pub(crate) fn written(&mut self, sequence: u64) -> Option<Written> {
        let writing = self.writing.take()?;
        self.written_to = self.written_to.max(sequence);
        if writing.dump {
            self.read_to = sequence;
        }
        Some(Written { ids: writing.ids, in_memory: writing.dump })
    }

    /// A parcel of a record is in memory.
    pub(crate) fn opened(&mut self, sequence: u64) {
        *self.open.entry(sequence).or_default() += 1;
    }

    /// A parcel of a record is settled.
    pub(crate) fn settled(&mut self, sequence: u64) {
        if let Some(left) = self.open.get_mut(&sequence) {
            *left -= 1;
            if *left == 0 {
                self.open.remove(&sequence);
            }
        }
    }

    /// Where to go on reading; none when there is nothing to read or a read is under way.
    pub(crate) fn next_read(&mut self) -> Option<u64> {
        // What was dumped precedes everything that is to be read.
        let dumping = !self.dump.is_empty() || self.writing.as_ref().is_some_and(|writing| writing.dump);
        if self.reading || dumping || self.read_to >= self.written_to {
            return None;
        }
        self.reading = true;
        Some(self.read_to)
    }

    /// The read is done. Records that are not ahead of what was read before are left out.
    pub(crate) fn read(&mut self, records: Vec<(u64, Vec<Parcel>)>) -> Vec<(u64, Vec<Parcel>)> {
        self.reading = false;
        if records.is_empty() {
            // Nothing is there: it was trimmed from outside.
            self.read_to = self.written_to;
        }
        let fresh: Vec<_> = records.into_iter().filter(|(sequence, _)| *sequence > self.read_to).collect();
        if let Some((last, _)) = fresh.last() {
            self.read_to = *last;
        }
        fresh
    }

    /// The read could not be made: it is asked for again.
    pub(crate) fn read_failed(&mut self) {
        self.reading = false;
    }

    /// Before which record everything is settled, when that has changed.
    pub(crate) fn next_trim(&mut self) -> Option<u64> {
        let before = self.open.keys().next().copied().unwrap_or(self.read_to + 1);
        if before <= self.trimmed_before.max(1) {
            return None;
        }
        self.trimmed_before = before;
        Some(before)
    }

    /// Nothing is owed out of the store.
    pub(crate) fn is_empty(&self) -> bool {
        self.dump.is_empty()
            && self.waiting.is_empty()
            && self.writing.is_none()
            && !self.reading
            && self.read_to >= self.written_to
            && self.open.is_empty()
    }

    /// Records that are not in memory.
    pub(crate) fn unread(&self) -> u64 {
        self.written_to.saturating_sub(self.read_to)
    }
}

/// What a parcel costs beside its body and order, at most.
const OVERHEAD_BYTES: usize = 64;
