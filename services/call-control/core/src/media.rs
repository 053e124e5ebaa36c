//! What media nodes answer and tell.

use sidetone_model::call::{LegCause, LegQuality, PlaybackEnd};
use sidetone_model::classify::Class;
use sidetone_model::command::{Invite, LegCommandKind};
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::{BootId, LegId, NodeId, PlaybackId};
use sidetone_model::media::MediaDescription;
use sidetone_model::party::{Binding, Destination, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::digits::Way;
use crate::effect::{Answers, MediaRequest, Step};
use crate::input::{MediaFailure, MediaReply, Routing};
use crate::introduction::Introduction;
use crate::shard::Shard;
use crate::topology::music_of;

impl Shard {
    /// Takes the answer of `node` to a request of an earlier step.
    pub fn handle_media(
        &mut self,
        node: &NodeId,
        request: MediaRequest,
        answer: Result<MediaReply, MediaFailure>,
        now: Timestamp,
    ) -> Step {
        self.unanswered.answered(&request);
        let leg = request.leg().and_then(|leg| self.live(leg));
        let is_elsewhere = |leg: &&LegView| leg.node.as_ref().is_some_and(|(of, _)| of != node);
        if let Some(leg) = leg.as_ref().filter(is_elsewhere) {
            self.on_other_node(leg, node, &request, answer, now);
            return self.finish();
        }
        match (request, answer, leg) {
            (MediaRequest::CreateLeg { leg, .. }, Ok(MediaReply::Created { .. }), None) => {
                // It ended while the port was being taken.
                self.ask_node(node.clone(), MediaRequest::ReleaseLeg { leg });
            }
            (MediaRequest::CreateLeg { .. }, Ok(MediaReply::Created { local, boot }), Some(leg)) => {
                self.on_created(&leg, node, boot, local, now);
            }
            (request @ MediaRequest::CreateLeg { .. }, Err(failure), Some(leg)) => {
                self.on_not_created(&leg, node, request, &failure, now);
            }
            (MediaRequest::ReleaseLeg { leg }, Ok(MediaReply::Released { quality: Some(quality) }), None) => {
                self.on_measured(leg, quality, now);
            }
            (MediaRequest::UpdateLeg { remote, answers, .. }, answer, Some(leg)) => {
                self.on_updated(&leg, (&remote, answers), answer, now);
            }
            (MediaRequest::OfferLeg { .. }, Ok(MediaReply::Offered { local }), Some(leg)) => {
                self.on_offer_made(&leg, local, now);
            }
            (MediaRequest::OfferLeg { .. }, Err(_), Some(leg)) if self.waits_for_offer(leg.leg) => {
                self.offer_as_asked(&leg, None, now);
            }
            (MediaRequest::ConnectLeg { .. }, Err(failure), Some(leg)) => {
                self.end(&leg, failed(&failure));
            }
            (MediaRequest::PlayMessage { playback, .. }, Err(_), _) => {
                self.on_message_played(playback, false, now);
            }
            (request, answer, Some(leg)) if self.is_of_mailbox(&leg, &request) => {
                self.on_mailbox_answer(&leg, &request, answer.err().as_ref(), now);
            }
            (
                MediaRequest::Play { playback, .. } | MediaRequest::PlayGreeting { playback, .. },
                Err(failure),
                leg,
            ) => {
                self.on_not_played(playback, leg.as_ref(), &failure, now);
            }
            (MediaRequest::StartStream { stream, .. }, Err(_), _) => self.on_not_streamed(node, stream, now),
            (MediaRequest::FinishRecording { recording, .. }, Err(failure), _) => {
                self.on_not_finished(node, recording, &failure, now);
            }
            (MediaRequest::StopRecording { recording }, Err(failure), _) if is_away(&failure) => {
                self.finish_recording(recording, now);
            }
            (MediaRequest::StartRecording { recording, ref legs, .. }, Err(failure), _)
                if failure.class == Class::NotFound && self.records_others(recording, legs) => {}
            (MediaRequest::StartRecording { recording, .. }, Err(failure), _)
            | (MediaRequest::StopRecording { recording }, Err(failure), _) => {
                self.recording_failed(recording, failed(&failure), now);
            }
            _ => {}
        }
        self.finish()
    }

    /// A leg's idle time is over: neither RTP nor a refresh.
    pub fn handle_leg_timed_out(&mut self, leg: LegId) -> Step {
        if let Some(leg) = self.live(leg) {
            self.end(&leg, Termination::new(Cause::MediaTimeout).with_text("no RTP for the idle time"));
        }
        self.finish()
    }

    /// Nothing comes from the far side of a leg, which is to send all the time: it is switched off, or talks to somebody else. Before
    /// the answer nobody has to say anything, and who is put on hold falls silent before the node knows.
    pub fn handle_leg_lifeless(&mut self, leg: LegId) -> Step {
        if let Some(leg) = self.live(leg).filter(|leg| leg.is_answered() && leg.held.is_none()) {
            self.end(
                &leg,
                Termination::new(Cause::MediaTimeout).with_text("nothing comes from the telephone"),
            );
        }
        self.finish()
    }

    /// The far side of a leg did not prove itself, or has no key in common with the node.
    pub fn handle_leg_failed(&mut self, leg: LegId, reason: &str) -> Step {
        if let Some(leg) = self.live(leg) {
            self.end(&leg, Termination::new(Cause::ProtocolError).with_text(reason));
        }
        self.finish()
    }

    /// A digit came as RFC 4733 events.
    pub fn handle_digit(&mut self, leg: LegId, digit: char, duration_ms: u32, now: Timestamp) -> Step {
        if let Some(view) = self.live(leg) {
            self.on_digit(&view, (digit, duration_ms), Way::Media, now);
        }
        self.finish()
    }

    /// How an ended leg sounded. A release that was repeated finds no leg, and so nothing is told twice.
    fn on_measured(&mut self, leg: LegId, quality: Box<LegQuality>, now: Timestamp) {
        if let Some(tenant) = self.fold.leg(leg).map(|leg| leg.tenant.clone()) {
            self.fact(&tenant, now, FactKind::LegMeasured { leg, quality });
        }
    }

    fn on_created(
        &mut self,
        leg: &LegView,
        node: &NodeId,
        boot: BootId,
        local: MediaDescription,
        now: Timestamp,
    ) {
        if leg.node.is_none() {
            let fact = FactKind::LegMediaAllocated { leg: leg.leg, node: node.clone(), boot };
            self.fact(&leg.tenant, now, fact);
        }
        if leg.incoming {
            self.consume_pending(leg.leg);
        }
        let passing = &mut self.control(leg.leg).passing;
        passing.matching.we_describe(&local, leg.incoming);
        passing.local = Some(local.clone());
        let device = passing.call_device.take();
        // Where a phone that we call goes is decided when it has answered.
        let then = if device.is_none() { passing.then.take() } else { None };
        let Some(leg) = self.live(leg.leg) else { return };
        if self.is_ending(leg.leg) {
            return;
        }
        match (device, then) {
            (Some(binding), _) => self.invite(&leg, binding, local),
            (None, _) if leg.incoming && leg.cause == LegCause::Replaced => self.take_place(&leg, now),
            (None, Some(routing)) if leg.incoming => self.route(&leg, routing, now),
            (None, _) => {}
        }
    }

    fn invite(&mut self, leg: &LegView, binding: Binding, media: MediaDescription) {
        let Introduction { caller: from, anonymous, diversions, headers, max_forwards } =
            self.introduction(leg);
        let to = leg.party.number.clone();
        let auto_answer = self.legs.get(&leg.leg).is_some_and(|control| control.passing.auto_answer);
        let call = Some(leg.call);
        let invite = Invite {
            from,
            to,
            binding,
            media,
            auto_answer,
            anonymous,
            diversions,
            headers,
            call,
            max_forwards,
        };
        self.command(leg, LegCommandKind::Invite(Box::new(invite)));
    }

    /// The node is full, draining or gone: the next one is asked. A codec that nobody has is the caller's affair.
    fn on_not_created(
        &mut self,
        leg: &LegView,
        node: &NodeId,
        request: MediaRequest,
        failure: &MediaFailure,
        now: Timestamp,
    ) {
        let elsewhere =
            matches!(failure.class, Class::Exhausted | Class::Unavailable | Class::DeadlineExceeded);
        let next = self.control(leg.leg).passing.other_nodes.pop_front();
        match next {
            Some(next) if elsewhere => {
                // It may have done it and could not say so.
                self.ask_node(node.clone(), MediaRequest::ReleaseLeg { leg: leg.leg });
                self.control(leg.leg).passing.asked_node = Some(next.node.clone());
                self.ask_node(next.node, request);
            }
            _ => {
                self.end_any(leg, failed(failure), now);
                if leg.incoming {
                    self.consume_pending(leg.leg);
                }
            }
        }
    }

    fn on_updated(
        &mut self,
        leg: &LegView,
        (remote, answers): (&MediaDescription, Answers),
        answer: Result<MediaReply, MediaFailure>,
        now: Timestamp,
    ) {
        let local = match &answer {
            Ok(MediaReply::Updated { local }) => Some(local.clone()),
            _ => None,
        };
        if let Some(local) = &local {
            let passing = &mut self.control(leg.leg).passing;
            passing.matching.settled(remote, answers, local);
            passing.local = Some(local.clone());
        }
        if answers == Answers::Nothing && self.caller_matched(leg, now) {
            return;
        }
        let waits = self.legs.get(&leg.leg).and_then(|control| control.passing.pending.as_ref());
        // The answer to an offer of ours may still be under way when the phone offers something itself.
        let wanted = waits.is_some_and(|signal| match &signal.kind {
            LegSignalKind::Reoffered { .. } => answers == Answers::Nothing,
            LegSignalKind::Progress { .. }
            | LegSignalKind::Answered { .. }
            | LegSignalKind::Confirmed { .. } => answers == Answers::Offer,
            LegSignalKind::Reanswered { .. } => answers == Answers::Standing,
            _ => false,
        });
        if !wanted || (answer.is_ok() && self.match_caller(leg, remote)) {
            return;
        }
        self.on_settled(leg, local, answer, now);
    }

    /// Media has taken in what the phone said, and what waited for it goes on.
    pub(crate) fn on_settled(
        &mut self,
        leg: &LegView,
        local: Option<MediaDescription>,
        answer: Result<MediaReply, MediaFailure>,
        now: Timestamp,
    ) {
        let Some(signal) = self.consume_pending(leg.leg) else { return };
        match (signal.kind, answer) {
            (LegSignalKind::Reoffered { media: Some(remote) }, _) => {
                self.on_reoffered(leg, &remote, local, now);
            }
            // Whoever waits hears nothing of it, and the phone may still answer well.
            (LegSignalKind::Progress { .. }, Err(_)) => self.on_progress(leg, now),
            (LegSignalKind::Progress { .. }, Ok(_)) => self.on_early_media(leg, now),
            (_, Err(failure)) => self.end(leg, failed(&failure)),
            (LegSignalKind::Confirmed { media: Some(remote) }, Ok(_)) => {
                self.on_described(leg, &remote, now);
            }
            (LegSignalKind::Reanswered { media }, Ok(_)) => self.on_reanswered(leg, &media, now),
            (LegSignalKind::Answered { .. }, Ok(_)) if !self.is_ending(leg.leg) && !leg.is_answered() => {
                self.on_answered(leg, now);
            }
            _ => {}
        }
        self.take_behind(leg.leg, now);
    }

    /// A playback that does not begin: an announcement is all that its leg was there for.
    fn on_not_played(
        &mut self,
        playback: PlaybackId,
        leg: Option<&LegView>,
        failure: &MediaFailure,
        now: Timestamp,
    ) {
        if self.on_played(playback, PlaybackEnd::Failed, now) {
            return;
        }
        if let Some(leg) = leg
            && music_of(leg.leg) == playback
            && leg.served_by.is_some()
        {
            if matches!(leg.served_by, Some(Destination::Voicemail(_))) {
                self.begin_message(leg, now);
                return;
            }
            self.end(leg, not_played(failure));
        }
    }

    pub(crate) fn ask_for_port(&mut self, leg: &LegView, routing: &Routing, now: Timestamp) {
        let mut nodes: std::collections::VecDeque<_> = routing.nodes.iter().cloned().collect();
        let Some(first) = nodes.pop_front() else {
            let text = "no media node takes new legs";
            let none = Termination::new(Cause::NoCapacity).with_text(text);
            self.end_any(leg, none, now);
            return;
        };
        let passing = &mut self.control(leg.leg).passing;
        passing.other_nodes = nodes;
        passing.asked_node = Some(first.node.clone());
        let transport = passing.call_device.as_ref().map(|device| device.flow.transport);
        let request = MediaRequest::CreateLeg {
            leg: leg.leg,
            call: leg.call,
            tenant: leg.tenant.clone(),
            remote: passing.offer.take(),
            signalling_ip: passing.signalling_ip,
            // Which way the description goes, and what is wanted of who reads it, signalling knows: it leaves keys out.
            private_path: true,
            browser: transport.is_some_and(Transport::is_web),
        };
        self.ask_node(first.node, request);
    }

    /// An outgoing leg for which signalling has not been asked to do anything yet.
    pub(crate) fn is_unopened(&self, leg: &LegView) -> bool {
        let commanded = self.legs.get(&leg.leg).map_or(0, |control| control.durable.commanded);
        !leg.incoming && commanded == 0 && matches!(leg.phase, LegPhase::SettingUp | LegPhase::Waking)
    }
}

/// The node cannot be asked, or is another that has begun anew.
fn is_away(failure: &MediaFailure) -> bool {
    matches!(failure.class, Class::NotFound | Class::Unavailable | Class::DeadlineExceeded)
}

/// The end of a leg that hears nothing of what it was there for. A node that does not have the leg says so; whatever else it does
/// not find, or cannot take, is the sound.
fn not_played(failure: &MediaFailure) -> Termination {
    let of_the_sound = match failure.class {
        Class::NotFound => !failure.text.ends_with("leg"),
        class => matches!(class, Class::Invalid | Class::FailedPrecondition),
    };
    match of_the_sound {
        true => Termination::new(Cause::PromptMissing).with_text(failure.text.clone()),
        false => failed(failure),
    }
}

/// The end that a failure of media brings about.
pub(crate) fn failed(failure: &MediaFailure) -> Termination {
    let cause = match failure.class {
        // The one precondition that media has is a common codec.
        Class::FailedPrecondition => Cause::NoCommonCodec,
        Class::NotFound => Cause::MediaNodeLost,
        class => class.cause(),
    };
    Termination::new(cause).with_text(failure.text.clone())
}
