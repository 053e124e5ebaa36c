//! The side that only answers checks (RFC 8445, sections 2.5 and 7.3): who knows the password has an address that is his,
//! and says which of several is to be used.

use std::fmt;
use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::stun::{Builder, Class, Message, StunError, attribute};

/// The name and the password of one side (RFC 8839, section 5.4). The password is wiped when dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    ufrag: Box<str>,
    pwd: Zeroizing<String>,
}

/// Addresses that the other side has proved to be its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pairs {
    proved: [Option<SocketAddr>; PAIRS_MAX],
    /// Where it wants to be sent to; none before it has said so.
    pub selected: Option<SocketAddr>,
}

/// One side that answers checks.
#[derive(Debug)]
pub struct Lite {
    local: Credentials,
    /// The name of the other side; none before its description is there.
    remote_ufrag: Option<Box<str>>,
    pairs: Pairs,
    /// When each of the proved ones was last checked.
    checked_ms: [u64; PAIRS_MAX],
}

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// An authentic check, answered.
    Answered,
    /// Answered, and the sender wants this address to be used.
    Nominated,
    /// The sender believes that the other side leads: told so (RFC 8445, section 7.3.1.1).
    RoleConflict,
    /// Something in it must be understood and is not: told so.
    NotUnderstood,
    /// A keep-alive, which wants no answer (RFC 8445, section 11).
    KeepAlive,
    /// From someone who does not know the password, or for somebody else. Not answered.
    NotAuthentic,
    /// Not a message of ICE. Not answered.
    Malformed,
}

/// What became of a message, and what goes back to where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled {
    /// What became of it.
    pub outcome: Outcome,
    /// To be sent back.
    pub answer: Option<Vec<u8>>,
}

/// Addresses of the other side that are kept; whoever has more loses the one that it checked least lately.
pub const PAIRS_MAX: usize = 4;

impl Credentials {
    /// A name of 4 to 256 characters, and a password of 22 to 256.
    pub fn new(ufrag: &str, pwd: &str) -> Self {
        Self { ufrag: ufrag.into(), pwd: Zeroizing::new(pwd.into()) }
    }

    /// The name.
    pub fn ufrag(&self) -> &str {
        &self.ufrag
    }

    /// The password.
    pub fn pwd(&self) -> &str {
        &self.pwd
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("ufrag", &self.ufrag).finish_non_exhaustive()
    }
}

impl Pairs {
    /// Whether an address is proved.
    pub fn holds(&self, address: SocketAddr) -> bool {
        self.proved.contains(&Some(address))
    }

    /// The proved ones.
    pub fn iter(&self) -> impl Iterator<Item = SocketAddr> {
        self.proved.iter().flatten().copied()
    }
}

impl Outcome {
    /// Its name in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Nominated => "nominated",
            Self::RoleConflict => "role_conflict",
            Self::NotUnderstood => "not_understood",
            Self::KeepAlive => "keep_alive",
            Self::NotAuthentic => "not_authentic",
            Self::Malformed => "malformed",
        }
    }
}

impl Lite {
    /// Answers for `local`, whoever the other side is until [`Self::meet`].
    pub fn new(local: Credentials) -> Self {
        Self { local, remote_ufrag: None, pairs: Pairs::default(), checked_ms: [0; PAIRS_MAX] }
    }

    /// The other side has described itself.
    pub fn meet(&mut self, remote_ufrag: &str) {
        self.remote_ufrag = Some(remote_ufrag.into());
    }

    /// The other side begins anew (RFC 8445, section 9): what is proved stays good until the next is.
    pub fn restart(&mut self, local: Credentials, remote_ufrag: &str) {
        self.local = local;
        self.meet(remote_ufrag);
    }

    /// What is proved so far.
    pub fn pairs(&self) -> Pairs {
        self.pairs
    }

    /// Takes a message in.
    pub fn handle(&mut self, bytes: &[u8], from: SocketAddr, now_ms: u64) -> Handled {
        let message = match Message::parse(bytes) {
            Ok(message) => message,
            Err(StunError::Malformed | StunError::Method) => return Handled::silent(Outcome::Malformed),
        };
        match message.class() {
            Class::Request => {}
            Class::Indication => return Handled::silent(Outcome::KeepAlive),
            // Nothing was asked.
            Class::Success | Class::Error => return Handled::silent(Outcome::Malformed),
        }
        if !self.is_for_us(&message) || !message.has_fingerprint() || !self.knows_password(&message) {
            return Handled::silent(Outcome::NotAuthentic);
        }
        let unknown = message.not_understood();
        if !unknown.is_empty() {
            let numbers: Vec<u8> = unknown.into_iter().flat_map(u16::to_be_bytes).collect();
            let refusal = Builder::new(Class::Error, message.transaction()).error(420, "Unknown Attribute");
            let refusal = refusal.attribute(attribute::UNKNOWN_ATTRIBUTES, &numbers);
            return self.reply(Outcome::NotUnderstood, refusal);
        }
        // Who only answers never leads.
        if message.value(attribute::ICE_CONTROLLED).is_some() {
            let refusal = Builder::new(Class::Error, message.transaction()).error(487, "Role Conflict");
            return self.reply(Outcome::RoleConflict, refusal);
        }
        self.prove(from, now_ms);
        let nominated = message.value(attribute::USE_CANDIDATE).is_some();
        if nominated {
            self.pairs.selected = Some(from);
        }
        let outcome = if nominated { Outcome::Nominated } else { Outcome::Answered };
        self.reply(outcome, Builder::new(Class::Success, message.transaction()).mapped(from))
    }

    /// RFC 8445, section 7.2.2: our name, a colon, theirs.
    fn is_for_us(&self, message: &Message<'_>) -> bool {
        let Some(name) = message.value(attribute::USERNAME) else { return false };
        let Some((ours, theirs)) = std::str::from_utf8(name).ok().and_then(|name| name.split_once(':'))
        else {
            return false;
        };
        *ours == *self.local.ufrag && self.remote_ufrag.as_deref().is_none_or(|remote| remote == theirs)
    }

    fn knows_password(&self, message: &Message<'_>) -> bool {
        message.is_authentic(self.local.pwd.as_bytes())
    }

    fn reply(&self, outcome: Outcome, answer: Builder) -> Handled {
        Handled { outcome, answer: Some(answer.seal(self.local.pwd.as_bytes())) }
    }

    fn prove(&mut self, from: SocketAddr, now_ms: u64) {
        let place = self.pairs.proved.iter().position(|proved| *proved == Some(from)).unwrap_or_else(|| {
            let selected = self.pairs.selected;
            let age = |place: &usize| match self.pairs.proved[*place] {
                None => (0, 0),
                Some(address) if Some(address) == selected => (2, 0),
                Some(_) => (1, self.checked_ms[*place]),
            };
            (0..PAIRS_MAX).min_by_key(age).unwrap_or(0)
        });
        self.pairs.proved[place] = Some(from);
        self.checked_ms[place] = now_ms;
    }
}

impl Handled {
    fn silent(outcome: Outcome) -> Self {
        Self { outcome, answer: None }
    }
}
