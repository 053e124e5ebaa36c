//! The part of `sidetone.signalling.v1` that is about who watches whom.

use sidetone_proto::signalling::v1 as pb;

use super::{WireError, id, kind};
use crate::watch::{
    DialogPhase, RemoteParty, UserDialog, UserState, Watch, Watched, WatchedKind, WatchedState,
};

impl From<&Watch> for pb::Watch {
    fn from(value: &Watch) -> Self {
        let what = match value.watched.what {
            WatchedKind::Messages => pb::WatchedKind::Messages,
            WatchedKind::Dialogs => pb::WatchedKind::Dialogs,
        };
        Self {
            tenant: value.watched.tenant.to_string(),
            user: value.watched.user.to_string(),
            what: what.into(),
            on: value.on,
        }
    }
}

impl TryFrom<pb::Watch> for Watch {
    type Error = WireError;
    fn try_from(value: pb::Watch) -> Result<Self, WireError> {
        let what = match pb::WatchedKind::try_from(value.what) {
            Ok(pb::WatchedKind::Messages) => WatchedKind::Messages,
            Ok(pb::WatchedKind::Dialogs) => WatchedKind::Dialogs,
            _ => return Err(WireError::UnknownValue { field: "Watch.what", value: value.what }),
        };
        let watched = Watched {
            tenant: id("Watch.tenant", &value.tenant)?,
            user: id("Watch.user", &value.user)?,
            what,
        };
        Ok(Self { watched, on: value.on })
    }
}

impl From<&WatchedState> for pb::WatchedState {
    fn from(value: &WatchedState) -> Self {
        use pb::watched_state::State;
        let state = match &value.state {
            UserState::Messages { new, old } => {
                State::Messages(pb::MailboxState { new_messages: *new, old_messages: *old })
            }
            UserState::Dialogs(dialogs) => {
                State::Dialogs(pb::DialogsState { dialogs: dialogs.iter().map(Into::into).collect() })
            }
        };
        Self { tenant: value.tenant.to_string(), user: value.user.to_string(), state: Some(state) }
    }
}

impl TryFrom<pb::WatchedState> for WatchedState {
    type Error = WireError;
    fn try_from(value: pb::WatchedState) -> Result<Self, WireError> {
        use pb::watched_state::State;
        let state = match kind("WatchedState.state", value.state)? {
            State::Messages(it) => UserState::Messages { new: it.new_messages, old: it.old_messages },
            State::Dialogs(it) => {
                UserState::Dialogs(it.dialogs.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?)
            }
        };
        Ok(Self {
            tenant: id("WatchedState.tenant", &value.tenant)?,
            user: id("WatchedState.user", &value.user)?,
            state,
        })
    }
}

impl From<&UserDialog> for pb::UserDialog {
    fn from(value: &UserDialog) -> Self {
        let phase = match value.phase {
            DialogPhase::Trying => pb::UserDialogPhase::Trying,
            DialogPhase::Early => pb::UserDialogPhase::Early,
            DialogPhase::Confirmed => pb::UserDialogPhase::Confirmed,
        };
        let remote = value.remote.as_ref().map(|remote| pb::RemoteParty {
            number: remote.number.as_ref().into(),
            display_name: remote.display_name.as_ref().into(),
        });
        Self { leg_id: value.leg.to_string(), initiator: value.initiator, phase: phase.into(), remote }
    }
}

impl TryFrom<pb::UserDialog> for UserDialog {
    type Error = WireError;
    fn try_from(value: pb::UserDialog) -> Result<Self, WireError> {
        let phase = match pb::UserDialogPhase::try_from(value.phase) {
            Ok(pb::UserDialogPhase::Trying) => DialogPhase::Trying,
            Ok(pb::UserDialogPhase::Early) => DialogPhase::Early,
            Ok(pb::UserDialogPhase::Confirmed) => DialogPhase::Confirmed,
            _ => return Err(WireError::UnknownValue { field: "UserDialog.phase", value: value.phase }),
        };
        let remote = value.remote.map(|remote| RemoteParty {
            number: remote.number.into(),
            display_name: remote.display_name.into(),
        });
        Ok(Self { leg: id("UserDialog.leg_id", &value.leg_id)?, initiator: value.initiator, phase, remote })
    }
}
