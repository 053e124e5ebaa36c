//! What an INVITE of ours says of its caller.

use std::borrow::Cow;

use sidetone_model::command::Invite;

use super::read::asserted_in;
use super::{
    ANONYMOUS, ANONYMOUS_HOST, ASSERTED, DIVERSION, HISTORY, Hop, PREFERRED, REMOTE_PARTY, TRUSTED, history,
    is, token,
};
use crate::uri::{NameAddr, SipUri, UriError};

/// Who will read an INVITE.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Audience {
    /// A phone of the tenant's: it is told what is not private.
    Phone,
    /// A carrier within the trust domain, which keeps what is private to itself (RFC 3325, section 7).
    Trusted {
        /// It wants Remote-Party-ID in the place of P-Asserted-Identity.
        remote_party_id: bool,
    },
    /// Anybody else: it is told who calls, if the caller has nothing against it, and nothing more.
    Stranger,
}

/// How an INVITE names its caller.
pub(crate) struct Written {
    /// Without a tag.
    pub(crate) from: NameAddr,
    /// The user part of our Contact.
    pub(crate) contact_user: Box<str>,
    pub(crate) headers: Vec<(Cow<'static, str>, String)>,
}

/// Number and display name of a caller who is to remain anonymous, for whoever is trusted with it; none when nobody
/// asserted any.
pub fn asserted(invite: &Invite) -> Option<(Box<str>, Box<str>)> {
    let values: Vec<&str> =
        invite.headers.iter().filter(|(name, _)| is(name, &[ASSERTED])).map(|(_, value)| &**value).collect();
    let address = asserted_in(&values).or_else(|| {
        let of_older = invite.headers.iter().find(|(name, _)| is(name, &[REMOTE_PARTY]));
        of_older.and_then(|(_, value)| NameAddr::parse_list(&**value).ok()?.into_iter().next())
    })?;
    Some((address.uri.number().into(), address.display_name))
}

/// `domain` is that of all addresses.
///
/// # Errors
/// When the number cannot stand in a URI.
pub(crate) fn write(invite: &Invite, audience: Audience, domain: &str) -> Result<Written, UriError> {
    let caller = NameAddr::new(invite.from.display_name.clone(), SipUri::sip(&invite.from.number, domain)?);
    let nameless = invite.from.number.is_empty() || &*invite.from.number == ANONYMOUS;
    let mut headers: Vec<(Cow<'static, str>, String)> = Vec::new();
    match audience {
        Audience::Trusted { remote_party_id: true } if !nameless => {
            let privacy = if invite.anonymous { "full" } else { "off" };
            let value = format!("{caller};party=calling;screen=yes;privacy={privacy}");
            headers.push((REMOTE_PARTY.into(), value));
        }
        Audience::Trusted { .. } if !nameless => headers.push((ASSERTED.into(), caller.to_string())),
        Audience::Phone if !nameless && !invite.anonymous => {
            headers.push((ASSERTED.into(), caller.to_string()));
        }
        _ => {}
    }
    if invite.anonymous && matches!(audience, Audience::Trusted { .. }) {
        headers.push(("Privacy".into(), "id".to_owned()));
    }
    if audience != Audience::Stranger {
        write_way(invite, audience, domain, &mut headers);
        headers.extend(handed_on(invite));
    }
    let (from, contact_user) = match invite.anonymous {
        true => (NameAddr::new("Anonymous", SipUri::sip(ANONYMOUS, ANONYMOUS_HOST)?), Box::from(ANONYMOUS)),
        false => (caller, invite.from.number.clone()),
    };
    Ok(Written { from, contact_user, headers })
}

fn write_way(
    invite: &Invite,
    audience: Audience,
    domain: &str,
    headers: &mut Vec<(Cow<'static, str>, String)>,
) {
    let mut hops = history::read(&invite.headers);
    hops.extend(invite.diversions.iter().map(|diversion| Hop {
        number: diversion.number.clone(),
        reason: token(diversion.reason).into(),
        private: false,
    }));
    if hops.is_empty() {
        return;
    }
    history::latest(&mut hops);
    let discreet = matches!(audience, Audience::Trusted { .. });
    let diversions = history::diversions(&hops, domain, discreet);
    headers.extend(diversions.into_iter().map(|value| (Cow::Borrowed(DIVERSION), value)));
    let history = history::history(&hops, &invite.to, domain, discreet);
    headers.extend(history.into_iter().map(|value| (Cow::Borrowed(HISTORY), value)));
}

/// What call control wants handed on. A name that says who calls is written here and by nobody else.
fn handed_on(invite: &Invite) -> impl Iterator<Item = (Cow<'static, str>, String)> + '_ {
    let ours = |name: &str| is(name, &TRUSTED) || is(name, &[PREFERRED]);
    let known = |name: &str| {
        let start = name.get(..2).unwrap_or_default();
        is(start, &["X-", "P-"]) || is(name, &["Subject", "Referred-By"])
    };
    let headers = invite.headers.iter().filter(move |(name, _)| known(name) && !ours(name));
    headers.map(|(name, value)| (Cow::Owned(name.to_string()), value.to_string()))
}
