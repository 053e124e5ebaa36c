//! Rooms: on which workers each is, and who is where in it.
//!
//! A room begins on one worker and takes others in when that has done its share; see [`place`]. Its first part is its home:
//! what is played to the room is played there. A part stays until the whole room is empty.

use std::collections::BTreeSet;

use sidetone_dsp::Rate;
use sidetone_mix_core::Submix;
use sidetone_model::ids::LegId;

use super::placing::{PartSize, Share, place};
use super::{Control, Engine, Routed};
use crate::error::MediaError;
use crate::state::Role;
use crate::worker::mix::Mix;
use crate::worker::phases::Phase;
use crate::worker::rings::{Command, Route, Slot};
use crate::worker::spread::Spread;

/// A room with at least one part.
#[derive(Debug)]
pub(super) struct MixEntry {
    pub(super) rate: Rate,
    parts: Vec<Part>,
    /// The ends of its exchange of sums that no worker has yet, by worker; empty while it is on one worker.
    ends: Vec<Option<Submix>>,
    /// Not every part has got its end of the present exchange, because a worker did not take it in time.
    is_torn: bool,
    /// When in each tick it has its turn, on every worker.
    phase: Phase,
}

/// What one worker has of a room.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) worker: usize,
    pub(super) slot: Slot,
    members: BTreeSet<LegId>,
    members_max: usize,
}

/// Members for which a new part has room; it grows by doubling. Most rooms are of three or four, and each place takes memory.
const PART_MEMBERS: usize = 4;
/// Coaches may wait for coaches: after so many moves everybody is where they can be heard, or they go round in a circle.
const COACH_MOVES_MAX: usize = 8;

impl MixEntry {
    /// The part in which the room is played to.
    pub(super) fn home(&self) -> &Part {
        &self.parts[0]
    }

    pub(super) fn members(&self) -> impl Iterator<Item = LegId> {
        self.parts.iter().flat_map(|part| &part.members).copied()
    }

    pub(super) fn has(&self, leg: LegId) -> bool {
        self.parts.iter().any(|part| part.members.contains(&leg))
    }

    /// Workers that it is on.
    pub(super) fn parts(&self) -> usize {
        self.parts.len()
    }

    fn on(&mut self, worker: usize) -> Option<&mut Part> {
        self.parts.iter_mut().find(|part| part.worker == worker)
    }

    /// The end of its exchange for a worker.
    fn take_end(&mut self, worker: usize) -> Option<Spread> {
        let home = self.home().worker;
        let end = self.ends.get_mut(worker)?.take()?;
        Some(Spread::new(end, (worker != home).then_some(home)))
    }

    /// A mix for a worker, as a part if the room is on several.
    fn mix_for(&mut self, worker: usize, members_max: usize) -> Box<Mix> {
        let mix = Mix::new(members_max, self.rate, self.phase);
        Box::new(match self.take_end(worker) {
            Some(spread) => mix.part(spread),
            None => mix,
        })
    }
}

impl Engine {
    /// Lets a leg, which is connected to nothing, join a room.
    pub(super) async fn join(&self, control: &mut Control, id: LegId, name: &str) -> Result<(), MediaError> {
        let torn = control.mixes.get(name).filter(|mix| mix.is_torn).map(|mix| mix.rate);
        if let Some(rate) = torn {
            self.raise_room(control, name, rate).await?;
        }
        let worker = control.worker_in_room(id, name, self.config.room_members_per_worker)?;
        self.join_on(control, id, name, worker).await
    }

    async fn join_on(
        &self,
        control: &mut Control,
        id: LegId,
        name: &str,
        worker: usize,
    ) -> Result<(), MediaError> {
        let slot = self.room_on(control, name, worker).await?;
        self.move_to(control, id, worker).await?;
        self.route(control, id, Route::Mix(slot)).await?;
        if let Some(part) = control.mixes.get_mut(name).and_then(|mix| mix.on(worker)) {
            part.members.insert(id);
        }
        Ok(())
    }

    /// A part with room for one more on a worker: a new one, or a larger one in place of the old.
    async fn room_on(&self, control: &mut Control, name: &str, worker: usize) -> Result<Slot, MediaError> {
        let Some(mix) = control.mixes.get_mut(name) else {
            let phase = Phase::of(control.number());
            let mix = Box::new(Mix::new(PART_MEMBERS, Rate::Narrow, phase));
            let slot = control.new_mix(worker, mix).await?;
            let part = Part::new(worker, slot);
            let entry =
                MixEntry { rate: Rate::Narrow, parts: vec![part], ends: Vec::new(), is_torn: false, phase };
            control.mixes.insert(name.into(), entry);
            return Ok(slot);
        };
        if let Some(part) = mix.on(worker) {
            let slot = part.slot;
            if part.members.len() >= part.members_max {
                let members_max = part.members_max * 2;
                // What it has of an exchange goes over to the larger one.
                let larger = Box::new(Mix::new(members_max, mix.rate, mix.phase));
                control.workers[worker].push(Command::InsertMix { slot, mix: larger }).await?;
                if let Some(part) = control.mixes.get_mut(name).and_then(|mix| mix.on(worker)) {
                    part.members_max = members_max;
                }
            }
            return Ok(slot);
        }
        self.spread_to(control, name, worker).await
    }

    /// Takes another worker into a room.
    async fn spread_to(&self, control: &mut Control, name: &str, worker: usize) -> Result<Slot, MediaError> {
        let mix = control.mixes.get_mut(name).ok_or(MediaError::NotFound("mix"))?;
        // There is none for this worker either where its part could not be brought there before.
        if mix.ends.get(worker).is_none_or(Option::is_none) {
            mix.ends = family(control.workers.len(), mix.rate);
            control.renew_parts(name).await?;
        }
        let mix = control.mixes.get_mut(name).ok_or(MediaError::NotFound("mix"))?;
        let part = mix.mix_for(worker, PART_MEMBERS);
        let slot = control.new_mix(worker, part).await?;
        if let Some(mix) = control.mixes.get_mut(name) {
            mix.parts.push(Part::new(worker, slot));
        }
        self.count_rooms(control);
        Ok(slot)
    }

    /// Takes a leg, which its worker has let go of, out of the books of its room. A room without members is gone.
    pub(super) async fn leave_room(
        &self,
        control: &mut Control,
        id: LegId,
        name: &str,
    ) -> Result<(), MediaError> {
        let Some(mix) = control.mixes.get_mut(name) else { return Ok(()) };
        for part in &mut mix.parts {
            part.members.remove(&id);
        }
        if mix.members().next().is_some() {
            return Ok(());
        }
        let Some(mix) = control.mixes.remove(name) else { return Ok(()) };
        let mut outcome = Ok(());
        for Part { worker, slot, .. } in mix.parts {
            match control.workers[worker].push(Command::RemoveMix { slot }).await {
                Ok(()) => control.workers[worker].free_mix_slot(slot),
                // It may still be there, so nothing else may come in its place.
                failed @ Err(_) => outcome = outcome.and(failed),
            }
        }
        self.count_rooms(control);
        outcome
    }

    /// Raises a room to a rate.
    pub(super) async fn raise_room(
        &self,
        control: &mut Control,
        name: &str,
        rate: Rate,
    ) -> Result<(), MediaError> {
        let count = control.workers.len();
        let Some(mix) = control.mixes.get_mut(name) else { return Ok(()) };
        mix.rate = rate;
        if !mix.ends.is_empty() {
            mix.ends = family(count, rate);
        }
        control.renew_parts(name).await
    }

    /// Brings coaches to the worker of whom they are heard by: what is said to one alone does not go between workers. One
    /// that cannot be brought there is connected to nothing, which is not the affair of whoever came now.
    pub(super) async fn gather_coaches(&self, control: &mut Control, name: &str) {
        for _ in 0..COACH_MOVES_MAX {
            let Some((coach, worker)) = control.stray_coach(name) else { return };
            let Err(error) = self.bring_coach(control, coach, name, worker).await else { continue };
            tracing::warn!(leg = %coach, %error, "a coach was taken out of its room; connect it again");
            if let Some(entry) = control.legs.get_mut(&coach) {
                entry.route = Routed::Nothing;
            }
            let left = self.leave_room(control, coach, name).await;
            if let Err(error) = left {
                tracing::warn!(%error, "a room could not be ended on every worker");
            }
        }
    }

    async fn bring_coach(
        &self,
        control: &mut Control,
        coach: LegId,
        name: &str,
        worker: usize,
    ) -> Result<(), MediaError> {
        self.route(control, coach, Route::Silence).await?;
        if let Some(mix) = control.mixes.get_mut(name) {
            mix.parts.iter_mut().for_each(|part| _ = part.members.remove(&coach));
        }
        self.join_on(control, coach, name, worker).await
    }

    fn count_rooms(&self, control: &Control) {
        let spread = control.mixes.values().filter(|mix| mix.parts() > 1);
        self.telemetry.media.rooms_spread.set(spread.count() as i64);
    }
}

impl Control {
    /// Where a leg is to be mixed that joins a room.
    fn worker_in_room(&self, id: LegId, name: &str, members_max: usize) -> Result<usize, MediaError> {
        let here = self.legs.get(&id).ok_or(MediaError::NotFound("leg"))?.worker;
        let Some(mix) = self.mixes.get(name) else { return Ok(here) };
        let share = |worker| Share { expected_permille: self.admission.expected_permille(worker) };
        let workers: Vec<Share> = (0..self.workers.len()).map(share).collect();
        let size = |part: &Part| PartSize { worker: part.worker, members: part.members.len() };
        let parts: Vec<PartSize> = mix.parts.iter().map(size).collect();
        Ok(place(&workers, &parts, here, members_max))
    }

    async fn new_mix(&mut self, worker: usize, mix: Box<Mix>) -> Result<Slot, MediaError> {
        let slot = self.workers[worker].take_mix_slot()?;
        match self.workers[worker].push(Command::InsertMix { slot, mix }).await {
            Ok(()) => Ok(slot),
            Err(error) => {
                self.workers[worker].free_mix_slot(slot);
                Err(error)
            }
        }
    }

    /// Brings each part of a room a mix of its present rate and exchange, with all who are in it.
    async fn renew_parts(&mut self, name: &str) -> Result<(), MediaError> {
        let count = self.mixes.get(name).map_or(0, |mix| mix.parts.len());
        self.note_torn(name, count > 1);
        for n in 0..count {
            let Some(mix) = self.mixes.get_mut(name) else { return Ok(()) };
            let Part { worker, slot, members_max, .. } = mix.parts[n];
            let renewed = mix.mix_for(worker, members_max);
            self.workers[worker].push(Command::InsertMix { slot, mix: renewed }).await?;
        }
        self.note_torn(name, false);
        Ok(())
    }

    fn note_torn(&mut self, name: &str, is_torn: bool) {
        if let Some(mix) = self.mixes.get_mut(name) {
            mix.is_torn = is_torn;
        }
    }

    /// A coach of a room who is on another worker than whom it is heard by, and that worker.
    fn stray_coach(&self, name: &str) -> Option<(LegId, usize)> {
        let mix = self.mixes.get(name).filter(|mix| mix.parts() > 1)?;
        mix.members().find_map(|coach| {
            let entry = self.legs.get(&coach)?;
            let Role::Coach { heard_by } = entry.audio.role else { return None };
            let hearer = LegId::from(uuid::Uuid::from_u128(heard_by));
            let there = self.legs.get(&hearer).filter(|hearer| hearer.route == Routed::Mix(name.into()))?;
            (mix.has(hearer) && there.worker != entry.worker).then_some((coach, there.worker))
        })
    }
}

impl Part {
    fn new(worker: usize, slot: Slot) -> Self {
        Self { worker, slot, members: BTreeSet::new(), members_max: PART_MEMBERS }
    }
}

/// The ends of an exchange of sums, one for each worker.
fn family(workers: usize, rate: Rate) -> Vec<Option<Submix>> {
    Submix::family(workers, rate.samples(20)).into_iter().map(Some).collect()
}
