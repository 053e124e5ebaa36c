//! An outgoing call: from the INVITE to its 2xx or refusal (RFC 3261 section 13.2).

use std::time::{Duration, Instant};

use sidetone_model::command::Invite;
use sidetone_model::media::MediaDescription;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

use super::answer::{ALLOW, SUPPORTED, contact, via};
use super::offer::Negotiation;
use super::reliable::Arrival;
use super::session::SessionTimer;
use super::state::{Change, Ending, State};
use super::{CommandError, Leg, LegOutput, LegSetup, cause_of};
use crate::body;
use crate::dialog::{DialogState, OutOfOrder};
use crate::identity::{self, Audience};
use crate::message::{Method, Request, RequestBuilder, Response};
use crate::reason;
use crate::sdp::{self, RemoteSdp};
use crate::tokens::Tokens;
use crate::transaction::Failure;
use crate::uri::{NameAddr, SipUri};

/// The INVITE that opened the leg.
#[derive(Debug)]
pub(super) struct SentInvite {
    pub(super) request: Request,
    /// What is offered to a phone that takes the first offer not.
    other_offer: Option<Box<MediaDescription>>,
    /// An answer in a provisional response, with the tag of who sent it.
    early: Option<(Box<str>, RemoteSdp)>,
    /// The dialog with whoever sent the last 18x; none while nobody has who says which dialog it is.
    pub(super) ringing: Option<Box<DialogState>>,
    /// The ACK for each tag that has sent a 2xx, to be repeated with it.
    acks: Vec<(Box<str>, Request)>,
    /// The CSeq number of the last request of each phone that rings, by its tag.
    heard: Vec<(Box<str>, u32)>,
}

impl SentInvite {
    /// Checks and notes the CSeq number of a request of one of the phones that ring (RFC 3261 section 12.2.2).
    pub(super) fn accept_cseq(&mut self, tag: &str, cseq: u32) -> Result<(), OutOfOrder> {
        match self.heard.iter_mut().find(|(known, _)| **known == *tag) {
            Some((_, last)) if cseq <= *last => return Err(OutOfOrder),
            Some((_, last)) => *last = cseq,
            None => {
                if self.heard.len() >= FORKS_MAX {
                    self.heard.remove(0);
                }
                self.heard.push((tag.into(), cseq));
            }
        }
        Ok(())
    }

    /// The CSeq number of the last request of a phone.
    fn last_cseq(&self, tag: &str) -> Option<u32> {
        self.heard.iter().find(|(known, _)| **known == *tag).map(|(_, last)| *last)
    }
}

impl Leg {
    /// A leg for a call to a device, in a dialog of this Call-ID; sends the INVITE at once.
    ///
    /// # Errors
    /// When the binding's contact is no SIP URI or a value cannot stand in a SIP message.
    pub fn outgoing(
        setup: LegSetup,
        invite: &Invite,
        audience: Audience,
        call_id: String,
        tokens: &mut Tokens,
    ) -> Result<Self, CommandError> {
        let unwritable = |_| CommandError::Unwritable;
        let target = SipUri::parse(invite.binding.contact_uri.as_bytes())
            .ok()
            .filter(SipUri::is_sip)
            .ok_or(CommandError::Unwritable)?;
        let path = invite.binding.path.iter().map(|hop| NameAddr::parse(hop.as_bytes()));
        let path: Vec<NameAddr> = path.collect::<Result<_, _>>().map_err(unwritable)?;
        let caller = identity::write(invite, audience, &setup.domain).map_err(unwritable)?;
        let to = SipUri::sip(&invite.to, &setup.domain).map_err(unwritable)?;
        let dialog = DialogState {
            call_id: call_id.into(),
            local: caller.from.with_param("tag", &tokens.tag()),
            remote: NameAddr::new("", to),
            local_cseq: 0,
            remote_cseq: None,
            remote_target: target,
            route_set: path,
            local_contact: contact(&setup, &caller.contact_user).into(),
            via: via(&setup).into(),
            branches: 0,
        };
        let session = SessionTimer::new(Duration::from_secs(setup.session_interval_s.into()));
        let negotiation = Negotiation::new(tokens.session_id());
        let mut leg = Self::begin(setup, dialog, State::Calling, negotiation, session);
        let media = leg.first_offer(&invite.media).ok_or(CommandError::NoKeys)?;
        let offer = leg.negotiation.offer(&media);
        let request = leg.dialog.next_request(Method::Invite);
        let request = leg
            .session
            .ask(request)
            .header("Contact", leg.dialog.local_contact.as_ref())
            .header("Allow", ALLOW)
            .header_opt(
                "Call-Info",
                invite.auto_answer.then(|| format!("<sip:{}>;answer-after=0", leg.setup.domain)),
            )
            .header_opt(
                "Alert-Info",
                invite
                    .auto_answer
                    .then(|| format!("<http://{}>;info=alert-autoanswer;delay=0", leg.setup.domain)),
            )
            .header("Supported", SUPPORTED)
            .header("User-Agent", leg.setup.product.as_ref())
            .headers(caller.headers)
            .max_forwards(invite.max_forwards)
            .body(sdp::CONTENT_TYPE, offer)
            .build()
            .map_err(|_| CommandError::Unwritable)?;
        leg.opened_by = Some(Box::new(SentInvite {
            request: request.clone(),
            other_offer: leg.other_offer(&invite.media),
            early: None,
            ringing: None,
            acks: Vec::new(),
            heard: Vec::new(),
        }));
        leg.send(request);
        Ok(leg)
    }

    pub(super) fn handle_invite_response(&mut self, response: &Response, now: Instant) {
        if self.opened_by.is_none() && self.answers_stray(response) {
            return;
        }
        let ours = self.opened_by.as_ref().is_some_and(|sent| sent.request.cseq() == response.cseq());
        if !ours {
            return self.handle_reoffer_response(response, now);
        }
        let status = response.status();
        if status.is_provisional() {
            self.handle_provisional(response, now);
        } else if status.is_success() {
            self.handle_accepted(response, now);
        } else {
            self.handle_refused(response);
        }
    }

    pub(super) fn handle_invite_failure(&mut self, failure: Failure) {
        // ## (Calling | Proceeding | Ending(Cancelling)) => Finished
        match self.state {
            State::Calling | State::Proceeding | State::Ending(Ending::Cancelling { .. }) => {
                self.signal_ended(Termination::new(cause_of(failure)));
                self.finish();
            }
            // Answered already: the transaction's end changes nothing.
            _ => {}
        }
    }

    fn handle_provisional(&mut self, response: &Response, now: Instant) {
        // ## Calling => Proceeding, Ending(Cancelling) => the same with its CANCEL sent
        match &mut self.state {
            State::Calling => self.state = State::Proceeding,
            State::Proceeding => {}
            State::Ending(Ending::Cancelling { sent: sent @ false, termination, give_up_at }) => {
                *sent = true;
                *give_up_at = Some(now + self.setup.timers.timeout());
                let termination = termination.clone();
                self.send_cancel(&termination);
                return;
            }
            _ => return,
        }
        if response.status().code() == 100 {
            return;
        }
        let mut ringing = self.dialog.clone();
        ringing.learn_from_response(response);
        if self.confirm_provisional(response, &ringing) == Arrival::Ignored {
            return;
        }
        if let Some(sent) = self.opened_by.as_mut().filter(|_| response.to().tag().is_some()) {
            sent.ringing = Some(Box::new(ringing));
        }
        let early = self.read_answer(response);
        let media = early.as_ref().map(|answer| answer.audio.clone());
        if let (Some(sent), Some(tag), Some(answer)) = (self.opened_by.as_mut(), response.to().tag(), early) {
            sent.early = Some((tag.into(), answer));
        }
        self.signal(LegSignalKind::Progress { media });
    }

    fn handle_accepted(&mut self, response: &Response, now: Instant) {
        let tag: Box<str> = response.to().tag().unwrap_or_default().into();
        if let Some(ack) = self.ack_sent_to(&tag) {
            // RFC 3261 section 13.2.2.4: each 2xx that comes again gets its ACK again.
            self.outputs.push_back(LegOutput::Ack { flow: self.setup.flow.clone(), request: ack });
            return;
        }
        match &self.state {
            State::Calling | State::Proceeding => self.accept_answer(response, tag, now),
            State::Ending(Ending::Cancelling { termination, .. }) => {
                // The answer and our CANCEL have crossed (RFC 3261 section 9.1): take it and hang up.
                let termination = termination.clone();
                self.adopt(response, &tag);
                self.acknowledge(tag, None);
                self.send_bye(&termination, now);
            }
            _ => self.refuse_fork(response, tag),
        }
    }

    /// ## (Calling | Proceeding) => Confirmed
    fn accept_answer(&mut self, response: &Response, tag: Box<str>, now: Instant) {
        self.adopt(response, &tag);
        self.session.learn(response, now);
        self.acknowledge(tag.clone(), None);
        self.state = State::Confirmed { change: Change::None };
        let early = self.opened_by.as_mut().and_then(|sent| sent.early.take());
        let description = body::of_response(response);
        let encryption = self.setup.encryption;
        let answer = match encryption.accept(sdp::parse_session(&description)) {
            Ok(answer) => Ok(answer),
            // Some phones answer in the 183 and send a 200 without a body.
            Err(error) => match early.filter(|(early_tag, _)| *early_tag == tag && description.is_empty()) {
                Some((_, answer)) => Ok(answer),
                None => Err(error.termination()),
            },
        };
        match answer {
            Ok(answer) => {
                let media = Some(answer.audio.clone());
                self.negotiation.learn_answer(answer);
                self.signal(LegSignalKind::Answered { media });
            }
            Err(termination) => self.end_confirmed(termination, now),
        }
    }

    /// The dialog is the one with whoever sent the 2xx.
    fn adopt(&mut self, response: &Response, tag: &str) {
        self.dialog.learn_from_response(response);
        self.dialog.remote_cseq = self.opened_by.as_ref().and_then(|sent| sent.last_cseq(tag));
    }

    /// RFC 3261 section 13.2.2.4: a proxy forked and a second phone answered. It is thanked and sent away.
    fn refuse_fork(&mut self, response: &Response, tag: Box<str>) {
        let mut fork = self.dialog.clone();
        fork.learn_from_response(response);
        let Some(cseq) = self.opened_by.as_ref().map(|sent| sent.request.cseq()) else { return };
        fork.local_cseq = cseq;
        self.acknowledge(tag, Some(&mut fork));
        let bye = fork
            .next_request(Method::Bye)
            .header("Reason", reason::header(&Termination::new(Cause::AnsweredElsewhere)))
            .build();
        // The fork's requests must not repeat a branch of the dialog that stays.
        self.dialog.branches = fork.branches;
        if let Ok(bye) = bye {
            self.send(bye);
        }
    }

    /// ## (Calling | Proceeding | Ending(Cancelling)) => Finished. The transaction has sent the ACK.
    fn handle_refused(&mut self, response: &Response) {
        if !matches!(
            self.state,
            State::Calling | State::Proceeding | State::Ending(Ending::Cancelling { .. })
        ) {
            return;
        }
        if self.ask_for_longer(response) || self.offer_otherwise(response) {
            return;
        }
        let code = response.status().code();
        let targets = self.redirected_to(response);
        let cause = if targets.is_empty() { Cause::from_sip_status(code) } else { Cause::Diverted };
        if !targets.is_empty() {
            self.signal(LegSignalKind::Redirected { targets });
        }
        self.signal_ended(Termination::new(cause).with_sip_status(code));
        self.finish();
    }

    /// RFC 4028 section 7.3: a 422 is answered with the same INVITE and a longer interval. Ends, since each must be longer.
    fn ask_for_longer(&mut self, response: &Response) -> bool {
        if !matches!(self.state, State::Calling | State::Proceeding) {
            return false;
        }
        let Some(least) = self.session.lengthen(response) else { return false };
        let least = least.as_secs().to_string();
        let fields = [("Session-Expires", self.session.first_ask()), ("Min-SE", least)];
        self.send_invite_anew(&fields).is_ok()
    }

    /// What our first offer of a leg says of encryption; none when keys are a must and there are none.
    pub(super) fn first_offer(&self, media: &MediaDescription) -> Option<MediaDescription> {
        self.setup.encryption.offer(media, self.setup.flow.transport.is_private(), false)
    }

    fn other_offer(&self, media: &MediaDescription) -> Option<Box<MediaDescription>> {
        let (encryption, private) = (self.setup.encryption, self.setup.flow.transport.is_private());
        let other = encryption.has_another_offer(media, private);
        other.then(|| encryption.offer(media, private, true).map(Box::new))?
    }

    /// A phone may take SRTP and nothing else, or nothing but plain RTP: who refuses our description is asked once more, with the
    /// other profile. It is the same dialog, and the next CSeq number.
    fn offer_otherwise(&mut self, response: &Response) -> bool {
        if !matches!(self.state, State::Calling | State::Proceeding)
            || !matches!(response.status().code(), 406 | 415 | 488 | 606)
        {
            return false;
        }
        let Some(media) = self.opened_by.as_mut().and_then(|sent| sent.other_offer.take()) else {
            return false;
        };
        let body = self.negotiation.offer(&media);
        let Some(sent) = self.opened_by.as_mut() else { return false };
        let Some(request) = sent.request.with_body(body) else { return false };
        sent.request = request;
        let (status, secured) = (response.status().code(), media.secured);
        self.outputs.push_back(LegOutput::OfferedOtherwise { status, secured });
        self.send_invite_anew(&[("Content-Type", sdp::CONTENT_TYPE.to_owned())]).is_ok()
    }

    fn acknowledge(&mut self, tag: Box<str>, fork: Option<&mut DialogState>) {
        let Some(sent) = self.opened_by.as_mut() else { return };
        let Ok(ack) = fork.unwrap_or(&mut self.dialog).ack(sent.request.cseq()) else { return };
        if sent.acks.len() < FORKS_MAX {
            sent.acks.push((tag, ack.clone()));
        }
        self.outputs.push_back(LegOutput::Ack { flow: self.setup.flow.clone(), request: ack });
    }

    /// A 2xx to an INVITE of a former life, whose ACK may never have gone out: it stands in no transaction any more, and the far
    /// end repeats it until it has its ACK (RFC 3261 section 13.2.2.4). Our offers stand in INVITEs, so the ACK is the same
    /// whoever makes it.
    fn answers_stray(&mut self, response: &Response) -> bool {
        let stands = matches!(self.state, State::Confirmed { .. } | State::Ending(Ending::Bye { .. }));
        let same_dialog = response.to().tag().is_some() && response.to().tag() == self.dialog.remote_tag();
        let earlier = self.former_cseq.is_some_and(|former| response.cseq() <= former);
        if !(stands && same_dialog && earlier && response.status().is_success()) {
            return false;
        }
        if let Ok(request) = self.dialog.ack(response.cseq()) {
            self.outputs.push_back(LegOutput::Ack { flow: self.setup.flow.clone(), request });
        }
        true
    }

    fn ack_sent_to(&self, tag: &str) -> Option<Request> {
        let sent = self.opened_by.as_ref()?;
        sent.acks.iter().find(|(known, _)| &**known == tag).map(|(_, ack)| ack.clone())
    }

    /// RFC 3261 section 9.1: the INVITE's own Request-URI, Via, To, Route and CSeq number.
    pub(super) fn send_cancel(&mut self, termination: &Termination) {
        let Some(sent) = &self.opened_by else { return };
        let invite = &sent.request;
        let via = invite.header("Via").unwrap_or_default();
        let cancel = invite.headers_named("Route").into_iter().fold(
            RequestBuilder::new(
                Method::Cancel,
                invite.uri(),
                via,
                invite.from(),
                invite.to(),
                invite.call_id(),
                invite.cseq(),
            ),
            |request, route| request.header("Route", route),
        );
        if let Ok(cancel) = cancel.header("Reason", reason::header(termination)).build() {
            self.send(cancel);
        }
    }

    fn read_answer(&self, response: &Response) -> Option<RemoteSdp> {
        // One without a body says nothing of media, and one without a type is none that could be understood.
        let described = !response.body().is_empty() && !response.content_type().is_empty();
        let answer = described.then(|| sdp::parse_session(&body::of_response(response)))?;
        self.setup.encryption.accept(answer).ok()
    }
}

/// How many phones behind one binding may answer before their 2xx's are no longer told apart.
const FORKS_MAX: usize = 8;
