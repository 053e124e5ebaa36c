//! Session timers (RFC 4028): what is agreed, who refreshes, and when.
//!
//! We ask for a timer in every call that we make, and agree to one in every call that comes from a phone that knows timers.
//! A side that is not refreshed in time hangs up: the only way to learn that a phone lost its power.

use std::time::{Duration, Instant};

use crate::message::{Request, RequestBuilder, Response, ResponseBuilder, Status};

/// The session timer of one leg.
#[derive(Debug, Default)]
pub(super) struct SessionTimer {
    /// What we ask for; zero asks for nothing.
    wanted: Duration,
    /// The least interval that the other side, or a proxy on the way, allows: it said so in a 422.
    least: Duration,
    agreed: Option<Agreed>,
    /// What a request asks for, until its 2xx makes it count.
    proposed: Option<Proposed>,
    /// The phone takes UPDATE (its Allow says so); otherwise a refresh is a re-INVITE.
    updates: bool,
}

#[derive(Debug, Clone, Copy)]
struct Agreed {
    interval: Duration,
    /// The refresh is ours to send, and due then; none while one is under way.
    refresh_at: Option<Instant>,
    ours: bool,
    expires_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Proposed {
    /// None drops the timer.
    interval: Option<Duration>,
    ours: bool,
    /// The other side knows timers, so that the agreement may be required of it.
    known: bool,
}

/// The interval asked for is below what is allowed: 422 with Min-SE.
#[derive(Debug)]
pub(super) struct SessionRefusal {
    pub(super) min_s: u64,
}

impl SessionTimer {
    /// A timer that nothing has been agreed about; `wanted` is what we ask for, zero for nothing.
    pub(super) fn new(wanted: Duration) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// What there is to be stored: the interval (zero for none), whether the refresh is ours, whether the phone takes UPDATE.
    pub(super) fn parts(&self) -> (Duration, bool, bool) {
        let (interval, ours) = self.agreed.map_or((Duration::ZERO, false), |a| (a.interval, a.ours));
        (interval, ours, self.updates)
    }

    /// Made again of what was stored. The phone has a whole interval to refresh; ours comes within a quarter of it, since half
    /// may have passed, spread by `spread` so that not all legs of a replica refresh at once.
    pub(super) fn restored(interval: Duration, ours: bool, updates: bool, spread: u32, now: Instant) -> Self {
        let soon = interval / 4 * (spread % 1000) / 1000;
        let agreed = (!interval.is_zero()).then(|| Agreed {
            interval,
            refresh_at: ours.then(|| now + soon),
            ours,
            expires_at: now + give_up_after(interval),
        });
        // What was agreed is asked for again: a re-INVITE that says nothing of it does not end the supervision.
        Self { wanted: interval, agreed, updates, ..Self::default() }
    }

    /// Looks at what the other side says that it takes.
    pub(super) fn note_allowed(&mut self, allow: &[String]) {
        if !allow.is_empty() {
            self.updates = allow.iter().any(|method| method == "UPDATE");
        }
    }

    /// Whether a refresh can be an UPDATE.
    pub(super) fn takes_update(&self) -> bool {
        self.updates
    }

    /// The phone refused an UPDATE as such.
    pub(super) fn takes_no_update(&mut self) {
        self.updates = false;
    }

    // --- The other side asks

    /// What an INVITE, re-INVITE or UPDATE asks for. It counts when [`Self::confirm`] has said so in a 2xx.
    pub(super) fn renew(&mut self, request: &Request) -> Result<(), SessionRefusal> {
        self.note_allowed(&request.tokens("Allow"));
        let known = request.lists("Supported", "timer") || request.lists("Require", "timer");
        let asked = request.header("Session-Expires").and_then(|value| parse(&value));
        let least = min_se(request.header("Min-SE")).max(self.least).max(SESSION_MIN);
        self.proposed = Some(match asked {
            Some((interval, _)) if known && interval < SESSION_MIN => {
                return Err(SessionRefusal { min_s: SESSION_MIN.as_secs() });
            }
            // Section 9, table 2: who does not know timers cannot be told to refresh; a proxy asked in its place.
            Some((interval, refresher)) => Proposed {
                interval: Some(interval.max(SESSION_MIN)),
                ours: !known || refresher == Some(Refresher::Uas),
                known,
            },
            None if known && !self.wanted.is_zero() => {
                Proposed { interval: Some(self.wanted.max(least)), ours: true, known }
            }
            None => Proposed { interval: None, ours: false, known },
        });
        Ok(())
    }

    /// Adds the agreement to a 2xx; from now on it counts.
    pub(super) fn confirm(&mut self, response: ResponseBuilder, now: Instant) -> ResponseBuilder {
        let Some(proposed) = self.proposed.take() else { return response };
        let Some(interval) = proposed.interval else {
            self.agreed = None;
            return response;
        };
        self.agree(interval, proposed.ours, now);
        let refresher = if proposed.ours { "uas" } else { "uac" };
        let response =
            response.header("Session-Expires", format!("{};refresher={refresher}", interval.as_secs()));
        // Section 9: what the other side must do is required of it.
        if proposed.ours || !proposed.known { response } else { response.header("Require", "timer") }
    }

    // --- We ask

    /// Adds what we ask for to an INVITE, re-INVITE or UPDATE of ours. Who refreshes goes on to (section 7.4).
    pub(super) fn ask(&self, request: RequestBuilder) -> RequestBuilder {
        let value = match &self.agreed {
            Some(agreed) => {
                let refresher = if agreed.ours { "uac" } else { "uas" };
                format!("{};refresher={refresher}", agreed.interval.max(self.least).as_secs())
            }
            None if self.wanted.is_zero() => return request,
            None => self.first_ask(),
        };
        let least = Some(self.least).filter(|least| !least.is_zero());
        request
            .header("Session-Expires", value)
            .header_opt("Min-SE", least.map(|least| least.as_secs().to_string()))
    }

    /// What the first INVITE asks for.
    pub(super) fn first_ask(&self) -> String {
        self.wanted.max(SESSION_MIN).max(self.least).as_secs().to_string()
    }

    /// A 422 to a request of ours: the interval must be longer. None when it names none that is.
    pub(super) fn lengthen(&mut self, refusal: &Response) -> Option<Duration> {
        if refusal.status() != Status::SESSION_INTERVAL_TOO_SMALL {
            return None;
        }
        let asked =
            self.agreed.map_or(self.wanted.max(SESSION_MIN), |agreed| agreed.interval).max(self.least);
        let least = min_se(refusal.header("Min-SE"));
        if least <= asked || least > SESSION_MAX {
            return None;
        }
        self.least = least;
        Some(least)
    }

    /// A 2xx to a request of ours (section 7.2): without the header there is no timer.
    pub(super) fn learn(&mut self, response: &Response, now: Instant) {
        self.note_allowed(&response.tokens("Allow"));
        match response.header("Session-Expires").and_then(|value| parse(&value)) {
            Some((interval, refresher)) => {
                self.agree(interval.max(SESSION_MIN), refresher != Some(Refresher::Uas), now);
            }
            None => self.agreed = None,
        }
    }

    // --- Time

    /// When a refresh of ours is due.
    pub(super) fn refresh_at(&self) -> Option<Instant> {
        self.agreed.and_then(|agreed| agreed.refresh_at)
    }

    /// A refresh is under way; what comes of it says when the next is due.
    pub(super) fn refreshing(&mut self) {
        if let Some(agreed) = &mut self.agreed {
            agreed.refresh_at = None;
        }
    }

    /// The refresh could not be made; it is tried again before the session is given up.
    pub(super) fn refresh_again(&mut self, now: Instant) {
        if let Some(agreed) = self.agreed.as_mut().filter(|agreed| agreed.ours) {
            agreed.refresh_at = Some(now + REFRESH_AGAIN);
        }
    }

    /// When the session is given up for want of a refresh.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.agreed.map(|agreed| agreed.expires_at)
    }

    fn agree(&mut self, interval: Duration, ours: bool, now: Instant) {
        self.agreed = Some(Agreed {
            interval,
            // Section 10: halfway.
            refresh_at: ours.then(|| now + interval / 2),
            ours,
            expires_at: now + give_up_after(interval),
        });
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

fn parse(value: &str) -> Option<(Duration, Option<Refresher>)> {
    let mut parts = value.split(';').map(str::trim);
    let interval = seconds(parts.next()?)?;
    let refresher = parts.find_map(|part| match part.to_ascii_lowercase().replace(' ', "").as_str() {
        "refresher=uac" => Some(Refresher::Uac),
        "refresher=uas" => Some(Refresher::Uas),
        _ => None,
    });
    Some((interval, refresher))
}

fn min_se(value: Option<String>) -> Duration {
    value.and_then(|value| seconds(value.split(';').next()?)).unwrap_or_default()
}

fn seconds(text: &str) -> Option<Duration> {
    text.trim().parse().ok().map(|seconds: u32| Duration::from_secs(seconds.into()))
}

/// Section 10: a side that sees no refresh hangs up a little before the end.
fn give_up_after(interval: Duration) -> Duration {
    interval - (interval / 3).min(Duration::from_secs(32))
}

/// RFC 4028 section 4.
const SESSION_MIN: Duration = Duration::from_secs(90);
/// What a 422 can raise our interval to: a day.
const SESSION_MAX: Duration = Duration::from_secs(86_400);
const REFRESH_AGAIN: Duration = Duration::from_secs(5);
