//! What a leg hears and who hears it.

use sidetone_model::ids::LegId;

use super::link::Reply;
use super::{Control, Engine, Routed};
use crate::error::MediaError;
use crate::worker::rings::{Command, Route};

/// What a leg is to be connected to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Nothing,
    Peer(LegId),
    Mix(Box<str>),
    Echo,
}

impl Engine {
    /// Replaces what a leg is connected to.
    pub(crate) async fn connect_leg(&self, id: LegId, target: Target) -> Result<(), MediaError> {
        let mut control = self.control.lock().await;
        let route = routed(&target);
        let entry = control.legs.get(&id).ok_or(MediaError::NotFound("leg"))?;
        if let Target::Peer(peer) = &target {
            if *peer == id {
                return Err(MediaError::Invalid { field: "peer_leg_id", problem: "is the leg itself" });
            }
            if !control.legs.contains_key(peer) {
                return Err(MediaError::NotFound("peer leg"));
            }
        }
        if entry.route == route {
            return Ok(());
        }
        self.forget_route(&mut control, id).await?;
        match &target {
            Target::Nothing => self.route(&mut control, id, Route::Silence).await?,
            Target::Echo => self.route(&mut control, id, Route::Echo).await?,
            Target::Peer(peer) => self.bridge(&mut control, id, *peer).await?,
            Target::Mix(mix) => self.join(&mut control, id, mix).await?,
        }
        if let Some(entry) = control.legs.get_mut(&id) {
            entry.route = route;
        }
        if let Target::Mix(mix) = &target {
            self.gather_coaches(&mut control, mix).await;
        }
        self.equip_around(&mut control, id).await?;
        self.follow_legs(&mut control, id).await;
        self.telemetry.media.mixes.set(control.mixes.len() as i64);
        Ok(())
    }

    /// Ends what a leg is connected to, for its removal.
    pub(super) async fn detach(&self, control: &mut Control, id: LegId) -> Result<(), MediaError> {
        self.forget_route(control, id).await?;
        self.telemetry.media.mixes.set(control.mixes.len() as i64);
        Ok(())
    }

    /// Takes a leg out of the books of its peer or mix. The worker does the same when it carries the next command out.
    async fn forget_route(&self, control: &mut Control, id: LegId) -> Result<(), MediaError> {
        let Some(entry) = control.legs.get_mut(&id) else { return Ok(()) };
        match std::mem::replace(&mut entry.route, Routed::Nothing) {
            Routed::Peer(peer) => {
                if let Some(peer) = control.legs.get_mut(&peer).filter(|peer| peer.route == Routed::Peer(id))
                {
                    peer.route = Routed::Nothing;
                }
            }
            Routed::Mix(name) => {
                // The worker must have let go of the leg before its mix goes away.
                self.route(control, id, Route::Silence).await?;
                self.leave_room(control, id, &name).await?;
            }
            Routed::Fresh | Routed::Nothing | Routed::Echo => {}
        }
        Ok(())
    }

    async fn bridge(&self, control: &mut Control, id: LegId, peer: LegId) -> Result<(), MediaError> {
        self.forget_route(control, peer).await?;
        let there = control.legs.get(&peer).ok_or(MediaError::NotFound("peer leg"))?;
        let (worker, peer_slot) = (there.worker, there.slot);
        self.move_to(control, id, worker).await?;
        self.route(control, id, Route::Bridge(peer_slot)).await?;
        if let Some(there) = control.legs.get_mut(&peer) {
            there.route = Routed::Peer(id);
        }
        Ok(())
    }

    pub(super) async fn route(
        &self,
        control: &mut Control,
        id: LegId,
        route: Route,
    ) -> Result<(), MediaError> {
        let entry = control.legs.get(&id).ok_or(MediaError::NotFound("leg"))?;
        let slot = entry.slot;
        control.workers[entry.worker].push(Command::Connect { slot, route }).await
    }

    /// Brings a leg to another worker, with its sockets and everything that it is. Packets that come meanwhile wait in the
    /// sockets.
    pub(super) async fn move_to(
        &self,
        control: &mut Control,
        id: LegId,
        worker: usize,
    ) -> Result<(), MediaError> {
        let entry = control.legs.get(&id).ok_or(MediaError::NotFound("leg"))?;
        let (from, old_slot) = (entry.worker, entry.slot);
        if from == worker {
            return Ok(());
        }
        let slot = control.workers[worker].take_leg_slot()?;
        let (token, removed) = self.replies.open();
        let remove = Command::Remove { slot: old_slot, token, goodbye: false };
        if let Err(error) = control.workers[from].push(remove).await {
            control.workers[worker].free_leg_slot(slot);
            return Err(error);
        }
        control.workers[from].free_leg_slot(old_slot);
        if let Some(entry) = control.legs.get_mut(&id) {
            (entry.worker, entry.slot) = (worker, slot);
        }
        match removed.await {
            Ok(Reply::Leg(Some(leg))) => control.workers[worker].push(Command::Insert { slot, leg }).await,
            _ => Err(MediaError::Stopping),
        }
    }
}

fn routed(target: &Target) -> Routed {
    match target {
        Target::Nothing => Routed::Nothing,
        Target::Peer(peer) => Routed::Peer(*peer),
        Target::Mix(mix) => Routed::Mix(mix.clone()),
        Target::Echo => Routed::Echo,
    }
}
