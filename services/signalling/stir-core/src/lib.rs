//! Whether a caller may use the number under which it appears: STIR (RFC 8224, 8225, 8226) with SHAKEN (RFC 8588).
//!
//! Everything here is a value: what needs a certificate from somewhere says so and is given it, and the time is an
//! argument.
//!
//! ```text
//! incoming INVITE  Offer::choose(identities, callers, callee, date, now) ── offer.certificate_url()
//!                       (the shell fetches it) ── Chain::parse(bytes) ── offer.verify(&chain, &anchors, now) => Verified
//! outgoing INVITE  Passport::shaken(..) ── SigningKey::sign(&passport) => the value of an Identity header
//! ```
//!
//! Not here: `rcd` (RFC 9795) and revocation lists. PASSporTs of other types are passed over, as RFC 8224, section 6.2,
//! step 1 wants it.
#![forbid(unsafe_code)]

mod certificate;
mod fault;
mod identity;
mod number;
mod passport;
mod sign;
mod tn_auth_list;
mod verify;

pub use certificate::{Anchors, CertificateError, Chain};
pub use fault::Fault;
pub use identity::IdentityHeader;
pub use number::TelephoneNumber;
pub use passport::{Attestation, Identifier, Passport, Ppt};
pub use sign::{KeyError, SigningKey};
pub use tn_auth_list::TnAuthList;
pub use verify::{Offer, Verified};
