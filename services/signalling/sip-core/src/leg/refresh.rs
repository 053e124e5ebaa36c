//! The refreshes of a session timer that are ours to send (RFC 4028 section 7.4): an UPDATE without SDP where the phone takes
//! one, else a re-INVITE with the description that stands.

use std::time::Instant;

use sidetone_model::termination::{Cause, Termination};

use super::Leg;
use super::answer::{ALLOW, SUPPORTED};
use super::state::{Change, State};
use crate::message::{Method, Response, Status};
use crate::transaction::Failure;

impl Leg {
    /// The refresh is due.
    pub(super) fn refresh_session(&mut self, now: Instant) {
        let free = matches!(self.state, State::Confirmed { change: Change::None });
        if !free || self.negotiation.offer_pending {
            // Whatever is under way may refresh the session by itself.
            return self.session.refresh_again(now);
        }
        if self.session.takes_update() {
            self.send_update(now);
        } else {
            self.refresh_by_reinvite(now);
        }
    }

    fn send_update(&mut self, now: Instant) {
        let update = self
            .dialog
            .next_request(Method::Update)
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Allow", ALLOW)
            .header("Supported", SUPPORTED)
            .header("User-Agent", self.setup.product.as_ref());
        match self.session.ask(update).build() {
            Ok(update) => {
                self.refresh = Some(update.cseq());
                self.session.refreshing();
                self.send(update);
            }
            // All its values have been in messages before.
            Err(_) => self.session.refresh_again(now),
        }
    }

    /// A final response to an UPDATE of ours.
    pub(super) fn handle_update_response(&mut self, response: &Response, now: Instant) {
        if self.refresh.take_if(|cseq| *cseq == response.cseq()).is_none()
            || !matches!(self.state, State::Confirmed { .. })
        {
            return;
        }
        match response.status() {
            status if status.is_success() => {
                self.dialog.refresh_target(response.contact_target());
                self.session.learn(response, now);
            }
            // Section 10 and RFC 5057 section 5.1: the phone knows the session no longer.
            status @ (Status::NO_SUCH_TRANSACTION | Status::REQUEST_TIMEOUT) => {
                let why = Termination::new(Cause::Timeout).with_sip_status(status.code());
                self.end_confirmed(why.with_text("session refresh refused"), now);
            }
            Status::METHOD_NOT_ALLOWED | Status::NOT_IMPLEMENTED => {
                self.session.takes_no_update();
                self.refresh_session(now);
            }
            Status::SESSION_INTERVAL_TOO_SMALL if self.session.lengthen(response).is_some() => {
                self.send_update(now);
            }
            // It goes on as long as the interval lasts.
            _ => self.session.refresh_again(now),
        }
    }

    /// An UPDATE of ours got no answer.
    pub(super) fn handle_update_failure(&mut self, cseq: u32, failure: Failure, now: Instant) {
        if self.refresh.take_if(|sent| *sent == cseq).is_none()
            || !matches!(self.state, State::Confirmed { .. })
        {
            return;
        }
        match failure {
            // Section 10: as with a 408.
            Failure::Timeout => {
                self.end_confirmed(
                    Termination::new(Cause::Timeout).with_text("session refresh unanswered"),
                    now,
                );
            }
            Failure::Transport => self.session.refresh_again(now),
        }
    }
}
