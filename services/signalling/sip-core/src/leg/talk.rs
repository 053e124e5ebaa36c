//! A phone that rings is asked to take the call by itself, and one that holds to talk again: NOTIFY with `Event: talk` inside its
//! dialog, as desk phones know it from the remote control of their makers. The subscription is implied (RFC 6665 section 4.1 knows
//! none like it), so a phone that does not know the event says 489, and rings or holds on.

use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

use super::state::State;
use super::{CommandError, Leg, cause_of};
use crate::message::{Method, RequestBuilder, Response, Status};
use crate::transaction::Failure;

impl Leg {
    pub(super) fn talk(&mut self) -> Result<(), CommandError> {
        let talks = match self.state {
            State::Proceeding => false,
            State::Confirmed { .. } => true,
            _ => return Err(CommandError::WrongState),
        };
        if self.talk.is_some() {
            return Ok(());
        }
        if talks {
            let notify = self.dialog.next_request(Method::Notify);
            return self.send_talk(notify);
        }
        let early = self.opened_by.as_ref().and_then(|sent| sent.ringing.clone());
        let Some(mut early) = early else {
            // RFC 3261 section 12.1.1 wants a tag in every 18x; without one there is no dialog to speak in.
            let why = Termination::new(Cause::ProtocolError).with_text("the phone rings without a dialog");
            self.signal(LegSignalKind::TalkRefused(why));
            return Ok(());
        };
        // One count for all of the leg's requests, whatever dialog they are in: higher is all that is asked for.
        (early.local_cseq, early.branches) = (self.dialog.local_cseq, self.dialog.branches);
        let notify = early.next_request(Method::Notify);
        (self.dialog.local_cseq, self.dialog.branches) = (early.local_cseq, early.branches);
        self.send_talk(notify)
    }

    fn send_talk(&mut self, notify: RequestBuilder) -> Result<(), CommandError> {
        let notify = notify
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Event", TALK)
            .header("Subscription-State", "active")
            .header("User-Agent", self.setup.product.as_ref())
            .build()
            .map_err(|_| CommandError::Unwritable)?;
        self.talk = Some(notify.cseq());
        self.send(notify);
        Ok(())
    }

    /// The final response to a NOTIFY of ours. That the phone agreed is seen when it answers the call, or talks again.
    pub(super) fn handle_notified(&mut self, response: &Response) {
        if response.status() == Status::NO_SUCH_TRANSACTION {
            self.forget_referral();
        }
        if self.talk != Some(response.cseq()) {
            return;
        }
        // It may be asked again: who was asked to answer may hold later.
        self.talk = None;
        if !response.status().is_success() {
            let code = response.status().code();
            self.talk_refused(Termination::new(Cause::from_sip_status(code)).with_sip_status(code));
        }
    }

    /// A NOTIFY of ours got no answer.
    pub(super) fn handle_not_notified(&mut self, cseq: u32, failure: Failure) {
        if self.talk == Some(cseq) {
            self.talk = None;
            self.talk_refused(Termination::new(cause_of(failure)));
        }
    }

    fn talk_refused(&mut self, why: Termination) {
        if matches!(self.state, State::Proceeding | State::Confirmed { .. }) {
            self.signal(LegSignalKind::TalkRefused(why));
        }
    }
}

const TALK: &str = "talk";
