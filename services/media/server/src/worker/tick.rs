//! What happens every 20 ms.

use sidetone_dsp::{Law, Rate};

use crate::worker::FRAME;
use crate::worker::Worker;
use crate::worker::leg::Now;
use crate::worker::overlay::is_pause;
use crate::worker::phases::Phase;
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
    /// The turn of those of one phase. `due_us` is when it should be, on the grid.
    pub(super) fn tick(&mut self, phase: Phase, now: Now, due_us: u64) {
        for slot in 0..self.mixes.len() {
            let Some(mix) = self.mixes[slot].as_deref_mut().filter(|mix| mix.phase == phase) else {
                continue;
            };
            mix.tick(&mut self.legs, now, due_us, &self.counters);
            self.end_mix_playbacks(slot);
            self.tell_speaker(slot);
        }
        for slot in 0..self.legs.len() {
            if self.phases[slot] == phase && self.legs[slot].is_some() {
                self.tick_leg(slot, now, due_us);
            }
        }
    }

    fn tick_leg(&mut self, slot: usize, now: Now, due_us: u64) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        leg.watch_silence(now);
        self.counters.consent_ended.add(u64::from(leg.state.policy.consent_has_ended(now.ms)));
        leg.tick_dialing(now, &self.counters);
        leg.tick_warning();
        leg.tick_recut(now, &self.counters);
        let is_kept = leg.backdrop.is_kept();
        let is_laid = is_kept && self.tick_over(slot, now, due_us);
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        if !is_laid && leg.playing.is_none() && !leg.dialing.sounds() && leg.route == Route::Silence {
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
        self.end_warning(slot);
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
        // What something is laid over is pulled by who hears it.
        if self.legs.get(to).and_then(Option::as_deref).is_none_or(|hearer| hearer.backdrop.is_kept()) {
            return;
        }
        let is_passed_on = self.could_pass_on(slot, to);
        let Some(speaker) = self.legs[slot].as_deref_mut() else { return };
        if !speaker.comes_with_ticks(is_passed_on, due_us) {
            return;
        }
        let mut frame = [0; FRAME_MAX];
        let (rate, said) = self.said(slot, to, due_us, &mut frame);
        if said
            && let Some(hearer) = self.legs[to].as_deref_mut()
            && hearer.playing.is_none()
            && !hearer.dialing.sounds()
        {
            hearer.emit_linear(rate, &frame[..rate.samples(20)], now, &self.counters);
        }
    }

    /// 20 ms of what one leg says, as loud as it is to another, and their rate; false when nothing is said.
    fn said(&mut self, from: usize, to: usize, due_us: u64, frame: &mut [i16; FRAME_MAX]) -> (Rate, bool) {
        let hearer = self.legs.get(to).and_then(Option::as_deref).map(|leg| &leg.state);
        let Some((hearer, deafened)) = hearer.map(|state| (state.leg, state.audio.deafened)) else {
            return (Rate::Narrow, false);
        };
        let Some(leg) = self.legs.get_mut(from).and_then(Option::as_deref_mut) else {
            return (Rate::Narrow, false);
        };
        let wanted = leg.state.audio.gain_towards(hearer, deafened);
        let rate = leg.rate();
        let frame = &mut frame[..rate.samples(20)];
        let said = leg.bridged_linear_ms.is_some() && leg.pull(due_us, frame);
        if said {
            leg.voice.shape_linear(wanted, frame);
        }
        (rate, said)
    }

    /// Brings a leg what it hears with what is laid over that; false while packets are still passed on to it as they come.
    fn tick_over(&mut self, slot: usize, now: Now, due_us: u64) -> bool {
        let Some(leg) = self.legs[slot].as_deref() else { return false };
        let from = match leg.route {
            Route::Bridge(peer) => Some(peer as usize),
            Route::Echo => Some(slot),
            Route::Fresh | Route::Silence => None,
            // With the mix.
            Route::Mix(_) => {
                self.end_over(slot);
                return true;
            }
        };
        let is_passed_on = from.is_some_and(|from| self.could_pass_on(from, slot));
        let speaker = from.and_then(|from| self.legs.get(from)?.as_deref());
        let has_enough = speaker.is_some_and(|speaker| !speaker.playout.lacks(due_us));
        let Some(leg) = self.legs[slot].as_deref_mut() else { return false };
        if !leg.backdrop.comes(is_passed_on, has_enough) {
            return false;
        }
        let mut frame = [0; FRAME_MAX];
        let (rate, said) = match from {
            Some(from) => self.said(from, slot, due_us, &mut frame),
            None => (Rate::Narrow, false),
        };
        let frame = &mut frame[..rate.samples(20)];
        let pauses = !said || is_pause(frame);
        let Some(leg) = self.legs[slot].as_deref_mut() else { return false };
        leg.hear_over(rate, frame, now, &self.counters);
        if !leg.is_laid_over()
            && leg.backdrop.leaves(pauses, now.ms)
            && is_passed_on
            && let Some(speaker) = from.and_then(|from| self.legs.get_mut(from)?.as_deref_mut())
        {
            speaker.clear_hearing();
        }
        self.end_over(slot);
        true
    }

    /// Tells of the end of what was laid over what a leg hears; without room for that it is told of on the next tick.
    pub(super) fn end_over(&mut self, slot: usize) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let Some(playing) = leg.over.take_if(|playing| playing.is_over()) else { return };
        if let Err(Event::PlaybackEnded { playing }) = self.tell(Event::PlaybackEnded { playing })
            && let Some(leg) = self.legs[slot].as_deref_mut()
        {
            leg.over = Some(playing);
        }
    }

    /// A leg is no longer told that it is recorded: that is taken out, to be freed outside.
    fn end_warning(&mut self, slot: usize) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let Some(playing) = leg.warning.take_if(|playing| playing.is_over()) else { return };
        if let Err(Event::PlaybackEnded { playing }) = self.tell(Event::PlaybackEnded { playing })
            && let Some(leg) = self.legs[slot].as_deref_mut()
        {
            leg.warning = Some(playing);
        }
    }

    fn play(&mut self, slot: usize, mut playing: Box<Playing>, now: Now) {
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        if !playing.is_over() {
            match (leg.warn_over(playing.linear()), leg.law()) {
                _ if leg.dialing.sounds() => playing.settle(None),
                (Some(both), _) => {
                    playing.settle(None);
                    leg.emit_linear(Rate::Narrow, &both, now, &self.counters);
                }
                (None, Some(law)) => leg.emit(playing.encoded(law), now, &self.counters),
                (None, None) => leg.emit_played(&mut playing, now, &self.counters),
            }
            if playing.ends_by_voice() {
                let sound = *playing.linear();
                playing.note_sent(&sound);
            }
            playing.advance();
            leg.playing = Some(playing);
            return;
        }
        if let Err(Event::PlaybackEnded { playing }) = self.tell(Event::PlaybackEnded { playing })
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
            if let Err(Event::PlaybackEnded { playing }) = self.tell(Event::PlaybackEnded { playing }) {
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
        let (overdue, per_ms) = (leg.overdue_digit(now), leg.event_clock());
        // Several after a stall.
        while let Some(leg) = self.legs[slot].as_deref_mut()
            && let Some(digit) = leg.inband.take(now.ms)
        {
            leg.note_key();
            let leg = leg.state.leg;
            self.counters.digits_in_band.add(1);
            let (digit, duration_ms) = (digit.digit as u8, digit.duration.into());
            let _ = self.tell(Event::Digit { leg, digit, duration_ms, in_band: true });
        }
        if let Some(digit) = overdue {
            self.tell_event(slot, digit, per_ms, now);
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

    /// Tells of a leg that nobody seems to want any more, which the control plane takes away, and of one of whose far side nothing
    /// comes although it is wanted: again after each refresh, for it is not for media to end it. Having told of the one does not
    /// keep it from telling of the other: who wanted it may be gone by then.
    fn watch_idle(&mut self, slot: usize, now: Now) {
        let limits = self.limits;
        let Some(leg) = self.legs[slot].as_deref_mut() else { return };
        let unrefreshed = now.ms.saturating_sub(leg.state.refreshed_ms);
        let silent = leg.state.heard_ms.map_or(u64::MAX, |heard| now.ms.saturating_sub(heard));
        let limit = if leg.needs_no_rtp() { limits.held_ms } else { limits.idle_ms };
        let lifeless = limits.lifeless_ms > 0 && leg.is_lifeless_ms(now) >= limits.lifeless_ms;
        let unwanted = unrefreshed.min(silent) >= limit;
        if leg.idle_told == Some(unwanted) || !(unwanted || lifeless) {
            return;
        }
        let before = leg.idle_told.replace(unwanted);
        let idle = Event::Idle { leg: leg.state.leg, unwanted };
        if self.tell(idle).is_err()
            && let Some(leg) = self.legs[slot].as_deref_mut()
        {
            leg.idle_told = before;
        }
    }
}
