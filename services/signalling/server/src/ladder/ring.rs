//! The part of the spool that is in memory: segments, the oldest of which falls out when there are too many bytes.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;

use sidetone_model::ids::{LegId, TenantId};

use super::Record;

/// By what the messages of a leg are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Marker {
    pub(super) leg: LegId,
    pub(super) tenant: TenantId,
    pub(super) call_id: Box<str>,
    /// Ours: no other dialog has it.
    pub(super) local_tag: Box<str>,
    /// Who called us, by tag and address, for messages before our tag was told; none on legs that we opened.
    pub(super) caller: Option<(Box<str>, SocketAddr)>,
}

/// Messages of one stretch of time, and the legs that began or ended in it.
#[derive(Debug, Default)]
pub(super) struct Segment {
    /// Counts up without a gap.
    pub(super) number: u64,
    /// How many messages there were before it.
    pub(super) messages_before: u64,
    pub(super) records: Vec<Record>,
    pub(super) markers: Vec<Marker>,
    bytes: usize,
}

/// The newest segments.
#[derive(Debug)]
pub(super) struct Ring {
    sealed: VecDeque<Arc<Segment>>,
    current: Segment,
    bytes: usize,
    bytes_max: usize,
    /// The legs that live: a call of many hours is found although its beginning has fallen out.
    live: HashMap<LegId, Marker>,
}

/// What there was at one time.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) live: Vec<Marker>,
}

impl Ring {
    pub(super) fn new(bytes_max: usize) -> Self {
        let current = Segment::default();
        Self { sealed: VecDeque::new(), current, bytes: 0, bytes_max, live: HashMap::new() }
    }

    /// Adds a message; gives back how many fell out for it.
    pub(super) fn push(&mut self, record: Record) -> u64 {
        let bytes = record.bytes.len() + RECORD_OVERHEAD;
        self.current.records.push(record);
        self.grow(bytes);
        let mut lost = 0;
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.sealed.pop_front()
        {
            self.bytes -= oldest.bytes;
            lost += oldest.records.len() as u64;
        }
        lost
    }

    pub(super) fn begin(&mut self, marker: Marker) {
        if self.live.get(&marker.leg) != Some(&marker) {
            self.live.insert(marker.leg, marker.clone());
            self.mark(marker);
        }
    }

    pub(super) fn ended(&mut self, leg: LegId) {
        // Once more, so that the end of a long call is found without its beginning.
        if let Some(marker) = self.live.remove(&leg) {
            self.mark(marker);
        }
    }

    fn mark(&mut self, marker: Marker) {
        self.current.markers.push(marker);
        self.grow(MARKER_BYTES);
    }

    fn grow(&mut self, bytes: usize) {
        self.current.bytes += bytes;
        self.bytes += bytes;
        if self.current.records.len() + self.current.markers.len() >= SEGMENT_MAX {
            self.seal();
        }
    }

    /// Ends the current segment, unless it is empty.
    pub(super) fn seal(&mut self) {
        if self.current.records.is_empty() && self.current.markers.is_empty() {
            return;
        }
        let messages_before = self.current.messages_before + self.current.records.len() as u64;
        let next = Segment { number: self.current.number + 1, messages_before, ..Segment::default() };
        self.sealed.push_back(Arc::new(std::mem::replace(&mut self.current, next)));
    }

    /// The sealed segments from a number on.
    pub(super) fn sealed_from(&self, number: u64) -> Vec<Arc<Segment>> {
        self.sealed.iter().filter(|segment| segment.number >= number).cloned().collect()
    }

    pub(super) fn snapshot(&mut self) -> Kept {
        self.seal();
        Kept { segments: self.sealed.iter().cloned().collect(), live: self.live.values().cloned().collect() }
    }
}

/// Entries of one segment.
const SEGMENT_MAX: usize = 256;
/// What a message takes beside its bytes.
const RECORD_OVERHEAD: usize = 160;
/// What a marker takes with its texts.
const MARKER_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use sidetone_model::ids::IdSource;
    use sidetone_model::party::{Flow, Transport};
    use sidetone_model::time::Timestamp;

    use super::*;

    fn record(at_us: u64) -> Record {
        let address = "127.0.0.1:5060".parse().unwrap();
        let flow = Flow { transport: Transport::Udp, local: address, remote: address };
        Record { at_us, received: true, flow, bytes: Bytes::from(vec![b'x'; 840]) }
    }

    #[test]
    fn the_oldest_fall_out_are_counted_and_the_bound_holds() {
        let mut ring = Ring::new(1_000_000);
        let lost: u64 = (0..5000).map(|at| ring.push(record(at))).sum();
        let kept = ring.snapshot();
        let left: Vec<u64> = kept.segments.iter().flat_map(|s| &s.records).map(|r| r.at_us).collect();
        assert_eq!(left.len() as u64 + lost, 5000);
        assert!(left.len() * 1000 <= 1_000_000 && left.len() * 1000 > 700_000, "{}", left.len());
        assert_eq!(left, (lost..5000).collect::<Vec<_>>());
    }

    #[test]
    fn a_leg_is_known_while_it_lives_although_its_beginning_has_fallen_out() {
        let mut ring = Ring::new(500_000);
        let leg: LegId = IdSource::seeded([1; 32]).make(Timestamp::from_millis(1));
        let tenant = TenantId::new("alpha").unwrap();
        let text = |text: &str| text.into();
        let marker = Marker { leg, tenant, call_id: text("c"), local_tag: text("l"), caller: None };
        ring.begin(marker.clone());
        assert!((0..2000).map(|at| ring.push(record(at))).sum::<u64>() > 0);
        let kept = ring.snapshot();
        assert!(kept.segments.iter().all(|segment| segment.markers.is_empty()));
        assert_eq!(kept.live, std::slice::from_ref(&marker));
        ring.ended(leg);
        let kept = ring.snapshot();
        assert_eq!(kept.live, []);
        assert_eq!(kept.segments.last().unwrap().markers, [marker]);
    }
}
