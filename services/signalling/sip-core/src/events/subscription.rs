//! One subscription (RFC 6665, section 4.2): pure, and told the time.
//!
//! ```text
//! SUBSCRIBE -> Owed --state known, or waited long enough--> NOTIFY under way --2xx--> Quiet
//! Quiet --the state changes, or a SUBSCRIBE refreshes--> Owed
//! any --Expires: 0, time is up, the server ends it--> Ending --last NOTIFY answered--> over
//! any --NOTIFY is refused for good, or nobody answers it--> over
//! ```
//!
//! One NOTIFY is under way at a time, and what changes meanwhile is told by the next: the latest state wins.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use sidetone_model::party::Flow;
use sidetone_model::watch::{UserDialog, UserState};

use super::dialog_info::{dialog_info, told_of};
use super::{Package, SubscribeError, SubscriptionPolicy, message_summary};
use crate::dialog::DialogState;
use crate::message::{DialogKey, Method, Request, Status};
use crate::tokens::Tokens;
use crate::transaction::Failure;
use crate::uri::host_port;

/// What a new subscription is given.
#[derive(Debug, Clone)]
pub struct SubscriptionSetup {
    /// Over which the phone is reached.
    pub flow: Flow,
    /// The address by which the phone reaches us.
    pub advertised: SocketAddr,
    /// What User-Agent says.
    pub product: Box<str>,
}

/// What was granted to a SUBSCRIBE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Granted {
    /// For how long, in seconds; 0 when it ends with this.
    pub expires_s: u32,
}

/// Why a subscription ends (RFC 6665, section 4.1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    /// Its time is up, or the phone wants no more of it.
    Timeout,
    /// What was watched is gone.
    NoResource,
    /// It may not be watched any more.
    Rejected,
}

impl EndReason {
    fn token(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::NoResource => "noresource",
            Self::Rejected => "rejected",
        }
    }
}

/// Whether a NOTIFY is to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Owed {
    Nothing,
    /// Since a SUBSCRIBE, which is answered by one at once (RFC 6665, section 4.2.1.2).
    BySubscribe(Instant),
    /// Something has changed.
    ByChange,
}

/// One subscription.
pub struct Subscription {
    pub(super) dialog: DialogState,
    pub(super) flow: Flow,
    pub(super) package: Package,
    /// The value of Event, with its `id`.
    pub(super) event: Box<str>,
    pub(super) product: Box<str>,
    pub(super) expires_at: Instant,
    began_at: Instant,
    /// The number of the next document.
    pub(super) version: u32,
    state: Option<UserState>,
    /// What was sent last.
    told: Option<UserState>,
    /// Calls that the phone may show, and of whose end it has not confirmed to have heard.
    shown: Vec<UserDialog>,
    /// NOTIFYs in a row that the phone could not take now.
    put_off: u32,
    owed: Owed,
    under_way: bool,
    sent_at: Option<Instant>,
    /// Not to be tried before.
    not_before: Option<Instant>,
    ending: Option<EndReason>,
    /// The last NOTIFY is sent.
    last_sent: bool,
    over: bool,
    /// The connection is gone: nothing can be sent until the phone is back.
    unreachable: bool,
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Subscription({:?} {:?})", self.package, self.dialog)
    }
}

impl Subscription {
    /// A SUBSCRIBE outside of any dialog, whose sender may watch what it wants to watch, makes one.
    ///
    /// # Errors
    /// When it is refused.
    pub fn new(
        setup: SubscriptionSetup,
        subscribe: &Request,
        policy: &SubscriptionPolicy,
        tokens: &mut Tokens,
        now: Instant,
    ) -> Result<(Self, Granted), SubscribeError> {
        let package = Package::of(subscribe)?;
        let expires_s = policy.granted_s(subscribe)?;
        let remote_target = subscribe.contact_target().ok_or(SubscribeError::BadContact)?;
        let (via, local_contact) = addresses(&setup.flow, setup.advertised);
        let dialog = DialogState {
            call_id: subscribe.call_id().into(),
            local: subscribe.to().clone().with_param("tag", &tokens.tag()),
            remote: subscribe.from().clone(),
            local_cseq: 0,
            remote_cseq: Some(subscribe.cseq()),
            remote_target,
            route_set: subscribe.record_route().map_err(|_| SubscribeError::BadContact)?,
            local_contact,
            via,
            branches: 0,
        };
        let mut new = Self::begun(dialog, setup.flow, package, (now, now));
        new.event = subscribe.header("Event").unwrap_or_default().trim().into();
        new.product = setup.product;
        new.owed = Owed::BySubscribe(now);
        new.grant(expires_s, now);
        Ok((new, Granted { expires_s }))
    }

    /// One of which nobody was told anything yet.
    pub(super) fn begun(
        dialog: DialogState,
        flow: Flow,
        package: Package,
        (expires_at, now): (Instant, Instant),
    ) -> Self {
        Self {
            dialog,
            flow,
            package,
            event: package.token().into(),
            product: Box::default(),
            expires_at,
            began_at: now,
            version: 0,
            state: None,
            told: None,
            shown: Vec::new(),
            put_off: 0,
            owed: Owed::Nothing,
            under_way: false,
            sent_at: None,
            not_before: None,
            ending: None,
            last_sent: false,
            over: false,
            unreachable: false,
        }
    }

    /// Under which key requests in its dialog find it.
    pub fn dialog_key(&self) -> DialogKey {
        self.dialog.key()
    }

    /// Our tag, for the answer to a SUBSCRIBE.
    pub fn local_tag(&self) -> &str {
        self.dialog.local_tag()
    }

    /// The value of our Contact.
    pub fn local_contact(&self) -> &str {
        &self.dialog.local_contact
    }

    /// To what the phone has subscribed.
    pub fn package(&self) -> Package {
        self.package
    }

    /// Over which the phone is reached.
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// Nothing more will come of it.
    pub fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it goes on, as far as is known.
    pub fn is_active(&self) -> bool {
        !self.over && self.ending.is_none()
    }

    /// A SUBSCRIBE in its dialog: a refresh, or the end.
    ///
    /// # Errors
    /// When it is refused.
    pub fn handle_subscribe(
        &mut self,
        subscribe: &Request,
        (flow, advertised): (&Flow, SocketAddr),
        policy: &SubscriptionPolicy,
        now: Instant,
    ) -> Result<Granted, SubscribeError> {
        if !self.is_active() {
            return Err(SubscribeError::Over);
        }
        if Package::of(subscribe)? != self.package {
            return Err(SubscribeError::BadEvent);
        }
        let expires_s = policy.granted_s(subscribe)?;
        self.dialog.accept_cseq(subscribe.cseq()).map_err(|_| SubscribeError::OutOfOrder)?;
        self.dialog.refresh_target(subscribe.contact_target());
        self.move_to(flow, advertised);
        self.owed = Owed::BySubscribe(now);
        self.grant(expires_s, now);
        Ok(Granted { expires_s })
    }

    fn grant(&mut self, expires_s: u32, now: Instant) {
        self.expires_at = now + Duration::from_secs(expires_s.into());
        if expires_s == 0 {
            self.ending = Some(EndReason::Timeout);
        }
    }

    /// How things stand with what is watched.
    pub fn set_state(&mut self, state: UserState) {
        if self.told.as_ref() != Some(&state) && self.owed == Owed::Nothing && self.is_active() {
            self.owed = Owed::ByChange;
        }
        self.state = Some(state);
    }

    /// How things stand, as far as is known.
    pub fn state(&self) -> Option<&UserState> {
        self.state.as_ref()
    }

    /// Its connection is gone, and nothing can be told before the phone has another.
    pub fn is_unreachable(&self) -> bool {
        self.unreachable && !self.over
    }

    /// The server ends it: one last NOTIFY says why.
    pub fn end(&mut self, reason: EndReason) {
        if self.is_active() {
            self.ending = Some(reason);
        }
    }

    /// The phone has come back over another connection.
    pub fn move_to(&mut self, flow: &Flow, advertised: SocketAddr) {
        if self.flow != *flow {
            (self.dialog.via, self.dialog.local_contact) = addresses(flow, advertised);
            self.flow = flow.clone();
        }
        self.unreachable = false;
    }

    /// When there is something to be done; none when only others can set it going.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.over {
            return None;
        }
        let expiry = self.ending.is_none().then_some(self.expires_at);
        [self.due_at(), expiry].into_iter().flatten().min()
    }

    /// When the next NOTIFY may be sent; none while there is none to be.
    fn due_at(&self) -> Option<Instant> {
        if self.over || self.under_way || self.unreachable || self.last_sent {
            return None;
        }
        let at = match (self.owed, self.ending) {
            (Owed::BySubscribe(since), _) if self.state.is_none() => since + STATE_WAIT,
            (Owed::BySubscribe(since), _) => since,
            // The end is not put off.
            (_, Some(_)) => self.began_at,
            (Owed::ByChange, None) => self.sent_at.map_or(self.began_at, |at| at + NOTIFY_INTERVAL),
            (Owed::Nothing, None) => return None,
        };
        Some(self.not_before.map_or(at, |not_before| at.max(not_before)))
    }

    /// The NOTIFY that is to be sent now; none when there is none. Its fate is told by [`Self::handle_response`] or
    /// [`Self::handle_failure`].
    pub fn poll_notify(&mut self, now: Instant) -> Option<Request> {
        if self.ending.is_none() && now >= self.expires_at {
            self.ending = Some(EndReason::Timeout);
        }
        if self.due_at().is_none_or(|at| at > now) {
            // Nobody can be told of its end.
            self.over |= self.unreachable && self.ending.is_some();
            return None;
        }
        let state = match self.ending {
            Some(reason) => format!("terminated;reason={}", reason.token()),
            None => format!("active;expires={}", self.expires_at.duration_since(now).as_secs().max(1)),
        };
        // Who may not watch any more is told nothing more.
        let state_told = self.state.as_ref().filter(|_| self.ending != Some(EndReason::Rejected));
        let body = state_told.map(|state| self.document(state));
        let request = self
            .dialog
            .next_request(Method::Notify)
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Event", self.event.as_ref())
            .header("Subscription-State", state)
            .header("User-Agent", self.product.as_ref());
        let request = match body {
            Some(body) => request.body(self.package.content_type(), body).build(),
            None => request.build(),
        };
        (self.under_way, self.sent_at) = (true, Some(now));
        (self.owed, self.not_before) = (Owed::Nothing, None);
        self.last_sent = self.ending.is_some();
        self.version = self.version.wrapping_add(1);
        self.told.clone_from(&self.state);
        if let Some(UserState::Dialogs(now)) = &self.state {
            let new = told_of(now).iter().filter(|it| self.shown.iter().all(|old| old.leg != it.leg));
            let new: Vec<UserDialog> = new.cloned().collect();
            self.shown.extend(new);
            self.shown.drain(..self.shown.len().saturating_sub(SHOWN_MAX));
        }
        // What cannot be written will not be writable later.
        self.over |= request.is_err();
        request.ok()
    }

    fn document(&self, state: &UserState) -> String {
        match state {
            UserState::Messages { new, old } => {
                let account = self.dialog.local.uri.to_string();
                message_summary(Some(&account), *new, *old)
            }
            UserState::Dialogs(now) => dialog_info(&self.dialog.local.uri, self.version, now, &self.shown),
        }
    }

    /// The phone has answered a NOTIFY. What it cannot take now (5xx) is told again after a pause that grows.
    pub fn handle_response(&mut self, status: Status, now: Instant) {
        if !status.is_final() {
            return;
        }
        self.under_way = false;
        self.over |= self.last_sent || ends_subscription(status);
        match status.code() {
            200..=299 => {
                self.put_off = 0;
                let heard = match &self.told {
                    Some(UserState::Dialogs(now)) => told_of(now),
                    _ => &[],
                };
                self.shown.retain(|old| heard.iter().any(|it| it.leg == old.leg));
            }
            500..=599 => {
                let pause = FULL_PAUSE * (1 << self.put_off.min(PUT_OFF_MAX));
                (self.told, self.put_off) = (None, self.put_off.saturating_add(1));
                self.not_before = Some(now + pause);
            }
            _ => {}
        }
        self.tell_what_changed_meanwhile();
    }

    /// Nobody has answered a NOTIFY, or it could not be sent; `Full` is one of our own making, and passes.
    pub fn handle_failure(&mut self, failure: NotifyFailure, now: Instant) {
        self.under_way = false;
        match failure {
            // RFC 6665, section 4.2.2: as if the phone had said that there is no such subscription.
            NotifyFailure::Sent(Failure::Timeout) => self.over = true,
            NotifyFailure::Sent(Failure::Transport) if !self.flow.transport.is_reliable() => self.over = true,
            NotifyFailure::Sent(Failure::Transport) => {
                (self.unreachable, self.told) = (true, None);
                (self.last_sent, self.owed) = (false, Owed::ByChange);
                self.over |= self.ending.is_some();
            }
            NotifyFailure::Full => {
                (self.last_sent, self.owed) = (false, Owed::ByChange);
                self.not_before = Some(now + FULL_PAUSE);
            }
        }
    }

    fn tell_what_changed_meanwhile(&mut self) {
        if self.owed == Owed::Nothing && self.told != self.state && self.is_active() {
            self.owed = Owed::ByChange;
        }
    }
}

/// Why a NOTIFY came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotifyFailure {
    /// It was sent.
    Sent(Failure),
    /// There was no room for one more transaction.
    Full,
}

/// Via up to its branch, and our Contact.
fn addresses(flow: &Flow, advertised: SocketAddr) -> (Box<str>, Box<str>) {
    let (host, transport) = (host_port(advertised), flow.transport);
    let contact = format!("<sip:{host};transport={}>", transport.uri_parameter());
    (format!("SIP/2.0/{} {host}", transport.token()).into(), contact.into())
}

/// RFC 6665, section 4.2.2, with the statuses of RFC 5057 that end a dialog or its usage.
fn ends_subscription(status: Status) -> bool {
    matches!(status.code(), 404 | 405 | 408 | 410 | 416 | 480..=485 | 489 | 501 | 604)
}

/// How long the first NOTIFY waits for the state to be known; then it goes without one (RFC 6665, section 4.2.1.2: a neutral state).
const STATE_WAIT: Duration = Duration::from_secs(1);
/// Changes are told no faster.
const NOTIFY_INTERVAL: Duration = Duration::from_millis(500);
/// After there was no room; and after the first refusal that passes, twice as long after each further one.
const FULL_PAUSE: Duration = Duration::from_secs(1);
/// How often that is doubled: to 64 s.
const PUT_OFF_MAX: u32 = 6;
/// Calls of whose end a phone is told at least; older ones are left out.
const SHOWN_MAX: usize = 16;
