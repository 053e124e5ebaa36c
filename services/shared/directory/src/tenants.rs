//! Tenants and their domains.
//!
//! A domain is claimed by a key of its own before the tenant's record names it, and given back after the record has
//! ceased to; so two tenants can never both have it, and a crash between the two leaves a claim that the next put or
//! deletion of its tenant clears away.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde::Deserialize;
use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{Entry, Expect, StoreError};

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, Replaces};

/// How far phones that are called may send the call on themselves (3xx).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedRedirects {
    /// Nowhere.
    Never,
    /// To the tenant's own users, rooms and other numbers.
    Inside,
    /// Also out over the tenant's trunks.
    #[default]
    Everywhere,
}

impl From<SeedRedirects> for pb::Redirects {
    fn from(seed: SeedRedirects) -> Self {
        match seed {
            SeedRedirects::Never => Self::Never,
            SeedRedirects::Inside => Self::Inside,
            SeedRedirects::Everywhere => Self::Everywhere,
        }
    }
}

impl Directory {
    /// Adds or replaces a tenant.
    pub async fn put_tenant(&self, tenant: pb::Tenant) -> Result<pb::Tenant, DirectoryError> {
        let replaces = Replaces::of(tenant.revision);
        self.write_tenant(tenant, replaces).await
    }

    pub(crate) async fn write_tenant(
        &self,
        mut tenant: pb::Tenant,
        replaces: Replaces,
    ) -> Result<pb::Tenant, DirectoryError> {
        let id = TenantId::new(&tenant.tenant).map_err(DirectoryError::id("tenant.tenant"))?;
        let hosts: Option<BTreeSet<String>> = tenant.domains.iter().map(|d| normal_host(d)).collect();
        let hosts = hosts.ok_or(DirectoryError::Invalid {
            field: "tenant.domains",
            reason: "expected host names or IP addresses without port",
        })?;
        if !tenant.assistant.is_empty() && !crate::numbers::is_number(&tenant.assistant) {
            let reason = "expected 1 to 64 of letters, digits and + * # . _ -";
            return Err(DirectoryError::Invalid { field: "tenant.assistant", reason });
        }
        if pb::Redirects::try_from(tenant.redirects).is_err() {
            let reason = "expected never, inside or everywhere";
            return Err(DirectoryError::Invalid { field: "tenant.redirects", reason });
        }
        if hosts.len() > DOMAINS_MAX {
            return Err(DirectoryError::Invalid { field: "tenant.domains", reason: "more than 256" });
        }
        tenant.domains = hosts.iter().cloned().collect();
        let mut claimed = Vec::new();
        let mut outcome = Ok(());
        for host in &hosts {
            match self.claim(&id, host).await {
                Ok(true) => claimed.push(host.clone()),
                Ok(false) => {}
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let written = match outcome {
            Ok(()) => self.put_record(&keys::tenant(&id), &tenant, replaces).await,
            Err(error) => Err(error),
        };
        match written {
            Ok(written) => {
                self.release(&id, |host| !hosts.contains(host)).await?;
                Ok(written)
            }
            Err(error) => {
                self.release(&id, |host| claimed.iter().any(|c| c == host)).await?;
                Err(error)
            }
        }
    }

    /// Removes a tenant that has nothing left.
    pub async fn delete_tenant(&self, tenant: &TenantId) -> Result<(), DirectoryError> {
        let in_use = |by| Err(DirectoryError::InUse { what: "tenant", by });
        if self.any(&keys::users(tenant)).await? {
            return in_use("users");
        }
        if self.any(&keys::numbers(tenant)).await? {
            return in_use("numbers");
        }
        if self.any(&keys::rooms(tenant)).await? {
            return in_use("rooms");
        }
        if !self.list_tokens(tenant).await?.is_empty() {
            return in_use("tokens");
        }
        if !self.list_trunks(Some(tenant)).await?.is_empty() {
            return in_use("trunks");
        }
        if !self.list_applications(tenant).await?.is_empty() {
            return in_use("applications");
        }
        self.delete_record::<pb::Tenant>(&keys::tenant(tenant)).await?;
        self.release(tenant, |_| true).await
    }

    /// Every tenant.
    pub async fn list_tenants(&self) -> Result<Vec<pb::Tenant>, DirectoryError> {
        self.records(keys::TENANTS).await
    }

    /// Takes a domain for a tenant; false when it has it already.
    async fn claim(&self, tenant: &TenantId, host: &str) -> Result<bool, DirectoryError> {
        let key = keys::domain(host);
        let name = claim_value(tenant, host);
        let taken = self.store().put(&key, name, None, Expect::Absent).await;
        self.inner.cache.forget(&key);
        match taken {
            Ok(_) => Ok(true),
            Err(StoreError::RevisionMismatch { .. }) => match self.store().get(&key).await? {
                Some(entry) if claimant(&entry)? == *tenant => Ok(false),
                _ => Err(DirectoryError::Taken { what: "domain" }),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Gives back those domains of a tenant that `which` chooses.
    async fn release(
        &self,
        tenant: &TenantId,
        which: impl Fn(&str) -> bool + Send + Sync,
    ) -> Result<(), DirectoryError> {
        for entry in self.store().list(keys::DOMAINS).await? {
            let Some((owner, host)) = claim_of(&entry) else { continue };
            if owner != tenant.as_str() || !which(host) {
                continue;
            }
            let deleted = self.store().delete(&entry.key, Expect::Revision(entry.revision)).await;
            self.inner.cache.forget(&entry.key);
            match deleted {
                Ok(()) | Err(StoreError::RevisionMismatch { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// The value of a claim: the tenant, a line break, the host as it is written.
fn claim_value(tenant: &TenantId, host: &str) -> Bytes {
    Bytes::from(format!("{tenant}\n{host}"))
}

fn claim_of(entry: &Entry) -> Option<(&str, &str)> {
    std::str::from_utf8(&entry.value).ok()?.split_once('\n')
}

/// Who has a domain.
pub(crate) fn claimant(entry: &Entry) -> Result<TenantId, DirectoryError> {
    claim_of(entry)
        .and_then(|(tenant, _)| TenantId::new(tenant).ok())
        .ok_or(DirectoryError::Unreadable { what: pb::Tenant::WHAT })
}

/// A host in the form in which it is kept: lower case, without brackets or final dot. None when it is no host.
pub(crate) fn normal_host(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if host.contains(':') {
        return host.parse::<std::net::Ipv6Addr>().ok().map(|ip| ip.to_string());
    }
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
    (!host.is_empty() && host.len() <= 253 && host.bytes().all(usable)).then_some(host)
}

/// How many domains one tenant may have.
const DOMAINS_MAX: usize = 256;
