//! When to refuse new work, when to stop, and who is ready.
//!
//! A process goes through `starting -> ready -> draining -> stopping`. SIGTERM begins the drain: readiness drops, no new
//! call is taken, running ones go on until they end or the drain time is over. SIGINT, or a second SIGTERM, stops at once.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long phones have to answer that their calls are over, when a process stops.
const ENDING_MAX: Duration = Duration::from_secs(3);

/// The life of one process, shared by everything in it.
#[derive(Debug, Clone, Default)]
pub struct Lifecycle {
    draining: CancellationToken,
    stopping: CancellationToken,
    components: Arc<Mutex<BTreeMap<&'static str, bool>>>,
    failure: Arc<OnceLock<String>>,
}

/// One part of the process, with its own readiness.
#[derive(Debug, Clone)]
pub struct Component {
    name: &'static str,
    components: Arc<Mutex<BTreeMap<&'static str, bool>>>,
}

impl Lifecycle {
    /// A process that has just started.
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancelled when new work is to be refused.
    pub fn draining(&self) -> CancellationToken {
        self.draining.clone()
    }

    /// Cancelled when everything is to end now.
    pub fn stopping(&self) -> CancellationToken {
        self.stopping.clone()
    }

    /// Begins the drain.
    pub fn drain(&self) {
        self.draining.cancel();
    }

    /// Ends everything. Implies a drain.
    pub fn stop(&self) {
        self.draining.cancel();
        self.stopping.cancel();
    }

    /// Ends everything because this process cannot go on, and a new one may. Of several reasons the first counts.
    pub fn fail(&self, why: impl Into<String>) {
        let _ = self.failure.set(why.into());
        self.stop();
    }

    /// Why the process cannot go on, if it cannot: then it must not end as if all were well, or nobody starts it again.
    pub fn failure(&self) -> Option<&str> {
        self.failure.get().map(String::as_str)
    }

    /// Adds a part, not ready yet.
    pub fn component(&self, name: &'static str) -> Component {
        let component = Component { name, components: Arc::clone(&self.components) };
        component.set_ready(false);
        component
    }

    /// Whether every part is ready and no drain has begun.
    pub fn is_ready(&self) -> bool {
        !self.draining.is_cancelled() && self.not_ready().is_empty()
    }

    /// The parts that are not ready.
    pub fn not_ready(&self) -> Vec<&'static str> {
        let components = self.components.lock().unwrap_or_else(PoisonError::into_inner);
        components.iter().filter(|(_, ready)| !**ready).map(|(name, _)| *name).collect()
    }

    /// Waits for SIGTERM or SIGINT and carries them out; returns when the process is to stop. `finished` is what a
    /// drain waits for, at most `drain_max`; `ending` is done about what still runs then, before everything stops, for at most
    /// 3 s.
    pub async fn run_until_stopped(
        &self,
        drain_max: Duration,
        finished: impl Future<Output = ()>,
        ending: impl Future<Output = ()>,
    ) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let stopping = self.stopping();
        let draining = self.draining();
        tokio::select! {
            _ = terminate.recv() => tracing::info!(limit_s = drain_max.as_secs(), "draining"),
            _ = interrupt.recv() => return self.end(ending, &mut interrupt).await,
            () = draining.cancelled() => tracing::info!(limit_s = drain_max.as_secs(), "draining on request"),
            () = stopping.cancelled() => return Ok(()),
        }
        self.drain();
        tokio::select! {
            () = finished => tracing::info!("drained"),
            () = tokio::time::sleep(drain_max) => tracing::warn!("drain time is over; what still runs is ended"),
            _ = terminate.recv() => tracing::warn!("second SIGTERM; stopping at once"),
            _ = interrupt.recv() => tracing::warn!("SIGINT; stopping at once"),
            () = stopping.cancelled() => return Ok(()),
        }
        self.end(ending, &mut interrupt).await
    }

    /// Lets what still runs end in order, but not for long, and not for somebody who interrupts again.
    async fn end(&self, ending: impl Future<Output = ()>, again: &mut Signal) -> std::io::Result<()> {
        self.drain();
        tokio::select! {
            () = ending => {}
            () = tokio::time::sleep(ENDING_MAX) => tracing::warn!("not all calls ended in time"),
            _ = again.recv() => {}
            () = self.stopping.cancelled() => {}
        }
        self.stop();
        Ok(())
    }
}

impl Component {
    /// Tells whether this part can do its work.
    pub fn set_ready(&self, ready: bool) {
        self.components.lock().unwrap_or_else(PoisonError::into_inner).insert(self.name, ready);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_failure_is_told_and_ends_everything() {
        let lifecycle = Lifecycle::new();
        assert_eq!(lifecycle.failure(), None);
        lifecycle.fail("first");
        lifecycle.clone().fail("second");
        assert_eq!(lifecycle.failure(), Some("first"));
        assert!(lifecycle.stopping().is_cancelled() && lifecycle.draining().is_cancelled());
    }

    #[test]
    fn ready_needs_every_part_and_no_drain() {
        let lifecycle = Lifecycle::new();
        let media = lifecycle.component("media");
        let _push = lifecycle.component("push");
        media.set_ready(true);
        assert_eq!(lifecycle.not_ready(), ["push"]);
        _push.set_ready(true);
        assert!(lifecycle.is_ready());
        lifecycle.drain();
        assert!(!lifecycle.is_ready());
        assert!(!lifecycle.stopping().is_cancelled());
    }
}
