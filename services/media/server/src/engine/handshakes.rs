//! What came of a leg's handshake and checks.

use sidetone_ice_core::Pairs;
use sidetone_model::ids::LegId;
use sidetone_proto::media::v1 as pb;

use super::{Control, Engine};
use crate::error::MediaError;
use crate::handshake::Failure;
use crate::keys::Rekeying;
use crate::proof::Terms;
use crate::worker::rings::{Command, Slot};

impl Engine {
    /// What the node has to say about proofs.
    pub(super) fn terms(&self) -> Terms<'_> {
        Terms { fingerprint: &self.fingerprint, srtp: self.config.srtp, ice: self.config.ice }
    }

    /// The handshake has given keys.
    pub(crate) async fn leg_keyed(&self, leg: LegId, rekeying: Box<Rekeying>) {
        let mut control = self.control.lock().await;
        tell(&mut control, leg, |slot| Command::Rekey { slot, rekeying }).await;
    }

    /// ICE has proved addresses.
    pub(crate) async fn leg_proved(&self, leg: LegId, pairs: Pairs) {
        let mut control = self.control.lock().await;
        tell(&mut control, leg, |slot| Command::Prove { slot, pairs }).await;
    }

    /// There will be no keys: the leg is of no use, and freed.
    pub(crate) async fn leg_failed(&self, leg: LegId, failure: Failure) {
        tracing::info!(%leg, reason = failure.label(), "leg freed: its handshake has failed");
        match self.release_leg(leg).await {
            Ok(Some(_)) => {
                let (leg_id, reason) = (leg.to_string(), failure.to_string());
                self.tell(pb::media_event::Kind::LegFailed(pb::LegFailed { leg_id, reason }));
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%leg, %error, "a leg whose handshake has failed could not be freed"),
        }
    }
}

/// Gives a command to the worker of a leg, if it is still there.
async fn tell(control: &mut Control, leg: LegId, command: impl FnOnce(Slot) -> Command) {
    let Some(entry) = control.legs.get(&leg) else { return };
    let (worker, slot) = (entry.worker, entry.slot);
    if let Err(error @ (MediaError::Overloaded | MediaError::Stopping)) =
        control.workers[worker].push(command(slot)).await
    {
        tracing::warn!(%leg, %error, "a worker was not told of a proof");
    }
}
