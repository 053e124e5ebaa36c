//! What must hold always, when nobody does anything more, and when all have hung up.

use std::collections::BTreeSet;

use sidetone_call_core::Connection;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegPhase, LegView, RecordingPhase};
use sidetone_model::ids::LegId;
use sidetone_model::party::Destination;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::{World, media_of};

impl World {
    pub(crate) fn check(&self) {
        let fold = self.shard.fold();
        for call in fold.calls() {
            let live = fold.live_legs(call.call).count();
            assert_eq!(call.ended.is_some(), live == 0, "a call with {live} live legs: {call:?}");
        }
        for leg in fold.legs() {
            let call = fold.call(leg.call);
            assert!(call.is_some_and(|call| call.legs.contains(&leg.leg)), "a leg without its call: {leg:?}");
            self.check_leg(leg);
        }
        for meeting in fold.conferences() {
            assert!(!meeting.participants.is_empty(), "an empty meeting");
            assert!(meeting.room.is_some() != meeting.call.is_some(), "{meeting:?}");
        }
    }

    pub(crate) fn check_leg(&self, leg: &LegView) {
        let fold = self.shard.fold();
        if let Some(user) = &leg.party.user {
            // Busy is who has a live leg.
            let busy = fold.live_legs_of(&leg.tenant, user).any(|other| other.leg == leg.leg);
            assert_eq!(busy, leg.is_live(), "free in a call, or busy without one: {leg:?}");
        }
        if let Some(peer) = leg.peer {
            let peer = fold.leg(peer).expect("a peer is known");
            assert_eq!((peer.peer, peer.call), (Some(leg.leg), leg.call), "a bridge with one end: {leg:?}");
            assert!(leg.is_answered() && peer.is_answered() && leg.conference.is_none(), "{leg:?}");
        }
        if !leg.is_live() {
            assert_eq!(fold.capabilities(leg.leg), Default::default());
            assert!(leg.peer.is_none() && leg.conference.is_none(), "over, and in a conversation: {leg:?}");
        }
    }

    pub(crate) fn check_log(&self) {
        let mut last = Timestamp::default();
        let (mut started, mut over) = (BTreeSet::new(), BTreeSet::new());
        for fact in self.log.iter().flat_map(|record| &record.facts) {
            assert!(fact.at >= last, "facts step back in time");
            last = fact.at;
            match &fact.kind {
                FactKind::RecordingStarted { recording, .. } => {
                    assert!(started.insert(*recording), "a recording started twice");
                }
                FactKind::RecordingFinished { recording, .. }
                | FactKind::RecordingFailed { recording, .. } => {
                    assert!(
                        started.contains(recording) && over.insert(*recording),
                        "a recording's second end"
                    );
                }
                _ => {}
            }
        }
    }

    /// Nobody does anything more, but everything that was asked is answered: nothing may hang.
    pub(crate) fn settle(&mut self) {
        for _ in 0..4 {
            while !self.down.is_empty() || !self.requests.is_empty() {
                self.deliver_command();
                self.answer_request();
                self.carry_out_gathered();
            }
            self.hello();
            self.pass(61);
        }
        for leg in self.shard.fold().legs().filter(|leg| leg.is_live()) {
            let hangs = match leg.phase {
                LegPhase::SettingUp => true,
                LegPhase::Ringing => !leg.incoming,
                _ => false,
            };
            assert!(!hangs, "nothing moves this leg any more: {leg:?}");
            self.check_media(leg);
        }
        for view in self.shard.fold().recordings().filter(|view| view.phase == RecordingPhase::Running) {
            let runs = self.recording.contains(&(view.node.clone(), view.recording));
            assert!(runs, "a recording that the log has and the node has not: {view:?}");
        }
    }

    /// What a leg hears is what the log says, whatever was lost on the way.
    pub(crate) fn check_media(&self, leg: &LegView) {
        let Some((node, _)) = leg.node.clone().filter(|_| leg.is_answered()) else { return };
        if let Some(phone) = self.phones.get(&leg.leg).filter(|_| !self.ended.contains(&leg.leg)) {
            let port = media_of(&node).rtp.port();
            let commands = || {
                let all = self.log.iter().flat_map(|record| &record.commands);
                all.filter(|command| command.leg == leg.leg).collect::<Vec<_>>()
            };
            assert_eq!(phone.told, port, "the phone sends where nobody listens: {leg:?} {:?}", commands());
        }
        let Some(hears) = self.held.get(&(node, leg.leg)) else { panic!("answered, and no media: {leg:?}") };
        let fold = self.shard.fold();
        let silent = |leg: &LegView| leg.held.is_some() || leg.put_aside;
        let peer = leg.peer.and_then(|peer| fold.leg(peer));
        let wanted = match (leg.conference, peer, &leg.served_by) {
            _ if silent(leg) => Connection::Nothing,
            (Some(conference), _, _) => Connection::Mix(conference),
            (None, Some(peer), _) if silent(peer) => Connection::Nothing,
            (None, Some(peer), _) => Connection::Peer(peer.leg),
            (None, None, Some(Destination::Echo)) => Connection::Echo,
            (None, None, _) => Connection::Nothing,
        };
        assert_eq!(*hears, wanted, "media is not what the log says: {leg:?}");
    }

    /// Whoever is left hangs up: every phone can, whatever state its call is in, and nothing remains.
    pub(crate) fn all_hang_up(&mut self) {
        let phones: Vec<LegId> = self.phones.keys().copied().collect();
        for leg in phones {
            let told = self.ended.contains(&leg) || !self.phones.contains_key(&leg);
            if !told && self.shard.fold().leg(leg).is_some_and(LegView::is_live) {
                self.signal(leg, LegSignalKind::Ended(Termination::new(Cause::Normal)), None);
                assert!(!self.shard.fold().leg(leg).unwrap().is_live(), "a phone could not hang up");
            }
        }
        for _ in 0..4 {
            while !self.down.is_empty() || !self.requests.is_empty() {
                self.deliver_command();
                self.answer_request();
            }
            self.hello();
            self.pass(61);
        }
        let fold = self.shard.fold();
        for call in fold.calls() {
            assert!(call.ended.is_some(), "everybody hung up, and the call goes on: {call:?}");
            assert!(call.playbacks.is_empty() && call.streams.is_empty(), "{call:?}");
        }
        let left: Vec<_> = fold.conferences().collect();
        assert!(left.is_empty(), "everybody hung up, and a meeting goes on: {left:?}");
    }
}
