//! A dialog (RFC 3261 section 12) as a plain value: what a request inside it is built from and checked against.

use crate::message::{BuildError, DialogKey, Method, Request, RequestBuilder, Response};
use crate::uri::{NameAddr, SipUri};

/// The state of a dialog, without behaviour over time, so that it can be stored and made again.
#[derive(Clone)]
pub struct DialogState {
    /// The Call-ID.
    pub(crate) call_id: Box<str>,
    /// Our From (requests) or To (responses), with our tag.
    pub(crate) local: NameAddr,
    /// The other side, with its tag once it is known.
    pub(crate) remote: NameAddr,
    /// The CSeq number of our last request.
    pub(crate) local_cseq: u32,
    /// The CSeq number of the other side's last request.
    pub(crate) remote_cseq: Option<u32>,
    /// Where requests in the dialog go: the other side's Contact.
    pub(crate) remote_target: SipUri,
    /// The proxies in between, nearest first.
    pub(crate) route_set: Vec<NameAddr>,
    /// The value of our Contact.
    pub(crate) local_contact: Box<str>,
    /// Via up to its branch: `SIP/2.0/UDP host:port`.
    pub(crate) via: Box<str>,
    /// How many branches have been made.
    pub(crate) branches: u32,
}

impl std::fmt::Debug for DialogState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "DialogState({})", self.local_tag())
    }
}

/// A request that does not come in the order of its dialog (RFC 3261 section 12.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OutOfOrder;

impl DialogState {
    /// The dialog's Call-ID.
    pub fn call_id(&self) -> &str {
        &self.call_id
    }

    /// Our tag.
    pub fn local_tag(&self) -> &str {
        self.local.tag().unwrap_or_default()
    }

    /// The other side's tag; none before it has answered.
    pub fn remote_tag(&self) -> Option<&str> {
        self.remote.tag()
    }

    /// Under which key requests and responses of this dialog find it.
    pub fn key(&self) -> DialogKey {
        DialogKey::new(&self.call_id, self.local_tag())
    }

    /// RFC 3261 section 12.1.2: what a response adds to the dialog of the caller.
    pub(crate) fn learn_from_response(&mut self, response: &Response) {
        self.remote = response.to().clone();
        if let Some(target) = response.contact_target() {
            self.remote_target = target;
        }
        if let Ok(mut routes) = response.record_route() {
            routes.reverse();
            self.route_set = routes;
        }
    }

    /// RFC 3261 section 12.2: target refresh by re-INVITE, UPDATE and their 2xx.
    pub(crate) fn refresh_target(&mut self, target: Option<SipUri>) {
        if let Some(target) = target {
            self.remote_target = target;
        }
    }

    /// Checks and notes the CSeq number of a request (RFC 3261 section 12.2.2).
    pub(crate) fn accept_cseq(&mut self, cseq: u32) -> Result<(), OutOfOrder> {
        if self.remote_cseq.is_some_and(|last| cseq <= last) {
            return Err(OutOfOrder);
        }
        self.remote_cseq = Some(cseq);
        Ok(())
    }

    /// A new request in the dialog with the next CSeq number.
    pub(crate) fn next_request(&mut self, method: Method) -> RequestBuilder {
        self.local_cseq += 1;
        self.request(method, self.local_cseq)
    }

    /// The ACK to a 2xx of ours (RFC 3261 section 13.2.2.4).
    pub(crate) fn ack(&mut self, invite_cseq: u32) -> Result<Request, BuildError> {
        self.request(Method::Ack, invite_cseq).build()
    }

    fn request(&mut self, method: Method, cseq: u32) -> RequestBuilder {
        let via = self.next_via();
        let (uri, routes) = self.route();
        routes.into_iter().fold(
            RequestBuilder::new(method, uri, via, &self.local, &self.remote, &self.call_id, cseq),
            |request, route| request.header("Route", route),
        )
    }

    /// A Via with a branch that no other request has: our tag is unique, and so is the count within the dialog
    /// (RFC 3261 section 8.1.1.7).
    pub(crate) fn next_via(&mut self) -> String {
        self.branches += 1;
        format!("{};branch=z9hG4bK{}.{};rport", self.via, self.local_tag(), self.branches)
    }

    /// Request-URI and Route by section 12.2.1.1: loose routing, and the old strict one when the nearest proxy does
    /// not say `lr`.
    fn route(&self) -> (SipUri, Vec<String>) {
        let text = |route: &NameAddr| route.to_string();
        match self.route_set.split_first() {
            None => (self.remote_target.clone(), Vec::new()),
            Some((first, _)) if first.uri.param("lr").is_some() => {
                (self.remote_target.clone(), self.route_set.iter().map(text).collect())
            }
            Some((first, rest)) => {
                let mut routes: Vec<String> = rest.iter().map(text).collect();
                routes.push(format!("<{}>", self.remote_target));
                (first.uri.clone(), routes)
            }
        }
    }
}
