//! Why a leg, a call or a recording ended.

/// Whose doing an end was: the label by which success rates are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It did what people wanted, and then they ended it.
    Success,
    /// The other side's doing: busy, no answer, refused, wrong input.
    Client,
    /// A carrier or another system behind us failed.
    Upstream,
    /// Our own fault.
    Server,
    /// It cannot be told, for example after a crash.
    Indeterminate,
}

/// What ended it. The set is closed; `text` of [`Termination`] holds what else is worth knowing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Hung up by a party after it was answered.
    Normal,
    /// Ended by an application or an operator through the API.
    Application,
    /// The caller gave up before an answer.
    Cancelled,
    /// Another device of the same user answered first.
    AnsweredElsewhere,
    /// The callee is busy.
    Busy,
    /// The callee did not answer in time.
    NoAnswer,
    /// The callee refused.
    Rejected,
    /// Nobody and nothing has that number.
    NotFound,
    /// The callee exists, but none of its devices can be reached now.
    Unavailable,
    /// The caller may not do that.
    Forbidden,
    /// No codec, or no kind of media, that both sides have.
    NoCommonCodec,
    /// The other side broke the protocol.
    ProtocolError,
    /// No answer on the network: a transaction or the session timed out.
    Timeout,
    /// The connection to the other side was lost.
    TransportFailure,
    /// No RTP and no refresh for longer than the idle time.
    MediaTimeout,
    /// The media node that carried it is gone.
    MediaNodeLost,
    /// The signalling replica that carried it is gone.
    SignallingLost,
    /// No port, no capacity, or a limit was reached. Trying again later makes sense.
    NoCapacity,
    /// The process was stopped before it could end in its own time.
    Shutdown,
    /// Our own fault, of any other kind.
    Internal,
    /// Its call goes on without it: transferred, sent on, merged, or taken over by another device.
    Diverted,
    /// The prompt that was to be heard is not there, or is no sound.
    PromptMissing,
}

impl Cause {
    /// Every cause, for tables and tests.
    pub const ALL: [Self; 22] = [
        Self::Normal,
        Self::Application,
        Self::Cancelled,
        Self::AnsweredElsewhere,
        Self::Busy,
        Self::NoAnswer,
        Self::Rejected,
        Self::NotFound,
        Self::Unavailable,
        Self::Forbidden,
        Self::NoCommonCodec,
        Self::ProtocolError,
        Self::Timeout,
        Self::TransportFailure,
        Self::MediaTimeout,
        Self::MediaNodeLost,
        Self::SignallingLost,
        Self::NoCapacity,
        Self::Shutdown,
        Self::Internal,
        Self::Diverted,
        Self::PromptMissing,
    ];

    /// The cause as a metric label and as it stands in CDRs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Application => "application",
            Self::Cancelled => "cancelled",
            Self::AnsweredElsewhere => "answered_elsewhere",
            Self::Busy => "busy",
            Self::NoAnswer => "no_answer",
            Self::Rejected => "rejected",
            Self::NotFound => "not_found",
            Self::Unavailable => "unavailable",
            Self::Forbidden => "forbidden",
            Self::NoCommonCodec => "no_common_codec",
            Self::ProtocolError => "protocol_error",
            Self::Timeout => "timeout",
            Self::TransportFailure => "transport_failure",
            Self::MediaTimeout => "media_timeout",
            Self::MediaNodeLost => "media_node_lost",
            Self::SignallingLost => "signalling_lost",
            Self::NoCapacity => "no_capacity",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
            Self::Diverted => "diverted",
            Self::PromptMissing => "prompt_missing",
        }
    }

    /// Whose doing it was.
    pub fn outcome(self) -> Outcome {
        match self {
            Self::Normal | Self::Application | Self::AnsweredElsewhere | Self::Diverted => Outcome::Success,
            Self::Cancelled
            | Self::Busy
            | Self::NoAnswer
            | Self::Rejected
            | Self::NotFound
            | Self::Unavailable
            | Self::Forbidden
            | Self::NoCommonCodec
            | Self::ProtocolError => Outcome::Client,
            Self::Timeout | Self::TransportFailure | Self::MediaTimeout => Outcome::Upstream,
            Self::MediaNodeLost
            | Self::NoCapacity
            | Self::Shutdown
            | Self::Internal
            | Self::PromptMissing => Outcome::Server,
            Self::SignallingLost => Outcome::Indeterminate,
        }
    }
}

impl Outcome {
    /// The outcome as a metric label and as it stands in CDRs.
    pub fn label(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::Server => "server",
            Self::Indeterminate => "indeterminate",
        }
    }
}

/// One end, with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Termination {
    /// What ended it.
    pub cause: Cause,
    /// The SIP status that the far side sent or was sent, where there was one.
    pub sip_status: Option<u16>,
    /// Words for the person who reads the CDR; no phone number and no address in it.
    pub text: Box<str>,
}

impl Termination {
    /// An end with that cause and no further words.
    pub fn new(cause: Cause) -> Self {
        Self { cause, sip_status: None, text: "".into() }
    }

    /// The same end with words.
    pub fn with_text(mut self, text: impl Into<Box<str>>) -> Self {
        self.text = text.into();
        self
    }

    /// The same end with the SIP status that carried it.
    pub fn with_sip_status(mut self, status: u16) -> Self {
        self.sip_status = Some(status);
        self
    }
}
