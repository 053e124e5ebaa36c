//! A confirmed leg as a value that outlives its process: what is needed to hang up, to refresh and to change the session
//! afterwards, from both sides.
//!
//! Numbers that must only grow (CSeq, branches, SDP versions) are restored with a leap, so that a record that is older
//! than the leg's last request is as good as a new one (RFC 3261, section 12.2.1.1, asks for higher, not for next).

use std::time::{Duration, Instant};

use bytes::Bytes;
use sidetone_model::media::MediaDescription;
use sidetone_model::party::Flow;
use sidetone_model::signal::LegSignalKind;
use sidetone_proto::types::v1 as types;

use super::encryption::Encryption;
use super::offer::Negotiation;
use super::session::SessionTimer;
use super::state::{Accepted, Change, State};
use super::{Leg, LegSetup};
use crate::dialog::DialogState;
use crate::message::{Limits, Message, parse_datagram};
use crate::sdp::{Profile, RejectedMedia, RemoteSdp};
use crate::transaction::Timers;
use crate::uri::{NameAddr, SipUri};

/// A confirmed leg. It holds addresses and numbers of people: not for logs.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct StoredLeg {
    #[prost(message, optional, tag = "1")]
    flow: Option<types::Flow>,
    #[prost(string, tag = "2")]
    advertised: String,
    #[prost(string, tag = "3")]
    domain: String,
    #[prost(string, tag = "4")]
    call_id: String,
    #[prost(string, tag = "5")]
    local: String,
    #[prost(string, tag = "6")]
    remote: String,
    #[prost(uint32, tag = "7")]
    local_cseq: u32,
    #[prost(uint32, optional, tag = "8")]
    remote_cseq: Option<u32>,
    #[prost(string, tag = "9")]
    remote_target: String,
    #[prost(string, repeated, tag = "10")]
    route_set: Vec<String>,
    #[prost(string, tag = "11")]
    local_contact: String,
    #[prost(string, tag = "12")]
    via: String,
    #[prost(uint32, tag = "13")]
    branches: u32,
    #[prost(uint64, tag = "14")]
    session_id: u64,
    #[prost(uint64, tag = "15")]
    version: u64,
    #[prost(message, optional, tag = "16")]
    local_media: Option<types::MediaDescription>,
    #[prost(string, tag = "17")]
    local_sdp: String,
    #[prost(message, optional, tag = "18")]
    remote_sdp: Option<StoredSdp>,
    /// Of the session timer (RFC 4028); 0 for none.
    #[prost(uint64, tag = "19")]
    session_interval_s: u64,
    /// The refresh is ours.
    #[prost(bool, tag = "30")]
    session_ours: bool,
    /// The phone takes UPDATE.
    #[prost(bool, tag = "31")]
    session_updates: bool,
    /// The 2xx for which the record was made, as long as it has no ACK; none when it brings media keys.
    #[prost(message, optional, tag = "32")]
    accepted: Option<StoredAnswer>,
    /// Whether its media is to be encrypted, as [`Encryption`] numbers it.
    #[prost(uint32, tag = "33")]
    encryption: u32,
}

/// A 2xx of ours to an INVITE or re-INVITE that waits for its ACK. It holds addresses and numbers of people: not for logs.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
pub struct StoredAnswer {
    #[prost(bytes = "bytes", tag = "1")]
    response: Bytes,
    /// The CSeq number that the ACK will have.
    #[prost(uint32, tag = "2")]
    cseq: u32,
    /// Our offer stands in the 2xx.
    #[prost(bool, tag = "3")]
    answer_in_ack: bool,
    /// To the INVITE that opened the call.
    #[prost(bool, tag = "4")]
    opens: bool,
}

impl StoredLeg {
    /// The 2xx that had no ACK when the record was made.
    pub fn take_answer(&mut self) -> Option<StoredAnswer> {
        self.accepted.take()
    }
}

/// The other side's last description.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct StoredSdp {
    #[prost(message, optional, tag = "1")]
    audio: Option<types::MediaDescription>,
    #[prost(uint32, tag = "2")]
    audio_index: u32,
    /// Until version 0.1 what there was instead of `profile`.
    #[prost(bool, tag = "3")]
    feedback: bool,
    #[prost(message, repeated, tag = "4")]
    rejected: Vec<StoredRejected>,
    #[prost(string, tag = "5")]
    profile: String,
    #[prost(string, optional, tag = "6")]
    mid: Option<String>,
    #[prost(bool, tag = "7")]
    bundled: bool,
}

/// An m-line that is refused.
#[derive(Clone, PartialEq, prost::Message)]
#[prost(skip_debug)]
struct StoredRejected {
    #[prost(uint32, tag = "1")]
    index: u32,
    #[prost(string, tag = "2")]
    media: String,
    #[prost(string, tag = "3")]
    profile: String,
    #[prost(string, tag = "4")]
    formats: String,
    #[prost(string, optional, tag = "5")]
    mid: Option<String>,
}

macro_rules! silent {
    ($($type:ident)*) => {$(
        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(concat!(stringify!($type), "(..)"))
            }
        }
    )*};
}
silent!(StoredLeg StoredAnswer StoredSdp StoredRejected);

impl Leg {
    /// The leg as it is to be stored; none while it is not answered, and when it ends.
    pub fn export(&self) -> Option<StoredLeg> {
        if !matches!(self.state, State::Answered(_) | State::Confirmed { .. }) {
            return None;
        }
        let dialog = &self.dialog;
        let (session_id, version, local, remote) = self.negotiation.parts();
        let (interval, session_ours, session_updates) = self.session.parts();
        // Media keys are not stored: after a restart the owner of the media is asked to describe it again.
        let local = local.filter(|(media, _)| media.crypto.is_empty() && media.ice.is_none());
        let accepted = match &self.state {
            State::Answered(accepted) => Some((accepted, true)),
            State::Confirmed { change: Change::Accepted(accepted) } => Some((accepted, false)),
            _ => None,
        };
        let accepted = accepted.filter(|_| local.is_some()).map(|(accepted, opens)| StoredAnswer {
            response: accepted.response.to_bytes(),
            cseq: accepted.cseq,
            answer_in_ack: accepted.answer_in_ack,
            opens,
        });
        Some(StoredLeg {
            flow: Some((&self.setup.flow).into()),
            advertised: self.setup.advertised.to_string(),
            domain: self.setup.domain.to_string(),
            call_id: dialog.call_id.to_string(),
            local: dialog.local.to_string(),
            remote: dialog.remote.to_string(),
            local_cseq: dialog.local_cseq,
            remote_cseq: dialog.remote_cseq,
            remote_target: dialog.remote_target.to_string(),
            route_set: dialog.route_set.iter().map(ToString::to_string).collect(),
            local_contact: dialog.local_contact.to_string(),
            via: dialog.via.to_string(),
            branches: dialog.branches,
            session_id,
            version,
            local_media: local.map(|(media, _)| media.into()),
            local_sdp: local.map(|(_, text)| text.to_owned()).unwrap_or_default(),
            remote_sdp: remote.map(StoredSdp::from),
            session_interval_s: interval.as_secs(),
            session_ours,
            session_updates,
            accepted,
            encryption: self.setup.encryption.number(),
        })
    }

    /// The leg of a record, confirmed and with nothing under way. None when the record cannot be understood.
    pub fn restore(stored: StoredLeg, product: &str, timers: Timers, now: Instant) -> Option<Self> {
        let address = |text: &str| NameAddr::parse(text).ok();
        let dialog = DialogState {
            call_id: stored.call_id.into(),
            local: address(&stored.local)?,
            remote: address(&stored.remote)?,
            local_cseq: stored.local_cseq.checked_add(LEAP)?,
            remote_cseq: stored.remote_cseq,
            remote_target: SipUri::parse(&stored.remote_target).ok()?,
            route_set: stored.route_set.iter().map(|route| address(route)).collect::<Option<_>>()?,
            local_contact: stored.local_contact.into(),
            via: stored.via.into(),
            branches: stored.branches.checked_add(LEAP)?,
        };
        let setup = LegSetup {
            flow: Flow::try_from(stored.flow?).ok()?,
            advertised: stored.advertised.parse().ok()?,
            domain: stored.domain.into(),
            product: product.into(),
            timers,
            session_interval_s: stored.session_interval_s.try_into().ok()?,
            encryption: Encryption::from_number(stored.encryption),
        };
        let media = |media: Option<types::MediaDescription>| MediaDescription::try_from(media?).ok();
        let local = media(stored.local_media).map(|media| (media, stored.local_sdp));
        let remote = match stored.remote_sdp {
            Some(remote) => Some(remote.restore()?),
            None => None,
        };
        let version = stored.version + u64::from(LEAP);
        // Our tag is random.
        let spread = dialog
            .local_tag()
            .bytes()
            .fold(0, |sum: u32, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
        Some(Self {
            setup,
            dialog,
            state: State::Confirmed { change: Change::None },
            negotiation: Negotiation::restored(stored.session_id, version, local, remote),
            session: SessionTimer::restored(
                Duration::from_secs(stored.session_interval_s),
                stored.session_ours,
                stored.session_updates,
                spread,
                now,
            ),
            opened_by: None,
            reoffer: None,
            reoffer_ack: None,
            referral: None,
            referrals: 0,
            talk: None,
            refresh: None,
            reliable: super::reliable::Reliable::default(),
            digits: super::digits::Digits::default(),
            outputs: std::collections::VecDeque::new(),
            former_cseq: Some(stored.local_cseq),
            ended: false,
            finished: false,
            owner_away: true,
        })
    }

    /// Of a leg that was restored: says again the 2xx for which its record was made, `age` ago, until the ACK comes, or what is left
    /// of 64 T1 has passed (RFC 3261 section 13.3.1.4). Whether the ACK has come is not known, since none is stored; whoever sent
    /// one sends it again for each 2xx as long (section 13.2.2.4). Of an older record nothing is said, nor over a connection: that
    /// died with the former life, and who comes back over another must not be hung up for having come late.
    pub fn repeat_answer(&mut self, answer: StoredAnswer, age: Duration, now: Instant) {
        // ## Confirmed(None) => Answered | Confirmed(Accepted)
        let left = self.setup.timers.timeout().saturating_sub(age);
        let Ok(Message::Response(response)) = parse_datagram(answer.response, &Limits::default()) else {
            return;
        };
        if left.is_zero()
            || self.setup.flow.transport.is_reliable()
            || !matches!(self.state, State::Confirmed { change: Change::None })
        {
            return;
        }
        let accepted = Accepted {
            tx: None,
            response: Box::new(response),
            cseq: answer.cseq,
            answer_in_ack: answer.answer_in_ack,
            interval: self.setup.timers.t1 / 2,
            retransmit_at: now,
            give_up_at: now + left,
        };
        self.state = match answer.opens {
            true => State::Answered(accepted),
            false => State::Confirmed { change: Change::Accepted(accepted) },
        };
    }

    /// A request within the dialog: whoever sends one has sent the ACK, which nobody was there to take.
    pub(super) fn note_life(&mut self) {
        // ## Answered => Confirmed, Confirmed(Accepted) => Confirmed(None)
        let silent = |accepted: &Accepted| accepted.tx.is_none() && !accepted.answer_in_ack;
        match &self.state {
            State::Answered(accepted) if silent(accepted) => {
                self.state = State::Confirmed { change: Change::None };
                self.signal(LegSignalKind::Confirmed { media: None });
            }
            State::Confirmed { change: Change::Accepted(accepted) } if silent(accepted) => {
                self.state = State::Confirmed { change: Change::None };
            }
            _ => {}
        }
    }

    /// The phone is reached over another flow from now on: its connection was a new one.
    pub fn move_to(&mut self, flow: Flow) {
        self.setup.flow = flow;
    }
}

impl From<&RemoteSdp> for StoredSdp {
    fn from(sdp: &RemoteSdp) -> Self {
        let rejected = |line: &RejectedMedia| StoredRejected {
            index: line.index as u32,
            media: line.media.to_string(),
            profile: line.profile.to_string(),
            formats: line.formats.to_string(),
            mid: line.mid.as_deref().map(Into::into),
        };
        let audio = MediaDescription { crypto: Vec::new(), ice: None, ..sdp.audio.clone() };
        Self {
            audio: Some((&audio).into()),
            audio_index: sdp.audio_index as u32,
            feedback: false,
            rejected: sdp.rejected.iter().map(rejected).collect(),
            profile: sdp.profile.token().into(),
            mid: sdp.mid.as_deref().map(Into::into),
            bundled: sdp.bundled,
        }
    }
}

impl StoredSdp {
    fn restore(self) -> Option<RemoteSdp> {
        let rejected = |line: StoredRejected| RejectedMedia {
            index: line.index as usize,
            media: line.media.into(),
            profile: line.profile.into(),
            formats: line.formats.into(),
            mid: line.mid.map(Into::into),
        };
        let audio = MediaDescription::try_from(self.audio?).ok()?;
        let named = Profile::ALL.into_iter().find(|profile| profile.token() == self.profile);
        let of_old = match (audio.secured, self.feedback) {
            (false, false) => Profile::Avp,
            (false, true) => Profile::Avpf,
            (true, false) => Profile::Savp,
            (true, true) => Profile::Savpf,
        };
        Some(RemoteSdp {
            profile: named.unwrap_or(of_old),
            audio,
            audio_index: self.audio_index as usize,
            mid: self.mid.map(Into::into),
            bundled: self.bundled,
            rejected: self.rejected.into_iter().map(rejected).collect(),
        })
    }
}

/// More requests than a leg makes in its life.
const LEAP: u32 = 100_000;
