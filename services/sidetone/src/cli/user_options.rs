//! What `sidetone directory put-user` lets an operator choose.

use sidetone_proto::directory::v1::{BusyLamp, MessageWaiting};

/// Which phones of a user are told that voicemail messages wait.
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum MessageWaitingArg {
    /// Every registered one, whether it has subscribed or not.
    #[default]
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
#[derive(Debug, Clone, Copy, Default, clap::ValueEnum)]
pub(crate) enum BusyLampArg {
    /// Whether the user is called or talks, and with whom.
    #[default]
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
