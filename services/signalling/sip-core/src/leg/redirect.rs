//! Whom a phone names in its place: Contacts of a 3xx (RFC 3261 section 8.1.3.4) and Refer-To.

use sidetone_model::signal::Target;
use sidetone_model::termination::{Cause, Termination};

use super::state::State;
use super::{CommandError, Leg};
use crate::message::{Contact, Response, ResponseBuilder, Status};
use crate::uri::SipUri;

impl Leg {
    /// Tells a caller to call elsewhere: 302 (RFC 3261 section 21.3.3). Every address is one of our own domain.
    pub(super) fn deflect(&mut self, numbers: &[Box<str>]) -> Result<(), CommandError> {
        // ## (Offered | Early) => Finished
        let (State::Offered(incoming) | State::Early { incoming, .. }) = &self.state else {
            return Err(CommandError::WrongState);
        };
        let uris = numbers.iter().take(TARGETS_MAX).map(|number| SipUri::sip(number, &self.setup.domain));
        let uris: Vec<SipUri> = uris.collect::<Result<_, _>>().map_err(|_| CommandError::Unwritable)?;
        if uris.is_empty() {
            return Err(CommandError::Unwritable);
        }
        let status = Status::MOVED_TEMPORARILY;
        let response = ResponseBuilder::new(&incoming.invite, status, self.dialog.local_tag())
            .header("Server", self.setup.product.as_ref());
        let contact = |(at, uri): (usize, &SipUri)| format!("<{uri}>;q={:.1}", 1.0 - at as f32 / 10.0);
        let contacts = uris.iter().enumerate().map(contact);
        let response = contacts.fold(response, |response, contact| response.header("Contact", contact));
        let (tx, response) = (incoming.tx, response.build());
        self.respond(tx, response);
        self.signal_ended(Termination::new(Cause::Diverted).with_sip_status(status.code()));
        self.finish();
        Ok(())
    }

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
