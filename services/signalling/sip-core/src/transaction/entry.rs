//! One transaction and where its messages go.

use std::net::{IpAddr, SocketAddr};

use sidetone_model::party::{Flow, Transport};
use sipx_sip as sip;
use sipx_sip::{ClientTransaction, Reliability, ServerTransaction, TransactionKey};

use super::schedule;
use super::types::{ClientTx, Event, Failure};
use crate::message::{Request, default_port};

/// Where requests go to whoever sent this one, over UDP: where it came from, unless it comes from a device that does not listen
/// there. Such a one asks for no `rport` (RFC 3581), and is behind no NAT, since its Via names the address that we see; it listens on
/// the port in Via (RFC 3261 section 18.2.2).
pub fn flow_back(request: &Request, flow: &Flow) -> Flow {
    let is_there =
        request.via().host.parse().is_ok_and(|host: IpAddr| host == flow.remote.ip().to_canonical());
    if is_there { reply_flow(request, flow) } else { flow.clone() }
}

pub(super) enum Machine<O> {
    Client { machine: ClientTransaction, owner: O },
    Server { machine: ServerTransaction, owner: Option<O>, to_tag: Option<Box<str>> },
}

pub(super) struct Entry<O> {
    pub(super) machine: Machine<O>,
    pub(super) key: TransactionKey,
    /// Where this side's messages go.
    pub(super) flow: Flow,
    pub(super) timers: schedule::Armed,
}

pub(super) fn failed<O>(id: u64, owner: O, request: &sip::Request, failure: Failure) -> Option<Event<O>> {
    let request = Request::from_sip(request.clone()).ok()?;
    let (method, cseq) = (request.method(), request.cseq());
    Some(Event::Failed { tx: ClientTx(id), owner, method, cseq, failure, request: Box::new(request) })
}

pub(super) fn reliability(flow: &Flow) -> Reliability {
    if flow.transport.is_reliable() { Reliability::Reliable } else { Reliability::Unreliable }
}

/// RFC 3261 section 18.2.2 and RFC 3581 section 4: over UDP to the port of Via unless `rport` asks for the source
/// port; `maddr` is not followed, since it would let a request aim our answers at others.
pub fn reply_flow(request: &Request, flow: &Flow) -> Flow {
    let via = request.via();
    if flow.transport != Transport::Udp || via.rport {
        return flow.clone();
    }
    let port = via.port.unwrap_or(default_port(flow.transport));
    Flow { remote: SocketAddr::new(flow.remote.ip(), port), ..flow.clone() }
}
