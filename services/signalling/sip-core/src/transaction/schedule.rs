//! The timers of all transactions in one ordered set.

use std::collections::BTreeSet;
use std::time::Instant;

use sipx_sip as sip;

use super::Reason;

/// A timer of one transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// One of the RFC's.
    Sip(sip::Timer),
    /// The user never answered a request that is no INVITE.
    Abandon,
}

/// The armed timers of one transaction: at most three at a time.
#[derive(Debug, Default)]
pub(super) struct Armed(Vec<(Timer, Instant)>);

impl Armed {
    /// Notes a timer; returns when it was due before.
    pub(super) fn set(&mut self, timer: Timer, at: Instant) -> Option<Instant> {
        let before = self.fired(timer);
        self.0.push((timer, at));
        before
    }

    /// Forgets a timer; returns when it was due.
    pub(super) fn fired(&mut self, timer: Timer) -> Option<Instant> {
        let at = self.0.iter().position(|(armed, _)| *armed == timer)?;
        Some(self.0.swap_remove(at).1)
    }
}

#[derive(Debug, Default)]
pub(super) struct Schedule {
    due: BTreeSet<(Instant, u64, u8)>,
}

impl Schedule {
    pub(super) fn arm(&mut self, id: u64, timer: Timer, at: Instant) {
        self.due.insert((at, id, timer.code()));
    }

    pub(super) fn cancel(&mut self, id: u64, timer: Timer, at: Instant) {
        self.due.remove(&(at, id, timer.code()));
    }

    pub(super) fn cancel_all(&mut self, id: u64, armed: &Armed) {
        for (timer, at) in &armed.0 {
            self.cancel(id, *timer, *at);
        }
    }

    pub(super) fn pop_due(&mut self, now: Instant) -> Option<(u64, Timer)> {
        let (at, id, code) = *self.due.first()?;
        if at > now {
            return None;
        }
        self.due.pop_first();
        Some((id, Timer::from_code(code)))
    }

    pub(super) fn next(&self) -> Option<(Instant, Reason)> {
        self.due.first().map(|(at, _, code)| (*at, Timer::from_code(*code).reason()))
    }
}

impl Timer {
    fn code(self) -> u8 {
        match self {
            Self::Sip(timer) => {
                sip::Timer::ALL.iter().position(|known| *known == timer).unwrap_or_default() as u8
            }
            Self::Abandon => u8::MAX,
        }
    }

    fn from_code(code: u8) -> Self {
        sip::Timer::ALL.get(usize::from(code)).map_or(Self::Abandon, |timer| Self::Sip(*timer))
    }

    fn reason(self) -> Reason {
        use sip::Timer as T;
        match self {
            Self::Sip(T::A | T::E | T::G | T::Trying100) => Reason::Retransmission,
            Self::Sip(T::B | T::F | T::H) | Self::Abandon => Reason::Timeout,
            Self::Sip(_) => Reason::Cleanup,
        }
    }
}
