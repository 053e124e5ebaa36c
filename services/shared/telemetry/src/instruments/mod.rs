//! One file per service. [`counter`] and its kin register an instrument and hand it back.

mod audio;
mod call_control;
mod http;
mod media;
mod outbox;
mod push;
mod signalling;
mod stir;
mod store;

pub use audio::Audio;
pub use call_control::CallControl;
pub use http::Http;
pub use media::Media;
pub use outbox::Outbox;
pub use push::Push;
pub use signalling::Signalling;
pub use stir::Stir;
pub use store::Store;

use std::sync::{Mutex, PoisonError};

use prometheus::core::Collector;
use prometheus::{
    Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Result,
};

/// Every instrument of the process, with its help.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    pub(crate) inner: prometheus::Registry,
    described: Mutex<Vec<(String, String)>>,
}

impl Registry {
    fn register(&self, instrument: impl Collector + 'static) -> Result<()> {
        let described = instrument.desc().into_iter().map(|desc| (desc.fq_name.clone(), desc.help.clone()));
        self.described.lock().unwrap_or_else(PoisonError::into_inner).extend(described);
        self.inner.register(Box::new(instrument))
    }

    /// Name and help of each.
    pub(crate) fn described(&self) -> Vec<(String, String)> {
        self.described.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A count of events. Its name ends in `_total`.
pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(counter.clone())?;
    Ok(counter)
}

/// A count of events by labels from closed sets.
pub(crate) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec> {
    let counters = IntCounterVec::new(Opts::new(name, help), labels)?;
    registry.register(counters.clone())?;
    Ok(counters)
}

/// How many there are now. Its name ends in `_count`, or in its unit.
pub(crate) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(gauge.clone())?;
    Ok(gauge)
}

/// A part of a whole, 0 to 1. Its name ends in `_ratio`.
pub(crate) fn ratio(registry: &Registry, name: &str, help: &str) -> Result<Gauge> {
    let gauge = Gauge::new(name, help)?;
    registry.register(gauge.clone())?;
    Ok(gauge)
}

/// Durations in seconds as they are now, by labels from closed sets.
pub(crate) fn durations(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<GaugeVec> {
    let durations = GaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(durations.clone())?;
    Ok(durations)
}

/// How many there are now, by labels from closed sets.
#[allow(dead_code, reason = "a service without such an instrument leaves it unused")]
pub(crate) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(gauges.clone())?;
    Ok(gauges)
}

/// A distribution in seconds, with buckets from 0.1 ms to about 13 s.
pub(crate) fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Histogram> {
    let buckets = prometheus::exponential_buckets(0.000_1, 2.0, 18)?;
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    registry.register(histogram.clone())?;
    Ok(histogram)
}
