//! What is set of devices, followed from the directory: a call to one is begun at once, and cannot wait for an answer.
//!
//! Only devices with a setting are kept. What cannot be followed for a while stays as it was.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use sidetone_directory::{DeviceEvent, DeviceStream, Directory, DirectoryError};
use sidetone_model::ids::{DeviceId, TenantId, UserId};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::leg::Encryption;
use sidetone_telemetry::Telemetry;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Whose setting it is.
pub(crate) type DeviceKey = (TenantId, UserId, DeviceId);

/// Whether the media of devices is encrypted; those without a setting are not in it.
pub(crate) type Encryptions = HashMap<DeviceKey, Encryption>;

/// As a record has it.
pub(crate) fn encryption_of(setting: pb::MediaEncryption) -> Encryption {
    match setting {
        pb::MediaEncryption::Unspecified => Encryption::Usual,
        pb::MediaEncryption::Off => Encryption::Off,
        pb::MediaEncryption::Offered => Encryption::Offered,
        pb::MediaEncryption::Required => Encryption::Required,
    }
}

/// Follows the devices of all tenants until `stopping`; comes back when it has seen those that there are.
///
/// # Errors
/// When the directory cannot be asked.
pub(crate) async fn follow(
    directory: Directory,
    telemetry: Arc<Telemetry>,
    stopping: CancellationToken,
) -> Result<watch::Receiver<Arc<Encryptions>>, DirectoryError> {
    let (table, followed) = watch::channel(Arc::default());
    let mut known = Encryptions::new();
    let mut events = directory.watch_devices().await?;
    while let Some(event) = events.next().await {
        if take(event?, &mut known) {
            break;
        }
    }
    let count = telemetry.signalling.encryption_settings.clone();
    let publish = move |known: &Encryptions| {
        table.send_replace(Arc::new(known.clone()));
        count.set(known.len() as i64);
    };
    publish(&known);
    tokio::spawn(async move {
        let following = async {
            let mut complete = true;
            loop {
                let broken = go_on(&mut events, &mut known, complete, &publish).await;
                tracing::debug!(error = ?broken, "the devices cannot be followed; what was known stays");
                tokio::time::sleep(AGAIN).await;
                if let Ok(anew) = directory.watch_devices().await {
                    (events, complete) = (anew, false);
                    known.clear();
                }
            }
        };
        tokio::select! {
            () = following => {}
            () = stopping.cancelled() => {}
        }
    });
    Ok(followed)
}

/// Until the watch breaks. A new one tells everything from the beginning, which counts when it is `complete`.
async fn go_on(
    events: &mut DeviceStream,
    known: &mut Encryptions,
    mut complete: bool,
    publish: &impl Fn(&Encryptions),
) -> Option<DirectoryError> {
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                let before = known.len();
                let touched = matches!(&event, DeviceEvent::Put(device) if is_set(device));
                let current = take(event, known);
                let news = touched || known.len() != before || (current && !complete);
                complete |= current;
                if complete && news {
                    publish(known);
                }
            }
            Err(error) => return Some(error),
        }
    }
    None
}

fn is_set(device: &pb::Device) -> bool {
    device.media_encryption() != pb::MediaEncryption::Unspecified
}

/// Takes in an event; true when all that there was has been told.
fn take(event: DeviceEvent, known: &mut Encryptions) -> bool {
    match event {
        DeviceEvent::Put(device) => {
            let ids =
                (TenantId::new(&device.tenant), UserId::new(&device.user), DeviceId::new(&device.device));
            let (Ok(tenant), Ok(user), Ok(id)) = ids else { return false };
            let key = (tenant, user, id);
            match encryption_of(device.media_encryption()) {
                Encryption::Usual => drop(known.remove(&key)),
                set => drop(known.insert(key, set)),
            }
            false
        }
        DeviceEvent::Deleted { tenant, user, device } => {
            known.remove(&(tenant, user, device));
            false
        }
        DeviceEvent::Current => true,
    }
}

const AGAIN: Duration = Duration::from_secs(1);
