//! One file per service. An instrument is said once, in [`instruments!`].

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

/// How one kind of instrument is made. The kinds are those of the `prometheus` crate; names end in what tells the
/// unit: `_total` for counts of events, `_seconds`, `_bytes`, `_ratio` (0 to 1), and `_count` for how many there are.
pub(crate) trait Instrument: Collector + Clone + Sized + 'static {
    /// `labels` is empty for an instrument that has none; their values come from closed sets.
    fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self>;

    /// Makes it, registers it and hands it back.
    fn register(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> Result<Self> {
        let made = Self::make(name, help, labels)?;
        registry.register(made.clone())?;
        Ok(made)
    }
}

/// The kinds without and with labels.
macro_rules! kinds {
    ($($plain:ident, $labelled:ident;)*) => {$(
        impl Instrument for $plain {
            fn make(name: &str, help: &str, _: &[&str]) -> Result<Self> {
                Self::new(name, help)
            }
        }
        impl Instrument for $labelled {
            fn make(name: &str, help: &str, labels: &[&str]) -> Result<Self> {
                Self::new(Opts::new(name, help), labels)
            }
        }
    )*};
}
kinds! {
    IntCounter, IntCounterVec;
    IntGauge, IntGaugeVec;
    Gauge, GaugeVec;
}

/// A distribution of durations, with buckets from 0.1 ms to about 13 s.
impl Instrument for Histogram {
    fn make(name: &str, help: &str, _: &[&str]) -> Result<Self> {
        let buckets = prometheus::exponential_buckets(0.000_1, 2.0, 18)?;
        Self::with_opts(HistogramOpts::new(name, help).buckets(buckets))
    }
}

/// A group of instruments: a field each, whose documentation is also the help that Prometheus shows, then its kind, its
/// name, and its labels.
macro_rules! instruments {
    (
        $(#[$about:meta])*
        pub struct $group:ident {
            $( $(#[doc = $help:literal])+ $field:ident: $kind:ty = $name:literal $(by [$($label:literal),+])?, )*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug)]
        pub struct $group {
            $( $(#[doc = $help])+ pub $field: $kind, )*
        }

        impl $group {
            pub(crate) fn register(
                registry: &$crate::instruments::Registry,
            ) -> ::prometheus::Result<Self> {
                use $crate::instruments::Instrument;
                Ok(Self {
                    $( $field: <$kind as Instrument>::register(
                        registry,
                        $name,
                        concat!($($help),+).trim_start(),
                        &[$($($label),+)?],
                    )?, )*
                })
            }
        }
    };
}
use instruments;
