//! Phones show that voicemail messages wait: NOTIFY with `Event: message-summary` (RFC 3842), as registrars send it to phones that
//! registered and did not subscribe. A phone that does not know it says 489 or 481, and nothing more comes of it.

use std::time::Instant;

use sidetone_model::ids::LegId;
use sidetone_model::signal::MessagesWaiting;
use sidetone_sip_core::events::{Package, message_summary};
use sidetone_sip_core::message::{Method, Request, RequestBuilder};
use sidetone_sip_core::uri::{NameAddr, SipUri};

use super::Agent;
use super::requests::PRODUCT;
use crate::replica::wall_clock;

impl Agent {
    pub(super) fn tell_waiting(&mut self, waiting: &MessagesWaiting, now: Instant) {
        let binding = &waiting.binding;
        // Who has subscribed is told so already.
        if self.draining || self.watches_mailbox(&waiting.tenant, &binding.user, &binding.device) {
            return;
        }
        // Under an id of its own: whatever is answered is nobody's.
        let nobody: LegId = self.parts.ids.make(wall_clock());
        let request = self.waiting_request(waiting);
        let sent = request.is_some_and(|request| {
            self.parts.transactions.send_request(request, &waiting.binding.flow, nobody, now).is_ok()
        });
        self.count_command(if sent { "message_waiting" } else { "message_waiting_unsent" });
    }

    fn waiting_request(&mut self, waiting: &MessagesWaiting) -> Option<Request> {
        let flow = &waiting.binding.flow;
        let setup = self.leg_setup(flow.clone(), &waiting.tenant)?;
        let target = SipUri::parse(waiting.binding.contact_uri.as_bytes()).ok()?;
        let own = SipUri::sip(&target.user(), &setup.domain).ok()?;
        let tokens = &mut self.parts.tokens;
        let (transport, advertised) = (flow.transport.token(), setup.advertised);
        let via = format!("SIP/2.0/{transport} {advertised};branch={};rport", tokens.branch());
        let from = NameAddr::new("", own.clone()).with_param("tag", &tokens.tag());
        let (to, call_id) = (NameAddr::new("", own), tokens.call_id());
        let contact = format!("<sip:{advertised};transport={}>", flow.transport.uri_parameter());
        let mut request = RequestBuilder::new(Method::Notify, target, via, &from, &to, &call_id, 1)
            .header("Contact", contact)
            .header("Event", PACKAGE.token())
            // There is no subscription that could go on.
            .header("Subscription-State", "terminated;reason=noresource")
            .header("User-Agent", PRODUCT);
        for hop in &waiting.binding.path {
            request = request.header("Route", hop.as_ref());
        }
        let summary = message_summary(None, waiting.new, waiting.old);
        request.body(PACKAGE.content_type(), summary).build().ok()
    }
}

const PACKAGE: Package = Package::MessageSummary;
