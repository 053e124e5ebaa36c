//! The Warning header (RFC 3261 section 20.43): what whoever looks after a refused phone can do about it.
//!
//! It stands in refusals that a change over there would mend: 404, 480, 488 and 606. It goes to the phone, and so into traces and
//! tickets: no number and no address stands in it.

use sidetone_model::termination::{Cause, Termination};

use crate::sdp::{self, SdpError};

/// Warnings of RFC 3261, section 20.43.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
enum Code {
    /// The address in the description is of a kind that is not understood.
    AddressFormat = 301,
    /// A kind of media that is not available.
    MediaType = 304,
    /// A format of media that is not available.
    MediaFormat = 305,
    /// Anything else; the text says what.
    Miscellaneous = 399,
}

/// What goes with a refusal; none where nothing over there would mend it. What is known of the reason says more than the status.
pub(crate) fn of_refusal(status: u16, why: Option<&Termination>) -> Option<String> {
    let (code, usual) = match status {
        404 => (
            Code::Miscellaneous,
            "nobody here has this number; check what the dial plan of the phone makes of it",
        ),
        480 if why.is_some_and(|end| end.cause == Cause::Unavailable) => (
            Code::Miscellaneous,
            "the called user cannot be reached now; check that a phone is registered for it",
        ),
        480 => (Code::Miscellaneous, "the call was not taken; nothing is wrong with the phone that made it"),
        488 | 606 => (Code::MediaFormat, FORMATS),
        _ => return None,
    };
    let told = why.map(|end| &*end.text).filter(|text| !text.is_empty() && !is_personal(text));
    Some(value(code, told.unwrap_or(usual)))
}

/// What goes with the refusal of a description that cannot be used; none when it is no description at all.
pub(crate) fn of_description(error: &SdpError) -> Option<String> {
    let (code, text) = match error {
        SdpError::Malformed | SdpError::TooLarge => return None,
        SdpError::NoAudio => (
            Code::MediaType,
            "no audio that could be spoken; offer m=audio over RTP/AVP, or over SRTP with a=crypto or a=fingerprint",
        ),
        SdpError::NoAddress => {
            (Code::AddressFormat, "no address for the audio; put a c= line into the description")
        }
        SdpError::HostName => (
            Code::AddressFormat,
            "a name stands in c=, and names are not looked up; set the phone to give its IP address",
        ),
        SdpError::NoFormat => (Code::MediaFormat, FORMATS),
        SdpError::Unencrypted => (Code::Miscellaneous, sdp::UNENCRYPTED),
        SdpError::Encrypted => (Code::Miscellaneous, sdp::ENCRYPTED),
    };
    Some(value(code, text))
}

/// What goes with the refusal of a request to a domain that nobody has.
pub fn of_unknown_domain() -> String {
    value(Code::Miscellaneous, "this domain is nobody's here; check the SIP domain that is set in the phone")
}

/// What goes with the refusal of a change of media.
pub(crate) fn of_change() -> String {
    value(Code::MediaFormat, "the media offered now are not taken, and the session goes on as it was")
}

const FORMATS: &str =
    "none of the formats offered is taken; switch on one of opus, G722, PCMA, PCMU, GSM, L16";

fn value(code: Code, text: &str) -> String {
    let plain = text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX);
    let quoted: String =
        plain.flat_map(|c| matches!(c, '"' | '\\').then_some('\\').into_iter().chain([c])).collect();
    format!("{} {AGENT} \"{quoted}\"", code as u16)
}

/// Whether there is a number or an address in a text, which should not be.
fn is_personal(text: &str) -> bool {
    let digits = text.split(|c: char| !c.is_ascii_digit()).any(|run| run.len() >= NUMBER_DIGITS);
    digits || text.contains('@')
}

/// A pseudonym (RFC 3261, section 25.1): which of our hosts it was is nobody's affair.
const AGENT: &str = "sidetone";
const TEXT_CHARS_MAX: usize = 200;
/// Runs of digits that may be somebody's number.
const NUMBER_DIGITS: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_is_known_and_else_what_is_usual() {
        let why = |text: &str| Termination::new(Cause::NoCommonCodec).with_text(text);
        let told = of_refusal(488, Some(&why("this node takes \"opus\" alone"))).unwrap();
        assert_eq!(told, "305 sidetone \"this node takes \\\"opus\\\" alone\"");
        for hidden in ["", "+49301234 is not there", "ask ada@acme.example"] {
            assert!(
                of_refusal(404, Some(&why(hidden))).unwrap().starts_with("399 sidetone \"nobody here has")
            );
        }
        let away = Termination::new(Cause::Unavailable);
        assert!(of_refusal(480, Some(&away)).unwrap().contains("registered"));
        assert!(of_refusal(480, None).unwrap().contains("not taken"));
        assert_eq!((of_refusal(486, Some(&why("busy"))), of_refusal(503, None)), (None, None));
        let long = of_refusal(606, Some(&why(&"x".repeat(1000)))).unwrap();
        assert!(long.len() < 230 && long.ends_with("x\""), "{long}");
        assert!(!of_refusal(606, Some(&why("two\r\nlines: x"))).unwrap().contains(['\r', '\n']));
    }

    #[test]
    fn descriptions_are_told_apart() {
        let codes = [
            (SdpError::NoAudio, Some("304")),
            (SdpError::NoAddress, Some("301")),
            (SdpError::HostName, Some("301")),
            (SdpError::NoFormat, Some("305")),
            (SdpError::Unencrypted, Some("399")),
            (SdpError::Encrypted, Some("399")),
            (SdpError::Malformed, None),
            (SdpError::TooLarge, None),
        ];
        for (error, code) in codes {
            let told = of_description(&error);
            assert_eq!(told.as_deref().map(|told| &told[..3]), code, "{error}");
        }
    }
}
