//! Who calls whom.

use std::net::SocketAddr;

use crate::ids::{DeviceId, ReplicaId, RoomId, UserId};

/// One end of a leg, as far as we know it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Party {
    /// The user behind it, when it proved to be one or was looked up as one.
    pub user: Option<UserId>,
    /// The device behind it, likewise.
    pub device: Option<DeviceId>,
    /// The number or SIP user part under which it appears.
    pub number: Box<str>,
    /// The display name it carries; empty when it has none.
    pub display_name: Box<str>,
}

/// Where a number leads. Numbers are unique in their tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// Every registered device of a user rings.
    User(UserId),
    /// Into a conference room.
    Room(RoomId),
    /// One hears oneself.
    Echo,
    /// A prompt is played; then the caller is hung up.
    Announcement {
        /// The prompt's name on the media nodes.
        prompt: Box<str>,
        /// How often it is played; 0 is for ever.
        repeat: u32,
    },
    /// The leg stays unanswered until an application answers it or the caller gives up.
    Wait,
    /// A user's voicemail: greets, beeps and records.
    Voicemail(UserId),
    /// A user listens to the own voicemail.
    Mailbox(UserId),
    /// Whatever the tenant has set for calls that nobody takes.
    Assistant,
}

/// One registered contact, as call control needs it to reach the device (RFC 3261, section 10; RFC 5626).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binding {
    /// The user it belongs to.
    pub user: UserId,
    /// The device that registered.
    pub device: DeviceId,
    /// The Contact URI, to be used as the Request-URI.
    pub contact_uri: Box<str>,
    /// The replica that holds the flow.
    pub replica: ReplicaId,
    /// The flow on that replica over which the device can be reached.
    pub flow: Flow,
}

/// One way over the network between a replica and a device.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Flow {
    /// Over which transport.
    pub transport: Transport,
    /// Our own end.
    pub local: SocketAddr,
    /// The device's end, as we see it.
    pub remote: SocketAddr,
}

/// A SIP transport (RFC 3261, section 18).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// A connection; it must be the very one, since phones behind NAT take no other.
    Tcp,
}

impl Transport {
    /// The token of Via and of `transport=`.
    pub fn token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }
}
