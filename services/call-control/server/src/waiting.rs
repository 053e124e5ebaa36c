//! Registered phones are told how many voicemail messages wait for their users (RFC 3842): when that changes, and when they register.
//! Whether they have subscribed does not matter, unless the directory says so of the user; who has is told by the owner's watchers.
//!
//! The messages are in the log and the phones in the directory, so nothing is kept here that a restart could lose. What was told to
//! which registration is remembered only so that a refresh of it is not answered with the same again.

use std::collections::HashMap;
use std::sync::Arc;

use sidetone_directory::{DirectoryError, Registration};
use sidetone_model::ids::{ShardId, TenantId, UserId};
use sidetone_model::signal::MessagesWaiting;
use sidetone_proto::directory::v1::MessageWaiting;
use sidetone_telemetry::Telemetry;
use tokio::sync::mpsc;

use crate::CallControl;
use crate::owner::Input;

/// Mailboxes to be looked at that may wait. Past that a phone hears of its mailbox when it registers again.
const CHANGES_MAX: usize = 4096;

/// Somebody's mailbox is to be looked at.
#[derive(Debug)]
pub(crate) struct Change {
    tenant: TenantId,
    user: UserId,
    /// Told to every phone, also to those that were told the same before.
    news: bool,
}

/// Where changes of mailboxes are noted.
#[derive(Debug, Clone)]
pub(crate) struct Mailboxes {
    changes: mpsc::Sender<Change>,
    telemetry: Arc<Telemetry>,
}

/// The user, and the registration: where, and by which REGISTER dialog.
type Told = HashMap<(TenantId, UserId), HashMap<(Box<str>, Box<str>), (u32, u32)>>;

impl Mailboxes {
    pub(crate) fn new(telemetry: Arc<Telemetry>) -> (Self, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(CHANGES_MAX);
        (Self { changes, telemetry }, receiver)
    }

    /// A message has come, was heard, or is gone.
    pub(crate) fn changed(&self, tenant: &TenantId, user: &UserId) {
        self.note(tenant, user, true);
    }

    /// A phone has registered, or registered again.
    pub(crate) fn registered(&self, tenant: &TenantId, user: &UserId) {
        self.note(tenant, user, false);
    }

    fn note(&self, tenant: &TenantId, user: &UserId, news: bool) {
        let change = Change { tenant: tenant.clone(), user: user.clone(), news };
        // Closed where nobody is to be told.
        if let Err(mpsc::error::TrySendError::Full(_)) = self.changes.try_send(change) {
            self.telemetry.call_control.mailbox_changes_dropped.inc();
        }
    }
}

/// Tells phones for as long as the process runs.
pub(crate) fn start(control: &CallControl, mut changes: mpsc::Receiver<Change>) {
    let control = control.clone();
    tokio::spawn(async move {
        let stopping = control.shared().lifecycle.stopping();
        let mut told = Told::new();
        loop {
            let change = tokio::select! {
                change = changes.recv() => change,
                () = stopping.cancelled() => return,
            };
            let Some(change) = change else { return };
            if let Err(error) = tell(&control, &change, &mut told).await {
                tracing::warn!(%error, "phones cannot be told of messages that wait");
            }
        }
    });
}

async fn tell(control: &CallControl, change: &Change, told: &mut Told) -> Result<(), DirectoryError> {
    let Change { tenant, user, news } = change;
    let directory = &control.router().directory;
    // Then only those are told that have subscribed.
    let subscribed_only = directory
        .user(tenant, user)
        .await?
        .is_some_and(|user| user.message_waiting() == MessageWaiting::Subscribed);
    if subscribed_only {
        told.remove(&(tenant.clone(), user.clone()));
        return Ok(());
    }
    let Some((new, old)) = waiting(control, tenant, user).await else { return Ok(()) };
    let before = told.remove(&(tenant.clone(), user.clone())).unwrap_or_default();
    // A phone that never had a message has no lamp to put out.
    if (new, old) == (0, 0) && !news && before.is_empty() {
        return Ok(());
    }
    let registrations = directory.bindings(tenant, user).await?;
    let mut now = HashMap::new();
    for Registration { binding, sip_call_id, .. } in registrations {
        let key = (binding.contact_uri.clone(), sip_call_id.clone());
        if *news || before.get(&key) != Some(&(new, old)) {
            let replica = binding.replica.clone();
            let waiting = Box::new(MessagesWaiting { tenant: tenant.clone(), binding, new, old });
            drop(control.inputs().send(Input::Waiting { replica, waiting }).await);
        }
        now.insert(key, (new, old));
    }
    if !now.is_empty() {
        told.insert((tenant.clone(), user.clone()), now);
    }
    Ok(())
}

/// Messages of a user: not heard yet, and heard.
async fn waiting(control: &CallControl, tenant: &TenantId, user: &UserId) -> Option<(u32, u32)> {
    let shard = usize::from(ShardId::of(tenant, control.shared().shards).0);
    let (tenant, user) = (tenant.clone(), user.clone());
    control.look(move |shards| shards[shard].fold().message_counts(&tenant, &user)).await
}
