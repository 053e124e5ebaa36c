//! SDP (RFC 8866) to and from `sidetone_model::media::MediaDescription`. SDP text exists nowhere else.
//!
//! One leg has one audio stream. An offer's other streams are kept by their m-lines, since an answer must refuse
//! each of them in its place (RFC 3264 section 6).

mod parse;
mod proof;
mod write;

use std::net::IpAddr;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::media::MediaDescription;

pub use parse::{parse, parse_session};
pub use write::{write, write_answer};

/// The media type of SDP bodies.
pub const CONTENT_TYPE: &str = "application/sdp";

/// A session description of the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteSdp {
    /// Its one audio stream that we speak.
    pub audio: MediaDescription,
    /// The position of that stream's m-line, from 0.
    pub audio_index: usize,
    /// The profile of that m-line, which the answer repeats.
    pub profile: Profile,
    /// What names that stream (RFC 5888), which the answer repeats.
    pub mid: Option<Box<str>>,
    /// The stream is in a BUNDLE group, of which it is the only one that we take (RFC 9143).
    pub bundled: bool,
    /// All other m-lines, in order, each with its position.
    pub rejected: Vec<RejectedMedia>,
}

/// An RTP profile that is spoken here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Profile {
    /// RFC 3551.
    #[default]
    Avp,
    /// RFC 4585, of whose feedback nothing is used.
    Avpf,
    /// SRTP (RFC 3711), keyed by `a=crypto` (RFC 4568).
    Savp,
    /// Both (RFC 5124).
    Savpf,
    /// SRTP, keyed by DTLS (RFC 5764).
    DtlsSavp,
    /// The same with feedback: what browsers speak.
    DtlsSavpf,
}

impl Profile {
    pub(crate) const ALL: [Self; 6] =
        [Self::Avp, Self::Avpf, Self::Savp, Self::Savpf, Self::DtlsSavp, Self::DtlsSavpf];

    /// The profile of an offer of ours.
    pub(crate) fn of_offer(media: &MediaDescription) -> Self {
        match (media.secured, media.dtls.is_some()) {
            (false, _) => Self::Avp,
            (true, false) => Self::Savp,
            // Browsers take this one, and those without feedback ignore it.
            (true, true) => Self::DtlsSavpf,
        }
    }

    pub(crate) fn is_secured(self) -> bool {
        !matches!(self, Self::Avp | Self::Avpf)
    }

    /// Whether keys come by DTLS and no other way.
    pub(crate) fn is_dtls(self) -> bool {
        matches!(self, Self::DtlsSavp | Self::DtlsSavpf)
    }

    pub(crate) fn token(self) -> &'static str {
        match self {
            Self::Avp => "RTP/AVP",
            Self::Avpf => "RTP/AVPF",
            Self::Savp => "RTP/SAVP",
            Self::Savpf => "RTP/SAVPF",
            Self::DtlsSavp => "UDP/TLS/RTP/SAVP",
            Self::DtlsSavpf => "UDP/TLS/RTP/SAVPF",
        }
    }
}

/// An m-line that the answer refuses with port 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedMedia {
    /// Its position, from 0.
    pub index: usize,
    /// `video`, `image`, `audio`...
    pub media: Box<str>,
    /// Its profile.
    pub profile: Box<str>,
    /// Its format list; an answer repeats one of them.
    pub formats: Box<str>,
    /// What names it (RFC 5888).
    pub mid: Option<Box<str>>,
}

/// Who describes: the fields of the o-line (RFC 8866 section 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SdpIdentity {
    /// The address of the o-line.
    pub origin: IpAddr,
    /// The session id, the same for the life of the dialog.
    pub session_id: u64,
    /// Grows by one with each description that differs from the one before (RFC 3264 section 8).
    pub version: u64,
}

/// A body that is no session description that we can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SdpError {
    /// Not SDP.
    #[error("not a session description")]
    Malformed,
    /// Larger than any phone would send.
    #[error("a session description beyond the size limit")]
    TooLarge,
    /// No audio stream over RTP, or over SRTP with a key or a fingerprint in the description.
    #[error("no audio stream over RTP that could be spoken")]
    NoAudio,
    /// An audio stream without an address.
    #[error("an audio stream without an address")]
    NoAddress,
    /// The address is a host name. Names are not resolved on the signalling path.
    #[error("a host name where an address is needed")]
    HostName,
    /// A format list without a format that could be understood.
    #[error("no usable format in the format list")]
    NoFormat,
    /// Plain media where it is to be encrypted.
    #[error("media without encryption where it is a must")]
    Unencrypted,
    /// Encrypted media where it is to be plain.
    #[error("encrypted media where there is to be none")]
    Encrypted,
}

impl Classify for SdpError {
    fn class(&self) -> Class {
        match self {
            Self::Malformed | Self::TooLarge => Class::Invalid,
            // Nothing is wrong with the text; it only asks for what is not there (RFC 3261 section 21.4.26).
            Self::NoAudio
            | Self::NoAddress
            | Self::HostName
            | Self::NoFormat
            | Self::Unencrypted
            | Self::Encrypted => Class::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Malformed => "sdp_malformed",
            Self::TooLarge => "sdp_too_large",
            Self::NoAudio => "sdp_no_audio",
            Self::NoAddress => "sdp_no_address",
            Self::HostName => "sdp_host_name",
            Self::NoFormat => "sdp_no_format",
            Self::Unencrypted => "sdp_unencrypted",
            Self::Encrypted => "sdp_encrypted",
        }
    }
}

impl SdpError {
    /// The cause with which an INVITE that carries it is refused.
    pub fn cause(self) -> sidetone_model::termination::Cause {
        use sidetone_model::termination::Cause;
        match self {
            Self::Malformed | Self::TooLarge => Cause::ProtocolError,
            Self::NoAudio
            | Self::NoAddress
            | Self::HostName
            | Self::NoFormat
            | Self::Unencrypted
            | Self::Encrypted => Cause::NoCommonCodec,
        }
    }

    /// The end of a call for which an answer cannot be used.
    pub fn termination(self) -> sidetone_model::termination::Termination {
        let end = sidetone_model::termination::Termination::new(self.cause());
        match self {
            Self::Unencrypted => end.with_text(UNENCRYPTED),
            Self::Encrypted => end.with_text(ENCRYPTED),
            _ => end,
        }
    }
}

/// What is told where media is to be encrypted and is not.
pub(crate) const UNENCRYPTED: &str =
    "this device is to encrypt its media; switch SRTP on in it (RTP/SAVP with a=crypto, or DTLS)";
/// What is told where media is encrypted and is not to be.
pub(crate) const ENCRYPTED: &str =
    "this device is not to encrypt its media; switch SRTP off in it, or make it optional";
