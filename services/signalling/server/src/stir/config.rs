//! The section `[signalling.stir]` of the configuration.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;
use sidetone_model::cidr::Cidr;
use sidetone_model::ids::TenantId;
use sidetone_runtime::egress::{Egress, literal};

/// Signatures of callers' numbers (STIR/SHAKEN: RFC 8224, RFC 8588). Which trunks sign and verify stands in the trunks.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StirConfig {
    /// The authorities of carriers' certificates, PEM. Without them no signature is good. Default none.
    pub trust: Option<PathBuf>,
    /// For how many seconds a signature is fresh, 1 to 3600. Default 60.
    pub freshness_s: u64,
    /// How long a call waits for a certificate at most, in milliseconds, 100 to 10000. Default 1500.
    pub timeout_ms: u64,
    /// Certificates that are kept, 1 to 100000. Default 1000.
    pub certificates_max: usize,
    /// For how many seconds a certificate is kept at most, 60 to 604800; less when its server says so. Default 86400.
    pub certificate_s: u64,
    /// Networks that are not public in which certificates may be all the same. Default none.
    pub allowed_networks: Vec<Cidr>,
    /// How often the files are looked at, in seconds, 1 to 86400. Default 10.
    pub reload_s: u64,
    /// With what is signed.
    pub keys: Vec<StirKeyConfig>,
}

/// A key with which callers' numbers are signed.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StirKeyConfig {
    /// Its name, by which trunks choose it (`stir_sign`).
    pub name: String,
    /// The private key, PEM, of P-256.
    pub key: PathBuf,
    /// Its certificate with the chain, PEM: what stands under `x5u`.
    pub cert: PathBuf,
    /// Where others get the certificate, an `https` URL.
    pub x5u: String,
    /// The tenants that may sign with it; empty for all. Default empty.
    #[serde(default)]
    pub tenants: Vec<String>,
    /// The name of the origin (`origid`), a UUID. Default one made of the tenant's name.
    #[serde(default)]
    pub origid: Option<String>,
}

impl Default for StirConfig {
    fn default() -> Self {
        Self {
            trust: None,
            freshness_s: 60,
            timeout_ms: 1500,
            certificates_max: 1000,
            certificate_s: 86_400,
            allowed_networks: Vec::new(),
            reload_s: 10,
            keys: Vec::new(),
        }
    }
}

impl StirConfig {
    /// Looks for mistakes that types cannot show.
    pub(crate) fn check(&self, wrong: &mut impl FnMut(&str, &str)) {
        let ranges = [
            ("freshness_s", self.freshness_s, 1, 3600),
            ("timeout_ms", self.timeout_ms, 100, 10_000),
            ("certificates_max", self.certificates_max as u64, 1, 100_000),
            ("certificate_s", self.certificate_s, 60, 604_800),
            ("reload_s", self.reload_s, 1, 86_400),
        ];
        for (name, value, min, max) in ranges {
            if !(min..=max).contains(&value) {
                wrong(&format!("stir.{name}"), &format!("must be {min} to {max}"));
            }
        }
        if self.trust.as_ref().is_some_and(|path| !path.is_file()) {
            wrong("stir.trust", "is not a file");
        }
        let mut names = HashSet::new();
        for (index, key) in self.keys.iter().enumerate() {
            let mut wrong = |name: &str, problem: &str| wrong(&format!("stir.keys[{index}].{name}"), problem);
            if TenantId::new(&key.name).is_err() || !names.insert(&key.name) {
                wrong("name", "expected 1 to 63 letters, digits, '.', '_', '+' and '-', each name once");
            }
            for (name, path) in [("key", &key.key), ("cert", &key.cert)] {
                if !path.is_file() {
                    wrong(name, "is not a file");
                }
            }
            if !Url::parse(&key.x5u).is_ok_and(|url| self.may_be(&url)) || key.x5u.contains(['<', '>', '"']) {
                wrong("x5u", "expected an https URL");
            }
            if key.tenants.iter().any(|tenant| TenantId::new(tenant).is_err()) {
                wrong("tenants", "expected names of tenants");
            }
            let is_plain = |text: &String| {
                (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            };
            if !key.origid.as_ref().is_none_or(is_plain) {
                wrong("origid", "expected a UUID");
            }
        }
    }

    /// Whether a certificate may stand there, as far as can be told without resolving the name: under `https`, and not at an
    /// address of our own network; plain `http` only in the allowed ones.
    pub(super) fn may_be(&self, url: &Url) -> bool {
        let (egress, literal) = (self.egress(), literal(url));
        let allowed = literal.is_some_and(|ip| egress.is_allowed(ip));
        let scheme = url.scheme() == "https" || url.scheme() == "http" && allowed;
        scheme && literal.is_none_or(|ip| egress.check(ip).is_ok())
    }

    pub(super) fn egress(&self) -> Egress {
        Egress::new(self.allowed_networks.clone())
    }

    pub(super) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}
