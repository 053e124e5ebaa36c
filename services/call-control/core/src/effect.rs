//! What a shard wants done once its record is in the log.

use sidetone_model::fact::FactRecord;
use sidetone_model::ids::{
    CallId, ConferenceId, DeviceId, LegId, NodeId, PlaybackId, RecordingId, ReplicaId, StreamId, TenantId,
    UserId,
};
use sidetone_model::media::{
    FileFormat, Format, Layout, Manner, MediaDescription, PlayOptions, PlaySteer, Source,
};
use sidetone_model::voice::LegVoice;
use std::net::IpAddr;

use crate::error::CommandError;
use crate::moving::GatheringId;

/// The outcome of one input.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Step {
    /// To be appended. Empty when nothing durable happened.
    pub record: FactRecord,
    /// To be carried out after that.
    pub effects: Vec<Effect>,
}

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask a media node; hand the answer to [`crate::Shard::handle_media`].
    Media {
        /// The node.
        node: NodeId,
        /// What.
        request: MediaRequest,
    },
    /// A signal has been taken into account, and need not be sent again.
    Acknowledge {
        /// The replica that sent it.
        replica: ReplicaId,
        /// The leg.
        leg: LegId,
        /// The signal's number; the leg's earlier ones are meant too.
        n: u64,
    },
    /// Tell a replica that a leg of its is not known here.
    Release {
        /// The replica.
        replica: ReplicaId,
        /// The leg.
        leg: LegId,
    },
    /// Tell a replica that the INVITE of a leg has come to another before, as [`sidetone_model::signal::OwnerMessage::Repeated`]
    /// has it.
    Repeated {
        /// The replica.
        replica: ReplicaId,
        /// The leg, which is not known here.
        leg: LegId,
        /// Who answers the INVITE; none for 482.
        at: Option<ReplicaId>,
    },
    /// Commands that this replica has not acknowledged are to be sent again: before the commands of the step, which may
    /// be among them.
    Resend {
        /// The replica.
        replica: ReplicaId,
        /// They stand in the log already.
        commands: Vec<sidetone_model::command::LegCommand>,
    },
    /// The legs that a command needs on one media node are there, or do not come. See [`crate::Shard::gather`].
    Gathered {
        /// Which.
        gathering: GatheringId,
        /// Why they do not come.
        outcome: Result<(), CommandError>,
    },
    /// What nobody is in was forgotten to make room, or because nothing has happened there for long. To be counted.
    Evicted {
        /// Why: `idle`, `conversations`, `bytes` or `persons`.
        why: &'static str,
        /// How many conversations, or persons.
        count: usize,
    },
    /// An INVITE has come to a second replica. To be counted.
    InviteRepeated {
        /// What became of it: `handed_over` or `merged`; or `made_room` when one that may still come again was forgotten.
        result: &'static str,
    },
    /// A phone has named others in its place. To be counted.
    Redirected {
        /// What became of that: `followed`, or why it was not.
        result: &'static str,
    },
    /// A call waits for this device to register: it is to be looked up, and told to [`crate::Shard::handle_device_state`].
    FindDevice {
        /// Whose.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The device.
        device: DeviceId,
    },
    /// A call no longer waits for a device to register. To be counted.
    Woken {
        /// Why: `woken`, `expired`, or `given_up` where the call was answered elsewhere, or ended, before.
        result: &'static str,
    },
    /// Somebody did not know the PIN of a mailbox, as often as that may be, and was hung up upon. To be counted.
    MailboxRefused,
    /// So many wrong PINs were dialled at a mailbox that it takes none for a while. To be counted.
    MailboxLocked,
}

/// The PIN of a mailbox, as it was dialled. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Pin(Box<str>);

impl Pin {
    /// Takes it.
    pub fn new(digits: impl Into<Box<str>>) -> Self {
        Self(digits.into())
    }

    /// The digits, for whoever checks or keeps a hash of them.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Pin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pin(..)")
    }
}

/// What a leg is to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Connection {
    /// Silence.
    #[default]
    Nothing,
    /// Another leg, both ways.
    Peer(LegId),
    /// Everybody in a meeting.
    Mix(ConferenceId),
    /// Itself.
    Echo,
}

/// What of ours a description of the far side answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Answers {
    /// Nothing: it is an offer.
    #[default]
    Nothing,
    /// Our first offer.
    Offer,
    /// An offer of ours in a session that stands.
    Standing,
}

/// Who hears a playback.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Heard {
    /// One leg.
    Leg(LegId),
    /// Everybody in a mix.
    Mix(ConferenceId),
}

/// Something is left out of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Silence stands for it; otherwise the time is left out, too.
    pub mask: bool,
}

/// A request to a media node. Repeating one is harmless.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaRequest {
    /// Take a port.
    CreateLeg {
        /// The leg.
        leg: LegId,
        /// Its call.
        call: CallId,
        /// Whose.
        tenant: TenantId,
        /// The far side's offer; none when we offer.
        remote: Option<MediaDescription>,
        /// Where the phone's signalling comes from, for the receive policy.
        signalling_ip: Option<IpAddr>,
        /// Our offer may carry keys; signalling writes of them what the way and the phone allow.
        private_path: bool,
        /// The phone is reached over a WebSocket, as browsers are: our offer is one for a browser.
        browser: bool,
    },
    /// The far side's new description.
    UpdateLeg {
        /// The leg.
        leg: LegId,
        /// The description.
        remote: MediaDescription,
        /// What of ours it answers.
        answers: Answers,
    },
    /// Make an offer of ours in a session that stands.
    OfferLeg {
        /// The leg.
        leg: LegId,
        /// The codec that it names first, before what stands. Without one it names everything that the node can do, in both
        /// directions.
        prefer: Option<Format>,
    },
    /// Change what a leg hears.
    ConnectLeg {
        /// The leg.
        leg: LegId,
        /// To what.
        to: Connection,
    },
    /// Free a leg.
    ReleaseLeg {
        /// The leg.
        leg: LegId,
    },
    /// Play something. A leg's own announcement or music has the leg's id.
    Play {
        /// The playback.
        playback: PlaybackId,
        /// Who hears it.
        to: Heard,
        /// What, one after the other.
        sources: Vec<Source>,
        /// How often; 0 is for ever.
        repeat: u32,
        /// Instead of what is heard besides, over it or under it.
        manner: Manner,
        /// Where it begins, and what ends it.
        options: PlayOptions,
    },
    /// Play a voicemail message to a leg, with a sound before it; or that sound alone.
    PlayMessage {
        /// The playback.
        playback: PlaybackId,
        /// Who hears it.
        leg: LegId,
        /// The prompt before it. Where there is none such, the message begins at once.
        prompt: Box<str>,
        /// The message, the node that has it, and its file there.
        recorded: Option<(RecordingId, NodeId, Box<str>)>,
    },
    /// Play a user's own greeting to a leg; the prompt where the user has none.
    PlayGreeting {
        /// The playback.
        playback: PlaybackId,
        /// Who hears it.
        leg: LegId,
        /// Whose.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// What is played without one.
        otherwise: Box<str>,
    },
    /// Whether this is the PIN of a mailbox: [`sidetone_model::classify::Class::Forbidden`] when it is not.
    CheckPin {
        /// Who dialled it.
        leg: LegId,
        /// Whose.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// What was dialled.
        pin: Pin,
    },
    /// From now on this is the PIN of a mailbox.
    SetPin {
        /// Who dialled it.
        leg: LegId,
        /// Whose.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// What was dialled.
        pin: Pin,
    },
    /// From now on this is what a mailbox greets with.
    SetGreeting {
        /// Who spoke it.
        leg: LegId,
        /// Whose.
        tenant: TenantId,
        /// The user.
        user: UserId,
        /// The recording, the node that has it, and its file there; none for the greeting of the installation.
        recorded: Option<(RecordingId, NodeId, Box<str>)>,
    },
    /// No longer play it.
    StopPlay {
        /// The playback.
        playback: PlaybackId,
    },
    /// Play it on in another way.
    SteerPlay {
        /// The playback.
        playback: PlaybackId,
        /// How.
        steer: PlaySteer,
    },
    /// Let through, or not, what a leg says and hears.
    SetAudio {
        /// The leg.
        leg: LegId,
        /// The others do not hear it.
        muted: bool,
        /// It does not hear the others.
        deafened: bool,
        /// How it sounds to the others.
        voice: LegVoice,
    },
    /// Send digits to the far end.
    SendDigits {
        /// The leg.
        leg: LegId,
        /// Out of `0-9 * # A-D`.
        digits: Box<str>,
    },
    /// Record legs; repeated with more legs, it takes those in too.
    StartRecording {
        /// The recording.
        recording: RecordingId,
        /// Whose.
        tenant: TenantId,
        /// The call.
        call: CallId,
        /// The legs, the left channel's first.
        legs: Vec<LegId>,
        /// How they are laid out.
        layout: Layout,
        /// What the file is made of.
        format: FileFormat,
        /// They are told so by a tone, again and again.
        beep: bool,
    },
    /// Leave out what is said, or take it in again.
    PauseRecording {
        /// The recording.
        recording: RecordingId,
        /// Leave out; none is to take in again.
        pause: Option<Pause>,
    },
    /// Make a live stream of legs; repeated with more legs, it takes those in too.
    StartStream {
        /// The stream.
        stream: StreamId,
        /// Whose.
        tenant: TenantId,
        /// The call.
        call: CallId,
        /// The legs.
        legs: Vec<LegId>,
        /// What the stream is made of.
        format: FileFormat,
    },
    /// End a stream.
    StopStream {
        /// The stream.
        stream: StreamId,
    },
    /// End a recording.
    StopRecording {
        /// The recording.
        recording: RecordingId,
    },
    /// The end of a recording is in the log.
    AckRecording {
        /// The recording.
        recording: RecordingId,
    },
    /// Finish a recording whose node is gone: the same node where it is back, or any other.
    FinishRecording {
        /// The recording.
        recording: RecordingId,
        /// Whose.
        tenant: TenantId,
        /// What the file is made of.
        format: FileFormat,
    },
}

impl MediaRequest {
    /// The leg that this is about, if it is about one.
    pub fn leg(&self) -> Option<LegId> {
        match self {
            Self::CreateLeg { leg, .. }
            | Self::UpdateLeg { leg, .. }
            | Self::OfferLeg { leg, .. }
            | Self::ConnectLeg { leg, .. }
            | Self::ReleaseLeg { leg }
            | Self::SetAudio { leg, .. }
            | Self::SendDigits { leg, .. }
            | Self::PlayMessage { leg, .. }
            | Self::PlayGreeting { leg, .. }
            | Self::CheckPin { leg, .. }
            | Self::SetPin { leg, .. }
            | Self::SetGreeting { leg, .. }
            | Self::Play { to: Heard::Leg(leg), .. } => Some(*leg),
            Self::Play { .. }
            | Self::StopPlay { .. }
            | Self::SteerPlay { .. }
            | Self::StartRecording { .. }
            | Self::PauseRecording { .. }
            | Self::StopRecording { .. }
            | Self::AckRecording { .. }
            | Self::FinishRecording { .. }
            | Self::StartStream { .. }
            | Self::StopStream { .. } => None,
        }
    }
}
