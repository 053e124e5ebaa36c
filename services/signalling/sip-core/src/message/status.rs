//! The status codes of RFC 3261 section 21 (and of the extensions spoken here), with their phrases.
//!
//! This is the protocol's vocabulary, not an error table: which error leads to which status stands in
//! `sidetone_model::classify`. A status that a protocol rule demands by name (481, 491, 423...) is named here.

use std::fmt;

/// The status code of a response, 100 to 699.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Status(u16);

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $phrase:literal;)*) => {
        impl Status {
            $($(#[$doc])* pub const $name: Self = Self($code);)*

            /// The phrase that stands behind the code on a status line.
            pub fn phrase(self) -> &'static str {
                match self.0 {
                    $($code => $phrase,)*
                    100..=199 => "Progress",
                    200..=299 => "OK",
                    300..=399 => "Redirection",
                    400..=499 => "Request Failure",
                    500..=599 => "Server Failure",
                    _ => "Global Failure",
                }
            }
        }
    };
}

statuses! {
    /// RFC 3261 section 21.1.1.
    TRYING = 100, "Trying";
    /// RFC 3261 section 21.1.2.
    RINGING = 180, "Ringing";
    /// RFC 3261 section 21.1.5.
    SESSION_PROGRESS = 183, "Session Progress";
    /// RFC 3261 section 21.2.1.
    OK = 200, "OK";
    /// RFC 3515 section 2.4.2.
    ACCEPTED = 202, "Accepted";
    /// RFC 3261 section 21.3.3.
    MOVED_TEMPORARILY = 302, "Moved Temporarily";
    /// RFC 3261 section 21.4.1.
    BAD_REQUEST = 400, "Bad Request";
    /// RFC 3261 section 21.4.2.
    UNAUTHORIZED = 401, "Unauthorized";
    /// RFC 3261 section 21.4.4.
    FORBIDDEN = 403, "Forbidden";
    /// RFC 3261 section 21.4.5.
    NOT_FOUND = 404, "Not Found";
    /// RFC 3261 section 21.4.6.
    METHOD_NOT_ALLOWED = 405, "Method Not Allowed";
    /// RFC 3261 section 21.4.7.
    NOT_ACCEPTABLE = 406, "Not Acceptable";
    /// RFC 3261 section 21.4.8.
    PROXY_AUTHENTICATION_REQUIRED = 407, "Proxy Authentication Required";
    /// RFC 3261 section 21.4.9.
    REQUEST_TIMEOUT = 408, "Request Timeout";
    /// RFC 3261 section 21.4.11.
    REQUEST_ENTITY_TOO_LARGE = 413, "Request Entity Too Large";
    /// RFC 3261 section 21.4.13.
    UNSUPPORTED_MEDIA_TYPE = 415, "Unsupported Media Type";
    /// RFC 3261 section 21.4.14.
    UNSUPPORTED_URI_SCHEME = 416, "Unsupported URI Scheme";
    /// RFC 3261 section 21.4.15.
    BAD_EXTENSION = 420, "Bad Extension";
    /// RFC 4028 section 6.
    SESSION_INTERVAL_TOO_SMALL = 422, "Session Interval Too Small";
    /// RFC 3261 section 21.4.17.
    INTERVAL_TOO_BRIEF = 423, "Interval Too Brief";
    /// RFC 8224 section 6.2.2.
    USE_IDENTITY_HEADER = 428, "Use Identity Header";
    /// RFC 8224 section 6.2.2.
    BAD_IDENTITY_INFO = 436, "Bad Identity Info";
    /// RFC 8224 section 6.2.2.
    UNSUPPORTED_CREDENTIAL = 437, "Unsupported Credential";
    /// RFC 8224 section 6.2.2.
    INVALID_IDENTITY_HEADER = 438, "Invalid Identity Header";
    /// RFC 3261 section 21.4.18.
    TEMPORARILY_UNAVAILABLE = 480, "Temporarily Unavailable";
    /// RFC 3261 section 21.4.19.
    NO_SUCH_TRANSACTION = 481, "Call/Transaction Does Not Exist";
    /// RFC 3261 section 21.4.20.
    LOOP_DETECTED = 482, "Loop Detected";
    /// RFC 3261 section 21.4.21.
    TOO_MANY_HOPS = 483, "Too Many Hops";
    /// RFC 3261 section 21.4.24.
    BUSY_HERE = 486, "Busy Here";
    /// RFC 3261 section 21.4.25.
    REQUEST_TERMINATED = 487, "Request Terminated";
    /// RFC 3261 section 21.4.26.
    NOT_ACCEPTABLE_HERE = 488, "Not Acceptable Here";
    /// RFC 6665 section 8.3.2.
    BAD_EVENT = 489, "Bad Event";
    /// RFC 3261 section 21.4.27.
    REQUEST_PENDING = 491, "Request Pending";
    /// RFC 3261 section 21.5.1.
    SERVER_INTERNAL_ERROR = 500, "Server Internal Error";
    /// RFC 3261 section 21.5.2.
    NOT_IMPLEMENTED = 501, "Not Implemented";
    /// RFC 3261 section 21.5.4.
    SERVICE_UNAVAILABLE = 503, "Service Unavailable";
    /// RFC 3261 section 21.5.5.
    SERVER_TIMEOUT = 504, "Server Time-out";
    /// RFC 3261 section 21.5.6.
    VERSION_NOT_SUPPORTED = 505, "Version Not Supported";
    /// RFC 3261 section 21.6.2.
    DECLINE = 603, "Decline";
}

impl Status {
    /// A status by number; none outside 100 to 699.
    pub fn new(code: u16) -> Option<Self> {
        (100..700).contains(&code).then_some(Self(code))
    }

    /// The number.
    pub fn code(self) -> u16 {
        self.0
    }

    /// 1xx: not the last word.
    pub fn is_provisional(self) -> bool {
        self.0 < 200
    }

    /// 2xx.
    pub fn is_success(self) -> bool {
        (200..300).contains(&self.0)
    }

    /// 2xx to 6xx.
    pub fn is_final(self) -> bool {
        self.0 >= 200
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
