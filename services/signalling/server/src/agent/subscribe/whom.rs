//! Who may watch whom: asked of the directory.

use sidetone_directory::{Directory, DirectoryError};
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::watch::{UserState, Watched, WatchedKind};
use sidetone_proto::directory::v1::BusyLamp;
use sidetone_sip_core::events::{Package, SubscribeError};

use super::table::Subscriber;

/// What a phone wants to watch.
#[derive(Debug)]
pub(super) struct Wish {
    pub(super) package: Package,
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    /// The user part of the Request-URI.
    pub(super) number: String,
}

/// What it may watch.
#[derive(Debug)]
pub(in crate::agent) struct Watchable {
    pub(super) tenant: TenantId,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) watched: Watched,
    /// But not with whom the watched user talks.
    pub(super) nameless: bool,
}

impl Wish {
    pub(super) async fn resolve(
        self,
        directory: &Directory,
    ) -> Result<Result<Watchable, SubscribeError>, DirectoryError> {
        match self.package {
            Package::MessageSummary => self.own_mailbox(directory).await,
            Package::Dialog => self.lamp(directory).await,
        }
    }

    /// Nobody's mailbox but the own: by a number or name of the user, by the number of the mailbox, or without any.
    async fn own_mailbox(
        self,
        directory: &Directory,
    ) -> Result<Result<Watchable, SubscribeError>, DirectoryError> {
        let whose = match &*self.number {
            "" => Some(self.user.clone()),
            number => match directory.resolve(&self.tenant, number).await?.map(|found| found.destination) {
                Some(Destination::User(user) | Destination::Voicemail(user) | Destination::Mailbox(user)) => {
                    Some(user)
                }
                Some(Destination::OwnMailbox) => Some(self.user.clone()),
                Some(_) => None,
                // The name under which the phone proves itself need not be a number.
                None => directory.credential(&self.tenant, number).await?.map(|known| known.user),
            },
        };
        Ok(match whose {
            None => Err(SubscribeError::NotFound),
            Some(user) if user != self.user => Err(SubscribeError::Forbidden),
            Some(user) => Ok(self.watching(user, WatchedKind::Messages, false)),
        })
    }

    /// A user of the tenant, unless the directory says that nobody may; one's own calls in any case.
    async fn lamp(self, directory: &Directory) -> Result<Result<Watchable, SubscribeError>, DirectoryError> {
        let found = directory.resolve(&self.tenant, &self.number).await?.map(|found| found.destination);
        let Some(Destination::User(user)) = found else { return Ok(Err(SubscribeError::NotFound)) };
        let seen = seen(directory, &self.tenant, (&self.user, &user)).await?;
        Ok(seen.map(|nameless| self.watching(user, WatchedKind::Dialogs, nameless)))
    }

    fn watching(self, user: UserId, what: WatchedKind, nameless: bool) -> Watchable {
        let watched = Watched { tenant: self.tenant.clone(), user, what };
        Watchable { tenant: self.tenant, user: self.user, device: self.device, watched, nameless }
    }
}

/// Whether a user may watch another's calls; if so, whether without being told with whom the other talks.
async fn seen(
    directory: &Directory,
    tenant: &TenantId,
    (watcher, watched): (&UserId, &UserId),
) -> Result<Result<bool, SubscribeError>, DirectoryError> {
    let Some(record) = directory.user(tenant, watched).await? else {
        return Ok(Err(SubscribeError::NotFound));
    };
    if watcher == watched {
        return Ok(Ok(false));
    }
    Ok(match record.busy_lamp() {
        BusyLamp::Nobody => Err(SubscribeError::Forbidden),
        BusyLamp::State => Ok(true),
        BusyLamp::Calls | BusyLamp::Unspecified => Ok(false),
    })
}

/// Whether a device that watches somebody is still there and may go on; if so, whether without names.
pub(super) async fn may_still(
    directory: &Directory,
    by: &Subscriber,
    watched: &Watched,
) -> Result<Result<bool, SubscribeError>, DirectoryError> {
    if directory.device(&by.tenant, &by.user, &by.device).await?.is_none() {
        return Ok(Err(SubscribeError::Forbidden));
    }
    match watched.what {
        WatchedKind::Dialogs => seen(directory, &by.tenant, (&by.user, &watched.user)).await,
        // A mailbox is its own user's alone.
        WatchedKind::Messages if watched.user == by.user => Ok(Ok(false)),
        WatchedKind::Messages => Ok(Err(SubscribeError::Forbidden)),
    }
}

/// What a watcher may see of how things stand.
pub(super) fn visible(state: &UserState, nameless: bool) -> UserState {
    let mut state = state.clone();
    if let (UserState::Dialogs(dialogs), true) = (&mut state, nameless) {
        dialogs.iter_mut().for_each(|dialog| dialog.remote = None);
    }
    state
}
