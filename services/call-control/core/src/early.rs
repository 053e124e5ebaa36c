//! Early media: what a called phone lets be heard before it answers, such as a carrier's announcement or its own ringing tone
//! (RFC 3960; decision 72).
//!
//! It is heard by whoever waits for that phone alone, and only while that phone is the only one that rings: of several phones
//! one would be picked by chance. Until the answer sound goes one way. What the waiting party says is kept back, so that nobody
//! talks over a call that is not charged; the digits it dials pass, since announcements ask for them.

use sidetone_model::command::LegCommandKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{CallId, LegId};
use sidetone_model::time::Timestamp;

use crate::effect::{Connection, MediaRequest};
use crate::input::HeldMedia;
use crate::shard::Shard;

impl Shard {
    /// Who is to hear what a ringing phone lets be heard.
    pub(crate) fn early_listener(&self, ringing: &LegView) -> Option<LegView> {
        let control = self.legs.get(&ringing.leg)?;
        if ringing.incoming || !self.still_rings(ringing.leg) || control.passing.then.is_some() {
            return None;
        }
        let mut others = self.fold.live_legs(ringing.call).filter(|leg| leg.leg != ringing.leg);
        let (Some(listener), None) = (others.next(), others.next()) else { return None };
        let node = |leg: &LegView| leg.node.as_ref().map(|(node, _)| node.clone());
        let same_node = node(listener).is_some_and(|of| Some(of) == node(ringing));
        let waits = if listener.is_answered() {
            let free = listener.peer.is_none() && listener.conference.is_none();
            free && listener.served_by.is_none() && listener.held.is_none() && !listener.put_aside
        } else {
            let offered = |leg| self.legs.get(leg).is_some_and(|it| it.passing.matching.has_offered());
            listener.incoming && offered(&listener.leg)
        };
        (same_node && waits && !listener.diverted && !self.is_ending(listener.leg)).then(|| listener.clone())
    }

    /// A phone rings and lets something be heard, and media has taken its description in.
    pub(crate) fn on_early_media(&mut self, ringing: &LegView, now: Timestamp) {
        if let Some(listener) = self.early_listener(ringing) {
            self.let_hear_early(&listener, ringing.leg);
        }
        self.on_progress(ringing, now);
    }

    fn let_hear_early(&mut self, listener: &LegView, ringing: LegId) {
        let passing = &mut self.control(listener.leg).passing;
        if passing.early.replace(ringing) == Some(ringing) {
            return;
        }
        passing.kept_back = true;
        let local = passing.local.clone().filter(|_| !listener.is_answered());
        if local.is_some() {
            (passing.rung, passing.told_early) = (true, true);
            self.command(listener, LegCommandKind::Ring { media: local });
        }
        let (leg, deafened, voice) = (listener.leg, listener.deafened, listener.voice);
        self.ask(listener, MediaRequest::SetAudio { leg, muted: true, deafened, voice });
        self.make_hear(listener, Connection::Peer(ringing));
        if listener.is_answered() {
            self.make_music(listener);
        }
    }

    /// The phone that a leg hears although it has not answered.
    pub(crate) fn hears_early(&self, leg: LegId) -> Option<LegId> {
        let early = self.legs.get(&leg)?.passing.early?;
        self.still_rings(early).then_some(early)
    }

    /// Somebody answered, or what was heard is over: what those of a call say that hear nothing early any more goes through.
    pub(crate) fn let_through(&mut self, call: CallId) {
        let legs: Vec<LegView> = self.fold.live_legs(call).cloned().collect();
        for view in legs {
            let leg = view.leg;
            if !self.is_kept_back(leg) || self.hears_early(leg).is_some() {
                continue;
            }
            self.control(leg).passing.kept_back = false;
            let (muted, deafened, voice) = (view.muted, view.deafened, view.voice);
            self.ask(&view, MediaRequest::SetAudio { leg, muted, deafened, voice });
        }
    }

    /// Whether what a leg says is kept back until the phone that it hears has answered.
    pub(crate) fn is_kept_back(&self, leg: LegId) -> bool {
        self.legs.get(&leg).is_some_and(|control| control.passing.kept_back)
    }

    /// After a restart: who heard early media is not in the log, but its node has it bridged.
    pub(crate) fn resume_early(&mut self, leg: &LegView, held: &HeldMedia) {
        let listens = leg.incoming || leg.is_answered();
        if listens && leg.peer.is_none() && held.peer.is_some() {
            let passing = &mut self.control(leg.leg).passing;
            (passing.early, passing.told_early, passing.kept_back) = (held.peer, true, true);
        }
    }
}
