//! A live leg on its worker: what comes in is judged and counted, what goes out stays one unbroken stream.

use std::net::SocketAddr;
use std::ops::Range;

use sidetone_dsp::codec::{Codec, OpusSettings};
use sidetone_dsp::comfort::Noise;
use sidetone_dsp::{Rate, g711};
use sidetone_model::media::Direction;
use sidetone_net::Datagram;
use sidetone_rtp_core::event::{Digit, EventReceiver};
use sidetone_rtp_core::playout::Inserted;
use sidetone_rtp_core::{Header, PacketError, Playout, Pulled, Recut, Reporter, RtpPacketRef, RtpTimestamp};

use crate::negotiate::{self, Payload, clock_per_ms};
use crate::policy::Verdict;
use crate::state::LegState;
use crate::worker::coding::{Coding, Heard};
use crate::worker::conditioning::Conditioner;
use crate::worker::counters::Counters;
use crate::worker::dialing::Dialing;
use crate::worker::gate::Gate;
use crate::worker::inband::Inband;
use crate::worker::overlay::Backdrop;
use crate::worker::playing::Playing;
use crate::worker::proofs::Allowance;
use crate::worker::rings::{Described, Route};
use crate::worker::searching::Searched;
use crate::worker::sending::{Outbox, PassedEvent};
use crate::worker::srtp::Srtp;
use crate::worker::suppression::Suppression;
use crate::worker::voice::Voice;

/// A time on the node's monotonic clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Now {
    pub(crate) ms: u64,
    pub(crate) us: u64,
}

/// A leg with its sockets.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) state: LegState,
    pub(crate) rtp: Datagram,
    pub(crate) rtcp: Datagram,
    pub(crate) route: Route,
    pub(crate) playout: Playout,
    /// What it needs beyond G.711 at 8 kHz.
    pub(crate) coding: Option<Box<Coding>>,
    /// What is done to its sound before it is heard; none where nothing is asked for.
    pub(crate) conditioner: Option<Box<Conditioner>>,
    /// Digits that come in, and when the last packet of one came, in ms.
    pub(crate) digits: EventReceiver,
    pub(crate) event_at_ms: u64,
    /// Digits in the sound that comes in.
    pub(crate) inband: Inband,
    /// Digits that go out.
    pub(crate) dialing: Dialing,
    /// How loud it is towards whom it is bridged to.
    pub(crate) voice: Voice,
    /// Whether it is heard in its room.
    gate: Gate,
    pub(crate) reporter: Reporter,
    pub(super) srtp: Srtp,
    pub(crate) playing: Option<Box<Playing>>,
    /// What is laid over what it hears, and how that gives way.
    pub(crate) over: Option<Box<Playing>>,
    /// What tells it that it is recorded.
    pub(crate) warning: Option<Box<Playing>>,
    pub(crate) backdrop: Backdrop,
    /// When the control plane was last told of its losses, in ms; none before.
    far_loss_ms: Option<u64>,
    /// When its far side last gave a sign of life, or was first expected to, in ms.
    pub(super) alive_ms: u64,
    /// What the control plane was told of it last: that nobody wants it any more, or that it is wanted and nothing comes of it.
    pub(crate) idle_told: Option<bool>,
    /// When something last came that its peer hears with the ticks, in ms; none while packets are passed on as they come.
    pub(super) bridged_linear_ms: Option<u64>,
    pub(super) outbox: Outbox,
    /// What is passed on to it in other packets than it came in.
    pub(super) recut: Recut,
    /// What it is sent in place of silence.
    pub(super) suppression: Suppression,
    /// How many packets of handshakes and checks it may have yet.
    pub(super) allowance: Allowance,
    /// The event of another leg that is being passed on.
    pub(super) event: Option<PassedEvent>,
    /// Something came of it that nobody here understands: after a change of codec what was on its way in the former one.
    pub(super) left_out: bool,
}

/// Decoders, encoder and playout, as one goes with the other.
#[derive(Debug)]
pub(crate) struct Equipment {
    pub(crate) coding: Option<Box<Coding>>,
    pub(crate) playout: Playout,
}

/// An accepted packet.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    pub(crate) header: Header,
    pub(crate) payload: Range<usize>,
    pub(crate) carries: Payload,
}

/// The longest packet of G.711 that is heard: 120 ms.
const PAYLOAD_MAX: usize = 960;
/// After how long without a packet the kernel is to let others through again, so that a move can be seen, in ms.
const DISCONNECT_MS: u64 = 1000;
/// Between two words of what the far side lost, in ms.
const FAR_LOSS_MS: u64 = 1000;
/// How much longer silence may last where comfort noise stands for it: some phones tell of it only when it changes.
const PAUSES_TIMES: u64 = 5;
/// An event whose end was lost is over when nothing came of it for this long.
const LOST_EVENT_END_MS: u64 = 150;

impl Leg {
    pub(crate) fn new(
        state: LegState,
        (rtp, rtcp): (Datagram, Datagram),
        reporter: Reporter,
        gate: Gate,
        equipment: Equipment,
    ) -> Self {
        Self {
            state,
            rtp,
            rtcp,
            route: Route::Fresh,
            playout: equipment.playout,
            coding: equipment.coding,
            conditioner: None,
            digits: EventReceiver::default(),
            event_at_ms: 0,
            inband: Inband::default(),
            dialing: Dialing::default(),
            voice: Voice::default(),
            gate,
            reporter,
            srtp: Srtp::default(),
            playing: None,
            over: None,
            warning: None,
            backdrop: Backdrop::default(),
            far_loss_ms: None,
            alive_ms: 0,
            idle_told: None,
            outbox: Outbox::default(),
            recut: Recut::default(),
            suppression: Suppression::default(),
            allowance: Allowance::default(),
            event: None,
            left_out: false,
            bridged_linear_ms: None,
        }
    }

    /// Judges a packet and counts it.
    pub(crate) fn accept(
        &mut self,
        packet: &mut [u8],
        from: SocketAddr,
        now: Now,
        counters: &Counters,
    ) -> Option<Accepted> {
        let packet = self.open(packet, counters)?;
        let (header, payload) = match RtpPacketRef::parse(packet) {
            Ok(parsed) => (parsed.header, parsed.payload_range()),
            // Where the port is not shared a report has no business here either.
            Err(
                PacketError::TooShort
                | PacketError::Version
                | PacketError::Padding
                | PacketError::Rtcp
                | PacketError::NoRoom,
            ) => {
                counters.malformed.add(1);
                return None;
            }
        };
        let Some(carries) = self.state.agreement.and_then(|a| a.receive.get(header.payload_type)) else {
            counters.unknown_payload.add(1);
            self.left_out |= self.state.policy.lock.is_some_and(|lock| lock.address == from);
            return None;
        };
        match self.state.policy.judge(from, header.ssrc.0, header.sequence.0, now.ms) {
            Verdict::Refused => {
                self.state.incoming.refused += 1;
                counters.refused_source.add(1);
                return None;
            }
            Verdict::Locked | Verdict::Accepted => self.follow(),
        }
        // Reduced to 32 bits only after the product, so that it wraps as timestamps do.
        let arrival = now.us.wrapping_mul(self.incoming_clock(carries).into()) / 1000;
        self.state.incoming.stats.on_packet(&header, arrival as u32);
        // Noise is no codec that somebody speaks.
        if !matches!(carries, Payload::Noise(_)) {
            self.state.incoming.payload_type = header.payload_type;
        }
        self.state.heard_ms = Some(now.ms);
        self.alive_ms = now.ms;
        counters.received.add(1);
        let receives = self.state.agreement.is_some_and(|a| a.direction.receives());
        receives.then_some(Accepted { header, payload, carries })
    }

    /// Ticks a ms of the clock by which a packet is stamped.
    fn incoming_clock(&self, carries: Payload) -> u8 {
        let of_stream = || self.state.agreement.and_then(|agreement| agreement.receive.audio());
        match carries {
            Payload::Audio(codec) => clock_per_ms(codec),
            Payload::Event(_) | Payload::Noise(_) => of_stream().map_or(8, |(_, codec)| clock_per_ms(codec)),
        }
    }

    /// Lets the kernel drop what others send, as long as the source speaks.
    fn follow(&mut self) {
        // Checks come from anywhere.
        if self.state.policy.checked.is_some() {
            return;
        }
        let Some(from) = self.state.policy.lock.map(|lock| lock.address) else { return };
        if self.rtp.peer() != Some(from) {
            // A connection that fails only costs the check by ourselves, which is made in any case.
            let _ = self.rtp.disconnect().and_then(|()| self.rtp.connect(from));
        }
    }

    /// Lets others through again once the source is silent: it may have moved.
    pub(crate) fn watch_silence(&mut self, now: Now) {
        if self.rtp.peer().is_some()
            && self.state.policy.may_move()
            && self.state.policy.lock.is_none_or(|lock| now.ms.saturating_sub(lock.at_ms) > DISCONNECT_MS)
        {
            let _ = self.rtp.disconnect();
        }
    }

    /// Takes over what was agreed anew.
    pub(crate) fn describe(&mut self, described: &mut Described) {
        if let Some(rekeying) = &mut described.rekeying {
            self.rekey(rekeying);
        }
        self.state.policy.expect(described.ice, described.dtls);
        self.state.policy.describe(described.rtp);
        if self.state.policy.lock.is_none() || described.ice {
            let _ = self.rtp.disconnect();
        }
        if self.state.agreement.is_none_or(|agreed| agreed.receive != described.agreement.receive) {
            self.inband.restart();
        }
        self.state.agreement = Some(described.agreement);
        self.state.rtcp = described.rtcp;
        self.state.rtcp_mux = described.rtcp_mux;
        self.outbox.length = 0;
        self.recut.clear();
        if let Some(mouth) = self.coding.as_mut().and_then(|coding| coding.mouth.as_mut()) {
            mouth.clear();
        }
    }

    /// Exchanges what it needs to speak and to hear.
    pub(crate) fn equip(&mut self, equipment: &mut Equipment) {
        self.outbox.length = 0;
        std::mem::swap(&mut self.coding, &mut equipment.coding);
        std::mem::swap(&mut self.playout, &mut equipment.playout);
    }

    /// The rate of the sound that it gives and takes.
    pub(crate) fn rate(&self) -> Rate {
        self.coding.as_ref().map_or(Rate::Narrow, |coding| coding.rate)
    }

    /// Keeps what was said for the ticks to come; false when it came too late for its turn.
    pub(crate) fn listen(
        &mut self,
        accepted: &Accepted,
        codec: Codec,
        payload: &[u8],
        now: Now,
        counters: &Counters,
    ) -> bool {
        if self.gate.is_asleep() {
            return self.listen_asleep(accepted, codec, payload, now, counters);
        }
        let (digits, playout) = (self.searches(), &mut self.playout);
        let played = [&mut self.playing, &mut self.over];
        let mut searched = Searched { digits, inband: &mut self.inband, played };
        if let Some(coding) = self.coding.as_deref_mut() {
            let (clock, mut in_time) = (coding.clock_per_ms(), true);
            let (rate, lower) = (coding.rate, &mut coding.lower);
            let mut keep = |heard: Heard<'_>| {
                in_time &= put(playout, clock, &heard);
                searched.search((rate, &mut *lower), &heard, now.ms);
            };
            return coding.ear.take(&accepted.header, payload, now.us, &mut keep) && in_time;
        }
        let Codec::G711(law) = codec else { return true };
        let mut sound = [0; PAYLOAD_MAX];
        let Some(sound) = sound.get_mut(..payload.len()) else { return false };
        g711::decode(law, payload, sound);
        playout.insert(&accepted.header, sound, now.us) != Inserted::Late
    }

    /// Takes word that the far side pauses (RFC 3389). Of somebody who has long been quiet it is nothing new.
    pub(crate) fn hear_pause(&mut self, header: &Header, per_ms: u8, payload: &[u8], now: Now) {
        let Some(noise) = Noise::parse(payload).filter(|_| !self.gate.is_asleep()) else { return };
        let (digits, playout) = (self.searches(), &mut self.playout);
        let played = [&mut self.playing, &mut self.over];
        let mut searched = Searched { digits, inband: &mut self.inband, played };
        let Some(coding) = self.coding.as_deref_mut() else {
            playout.insert_pause(header, &noise, now.us);
            return;
        };
        let clock = coding.clock_per_ms();
        let (rate, lower) = (coding.rate, &mut coding.lower);
        let mut keep = |heard: Heard<'_>| {
            put(playout, clock, &heard);
            searched.search((rate, &mut *lower), &heard, now.ms);
        };
        if coding.ear.take_soundless(header, &mut keep) {
            playout.insert_pause(&on_clock(header, per_ms, clock), &noise, now.us);
        }
    }

    /// As [`Self::listen`], of somebody who has long been quiet: most of it is not even decoded, and only what is loud kept.
    fn listen_asleep(
        &mut self,
        accepted: &Accepted,
        codec: Codec,
        payload: &[u8],
        now: Now,
        counters: &Counters,
    ) -> bool {
        let (digits, playout, gate) = (self.searches(), &mut self.playout, &mut self.gate);
        let played = [&mut self.playing, &mut self.over];
        let mut searched = Searched { digits, inband: &mut self.inband, played };
        if let Some(coding) = self.coding.as_deref_mut() {
            if coding.passes_over(codec, &accepted.header, payload, gate.level_dbov()) {
                counters.passed_over.add(1);
                return true;
            }
            let (clock, mut in_time, mut woke) = (coding.clock_per_ms(), true, false);
            let (rate, lower) = (coding.rate, &mut coding.lower);
            let mut keep = |heard: Heard<'_>| {
                woke |= heard.pause.is_none() && gate.is_loud(heard.sound);
                if woke {
                    in_time &= put(playout, clock, &heard);
                    searched.search((rate, &mut *lower), &heard, now.ms);
                }
            };
            let understood = coding.ear.take(&accepted.header, payload, now.us, &mut keep);
            if woke {
                gate.wake();
            }
            return understood && in_time;
        }
        let Codec::G711(law) = codec else { return true };
        let mut sound = [0; PAYLOAD_MAX];
        let Some(sound) = sound.get_mut(..payload.len()) else { return false };
        g711::decode(law, payload, sound);
        if !gate.is_loud(sound) {
            return true;
        }
        gate.wake();
        playout.insert(&accepted.header, sound, now.us) != Inserted::Late
    }

    /// What its room hears of it in the tick at `due_us`; false for nothing, or nothing worth hearing. It may sleep in a crowd only.
    pub(crate) fn voice_of_tick(&mut self, due_us: u64, frame: &mut [i16], crowded: bool) -> bool {
        // Of who is conditioned even a whisper may be worth hearing.
        let crowded = crowded && self.conditioner.is_none();
        if !crowded {
            self.gate.keep_awake();
        }
        if self.gate.is_asleep() {
            return false;
        }
        let heard = if self.pull(due_us, frame) {
            self.gate.passes(frame)
        } else {
            self.gate.note_silence();
            false
        };
        if !crowded {
            self.gate.keep_awake();
        } else if self.gate.is_asleep() {
            // What it says next is a new beginning.
            self.playout.clear();
        }
        heard
    }

    /// The 20 ms of the tick at `due_us`, at [`Self::rate`]; false when nothing is said.
    pub(crate) fn pull(&mut self, due_us: u64, frame: &mut [i16]) -> bool {
        let (digits, playout) = (self.searches(), &mut self.playout);
        let played = [&mut self.playing, &mut self.over];
        let mut searched = Searched { digits, inband: &mut self.inband, played };
        if let Some(coding) = self.coding.as_deref_mut() {
            let clock = coding.clock_per_ms();
            let (rate, lower) = (coding.rate, &mut coding.lower);
            while playout.lacks(due_us)
                && coding.ear.release(&mut |heard: Heard<'_>| {
                    put(playout, clock, &heard);
                    searched.search((rate, &mut *lower), &heard, due_us / 1000);
                })
            {}
        }
        let said = playout.pull(due_us, frame) == Pulled::Sound;
        match self.conditioner.as_deref_mut() {
            Some(conditioner) => conditioner.process(said, frame),
            None => said,
        }
    }

    /// Exchanges what is done to its sound.
    pub(crate) fn condition(&mut self, conditioner: &mut Option<Box<Conditioner>>) {
        if let (Some(new), Some(before)) = (conditioner.as_deref_mut(), self.conditioner.as_deref()) {
            new.take_over(before);
        }
        std::mem::swap(&mut self.conditioner, conditioner);
    }

    /// Whether what it says is heard with the ticks, if anything has to be: who is to be conditioned is passed on as it came
    /// until enough of it is kept.
    pub(crate) fn comes_with_ticks(&mut self, is_passed_on: bool, due_us: u64) -> bool {
        let has_enough = !self.playout.lacks(due_us);
        self.conditioner.as_deref_mut().is_none_or(|conditioner| conditioner.comes(is_passed_on, has_enough))
    }

    /// Whether its sound is searched for digits.
    pub(super) fn searches(&self) -> bool {
        self.inband.listens(self.state.agreement.as_ref())
    }

    /// Whether what it says in a codec has to be decoded in any case, to be searched for digits or speech.
    pub(crate) fn must_decode(&self, codec: Codec) -> bool {
        let searched = self.inband.insists() && self.searches() || self.listens_for_speech();
        searched && !matches!(codec, Codec::G711(_))
    }

    /// Forgets what was said and not heard yet.
    pub(crate) fn clear_hearing(&mut self) {
        self.bridged_linear_ms = None;
        self.gate.wake();
        self.playout.clear();
        if let Some(coding) = self.coding.as_deref_mut() {
            coding.ear.clear();
        }
    }

    /// Whether the control plane is to be told of what the far side reports to have lost: where an encoder can do something
    /// about it, and not more often than once a second, however many reports come.
    pub(crate) fn may_tell_loss(&mut self, now: Now) -> bool {
        let is_time = self.far_loss_ms.is_none_or(|at| now.ms.saturating_sub(at) >= FAR_LOSS_MS);
        let tells = is_time && self.codec() == Some(Codec::Opus);
        self.far_loss_ms = if tells { Some(now.ms) } else { self.far_loss_ms };
        tells
    }

    /// Tells its encoder what to be from now on.
    pub(crate) fn adapt(&mut self, opus: &OpusSettings) {
        if let Some(mouth) = self.coding.as_deref_mut().and_then(|coding| coding.mouth.as_mut()) {
            mouth.adapt(opus);
        }
    }

    /// Whether the leg is kept by refreshes alone: what it is agreed to do brings no RTP.
    pub(crate) fn needs_no_rtp(&self) -> bool {
        self.state.agreement.is_some_and(|a| a.refused || !a.direction.receives())
            || self.state.policy.described.is_none() && self.state.agreement.is_some()
    }

    /// For how long nothing that is understood has come from a far side of which RTP is to come all the time, in ms: neither
    /// RTP nor RTCP. Who holds, is held or only listens need not send any, and who may leave out silence is given five times as
    /// long.
    pub(crate) fn is_lifeless_ms(&self, now: Now) -> u64 {
        let Some(agreement) = self.state.agreement.filter(|_| self.route != Route::Fresh) else { return 0 };
        if agreement.direction != Direction::SendRecv || self.needs_no_rtp() {
            return 0;
        }
        let pauses = agreement.receive.all().any(|(_, payload)| matches!(payload, Payload::Noise(_)));
        now.ms.saturating_sub(self.alive_ms) / if pauses { PAUSES_TIMES } else { 1 }
    }

    /// Takes an event packet in; the digit that has become certain.
    pub(crate) fn take_event(&mut self, header: &Header, payload: &[u8], now: Now) -> Option<Digit> {
        self.event_at_ms = now.ms;
        self.inband.note_event();
        self.digits.receive(header.ssrc, header.timestamp, payload)
    }

    /// Ticks a ms of the events that it sends.
    pub(crate) fn event_clock(&self) -> u8 {
        let agreement = self.state.agreement;
        agreement.and_then(|agreement| agreement.receive.event()).map_or(8, |(_, per_ms)| per_ms)
    }

    /// The digit whose end was lost, once nothing came of it for a while.
    pub(crate) fn overdue_digit(&mut self, now: Now) -> Option<Digit> {
        let overdue = self.digits.is_active() && now.ms.saturating_sub(self.event_at_ms) >= LOST_EVENT_END_MS;
        if overdue { self.digits.expire() } else { None }
    }
}

/// Puts what was decoded at its place; false when it is late for some of it. Where the far side changes between codecs of
/// several clocks, timestamps are brought to that of the playout.
fn put(playout: &mut Playout, clock_per_ms: u8, heard: &Heard<'_>) -> bool {
    let header = on_clock(heard.header, negotiate::clock_per_ms(heard.codec), clock_per_ms);
    match &heard.pause {
        Some(noise) => playout.insert_pause(&header, noise, heard.at_us) != Inserted::Late,
        None => playout.insert(&header, heard.sound, heard.at_us) != Inserted::Late,
    }
}

/// A header with its timestamp by another clock.
fn on_clock(header: &Header, own: u8, clock_per_ms: u8) -> Header {
    let scaled = u64::from(header.timestamp.0) * u64::from(clock_per_ms) / u64::from(own.max(1));
    Header {
        timestamp: if own == clock_per_ms { header.timestamp } else { RtpTimestamp(scaled as u32) },
        ..*header
    }
}
