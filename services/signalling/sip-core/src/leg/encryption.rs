//! Whether the media of a leg is encrypted (SRTP, RFC 3711): what our first offer says, which offers and answers of the far side are
//! taken, and what is offered to a phone that takes the first not.
//!
//! The media node makes keys for every offer of ours. What of them is written stands here, because only here it is known over what
//! the description goes: keys go over TLS and WSS alone, unless nothing else than SRTP is wanted at all.

use sidetone_model::media::MediaDescription;
use sidetone_model::termination::Termination;

use crate::sdp::{RemoteSdp, SdpError};

/// What is wanted of a device or a trunk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Encryption {
    /// Offered under RTP/AVP over a private path (RFC 8643), and once more under RTP/SAVP to who refuses that; taken when it is offered.
    #[default]
    Usual,
    /// Keys in SDP are neither offered nor taken. What comes by DTLS (RFC 5764), as browsers must have it, stays.
    Off,
    /// Offered under RTP/SAVP over a private path, and without keys to who refuses that; taken when it is offered.
    Offered,
    /// Offered under RTP/SAVP over whatever path, and nothing else is taken.
    Required,
}

impl Encryption {
    /// By number, as it is stored; what is not known is usual.
    pub(super) fn from_number(number: u32) -> Self {
        match number {
            1 => Self::Off,
            2 => Self::Offered,
            3 => Self::Required,
            _ => Self::Usual,
        }
    }

    pub(super) fn number(self) -> u32 {
        match self {
            Self::Usual => 0,
            Self::Off => 1,
            Self::Offered => 2,
            Self::Required => 3,
        }
    }

    /// The first offer of a leg; `again` is the one to a phone that has refused the first. None when keys are a must and the media
    /// node has none.
    pub(super) fn offer(
        self,
        media: &MediaDescription,
        private: bool,
        again: bool,
    ) -> Option<MediaDescription> {
        let mut offer = media.clone();
        // DTLS is said by the profile alone; and the media node may have its own must.
        if media.dtls.is_some() || media.secured {
            return (self.is_met_by(media)).then_some(offer);
        }
        let (keys, secured) = match (self, again) {
            (Self::Off, _) | (Self::Offered, true) => (false, false),
            (Self::Usual, again) => (private, again && private),
            (Self::Offered, false) => (private, private),
            (Self::Required, _) => (true, true),
        };
        if !keys {
            offer.crypto.clear();
        }
        offer.secured = secured && !offer.crypto.is_empty();
        self.is_met_by(&offer).then_some(offer)
    }

    /// Whether a phone that refuses the first offer gets another one.
    pub(super) fn has_another_offer(self, media: &MediaDescription, private: bool) -> bool {
        let first = self.offer(media, private, false);
        first.is_some() && first != self.offer(media, private, true)
    }

    /// Whether a description has what is a must.
    pub(super) fn is_met_by(self, media: &MediaDescription) -> bool {
        self != Self::Required || media.rtp.port() == 0 || !media.crypto.is_empty() || media.dtls.is_some()
    }

    /// An offer of the far side as it was read, without what is not to be taken of it.
    ///
    /// # Errors
    /// When it is not to be taken at all.
    pub(super) fn admit(self, offer: Result<RemoteSdp, SdpError>) -> Result<RemoteSdp, SdpError> {
        let mut offer = self.accept(offer)?;
        if self == Self::Off && offer.audio.dtls.is_none() {
            if offer.profile.is_secured() && offer.audio.rtp.port() != 0 {
                return Err(SdpError::Encrypted);
            }
            offer.audio.crypto.clear();
        }
        Ok(offer)
    }

    /// An answer of the far side, as it was read.
    ///
    /// # Errors
    /// When what is a must is not in it.
    pub(super) fn accept(self, answer: Result<RemoteSdp, SdpError>) -> Result<RemoteSdp, SdpError> {
        match answer {
            Ok(answer) if self.is_met_by(&answer.audio) => Ok(answer),
            // Without keys RTP/SAVP is no audio at all.
            Ok(_) | Err(SdpError::NoAudio) if self == Self::Required => Err(SdpError::Unencrypted),
            other => other,
        }
    }
}

/// Keys are a must, and the media node has none.
pub(super) fn no_keys() -> Termination {
    let text = "the media is to be encrypted and the media node gives no keys: media.srtp must not be off";
    Termination::new(SdpError::Unencrypted.cause()).with_text(text)
}

#[cfg(test)]
mod tests {
    use sidetone_model::media::{Crypto, Direction, Holder};

    use super::*;

    fn media(keys: usize, secured: bool) -> MediaDescription {
        let line = |tag: usize| Crypto {
            tag: tag as u32,
            suite: "AES_CM_128_HMAC_SHA1_80".into(),
            inline: "key".into(),
            parameters: "".into(),
        };
        MediaDescription {
            holder: Holder::Node,
            rtp: ([192, 0, 2, 1], 4000).into(),
            rtcp: None,
            rtcp_mux: false,
            formats: Vec::new(),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            secured,
            crypto: (1..=keys).map(line).collect(),
            dtls: None,
            ice: None,
            wants_voip_metrics: false,
        }
    }

    #[test]
    fn keys_go_over_private_paths_unless_they_are_a_must() {
        use Encryption::{Off, Offered, Required, Usual};
        // What is wanted, over a private path, the second time; keys and RTP/SAVP in the offer.
        let cases = [
            (Usual, true, false, (2, false)),
            (Usual, true, true, (2, true)),
            (Usual, false, false, (0, false)),
            (Usual, false, true, (0, false)),
            (Off, true, false, (0, false)),
            (Offered, true, false, (2, true)),
            (Offered, true, true, (0, false)),
            (Offered, false, false, (0, false)),
            (Required, true, false, (2, true)),
            (Required, false, false, (2, true)),
            (Required, false, true, (2, true)),
        ];
        for (wanted, private, again, expected) in cases {
            let offer = wanted.offer(&media(2, false), private, again).unwrap();
            assert_eq!((offer.crypto.len(), offer.secured), expected, "{wanted:?} {private} {again}");
        }
        let others = [Usual, Off, Offered, Required].map(|it| it.has_another_offer(&media(2, false), true));
        assert_eq!(others, [true, false, true, false]);
        assert!(![Usual, Offered].iter().any(|it| it.has_another_offer(&media(2, false), false)));
    }

    #[test]
    fn the_must_of_the_media_node_stands_and_without_keys_there_is_none() {
        for wanted in [Encryption::Usual, Encryption::Off, Encryption::Offered, Encryption::Required] {
            let offer = wanted.offer(&media(1, true), false, false).unwrap();
            assert_eq!((offer.crypto.len(), offer.secured), (1, true), "{wanted:?}");
            assert_eq!(Encryption::from_number(wanted.number()), wanted);
        }
        assert_eq!(Encryption::Required.offer(&media(0, false), true, false), None);
        assert!(!Encryption::Offered.offer(&media(0, false), true, false).unwrap().secured);
    }
}
