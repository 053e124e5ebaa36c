//! What crosses between a worker and the control plane. Both directions are bounded rings with one writer and one reader.
//!
//! - Commands: when the ring is full the control plane waits up to a second, then refuses (`overloaded`).
//! - Events: a worker takes a command only while there is room for its answers. Digits are dropped and counted when there
//!   is none; what must not be lost (ends of playbacks, idle legs) is tried again on the next tick.
//! - Recording frames: what finds a full ring is a gap in the recording and counted; the tick goes on.

use std::net::SocketAddr;

use sidetone_dsp::codec::{Codec, OpusSettings};
use sidetone_ice_core::Pairs;

use crate::keys::Rekeying;
use crate::negotiate::Agreement;
use crate::state::{Audio, LegState, Tap};
use crate::worker::conditioning::Conditioner;
use crate::worker::dialing::DigitRun;
use crate::worker::leg::{Equipment, Leg};
use crate::worker::mix::Mix;
use crate::worker::playing::{Playing, Steer};

/// The place of a leg or a mix in its worker's table. The control plane gives them out.
pub(crate) type Slot = u32;

/// Commands that may wait.
pub(crate) const COMMANDS_MAX: usize = 1024;
/// Events that may wait.
pub(crate) const EVENTS_MAX: usize = 4096;
/// Recording frames that may wait: with 500 legs recorded some 300 ms.
pub(crate) const FRAMES_MAX: usize = 8192;
/// Room that a worker keeps in the event ring before it takes a command.
pub(crate) const EVENTS_PER_COMMAND: usize = 8;

/// What a leg hears, and where goes what it says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// Not connected to anything yet: nothing is sent.
    Fresh,
    /// Connected to nothing: it hears silence.
    Silence,
    /// Another leg of this worker, which has this one as its peer.
    Bridge(Slot),
    /// A mix of this worker.
    Mix(Slot),
    /// Itself.
    Echo,
}

/// A change of what was agreed with the far side.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) agreement: Agreement,
    pub(crate) rtp: SocketAddr,
    pub(crate) rtcp: Option<SocketAddr>,
    pub(crate) rtcp_mux: bool,
    /// What changes about SRTP; none leaves all as it is.
    pub(crate) rekeying: Option<Rekeying>,
    /// The far side proves its addresses by ICE.
    pub(crate) ice: bool,
    /// Keys come by DTLS.
    pub(crate) dtls: bool,
}

/// From the control plane to a worker.
#[derive(Debug)]
pub(crate) enum Command {
    Insert {
        slot: Slot,
        leg: Box<Leg>,
    },
    /// Answered by [`Event::Removed`].
    Remove {
        slot: Slot,
        token: u64,
        goodbye: bool,
    },
    Describe {
        slot: Slot,
        described: Box<Described>,
    },
    /// A handshake has given keys. What the leg had is sent back by [`Event::RetiredKeys`].
    Rekey {
        slot: Slot,
        rekeying: Box<Rekeying>,
    },
    /// ICE has proved addresses.
    Prove {
        slot: Slot,
        pairs: Pairs,
    },
    Connect {
        slot: Slot,
        route: Route,
    },
    /// What it had is sent back by [`Event::Retired`].
    Equip {
        slot: Slot,
        equipment: Box<Equipment>,
    },
    /// What is done to the sound of a leg from now on. What it had is sent back by [`Event::RetiredConditioner`].
    Condition {
        slot: Slot,
        conditioner: Option<Box<Conditioner>>,
    },
    /// Tells the encoder of a leg what to be from now on.
    Adapt {
        slot: Slot,
        opus: OpusSettings,
    },
    Refresh {
        slot: Slot,
    },
    SetAudio {
        slot: Slot,
        audio: Audio,
    },
    /// What is dialled already goes first.
    Dial {
        slot: Slot,
        digits: DigitRun,
    },
    InsertMix {
        slot: Slot,
        mix: Box<Mix>,
    },
    /// Answered by [`Event::MixRemoved`].
    RemoveMix {
        slot: Slot,
    },
    PlayToLeg {
        slot: Slot,
        playing: Box<Playing>,
    },
    /// Tells a leg that it is recorded, beside whatever else it hears.
    Warn {
        slot: Slot,
        playing: Box<Playing>,
    },
    PlayToMix {
        slot: Slot,
        playing: Box<Playing>,
    },
    /// Answered by [`Event::PlaybackEnded`] if it still runs.
    StopPlay {
        playback: u64,
    },
    SteerPlay {
        playback: u64,
        steer: Steer,
    },
    Tap {
        slot: Slot,
        tap: Tap,
    },
    /// Takes every tap of a recording away. Answered by [`Event::Untapped`].
    Untap {
        recording: u32,
        token: u64,
    },
    /// Answered by [`Event::Listed`].
    List {
        token: u64,
        page: Box<Page>,
    },
    /// Ends the thread.
    Stop,
}

/// States of many legs: made empty by the control plane, filled by a worker.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) legs: Vec<LegState>,
    /// Whose states are wanted; none for all.
    pub(crate) only: Option<Box<[Slot]>>,
}

/// From a worker to the control plane.
#[derive(Debug)]
pub(crate) enum Event {
    Removed {
        token: u64,
        leg: Option<Box<Leg>>,
    },
    MixRemoved {
        mix: Option<Box<Mix>>,
    },
    /// What came in a command and is no longer needed: to be freed outside.
    RetiredDescription(#[allow(dead_code)] Box<Described>),
    /// Keys that a leg no longer has: to be freed outside.
    RetiredKeys(#[allow(dead_code)] Box<Rekeying>),
    /// What is no longer done to the sound of a leg: to be freed outside.
    RetiredConditioner(#[allow(dead_code)] Option<Box<Conditioner>>),
    /// What a leg no longer needs: to be freed outside.
    Retired(#[allow(dead_code)] Box<Equipment>),
    Idle {
        leg: u128,
        /// Nobody wants it; otherwise nothing comes from its far side.
        unwanted: bool,
    },
    Digit {
        leg: u128,
        digit: u8,
        duration_ms: u32,
        /// It was found in the sound.
        in_band: bool,
    },
    /// The far side has lost so much of what it was sent, in 1/256.
    FarLoss {
        leg: u128,
        fraction_lost: u8,
    },
    /// Who speaks in a mix has changed, to or from this leg.
    Speaker {
        leg: u128,
        speaking: bool,
    },
    PlaybackEnded {
        playing: Box<Playing>,
    },
    Untapped {
        token: u64,
    },
    Listed {
        token: u64,
        page: Box<Page>,
    },
}

/// What one leg said, on its way to the recorder: a packet, or a part of a large one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordingFrame {
    pub(crate) recording: u32,
    pub(crate) codec: Codec,
    /// The packet goes on in the next frame, and can only be decoded with it.
    pub(crate) goes_on: bool,
    /// Which frame of its packet it is.
    pub(crate) part: u8,
    /// Who sent the packet, and its number: what comes twice is heard once, and in its order.
    pub(crate) ssrc: u32,
    pub(crate) sequence: u16,
    /// Sample position of the packet in the recording at 8 kHz.
    pub(crate) position: u64,
    pub(crate) length: u16,
    pub(crate) bytes: [u8; FRAME_BYTES],
}

/// The most that one recording frame holds: 60 ms of G.711.
pub(crate) const FRAME_BYTES: usize = 480;
