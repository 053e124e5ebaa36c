//! What a digest was computed for: RFC 7616 section 3.4.6 wants its `uri` to name what the request names, and leaves to the
//! server what it takes for the same.

use crate::message::{Method, Request};
use crate::uri::SipUri;

/// A request, as far as the `uri` of its credentials is held against it.
#[derive(Debug, Clone)]
pub struct Purpose {
    method: Method,
    request_uri: SipUri,
    /// The address-of-record that a REGISTER is for.
    registers: Option<SipUri>,
    /// Names of ours, beside the one in the Request-URI, in lower case and without a port.
    own_hosts: Vec<Box<str>>,
}

impl Purpose {
    /// That of a request. `own_hosts` are further names and addresses by which its sender may know us: where the request
    /// came to, for one. IPv6 addresses without brackets.
    pub fn of(request: &Request, own_hosts: &[String]) -> Self {
        let method = request.method();
        let registers = (method == Method::Register).then(|| request.to().uri.clone());
        Self::new(method, request.uri(), registers, own_hosts)
    }

    fn new(method: Method, request_uri: SipUri, registers: Option<SipUri>, own_hosts: &[String]) -> Self {
        let own_hosts = own_hosts.iter().map(|host| host.to_ascii_lowercase().into()).collect();
        Self { method, request_uri, registers, own_hosts }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Whether credentials with this `uri` were made for the request.
    ///
    /// Port, parameters and headers say how a target is reached, and not which it is: phones write them into one of the two
    /// and not into the other. The rest follows what the check is for. A response is good for one nonce, one count and
    /// one method, so that what we have taken once cannot be replayed for anything. What is left is a response that has never
    /// reached us: somebody challenges a phone with a nonce of ours, or stops its request on the way, and spends the
    /// answer on a call to elsewhere. Hence:
    ///
    /// - The host is one of ours. A phone that believed to talk with somebody else has not answered us. What the To header
    ///   says is no proof of that, because who brings the response along has written it.
    /// - The user is whoever is called: no other user takes its place, not even that of the To header.
    /// - Without a user it names the server, as sipp and some phones write it for every method. That such a response is good for any
    ///   callee gives nothing to who can challenge a phone, for that is done in a dialog, where the phone's Request-URI, and with it the
    ///   `uri`, is whatever the challenger has put into its Contact. Only who can stop requests on their way gains
    ///   a target, and would also have the SDP and all else that `qop=auth` does not cover: TLS is what helps there.
    /// - A REGISTER's Request-URI names a domain, and phones name the address-of-record instead. It is in To, and whose
    ///   bindings may be changed is decided by the credentials' user name, not by it.
    pub(super) fn is_of(&self, digest_uri: &str) -> bool {
        let Ok(uri) = SipUri::parse(digest_uri.as_bytes()) else { return false };
        let (user, host) = (uri.number(), uri.host());
        let ours = host == self.request_uri.host() || self.own_hosts.iter().any(|own| **own == *host);
        let registered = || self.registers.as_ref().is_some_and(|to| to.number() == user);
        ours && (user.is_empty() || user == self.request_uri.number() || registered())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn purpose(method: Method, request_uri: &str, to: &str) -> Purpose {
        let registers = (method == Method::Register).then(|| SipUri::parse(to).unwrap());
        let own = ["10.0.0.5", "2001:db8::5", "ACME"].map(str::to_owned);
        Purpose::new(method, SipUri::parse(request_uri).unwrap(), registers, &own)
    }

    #[test]
    fn what_phones_write_for_a_call_is_taken_and_another_callee_is_not() {
        let call = purpose(Method::Invite, "sip:9196@Acme.example;user=phone", "sip:9197@acme.example");
        for good in [
            "sip:9196@acme.example;user=phone",
            "sip:9196@ACME.EXAMPLE",
            "sip:9196@acme.example:5060;transport=tcp",
            "sips:9196@acme.example",
            "sip:9196:secret@acme.example?x=y",
            "sip:%39196@acme.example",
            "sip:9196@10.0.0.5:5070",
            "sip:9196@[2001:db8::5]",
            "sip:acme.example",
            "sip:10.0.0.5:5060",
            "sip:acme",
        ] {
            assert!(call.is_of(good), "{good}");
        }
        for bad in [
            "sip:9197@acme.example",
            "sip:9196@other.example",
            "sip:9196@10.0.0.6",
            "sip:other.example",
            "sip:9196@acme.example.other.example",
            "tel:9197",
            "tel:9196",
            "mailto:9196@acme.example",
            "9196",
            "",
            "/",
        ] {
            assert!(!call.is_of(bad), "{bad}");
        }
    }

    #[test]
    fn a_telephone_number_is_the_same_with_and_without_separators() {
        let call = purpose(Method::Invite, "tel:+49-30-555", "tel:+4930555");
        assert!(call.is_of("tel:+4930555") && call.is_of("sip:+4930555@acme") && !call.is_of("tel:+4930556"));
    }

    #[test]
    fn a_registration_may_be_named_by_its_address_of_record() {
        let register = purpose(Method::Register, "sip:acme.example", "sip:1001@acme.example");
        for good in
            ["sip:acme.example", "sip:1001@acme.example", "sip:1001@10.0.0.5", "sip:acme.example:5060"]
        {
            assert!(register.is_of(good), "{good}");
        }
        for bad in ["sip:1002@acme.example", "sip:1001@other.example", "sip:other.example"] {
            assert!(!register.is_of(bad), "{bad}");
        }
    }
}
