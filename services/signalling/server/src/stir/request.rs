//! What an INVITE says of its caller, and what is written into one.

use sidetone_model::time::Timestamp;
use sidetone_sip_core::message::Request;
use sidetone_sip_core::uri::{NameAddr, SipUri};
use sidetone_stir_core::TelephoneNumber;

/// What the verification of an INVITE needs of it.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(super) identities: Vec<String>,
    pub(super) callers: Vec<TelephoneNumber>,
    pub(super) callee: Option<TelephoneNumber>,
    pub(super) date: Option<u64>,
}

impl Asked {
    pub(crate) fn of(invite: &Request) -> Self {
        Self {
            identities: invite.headers_named("Identity"),
            callers: caller(invite, TelephoneNumber::canonical).into_iter().collect(),
            callee: TelephoneNumber::canonical(&invite.to().uri.user()),
            date: invite.header("Date").and_then(|text| seconds(&text)),
        }
    }
}

/// Caller and callee of an INVITE that is to be signed; none when one of them is not a telephone number that means the same
/// everywhere.
pub(super) fn numbers(invite: &Request) -> Option<(TelephoneNumber, TelephoneNumber)> {
    let caller = caller(invite, TelephoneNumber::international)?;
    Some((caller, TelephoneNumber::canonical(&invite.to().uri.user())?))
}

/// The caller's number: that of From, or, where that is none (an anonymous caller), the one that is asserted.
fn caller(invite: &Request, number: impl Fn(&str) -> Option<TelephoneNumber>) -> Option<TelephoneNumber> {
    let asserted = || {
        let fields = invite.headers_named("P-Asserted-Identity");
        fields.iter().find_map(|field| number(&user_of(&NameAddr::parse(field).ok()?.uri)))
    };
    number(&invite.from().uri.user()).or_else(asserted)
}

/// The user part of a SIP URI, or the number of a `tel:` one (RFC 3966).
fn user_of(uri: &SipUri) -> String {
    match uri.is_sip() {
        true => uri.user(),
        false => uri.to_string().strip_prefix("tel:").unwrap_or_default().to_owned(),
    }
}

/// The INVITE to a phone with the verdict on its caller's number: the parameter `verstat` of the asserted number (3GPP TS
/// 24.229, section 7.2A.20). It is not put into From, which phones show and dial as it stands.
pub(crate) fn with_verstat(invite: &Request, verstat: &str) -> Option<Request> {
    let field = invite.header("P-Asserted-Identity").and_then(|field| NameAddr::parse(field).ok());
    let asserted = match field.filter(|asserted| asserted.uri.is_sip()) {
        Some(asserted) => asserted,
        None => NameAddr::new(invite.from().display_name.clone(), invite.from().uri.clone()),
    };
    let user = asserted.uri.user();
    let number = user.split(';').next().filter(|user| !user.is_empty())?;
    let host = asserted.uri.host();
    let host = if host.contains(':') { format!("[{host}]") } else { host };
    let uri = SipUri::sip(&format!("{number};verstat={verstat}"), &format!("{host};user=phone")).ok()?;
    let asserted = NameAddr::new(asserted.display_name, uri);
    invite.with_header("P-Asserted-Identity", &asserted.to_string())
}

/// The value of a Date header field (RFC 3261, section 20.17).
pub(super) fn date(at: Timestamp) -> Option<String> {
    let at = jiff::Timestamp::from_millisecond(i64::try_from(at.as_millis()).ok()?).ok()?;
    Some(at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string())
}

fn seconds(date: &str) -> Option<u64> {
    let at = jiff::fmt::rfc2822::parse(date.trim()).ok()?;
    u64::try_from(at.timestamp().as_second()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_they_are_read() {
        let at = Timestamp::from_millis(1_471_375_418_000);
        let text = date(at).unwrap();
        assert_eq!(text, "Tue, 16 Aug 2016 19:23:38 GMT");
        assert_eq!(seconds(&text), Some(1_471_375_418));
        assert_eq!(seconds("yesterday"), None);
    }
}
