//! A scripted SIP phone: registers, calls, is called, and keeps a trace of everything.

mod call;
mod digest;
pub mod message;
mod sdp;
mod server;
mod transaction;
mod wire;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use tokio::sync::mpsc;

pub use call::{Call, EndedBy, Incoming};
pub use sdp::{Direction, Remote};
pub use wire::Transport;

use crate::line::BadLine;
use crate::netem::Conditions;
use crate::rtp::Ear;
use call::CallState;
use digest::Challenge;
use message::{Message, branch};
use wire::Wire;

/// What a phone is set up with.
#[derive(Debug, Clone)]
pub struct PhoneConfig {
    /// Where requests go.
    pub server: SocketAddr,
    /// How. Default UDP.
    pub transport: Transport,
    /// Host part of its own and of called addresses.
    pub domain: String,
    /// User part of its own address, and digest user name.
    pub number: String,
    /// Digest password.
    pub password: String,
    /// Codecs it offers and takes, best first. Default A-law, then mu-law.
    pub codecs: Vec<Codec>,
    /// The tone it sends in every call. Default none: silence.
    pub tone_hz: Option<f32>,
    /// Whether it answers incoming calls by itself, after ringing. Default false: they wait for [`Phone::next_incoming`].
    pub auto_answer: bool,
    /// Whether it says that it rings only when [`Incoming::ring`] tells it to. Default false: at once.
    pub ring_by_hand: bool,
    /// Whether it does as it is asked from afar: answers on NOTIFY with `Event: talk`, and at once where the INVITE has
    /// `answer-after=0`. Default false: such a NOTIFY gets 489.
    pub remote_control: bool,
    /// Which of its flows this is when it registers: the instance, a URN, and the number (`reg-id`, RFC 5626). Two phones of one
    /// instance are one phone with two flows. Default none.
    pub flow: Option<(String, u32)>,
    /// What damages some of its datagrams, SIP over UDP and RTP. Default none.
    pub line: Option<Arc<BadLine>>,
    /// What its RTP goes out over, by the network's seed. Default none: it comes at once and in order.
    pub network: Option<(u64, Conditions)>,
}

impl PhoneConfig {
    /// A phone on UDP with both codecs and no tone.
    pub fn new(server: SocketAddr, domain: &str, number: &str, password: &str) -> Self {
        Self {
            server,
            transport: Transport::Udp,
            domain: domain.to_owned(),
            number: number.to_owned(),
            password: password.to_owned(),
            codecs: vec![Codec::G711(Law::A), Codec::G711(Law::Mu)],
            tone_hz: None,
            auto_answer: false,
            ring_by_hand: false,
            remote_control: false,
            flow: None,
            line: None,
            network: None,
        }
    }

    /// The same with a tone.
    #[must_use]
    pub fn with_tone(mut self, tone_hz: f32) -> Self {
        self.tone_hz = Some(tone_hz);
        self
    }
}

/// Why something that a phone tried did not work.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    /// A final response other than 2xx.
    #[error("{status} {reason}")]
    Refused {
        /// Status code.
        status: u16,
        /// Reason phrase.
        reason: String,
    },
    /// No final response in time (RFC 3261, timers B and F).
    #[error("no answer to {0}")]
    NoAnswer(&'static str),
    /// A 2xx without an audio description that the phone can use.
    #[error("no usable session description")]
    NoMedia,
    /// A socket.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// A phone. Dropping it closes its sockets without another word.
#[derive(Debug)]
pub struct Phone {
    inner: Arc<Inner>,
    incoming: tokio::sync::Mutex<mpsc::Receiver<Incoming>>,
    reader: Mutex<tokio::task::JoinHandle<()>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    config: PhoneConfig,
    /// Where it is, and what it speaks over: another one after [`Phone::reconnect`].
    wire: Mutex<(SocketAddr, Wire)>,
    /// Client transactions by branch.
    waiting: Mutex<HashMap<String, mpsc::UnboundedSender<Message>>>,
    /// ACKs by the branch of their INVITE, for final responses that come again.
    acks: Mutex<HashMap<String, (Vec<u8>, SocketAddr)>>,
    /// Responses by branch and method, for requests that come again.
    replies: Mutex<VecDeque<(String, Vec<u8>)>>,
    calls: Mutex<HashMap<String, Arc<CallState>>>,
    ringing: Mutex<HashMap<String, Arc<call::Ringing>>>,
    /// What is heard on the call that was begun last, answered or not.
    dialled: Mutex<Option<Ear>>,
    incoming: mpsc::Sender<Incoming>,
    register: tokio::sync::Mutex<(String, u32)>,
    trace: Mutex<VecDeque<String>>,
}

impl Phone {
    /// Opens the sockets. Must be called inside a tokio runtime.
    pub async fn start(config: PhoneConfig) -> Result<Self, PhoneError> {
        let (wire, local, received) = wire::open(config.transport, config.server).await?;
        let (incoming, queue) = mpsc::channel(64);
        let inner = Arc::new(Inner {
            config,
            wire: Mutex::new((local, wire)),
            waiting: Mutex::default(),
            acks: Mutex::default(),
            replies: Mutex::default(),
            calls: Mutex::default(),
            ringing: Mutex::default(),
            dialled: Mutex::default(),
            incoming,
            register: tokio::sync::Mutex::new((token(), 0)),
            trace: Mutex::default(),
        });
        let reader = Mutex::new(tokio::spawn(read(Arc::clone(&inner), received)));
        Ok(Self { inner, incoming: tokio::sync::Mutex::new(queue), reader })
    }

    /// Opens another connection, as a phone does whose connection has died with its server. Its calls go on; where it is reached
    /// is known to the server once it has registered again.
    pub async fn reconnect(&self) -> Result<(), PhoneError> {
        let inner = &self.inner;
        let (wire, local, received) = wire::open(inner.config.transport, inner.config.server).await?;
        *locked(&inner.wire) = (local, wire);
        let reader = tokio::spawn(read(Arc::clone(inner), received));
        std::mem::replace(&mut *locked(&self.reader), reader).abort();
        Ok(())
    }

    /// What is heard on the call that this phone began last, also before it is answered; `None` before the first one.
    pub fn dialled(&self) -> Option<Ear> {
        locked(&self.inner.dialled).clone()
    }

    /// Where the phone is.
    pub fn local_addr(&self) -> SocketAddr {
        self.inner.local()
    }

    /// The tone it sends.
    pub fn tone_hz(&self) -> Option<f32> {
        self.inner.config.tone_hz
    }

    /// Registers for `expires` seconds, answering one challenge.
    pub async fn register_for(&self, expires: u32) -> Result<Message, PhoneError> {
        let inner = &self.inner;
        let mut register = inner.register.lock().await;
        let uri = format!("sip:{}", inner.config.domain);
        let own = inner.own_uri();
        let from = format!("<{own}>;tag={}", token());
        let mut challenge: Option<Challenge> = None;
        loop {
            register.1 += 1;
            let mut message = inner
                .request("REGISTER", &uri, &branch())
                .with("From", &from)
                .with("To", format!("<{own}>"))
                .with("Call-ID", &register.0)
                .with("CSeq", format!("{} REGISTER", register.1))
                .with("Contact", inner.registered_contact())
                .with("Expires", expires.to_string());
            if inner.config.flow.is_some() {
                message = message.with("Supported", "path, outbound");
            }
            if let Some(challenge) = &challenge {
                message = inner.authorized(message, challenge, "REGISTER", &uri);
            }
            let response = inner.transact(&message, inner.config.server, None).await?;
            match (response.status().unwrap_or(0), challenge.is_some()) {
                (200..300, _) => return Ok(response),
                (401 | 407, false) => {
                    challenge = Some(Challenge::of(&response).ok_or_else(|| refused(&response))?)
                }
                _ => return Err(refused(&response)),
            }
        }
    }

    /// Registers for an hour.
    pub async fn register(&self) -> Result<(), PhoneError> {
        self.register_for(3600).await.map(drop)
    }

    /// Removes the registration.
    pub async fn unregister(&self) -> Result<(), PhoneError> {
        self.register_for(0).await.map(drop)
    }

    /// Subscribes to an event of a number or user (RFC 6665) in a dialog of its own, answering one challenge. NOTIFYs are
    /// answered with 200 and stand in the trace.
    pub async fn subscribe(&self, number: &str, event: &str, expires: u32) -> Result<Message, PhoneError> {
        let inner = &self.inner;
        let uri = format!("sip:{number}@{}", inner.config.domain);
        let (from, call_id) = (format!("<{}>;tag={}", inner.own_uri(), token()), token());
        let mut challenge: Option<Challenge> = None;
        for cseq in 1.. {
            let mut message = inner
                .request("SUBSCRIBE", &uri, &branch())
                .with("From", &from)
                .with("To", format!("<{uri}>"))
                .with("Call-ID", &call_id)
                .with("CSeq", format!("{cseq} SUBSCRIBE"))
                .with("Contact", inner.registered_contact())
                .with("Event", event)
                .with("Expires", expires.to_string());
            if let Some(challenge) = &challenge {
                message = inner.authorized(message, challenge, "SUBSCRIBE", &uri);
            }
            let response = inner.transact(&message, inner.config.server, None).await?;
            match (response.status().unwrap_or(0), challenge.is_some()) {
                (200..300, _) => return Ok(response),
                (401 | 407, false) => {
                    challenge = Some(Challenge::of(&response).ok_or_else(|| refused(&response))?)
                }
                _ => return Err(refused(&response)),
            }
        }
        unreachable!("the second answer is the last")
    }

    /// Calls a number and waits, ringing for up to two minutes, until it is answered.
    pub async fn call(&self, number: &str) -> Result<Call, PhoneError> {
        self.call_within(number, RING_MAX).await
    }

    /// Calls a number; cancels when it has rung that long (the error is then 487 as a rule).
    pub async fn call_within(&self, number: &str, ring_max: Duration) -> Result<Call, PhoneError> {
        call::invite(&self.inner, number, &[], ring_max).await
    }

    /// Calls a number with more header fields in the INVITE.
    pub async fn call_with(&self, number: &str, headers: &[(&str, &str)]) -> Result<Call, PhoneError> {
        call::invite(&self.inner, number, headers, RING_MAX).await
    }

    /// The next call that rings here; `None` after the phone stopped.
    pub async fn next_incoming(&self) -> Option<Incoming> {
        self.incoming.lock().await.recv().await
    }

    /// Calls that were answered automatically and still go on, oldest or not.
    pub fn calls(&self) -> Vec<Call> {
        locked(&self.inner.calls).values().map(|state| Call::of(Arc::clone(state))).collect()
    }

    /// Sends bytes as they are to the server, for malformed input.
    pub fn send_raw(&self, bytes: &[u8]) {
        self.inner.send(bytes, self.inner.config.server);
    }

    /// The last messages, oldest first, each with its direction and peer.
    pub fn trace(&self) -> Vec<String> {
        locked(&self.inner.trace).iter().cloned().collect()
    }
}

impl Drop for Phone {
    fn drop(&mut self) {
        locked(&self.reader).abort();
        locked(&self.inner.calls).clear();
        locked(&self.inner.ringing).clear();
    }
}

/// Takes in what comes, until the transport is gone.
async fn read(inner: Arc<Inner>, mut received: mpsc::Receiver<wire::Received>) {
    while let Some((bytes, from)) = received.recv().await {
        inner.note("<-", from, &bytes);
        if let Some(message) = Message::parse(&bytes) {
            server::take(&inner, message, from);
        }
    }
}

impl Inner {
    pub(crate) fn local(&self) -> SocketAddr {
        locked(&self.wire).0
    }

    fn own_uri(&self) -> String {
        format!("sip:{}@{}", self.config.number, self.config.domain)
    }

    fn contact(&self) -> String {
        let transport = if self.config.transport == Transport::Tcp { ";transport=tcp" } else { "" };
        format!("sip:{}@{}{transport}", self.config.number, self.local())
    }

    fn registered_contact(&self) -> String {
        let flow = self.config.flow.as_ref();
        let flow = flow.map(|(urn, reg_id)| format!(";+sip.instance=\"<{urn}>\";reg-id={reg_id}"));
        format!("<{}>{}", self.contact(), flow.unwrap_or_default())
    }

    /// A request with what every request has.
    fn request(&self, method: &str, uri: &str, branch: &str) -> Message {
        Message::new(format!("{method} {uri} SIP/2.0"))
            .with(
                "Via",
                format!("SIP/2.0/{} {};branch={branch};rport", self.config.transport.name(), self.local()),
            )
            .with("Max-Forwards", "70")
            .with("User-Agent", "sidetone-testkit")
    }

    fn authorized(&self, message: Message, challenge: &Challenge, method: &str, uri: &str) -> Message {
        let who = (self.config.number.as_str(), self.config.password.as_str());
        let (name, value) = challenge.answer(who, method, uri, &token());
        message.with(name, value)
    }

    fn send(&self, bytes: &[u8], to: SocketAddr) {
        self.note("->", to, bytes);
        match &self.config.line {
            Some(line) if self.config.transport == Transport::Udp => {
                locked(&self.wire).1.send(&line.pass(bytes), to);
            }
            _ => locked(&self.wire).1.send(bytes, to),
        }
    }

    fn note(&self, direction: &str, peer: SocketAddr, bytes: &[u8]) {
        let mut trace = locked(&self.trace);
        if trace.len() == TRACE_MAX {
            trace.pop_front();
        }
        trace.push_back(format!("{direction} {peer}\n{}", String::from_utf8_lossy(bytes)));
    }
}

pub(crate) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn refused(response: &Message) -> PhoneError {
    PhoneError::Refused { status: response.status().unwrap_or(0), reason: response.reason().to_owned() }
}

/// Unpredictable bits for tags, branches and SSRCs.
pub(crate) fn random() -> u64 {
    let mut bytes = [0; 8];
    // A generator without entropy would repeat itself visibly in every test; zeros are no worse than a panic here.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    u64::from_ne_bytes(bytes)
}

pub(crate) fn token() -> String {
    format!("{:016x}", random())
}

const RING_MAX: Duration = Duration::from_secs(120);
const TRACE_MAX: usize = 200;
