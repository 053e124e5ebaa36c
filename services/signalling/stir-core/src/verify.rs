//! From an INVITE's Identity headers to a verdict (RFC 8224, section 6.2).

use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use sidetone_model::time::Timestamp;

use crate::certificate::{Anchors, Chain};
use crate::fault::Fault;
use crate::identity::IdentityHeader;
use crate::number::TelephoneNumber;
use crate::passport::{Attestation, ES256, Identifier, Passport, Ppt, decoded};

/// A call whose caller's number may be proved by a PASSporT that fits it; only its certificate is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    passport: Passport,
    caller: TelephoneNumber,
    signing_input: String,
    signature: Vec<u8>,
}

/// A number that is proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number.
    pub caller: TelephoneNumber,
    /// How well the signer knows the caller; none in a PASSporT of the base type.
    pub attest: Option<Attestation>,
    /// The name of the call's origin, for whoever traces it back.
    pub origid: Option<Box<str>>,
}

impl Offer {
    /// The PASSporT for a call: `identities` are the values of its Identity headers, `callers` the numbers under which the
    /// caller appears (P-Asserted-Identity, From), `callee` that of To, `date` its Date in seconds since 1970. Everything
    /// is checked that can be without the certificate, so that nothing is fetched for a PASSporT that cannot be right.
    ///
    /// # Errors
    /// When no PASSporT of a known type fits the call: what is wrong with the first.
    pub fn choose(
        identities: &[String],
        callers: &[TelephoneNumber],
        callee: Option<&TelephoneNumber>,
        date: Option<u64>,
        (now, freshness_s): (Timestamp, u64),
    ) -> Result<Self, Fault> {
        let mut first_fault = None;
        for identity in identities.iter().take(IDENTITIES_MAX) {
            match Self::fitting(identity, callers, callee, date, (now, freshness_s)) {
                Ok(offer) => return Ok(offer),
                Err(Fault::Missing) => {}
                Err(fault) => {
                    first_fault.get_or_insert(fault);
                }
            }
        }
        Err(first_fault.unwrap_or(Fault::Missing))
    }

    fn fitting(
        identity: &str,
        callers: &[TelephoneNumber],
        callee: Option<&TelephoneNumber>,
        date: Option<u64>,
        (now, freshness_s): (Timestamp, u64),
    ) -> Result<Self, Fault> {
        let header = IdentityHeader::parse(identity)?;
        // Step 1: types that are not known are for others.
        let ppt = Ppt::named(header.ppt.as_deref()).ok_or(Fault::Missing)?;
        if header.alg.as_deref().is_some_and(|alg| alg != ES256) {
            return Err(Fault::Algorithm);
        }
        let signature = decoded(&header.signature)?;
        let (passport, signing_input) = match &header.signed {
            Some((protected, claims)) => {
                let passport = Passport::read(protected, claims)?;
                if passport.ppt != ppt {
                    return Err(Fault::Malformed);
                }
                if header.info.as_ref().is_some_and(|info| *info != passport.x5u) {
                    return Err(Fault::Info);
                }
                (passport, format!("{protected}.{claims}"))
            }
            None => {
                let passport = implied(&header, ppt, callers, callee, date)?;
                let input = passport.signing_input();
                (passport, input)
            }
        };
        // Step 4, before the certificate is asked for.
        if (now.as_millis() / 1000).abs_diff(passport.iat) > freshness_s {
            return Err(Fault::Stale);
        }
        let caller = match &passport.orig {
            Identifier::Number(number) => callers.iter().find(|caller| *caller == number),
            Identifier::Uri(_) => None,
        };
        let caller = caller.ok_or(Fault::OtherCaller)?.clone();
        let to_us = callee.is_some_and(|callee| passport.dest.contains(&Identifier::Number(callee.clone())));
        if !to_us {
            return Err(Fault::OtherCallee);
        }
        Ok(Self { passport, caller, signing_input, signature })
    }

    /// Where the certificate is.
    pub fn certificate_url(&self) -> &str {
        &self.passport.x5u
    }

    /// What was signed.
    pub fn passport(&self) -> &Passport {
        &self.passport
    }

    /// The verdict, with the certificate.
    ///
    /// # Errors
    /// When the certificate is not trusted, is not good for the number, or did not sign this.
    pub fn verify(&self, chain: &Chain, anchors: &Anchors, now: Timestamp) -> Result<Verified, Fault> {
        chain.verify(anchors, now).map_err(|_| Fault::Certificate)?;
        if !chain.list().covers(&self.caller) {
            return Err(Fault::Authority);
        }
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, chain.public_key())
            .verify(self.signing_input.as_bytes(), &self.signature)
            .map_err(|_| Fault::Signature)?;
        let Passport { attest, origid, .. } = self.passport.clone();
        Ok(Verified { caller: self.caller.clone(), attest, origid })
    }
}

/// What the compact form leaves out (RFC 8225, section 7): it stands in the message itself. PASSporTs with claims of their own
/// have no compact form (RFC 8588, section 7).
fn implied(
    header: &IdentityHeader,
    ppt: Ppt,
    callers: &[TelephoneNumber],
    callee: Option<&TelephoneNumber>,
    date: Option<u64>,
) -> Result<Passport, Fault> {
    if ppt != Ppt::Base {
        return Err(Fault::Malformed);
    }
    let x5u = header.info.clone().ok_or(Fault::Info)?;
    // From decides, which is the last of those under which the caller appears.
    let orig = callers.last().ok_or(Fault::OtherCaller)?.clone();
    let dest = callee.ok_or(Fault::OtherCallee)?.clone();
    let iat = date.ok_or(Fault::Stale)?;
    Ok(Passport {
        ppt,
        x5u,
        iat,
        orig: Identifier::Number(orig),
        dest: vec![Identifier::Number(dest)],
        attest: None,
        origid: None,
    })
}

/// Headers that are looked at: `shaken`, `div` and `rcd` make three.
const IDENTITIES_MAX: usize = 8;
