//! How many connections there may be, over all listeners and from one source.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::config::Config;

/// The bound on connections.
#[derive(Debug, Clone)]
pub(super) struct Connections {
    counts: Arc<Mutex<Counts>>,
    total_max: usize,
    per_source_max: usize,
    /// After which silence a connection is closed.
    pub(super) idle: Duration,
}

#[derive(Debug, Default)]
struct Counts {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// One place taken among the connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Mutex<Counts>>,
    source: IpAddr,
}

impl Connections {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            counts: Arc::default(),
            total_max: config.connections_max,
            per_source_max: config.connections_per_source_max,
            idle: config.connection_idle(),
        }
    }

    /// Takes a place, or says which limit is reached.
    pub(super) fn take(&self, source: IpAddr) -> Result<Place, &'static str> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.total >= self.total_max {
            return Err("connections");
        }
        let of_source = counts.by_source.entry(source).or_default();
        if *of_source >= self.per_source_max {
            return Err("connections_of_source");
        }
        *of_source += 1;
        counts.total += 1;
        Ok(Place { counts: Arc::clone(&self.counts), source })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.total = counts.total.saturating_sub(1);
        if let Some(of_source) = counts.by_source.get_mut(&self.source) {
            *of_source -= 1;
            if *of_source == 0 {
                counts.by_source.remove(&self.source);
            }
        }
    }
}
