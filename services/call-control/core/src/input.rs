//! What a shard is told.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use sidetone_model::call::LegQuality;
use sidetone_model::classify::Class;
use sidetone_model::ids::{BootId, ConferenceId, DeviceId, LegId, NodeId, PlaybackId};
use sidetone_model::media::MediaDescription;
use sidetone_model::party::{Binding, Destination};
use sidetone_model::time::Timestamp;

use crate::forwarding::Forwards;

/// Where a number leads, looked up by the shell before the input is handed in.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Routing {
    /// The number, where it is another than the one that the call was made to; empty for that.
    pub number: Box<str>,
    /// The destination; none when nobody has the number.
    pub destination: Option<Destination>,
    /// For a user: where the user's devices are registered.
    pub bindings: Vec<Binding>,
    /// For a room: its settings.
    pub room: RoomSettings,
    /// Media nodes that take new legs, best first.
    pub nodes: Vec<NodeCandidate>,
    /// Calls that the tenant may have at once; 0 for no limit.
    pub calls_max: u32,
    /// Who is called when none of `bindings` takes the call, one after the other.
    pub later: Vec<Later>,
    /// How long each device of `bindings` that is asleep ([`Binding::asleep`]) may take to register.
    pub wakes: Vec<(DeviceId, Duration)>,
    /// Further flows of the instances in `bindings`, those of one in the order in which they are tried.
    pub other_flows: Vec<OtherFlow>,
    /// For a user: where the call goes when nobody takes it, neither of `bindings` nor of `later`. For a caller who waits: where
    /// the call goes when no application has decided in time (`no_answer`).
    pub forwards: Forwards,
    /// For somebody's mailbox: when its PIN was set, by which others than its user may listen; none when it has none.
    pub pin_set_at: Option<Timestamp>,
    /// It is where the tenant's assistant is.
    pub assistant: bool,
    /// For what a phone names in its place: how far its tenant lets it lead the call.
    pub redirects: Redirects,
}

/// How far phones that are called may send the call on themselves (3xx, RFC 3261, section 21.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Redirects {
    /// Nowhere.
    Never,
    /// To whom the tenant has.
    Inside,
    /// Also to numbers outside, unless it is a carrier that leads there.
    #[default]
    Everywhere,
}

impl Routing {
    /// Whoever is reached by it is reached as the tenant's assistant. Whom rules of that one lead to is not.
    #[must_use]
    pub fn of_assistant(mut self) -> Self {
        self.assistant = true;
        self.later.iter_mut().for_each(|next| next.routing.assistant = true);
        self
    }

    /// The destination as facts tell it: whoever is outside is no user of the tenant, and the number says it all.
    pub(crate) fn told(&self) -> Option<Destination> {
        let outside = self.bindings.iter().any(|binding| binding.outside_number().is_some());
        self.destination.clone().filter(|_| !outside)
    }

    /// Whoever is called later goes to the media nodes of the call, too.
    pub fn go_by(&mut self, nodes: &[NodeCandidate]) {
        self.nodes = nodes.to_vec();
        for next in self.later.iter_mut().chain(self.forwards.each_mut()) {
            next.routing.go_by(nodes);
        }
    }

    /// Whether it leads to a user of whom no device is registered.
    pub(crate) fn is_unregistered(&self) -> bool {
        matches!(self.destination, Some(Destination::User(_))) && self.bindings.is_empty()
    }
}

/// Another flow of an instance (RFC 5626): rings when the one before it turns out to be dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherFlow {
    /// The flow that rings first.
    pub instead_of: Binding,
    /// The one in its place.
    pub binding: Binding,
}

/// Who is called next.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Later {
    /// The number; empty when it is the one before.
    pub number: Box<str>,
    /// Where it leads. Its own `later` is not looked at.
    pub routing: Routing,
}

/// How a room is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoomSettings {
    /// Participants at once; 0 for no limit of its own.
    pub participants_max: u32,
    /// Every meeting is recorded from its start.
    pub record: bool,
}

/// A media node that takes new legs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeCandidate {
    /// Its name.
    pub node: NodeId,
    /// Its present life.
    pub boot: BootId,
}

/// What a media node answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MediaReply {
    /// A leg has a port.
    Created {
        /// Our description: the answer, or the offer.
        local: MediaDescription,
        /// The node's life.
        boot: BootId,
    },
    /// A leg has a new description.
    Updated {
        /// Our description.
        local: MediaDescription,
    },
    /// Our offer in a session that stands.
    Offered {
        /// It.
        local: MediaDescription,
    },
    /// A leg is gone, and how it sounded; none where nothing came from it, or it was not there.
    Released {
        /// How.
        quality: Option<Box<LegQuality>>,
    },
    /// Done.
    Done,
}

/// A media node did not do it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MediaFailure {
    /// Whose fault it was.
    pub class: Class,
    /// In words.
    pub text: Box<str>,
}

/// One leg that a media node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldMedia {
    /// The leg.
    pub leg: LegId,
    /// Our description of it.
    pub local: Option<MediaDescription>,
    /// The mix it is in.
    pub mix: Option<ConferenceId>,
    /// The leg it is bridged with.
    pub peer: Option<LegId>,
}

/// What a media node plays to each leg, also what it still fetches.
pub type HeldSounds = BTreeMap<LegId, BTreeSet<PlaybackId>>;

/// How far two phones that could speak one codec are brought to do so, so that what they say is passed on as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum MatchCodecs {
    /// Each speaks what it chose; what differs is transcoded.
    Off,
    /// A caller that is not answered yet is answered with the codec of whom it reaches.
    Answer,
    /// And a phone that was answered earlier is offered it anew (re-INVITE).
    #[default]
    Reoffer,
}

/// Bounds of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a called phone may ring.
    pub ring_timeout: Duration,
    /// How long a phone may ring while others could be called in its place.
    pub hunt_timeout: Duration,
    /// How long an application may take to decide about a caller who waits; zero for ever.
    pub wait_max: Duration,
    /// How long a phone may say nothing while another of its flows could be used.
    pub flow_silence: Duration,
    /// How long phones may take that are told of another media node, because two calls are to be connected.
    pub gathering: Duration,
    /// How long something unknown, or something missing, is waited for before it is ended.
    pub grace: Duration,
    /// How long the outcome of a command is remembered.
    pub idempotency: Duration,
    /// How long an ended call can still be looked up.
    pub ended_kept: Duration,
    /// A conversation in which nobody is, and nothing has happened for so long, is deleted; zero keeps it.
    pub conversation_idle: Duration,
    /// Conversations of one tenant. Past them the one in which nothing has happened for longest goes.
    pub conversations_max: usize,
    /// People of one tenant who can be members of conversations. Past them the oldest who is no member goes.
    pub persons_max: usize,
    /// Streams of one call at once. What comes from another call when two become one is not counted.
    pub streams_max: usize,
    /// Playbacks into one call at once, those to single legs too; likewise.
    pub playbacks_max: usize,
    /// What those hear who are held; none is silence.
    pub hold_prompt: Option<Box<str>>,
    /// What those hear who were answered and wait for a phone that rings; none is silence.
    pub ringback_prompt: Option<Box<str>>,
    /// Phones of people who are held are told so, by a re-INVITE with `sendonly`.
    pub hold_told: bool,
    /// How far phones are brought to speak the codec of whom they talk with.
    pub match_codecs: MatchCodecs,
    /// Phones that are called may name others in their place (3xx).
    pub redirects: bool,
    /// Addresses in somebody else's domain that phones name, in a 3xx or a REFER, are dialled as numbers; else refused.
    pub foreign_as_numbers: bool,
    /// Header fields of the INVITE that began a call which the phones that it rings get, too: names, or the beginning of names
    /// before a `*`.
    pub copy_headers: Vec<Box<str>>,
    /// What a voicemail greets with. Where there is no such prompt, the message begins at once.
    pub voicemail_greeting: Box<str>,
    /// How long a voicemail message may be.
    pub message_max: Duration,
    /// How many messages a voicemail holds; into a full one none is left.
    pub messages_max: usize,
    /// What stands before each message when the user listens.
    pub mailbox_prompt: Box<str>,
    /// What asks for the PIN of a mailbox.
    pub mailbox_pin_prompt: Box<str>,
    /// Wrong PINs in a row at one mailbox, over all calls, after which it takes none for a while; 0 for no limit.
    pub mailbox_pin_tries: u32,
    /// For how long, since the last wrong one; so long after the last wrong one those before are forgotten, too.
    pub mailbox_lock: Duration,
    /// What whoever calls such a mailbox hears, before the call ends.
    pub mailbox_locked_prompt: Box<str>,
    /// What is heard in the options of a mailbox.
    pub mailbox_options_prompt: Box<str>,
    /// What is heard after the last.
    pub mailbox_end: Box<str>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ring_timeout: Duration::from_secs(60),
            hunt_timeout: Duration::from_secs(20),
            wait_max: Duration::from_secs(120),
            flow_silence: Duration::from_secs(4),
            gathering: Duration::from_secs(8),
            grace: Duration::from_secs(10),
            idempotency: Duration::from_secs(24 * 3600),
            ended_kept: Duration::from_secs(3600),
            conversation_idle: Duration::from_secs(90 * 24 * 3600),
            conversations_max: 10_000,
            persons_max: 100_000,
            streams_max: 16,
            playbacks_max: 64,
            hold_prompt: None,
            ringback_prompt: None,
            hold_told: false,
            match_codecs: MatchCodecs::Reoffer,
            redirects: true,
            foreign_as_numbers: false,
            copy_headers: Vec::new(),
            voicemail_greeting: "welcome".into(),
            message_max: Duration::from_secs(180),
            messages_max: 100,
            mailbox_prompt: "beep".into(),
            mailbox_pin_prompt: "tone:dial".into(),
            mailbox_pin_tries: 9,
            mailbox_lock: Duration::from_secs(900),
            mailbox_locked_prompt: "tone:congestion".into(),
            mailbox_options_prompt: "beep".into(),
            mailbox_end: "tone:congestion".into(),
        }
    }
}
