//! How a leg ends: by command, by BYE from either side (RFC 3261 section 15).

use std::time::Instant;

use sidetone_model::termination::{Cause, Termination};

use super::state::{Change, Ending, State};
use super::{CommandError, Leg};
use crate::message::{Method, Request, ResponseBuilder, Status};
use crate::reason;
use crate::transaction::ServerTx;

impl Leg {
    /// Ends the leg in the way its state asks for.
    pub(super) fn end_by_command(
        &mut self,
        termination: Termination,
        now: Instant,
    ) -> Result<(), CommandError> {
        match std::mem::replace(&mut self.state, State::Finished) {
            // ## (Offered | Early) => Finished
            state @ (State::Offered(_) | State::Early { .. }) => {
                self.state = state;
                let code = termination.refusal_status();
                let status = Status::new(code).unwrap_or(Status::TEMPORARILY_UNAVAILABLE);
                self.refuse_invite(status, Some(&termination));
                self.signal_ended(termination.with_sip_status(code));
                self.finish();
            }
            // ## Answered => Ending(ByeAfterAck)
            State::Answered(accepted) => {
                self.signal_ended(termination.clone());
                self.state = State::Ending(Ending::ByeAfterAck { accepted, termination });
            }
            // ## Calling => Ending(Cancelling), and the CANCEL waits (RFC 3261 section 9.1)
            State::Calling => {
                self.signal_ended(termination.clone());
                self.state = State::Ending(Ending::Cancelling { termination, sent: false, give_up_at: None });
            }
            // ## Proceeding => Ending(Cancelling)
            State::Proceeding => {
                self.signal_ended(termination.clone());
                self.send_cancel(&termination);
                let give_up_at = Some(now + self.setup.timers.timeout());
                self.state = State::Ending(Ending::Cancelling { termination, sent: true, give_up_at });
            }
            // ## Confirmed => Ending(Bye)
            State::Confirmed { change } => {
                self.state = State::Confirmed { change };
                self.end_confirmed(termination, now);
            }
            state @ (State::Ending(_) | State::Finished) => {
                self.state = state;
                return Err(CommandError::WrongState);
            }
        }
        Ok(())
    }

    /// Hangs up a session that stands.
    pub(super) fn end_confirmed(&mut self, termination: Termination, now: Instant) {
        self.drop_change();
        self.signal_ended(termination.clone());
        self.send_bye(&termination, now);
    }

    /// ## any answered state => Ending(Bye)
    pub(super) fn send_bye(&mut self, termination: &Termination, now: Instant) {
        let bye = self
            .dialog
            .next_request(Method::Bye)
            .header("Reason", reason::header(termination))
            .header("User-Agent", self.setup.product.as_ref())
            .build();
        match bye {
            Ok(bye) => {
                self.state = State::Ending(Ending::Bye {
                    cseq: bye.cseq(),
                    give_up_at: now + self.setup.timers.timeout() * 2,
                });
                self.send(bye);
            }
            // All its values have been in messages before.
            Err(_) => self.finish(),
        }
    }

    /// The BYE has its answer, or will never have one: either way the session is over (RFC 3261 section 15.1.1).
    pub(super) fn handle_bye_done(&mut self, cseq: u32) {
        if matches!(self.state, State::Ending(Ending::Bye { cseq: sent, .. }) if sent == cseq) {
            self.finish();
        }
    }

    /// A BYE from the phone (RFC 3261 section 15.1.2): always 200, and 487 to an INVITE that is still open.
    pub(super) fn handle_bye(&mut self, tx: ServerTx, bye: &Request, now: Instant) {
        let ok = ResponseBuilder::new(bye, Status::OK, self.dialog.local_tag())
            .header("Server", self.setup.product.as_ref())
            .build();
        self.respond(tx, ok);
        let reasons = bye.headers_named("Reason");
        match &self.state {
            State::Offered(_) | State::Early { .. } => {
                self.refuse_invite(Status::REQUEST_TERMINATED, None);
                self.signal_ended(reason::termination(&reasons, Cause::Cancelled));
                self.finish();
            }
            State::Calling | State::Proceeding => {
                // A callee may not do this before its answer (section 15); it is gone all the same.
                let termination = reason::termination(&reasons, Cause::Normal);
                self.signal_ended(termination.clone());
                self.send_cancel(&termination);
                let give_up_at = Some(now + self.setup.timers.timeout());
                self.state = State::Ending(Ending::Cancelling { termination, sent: true, give_up_at });
            }
            State::Answered(_) | State::Confirmed { .. } => {
                self.drop_change();
                self.signal_ended(reason::termination(&reasons, Cause::Normal));
                self.finish();
            }
            // Both have hung up at once.
            State::Ending(_) => self.finish(),
            State::Finished => {}
        }
    }

    /// A change that nobody has answered yet gets 487 when the session ends (RFC 3261 section 15.1.2).
    fn drop_change(&mut self) {
        self.drop_referral();
        let State::Confirmed { change } = &mut self.state else { return };
        if let Change::Asked { tx, request, .. } = std::mem::replace(change, Change::None) {
            let response =
                ResponseBuilder::new(&request, Status::REQUEST_TERMINATED, self.dialog.local_tag()).build();
            self.respond(tx, response);
        }
    }
}
