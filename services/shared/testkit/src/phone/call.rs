//! Calls: set-up, re-INVITE and hang-up of both roles.

use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sidetone_dsp::codec::Codec;
use tokio::sync::watch;

use super::digest::Challenge;
use super::message::{self, Message, branch, uri_of};
use super::sdp::{self, Direction, Remote};
use super::transaction::Ring;
use super::{Inner, PhoneError, locked, random, refused, token};
use crate::rtp::{Ear, Media};

/// An answered call. Dropping it does not hang up.
#[derive(Debug, Clone)]
pub struct Call {
    state: Arc<CallState>,
}

/// Who ended a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EndedBy {
    /// The far end, with its Reason header field if there was one.
    FarEnd {
        /// Value of the header field.
        reason: Option<String>,
    },
    /// This phone.
    Us,
}

/// What both roles know about an answered call.
pub(crate) struct CallState {
    pub(crate) phone: Arc<Inner>,
    pub(crate) media: Media,
    pub(crate) session: u64,
    setup: Duration,
    pub(crate) dialog: Mutex<Dialog>,
    pub(crate) ended: watch::Sender<Option<EndedBy>>,
    /// Bodies of NOTIFYs with `Event: refer`.
    pub(crate) told: Mutex<Vec<String>>,
}

/// A dialog (RFC 3261, section 12).
#[derive(Debug, Clone)]
pub(crate) struct Dialog {
    pub(crate) call_id: String,
    /// From of our requests.
    pub(crate) local: String,
    /// To of our requests.
    pub(crate) remote: String,
    pub(crate) target: String,
    pub(crate) routes: Vec<String>,
    pub(crate) next_hop: SocketAddr,
    pub(crate) cseq: u32,
    pub(crate) sdp_version: u32,
    pub(crate) direction: Direction,
    /// What the phone takes in this call, best first.
    pub(crate) codecs: Vec<Codec>,
    pub(crate) remote_media: Option<Remote>,
}

/// A call that rings here and is neither answered nor rejected yet.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) ringing: Arc<Ringing>,
}

/// An INVITE that waits for a final response.
pub(crate) struct Ringing {
    pub(crate) phone: Arc<Inner>,
    pub(crate) invite: Message,
    pub(crate) from: SocketAddr,
    pub(crate) tag: String,
    pub(crate) cancelled: watch::Sender<bool>,
}

impl fmt::Debug for CallState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CallState").field("dialog", &self.dialog).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ringing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ringing").field("invite", &self.invite).finish_non_exhaustive()
    }
}

impl Call {
    pub(crate) fn of(state: Arc<CallState>) -> Self {
        Self { state }
    }

    /// From INVITE to its 2xx; zero for an incoming call.
    pub fn setup(&self) -> Duration {
        self.state.setup
    }

    /// Call-ID.
    pub fn call_id(&self) -> String {
        locked(&self.state.dialog).call_id.clone()
    }

    /// What is heard in this call.
    pub fn ear(&self) -> Ear {
        self.state.media.ear()
    }

    /// The media of this call.
    pub fn media(&self) -> &Media {
        &self.state.media
    }

    /// What the far end described last.
    pub fn remote(&self) -> Option<Remote> {
        locked(&self.state.dialog).remote_media.clone()
    }

    /// How the call ended, if it has.
    pub fn ended(&self) -> Option<EndedBy> {
        self.state.ended.borrow().clone()
    }

    /// Sends BYE and waits for its answer. A call that has ended is left alone. Over a bad line a refusal may be one of what
    /// has been damaged: then it says so again.
    pub async fn hang_up(&self) -> Result<(), PhoneError> {
        if self.ended().is_some() {
            return Ok(());
        }
        self.state.end(EndedBy::Us);
        let mut tries = if self.state.phone.config.line.is_some() { BYES_MAX } else { 1 };
        loop {
            let (bye, to) = self.state.request("BYE");
            let response = self.state.phone.transact(&bye, to, None).await?;
            tries -= 1;
            match response.status() {
                Some(..300) => return Ok(()),
                _ if tries == 0 => return Err(refused(&response)),
                _ => {}
            }
        }
    }

    /// Waits until somebody ended the call; `None` when nobody did in that time.
    pub async fn wait_ended(&self, max: Duration) -> Option<EndedBy> {
        let mut ended = self.state.ended.subscribe();
        let found = tokio::time::timeout(max, ended.wait_for(Option::is_some)).await;
        found.ok()?.ok()?.clone()
    }

    /// Offers other codecs, best first, in the midst of the call, and speaks what is agreed on.
    pub async fn change_codecs(&self, codecs: &[Codec]) -> Result<(), PhoneError> {
        let direction = {
            let mut dialog = locked(&self.state.dialog);
            dialog.codecs = codecs.to_vec();
            dialog.direction
        };
        self.reinvite(direction).await
    }

    /// Offers a new direction: hold, and back.
    pub async fn reinvite(&self, direction: Direction) -> Result<(), PhoneError> {
        let state = &self.state;
        let (request, to) = state.request("INVITE");
        let (body, cseq, target) = {
            let mut dialog = locked(&state.dialog);
            dialog.direction = direction;
            (state.describe(&mut dialog, None), dialog.cseq, dialog.target.clone())
        };
        let request = request
            .with("Contact", format!("<{}>", state.phone.contact()))
            .with_body("application/sdp", body);
        let cancel = cancel_of(&request, &target, cseq);
        let response = state.phone.transact(&request, to, Some(Ring { max: REINVITE_MAX, cancel })).await?;
        if response.status().is_none_or(|status| status >= 300) {
            state.phone.ack_refusal(&request, &response, to);
            return Err(refused(&response));
        }
        state.acknowledge(&request, cseq);
        let remote = state.read(&response.body).ok_or(PhoneError::NoMedia)?;
        state.agree(remote);
        Ok(())
    }

    /// Passes the call on: REFER, with the far end of another call where that is given (Replaces). Gives the final response;
    /// what follows is told by [`Call::told`].
    pub async fn refer(&self, to: &str, replaces: Option<&Call>) -> Result<Message, PhoneError> {
        let (request, next_hop) = self.state.request("REFER");
        let target = match replaces {
            None => format!("<sip:{to}@{}>", self.state.phone.config.domain),
            Some(other) => {
                let dialog = locked(&other.state.dialog);
                let tag = |address: &str| message::parameter(address, "tag").unwrap_or("").to_owned();
                format!(
                    "<sip:{to}@{}?Replaces={}%3Bto-tag%3D{}%3Bfrom-tag%3D{}>",
                    self.state.phone.config.domain,
                    dialog.call_id.replace('@', "%40"),
                    tag(&dialog.remote),
                    tag(&dialog.local),
                )
            }
        };
        let request = request
            .with("Contact", format!("<{}>", self.state.phone.contact()))
            .with("Refer-To", target)
            .with("Referred-By", format!("<{}>", self.state.phone.own_uri()));
        self.state.phone.transact(&request, next_hop, None).await
    }

    /// What was told of what this call was passed on to: the first lines of the responses, oldest first.
    pub fn told(&self) -> Vec<String> {
        locked(&self.state.told).clone()
    }

    /// The Replaces header by which another phone can take this phone's place (RFC 3891).
    pub fn replaces(&self) -> String {
        let dialog = locked(&self.state.dialog);
        let tag = |address: &str| message::parameter(address, "tag").unwrap_or("").to_owned();
        format!("{};to-tag={};from-tag={}", dialog.call_id, tag(&dialog.remote), tag(&dialog.local))
    }

    /// A request inside this call with an own body, for INFO, OPTIONS or MESSAGE.
    pub async fn request(&self, method: &str, body: Option<(&str, &[u8])>) -> Result<Message, PhoneError> {
        let (mut request, to) = self.state.request(method);
        if let Some((kind, body)) = body {
            request = request.with_body(kind, body);
        }
        self.state.phone.transact(&request, to, None).await
    }
}

impl CallState {
    /// The next request of the dialog and where it goes.
    pub(crate) fn request(&self, method: &str) -> (Message, SocketAddr) {
        let mut dialog = locked(&self.dialog);
        dialog.cseq += 1;
        let cseq = dialog.cseq;
        (self.in_dialog(&dialog, method, cseq), dialog.next_hop)
    }

    fn in_dialog(&self, dialog: &Dialog, method: &str, cseq: u32) -> Message {
        let mut message = self.phone.request(method, &dialog.target, &branch());
        for route in &dialog.routes {
            message = message.with("Route", route);
        }
        message
            .with("From", &dialog.local)
            .with("To", &dialog.remote)
            .with("Call-ID", &dialog.call_id)
            .with("CSeq", format!("{cseq} {method}"))
    }

    /// ACK of a 2xx, kept for when the 2xx comes again.
    fn acknowledge(&self, invite: &Message, cseq: u32) {
        let dialog = locked(&self.dialog);
        let ack = self.in_dialog(&dialog, "ACK", cseq).to_bytes();
        let to = dialog.next_hop;
        drop(dialog);
        self.phone.send(&ack, to);
        locked(&self.phone.acks).insert(invite.branch().to_owned(), (ack, to));
    }

    /// An offer, or an answer to what was offered.
    pub(crate) fn describe(&self, dialog: &mut Dialog, offered: Option<&Remote>) -> String {
        dialog.sdp_version += 1;
        let codecs = offered.map_or(&dialog.codecs, |remote| &remote.shared);
        sdp::write(self.session, dialog.sdp_version, self.media.local_addr(), codecs, dialog.direction)
    }

    /// What the far end describes; none when it has nothing in common with us.
    pub(crate) fn read(&self, body: &[u8]) -> Option<Remote> {
        Remote::parse(body, &locked(&self.dialog).codecs)
    }

    /// Sends media as both descriptions allow.
    pub(crate) fn agree(&self, remote: Remote) {
        let mut dialog = locked(&self.dialog);
        let sends = matches!(dialog.direction, Direction::SendRecv | Direction::SendOnly);
        let to = (sends && remote.direction.receives()).then_some((remote.audio, remote.format));
        self.media.send_to(to, remote.event_payload_type);
        dialog.remote_media = Some(remote);
    }

    pub(crate) fn end(&self, by: EndedBy) {
        self.media.close();
        self.ended.send_if_modified(|ended| {
            let first = ended.is_none();
            if first {
                *ended = Some(by);
            }
            first
        });
        let call_id = locked(&self.dialog).call_id.clone();
        locked(&self.phone.calls).remove(&call_id);
    }
}

impl Incoming {
    /// Who calls, as From says.
    pub fn caller(&self) -> String {
        uri_of(self.ringing.invite.header("From").unwrap_or("")).to_owned()
    }

    /// The INVITE.
    pub fn invite(&self) -> &Message {
        &self.ringing.invite
    }

    /// Rings, for a phone that does so by hand only.
    pub fn ring(&self) {
        self.ringing.ring();
    }

    /// Lets the caller hear a tone before the answer: a 183 with SDP. It goes on until the media is dropped.
    pub fn announce(&self, tone_hz: f32) -> Result<Media, PhoneError> {
        self.ringing.announce(tone_hz)
    }

    /// Answers.
    pub fn answer(&self) -> Result<Call, PhoneError> {
        self.ringing.answer().map(Call::of)
    }

    /// Rejects with that status.
    pub fn reject(&self, status: u16, reason: &str) {
        self.ringing.finish(status, reason);
    }

    /// Names another number in its place: 302.
    pub fn redirect(&self, number: &str) {
        let config = &self.ringing.phone.config;
        self.ringing.finish_with(302, "Moved Temporarily", Some(format!("<sip:{number}@{}>", config.domain)));
    }

    /// The Replaces header by which another phone can pick the call up (RFC 3891).
    pub fn replaces(&self) -> String {
        let invite = &self.ringing.invite;
        let tag = invite.tag("From").unwrap_or("");
        format!("{};to-tag={tag};from-tag={}", self.ringing.call_id(), self.ringing.tag)
    }

    /// Waits until the caller gave up; false when it did not in that time.
    pub async fn wait_cancelled(&self, max: Duration) -> bool {
        let mut cancelled = self.ringing.cancelled.subscribe();
        matches!(tokio::time::timeout(max, cancelled.wait_for(|cancelled| *cancelled)).await, Ok(Ok(_)))
    }
}

impl Ringing {
    pub(crate) fn ring(&self) {
        let contact = format!("<{}>", self.phone.contact());
        let provisional = self.invite.response(180, "Ringing", &self.tag).with("Contact", contact);
        self.phone.reply(&self.invite, &provisional, self.from);
    }

    fn announce(&self, tone_hz: f32) -> Result<Media, PhoneError> {
        let config = &self.phone.config;
        let remote = Remote::parse(&self.invite.body, &config.codecs).ok_or(PhoneError::NoMedia)?;
        let media = Media::open(self.phone.local().ip(), Some(tone_hz))?;
        let body = sdp::write(random() >> 16, 1, media.local_addr(), &config.codecs, Direction::SendRecv);
        media.send_to(Some((remote.audio, remote.format)), remote.event_payload_type);
        let progress = self.invite.response(183, "Session Progress", &self.tag);
        let progress = progress.with("Contact", format!("<{}>", self.phone.contact()));
        let progress = progress.with_body("application/sdp", body.into_bytes());
        self.phone.reply(&self.invite, &progress, self.from);
        Ok(media)
    }

    pub(crate) fn finish(&self, status: u16, reason: &str) {
        self.finish_with(status, reason, None);
    }

    fn finish_with(&self, status: u16, reason: &str, contact: Option<String>) {
        locked(&self.phone.ringing).remove(self.call_id());
        let mut response = self.invite.response(status, reason, &self.tag);
        if let Some(contact) = contact {
            response = response.with("Contact", contact);
        }
        self.phone.reply(&self.invite, &response, self.from);
    }

    pub(crate) fn call_id(&self) -> &str {
        self.invite.header("Call-ID").unwrap_or("")
    }

    pub(crate) fn answer(&self) -> Result<Arc<CallState>, PhoneError> {
        if locked(&self.phone.ringing).remove(self.call_id()).is_none() {
            return Err(PhoneError::Refused { status: 487, reason: "Request Terminated".to_owned() });
        }
        let config = &self.phone.config;
        let offer = (!self.invite.body.is_empty()).then(|| Remote::parse(&self.invite.body, &config.codecs));
        if let Some(None) = offer {
            self.finish(488, "Not Acceptable Here");
            return Err(PhoneError::NoMedia);
        }
        let remote = offer.flatten();
        let header = |name: &str| self.invite.header(name).unwrap_or("").to_owned();
        let media = Media::open(self.phone.local().ip(), config.tone_hz)?;
        media.set_line(config.line.clone());
        if let Some((seed, conditions)) = config.network {
            media.set_network(seed, conditions);
        }
        let target = uri_of(&header("Contact")).to_owned();
        let routes: Vec<String> = self.invite.all("Record-Route").map(str::to_owned).collect();
        let dialog = Dialog {
            call_id: self.call_id().to_owned(),
            local: format!("{};tag={}", header("To"), self.tag),
            remote: header("From"),
            next_hop: hop(routes.first().unwrap_or(&target)).unwrap_or(self.from),
            target,
            routes,
            cseq: 0,
            sdp_version: 0,
            codecs: config.codecs.clone(),
            direction: remote.as_ref().map_or(Direction::SendRecv, |remote| remote.direction.answered()),
            remote_media: None,
        };
        let state = Arc::new(CallState {
            phone: Arc::clone(&self.phone),
            media,
            session: random() >> 16,
            setup: Duration::ZERO,
            dialog: Mutex::new(dialog),
            ended: watch::Sender::new(None),
            told: Mutex::default(),
        });
        locked(&self.phone.calls).insert(self.call_id().to_owned(), Arc::clone(&state));
        let body = state.describe(&mut locked(&state.dialog), remote.as_ref());
        if let Some(remote) = remote {
            state.agree(remote);
        }
        super::server::accept(&state, &self.invite, &self.tag, body, self.from);
        Ok(state)
    }
}

/// Calls a number as [`super::Phone::call_within`] says.
pub(crate) async fn invite(
    phone: &Arc<Inner>,
    number: &str,
    headers: &[(&str, &str)],
    ring_max: Duration,
) -> Result<Call, PhoneError> {
    let config = &phone.config;
    let started = Instant::now();
    let media = Media::open(phone.local().ip(), config.tone_hz)?;
    media.set_line(config.line.clone());
    if let Some((seed, conditions)) = config.network {
        media.set_network(seed, conditions);
    }
    *locked(&phone.dialled) = Some(media.ear());
    let session = random() >> 16;
    let body = sdp::write(session, 1, media.local_addr(), &config.codecs, Direction::SendRecv);
    let (request, response) = offer(phone, number, (headers, body.as_bytes()), ring_max).await?;
    let mut routes: Vec<String> = response.all("Record-Route").map(str::to_owned).collect();
    routes.reverse();
    let header = |message: &Message, name: &str| message.header(name).unwrap_or("").to_owned();
    let target = uri_of(&header(&response, "Contact")).to_owned();
    let call_id = header(&request, "Call-ID");
    let dialog = Dialog {
        call_id: call_id.clone(),
        local: header(&request, "From"),
        remote: header(&response, "To"),
        next_hop: hop(routes.first().unwrap_or(&target)).unwrap_or(config.server),
        target,
        routes,
        cseq: request.cseq(),
        sdp_version: 1,
        direction: Direction::SendRecv,
        codecs: config.codecs.clone(),
        remote_media: None,
    };
    let state = Arc::new(CallState {
        phone: Arc::clone(phone),
        media,
        session,
        setup: started.elapsed(),
        dialog: Mutex::new(dialog),
        ended: watch::Sender::new(None),
        told: Mutex::default(),
    });
    // Known before it is acknowledged: the far end may hang up at once.
    locked(&phone.calls).insert(call_id, Arc::clone(&state));
    state.acknowledge(&request, request.cseq());
    let call = Call::of(Arc::clone(&state));
    match Remote::parse(&response.body, &config.codecs) {
        Some(remote) => state.agree(remote),
        None => {
            call.hang_up().await?;
            return Err(PhoneError::NoMedia);
        }
    }
    Ok(call)
}

/// Sends INVITE, answering one challenge, until there is a 2xx; gives the INVITE that it answers too.
async fn offer(
    phone: &Inner,
    number: &str,
    (headers, body): (&[(&str, &str)], &[u8]),
    ring_max: Duration,
) -> Result<(Message, Message), PhoneError> {
    let config = &phone.config;
    let uri = format!("sip:{number}@{}", config.domain);
    let from = format!("<{}>;tag={}", phone.own_uri(), token());
    let call_id = token();
    let mut challenge: Option<Challenge> = None;
    let mut cseq = 0;
    loop {
        cseq += 1;
        let mut request = phone
            .request("INVITE", &uri, &branch())
            .with("From", &from)
            .with("To", format!("<{uri}>"))
            .with("Call-ID", &call_id)
            .with("CSeq", format!("{cseq} INVITE"))
            .with("Contact", format!("<{}>", phone.contact()))
            .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO");
        for (name, value) in headers {
            request = request.with(name, *value);
        }
        if let Some(challenge) = &challenge {
            request = phone.authorized(request, challenge, "INVITE", &uri);
        }
        let request = request.with_body("application/sdp", body);
        let ring = Ring { max: ring_max, cancel: cancel_of(&request, &uri, cseq) };
        let response = phone.transact(&request, config.server, Some(ring)).await?;
        let status = response.status().unwrap_or(0);
        if (200..300).contains(&status) {
            return Ok((request, response));
        }
        phone.ack_refusal(&request, &response, config.server);
        if !matches!(status, 401 | 407) || challenge.is_some() {
            return Err(refused(&response));
        }
        challenge = Some(Challenge::of(&response).ok_or_else(|| refused(&response))?);
    }
}

impl Inner {
    /// ACK of a refusal: in the transaction of its INVITE (RFC 3261, section 17.1.1.3).
    pub(crate) fn ack_refusal(&self, invite: &Message, response: &Message, to: SocketAddr) {
        let uri = invite.start.split(' ').nth(1).unwrap_or("");
        let mut ack = Message::new(format!("ACK {uri} SIP/2.0"));
        for name in ["Via", "Max-Forwards", "Route", "From", "Call-ID"] {
            for value in invite.all(name) {
                ack = ack.with(name, value);
            }
        }
        let ack = ack
            .with("To", response.header("To").unwrap_or(""))
            .with("CSeq", format!("{} ACK", invite.cseq()));
        let bytes = ack.to_bytes();
        self.send(&bytes, to);
        locked(&self.acks).insert(invite.branch().to_owned(), (bytes, to));
    }
}

/// CANCEL of an INVITE (RFC 3261, section 9.1).
fn cancel_of(invite: &Message, uri: &str, cseq: u32) -> Message {
    let mut cancel = Message::new(format!("CANCEL {uri} SIP/2.0"));
    for name in ["Via", "Max-Forwards", "Route", "From", "To", "Call-ID"] {
        for value in invite.all(name) {
            cancel = cancel.with(name, value);
        }
    }
    cancel.with("CSeq", format!("{cseq} CANCEL"))
}

/// The address in a URI, when it is one of IP.
fn hop(uri: &str) -> Option<SocketAddr> {
    let rest = uri_of(uri).strip_prefix("sip:")?;
    let rest = rest.split([';', '?']).next()?;
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    host.parse().ok().or_else(|| host.parse().ok().map(|ip| SocketAddr::new(ip, 5060)))
}

const REINVITE_MAX: Duration = Duration::from_secs(32);
/// How often a BYE is said over a bad line.
const BYES_MAX: usize = 6;
