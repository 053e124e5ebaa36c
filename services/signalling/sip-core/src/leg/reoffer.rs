//! Changes of a session that we ask for: our own re-INVITE (RFC 3261 section 14.1), with what its collisions ask for.
//!
//! One change is under way at a time. While the phone's own change is, or the phone is after a glare (491), ours waits; a
//! newer one replaces one that waits.

use std::time::{Duration, Instant};

use sidetone_model::media::MediaDescription;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

use super::answer::{ALLOW, SUPPORTED};
use super::offer::Local;
use super::state::{Change, State};
use super::{CommandError, Leg, LegOutput, cause_of};
use crate::body;
use crate::message::{Method, Request, Response, Status};
use crate::sdp;
use crate::transaction::Failure;

/// A change of ours.
#[derive(Debug)]
pub(super) struct Reoffer {
    media: MediaDescription,
    phase: Phase,
    /// How often the phone has put it off.
    tries: u32,
    /// It changes nothing: it refreshes the session (RFC 4028 section 7.4), and its owner does not know of it.
    refresh: bool,
}

#[derive(Debug)]
enum Phase {
    Waiting {
        until: Instant,
    },
    Sent {
        request: Box<Request>,
        /// What we had described before.
        before: Option<Local>,
        /// A newer one, to be made when this one is over.
        next: Option<Box<MediaDescription>>,
    },
}

impl Leg {
    pub(super) fn reoffer(&mut self, media: MediaDescription, now: Instant) -> Result<(), CommandError> {
        if !matches!(self.state, State::Confirmed { .. } | State::Answered(_)) {
            return Err(CommandError::WrongState);
        }
        match self.reoffer.as_deref_mut() {
            Some(Reoffer { phase: Phase::Sent { next, .. }, .. }) => {
                *next = Some(Box::new(media));
                return Ok(());
            }
            Some(waiting) => (waiting.media, waiting.refresh) = (media, false),
            None => self.wait_to_reoffer(media, 0, now),
        }
        self.make_reoffer(now)
    }

    /// What a reliable answer could not say any more is offered when the ACK has come. The owner has its media already.
    pub(super) fn change_after_ack(&mut self, media: MediaDescription, now: Instant) {
        self.wait_to_reoffer(media, 0, now);
        self.still_refresh(true);
    }

    /// A re-INVITE with the description that stands.
    pub(super) fn refresh_by_reinvite(&mut self, now: Instant) {
        let Some(media) = self.negotiation.local_media().filter(|_| self.reoffer.is_none()) else {
            return self.session.refresh_again(now);
        };
        self.session.refreshing();
        let phase = Phase::Waiting { until: now };
        self.reoffer = Some(Box::new(Reoffer { media, phase, tries: 0, refresh: true }));
        // All its values have been in messages before.
        let _unwritable = self.make_reoffer(now);
    }

    /// When the change that waits is to be tried.
    pub(super) fn reoffer_at(&self) -> Option<Instant> {
        match (&self.state, self.reoffer.as_deref()) {
            (
                State::Confirmed { .. } | State::Answered(_),
                Some(Reoffer { phase: Phase::Waiting { until }, .. }),
            ) => Some(*until),
            _ => None,
        }
    }

    /// Makes the change that waits, or lets it wait on.
    pub(super) fn make_reoffer(&mut self, now: Instant) -> Result<(), CommandError> {
        let Some(reoffer) = self.reoffer.take_if(|reoffer| matches!(reoffer.phase, Phase::Waiting { .. }))
        else {
            return Ok(());
        };
        let Reoffer { media, tries, refresh, .. } = *reoffer;
        // RFC 3261 section 14.1: not while another INVITE transaction is under way, in either direction.
        let free = matches!(self.state, State::Confirmed { change: Change::None });
        if !free || self.negotiation.offer_pending {
            self.wait_to_reoffer(media, tries, now);
            self.still_refresh(refresh);
            return Ok(());
        }
        let before = self.negotiation.local();
        let body = self.negotiation.offer(&media);
        let request = self.dialog.next_request(Method::Invite);
        let request = self
            .session
            .ask(request)
            .header("Contact", self.dialog.local_contact.as_ref())
            .header("Allow", ALLOW)
            .header("Supported", SUPPORTED)
            .header("User-Agent", self.setup.product.as_ref())
            .body(sdp::CONTENT_TYPE, body)
            .build();
        let Ok(request) = request else {
            self.negotiation.withdraw(before);
            return Err(CommandError::Unwritable);
        };
        let phase = Phase::Sent { request: Box::new(request.clone()), before, next: None };
        self.reoffer = Some(Box::new(Reoffer { media, phase, tries, refresh }));
        self.session.refreshing();
        self.send(request);
        Ok(())
    }

    /// Whether a request of that CSeq number is the re-INVITE that has no final response.
    pub(super) fn is_reoffer(&self, cseq: u32) -> bool {
        let phase = self.reoffer.as_deref().map(|reoffer| &reoffer.phase);
        matches!(phase, Some(Phase::Sent { request, .. }) if request.cseq() == cseq)
    }

    /// The re-INVITE of that CSeq number goes out again as another; false when none waits for its response.
    pub(super) fn reoffer_sent_again(&mut self, cseq: u32, again: &Request) -> bool {
        match self.reoffer.as_deref_mut().map(|reoffer| &mut reoffer.phase) {
            Some(Phase::Sent { request, .. }) if request.cseq() == cseq => {
                **request = again.clone();
                true
            }
            _ => false,
        }
    }

    /// A response to an INVITE of ours that is not the one that opened the leg.
    pub(super) fn handle_reoffer_response(&mut self, response: &Response, now: Instant) {
        let status = response.status();
        if status.is_provisional() {
            return;
        }
        if !self.is_reoffer(response.cseq()) {
            // RFC 3261 section 13.2.2.4: a 2xx that comes again gets its ACK again.
            let ack = self.reoffer_ack.as_deref().filter(|ack| ack.cseq() == response.cseq()).cloned();
            if let Some(request) = ack.filter(|_| status.is_success()) {
                self.outputs.push_back(LegOutput::Ack { flow: self.setup.flow.clone(), request });
            }
            return;
        }
        let Some(reoffer) = self.reoffer.take() else { return };
        if status.is_success() {
            self.reoffer_accepted(*reoffer, response, now);
        } else {
            self.reoffer_refused(*reoffer, response, now);
        }
    }

    /// A re-INVITE got no answer. RFC 3261 section 14.1: then the session is over; with a connection that is lost the next
    /// request will show it.
    pub(super) fn handle_reoffer_failure(&mut self, failure: Failure, now: Instant) {
        let Some(reoffer) = self.reoffer.take() else { return };
        let (why, refresh) = (Termination::new(cause_of(failure)), reoffer.refresh);
        self.put_back(*reoffer);
        match (failure, &self.state) {
            (Failure::Timeout, State::Confirmed { .. }) => {
                self.end_confirmed(why.with_text("no answer to a change of the session"), now);
            }
            (Failure::Transport, State::Confirmed { .. }) => {
                self.session.refresh_again(now);
                if !refresh {
                    self.signal(LegSignalKind::ReofferRefused(why));
                }
            }
            _ => {}
        }
    }

    fn reoffer_accepted(&mut self, reoffer: Reoffer, response: &Response, now: Instant) {
        self.dialog.refresh_target(response.contact_target());
        if let Ok(ack) = self.dialog.ack(response.cseq()) {
            self.reoffer_ack = Some(Box::new(ack.clone()));
            self.outputs.push_back(LegOutput::Ack { flow: self.setup.flow.clone(), request: ack });
        }
        if !matches!(self.state, State::Confirmed { .. }) {
            return;
        }
        self.session.learn(response, now);
        let answer = sdp::parse_session(&body::of_response(response));
        match self.setup.encryption.accept(answer) {
            Ok(answer) => {
                let media = answer.audio.clone();
                // What a refresh leaves as it was is nobody's news.
                let news = !reoffer.refresh || !self.negotiation.is_remote(&answer);
                self.negotiation.learn_answer(answer);
                if news {
                    self.signal(LegSignalKind::Reanswered { media });
                }
                self.make_next(reoffer.phase, now);
            }
            // A 2xx must bring the answer (section 13.2.1); what the phone does now nobody knows.
            Err(error) => self.end_confirmed(error.termination(), now),
        }
    }

    fn reoffer_refused(&mut self, reoffer: Reoffer, response: &Response, now: Instant) {
        let (status, refresh) = (response.status(), reoffer.refresh);
        let (media, tries) = (reoffer.media.clone(), reoffer.tries + 1);
        let next = self.put_back(reoffer);
        if !matches!(self.state, State::Confirmed { .. }) {
            return;
        }
        let code = status.code();
        let why = Termination::new(Cause::from_sip_status(code)).with_sip_status(code);
        match status {
            Status::REQUEST_PENDING if tries < TRIES_MAX => {
                let refresh = refresh && next.is_none();
                self.wait_to_reoffer(next.map_or(media, |next| *next), tries, now);
                self.still_refresh(refresh);
            }
            // RFC 4028 section 7.3: the same with a longer interval.
            Status::SESSION_INTERVAL_TOO_SMALL
                if tries < TRIES_MAX && self.session.lengthen(response).is_some() =>
            {
                let refresh = refresh && next.is_none();
                self.wait_to_reoffer(next.map_or(media, |next| *next), tries, now);
                self.still_refresh(refresh);
                let _unwritable = self.make_reoffer(now);
            }
            // RFC 3261 section 12.2.1.2: the phone knows the dialog no longer.
            Status::NO_SUCH_TRANSACTION | Status::REQUEST_TIMEOUT => self.end_confirmed(why, now),
            _ => {
                // RFC 4028 section 10: a refused change has refreshed nothing.
                self.session.refresh_again(now);
                if !refresh {
                    self.signal(LegSignalKind::ReofferRefused(why));
                }
                if let Some(next) = next {
                    self.wait_to_reoffer(*next, 0, now);
                    // What could not be written the first time is told by the command.
                    let _unwritable = self.make_reoffer(now);
                }
            }
        }
    }

    /// Section 14.1: the session is as if the offer had never been made. Gives back the change that waits behind it.
    fn put_back(&mut self, reoffer: Reoffer) -> Option<Box<MediaDescription>> {
        let Phase::Sent { before, next, .. } = reoffer.phase else { return None };
        self.negotiation.withdraw(before);
        next
    }

    fn make_next(&mut self, phase: Phase, now: Instant) {
        if let Phase::Sent { next: Some(next), .. } = phase {
            self.wait_to_reoffer(*next, 0, now);
            // What could not be written the first time is told by the command.
            let _unwritable = self.make_reoffer(now);
        }
    }

    /// Section 14.1: whoever made the Call-ID waits 2.1 to 4 s, the other side up to 2 s, in steps of 10 ms. Never none: what
    /// it waits for may not be over at the same moment, and it would be tried again and again within it.
    fn wait_to_reoffer(&mut self, media: MediaDescription, tries: u32, now: Instant) {
        let any =
            self.dialog.local_tag().bytes().fold(self.dialog.local_cseq.wrapping_add(tries), |sum, byte| {
                sum.wrapping_mul(31).wrapping_add(u32::from(byte))
            });
        let steps = if self.opened_by.is_some() { 210 + any % 191 } else { 1 + any % 200 };
        let until = now + Duration::from_millis(u64::from(steps) * 10);
        self.reoffer =
            Some(Box::new(Reoffer { media, phase: Phase::Waiting { until }, tries, refresh: false }));
    }

    /// What waits is a refresh and no change of the owner's.
    fn still_refresh(&mut self, refresh: bool) {
        if let Some(reoffer) = self.reoffer.as_deref_mut() {
            reoffer.refresh = refresh;
        }
    }
}

/// How often a change is tried that meets a change of the phone's each time.
const TRIES_MAX: u32 = 6;
