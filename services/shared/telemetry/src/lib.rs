//! Every instrument and label in one place, the log set-up, and the redaction of numbers and addresses.
//!
//! An instrument's name is `sidetone_<group>_<what>_<unit>`, or `_total` for a count of events. Labels come from
//! closed sets only; a tenant's name, a number or an address is never a label.
#![forbid(unsafe_code)]

mod instruments;
pub mod log;
pub mod redact;

use std::sync::Arc;

use instruments::Registry;
use prometheus::{Encoder as _, TextEncoder};

pub use instruments::{Audio, CallControl, Http, Media, Outbox, Push, Signalling, Stir, Store};

/// The instruments of one process.
///
/// All groups exist in every process, so that a dashboard finds the same names everywhere; those of services that do
/// not run here stay at zero.
#[derive(Debug)]
pub struct Telemetry {
    registry: Registry,
    /// The SIP edge.
    pub signalling: Signalling,
    /// Calls and the log.
    pub call_control: CallControl,
    /// Media threads, legs and recordings.
    pub media: Media,
    /// The HTTP door and its dialects.
    pub http: Http,
    /// Webhooks.
    pub outbox: Outbox,
    /// Prompts, streams and stored recordings of a media node.
    pub audio: Audio,
    /// Wake-ups.
    pub push: Push,
    /// Signatures of callers' numbers.
    pub stir: Stir,
    /// The store.
    pub store: Store,
}

impl Telemetry {
    /// Registers every instrument. Fails only when two have one name.
    pub fn new() -> Result<Arc<Self>, prometheus::Error> {
        let registry = Registry::default();
        #[cfg(target_os = "linux")]
        registry.inner.register(Box::new(prometheus::process_collector::ProcessCollector::for_self()))?;
        let signalling = Signalling::register(&registry)?;
        let call_control = CallControl::register(&registry)?;
        let media = Media::register(&registry)?;
        let audio = Audio::register(&registry)?;
        let http = Http::register(&registry)?;
        let outbox = Outbox::register(&registry)?;
        let push = Push::register(&registry)?;
        let stir = Stir::register(&registry)?;
        let store = Store::register(&registry)?;
        Ok(Arc::new(Self {
            registry,
            signalling,
            call_control,
            media,
            audio,
            http,
            outbox,
            push,
            stir,
            store,
        }))
    }

    /// Everything in the Prometheus text format, version 0.0.4.
    pub fn render(&self) -> Result<String, prometheus::Error> {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.inner.gather(), &mut text)?;
        String::from_utf8(text).map_err(|e| prometheus::Error::Msg(e.to_string()))
    }

    /// Name and help of every instrument of ours, also of those that no label has been given to yet.
    pub fn described(&self) -> Vec<(String, String)> {
        self.registry.described()
    }

    /// The content type of [`Telemetry::render`].
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_instrument_has_a_unit_and_help() {
        let telemetry = Telemetry::new().unwrap();
        for (name, help) in telemetry.described() {
            let units = ["_total", "_seconds", "_bytes", "_count", "_packets", "_ratio"];
            assert!(name.starts_with("sidetone_"), "{name} is not ours");
            assert!(units.iter().any(|unit| name.ends_with(unit)), "{name} has no unit");
            assert!(!help.is_empty(), "{name} has no help");
        }
    }
}
