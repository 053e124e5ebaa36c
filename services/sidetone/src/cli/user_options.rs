//! What `sidetone directory put-user` and `put-tenant` let an operator choose.

use sidetone_proto::directory::v1::{BusyLamp, MessageWaiting, Redirects};

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
