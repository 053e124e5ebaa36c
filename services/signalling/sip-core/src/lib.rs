//! SIP and SDP without sockets: messages, transactions, dialogs, registrations and digest authentication.
//!
//! Everything here is a value or a machine that is given its input, the time and its randomness. The parser and the
//! single transaction machines come from a library that no public item shows.
//!
//! # How a shell drives it
//!
//! ```text
//! datagram ── message::parse_datagram ──┐             Err(ParseFailure): send failure.response(source, tag), count
//! TCP read ── message::Framer::push,    │             Framed::Ping: write Framer::PONG
//!             poll_framed until None ───┤
//!                                       v
//!               Transactions::<LegId>::handle_message(message, &flow, now)
//!                                       │ poll_transmit() ── write bytes to transmit.flow
//!                                       v poll_event()
//!   Request, initial INVITE   auth; Leg::incoming(..) => Ok(leg): transactions.assign(tx, leg id), keep the leg under
//!                             leg.dialog_key();  Err(response): transactions.respond(tx, *response, now)
//!   Request with a To tag     legs[request.dialog_key()].handle_request(tx, &flow, request, now), or 481
//!   Request REGISTER          auth; registrar::process(current, &request, &flow, &policy, wall)
//!   Request of any kind       outside::inspect first; Err(refusal): respond refusal.response(..)
//!   Request SUBSCRIBE         auth; events::Subscription::new(..), or the refusal's response; later ones by its dialog key
//!   Request OPTIONS           200 with Allow
//!   Ack                       legs[request.dialog_key()].handle_ack(&request, now), or nothing
//!   Cancelled                 legs[owner].handle_cancel(&cancel); without an owner yet: 487 to `invite`
//!   Response                  legs[owner].handle_response(&response, now)
//!   Failed                    legs[owner].handle_failure(&method, cseq, failure, now)
//!
//!   after any input to a leg: leg.poll_output() until None
//!     Respond{tx, response}     transactions.respond(tx, response, now)
//!     Request{flow, request}    transactions.send_request(request, &flow, leg id, now); on Full:
//!                               leg.handle_failure(&request.method(), request.cseq(), Failure::Transport, now)
//!     Ack{flow, request}        transactions.send_ack(&request, &flow)
//!     Again{flow, response}     transactions.send_again(&response, &flow)
//!     Signal(kind)              number it and send it to the owner
//!     Finished                  forget the leg
//! ```
//!
//! Commands: `LegCommandKind::Invite` makes a leg by [`leg::Leg::outgoing`]; all others go to
//! [`leg::Leg::handle_command`]. `Ended` is signalled as soon as the leg is decided to be over; the leg itself lives
//! until `Finished`, because BYE, CANCEL and their crossings take time.
//!
//! Timers: the least of `Transactions::poll_timeout` and every `Leg::poll_timeout`; then `handle_timeout(now)` on who
//! asked. Each may be called too early without harm.
//!
//! Authentication: `request.authorization()` to [`auth::Credentials::parse`], look up the hashes of
//! `credentials.username()`, [`auth::Authenticator::verify`]; else 401 with two `WWW-Authenticate` headers from
//! [`auth::Authenticator::challenge`].
//!
//! # Not here
//!
//! Sockets, name resolution, storage of bindings, numbering of signals, which leg belongs to which call, forking,
//! answering challenges from phones.

#![forbid(unsafe_code)]

pub mod auth;
pub mod body;
pub mod dialog;
pub mod events;
pub mod identity;
pub mod leg;
pub mod message;
pub mod outside;
mod reason;
pub mod registrar;
pub mod replaces;
pub mod sdp;
pub mod tokens;
pub mod transaction;
pub mod uri;
pub mod warning;
