//! What a media node plays, held against what the log says, when the node is attached: a request may have been lost with the process
//! that made it, and the end of a sound while nobody listened for it.
//!
//! What the log has and the node does not plays no more: its end is told. What the node plays to a leg and nobody knows is stopped.
//! A request under way says nothing yet of either.

use std::collections::BTreeSet;

use sidetone_model::call::PlaybackEnd;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{NodeId, PlaybackId};
use sidetone_model::party::Destination;
use sidetone_model::time::Timestamp;

use crate::effect::{Heard, MediaRequest, Step};
use crate::input::HeldSounds;
use crate::playing::heard_by;
use crate::shard::Shard;
use crate::topology::{Meanwhile, music_of};

/// Playbacks that were asked for, and their nodes have not answered yet.
#[derive(Debug, Default)]
pub(crate) struct Unanswered(BTreeSet<PlaybackId>);

impl Unanswered {
    pub(crate) fn asked(&mut self, request: &MediaRequest) {
        if let MediaRequest::Play { playback, to: Heard::Leg(_), .. } = request {
            self.0.insert(*playback);
        }
    }

    pub(crate) fn answered(&mut self, request: &MediaRequest) {
        if let MediaRequest::Play { playback, .. } = request {
            self.0.remove(playback);
        }
    }
}

impl Shard {
    /// A node tells what it plays to its legs. To be called after [`Self::handle_node_legs`].
    pub fn handle_node_sounds(&mut self, node: &NodeId, held: &HeldSounds, now: Timestamp) -> Step {
        let here = |leg: &&LegView| leg.is_live() && leg.node.as_ref().is_some_and(|(of, _)| of == node);
        let legs: Vec<LegView> = self.fold.legs().filter(here).cloned().collect();
        for leg in legs {
            if !self.is_ending(leg.leg) {
                self.compare_sounds(&leg, held, now);
            }
        }
        self.finish()
    }

    fn compare_sounds(&mut self, leg: &LegView, held: &HeldSounds, now: Timestamp) {
        let none = BTreeSet::new();
        let there = held.get(&leg.leg).unwrap_or(&none);
        let wanted = self.wanted_by(leg);
        for playback in there.difference(&wanted) {
            // The messages of a mailbox have names that a restart forgets; it has begun anew.
            if !matches!(leg.served_by, Some(Destination::Mailbox(_))) {
                self.ask(leg, MediaRequest::StopPlay { playback: *playback });
            }
        }
        for playback in wanted.difference(there) {
            if !self.unanswered.0.contains(playback) && !self.on_played(*playback, PlaybackEnd::Stopped, now)
            {
                self.own_sound_is_over(leg, *playback, now);
            }
        }
    }

    /// What a leg is to hear, by the names under which its node knows that.
    fn wanted_by(&self, leg: &LegView) -> BTreeSet<PlaybackId> {
        let playing = self.fold.call(leg.call).map_or(&[][..], |call| &call.playbacks);
        let views = playing.iter().filter_map(|playback| self.fold.playback(*playback));
        let heard = views.filter_map(|view| match view.leg {
            Some(one) => (one == leg.leg).then_some(view.playback),
            None => Some(heard_by(view.playback, leg.leg)).filter(|own| self.hearing.contains_key(own)),
        });
        let music = self.legs.get(&leg.leg).map_or(Meanwhile::Nothing, |control| control.passing.music);
        let served =
            matches!(leg.served_by, Some(Destination::Announcement { .. } | Destination::Voicemail(_)));
        heard.chain(music.playback(leg.leg)).chain(served.then(|| music_of(leg.leg))).collect()
    }

    /// An announcement or a greeting whose end was not heard of. Music begins anew with the next hold.
    fn own_sound_is_over(&mut self, leg: &LegView, playback: PlaybackId, now: Timestamp) {
        if leg.served_by.is_some() && playback == music_of(leg.leg) {
            self.own_playback_over(leg, PlaybackEnd::Done, now);
        }
    }
}
