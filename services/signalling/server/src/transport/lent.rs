//! Flows of other replicas over which legs of ours are reached, and flows of ours that others use.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::{Duration, Instant};

use sidetone_model::ids::ReplicaId;
use sidetone_model::party::Flow;

/// Who has which. A flow is the same value here and there when both listen at the same address.
#[derive(Debug, Default)]
pub(crate) struct Lent {
    /// Flows that others have lent to us. Bounded: the one that was used longest ago makes room; what is sent to it then goes out from
    /// here.
    to_us: HashMap<Flow, Loan>,
    /// Those by their last use.
    by_use: BTreeMap<(Instant, u64), Flow>,
    uses: u64,
    /// Who uses connections of ours. Bounded by the number of connections.
    by_us: HashMap<Flow, HashSet<ReplicaId>>,
}

#[derive(Debug)]
struct Loan {
    from: ReplicaId,
    used: (Instant, u64),
}

impl Lent {
    /// Somebody with whom there is a dialog here was heard over another replica's flow. True when another flow had to make room.
    pub(crate) fn take(&mut self, flow: Flow, from: &ReplicaId, now: Instant) -> bool {
        self.give_back(&flow);
        let full = self.to_us.len() >= LENT_MAX;
        if full && let Some((_, oldest)) = self.by_use.pop_first() {
            self.to_us.remove(&oldest);
        }
        let used = self.use_at(now);
        self.by_use.insert(used, flow.clone());
        self.to_us.insert(flow, Loan { from: from.clone(), used });
        full
    }

    /// Whose flow that is, when it is another's.
    pub(crate) fn of(&self, flow: &Flow) -> Option<&ReplicaId> {
        self.to_us.get(flow).map(|loan| &loan.from)
    }

    /// Notes that a flow is used.
    pub(crate) fn used(&mut self, flow: &Flow, now: Instant) {
        let used = self.use_at(now);
        if let Some(loan) = self.to_us.get_mut(flow) {
            self.by_use.remove(&loan.used);
            loan.used = used;
            self.by_use.insert(used, flow.clone());
        }
    }

    /// Whoever is there was heard by us, or the flow is gone.
    pub(crate) fn give_back(&mut self, flow: &Flow) {
        if let Some(loan) = self.to_us.remove(flow) {
            self.by_use.remove(&loan.used);
        }
    }

    /// Forgets what nobody has used for long; how many there were.
    pub(crate) fn expire(&mut self, now: Instant) -> usize {
        let before = self.to_us.len();
        while let Some(oldest) = self.by_use.first_entry() {
            if now.saturating_duration_since(oldest.key().0) < KEPT {
                break;
            }
            self.to_us.remove(&oldest.remove());
        }
        before - self.to_us.len()
    }

    /// When something will have to be forgotten.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.by_use.first_key_value().map(|((at, _), _)| *at + KEPT)
    }

    /// Another replica uses a connection of ours.
    pub(crate) fn lend(&mut self, flow: &Flow, to: &ReplicaId) {
        self.by_us.entry(flow.clone()).or_default().insert(to.clone());
    }

    /// A connection of ours has closed: who used it.
    pub(crate) fn closed(&mut self, flow: &Flow) -> HashSet<ReplicaId> {
        self.by_us.remove(flow).unwrap_or_default()
    }

    fn use_at(&mut self, now: Instant) -> (Instant, u64) {
        self.uses += 1;
        (now, self.uses)
    }
}

const LENT_MAX: usize = 16_384;
/// Longer than the longest session interval that is agreed upon (RFC 4028), at which something is heard over the flow or sent.
const KEPT: Duration = Duration::from_secs(4 * 3600);

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::party::Transport;

    fn flow(n: u16) -> Flow {
        let local = "192.0.2.1:5060".parse().unwrap();
        let [high, low] = n.to_be_bytes();
        Flow { transport: Transport::Udp, local, remote: ([10, 0, high, low], 5060).into() }
    }

    #[test]
    fn the_one_unused_for_longest_makes_room_and_what_is_unused_for_long_is_forgotten() {
        let (mut lent, now) = (Lent::default(), Instant::now());
        let from = ReplicaId::new("signalling-1").unwrap();
        for n in 0..LENT_MAX as u16 {
            assert!(!lent.take(flow(n), &from, now));
        }
        lent.used(&flow(0), now);
        assert!(!lent.take(flow(1), &from, now), "it is there already");
        assert!(lent.take(flow(20_000), &from, now));
        assert_eq!(
            (lent.of(&flow(0)), lent.of(&flow(1)), lent.of(&flow(2))),
            (Some(&from), Some(&from), None)
        );
        let later = now + KEPT - Duration::from_secs(1);
        lent.used(&flow(9), later);
        lent.give_back(&flow(0));
        assert_eq!((lent.expire(later), lent.next()), (0, Some(now + KEPT)));
        assert_eq!(lent.expire(now + KEPT), LENT_MAX - 2);
        assert_eq!((lent.of(&flow(9)), lent.next()), (Some(&from), Some(later + KEPT)));
        assert_eq!((lent.to_us.len(), lent.by_use.len()), (1, 1));
    }
}
