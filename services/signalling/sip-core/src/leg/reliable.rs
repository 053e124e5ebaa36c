//! Provisional responses that must arrive (RFC 3262, 100rel), on both sides.
//!
//! To a phone that requires it every 18x of ours is reliable; to one that only knows it, those with SDP are, since a lost 183
//! is a caller that hears nothing. One is under way at a time; the newest that is to follow waits for its PRACK, and so does the
//! answer when the one under way brings SDP (section 3).

use std::time::{Duration, Instant};

use sidetone_model::media::MediaDescription;
use sidetone_model::termination::{Cause, Termination};

use super::answer::offer_of;
use super::state::State;
use super::{CommandError, Leg, LegTimer};
use crate::dialog::DialogState;
use crate::message::{Method, Request, Response, ResponseBuilder, Status};
use crate::sdp;
use crate::transaction::ServerTx;

/// What is remembered of reliable provisional responses.
#[derive(Debug, Default)]
pub(super) struct Reliable {
    /// The number of our last one. The first is random (section 3).
    rseq: u32,
    pending: Option<Pending>,
    next: Option<Next>,
    /// Our answer went out in one, and its PRACK came: what a later response says about media counts no more.
    answered: bool,
    /// Our last one that has no PRACK yet, as that will name it: number, and CSeq number of the INVITE.
    last: Option<(u32, u32)>,
    /// The other side's last number in each early dialog, by its tag.
    seen: Vec<(Box<str>, u32)>,
}

/// One that waits for its PRACK.
#[derive(Debug)]
struct Pending {
    response: Response,
    interval: Duration,
    again_at: Instant,
    give_up_at: Instant,
}

/// What is to be said after the PRACK.
#[derive(Debug)]
enum Next {
    Ring(Option<MediaDescription>),
    Answer(MediaDescription),
}

/// What becomes of a provisional response with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The next in order, or one without a number.
    New,
    /// One that came before, or one before which another is missing: as if it had not come (section 4).
    Ignored,
}

impl Reliable {
    pub(super) fn new(rseq: u32) -> Self {
        Self { rseq, ..Self::default() }
    }

    /// Whether the answer is settled by a response that its receiver has confirmed.
    pub(super) fn has_answered(&self) -> bool {
        self.answered
    }

    /// Keeps a ringing for later when one before it waits for its PRACK. An answer that waits goes before any ringing.
    pub(super) fn ring_later(&mut self, invite: &Request, media: Option<&MediaDescription>) -> bool {
        let later = self.pending.is_some() && is_reliable(invite, media.is_some());
        if later && !matches!(self.next, Some(Next::Answer(_))) {
            self.next = Some(Next::Ring(media.cloned()));
        }
        later
    }

    /// Keeps the answer for later while SDP waits for its PRACK: a 2xx must not overtake it (section 3).
    pub(super) fn answer_later(&mut self, media: &MediaDescription) -> bool {
        let later = self.pending.as_ref().is_some_and(|pending| !pending.response.body().is_empty());
        if later {
            self.next = Some(Next::Answer(media.clone()));
        }
        later
    }

    /// The call is answered or over: nothing is repeated any more.
    pub(super) fn stop(&mut self) {
        self.pending = None;
        self.next = None;
    }

    pub(super) fn timers(&self) -> impl Iterator<Item = (Instant, LegTimer)> {
        self.pending.iter().flat_map(|pending| {
            [(pending.again_at, LegTimer::ReliableAgain), (pending.give_up_at, LegTimer::ReliableGiveUp)]
        })
    }
}

/// Whether a provisional response to that INVITE is to be reliable.
pub(super) fn is_reliable(invite: &Request, with_sdp: bool) -> bool {
    invite.lists("Require", TAG) || (with_sdp && invite.lists("Supported", TAG))
}

impl Leg {
    /// Makes a provisional response to the INVITE of that CSeq number reliable; it is repeated from now on.
    pub(super) fn number(&mut self, response: ResponseBuilder, invite_cseq: u32, now: Instant) -> Response {
        self.reliable.rseq += 1;
        let response = response.header("Require", TAG).header("RSeq", self.reliable.rseq.to_string()).build();
        let timers = self.setup.timers;
        self.reliable.last = Some((self.reliable.rseq, invite_cseq));
        self.reliable.pending = Some(Pending {
            response: response.clone(),
            interval: timers.t1,
            again_at: now + timers.t1,
            give_up_at: now + timers.timeout(),
        });
        response
    }

    /// A PRACK (section 3): 481 unless it names the response that waits for it.
    pub(super) fn handle_prack(&mut self, tx: ServerTx, prack: &Request, now: Instant) {
        let State::Early { incoming, .. } = &self.state else {
            // One that crossed the 2xx (section 3): refusing it would end the call over there (RFC 5057).
            let named = prack.header("RAck").and_then(|value| rack(&value));
            if named.is_some() && named == self.reliable.last {
                self.reliable.last = None;
                let response = self.answer_prack(prack);
                return self.respond(tx, response);
            }
            return self.refuse_prack(tx, prack);
        };
        let named = prack.header("RAck").and_then(|value| rack(&value));
        if named != Some((self.reliable.rseq, incoming.invite.cseq())) {
            return self.refuse_prack(tx, prack);
        }
        let Some(pending) = self.reliable.pending.take() else {
            return self.refuse_prack(tx, prack);
        };
        self.reliable.last = None;
        self.reliable.answered |= !pending.response.body().is_empty();
        let response = self.answer_prack(prack);
        self.respond(tx, response);
        let next = match self.reliable.next.take() {
            Some(Next::Ring(media)) => self.ring(media, now),
            Some(Next::Answer(media)) => self.answer(media, now),
            None => Ok(()),
        };
        // Both fit the state: it is early.
        debug_assert!(!matches!(next, Err(CommandError::WrongState)));
    }

    /// The 200; to an offer in the PRACK (section 5) only when it changes nothing, since nobody has answered yet.
    fn answer_prack(&self, prack: &Request) -> Response {
        let tag = self.dialog.local_tag();
        let ok = ResponseBuilder::new(prack, Status::OK, tag).header("Server", self.setup.product.as_ref());
        match offer_of(prack, self.setup.encryption) {
            Ok(None) => ok.build(),
            Ok(Some(offer)) => match self.negotiation.unchanged(&offer) {
                Some(body) => ok.body(sdp::CONTENT_TYPE, body).build(),
                None => ResponseBuilder::new(prack, Status::NOT_ACCEPTABLE_HERE, tag).build(),
            },
            Err(refusal) => refusal.response(prack, tag),
        }
    }

    fn refuse_prack(&mut self, tx: ServerTx, prack: &Request) {
        let refusal =
            ResponseBuilder::new(prack, Status::NO_SUCH_TRANSACTION, self.dialog.local_tag()).build();
        self.respond(tx, refusal);
    }

    pub(super) fn repeat_reliable(&mut self) {
        let (State::Early { incoming, .. }, Some(pending)) = (&self.state, &mut self.reliable.pending) else {
            return;
        };
        pending.interval *= 2;
        pending.again_at += pending.interval;
        let (tx, response) = (incoming.tx, pending.response.clone());
        self.respond(tx, response);
    }

    /// Section 3: without a PRACK in 64 T1 the INVITE is refused.
    pub(super) fn give_up_reliable(&mut self) {
        self.reliable.stop();
        let why = Termination::new(Cause::Timeout).with_text("no PRACK");
        self.refuse_invite(Status::SERVER_TIMEOUT, Some(&why));
        self.signal_ended(why.with_sip_status(Status::SERVER_TIMEOUT.code()));
        self.finish();
    }

    // --- The other side's (section 4)

    /// Confirms a reliable provisional response within its early dialog.
    pub(super) fn confirm_provisional(&mut self, response: &Response, dialog: &DialogState) -> Arrival {
        if !response.lists("Require", TAG) {
            return Arrival::New;
        }
        let rseq = response.header("RSeq").and_then(|value| value.trim().parse::<u32>().ok());
        let (Some(rseq), Some(tag)) = (rseq, response.to().tag()) else { return Arrival::Ignored };
        let full = self.reliable.seen.len() >= DIALOGS_MAX;
        match self.reliable.seen.iter_mut().find(|(known, _)| **known == *tag) {
            Some((_, last)) if last.checked_add(1) == Some(rseq) => *last = rseq,
            Some(_) => return Arrival::Ignored,
            None if full => return Arrival::Ignored,
            None => self.reliable.seen.push((tag.into(), rseq)),
        }
        let mut early = dialog.clone();
        // One count for all of the leg's requests, whatever dialog they are in: higher is all that is asked for.
        (early.local_cseq, early.branches) = (self.dialog.local_cseq, self.dialog.branches);
        let prack = early
            .next_request(Method::Prack)
            .header("RAck", format!("{rseq} {} INVITE", response.cseq()))
            .header("User-Agent", self.setup.product.as_ref())
            .build();
        (self.dialog.local_cseq, self.dialog.branches) = (early.local_cseq, early.branches);
        if let Ok(prack) = prack {
            self.send(prack);
        }
        Arrival::New
    }
}

/// `RAck: rseq cseq method` (section 7.2): the two numbers, when the method is INVITE.
fn rack(value: &str) -> Option<(u32, u32)> {
    let mut words = value.split_ascii_whitespace();
    let numbers = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    (words.next()? == "INVITE" && words.next().is_none()).then_some(numbers)
}

const TAG: &str = "100rel";
/// Early dialogs of one call whose numbers are kept.
const DIALOGS_MAX: usize = 8;
