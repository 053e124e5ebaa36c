//! Mistakes in the section that types cannot show.

use sidetone_model::ids::ReplicaId;
use sidetone_model::party::Transport;
use sidetone_runtime::config::ConfigError;
use sidetone_sip_core::auth::Algorithm;

use super::{ClientAuth, Config};

impl Config {
    /// Looks for mistakes that types cannot show.
    pub fn check(&self, errors: &mut Vec<ConfigError>) {
        let mut wrong = |key: &str, problem: &str| {
            errors.push(ConfigError::new(format!("signalling.{key}"), problem));
        };
        if let Err(error) = ReplicaId::new(&self.replica_id) {
            wrong("replica_id", &error.to_string());
        }
        self.check_listeners(&mut wrong);
        self.check_tls(&mut wrong);
        self.check_defence(&mut wrong);
        if let Some(at) = self.dns_records.iter().position(|line| !crate::trunks::Names::is_record(line)) {
            wrong(&format!("dns_records[{at}]"), "is no record like: name SRV 1 1 5060 host");
        }
        self.check_bounds(&mut wrong);
        self.check_protocol(&mut wrong);
        self.check_ladder(&mut wrong);
        self.stir.check(&mut wrong);
        self.subscriptions.check(&mut wrong);
    }

    fn check_listeners(&self, wrong: &mut impl FnMut(&str, &str)) {
        if self.listeners.is_empty() {
            wrong("listeners", "at least one is needed");
        }
        for (index, listener) in self.listeners.iter().enumerate() {
            let key = format!("listeners[{index}].advertised");
            match listener.advertised {
                None if listener.bind.ip().is_unspecified() => {
                    wrong(&key, "must be set when bind is an unspecified address");
                }
                Some(address) if address.ip().is_unspecified() => wrong(&key, "is an unspecified address"),
                _ => {}
            }
        }
    }

    fn check_bounds(&self, wrong: &mut impl FnMut(&str, &str)) {
        if !(1..=1_000_000).contains(&self.legs_max) {
            wrong("legs_max", "must be 1 to 1000000");
        }
        if self.behind_max_ms != 0 && !(100..=30_000).contains(&self.behind_max_ms) {
            wrong("behind_max_ms", "must be 0 or 100 to 30000");
        }
        if self.connections_max == 0 || self.connections_per_source_max == 0 {
            wrong("connections_max", "it and connections_per_source_max must be at least 1");
        }
        if !(1..=60).contains(&self.caller_gone_s) {
            wrong("caller_gone_s", "must be 1 to 60");
        }
        if !(30..=86_400).contains(&self.connection_idle_s) {
            wrong("connection_idle_s", "must be 30 to 86400");
        }
        if self.connection_idle_s <= u64::from(self.register_expires_max_s) {
            wrong("connection_idle_s", "must be longer than register_expires_max_s");
        }
        if self.register_expires_min_s == 0 || self.register_expires_min_s > self.register_expires_max_s {
            wrong("register_expires_min_s", "must be at least 1 and at most register_expires_max_s");
        }
        if self.session_interval_s != 0 && !(90..=86_400).contains(&self.session_interval_s) {
            wrong("session_interval_s", "must be 0 or 90 to 86400");
        }
        if self.contacts_max == 0 {
            wrong("contacts_max", "must be at least 1");
        }
    }

    fn check_protocol(&self, wrong: &mut impl FnMut(&str, &str)) {
        let unknown = self.digest_algorithms.iter().any(|name| Algorithm::from_token(name).is_none());
        if unknown || self.digest_algorithms.is_empty() {
            wrong("digest_algorithms", "must name at least one of SHA-256, SHA-512-256 and MD5");
        }
        if !(10..=86_400).contains(&self.nonce_lifetime_s) {
            wrong("nonce_lifetime_s", "must be 10 to 86400");
        }
        if !(10..=10_000).contains(&self.t1_ms) {
            wrong("t1_ms", "must be 10 to 10000");
        }
        if self.carrier_silence_s > 32 {
            wrong("carrier_silence_s", "must be 0 to 32");
        }
        if self.headers_max > 64 {
            wrong("headers_max", "must be 0 to 64");
        }
        if self.headers_bytes_max > 16_384 {
            wrong("headers_bytes_max", "must be 0 to 16384");
        }
    }

    fn check_ladder(&self, wrong: &mut impl FnMut(&str, &str)) {
        if self.ladder.memory_mb > 16_384 {
            wrong("ladder.memory_mb", "must be 0 to 16384");
        }
        if !(8..=1_048_576).contains(&self.ladder.files_mb) {
            wrong("ladder.files_mb", "must be 8 to 1048576");
        }
        if self.ladder.directory.is_some() && self.ladder.memory_mb == 0 {
            wrong("ladder.directory", "needs memory_mb above 0: what goes to the files goes through memory");
        }
        let is_address = |text: &String| {
            text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
        };
        if !self.hep.address.as_ref().is_none_or(is_address) {
            wrong("hep.address", "expected host:port");
        }
    }

    fn check_defence(&self, wrong: &mut impl FnMut(&str, &str)) {
        let defence = &self.defence;
        if defence.scanner_agents.iter().any(|agent| agent.trim().is_empty()) {
            wrong("defence.scanner_agents", "an empty name would be everybody's");
        }
        if !(1..=100_000).contains(&defence.failures_max) {
            wrong("defence.failures_max", "must be 1 to 100000");
        }
        for (name, seconds) in [("failure_window_s", defence.failure_window_s), ("ban_s", defence.ban_s)] {
            if !(1..=86_400).contains(&seconds) {
                wrong(&format!("defence.{name}"), "must be 1 to 86400");
            }
        }
    }

    fn check_tls(&self, wrong: &mut impl FnMut(&str, &str)) {
        let secure = self.listeners.iter().any(|l| Transport::from(l.transport).is_secure());
        if secure && self.tls.certificates.is_empty() {
            wrong("tls.certificates", "a listener under TLS needs one");
        }
        for (index, pair) in self.tls.certificates.iter().enumerate() {
            for (name, path) in [("cert", &pair.cert), ("key", &pair.key)] {
                if !path.is_file() {
                    wrong(&format!("tls.certificates[{index}].{name}"), "is not a file");
                }
            }
        }
        let files = [
            ("client_ca", &self.tls.client_ca),
            ("client_crl", &self.tls.client_crl),
            ("trust", &self.tls.trust),
        ];
        for (name, path) in files {
            if path.as_ref().is_some_and(|path| !path.is_file()) {
                wrong(&format!("tls.{name}"), "is not a file");
            }
        }
        if self.tls.client_auth != ClientAuth::None && self.tls.client_ca.is_none() {
            wrong("tls.client_ca", "must be set when client_auth is not none");
        }
        if self.tls.client_auth == ClientAuth::None && self.tls.client_crl.is_some() {
            wrong("tls.client_crl", "is of no use while client_auth is none");
        }
        if !(1..=86_400).contains(&self.tls.reload_s) {
            wrong("tls.reload_s", "must be 1 to 86400");
        }
    }
}
