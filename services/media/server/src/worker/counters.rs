//! What a worker counts. Each is written by one thread and read by the control plane once a second.

use std::sync::atomic::{AtomicU64, Ordering};

/// One count.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// Adds. One writer: no read-modify-write on the bus.
    pub(crate) fn add(&self, n: u64) {
        self.0.store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts of one worker, since its start.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) received: Count,
    pub(crate) sent: Count,
    pub(crate) send_failed: Count,
    pub(crate) malformed: Count,
    pub(crate) unknown_payload: Count,
    pub(crate) refused_source: Count,
    pub(crate) no_event_format: Count,
    pub(crate) late: Count,
    /// Of a leg in a room that has long been quiet, and not even decoded.
    pub(crate) passed_over: Count,
    pub(crate) not_authentic: Count,
    pub(crate) replayed: Count,
    pub(crate) not_protected: Count,
    /// Far from all other packets of their source: not passed on until the next confirms that it began anew.
    pub(crate) strays: Count,
    /// Packets of G.711 that were cut or joined to the time that their hearer asked for.
    pub(crate) recut: Count,
    /// Packets that came too late to be cut.
    pub(crate) recut_late: Count,
    /// Of a source that is one too many under its key.
    pub(crate) too_many_sources: Count,
    pub(crate) ticks: Count,
    pub(crate) late_ticks: Count,
    /// Of these, those for which the thread waited for a processor.
    pub(crate) late_ticks_excused: Count,
    pub(crate) skipped_ticks: Count,
    /// Short rests under load.
    pub(crate) rests: Count,
    pub(crate) ring_full: Count,
    pub(crate) digits_by_event: Count,
    pub(crate) digits_in_band: Count,
    /// Came as an event after they were found in the sound.
    pub(crate) digits_twice: Count,
    /// Digits of events that were made tones for a peer without events.
    pub(crate) digits_sounded: Count,
    /// Packets that told of a pause of the far side.
    pub(crate) pauses: Count,
    /// Packets that were not sent, because they would have been silent.
    pub(crate) suppressed: Count,
    /// Packets of handshakes and checks that came faster than one leg may have them.
    pub(crate) proofs_limited: Count,
    /// Of these and others that found no room.
    pub(crate) proofs_full: Count,
    /// Legs that are sent nothing any more because the far side proved nothing for long.
    pub(crate) consent_ended: Count,
    /// Sums of other parts of a room that came too late for a tick.
    pub(crate) sums_late: Count,
    /// Time that the thread had a processor, in ns.
    pub(crate) busy_ns: Count,
    longest_ns: AtomicU64,
    most_sent: AtomicU64,
    load_permille: AtomicU64,
}

impl Counters {
    /// Notes how long one tick took.
    pub(crate) fn note_work(&self, ns: u64) {
        if ns > self.longest_ns.load(Ordering::Relaxed) {
            self.longest_ns.store(ns, Ordering::Relaxed);
        }
    }

    /// Notes how many packets were sent in one quarter of a tick.
    pub(crate) fn note_burst(&self, packets: u64) {
        if packets > self.most_sent.load(Ordering::Relaxed) {
            self.most_sent.store(packets, Ordering::Relaxed);
        }
    }

    /// The most packets that were sent in one quarter since the last time this was asked.
    pub(crate) fn take_most_sent(&self) -> u64 {
        self.most_sent.swap(0, Ordering::Relaxed)
    }

    /// Notes, on the control plane, how much of the last time the thread worked.
    pub(crate) fn note_load(&self, permille: u64) {
        self.load_permille.store(permille, Ordering::Relaxed);
    }

    /// How much of the last half second the thread worked; 0 until that is known.
    pub(crate) fn load_permille(&self) -> u64 {
        self.load_permille.load(Ordering::Relaxed)
    }

    /// The longest tick since the last time this was asked.
    pub(crate) fn take_longest_ns(&self) -> u64 {
        self.longest_ns.swap(0, Ordering::Relaxed)
    }
}
