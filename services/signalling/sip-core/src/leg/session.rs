//! Session timers (RFC 4028), in the part of the side that is refreshed.
//!
//! We never ask for a timer and never refresh. When the phone asks and is willing to refresh, we agree, and hang up
//! when the refresh does not come: the only way to learn that a phone lost its power.

use std::time::{Duration, Instant};

use crate::message::{Request, ResponseBuilder};

#[derive(Debug, Default)]
pub(super) struct SessionTimer {
    interval: Option<Duration>,
    expires_at: Option<Instant>,
}

/// The interval asked for is below what is allowed: 422 with Min-SE.
#[derive(Debug)]
pub(super) struct SessionRefusal {
    pub(super) min_s: u32,
}

impl SessionTimer {
    /// What an INVITE, re-INVITE or UPDATE asks for.
    pub(super) fn from_invite(request: &Request, now: Instant) -> Result<Self, SessionRefusal> {
        let mut timer = Self::default();
        timer.renew(request, now)?;
        Ok(timer)
    }

    /// The interval agreed upon.
    pub(super) fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Made again of what was stored: the phone has a whole interval to refresh.
    pub(super) fn restored(interval: Duration, now: Instant) -> Self {
        let interval = Some(interval).filter(|interval| !interval.is_zero());
        Self { interval, expires_at: interval.map(|interval| now + give_up_after(interval)) }
    }

    /// A refresh, which may change the interval or drop the timer.
    pub(super) fn renew(&mut self, request: &Request, now: Instant) -> Result<(), SessionRefusal> {
        let supported = request.lists("Supported", "timer") || request.lists("Require", "timer");
        let asked = request.header("Session-Expires").filter(|_| supported).and_then(|value| parse(&value));
        match asked {
            Some((seconds, _)) if seconds < SESSION_MIN_S => {
                return Err(SessionRefusal { min_s: SESSION_MIN_S });
            }
            // With `refresher=uas` it would be ours to refresh; leaving the header out declines (section 9).
            Some((seconds, refresher)) if refresher != Some(Refresher::Uas) => {
                let interval = Duration::from_secs(u64::from(seconds));
                self.interval = Some(interval);
                self.expires_at = self.expires_at.map(|_| now + give_up_after(interval));
            }
            _ => *self = Self::default(),
        }
        Ok(())
    }

    /// Adds the agreement to a 2xx; from now on it counts.
    pub(super) fn confirm(&mut self, response: ResponseBuilder, now: Instant) -> ResponseBuilder {
        let Some(interval) = self.interval else { return response };
        self.expires_at = Some(now + give_up_after(interval));
        response
            .header("Require", "timer")
            .header("Session-Expires", format!("{};refresher=uac", interval.as_secs()))
    }

    /// When the session is given up for want of a refresh.
    pub(super) fn expires_at(&self) -> Option<Instant> {
        self.expires_at
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refresher {
    Uac,
    Uas,
}

fn parse(value: &str) -> Option<(u32, Option<Refresher>)> {
    let mut parts = value.split(';').map(str::trim);
    let seconds = parts.next()?.parse().ok()?;
    let refresher = parts.find_map(|part| match part.to_ascii_lowercase().replace(' ', "").as_str() {
        "refresher=uac" => Some(Refresher::Uac),
        "refresher=uas" => Some(Refresher::Uas),
        _ => None,
    });
    Some((seconds, refresher))
}

/// Section 10: the side that is refreshed hangs up a little before the end.
fn give_up_after(interval: Duration) -> Duration {
    interval - (interval / 3).min(Duration::from_secs(32))
}

/// RFC 4028 section 4.
const SESSION_MIN_S: u32 = 90;
