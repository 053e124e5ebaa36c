//! What each leg of a call is to hear, and the requests that make it so.

use sidetone_model::fold::LegView;
use sidetone_model::ids::{CallId, LegId, PlaybackId};
use sidetone_model::media::{Manner, PlayOptions, Source};
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

    /// Whoever is held hears music, and who waits for a phone that rings hears it ring; or silence where there is no such prompt.
    pub(crate) fn make_music(&mut self, leg: &LegView) {
        let wanted = self.meanwhile(leg);
        let before = std::mem::replace(&mut self.control(leg.leg).passing.music, wanted);
        if before == wanted {
            return;
        }
        if let Some(playback) = before.playback(leg.leg) {
            self.ask(leg, MediaRequest::StopPlay { playback });
        }
        let prompt = match wanted {
            Meanwhile::Nothing => None,
            Meanwhile::Music => self.limits.hold_prompt.clone(),
            Meanwhile::Ringing => self.limits.ringback_prompt.clone(),
        };
        if let Some((playback, prompt)) = wanted.playback(leg.leg).zip(prompt) {
            let (to, sources) = (Heard::Leg(leg.leg), vec![Source::Prompt(prompt)]);
            let (manner, options) = (Manner::Instead, PlayOptions::default());
            self.ask(leg, MediaRequest::Play { playback, to, sources, repeat: 0, manner, options });
        }
    }

    fn meanwhile(&self, leg: &LegView) -> Meanwhile {
        if self.is_ending(leg.leg) {
            Meanwhile::Nothing
        } else if self.limits.hold_prompt.is_some() && self.is_held(leg) {
            Meanwhile::Music
        } else if self.limits.ringback_prompt.is_some() && self.waits_for_a_phone(leg) {
            Meanwhile::Ringing
        } else {
            Meanwhile::Nothing
        }
    }

    /// Whether a leg was answered before and is alone in a call in which a phone rings: the call was passed on, or begun by an
    /// application. A caller who was not answered hears its own telephone's tone.
    fn waits_for_a_phone(&self, leg: &LegView) -> bool {
        let busy = leg.peer.is_some() || leg.conference.is_some() || leg.served_by.is_some();
        let away = leg.held.is_some() || leg.put_aside || leg.diverted;
        // What an application plays meanwhile is its own affair, and so is what the phone lets be heard.
        let hears = self.hears_early(leg.leg).is_some()
            || self.fold.call(leg.call).is_none_or(|call| !call.playbacks.is_empty());
        let rings = |other: &LegView| !other.incoming && self.still_rings(other.leg);
        !busy && !away && !hears && self.fold.live_legs(leg.call).any(rings)
    }
}

/// What a leg hears while it waits for somebody.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Meanwhile {
    #[default]
    Nothing,
    /// It is held.
    Music,
    /// A phone rings for it.
    Ringing,
}

impl Meanwhile {
    /// Its name: of the two one may begin while the other is being stopped.
    pub(crate) fn playback(self, leg: LegId) -> Option<PlaybackId> {
        match self {
            Self::Nothing => None,
            Self::Music => Some(music_of(leg)),
            Self::Ringing => Some(PlaybackId::from(uuid::Uuid::from_u128(leg.as_u128() ^ RINGING))),
        }
    }
}

/// Sets the playback of a ringing tone apart from a leg's other one.
const RINGING: u128 = 0x5249_4e47;

/// A leg's own playback, music or announcement, has the leg's id, so that it can always be found.
pub(crate) fn music_of(leg: LegId) -> PlaybackId {
    PlaybackId::from(leg.as_uuid())
}
