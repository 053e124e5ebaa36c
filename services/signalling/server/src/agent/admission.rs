//! From a request outside of a dialog to a leg or a registration: limits, tenant, credentials.

use std::sync::Arc;
use std::time::Instant;

use sidetone_directory::{Algorithm as Kept, Credential};
use sidetone_model::classify::{Classify as _, IdentityFault};
use sidetone_model::ids::{CallId, LegId, TenantId};
use sidetone_model::party::{Flow, Party, Proof};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_proto::directory::v1::StirVerify;
use sidetone_sip_core::auth::{Algorithm, Credentials, Ha1, Purpose, StoredHashes, Verdict};
use sidetone_sip_core::identity::{self, CallerIdentity};
use sidetone_sip_core::leg::{Caller, Encryption, Leg, LegOutput};
use sidetone_sip_core::message::{Method, Request, Response, ResponseBuilder, Status};
use sidetone_sip_core::transaction::{ServerTx, flow_back};
use sidetone_sip_core::warning;

use super::Agent;
use super::legs::MergeKey;
use super::lookup::{self, Finding, Identity, LookupError, Question};
use super::pick_up::watched_in;
use crate::defence::Penalty;
use crate::replica::wall_clock;
use crate::stir;
use crate::transport::Shown;

/// A request that waits for the directory.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) flow: Flow,
    pub(super) request: Request,
    merge: Option<MergeKey>,
}

/// Who sent a request.
enum Sender {
    /// Proved by credentials.
    Known(Credential),
    /// Not proved, and need not be.
    Unknown,
    /// Must be proved, (again) because `stale`.
    Challenge {
        stale: bool,
        verdict: &'static str,
        /// Under which name a wrong password was given.
        wrong_user: Option<Box<str>>,
    },
    Malformed,
}

impl Agent {
    /// Looks at what can be seen without the directory, and asks it.
    pub(super) fn admit(&mut self, tx: ServerTx, flow: Flow, request: Request, now: Instant) {
        let invite = request.method() == Method::Invite;
        if invite && let Some(reason) = self.closed_for_calls(now) {
            self.count_refused(reason);
            return self.refuse(tx, &request, Cause::NoCapacity, now);
        }
        if self.pending.len() >= PENDING_MAX {
            self.count_refused("pending_lookups");
            return self.refuse(tx, &request, Cause::NoCapacity, now);
        }
        let merge = invite.then(|| merge_key(&request));
        if let Some(key) = &merge
            && (self.legs.is_merged(key) || self.pending.values().any(|p| p.merge.as_ref() == Some(key)))
        {
            return self.answer(tx, &request, Status::LOOP_DETECTED, now);
        }
        let arrivals = match invite {
            true => self.trunking.arrivals(&request, &flow),
            false => Vec::new(),
        };
        let verifies = arrivals.iter().any(|arrival| arrival.verify != StirVerify::Off);
        let asked = verifies.then(|| stir::Asked::of(&request));
        let question = Question { arrivals, ..question(&request) };
        let (directory, findings) = (self.parts.directory.clone(), self.findings.clone());
        let stir = Arc::clone(&self.parts.stir);
        tokio::spawn(async move {
            let result = lookup::judge(&directory, question, (&stir, asked)).await;
            let _agent_gone = findings.send(Finding::Identity { tx, result }).await;
        });
        self.pending.insert(tx, Pending { flow, request, merge });
    }

    /// Why no new call is taken now.
    pub(super) fn closed_for_calls(&mut self, now: Instant) -> Option<&'static str> {
        if self.draining {
            Some("draining")
        } else if !self.upstream.is_attached() {
            Some("no_owner")
        } else if self.legs.live() >= self.parts.config.legs_max {
            Some("legs")
        } else if self.legs.is_full() {
            Some("unacknowledged_signals")
        } else if self.is_owner_behind(now) {
            Some("owner_behind")
        } else {
            None
        }
    }

    /// Whether the owner takes calls up so late that whoever calls next had better be told so: a caller that is refused at once
    /// tries elsewhere, and one that hears nothing for seconds hangs up, after all the work was done (RFC 7339, section 1).
    fn is_owner_behind(&mut self, now: Instant) -> bool {
        let since = self.legs.waits_since();
        let waited = since.map(|since| now.saturating_duration_since(since));
        waited.zip(self.parts.config.behind_max()).is_some_and(|(waited, max)| waited > max)
    }

    /// A CANCEL came before the directory's answer.
    pub(super) fn cancel_pending(&mut self, invite: ServerTx, now: Instant) {
        if let Some(pending) = self.pending.remove(&invite) {
            self.answer(invite, &pending.request, Status::REQUEST_TERMINATED, now);
        }
    }

    pub(super) fn handle_finding(&mut self, finding: Finding, now: Instant) {
        match finding {
            Finding::Identity { tx, result } => {
                // Cancelled meanwhile.
                let Some(pending) = self.pending.remove(&tx) else { return };
                match result {
                    Ok(Some(identity)) => self.judge(tx, pending, identity, now),
                    Ok(None) if !self.parts.defence.is_known(pending.flow.remote, now) => {
                        self.parts.defence.dropped("unknown_domain", now);
                        self.parts.transactions.drop_silently(tx);
                    }
                    Ok(None) => {
                        self.count_refused("unknown_domain");
                        let response = self.response(&pending.request, Status::NOT_FOUND);
                        let response = response.header("Warning", warning::of_unknown_domain()).build();
                        self.respond(tx, response, now);
                    }
                    Err(error) => self.refuse_for(tx, &pending.request, &error, now),
                }
            }
            Finding::Moved { leg, request: Some(waiting), found } => {
                self.handle_moved(leg, waiting, found, now);
            }
            Finding::Moved { leg, request: None, found } => self.handle_found_again(leg, found, now),
            Finding::DialogStored { leg, stored } => self.handle_dialog_stored(leg, stored, now),
            Finding::Stored { tx, result } => self.handle_stored(tx, result, now),
            Finding::Seen { id, seen } => self.handle_seen(id, seen, now),
            Finding::SubscriberMoved { id, found } => self.handle_subscriber_moved(id, found, now),
            Finding::Watchable { tx, result } => self.handle_watchable(tx, result, now),
            Finding::Taking { tx, by, may } => self.handle_taking(tx, *by, may, now),
        }
    }

    pub(super) fn refuse_for(&mut self, tx: ServerTx, request: &Request, error: &LookupError, now: Instant) {
        tracing::warn!(%error, source = ?std::error::Error::source(error).map(ToString::to_string), "no answer from the directory");
        self.count_refused(error.reason());
        self.refuse(tx, request, error.class().cause(), now);
    }

    fn judge(&mut self, tx: ServerTx, pending: Pending, identity: Identity, now: Instant) {
        if pending.request.method() == Method::Options {
            return self.answer_options(tx, &pending.request, None, now);
        }
        let register = pending.request.method() == Method::Register;
        match self.authenticate(&pending.request, &pending.flow, &identity) {
            Sender::Known(credential) => {
                self.parts.defence.proved(&pending.request, &pending.flow, Shown::Identity, now);
                if !self.parts.defence.take_of_tenant(&identity.tenant, now) {
                    return self.refuse(tx, &pending.request, Cause::NoCapacity, now);
                }
                self.learn_domain(&identity.tenant, &pending.request);
                match pending.request.method() {
                    Method::Register => self.register(tx, pending, &identity, &credential, now),
                    Method::Subscribe => self.subscribe(tx, pending, &identity, &credential, now),
                    _ => self.offer_if_it_may(tx, pending, identity, credential, now),
                }
            }
            Sender::Unknown => {
                self.parts.defence.let_in(&pending.flow, now);
                if let Some(fault) = unproved(&identity) {
                    return self.refuse_unproved(tx, &pending.request, fault, now);
                }
                if watched_in(&pending.request).is_some() {
                    return self.refuse_to_take(tx, &pending.request, now);
                }
                if !self.parts.defence.take_of_tenant(&identity.tenant, now) {
                    return self.refuse(tx, &pending.request, Cause::NoCapacity, now);
                }
                self.offer(tx, pending, &identity, None, now);
            }
            Sender::Malformed => {
                self.refused_as_bad("malformed_credentials", now);
                self.refuse(tx, &pending.request, Cause::ProtocolError, now);
            }
            Sender::Challenge { stale, verdict, wrong_user } => {
                if register {
                    self.count_registration(verdict);
                } else {
                    self.count_refused(verdict);
                }
                match wrong_user {
                    Some(username) => self.punish(tx, &pending, &identity.tenant, &username, now),
                    None => self.challenge(tx, &pending.request, &identity.tenant, stale, now),
                }
            }
        }
    }

    /// Refuses a carrier's call whose number is not proved although it must be (RFC 8224, section 6.2.2), and says why
    /// (RFC 9410).
    fn refuse_unproved(&mut self, tx: ServerTx, request: &Request, fault: IdentityFault, now: Instant) {
        self.count_refused("stir");
        let (status, phrase) = (fault.sip_status(), fault.phrase());
        let reason = format!("STIR;cause={status};text=\"{phrase}\"");
        let status = Status::new(status).unwrap_or(Status::FORBIDDEN);
        let response = self.response(request, status).header("Reason", reason).build();
        self.respond(tx, response, now);
    }

    fn authenticate(&mut self, request: &Request, flow: &Flow, identity: &Identity) -> Sender {
        let realm = identity.tenant.as_str();
        let credentials = credentials(request);
        let ours = credentials.iter().find(|credentials| credentials.realm() == realm);
        let Some(credentials) = ours else {
            let unproved = identity.open && request.method() == Method::Invite;
            return if unproved {
                Sender::Unknown
            } else {
                Sender::Challenge { stale: false, verdict: "challenged", wrong_user: None }
            };
        };
        let stored = identity.credential.as_ref().map(hashes);
        let purpose = Purpose::of(request, &self.own_hosts(flow, identity));
        let verdict =
            self.parts.authenticator.verify(&purpose, realm, credentials, stored.as_ref(), wall_clock());
        match (verdict, &identity.credential) {
            (Verdict::Ok, Some(credential)) => Sender::Known(credential.clone()),
            (Verdict::Malformed, _) => Sender::Malformed,
            (Verdict::Stale, _) => {
                Sender::Challenge { stale: true, verdict: verdict.label(), wrong_user: None }
            }
            (Verdict::Ok | Verdict::Wrong, _) => {
                let username = credentials.username().chars().take(USERNAME_MAX).collect::<String>();
                Sender::Challenge { stale: false, verdict: "wrong", wrong_user: Some(username.into()) }
            }
        }
    }

    /// Names and addresses by which the sender of a request may know us: beside that in the Request-URI the tenant's name, which
    /// is the realm, its domains, and the address to which the request came.
    fn own_hosts(&self, flow: &Flow, identity: &Identity) -> Vec<String> {
        let advertised = self.parts.outputs.advertised(flow);
        let addresses = advertised.iter().chain([&flow.local]).map(|address| address.ip().to_string());
        addresses.chain(identity.domains.iter().cloned()).chain([identity.tenant.to_string()]).collect()
    }

    fn challenge(&mut self, tx: ServerTx, request: &Request, tenant: &TenantId, stale: bool, now: Instant) {
        let challenge = self.make_challenge(request, tenant, stale);
        self.respond(tx, challenge, now);
    }

    /// Says no more than it must: it goes to who has proved nothing.
    fn make_challenge(&mut self, request: &Request, tenant: &TenantId, stale: bool) -> Response {
        let tokens = &mut self.parts.tokens;
        let challenges = self.parts.authenticator.challenge(tenant.as_str(), stale, tokens, wall_clock());
        let response = ResponseBuilder::new(request, Status::UNAUTHORIZED, &tokens.tag());
        challenges.into_iter().fold(response, |r, challenge| r.header("WWW-Authenticate", challenge)).build()
    }

    /// A wrong password: the next one must wait, and after too many nothing is said any more.
    fn punish(&mut self, tx: ServerTx, pending: &Pending, tenant: &TenantId, username: &str, now: Instant) {
        match self.parts.defence.failed(pending.flow.remote, tenant, username, now) {
            Penalty::Wait(delay) if delay.is_zero() => {
                self.challenge(tx, &pending.request, tenant, false, now)
            }
            Penalty::Wait(delay) => {
                let challenge = self.make_challenge(&pending.request, tenant, false);
                if !self.delayed.hold(now + delay, tx, challenge) {
                    self.parts.transactions.drop_silently(tx);
                }
            }
            Penalty::Silence => self.parts.transactions.drop_silently(tx),
        }
    }

    /// Bounded by the number of tenants: only theirs get here.
    fn learn_domain(&mut self, tenant: &TenantId, request: &Request) {
        let host = request.uri().host();
        let host = if host.contains(':') { format!("[{host}]") } else { host };
        self.domains.insert(tenant.clone(), host.into());
    }

    /// A call comes in: a leg is made and call control is told.
    pub(super) fn offer(
        &mut self,
        tx: ServerTx,
        pending: Pending,
        identity: &Identity,
        credential: Option<Credential>,
        now: Instant,
    ) {
        let Pending { flow, request, merge } = pending;
        // The state may have changed while the directory was asked.
        if let Some(reason) = self.closed_for_calls(now) {
            self.count_refused(reason);
            return self.refuse(tx, &request, Cause::NoCapacity, now);
        }
        if let Some(arrival) = &identity.arrival
            && self.trunking.is_full(arrival)
        {
            self.count_trunk(&arrival.trunk, "full");
            return self.refuse(tx, &request, Cause::NoCapacity, now);
        }
        let Some(mut setup) = self.leg_setup(flow_back(&request, &flow), &identity.tenant) else {
            return self.refuse(tx, &request, Cause::Internal, now);
        };
        setup.encryption = match (&identity.arrival, &credential) {
            (Some(arrival), _) => self.trunking.encryption_of(arrival),
            (None, Some(known)) => self.encryption_of(&identity.tenant, &known.user, &known.device),
            (None, None) => Encryption::default(),
        };
        let caller_identity = self.identity_of(&request, identity, credential.as_ref());
        let owner = credential.as_ref().map(|known| (known.user.clone(), known.device.clone()));
        let replaces = match self.replaced_by(&request, &identity.tenant) {
            Ok(replaces) => replaces,
            Err(status) => {
                self.refused_as_bad("replaces", now);
                return self.answer(tx, &request, status, now);
            }
        };
        let (user, device) = credential.map(|known| (known.user, known.device)).unzip();
        let caller = Caller { identity: caller_identity, user, device, replaces };
        match Leg::incoming(setup, tx, request, caller, &mut self.parts.tokens, now) {
            Ok(leg) => {
                let id = self.open_incoming(tx, leg, identity, merge, now);
                // It goes on with the call of the leg whose place it takes.
                if let Some(call) = replaces.and_then(|replaced| self.parts.ladder.call_of(replaced)) {
                    self.parts.ladder.belongs(id, call);
                }
                if let Some((user, device)) = owner {
                    self.note_owner(id, &user, &device);
                }
            }
            Err(refusal) => {
                self.refused_as_bad("unacceptable_invite", now);
                self.respond(tx, *refusal, now);
            }
        }
    }

    /// Who calls: what a trusted carrier asserts, a name of its own that a user wants, or what anybody says.
    fn identity_of(
        &self,
        request: &Request,
        identity: &Identity,
        known: Option<&Credential>,
    ) -> CallerIdentity {
        let trusted = identity.arrival.as_ref().is_some_and(|arrival| self.trunking.is_trusted(arrival));
        let mut caller = identity::read(request, trusted, self.parts.config.header_bounds());
        let count = |reason, count: usize| {
            let left_out = &self.parts.telemetry.signalling.headers_left_out;
            left_out.with_label_values(&[reason]).inc_by(count as u64);
        };
        count("bounds", caller.left_out);
        count("distrusted", caller.distrusted);
        let Some(known) = known else { return caller };
        // That a user wants to be anonymous is call control's affair; here it is known who it is.
        let from = request.from();
        let own = is_own_name(known, identity, request);
        caller.number = match &identity.claimed {
            Some(number) => number.as_str().into(),
            None if own => from.uri.user().into(),
            None => known.user.as_str().into(),
        };
        caller.display_name = match (caller.anonymous, &*identity.display_name) {
            (true, _) => "".into(),
            (false, "") if own => from.display_name.clone(),
            (false, name) => name.into(),
        };
        caller
    }

    fn open_incoming(
        &mut self,
        tx: ServerTx,
        mut leg: Leg,
        identity: &Identity,
        merge: Option<MergeKey>,
        now: Instant,
    ) -> LegId {
        let id: LegId = self.parts.ids.make(wall_clock());
        let tenant = identity.tenant.clone();
        self.parts.transactions.assign(tx, id);
        let call = CallId::from(id.as_uuid());
        tracing::debug!(leg = %id, %call, %tenant, "a call comes in");
        // The first output is Offered.
        let first = leg.poll_output();
        let caller = merge.as_ref().map(|(_, tag, _)| (&**tag, leg.flow().remote));
        self.parts.ladder.begin(id, &tenant, &leg.dialog_key(), caller);
        self.legs.insert(id, tenant, Some(leg), merge);
        if let Some(LegOutput::Signal(LegSignalKind::Offered(mut offered))) = first {
            if let Some(arrival) = &identity.arrival {
                self.trunking.begin(id, arrival, now);
                offered.dialled = arrival.number.as_str().into();
            }
            offered.from.proof = proof_of(identity, &offered.from);
            self.signal(id, LegSignalKind::Offered(offered), now);
        }
        self.settle_leg(id, now);
        id
    }
}

/// Whether a proved caller appears under a name of its own: its user id, its digest user name, or a number of its user.
pub(super) fn is_own_name(known: &Credential, identity: &Identity, request: &Request) -> bool {
    let claimed = match request.method() {
        Method::Register => request.to().uri.user(),
        _ => request.from().uri.user(),
    };
    let auth_username = credentials(request).iter().any(|c| c.username() == claimed);
    auth_username || claimed == known.user.as_str() || identity.claimed.is_some()
}

/// What vouches for the number under which a caller is shown.
fn proof_of(identity: &Identity, from: &Party) -> Proof {
    match (&identity.verdict, &from.user) {
        (Some(verdict), _) => stir::proof(verdict, &from.number),
        (None, Some(_)) if identity.claimed.as_deref() == Some(&*from.number) => Proof::Own,
        (None, Some(_)) => Proof::User,
        (None, None) => Proof::None,
    }
}

/// Why a call must not be taken; none when its number is proved or need not be.
fn unproved(identity: &Identity) -> Option<IdentityFault> {
    let required = identity.arrival.as_ref().is_some_and(|arrival| arrival.verify == StirVerify::Require);
    match &identity.verdict {
        Some(Err(fault)) if required => Some(fault.identity_fault()),
        _ => None,
    }
}

fn merge_key(request: &Request) -> MergeKey {
    let tag = request.from().tag().unwrap_or_default();
    (request.call_id().into(), tag.into(), request.cseq())
}

/// The credentials of both headers: some phones keep to the proxy's one.
fn credentials(request: &Request) -> Vec<Credentials> {
    let texts = request.authorization().into_iter().chain(request.proxy_authorization());
    texts.take(CREDENTIALS_MAX).filter_map(|text| Credentials::parse(&text)).collect()
}

fn question(request: &Request) -> Question {
    let register = request.method() == Method::Register;
    let claimed = match register {
        true => vec![request.to().uri.user()],
        false => identity::preferred_number(request).into_iter().chain([request.from().uri.user()]).collect(),
    };
    let credentials = credentials(request);
    let host = request.uri().host();
    let named_hosts = credentials.iter().filter_map(Credentials::named_host);
    Question {
        named_hosts: named_hosts.filter(|named| *named != host).collect(),
        host,
        usernames: credentials.iter().map(|c| (c.realm().to_owned(), c.username().to_owned())).collect(),
        dialled: (!register).then(|| request.uri().user()),
        claimed,
        arrivals: Vec::new(),
    }
}

fn hashes(credential: &Credential) -> StoredHashes {
    let hash = |kept: Kept, algorithm: Algorithm| {
        let (_, hex) = credential.ha1.iter().find(|(have, _)| *have == kept)?;
        Ha1::from_hex(algorithm, hex).ok()
    };
    StoredHashes {
        sha256: hash(Kept::Sha256, Algorithm::Sha256),
        sha512_256: hash(Kept::Sha512_256, Algorithm::Sha512_256),
        md5: hash(Kept::Md5, Algorithm::Md5),
    }
}

/// Characters of a user name that are kept.
const USERNAME_MAX: usize = 128;
/// Requests that may wait for the directory at a time.
const PENDING_MAX: usize = 4096;
/// Credentials in one request that are looked at: one per realm and algorithm is what phones send.
const CREDENTIALS_MAX: usize = 8;
