//! Handshakes and checks of legs, off the tick: DTLS for the keys of SRTP (RFC 5764), ICE for addresses (RFC 8445).
//!
//! - [`table`]: every leg's state, pure, on whatever clock it is given.
//! - [`association`]: DTLS of one leg. [`identity`]: the certificate the node shows. [`fingerprint`]: what the other shows.
//! - [`task`]: the shell with the sockets and the clock.
//!
//! The control plane says for each leg what is wanted; workers hand over packets through bounded rings; what comes of it
//! goes to the worker as commands, with everything that allocates already made.

mod association;
pub(crate) mod fingerprint;
mod identity;
mod table;
mod task;

use std::net::SocketAddr;

use sidetone_ice_core::Credentials;
use sidetone_model::media::Fingerprint;

pub(crate) use identity::Identity;
pub(crate) use task::{Handshakes, Order, PACKETS_MAX, read_door, run};

/// Our part in a handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// We begin.
    Client,
    /// The far side begins.
    Server,
}

/// What was agreed about DTLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) role: Role,
    /// The far side's certificate has one of these; all by one hash function.
    pub(crate) theirs: Vec<Fingerprint>,
}

/// What was agreed about ICE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WantedIce {
    pub(crate) local: Credentials,
    /// None before the far side's description is there.
    pub(crate) remote_ufrag: Option<Box<str>>,
}

/// What a leg needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) ice: Option<WantedIce>,
    pub(crate) dtls: Option<Agreed>,
    /// Where the far side says that it is. Only where there is no ICE a handshake is begun there.
    pub(crate) remote: Option<SocketAddr>,
}

/// Why a handshake did not come to keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub(crate) enum Failure {
    #[error("DTLS: the certificate is not the one of the description")]
    Fingerprint,
    #[error("DTLS: no protection profile in common")]
    NoProfile,
    #[error("DTLS: the handshake could not be completed")]
    Protocol,
    #[error("DTLS: the handshake took too long")]
    TimedOut,
}

impl Failure {
    /// Its name in metrics.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Fingerprint => "fingerprint",
            Self::NoProfile => "no_profile",
            Self::Protocol => "protocol",
            Self::TimedOut => "timed_out",
        }
    }
}
