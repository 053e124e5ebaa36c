//! What keeps hostile requests from costing us, our phones or third parties anything.
//!
//! | attack | answer |
//! |---|---|
//! | a scanner looks for SIP servers | silence to its User-Agent, to domains that nobody has, and to OPTIONS that names an address |
//! | it tries which users exist | the same challenge for those who do and those who do not, after the same work |
//! | it guesses passwords | each wrong one is answered later, and then its network not at all for a while |
//! | it floods | a bound on requests of each network and of each tenant |
//! | it lets us answer to a forged address | who has proved nothing gets no more bytes than it sent |
//!
//! Whoever has answered a challenge is known by address and port ([`KnownPeers`]); a ban of a network that many phones
//! share does not touch those that are, until one of them gives wrong passwords itself. All tables are bounded, and everything is pure: time is an argument.

mod bans;
mod buckets;
mod failures;
mod reflection;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sidetone_model::ids::TenantId;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{Method, Request};
use sidetone_telemetry::Telemetry;

use crate::config::DefenceConfig;
use crate::log_limit::LogLimit;
use crate::transport::{KnownPeers, Shown, network};
pub(crate) use bans::{Asked, Ban};
use buckets::Buckets;
use failures::{Failures, Judgement};
use reflection::Reflection;

/// The guard in front of the transactions.
#[derive(Debug)]
pub(crate) struct Defence {
    config: DefenceConfig,
    known: KnownPeers,
    telemetry: Arc<Telemetry>,
    sources: Buckets<IpAddr>,
    tenants: Buckets<TenantId>,
    networks: Failures<IpAddr>,
    users: Failures<(TenantId, Box<str>)>,
    reflection: Reflection,
    log: LogLimit,
}

/// What a wrong password is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Penalty {
    /// The challenge, after this time.
    Wait(Duration),
    /// Nothing: the source is banned.
    Silence,
}

impl Defence {
    pub(crate) fn new(
        config: DefenceConfig,
        source_requests_per_s: u32,
        known: KnownPeers,
        telemetry: Arc<Telemetry>,
    ) -> Self {
        Self {
            sources: Buckets::new(source_requests_per_s, SOURCES_MAX),
            tenants: Buckets::new(config.tenant_requests_per_s, TENANTS_MAX),
            networks: Failures::new(SOURCES_MAX),
            users: Failures::new(USERS_MAX),
            reflection: Reflection::default(),
            log: LogLimit::default(),
            config,
            known,
            telemetry,
        }
    }

    /// Whether a request is looked at at all, before anything is kept or sent for it. `bytes` is how much came.
    pub(crate) fn admits(&mut self, request: &Request, flow: &Flow, bytes: usize, now: Instant) -> bool {
        if self.known.is_proved(flow.remote, now) || self.is_exempt(flow.remote.ip()) {
            return true;
        }
        // A call that is up is not cut because somebody else behind its address is banned; who guesses our tags gets nowhere.
        let known = self.is_known(flow.remote, now);
        if known && request.dialog_key().is_some() {
            return true;
        }
        if self.networks.is_banned(&network(flow.remote.ip()), now) {
            self.dropped("banned", now);
            return false;
        }
        if self.is_scanner(request) {
            self.dropped("scanner", now);
            return false;
        }
        if known {
            return true;
        }
        // A stranger who asks what an address can do is looking for servers (RFC 3261, section 11, is for those who know
        // whom they ask).
        let asks_an_address =
            request.method() == Method::Options && request.uri().host().parse::<IpAddr>().is_ok();
        if asks_an_address && request.dialog_key().is_none() {
            self.dropped("options_to_address", now);
            return false;
        }
        if flow.transport == Transport::Udp {
            self.reflection.received(flow.remote.ip(), bytes, now);
        }
        true
    }

    /// Whether a response may go to an address: to one that has proved nothing only as much as came from it.
    pub(crate) fn may_answer(&mut self, flow: &Flow, bytes: usize, now: Instant) -> bool {
        let free = flow.transport != Transport::Udp
            || self.is_known(flow.remote, now)
            || self.is_exempt(flow.remote.ip());
        let allowed = free || self.reflection.take(flow.remote.ip(), bytes, now);
        if !allowed {
            self.dropped("reflection", now);
        }
        allowed
    }

    /// The sender of a request has proved who it is, by a digest, or that it gets what we send, by our tag.
    pub(crate) fn proved(&mut self, request: &Request, flow: &Flow, shown: Shown, now: Instant) {
        self.known.note(flow.remote, shown, PROVED_LASTS, now);
        let via = request.via();
        if !via.rport && flow.transport == Transport::Udp {
            // That is where its answers go (RFC 3261, section 18.2.2).
            let port = via.port.unwrap_or(flow.transport.default_port());
            self.known.note(SocketAddr::new(flow.remote.ip(), port), shown, PROVED_LASTS, now);
        }
    }

    /// A stranger is let in because the number that it called asks for no proof: whoever opened the number wants it
    /// answered.
    pub(crate) fn let_in(&mut self, flow: &Flow, now: Instant) {
        self.known.note(flow.remote, Shown::Place, LET_IN_LASTS, now);
    }

    /// A carrier is who its address says, and no ban of others is to keep its calls away.
    pub(crate) fn carrier(&mut self, flow: &Flow, now: Instant) {
        self.known.note(flow.remote, Shown::Identity, LET_IN_LASTS, now);
    }

    /// Proxies and gateways behind whose address many phones stand: neither banned nor bounded.
    pub(crate) fn is_exempt(&self, source: IpAddr) -> bool {
        self.config.exempt.iter().any(|network| network.contains(source))
    }

    /// Whether an address has proved itself before.
    pub(crate) fn is_known(&self, peer: SocketAddr, now: Instant) -> bool {
        self.known.is_known(peer, now)
    }

    /// Takes one request out of a source's share; false when it has none left.
    pub(crate) fn take_of_source(&mut self, source: IpAddr, now: Instant) -> bool {
        let allowed = self.is_exempt(source) || self.sources.take(network(source), now);
        if !allowed {
            self.dropped("source_rate", now);
        }
        allowed
    }

    /// Takes one request out of a tenant's share; false when it has none left.
    pub(crate) fn take_of_tenant(&mut self, tenant: &TenantId, now: Instant) -> bool {
        let allowed = self.tenants.take(tenant.clone(), now);
        if !allowed {
            self.dropped("tenant_rate", now);
        }
        allowed
    }

    /// Somebody gave a wrong password, for a user who may exist or not.
    pub(crate) fn failed(
        &mut self,
        source: SocketAddr,
        tenant: &TenantId,
        username: &str,
        now: Instant,
    ) -> Penalty {
        if self.is_exempt(source.ip()) {
            return Penalty::Wait(Duration::ZERO);
        }
        let network = network(source.ip());
        if self.networks.is_banned(&network, now) {
            // Whoever was proved here before is so no more: from now on the ban holds for it, too.
            self.known.forget(source);
            self.dropped("banned", now);
            return Penalty::Silence;
        }
        let rule = failures::Rule {
            window: Duration::from_secs(self.config.failure_window_s),
            failures_max: self.config.failures_max,
            ban: Duration::from_secs(self.config.ban_s),
        };
        let of_network = self.networks.note(network, &rule, now);
        // A user is never banned: that would let anybody shut out anybody. Guessing from many networks is slowed.
        let never = failures::Rule { failures_max: u32::MAX, ..rule };
        let of_user = self.users.note((tenant.clone(), username.into()), &never, now);
        match of_network {
            Judgement::Banned => {
                self.known.forget(source);
                if let Some(until) = self.networks.banned_until(&network) {
                    self.known.ban(network, until, now);
                }
                self.dropped("brute_force", now);
                self.telemetry.signalling.bans.inc();
                Penalty::Silence
            }
            Judgement::Failures(count) => {
                let count = match of_user {
                    Judgement::Failures(of_user) => count.max(of_user),
                    Judgement::Banned => count,
                };
                Penalty::Wait(delay(count))
            }
        }
    }

    /// Counts something that got no answer, and says it in the log now and then.
    pub(crate) fn dropped(&mut self, reason: &'static str, now: Instant) {
        self.telemetry.signalling.defended.with_label_values(&[reason]).inc();
        if let Some(count) = self.log.note(reason, now) {
            tracing::warn!(reason, count, "hostile or stray requests got no answer");
        }
    }

    /// Says in the log now and then that requests are refused for what is wrong with them. They are counted where they are refused.
    pub(crate) fn refused(&mut self, reason: &'static str, now: Instant) {
        if let Some(count) = self.log.note(reason, now) {
            tracing::warn!(reason, count, "requests that cannot be taken were refused");
        }
    }

    fn is_scanner(&self, request: &Request) -> bool {
        let says = |text: &str| {
            let text = text.to_ascii_lowercase();
            self.config.scanner_agents.iter().any(|agent| text.contains(&agent.to_ascii_lowercase()))
        };
        // SIPVicious puts its name into From when it is told another User-Agent.
        request.user_agent().is_some_and(|agent| says(&agent)) || says(&request.from().display_name)
    }
}

/// Nothing for the first two, which are typing errors; then twice as long each time.
fn delay(failures: u32) -> Duration {
    match failures.checked_sub(DELAY_FREE) {
        None | Some(0) => Duration::ZERO,
        Some(n) => (DELAY_FIRST * 2u32.saturating_pow(n - 1).min(64)).min(DELAY_MAX),
    }
}

/// How long an address that answered a challenge is taken to be who it was: as long as a registration may be.
const PROVED_LASTS: Duration = Duration::from_secs(3600);
/// The longest that a call may ring (timer C of RFC 3261).
const LET_IN_LASTS: Duration = Duration::from_secs(180);
const DELAY_FREE: u32 = 2;
const DELAY_FIRST: Duration = Duration::from_millis(250);
/// Less than the 32 s after which a phone gives up (timer F).
const DELAY_MAX: Duration = Duration::from_secs(4);
const SOURCES_MAX: usize = 65_536;
const TENANTS_MAX: usize = 65_536;
const USERS_MAX: usize = 65_536;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_passwords_are_answered_later_and_later() {
        let delays: Vec<u128> = (1..=9).map(|n| delay(n).as_millis()).collect();
        assert_eq!(delays, [0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(delay(u32::MAX), DELAY_MAX);
    }

    #[test]
    fn a_network_of_ipv6_is_one_source() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
    }
}
