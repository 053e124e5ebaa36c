//! Trunks: carriers, the numbers that go over them, and which replica serves each.
//!
//! The password of a trunk is needed in clear to answer the carrier's challenges. It has a record of its own, which no list
//! and no answer shows; who can read the store can read it.

use bytes::Bytes;
use prost::Message as _;
use serde::Deserialize;
use sidetone_model::cidr::Cidr;
use sidetone_model::ids::{ReplicaId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::{Expect, StoreError};

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::people::SeedMediaEncryption;
use crate::record::{Record as _, Replaces};
use crate::secret::Password;

/// One trunk, as the configuration file has it. The words are those of `directory.v1.Trunk`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedTrunk {
    /// Its name.
    pub trunk: String,
    /// Where the carrier is: `sip:host[:port][;transport=udp|tcp|tls]`.
    pub uri: String,
    /// What is registered there, `user@domain`. Default nothing.
    #[serde(default)]
    pub register_as: String,
    /// The digest user name. Default the user of `register_as`.
    #[serde(default)]
    pub auth_username: String,
    /// The password for both.
    #[serde(default)]
    pub password: Option<Password>,
    /// Seconds asked for. Default 600.
    #[serde(default)]
    pub register_expires_s: u32,
    /// Networks out of which it calls. Default only where `uri` leads.
    #[serde(default)]
    pub sources: Vec<String>,
    /// Which numbers go out over it. Default none.
    #[serde(default)]
    pub routes: Vec<SeedRoute>,
    /// What becomes of numbers on their way out.
    #[serde(default)]
    pub outbound: Vec<SeedRule>,
    /// What becomes of numbers on their way in.
    #[serde(default)]
    pub inbound: Vec<SeedRule>,
    /// Calls at once; 0 (default) for no limit.
    #[serde(default)]
    pub calls_max: u32,
    /// New calls a second; 0 (default) for no limit.
    #[serde(default)]
    pub calls_per_s: u32,
    /// Seconds between OPTIONS; 0 (default) for none.
    #[serde(default)]
    pub options_interval_s: u32,
    /// The number shown for every caller. Default the caller's own.
    #[serde(default)]
    pub caller_id: String,
    /// The name of the key with which callers' numbers are signed (`signalling.stir.keys`). Default none.
    #[serde(default)]
    pub stir_sign: String,
    /// Whether signatures of callers' numbers are looked at: `off`, `mark` or `require`. Default `off`.
    #[serde(default)]
    pub stir_verify: SeedStirVerify,
    /// What it asserts of callers is believed, and it is told who calls. Default false.
    #[serde(default)]
    pub trusted: bool,
    /// By Remote-Party-ID instead of P-Asserted-Identity. Default false.
    #[serde(default)]
    pub remote_party_id: bool,
    /// Its redirections (3xx) are refusals, wherever they lead. Default false.
    #[serde(default)]
    pub redirects_ignored: bool,
    /// Whether its media is encrypted: `off`, `offered` or `required`. Default as `media.srtp` has it.
    #[serde(default)]
    pub media_encryption: Option<SeedMediaEncryption>,
}

/// What becomes of signatures of callers' numbers (RFC 8224).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeedStirVerify {
    /// They are not looked at.
    #[default]
    Off,
    /// The verdict is told.
    Mark,
    /// Without a good one there is no call.
    Require,
}

impl From<SeedStirVerify> for pb::StirVerify {
    fn from(seed: SeedStirVerify) -> Self {
        match seed {
            SeedStirVerify::Off => Self::Off,
            SeedStirVerify::Mark => Self::Mark,
            SeedStirVerify::Require => Self::Require,
        }
    }
}

/// Numbers that go out.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRoute {
    /// With which they begin. Default every number.
    #[serde(default)]
    pub prefix: String,
    /// The lowest first. Default 0.
    #[serde(default)]
    pub priority: u32,
    /// Share among equals. Default 1.
    #[serde(default)]
    pub weight: u32,
}

/// One rule for numbers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeedRule {
    /// With which they begin. Default every number.
    #[serde(default)]
    pub prefix: String,
    /// Characters taken off. Default 0.
    #[serde(default)]
    pub strip: u32,
    /// What comes before. Default nothing.
    #[serde(default)]
    pub prepend: String,
}

impl SeedTrunk {
    pub(crate) fn record(&self, tenant: &str) -> pb::Trunk {
        let rule = |r: &SeedRule| pb::NumberRule {
            prefix: r.prefix.clone(),
            strip: r.strip,
            prepend: r.prepend.clone(),
        };
        let route = |r: &SeedRoute| pb::TrunkRoute {
            prefix: r.prefix.clone(),
            priority: r.priority,
            weight: r.weight,
        };
        pb::Trunk {
            tenant: tenant.to_owned(),
            trunk: self.trunk.clone(),
            uri: self.uri.clone(),
            register_as: self.register_as.clone(),
            auth_username: self.auth_username.clone(),
            has_password: false,
            register_expires_s: self.register_expires_s,
            sources: self.sources.clone(),
            routes: self.routes.iter().map(route).collect(),
            outbound: self.outbound.iter().map(rule).collect(),
            inbound: self.inbound.iter().map(rule).collect(),
            calls_max: self.calls_max,
            calls_per_s: self.calls_per_s,
            options_interval_s: self.options_interval_s,
            revision: 0,
            caller_id: self.caller_id.clone(),
            disabled: false,
            stir_sign: self.stir_sign.clone(),
            stir_verify: pb::StirVerify::from(self.stir_verify).into(),
            trusted: self.trusted,
            remote_party_id: self.remote_party_id,
            redirects_ignored: self.redirects_ignored,
            media_encryption: SeedMediaEncryption::wire(self.media_encryption),
        }
    }
}

impl Directory {
    /// Adds or replaces a trunk. Without a password the present one stays.
    pub async fn put_trunk(
        &self,
        trunk: pb::Trunk,
        password: Option<&Password>,
    ) -> Result<pb::Trunk, DirectoryError> {
        let replaces = Replaces::of(trunk.revision);
        self.write_trunk(trunk, password, replaces).await
    }

    pub(crate) async fn write_trunk(
        &self,
        mut trunk: pb::Trunk,
        password: Option<&Password>,
        replaces: Replaces,
    ) -> Result<pb::Trunk, DirectoryError> {
        let tenant = check(&trunk)?;
        self.needs_tenant(&tenant).await?;
        let secret = keys::trunk_secret(&tenant, &trunk.trunk);
        trunk.has_password = password.is_some() || self.store().get(&secret).await?.is_some();
        if !trunk.register_as.is_empty() && !trunk.has_password {
            return Err(invalid("password", "who registers needs one"));
        }
        if let Some(password) = password {
            if password.reveal().is_empty() || password.reveal().len() > PASSWORD_BYTES_MAX {
                return Err(invalid("password", "expected 1 to 256 bytes"));
            }
            let value = Bytes::copy_from_slice(password.reveal().as_bytes());
            self.store().put(&secret, value, None, Expect::Any).await?;
        }
        self.put_record(&keys::trunk(&tenant, &trunk.trunk), &trunk, replaces).await
    }

    /// Removes a trunk with its password.
    pub async fn delete_trunk(&self, tenant: &TenantId, trunk: &str) -> Result<(), DirectoryError> {
        if !is_name(trunk) {
            return Err(DirectoryError::NotFound { what: pb::Trunk::WHAT });
        }
        self.delete_record::<pb::Trunk>(&keys::trunk(tenant, trunk)).await?;
        Ok(self.store().delete(&keys::trunk_secret(tenant, trunk), Expect::Any).await?)
    }

    /// The trunks of one tenant, or of all.
    pub async fn list_trunks(&self, tenant: Option<&TenantId>) -> Result<Vec<pb::Trunk>, DirectoryError> {
        self.records(&keys::trunks(tenant)).await
    }

    /// The password of a trunk.
    pub async fn trunk_password(
        &self,
        tenant: &TenantId,
        trunk: &str,
    ) -> Result<Option<Password>, DirectoryError> {
        let Some(entry) = self.store().get(&keys::trunk_secret(tenant, trunk)).await? else {
            return Ok(None);
        };
        let secret = std::str::from_utf8(&entry.value).map(Password::new);
        secret.map(Some).map_err(|_| DirectoryError::Unreadable { what: "password" })
    }

    /// What the replicas say of the trunks that they serve.
    pub async fn trunk_states(&self, tenant: &TenantId) -> Result<Vec<pb::TrunkState>, DirectoryError> {
        let now = self.inner.clock.now();
        let entries = self.store().list(&keys::trunk_states(tenant)).await?;
        let held = entries.iter().filter(|entry| entry.expires_at.is_none_or(|at| at > now));
        held.map(|entry| {
            pb::TrunkState::decode(entry.value.clone())
                .map_err(|_| DirectoryError::Unreadable { what: "trunk state" })
        })
        .collect()
    }

    /// Takes, keeps or refreshes the right to serve a trunk until `until`; false while another replica has it. One replica
    /// serves a trunk, so that it registers once and its limits are counted in one place.
    pub async fn hold_trunk(&self, state: &pb::TrunkState, until: Timestamp) -> Result<bool, DirectoryError> {
        let tenant = TenantId::new(&state.tenant).map_err(DirectoryError::id("tenant"))?;
        let key = keys::trunk_state(&tenant, &state.trunk);
        let current = self.store().get(&key).await?;
        let expect = match &current {
            None => Expect::Absent,
            Some(entry) => {
                let held = pb::TrunkState::decode(entry.value.clone()).unwrap_or_default();
                let over = entry.expires_at.is_some_and(|at| at <= self.inner.clock.now());
                if held.replica != state.replica && !over {
                    return Ok(false);
                }
                Expect::Revision(entry.revision)
            }
        };
        match self.store().put(&key, Bytes::from(state.encode_to_vec()), Some(until), expect).await {
            Ok(_) => Ok(true),
            Err(StoreError::RevisionMismatch { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Over which replica a number that nobody in the tenant has goes out; none when no trunk takes it.
    pub async fn trunk_replica(
        &self,
        tenant: &TenantId,
        number: &str,
    ) -> Result<Option<ReplicaId>, DirectoryError> {
        let trunks = self.list_trunks(Some(tenant)).await?;
        let mut takes: Vec<(&pb::Trunk, usize, u32)> =
            trunks.iter().filter_map(|trunk| best_route(trunk, number).map(|(p, r)| (trunk, p, r))).collect();
        if takes.is_empty() {
            return Ok(None);
        }
        takes.sort_by_key(|(_, prefix, priority)| (std::cmp::Reverse(*prefix), *priority));
        let states = self.trunk_states(tenant).await?;
        let state_of = |trunk: &pb::Trunk| states.iter().find(|state| state.trunk == trunk.trunk);
        // One that has just come is called until it is known that it should not be.
        let works = |state: &&pb::TrunkState| (state.healthy || state.unknown) && state.registered;
        let best = takes.iter().find_map(|(trunk, ..)| state_of(trunk).filter(works));
        let best = best.or_else(|| takes.iter().find_map(|(trunk, ..)| state_of(trunk)));
        Ok(best.and_then(|state| ReplicaId::new(&state.replica).ok()))
    }
}

/// Which route of a trunk takes a number as it is dialled: how long its prefix is, and its priority.
fn best_route(trunk: &pb::Trunk, dialled: &str) -> Option<(usize, u32)> {
    if trunk.disabled {
        return None;
    }
    let number = apply(&trunk.outbound, dialled);
    let takes = trunk.routes.iter().filter(|route| number.starts_with(&route.prefix));
    takes.map(|route| (route.prefix.len(), route.priority)).max_by_key(|(length, _)| *length)
}

/// What the rule with the longest prefix makes of a number; without one it stays as it is.
pub fn apply(rules: &[pb::NumberRule], number: &str) -> String {
    let fits = rules.iter().filter(|rule| number.starts_with(&rule.prefix));
    match fits.max_by_key(|rule| rule.prefix.len()) {
        Some(rule) => {
            let rest: String = number.chars().skip(rule.strip as usize).collect();
            format!("{}{rest}", rule.prepend)
        }
        None => number.to_owned(),
    }
}

fn check(trunk: &pb::Trunk) -> Result<TenantId, DirectoryError> {
    let tenant = TenantId::new(&trunk.tenant).map_err(DirectoryError::id("trunk.tenant"))?;
    if !is_name(&trunk.trunk) {
        return Err(invalid("trunk.trunk", "expected 1 to 63 letters, digits, '.', '_', '+' and '-'"));
    }
    let target = trunk.uri.strip_prefix("sip:").or_else(|| trunk.uri.strip_prefix("sips:"));
    let plain = |text: &str| text.bytes().all(|b| b.is_ascii_graphic() && !b"<>\"@,?".contains(&b));
    if !target.is_some_and(|target| !target.is_empty() && target.len() <= URI_BYTES_MAX && plain(target)) {
        return Err(invalid("trunk.uri", "expected sip:host[:port][;transport=udp|tcp|tls]"));
    }
    let aor = trunk.register_as.split_once('@');
    let part =
        |text: &str| !text.is_empty() && text.len() <= 128 && plain(text) && !text.contains([':', ';']);
    if !trunk.register_as.is_empty() && !aor.is_some_and(|(user, domain)| part(user) && part(domain)) {
        return Err(invalid("trunk.register_as", "expected user@domain"));
    }
    if trunk.auth_username.len() > 128 || trunk.auth_username.chars().any(|c| c.is_control() || c == '"') {
        return Err(invalid("trunk.auth_username", "expected at most 128 bytes without quotes"));
    }
    if trunk.register_expires_s != 0 && !(60..=86_400).contains(&trunk.register_expires_s) {
        return Err(invalid("trunk.register_expires_s", "expected 60 to 86400, or 0"));
    }
    if trunk.sources.len() > LIST_MAX || !trunk.sources.iter().all(|text| text.parse::<Cidr>().is_ok()) {
        return Err(invalid("trunk.sources", "expected at most 64 networks like 192.0.2.0/24"));
    }
    let digits = |text: &str| text.is_empty() || crate::numbers::is_number(text);
    if trunk.routes.len() > LIST_MAX || !trunk.routes.iter().all(|r| digits(&r.prefix) && r.weight <= 65_535)
    {
        return Err(invalid(
            "trunk.routes",
            "expected at most 64, with digits as prefix and a weight to 65535",
        ));
    }
    let rules = trunk.outbound.iter().chain(&trunk.inbound);
    let fits = |r: &pb::NumberRule| digits(&r.prefix) && digits(&r.prepend) && r.strip <= 64;
    if trunk.outbound.len().max(trunk.inbound.len()) > LIST_MAX || !rules.clone().all(fits) {
        return Err(invalid(
            "trunk.outbound",
            "expected at most 64 rules each way, of digits, stripping at most 64",
        ));
    }
    if !digits(&trunk.caller_id) {
        return Err(invalid("trunk.caller_id", "expected a number"));
    }
    if !trunk.stir_sign.is_empty() && !is_name(&trunk.stir_sign) {
        return Err(invalid("trunk.stir_sign", "expected the name of a key"));
    }
    if pb::StirVerify::try_from(trunk.stir_verify).is_err() {
        return Err(invalid("trunk.stir_verify", "expected off, mark or require"));
    }
    if pb::MediaEncryption::try_from(trunk.media_encryption).is_err() {
        return Err(invalid("trunk.media_encryption", "expected off, offered or required"));
    }
    Ok(tenant)
}

fn invalid(field: &'static str, reason: &'static str) -> DirectoryError {
    DirectoryError::Invalid { field, reason }
}

fn is_name(text: &str) -> bool {
    TenantId::new(text).is_ok()
}

const LIST_MAX: usize = 64;
const URI_BYTES_MAX: usize = 256;
const PASSWORD_BYTES_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(prefix: &str, strip: u32, prepend: &str) -> pb::NumberRule {
        pb::NumberRule { prefix: prefix.to_owned(), strip, prepend: prepend.to_owned() }
    }

    #[test]
    fn numbers_become_e164_by_the_longest_prefix() {
        let rules = [rule("0", 1, "+49"), rule("00", 2, "+"), rule("0049", 4, "+49")];
        for (dialled, number) in [
            ("030123456", "+4930123456"),
            ("0012125550100", "+12125550100"),
            ("004930123456", "+4930123456"),
            ("+4930123456", "+4930123456"),
            ("112", "112"),
        ] {
            assert_eq!(apply(&rules, dialled), number);
        }
    }
}
