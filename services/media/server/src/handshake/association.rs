//! DTLS of one leg: from its first packet to the keys of SRTP (RFC 5764, section 4.2).

use std::sync::Arc;
use std::time::Instant;

use dimpl::{Dtls, Output, SrtpProfile};
use sidetone_rtp_core::srtp::{MasterKey, Receiver, Sender, Suite};
use zeroize::Zeroizing;

use super::fingerprint;
use super::identity::{HANDSHAKE_MAX, Identity};
use super::{Agreed, Failure, Role};
use crate::keys::Rekeying;

/// One handshake, and what is repeated of it afterwards.
#[derive(Debug)]
pub(super) struct Association {
    dtls: Dtls,
    agreed: Agreed,
    /// The far side has shown the certificate of its description.
    is_theirs: bool,
    keys: Option<(Suite, Zeroizing<Vec<u8>>)>,
    connected: bool,
    /// When something is to be repeated.
    due: Option<Instant>,
    /// When it has failed, unless there are keys by then.
    deadline: Option<Instant>,
    buffer: Vec<u8>,
}

/// Packets to be sent.
pub(super) type Flight = Vec<Vec<u8>>;

impl Association {
    /// A handshake of which nothing has happened yet. `is_checked`: ICE has proved the address.
    pub(super) fn new(identity: &Identity, agreed: &Agreed, is_checked: bool, now: Instant) -> Self {
        let config = if is_checked { &identity.checked } else { &identity.unchecked };
        let mut dtls = Dtls::new_auto(Arc::clone(config), identity.certificate.clone(), now);
        dtls.set_active(agreed.role == Role::Client);
        Self {
            dtls,
            agreed: agreed.clone(),
            is_theirs: false,
            keys: None,
            connected: false,
            due: None,
            deadline: Some(now + HANDSHAKE_MAX),
            buffer: vec![0; 2048],
        }
    }

    /// When [`Self::handle_timeout`] is to be called.
    pub(super) fn due(&self) -> Option<Instant> {
        match (self.due, self.deadline) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        }
    }

    /// Whether it has given keys.
    pub(super) fn is_done(&self) -> bool {
        self.deadline.is_none()
    }

    /// Takes a packet in; keys, once, when it completes the handshake.
    ///
    /// # Errors
    /// When the association is of no more use.
    pub(super) fn handle_packet(
        &mut self,
        packet: &[u8],
        now: Instant,
        flight: &mut Flight,
    ) -> Result<Option<Rekeying>, Failure> {
        self.dtls.handle_timeout(now).map_err(failure)?;
        let result = self.dtls.handle_packet(packet);
        // What it has to say is said also when it gives up: an alert.
        let progress = self.drain(flight);
        result.map_err(failure)?;
        progress
    }

    /// Repeats what is due.
    ///
    /// # Errors
    /// When the association is of no more use.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        flight: &mut Flight,
    ) -> Result<Option<Rekeying>, Failure> {
        if self.deadline.is_some_and(|deadline| deadline <= now) {
            return Err(Failure::TimedOut);
        }
        self.dtls.handle_timeout(now).map_err(failure)?;
        self.drain(flight)
    }

    fn drain(&mut self, flight: &mut Flight) -> Result<Option<Rekeying>, Failure> {
        loop {
            match self.dtls.poll_output(&mut self.buffer) {
                Output::Packet(packet) => flight.push(packet.to_vec()),
                Output::BufferTooSmall { needed } => self.buffer.resize(needed, 0),
                Output::PeerCert(certificate) => {
                    if !fingerprint::matches(certificate, &self.agreed.theirs) {
                        return Err(Failure::Fingerprint);
                    }
                    self.is_theirs = true;
                }
                Output::KeyingMaterial(material, profile) => {
                    let suite = suite_of(profile).ok_or(Failure::NoProfile)?;
                    self.keys = Some((suite, Zeroizing::new(material.to_vec())));
                }
                Output::Connected => self.connected = true,
                Output::Timeout(due) => {
                    self.due = Some(due);
                    break;
                }
                // The end of an association says nothing about the call, and no data go over it.
                _ => {}
            }
        }
        if !self.connected || self.deadline.is_none() {
            return Ok(None);
        }
        if !self.is_theirs {
            return Err(Failure::Fingerprint);
        }
        let (suite, material) = self.keys.take().ok_or(Failure::NoProfile)?;
        self.deadline = None;
        rekeying(self.agreed.role, suite, &material).map(Some)
    }
}

fn failure(error: dimpl::Error) -> Failure {
    match error {
        dimpl::Error::Timeout(_) => Failure::TimedOut,
        _ => Failure::Protocol,
    }
}

fn suite_of(profile: SrtpProfile) -> Option<Suite> {
    match profile {
        SrtpProfile::AES128_CM_SHA1_80 => Some(Suite::AesCm128HmacSha1_80),
        SrtpProfile::AEAD_AES_128_GCM => Some(Suite::AeadAes128Gcm),
        SrtpProfile::AEAD_AES_256_GCM => Some(Suite::AeadAes256Gcm),
        _ => None,
    }
}

/// The client's key, the server's, the client's salt, the server's (RFC 5764, section 4.2).
fn rekeying(role: Role, suite: Suite, material: &[u8]) -> Result<Rekeying, Failure> {
    let (key, salt) = (suite.key_len(), suite.salt_len());
    let master = |n: usize| {
        let mut joined = Zeroizing::new(Vec::with_capacity(key + salt));
        joined.extend_from_slice(material.get(n * key..(n + 1) * key)?);
        joined.extend_from_slice(material.get(2 * key + n * salt..2 * key + (n + 1) * salt)?);
        MasterKey::new(suite, &joined).ok()
    };
    let (ours, theirs) = if role == Role::Client { (0, 1) } else { (1, 0) };
    let sender = master(ours).and_then(|key| Sender::new(&key).ok());
    let receiver = master(theirs).and_then(|key| Receiver::new(&key).ok());
    match (sender, receiver) {
        (Some(sender), Some(receiver)) => {
            Ok(Rekeying { secured: true, sender: Some(sender.into()), receiver: Some(receiver.into()) })
        }
        _ => Err(Failure::NoProfile),
    }
}
