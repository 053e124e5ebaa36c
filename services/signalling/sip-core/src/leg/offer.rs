//! Offer and answer (RFC 3264) as far as the leg itself must remember it.

use sidetone_model::media::{MediaDescription, Setup};

use crate::sdp::{self, RemoteSdp, SdpIdentity};

/// Both sides' last descriptions.
#[derive(Debug, Default)]
pub(super) struct Negotiation {
    session_id: u64,
    version: u64,
    local: Option<Local>,
    /// The last description that the other side sent and that was accepted.
    pub(super) remote: Option<Box<RemoteSdp>>,
    /// Our offer has no answer yet.
    pub(super) offer_pending: bool,
}

/// What we described last.
#[derive(Debug, Clone)]
pub(super) struct Local {
    media: MediaDescription,
    text: String,
}

impl Negotiation {
    pub(super) fn new(session_id: u64) -> Self {
        Self { session_id, ..Self::default() }
    }

    /// What there is to be stored: session id, version, our description and the other side's.
    pub(super) fn parts(&self) -> (u64, u64, Option<(&MediaDescription, &str)>, Option<&RemoteSdp>) {
        let local = self.local.as_ref().map(|local| (&local.media, local.text.as_str()));
        (self.session_id, self.version, local, self.remote.as_deref())
    }

    /// Made again of what was stored, with nothing under way.
    pub(super) fn restored(
        session_id: u64,
        version: u64,
        local: Option<(MediaDescription, String)>,
        remote: Option<RemoteSdp>,
    ) -> Self {
        let local = local.map(|(media, text)| Local { media, text });
        Self { session_id, version, local, remote: remote.map(Box::new), offer_pending: false }
    }

    /// Our offer as text.
    pub(super) fn offer(&mut self, media: &MediaDescription) -> String {
        self.offer_pending = true;
        let media = &as_offered(media);
        let identity = self.identity(media);
        let text = match &self.remote {
            // A later offer keeps the m-lines that stand (RFC 3264 section 8).
            Some(remote) => sdp::write_answer(media, remote, &identity),
            None => sdp::write(media, &identity),
        };
        self.keep(media, text)
    }

    /// Our answer to an offer as text.
    pub(super) fn answer(&mut self, media: &MediaDescription, offer: &RemoteSdp) -> String {
        let identity = self.identity(media);
        let text = sdp::write_answer(media, offer, &identity);
        self.remote = Some(Box::new(offer.clone()));
        self.keep(media, text)
    }

    /// The answer to our offer has come.
    pub(super) fn learn_answer(&mut self, answer: RemoteSdp) {
        self.remote = Some(Box::new(answer));
        self.offer_pending = false;
    }

    /// What we described last.
    pub(super) fn local(&self) -> Option<Local> {
        self.local.clone()
    }

    /// An offer of ours was refused: what stood before it stands. Its version is never used again.
    pub(super) fn withdraw(&mut self, before: Option<Local>) {
        self.local = before;
        self.offer_pending = false;
    }

    /// Our media as we described it last.
    pub(super) fn local_media(&self) -> Option<MediaDescription> {
        self.local.as_ref().map(|local| local.media.clone())
    }

    /// Our description as it was sent last.
    pub(super) fn local_text(&self) -> Option<String> {
        self.local.as_ref().map(|local| local.text.clone())
    }

    /// Whether that is what the other side described last.
    pub(super) fn is_remote(&self, description: &RemoteSdp) -> bool {
        self.remote.as_deref() == Some(description)
    }

    /// Our last description, when an offer is the one that stands already: a pure refresh.
    pub(super) fn unchanged(&self, offer: &RemoteSdp) -> Option<String> {
        let remote = self.remote.as_deref()?;
        (remote == offer).then(|| self.local.as_ref().map(|local| local.text.clone()))?
    }

    fn keep(&mut self, media: &MediaDescription, text: String) -> String {
        self.local = Some(Local { media: media.clone(), text: text.clone() });
        text
    }

    /// The version grows when the description differs (RFC 3264 section 8).
    fn identity(&mut self, media: &MediaDescription) -> SdpIdentity {
        match &self.local {
            Some(local) if local.media == *media => {}
            _ => self.version += 1,
        }
        SdpIdentity { origin: media.rtp.ip(), session_id: self.session_id, version: self.version }
    }
}

/// A description as an offer: who begins a handshake is left to the other side (RFC 8842, section 5.2).
fn as_offered(media: &MediaDescription) -> MediaDescription {
    let mut offered = media.clone();
    if let Some(dtls) = &mut offered.dtls {
        dtls.setup = Setup::Actpass;
    }
    offered
}
