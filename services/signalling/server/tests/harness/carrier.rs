//! A carrier that speaks by raw text, and the trunk that leads to it.

use std::cell::RefCell;
use std::collections::HashSet;
use std::net::SocketAddr;

use sidetone_directory::Password;
use sidetone_model::ids::{LegId, ReplicaId, TenantId};
use sidetone_model::party::{Binding, Transport};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::message::{Framed, Framer, Limits, Message, Request, parse_datagram};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use super::{OwnerEnd, Rig, invite_to, within};

/// A carrier that speaks by raw text.
pub(crate) struct Carrier {
    pub(crate) socket: UdpSocket,
    pub(crate) server: SocketAddr,
    /// Branch and method of the requests that were taken.
    taken: RefCell<HashSet<(String, String)>>,
}

impl Carrier {
    pub(crate) async fn new(rig: &Rig) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        Self { socket, server: rig.address(Transport::Udp), taken: RefCell::default() }
    }

    pub(crate) fn uri(&self) -> String {
        format!("sip:{}", self.socket.local_addr().unwrap())
    }

    pub(crate) async fn next(&self) -> Message {
        let mut buffer = vec![0; 65_536];
        let (length, _) = within(self.socket.recv_from(&mut buffer)).await.unwrap();
        parse_datagram(buffer[..length].to_vec().into(), &Limits::default()).unwrap()
    }

    /// The next request of a method; others are answered with 200, and what comes again is passed over.
    pub(crate) async fn request(&self, method: &str) -> Request {
        loop {
            if let Message::Request(request) = self.next().await {
                match request.method().as_str() {
                    got if got == method => {
                        if self.taken.borrow_mut().insert(super::transaction_of(&request)) {
                            return request;
                        }
                    }
                    "ACK" => {}
                    _ => self.answer(&request, "200 OK", "", "").await,
                }
            }
        }
    }

    pub(crate) async fn answer(&self, request: &Request, status: &str, extra: &str, body: &str) {
        self.answer_from(&self.uri(), request, status, extra, body).await;
    }

    /// The same, with another Contact.
    pub(crate) async fn answer_from(
        &self,
        contact: &str,
        request: &Request,
        status: &str,
        extra: &str,
        body: &str,
    ) {
        let text = answer_text(contact, request, status, extra, body);
        self.socket.send_to(text.as_bytes(), self.server).await.unwrap();
    }
}

/// A connection to a carrier.
pub(crate) struct Connection {
    stream: TcpStream,
    framer: Framer,
}

impl Connection {
    pub(crate) async fn accept(listener: &TcpListener) -> Self {
        let (stream, _) = within(listener.accept()).await.unwrap();
        Self { stream, framer: Framer::new(Limits::default()) }
    }

    /// The next request, which is to be of that method.
    pub(crate) async fn request(&mut self, method: &str) -> Request {
        let mut buffer = vec![0; 65_536];
        loop {
            match self.framer.poll_framed().unwrap() {
                Some(Framed::Message(Message::Request(request))) => {
                    assert_eq!(request.method().as_str(), method);
                    return request;
                }
                Some(_) => {}
                None => {
                    let length = within(self.stream.read(&mut buffer)).await.unwrap();
                    assert!(length > 0, "the connection was closed");
                    self.framer.push(&buffer[..length]);
                }
            }
        }
    }

    pub(crate) async fn answer(&mut self, contact: &str, request: &Request, status: &str, body: &str) {
        let text = answer_text(contact, request, status, "", body);
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }
}

/// An answer of a carrier's.
pub(crate) fn answer_text(contact: &str, request: &Request, status: &str, extra: &str, body: &str) -> String {
    let line = |name: &str| format!("{name}: {}\r\n", request.header(name).unwrap());
    let to = match request.to().tag() {
        Some(_) => line("To"),
        None => format!("To: {};tag=carrier\r\n", request.header("To").unwrap()),
    };
    let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
    format!(
        "SIP/2.0 {status}\r\n{}{}{to}{}{}Contact: <{contact}>\r\n{extra}{content}Content-Length: {}\r\n\r\n{body}",
        line("Via"),
        line("From"),
        line("Call-ID"),
        line("CSeq"),
        body.len()
    )
}

pub(crate) fn trunk(name: &str, carrier: &Carrier, priority: u32) -> pb::Trunk {
    let rule = |prefix: &str, strip, prepend: &str| pb::NumberRule {
        prefix: prefix.to_owned(),
        strip,
        prepend: prepend.to_owned(),
    };
    pb::Trunk {
        tenant: "alpha".into(),
        trunk: name.into(),
        uri: carrier.uri(),
        routes: vec![pb::TrunkRoute { prefix: "+".into(), priority, weight: 1 }],
        outbound: vec![rule("0", 1, "+49"), rule("1", 0, "+49301")],
        inbound: vec![rule("+4930", 5, "")],
        ..pb::Trunk::default()
    }
}

pub(crate) async fn put(rig: &Rig, trunk: pb::Trunk) {
    let password = Password::new("carrier-secret");
    rig.directory.put_trunk(trunk, Some(&password)).await.unwrap();
}

pub(crate) async fn state(rig: &Rig, name: &str) -> Option<pb::TrunkState> {
    let tenant = TenantId::new("alpha").unwrap();
    rig.directory.trunk_states(&tenant).await.unwrap().into_iter().find(|state| state.trunk == name)
}

/// Waits until a replica has taken the trunk and says of it what is wanted.
pub(crate) async fn until(rig: &Rig, name: &str, wanted: impl Fn(&pb::TrunkState) -> bool) {
    within(async {
        while !state(rig, name).await.is_some_and(|state| wanted(&state)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        // The lease is in the store a moment before its replica knows that it has it.
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    })
    .await;
}

pub(crate) async fn call_out(owner: &OwnerEnd, seed: u8, number: &str) -> LegId {
    let outside = Binding::outside(number, ReplicaId::new("signalling-0").unwrap());
    owner.calls(seed, invite_to(number, outside)).await
}

pub(crate) const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"carrier\", nonce=\"n1\", algorithm=MD5, qop=\"auth\"\r\n";
