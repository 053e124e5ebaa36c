//! A phone passes its call on: REFER within the dialog (RFC 3515), told by NOTIFY with a piece of a response (RFC 3420), or
//! not at all where the phone does not want to hear of it (RFC 4488).

use std::time::Instant;

use sidetone_model::command::ReferralState;
use sidetone_model::termination::Termination;

use super::state::State;
use super::{CommandError, Leg, LegOutput};
use crate::message::{Method, Request, ResponseBuilder, Status};
use crate::reason;
use crate::replaces::Replaces;
use crate::transaction::ServerTx;
use crate::uri::NameAddr;

/// A REFER of the phone.
#[derive(Debug)]
pub(super) enum Referral {
    /// The owner has been asked.
    Asked { tx: ServerTx, request: Box<Request>, give_up_at: Instant },
    /// It is being done.
    Accepted {
        /// What tells its NOTIFYs from those of another REFER: its CSeq number. The first needs none (section 2.4.6), and some
        /// phones understand none.
        id: Option<u32>,
        /// The phone does not want to hear of it.
        silent: bool,
    },
}

impl Leg {
    pub(super) fn handle_refer(&mut self, tx: ServerTx, request: Request, now: Instant) {
        let refusal = match self.state {
            State::Confirmed { .. } if self.owner_away => Some(self.try_later(&request)),
            State::Confirmed { .. } if self.referral.is_some() => {
                Some(self.plain(&request, Status::REQUEST_PENDING))
            }
            State::Confirmed { .. } => None,
            _ => Some(self.try_later(&request)),
        };
        if let Some(refusal) = refusal {
            return self.respond(tx, refusal);
        }
        let named = match request.headers_named("Refer-To").as_slice() {
            [one] => NameAddr::parse(one).ok(),
            _ => None,
        };
        let named = named.and_then(|to| Some((Replaces::of_address(&to.uri).ok()?, to)));
        let Some((replaces, to)) = named else {
            let refusal = self.plain(&request, Status::BAD_REQUEST);
            return self.respond(tx, refusal);
        };
        let calls = to.uri.param("method").is_none_or(|method| method.eq_ignore_ascii_case("INVITE"));
        let Some(target) = self.target_of(&to.uri).filter(|_| calls) else {
            let refusal = self.plain(&request, Status::UNSUPPORTED_URI_SCHEME);
            return self.respond(tx, refusal);
        };
        self.referrals += 1;
        // Before the phone itself gives up on its REFER (timer F).
        let give_up_at = now + self.setup.timers.timeout() / 2;
        self.referral = Some(Box::new(Referral::Asked { tx, request: Box::new(request), give_up_at }));
        self.outputs.push_back(LegOutput::Refer { to: target, replaces });
    }

    /// The owner tells how it goes on.
    pub(super) fn refer_goes_on(&mut self, state: ReferralState) -> Result<(), CommandError> {
        if !matches!(self.state, State::Confirmed { .. }) {
            return Err(CommandError::WrongState);
        }
        let referral = *self.referral.take().ok_or(CommandError::WrongState)?;
        let (id, silent) = match (referral, &state) {
            (Referral::Asked { tx, request, .. }, ReferralState::Failed(why)) => {
                self.refuse_refer(tx, &request, why);
                return Ok(());
            }
            (Referral::Asked { tx, request, .. }, _) => {
                let told = self.accept_refer(tx, &request);
                if !matches!(state, ReferralState::Accepted) {
                    self.tell(told, Status::TRYING, false);
                }
                told
            }
            (Referral::Accepted { id, silent }, _) => (id, silent),
        };
        match state {
            ReferralState::Accepted => self.tell((id, silent), Status::TRYING, false),
            ReferralState::Ringing => self.tell((id, silent), Status::RINGING, false),
            ReferralState::Succeeded => return self.tell_last((id, silent), Status::OK),
            ReferralState::Failed(why) => {
                let status = Status::new(why.cause.sip_status()).unwrap_or(Status::TEMPORARILY_UNAVAILABLE);
                return self.tell_last((id, silent), status);
            }
        }
        self.referral = Some(Box::new(Referral::Accepted { id, silent }));
        Ok(())
    }

    /// Until when the owner has time to say what becomes of a REFER.
    pub(super) fn referral_until(&self) -> Option<Instant> {
        match self.referral.as_deref() {
            Some(Referral::Asked { give_up_at, .. }) => Some(*give_up_at),
            _ => None,
        }
    }

    /// The owner said nothing.
    pub(super) fn put_off_referral(&mut self) {
        if let Some(Referral::Asked { tx, request, .. }) = self.referral.take().map(|referral| *referral) {
            let refusal = self.try_later(&request);
            self.respond(tx, refusal);
        }
    }

    /// The session ends: a REFER without an answer gets one (RFC 3261 section 15.1.2 asks it for every pending request).
    pub(super) fn drop_referral(&mut self) {
        if let Some(Referral::Asked { tx, request, .. }) = self.referral.take().map(|referral| *referral) {
            let refusal = self.plain(&request, Status::REQUEST_TERMINATED);
            self.respond(tx, refusal);
        }
    }

    /// The phone knows nothing of a subscription any more (RFC 6665 section 4.2.2).
    pub(super) fn forget_referral(&mut self) {
        self.referral.take_if(|referral| matches!(**referral, Referral::Accepted { .. }));
    }

    fn accept_refer(&mut self, tx: ServerTx, request: &Request) -> (Option<u32>, bool) {
        let silent =
            request.header("Refer-Sub").is_some_and(|value| value.trim().eq_ignore_ascii_case("false"));
        let accepted = self
            .dialog_response(request, Status::ACCEPTED)
            .header_opt("Refer-Sub", silent.then_some("false"))
            .build();
        self.respond(tx, accepted);
        ((self.referrals > 1).then_some(request.cseq()), silent)
    }

    fn refuse_refer(&mut self, tx: ServerTx, request: &Request, why: &Termination) {
        let status = Status::new(why.cause.sip_status()).unwrap_or(Status::TEMPORARILY_UNAVAILABLE);
        let refusal = ResponseBuilder::new(request, status, self.dialog.local_tag())
            .header("Server", self.setup.product.as_ref())
            .header("Reason", reason::header(why))
            .build();
        self.respond(tx, refusal);
    }

    fn tell_last(&mut self, told: (Option<u32>, bool), status: Status) -> Result<(), CommandError> {
        self.tell(told, status, true);
        Ok(())
    }

    fn tell(&mut self, (id, silent): (Option<u32>, bool), status: Status, last: bool) {
        if silent {
            return;
        }
        let event = id.map_or_else(|| "refer".to_owned(), |id| format!("refer;id={id}"));
        let state = if last {
            "terminated;reason=noresource".to_owned()
        } else {
            format!("active;expires={EXPIRES_S}")
        };
        let notify = self
            .dialog
            .next_request(Method::Notify)
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Event", event)
            .header("Subscription-State", state)
            .header("User-Agent", self.setup.product.as_ref())
            .body("message/sipfrag;version=2.0", format!("SIP/2.0 {} {}\r\n", status, status.phrase()))
            .build();
        // All its values have been in messages before.
        if let Ok(notify) = notify {
            self.send(notify);
        }
    }
}

/// Longer than a phone may ring.
const EXPIRES_S: u32 = 600;
