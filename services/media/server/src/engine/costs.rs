//! What the legs of a node cost its workers, and on which of them a new leg goes.

use sidetone_dsp::codec::Codec;
use sidetone_model::ids::LegId;

use super::{Control, Engine, LegEntry, Routed};
use crate::admission::{Census, Kind, Role, Seen};
use crate::error::MediaError;
use crate::negotiate::Agreement;

impl Engine {
    /// Tells the books what each worker has, and how long it worked for each tick since the last time, in ns.
    pub(crate) async fn look_at_costs(&self, spent_ns: &[Option<u64>]) {
        let mut control = self.control.lock().await;
        let censuses = control.censuses();
        let spent = spent_ns.iter().copied().chain(std::iter::repeat(None));
        control
            .admission
            .look(censuses.into_iter().zip(spent).map(|(census, spent_ns)| Seen { census, spent_ns }));
        let media = &self.telemetry.media;
        for (kind, role) in Kind::ALL.into_iter().flat_map(|kind| Role::ALL.map(|role| (kind, role))) {
            let cost = control.admission.cost_ns(kind, role);
            media.leg_cost.with_label_values(&[kind.name(), role.name()]).set(cost as f64 / 1e9);
        }
        let expected = (0..control.workers.len()).map(|worker| control.admission.expected_permille(worker));
        media.emptiest_worker.set(expected.min().unwrap_or(0) as f64 / 1_000.0);
    }
}

impl Control {
    /// The worker for a new leg of a call: where the call's other legs are, or who has most room.
    pub(super) fn admit(
        &mut self,
        call_id: &str,
        agreement: Option<&Agreement>,
        codecs: &[Codec],
        secured: bool,
    ) -> Result<usize, MediaError> {
        let kind = kind(agreement, codecs);
        let at = self.of_call(call_id).next().map(|leg| leg.worker);
        self.admission.admit(kind, secured, at).map_err(|_| MediaError::NoRoom)
    }

    /// The worker for a leg that comes from another node. It was admitted once, and is not refused where it is to go on.
    pub(super) fn take_in(
        &mut self,
        call_id: &str,
        agreement: Option<&Agreement>,
        codecs: &[Codec],
        secured: bool,
    ) -> usize {
        let kind = kind(agreement, codecs);
        let at = self.of_call(call_id).next().map(|leg| leg.worker);
        self.admission.take(kind, secured, at)
    }

    fn censuses(&self) -> Vec<Census> {
        let mut censuses = vec![Census::default(); self.workers.len()];
        for (id, entry) in &self.legs {
            let kind = kind(entry.agreement.as_ref(), &entry.codecs);
            censuses[entry.worker].add(kind, self.role(*id, entry));
            if self.feeds.contains_key(id) {
                censuses[entry.worker].add(kind, Role::Recorded);
            }
            if entry.keys.is_agreed() || entry.proof.has_dtls() {
                censuses[entry.worker].add(kind, Role::Secured);
            }
            if entry.audio.suppress_noise && !matches!(entry.route, Routed::Fresh | Routed::Nothing) {
                censuses[entry.worker].add(kind, Role::Suppressed);
            }
        }
        censuses
    }

    fn role(&self, id: LegId, entry: &LegEntry) -> Role {
        match &entry.route {
            Routed::Fresh | Routed::Nothing => Role::Idle,
            Routed::Echo if entry.audio.is_conditioned() => Role::Transcoded,
            Routed::Echo => Role::Bridged,
            Routed::Mix(_) => Role::Mixed,
            Routed::Peer(peer) => {
                let there = self.legs.get(peer).filter(|_| *peer != id);
                let same = there.is_none_or(|peer| {
                    kind(peer.agreement.as_ref(), &peer.codecs)
                        == kind(entry.agreement.as_ref(), &entry.codecs)
                });
                let conditioned =
                    there.unwrap_or(entry).audio.is_conditioned() || entry.audio.is_conditioned();
                if same && !conditioned { Role::Bridged } else { Role::Transcoded }
            }
        }
    }
}

/// What a leg speaks, or will most likely.
fn kind(agreement: Option<&Agreement>, codecs: &[Codec]) -> Kind {
    let agreed = agreement.and_then(|agreement| agreement.send.audio()).map(|(_, codec)| codec);
    agreed.or_else(|| codecs.first().copied()).map_or(Kind::G711, Kind::of)
}
