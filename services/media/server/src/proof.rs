//! What proves the far side in the path of the media, by offer and answer: DTLS (RFC 5763, RFC 8842) and ICE (RFC 8839).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use rand::TryRng as _;
use sidetone_ice_core::Credentials;
use sidetone_model::media::{Dtls, Fingerprint, Ice, MediaDescription, Setup};
use zeroize::Zeroizing;

use crate::config::{self, Srtp};
use crate::error::MediaError;
use crate::handshake::fingerprint;
use crate::handshake::{Agreed, Role, Wanted, WantedIce};

/// What the node has to say about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms<'a> {
    /// Of the node's certificate.
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) srtp: Srtp,
    pub(crate) ice: config::Ice,
}

/// What was agreed for one leg, as the control plane knows it.
#[derive(Debug, Default, Clone)]
pub(crate) struct Proof {
    /// Our side of ICE; none where it is not spoken.
    ours: Option<Credentials>,
    theirs: Option<Box<Ice>>,
    dtls: Option<Agreed>,
    /// An offer of ours for DTLS is open.
    offered: bool,
    /// Where the far side wants RTP, if it said where.
    remote: Option<std::net::SocketAddr>,
}

impl Proof {
    /// Whether addresses are proved by ICE.
    pub(crate) fn has_ice(&self) -> bool {
        self.ours.is_some()
    }

    /// Whether keys come by DTLS.
    pub(crate) fn has_dtls(&self) -> bool {
        self.dtls.is_some() || self.offered
    }

    /// What is to be done about it; none when nothing is.
    pub(crate) fn wanted(&self) -> Option<Wanted> {
        let ice = self.ours.clone().map(|local| WantedIce {
            local,
            remote_ufrag: self.theirs.as_ref().map(|theirs| theirs.ufrag.clone()),
        });
        let wanted = Wanted { ice, dtls: self.dtls.clone(), remote: self.remote };
        (wanted.ice.is_some() || wanted.dtls.is_some()).then_some(wanted)
    }

    /// Makes an offer of ours one for a browser: SRTP by DTLS as a must, ICE, and one port.
    ///
    /// # Errors
    /// [`MediaError::Io`] when the system gives no random bytes.
    pub(crate) fn offer(&mut self, ours: &mut MediaDescription, terms: &Terms<'_>) -> Result<(), MediaError> {
        ours.secured = true;
        ours.rtcp_mux = true;
        ours.dtls = Some(describe(terms, Setup::Actpass));
        self.offered = true;
        if terms.ice == config::Ice::Lite {
            let local = credentials()?;
            ours.ice = Some(speak(&local));
            self.ours = Some(local);
        }
        Ok(())
    }

    /// Answers an offer in our answer `ours`: true when keys come by DTLS, so that those of SDP do not matter. What stands
    /// is kept, so that a new description in mid-call breaks nothing.
    ///
    /// # Errors
    /// [`MediaError::Io`] when the system gives no random bytes.
    pub(crate) fn answer(
        &mut self,
        ours: &mut MediaDescription,
        remote: &MediaDescription,
        terms: &Terms<'_>,
    ) -> Result<bool, MediaError> {
        self.answer_ice(ours, remote, terms)?;
        self.learn_address(remote);
        self.offered = false;
        let described = remote.dtls.as_ref().filter(|_| terms.srtp != Srtp::Off);
        let theirs = described.map(|dtls| fingerprint::strongest(&dtls.fingerprints)).unwrap_or_default();
        let Some(described) = described.filter(|_| !theirs.is_empty()) else {
            self.dtls = None;
            return Ok(false);
        };
        let role = match described.setup {
            Setup::Active => Role::Server,
            Setup::Passive => Role::Client,
            // Who offers can begin before we know where it is, also through a NAT.
            Setup::Actpass => self.dtls.as_ref().map_or(Role::Server, |standing| standing.role),
        };
        let setup = if role == Role::Server { Setup::Passive } else { Setup::Active };
        ours.secured = remote.secured;
        ours.dtls = Some(describe(terms, setup));
        self.dtls = Some(Agreed { role, theirs });
        Ok(true)
    }

    /// Takes the answer to our offer, the first or one in a session that stands: true when keys come by DTLS.
    ///
    /// # Errors
    /// [`MediaError::NotSecured`] when it was offered and not taken: then there was no other way.
    pub(crate) fn conclude(&mut self, remote: &MediaDescription) -> Result<bool, MediaError> {
        if !self.offered {
            // A change of what stands, and is proved, asks for no other proof.
            return Ok(self.dtls.is_some());
        }
        if remote.rtp.port() == 0 {
            *self = Self::default();
            return Ok(false);
        }
        let theirs = fingerprint::strongest(remote.dtls.as_ref().map_or(&[], |dtls| &dtls.fingerprints));
        let Some(dtls) = remote.dtls.as_ref().filter(|_| !theirs.is_empty()) else {
            return Err(MediaError::NotSecured);
        };
        let role = if dtls.setup == Setup::Passive { Role::Client } else { Role::Server };
        self.dtls = Some(Agreed { role, theirs });
        self.offered = false;
        self.learn_address(remote);
        self.theirs = remote.ice.clone();
        // Who does not answer checks with checks cannot be reached by them; two who only answer never meet.
        if self.theirs.as_ref().is_none_or(|theirs| theirs.lite) || !remote.rtcp_mux {
            self.ours = None;
        }
        Ok(true)
    }

    /// ICE is taken where it is offered for one port, and by someone who checks.
    fn answer_ice(
        &mut self,
        ours: &mut MediaDescription,
        remote: &MediaDescription,
        terms: &Terms<'_>,
    ) -> Result<(), MediaError> {
        let offered = remote.ice.clone().filter(|ice| !ice.lite && remote.rtcp_mux);
        let Some(theirs) = offered.filter(|_| terms.ice == config::Ice::Lite) else {
            (self.ours, self.theirs) = (None, None);
            return Ok(());
        };
        // Another name is a restart, which is answered by one (RFC 8839, section 4.4.1.1).
        let stands = self.theirs.as_ref() == Some(&theirs);
        let local = match self.ours.take().filter(|_| stands) {
            Some(local) => local,
            None => credentials()?,
        };
        ours.ice = Some(speak(&local));
        (self.ours, self.theirs) = (Some(local), Some(theirs));
        Ok(())
    }

    fn learn_address(&mut self, remote: &MediaDescription) {
        let leads_somewhere = remote.rtp.port() != 0 && !remote.rtp.ip().is_unspecified();
        self.remote = leads_somewhere.then_some(remote.rtp);
    }
}

fn describe(terms: &Terms<'_>, setup: Setup) -> Box<Dtls> {
    Box::new(Dtls { fingerprints: vec![terms.fingerprint.clone()], setup })
}

fn speak(local: &Credentials) -> Box<Ice> {
    Box::new(Ice { ufrag: local.ufrag().into(), pwd: local.pwd().into(), lite: true })
}

/// A name of 48 bits and a password of 144 (RFC 8839, section 5.4 asks for 24 and 128).
fn credentials() -> Result<Credentials, MediaError> {
    let mut bytes = Zeroizing::new([0; 24]);
    rand::rngs::SysRng
        .try_fill_bytes(&mut *bytes)
        .map_err(|error| MediaError::Io { what: "system random source", problem: error.to_string() })?;
    let pwd = Zeroizing::new(BASE64.encode(&bytes[6..]));
    Ok(Credentials::new(&BASE64.encode(&bytes[..6]), &pwd))
}

#[cfg(test)]
#[path = "proof_tests.rs"]
mod tests;
