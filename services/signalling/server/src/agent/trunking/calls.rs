//! Calls over trunks: in, by the carrier's address; out, by one way after the other (RFC 3261, section 16.7; RFC 3263,
//! section 4.3).

use std::time::Instant;

use sidetone_model::command::Invite;
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::party::{Binding, Flow, Party};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::identity::{self, Audience};
use sidetone_sip_core::leg::{Encryption, Leg};
use sidetone_sip_core::message::{Method, Request, Response};
use sidetone_sip_core::uri::SipUri;

use super::{Attempt, Trunking};
use crate::agent::Agent;
use crate::agent::requests::class;
use crate::devices::encryption_of;
use crate::replica::wall_clock;
use crate::trunks::{Trunk, TrunkKey, Way};

/// For whom a carrier's call may be: one for each tenant that has this carrier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::agent) struct Arrival {
    pub(in crate::agent) tenant: TenantId,
    pub(in crate::agent) trunk: String,
    pub(in crate::agent) number: String,
    /// Whether signatures of its callers' numbers are looked at.
    pub(in crate::agent) verify: pb::StirVerify,
}

impl Trunking {
    /// What a request from a carrier's address may mean.
    pub(in crate::agent) fn arrivals(&self, request: &Request, flow: &Flow) -> Vec<Arrival> {
        let table = self.table();
        let arrival = |trunk: &&Trunk| {
            let dialled = request.uri().user();
            let registered = trunk.record.register_as.split('@').next().unwrap_or_default();
            // Some carriers call the Contact that we registered, and name the number in To.
            let dialled = if dialled == registered { request.to().uri.user() } else { dialled };
            Arrival {
                tenant: trunk.key.0.clone(),
                trunk: trunk.key.1.clone(),
                number: sidetone_directory::apply_number_rules(&trunk.record.inbound, &dialled),
                verify: trunk.record.stir_verify(),
            }
        };
        table.of_source(flow.remote.ip()).iter().map(arrival).collect()
    }

    /// Whether a trunk has as many calls as it may.
    pub(in crate::agent) fn is_full(&self, arrival: &Arrival) -> bool {
        let key = (arrival.tenant.clone(), arrival.trunk.clone());
        let max = self.table.borrow().get(&key).map_or(0, |trunk| trunk.record.calls_max);
        max > 0 && self.conditions.get(&key).is_some_and(|condition| condition.calls >= max)
    }

    /// Whether what the carrier asserts of its callers is believed (RFC 3325, section 2.3).
    pub(in crate::agent) fn is_trusted(&self, arrival: &Arrival) -> bool {
        let key = (arrival.tenant.clone(), arrival.trunk.clone());
        self.table.borrow().get(&key).is_some_and(|trunk| trunk.record.trusted)
    }

    /// Whether the media of a carrier's calls is encrypted.
    pub(in crate::agent) fn encryption_of(&self, arrival: &Arrival) -> Encryption {
        let key = (arrival.tenant.clone(), arrival.trunk.clone());
        let table = self.table.borrow();
        table.get(&key).map_or_else(Encryption::default, |it| encryption_of(it.record.media_encryption()))
    }

    /// Whether a call goes over a trunk whose redirections are not followed.
    fn ignores_redirects(&self, leg: LegId) -> bool {
        let key = self.calls.get(&leg);
        key.is_some_and(|key| {
            self.table.borrow().get(key).is_some_and(|trunk| trunk.record.redirects_ignored)
        })
    }

    /// Counts a call that came in over a trunk. The trunk's rate is for calls that we make.
    pub(in crate::agent) fn begin(&mut self, leg: LegId, arrival: &Arrival, now: Instant) {
        let key = (arrival.tenant.clone(), arrival.trunk.clone());
        self.conditions.entry(key.clone()).or_default().begin(0, now);
        self.takes(leg, key);
    }

    /// A call of a former life still goes over its trunk.
    pub(in crate::agent) fn resume(&mut self, leg: LegId, key: TrunkKey, now: Instant) {
        self.conditions.entry(key.clone()).or_default().begin(0, now);
        self.takes(leg, key);
    }

    fn takes(&mut self, leg: LegId, key: TrunkKey) {
        self.last.insert(leg, key.1.clone());
        self.calls.insert(leg, key);
    }

    /// Over which trunk a leg came, or went last, whatever became of it.
    pub(in crate::agent) fn last_of(&self, leg: LegId) -> Option<&str> {
        self.last.get(&leg).map(String::as_str)
    }

    /// A leg is over, and has said so.
    pub(in crate::agent) fn forget(&mut self, leg: LegId) {
        self.last.remove(&leg);
    }

    /// Over which trunk a call goes.
    pub(in crate::agent) fn trunk_of(&self, leg: LegId) -> Option<&str> {
        self.calls.get(&leg).map(|(_, trunk)| trunk.as_str())
    }

    /// A call has ended, or takes another way.
    pub(in crate::agent) fn call_over(&mut self, leg: LegId) {
        self.attempts.remove(&leg);
        self.unanswered.remove(&leg);
        if let Some(condition) = self.calls.remove(&leg).and_then(|key| self.conditions.get_mut(&key)) {
            condition.end();
        }
    }

    /// A call stays where it is, whatever comes.
    pub(in crate::agent) fn stays(&mut self, leg: LegId) {
        if let Some(attempt) = self.attempts.remove(&leg)
            && let Some(condition) = self.conditions.get_mut(&attempt.way.key)
        {
            condition.worked();
        }
    }

    /// The call was taken back; it is nobody's fault.
    pub(in crate::agent) fn taken_back(&mut self, leg: LegId) {
        self.attempts.remove(&leg);
    }
}

impl Agent {
    /// Begins a call to a number outside, over the first way that there is.
    pub(in crate::agent) fn invite_outside(
        &mut self,
        id: LegId,
        invite: &Invite,
        number: &str,
        tenant: &TenantId,
        now: Instant,
    ) -> Result<Leg, Termination> {
        let table = self.trunking.table();
        let tokens = &mut self.parts.tokens;
        let mut random = |bound| tokens.below(bound);
        let ways = table.ways(tenant, number, &mut self.trunking.conditions, &mut random, now);
        if ways.is_empty() {
            self.count_trunk("none", "no_way");
            return Err(Termination::new(Cause::NoCapacity).with_text("no trunk takes the number now"));
        }
        let way = ways[0].clone();
        let attempt =
            Attempt { invite: invite.clone(), way, rest: ways.into(), challenged: false, silent_until: None };
        self.next_way(id, attempt, tenant, now)
            .ok_or(Termination::new(Cause::TransportFailure).with_text("no way to any trunk"))
    }

    /// Takes the next way of an attempt that can be taken.
    fn next_way(&mut self, id: LegId, mut attempt: Attempt, tenant: &TenantId, now: Instant) -> Option<Leg> {
        let table = self.trunking.table();
        while let Some(way) = attempt.rest.pop_front() {
            let Some(trunk) = table.get(&way.key) else { continue };
            let Some(leg) = self.leg_over(id, trunk, &way, &attempt.invite, tenant) else {
                self.count_trunk(&way.key.1, "no_transport");
                continue;
            };
            self.trunking.conditions.entry(way.key.clone()).or_default().begin(trunk.record.calls_per_s, now);
            self.trunking.takes(id, way.key.clone());
            (attempt.way, attempt.challenged) = (way, false);
            attempt.silent_until = self.parts.config.carrier_silence().map(|silence| now + silence);
            self.count_trunk(&attempt.way.key.1, "tried");
            self.trunking.attempts.insert(id, attempt);
            return Some(leg);
        }
        None
    }

    fn leg_over(
        &mut self,
        id: LegId,
        trunk: &Trunk,
        way: &Way,
        invite: &Invite,
        tenant: &TenantId,
    ) -> Option<Leg> {
        let uri = SipUri::parse(trunk.record.uri.as_bytes()).ok()?;
        let flow = self.parts.outputs.flow_to(way.target.transport, way.target.address)?;
        self.parts.outputs.connect(&flow, Some(&uri.host()));
        let mut setup = self.leg_setup(flow.clone(), tenant)?;
        let host =
            trunk.record.register_as.split_once('@').map_or_else(|| host_of(&uri), |(_, d)| d.to_owned());
        setup.domain = host.into();
        setup.encryption = encryption_of(trunk.record.media_encryption());
        let port = uri.port().map(|port| format!(":{port}")).unwrap_or_default();
        let transport = match uri.param("transport") {
            Some(transport) => format!(";transport={transport}"),
            None => String::new(),
        };
        let mut invite = invite.clone();
        let contact = format!("sip:{}@{}{port}{transport}", way.number, host_of(&uri));
        invite.binding = Binding { contact_uri: contact.into(), flow, ..invite.binding };
        invite.to = way.number.as_str().into();
        let audience = trunk.audience();
        if invite.anonymous
            && audience != Audience::Stranger
            && let Some((number, display_name)) = identity::asserted(&invite)
        {
            invite.from = Party { number, display_name, ..invite.from };
        }
        trunk.show_caller(&mut invite.from);
        let mut leg =
            Leg::outgoing(setup, &invite, audience, id.sip_call_id(), &mut self.parts.tokens).ok()?;
        let key = trunk.record.stir_sign.as_str();
        if !key.is_empty() {
            let (stir, key) = (&self.parts.stir, (tenant, trunk.key.1.as_str(), key));
            leg.amend_invite(|request| stir.sign(request, key, invite.from.proof, wall_clock()));
        }
        Some(leg)
    }

    /// A leg says something of its call: when a way failed, the call takes the next one and nothing is said; nor is it of a
    /// redirection that is not to be followed, whose end follows. True when that is so.
    pub(in crate::agent) fn takes_next_way(&mut self, id: LegId, kind: &LegSignalKind, now: Instant) -> bool {
        if matches!(kind, LegSignalKind::Redirected { .. }) && self.trunking.ignores_redirects(id) {
            let trunk = self.trunking.trunk_of(id).unwrap_or_default().to_owned();
            self.count_trunk(&trunk, "redirect_ignored");
            return true;
        }
        let LegSignalKind::Ended(termination) = kind else {
            self.trunking.stays(id);
            return false;
        };
        let Some(leg) = self.next_leg(id, termination, now) else { return false };
        self.legs.replace(id, leg);
        true
    }

    /// What takes the place of a leg whose way failed; none when it is not the carrier's fault, or there is no other way.
    pub(super) fn next_leg(&mut self, id: LegId, termination: &Termination, now: Instant) -> Option<Leg> {
        let attempt = self.trunking.attempts.remove(&id)?;
        self.trunking.call_over(id);
        let name = attempt.way.key.1.clone();
        let failed = is_the_carriers(termination);
        let condition = self.trunking.conditions.entry(attempt.way.key.clone()).or_default();
        if !failed {
            condition.worked();
            self.count_trunk(&name, "refused");
            return None;
        }
        if rests(termination) {
            condition.failed(now);
        }
        self.count_trunk(&name, "failed");
        let tenant = self.legs.get(id)?.tenant.clone();
        self.next_way(id, attempt, &tenant, now)
    }

    /// What a carrier says to our INVITEs.
    pub(in crate::agent) fn count_response_of_trunk(&self, leg: LegId, response: &Response) {
        let to_invite = *response.cseq_method() == Method::Invite && response.status().is_final();
        if let Some(trunk) = self.trunking.trunk_of(leg).filter(|_| to_invite) {
            let told = &self.parts.telemetry.signalling.trunk_responses;
            told.with_label_values(&[trunk, class(response)]).inc();
        }
    }

    pub(in crate::agent) fn count_trunk(&self, trunk: &str, result: &str) {
        self.parts.telemetry.signalling.trunk_calls.with_label_values(&[trunk, result]).inc();
    }
}

/// Whether another carrier may do what this one did not: it does not answer, or says that it cannot.
fn is_the_carriers(termination: &Termination) -> bool {
    match termination.sip_status {
        Some(status) => matches!(status, 408 | 429 | 500..=599),
        None => matches!(termination.cause, Cause::Timeout | Cause::TransportFailure),
    }
}

/// Whether what was wrong lies in the carrier and not in the one call: another 5xx may be about this number only.
fn rests(termination: &Termination) -> bool {
    matches!(termination.sip_status, None | Some(408 | 429 | 503))
}

/// As it stands in a URI.
fn host_of(uri: &SipUri) -> String {
    let host = uri.host();
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host }
}
