//! Which legs go over which connection, so that a connection that closes concerns its own legs and not all.

use std::collections::{BTreeSet, HashMap};

use sidetone_model::ids::LegId;
use sidetone_model::party::Flow;

/// Legs by the connection over which they are reached. Over UDP nothing closes, and nothing is kept. Bounded by the legs.
#[derive(Debug, Default)]
pub(super) struct ByFlow {
    legs: HashMap<Flow, BTreeSet<LegId>>,
    of: HashMap<LegId, Flow>,
}

impl ByFlow {
    /// A leg is reached over a flow from now on; none when it is over.
    pub(super) fn put(&mut self, leg: LegId, flow: Option<&Flow>) {
        let flow = flow.filter(|flow| flow.transport.is_reliable());
        if self.of.get(&leg) == flow {
            return;
        }
        if let Some(before) = self.of.remove(&leg) {
            let empty = self.legs.get_mut(&before).is_some_and(|legs| {
                legs.remove(&leg);
                legs.is_empty()
            });
            if empty {
                self.legs.remove(&before);
            }
        }
        if let Some(flow) = flow {
            self.legs.entry(flow.clone()).or_default().insert(leg);
            self.of.insert(leg, flow.clone());
        }
    }

    /// The legs over a connection, in the order in which they were made.
    pub(super) fn over(&self, flow: &Flow) -> impl Iterator<Item = LegId> + '_ {
        self.legs.get(flow).into_iter().flatten().copied()
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.legs.is_empty() && self.of.is_empty()
    }
}
