//! SIP and SDP without sockets: messages, transactions, dialogs, registrations and digest authentication.
#![forbid(unsafe_code)]

pub mod dialog;
pub mod leg;
pub mod message;
mod reason;
pub mod registrar;
pub mod sdp;
pub mod tokens;
pub mod transaction;
pub mod uri;
