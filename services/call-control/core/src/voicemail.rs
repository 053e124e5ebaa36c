//! Voicemail: greets, and records what the caller leaves.
//!
//! A message is a recording of the one leg, with the name `voicemail/` and the user's. It ends when the caller hangs up or
//! presses `#`, or after [`crate::Limits::message_max`].

use sidetone_model::command::RecordingOptions;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegView, RecordingView};
use sidetone_model::ids::LegId;
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::shard::Shard;
use crate::topology::music_of;

/// The digit that ends a message.
const END: char = '#';
/// What a caller hears whose message cannot be recorded: some seconds of it.
const NOT_RECORDED: &str = "tone:congestion";
const NOT_RECORDED_TIMES: u32 = 8;
/// What is shorter was no message.
const MESSAGE_MIN_MS: u64 = 1000;

impl Shard {
    /// The leg is in somebody's voicemail: it is greeted. After a restart it is greeted again, unless it speaks already.
    pub(crate) fn greet(&mut self, leg: &LegView) {
        if self.is_voicemail_full(leg) {
            self.end(leg, Termination::new(Cause::NoCapacity).with_text("the voicemail is full"));
        } else if !self.is_leaving_message(leg) {
            let Some(Destination::Voicemail(user)) = leg.served_by.clone() else { return };
            let (playback, tenant) = (music_of(leg.leg), leg.tenant.clone());
            let otherwise = self.limits.voicemail_greeting.clone();
            self.ask(leg, MediaRequest::PlayGreeting { playback, leg: leg.leg, tenant, user, otherwise });
        }
    }

    /// The greeting is over, or there was none to be played: what is said now is the message.
    pub(crate) fn begin_message(&mut self, leg: &LegView, now: Timestamp) {
        let Some(Destination::Voicemail(user)) = &leg.served_by else { return };
        if self.is_leaving_message(leg) || self.is_ending(leg.leg) {
            return;
        }
        if let Some(why) = self.control(leg.leg).passing.unrecorded.take() {
            self.end(leg, why);
            return;
        }
        if self.is_voicemail_full(leg) {
            self.end(leg, Termination::new(Cause::NoCapacity).with_text("the voicemail is full"));
            return;
        }
        let name = format!("voicemail/{user}").into();
        let options = RecordingOptions { legs: vec![leg.leg], name, ..RecordingOptions::default() };
        if self.record(leg.call, &options, now).is_err() {
            let text = "the message cannot be recorded";
            self.end(leg, Termination::new(Cause::Internal).with_text(text));
        }
    }

    fn is_voicemail_full(&self, leg: &LegView) -> bool {
        let Some(Destination::Voicemail(user)) = &leg.served_by else { return false };
        self.fold.messages(&leg.tenant, user).count() >= self.limits.messages_max
    }

    fn is_leaving_message(&self, leg: &LegView) -> bool {
        let recordings = self.fold.call(leg.call).map_or(&[][..], |call| &call.recordings);
        let mut running = recordings.iter().filter_map(|id| self.fold.recording(*id));
        running.any(|view| view.is_running() && view.legs == [leg.leg])
    }

    /// A recording is complete: if it was somebody's message, the voicemail has it from now on. Who hangs up at once has left
    /// none.
    pub(crate) fn message_left(
        &mut self,
        view: &RecordingView,
        file: Box<str>,
        duration_ms: u64,
        now: Timestamp,
    ) {
        let [leg] = view.legs[..] else { return };
        let Some(leg) = self.fold.leg(leg) else { return };
        let Some(Destination::Voicemail(user)) = leg.served_by.clone() else { return };
        if duration_ms < MESSAGE_MIN_MS || !view.name.starts_with("voicemail/") {
            return;
        }
        let (message, call, from, node) = (view.recording, view.call, leg.party.clone(), view.node.clone());
        let left = FactKind::MessageLeft { message, user, call, from, node, file, duration_ms };
        self.fact(&view.tenant, now, left);
    }

    /// A recording has failed: if it was somebody's message, nobody is to speak into nothing. The caller hears so, and the call
    /// ends for that reason.
    pub(crate) fn message_failed(&mut self, view: &RecordingView, why: &Termination) {
        let [leg] = view.legs[..] else { return };
        let Some(leg) = self.live(leg).filter(|leg| !self.is_ending(leg.leg)) else { return };
        if !matches!(leg.served_by, Some(Destination::Voicemail(_))) || !view.name.starts_with("voicemail/") {
            return;
        }
        let text = format!("the message cannot be recorded: {}", why.text);
        self.control(leg.leg).passing.unrecorded = Some(Termination::new(why.cause).with_text(text));
        self.announce(&leg, NOT_RECORDED.into(), NOT_RECORDED_TIMES);
    }

    /// Whoever leaves a message has pressed a digit: it ends the message, and before that the greeting.
    pub(crate) fn on_message_digit(&mut self, leg: LegId, digit: char, now: Timestamp) {
        let Some(leg) = self.live(leg) else { return };
        if digit != END || !matches!(leg.served_by, Some(Destination::Voicemail(_))) {
            return;
        }
        if self.is_leaving_message(&leg) {
            self.end(&leg, Termination::new(Cause::Normal).with_text("the message is complete"));
            return;
        }
        self.ask(&leg, MediaRequest::StopPlay { playback: music_of(leg.leg) });
        self.begin_message(&leg, now);
    }

    /// Messages that have become too long are complete.
    pub(crate) fn end_long_messages(&mut self, now: Timestamp) {
        let max = self.limits.message_max;
        while let Some((since, leg)) = self.messages.first().copied().filter(|(since, _)| *since + max <= now)
        {
            self.messages.remove(&(since, leg));
            if let Some(leg) = self.live(leg) {
                self.end(
                    &leg,
                    Termination::new(Cause::Normal).with_text("the message is as long as it may be"),
                );
            }
        }
    }
}
