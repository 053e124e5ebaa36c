//! Digits by INFO (application/dtmf-relay), for phones that take no telephone-events: one request after the other, so that
//! datagrams cannot change their order.

use std::collections::VecDeque;

use super::state::State;
use super::{CommandError, Leg};
use crate::message::Method;

/// Digits on their way to the phone.
#[derive(Debug, Default)]
pub(super) struct Digits {
    waiting: VecDeque<(char, u32)>,
    /// The CSeq number of the INFO that has no answer yet.
    pub(super) sent: Option<u32>,
}

impl Leg {
    pub(super) fn send_digits(&mut self, digits: &str, duration_ms: u32) -> Result<(), CommandError> {
        if !matches!(self.state, State::Confirmed { .. }) {
            return Err(CommandError::WrongState);
        }
        let known = |digit: char| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D');
        if !digits.chars().all(known) || self.digits.waiting.len() + digits.len() > DIGITS_MAX {
            return Err(CommandError::Unwritable);
        }
        self.digits.waiting.extend(digits.chars().map(|digit| (digit, duration_ms)));
        self.send_next_digit();
        Ok(())
    }

    /// An INFO has its answer, or will never have one. A phone that knows no INFO misses the digits, and nothing else.
    pub(super) fn handle_digit_done(&mut self, cseq: u32) {
        if self.digits.sent == Some(cseq) {
            self.digits.sent = None;
            self.send_next_digit();
        }
    }

    fn send_next_digit(&mut self) {
        if self.digits.sent.is_some() || !matches!(self.state, State::Confirmed { .. }) {
            return;
        }
        let Some((digit, duration_ms)) = self.digits.waiting.pop_front() else { return };
        let info = self
            .dialog
            .next_request(Method::Info)
            .header("User-Agent", self.setup.product.as_ref())
            .body("application/dtmf-relay", format!("Signal={digit}\r\nDuration={duration_ms}\r\n"))
            .build();
        if let Ok(info) = info {
            self.digits.sent = Some(info.cseq());
            self.send(info);
        }
    }
}

/// Digits that may wait for a phone that answers slowly.
const DIGITS_MAX: usize = 256;
