//! What the control plane asks of a worker.

use sidetone_rtp_core::rtcp::MAX_COMPOUND;
use sidetone_rtp_core::srtp::OVERHEAD_MAX;

use crate::quality;
use crate::state::Audio;
use crate::worker::Worker;
use crate::worker::leg::Leg;
use crate::worker::mix::Mix;
use crate::worker::phases::Phase;
use crate::worker::playing::{Ending, Playing};
use crate::worker::rings::{Command, Event, Page, Route, Slot};

impl Worker {
    pub(super) fn handle_command(&mut self, command: Command) {
        match command {
            Command::Insert { slot, leg } => self.insert(slot, leg),
            Command::Remove { slot, token, goodbye } => self.remove(slot, token, goodbye),
            Command::Describe { slot, mut described } => {
                let now = self.now();
                if let Some(leg) = self.leg(slot) {
                    leg.describe(&mut described);
                    leg.alive_ms = now.ms;
                }
                let _ = self.tell(Event::RetiredDescription(described));
            }
            Command::Rekey { slot, mut rekeying } => {
                if let Some(leg) = self.leg(slot) {
                    leg.rekey(&mut rekeying);
                }
                let _ = self.tell(Event::RetiredKeys(rekeying));
            }
            Command::Prove { slot, pairs } => {
                let now = self.now();
                if let Some(leg) = self.leg(slot) {
                    leg.state.policy.prove(pairs, now.ms);
                }
            }
            Command::Connect { slot, route } => self.connect(slot, route),
            Command::Equip { slot, mut equipment } => {
                if let Some(leg) = self.leg(slot) {
                    leg.equip(&mut equipment);
                }
                let _ = self.tell(Event::Retired(equipment));
            }
            Command::Condition { slot, mut conditioner } => {
                if let Some(leg) = self.leg(slot) {
                    leg.condition(&mut conditioner);
                }
                let _ = self.tell(Event::RetiredConditioner(conditioner));
            }
            Command::Adapt { slot, opus } => {
                if let Some(leg) = self.leg(slot) {
                    leg.adapt(&opus);
                }
            }
            Command::Refresh { slot } => self.refresh(slot),
            Command::SetAudio { slot, audio } => self.set_audio(slot, audio),
            Command::Dial { slot, digits } => {
                if let Some(leg) = self.leg(slot) {
                    leg.dialing.append(&digits);
                }
            }
            Command::InsertMix { slot, mix } => self.insert_mix(slot, mix),
            Command::RemoveMix { slot } => self.remove_mix(slot),
            Command::PlayToLeg { slot, playing } => self.play_to_leg(slot, playing),
            Command::Warn { slot, playing } => self.warn(slot, playing),
            Command::PlayToMix { slot, playing } => self.play_to_mix(slot, playing),
            Command::StopPlay { playback } => {
                self.on_playback(playback, |playing| playing.end(Ending::Stopped))
            }
            Command::SteerPlay { playback, steer } => {
                self.on_playback(playback, |playing| playing.steer(steer));
            }
            Command::Tap { slot, tap } => {
                if let Some(leg) = self.leg(slot) {
                    leg.state.tap = Some(tap);
                }
            }
            Command::Untap { recording, token } => self.untap(recording, token),
            Command::List { token, page } => self.list(token, page),
            Command::Stop => {}
        }
    }

    fn refresh(&mut self, slot: Slot) {
        let now = self.now();
        if let Some(leg) = self.leg(slot) {
            leg.state.refreshed_ms = now.ms;
            leg.idle_told = None;
        }
    }

    fn untap(&mut self, recording: u32, token: u64) {
        let legs = self.legs.iter_mut().flatten();
        legs.for_each(|leg| leg.state.tap = leg.state.tap.filter(|tap| tap.recording != recording));
        let _ = self.tell(Event::Untapped { token });
    }

    fn remove_mix(&mut self, slot: Slot) {
        let mix = self.mixes.get_mut(slot as usize).and_then(Option::take);
        if let Some(mix) = mix.as_deref() {
            mix.close();
        }
        let _ = self.tell(Event::MixRemoved { mix });
    }

    fn insert(&mut self, slot: Slot, leg: Box<Leg>) {
        let token = u64::from(slot) * 2;
        // A socket that cannot be watched leaves a leg without sound, which its idle time then ends.
        let _ = self.poller.add(&leg.rtp, token);
        let _ = self.poller.add(&leg.rtcp, token + 1);
        if let Some(place) = self.legs.get_mut(slot as usize) {
            debug_assert!(place.is_none(), "the control plane gave a slot out twice");
            *place = Some(leg);
            self.phases[slot as usize] = Phase::of(slot.into());
        }
    }

    fn remove(&mut self, slot: Slot, token: u64, goodbye: bool) {
        let was_fresh = self.leg(slot).is_some_and(|leg| leg.route == Route::Fresh);
        self.leave(slot);
        let now = self.now();
        let leg = self.legs.get_mut(slot as usize).and_then(Option::take).map(|mut leg| {
            let _ = self.poller.remove(&leg.rtp);
            let _ = self.poller.remove(&leg.rtcp);
            // Of one that goes on at another worker RTP is still to be expected from its first connection on.
            leg.route = if was_fresh { Route::Fresh } else { Route::Silence };
            leg.clear_hearing();
            if goodbye {
                self.report(&mut leg, now.ms, true);
            }
            leg
        });
        let _ = self.tell(Event::Removed { token, leg });
    }

    /// Sends a report of a leg.
    pub(super) fn report(&self, leg: &mut Leg, now_ms: u64, goodbye: bool) {
        let Some(rtp) = leg.state.policy.target() else { return };
        let mut report = [0; MAX_COMPOUND + OVERHEAD_MAX];
        let Some(plain) = report.first_chunk_mut() else { return };
        let state = &mut leg.state;
        let delay_us = leg.playout.delay_us();
        let is_asked = state.agreement.is_some_and(|agreement| agreement.wants_voip_metrics);
        let tells = self.limits.extended_reports.tells(is_asked);
        let metrics = tells.then(|| quality::metrics(state, delay_us)).flatten();
        let stats = &mut state.incoming.stats;
        let length = leg.reporter.write(&state.outgoing, stats, metrics, now_ms, goodbye, plain);
        let Some(length) = leg.protect_report(&mut report, length) else { return };
        // A report that is lost is made up for by the next.
        if leg.state.rtcp_mux {
            let _ = leg.rtp.send(&report[..length], rtp);
            return;
        }
        let described = leg.state.rtcp.filter(|rtcp| leg.state.policy.allows_rtcp(rtcp.ip()));
        if let Some(to) = described.or_else(|| next_port(rtp)) {
            let _ = leg.rtcp.send(&report[..length], to);
        }
    }

    /// Ends what a leg is connected to, from its side.
    fn leave(&mut self, slot: Slot) {
        let Some(leg) = self.leg(slot) else { return };
        let route = std::mem::replace(&mut leg.route, Route::Silence);
        leg.clear_hearing();
        // What is said in the meantime is not lost on the way, even where nothing at all is sent, as to a phone that holds.
        leg.state.outgoing.withhold();
        match route {
            Route::Bridge(peer) => {
                if let Some(peer) = self.leg(peer).filter(|peer| peer.route == Route::Bridge(slot)) {
                    peer.route = Route::Silence;
                    peer.state.outgoing.withhold();
                }
            }
            Route::Mix(mix) => {
                if let Some(mix) = self.mixes.get_mut(mix as usize).and_then(Option::as_deref_mut) {
                    mix.leave(slot);
                    mix.apply_audio(&self.legs);
                }
            }
            Route::Fresh | Route::Silence | Route::Echo => {}
        }
    }

    fn connect(&mut self, slot: Slot, route: Route) {
        if self.leg(slot).is_none_or(|leg| leg.route == route) {
            return;
        }
        self.expect_rtp(slot);
        self.leave(slot);
        match route {
            Route::Bridge(peer) => {
                self.expect_rtp(peer);
                self.leave(peer);
                if let Some(peer) = self.leg(peer) {
                    peer.route = Route::Bridge(slot);
                }
                if let Some(phase) = self.phases.get(peer as usize).copied() {
                    self.phases[slot as usize] = phase;
                }
            }
            Route::Mix(mix) => {
                let Some(mix) = self.mixes.get_mut(mix as usize).and_then(Option::as_deref_mut) else {
                    return;
                };
                // The control plane brings a larger mix before the next member comes.
                if mix.is_full() {
                    return;
                }
                mix.join(slot);
                mix.apply_audio(&self.legs);
                self.phases[slot as usize] = mix.phase;
            }
            Route::Fresh | Route::Silence | Route::Echo => {}
        }
        if let Some(leg) = self.leg(slot) {
            leg.route = route;
        }
    }

    /// Of who is connected for the first time RTP is expected from now on, however long ago it was described: a phone that
    /// rang need not have sent any. To be called before it leaves what it is not connected to.
    fn expect_rtp(&mut self, slot: Slot) {
        let now = self.now();
        if let Some(leg) = self.leg(slot).filter(|leg| leg.route == Route::Fresh) {
            leg.alive_ms = now.ms;
        }
    }

    fn set_audio(&mut self, slot: Slot, audio: Audio) {
        let Some(leg) = self.leg(slot) else { return };
        leg.state.audio = audio;
        if let Route::Mix(mix) = leg.route
            && let Some(mix) = self.mixes.get_mut(mix as usize).and_then(Option::as_deref_mut)
        {
            mix.apply_audio(&self.legs);
        }
    }

    fn insert_mix(&mut self, slot: Slot, mut mix: Box<Mix>) {
        let Some(place) = self.mixes.get_mut(slot as usize) else { return };
        if let Some(smaller) = place.as_deref_mut() {
            mix.take_over(smaller);
            mix.apply_audio(&self.legs);
        }
        if let Some(smaller) = place.replace(mix) {
            let _ = self.tell(Event::MixRemoved { mix: Some(smaller) });
        }
    }

    fn play_to_leg(&mut self, slot: Slot, playing: Box<Playing>) {
        let ended = match self.leg(slot) {
            Some(leg) if playing.lay.is_some() => leg.lay_over(playing),
            Some(leg) => leg.playing.replace(playing),
            None => Some(playing),
        };
        if let Some(mut playing) = ended {
            playing.end(Ending::Stopped);
            let _ = self.tell(Event::PlaybackEnded { playing });
        }
    }

    fn warn(&mut self, slot: Slot, playing: Box<Playing>) {
        let ended = match self.leg(slot) {
            Some(leg) => leg.warning.replace(playing),
            None => Some(playing),
        };
        if let Some(playing) = ended {
            let _ = self.tell(Event::PlaybackEnded { playing });
        }
    }

    fn play_to_mix(&mut self, slot: Slot, playing: Box<Playing>) {
        let refused = match self.mixes.get_mut(slot as usize).and_then(Option::as_deref_mut) {
            Some(mix) => mix.play(playing),
            None => Some(playing),
        };
        if let Some(mut playing) = refused {
            playing.end(Ending::Stopped);
            let _ = self.tell(Event::PlaybackEnded { playing });
        }
    }

    /// Changes a playback, if it runs here. One that is marked as ended is taken out, and told of, by the next tick.
    fn on_playback(&mut self, playback: u64, change: impl Fn(&mut Playing)) {
        let legs = self.legs.iter_mut().flatten();
        let to_legs =
            legs.flat_map(|leg| leg.playing.iter_mut().chain(&mut leg.over).chain(&mut leg.warning));
        let to_mixes = self.mixes.iter_mut().flatten().flat_map(|mix| mix.playing.iter_mut());
        for playing in to_legs.chain(to_mixes).filter(|playing| playing.playback == playback) {
            change(playing);
        }
    }

    fn list(&mut self, token: u64, mut page: Box<Page>) {
        let room = page.legs.capacity();
        let Page { legs, only } = &mut *page;
        match only {
            Some(slots) => {
                let wanted = slots.iter().filter_map(|slot| self.legs.get(*slot as usize)?.as_deref());
                legs.extend(wanted.take(room).map(|leg| leg.state.clone()));
            }
            None => legs.extend(self.legs.iter().flatten().take(room).map(|leg| leg.state.clone())),
        }
        let _ = self.tell(Event::Listed { token, page });
    }
}

fn next_port(rtp: std::net::SocketAddr) -> Option<std::net::SocketAddr> {
    Some(std::net::SocketAddr::new(rtp.ip(), rtp.port().checked_add(1)?))
}
