//! The newest entries of a shard's log, as its writer holds them: who follows the log in this process need not read and
//! decode again what has just been written.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use sidetone_model::fact::Fact;
use sidetone_store::Sequence;
use tokio::sync::watch;

/// What one entry of a log says happened.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    /// Its place.
    pub(crate) sequence: Sequence,
    /// Its facts, in their order.
    pub(crate) facts: Arc<[Fact]>,
}

/// The newest entries of one log. The oldest goes when there are too many facts; who still needs it reads the store.
#[derive(Debug)]
pub(crate) struct Recent {
    kept: Mutex<Kept>,
    last: watch::Sender<Sequence>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: VecDeque<Entry>,
    facts: usize,
}

impl Recent {
    /// Nothing yet, of a log that ends with `last`.
    pub(crate) fn new(last: Sequence) -> Arc<Self> {
        Arc::new(Self { kept: Mutex::default(), last: watch::Sender::new(last) })
    }

    /// Adds an entry that is durable, and tells who follows.
    pub(crate) fn push(&self, entry: Entry) {
        let sequence = entry.sequence;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.facts += entry.facts.len();
        kept.entries.push_back(entry);
        while kept.facts > FACTS_MAX || kept.entries.len() > ENTRIES_MAX {
            let Some(oldest) = kept.entries.pop_front() else { break };
            kept.facts -= oldest.facts.len();
        }
        drop(kept);
        self.last.send_replace(sequence);
    }

    /// The entries from `from` on; none when that one is not kept.
    pub(crate) fn from(&self, from: Sequence) -> Option<Vec<Entry>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let first = kept.entries.front()?.sequence;
        // An entry follows another without a gap.
        let skipped = usize::try_from(from.0.checked_sub(first.0)?).ok()?;
        (skipped < kept.entries.len()).then(|| kept.entries.iter().skip(skipped).cloned().collect())
    }

    /// Where the log ends, now and as it grows.
    pub(crate) fn last(&self) -> watch::Receiver<Sequence> {
        self.last.subscribe()
    }
}

/// Facts that are kept at most: some 300 calls.
const FACTS_MAX: usize = 4096;
/// Entries that are kept at most: some have no fact.
const ENTRIES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use sidetone_model::fact::FactKind;
    use sidetone_model::ids::{IdSource, TenantId, UserId};
    use sidetone_model::time::Timestamp;

    use super::*;

    fn entry(sequence: u64, facts: usize) -> Entry {
        let at = Timestamp::from_millis(sequence);
        let (user, message) = (UserId::new("alice").unwrap(), IdSource::seeded([7; 32]).make(at));
        let kind = FactKind::MessageHeard { user, message };
        let fact = Fact { tenant: TenantId::new("demo").unwrap(), at, kind };
        Entry { sequence: Sequence(sequence), facts: vec![fact; facts].into() }
    }

    fn from(recent: &Recent, sequence: u64) -> Option<Vec<u64>> {
        let entries = recent.from(Sequence(sequence))?;
        Some(entries.iter().map(|entry| entry.sequence.0).collect())
    }

    #[test]
    fn what_is_kept_is_had_from_any_place_and_nothing_else_is() {
        let recent = Recent::new(Sequence(4));
        assert_eq!((from(&recent, 5), recent.last().borrow().0), (None, 4));
        (5..=7).for_each(|sequence| recent.push(entry(sequence, 1)));
        assert_eq!(from(&recent, 4), None, "older than this process");
        assert_eq!(from(&recent, 5), Some(vec![5, 6, 7]));
        assert_eq!(from(&recent, 7), Some(vec![7]));
        assert_eq!((from(&recent, 8), recent.last().borrow().0), (None, 7));
    }

    #[test]
    fn the_oldest_goes_by_entries_and_by_facts() {
        let recent = Recent::new(Sequence(0));
        let entries = ENTRIES_MAX as u64;
        (1..=entries + 3).for_each(|sequence| recent.push(entry(sequence, 0)));
        assert_eq!((from(&recent, 3), from(&recent, 4).map(|kept| kept.len())), (None, Some(ENTRIES_MAX)));
        recent.push(entry(entries + 4, FACTS_MAX));
        assert_eq!(from(&recent, entries + 4), Some(vec![entries + 4]));
        recent.push(entry(entries + 5, 1));
        assert_eq!((from(&recent, entries + 4), from(&recent, entries + 5)), (None, Some(vec![entries + 5])));
        recent.push(entry(entries + 6, FACTS_MAX + 1));
        assert_eq!(from(&recent, entries + 6), None, "too large to be kept: it is in the store");
        recent.push(entry(entries + 7, 1));
        assert_eq!(from(&recent, entries + 7), Some(vec![entries + 7]));
    }
}
