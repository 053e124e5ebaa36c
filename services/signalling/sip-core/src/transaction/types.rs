//! What goes into and comes out of the transaction layer.

use std::time::Duration;

use bytes::Bytes;
use sidetone_model::party::Flow;
use sipx_sip as sip;

use crate::message::{Method, Request, Response};

/// The base values of all timers (RFC 3261 section 17.1.1.1 and table 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timers {
    /// Estimate of a round trip.
    pub t1: Duration,
    /// Longest interval between retransmissions of anything but an INVITE.
    pub t2: Duration,
    /// How long a message can stay in the network.
    pub t4: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        Self { t1: Duration::from_millis(500), t2: Duration::from_secs(4), t4: Duration::from_secs(5) }
    }
}

impl Timers {
    /// 64 T1: how long a transaction is tried.
    pub fn timeout(&self) -> Duration {
        self.t1 * 64
    }

    pub(super) fn to_sip(self) -> sip::Timers {
        sip::Timers { t1: self.t1, t2: self.t2, t4: self.t4 }
    }
}

/// How the layer is bounded and timed.
#[derive(Debug, Clone, Copy)]
pub struct TransactionsConfig {
    /// Timer base values.
    pub timers: Timers,
    /// Most server transactions at a time. Beyond it a request is refused with 503 and Retry-After, statelessly.
    pub servers_max: usize,
    /// Most client transactions at a time. Beyond it sending fails with [`Full`].
    pub clients_max: usize,
}

impl Default for TransactionsConfig {
    fn default() -> Self {
        Self { timers: Timers::default(), servers_max: 65_536, clients_max: 65_536 }
    }
}

/// One server transaction. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerTx(pub(super) u64);

/// One client transaction. Numbers are never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientTx(pub(super) u64);

/// Bytes to be sent. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub struct Transmit {
    /// On which flow. For UDP `remote` is where the answer belongs by Via, which without `rport` may be another
    /// port than the one the request came from (RFC 3261 section 18.2.2).
    pub flow: Flow,
    /// A whole message.
    pub bytes: Bytes,
}

impl std::fmt::Debug for Transmit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transmit({} bytes)", self.bytes.len())
    }
}

/// What the user of the transactions is told.
#[derive(Debug)]
pub enum Event<O> {
    /// A new request. It must be answered by [`super::Transactions::respond`].
    Request {
        /// By which it is answered.
        tx: ServerTx,
        /// On which flow it came.
        flow: Flow,
        /// The request: neither ACK nor CANCEL.
        request: Request,
    },
    /// An INVITE has been cancelled. The CANCEL itself is answered already; the INVITE is not (487 is due), unless
    /// its user has sent a final response.
    Cancelled {
        /// The INVITE's transaction.
        invite: ServerTx,
        /// The INVITE's user, when one was assigned.
        owner: Option<O>,
        /// The CANCEL, for its Reason header (RFC 3326).
        cancel: Request,
    },
    /// The ACK to a 2xx.
    Ack {
        /// On which flow it came.
        flow: Flow,
        /// The ACK.
        request: Request,
    },
    /// A response to a request of ours. A 2xx to an INVITE may be told several times (RFC 6026).
    Response {
        /// The transaction.
        tx: ClientTx,
        /// Its user.
        owner: O,
        /// The response, 100 included: it allows a CANCEL (RFC 3261 section 9.1).
        response: Response,
    },
    /// A 2xx to an INVITE that no transaction knows: its own has ended, perhaps with a former life of this server. The dialog
    /// may owe it an ACK (RFC 3261 section 13.2.2.4).
    Stray {
        /// The response.
        response: Response,
    },
    /// A request of ours got no final response in time (timers B and F), or its transport failed.
    Failed {
        /// The transaction.
        tx: ClientTx,
        /// Its user.
        owner: O,
        /// The method of the request.
        method: Method,
        /// Its CSeq number.
        cseq: u32,
        /// What went wrong.
        failure: Failure,
        /// The request, which may be sent another way.
        request: Box<Request>,
    },
}

/// Why a request of ours got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Nothing came in time.
    Timeout,
    /// The flow is gone.
    Transport,
}

/// Why the layer wants to be called at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A retransmission (timers A, E, G) or a 100 is due.
    Retransmission,
    /// A transaction gives up (timers B, F, H).
    Timeout,
    /// A transaction is forgotten (timers D, I, J, K, L, M).
    Cleanup,
}

/// No more client transactions are allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many transactions in flight")]
pub struct Full;

/// What the layer has seen since it was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// Requests refused because of the bound.
    pub refused_full: u64,
    /// Messages that belonged to nothing: stray responses, ACKs to nothing, CANCELs without an INVITE.
    pub unmatched: u64,
    /// Requests that came again and were absorbed or answered again.
    pub request_retransmissions_received: u64,
    /// Messages that we sent again because a timer said so.
    pub retransmissions_sent: u64,
    /// Requests other than INVITE that nobody answered in time and that were forgotten.
    pub abandoned: u64,
}
