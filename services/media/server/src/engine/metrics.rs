//! The workers' counts as metrics.

use std::sync::Arc;
use std::time::Instant;

use super::Engine;
use crate::node::{COUNTED, Counted};
use crate::worker::TICK;
use crate::worker::counters::{Count, Counters};

impl Engine {
    /// Adds what the workers counted since the last time.
    pub(crate) fn count(&self, workers: &[Arc<Counters>], counted: &mut Counted) {
        let sum =
            |pick: fn(&Counters) -> &Count| workers.iter().map(|worker| pick(worker).get()).sum::<u64>();
        let media = &self.telemetry.media;
        let dropped = |reason| media.packets_dropped.with_label_values(&[reason]);
        let digits = |carrier| self.telemetry.audio.digits.with_label_values(&[carrier]);
        let totals: [_; COUNTED] = [
            (sum(|c| &c.received), media.packets_received.clone()),
            (sum(|c| &c.sent), media.packets_sent.clone()),
            (sum(|c| &c.ticks), media.ticks.clone()),
            (sum(|c| &c.late_ticks), media.late_ticks.clone()),
            (sum(|c| &c.late_ticks_excused), media.late_ticks_excused.clone()),
            (sum(|c| &c.skipped_ticks), media.skipped_ticks.clone()),
            (sum(|c| &c.rests), media.rests.clone()),
            (sum(|c| &c.ring_full), media.ring_full.clone()),
            (sum(|c| &c.send_failed), dropped("send_failed")),
            (sum(|c| &c.malformed), dropped("malformed")),
            (sum(|c| &c.unknown_payload), dropped("unknown_payload")),
            (sum(|c| &c.refused_source), dropped("refused_source")),
            (sum(|c| &c.no_event_format), dropped("no_event_format")),
            (sum(|c| &c.passed_over), media.packets_passed_over.clone()),
            (sum(|c| &c.late), dropped("late")),
            (sum(|c| &c.not_authentic), dropped("not_authentic")),
            (sum(|c| &c.replayed), dropped("replayed")),
            (sum(|c| &c.not_protected), dropped("not_protected")),
            (sum(|c| &c.strays), dropped("stray")),
            (sum(|c| &c.recut), media.packets_recut.clone()),
            (sum(|c| &c.recut_late), dropped("recut_late")),
            (sum(|c| &c.too_many_sources), dropped("too_many_sources")),
            (sum(|c| &c.digits_by_event), digits("event")),
            (sum(|c| &c.digits_in_band), digits("sound")),
            (sum(|c| &c.digits_twice), digits("both")),
            (sum(|c| &c.digits_sounded), digits("sounded")),
            (sum(|c| &c.proofs_limited), dropped("handshake_limited")),
            (sum(|c| &c.proofs_full), dropped("handshake_full")),
            (sum(|c| &c.consent_ended), media.consent_ended.clone()),
            (sum(|c| &c.sums_late), media.sums_late.clone()),
            (sum(|c| &c.pauses), media.pauses_heard.clone()),
            (sum(|c| &c.suppressed), media.frames_suppressed.clone()),
        ];
        for ((total, counter), before) in totals.into_iter().zip(&mut counted.totals) {
            counter.inc_by(total - *before);
            *before = total;
        }
        self.note_loads(workers, counted);
        let most_sent = workers.iter().map(|worker| worker.take_most_sent()).max();
        media.tick_burst.set(most_sent.unwrap_or(0) as i64);
        for worker in workers {
            media.tick_work.observe(worker.take_longest_ns() as f64 / 1e9);
        }
    }

    /// How much of the time since the last look each worker worked.
    fn note_loads(&self, workers: &[Arc<Counters>], counted: &mut Counted) {
        let now = Instant::now();
        let since_ns = counted.at.replace(now).map_or(0, |at| now.duration_since(at).as_nanos() as u64);
        counted.busy_ns.resize(workers.len(), 0);
        counted.spent_ns.clear();
        let mut most = 0;
        for (worker, before) in workers.iter().zip(&mut counted.busy_ns) {
            let busy_ns = worker.busy_ns.get();
            let spent_ns = busy_ns - std::mem::replace(before, busy_ns);
            let permille = (spent_ns * 1_000).checked_div(since_ns).unwrap_or(0).min(1_000);
            worker.note_load(permille);
            // Without an account of what threads do nothing is known; with one, a thread that ticks has worked.
            let per_tick = u128::from(spent_ns) * TICK.as_nanos() / u128::from(since_ns.max(1));
            counted.spent_ns.push((spent_ns > 0 && since_ns > 0).then_some(per_tick as u64));
            most = most.max(permille);
        }
        self.telemetry.media.busiest_worker.set(most as f64 / 1_000.0);
    }
}
