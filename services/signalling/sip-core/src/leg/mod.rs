//! One user agent for one leg (RFC 3261 sections 13 to 15), as a machine without sockets, tasks or clocks.
//!
//! What comes in: requests, responses and failures of the transactions that belong to the leg, commands of the
//! leg's owner, and the time. What comes out, by [`Leg::poll_output`]: messages to send, and signals to the owner.
//! The leg knows no other leg. After any input, drain the outputs and ask [`Leg::poll_timeout`] anew.

mod answer;
mod authenticate;
mod digits;
mod encryption;
mod end;
mod in_dialog;
mod invite;
mod modify;
mod offer;
mod persist;
mod redirect;
mod refer;
mod refresh;
mod reliable;
mod reoffer;
mod session;
mod state;
mod talk;
mod timers;

use std::collections::VecDeque;
use std::fmt;
use std::net::SocketAddr;
use std::time::Instant;

use sidetone_model::classify::{Class, Classify};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::{DeviceId, LegId, UserId};
use sidetone_model::party::Flow;
use sidetone_model::signal::{LegSignalKind, Target};
use sidetone_model::termination::{Cause, Termination};

use crate::dialog::DialogState;
use crate::identity::CallerIdentity;
use crate::message::{DialogKey, Method, Request, Response};
use crate::replaces::Replaces;
use crate::transaction::{Failure, ServerTx, Timers};
use offer::Negotiation;
use session::SessionTimer;
use state::State;

pub(crate) use answer::EXTENSIONS;
pub use answer::{ALLOW, SUPPORTED};
pub use encryption::Encryption;
pub use persist::StoredLeg;

/// What a leg is given for its life.
#[derive(Debug, Clone)]
pub struct LegSetup {
    /// The flow to the phone.
    pub flow: Flow,
    /// Under which address and port the phone reaches us (Via and Contact).
    pub advertised: SocketAddr,
    /// The tenant's SIP domain, the host of our From.
    pub domain: Box<str>,
    /// What `Server` and `User-Agent` say.
    pub product: Box<str>,
    /// Timer base values.
    pub timers: Timers,
    /// What is asked of a session timer (RFC 4028), in seconds: 90 at the least; 0 asks for none.
    pub session_interval_s: u32,
    /// Whether its media is encrypted.
    pub encryption: Encryption,
}

/// Who calls, as far as it is proved or believed, and for whom.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caller {
    /// What the INVITE says of it.
    pub identity: CallerIdentity,
    /// The user.
    pub user: Option<UserId>,
    /// The device.
    pub device: Option<DeviceId>,
    /// The leg whose place it takes ([`Replaces`]).
    pub replaces: Option<LegId>,
}

/// What a leg wants done. `Debug` shows no number and no address.
pub enum LegOutput {
    /// Answer a request, by `Transactions::respond`.
    Respond {
        /// The request's transaction.
        tx: ServerTx,
        /// The response.
        response: Response,
    },
    /// Send a request in a transaction of its own, by `Transactions::send_request`. When that fails, tell the leg by
    /// [`Leg::handle_failure`].
    Request {
        /// On which flow.
        flow: Flow,
        /// The request.
        request: Request,
    },
    /// Send the ACK to a 2xx, by `Transactions::send_ack`.
    Ack {
        /// On which flow.
        flow: Flow,
        /// The ACK.
        request: Request,
    },
    /// Send a 2xx of a former life again, by `Transactions::send_again`: its transaction is gone.
    Again {
        /// On which flow.
        flow: Flow,
        /// The response.
        response: Response,
    },
    /// The phone wants the call passed on: a `Referred` for the owner, once it is known which leg is meant. When none is,
    /// the leg is given `Referral(Failed)`.
    Refer {
        /// Whom the others are to be connected with.
        to: Target,
        /// The other dialog whose far end is meant.
        replaces: Option<Replaces>,
    },
    /// Tell the owner. Numbering and acknowledgement are the shell's.
    Signal(LegSignalKind),
    /// The phone has refused the description of the first INVITE, and is being sent the other one: whoever looks after the server
    /// may want to set its device's encryption, so that it need not be asked twice.
    OfferedOtherwise {
        /// What it refused the first one with.
        status: u16,
        /// Whether the second one is for SRTP (RTP/SAVP).
        secured: bool,
    },
    /// Nothing will come any more: the leg can be forgotten. `Ended` has been signalled before.
    Finished,
}

/// Why the leg wants to be called at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LegTimer {
    /// The 2xx goes out again until its ACK comes (RFC 3261 section 13.3.1.4).
    AcceptRetransmission,
    /// A provisional response is repeated so that proxies keep waiting (RFC 3261 section 13.3.1.1).
    ProvisionalRefresh,
    /// A reliable provisional response goes out again until its PRACK comes (RFC 3262 section 3).
    ReliableAgain,
    /// The PRACK does not come any more.
    ReliableGiveUp,
    /// What was waited for does not come any more.
    GiveUp,
    /// The session was not refreshed (RFC 4028 section 10).
    SessionExpiry,
    /// The session is to be refreshed (RFC 4028 section 7.4).
    SessionRefresh,
    /// The owner has not said what becomes of a REFER.
    Referral,
    /// An offer of ours that could not be made goes out again (RFC 3261 section 14.1).
    Reoffer,
}

/// A command that does not fit the leg's present state. It is not an accident: commands and the phone's requests
/// cross on the way. The leg is as before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not possible in this state.
    #[error("the command does not fit the leg's state")]
    WrongState,
    /// An Invite for a leg that is open already; an Invite makes a leg by [`Leg::outgoing`].
    #[error("the leg is open already")]
    AlreadyOpen,
    /// The message could not be written.
    #[error("the command holds what no SIP message can")]
    Unwritable,
    /// The media is to be encrypted, and the media node gives no keys for it.
    #[error("the media is to be encrypted and the media node gives no keys: media.srtp must not be off")]
    NoKeys,
}

impl Classify for CommandError {
    fn class(&self) -> Class {
        match self {
            Self::WrongState => Class::FailedPrecondition,
            Self::AlreadyOpen => Class::Conflict,
            Self::Unwritable => Class::Invalid,
            Self::NoKeys => Class::FailedPrecondition,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::WrongState => "wrong_state",
            Self::AlreadyOpen => "already_open",
            Self::Unwritable => "unwritable",
            Self::NoKeys => "no_keys",
        }
    }
}

/// One user agent. `Debug` shows no number and no address.
pub struct Leg {
    setup: LegSetup,
    dialog: DialogState,
    state: State,
    negotiation: Negotiation,
    session: SessionTimer,
    /// The INVITE that opened an outgoing leg, with the ACKs that repeat its 2xx's.
    opened_by: Option<Box<invite::SentInvite>>,
    /// Our own change of the session, while there is one.
    reoffer: Option<Box<reoffer::Reoffer>>,
    /// The ACK to the last 2xx to a re-INVITE of ours, to be repeated with it.
    reoffer_ack: Option<Box<Request>>,
    /// What the phone asked for by REFER, while it is told of it.
    referral: Option<Box<refer::Referral>>,
    /// REFERs so far.
    referrals: u32,
    /// The CSeq number of the NOTIFY by which the phone is asked to take the call.
    talk: Option<u32>,
    /// The CSeq number of the UPDATE by which the session is refreshed.
    refresh: Option<u32>,
    reliable: reliable::Reliable,
    digits: digits::Digits,
    outputs: VecDeque<LegOutput>,
    /// The CSeq number of the last request of a former life, from which the dialog was taken up.
    former_cseq: Option<u32>,
    ended: bool,
    finished: bool,
    owner_away: bool,
}

/// What a request without an answer means.
fn cause_of(failure: Failure) -> Cause {
    match failure {
        Failure::Timeout => Cause::Timeout,
        Failure::Transport => Cause::TransportFailure,
    }
}

impl fmt::Debug for Leg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Leg({} {})", self.dialog.local_tag(), self.state.name())
    }
}

impl fmt::Debug for LegOutput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Respond { tx, response } => write!(f, "Respond({tx:?} {response:?})"),
            Self::Request { request, .. } => write!(f, "Request({request:?})"),
            Self::Ack { request, .. } => write!(f, "Ack({request:?})"),
            Self::Again { response, .. } => write!(f, "Again({response:?})"),
            Self::Refer { .. } => f.write_str("Refer(..)"),
            Self::Signal(_) => f.write_str("Signal(..)"),
            Self::OfferedOtherwise { status, .. } => write!(f, "OfferedOtherwise({status})"),
            Self::Finished => f.write_str("Finished"),
        }
    }
}

impl Leg {
    /// One to which nothing has happened yet.
    fn begin(
        setup: LegSetup,
        dialog: DialogState,
        state: State,
        negotiation: Negotiation,
        session: SessionTimer,
    ) -> Self {
        Self {
            setup,
            dialog,
            state,
            negotiation,
            session,
            opened_by: None,
            reoffer: None,
            reoffer_ack: None,
            referral: None,
            referrals: 0,
            talk: None,
            refresh: None,
            reliable: reliable::Reliable::default(),
            digits: digits::Digits::default(),
            outputs: VecDeque::new(),
            former_cseq: None,
            ended: false,
            finished: false,
            owner_away: false,
        }
    }

    /// Under which key messages of this leg find it: valid from the leg's first moment to its last.
    pub fn dialog_key(&self) -> DialogKey {
        self.dialog.key()
    }

    /// The dialog as a value.
    pub fn dialog(&self) -> &DialogState {
        &self.dialog
    }

    /// The flow over which the leg's own requests go; it follows the phone when that moves.
    pub fn flow(&self) -> &Flow {
        &self.setup.flow
    }

    /// The INVITE by which it was opened, as it was sent last; none of a call that came in.
    pub fn opening_request(&self) -> Option<&Request> {
        self.opened_by.as_ref().map(|sent| &sent.request)
    }

    /// Where the leg's requests go: the phone's Contact.
    pub fn target(&self) -> &crate::uri::SipUri {
        &self.dialog.remote_target
    }

    /// Whether media flows or may flow: answered and not yet ended.
    pub fn is_confirmed(&self) -> bool {
        matches!(self.state, State::Confirmed { .. })
    }

    /// Whether it was answered, in either direction, and has not ended.
    pub fn is_answered(&self) -> bool {
        matches!(self.state, State::Answered(_) | State::Confirmed { .. })
    }

    /// Whether somebody calls us and has no final answer yet.
    pub fn awaits_answer(&self) -> bool {
        matches!(self.state, State::Offered(_) | State::Early { .. })
    }

    /// Whether it is over for its owner.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, State::Ending(_) | State::Finished)
    }

    /// Whether a phone that we call rings under a tag of which `known` knows.
    pub fn rings_as(&self, known: impl Fn(&str) -> bool) -> bool {
        let ringing = self.opened_by.as_ref().and_then(|sent| sent.ringing.as_ref());
        matches!(self.state, State::Proceeding)
            && ringing.and_then(|dialog| dialog.remote_tag()).is_some_and(known)
    }

    /// The next thing to be done.
    pub fn poll_output(&mut self) -> Option<LegOutput> {
        self.outputs.pop_front()
    }

    /// While the leg's owner cannot be asked, media changes are refused with 500 and Retry-After; BYE, CANCEL and
    /// session refreshes are answered as ever.
    pub fn set_owner_away(&mut self, away: bool) {
        self.owner_away = away;
    }

    /// Carries out a command.
    ///
    /// # Errors
    /// When the leg's state does not allow it; nothing has changed then.
    pub fn handle_command(&mut self, command: LegCommandKind, now: Instant) -> Result<(), CommandError> {
        match command {
            LegCommandKind::Invite(_) => Err(CommandError::AlreadyOpen),
            LegCommandKind::Ring { media } => self.ring(media, now),
            LegCommandKind::Answer { media } => self.answer(media, now),
            LegCommandKind::AnswerReoffer { media } => self.answer_reoffer(media, now),
            LegCommandKind::Talk => self.talk(),
            LegCommandKind::Reoffer { media } => self.reoffer(media, now),
            LegCommandKind::Referral(state) => self.refer_goes_on(state),
            LegCommandKind::SendDigits { digits, duration_ms } => self.send_digits(&digits, duration_ms),
            LegCommandKind::Deflect { numbers } => self.deflect(&numbers),
            LegCommandKind::End(termination) => self.end_by_command(termination, now),
        }
    }

    /// Takes a response to a request of this leg.
    pub fn handle_response(&mut self, response: &Response, now: Instant) {
        match response.cseq_method() {
            Method::Invite => self.handle_invite_response(response, now),
            Method::Bye if response.status().is_final() => self.handle_bye_done(response.cseq()),
            Method::Notify if response.status().is_final() => self.handle_notified(response),
            Method::Update if response.status().is_final() => self.handle_update_response(response, now),
            Method::Info if response.status().is_final() => self.handle_digit_done(response.cseq()),
            _ => {}
        }
    }

    /// Takes the news that a request of this leg got no answer.
    pub fn handle_failure(&mut self, method: &Method, cseq: u32, failure: Failure, now: Instant) {
        match method {
            Method::Invite if self.is_reoffer(cseq) => self.handle_reoffer_failure(failure, now),
            Method::Invite => self.handle_invite_failure(failure),
            Method::Bye => self.handle_bye_done(cseq),
            Method::Notify => self.handle_not_notified(cseq, failure),
            Method::Update => self.handle_update_failure(cseq, failure, now),
            Method::Info => self.handle_digit_done(cseq),
            _ => {}
        }
    }

    fn signal(&mut self, signal: LegSignalKind) {
        self.outputs.push_back(LegOutput::Signal(signal));
    }

    /// Says once that the leg is over.
    fn signal_ended(&mut self, termination: Termination) {
        if !self.ended {
            self.ended = true;
            self.signal(LegSignalKind::Ended(termination));
        }
    }

    fn finish(&mut self) {
        self.state = State::Finished;
        if !self.finished {
            self.finished = true;
            self.outputs.push_back(LegOutput::Finished);
        }
    }

    fn respond(&mut self, tx: ServerTx, response: Response) {
        self.outputs.push_back(LegOutput::Respond { tx, response });
    }

    fn send(&mut self, request: Request) {
        self.outputs.push_back(LegOutput::Request { flow: self.setup.flow.clone(), request });
    }
}
