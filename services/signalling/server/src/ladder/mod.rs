//! What was said on the wire: every SIP message of a call can be read back, and is sent to a HOMER server when one is named.
//!
//! ```text
//! agent ── Ladder::heard, said ──> ring (memory, bounded) ── once a second ──> files (bounded, when configured)
//!             │                       └─ Ladder::read: the messages of some legs of one tenant, redacted
//!             └─ bounded queue ──> hep: HEPv3 datagrams
//! ```
//!
//! Taking a message down costs the agent a reference to its bytes under a lock that nobody holds for longer than a copy of a
//! few pointers; what a message says is looked at only when somebody asks. What finds no room falls out, the oldest first,
//! and is counted. Nothing of this is in the event log. Keys and digest answers are never shown to anybody.

mod correlation;
mod door;
mod files;
mod head;
mod hep;
mod read;
mod redact;
mod ring;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use sidetone_model::ids::{CallId, LegId, TenantId};
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::DialogKey;
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::config::{HepConfig, LadderConfig};
use correlation::Correlations;
use hep::Capture;
use ring::{Marker, Ring};

pub use door::LadderDoor;
pub(crate) use read::Question;
pub(crate) use redact::Redactor;

/// One message as it was on the wire.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    /// Microseconds since the Unix epoch.
    pub(crate) at_us: u64,
    /// It came to us; otherwise we sent it.
    pub(crate) received: bool,
    pub(crate) flow: Flow,
    pub(crate) bytes: Bytes,
}

/// The spool of a replica. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Ladder {
    ring: Option<Arc<Mutex<Ring>>>,
    capture: Option<Capture>,
    correlations: Arc<Mutex<Correlations>>,
    redactor: Arc<Redactor>,
    directory: Option<PathBuf>,
    telemetry: Arc<Telemetry>,
}

impl std::fmt::Debug for Ladder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ladder")
    }
}

impl Ladder {
    /// Opens the spool, and starts what writes files and what sends to HOMER.
    ///
    /// # Errors
    /// When the folder of the files cannot be made.
    pub(crate) fn open(
        (config, hep): (&LadderConfig, &HepConfig),
        redactor: Redactor,
        telemetry: &Arc<Telemetry>,
        stopping: &CancellationToken,
    ) -> std::io::Result<Self> {
        let redactor = Arc::new(redactor);
        let bytes_max = config.memory_mb * MEGABYTE;
        let ring = (bytes_max > 0).then(|| Arc::new(Mutex::new(Ring::new(bytes_max))));
        if let (Some(ring), Some(directory)) = (&ring, &config.directory) {
            let writer = files::Writer::open(directory, config.files_mb * MEGABYTE, telemetry)?;
            tokio::spawn(writer.run(Arc::clone(ring), stopping.clone()));
        }
        let correlations = Arc::<Mutex<Correlations>>::default();
        let capture = hep.address.as_ref().map(|_| {
            let redactor = (!hep.show_numbers).then(|| Arc::clone(&redactor));
            hep::start(hep.clone(), (redactor, Arc::clone(&correlations)), telemetry, stopping.clone())
        });
        let directory = config.directory.clone();
        Ok(Self { ring, capture, correlations, redactor, directory, telemetry: Arc::clone(telemetry) })
    }

    /// Whether messages are of any use here.
    pub(crate) fn is_on(&self) -> bool {
        self.ring.is_some() || self.capture.is_some()
    }

    /// A message came.
    pub(crate) fn heard(&self, flow: &Flow, bytes: Bytes) {
        // A piece of a stream's buffer would hold all of it.
        let bytes = if flow.transport == Transport::Udp { bytes } else { Bytes::copy_from_slice(&bytes) };
        self.take(flow, bytes, true);
    }

    /// A message went out.
    pub(crate) fn said(&self, flow: &Flow, bytes: &Bytes) {
        if self.is_on() {
            self.take(flow, bytes.clone(), false);
        }
    }

    fn take(&self, flow: &Flow, bytes: Bytes, received: bool) {
        let record = Record { at_us: now_us(), received, flow: flow.clone(), bytes };
        if let Some(capture) = &self.capture {
            capture.take(&record, &self.telemetry);
        }
        if let Some(ring) = &self.ring
            && head::is_of_calls(&record.bytes)
        {
            let lost = lock(ring).push(record);
            if lost > 0 {
                self.telemetry.signalling.ladder_lost.with_label_values(&["memory"]).inc_by(lost);
            }
        }
    }

    /// A leg is one of a call. To be said before [`Ladder::begin`] of a leg that did not begin its call.
    pub(crate) fn belongs(&self, leg: LegId, call: CallId) {
        held(&self.correlations).belongs(leg, call);
    }

    /// To which call a leg that lives belongs, as far as that is known.
    pub(crate) fn call_of(&self, leg: LegId) -> Option<CallId> {
        held(&self.correlations).call_of(leg)
    }

    /// A leg has a dialog now. `caller` is the tag and the source of the INVITE that opened it, for one that came in.
    pub(crate) fn begin(
        &self,
        leg: LegId,
        tenant: &TenantId,
        dialog: &DialogKey,
        caller: Option<(&str, SocketAddr)>,
    ) {
        held(&self.correlations).begin(leg, dialog.call_id().as_bytes());
        let Some(ring) = &self.ring else { return };
        lock(ring).begin(Marker {
            leg,
            tenant: tenant.clone(),
            call_id: dialog.call_id().into(),
            local_tag: dialog.local_tag().into(),
            caller: caller.map(|(tag, source)| (tag.into(), source)),
        });
    }

    /// A leg is over. What is kept of it stays until it falls out.
    pub(crate) fn ended(&self, leg: LegId) {
        held(&self.correlations).ended(leg, Instant::now());
        if let Some(ring) = &self.ring {
            lock(ring).ended(leg);
        }
    }

    /// The messages of some legs of a tenant, oldest first, as far as they are kept.
    pub(crate) async fn read(&self, question: Question) -> Vec<(LegId, Record)> {
        let Some(ring) = &self.ring else { return Vec::new() };
        let kept = lock(ring).snapshot();
        let (directory, redactor) = (self.directory.clone(), Arc::clone(&self.redactor));
        let found = tokio::task::spawn_blocking(move || {
            read::read(&kept, directory.as_deref(), &question, &redactor)
        });
        found.await.unwrap_or_default()
    }
}

fn lock(ring: &Mutex<Ring>) -> std::sync::MutexGuard<'_, Ring> {
    ring.lock().unwrap_or_else(PoisonError::into_inner)
}

fn held(correlations: &Mutex<Correlations>) -> std::sync::MutexGuard<'_, Correlations> {
    correlations.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).as_micros() as u64
}

const MEGABYTE: usize = 1 << 20;
