//! Two phones that could speak one codec are brought to do so: then what they say is passed on without being decoded.
//!
//! A caller is answered by its media node before it is known who will answer, so the codec of the answer is a guess. It is put right
//! when the called phone has answered: at once while the caller has no answer yet, by an offer of ours where it has one (RFC 3264,
//! section 8.3.2). What phones said about codecs is known to this life of the owner alone: after a restart calls go on as they are.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Format, MediaDescription};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::time::Timestamp;

use crate::effect::{Answers, Connection, MediaRequest};
use crate::input::{MatchCodecs, MediaReply};
use crate::shard::Shard;

/// What is known of a phone's codecs.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    /// Its last offer.
    offer: Option<MediaDescription>,
    /// What we send to it.
    spoken: Option<Format>,
    /// The called phone whose answer waits until this caller has one with the same codec.
    callee: Option<LegId>,
    /// With whom it was matched, or could not be.
    matched: Option<LegId>,
}

impl Matching {
    /// The phone offers.
    pub(crate) fn describes_itself(&mut self, offer: Option<&MediaDescription>) {
        if let Some(offer) = offer {
            self.offer = Some(offer.clone());
        }
    }

    /// Whether it has offered anything that we could answer early.
    pub(crate) fn has_offered(&self) -> bool {
        self.offer.is_some()
    }

    /// Our first description; of a phone that called, the answer.
    pub(crate) fn we_describe(&mut self, local: &MediaDescription, is_answer: bool) {
        if is_answer && self.offer.is_some() {
            self.spoken = local.first_audio().cloned();
        }
    }

    /// An offer has met its answer.
    pub(crate) fn settled(&mut self, remote: &MediaDescription, answers: Answers, local: &MediaDescription) {
        let answer = if answers == Answers::Nothing { local } else { remote };
        self.spoken = answer.first_audio().cloned();
    }

    /// Its last offer.
    pub(crate) fn offer(&self) -> Option<&MediaDescription> {
        self.offer.as_ref()
    }

    /// It has another port, and others to talk with.
    pub(crate) fn talks_anew(&mut self) {
        self.matched = None;
    }

    /// What it offered of a codec.
    fn has(&self, codec: &Format) -> Option<Format> {
        self.offer.as_ref()?.formats.iter().find(|format| format.same_media(codec)).cloned()
    }
}

impl Shard {
    /// A called phone has answered with `remote`, or lets be heard something before, and media knows. True when that waits because a
    /// caller is to be answered with the same codec first.
    pub(crate) fn match_caller(&mut self, callee: &LegView, remote: &MediaDescription) -> bool {
        let pending = self.legs.get(&callee.leg).and_then(|control| control.passing.pending.as_ref());
        let answered = pending.is_some_and(|signal| {
            matches!(signal.kind, LegSignalKind::Answered { .. } | LegSignalKind::Progress { .. })
        });
        let asked =
            self.limits.match_codecs >= MatchCodecs::Answer && answered && !self.is_ending(callee.leg);
        let Some(codec) = remote.first_audio().filter(|_| asked && !callee.is_answered()) else {
            return false;
        };
        let callers = self.callers_waiting(callee.call);
        let [caller] = callers.as_slice() else { return false };
        let Some(control) = self.legs.get(&caller.leg).filter(|_| caller.node.is_some()) else {
            return false;
        };
        let (passing, matching) = (&control.passing, &control.passing.matching);
        let differs = matching.spoken.as_ref().is_some_and(|spoken| !spoken.same_media(codec));
        // What it offers meanwhile is answered by itself. The first answer counts, also an early one (RFC 3261, section 13.2.1).
        let free = matching.callee.is_none() && passing.pending.is_none() && !passing.told_early;
        let Some(offer) =
            matching.offer.as_ref().filter(|_| differs && free && matching.has(codec).is_some())
        else {
            return false;
        };
        let remote = narrowed(offer, codec);
        self.control(caller.leg).passing.matching.callee = Some(callee.leg);
        self.ask(caller, MediaRequest::UpdateLeg { leg: caller.leg, remote, answers: Answers::Nothing });
        true
    }

    /// Media has, or could not, describe a caller anew for whom a called phone's answer waits. False when it was asked for something
    /// else.
    pub(crate) fn caller_matched(&mut self, caller: &LegView, now: Timestamp) -> bool {
        let Some(callee) = self.control(caller.leg).passing.matching.callee.take() else { return false };
        if let Some(callee) = self.live(callee) {
            self.on_settled(&callee, None, Ok(MediaReply::Done), now);
        }
        true
    }

    /// What a phone offers in a session that stands, without the codecs that whom it talks with does not speak, if they have one in
    /// common: holding and retrieving a call changes no codec.
    pub(crate) fn like_peer(&self, leg: &LegView, offer: &MediaDescription) -> MediaDescription {
        let peer = leg.peer.and_then(|peer| self.legs.get(&peer));
        let spoken = peer.and_then(|control| control.passing.matching.spoken.as_ref());
        let common = |codec: &&Format| offer.formats.iter().any(|format| format.same_media(codec));
        match spoken.filter(common) {
            Some(codec) if self.limits.match_codecs >= MatchCodecs::Answer => narrowed(offer, codec),
            _ => offer.clone(),
        }
    }

    /// A phone that talks with one of another codec, and could speak that one, is offered it. The first of the two that can is asked,
    /// once.
    pub(crate) fn offer_codec_of_peer(&mut self, leg: &LegView) {
        let Connection::Peer(peer) = self.hears(leg) else { return };
        let off = self.limits.match_codecs < MatchCodecs::Reoffer;
        if off || self.is_ending(leg.leg) || self.is_moving(leg.leg) {
            return;
        }
        let of = |leg: &LegId| self.legs.get(leg).map(|control| &control.passing.matching);
        let (Some(mine), Some(theirs)) = (of(&leg.leg), of(&peer)) else { return };
        let (Some(spoken), Some(wanted)) = (&mine.spoken, &theirs.spoken) else { return };
        if mine.matched == Some(peer) || spoken.same_media(wanted) {
            return;
        }
        let prefer = mine.has(wanted);
        self.control(leg.leg).passing.matching.matched = Some(peer);
        if let Some(prefer) = prefer {
            self.control(peer).passing.matching.matched = Some(leg.leg);
            self.ask(leg, MediaRequest::OfferLeg { leg: leg.leg, prefer: Some(prefer) });
        }
    }

    /// Media has made an offer, which goes to the phone unless things have changed meanwhile.
    pub(crate) fn on_offer_made(&mut self, leg: &LegView, local: MediaDescription, now: Timestamp) {
        if self.waits_for_offer(leg.leg) {
            self.offer_as_asked(leg, Some(local), now);
            return;
        }
        let matched = self.legs.get(&leg.leg).and_then(|control| control.passing.matching.matched);
        let talks = matched.is_some_and(|peer| self.hears(leg) == Connection::Peer(peer));
        if talks && leg.is_answered() && !self.is_ending(leg.leg) && !self.is_moving(leg.leg) {
            let direction = self.offered_direction(leg);
            self.command(leg, LegCommandKind::Reoffer { media: MediaDescription { direction, ..local } });
        }
    }
}

/// An offer without the other codecs.
fn narrowed(offer: &MediaDescription, codec: &Format) -> MediaDescription {
    let wanted = |format: &&Format| !format.encoding.is_audio() || format.same_media(codec);
    let formats = offer.formats.iter().filter(wanted).cloned().collect();
    MediaDescription { formats, ..offer.clone() }
}
