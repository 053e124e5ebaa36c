//! A phone that speaks by raw text.

use std::collections::HashSet;
use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use sidetone_model::party::Transport;
use sidetone_sip_core::auth::{Algorithm, ha1};
use sidetone_sip_core::message::{Framed, Framer, Limits, Message, Request, Response, parse_datagram};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message as Frame;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::{Rig, within};

pub(crate) enum Wire {
    Udp(UdpSocket),
    Stream(Box<dyn Stream>, Box<Framer>),
    WebSocket(Box<WebSocketStream<Box<dyn Stream>>>),
}

pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) struct Phone {
    wire: Wire,
    pub(crate) local: SocketAddr,
    pub(crate) transport: Transport,
    server: SocketAddr,
    /// From where the last datagram came.
    pub(crate) heard_from: SocketAddr,
    pub(crate) domain: &'static str,
    pub(crate) user: &'static str,
    pub(crate) password: &'static str,
    cseq: u32,
    nonce_count: u32,
    pub(crate) algorithm: Algorithm,
    /// Branch and method of the requests that were taken.
    taken: HashSet<(String, String)>,
}

impl Phone {
    pub(crate) async fn new(
        rig: &Rig,
        transport: Transport,
        domain: &'static str,
        user: &'static str,
        password: &'static str,
    ) -> Self {
        let server = rig.address(transport);
        let (wire, local) = match transport {
            Transport::Udp => {
                let unspecified = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
                let socket = UdpSocket::bind(unspecified).await.unwrap();
                let local = socket.local_addr().unwrap();
                (Wire::Udp(socket), local)
            }
            _ => {
                let stream = TcpStream::connect(server).await.unwrap();
                let local = stream.local_addr().unwrap();
                let stream: Box<dyn Stream> = match transport.is_secure() {
                    true => Box::new(super::tls::connect(stream, rig, "localhost").await.unwrap()),
                    false => Box::new(stream),
                };
                match transport {
                    Transport::Ws | Transport::Wss => {
                        (Wire::WebSocket(Box::new(web_socket(stream).await)), local)
                    }
                    _ => (Wire::Stream(stream, Box::new(Framer::new(Limits::default()))), local),
                }
            }
        };
        let algorithm = Algorithm::Sha256;
        let (heard_from, cseq, nonce_count) = (server, 0, 0);
        Self {
            wire,
            local,
            transport,
            server,
            heard_from,
            domain,
            user,
            password,
            cseq,
            nonce_count,
            algorithm,
            taken: HashSet::new(),
        }
    }

    pub(crate) async fn udp(rig: &Rig, user: &'static str, password: &'static str) -> Self {
        Self::new(rig, Transport::Udp, "alpha.test", user, password).await
    }

    /// Speaks to another replica from now on: from the same port, or over a new connection.
    pub(crate) async fn speak_to(&mut self, rig: &Rig) {
        self.server = rig.address(self.transport);
        if self.transport != Transport::Udp {
            self.reconnect(rig).await;
        }
    }

    /// Connects anew after the server has closed the connection.
    pub(crate) async fn reconnect(&mut self, rig: &Rig) {
        let stream = TcpStream::connect(rig.address(self.transport)).await.unwrap();
        self.local = stream.local_addr().unwrap();
        let stream: Box<dyn Stream> = match self.transport.is_secure() {
            true => Box::new(super::tls::connect(stream, rig, "localhost").await.unwrap()),
            false => Box::new(stream),
        };
        self.wire = Wire::Stream(stream, Box::new(Framer::new(Limits::default())));
    }

    pub(crate) async fn send(&mut self, text: impl AsRef<[u8]>) {
        match &mut self.wire {
            Wire::Udp(socket) => drop(socket.send_to(text.as_ref(), self.server).await.unwrap()),
            Wire::Stream(stream, _) => stream.write_all(text.as_ref()).await.unwrap(),
            Wire::WebSocket(socket) => {
                let text = String::from_utf8(text.as_ref().to_vec()).unwrap();
                socket.send(Frame::text(text)).await.unwrap();
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Message {
        within(self.read()).await
    }

    async fn read(&mut self) -> Message {
        let mut buffer = vec![0; 65_536];
        match &mut self.wire {
            Wire::Udp(socket) => {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                self.heard_from = from;
                parse_datagram(buffer[..length].to_vec().into(), &Limits::default()).unwrap()
            }
            Wire::WebSocket(socket) => loop {
                if let Frame::Text(text) = socket.next().await.unwrap().unwrap() {
                    return parse_datagram(text.into(), &Limits::default()).unwrap();
                }
            },
            Wire::Stream(stream, framer) => loop {
                match framer.poll_framed().unwrap() {
                    Some(Framed::Message(message)) => return message,
                    Some(_) => {}
                    None => {
                        let length = stream.read(&mut buffer).await.unwrap();
                        assert!(length > 0, "the server closed the connection");
                        framer.push(&buffer[..length]);
                    }
                }
            },
        }
    }

    /// Raw bytes as they come (keep-alives).
    pub(crate) async fn raw(&mut self, length: usize) -> Vec<u8> {
        let Wire::Stream(stream, _) = &mut self.wire else { panic!("on connections only") };
        let mut bytes = vec![0; length];
        within(stream.read_exact(&mut bytes)).await.unwrap();
        bytes
    }

    /// The next datagram, whatever it is.
    pub(crate) async fn datagram(&mut self) -> Vec<u8> {
        let Wire::Udp(socket) = &mut self.wire else { panic!("on UDP only") };
        let mut buffer = vec![0; 65_536];
        let (length, _) = within(socket.recv_from(&mut buffer)).await.unwrap();
        buffer.truncate(length);
        buffer
    }

    /// The next response that is not 100; retransmitted requests are passed over.
    pub(crate) async fn response(&mut self) -> Response {
        loop {
            match self.next().await {
                Message::Response(response) if response.status().code() != 100 => return response,
                _ => {}
            }
        }
    }

    /// The next final response to the last request; what is said again of older ones is passed over.
    pub(crate) async fn last(&mut self) -> Response {
        loop {
            let response = self.response().await;
            if response.status().is_final() && response.cseq() == self.cseq {
                return response;
            }
        }
    }

    /// The next final response of one Call-ID; repetitions of older ones are passed over.
    pub(crate) async fn next_response_of(&mut self, call_id: &str) -> Response {
        loop {
            let response = self.last().await;
            if response.call_id() == call_id {
                return response;
            }
        }
    }

    /// The next request; one that comes again is passed over.
    pub(crate) async fn request(&mut self) -> Request {
        loop {
            if let Message::Request(request) = self.next().await
                && self.taken.insert(super::transaction_of(&request))
            {
                return request;
            }
        }
    }

    /// The CSeq number of the last request.
    pub(crate) fn cseq(&self) -> u32 {
        self.cseq
    }

    /// A request with a CSeq of its own. `uri` without scheme, `to` with its tag if any.
    pub(crate) fn compose(
        &mut self,
        method: &str,
        uri: &str,
        to: &str,
        call_id: &str,
        extra: &str,
        body: &str,
    ) -> String {
        if method != "ACK" && method != "CANCEL" {
            self.cseq += 1;
        }
        let cseq = self.cseq;
        let (user, domain, local) = (self.user, self.domain, self.local);
        let transport = self.transport.token();
        let parameter = match self.transport {
            Transport::Udp => String::new(),
            other => format!(";transport={}", other.uri_parameter()),
        };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        let branch = if method == "ACK" { format!("ack{cseq}") } else { cseq.to_string() };
        format!(
            "{method} sip:{uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{call_id}{branch};rport\r\n\
             Max-Forwards: 70\r\nFrom: <sip:{user}@{domain}>;tag=t{call_id}\r\nTo: {to}\r\nCall-ID: {call_id}\r\n\
             CSeq: {cseq} {method}\r\nContact: <sip:{user}@{local}{parameter}>\r\n{OWN_LINES}{extra}{content}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    }

    /// The Authorization line that answers a 401.
    pub(crate) fn authorization(&mut self, challenge: &Response, method: &str, uri: &str) -> String {
        let lines = challenge.headers_named("WWW-Authenticate");
        let line =
            lines.iter().find(|l| l.contains(&format!("algorithm={}", self.algorithm.token()))).unwrap();
        let get = |name: &str| {
            let from = line.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
            line[from..].split('"').next().unwrap().to_owned()
        };
        let (realm, nonce) = (get("realm"), get("nonce"));
        self.nonce_count += 1;
        let count = self.nonce_count;
        // H(a:b:c) is what the core's helper computes.
        let hash = |a: &str, b: &str, c: &str| ha1(self.algorithm, a, b, c).as_hex().to_owned();
        let a1 = hash(self.user, &realm, self.password);
        let a2 = hash(method, "sip", uri);
        let response = hash(&a1, &nonce, &format!("{count:08x}:cn:auth:{a2}"));
        format!(
            "Authorization: Digest username=\"{}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"sip:{uri}\", \
             response=\"{response}\", algorithm={}, cnonce=\"cn\", qop=auth, nc={count:08x}\r\n",
            self.user,
            self.algorithm.token()
        )
    }

    /// Registers by two REGISTERs; gives back challenge and answer.
    pub(crate) async fn register(&mut self, expires_s: u32) -> (Response, Response) {
        self.register_as(expires_s, "").await
    }

    /// The same with more in the Contact, as `;+sip.instance="<urn:uuid:1>"`.
    pub(crate) async fn register_as(&mut self, expires_s: u32, contact: &str) -> (Response, Response) {
        let with = |text: String| {
            let lines = text.split("\r\n").map(|line| match line.starts_with("Contact:") {
                true => format!("{line}{contact}"),
                false => line.to_owned(),
            });
            lines.collect::<Vec<_>>().join("\r\n")
        };
        let (uri, to) = (self.domain.to_owned(), format!("<sip:{}@{}>", self.user, self.domain));
        let call_id = format!("reg{}", self.local.port());
        let expires = format!("Expires: {expires_s}\r\n");
        let first = self.compose("REGISTER", &uri, &to, &call_id, &expires, "");
        self.send(with(first)).await;
        let challenge = self.last().await;
        let authorization = self.authorization(&challenge, "REGISTER", &uri);
        let second = self.compose("REGISTER", &uri, &to, &call_id, &(expires + &authorization), "");
        self.send(with(second)).await;
        let answer = self.last().await;
        (challenge, answer)
    }

    /// Sends an INVITE with credentials; the answer is for the caller to read.
    pub(crate) async fn invite(&mut self, number: &str, call_id: &str) {
        let (uri, to) = (format!("{number}@{}", self.domain), format!("<sip:{number}@{}>", self.domain));
        let first = self.compose("INVITE", &uri, &to, call_id, "", SDP);
        self.send(first).await;
        let challenge = self.last().await;
        assert_eq!(challenge.status().code(), 401);
        let ack = self.ack_of_refusal(&challenge, &uri);
        self.send(ack).await;
        let authorization = self.authorization(&challenge, "INVITE", &uri);
        let second = self.compose("INVITE", &uri, &to, call_id, &authorization, SDP);
        self.send(second).await;
    }

    /// Sends a SUBSCRIBE with credentials, and gives back what is answered to it.
    pub(crate) async fn subscribe(&mut self, number: &str, call_id: &str, extra: &str) -> Response {
        let (uri, to) = (format!("{number}@{}", self.domain), format!("<sip:{number}@{}>", self.domain));
        let first = self.compose("SUBSCRIBE", &uri, &to, call_id, extra, "");
        self.send(first).await;
        let challenge = self.next_response_of(call_id).await;
        assert_eq!(challenge.status().code(), 401, "who subscribes proves who it is");
        let authorization = self.authorization(&challenge, "SUBSCRIBE", &uri);
        let second = self.compose("SUBSCRIBE", &uri, &to, call_id, &(extra.to_owned() + &authorization), "");
        self.send(second).await;
        self.next_response_of(call_id).await
    }

    /// The next NOTIFY with a CSeq number above the last one, answered with 200; copies are answered again.
    pub(crate) async fn notified(&mut self, above: u32) -> Request {
        loop {
            let Message::Request(request) = self.next().await else { continue };
            if request.method().as_str() != "NOTIFY" {
                continue;
            }
            self.answer(&request, "200 OK", "").await;
            if request.cseq() > above {
                return request;
            }
        }
    }

    /// An INVITE to an open number.
    pub(crate) async fn invite_open(&mut self, number: &str, call_id: &str) {
        let (uri, to) = (format!("{number}@{}", self.domain), format!("<sip:{number}@{}>", self.domain));
        let invite = self.compose("INVITE", &uri, &to, call_id, "", SDP);
        self.send(invite).await;
    }

    pub(crate) fn ack_of_refusal(&mut self, refusal: &Response, uri: &str) -> String {
        let to = refusal.header("To").unwrap();
        let ack = self.compose("ACK", uri, &to, refusal.call_id(), "", "");
        ack.replace("ack", "")
    }

    /// A request inside the dialog that a response of the server belongs to.
    pub(crate) async fn within_dialog(&mut self, method: &str, response: &Response, extra: &str, body: &str) {
        let to = response.header("To").unwrap();
        let target = response.contact_target().unwrap().to_string();
        let uri = target.strip_prefix("sip:").unwrap().to_owned();
        let call_id = response.call_id().to_owned();
        let request = self.compose(method, &uri, &to, &call_id, extra, body);
        self.send(request).await;
    }

    /// Answers a request of the server.
    pub(crate) async fn answer(&mut self, request: &Request, status: &str, body: &str) {
        let text = self.response_to(request, status, body);
        self.send(text).await;
    }

    /// An answer to a request of the server.
    pub(crate) fn response_to(&self, request: &Request, status: &str, body: &str) -> String {
        let line = |name: &str| format!("{name}: {}\r\n", request.header(name).unwrap());
        let to = match request.to().tag() {
            Some(_) => line("To"),
            None => format!("To: {};tag=callee\r\n", request.header("To").unwrap()),
        };
        let content = if body.is_empty() { "" } else { "Content-Type: application/sdp\r\n" };
        format!(
            "SIP/2.0 {status}\r\n{}{}{to}{}{}Contact: <sip:{}@{}>\r\n{content}Content-Length: {}\r\n\r\n{body}",
            line("Via"),
            line("From"),
            line("Call-ID"),
            line("CSeq"),
            self.user,
            self.local,
            body.len()
        )
    }
}

async fn web_socket(stream: Box<dyn Stream>) -> WebSocketStream<Box<dyn Stream>> {
    let mut request = "ws://localhost/".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", "sip".parse().unwrap());
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
    assert_eq!(response.headers()["Sec-WebSocket-Protocol"], "sip");
    socket
}

/// What phones say of themselves. Without it a REGISTER would be smaller than the challenge, which then has to wait.
const OWN_LINES: &str = "User-Agent: A desk phone of the usual kind, 1.2.3 (0a0b0c0d0e0f)\r\nAllow: INVITE, ACK, CANCEL, BYE, OPTIONS, \
                         INFO, UPDATE, REFER, NOTIFY, MESSAGE, SUBSCRIBE, PRACK\r\nSupported: replaces, timer, path, outbound, \
                         gruu, 100rel\r\n";

pub(crate) const SDP: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n\
                       m=audio 30000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";
