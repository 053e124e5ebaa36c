//! What each leg of a call is to hear, and the requests that make it so.

use sidetone_model::fold::LegView;
use sidetone_model::ids::{CallId, LegId, PlaybackId};
use sidetone_model::media::{Manner, Source};
use sidetone_model::party::Destination;

use crate::effect::{Connection, Heard, MediaRequest};
use crate::shard::Shard;

impl Shard {
    /// Asks media for whatever the legs of a call do not hear yet and should.
    pub(crate) fn arrange_media(&mut self, call: CallId) {
        let legs: Vec<LegView> = self
            .fold
            .live_legs(call)
            .filter(|leg| leg.is_answered() && leg.node.is_some())
            .cloned()
            .collect();
        // Who falls silent first: a bridge that is taken apart must not take a new one with it.
        let (silent, hearing): (Vec<_>, Vec<_>) =
            legs.iter().map(|leg| (leg, self.hears(leg))).partition(|(_, to)| *to == Connection::Nothing);
        for (leg, to) in silent.into_iter().chain(hearing) {
            if !self.is_ending(leg.leg) {
                self.make_hear(leg, to);
            }
        }
        for leg in &legs {
            self.make_music(leg);
            self.tell_held(leg);
            self.offer_codec_of_peer(leg);
        }
    }

    /// What a leg is to hear.
    pub(crate) fn hears(&self, leg: &LegView) -> Connection {
        if leg.held.is_some() || leg.put_aside || leg.diverted {
            return Connection::Nothing;
        }
        if let Some(conference) = leg.conference {
            return Connection::Mix(conference);
        }
        if let Some(peer) = leg.peer.and_then(|peer| self.fold.leg(peer)) {
            let silent = peer.held.is_some() || peer.put_aside;
            return if silent { Connection::Nothing } else { Connection::Peer(peer.leg) };
        }
        match &leg.served_by {
            Some(Destination::Echo) => Connection::Echo,
            _ => self.hears_early(leg.leg).map_or(Connection::Nothing, Connection::Peer),
        }
    }

    pub(crate) fn make_hear(&mut self, leg: &LegView, to: Connection) {
        let asked = self.legs.get(&leg.leg).map_or(Connection::Nothing, |control| control.passing.asked);
        let unknown = std::mem::take(&mut self.control(leg.leg).passing.hears_unknown);
        if asked == to && !(unknown && leg.served_by == Some(Destination::Echo)) {
            return;
        }
        // A leg that leaves its peer leaves it in silence.
        for other in [asked, to] {
            if let Connection::Peer(other) = other {
                self.forget_peer(other, leg.leg);
            }
        }
        self.control(leg.leg).passing.asked = to;
        if let Connection::Peer(peer) = to {
            self.control(peer).passing.asked = Connection::Peer(leg.leg);
        }
        self.connect(leg, to);
    }

    /// What media does by itself when `leg` is connected elsewhere.
    fn forget_peer(&mut self, other: LegId, leg: LegId) {
        if self.fold.leg(other).is_none_or(|view| !view.is_live()) {
            return;
        }
        let before = std::mem::replace(&mut self.control(other).passing.asked, Connection::Nothing);
        if let Connection::Peer(third) = before
            && third != leg
            && self.fold.leg(third).is_some_and(LegView::is_live)
        {
            self.control(third).passing.asked = Connection::Nothing;
        }
    }

    /// Whether whoever a leg talks with holds it.
    pub(crate) fn is_held(&self, leg: &LegView) -> bool {
        let peer = leg.peer.and_then(|peer| self.fold.leg(peer));
        peer.is_some_and(|peer| peer.held.is_some()) && leg.held.is_none() && !leg.put_aside
    }

    /// Whoever is held hears music, or silence where there is none.
    fn make_music(&mut self, leg: &LegView) {
        let Some(prompt) = self.limits.hold_prompt.clone() else { return };
        let wanted = self.is_held(leg) && !self.is_ending(leg.leg);
        if std::mem::replace(&mut self.control(leg.leg).passing.music, wanted) == wanted {
            return;
        }
        let playback = music_of(leg.leg);
        let request = if wanted {
            let sources = vec![Source::Prompt(prompt)];
            MediaRequest::Play {
                playback,
                to: Heard::Leg(leg.leg),
                sources,
                repeat: 0,
                manner: Manner::Instead,
            }
        } else {
            MediaRequest::StopPlay { playback }
        };
        self.ask(leg, request);
    }
}

/// A leg's own playback, music or announcement, has the leg's id, so that it can always be found.
pub(crate) fn music_of(leg: LegId) -> PlaybackId {
    PlaybackId::from(leg.as_uuid())
}
