//! Who calls, who may know, and through whose hands a call has gone (RFC 3323, 3325, 5806, 7044).
//!
//! A caller names itself in From, which anybody can write. What a carrier asserts (P-Asserted-Identity, or Remote-Party-ID
//! of older ones) and tells of a call's way here (Diversion, History-Info) is believed of carriers within the trust domain
//! alone; from everybody else it is left out. On the way out the same rule holds: [`Audience`] says what may be told.
//!
//! No URI of somebody else's network leaves here: every address that is written is a number in our own domain.

mod history;
mod read;
mod write;

use std::borrow::Cow;

use sidetone_model::call::DiversionReason;

pub use read::{Bounds, CallerIdentity, preferred_number, read};
pub(crate) use write::write;
pub use write::{Audience, asserted};

/// A step by which a call came here.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Hop {
    number: Box<str>,
    /// A token of RFC 5806, section 4.
    reason: Cow<'static, str>,
    /// Its number is not for everybody.
    private: bool,
}

/// What is said of each reason: the token of RFC 5806 and the cause of RFC 4458, section 3.
const REASONS: [(DiversionReason, &str, u16); 6] = [
    (DiversionReason::Unknown, "unknown", 404),
    (DiversionReason::Unconditional, "unconditional", 302),
    (DiversionReason::Busy, "user-busy", 486),
    (DiversionReason::NoAnswer, "no-answer", 408),
    (DiversionReason::Deflection, "deflection", 487),
    (DiversionReason::Unavailable, "unavailable", 503),
];

/// The token of a reason.
fn token(reason: DiversionReason) -> &'static str {
    REASONS.iter().find(|(known, ..)| *known == reason).map_or("unknown", |(_, token, _)| token)
}

/// The cause of a token; those that RFC 4458 has none for are decided beforehand, as `unconditional` is.
fn cause_of(token: &str) -> u16 {
    let known = REASONS.iter().find(|(_, known, _)| known.eq_ignore_ascii_case(token));
    let decided = ["time-of-day", "do-not-disturb", "follow-me", "away"];
    match known {
        Some((_, _, cause)) => *cause,
        None if decided.iter().any(|known| known.eq_ignore_ascii_case(token)) => 302,
        None if token.eq_ignore_ascii_case("out-of-service") => 503,
        None => 404,
    }
}

fn token_of(cause: u16) -> &'static str {
    match cause {
        // Deflected at once.
        480 => "deflection",
        _ => REASONS.iter().find(|(.., known)| *known == cause).map_or("unknown", |(_, token, _)| token),
    }
}

fn is(name: &str, one_of: &[&str]) -> bool {
    one_of.iter().any(|known| known.eq_ignore_ascii_case(name))
}

const ASSERTED: &str = "P-Asserted-Identity";
const PREFERRED: &str = "P-Preferred-Identity";
const REMOTE_PARTY: &str = "Remote-Party-ID";
const DIVERSION: &str = "Diversion";
const HISTORY: &str = "History-Info";
/// Written and believed within the trust domain alone.
const TRUSTED: [&str; 4] = [ASSERTED, REMOTE_PARTY, DIVERSION, HISTORY];
/// The number of whoever is not to be named.
const ANONYMOUS: &str = "anonymous";
/// RFC 3323, section 4.1.1.3.
const ANONYMOUS_HOST: &str = "anonymous.invalid";
/// Steps of a call's way that are told on; of more the latest.
const HOPS_MAX: usize = 8;
