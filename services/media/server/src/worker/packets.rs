//! Packets between two ticks.

use sidetone_dsp::Gain;
use sidetone_dsp::codec::Codec;
use sidetone_rtp_core::event::Digit;
use sidetone_rtp_core::packet::is_rtcp;

use crate::negotiate::Payload;
use crate::state::Audio;
use crate::worker::dialing::DigitRun;
use crate::worker::leg::{Accepted, Leg, Now};
use crate::worker::proofs::is_proof;
use crate::worker::rings::{Event, Route};
use crate::worker::sending::Carrier;
use crate::worker::{BURST_MAX, ERRORS_MAX, PACKET_MAX, Worker};

impl Worker {
    /// Reads a packet from a leg's RTP socket. One more is seldom there, and asking for it costs as much as a packet: if it is, the
    /// next look at the sockets tells.
    pub(super) fn handle_rtp(&mut self, slot: usize) {
        for _ in 0..ERRORS_MAX {
            let now = self.now();
            let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) else { return };
            let (length, from) = match leg.rtp.receive(&mut self.buffer[..]) {
                Ok(Some(got)) => got,
                Ok(None) => return,
                // What the network reports of an earlier packet of ours; the next read may succeed.
                Err(_) => continue,
            };
            if leg.state.policy.expects_proofs() && is_proof(&self.buffer[..length]) {
                self.hand_over(slot, length, from, now);
                continue;
            }
            if leg.state.rtcp_mux && is_rtcp(&self.buffer[..length]) {
                return self.handle_report(slot, length, from, now);
            }
            if let Some(accepted) = leg.accept(&mut self.buffer[..length], from, now, &self.counters) {
                self.handle_accepted(slot, &accepted, now);
            }
            return;
        }
    }

    /// Reads what waits at a leg's RTCP socket.
    pub(super) fn handle_rtcp(&mut self, slot: usize) {
        for _ in 0..BURST_MAX {
            let now = self.now();
            let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) else { return };
            match leg.rtcp.receive(&mut self.buffer[..]) {
                Ok(Some((length, from))) => self.handle_report(slot, length, from, now),
                Ok(None) => return,
                Err(_) => {}
            }
        }
    }

    fn handle_report(&mut self, slot: usize, length: usize, from: std::net::SocketAddr, now: Now) {
        let Some(leg) = self.legs.get_mut(slot).and_then(Option::as_deref_mut) else { return };
        let length = length.min(PACKET_MAX);
        let Some(length) = leg.open_report(&mut self.buffer[..length], from.ip(), &self.counters) else {
            return;
        };
        let own = leg.state.outgoing.ssrc;
        let report = &self.buffer[..length];
        let incoming = &mut leg.state.incoming;
        let told = leg.reporter.read(report, own, &mut incoming.stats, now.us);
        leg.alive_ms = if told.is_sound { now.ms } else { leg.alive_ms };
        incoming.round_trip_us = told.round_trip_us.unwrap_or(incoming.round_trip_us);
        incoming.far = told.metrics.or(incoming.far);
        // The control plane decides; what finds no room is told again with the next report.
        if let Some(fraction_lost) = told.fraction_lost.filter(|_| leg.may_tell_loss(now)) {
            let leg = leg.state.leg;
            let _ = self.tell(Event::FarLoss { leg, fraction_lost });
        }
    }

    fn handle_accepted(&mut self, slot: usize, accepted: &Accepted, now: Now) {
        match accepted.carries {
            Payload::Audio(codec) => {
                self.record(slot, codec, accepted, now);
                if let Some(leg) = self.legs[slot].as_deref_mut() {
                    leg.overhear(accepted, codec, &self.buffer[accepted.payload.clone()], now);
                }
            }
            Payload::Event(per_ms) => self.handle_digit(slot, accepted, per_ms, now),
            Payload::Noise(_) => self.counters.pauses.add(1),
        }
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        match leg.route {
            Route::Echo => self.pass_on(slot, slot, accepted, now),
            Route::Bridge(peer) => self.pass_on(slot, peer as usize, accepted, now),
            Route::Mix(_) => self.keep(slot, accepted, now),
            Route::Fresh | Route::Silence => {}
        }
    }

    /// Keeps what a leg says for the next ticks.
    fn keep(&mut self, slot: usize, accepted: &Accepted, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let payload = &self.buffer[accepted.payload.clone()];
        let codec = match accepted.carries {
            Payload::Audio(codec) => codec,
            Payload::Noise(per_ms) => return leg.hear_pause(&accepted.header, per_ms, payload, now),
            Payload::Event(_) => return,
        };
        if !leg.listen(accepted, codec, payload, now, &self.counters) {
            leg.state.incoming.late += 1;
            self.counters.late.add(1);
        }
    }

    /// Sends on what one leg says to another, or to itself: as it came, where the other takes it so and neither is muted,
    /// deafened, of another gain or to be conditioned; otherwise with the next ticks.
    fn pass_on(&mut self, from: usize, to: usize, accepted: &Accepted, now: Now) {
        let Some(hearer) = self.legs.get(to).and_then(Option::as_deref) else { return };
        let is_conditioned = self.legs[from].as_deref().is_some_and(|speaker| speaker.conditioner.is_some());
        let is_kept = hearer.backdrop.is_kept() || is_conditioned;
        let with_ticks = hearer.backdrop.goes_with_ticks();
        let (hearer_id, deafened) = (hearer.state.leg, hearer.state.audio.deafened);
        match accepted.carries {
            Payload::Audio(codec) => {
                let passes = !with_ticks && self.passes(from, to, codec);
                let Some(speaker) = self.legs[from].as_deref_mut() else { return };
                let kept_before = speaker.bridged_linear_ms.is_some();
                if kept_before && passes && !is_kept {
                    // Its pause is over, or nothing is laid over it any more: the rest of what was kept is of the past.
                    speaker.clear_hearing();
                }
                speaker.bridged_linear_ms = (is_kept || !passes).then_some(now.ms);
                let wanted = speaker.state.audio.gain_towards(hearer_id, deafened);
                if is_kept || !passes {
                    self.keep(from, accepted, now);
                }
                if !passes {
                    return;
                }
                if let (Codec::G711(law), Some(speaker)) = (codec, self.legs[from].as_deref_mut()) {
                    speaker.voice.shape(law, wanted, &mut self.buffer[accepted.payload.clone()]);
                }
            }
            Payload::Noise(per_ms) => {
                let understands = hearer.takes_noise(per_ms);
                let passes = !with_ticks && understands && self.could_pass_on(from, to);
                if is_kept || !passes {
                    // With the ticks it becomes noise.
                    if let Some(speaker) = self.legs[from].as_deref_mut() {
                        speaker.bridged_linear_ms = Some(now.ms);
                    }
                    self.keep(from, accepted, now);
                }
                if !passes {
                    return;
                }
            }
            // Who is not heard does not steer whatever is at the other end either.
            Payload::Event(_) => {
                let speaker = self.legs[from].as_deref();
                let gain = |leg: &Leg| leg.state.audio.gain_towards(hearer_id, deafened);
                if speaker.is_none_or(|speaker| gain(speaker) == Gain::SILENCE) {
                    return;
                }
            }
        }
        let left_out = self.legs[from].as_deref_mut().is_some_and(|leg| std::mem::take(&mut leg.left_out));
        if let Some(leg) = self.legs[to].as_deref_mut() {
            if left_out {
                leg.state.outgoing.withhold();
            }
            leg.forward(accepted, &mut self.buffer[..], now, &self.counters);
            self.batching.note_passed_on();
        }
    }

    /// Whether what one leg says in a codec can go on to another without being decoded.
    fn passes(&self, from: usize, to: usize, codec: Codec) -> bool {
        let leg = |slot: usize| self.legs.get(slot).and_then(Option::as_deref);
        let (Some(speaker), Some(hearer)) = (leg(from), leg(to)) else { return false };
        let wanted = speaker.state.audio.gain_towards(hearer.state.leg, hearer.state.audio.deafened);
        let is_untouched = speaker.voice.is_at(Gain::UNITY) && wanted == Gain::UNITY;
        hearer.takes(codec)
            && (matches!(codec, Codec::G711(_)) || is_untouched)
            && !speaker.must_decode(codec)
            && speaker.conditioner.as_deref().is_none_or(|conditioner| !conditioner.is_here())
    }

    /// The same of what it said last.
    pub(super) fn could_pass_on(&self, from: usize, to: usize) -> bool {
        let speaker = self.legs.get(from).and_then(Option::as_deref);
        let Some((speaker, agreement)) = speaker.and_then(|leg| Some((leg, leg.state.agreement?))) else {
            return false;
        };
        let codec = match agreement.receive.get(speaker.state.incoming.payload_type) {
            Some(Payload::Audio(codec)) => Some(codec),
            _ => agreement.receive.audio().map(|(_, codec)| codec),
        };
        codec.is_some_and(|codec| self.passes(from, to, codec))
    }

    fn handle_digit(&mut self, slot: usize, accepted: &Accepted, per_ms: u8, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let payload = &self.buffer[accepted.payload.clone()];
        let before = leg.digits.current();
        let digit = leg.take_event(&accepted.header, payload, now);
        let event = leg.digits.current();
        // A key counts when it goes down, and not again when it is let go.
        if event.map(|event| (event.ssrc, event.timestamp))
            != before.map(|event| (event.ssrc, event.timestamp))
        {
            leg.note_key();
        }
        if let Some(digit) = digit {
            self.tell_event(slot, digit, per_ms, now);
        }
    }

    /// Tells of a digit that came as an event, unless it was found in the sound before. Without room it is lost; the ring
    /// counts it.
    pub(super) fn tell_event(&mut self, slot: usize, digit: Digit, per_ms: u8, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let duration_ms = u32::from(digit.duration) / u32::from(per_ms.max(1));
        if leg.inband.has_told(digit.digit, duration_ms.into(), now.ms) {
            self.counters.digits_twice.add(1);
            return;
        }
        self.counters.digits_by_event.add(1);
        let (route, key, audio) = (leg.route, digit.digit as u8, leg.state.audio);
        if let Route::Bridge(peer) = route {
            self.sound_digit(&audio, peer as usize, key, duration_ms);
        }
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let event =
            Event::Digit { leg: leg.state.leg, digit: digit.digit as u8, duration_ms, in_band: false };
        let _ = self.tell(event);
    }

    /// Makes a tone of a digit for the peer of who pressed it, where that takes no events and hears who pressed it at all. It is
    /// heard when the key is let go: what is no digit after all must not be dialled.
    fn sound_digit(&mut self, of: &Audio, peer: usize, digit: u8, duration_ms: u32) {
        let Some(peer) = self.legs.get_mut(peer).and_then(Option::as_deref_mut) else { return };
        let gain = of.gain_towards(peer.state.leg, peer.state.audio.deafened);
        if peer.digit_carrier() == Some(Carrier::Tone) && gain != Gain::SILENCE {
            self.counters.digits_sounded.add(1);
            peer.dialing.append(&DigitRun::of_one(digit, duration_ms));
        }
    }
}
