//! Carriers that ask who we are (RFC 3261, section 22): for the INVITE that opens a call, and for whatever follows it.

use std::time::Instant;

use sidetone_model::ids::LegId;
use sidetone_sip_core::auth::Challenge;
use sidetone_sip_core::message::{Method, Request, Response};

use super::{Trunking, Unanswered};
use crate::agent::Agent;
use crate::trunks::{Trunk, TrunkKey};

impl Trunking {
    /// Keeps a request within a dialog with a carrier until it has its final response: it may have to go out again.
    fn keep(&mut self, leg: LegId, request: &Request, again: bool) {
        let kept = self.unanswered.entry(leg).or_default();
        if kept.len() >= UNANSWERED_MAX {
            kept.remove(0);
        }
        kept.push(Unanswered { request: request.clone(), again });
    }

    /// The request that a final response answers.
    fn answered(&mut self, leg: LegId, response: &Response) -> Option<Request> {
        self.kept(leg, response.cseq_method(), response.cseq()).map(|kept| kept.request)
    }

    /// A request that was kept, for it to go out once more; none the second time.
    pub(in crate::agent) fn goes_again(&mut self, leg: LegId, method: &Method, cseq: u32) -> Option<Request> {
        let Unanswered { request, again } = self.kept(leg, method, cseq)?;
        if again {
            return None;
        }
        // The carrier may ask who we are over the new connection, too.
        self.keep(leg, &request, true);
        Some(request)
    }

    /// A request that was kept, which is no longer kept.
    fn kept(&mut self, leg: LegId, method: &Method, cseq: u32) -> Option<Unanswered> {
        let kept = self.unanswered.get_mut(&leg)?;
        let is_it = |kept: &Unanswered| kept.request.cseq() == cseq && kept.request.method() == *method;
        let request = kept.iter().position(is_it).map(|at| kept.remove(at));
        if kept.is_empty() {
            self.unanswered.remove(&leg);
        }
        request
    }
}

impl Agent {
    /// A request of a leg goes out.
    pub(in crate::agent) fn note_request(&mut self, id: LegId, request: &Request) {
        let within =
            request.to().tag().is_some() && !matches!(request.method(), Method::Ack | Method::Cancel);
        if within && self.trunk_of(id).is_some() {
            self.trunking.keep(id, request, false);
        }
    }

    /// A carrier asks who we are: the request goes out again with the answer, once. True when that is so.
    pub(in crate::agent) fn answers_challenge(
        &mut self,
        id: LegId,
        response: &Response,
        now: Instant,
    ) -> bool {
        if !response.status().is_final() {
            return false;
        }
        let within = self.trunking.answered(id, response);
        let Some(challenge) = Challenge::of(response) else { return false };
        match within {
            Some(request) => self.answers_within(id, &request, &challenge, now),
            None => self.answers_first(id, &challenge, now),
        }
    }

    fn answers_first(&mut self, id: LegId, challenge: &Challenge, now: Instant) -> bool {
        let table = self.trunking.table();
        let Some(attempt) = self.trunking.attempts.get_mut(&id).filter(|attempt| !attempt.challenged) else {
            return false;
        };
        let trunk = table.get(&attempt.way.key);
        let Some((trunk, password)) = trunk.and_then(|trunk| Some((trunk, trunk.password.as_ref()?))) else {
            return false;
        };
        let Some(leg) = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()) else { return false };
        attempt.challenged = true;
        let (uri, cnonce) = (leg.target().to_string(), self.parts.tokens.tag());
        let answer = challenge.answer(trunk.username(), password.reveal(), &Method::Invite, &uri, &cnonce);
        if leg.send_invite_again(challenge.answer_header, &answer).is_err() {
            return false;
        }
        self.settle_leg(id, now);
        true
    }

    fn answers_within(&mut self, id: LegId, request: &Request, challenge: &Challenge, now: Instant) -> bool {
        // It was answered before: the password is not the one.
        if request.header(challenge.answer_header).is_some() {
            return false;
        }
        let (Some(key), table) = (self.trunk_of(id), self.trunking.table()) else { return false };
        let trunk = table.get(&key);
        let Some((trunk, password)) = trunk.and_then(|trunk| Some((trunk, trunk.password.as_ref()?))) else {
            return false;
        };
        let (uri, method) = (request.uri().to_string(), request.method());
        let cnonce = self.parts.tokens.tag();
        let answer = challenge.answer(trunk.username(), password.reveal(), &method, &uri, &cnonce);
        let Some(leg) = self.legs.get_mut(id).and_then(|entry| entry.leg.as_mut()) else { return false };
        if leg.send_again(request, challenge.answer_header, &answer).is_err() {
            return false;
        }
        self.settle_leg(id, now);
        true
    }

    /// Over which trunk a leg's call goes. Of one that was taken up after a restart, its carrier's address tells.
    pub(in crate::agent) fn trunk_of(&self, id: LegId) -> Option<TrunkKey> {
        if let Some(key) = self.trunking.calls.get(&id) {
            return Some(key.clone());
        }
        let entry = self.legs.get(id)?;
        let source = entry.leg.as_ref()?.flow().remote.ip();
        let table = self.trunking.table();
        let of_tenant = |trunk: &&Trunk| trunk.key.0 == entry.tenant;
        table.of_source(source).into_iter().find(of_tenant).map(|trunk| trunk.key.clone())
    }
}

/// Requests of one leg that have no final response yet: one INVITE, and few beside it.
const UNANSWERED_MAX: usize = 8;
