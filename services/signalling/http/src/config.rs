//! The section `[http]` of the configuration.

use std::net::SocketAddr;

use serde::Deserialize;
use sidetone_model::cidr::Cidr;
use sidetone_runtime::config::ConfigError;

/// How the HTTP door works.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Address and port; port 0 takes a free one. Default `127.0.0.1:8080`.
    pub bind: SocketAddr,
    /// The URL by which clients reach the door, without a path; it stands before the URLs that answers hold. Default:
    /// `http://` and the bound address.
    pub public_url: Option<String>,
    /// Largest body of a request in bytes, 1024 to 16777216; a larger one is refused with 413. Default 1048576.
    pub body_bytes_max: usize,
    /// A request is answered within that many seconds or given up, 1 to 300; event channels are no requests. Default 30.
    pub request_timeout_s: u64,
    /// The head of a request is sent within that many seconds, or the connection is closed, 1 to 300. Default 10.
    pub head_timeout_s: u64,
    /// Connections at a time; a further one is closed at once. Default 20000.
    pub connections_max: usize,
    /// Connections at a time from one address that is no proxy of ours. Default 2000.
    pub connections_per_source_max: usize,
    /// Networks of the reverse proxies whose `X-Forwarded-For` says from which address a request comes. Default none.
    pub proxies: Vec<Cidr>,
    /// Event channels at a time. Default 10000.
    pub subscriptions_max: usize,
    /// Events of a shard that are kept for event channels that come back, 100 to 1000000. Default 10000.
    pub events_kept: usize,
    /// After so many seconds without use a session of a telephony client is over, 60 to 86400; an open event channel is
    /// use. Default 3600.
    pub session_idle_s: u64,
    /// How many seconds a URL of a recording or a stream is good, 60 to 2592000. Default 86400.
    pub media_url_s: u64,
    /// Whether applications of conversations are told who speaks, where three or more talk: up to four webhooks a second for each
    /// such conversation. Default true.
    pub speaking: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            bind: SocketAddr::from(([127, 0, 0, 1], 8080)),
            public_url: None,
            body_bytes_max: 1 << 20,
            request_timeout_s: 30,
            head_timeout_s: 10,
            connections_max: 20_000,
            connections_per_source_max: 2000,
            proxies: Vec::new(),
            subscriptions_max: 10_000,
            events_kept: 10_000,
            session_idle_s: 3600,
            media_url_s: 86_400,
            speaking: true,
        }
    }
}

impl Config {
    /// Looks for mistakes that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let mut wrong = |key: &str, problem: &str| {
            errors.push(ConfigError::new(format!("http.{key}"), problem));
        };
        if let Some(url) = &self.public_url
            && !(url.starts_with("http://") || url.starts_with("https://"))
        {
            wrong("public_url", "must begin with http:// or https://");
        }
        if self.public_url.is_none() && self.bind.ip().is_unspecified() {
            wrong("public_url", "must be set when bind is an unspecified address");
        }
        if !(1024..=16 << 20).contains(&self.body_bytes_max) {
            wrong("body_bytes_max", "must be 1024 to 16777216");
        }
        if !(1..=300).contains(&self.request_timeout_s) {
            wrong("request_timeout_s", "must be 1 to 300");
        }
        if !(1..=300).contains(&self.head_timeout_s) {
            wrong("head_timeout_s", "must be 1 to 300");
        }
        if self.connections_max == 0 {
            wrong("connections_max", "must be at least 1");
        }
        if self.connections_per_source_max == 0 {
            wrong("connections_per_source_max", "must be at least 1");
        }
        if self.subscriptions_max == 0 {
            wrong("subscriptions_max", "must be at least 1");
        }
        if !(100..=1_000_000).contains(&self.events_kept) {
            wrong("events_kept", "must be 100 to 1000000");
        }
        if !(60..=86_400).contains(&self.session_idle_s) {
            wrong("session_idle_s", "must be 60 to 86400");
        }
        if !(60..=2_592_000).contains(&self.media_url_s) {
            wrong("media_url_s", "must be 60 to 2592000");
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
            bind: "0.0.0.0:80".parse().unwrap(),
            body_bytes_max: 1,
            request_timeout_s: 0,
            head_timeout_s: 0,
            connections_max: 0,
            connections_per_source_max: 0,
            proxies: Vec::new(),
            subscriptions_max: 0,
            events_kept: 1,
            public_url: None,
            session_idle_s: 1,
            media_url_s: 1,
            speaking: true,
        };
        bad.check(&mut errors);
        let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
        let expected = [
            "public_url",
            "body_bytes_max",
            "request_timeout_s",
            "head_timeout_s",
            "connections_max",
            "connections_per_source_max",
            "subscriptions_max",
            "events_kept",
            "session_idle_s",
            "media_url_s",
        ];
        assert_eq!(keys, expected.map(|key| format!("http.{key}")));
    }
}
