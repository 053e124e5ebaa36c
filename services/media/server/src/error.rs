//! Why a media node refuses.

use sidetone_model::classify::{Class, Classify};

/// Why the node did not do what it was asked. Nothing has been changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MediaError {
    /// A field of the request is missing or cannot be used.
    #[error("{field}: {problem}")]
    Invalid {
        /// The field, by its name in the contract.
        field: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// There is no such thing on this node.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// The id was used with another body.
    #[error("this {0} id was used with another request")]
    Reused(&'static str),
    /// Both sides have no audio format in common.
    #[error("no common codec")]
    NoCommonCodec,
    /// None of the formats that the far end offers is one that the leg may have, which these are.
    #[error("none of the codecs offered is taken; switch on one of {0}")]
    NoneOfCodecs(Box<str>),
    /// No network of this node has addresses of the far side's kind.
    #[error("no network of the node speaks the far end's IP version; see media.realms")]
    NoCommonAddresses,
    /// Neither SRTP nor ICE prove the sender, which the policy asks for.
    #[error("the leg has neither SRTP nor ICE")]
    NotSecured,
    /// An offer of ours must be answered before another one is taken, or an answer came without one.
    #[error("no offer is open")]
    NoOpenOffer,
    /// A leg of another node, in a form that this release does not know.
    #[error("leg value of version {0}, which this release does not know")]
    UnknownVersion(u32),
    /// Not at the moment.
    #[error("not while {0}")]
    NotWhile(&'static str),
    /// Every port of the realm is taken or rests.
    #[error("no port is free")]
    NoPort,
    /// The node holds as many as it may.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// Every worker has as much to do as it may.
    #[error("no worker has room for another leg")]
    NoRoom,
    /// The disk of recordings has no room for another one.
    #[error("the disk of recordings is nearly full")]
    DiskFull,
    /// A worker does not take commands fast enough.
    #[error("the node is overloaded")]
    Overloaded,
    /// A prompt could not be had from where its URL leads.
    #[error("url: {0}")]
    Fetch(&'static str),
    /// Whoever listens does not take the bytes as fast as they come.
    #[error("too slow for a live stream")]
    TooSlow,
    /// No new legs: the node is being emptied.
    #[error("the node is draining")]
    Draining,
    /// The node is stopping.
    #[error("the node is stopping")]
    Stopping,
    /// A socket or a file could not be opened.
    #[error("{what}: {problem}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        problem: String,
    },
}

impl Classify for MediaError {
    fn class(&self) -> Class {
        match self {
            Self::Invalid { .. } => Class::Invalid,
            Self::NotFound(_) => Class::NotFound,
            Self::Reused(_) => Class::Conflict,
            Self::NoCommonCodec
            | Self::NoneOfCodecs(_)
            | Self::NoCommonAddresses
            | Self::NotSecured
            | Self::NoOpenOffer => Class::FailedPrecondition,
            Self::UnknownVersion(_) | Self::NotWhile(_) => Class::FailedPrecondition,
            Self::NoPort
            | Self::TooMany(_)
            | Self::NoRoom
            | Self::DiskFull
            | Self::Overloaded
            | Self::TooSlow => Class::Exhausted,
            Self::Draining | Self::Stopping => Class::Unavailable,
            Self::Fetch(_) => Class::FailedPrecondition,
            Self::Io { .. } => Class::Internal,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Invalid { .. } => "invalid",
            Self::NotFound(_) => "not_found",
            Self::Reused(_) => "id_reused",
            Self::NoCommonCodec | Self::NoneOfCodecs(_) => "no_common_codec",
            Self::NoCommonAddresses => "no_common_addresses",
            Self::NotSecured => "not_secured",
            Self::NoOpenOffer => "no_open_offer",
            Self::UnknownVersion(_) => "unknown_version",
            Self::NotWhile(_) => "not_while",
            Self::NoPort => "no_port",
            Self::TooMany(_) => "too_many",
            Self::NoRoom => "no_room",
            Self::DiskFull => "disk_full",
            Self::Overloaded => "overloaded",
            Self::Fetch(_) => "fetch",
            Self::TooSlow => "too_slow",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Io { .. } => "io",
        }
    }
}
