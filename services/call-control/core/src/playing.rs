//! What applications play into calls, and streams that come out of them.

use sidetone_model::call::PlaybackEnd;
use sidetone_model::command::Audience;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{Capability, LegView, PlaybackView};
use sidetone_model::ids::{CallId, LegId, NodeId, PlaybackId, StreamId, TenantId};
use sidetone_model::media::{FileFormat, Manner, PlayOptions, PlaySteer, Source};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Heard, MediaRequest, Step};
use crate::error::CommandError;
use crate::shard::Shard;

/// Sources of one playlist at most.
const SOURCES_MAX: usize = 32;

impl Shard {
    /// A node tells that a playback has come to its end.
    pub fn handle_playback_finished(
        &mut self,
        playback: PlaybackId,
        end: PlaybackEnd,
        now: Timestamp,
    ) -> Step {
        if self.on_played(playback, end, now) {
            return self.finish();
        }
        if self.on_message_played(playback, end == PlaybackEnd::Done, now) {
            return self.finish();
        }
        if let Some(leg) = self.live(LegId::from(playback.as_uuid())) {
            self.own_playback_over(&leg, end, now);
        }
        self.finish()
    }

    /// A leg's own: the announcement for which it called, or a greeting.
    pub(crate) fn own_playback_over(&mut self, leg: &LegView, end: PlaybackEnd, now: Timestamp) {
        match leg.served_by {
            Some(Destination::Announcement { .. }) if end != PlaybackEnd::Stopped => {
                self.end(leg, Termination::new(Cause::Normal).with_text("the announcement is over"));
            }
            // Also when something else was played in its place: nobody speaks to a voicemail that does not listen.
            Some(Destination::Voicemail(_)) => self.begin_message(leg, now),
            _ => {}
        }
    }

    /// Whether a playback is this shard's: of a call, of a leg for itself (it has the leg's id), or of a voicemail.
    pub fn plays(&self, playback: PlaybackId) -> bool {
        let own = LegId::from(playback.as_uuid());
        self.fold.playback(playback).is_some()
            || self.hearing.contains_key(&playback)
            || self.fold.leg(own).is_some()
            || self.listening.contains_key(&playback)
    }

    /// A node tells that a stream is over. One that has gone to another node goes on there.
    pub fn handle_stream_ended(&mut self, node: &NodeId, stream: StreamId, now: Timestamp) -> Step {
        let here = self.fold.stream(stream).filter(|view| view.node == *node);
        if let Some(tenant) = here.map(|view| view.tenant.clone()) {
            self.fact(&tenant, now, FactKind::StreamStopped { stream });
        }
        self.finish()
    }

    /// An application's playback, or what one of several hears of it, has come to its end or does not begin. False when it is
    /// something else.
    pub(crate) fn on_played(&mut self, playback: PlaybackId, end: PlaybackEnd, now: Timestamp) -> bool {
        let Some(whole) = self.hearing.get(&playback).copied() else {
            let one = self.fold.playback(playback).is_some();
            self.playback_over(playback, end, now);
            return one;
        };
        self.hears_no_more(playback);
        // What one of them has heard to its end all have, and so it is with what one of them has ended by a key or by speaking; who hears
        // something else instead has ended it for nobody else.
        let for_all = matches!(end, PlaybackEnd::Done | PlaybackEnd::Key | PlaybackEnd::Voice);
        if for_all || !self.is_heard(whole) {
            self.playback_over(whole, end, now);
        }
        true
    }

    /// Whoever is gone hears nothing.
    pub(crate) fn end_playbacks_to(&mut self, leg: &LegView, now: Timestamp) {
        let playing = self.fold.call(leg.call).map(|call| call.playbacks.clone()).unwrap_or_default();
        for playback in playing {
            let Some(view) = self.fold.playback(playback) else { continue };
            let heard_it = match view.leg {
                Some(one) => one == leg.leg,
                None => self.hears_no_more(heard_by(playback, leg.leg)),
            };
            if heard_it && !self.is_heard(playback) {
                self.playback_over(playback, PlaybackEnd::Stopped, now);
            }
        }
    }

    /// Who has ended hears nothing any more.
    pub(crate) fn forget_hearer(&mut self, leg: LegId) {
        self.hearing.retain(|own, whole| *own != heard_by(*whole, leg));
    }

    fn hears_no_more(&mut self, playback: PlaybackId) -> bool {
        self.hearing.remove(&playback).is_some()
    }

    /// A playback to several goes on for those alone; from the log.
    pub(crate) fn note_hearers_moved(&mut self, playback: PlaybackId, legs: &[LegId]) {
        if self.fold.playback(playback).is_some_and(|view| view.leg.is_none()) {
            self.hearing.retain(|_, of| *of != playback);
            self.hearing.extend(legs.iter().map(|leg| (heard_by(playback, *leg), playback)));
        }
    }

    /// Whoever of several still hears a playback.
    pub(crate) fn hearers_of(&self, playback: PlaybackId) -> Vec<LegId> {
        let own = self.hearing.iter().filter(|(_, of)| **of == playback).map(|(own, _)| own);
        own.map(|own| LegId::from(heard_by(playback, LegId::from(own.as_uuid())).as_uuid())).collect()
    }

    /// Whether anybody of several still hears a playback.
    fn is_heard(&self, whole: PlaybackId) -> bool {
        self.hearing.values().any(|of| *of == whole)
    }

    /// Notes who hears what begins; from the log, so that it is known after a restart, too.
    pub(crate) fn note_hearers(&mut self, playback: PlaybackId, call: CallId) {
        let hearers = self.hearers(call, None);
        self.hearing.extend(hearers.iter().map(|leg| (heard_by(playback, leg.leg), playback)));
    }

    pub(crate) fn play(
        &mut self,
        to: Audience,
        sources: &[Source],
        (repeat, manner, options): (u32, Manner, PlayOptions),
        now: Timestamp,
    ) -> Result<PlaybackId, CommandError> {
        let Some(first) = sources.first().filter(|_| sources.len() <= SOURCES_MAX) else {
            return Err(CommandError::BadPlaylist);
        };
        let (call, one) = match to {
            Audience::Call(call) => (call, None),
            Audience::Leg(leg) => (self.live(leg).ok_or(CommandError::NoSuchLeg)?.call, Some(leg)),
        };
        let hearers = self.hearers(call, one);
        let Some(tenant) = hearers.first().map(|leg| leg.tenant.clone()) else {
            return Err(CommandError::CapabilityMissing);
        };
        let playing = self.fold.call(call).map_or(0, |call| call.playbacks.len());
        if playing >= self.limits.playbacks_max {
            return Err(CommandError::TooManyPlaybacks);
        }
        let playback: PlaybackId = self.ids.make(now);
        let (source, barge_in) = (first.clone(), options.barge_in);
        let started = FactKind::PlaybackStarted { playback, call, leg: one, source, barge_in };
        self.fact(&tenant, now, started);
        for leg in &hearers {
            let playback = if one.is_some() { playback } else { heard_by(playback, leg.leg) };
            let (to, sources) = (Heard::Leg(leg.leg), sources.to_vec());
            self.ask(leg, MediaRequest::Play { playback, to, sources, repeat, manner, options });
        }
        Ok(playback)
    }

    /// Who hears what is played: the legs to which that may be done now.
    fn hearers(&self, call: CallId, one: Option<LegId>) -> Vec<LegView> {
        let legs = self.fold.live_legs(call).filter(|leg| one.is_none_or(|one| leg.leg == one));
        legs.filter(|leg| self.fold.capabilities(leg.leg).contains(Capability::Play)).cloned().collect()
    }

    pub(crate) fn stop_play(&mut self, to: Audience, which: Option<PlaybackId>, now: Timestamp) {
        let (call, one) = match to {
            Audience::Call(call) => (Some(call), None),
            Audience::Leg(leg) => (self.fold.leg(leg).map(|leg| leg.call), Some(leg)),
        };
        let playing = call.and_then(|call| self.fold.call(call)).map(|call| call.playbacks.clone());
        for playback in playing.unwrap_or_default() {
            let heard_by = self.fold.playback(playback).and_then(|view| view.leg);
            if which.is_none_or(|which| which == playback) && (one.is_none() || heard_by == one) {
                self.playback_over(playback, PlaybackEnd::Stopped, now);
            }
        }
    }

    /// Writes the end down, and makes it true at media wherever that still plays.
    pub(crate) fn playback_over(&mut self, playback: PlaybackId, end: PlaybackEnd, now: Timestamp) {
        let Some(view) = self.fold.playback(playback).cloned() else { return };
        if matches!(end, PlaybackEnd::Stopped | PlaybackEnd::Key | PlaybackEnd::Voice) {
            for (node, playback) in self.heard_as(&view) {
                self.ask_node(node, MediaRequest::StopPlay { playback });
            }
        }
        self.fact(&view.tenant, now, FactKind::PlaybackFinished { playback, end });
    }

    /// Changes what is played, for all who hear it.
    pub(crate) fn steer_play(
        &mut self,
        tenant: &TenantId,
        playback: PlaybackId,
        steer: PlaySteer,
    ) -> Result<(), CommandError> {
        let view = self.fold.playback(playback).filter(|view| view.tenant == *tenant).cloned();
        let view = view.ok_or(CommandError::NoSuchPlayback)?;
        for (node, playback) in self.heard_as(&view) {
            self.ask_node(node, MediaRequest::SteerPlay { playback, steer });
        }
        Ok(())
    }

    /// A phone has pressed a key that its media node does not know of: signalling has told of it.
    pub(crate) fn on_key_by_info(&mut self, leg: &LegView, now: Timestamp) {
        let playing = self.fold.call(leg.call).map(|call| call.playbacks.clone()).unwrap_or_default();
        for playback in playing {
            let Some(view) = self.fold.playback(playback).filter(|view| view.barge_in.by_key()) else {
                continue;
            };
            let hears = match view.leg {
                Some(one) => one == leg.leg,
                None => self.hearing.contains_key(&heard_by(playback, leg.leg)),
            };
            if hears {
                self.playback_over(playback, PlaybackEnd::Key, now);
            }
        }
    }

    /// On which node, and under which names, those in the call hear a playback.
    fn heard_as(&self, view: &PlaybackView) -> Vec<(NodeId, PlaybackId)> {
        let mut legs = self.fold.live_legs(view.call);
        let Some(node) = legs.find_map(|leg| leg.node.as_ref().map(|(node, _)| node.clone())) else {
            return Vec::new();
        };
        if view.leg.is_some() {
            return vec![(node, view.playback)];
        }
        let legs = self.fold.live_legs(view.call);
        legs.map(|leg| (node.clone(), heard_by(view.playback, leg.leg))).collect()
    }

    /// A call that is over plays nothing.
    pub(crate) fn end_playbacks(&mut self, call: CallId, now: Timestamp) {
        let playing = self.fold.call(call).map(|call| call.playbacks.clone()).unwrap_or_default();
        for playback in playing {
            self.playback_over(playback, PlaybackEnd::Stopped, now);
        }
    }

    pub(crate) fn start_stream(
        &mut self,
        call: CallId,
        format: FileFormat,
        now: Timestamp,
    ) -> Result<StreamId, CommandError> {
        let legs: Vec<LegView> = self.fold.live_legs(call).filter(|leg| leg.is_answered()).cloned().collect();
        let allowed = |leg: &&LegView| self.fold.capabilities(leg.leg).contains(Capability::StartStream);
        let first = legs.iter().find(allowed).ok_or(CommandError::CapabilityMissing)?;
        let (node, _) = first.node.clone().ok_or(CommandError::CapabilityMissing)?;
        if self.fold.call(call).is_some_and(|call| call.streams.len() >= self.limits.streams_max) {
            return Err(CommandError::TooManyStreams);
        }
        let (stream, tenant) = (self.ids.make(now), first.tenant.clone());
        self.fact(&tenant, now, FactKind::StreamStarted { stream, call, format, node: node.clone() });
        let legs = legs.iter().map(|leg| leg.leg).collect();
        self.ask_node(node, MediaRequest::StartStream { stream, tenant, call, legs, format });
        Ok(stream)
    }

    /// A node cannot make a stream. What one says where the stream was before concerns nobody.
    pub(crate) fn on_not_streamed(&mut self, node: &NodeId, stream: StreamId, now: Timestamp) {
        if self.fold.stream(stream).is_some_and(|view| view.node == *node) {
            self.stop_stream(stream, now);
        }
    }

    pub(crate) fn stop_stream(&mut self, stream: StreamId, now: Timestamp) {
        let Some(view) = self.fold.stream(stream).cloned() else { return };
        self.ask_node(view.node, MediaRequest::StopStream { stream });
        self.fact(&view.tenant, now, FactKind::StreamStopped { stream });
    }
}

/// Each of several hears a playback of its own, under a name that follows from both: what becomes of one of them is told apart.
pub(crate) fn heard_by(playback: PlaybackId, leg: LegId) -> PlaybackId {
    PlaybackId::from(uuid::Uuid::from_u128(playback.as_u128() ^ leg.as_u128()))
}
