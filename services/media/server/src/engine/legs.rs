//! Legs: made, changed, refreshed and freed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use rand::TryRng as _;
use sidetone_dsp::Rate;
use sidetone_dsp::codec::Codec;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Encoding, MediaDescription};
use sidetone_net::{Answering, Datagram};
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::{Reporter, RtpTimestamp, SenderState, SequenceNumber, Ssrc};

use super::audio::Dialed;
use super::coding::equipment;
use super::link::Reply;
use super::{Control, Engine, LegEntry, Routed};
use crate::config::{Ice, InbandDigits, Srtp};
use crate::error::MediaError;
use crate::keys::{Keys, Rekeying};
use crate::negotiate::{self, Agreement};
use crate::policy::{Mode, Policy};
use crate::proof::{Proof, Terms};
use crate::quality;
use crate::state::{Audio, Incoming, LEG_STATE_VERSION, LegState};
use crate::worker::gate::Gate;
use crate::worker::inband::Inband;
use crate::worker::leg::Leg;
use crate::worker::playing::Ending;
use crate::worker::rings::{Command, Described};

/// A request for a leg, understood.
#[derive(Debug)]
pub(crate) struct NewLeg {
    pub(crate) id: LegId,
    pub(crate) remote: Option<MediaDescription>,
    pub(crate) mode: Mode,
    pub(crate) encodings: Vec<Encoding>,
    /// As it came, to know it again.
    pub(crate) request: pb::CreateLegRequest,
}

impl NewLeg {
    /// Where the far end wants its audio, if it says so. With ICE that is but one of the addresses it has.
    fn described_at(&self) -> Option<IpAddr> {
        let remote = self.remote.as_ref().filter(|remote| remote.ice.is_none())?;
        Some(remote.rtp.ip()).filter(|ip| !ip.is_unspecified())
    }

    fn seen_from(&self) -> Option<IpAddr> {
        match self.mode {
            Mode::Nat { signalling_ip } => signalling_ip,
            _ => None,
        }
    }
}

/// What is settled of a leg before it has a port.
struct Draft {
    worker: usize,
    realm: usize,
    codecs: Vec<Codec>,
    described: MediaDescription,
    proof: Proof,
    keys: Keys,
    rekeying: Rekeying,
}

/// A leg that is on its way out of its worker.
#[derive(Debug)]
pub(super) struct TakenOut {
    entry: LegEntry,
    removed: tokio::sync::oneshot::Receiver<Reply>,
}

impl Engine {
    /// Makes a leg; our description of it.
    pub(crate) async fn create_leg(&self, new: NewLeg) -> Result<MediaDescription, MediaError> {
        let mut control = self.control.lock().await;
        if let Some(entry) = control.legs.get(&new.id) {
            let same = entry.request == new.request;
            return if same { Ok(entry.local.clone()) } else { Err(MediaError::Reused("leg")) };
        }
        let made = self.make_leg(&mut control, new).await;
        self.telemetry.media.legs.set(control.legs.len() as i64);
        made.map_err(|error| self.refused(error))
    }

    async fn make_leg(&self, control: &mut Control, new: NewLeg) -> Result<MediaDescription, MediaError> {
        // A call that is here goes on: it may be passed on to somebody, whose leg is needed where the others are.
        let goes_on = || control.legs.values().any(|leg| leg.request.call_id == new.request.call_id);
        if self.is_draining() && !goes_on() {
            return Err(MediaError::Draining);
        }
        if control.legs.len() >= self.config.legs_max {
            return Err(MediaError::TooMany("legs"));
        }
        let realm = control.realm(&new.request.realm, new.described_at(), new.seen_from())?;
        // What cannot be agreed must not cost a port: the port does not matter for the agreement.
        let advertised = control.ports[realm].realm().advertised();
        let mut codecs = negotiate::allowed(&self.config.codecs(), &new.encodings);
        if new.remote.is_none() && new.encodings.is_empty() {
            control.prefer_codecs_of_call(&new.request.call_id, &mut codecs);
        }
        let (mut described, agreement) =
            self.describe(SocketAddr::new(advertised, 2), new.remote.as_ref(), &codecs)?;
        let mut proof = Proof::default();
        let (keys, rekeying) = self.key(&new, &mut described, &mut proof)?;
        let secured = keys.is_agreed() || proof.has_dtls();
        let worker = control.admit(&new.request.call_id, agreement.as_ref(), &codecs, secured)?;
        let draft = Draft { worker, realm, codecs, described, proof, keys, rekeying };
        let sockets = control.ports[realm].take(Instant::now())?;
        let port = sockets.0.local().port();
        let placed = self.place_leg(control, new, draft, sockets).await;
        if placed.is_err() {
            control.ports[realm].give_back(port, Instant::now());
        }
        placed
    }

    /// Puts a leg onto its port and its worker. When that fails, the port is to be given back.
    async fn place_leg(
        &self,
        control: &mut Control,
        new: NewLeg,
        draft: Draft,
        sockets: (Datagram, Datagram),
    ) -> Result<MediaDescription, MediaError> {
        let Draft { worker, realm, codecs, described, proof, keys, mut rekeying } = draft;
        let port = sockets.0.local().port();
        let advertised = control.ports[realm].realm().advertised();
        let answering = answering(&proof, &sockets.0)?;
        let (mut local, agreement) =
            self.describe(SocketAddr::new(advertised, port), new.remote.as_ref(), &codecs)?;
        (local.secured, local.crypto) = (described.secured, described.crypto);
        (local.dtls, local.ice, local.rtcp_mux) = (described.dtls, described.ice, described.rtcp_mux);
        let state = self.leg_state(&new, agreement, &proof)?;
        let reporter = Reporter::new(self.unix_us_at_zero, random()?, self.now_ms());
        let plan = self.plan(agreement.as_ref(), Rate::Narrow);
        let gate = Gate::new(self.config.room_quiet_dbov);
        let mut leg = Box::new(Leg::new(state, sockets, reporter, gate, equipment(plan.as_ref())?));
        leg.rekey(&mut rekeying);
        leg.inband = Inband::new(self.inband_digits(&new.request));
        let slot = control.workers[worker].insert(leg).await?;
        self.lead(new.id, &proof, answering.as_ref());
        let entry = LegEntry {
            worker,
            slot,
            codecs,
            agreement,
            plan,
            conditioning: None,
            adaptation: None,
            offer: new.remote.is_none().then(|| local.clone()),
            local: local.clone(),
            keys,
            proof,
            answering,
            request: new.request,
            updated: None,
            realm,
            port,
            route: Routed::Fresh,
            audio: Audio::default(),
            dialed: Dialed::default(),
        };
        control.keep(new.id, entry);
        Ok(local)
    }

    /// Our offer or answer from an address.
    fn describe(
        &self,
        local: SocketAddr,
        remote: Option<&MediaDescription>,
        codecs: &[Codec],
    ) -> Result<(MediaDescription, Option<Agreement>), MediaError> {
        let (mut description, mut agreement) = match remote {
            None => (negotiate::offer(local, codecs)?, None),
            Some(remote) => {
                let (answer, agreement) = negotiate::answer(local, remote, codecs)?;
                (answer, Some(agreement))
            }
        };
        self.tune(&mut description, agreement.as_mut());
        Ok((description, agreement))
    }

    /// Makes our description what the configuration says about silence and reports.
    pub(super) fn tune(&self, description: &mut MediaDescription, agreement: Option<&mut Agreement>) {
        if !self.config.silence_suppression {
            negotiate::without_pauses(description, agreement);
        }
        description.wants_voip_metrics = self.config.rtcp_xr.asks();
    }

    /// Whether digits are looked for in what a new leg says.
    pub(super) fn inband_digits(&self, request: &pb::CreateLegRequest) -> InbandDigits {
        match request.inband_digits() {
            pb::InbandDigits::Unspecified => self.config.inband_digits,
            pb::InbandDigits::Off => InbandDigits::Off,
            pb::InbandDigits::Auto => InbandDigits::Auto,
            pb::InbandDigits::Always => InbandDigits::Always,
        }
    }

    /// The keys in our description of a new leg.
    fn key(
        &self,
        new: &NewLeg,
        ours: &mut MediaDescription,
        proof: &mut Proof,
    ) -> Result<(Keys, Rekeying), MediaError> {
        let (srtp, must) = (self.config.srtp, new.mode == Mode::Secured);
        let mut keys = Keys::default();
        let rekeying = match &new.remote {
            Some(remote) if remote.rtp.port() == 0 => Rekeying::default(),
            Some(remote) if proof.answer(ours, remote, &self.terms())? => Rekeying::awaited(),
            None if new.request.browser && srtp != Srtp::Off => {
                proof.offer(ours, &self.terms())?;
                Rekeying::awaited()
            }
            Some(remote) => keys.answer(ours, remote, srtp, must)?,
            None => {
                keys.offer(ours, srtp, new.request.private_path, must)?;
                Rekeying::default()
            }
        };
        Ok((keys, rekeying))
    }

    /// Says what handshakes a leg needs.
    fn lead(&self, id: LegId, proof: &Proof, answering: Option<&Arc<Answering>>) {
        match (proof.wanted(), answering) {
            (Some(wanted), Some(socket)) => self.handshakes.set(id, wanted, Arc::clone(socket)),
            (None, Some(_)) => self.handshakes.forget(id),
            (_, None) => {}
        }
    }

    fn leg_state(
        &self,
        new: &NewLeg,
        agreement: Option<Agreement>,
        proof: &Proof,
    ) -> Result<LegState, MediaError> {
        let random = random()?;
        let mut policy = Policy::new(new.mode);
        policy.expect(proof.has_ice(), proof.has_dtls());
        if let Some(remote) = &new.remote {
            policy.describe(remote.rtp);
        }
        Ok(LegState {
            version: LEG_STATE_VERSION,
            leg: new.id.as_u128(),
            policy,
            rtcp_mux: new.remote.as_ref().is_some_and(|remote| remote.rtcp_mux),
            rtcp: new.remote.as_ref().and_then(|remote| remote.rtcp),
            agreement,
            // The first sequence number leaves room before the wrap, which some receivers want at the start.
            outgoing: SenderState::new(
                Ssrc(random as u32),
                SequenceNumber((random >> 32) as u16 & 0x7fff),
                RtpTimestamp((random >> 64) as u32),
            ),
            incoming: Incoming::default(),
            suite: None,
            audio: Audio::default(),
            tap: None,
            refreshed_ms: self.now_ms(),
            heard_ms: None,
        })
    }

    /// The far side answered, or changed its media; our description after it.
    pub(crate) async fn update_leg(
        &self,
        id: LegId,
        remote: MediaDescription,
        request: pb::UpdateLegRequest,
    ) -> Result<MediaDescription, MediaError> {
        let mut control = self.control.lock().await;
        let control = &mut *control;
        let entry = control.legs.get_mut(&id).ok_or(MediaError::NotFound("leg"))?;
        if let Some((_, local)) = entry.updated.as_ref().filter(|(before, _)| *before == request) {
            return Ok(local.clone());
        }
        let address = SocketAddr::new(control.ports[entry.realm].realm().advertised(), entry.port);
        let mut secrets = Secrets {
            keys: entry.keys.clone(),
            proof: entry.proof.clone(),
            must: mode(entry.request.policy.as_ref())? == Mode::Secured,
            may_shake: entry.answering.is_some(),
        };
        let (local, agreement, rekeying) = if request.is_answer {
            let standing = request.is_reanswer.then_some(&entry.local);
            let offer = entry.offer.as_ref().or(standing).ok_or(MediaError::NoOpenOffer)?;
            let mut agreement = negotiate::conclude(offer, &remote)?;
            let mut local = entry.local.clone();
            local.formats.clone_from(&offer.formats);
            self.tune(&mut local, Some(&mut agreement));
            local.direction = agreement.direction;
            local.rtcp_mux &= remote.rtcp_mux;
            let rekeying = secrets.conclude(&remote)?;
            // Keys that were offered and not taken are offered no more: nobody here would use them.
            local.crypto = secrets.keys.standing();
            (local, agreement, rekeying)
        } else {
            let (mut local, mut agreement) = negotiate::answer(address, &remote, &entry.codecs)?;
            self.tune(&mut local, Some(&mut agreement));
            let rekeying = if remote.rtp.port() == 0 {
                None
            } else {
                secrets.answer(&mut local, &remote, self.terms())?
            };
            (local, agreement, rekeying)
        };
        let described = Described {
            agreement,
            rtp: remote.rtp,
            rtcp: remote.rtcp,
            rtcp_mux: local.rtcp_mux,
            rekeying,
            ice: secrets.proof.has_ice(),
            dtls: secrets.proof.has_dtls(),
        };
        let command = Command::Describe { slot: entry.slot, described: Box::new(described) };
        control.workers[entry.worker].push(command).await?;
        self.lead(id, &secrets.proof, entry.answering.as_ref());
        (entry.keys, entry.proof) = (secrets.keys, secrets.proof);
        if !request.is_answer {
            entry.offer = None;
        }
        entry.local = local.clone();
        entry.updated = Some((request, local.clone()));
        entry.agreement = Some(agreement);
        self.equip_around(control, id).await?;
        Ok(local)
    }

    /// Frees a leg; its last state, or none if it was not there.
    pub(crate) async fn release_leg(&self, id: LegId) -> Result<Option<LegState>, MediaError> {
        let taken = {
            let mut control = self.control.lock().await;
            if !control.legs.contains_key(&id) {
                return Ok(None);
            }
            self.take_out(&mut control, id, true).await?
        };
        let leg = self.taken_out(id, taken).await?;
        if let Some(class) = leg.as_ref().and_then(|(_, leg)| quality::class(&leg.state)) {
            self.telemetry.media.legs_heard.with_label_values(&[class]).inc();
        }
        Ok(leg.map(|(_, leg)| leg.state.clone()))
    }

    /// Takes a leg out of the books, and asks its worker for it.
    pub(super) async fn take_out(
        &self,
        control: &mut Control,
        id: LegId,
        goodbye: bool,
    ) -> Result<TakenOut, MediaError> {
        self.detach(control, id).await?;
        let entry = control.legs.get(&id).ok_or(MediaError::NotFound("leg"))?;
        let (worker, slot) = (entry.worker, entry.slot);
        let (token, removed) = self.replies.open();
        control.workers[worker].push(Command::Remove { slot, token, goodbye }).await?;
        control.workers[worker].free_leg_slot(slot);
        let entry = control.forget(id).ok_or(MediaError::NotFound("leg"))?;
        self.telemetry.media.legs.set(control.legs.len() as i64);
        Ok(TakenOut { entry, removed })
    }

    /// Waits for a leg that was taken out, and frees what it had. To be called without the lock.
    pub(super) async fn taken_out(
        &self,
        id: LegId,
        taken: TakenOut,
    ) -> Result<Option<(LegEntry, Box<Leg>)>, MediaError> {
        let TakenOut { entry, removed } = taken;
        self.handshakes.forget(id);
        let Ok(Reply::Leg(leg)) = removed.await else { return Err(MediaError::Stopping) };
        let leg = match leg {
            Some(mut leg) => {
                leg.warning = None;
                for playing in [leg.playing.take(), leg.over.take()].into_iter().flatten() {
                    let ended = playing.ended.unwrap_or(Ending::Stopped);
                    self.playback_ended(playing.playback, Some(ended)).await;
                }
                Some(leg)
            }
            None => None,
        };
        self.forget_feed(id).await;
        let mut control = self.control.lock().await;
        control.ports[entry.realm].give_back(entry.port, Instant::now());
        Ok(leg.map(|leg| (entry, leg)))
    }

    /// Marks legs as wanted; those that are not here.
    pub(crate) async fn refresh(&self, ids: &[LegId]) -> Result<Vec<LegId>, MediaError> {
        let mut control = self.control.lock().await;
        let control = &mut *control;
        let mut unknown = Vec::new();
        for id in ids {
            match control.legs.get(id) {
                Some(entry) => {
                    control.workers[entry.worker].push(Command::Refresh { slot: entry.slot }).await?;
                }
                None => unknown.push(*id),
            }
        }
        Ok(unknown)
    }
}

/// What is agreed about keys and proofs while a description is taken in.
struct Secrets {
    keys: Keys,
    proof: Proof,
    must: bool,
    may_shake: bool,
}

impl Secrets {
    /// What our answer `ours` says; what changes for the worker.
    fn answer(
        &mut self,
        ours: &mut MediaDescription,
        remote: &MediaDescription,
        terms: Terms<'_>,
    ) -> Result<Option<Rekeying>, MediaError> {
        let (srtp, before) = (terms.srtp, self.proof.has_dtls());
        // A leg that began without handshakes has nothing to answer them with.
        let terms = if self.may_shake { terms } else { Terms { srtp: Srtp::Off, ice: Ice::Off, ..terms } };
        if self.proof.answer(ours, remote, &terms)? {
            self.keys = Keys::default();
            // Keys that stand stand until the next are there.
            return Ok((!before).then(Rekeying::awaited));
        }
        self.keys.answer(ours, remote, srtp, self.must).map(Some)
    }

    /// The answer to our offer; what changes for the worker.
    fn conclude(&mut self, remote: &MediaDescription) -> Result<Option<Rekeying>, MediaError> {
        if self.proof.conclude(remote)? { Ok(None) } else { self.keys.conclude(remote).map(Some) }
    }
}

/// A second handle to the socket of a leg that needs one.
fn answering(proof: &Proof, rtp: &Datagram) -> Result<Option<Arc<Answering>>, MediaError> {
    if !proof.has_ice() && !proof.has_dtls() {
        return Ok(None);
    }
    let handle = rtp.answering().map(Arc::new);
    handle
        .map(Some)
        .map_err(|error| MediaError::Io { what: "a second handle to a socket", problem: error.to_string() })
}

impl Control {
    /// The network of that name. Without a name the first that has addresses of the same kind as the one the far end
    /// describes; else of the kind that its signalling has, which is how a phone behind a NAT64 is reached. For a far end
    /// that describes nothing it is the first of all when there is no other.
    pub(super) fn realm(
        &self,
        name: &str,
        described: Option<IpAddr>,
        signalling: Option<IpAddr>,
    ) -> Result<usize, MediaError> {
        if !name.is_empty() {
            let known = self.ports.iter().position(|ports| ports.realm().name == name);
            return known
                .ok_or(MediaError::Invalid { field: "realm", problem: "the node has no such network" });
        }
        let of_kind = |ip: IpAddr| {
            let six = ip.to_canonical().is_ipv6();
            self.ports.iter().position(|ports| ports.realm().advertised().is_ipv6() == six)
        };
        match described {
            Some(described) => of_kind(described)
                .or_else(|| signalling.and_then(of_kind))
                .ok_or(MediaError::NoCommonAddresses),
            None => Ok(signalling.and_then(of_kind).unwrap_or(0)),
        }
    }

    /// Writes a leg into the books.
    pub(super) fn keep(&mut self, id: LegId, entry: LegEntry) {
        if !entry.request.call_id.is_empty() {
            self.calls.entry(entry.request.call_id.as_str().into()).or_default().push(id);
        }
        self.legs.insert(id, entry);
    }

    /// Takes a leg out of the books.
    fn forget(&mut self, id: LegId) -> Option<LegEntry> {
        let entry = self.legs.remove(&id)?;
        self.warned.remove(&id);
        if let Some(legs) = self.calls.get_mut(entry.request.call_id.as_str()) {
            legs.retain(|leg| *leg != id);
            if legs.is_empty() {
                self.calls.remove(entry.request.call_id.as_str());
            }
        }
        Some(entry)
    }

    pub(super) fn of_call(&self, call_id: &str) -> impl Iterator<Item = &LegEntry> {
        self.calls.get(call_id).into_iter().flatten().filter_map(|leg| self.legs.get(leg))
    }

    /// Offers first what the call's other legs speak already: what both sides have needs no transcoding.
    fn prefer_codecs_of_call(&self, call_id: &str, codecs: &mut [Codec]) {
        let spoken: Vec<Codec> = self
            .of_call(call_id)
            .filter_map(|leg| leg.agreement.as_ref()?.send.audio())
            .map(|(_, codec)| codec)
            .collect();
        codecs.sort_by_key(|codec| !spoken.contains(codec));
    }
}

/// Bits that nobody can guess: who knows the SSRC and sequence number of a stream can speak in it.
pub(super) fn random() -> Result<u128, MediaError> {
    let mut bytes = [0; 16];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| MediaError::Io { what: "system random source", problem: error.to_string() })?;
    Ok(u128::from_le_bytes(bytes))
}

/// The receive policy of a request.
pub(crate) fn mode(policy: Option<&pb::ReceivePolicy>) -> Result<Mode, MediaError> {
    use pb::receive_policy::Mode as Wire;
    let policy = policy.ok_or(MediaError::Invalid { field: "policy", problem: "is missing" })?;
    match policy.mode() {
        Wire::Unspecified => Err(MediaError::Invalid { field: "policy.mode", problem: "is missing" }),
        Wire::Strict => Ok(Mode::Strict),
        Wire::Secured => Ok(Mode::Secured),
        Wire::Nat if policy.signalling_ip.is_empty() => Ok(Mode::Nat { signalling_ip: None }),
        Wire::Nat => {
            let bad =
                |_| MediaError::Invalid { field: "policy.signalling_ip", problem: "expected an IP address" };
            Ok(Mode::Nat { signalling_ip: Some(policy.signalling_ip.parse::<IpAddr>().map_err(bad)?) })
        }
    }
}
