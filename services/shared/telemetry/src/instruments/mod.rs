//! One file per service. [`counter`] and its kin register an instrument and hand it back.

mod call_control;
mod media;
mod push;
mod signalling;
mod store;

pub use call_control::CallControl;
pub use media::Media;
pub use push::Push;
pub use signalling::Signalling;
pub use store::Store;

use prometheus::{
    Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, Result,
};

/// A count of events. Its name ends in `_total`.
pub(crate) fn counter(registry: &Registry, name: &str, help: &str) -> Result<IntCounter> {
    let counter = IntCounter::new(name, help)?;
    registry.register(Box::new(counter.clone()))?;
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
    registry.register(Box::new(counters.clone()))?;
    Ok(counters)
}

/// How many there are now. Its name ends in `_count`, or in its unit.
pub(crate) fn gauge(registry: &Registry, name: &str, help: &str) -> Result<IntGauge> {
    let gauge = IntGauge::new(name, help)?;
    registry.register(Box::new(gauge.clone()))?;
    Ok(gauge)
}

/// How many there are now, by labels from closed sets.
#[allow(dead_code, reason = "a service without such an instrument leaves it unused")]
pub(crate) fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<IntGaugeVec> {
    let gauges = IntGaugeVec::new(Opts::new(name, help), labels)?;
    registry.register(Box::new(gauges.clone()))?;
    Ok(gauges)
}

/// A distribution in seconds, with buckets from 0.1 ms to about 13 s.
pub(crate) fn seconds(registry: &Registry, name: &str, help: &str) -> Result<Histogram> {
    let buckets = prometheus::exponential_buckets(0.000_1, 2.0, 18)?;
    let histogram = Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets))?;
    registry.register(Box::new(histogram.clone()))?;
    Ok(histogram)
}
