//! The section `[signalling.subscriptions]` of the configuration.

use serde::Deserialize;
use sidetone_sip_core::events::SubscriptionPolicy;

/// What phones may subscribe to, and how much of it (RFC 6665).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriptionsConfig {
    /// Subscriptions held at a time, 0 to 1000000; beyond it a new one is refused with 503 and Retry-After. 0 takes none.
    /// Default 50000.
    pub max: usize,
    /// Those of one tenant, at least 1. Default 10000.
    pub per_tenant_max: usize,
    /// Those of one user's phones together, at least 1. Default 500.
    pub per_user_max: usize,
    /// Shortest subscription in seconds; less is refused with 423, but for 0. Default 60.
    pub expires_min_s: u32,
    /// Longest subscription in seconds, at most 86400, also granted when the phone does not ask for a time. Default 3600.
    pub expires_max_s: u32,
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self {
            max: 50_000,
            per_tenant_max: 10_000,
            per_user_max: 500,
            expires_min_s: 60,
            expires_max_s: 3600,
        }
    }
}

impl SubscriptionsConfig {
    /// Looks for mistakes that types cannot show.
    pub(crate) fn check(&self, wrong: &mut impl FnMut(&str, &str)) {
        if self.max > 1_000_000 {
            wrong("subscriptions.max", "must be 0 to 1000000");
        }
        if self.per_tenant_max == 0 {
            wrong("subscriptions.per_tenant_max", "must be at least 1");
        }
        if self.per_user_max == 0 {
            wrong("subscriptions.per_user_max", "must be at least 1");
        }
        if self.expires_max_s > 86_400 {
            wrong("subscriptions.expires_max_s", "must be at most 86400");
        }
        if self.expires_min_s == 0 || self.expires_min_s > self.expires_max_s {
            wrong("subscriptions.expires_min_s", "must be at least 1 and at most expires_max_s");
        }
    }

    pub(crate) fn policy(&self) -> SubscriptionPolicy {
        SubscriptionPolicy { expires_min_s: self.expires_min_s, expires_max_s: self.expires_max_s }
    }
}
