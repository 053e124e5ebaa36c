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
    /// What vouches for the number.
    pub proof: Proof,
    /// Under which name the application that asked it in knows it; empty for the user or the number.
    pub contact: Box<str>,
}

impl Party {
    /// Whether both are the same user or, where neither is known to be one, have the same number.
    pub fn is_whom(&self, other: &Self) -> bool {
        self.user == other.user && (self.user.is_some() || self.number == other.number)
    }
}

/// What vouches for the number under which somebody calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Proof {
    /// Nothing, and nobody was asked.
    #[default]
    None,
    /// The caller proved to be one of our users, and the number is assigned to that user.
    Own,
    /// The caller proved to be one of our users, and the number is not known to be that user's.
    User,
    /// The carrier's PASSporT is good, with full attestation (RFC 8588).
    PassedA,
    /// The same with partial attestation.
    PassedB,
    /// The same with that of a gateway.
    PassedC,
    /// A good PASSporT without attestation (RFC 8225).
    Passed,
    /// There is a PASSporT, and it is not good.
    Failed,
    /// There is no PASSporT, or its certificate could not be had in time.
    Absent,
}

impl Proof {
    /// Every value, for tables and tests.
    pub const ALL: [Self; 9] = [
        Self::None,
        Self::Own,
        Self::User,
        Self::PassedA,
        Self::PassedB,
        Self::PassedC,
        Self::Passed,
        Self::Failed,
        Self::Absent,
    ];

    /// Whether it is one of our own users: what such a one asks for is done at the tenant's cost.
    pub fn is_of_tenant(self) -> bool {
        matches!(self, Self::Own | Self::User)
    }

    /// As it stands in CDRs; empty for none.
    pub fn label(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Own => "own",
            Self::User => "user",
            Self::PassedA => "passed_a",
            Self::PassedB => "passed_b",
            Self::PassedC => "passed_c",
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Absent => "absent",
        }
    }

    /// The value of the parameter `verstat` that tells a phone of it (3GPP TS 24.229, section 7.2A.20); none when no
    /// carrier's word was looked at.
    pub fn verstat(self) -> Option<&'static str> {
        match self {
            Self::None | Self::Own | Self::User => None,
            Self::PassedA | Self::PassedB | Self::PassedC | Self::Passed => Some("TN-Validation-Passed"),
            Self::Failed => Some("TN-Validation-Failed"),
            Self::Absent => Some("No-TN-Validation"),
        }
    }
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
    /// Whoever calls listens to the own voicemail.
    OwnMailbox,
    /// Whoever calls takes the call that has rung longest at another of these users, of whom the caller must be one.
    PickUpGroup {
        /// 2 to 64.
        members: Vec<UserId>,
    },
}

/// Members of a group at most: a look through them is made at every call of its number.
pub const GROUP_MEMBERS_MAX: usize = 64;

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
    /// The proxies between us and the device, the first first: the Route of what is sent to it (RFC 3327, section 5.4).
    pub path: Vec<Box<str>>,
}

impl Binding {
    /// A number outside of the tenant, to be reached over one of its trunks. The device is no telephone: which trunk it is,
    /// and over which flow, signalling decides when it calls.
    pub fn outside(number: &str, replica: ReplicaId) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        Self {
            user: UserId::reserved(Self::OUTSIDE),
            device: DeviceId::reserved(Self::OUTSIDE),
            contact_uri: format!("sip:{number}@{}", Self::OUTSIDE_HOST).into(),
            replica,
            flow: Flow { transport: Transport::Udp, local: nowhere, remote: nowhere },
            path: Vec::new(),
        }
    }

    /// A device that has no contact now, and will have one when it has been woken. It is called where it registers.
    pub fn asleep(user: UserId, device: DeviceId) -> Self {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let flow = Flow { transport: Transport::Udp, local: nowhere, remote: nowhere };
        let replica = ReplicaId::reserved(Self::ASLEEP);
        Self { user, device, contact_uri: "".into(), replica, flow, path: Vec::new() }
    }

    /// Whether [`Self::asleep`] made it.
    pub fn is_asleep(&self) -> bool {
        self.contact_uri.is_empty() && self.flow.remote.port() == 0
    }

    /// The number of a binding that [`Self::outside`] made; none for any other.
    pub fn outside_number(&self) -> Option<&str> {
        let user =
            self.contact_uri.strip_prefix("sip:")?.strip_suffix(Self::OUTSIDE_HOST)?.strip_suffix('@')?;
        (self.flow.remote.port() == 0).then_some(user)
    }

    /// Whether a name is kept for whoever is outside: no user of a tenant has it.
    pub fn is_reserved(user: &UserId) -> bool {
        user.as_str() == Self::OUTSIDE
    }

    /// The replica that holds the leg of a device that nobody has called yet.
    const ASLEEP: &'static str = "asleep";
    /// The user and device of whoever is outside.
    const OUTSIDE: &'static str = "outside";
    /// No host can have this name (RFC 2606, section 2).
    const OUTSIDE_HOST: &'static str = "trunks.invalid";
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
    /// A connection under TLS (RFC 3261, section 26.3.1).
    Tls,
    /// A WebSocket (RFC 7118).
    Ws,
    /// A WebSocket under TLS.
    Wss,
}

impl Transport {
    /// Every transport.
    pub const ALL: [Self; 5] = [Self::Udp, Self::Tcp, Self::Tls, Self::Ws, Self::Wss];

    /// Whether nobody on the way can read along.
    pub fn is_private(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// Whether it is the way of browsers.
    pub fn is_web(self) -> bool {
        matches!(self, Self::Ws | Self::Wss)
    }

    /// The token of Via (RFC 3261, section 20.42; RFC 7118, section 5.2).
    pub fn token(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
            Self::Tls => "TLS",
            Self::Ws => "WS",
            Self::Wss => "WSS",
        }
    }

    /// The value of a URI's `transport=`. Both kinds of WebSocket say `ws` (RFC 7118, section 5.2); `tls` is what phones
    /// write and understand, although RFC 3261 would rather have the `sips` scheme.
    pub fn uri_parameter(self) -> &'static str {
        match self {
            Self::Udp => "udp",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Ws | Self::Wss => "ws",
        }
    }

    /// Whether nothing is lost on the way unless all is: then transactions repeat nothing (RFC 3261, section 17).
    pub fn is_reliable(self) -> bool {
        self != Self::Udp
    }

    /// Whether the next hop is reached under TLS.
    pub fn is_secure(self) -> bool {
        matches!(self, Self::Tls | Self::Wss)
    }

    /// The port that is meant when none is written (RFC 3261, section 19.1.2; RFC 7118, section 5.3).
    pub fn default_port(self) -> u16 {
        match self {
            Self::Udp | Self::Tcp => 5060,
            Self::Tls => 5061,
            Self::Ws => 80,
            Self::Wss => 443,
        }
    }
}
