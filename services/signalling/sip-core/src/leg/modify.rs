//! Changes of a session that stands: re-INVITE (RFC 3261 section 14) and UPDATE (RFC 3311), with their collisions
//! (RFC 6337 section 4).

use std::time::Instant;

use sidetone_model::media::MediaDescription;
use sidetone_model::signal::LegSignalKind;

use super::answer::offer_of;
use super::state::{Change, State};
use super::{CommandError, Leg};
use crate::message::{Method, Request, ResponseBuilder, Status};
use crate::sdp::{self, RemoteSdp};
use crate::transaction::ServerTx;
use crate::warning;

impl Leg {
    /// A re-INVITE or UPDATE whose CSeq has been checked.
    pub(super) fn handle_change(&mut self, tx: ServerTx, request: Request, now: Instant) {
        if let Some(refusal) = self.collision(&request) {
            self.respond(tx, refusal);
            return;
        }
        if let Err(refusal) = self.session.renew(&request) {
            let response =
                ResponseBuilder::new(&request, Status::SESSION_INTERVAL_TOO_SMALL, self.dialog.local_tag())
                    .header("Min-SE", refusal.min_s.to_string())
                    .build();
            self.respond(tx, response);
            return;
        }
        let offer = match offer_of(&request, self.setup.encryption) {
            Ok(offer) => offer,
            Err(refusal) => {
                let response = refusal.response(&request, self.dialog.local_tag());
                self.respond(tx, response);
                return;
            }
        };
        let target = request.contact_target();
        let invite = request.method() == Method::Invite;
        match offer {
            // An UPDATE without SDP refreshes the session and nothing else (RFC 4028 section 7.4).
            None if !invite => {
                self.dialog.refresh_target(target);
                let response = self.refresh_response(&request, now).build();
                self.respond(tx, response);
            }
            Some(offer) if self.negotiation.unchanged(&offer).is_some() => {
                self.dialog.refresh_target(target);
                self.answer_refresh(tx, &request, &offer, now);
            }
            offer => self.ask_owner(tx, request, offer, now),
        }
    }

    /// The owner's answer to `Reoffered`.
    pub(super) fn answer_reoffer(
        &mut self,
        media: Option<MediaDescription>,
        now: Instant,
    ) -> Result<(), CommandError> {
        // ## Confirmed(Asked) => Confirmed(None | Accepted)
        let State::Confirmed { change } = &mut self.state else { return Err(CommandError::WrongState) };
        let (tx, request, offer) = match std::mem::replace(change, Change::None) {
            Change::Asked { tx, request, offer, .. } => (tx, request, offer),
            other => {
                *change = other;
                return Err(CommandError::WrongState);
            }
        };
        let Some(media) = media.filter(|media| self.setup.encryption.is_met_by(media)) else {
            // RFC 3261 section 14.2: the session stays as it was.
            let refusal =
                ResponseBuilder::new(&request, Status::NOT_ACCEPTABLE_HERE, self.dialog.local_tag())
                    .header("Server", self.setup.product.as_ref())
                    .header("Warning", warning::of_change())
                    .build();
            self.respond(tx, refusal);
            return Ok(());
        };
        self.dialog.refresh_target(request.contact_target());
        let body = match &offer {
            Some(offer) => self.negotiation.answer(&media, offer),
            None => self.negotiation.offer(&media),
        };
        self.answer_change(tx, &request, body, offer.is_none(), now);
        Ok(())
    }

    /// The owner never answered, or is away: 500 with Retry-After leaves the session as it was.
    pub(super) fn refuse_change(&mut self, tx: ServerTx, request: &Request) {
        let refusal = self.try_later(request);
        self.respond(tx, refusal);
    }

    fn ask_owner(&mut self, tx: ServerTx, request: Request, offer: Option<RemoteSdp>, now: Instant) {
        if self.owner_away {
            self.refuse_change(tx, &request);
            return;
        }
        let media = offer.as_ref().map(|offer| offer.audio.clone());
        let give_up_at = now + self.setup.timers.timeout();
        self.state = State::Confirmed {
            change: Change::Asked { tx, request: Box::new(request), offer: offer.map(Box::new), give_up_at },
        };
        self.signal(LegSignalKind::Reoffered { media });
    }

    fn answer_refresh(&mut self, tx: ServerTx, request: &Request, offer: &RemoteSdp, now: Instant) {
        if let Some(body) = self.negotiation.unchanged(offer) {
            self.answer_change(tx, request, body, false, now);
        }
    }

    fn answer_change(
        &mut self,
        tx: ServerTx,
        request: &Request,
        body: String,
        answer_in_ack: bool,
        now: Instant,
    ) {
        if request.method() == Method::Invite {
            let accepted = self.accept(tx, request, body, answer_in_ack, now);
            self.state = State::Confirmed { change: Change::Accepted(accepted) };
        } else {
            let response = self.refresh_response(request, now).body(sdp::CONTENT_TYPE, body).build();
            self.respond(tx, response);
        }
    }

    fn refresh_response(&mut self, request: &Request, now: Instant) -> ResponseBuilder {
        let response = self.dialog_response(request, Status::OK);
        self.session.confirm(response, now)
    }

    /// Whether another offer is in the way.
    fn collision(&self, request: &Request) -> Option<crate::message::Response> {
        let offers = request.method() == Method::Invite || !request.body().is_empty();
        match &self.state {
            _ if !offers => None,
            // Our own offer waits for its answer: glare (RFC 3261 section 14.2, RFC 3311 section 5.2).
            _ if self.negotiation.offer_pending => Some(self.plain(request, Status::REQUEST_PENDING)),
            // Theirs waits for ours: 500 with Retry-After between 0 and 10 s, by the same sections.
            State::Confirmed { change: Change::None } => None,
            State::Confirmed { .. } | State::Answered(_) | State::Offered(_) | State::Early { .. } => {
                Some(self.try_later(request))
            }
            _ => Some(self.plain(request, Status::NO_SUCH_TRANSACTION)),
        }
    }

    pub(super) fn plain(&self, request: &Request, status: Status) -> crate::message::Response {
        ResponseBuilder::new(request, status, self.dialog.local_tag())
            .header("Server", self.setup.product.as_ref())
            .build()
    }

    pub(super) fn try_later(&self, request: &Request) -> crate::message::Response {
        // Any number in 0 to 10 will do, if two dialogs do not always take the same.
        let seconds = self.dialog.local_tag().bytes().map(u32::from).sum::<u32>() % 11;
        ResponseBuilder::new(request, Status::SERVER_INTERNAL_ERROR, self.dialog.local_tag())
            .header("Retry-After", seconds.to_string())
            .build()
    }
}
