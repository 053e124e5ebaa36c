//! The section `[outbox]` of the configuration.

use std::time::Duration;

use serde::Deserialize;
use sidetone_model::cidr::Cidr;
use sidetone_outbox_core::{Backoff, Limits};
use sidetone_runtime::config::ConfigError;

/// How webhooks are delivered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Wait after the first failed attempt, in ms, 10 to 60000; it doubles each time. Default 1000.
    pub backoff_first_ms: u64,
    /// Longest wait between attempts, in ms, up to 3600000. Default 300000.
    pub backoff_max_ms: u64,
    /// Attempts that a receiver answers with a failure while it takes other messages, 1 to 1000. Default 16.
    pub attempts_max: u32,
    /// How long a message is tried, in seconds, 1 to 604800; then it is a dead letter. Default 86400.
    pub age_max_s: u64,
    /// How long a dead letter is kept, in seconds, 60 to 31536000. Default 2592000.
    pub dead_kept_s: u64,
    /// How long setting up a connection may take, in ms, 10 to 60000. Default 3000.
    pub connect_timeout_ms: u64,
    /// How long one attempt may take, in ms, 10 to 60000. Default 10000.
    pub attempt_timeout_ms: u64,
    /// Messages of one receiver in memory, 16 to 100000; what is more is in the store. Default 1024.
    pub held_per_receiver_max: usize,
    /// Attempts at one receiver at the same time, 1 to 256. Default 16.
    pub in_flight_per_receiver_max: usize,
    /// Attempts at the same time, 2 to 10000. Default 1024.
    pub in_flight_max: usize,
    /// Cidrs that are not public and may be reached all the same, for example `10.1.0.0/16`. Default none: tenants name
    /// the receivers, and must not reach our own services through us.
    pub allowed_networks: Vec<String>,
    /// Whether webhooks may go unencrypted to receivers outside of the allowed networks. Default false.
    pub allow_http: bool,
}

impl Default for Config {
    fn default() -> Self {
        let (limits, backoff) = (Limits::default(), Backoff::default());
        Self {
            backoff_first_ms: backoff.first.as_millis() as u64,
            backoff_max_ms: backoff.max.as_millis() as u64,
            attempts_max: limits.attempts_max,
            age_max_s: limits.age_max.as_secs(),
            dead_kept_s: 30 * 86_400,
            connect_timeout_ms: 3_000,
            attempt_timeout_ms: 10_000,
            held_per_receiver_max: limits.held_per_lane_max,
            in_flight_per_receiver_max: limits.in_flight_per_lane_max,
            in_flight_max: limits.in_flight_max,
            allowed_networks: Vec::new(),
            allow_http: false,
        }
    }
}

impl Config {
    /// Adds every mistake in it to `errors`.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let ranges = [
            ("backoff_first_ms", self.backoff_first_ms, 10..=60_000),
            ("backoff_max_ms", self.backoff_max_ms, 10..=3_600_000),
            ("attempts_max", self.attempts_max.into(), 1..=1_000),
            ("age_max_s", self.age_max_s, 1..=604_800),
            ("dead_kept_s", self.dead_kept_s, 60..=31_536_000),
            ("connect_timeout_ms", self.connect_timeout_ms, 10..=60_000),
            ("attempt_timeout_ms", self.attempt_timeout_ms, 10..=60_000),
            ("held_per_receiver_max", self.held_per_receiver_max as u64, 16..=100_000),
            ("in_flight_per_receiver_max", self.in_flight_per_receiver_max as u64, 1..=256),
            ("in_flight_max", self.in_flight_max as u64, 2..=10_000),
        ];
        for (key, value, range) in ranges {
            if !range.contains(&value) {
                let problem = format!("must be {} to {}", range.start(), range.end());
                errors.push(ConfigError::new(format!("outbox.{key}"), problem));
            }
        }
        if self.backoff_max_ms < self.backoff_first_ms {
            errors.push(ConfigError::new("outbox.backoff_max_ms", "must not be less than backoff_first_ms"));
        }
        for (n, network) in self.allowed_networks.iter().enumerate() {
            if network.parse::<Cidr>().is_err() {
                let key = format!("outbox.allowed_networks[{n}]");
                errors.push(ConfigError::new(
                    key,
                    "expected a network without bits behind its length, as in 10.1.0.0/16",
                ));
            }
        }
    }

    pub(crate) fn networks(&self) -> Vec<Cidr> {
        self.allowed_networks.iter().filter_map(|network| network.parse().ok()).collect()
    }

    pub(crate) fn limits(&self) -> Limits {
        Limits {
            held_per_lane_max: self.held_per_receiver_max,
            in_flight_per_lane_max: self.in_flight_per_receiver_max,
            in_flight_max: self.in_flight_max,
            attempts_max: self.attempts_max,
            age_max: Duration::from_secs(self.age_max_s),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_right_and_every_mistake_is_told() {
        let mut errors = Vec::new();
        Config::default().check(&mut errors);
        assert_eq!(errors, []);
        let bad = Config {
            backoff_first_ms: 20_000,
            backoff_max_ms: 10_000,
            attempts_max: 0,
            allowed_networks: vec!["10.0.0.0/8".into(), "ten".into()],
            ..Config::default()
        };
        bad.check(&mut errors);
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        assert_eq!(keys, ["outbox.attempts_max", "outbox.backoff_max_ms", "outbox.allowed_networks[1]"]);
    }
}
