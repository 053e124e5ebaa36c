//! Signals of phones, by way of signalling.

use sidetone_model::call::LegCause;
use sidetone_model::command::LegCommandKind;
use sidetone_model::fact::{FactKind, SignalCursor};
use sidetone_model::fold::{LegPhase, LegView};
use sidetone_model::ids::ReplicaId;
use sidetone_model::media::MediaDescription;
use sidetone_model::signal::{LegSignal, LegSignalKind, Offered};
use sidetone_model::time::Timestamp;

use crate::effect::{MediaRequest, Step};
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// Takes a signal of `replica`. `routing` is that of the dialled number, for [`LegSignalKind::Offered`].
    ///
    /// A signal that has been taken into account before changes nothing. It may be acknowledged once the returned record,
    /// even an empty one, is behind everything before it in the log.
    pub fn handle_signal(
        &mut self,
        replica: &ReplicaId,
        signal: LegSignal,
        routing: Option<Routing>,
        now: Timestamp,
    ) -> Step {
        let durable = self.legs.get(&signal.leg).map(|control| &control.durable);
        // Ended is the last signal of a leg: whatever comes of it after that has come before.
        if durable.is_some_and(|durable| signal.n <= durable.consumed) {
            return self.finish();
        }
        let offered = matches!(signal.kind, LegSignalKind::Offered(_));
        if self.is_over(signal.leg) || (self.fold.leg(signal.leg).is_none() && !offered) {
            // There is nothing to decide. Unless its end follows, the replica still holds what is over here.
            let key = (replica.clone(), signal.leg);
            if matches!(signal.kind, LegSignalKind::Ended(_)) {
                self.unknown.remove(&key);
            } else {
                self.unknown.entry(key).or_insert(now);
            }
            return self.finish();
        }
        self.unknown.remove(&(replica.clone(), signal.leg));
        self.control(signal.leg).passing.missing_since = None;
        self.consumed(SignalCursor { boot: signal.boot, leg: signal.leg, n: signal.n });
        if let LegSignalKind::Offered(offered) = signal.kind.clone() {
            self.on_offered(replica, &signal, *offered, routing.unwrap_or_default(), now);
        } else if let Some(leg) = self.live(signal.leg) {
            self.on_signal(&leg, signal.kind, now);
        }
        self.finish()
    }

    fn on_signal(&mut self, leg: &LegView, kind: LegSignalKind, now: Timestamp) {
        match kind {
            LegSignalKind::Progress { media } => self.on_progress(leg, media, now),
            LegSignalKind::Answered { media } => self.on_answered(leg, media, now),
            LegSignalKind::Confirmed { media } => self.on_confirmed(leg, media),
            LegSignalKind::Reoffered { media } => self.on_reoffered(leg, media, now),
            LegSignalKind::Digit { digit, duration_ms } => {
                self.fact(&leg.tenant, now, FactKind::LegDigit { leg: leg.leg, digit, duration_ms });
            }
            LegSignalKind::Ended(termination) => self.on_ended(leg, termination, now),
            LegSignalKind::Offered(_) => {}
        }
    }

    /// A new call.
    fn on_offered(
        &mut self,
        replica: &ReplicaId,
        signal: &LegSignal,
        offered: Offered,
        routing: Routing,
        now: Timestamp,
    ) {
        let call = self.ids.make(now);
        let tenant = &signal.tenant;
        self.fact(
            tenant,
            now,
            FactKind::CallCreated {
                call,
                from: offered.from.clone(),
                dialled: offered.dialled.clone(),
                destination: routing.destination.clone(),
                by_application: false,
                anonymous: false,
                open: false,
                headers: Vec::new(),
            },
        );
        self.fact(
            tenant,
            now,
            FactKind::LegCreated {
                leg: signal.leg,
                call,
                party: offered.from,
                incoming: true,
                replica: replica.clone(),
                boot: Some(signal.boot),
                sip_call_id: offered.sip_call_id,
                cause: LegCause::Normal,
                by: None,
            },
        );
        let passing = &mut self.control(signal.leg).passing;
        passing.offer = offered.media;
        passing.signalling_ip = Some(offered.source.ip());
        self.admit(signal.leg, routing, now);
    }

    /// The called phone is being alerted.
    fn on_progress(&mut self, leg: &LegView, media: Option<MediaDescription>, now: Timestamp) {
        if leg.phase == LegPhase::SettingUp {
            self.fact(&leg.tenant, now, FactKind::LegRinging { leg: leg.leg });
        }
        // Early media of one of several phones would be a lottery: the caller hears its own ringing tone.
        drop(media);
        self.ring_caller_of(leg, now);
    }

    /// Our offer in a 2xx was answered in the ACK.
    fn on_confirmed(&mut self, leg: &LegView, media: Option<MediaDescription>) {
        if let Some(remote) = media {
            let request = MediaRequest::UpdateLeg { leg: leg.leg, remote, is_answer: true };
            self.ask(leg, request);
        }
    }

    /// The phone changes its media: hold, retrieve, another address.
    fn on_reoffered(&mut self, leg: &LegView, media: Option<MediaDescription>, now: Timestamp) {
        let Some(remote) = media else {
            // It wants an offer of ours. What stands is offered again.
            let local = self.control(leg.leg).passing.local.clone();
            self.command(leg, LegCommandKind::AnswerReoffer { media: local });
            return;
        };
        if remote.direction != leg.direction {
            let direction = remote.direction;
            self.fact(&leg.tenant, now, FactKind::LegDirectionChanged { leg: leg.leg, direction });
        }
        self.control(leg.leg).passing.reoffered = true;
        self.ask(leg, MediaRequest::UpdateLeg { leg: leg.leg, remote, is_answer: false });
    }
}
