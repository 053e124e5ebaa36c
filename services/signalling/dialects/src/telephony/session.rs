//! Who asks: a password once, a cookie from then on.
//!
//! A user proves to be one with the password of any of the own devices: the directory keeps its hash of digest
//! authentication (RFC 7616, section 3.4.2), which is made again from what is given and compared. The password itself is kept
//! nowhere, and nothing new has to be kept secret.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use http::HeaderMap;
use http::request::Parts;
use sidetone_directory::Algorithm;
use sidetone_model::classify::Class;
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::time::Timestamp;

use super::State;
use super::answer::Failure;
use super::channel::Channel;
use super::limits::{Failures, Login};
use super::repeat::Key;
use crate::{Doorway, Source};

/// A user who has proved to be one.
#[derive(Clone)]
pub(crate) struct Asker {
    pub(crate) state: State,
    pub(crate) token: Box<str>,
    pub(crate) tenant: TenantId,
    pub(crate) user: UserId,
    /// The key of the request's command, when the client gave one.
    pub(crate) key: Option<Box<str>>,
}

/// What is known of whoever has a cookie.
struct Session {
    tenant: TenantId,
    user: UserId,
    /// Whether the session was opened, after the password was taken.
    open: bool,
    used_at: Timestamp,
    channels: BTreeMap<Box<str>, Arc<Channel>>,
}

/// Everybody who is logged in at this replica, and who failed to lately.
#[derive(Default)]
pub(crate) struct Sessions {
    sessions: Mutex<BTreeMap<Box<str>, Session>>,
    failures: Mutex<Failures>,
}

impl Sessions {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Box<str>, Session>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new cookie.
    fn begin(&self, door: &dyn Doorway, (tenant, user): (TenantId, UserId)) -> Result<Box<str>, Failure> {
        let (token, now) = (secret()?, door.now());
        let mut sessions = self.lock();
        sessions.retain(|_, session| !is_over(session, now, door.session_idle()));
        let surplus = surplus(&sessions, (&tenant, &user)).and_then(|token| sessions.remove(&token));
        if surplus.is_some() {
            door.limited("sessions_of_user");
        }
        for channel in surplus.into_iter().flat_map(|session| session.channels.into_values()) {
            channel.close();
        }
        if sessions.len() >= SESSIONS_MAX {
            door.limited("sessions");
            return Err(Failure::new(
                Class::Exhausted,
                "too_many_sessions",
                "too many sessions; try again later",
            ));
        }
        let session = Session { tenant, user, open: false, used_at: now, channels: BTreeMap::new() };
        sessions.insert(token.clone(), session);
        door.sessions(sessions.len());
        Ok(token)
    }

    fn of(&self, token: &str, door: &dyn Doorway) -> Option<(TenantId, UserId)> {
        let (now, idle) = (door.now(), door.session_idle());
        let mut sessions = self.lock();
        let session = sessions.get_mut(token).filter(|session| !is_over(session, now, idle))?;
        session.used_at = now;
        Some((session.tenant.clone(), session.user.clone()))
    }

    fn failures(&self) -> MutexGuard<'_, Failures> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The session that a user has used least of late, when the user has as many as one may have.
fn surplus(sessions: &BTreeMap<Box<str>, Session>, (tenant, user): (&TenantId, &UserId)) -> Option<Box<str>> {
    let own = || sessions.iter().filter(|(_, one)| one.tenant == *tenant && one.user == *user);
    if own().count() < SESSIONS_OF_USER_MAX {
        return None;
    }
    own().min_by_key(|(_, one)| one.used_at).map(|(token, _)| token.clone())
}

impl Asker {
    /// Opens the session.
    pub(crate) fn open(&self) {
        if let Some(session) = self.state.sessions.lock().get_mut(&self.token) {
            session.open = true;
        }
    }

    /// Logs out; the session's channels end.
    pub(crate) fn log_out(&self) {
        let mut sessions = self.state.sessions.lock();
        let over = sessions.remove(&self.token);
        self.state.door.sessions(sessions.len());
        drop(sessions);
        for channel in over.into_iter().flat_map(|session| session.channels.into_values()) {
            channel.close();
        }
    }

    pub(crate) fn add_channel(&self, id: Box<str>, channel: Arc<Channel>) -> Result<(), Failure> {
        let mut sessions = self.state.sessions.lock();
        let session = sessions.get_mut(&self.token).ok_or_else(forbidden)?;
        if !session.open {
            return Err(Failure::new(Class::FailedPrecondition, "no_session", "open a session first"));
        }
        if session.channels.len() >= CHANNELS_MAX {
            return Err(Failure::new(
                Class::Exhausted,
                "too_many_subscriptions",
                "end another subscription first",
            ));
        }
        session.channels.insert(id, channel);
        Ok(())
    }

    pub(crate) fn channel(&self, id: &str) -> Result<Arc<Channel>, Failure> {
        let sessions = self.state.sessions.lock();
        let channel = sessions.get(&self.token).and_then(|session| session.channels.get(id)).cloned();
        channel.ok_or_else(|| Failure::not_found("subscription"))
    }

    pub(crate) fn remove_channel(&self, id: &str) -> Result<(), Failure> {
        let mut sessions = self.state.sessions.lock();
        let channel = sessions.get_mut(&self.token).and_then(|session| session.channels.remove(id));
        channel.ok_or_else(|| Failure::not_found("subscription"))?.close();
        Ok(())
    }

    /// A session whose events are listened to is in use.
    pub(crate) fn keep_alive(&self) -> bool {
        self.state.sessions.of(&self.token, &*self.state.door).is_some()
    }
}

impl FromRequestParts<State> for Asker {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &State) -> Result<Self, Failure> {
        let token: Box<str> = cookie(&parts.headers).ok_or_else(forbidden)?.into();
        let (tenant, user) = state.sessions.of(&token, &*state.door).ok_or_else(forbidden)?;
        let key = parts.extensions.get::<Key>().map(|Key(key)| key.clone());
        Ok(Self { state: state.clone(), token, tenant, user, key })
    }
}

fn forbidden() -> Failure {
    Failure::new(
        Class::Forbidden,
        "not_authenticated",
        "authenticate first: the cookie AlcUserId is missing or over",
    )
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let lines = headers.get_all(http::header::COOKIE).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix("AlcUserId="))
}

/// Takes a password and gives a cookie.
pub(crate) async fn authenticate(
    state: &State,
    headers: &HeaderMap,
    source: Option<Source>,
) -> Result<(Box<str>, UserId), Failure> {
    let refused =
        || Failure::new(Class::Unauthenticated, "bad_credentials", "expected a login and its password");
    let (login, password) = basic(headers).ok_or_else(refused)?;
    let source = source.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |source| source.0);
    if !state.sessions.failures().ask(source, state.door.now()) {
        return Err(too_many(state, "log_in_of_source"));
    }
    let proved = match tenant_of(state, &login, headers).await {
        Ok(Some((login, tenant))) => prove(state, (tenant, login.into()), &password, source).await,
        Ok(None) => Ok(None),
        Err(error) => Err(error),
    };
    if !matches!(proved, Ok(None)) {
        state.sessions.failures().take_back_source(source);
    }
    let who = proved?.ok_or_else(refused)?;
    Ok((state.sessions.begin(&*state.door, who.clone())?, who.1))
}

/// The user whose login and password they are.
async fn prove(
    state: &State,
    who: Login,
    password: &str,
    source: IpAddr,
) -> Result<Option<(TenantId, UserId)>, Failure> {
    if !state.sessions.failures().attempt(&who, source, state.door.now()) {
        return Err(too_many(state, "log_in"));
    }
    let user = user_of(state, &who.0, &who.1, password).await;
    if !matches!(user, Ok(None)) {
        state.sessions.failures().take_back(&who, source);
    }
    Ok(user?.map(|user| (who.0, user)))
}

fn too_many(state: &State, what: &'static str) -> Failure {
    state.door.limited(what);
    Failure::new(Class::Exhausted, "too_many_failures", "too many wrong passwords; wait a minute")
}

fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(http::header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || encoded.len() > BASIC_BYTES_MAX {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (login, password) = text.split_once(':')?;
    if login.len() > LOGIN_BYTES_MAX {
        return None;
    }
    Some((login.to_owned(), password.to_owned()))
}

/// The tenant: by the domain in the login, else by the host that was asked, else the only one there is.
async fn tenant_of(
    state: &State,
    login: &str,
    headers: &HeaderMap,
) -> Result<Option<(String, TenantId)>, Failure> {
    let directory = state.door.directory();
    let of = |error| Failure::of(&error);
    if let Some((login, domain)) = login.rsplit_once('@') {
        let tenant = directory.tenant_of_domain(domain).await.map_err(of)?;
        return Ok(tenant.map(|tenant| (login.to_owned(), tenant)));
    }
    let host = headers.get(http::header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
    if let Some(tenant) = directory.tenant_of_domain(host).await.map_err(of)? {
        return Ok(Some((login.to_owned(), tenant)));
    }
    let tenants = directory.list_tenants().await.map_err(of)?;
    let [only] = &tenants[..] else { return Ok(None) };
    Ok(TenantId::new(&only.tenant).ok().map(|tenant| (login.to_owned(), tenant)))
}

/// The user of a login, if the password is that of one of the user's devices.
async fn user_of(
    state: &State,
    tenant: &TenantId,
    login: &str,
    password: &str,
) -> Result<Option<UserId>, Failure> {
    let directory = state.door.directory();
    let mut names = vec![login.to_owned()];
    if let Ok(user) = UserId::new(login) {
        let devices =
            directory.list_devices(tenant, Some(&user)).await.map_err(|error| Failure::of(&error))?;
        names.extend(devices.into_iter().map(|device| device.auth_username));
    }
    for name in names {
        let found = directory.credential(tenant, &name).await.map_err(|error| Failure::of(&error))?;
        let Some(found) = found else { continue };
        let hash = found.ha1.iter().find(|(algorithm, _)| *algorithm == Algorithm::Sha256);
        let given = hex(digest(&SHA256, format!("{name}:{tenant}:{password}").as_bytes()).as_ref());
        if hash.is_some_and(|(_, kept)| verify_slices_are_equal(kept.as_bytes(), given.as_bytes()).is_ok()) {
            return Ok(Some(found.user));
        }
    }
    Ok(None)
}

/// 256 random bits.
pub(crate) fn secret() -> Result<Box<str>, Failure> {
    let mut bytes = [0; 32];
    let failed = |_| Failure::new(Class::Internal, "internal", "an internal error");
    aws_lc_rs::rand::fill(&mut bytes).map_err(failed)?;
    Ok(hex(&bytes).into())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_over(session: &Session, now: Timestamp, idle: Duration) -> bool {
    now.since(session.used_at) > idle
}

/// Sessions at once on one replica; past it the next one is refused.
const SESSIONS_MAX: usize = 10_000;
/// Subscriptions of one session.
const CHANNELS_MAX: usize = 8;
/// Sessions of one user at once on one replica; with the next one the own one that was used least of late is over.
const SESSIONS_OF_USER_MAX: usize = 16;
const LOGIN_BYTES_MAX: usize = 256;
const BASIC_BYTES_MAX: usize = 1024;
