//! Keys for SRTP by offer and answer (RFC 4568): which line is taken, and what a worker needs of it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::TryRng as _;
use sidetone_model::media::{Crypto, MediaDescription};
use sidetone_rtp_core::srtp::{MasterKey, Receiver, Sender, Suite};
use zeroize::Zeroizing;

use crate::config::Srtp;
use crate::error::MediaError;
use crate::worker::srtp::SrtpPlaces;

/// The keys of one leg, as the control plane knows them.
#[derive(Default, Clone)]
pub(crate) struct Keys {
    /// What we send under; several while an offer of ours is open.
    ours: Vec<Line>,
    /// What the far side sends under.
    theirs: Option<(Suite, Zeroizing<Vec<u8>>)>,
    /// The offer that is open says that there is no other way.
    must: bool,
}

#[derive(Clone)]
struct Line {
    tag: u32,
    suite: Suite,
    key: Zeroizing<Vec<u8>>,
}

/// What changes for the worker. What it had before comes back in it.
#[derive(Debug, Default)]
pub(crate) struct Rekeying {
    /// Whether RTP is SRTP from now on.
    pub(crate) secured: bool,
    /// For what is sent, if it is another key than before.
    pub(crate) sender: Option<Box<Sender>>,
    /// For what comes, if it is another key than before.
    pub(crate) receiver: Option<Box<Receiver>>,
}

impl Rekeying {
    /// Nothing goes and nothing is heard until a handshake has given keys.
    pub(crate) fn awaited() -> Self {
        Self { secured: true, ..Self::default() }
    }
}

impl Keys {
    /// Whether both sides have keys out of their descriptions.
    pub(crate) fn is_agreed(&self) -> bool {
        self.theirs.is_some()
    }

    /// Our line of what both sides have agreed on; nothing where RTP is plain.
    pub(crate) fn standing(&self) -> Vec<Crypto> {
        if self.is_agreed() { self.ours.iter().map(Line::describe).collect() } else { Vec::new() }
    }

    /// Puts keys into an offer of ours. `must` is a wish for SRTP that the configuration does not have.
    ///
    /// # Errors
    /// [`MediaError::Io`] when the system gives no random bytes, [`MediaError::NotSecured`] when it is wished for and off.
    pub(crate) fn offer(
        &mut self,
        ours: &mut MediaDescription,
        srtp: Srtp,
        private_path: bool,
        must: bool,
    ) -> Result<(), MediaError> {
        self.must = must || srtp == Srtp::Required;
        if srtp == Srtp::Off {
            return if must { Err(MediaError::NotSecured) } else { Ok(()) };
        }
        if !self.must && !private_path {
            return Ok(());
        }
        for (n, suite) in OFFERED.into_iter().enumerate() {
            self.ours.push(Line { tag: n as u32 + 1, suite, key: random_key(suite)? });
        }
        // With plain RTP as a way out the keys are an offer within it (RFC 8643).
        ours.secured = self.must;
        ours.crypto = self.ours.iter().map(Line::describe).collect();
        Ok(())
    }

    /// Answers the keys of an offer in our answer `ours`. A key that stands is kept, so that a new description in mid-call
    /// breaks nothing.
    ///
    /// # Errors
    /// [`MediaError::NotSecured`] when one side must have SRTP and the other cannot.
    pub(crate) fn answer(
        &mut self,
        ours: &mut MediaDescription,
        remote: &MediaDescription,
        srtp: Srtp,
        must: bool,
    ) -> Result<Rekeying, MediaError> {
        let must = must || srtp == Srtp::Required;
        let chosen = remote.crypto.iter().find_map(|line| Some((line, read(line)?)));
        let (line, (suite, key)) = match chosen {
            Some(chosen) if srtp != Srtp::Off => chosen,
            _ if must || remote.secured => return Err(MediaError::NotSecured),
            _ => {
                *self = Self::default();
                return Ok(Rekeying::default());
            }
        };
        let kept = self.ours.iter().find(|line| line.suite == suite).map(|line| line.key.clone());
        let sender = match &kept {
            Some(_) if self.ours.len() == 1 => None,
            _ => Some(()),
        };
        let own = match kept {
            Some(key) => key,
            None => random_key(suite)?,
        };
        let mine = Line { tag: line.tag, suite, key: own };
        ours.secured = remote.secured;
        ours.crypto = vec![mine.describe()];
        let rekeying = Rekeying {
            secured: true,
            sender: sender.map(|()| sender_of(&mine)).transpose()?,
            receiver: self.learn(suite, key)?,
        };
        self.ours = vec![mine];
        Ok(rekeying)
    }

    /// Takes the answer to our offer.
    ///
    /// # Errors
    /// [`MediaError::NotSecured`] when the answer takes none of our keys although it must, or one that we did not offer.
    pub(crate) fn conclude(&mut self, remote: &MediaDescription) -> Result<Rekeying, MediaError> {
        let refused = remote.rtp.port() == 0;
        let Some(line) = remote.crypto.first().filter(|_| !self.ours.is_empty() && !refused) else {
            if self.must && !refused {
                return Err(MediaError::NotSecured);
            }
            self.ours.clear();
            return Ok(Rekeying::default());
        };
        let (suite, key) = read(line).ok_or(MediaError::NotSecured)?;
        let mine = self.ours.iter().find(|mine| mine.suite == suite && mine.tag == line.tag);
        let mine = mine.ok_or(MediaError::NotSecured)?.clone();
        let rekeying = Rekeying {
            secured: true,
            sender: if self.theirs.is_some() && self.ours.len() == 1 {
                None
            } else {
                Some(sender_of(&mine)?)
            },
            receiver: self.learn(suite, key)?,
        };
        self.ours = vec![mine];
        Ok(rekeying)
    }

    /// The keys of a leg that goes on elsewhere: ours, the far side's, and whether the open offer says that there is no other way.
    pub(crate) fn value(&self) -> (Vec<Crypto>, Option<Crypto>, bool) {
        let theirs =
            self.theirs.as_ref().map(|(suite, key)| Line { tag: 1, suite: *suite, key: key.clone() });
        (self.ours.iter().map(Line::describe).collect(), theirs.as_ref().map(Line::describe), self.must)
    }

    /// The keys of a leg from elsewhere, and what its worker needs to go on where it stood; `places` is absent where its RTP is
    /// plain.
    ///
    /// # Errors
    /// [`MediaError::NotSecured`] for keys that cannot be used, or that are missing.
    pub(crate) fn resume(
        ours: &[Crypto],
        theirs: Option<&Crypto>,
        must: bool,
        places: Option<&SrtpPlaces>,
    ) -> Result<(Self, Rekeying), MediaError> {
        let line = |crypto: &Crypto| {
            let (suite, key) = read(crypto).ok_or(MediaError::NotSecured)?;
            Ok(Line { tag: crypto.tag, suite, key })
        };
        let ours = ours.iter().map(line).collect::<Result<Vec<_>, MediaError>>()?;
        let mut keys = Self { ours, theirs: None, must };
        let theirs = theirs.map(line).transpose()?;
        let receiver = match theirs {
            Some(theirs) => keys.learn(theirs.suite, theirs.key)?,
            None => None,
        };
        let Some(places) = places else { return Ok((keys, Rekeying::default())) };
        let (Some(mine), Some(receiver)) = (keys.ours.first(), receiver) else {
            return Err(MediaError::NotSecured);
        };
        let sender = sender_of(mine)?.resumed_at(places.sent.as_ref(), places.srtcp_sent);
        let receiver = receiver.resumed_at(&places.received, &places.srtcp_received);
        let rekeying =
            Rekeying { secured: true, sender: Some(Box::new(sender)), receiver: Some(Box::new(receiver)) };
        Ok((keys, rekeying))
    }

    /// The far side's key; what opens what it sends, if it is another one than before.
    fn learn(&mut self, suite: Suite, key: Zeroizing<Vec<u8>>) -> Result<Option<Box<Receiver>>, MediaError> {
        let theirs = Some((suite, key));
        if self.theirs == theirs {
            return Ok(None);
        }
        let receiver = theirs
            .as_ref()
            .and_then(|(suite, key)| Receiver::new(&MasterKey::new(*suite, key).ok()?).ok().map(Box::new));
        self.theirs = theirs;
        receiver.map(Some).ok_or(MediaError::NotSecured)
    }
}

impl Line {
    fn describe(&self) -> Crypto {
        Crypto {
            tag: self.tag,
            suite: self.suite.name().into(),
            inline: BASE64.encode(&*self.key).into(),
            parameters: "".into(),
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let suites: Vec<_> = self.ours.iter().map(|line| line.suite.name()).collect();
        f.debug_struct("Keys").field("ours", &suites).finish_non_exhaustive()
    }
}

fn sender_of(line: &Line) -> Result<Box<Sender>, MediaError> {
    let sender = MasterKey::new(line.suite, &line.key).and_then(|master| Sender::new(&master));
    sender.map(Box::new).map_err(|_| MediaError::NotSecured)
}

fn random_key(suite: Suite) -> Result<Zeroizing<Vec<u8>>, MediaError> {
    let mut key = Zeroizing::new(vec![0; suite.key_len() + suite.salt_len()]);
    rand::rngs::SysRng
        .try_fill_bytes(&mut key)
        .map_err(|error| MediaError::Io { what: "system random source", problem: error.to_string() })?;
    Ok(key)
}

/// A line that we can speak: a suite that we know, a key of its length, no key identifier, and no session parameter that
/// changes what is sent (RFC 4568, section 6.3). A lifetime says nothing new: ours is shorter.
fn read(line: &Crypto) -> Option<(Suite, Zeroizing<Vec<u8>>)> {
    let suite = Suite::from_name(&line.suite)?;
    let mut parts = line.inline.split('|');
    let key = Zeroizing::new(BASE64.decode(parts.next()?).ok()?);
    let has_identifier = parts.any(|part| part.contains(':'));
    let is_plain = line.parameters.split_ascii_whitespace().all(|parameter| parameter.starts_with("WSH="));
    let fits = key.len() == suite.key_len() + suite.salt_len();
    (fits && is_plain && !has_identifier).then_some((suite, key))
}

/// Suites of our offers, best first: one that is cheap, and the one that every telephone has.
const OFFERED: [Suite; 3] = [Suite::AeadAes256Gcm, Suite::AeadAes128Gcm, Suite::AesCm128HmacSha1_80];

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::media::{Direction, Holder};

    fn description(secured: bool, crypto: Vec<Crypto>) -> MediaDescription {
        MediaDescription {
            holder: Holder::Node,
            rtp: "192.0.2.1:4000".parse().unwrap(),
            rtcp: None,
            rtcp_mux: false,
            formats: Vec::new(),
            direction: Direction::SendRecv,
            ptime_ms: 20,
            secured,
            crypto,
            dtls: None,
            ice: None,
            wants_voip_metrics: false,
        }
    }

    fn line(tag: u32, suite: &str, bytes: usize, tail: &str) -> Crypto {
        let inline = BASE64.encode(vec![7; bytes]) + tail;
        Crypto { tag, suite: suite.into(), inline: inline.into(), parameters: "".into() }
    }

    #[test]
    fn the_first_line_that_can_be_spoken_is_taken_and_kept() {
        let lines = vec![
            line(1, "F8_128_HMAC_SHA1_80", 30, ""),
            line(2, "AES_CM_128_HMAC_SHA1_80", 29, ""),
            line(3, "AES_CM_128_HMAC_SHA1_80", 30, "|2^20|1:4"),
            line(4, "AES_CM_128_HMAC_SHA1_32", 30, "|2^31"),
        ];
        let offer = description(true, lines);
        let mut keys = Keys::default();
        let mut ours = description(false, Vec::new());
        let first = keys.answer(&mut ours, &offer, Srtp::Optional, false).unwrap();
        assert!(first.secured && first.sender.is_some() && first.receiver.is_some() && ours.secured);
        assert_eq!((ours.crypto.len(), ours.crypto[0].tag), (1, 4));
        assert!(!format!("{keys:?} {ours:?}").contains(&*ours.crypto[0].inline), "a key is shown");
        let mut again = description(false, Vec::new());
        let second = keys.answer(&mut again, &offer, Srtp::Optional, false).unwrap();
        assert_eq!(again.crypto, ours.crypto);
        assert!(
            second.secured && second.sender.is_none() && second.receiver.is_none(),
            "nothing has changed"
        );
    }

    #[test]
    fn who_must_have_it_gets_it_or_nothing() {
        let plain = description(false, Vec::new());
        let unknown = description(true, vec![line(1, "NULL", 30, "")]);
        let known = description(true, vec![line(1, "AES_CM_128_HMAC_SHA1_80", 30, "")]);
        let answer = |remote: &MediaDescription, srtp, must| {
            Keys::default().answer(&mut description(false, Vec::new()), remote, srtp, must).map(|r| r.secured)
        };
        assert_eq!(answer(&plain, Srtp::Optional, false), Ok(false));
        for (remote, srtp, must) in [
            (&plain, Srtp::Required, false),
            (&plain, Srtp::Optional, true),
            (&unknown, Srtp::Optional, false),
            (&known, Srtp::Off, false),
        ] {
            assert_eq!(answer(remote, srtp, must), Err(MediaError::NotSecured));
        }
        assert_eq!(answer(&known, Srtp::Required, true), Ok(true));
    }

    #[test]
    fn an_offer_and_its_answer_meet() {
        let (mut caller, mut callee) = (Keys::default(), Keys::default());
        let mut offer = description(false, Vec::new());
        caller.offer(&mut offer, Srtp::Optional, true, false).unwrap();
        assert!(!offer.secured && offer.crypto.len() == OFFERED.len());
        let mut answer = description(false, Vec::new());
        let mut theirs = callee.answer(&mut answer, &offer, Srtp::Optional, false).unwrap();
        let mut mine = caller.conclude(&answer).unwrap();
        let mut packet = [0x55; 200];
        packet[..12].copy_from_slice(&[0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 9]);
        let sent = packet;
        for (sender, receiver) in
            [(&mut mine.sender, &mut theirs.receiver), (&mut theirs.sender, &mut mine.receiver)]
        {
            let length = sender.as_mut().unwrap().protect_rtp(&mut packet, 172).unwrap();
            assert_eq!(receiver.as_mut().unwrap().open_rtp(&mut packet[..length]), Ok(172));
            assert_eq!(packet[..172], sent[..172]);
        }
        // Whoever does not know keys answers without.
        let mut caller = Keys::default();
        caller.offer(&mut offer, Srtp::Optional, true, false).unwrap();
        assert!(!caller.conclude(&description(false, Vec::new())).unwrap().secured);
        let mut caller = Keys::default();
        caller.offer(&mut offer, Srtp::Required, false, false).unwrap();
        assert_eq!(caller.conclude(&description(true, Vec::new())).err(), Some(MediaError::NotSecured));
        let mut plain = description(false, Vec::new());
        Keys::default().offer(&mut plain, Srtp::Optional, false, false).unwrap();
        assert!(plain.crypto.is_empty(), "nobody on the way shall read keys");
    }
}
