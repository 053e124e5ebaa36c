//! What a trunk needs beside its calls: it is registered (RFC 3261, section 10.2) and asked whether it lives (OPTIONS).

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use sidetone_model::ids::LegId;
use sidetone_model::party::Flow;
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::auth::Challenge;
use sidetone_sip_core::message::{Contact, Method, Request, RequestBuilder, Response, Status};
use sidetone_sip_core::transaction::Failure;
use sidetone_sip_core::uri::{NameAddr, SipUri};

use crate::agent::Agent;
use crate::replica::wall_clock;
use crate::trunks::{Trunk, TrunkKey};

/// When what is due.
#[derive(Debug, Default)]
pub(super) struct Schedule {
    options_at: Option<Instant>,
    register_at: Option<Instant>,
    /// One Call-ID for all REGISTERs (RFC 3261, section 10.2), and their CSeq number.
    call_id: String,
    cseq: u32,
    /// The least time that the registrar takes.
    expires_min_s: u32,
    /// Which of its addresses is talked to.
    target: usize,
}

/// A request of ours to a carrier.
pub(super) struct Job {
    key: TrunkKey,
    request: Request,
    flow: Flow,
    challenged: bool,
}

impl Agent {
    /// Does what is due.
    pub(in crate::agent) fn tend_trunks(&mut self, now: Instant) {
        if self.trunking.tick_at.is_some_and(|at| at > now) {
            return;
        }
        self.trunking.tick_at = Some(now + TICK);
        let table = self.trunking.table();
        self.trunking.schedules.retain(|key, _| table.get(key).is_some_and(|trunk| trunk.held));
        for trunk in table.trunks.iter().filter(|trunk| trunk.held && !trunk.record.disabled) {
            let fresh = || Schedule {
                options_at: Some(now),
                register_at: Some(now),
                call_id: self.parts.tokens.call_id(),
                ..Schedule::default()
            };
            let schedule = self.trunking.schedules.entry(trunk.key.clone()).or_insert_with(fresh);
            let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
            let options = trunk.record.options_interval_s > 0 && due(schedule.options_at);
            let register = !trunk.record.register_as.is_empty() && due(schedule.register_at);
            if options {
                let pause = Duration::from_secs(trunk.record.options_interval_s.into());
                schedule.options_at = Some(now + pause);
                self.send_to_trunk(trunk, Method::Options, now);
            }
            if register {
                // Until the answer says when again.
                let schedule = self.trunking.schedules.entry(trunk.key.clone()).or_default();
                schedule.register_at = None;
                self.send_to_trunk(trunk, Method::Register, now);
            }
        }
        self.report_trunks();
    }

    fn send_to_trunk(&mut self, trunk: &Trunk, method: Method, now: Instant) {
        let register = method == Method::Register;
        match self.request_to_trunk(trunk, method) {
            Some((request, flow)) => {
                let job = Job { key: trunk.key.clone(), request, flow, challenged: false };
                self.send_job(job, now);
            }
            None => self.trunk_failed(&trunk.key, register, "unreachable", now),
        }
    }

    fn request_to_trunk(&mut self, trunk: &Trunk, method: Method) -> Option<(Request, Flow)> {
        let uri = SipUri::parse(trunk.record.uri.as_bytes()).ok()?;
        let schedule = self.trunking.schedules.entry(trunk.key.clone()).or_default();
        let target = trunk.targets.get(schedule.target % trunk.targets.len().max(1))?;
        let flow = self.parts.outputs.flow_to(target.transport, target.address)?;
        let advertised = self.parts.outputs.advertised(&flow)?;
        schedule.cseq += 1;
        let cseq = schedule.cseq;
        let tokens = &mut self.parts.tokens;
        let via = format!("SIP/2.0/{} {advertised};branch={};rport", flow.transport.token(), tokens.branch());
        let own = match trunk.record.register_as.split_once('@') {
            Some((user, domain)) => SipUri::sip(user, domain).ok()?,
            None => SipUri::parse(format!("sip:{advertised}")).ok()?,
        };
        let user = trunk.record.register_as.split('@').next().unwrap_or_default();
        let at = if user.is_empty() { String::new() } else { format!("{user}@") };
        let contact = format!("<sip:{at}{advertised};transport={}>", flow.transport.uri_parameter());
        let from = NameAddr::new("", own.clone()).with_param("tag", &tokens.tag());
        let register = method == Method::Register;
        let (target, to, call_id) = match register {
            true => {
                let domain = own.host();
                (
                    SipUri::parse(format!("sip:{domain}")).ok()?,
                    NameAddr::new("", own),
                    schedule.call_id.clone(),
                )
            }
            false => (uri.clone(), NameAddr::new("", uri.clone()), tokens.call_id()),
        };
        let expires = match trunk.record.register_expires_s {
            0 => EXPIRES_DEFAULT_S,
            seconds => seconds,
        };
        let expires = register.then(|| expires.max(schedule.expires_min_s).to_string());
        let request = RequestBuilder::new(method, target, via, &from, &to, &call_id, cseq)
            .header("Contact", contact)
            .header_opt("Expires", expires)
            .header("User-Agent", crate::agent::requests::PRODUCT)
            .build()
            .ok()?;
        self.parts.outputs.connect(&flow, Some(&uri.host()));
        Some((request, flow))
    }

    fn send_job(&mut self, job: Job, now: Instant) {
        let id: LegId = self.parts.ids.make(wall_clock());
        let sent = self.parts.transactions.send_request(job.request.clone(), &job.flow, id, now);
        match sent {
            Ok(_) => drop(self.trunking.jobs.insert(id, job)),
            Err(_) => {
                let register = job.request.method() == Method::Register;
                self.trunk_failed(&job.key, register, "full", now);
            }
        }
    }

    /// A response to a request that belongs to no leg. False when it is a leg's.
    pub(in crate::agent) fn handle_job_response(
        &mut self,
        id: LegId,
        response: &Response,
        now: Instant,
    ) -> bool {
        if !self.trunking.jobs.contains_key(&id) {
            return false;
        }
        if response.status().is_final()
            && let Some(job) = self.trunking.jobs.remove(&id)
        {
            match self.answered(&job, response) {
                Some(again) => self.send_job(again, now),
                None => self.job_done(&job, response, now),
            }
        }
        true
    }

    /// The request once more, with the answer to a challenge.
    fn answered(&mut self, job: &Job, response: &Response) -> Option<Job> {
        let challenge = Challenge::of(response).filter(|challenge| !job.challenged || challenge.stale)?;
        let table = self.trunking.table();
        let trunk = table.get(&job.key)?;
        let schedule = self.trunking.schedules.get_mut(&job.key)?;
        let (uri, cnonce) = (job.request.uri().to_string(), self.parts.tokens.tag());
        let password = trunk.password.as_ref()?.reveal();
        let answer = challenge.answer(trunk.username(), password, &job.request.method(), &uri, &cnonce);
        let advertised = self.parts.outputs.advertised(&job.flow)?;
        let branch = self.parts.tokens.branch();
        let via = format!("SIP/2.0/{} {advertised};branch={branch};rport", job.flow.transport.token());
        schedule.cseq += 1;
        let request = job.request.again(&via, schedule.cseq, challenge.answer_header, &answer)?;
        Some(Job { key: job.key.clone(), request, flow: job.flow.clone(), challenged: true })
    }

    fn job_done(&mut self, job: &Job, response: &Response, now: Instant) {
        let status = response.status();
        if job.request.method() == Method::Options {
            // Whoever answers, lives; 503 and 408 say that nothing lives behind it.
            let dead = matches!(status.code(), 408 | 503);
            return match dead {
                true => self.trunk_failed(&job.key, false, &status.code().to_string(), now),
                false => {
                    let condition = self.condition_of(&job.key);
                    (condition.sick, condition.asked) = (None, true);
                }
            };
        }
        if status == Status::INTERVAL_TOO_BRIEF
            && let Some(min) = response.header("Min-Expires").and_then(|text| text.trim().parse().ok())
            && let Some(schedule) = self.trunking.schedules.get_mut(&job.key)
        {
            (schedule.expires_min_s, schedule.register_at) = (min, Some(now));
            return;
        }
        if !status.is_success() {
            return self.trunk_failed(&job.key, true, &status.code().to_string(), now);
        }
        let granted_s = granted(response, &job.request).max(EXPIRES_LEAST_S);
        if let Some(schedule) = self.trunking.schedules.get_mut(&job.key) {
            schedule.register_at = Some(now + Duration::from_secs(u64::from(granted_s) * 4 / 5));
        }
        self.condition_of(&job.key).unregistered = None;
    }

    /// A request that belongs to no leg got no answer. False when it is a leg's.
    pub(in crate::agent) fn handle_job_failure(&mut self, id: LegId, failure: Failure, now: Instant) -> bool {
        let Some(job) = self.trunking.jobs.remove(&id) else { return false };
        let problem = match failure {
            Failure::Timeout => "timeout",
            Failure::Transport => "transport",
        };
        let register = job.request.method() == Method::Register;
        self.trunk_failed(&job.key, register, problem, now);
        true
    }

    fn trunk_failed(&mut self, key: &TrunkKey, register: bool, problem: &str, now: Instant) {
        if let Some(schedule) = self.trunking.schedules.get_mut(key) {
            schedule.target += 1;
            if register {
                schedule.register_at = Some(now + REGISTER_PAUSE);
            }
        }
        let trunk = &key.1;
        let condition = self.condition_of(key);
        condition.asked |= !register;
        let told = if register { &mut condition.unregistered } else { &mut condition.sick };
        if told.as_deref() != Some(problem) {
            tracing::warn!(trunk, problem, register, "a trunk does not do what it should");
        }
        *told = Some(problem.to_owned());
        self.count_trunk(trunk, if register { "register_failed" } else { "options_failed" });
    }

    fn condition_of(&mut self, key: &TrunkKey) -> &mut crate::trunks::Condition {
        self.trunking.conditions.entry(key.clone()).or_default()
    }

    /// Tells the keeper of the table, which writes it down.
    fn report_trunks(&self) {
        let mut reports = self.trunking.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.retain(|key, _| self.trunking.schedules.contains_key(key));
        let table = self.trunking.table();
        for trunk in table.trunks.iter().filter(|trunk| self.trunking.schedules.contains_key(&trunk.key)) {
            let condition = self.trunking.conditions.get(&trunk.key);
            let problem = condition.and_then(|c| c.unregistered.clone().or_else(|| c.sick.clone()));
            let unknown = trunk.record.options_interval_s > 0 && condition.is_none_or(|c| !c.asked);
            // Not known to be registered is not registered.
            let waits = trunk.record.register_as.is_empty()
                || self.trunking.schedules.get(&trunk.key).is_some_and(|s| s.register_at.is_some());
            let state = pb::TrunkState {
                healthy: !unknown && condition.is_none_or(|c| c.sick.is_none()),
                unknown,
                registered: waits && condition.is_none_or(|c| c.unregistered.is_none()),
                problem: problem.unwrap_or_default(),
                calls: condition.map_or(0, |c| c.calls),
                ..pb::TrunkState::default()
            };
            reports.insert(trunk.key.clone(), state);
        }
    }
}

/// What the registrar granted to our Contact (RFC 3261, section 10.2.4).
fn granted(response: &Response, request: &Request) -> u32 {
    let asked = request.expires_s().unwrap_or(EXPIRES_DEFAULT_S);
    let contacts = response.contacts().unwrap_or_default();
    let user = request.to().uri.user();
    let own = contacts.iter().find_map(|contact| match contact {
        Contact::Address(address) if address.uri.user() == user => address.param("expires")?.parse().ok(),
        _ => None,
    });
    own.or_else(|| response.expires_s()).unwrap_or(asked)
}

const TICK: Duration = Duration::from_millis(500);
const REGISTER_PAUSE: Duration = Duration::from_secs(30);
const EXPIRES_DEFAULT_S: u32 = 600;
const EXPIRES_LEAST_S: u32 = 30;
