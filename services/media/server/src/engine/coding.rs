//! At which rate each leg speaks and hears, and the codecs that it needs for that.
//!
//! A bridge of two codecs runs at what the lesser of them carries. A room begins at 8 kHz and is raised when two of its
//! members have more to hear; it is not lowered again before it is empty. Whatever is needed is made here and brought to the
//! worker, which only exchanges it.

use sidetone_dsp::Rate;
use sidetone_dsp::codec::Codec;
use sidetone_model::ids::LegId;
use sidetone_rtp_core::{Playout, PlayoutConfig};

use super::{Control, Engine, LegEntry, Routed};
use crate::adaptation::Adaptation;
use crate::error::MediaError;
use crate::negotiate::Agreement;
use crate::worker::coding::{Coding, Plan};
use crate::worker::conditioning::{Conditioner, Conditioning};
use crate::worker::leg::Equipment;
use crate::worker::rings::Command;

impl Engine {
    /// After a leg was connected, or described anew: it, its peer or its room get what they need.
    pub(super) async fn equip_around(&self, control: &mut Control, id: LegId) -> Result<(), MediaError> {
        match control.legs.get(&id).map(|entry| entry.route.clone()) {
            Some(Routed::Mix(name)) => self.raise_mix(control, &name).await?,
            Some(Routed::Peer(peer)) => self.equip(control, peer).await?,
            _ => {}
        }
        self.equip(control, id).await
    }

    /// Brings a leg what it needs, if that is not what it has.
    async fn equip(&self, control: &mut Control, id: LegId) -> Result<(), MediaError> {
        let Some(entry) = control.legs.get(&id) else { return Ok(()) };
        let plan = self.plan(entry.agreement.as_ref(), control.rate_of(entry));
        if entry.plan == plan {
            return self.condition(control, id).await;
        }
        let equipment = Box::new(equipment(plan.as_ref())?);
        let (worker, slot) = (entry.worker, entry.slot);
        control.workers[worker].push(Command::Equip { slot, equipment }).await?;
        let Some(entry) = control.legs.get_mut(&id) else { return Ok(()) };
        entry.plan = plan;
        // A new encoder goes on where the one before was.
        if let (Some(adaptation), Some(most)) = (&entry.adaptation, plan.as_ref().and_then(Plan::opus)) {
            let opus = adaptation.settings(most);
            control.workers[worker].push(Command::Adapt { slot, opus }).await?;
        }
        self.condition(control, id).await
    }

    /// Brings a leg what is to be done to its sound, at the rate that it has, if that is not what it has.
    pub(super) async fn condition(&self, control: &mut Control, id: LegId) -> Result<(), MediaError> {
        let Some(entry) = control.legs.get_mut(&id) else { return Ok(()) };
        let wanted = Conditioning {
            rate: entry.plan.as_ref().map_or(Rate::Narrow, |plan| plan.rate),
            automatic_gain: entry.audio.automatic_gain,
            suppress_noise: entry.audio.suppress_noise,
        };
        let wanted = entry.audio.is_conditioned().then_some(wanted);
        if entry.conditioning == wanted {
            return Ok(());
        }
        let conditioner = wanted.and_then(Conditioner::new).map(Box::new);
        let (worker, slot) = (entry.worker, entry.slot);
        control.workers[worker].push(Command::Condition { slot, conditioner }).await?;
        if let Some(entry) = control.legs.get_mut(&id) {
            entry.conditioning = wanted;
        }
        Ok(())
    }

    /// The far side of a leg has reported what it lost: its encoder follows.
    pub(super) async fn adapt(&self, id: LegId, fraction_lost: u8) {
        let mut control = self.control.lock().await;
        let Some(entry) = control.legs.get_mut(&id) else { return };
        let Some(most) = entry.plan.as_ref().and_then(Plan::opus) else { return };
        let adaptation = entry.adaptation.get_or_insert_with(|| Adaptation::new(*most));
        let Some(adapted) = adaptation.report(fraction_lost, most) else { return };
        let (worker, slot, opus) = (entry.worker, entry.slot, adaptation.settings(most));
        match control.workers[worker].push(Command::Adapt { slot, opus }).await {
            Ok(()) => self.telemetry.media.opus_adapted.with_label_values(&[adapted.name()]).inc(),
            Err(error) => tracing::warn!(leg = %id, %error, "an encoder could not be told of losses"),
        }
    }

    /// What a leg needs for what was agreed, at a rate.
    pub(super) fn plan(&self, agreement: Option<&Agreement>, rate: Rate) -> Option<Plan> {
        Plan::new(agreement?, rate, self.config.opus.settings())
    }

    /// Raises a mix to what its members have to hear.
    async fn raise_mix(&self, control: &mut Control, name: &str) -> Result<(), MediaError> {
        let Some(mix) = control.mixes.get(name) else { return Ok(()) };
        let rate = control.rate_needed(name).min(self.room_rate_max());
        if rate <= mix.rate {
            return Ok(());
        }
        let members: Vec<LegId> = mix.members().collect();
        self.raise_room(control, name, rate).await?;
        for member in members {
            self.equip(control, member).await?;
        }
        Ok(())
    }

    fn room_rate_max(&self) -> Rate {
        Rate::of_hz(self.config.room_rate_max_hz).unwrap_or_default()
    }
}

impl Control {
    fn rate_of(&self, entry: &LegEntry) -> Rate {
        match &entry.route {
            Routed::Mix(name) => self.mixes.get(name).map_or(Rate::Narrow, |mix| mix.rate),
            Routed::Peer(peer) => {
                let there = self.legs.get(peer).map_or(Rate::Narrow, native_rate);
                there.min(native_rate(entry))
            }
            Routed::Fresh | Routed::Nothing | Routed::Echo => Rate::Narrow,
        }
    }

    /// The highest rate that at least two members have: what only one has nobody else hears.
    fn rate_needed(&self, mix: &str) -> Rate {
        let members = self.mixes.get(mix).into_iter().flat_map(|mix| mix.members());
        let (mut first, mut second) = (Rate::Narrow, Rate::Narrow);
        for rate in members.filter_map(|id| self.legs.get(&id)).map(native_rate) {
            second = second.max(rate.min(first));
            first = first.max(rate);
        }
        second
    }
}

/// The rate beyond which a leg neither gives nor takes anything.
pub(super) fn native_rate(entry: &LegEntry) -> Rate {
    let audio = |agreement: &Agreement| agreement.send.audio().map(|(_, codec)| codec);
    entry.agreement.as_ref().and_then(audio).map_or(Rate::Narrow, Codec::native_rate)
}

/// All that a plan asks for.
pub(crate) fn equipment(plan: Option<&Plan>) -> Result<Equipment, MediaError> {
    let made = plan.map(Coding::new).transpose();
    let coding =
        made.map_err(|error| MediaError::Io { what: "making a codec", problem: error.to_string() })?;
    let config = plan.map_or(PlayoutConfig::NARROW, |plan| PlayoutConfig::of(plan.rate, plan.clock_hz()));
    Ok(Equipment { coding: coding.map(Box::new), playout: Playout::new(config) })
}
