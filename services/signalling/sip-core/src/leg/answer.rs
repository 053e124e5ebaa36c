//! An incoming call: from the INVITE to the ACK (RFC 3261 section 13.3).

use std::time::{Duration, Instant};

use bytes::Bytes;

use sidetone_model::media::MediaDescription;
use sidetone_model::party::{Flow, Party};
use sidetone_model::signal::{InviteId, LegSignalKind, Offered};
use sidetone_model::termination::{Cause, Termination};

use super::encryption::{Encryption, no_keys};
use super::offer::Negotiation;
use super::reliable::{Reliable, is_reliable};
use super::session::{SessionRefusal, SessionTimer};
use super::state::{Accepted, Change, Ending, Incoming, State};
use super::{Caller, CommandError, Leg, LegOutput, LegSetup};
use crate::body::{self, Unsupported};
use crate::dialog::DialogState;
use crate::message::{Contact, Request, Response, ResponseBuilder, Status};
use crate::outside::check_required;
use crate::reason;
use crate::sdp::{self, RemoteSdp};
use crate::tokens::Tokens;
use crate::transaction::ServerTx;
use crate::uri::{SipUri, host_port};
use crate::warning;

impl Leg {
    /// A leg for a call that comes in. It signals `Offered` at once.
    ///
    /// # Errors
    /// The response with which the INVITE must be refused without asking anybody: no Contact or bad routes (400),
    /// an extension that is required and not had (420), a body that is no SDP (415), SDP without an audio stream
    /// that we can use (488), a session interval below 90 s (422).
    pub fn incoming(
        setup: LegSetup,
        tx: ServerTx,
        invite: Request,
        caller: Caller,
        tokens: &mut Tokens,
        now: Instant,
    ) -> Result<Self, Box<Response>> {
        let tag = tokens.tag();
        let refuse = |status: Status| ResponseBuilder::new(&invite, status, &tag);
        check_required(&invite, &tag)?;
        let offer = offer_of(&invite, setup.encryption)
            .map_err(|refusal| Box::new(refusal.response(&invite, &tag)))?;
        let (Some(target), Ok(routes)) = (target_of(&invite), invite.record_route()) else {
            return Err(Box::new(refuse(Status::BAD_REQUEST).build()));
        };
        let mut session = SessionTimer::new(Duration::from_secs(setup.session_interval_s.into()));
        session.renew(&invite).map_err(|SessionRefusal { min_s }| {
            Box::new(refuse(Status::SESSION_INTERVAL_TOO_SMALL).header("Min-SE", min_s.to_string()).build())
        })?;
        let party = Party {
            user: caller.user,
            device: caller.device,
            number: caller.identity.number,
            display_name: caller.identity.display_name,
            ..Party::default()
        };
        let offered = Offered {
            from: party,
            dialled: invite.uri().user().into(),
            source: setup.flow.remote,
            media: offer.as_ref().map(|offer| offer.audio.clone()),
            sip_call_id: invite.call_id().into(),
            replaces: caller.replaces,
            anonymous: caller.identity.anonymous,
            headers: caller.identity.headers,
            max_forwards: invite.max_forwards(),
            invite: invite_id(&invite),
        };
        let dialog = DialogState {
            call_id: invite.call_id().into(),
            local: invite.to().clone().with_param("tag", &tag),
            remote: invite.from().clone(),
            local_cseq: 0,
            remote_cseq: Some(invite.cseq()),
            remote_target: target,
            route_set: routes,
            local_contact: contact(&setup, &offered.dialled).into(),
            via: via(&setup).into(),
            branches: 0,
        };
        let expires_at = invite.expires_s().map(|s| now + Duration::from_secs(u64::from(s.max(1))));
        let incoming = Incoming { tx, invite: Box::new(invite), offer: offer.map(Box::new), expires_at };
        let negotiation = Negotiation::new(tokens.session_id());
        let mut leg = Self::begin(setup, dialog, State::Offered(incoming), negotiation, session);
        leg.reliable = Reliable::new(tokens.below(1 << 30));
        leg.signal(LegSignalKind::Offered(Box::new(offered)));
        Ok(leg)
    }

    /// Takes the CANCEL of the INVITE that opened this leg: 487 unless it is answered already (RFC 3261
    /// section 9.2). The transaction layer has answered the CANCEL itself.
    pub fn handle_cancel(&mut self, cancel: &Request) {
        if let State::Offered(_) | State::Early { .. } = self.state {
            let termination = reason::termination(&cancel.headers_named("Reason"), Cause::Cancelled);
            self.refuse_invite(Status::REQUEST_TERMINATED, None);
            self.signal_ended(termination.with_sip_status(Status::REQUEST_TERMINATED.code()));
            self.finish();
        }
    }

    /// The INVITE is another replica's to answer: this leg says nothing. Gives back what it has of it; none when it has answered.
    pub fn give_up_offer(&mut self) -> Option<(ServerTx, Box<Request>)> {
        // ## Offered => Finished
        if !matches!(self.state, State::Offered(_)) {
            return None;
        }
        let State::Offered(incoming) = std::mem::replace(&mut self.state, State::Finished) else {
            return None;
        };
        self.finish();
        Some((incoming.tx, incoming.invite))
    }

    /// The caller's connection is gone, and it has not come back over another: as if it had cancelled (RFC 3261 section 9.2).
    pub fn handle_caller_gone(&mut self) {
        if self.awaits_answer() {
            let status = Status::REQUEST_TERMINATED;
            self.refuse_invite(status, None);
            let termination = Termination::new(Cause::Cancelled).with_text("the caller's connection is gone");
            self.signal_ended(termination.with_sip_status(status.code()));
            self.finish();
        }
    }

    /// Takes an ACK to a 2xx of this leg.
    pub fn handle_ack(&mut self, ack: &Request, now: Instant) {
        // ## Answered => Confirmed, Ending(ByeAfterAck) => Ending(Bye), Confirmed(Accepted) => Confirmed
        match std::mem::replace(&mut self.state, State::Finished) {
            State::Answered(accepted) if accepted.cseq == ack.cseq() => {
                self.state = State::Confirmed { change: Change::None };
                match self.answer_in_ack(&accepted, ack) {
                    Ok(media) => self.signal(LegSignalKind::Confirmed { media }),
                    Err(termination) => self.end_confirmed(termination, now),
                }
            }
            State::Confirmed { change: Change::Accepted(accepted) } if accepted.cseq == ack.cseq() => {
                self.state = State::Confirmed { change: Change::None };
                match self.answer_in_ack(&accepted, ack) {
                    Ok(None) => {}
                    Ok(media) => self.signal(LegSignalKind::Confirmed { media }),
                    Err(termination) => self.end_confirmed(termination, now),
                }
            }
            State::Ending(Ending::ByeAfterAck { accepted, termination }) if accepted.cseq == ack.cseq() => {
                self.send_bye(&termination, now);
            }
            other => self.state = other,
        }
    }

    /// 180, or 183 with early media. Without an offer there is nothing that early media could answer.
    pub(super) fn ring(&mut self, media: Option<MediaDescription>, now: Instant) -> Result<(), CommandError> {
        // ## Offered => Early, Early => Early
        let (State::Offered(incoming) | State::Early { incoming, .. }) = &self.state else {
            return Err(CommandError::WrongState);
        };
        let media = media.filter(|media| {
            incoming.offer.is_some()
                && !self.reliable.has_answered()
                && self.setup.encryption.is_met_by(media)
        });
        if self.reliable.ring_later(&incoming.invite, media.as_ref()) {
            return Ok(());
        }
        let incoming = match std::mem::replace(&mut self.state, State::Finished) {
            State::Offered(incoming) | State::Early { incoming, .. } => incoming,
            other => {
                self.state = other;
                return Err(CommandError::WrongState);
            }
        };
        let body = match (&media, &incoming.offer) {
            (Some(media), Some(offer)) => Some(self.negotiation.answer(media, offer)),
            _ => None,
        };
        let status = if body.is_some() { Status::SESSION_PROGRESS } else { Status::RINGING };
        let mut response = self.dialog_response(&incoming.invite, status);
        if let Some(body) = body {
            response = response.body(sdp::CONTENT_TYPE, body);
        }
        let response = match is_reliable(&incoming.invite, media.is_some()) {
            true => self.number(response, incoming.invite.cseq(), now),
            false => response.build(),
        };
        self.respond(incoming.tx, response.clone());
        self.state =
            State::Early { incoming, provisional: Box::new(response), refresh_at: now + PROVISIONAL_REFRESH };
        Ok(())
    }

    pub(super) fn answer(&mut self, media: MediaDescription, now: Instant) -> Result<(), CommandError> {
        // ## (Offered | Early) => Answered
        if matches!(self.state, State::Early { .. }) && self.reliable.answer_later(&media) {
            return Ok(());
        }
        let (State::Offered(incoming) | State::Early { incoming, .. }) = &self.state else {
            return Err(CommandError::WrongState);
        };
        let media = match incoming.offer {
            Some(_) => Some(media).filter(|media| self.setup.encryption.is_met_by(media)),
            None => self.first_offer(&media),
        };
        let Some(media) = media else { return self.end_by_command(no_keys(), now) };
        let incoming = match std::mem::replace(&mut self.state, State::Finished) {
            State::Offered(incoming) | State::Early { incoming, .. } => incoming,
            other => {
                self.state = other;
                return Err(CommandError::WrongState);
            }
        };
        // RFC 3261 section 13.2.1: after a reliable answer a later one counts no more; what differs is offered anew.
        let settled = self.negotiation.local_text().filter(|_| self.reliable.has_answered());
        let offered_anew = settled.is_some() && self.negotiation.local_media().as_ref() != Some(&media);
        let body = match (&incoming.offer, settled) {
            (Some(_), Some(settled)) => settled,
            (Some(offer), None) => self.negotiation.answer(&media, offer),
            (None, _) => self.negotiation.offer(&media),
        };
        let accepted = self.accept(incoming.tx, &incoming.invite, body, incoming.offer.is_none(), now);
        self.reliable.stop();
        self.state = State::Answered(accepted);
        if offered_anew {
            self.change_after_ack(media, now);
        }
        Ok(())
    }

    /// Sends a 2xx to an INVITE or re-INVITE, which then waits for its ACK.
    pub(super) fn accept(
        &mut self,
        tx: ServerTx,
        invite: &Request,
        body: String,
        answer_in_ack: bool,
        now: Instant,
    ) -> Accepted {
        let response = self
            .session
            .confirm(self.dialog_response(invite, Status::OK), now)
            .body(sdp::CONTENT_TYPE, body)
            .build();
        self.respond(tx, response.clone());
        let timers = self.setup.timers;
        Accepted {
            tx: Some(tx),
            response: Box::new(response),
            cseq: invite.cseq(),
            answer_in_ack,
            interval: timers.t1,
            retransmit_at: now + timers.t1,
            give_up_at: now + timers.timeout(),
        }
    }

    /// Gives the final refusal to the INVITE that opened the leg.
    pub(super) fn refuse_invite(&mut self, status: Status, termination: Option<&Termination>) {
        let (State::Offered(incoming) | State::Early { incoming, .. }) = &self.state else { return };
        let retry = termination.and_then(|end| end.cause.retry_after_s()).map(|seconds| seconds.to_string());
        let response = ResponseBuilder::new(&incoming.invite, status, self.dialog.local_tag())
            .header("Server", self.setup.product.as_ref())
            .header_opt("Reason", termination.map(reason::header))
            .header_opt("Retry-After", retry)
            .header_opt("Warning", warning::of_refusal(status.code(), termination))
            .build();
        let tx = incoming.tx;
        self.respond(tx, response);
    }

    /// A response that makes or keeps a dialog (RFC 3261 section 12.1.1).
    pub(super) fn dialog_response(&self, request: &Request, status: Status) -> ResponseBuilder {
        ResponseBuilder::new(request, status, self.dialog.local_tag())
            .copy("Record-Route", request)
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Allow", ALLOW)
            .header("Supported", SUPPORTED)
            .header("Server", self.setup.product.as_ref())
    }

    /// The answer that an ACK brings, when our offer stood in the 2xx.
    fn answer_in_ack(
        &mut self,
        accepted: &Accepted,
        ack: &Request,
    ) -> Result<Option<MediaDescription>, Termination> {
        if !accepted.answer_in_ack {
            return Ok(None);
        }
        let answer = self.setup.encryption.accept(sdp::parse_session(&body::of_ack(ack)));
        let answer = answer.map_err(|error| error.termination())?;
        let media = answer.audio.clone();
        self.negotiation.learn_answer(answer);
        Ok(Some(media))
    }

    pub(super) fn retransmit_accept(accepted: &mut Accepted, t2: Duration, flow: &Flow) -> LegOutput {
        // RFC 3261 section 13.3.1.4: on every transport, doubling up to T2.
        accepted.interval = (accepted.interval * 2).min(t2);
        accepted.retransmit_at += accepted.interval;
        let response = (*accepted.response).clone();
        match accepted.tx {
            Some(tx) => LegOutput::Respond { tx, response },
            None => LegOutput::Again { flow: flow.clone(), response },
        }
    }
}

/// Why a body is not taken.
pub(super) enum BodyRefusal {
    NotSdp,
    Sdp(sdp::SdpError),
}

impl BodyRefusal {
    pub(super) fn response(&self, request: &Request, tag: &str) -> Response {
        match self {
            // RFC 3261 section 8.2.3.
            Self::NotSdp => ResponseBuilder::new(request, Status::UNSUPPORTED_MEDIA_TYPE, tag)
                .header("Accept", body::ACCEPT)
                .build(),
            Self::Sdp(error) => {
                let status = Status::new(error.cause().sip_status()).unwrap_or(Status::BAD_REQUEST);
                ResponseBuilder::new(request, status, tag)
                    .header_opt("Warning", warning::of_description(error))
                    .build()
            }
        }
    }
}

/// Where the caller is reached: its Contact. A caller of RFC 2543, which has no tag, may leave it out; then it is From
/// (RFC 2543 section 6.13).
fn target_of(invite: &Request) -> Option<SipUri> {
    let old = invite.from().tag().is_none();
    match invite.contacts().ok()?.first() {
        None if old => Some(invite.from().uri.clone()).filter(SipUri::is_sip),
        Some(Contact::Address(address)) if address.uri.is_sip() => Some(address.uri.clone()),
        _ => None,
    }
}

/// The offer in a request; none when it brings no description.
pub(super) fn offer_of(request: &Request, encryption: Encryption) -> Result<Option<RemoteSdp>, BodyRefusal> {
    let description = body::of_request(request).map_err(|Unsupported| BodyRefusal::NotSdp)?;
    let read = |text: Bytes| encryption.admit(sdp::parse_session(&text));
    description.map(|text| read(text).map_err(BodyRefusal::Sdp)).transpose()
}

pub(super) fn via(setup: &LegSetup) -> String {
    format!("SIP/2.0/{} {}", setup.flow.transport.token(), host_port(setup.advertised))
}

/// Our Contact: the phone's later requests come to the address that it reaches us by.
pub(super) fn contact(setup: &LegSetup, user: &str) -> String {
    let host = host_port(setup.advertised);
    let uri = SipUri::sip(user, &host).map_or_else(|_| format!("sip:{host}"), |uri| uri.to_string());
    match setup.flow.transport {
        sidetone_model::party::Transport::Udp => format!("<{uri}>"),
        other => format!("<{uri};transport={}>", other.uri_parameter()),
    }
}

/// The methods that a leg understands: the value of an Allow header.
pub const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, PRACK, UPDATE, REFER";
/// The extensions that a phone may require (RFC 3262, RFC 4028, RFC 3891, RFC 4488).
pub(crate) const EXTENSIONS: [&str; 4] = ["100rel", "timer", "replaces", "norefersub"];
/// The same as the value of a Supported header.
pub const SUPPORTED: &str = "100rel, timer, replaces, norefersub";
/// RFC 3261 section 13.3.1.1: every minute.
pub(super) const PROVISIONAL_REFRESH: Duration = Duration::from_secs(60);

/// By what an INVITE is known again when it comes to another replica.
fn invite_id(invite: &Request) -> InviteId {
    let via = invite.via();
    let port = via.port.map(|port| format!(":{port}")).unwrap_or_default();
    InviteId {
        from_tag: invite.from().tag().unwrap_or_default().into(),
        cseq: invite.cseq(),
        transaction: format!("{}{port} {}", via.host.to_ascii_lowercase(), via.branch).into(),
    }
}
