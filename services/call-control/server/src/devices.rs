//! Which devices can be reached: what the directory's registrations say, handed to the owner whenever it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::StreamExt as _;
use sidetone_directory::{Directory, DirectoryError, RegistrationEvent};
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_model::time::Timestamp;

use crate::owner::Input;
use crate::waiting::Mailboxes;
use crate::{CallControl, clock};

/// How often registrations are looked through for those that ran out without being told.
const SWEEP: Duration = Duration::from_secs(5);
/// How long to wait before a directory that is away is watched again.
const RETRY: Duration = Duration::from_secs(1);

type Device = (TenantId, UserId, DeviceId);

/// Follows the registrations for as long as the process runs.
pub(crate) fn start(control: &CallControl, directory: Directory, mailboxes: Mailboxes) {
    let control = control.clone();
    tokio::spawn(async move {
        let stopping = control.shared().lifecycle.stopping();
        loop {
            tokio::select! {
                outcome = follow(&control, &directory, &mailboxes) => {
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
    let until = own.map(|registration| registration.expires_at).max();
    match until {
        Some(until) => drop(here.insert(device.clone(), until)),
        None => drop(here.remove(&device)),
    }
    tell(control, device, until.is_some()).await;
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
            tell(control, device, false).await;
        }
    }
}

async fn tell(control: &CallControl, (tenant, user, device): Device, in_service: bool) {
    drop(control.inputs().send(Input::Device { tenant, user, device, in_service }).await);
}
