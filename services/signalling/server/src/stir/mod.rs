//! STIR/SHAKEN on trunks (RFC 8224, RFC 8588): calls from carriers are looked at, calls to carriers are signed.
//!
//! The rules are in [`sidetone_stir_core`]; here are files, certificates from the network, and what a request says.

mod certificates;
mod config;
mod material;
mod request;

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use aws_lc_rs::digest::{SHA256, digest};
use sidetone_model::ids::TenantId;
use sidetone_model::party::Proof;
use sidetone_model::time::Timestamp;
use sidetone_sip_core::message::Request;
use sidetone_stir_core::{Attestation, Fault, Offer, Passport, TelephoneNumber, Verified};
use sidetone_telemetry::Telemetry;
use tokio_util::sync::CancellationToken;

use crate::replica::wall_clock;
use certificates::Certificates;
use material::Material;

pub use config::{StirConfig, StirKeyConfig};
pub(crate) use material::MaterialError;
pub(crate) use request::{Asked, with_verstat};

/// What is known of the number of a carrier's caller.
pub(crate) type Verdict = Result<Verified, Fault>;

/// Signs and verifies.
pub(crate) struct Stir {
    config: StirConfig,
    material: Arc<ArcSwap<Material>>,
    certificates: Arc<Certificates>,
    telemetry: Arc<Telemetry>,
}

impl Stir {
    /// Reads the keys, and goes on watching them.
    ///
    /// # Errors
    /// When a file is of no use.
    pub(crate) fn open(
        config: &StirConfig,
        telemetry: &Arc<Telemetry>,
        stopping: &CancellationToken,
    ) -> Result<Arc<Self>, MaterialError> {
        Ok(Arc::new(Self {
            material: Material::open(config, telemetry, stopping)?,
            certificates: Certificates::new(config.clone(), Arc::clone(telemetry)),
            config: config.clone(),
            telemetry: Arc::clone(telemetry),
        }))
    }

    /// What the signature of a call that came over `trunk` is worth; no later than `timeout_ms` from now.
    pub(crate) async fn verify(&self, asked: &Asked, trunk: &str) -> Verdict {
        let begin = Instant::now();
        let verdict = self.judge(asked).await;
        self.telemetry.stir.delay.observe(begin.elapsed().as_secs_f64());
        let label = match &verdict {
            Ok(verified) => proof_of(verified).label(),
            Err(fault) => fault.label(),
        };
        self.telemetry.stir.verified.with_label_values(&[trunk, label]).inc();
        verdict
    }

    async fn judge(&self, asked: &Asked) -> Verdict {
        let Asked { identities, callers, callee, date } = asked;
        let fresh = (wall_clock(), self.config.freshness_s);
        let offer = Offer::choose(identities, callers, callee.as_ref(), *date, fresh)?;
        let certificate = self.certificates.get(offer.certificate_url());
        let in_time = tokio::time::timeout(self.config.timeout(), certificate);
        let chain = in_time.await.unwrap_or(Err(Fault::Info))?;
        offer.verify(&chain, &self.material.load().anchors, wall_clock())
    }

    /// The INVITE with an Identity header for the caller's number; none when it goes out as it is, and it is counted why.
    pub(crate) fn sign(
        &self,
        invite: &Request,
        (tenant, trunk, key): (&TenantId, &str, &str),
        proof: Proof,
        now: Timestamp,
    ) -> Option<Request> {
        let signed = self.signed(invite, (tenant, key), proof, now);
        let label = match &signed {
            Ok((_, attest)) => attest.as_str(),
            Err(reason) => reason,
        };
        self.telemetry.stir.signed.with_label_values(&[trunk, label]).inc();
        signed.ok().map(|(request, _)| request)
    }

    fn signed(
        &self,
        invite: &Request,
        (tenant, name): (&TenantId, &str),
        proof: Proof,
        now: Timestamp,
    ) -> Result<(Request, Attestation), &'static str> {
        let config = self.config.keys.iter().find(|key| key.name == name).ok_or("no_key")?;
        if !config.tenants.is_empty() && !config.tenants.iter().any(|of| of == tenant.as_str()) {
            return Err("not_the_tenants_key");
        }
        let material = self.material.load();
        let key = material.keys.get(name).ok_or("no_key")?;
        let (orig, dest) = request::numbers(invite).ok_or("no_number")?;
        let attest = attestation(proof);
        let origid = config.origid.clone().unwrap_or_else(|| origid(tenant));
        let passport = Passport::shaken(&config.x5u, (orig, dest), attest, &origid, now.as_millis() / 1000);
        let identity = key.sign(&passport).map_err(|_| "failed")?;
        let signed = invite.with_header("Identity", &identity);
        // RFC 8224, section 6.1, step 3.
        let signed = signed.and_then(|signed| signed.with_header("Date", &request::date(now)?));
        signed.map(|signed| (signed, attest)).ok_or("failed")
    }
}

/// What we may say of a caller (RFC 8588, section 4): of our own users that we know them, and their numbers when they are
/// assigned; of everybody else only that the call came through here.
fn attestation(proof: Proof) -> Attestation {
    match proof {
        Proof::Own => Attestation::A,
        Proof::User => Attestation::B,
        _ => Attestation::C,
    }
}

fn proof_of(verified: &Verified) -> Proof {
    match verified.attest {
        Some(Attestation::A) => Proof::PassedA,
        Some(Attestation::B) => Proof::PassedB,
        Some(Attestation::C) => Proof::PassedC,
        None => Proof::Passed,
    }
}

/// What a verdict says of the number under which the caller is shown.
pub(crate) fn proof(verdict: &Verdict, shown: &str) -> Proof {
    match verdict {
        Ok(verified) if TelephoneNumber::canonical(shown).as_ref() == Some(&verified.caller) => {
            proof_of(verified)
        }
        // Good, but for another number than the one that is shown.
        Ok(_) => Proof::Failed,
        Err(Fault::Missing | Fault::Info) => Proof::Absent,
        Err(_) => Proof::Failed,
    }
}

/// A UUID of version 8 (RFC 9562, section 5.8) that stands for a tenant and tells nobody its name.
fn origid(tenant: &TenantId) -> String {
    let hash = digest(&SHA256, format!("sidetone origid {tenant}").as_bytes());
    let mut bytes = [0u8; 16];
    bytes.copy_from_slice(&hash.as_ref()[..16]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}
