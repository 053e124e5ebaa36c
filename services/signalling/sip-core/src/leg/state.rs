//! The states of a leg. Each owns what only it needs.

use std::time::{Duration, Instant};

use sidetone_model::termination::Termination;

use crate::message::{Request, Response};
use crate::sdp::RemoteSdp;
use crate::transaction::ServerTx;

#[derive(Debug)]
pub(super) enum State {
    /// Incoming; 100 has been sent, or will be by the transaction.
    Offered(Incoming),
    /// Incoming; 180 or 183 has been sent.
    Early { incoming: Incoming, provisional: Box<Response>, refresh_at: Instant },
    /// Incoming; 200 has been sent, no ACK came yet.
    Answered(Accepted),
    /// Outgoing; nothing has come back yet.
    Calling,
    /// Outgoing; a provisional response came, so that a CANCEL is allowed (RFC 3261 section 9.1).
    Proceeding,
    /// Both: the session stands.
    Confirmed { change: Change },
    /// Both: the owner has heard `Ended`; the phone is still being told.
    Ending(Ending),
    /// Nothing more will happen.
    Finished,
}

impl State {
    /// The state's name, for logs.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Offered(_) => "offered",
            Self::Early { .. } => "early",
            Self::Answered(_) => "answered",
            Self::Calling => "calling",
            Self::Proceeding => "proceeding",
            Self::Confirmed { .. } => "confirmed",
            Self::Ending(_) => "ending",
            Self::Finished => "finished",
        }
    }
}

/// An INVITE that waits for our answer.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) tx: ServerTx,
    pub(super) invite: Box<Request>,
    /// Its offer; none when it leaves the offer to us.
    pub(super) offer: Option<Box<RemoteSdp>>,
    /// When the caller no longer wants an answer (RFC 3261 section 13.3.1).
    pub(super) expires_at: Option<Instant>,
}

/// A 2xx to an INVITE or re-INVITE that waits for its ACK (RFC 3261 section 13.3.1.4).
#[derive(Debug)]
pub(super) struct Accepted {
    /// The transaction of the INVITE; none when that was a former life's.
    pub(super) tx: Option<ServerTx>,
    pub(super) response: Box<Response>,
    /// The CSeq number that the ACK will have.
    pub(super) cseq: u32,
    /// Our offer stands in the 2xx, so the ACK must bring the answer.
    pub(super) answer_in_ack: bool,
    pub(super) interval: Duration,
    pub(super) retransmit_at: Instant,
    pub(super) give_up_at: Instant,
}

/// A change of the session that the phone asked for.
#[derive(Debug)]
pub(super) enum Change {
    None,
    /// The owner has been asked.
    Asked {
        tx: ServerTx,
        request: Box<Request>,
        offer: Option<Box<RemoteSdp>>,
        give_up_at: Instant,
    },
    /// A re-INVITE has been answered.
    Accepted(Accepted),
}

#[derive(Debug)]
pub(super) enum Ending {
    /// Outgoing and not answered: CANCEL was sent, or will be when a provisional response allows it.
    Cancelling { termination: Termination, sent: bool, give_up_at: Option<Instant> },
    /// Incoming and answered: BYE must wait for the ACK (RFC 3261 section 15).
    ByeAfterAck { accepted: Accepted, termination: Termination },
    /// BYE was sent.
    Bye { cseq: u32, give_up_at: Instant },
}
