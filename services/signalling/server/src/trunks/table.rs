//! The trunks as they are configured, and which of them a call takes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use sidetone_directory::{Password, apply_number_rules};
use sidetone_model::cidr::Cidr;
use sidetone_model::ids::TenantId;
use sidetone_model::party::Party;
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::identity::Audience;

use super::resolve::{Target, draw};

/// Which trunk.
pub(crate) type TrunkKey = (TenantId, String);

/// One trunk, ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Trunk {
    pub(crate) key: TrunkKey,
    pub(crate) record: pb::Trunk,
    pub(crate) password: Option<Password>,
    /// Where its URI leads now, best first.
    pub(crate) targets: Vec<Target>,
    pub(crate) sources: Vec<Cidr>,
    /// This replica serves it.
    pub(crate) held: bool,
}

/// All trunks of all tenants, as they were read last.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) trunks: Vec<Trunk>,
}

/// How a trunk does.
#[derive(Debug, Default)]
pub(crate) struct Condition {
    pub(crate) calls: u32,
    started: (Option<Instant>, f64),
    /// An OPTIONS was answered, or failed.
    pub(crate) asked: bool,
    /// Why its OPTIONS failed last; none while it answers.
    pub(crate) sick: Option<String>,
    /// Why it is not registered; none when it is, or need not be.
    pub(crate) unregistered: Option<String>,
    failures: u32,
    rests_until: Option<Instant>,
}

/// One way for a call.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(crate) key: TrunkKey,
    pub(crate) number: String,
    pub(crate) target: Target,
}

impl Trunk {
    /// The name that the carrier knows us by, and whose password we have.
    pub(crate) fn username(&self) -> &str {
        match self.record.auth_username.as_str() {
            "" => self.record.register_as.split('@').next().unwrap_or_default(),
            name => name,
        }
    }

    /// What the carrier may be told of callers.
    pub(crate) fn audience(&self) -> Audience {
        match self.record.trusted {
            true => Audience::Trusted { remote_party_id: self.record.remote_party_id },
            false => Audience::Stranger,
        }
    }

    /// Puts the number that the carrier is to show in the place of the caller's.
    pub(crate) fn show_caller(&self, caller: &mut Party) {
        let rules = &self.record.outbound;
        match self.record.caller_id.as_str() {
            // No number, and none to be made of it.
            "" if &*caller.number == "anonymous" => {}
            "" => caller.number = apply_number_rules(rules, &caller.number).into(),
            fixed => caller.number = fixed.into(),
        }
    }

    fn calls_from(&self, source: IpAddr) -> bool {
        self.sources.iter().any(|network| network.contains(source))
            || self.targets.iter().any(|target| target.address.ip() == source.to_canonical())
    }
}

impl Table {
    pub(crate) fn get(&self, key: &TrunkKey) -> Option<&Trunk> {
        self.trunks.iter().find(|trunk| trunk.key == *key)
    }

    /// The trunk whose carrier calls from an address: the one with the smallest network, and where several tenants have the
    /// same carrier, the one that `takes` the number.
    pub(crate) fn of_source(&self, source: IpAddr) -> Vec<&Trunk> {
        let mut found: Vec<&Trunk> =
            self.trunks.iter().filter(|t| !t.record.disabled && t.calls_from(source)).collect();
        let bits = |trunk: &&Trunk| {
            let networks = trunk.sources.iter().filter(|network| network.contains(source));
            std::cmp::Reverse(networks.map(Cidr::bits).max().unwrap_or(u8::MAX))
        };
        found.sort_by_key(bits);
        found
    }

    /// The ways for a number, best first: the longest prefix, then the lowest priority, then by weight; those that rest come
    /// last, those that may take no more or that another replica serves are left out.
    pub(crate) fn ways(
        &self,
        tenant: &TenantId,
        dialled: &str,
        conditions: &mut HashMap<TrunkKey, Condition>,
        random: &mut impl FnMut(u32) -> u32,
        now: Instant,
    ) -> Vec<Way> {
        struct Candidate<'a> {
            trunk: &'a Trunk,
            number: String,
            order: (bool, std::cmp::Reverse<usize>, u32),
            weight: u32,
        }
        let mut candidates: Vec<Candidate<'_>> = Vec::new();
        // One replica serves a trunk: its limits are counted there, and the carrier knows its address.
        let ours = |t: &&Trunk| t.key.0 == *tenant && t.held && !t.record.disabled;
        for trunk in self.trunks.iter().filter(ours) {
            let number = apply_number_rules(&trunk.record.outbound, dialled);
            let fitting = trunk.record.routes.iter().filter(|route| number.starts_with(&route.prefix));
            let Some(route) = fitting.max_by_key(|route| route.prefix.len()) else { continue };
            let condition = conditions.entry(trunk.key.clone()).or_default();
            if condition.is_full(&trunk.record, now) {
                continue;
            }
            let order = (condition.rests(now), std::cmp::Reverse(route.prefix.len()), route.priority);
            candidates.push(Candidate { trunk, number, order, weight: route.weight.max(1) });
        }
        candidates.sort_by_key(|candidate| candidate.order);
        let mut ways = Vec::new();
        while let Some(first) = candidates.first() {
            let equal = candidates.iter().take_while(|candidate| candidate.order == first.order).count();
            let weights: Vec<u32> = candidates[..equal].iter().map(|candidate| candidate.weight).collect();
            let Candidate { trunk, number, .. } = candidates.remove(draw(&weights, random));
            let way = |target: &Target| Way {
                key: trunk.key.clone(),
                number: number.clone(),
                target: target.clone(),
            };
            ways.extend(trunk.targets.iter().take(TARGETS_OF_ONE_MAX).map(way));
        }
        ways.truncate(WAYS_MAX);
        ways
    }
}

impl Condition {
    fn is_full(&mut self, record: &pb::Trunk, now: Instant) -> bool {
        if record.calls_max > 0 && self.calls >= record.calls_max {
            return true;
        }
        record.calls_per_s > 0 && self.level(record.calls_per_s, now) < 1.0
    }

    fn level(&self, per_second: u32, now: Instant) -> f64 {
        let rate = f64::from(per_second);
        match self.started {
            (Some(at), level) => (level + now.saturating_duration_since(at).as_secs_f64() * rate).min(rate),
            (None, _) => rate,
        }
    }

    /// A call goes over it; `calls_per_s` is its rate, 0 for none.
    pub(crate) fn begin(&mut self, calls_per_s: u32, now: Instant) {
        self.calls += 1;
        if calls_per_s > 0 {
            self.started = (Some(now), (self.level(calls_per_s, now) - 1.0).max(0.0));
        }
    }

    pub(crate) fn end(&mut self) {
        self.calls = self.calls.saturating_sub(1);
    }

    /// It did not do what it should: it rests, twice as long each time.
    pub(crate) fn failed(&mut self, now: Instant) {
        let rest = REST_FIRST * 2u32.saturating_pow(self.failures.min(6));
        self.failures += 1;
        self.rests_until = Some(now + rest.min(REST_MAX));
    }

    pub(crate) fn worked(&mut self) {
        (self.failures, self.rests_until) = (0, None);
    }

    fn rests(&self, now: Instant) -> bool {
        self.sick.is_some()
            || self.unregistered.is_some()
            || self.rests_until.is_some_and(|until| until > now)
    }
}

const REST_FIRST: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(120);
/// Addresses of one carrier that one call tries.
const TARGETS_OF_ONE_MAX: usize = 3;
/// Ways that one call tries.
const WAYS_MAX: usize = 8;

#[cfg(test)]
#[path = "table_tests.rs"]
mod tests;
