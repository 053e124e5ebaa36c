//! Whom a phone names in its place: Contacts of a 3xx (RFC 3261 section 8.1.3.4) and Refer-To.

use sidetone_model::signal::Target;

use super::Leg;
use super::state::State;
use crate::message::{Contact, Response};
use crate::uri::SipUri;

impl Leg {
    /// Whom a refusal names, best first; nobody unless it is a redirection that can be followed.
    pub(super) fn redirected_to(&self, response: &Response) -> Vec<Target> {
        // 305 and 380 name no other addresses of the one who was called.
        let follows = matches!(response.status().code(), 300..=302)
            && matches!(self.state, State::Calling | State::Proceeding);
        let contacts = response.contacts().ok().filter(|_| follows).unwrap_or_default();
        let mut named: Vec<_> = contacts
            .into_iter()
            .filter_map(|contact| match contact {
                Contact::Address(address) => {
                    let q = address.param("q").and_then(|q| q.parse().ok()).unwrap_or(1.0_f32);
                    Some((q, self.target_of(&address.uri)?))
                }
                Contact::Wildcard => None,
            })
            .collect();
        named.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        named.into_iter().map(|(_, target)| target).take(TARGETS_MAX).collect()
    }

    /// What an address means here; nothing when it is of a kind that nobody can be called by.
    pub(super) fn target_of(&self, uri: &SipUri) -> Option<Target> {
        if uri.is_sip() {
            return Some(Target { number: uri.user().into(), own: self.is_own_address(uri) });
        }
        let number = uri.number();
        (!number.is_empty()).then(|| Target { number: number.into(), own: true })
    }

    /// Whether an address is in the tenant's domain, as far as this dialog knows it, or at the address by which the phone
    /// reaches us.
    fn is_own_address(&self, uri: &SipUri) -> bool {
        let host = uri.host();
        host.eq_ignore_ascii_case(&self.setup.domain)
            || host == self.dialog.local.uri.host()
            || uri.host_addr() == Some(self.setup.advertised.ip())
    }
}

/// Contacts of one redirection that are looked at.
const TARGETS_MAX: usize = 8;
