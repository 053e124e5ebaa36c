//! What comes in: responses to their transactions, requests to their answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::call::{CallState, EndedBy, Incoming, Ringing};
use super::message::{Message, uri_of};
use super::sdp::Direction;
use super::transaction::{T1, T2};
use super::{Inner, Transport, locked, token};

/// Handles one message.
pub(crate) fn take(phone: &Arc<Inner>, message: Message, from: SocketAddr) {
    if message.status().is_some() {
        return response(phone, message);
    }
    let key = key(&message, message.method());
    let repeated =
        locked(&phone.replies).iter().find(|(known, _)| *known == key).map(|(_, bytes)| bytes.clone());
    if let Some(bytes) = repeated {
        return phone.send(&bytes, from);
    }
    match message.method() {
        "ACK" => acknowledged(phone, &message),
        "INVITE" if message.tag("To").is_some() => reinvited(phone, &message, from),
        "INVITE" => invited(phone, message, from),
        "CANCEL" => cancelled(phone, &message, from),
        "BYE" => ended(phone, &message, from),
        "NOTIFY" if message.header("Event") == Some("talk") => asked_to_talk(phone, &message, from),
        "NOTIFY" if message.header("Event").is_some_and(|event| event.starts_with("refer")) => {
            told(phone, &message, from);
        }
        "OPTIONS" | "INFO" | "MESSAGE" | "NOTIFY" => {
            let response = message.response(200, "OK", &token()).with("Allow", ALLOW);
            phone.reply(&message, &response, from);
        }
        _ => {
            let response = message.response(405, "Method Not Allowed", &token()).with("Allow", ALLOW);
            phone.reply(&message, &response, from);
        }
    }
}

fn response(phone: &Inner, response: Message) {
    let waiting = locked(&phone.waiting).get(response.branch()).cloned();
    // The response to a CANCEL has the branch of its INVITE.
    let cancel = response.method() == "CANCEL";
    match waiting {
        Some(waiting) if !cancel => drop(waiting.send(response)),
        None if response.method() == "INVITE" && response.status().is_some_and(|status| status >= 200) => {
            if let Some((ack, to)) = locked(&phone.acks).get(response.branch()).cloned() {
                phone.send(&ack, to);
            }
        }
        _ => {}
    }
}

fn invited(phone: &Arc<Inner>, invite: Message, from: SocketAddr) {
    let ringing = Arc::new(Ringing {
        phone: Arc::clone(phone),
        from,
        tag: token(),
        cancelled: watch::Sender::new(false),
        invite,
    });
    {
        // A retransmission before the final response only needs the provisional one again.
        let mut all = locked(&phone.ringing);
        all.entry(ringing.call_id().to_owned()).or_insert_with(|| Arc::clone(&ringing));
    }
    if phone.config.ring_by_hand {
        // Whatever it is answered with, the INVITE need not come again.
        phone.reply(&ringing.invite, &ringing.invite.response(100, "Trying", ""), from);
    } else {
        ringing.ring();
    }
    let asked = ringing.invite.all("Call-Info").any(|info| info.contains("answer-after=0"));
    if phone.config.auto_answer || (asked && phone.config.remote_control) {
        // Failing to answer has told the caller already.
        drop(ringing.answer());
    } else if phone.incoming.try_send(Incoming { ringing: Arc::clone(&ringing) }).is_err() {
        ringing.finish(486, "Busy Here");
    }
}

/// Somebody else wants the ringing call answered (`Event: talk`, as desk phones know it).
fn asked_to_talk(phone: &Arc<Inner>, notify: &Message, from: SocketAddr) {
    let ringing = locked(&phone.ringing).get(notify.header("Call-ID").unwrap_or("")).cloned();
    let Some(ringing) = ringing.filter(|ringing| notify.tag("To") == Some(&ringing.tag)) else {
        return phone.reply(notify, &notify.response(481, "Call/Transaction Does Not Exist", &token()), from);
    };
    if !phone.config.remote_control {
        return phone.reply(notify, &notify.response(489, "Bad Event", ""), from);
    }
    phone.reply(notify, &notify.response(200, "OK", ""), from);
    // Failing to answer has told the caller already.
    drop(ringing.answer());
}

/// How it goes with what a REFER asked for (RFC 3515, section 2.4.5).
fn told(phone: &Inner, notify: &Message, from: SocketAddr) {
    let call = locked(&phone.calls).get(notify.header("Call-ID").unwrap_or("")).cloned();
    let Some(call) = call else {
        return phone.reply(notify, &notify.response(481, "Call/Transaction Does Not Exist", &token()), from);
    };
    let fragment = String::from_utf8_lossy(&notify.body);
    let line = fragment.lines().next().unwrap_or("").to_owned();
    locked(&call.told).push(line);
    phone.reply(notify, &notify.response(200, "OK", ""), from);
}

fn reinvited(phone: &Arc<Inner>, invite: &Message, from: SocketAddr) {
    let call = locked(&phone.calls).get(invite.header("Call-ID").unwrap_or("")).cloned();
    let Some(call) = call else {
        return phone.reply(invite, &invite.response(481, "Call/Transaction Does Not Exist", ""), from);
    };
    let offer = (!invite.body.is_empty()).then(|| call.read(&invite.body));
    if let Some(None) = offer {
        return phone.reply(invite, &invite.response(488, "Not Acceptable Here", ""), from);
    }
    let body = {
        let mut dialog = locked(&call.dialog);
        if let Some(contact) = invite.header("Contact") {
            dialog.target = uri_of(contact).to_owned();
        }
        dialog.direction = match &offer {
            Some(Some(remote)) => remote.direction.answered(),
            _ => Direction::SendRecv,
        };
        call.describe(&mut dialog, offer.as_ref().and_then(Option::as_ref))
    };
    if let Some(remote) = offer.flatten() {
        call.agree(remote);
    }
    accept(&call, invite, "", body, from);
}

/// Sends 200 with a description, again and again until the ACK is there (RFC 3261, section 13.3.1.4).
pub(crate) fn accept(call: &Arc<CallState>, invite: &Message, tag: &str, body: String, from: SocketAddr) {
    let phone = &call.phone;
    let response = invite
        .response(200, "OK", tag)
        .with("Contact", format!("<{}>", phone.contact()))
        .with("Allow", ALLOW)
        .with_body("application/sdp", body);
    phone.reply(invite, &response, from);
    let key = ack_key(invite);
    let (acked, mut wait) = tokio::sync::mpsc::unbounded_channel();
    locked(&phone.waiting).insert(key.clone(), acked);
    let (call, bytes) = (Arc::clone(call), response.to_bytes());
    tokio::spawn(async move {
        let (mut interval, mut waited) = (T1, Duration::ZERO);
        loop {
            match tokio::time::timeout(interval, wait.recv()).await {
                Ok(ack) => {
                    // An INVITE without an offer gets its answer in the ACK.
                    if let Some(remote) = ack.and_then(|ack| call.read(&ack.body)) {
                        call.agree(remote);
                    }
                    break;
                }
                Err(_) if waited >= T1 * 64 || call.ended.borrow().is_some() => break,
                Err(_) => {
                    waited += interval;
                    interval = (interval * 2).min(T2);
                    if call.phone.config.transport == Transport::Udp {
                        call.phone.send(&bytes, from);
                    }
                }
            }
        }
        locked(&call.phone.waiting).remove(&key);
    });
}

fn acknowledged(phone: &Inner, ack: &Message) {
    let waiting = locked(&phone.waiting).get(&ack_key(ack)).cloned();
    if let Some(waiting) = waiting {
        drop(waiting.send(ack.clone()));
    }
}

fn cancelled(phone: &Arc<Inner>, cancel: &Message, from: SocketAddr) {
    let ringing = locked(&phone.ringing).get(cancel.header("Call-ID").unwrap_or("")).cloned();
    let Some(ringing) = ringing else {
        // Either answered already, which a CANCEL does not change, or unknown.
        let (status, reason) = if locked(&phone.calls).contains_key(cancel.header("Call-ID").unwrap_or("")) {
            (200, "OK")
        } else {
            (481, "Call/Transaction Does Not Exist")
        };
        return phone.reply(cancel, &cancel.response(status, reason, &token()), from);
    };
    phone.reply(cancel, &cancel.response(200, "OK", &ringing.tag), from);
    ringing.finish(487, "Request Terminated");
    ringing.cancelled.send_replace(true);
}

fn ended(phone: &Inner, bye: &Message, from: SocketAddr) {
    let call = locked(&phone.calls).get(bye.header("Call-ID").unwrap_or("")).cloned();
    let Some(call) = call else {
        return phone.reply(bye, &bye.response(481, "Call/Transaction Does Not Exist", &token()), from);
    };
    phone.reply(bye, &bye.response(200, "OK", ""), from);
    call.end(EndedBy::FarEnd { reason: bye.header("Reason").map(str::to_owned) });
}

impl Inner {
    /// Sends a response and keeps it for when the request comes again. A later response replaces an earlier one.
    pub(crate) fn reply(&self, request: &Message, response: &Message, to: SocketAddr) {
        let bytes = response.to_bytes();
        let key = key(request, request.method());
        {
            let mut replies = locked(&self.replies);
            replies.retain(|(known, _)| *known != key);
            if replies.len() == REPLIES_MAX {
                replies.pop_front();
            }
            replies.push_back((key, bytes.clone()));
        }
        self.send(&bytes, to);
    }
}

fn key(request: &Message, method: &str) -> String {
    format!("{method} {}", request.branch())
}

fn ack_key(request: &Message) -> String {
    format!("ack {} {}", request.header("Call-ID").unwrap_or(""), request.cseq())
}

const ALLOW: &str = "INVITE, ACK, CANCEL, BYE, OPTIONS, INFO, MESSAGE, NOTIFY";
const REPLIES_MAX: usize = 256;
