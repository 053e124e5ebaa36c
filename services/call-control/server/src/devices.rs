//! Which devices can be reached: what the directory's registrations say, handed to the owner whenever it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use sidetone_directory::{Directory, DirectoryError, Registration, RegistrationEvent};
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::party::Binding;
use sidetone_model::time::Timestamp;
use sidetone_telemetry::Telemetry;
use tokio::sync::mpsc;

use crate::owner::Input;
use crate::routing::contacts_of;
use crate::waiting::Mailboxes;
use crate::{CallControl, clock};

/// How often registrations are looked through for those that ran out without being told.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait before a directory that is away is watched again.
const RETRY: Duration = Duration::from_secs(1);

type Device = (TenantId, UserId, DeviceId);

/// Devices to be looked up that may wait. Past that a call that waits for one learns of it by its next registration.
const FINDS_MAX: usize = 4096;

/// Where it is said which devices calls wait for.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    devices: mpsc::Sender<Device>,
    telemetry: Arc<Telemetry>,
}

impl Finder {
    pub(crate) fn new(telemetry: Arc<Telemetry>) -> (Self, mpsc::Receiver<Device>) {
        let (devices, receiver) = mpsc::channel(FINDS_MAX);
        (Self { devices, telemetry }, receiver)
    }

    /// A call waits for this device, which may have registered since it was looked up.
    pub(crate) fn find(&self, tenant: TenantId, user: UserId, device: DeviceId) {
        if self.devices.try_send((tenant, user, device)).is_err() {
            self.telemetry.call_control.wakings.with_label_values(&["not_looked_up"]).inc();
        }
    }
}

/// Follows the registrations for as long as the process runs, and looks up whom calls wait for.
pub(crate) fn start(
    control: &CallControl,
    directory: Directory,
    mailboxes: Mailboxes,
    mut wanted: mpsc::Receiver<Device>,
) {
    let control = control.clone();
    tokio::spawn(async move {
        let stopping = control.shared().lifecycle.stopping();
        loop {
            tokio::select! {
                outcome = follow(&control, &directory, &mailboxes, &mut wanted) => {
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "registrations cannot be watched; trying again");
                    }
                }
                () = stopping.cancelled() => return,
            }
            tokio::time::sleep(RETRY).await;
        }
    });
}

async fn follow(
    control: &CallControl,
    directory: &Directory,
    mailboxes: &Mailboxes,
    wanted: &mut mpsc::Receiver<Device>,
) -> Result<(), DirectoryError> {
    let mut events = directory.watch_registrations().await?;
    let mut sweep = tokio::time::interval(SWEEP);
    // Until when each device that is in reach may be believed to be.
    let mut here: BTreeMap<Device, Timestamp> = BTreeMap::new();
    loop {
        tokio::select! {
            event = events.next() => match event {
                None => return Ok(()),
                Some(Err(error)) => return Err(error),
                Some(Ok(RegistrationEvent::Put { tenant, registration })) => {
                    mailboxes.registered(&tenant, &registration.binding.user);
                    let device = (tenant, registration.binding.user, registration.binding.device);
                    look(control, directory, &mut here, device).await?;
                }
                Some(Ok(RegistrationEvent::Deleted { tenant, user, device })) => {
                    look(control, directory, &mut here, (tenant, user, device)).await?;
                }
                Some(Ok(RegistrationEvent::Current)) => end_missing(control, &here).await,
            },
            Some(device) = wanted.recv() => look(control, directory, &mut here, device).await?,
            _ = sweep.tick() => {
                let now = clock::now();
                let over: Vec<Device> =
                    here.iter().filter(|(_, until)| **until <= now).map(|(device, _)| device.clone()).collect();
                for device in over {
                    look(control, directory, &mut here, device).await?;
                }
            }
        }
    }
}

/// Looks a device up, and tells the owner how it is.
async fn look(
    control: &CallControl,
    directory: &Directory,
    here: &mut BTreeMap<Device, Timestamp>,
    device: Device,
) -> Result<(), DirectoryError> {
    let registrations = directory.bindings(&device.0, &device.1).await?;
    let own = registrations.into_iter().filter(|registration| registration.binding.device == device.2);
    let own: Vec<Registration> = own.collect();
    let until = own.iter().map(|registration| registration.expires_at).max();
    match until {
        Some(until) => drop(here.insert(device.clone(), until)),
        None => drop(here.remove(&device)),
    }
    tell(control, device, contacts_of(own)).await;
    Ok(())
}

/// Devices that the log has in reach and nobody shows any more went away while nobody watched.
async fn end_missing(control: &CallControl, here: &BTreeMap<Device, Timestamp>) {
    let believed = control.look(|shards| {
        let devices = shards.iter().flat_map(|shard| shard.fold().devices());
        let here = devices.filter(|(_, _, _, in_service)| *in_service);
        here.map(|(tenant, user, device, _)| (tenant.clone(), user.clone(), device.clone()))
            .collect::<BTreeSet<_>>()
    });
    for device in believed.await.unwrap_or_default() {
        if !here.contains_key(&device) {
            tell(control, device, Vec::new()).await;
        }
    }
}

async fn tell(control: &CallControl, (tenant, user, device): Device, contacts: Vec<Binding>) {
    drop(control.inputs().send(Input::Device { tenant, user, device, contacts }).await);
}
