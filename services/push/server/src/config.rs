//! The configuration of the push service.

use std::time::Duration;

use serde::Deserialize;
use sidetone_push_core::{Backoff, Limits};
use sidetone_runtime::config::ConfigError;

/// The configuration of the push service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Unfinished wake-ups of one tenant; more are refused. Default 1000.
    pub open_per_tenant_max: usize,
    /// Unfinished wake-ups in all; more are refused. Default 10000.
    pub open_max: usize,
    /// Attempts of one tenant at the same time. Default 16.
    pub in_flight_per_tenant_max: usize,
    /// Attempts at the same time. Default 128.
    pub in_flight_max: usize,
    /// Attempts for one wake-up. Default 8.
    pub attempts_max: u32,
    /// Wait after the first failed attempt, in ms; it doubles each time. Default 500.
    pub backoff_first_ms: u64,
    /// Longest wait between attempts, in ms. Default 8000.
    pub backoff_max_ms: u64,
    /// How long setting up a connection to a provider may take, in ms. Default 2000.
    pub connect_timeout_ms: u64,
    /// How long one attempt may take, in ms. Default 5000.
    pub request_timeout_ms: u64,
    /// How long a wake-up stays in the ledger after its deadline, in seconds: so long it can be read, replayed if it is
    /// dead, and its push id is not taken for another. Default 86400.
    pub keep_s: u64,
    /// Whether targets may be in private, loopback and other networks that are not the public Internet. Default false:
    /// tenants name the targets, and must not reach our own services through us.
    pub allow_private_targets: bool,
}

impl Default for Config {
    fn default() -> Self {
        let (limits, backoff) = (Limits::default(), Backoff::default());
        Self {
            open_per_tenant_max: limits.open_per_tenant_max,
            open_max: limits.open_max,
            in_flight_per_tenant_max: limits.in_flight_per_tenant_max,
            in_flight_max: limits.in_flight_max,
            attempts_max: limits.attempts_max,
            backoff_first_ms: backoff.first.as_millis() as u64,
            backoff_max_ms: backoff.max.as_millis() as u64,
            connect_timeout_ms: 2_000,
            request_timeout_ms: 5_000,
            keep_s: 86_400,
            allow_private_targets: false,
        }
    }
}

impl Config {
    /// Adds every mistake in it to `errors`.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let counts = [
            ("open_per_tenant_max", self.open_per_tenant_max as u64, 1_000_000),
            ("open_max", self.open_max as u64, 1_000_000),
            ("in_flight_per_tenant_max", self.in_flight_per_tenant_max as u64, 10_000),
            ("in_flight_max", self.in_flight_max as u64, 10_000),
            ("attempts_max", self.attempts_max.into(), 100),
            ("backoff_first_ms", self.backoff_first_ms, 60_000),
            ("backoff_max_ms", self.backoff_max_ms, 60_000),
            ("connect_timeout_ms", self.connect_timeout_ms, 60_000),
            ("request_timeout_ms", self.request_timeout_ms, 60_000),
            ("keep_s", self.keep_s, 30 * 86_400),
        ];
        for (key, value, max) in counts {
            if !(1..=max).contains(&value) {
                errors.push(ConfigError::new(format!("push.{key}"), format!("must be 1 to {max}")));
            }
        }
        if self.backoff_max_ms < self.backoff_first_ms {
            errors.push(ConfigError::new("push.backoff_max_ms", "must not be less than backoff_first_ms"));
        }
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            open_per_tenant_max: self.open_per_tenant_max,
            open_max: self.open_max,
            in_flight_per_tenant_max: self.in_flight_per_tenant_max,
            in_flight_max: self.in_flight_max,
            attempts_max: self.attempts_max,
            ..Limits::default()
        }
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff {
            first: Duration::from_millis(self.backoff_first_ms),
            max: Duration::from_millis(self.backoff_max_ms),
        }
    }
}
