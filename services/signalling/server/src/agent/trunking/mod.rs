//! The SIP of trunks: what goes to carriers beside the legs, and which way a call takes.

mod calls;
mod challenges;
mod silence;
mod upkeep;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use sidetone_model::command::Invite;
use sidetone_model::ids::LegId;
use sidetone_sip_core::message::Request;
use tokio::sync::watch;

use crate::trunks::{Condition, Reports, Table, TrunkKey, Way};
pub(super) use calls::Arrival;
use upkeep::{Job, Schedule};

/// What the agent knows of its trunks.
pub(super) struct Trunking {
    table: watch::Receiver<Arc<Table>>,
    reports: Reports,
    conditions: HashMap<TrunkKey, Condition>,
    schedules: HashMap<TrunkKey, Schedule>,
    /// Our own OPTIONS and REGISTERs in flight, by the id that stands for their owner.
    jobs: HashMap<LegId, Job>,
    /// Calls that still may take another way.
    attempts: HashMap<LegId, Attempt>,
    /// Over which trunk each call goes.
    calls: HashMap<LegId, TrunkKey>,
    /// Over which trunk each leg came, or went last: also when that way failed, until the leg is over.
    last: HashMap<LegId, String>,
    /// Requests within dialogs that a carrier has not answered.
    unanswered: HashMap<LegId, Vec<Unanswered>>,
    tick_at: Option<Instant>,
}

/// A request within a dialog that a carrier has not answered.
struct Unanswered {
    request: Request,
    /// It has gone out a second time, over a new connection.
    again: bool,
}

/// A call on its way out.
struct Attempt {
    invite: Invite,
    way: Way,
    rest: VecDeque<Way>,
    challenged: bool,
    /// When the call is taken elsewhere unless the carrier has said something; none once it has.
    silent_until: Option<Instant>,
}

impl Trunking {
    pub(super) fn new(table: watch::Receiver<Arc<Table>>, reports: Reports) -> Self {
        Self {
            table,
            reports,
            conditions: HashMap::new(),
            schedules: HashMap::new(),
            jobs: HashMap::new(),
            attempts: HashMap::new(),
            calls: HashMap::new(),
            last: HashMap::new(),
            unanswered: HashMap::new(),
            tick_at: Some(Instant::now()),
        }
    }

    pub(super) fn table(&self) -> Arc<Table> {
        Arc::clone(&self.table.borrow())
    }

    /// Whether a carrier calls from that address.
    pub(super) fn is_source(&self, source: IpAddr) -> bool {
        !self.table.borrow().of_source(source).is_empty()
    }

    /// When the trunks want to be looked after.
    pub(super) fn next(&self) -> Option<Instant> {
        self.attempts.values().filter_map(|attempt| attempt.silent_until).chain(self.tick_at).min()
    }
}
