//! The way of a call, as Diversion (RFC 5806) and as History-Info (RFC 7044).

use std::borrow::Cow;

use super::{ANONYMOUS, ANONYMOUS_HOST, DIVERSION, HISTORY, HOPS_MAX, Hop, cause_of, is, token_of};
use crate::uri::{NameAddr, SipUri};

/// The steps that header fields tell of, the first first. Where both kinds are there, the one that tells more.
pub(super) fn read(headers: &[(Box<str>, Box<str>)]) -> Vec<Hop> {
    let named = |name: &'static str| {
        let values = headers.iter().filter(move |(known, _)| is(known, &[name]));
        values.filter_map(|(_, value)| NameAddr::parse_list(&**value).ok()).flatten()
    };
    // The topmost is the latest (RFC 5806, section 3).
    let mut diversions: Vec<Hop> = named(DIVERSION).filter_map(|address| diversion(&address)).collect();
    diversions.reverse();
    let history = passed_on(&named(HISTORY).collect::<Vec<_>>());
    if history.len() > diversions.len() { history } else { diversions }
}

fn diversion(address: &NameAddr) -> Option<Hop> {
    let number = address.uri.number();
    let reason = address.param("reason").filter(|reason| is_token(reason));
    let private = address.param("privacy").is_some_and(|privacy| !is(privacy, &["off", "no"]));
    let reason = reason.map_or(Cow::Borrowed("unknown"), |reason| Cow::Owned(reason.to_ascii_lowercase()));
    (!number.is_empty()).then(|| Hop { number: number.into(), reason, private })
}

/// Each entry whose successor says why it was chosen has passed the call on (RFC 4458; RFC 7044, section 10.2).
fn passed_on(entries: &[NameAddr]) -> Vec<Hop> {
    let hop = |pair: &[NameAddr]| {
        let (entry, next) = (&pair[0], &pair[1]);
        let cause: u16 = next.uri.param("cause")?.parse().ok()?;
        let private = entry.uri.header("Privacy").is_some_and(|value| value.eq_ignore_ascii_case("history"));
        let number = entry.uri.number();
        let reason = Cow::Borrowed(token_of(cause));
        (!number.is_empty()).then(|| Hop { number: number.into(), reason, private })
    };
    entries.windows(2).filter_map(hop).collect()
}

/// The latest of them, as many as are told on.
pub(super) fn latest(hops: &mut Vec<Hop>) {
    let surplus = hops.len().saturating_sub(HOPS_MAX);
    hops.drain(..surplus);
}

/// The values of Diversion fields, the latest first. `discreet` is a far end that keeps private numbers to itself.
pub(super) fn diversions(hops: &[Hop], domain: &str, discreet: bool) -> Vec<String> {
    let value = |hop: &Hop| {
        let privacy = if hop.private { ";privacy=full" } else { "" };
        Some(format!("<{}>;reason={}{privacy}", address(hop, domain, discreet)?, hop.reason))
    };
    hops.iter().rev().filter_map(value).collect()
}

/// The values of History-Info fields, the first first; the last is `target`, where the call is going.
pub(super) fn history(hops: &[Hop], target: &str, domain: &str, discreet: bool) -> Vec<String> {
    let Ok(target) = SipUri::sip(target, domain) else { return Vec::new() };
    let addresses: Option<Vec<String>> = hops.iter().map(|hop| address(hop, domain, discreet)).collect();
    let Some(mut addresses) = addresses else { return Vec::new() };
    addresses.push(target.to_string());
    let mut index = String::from("1");
    let mut values = Vec::with_capacity(addresses.len());
    for (at, address) in addresses.iter().enumerate() {
        let private = hops.get(at).is_some_and(|hop| hop.private && discreet);
        let privacy = if private { "?Privacy=history" } else { "" };
        if at == 0 {
            values.push(format!("<{address}{privacy}>;index=1"));
            continue;
        }
        let (before, cause) = (index.clone(), cause_of(&hops[at - 1].reason));
        index.push_str(".1");
        values.push(format!("<{address};cause={cause}{privacy}>;index={index};rc={before}"));
    }
    values
}

fn address(hop: &Hop, domain: &str, discreet: bool) -> Option<String> {
    if hop.private && !discreet {
        return Some(format!("sip:{ANONYMOUS}@{ANONYMOUS_HOST}"));
    }
    SipUri::sip(&hop.number, domain).ok().map(|uri| uri.to_string())
}

fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 32
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}
