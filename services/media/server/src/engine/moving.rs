//! Legs that go to another node, or come from one.

use std::net::SocketAddr;
use std::time::Instant;

use sidetone_dsp::Rate;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Encoding, MediaDescription};
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::Reporter;

use super::audio::Dialed;
use super::coding::equipment;
use super::legs::{mode, random};
use super::{Control, Engine, LegEntry, Routed};
use crate::error::MediaError;
use crate::moving::{self, Restored};
use crate::negotiate;
use crate::proof::Proof;
use crate::worker::gate::Gate;
use crate::worker::inband::Inband;
use crate::worker::leg::Leg;

impl Engine {
    /// Takes a leg out as a value. It is gone here, and its far side is told nothing.
    pub(crate) async fn export_leg(&self, id: LegId) -> Result<pb::LegValue, MediaError> {
        let taken = {
            let mut control = self.control.lock().await;
            let entry = control.legs.get(&id).ok_or(MediaError::NotFound("leg"))?;
            if self.now_ms() < entry.dialed.until_ms {
                return Err(MediaError::NotWhile("digits are being sent"));
            }
            if entry.answering.is_some() {
                return Err(MediaError::NotWhile("the far side proves itself to this node alone"));
            }
            self.take_out(&mut control, id, false).await?
        };
        let taken = self.taken_out(id, taken).await?;
        let (entry, leg) = taken.ok_or(MediaError::NotFound("leg"))?;
        let mut value = moving::export(&leg, self.now_ms(), self.unix_us());
        let (ours, theirs, must) = entry.keys.value();
        value.request = Some(entry.request);
        value.local = Some((&entry.local).into());
        value.offer = entry.offer.as_ref().map(Into::into);
        value.ours = ours.iter().map(Into::into).collect();
        value.theirs = theirs.as_ref().map(Into::into);
        value.must_secure = must;
        Ok(value)
    }

    /// Goes on with a leg of another node; our description of it.
    pub(crate) async fn restore_leg(&self, value: pb::LegValue) -> Result<MediaDescription, MediaError> {
        let request = value.request.clone().unwrap_or_default();
        let mode = mode(request.policy.as_ref())?;
        let restored = moving::restore(&value, mode, self.now_ms(), self.unix_us())?;
        let mut control = self.control.lock().await;
        let made = self.go_on_with(&mut control, restored, request).await;
        self.telemetry.media.legs.set(control.legs.len() as i64);
        made.map_err(|error| self.refused(error))
    }

    async fn go_on_with(
        &self,
        control: &mut Control,
        restored: Restored,
        request: pb::CreateLegRequest,
    ) -> Result<MediaDescription, MediaError> {
        let Restored { id, state, local, offer, keys, mut rekeying, digits, event_at_ms, cname, delay_us } =
            restored;
        if self.is_draining() {
            return Err(MediaError::Draining);
        }
        if control.legs.contains_key(&id) {
            return Err(MediaError::Reused("leg"));
        }
        if control.legs.len() >= self.config.legs_max {
            return Err(MediaError::TooMany("legs"));
        }
        let realm = control.realm(&request.realm, Some(local.rtp.ip()), None)?;
        let (agreement, audio) = (state.agreement, state.audio);
        let encodings: Vec<Encoding> =
            request.encodings.iter().map(|name| Encoding::from_name(name)).collect();
        let codecs = negotiate::allowed(&self.config.codecs(), &encodings);
        let worker = control.take_in(&request.call_id, agreement.as_ref(), &codecs, keys.is_agreed());
        let plan = self.plan(agreement.as_ref(), Rate::Narrow);
        let mut equipment = equipment(plan.as_ref())?;
        equipment.playout = equipment.playout.with_delay_us(delay_us);
        let reporter = Reporter::new(self.unix_us_at_zero, random()?, self.now_ms()).named(&cname);
        let sockets = control.ports[realm].take(Instant::now())?;
        let port = sockets.0.local().port();
        let address = SocketAddr::new(control.ports[realm].realm().advertised(), port);
        let gate = Gate::new(self.config.room_quiet_dbov);
        let mut leg = Box::new(Leg::new(state, sockets, reporter, gate, equipment));
        leg.rekey(&mut rekeying);
        (leg.digits, leg.event_at_ms) = (digits, event_at_ms);
        leg.inband = Inband::new(self.inband_digits(&request));
        let slot = match control.workers[worker].insert(leg).await {
            Ok(slot) => slot,
            Err(error) => {
                control.ports[realm].give_back(port, Instant::now());
                return Err(error);
            }
        };
        let here = |description: MediaDescription| {
            let rtp = moved(address, &description);
            MediaDescription { rtp, ..description }
        };
        let local = here(local);
        let entry = LegEntry {
            worker,
            slot,
            codecs,
            agreement,
            plan,
            conditioning: None,
            adaptation: None,
            offer: offer.map(here),
            local: local.clone(),
            keys,
            proof: Proof::default(),
            answering: None,
            request,
            updated: None,
            realm,
            port,
            route: Routed::Fresh,
            audio,
            dialed: Dialed::default(),
        };
        control.keep(id, entry);
        Ok(local)
    }

    /// The wall clock by the node's own, in microseconds since the Unix epoch.
    fn unix_us(&self) -> u64 {
        self.unix_us_at_zero.saturating_add(self.epoch.elapsed().as_micros() as u64)
    }
}

/// The new address; a stream that was refused stays so.
fn moved(address: SocketAddr, description: &MediaDescription) -> SocketAddr {
    let port = if description.rtp.port() == 0 { 0 } else { address.port() };
    SocketAddr::new(address.ip(), port)
}
