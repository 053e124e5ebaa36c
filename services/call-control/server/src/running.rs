//! Until when this process has run, noted now and then: after it was killed its calls ended then, and not when that was found.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sidetone_model::time::Timestamp;
use sidetone_store::{Expect, Store};

use crate::{CallControl, clock};

/// How often. A call that was cut by a crash is billed up to so much too short.
const EVERY: Duration = Duration::from_secs(10);
const KEY: &str = "call-control/ran-until";

/// Until when the process before this one is known to have run; the beginning of time when nobody knows.
pub(crate) async fn before(store: &Arc<dyn Store>) -> Timestamp {
    let noted = store.get(KEY).await.ok().flatten();
    let noted = noted.and_then(|entry| std::str::from_utf8(&entry.value).ok()?.parse().ok());
    noted.map_or(Timestamp::default(), Timestamp::from_millis)
}

/// Notes it until the process stops.
pub(crate) fn start(control: &CallControl) {
    let (store, stopping) = (Arc::clone(&control.shared().store), control.shared().lifecycle.stopping());
    tokio::spawn(async move {
        let mut ticks = tokio::time::interval(EVERY);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stopping.run_until_cancelled(ticks.tick()).await.is_some() {
            let now = clock::now().as_millis().to_string();
            if let Err(error) = store.put(KEY, Bytes::from(now), None, Expect::Any).await {
                tracing::debug!(%error, "that call control runs could not be noted; trying again");
            }
        }
    });
}
