//! `sidetone.types.v1`.

use std::net::{IpAddr, SocketAddr};

use sidetone_proto::events::v1 as events;
use sidetone_proto::signalling::v1 as signalling;
use sidetone_proto::types::v1 as pb;

use super::{WireError, id, kind, message, optional_id, optional_text};
use crate::call::{
    AnsweredBy, DecisionKind, DiversionReason, DivertCause, ExternalRef, HeldBy, LegCause, MoveCause,
    PlaybackEnd,
};
use crate::callback::{Callback, CallbackMethod, URL_BYTES_MAX};
use crate::media::{
    BargeIn, Crypto, Direction, Dtls, Encoding, FileFormat, Fingerprint, Format, Holder, Ice, Layout,
    MediaDescription, Setup, Source,
};
use crate::party::{Binding, Destination, Flow, GROUP_MEMBERS_MAX, Party, Proof, Transport};
use crate::termination::{Cause, Termination};

/// An enumeration in both directions; what is not listed (the unspecified value, and those of newer releases) is
/// refused on the way in. [`enumeration`] reads one out of a field.
macro_rules! enumerations {
    ($($domain:ty => $wire:ty { $($d:ident = $w:ident),* $(,)? })*) => {$(
        impl From<$domain> for $wire {
            fn from(value: $domain) -> Self {
                match value { $(<$domain>::$d => Self::$w,)* }
            }
        }
        impl Enumeration for $domain {
            type Wire = $wire;
            #[allow(unreachable_patterns, reason = "only some enumerations have an unspecified value")]
            fn known(wire: $wire) -> Option<Self> {
                match wire { $(<$wire>::$w => Some(Self::$d),)* _ => None }
            }
        }
    )*};
}

/// An enumeration of the model with its counterpart in the contract.
pub trait Enumeration: Sized {
    /// The counterpart.
    type Wire: TryFrom<i32> + From<Self> + Into<i32>;
    /// The model's value; none for the unspecified one.
    fn known(wire: Self::Wire) -> Option<Self>;
}

/// The number that stands for a value.
pub fn number<E: Enumeration>(value: E) -> i32 {
    E::Wire::from(value).into()
}

/// An enumeration out of a field.
pub fn enumeration<E: Enumeration>(field: &'static str, value: i32) -> Result<E, WireError> {
    E::Wire::try_from(value).ok().and_then(E::known).ok_or(WireError::UnknownValue { field, value })
}

enumerations! {
    Holder => pb::Holder { Node = Node, External = External }
    Direction => pb::Direction {
        SendRecv = Sendrecv, SendOnly = Sendonly, RecvOnly = Recvonly, Inactive = Inactive,
    }
    Setup => pb::Setup { Actpass = Actpass, Active = Active, Passive = Passive }
    LegCause => pb::LegCause {
        Normal = Normal, Enquiry = Enquiry, Transferred = Transferred, Redirected = Redirected,
        Overflown = Overflown, Conferenced = Conferenced, PickedUp = PickedUp, Intrusion = Intrusion,
        DeviceAdded = DeviceAdded, DeviceSwitched = DeviceSwitched, Replaced = Replaced,
    }
    AnsweredBy => events::AnsweredBy {
        Nobody = Unspecified, Person = Person, Voicemail = Voicemail, Mailbox = Mailbox,
        Announcement = Announcement, Echo = Echo, Room = Room, Assistant = Assistant,
    }
    DecisionKind => events::DecisionKind { Application = Application, Waking = Waking }
    HeldBy => pb::HeldBy { Application = Application, Phone = Phone }
    DivertCause => pb::DivertCause {
        Transferred = Transferred, Redirected = Redirected, Overflown = Overflown, PickedUp = PickedUp,
    }
    DiversionReason => signalling::DiversionReason {
        Unknown = Unknown, Unconditional = Unconditional, Busy = Busy, NoAnswer = NoAnswer,
        Deflection = Deflection, Unavailable = Unavailable,
    }
    MoveCause => pb::MoveCause { Transferred = Transferred, Merged = Merged }
    PlaybackEnd => pb::PlaybackEnd { Done = Done, Stopped = Stopped, Failed = Failed, Key = Key, Voice = Voice }
    BargeIn => pb::BargeIn { None = None, Key = Key, Voice = Voice, Any = Any }
    FileFormat => pb::FileFormat { Wav = Wav, Mp3 = Mp3, OggOpus = OggOpus, Flac = Flac, L16 = L16, Pcmu = Pcmu }
    Layout => pb::Layout { Mono = Mono, Stereo = Stereo, TrackPerLeg = TrackPerLeg }
    Proof => pb::Proof {
        None = Unspecified, Own = Own, User = User, PassedA = PassedA, PassedB = PassedB, PassedC = PassedC,
        Passed = Passed, Failed = Failed, Absent = Absent,
    }
    Transport => pb::Transport { Udp = Udp, Tcp = Tcp, Tls = Tls, Ws = Ws, Wss = Wss }
    Cause => pb::Cause {
        Normal = Normal, Application = Application, Cancelled = Cancelled, AnsweredElsewhere = AnsweredElsewhere,
        Busy = Busy, NoAnswer = NoAnswer, Rejected = Rejected, NotFound = NotFound, Unavailable = Unavailable,
        Forbidden = Forbidden, NoCommonCodec = NoCommonCodec, ProtocolError = ProtocolError, Timeout = Timeout,
        TransportFailure = TransportFailure, MediaTimeout = MediaTimeout, MediaNodeLost = MediaNodeLost,
        SignallingLost = SignallingLost, NoCapacity = NoCapacity, Shutdown = Shutdown, Internal = Internal,
        Diverted = Diverted, PromptMissing = PromptMissing,
    }
}

/// A socket address in its protocol-buffer form.
pub fn socket_address(value: &SocketAddr) -> pb::SocketAddress {
    pb::SocketAddress { ip: value.ip().to_string(), port: value.port().into() }
}

/// A socket address out of a field that must be set.
pub fn socket_addr(field: &'static str, value: Option<&pb::SocketAddress>) -> Result<SocketAddr, WireError> {
    let value = value.ok_or(WireError::Missing { field })?;
    let ip: IpAddr =
        value.ip.parse().map_err(|_| invalid(field, "expected an IPv4 or IPv6 address without brackets"))?;
    let port = value.port.try_into().map_err(|_| invalid(field, "a port is at most 65535"))?;
    Ok(SocketAddr::new(ip, port))
}

impl From<&Format> for pb::Format {
    fn from(value: &Format) -> Self {
        Self {
            payload_type: value.payload_type.into(),
            encoding: value.encoding.name().into(),
            clock_rate_hz: value.clock_rate_hz,
            channels: value.channels.into(),
            parameters: value.parameters.as_deref().unwrap_or_default().into(),
        }
    }
}

impl TryFrom<pb::Format> for Format {
    type Error = WireError;
    fn try_from(value: pb::Format) -> Result<Self, WireError> {
        let payload_type = match u8::try_from(value.payload_type) {
            Ok(number @ 0..=127) => number,
            _ => return Err(invalid("Format.payload_type", "a payload type is 0 to 127")),
        };
        if value.encoding.is_empty() {
            return Err(WireError::Missing { field: "Format.encoding" });
        }
        Ok(Self {
            payload_type,
            encoding: Encoding::from_name(&value.encoding),
            clock_rate_hz: value.clock_rate_hz,
            channels: u8::try_from(value.channels.max(1))
                .map_err(|_| invalid("Format.channels", "more than 255 channels"))?,
            parameters: (!value.parameters.is_empty()).then(|| value.parameters.into()),
        })
    }
}

impl From<&MediaDescription> for pb::MediaDescription {
    fn from(value: &MediaDescription) -> Self {
        Self {
            holder: pb::Holder::from(value.holder).into(),
            rtp: Some(socket_address(&value.rtp)),
            rtcp: value.rtcp.as_ref().map(socket_address),
            rtcp_mux: value.rtcp_mux,
            formats: value.formats.iter().map(Into::into).collect(),
            direction: pb::Direction::from(value.direction).into(),
            ptime_ms: value.ptime_ms.into(),
            secured: value.secured,
            crypto: value.crypto.iter().map(Into::into).collect(),
            dtls: value.dtls.as_deref().map(Into::into),
            ice: value.ice.as_deref().map(Into::into),
            wants_voip_metrics: value.wants_voip_metrics,
        }
    }
}

impl From<&Dtls> for pb::Dtls {
    fn from(value: &Dtls) -> Self {
        let fingerprint =
            |one: &Fingerprint| pb::Fingerprint { hash: one.hash.as_ref().into(), value: one.value.to_vec() };
        Self {
            fingerprints: value.fingerprints.iter().map(fingerprint).collect(),
            setup: pb::Setup::from(value.setup).into(),
        }
    }
}

impl TryFrom<pb::Dtls> for Dtls {
    type Error = WireError;
    fn try_from(value: pb::Dtls) -> Result<Self, WireError> {
        let fingerprint =
            |one: pb::Fingerprint| Fingerprint { hash: one.hash.into(), value: one.value.into() };
        Ok(Self {
            fingerprints: value.fingerprints.into_iter().take(FINGERPRINTS_MAX).map(fingerprint).collect(),
            setup: enumeration("Dtls.setup", value.setup)?,
        })
    }
}

impl From<&Ice> for pb::Ice {
    fn from(value: &Ice) -> Self {
        Self { ufrag: value.ufrag.as_ref().into(), pwd: value.pwd.as_ref().into(), lite: value.lite }
    }
}

impl From<pb::Ice> for Ice {
    fn from(value: pb::Ice) -> Self {
        Self { ufrag: value.ufrag.into(), pwd: value.pwd.into(), lite: value.lite }
    }
}

impl From<&Crypto> for pb::Crypto {
    fn from(value: &Crypto) -> Self {
        Self {
            tag: value.tag,
            suite: value.suite.as_ref().into(),
            inline: value.inline.as_ref().into(),
            parameters: value.parameters.as_ref().into(),
        }
    }
}

impl From<pb::Crypto> for Crypto {
    fn from(value: pb::Crypto) -> Self {
        Self {
            tag: value.tag,
            suite: value.suite.into(),
            inline: value.inline.into(),
            parameters: value.parameters.into(),
        }
    }
}

impl TryFrom<pb::MediaDescription> for MediaDescription {
    type Error = WireError;
    fn try_from(value: pb::MediaDescription) -> Result<Self, WireError> {
        Ok(Self {
            holder: enumeration("MediaDescription.holder", value.holder)?,
            rtp: socket_addr("MediaDescription.rtp", value.rtp.as_ref())?,
            rtcp: match value.rtcp {
                Some(rtcp) => Some(socket_addr("MediaDescription.rtcp", Some(&rtcp))?),
                None => None,
            },
            rtcp_mux: value.rtcp_mux,
            formats: value
                .formats
                .into_iter()
                .take(FORMATS_MAX)
                .map(TryInto::try_into)
                .collect::<Result<_, _>>()?,
            direction: enumeration("MediaDescription.direction", value.direction)?,
            ptime_ms: match value.ptime_ms {
                0 => PTIME_DEFAULT_MS,
                given => u8::try_from(given)
                    .map_err(|_| invalid("MediaDescription.ptime_ms", "a packet time is at most 255 ms"))?,
            },
            secured: value.secured,
            crypto: value.crypto.into_iter().take(CRYPTO_MAX).map(Into::into).collect(),
            dtls: value.dtls.map(|dtls| Dtls::try_from(dtls).map(Box::new)).transpose()?,
            ice: value.ice.map(|ice| Box::new(ice.into())),
            wants_voip_metrics: value.wants_voip_metrics,
        })
    }
}

impl From<&Party> for pb::Party {
    fn from(value: &Party) -> Self {
        Self {
            user: optional_text(value.user.as_ref()),
            device: optional_text(value.device.as_ref()),
            number: value.number.as_ref().into(),
            display_name: value.display_name.as_ref().into(),
            proof: number(value.proof),
            contact: value.contact.as_ref().into(),
        }
    }
}

impl TryFrom<pb::Party> for Party {
    type Error = WireError;
    fn try_from(value: pb::Party) -> Result<Self, WireError> {
        Ok(Self {
            user: optional_id("Party.user", &value.user)?,
            device: optional_id("Party.device", &value.device)?,
            number: value.number.into(),
            display_name: value.display_name.into(),
            proof: enumeration("Party.proof", value.proof)?,
            contact: value.contact.into(),
        })
    }
}

impl From<&Destination> for pb::Destination {
    fn from(value: &Destination) -> Self {
        use pb::destination::{Announcement, Assistant, Echo, Kind, OwnMailbox, PickUpGroup, Wait};
        let kind = match value {
            Destination::User(user) => Kind::User(user.to_string()),
            Destination::Room(room) => Kind::Room(room.to_string()),
            Destination::Echo => Kind::Echo(Echo {}),
            Destination::Announcement { prompt, repeat } => {
                Kind::Announcement(Announcement { prompt: prompt.as_ref().into(), repeat: *repeat })
            }
            Destination::Wait => Kind::Wait(Wait {}),
            Destination::Voicemail(user) => Kind::Voicemail(user.to_string()),
            Destination::Mailbox(user) => Kind::Mailbox(user.to_string()),
            Destination::Assistant => Kind::Assistant(Assistant {}),
            Destination::OwnMailbox => Kind::OwnMailbox(OwnMailbox {}),
            Destination::PickUpGroup { members } => {
                Kind::PickUpGroup(PickUpGroup { members: members.iter().map(ToString::to_string).collect() })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Destination> for Destination {
    type Error = WireError;
    fn try_from(value: pb::Destination) -> Result<Self, WireError> {
        use pb::destination::Kind;
        Ok(match kind("Destination.kind", value.kind)? {
            Kind::User(user) => Self::User(id("Destination.user", &user)?),
            Kind::Room(room) => Self::Room(id("Destination.room", &room)?),
            Kind::Echo(_) => Self::Echo,
            Kind::Announcement(it) => Self::Announcement { prompt: it.prompt.into(), repeat: it.repeat },
            Kind::Wait(_) => Self::Wait,
            Kind::Voicemail(user) => Self::Voicemail(id("Destination.voicemail", &user)?),
            Kind::Mailbox(user) => Self::Mailbox(id("Destination.mailbox", &user)?),
            Kind::Assistant(_) => Self::Assistant,
            Kind::OwnMailbox(_) => Self::OwnMailbox,
            Kind::PickUpGroup(it) => {
                let field = "Destination.pick_up_group";
                if !(2..=GROUP_MEMBERS_MAX).contains(&it.members.len()) {
                    return Err(WireError::Invalid { field, reason: "expected 2 to 64 members" });
                }
                let members = it.members.iter().map(|member| id(field, member)).collect::<Result<_, _>>()?;
                Self::PickUpGroup { members }
            }
        })
    }
}

impl From<&Source> for pb::Source {
    fn from(value: &Source) -> Self {
        use pb::source::Kind;
        let kind = match value {
            Source::Prompt(name) => Kind::Prompt(name.as_ref().into()),
            Source::Url(url) => Kind::Url(url.as_ref().into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::Source> for Source {
    type Error = WireError;
    fn try_from(value: pb::Source) -> Result<Self, WireError> {
        use pb::source::Kind;
        Ok(match kind("Source.kind", value.kind)? {
            Kind::Prompt(name) => Self::Prompt(name.into()),
            Kind::Url(url) => Self::Url(url.into()),
        })
    }
}

impl From<&Callback> for pb::Callback {
    fn from(value: &Callback) -> Self {
        Self {
            application: value.application.as_ref().into(),
            url: value.url.as_ref().into(),
            get: value.method == CallbackMethod::Get,
        }
    }
}

impl TryFrom<pb::Callback> for Callback {
    type Error = WireError;
    fn try_from(value: pb::Callback) -> Result<Self, WireError> {
        if value.url.len() > URL_BYTES_MAX {
            return Err(invalid("Callback.url", "expected at most 2048 bytes"));
        }
        let method = if value.get { CallbackMethod::Get } else { CallbackMethod::Post };
        Ok(Self { application: value.application.into(), url: value.url.into(), method })
    }
}

impl From<&ExternalRef> for pb::ExternalRef {
    fn from(value: &ExternalRef) -> Self {
        Self { dialect: value.dialect.as_ref().into(), key: value.key.as_ref().into() }
    }
}

impl TryFrom<pb::ExternalRef> for ExternalRef {
    type Error = WireError;
    fn try_from(value: pb::ExternalRef) -> Result<Self, WireError> {
        if value.dialect.is_empty() {
            return Err(WireError::Missing { field: "ExternalRef.dialect" });
        }
        if !(1..=EXTERNAL_KEY_MAX).contains(&value.key.chars().count()) {
            return Err(invalid("ExternalRef.key", "expected 1 to 256 characters"));
        }
        Ok(Self { dialect: value.dialect.into(), key: value.key.into() })
    }
}

impl From<&Termination> for pb::Termination {
    fn from(value: &Termination) -> Self {
        Self {
            cause: pb::Cause::from(value.cause).into(),
            sip_status: value.sip_status.unwrap_or(0).into(),
            text: value.text.as_ref().into(),
        }
    }
}

impl TryFrom<pb::Termination> for Termination {
    type Error = WireError;
    fn try_from(value: pb::Termination) -> Result<Self, WireError> {
        let sip_status = u16::try_from(value.sip_status)
            .map_err(|_| invalid("Termination.sip_status", "a SIP status has three digits"))?;
        Ok(Self {
            cause: enumeration("Termination.cause", value.cause)?,
            sip_status: (sip_status != 0).then_some(sip_status),
            text: value.text.into(),
        })
    }
}

impl From<&Flow> for pb::Flow {
    fn from(value: &Flow) -> Self {
        Self {
            transport: pb::Transport::from(value.transport).into(),
            local: Some(socket_address(&value.local)),
            remote: Some(socket_address(&value.remote)),
        }
    }
}

impl TryFrom<pb::Flow> for Flow {
    type Error = WireError;
    fn try_from(value: pb::Flow) -> Result<Self, WireError> {
        Ok(Self {
            transport: enumeration("Flow.transport", value.transport)?,
            local: socket_addr("Flow.local", value.local.as_ref())?,
            remote: socket_addr("Flow.remote", value.remote.as_ref())?,
        })
    }
}

impl From<&Binding> for pb::Binding {
    fn from(value: &Binding) -> Self {
        Self {
            user: value.user.to_string(),
            device: value.device.to_string(),
            contact_uri: value.contact_uri.as_ref().into(),
            replica: value.replica.to_string(),
            flow: Some((&value.flow).into()),
            path: value.path.iter().map(|hop| hop.as_ref().into()).collect(),
        }
    }
}

impl TryFrom<pb::Binding> for Binding {
    type Error = WireError;
    fn try_from(value: pb::Binding) -> Result<Self, WireError> {
        Ok(Self {
            user: id("Binding.user", &value.user)?,
            device: id("Binding.device", &value.device)?,
            contact_uri: value.contact_uri.into(),
            replica: id("Binding.replica", &value.replica)?,
            flow: message("Binding.flow", value.flow)?,
            path: value.path.into_iter().map(Into::into).collect(),
        })
    }
}

fn invalid(field: &'static str, reason: &'static str) -> WireError {
    WireError::Invalid { field, reason }
}

/// The longest key that a client may choose, in characters.
const EXTERNAL_KEY_MAX: usize = 256;
/// How many formats of a description are looked at.
const FORMATS_MAX: usize = 32;
/// Keys that are looked at.
const CRYPTO_MAX: usize = 8;
/// Fingerprints that are looked at.
const FINGERPRINTS_MAX: usize = 8;
/// The packet time of a description that names none (RFC 3551, section 4.2), in ms.
const PTIME_DEFAULT_MS: u8 = 20;
