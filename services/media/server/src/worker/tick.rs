//! What happens every 20 ms.

use sidetone_dsp::{Law, Rate};

use crate::worker::FRAME;
use crate::worker::Worker;
use crate::worker::leg::Now;
use crate::worker::playing::Playing;
use crate::worker::rings::{Event, Route};
use crate::worker::voice::silence;

/// Silence in each form.
const SILENCE_MU: [u8; FRAME] = [silence(Law::Mu); FRAME];
const SILENCE_A: [u8; FRAME] = [silence(Law::A); FRAME];
const SILENCE: [i16; FRAME] = [0; FRAME];
/// A frame at the highest rate.
pub(super) const FRAME_MAX: usize = Rate::Full.samples(20);

impl Worker {
    /// `due_us` is when the tick should be, on the grid.
    pub(super) fn tick(&mut self, now: Now, due_us: u64) {
        for slot in 0..self.mixes.len() {
            let Some(mix) = self.mixes[slot].as_deref_mut() else { continue };
            mix.tick(&mut self.legs, now, due_us, &self.counters);
            self.end_mix_playbacks(slot);
            self.tell_speaker(slot);
        }
        for slot in 0..self.legs.len() {
            if self.legs[slot].is_some() {
                self.tick_leg(slot, now, due_us);
            }
        }
    }

    fn tick_leg(&mut self, slot: usize, now: Now, due_us: u64) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        leg.watch_silence(now);
        leg.tick_dialing(now, &self.counters);
        if leg.playing.is_none() && !leg.dialing.sounds() && leg.route == Route::Silence {
            match leg.law() {
                Some(Law::Mu) => leg.emit(&SILENCE_MU, now, &self.counters),
                Some(Law::A) => leg.emit(&SILENCE_A, now, &self.counters),
                None => leg.emit_linear(Rate::Narrow, &SILENCE, now, &self.counters),
            }
        }
        self.bridge_linear(slot, now, due_us);
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        if let Some(playing) = leg.playing.take() {
            self.play(slot, playing, now);
        }
        self.watch_digits(slot, now);
        self.send_report(slot, now);
        self.watch_idle(slot, now);
    }

    /// Brings the peer what a leg says and what could not be passed on as it came.
    fn bridge_linear(&mut self, slot: usize, now: Now, due_us: u64) {
        let Some(leg) = self.legs[slot].as_deref().filter(|leg| leg.bridged_linear_ms.is_some()) else {
            return;
        };
        let to = match leg.route {
            Route::Bridge(peer) => peer as usize,
            Route::Echo => slot,
            Route::Fresh | Route::Silence | Route::Mix(_) => return,
        };
        let Some(hearer) = self.legs.get(to).and_then(Option::as_deref) else { return };
        let wanted = leg.state.audio.gain_towards(hearer.state.leg, hearer.state.audio.deafened);
        let mut frame = [0; FRAME_MAX];
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let rate = leg.rate();
        let frame = &mut frame[..rate.samples(20)];
        if !leg.pull(due_us, frame) {
            return;
        }
        leg.voice.shape_linear(wanted, frame);
        if let Some(hearer) = self.legs[to].as_deref_mut()
            && hearer.playing.is_none()
            && !hearer.dialing.sounds()
        {
            hearer.emit_linear(rate, frame, now, &self.counters);
        }
    }

    fn play(&mut self, slot: usize, mut playing: Box<Playing>, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        if !playing.is_over() {
            match leg.law() {
                _ if leg.dialing.sounds() => {}
                Some(law) => leg.emit(playing.encoded(law), now, &self.counters),
                None => leg.emit_linear(Rate::Narrow, playing.linear(), now, &self.counters),
            }
            playing.advance();
            leg.playing = Some(playing);
            return;
        }
        let stopped = playing.stopped;
        if let Err(Event::PlaybackEnded { playing, .. }) =
            self.tell(Event::PlaybackEnded { playing, stopped })
            && let Some(leg) = self.legs[slot].as_deref_mut()
        {
            // No room: it stays, silent, and is told of on the next tick.
            leg.playing = Some(playing);
        }
    }

    fn end_mix_playbacks(&mut self, slot: usize) {
        while let Some(mix) = self.mixes[slot].as_deref_mut() {
            let Some(over) = mix.playing.iter().position(|playing| playing.is_over()) else { return };
            let playing = mix.playing.swap_remove(over);
            let stopped = playing.stopped;
            if let Err(Event::PlaybackEnded { playing, .. }) =
                self.tell(Event::PlaybackEnded { playing, stopped })
            {
                if let Some(mix) = self.mixes[slot].as_deref_mut() {
                    mix.playing.push(playing);
                }
                return;
            }
        }
    }

    /// An event that finds no room is made up for by the next look, half a second later.
    fn tell_speaker(&mut self, slot: usize) {
        let Some(mix) = self.mixes[slot].as_deref_mut() else { return };
        let Some((leg, speaking)) = mix.speaker_change(&self.legs) else { return };
        if self.tell(Event::Speaker { leg, speaking }).is_err()
            && let Some(mix) = self.mixes[slot].as_deref_mut()
        {
            mix.forget_speaker();
        }
    }

    fn watch_digits(&mut self, slot: usize, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        if let Some(digit) = leg.overdue_digit(now) {
            let per_ms = leg.event_clock();
            let event = Event::digit(leg.state.leg, digit, per_ms);
            let _ = self.tell(event);
        }
    }

    fn send_report(&mut self, slot: usize, now: Now) {
        if self.legs[slot].as_deref().is_some_and(|leg| leg.reporter.is_due(now.ms))
            && let Some(mut leg) = self.legs[slot].take()
        {
            self.report(&mut leg, now.ms, false);
            self.legs[slot] = Some(leg);
        }
    }

    /// Tells of a leg that nobody seems to want any more; the control plane takes it away.
    fn watch_idle(&mut self, slot: usize, now: Now) {
        let limits = self.limits;
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let unrefreshed = now.ms.saturating_sub(leg.state.refreshed_ms);
        let silent = leg.state.heard_ms.map_or(u64::MAX, |heard| now.ms.saturating_sub(heard));
        let limit = if leg.needs_no_rtp() { limits.held_ms } else { limits.idle_ms };
        if leg.idle_told || unrefreshed.min(silent) < limit {
            return;
        }
        leg.idle_told = true;
        let idle = Event::Idle { leg: leg.state.leg };
        if self.tell(idle).is_err()
            && let Some(leg) = self.legs[slot].as_deref_mut()
        {
            leg.idle_told = false;
        }
    }
}
