//! What comes from the network and is no SIP, or no connection that comes to anything: a counter for each reason, and one line of
//! log for it now and then that names nobody. What is SIP and hostile is the defence's ([`crate::defence`]).

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sidetone_telemetry::Telemetry;

use crate::log_limit::LogLimit;

/// Shared by the tasks of all sockets. Its lock is taken for what is bad alone.
#[derive(Clone)]
pub(crate) struct BadInput {
    telemetry: Arc<Telemetry>,
    log: Arc<Mutex<LogLimit>>,
}

impl BadInput {
    pub(crate) fn new(telemetry: &Arc<Telemetry>) -> Self {
        Self { telemetry: Arc::clone(telemetry), log: Arc::default() }
    }

    /// Bytes that are no message, or one that cannot be taken, whether its sender has got an answer or not.
    pub(crate) fn message(&self, reason: &'static str) {
        self.telemetry.signalling.messages_dropped.with_label_values(&[reason]).inc();
        if let Some(count) = self.due(reason) {
            tracing::warn!(reason, count, "what came is no SIP message that can be taken");
        }
    }

    /// A connection that was not taken, or whose peer did not do its part.
    pub(crate) fn connection(&self, reason: &'static str) {
        self.telemetry.signalling.connections_closed.with_label_values(&[reason]).inc();
        if let Some(count) = self.due(reason) {
            tracing::warn!(reason, count, "connections were not taken, or closed");
        }
    }

    fn due(&self, reason: &'static str) -> Option<u64> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner).note(reason, Instant::now())
    }
}
