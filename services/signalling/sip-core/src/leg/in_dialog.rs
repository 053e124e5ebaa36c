//! Requests inside the dialog (RFC 3261 section 12.2.2), sorted by method.

use std::time::Instant;

use sidetone_model::party::Flow;
use sidetone_model::signal::LegSignalKind;

use super::Leg;
use super::answer::{ALLOW, SUPPORTED};
use super::state::{Ending, State};
use crate::body;
use crate::message::{Method, Request, ResponseBuilder, Status};
use crate::outside::check_required;
use crate::transaction::ServerTx;

impl Leg {
    /// Takes a request that belongs to this leg's dialog (its To tag is ours), but no ACK and no CANCEL.
    pub fn handle_request(&mut self, tx: ServerTx, flow: &Flow, request: Request, now: Instant) {
        let plain = |leg: &Self, status| {
            ResponseBuilder::new(&request, status, leg.dialog.local_tag())
                .header("Server", leg.setup.product.as_ref())
        };
        if !self.is_ours(&request) {
            let refusal = plain(self, Status::NO_SUCH_TRANSACTION).build();
            return self.respond(tx, refusal);
        }
        // Of the phones behind a call that nobody has answered each has a dialog of its own (RFC 3261 section 12.1).
        let fork = self.dialog.remote_tag().is_none().then_some(self.opened_by.as_mut()).flatten();
        let is_fork = fork.is_some();
        let in_order = match fork {
            Some(sent) => sent.accept_cseq(request.from().tag().unwrap_or_default(), request.cseq()),
            None => self.dialog.accept_cseq(request.cseq()),
        };
        if in_order.is_err() {
            let refusal = plain(self, Status::SERVER_INTERNAL_ERROR).build();
            return self.respond(tx, refusal);
        }
        // A phone whose NAT binding or connection changed is reached where it speaks from now. What one of several says while
        // they ring tells nothing of where the call goes.
        if !is_fork {
            self.setup.flow = flow.clone();
            self.note_life();
        }
        if let Err(refusal) = check_required(&request, self.dialog.local_tag()) {
            return self.respond(tx, *refusal);
        }
        match request.method() {
            Method::Bye => self.handle_bye(tx, &request, now),
            Method::Invite | Method::Update => self.handle_change(tx, request, now),
            Method::Info => self.handle_info(tx, &request),
            Method::Refer => self.handle_refer(tx, request, now),
            Method::Options => {
                let ok = plain(self, Status::OK)
                    .header("Allow", ALLOW)
                    .header("Accept", body::ACCEPT)
                    .header("Supported", SUPPORTED)
                    .build();
                self.respond(tx, ok);
            }
            Method::Prack => self.handle_prack(tx, &request, now),
            // No subscription (RFC 6665 section 4.1.3) of ours is there to which it could belong.
            Method::Notify => {
                let refusal = plain(self, Status::NO_SUCH_TRANSACTION).build();
                self.respond(tx, refusal);
            }
            Method::Other(_) => {
                let refusal = plain(self, Status::NOT_IMPLEMENTED).header("Allow", ALLOW).build();
                self.respond(tx, refusal);
            }
            _ => {
                let refusal = plain(self, Status::METHOD_NOT_ALLOWED).header("Allow", ALLOW).build();
                self.respond(tx, refusal);
            }
        }
    }

    /// A dialog is the Call-ID and both tags (RFC 3261 section 12); of an outgoing leg without an answer any early
    /// dialog will do.
    fn is_ours(&self, request: &Request) -> bool {
        let known = match self.dialog.remote_tag() {
            Some(tag) => request.from().tag() == Some(tag),
            None => true,
        };
        let alive = !matches!(self.state, State::Finished | State::Ending(Ending::Cancelling { .. }));
        let over = matches!(self.state, State::Ending(_)) && request.method() != Method::Bye;
        known && alive && !over && request.dialog_key() == Some(self.dialog.key())
    }

    fn handle_info(&mut self, tx: ServerTx, info: &Request) {
        let digit = match info.content_type().as_str() {
            "application/dtmf-relay" => Some(relayed_digit(info.body())),
            "application/dtmf" => Some(bare_digit(info.body())),
            _ if info.body().is_empty() => None,
            _ => {
                let refusal =
                    ResponseBuilder::new(info, Status::UNSUPPORTED_MEDIA_TYPE, self.dialog.local_tag())
                        .header("Accept", "application/dtmf-relay, application/dtmf")
                        .build();
                return self.respond(tx, refusal);
            }
        };
        let status = match digit {
            Some(None) => Status::BAD_REQUEST,
            // An INFO without a body tests whether the dialog is alive.
            Some(Some(_)) | None => Status::OK,
        };
        let response = ResponseBuilder::new(info, status, self.dialog.local_tag()).build();
        self.respond(tx, response);
        if let (Some(Some((digit, duration_ms))), State::Confirmed { .. }) = (digit, &self.state) {
            self.signal(LegSignalKind::Digit { digit, duration_ms });
        }
    }
}

/// `Signal=5` and `Duration=160` on lines of their own.
fn relayed_digit(body: &[u8]) -> Option<(char, u32)> {
    let text = std::str::from_utf8(body).ok()?;
    let value = |name: &str| {
        text.lines()
            .filter_map(|line| line.split_once('='))
            .find(|(key, _)| key.trim().eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
    };
    let duration = value("Duration").and_then(|text| text.parse().ok()).unwrap_or(DIGIT_DEFAULT_MS);
    Some((digit(value("Signal")?)?, duration.min(DIGIT_MAX_MS)))
}

fn bare_digit(body: &[u8]) -> Option<(char, u32)> {
    Some((digit(std::str::from_utf8(body).ok()?.trim())?, DIGIT_DEFAULT_MS))
}

/// A digit by its sign or by its event number (RFC 4733 section 3.2: 10 is `*`, 11 is `#`, 12 to 15 are A to D).
fn digit(text: &str) -> Option<char> {
    let c = match text {
        "10" => '*',
        "11" => '#',
        "12" => 'A',
        "13" => 'B',
        "14" => 'C',
        "15" => 'D',
        other => {
            let mut chars = other.chars();
            let first = chars.next()?.to_ascii_uppercase();
            chars.next().is_none().then_some(first)?
        }
    };
    matches!(c, '0'..='9' | '*' | '#' | 'A'..='D').then_some(c)
}

const DIGIT_DEFAULT_MS: u32 = 160;
const DIGIT_MAX_MS: u32 = 10_000;
