//! Where requests within a carrier's dialogs go: to the first of the recorded proxies, or else to its Contact (RFC 3261, sections
//! 8.1.2 and 12.2.1.1), whatever the INVITE went over. Phones are reached where they speak from, since they sit behind NATs.
//!
//! A connection that stands to the same host is used (RFC 5923); one that is gone is made anew, so that a BYE reaches a carrier
//! that has been restarted, and the call is not charged on.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use sidetone_model::ids::LegId;
use sidetone_model::party::{Flow, Transport};
use sidetone_sip_core::message::{Method, Request};
use sidetone_sip_core::transaction::Failure;
use sidetone_sip_core::uri::SipUri;

use super::Agent;
use crate::trunks::{Trunk, transport_of};

impl Agent {
    /// A request of a leg, and over what it goes: another flow than the leg's where a carrier wants it elsewhere.
    pub(super) fn towards_carrier(&mut self, id: LegId, flow: Flow, request: Request) -> (Flow, Request) {
        let within = request.to().tag().is_some() && request.method() != Method::Cancel;
        // A phone may well sit at an address that a carrier calls from.
        let key = if within && !self.durable.is_device(id) { self.trunk_of(id) } else { None };
        let table = self.trunking.table();
        let Some(trunk) = key.and_then(|key| table.get(&key)) else { return (flow, request) };
        let route = request.route().unwrap_or_default().into_iter().next();
        let uri = route.map_or_else(|| request.uri(), |route| route.uri);
        let stands = self.stands(&flow);
        let hop = next_hop(&uri, &flow, stands, trunk);
        let over = hop.and_then(|(transport, address)| self.parts.outputs.flow_to(transport, address));
        let moved = over.and_then(|over| Some((self.rewritten(&request, &over)?, over)));
        let (request, flow) = moved.unwrap_or((request, flow));
        let host = SipUri::parse(trunk.record.uri.as_bytes()).map(|uri| uri.host()).ok();
        if !self.stands(&flow) {
            self.parts.outputs.connect(&flow, host.as_deref());
        }
        (flow, request)
    }

    /// The connection to a carrier broke while a request within a dialog was on its way: it goes out once more, over a new one.
    /// True when that has been done.
    pub(super) fn reaches_carrier_again(
        &mut self,
        id: LegId,
        (method, cseq): (&Method, u32),
        failure: Failure,
        now: Instant,
    ) -> bool {
        if failure != Failure::Transport {
            return false;
        }
        let Some(request) = self.trunking.goes_again(id, method, cseq) else { return false };
        let flow = self.legs.get(id).and_then(|entry| entry.leg.as_ref()).map(|leg| leg.flow().clone());
        let Some(flow) = flow else { return false };
        let (flow, request) = self.towards_carrier(id, flow, request);
        self.transmit(id, request, &flow, (method, cseq), now);
        true
    }
}

/// Where a request to `uri` goes; none over the flow there is. `stands` says that this has a connection.
fn next_hop(uri: &SipUri, flow: &Flow, stands: bool, trunk: &Trunk) -> Option<(Transport, SocketAddr)> {
    let asked = transport_of(uri);
    let Some(ip) = uri.host_addr() else { return by_name(uri, flow, stands, trunk) };
    // Many carriers leave the transport out of a Contact that is reached over the one that the call came by.
    let transport = asked.unwrap_or(flow.transport);
    let same_host = ip.to_canonical() == flow.remote.ip().to_canonical() && transport == flow.transport;
    let address = SocketAddr::new(ip, uri.port().unwrap_or(transport.default_port()));
    // The address that a carrier has behind its own NAT leads nowhere.
    let hidden = is_inside(ip) && !is_inside(flow.remote.ip());
    let stays = hidden || same_host && (stands || address.port() == flow.remote.port());
    (!stays).then_some((transport, address))
}

/// A name: that of the trunk leads where the trunk leads. Others are not looked up here; what they name is believed to be behind
/// the flow.
fn by_name(uri: &SipUri, flow: &Flow, stands: bool, trunk: &Trunk) -> Option<(Transport, SocketAddr)> {
    let own = SipUri::parse(trunk.record.uri.as_bytes()).ok()?.host().eq_ignore_ascii_case(&uri.host());
    // A connection that it has opened comes from any port (RFC 5923).
    let here = trunk.targets.iter().any(|target| {
        let same_host = target.address.ip().to_canonical() == flow.remote.ip().to_canonical();
        same_host
            && target.transport == flow.transport
            && (stands || target.address.port() == flow.remote.port())
    });
    let first = trunk.targets.first().filter(|_| own && !here)?;
    Some((first.transport, first.address))
}

/// Whether an address is none of the public network (RFC 1918, RFC 4193, loopback and link-local).
fn is_inside(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_loopback() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use sidetone_model::ids::TenantId;
    use sidetone_proto::directory::v1 as pb;

    use super::*;
    use crate::trunks::Target;

    /// A URI, the flow there is, whether that stands, and where the request goes.
    type Case = (&'static str, (Transport, &'static str), bool, Option<&'static str>);

    fn hop(uri: &str, flow: (Transport, &str), stands: bool) -> Option<String> {
        hop_of(&[], uri, flow, stands)
    }

    /// The same for a trunk whose name leads to these.
    fn hop_of(
        targets: &[(Transport, &str)],
        uri: &str,
        (transport, remote): (Transport, &str),
        stands: bool,
    ) -> Option<String> {
        let target = |(transport, address): &(Transport, &str)| Target {
            transport: *transport,
            address: address.parse().unwrap(),
        };
        let flow =
            Flow { transport, local: "192.0.2.1:5060".parse().unwrap(), remote: remote.parse().unwrap() };
        let trunk = Trunk {
            key: (TenantId::new("t").unwrap(), "a".into()),
            record: pb::Trunk { uri: "sip:carrier.example".into(), ..pb::Trunk::default() },
            password: None,
            targets: targets.iter().map(target).collect(),
            sources: Vec::new(),
            held: true,
        };
        let found = next_hop(&SipUri::parse(uri).unwrap(), &flow, stands, &trunk);
        found.map(|(transport, address)| format!("{} {address}", transport.token()))
    }

    #[test]
    fn a_carrier_is_reached_where_it_says() {
        let (udp, tcp) = ((Transport::Udp, "198.51.100.1:5060"), (Transport::Tcp, "198.51.100.1:5060"));
        let incoming = (Transport::Tcp, "198.51.100.1:40000");
        let cases: [Case; 10] = [
            ("sip:a@198.51.100.1", udp, false, None),
            ("sip:a@198.51.100.2:5070", udp, false, Some("UDP 198.51.100.2:5070")),
            ("sip:a@198.51.100.1:5070", udp, false, Some("UDP 198.51.100.1:5070")),
            ("sip:a@198.51.100.2;transport=tcp", udp, false, Some("TCP 198.51.100.2:5060")),
            ("sips:a@198.51.100.1", udp, false, Some("TLS 198.51.100.1:5061")),
            ("sips:a@198.51.100.1;transport=udp", udp, false, Some("TLS 198.51.100.1:5061")),
            // A connection that stands is used, whoever made it; one that is gone is made to the Contact.
            ("sip:a@198.51.100.1", incoming, true, None),
            ("sip:a@198.51.100.1", incoming, false, Some("TCP 198.51.100.1:5060")),
            ("sip:a@198.51.100.1", tcp, false, None),
            // Behind its own NAT.
            ("sip:a@10.0.0.7", udp, false, None),
        ];
        for (uri, flow, stands, expected) in cases {
            assert_eq!(hop(uri, flow, stands).as_deref(), expected, "{uri} over {flow:?}");
        }
        assert_eq!(
            hop("sip:a@10.0.0.7", (Transport::Udp, "10.0.0.6:5060"), false).unwrap(),
            "UDP 10.0.0.7:5060"
        );
        assert_eq!(hop("sip:a@elsewhere.example", udp, false), None);
    }

    #[test]
    fn the_name_of_a_trunk_leads_where_the_trunk_leads() {
        let (udp, tcp) = (Transport::Udp, Transport::Tcp);
        let targets = [(tcp, "198.51.100.1:5060"), (tcp, "198.51.100.2:5060")];
        let cases = [
            // It is at one of them, whichever: there it stays.
            ("sip:a@carrier.example", (tcp, "198.51.100.2:5060"), false, None),
            // It has connected to us from a port of its own: as long as that stands, and no longer.
            ("sip:a@carrier.example", (tcp, "198.51.100.2:40000"), true, None),
            ("sip:a@carrier.example", (tcp, "198.51.100.2:40000"), false, Some("TCP 198.51.100.1:5060")),
            // It called over another transport, or from elsewhere.
            ("sip:a@carrier.example", (udp, "198.51.100.2:5060"), false, Some("TCP 198.51.100.1:5060")),
            ("sip:a@CARRIER.example", (tcp, "198.51.100.9:5060"), true, Some("TCP 198.51.100.1:5060")),
            // The name of somebody else is believed to be behind the flow.
            ("sip:a@elsewhere.example", (tcp, "198.51.100.9:5060"), false, None),
        ];
        for (uri, flow, stands, expected) in cases {
            assert_eq!(hop_of(&targets, uri, flow, stands).as_deref(), expected, "{uri} over {flow:?}");
        }
    }
}
