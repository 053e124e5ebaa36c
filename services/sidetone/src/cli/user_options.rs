//! What `sidetone directory put-user` and `put-tenant` let an operator choose.

use sidetone_proto::directory::v1::{BusyLamp, MediaEncryption, MessageWaiting, Redirects};

/// Which phones of a user are told that voicemail messages wait.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum MessageWaitingArg {
    /// Every registered one, whether it has subscribed or not.
    Always,
    /// Those that have subscribed (RFC 3842).
    Subscribed,
}

impl From<MessageWaitingArg> for MessageWaiting {
    fn from(arg: MessageWaitingArg) -> Self {
        match arg {
            MessageWaitingArg::Always => Self::Always,
            MessageWaitingArg::Subscribed => Self::Subscribed,
        }
    }
}

/// What other users of the tenant may see of a user's calls.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum BusyLampArg {
    /// Whether the user is called or talks, and with whom.
    Calls,
    /// Whether the user is called or talks.
    State,
    /// Nothing.
    Nobody,
}

impl From<BusyLampArg> for BusyLamp {
    fn from(arg: BusyLampArg) -> Self {
        match arg {
            BusyLampArg::Calls => Self::Calls,
            BusyLampArg::State => Self::State,
            BusyLampArg::Nobody => Self::Nobody,
        }
    }
}

/// How far phones of a tenant that are called may send the call on themselves.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum RedirectsArg {
    /// Nowhere: the caller gets 480.
    Never,
    /// To the tenant's own users, rooms and other numbers.
    Inside,
    /// Also out over the tenant's trunks.
    Everywhere,
}

impl From<RedirectsArg> for Redirects {
    fn from(arg: RedirectsArg) -> Self {
        match arg {
            RedirectsArg::Never => Self::Never,
            RedirectsArg::Inside => Self::Inside,
            RedirectsArg::Everywhere => Self::Everywhere,
        }
    }
}

/// As it is given on the command line and in configuration files.
pub(crate) fn redirects_text(redirects: Redirects) -> &'static str {
    match redirects {
        Redirects::Never => "never",
        Redirects::Inside => "inside",
        Redirects::Unspecified | Redirects::Everywhere => "everywhere",
    }
}

/// Whether the media of a device or trunk is encrypted (SRTP).
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum EncryptionArg {
    /// As media.srtp has it for all.
    Default,
    /// Keys in SDP are neither offered nor taken.
    Off,
    /// Offered as RTP/SAVP over TLS and WSS, and without keys to who refuses that.
    Offered,
    /// Nothing is said or heard without: RTP/SAVP, and 488 for plain media.
    Required,
}

impl From<EncryptionArg> for MediaEncryption {
    fn from(arg: EncryptionArg) -> Self {
        match arg {
            EncryptionArg::Default => Self::Unspecified,
            EncryptionArg::Off => Self::Off,
            EncryptionArg::Offered => Self::Offered,
            EncryptionArg::Required => Self::Required,
        }
    }
}

/// As it is given on the command line.
pub(crate) fn encryption_text(encryption: MediaEncryption) -> &'static str {
    match encryption {
        MediaEncryption::Unspecified => "default",
        MediaEncryption::Off => "off",
        MediaEncryption::Offered => "offered",
        MediaEncryption::Required => "required",
    }
}
