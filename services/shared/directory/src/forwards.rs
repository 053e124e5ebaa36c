//! Where calls of a user go that the user does not take.

use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::directory::v1::forward::{Assistant, To, Voicemail};

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::numbers::is_number;

/// How a rule is written in configuration files and on the command line: `voicemail`, `assistant`, or a number.
///
/// # Errors
/// What was expected, for people.
pub fn forward_of(text: &str) -> Result<pb::Forward, &'static str> {
    let to = match text {
        "voicemail" => To::Voicemail(Voicemail {}),
        "assistant" => To::Assistant(Assistant {}),
        number if is_number(number) => To::Number(number.to_owned()),
        _ => return Err("expected voicemail, assistant or a number"),
    };
    Ok(pb::Forward { to: Some(to) })
}

/// The same with the seconds that it rings before, where they are given: `20:voicemail`. They are 0 otherwise.
///
/// # Errors
/// What was expected, for people.
pub fn timed_forward_of(text: &str) -> Result<(pb::Forward, u32), &'static str> {
    let Some((seconds, to)) = text.split_once(':') else { return Ok((forward_of(text)?, 0)) };
    let seconds = seconds.parse().ok().filter(|seconds| (1..=NO_ANSWER_S_MAX).contains(seconds));
    Ok((forward_of(to)?, seconds.ok_or("expected 1 to 600 seconds before the colon")?))
}

/// A rule as it is written; empty for none.
pub fn forward_text(forward: Option<&pb::Forward>) -> &str {
    match forward.and_then(|forward| forward.to.as_ref()) {
        Some(To::Voicemail(_)) => "voicemail",
        Some(To::Assistant(_)) => "assistant",
        Some(To::Number(number)) => number,
        None => "",
    }
}

impl Directory {
    /// A number need not be there yet, or can be one outside; that it leads back to the user is a mistake.
    pub(crate) async fn check_forwards(
        &self,
        tenant: &TenantId,
        id: &UserId,
        user: &pb::User,
    ) -> Result<(), DirectoryError> {
        let rules = [
            ("user.on_busy", &user.on_busy),
            ("user.on_no_answer", &user.on_no_answer),
            ("user.on_unregistered", &user.on_unregistered),
        ];
        for (field, rule) in rules {
            let Some(rule) = rule else { continue };
            let invalid = |reason| DirectoryError::Invalid { field, reason };
            let to = rule.to.as_ref().ok_or_else(|| invalid("expected where the call goes"))?;
            let To::Number(number) = to else { continue };
            if !is_number(number) {
                return Err(invalid("expected 1 to 64 of letters, digits and + * # . _ -"));
            }
            let there = self.resolve(tenant, number).await?.map(|there| there.destination);
            if number == id.as_str() || there == Some(Destination::User(id.clone())) {
                return Err(invalid("the number leads back to the user"));
            }
        }
        let no_answer_s = |reason| Err(DirectoryError::Invalid { field: "user.no_answer_s", reason });
        match (user.no_answer_s, &user.on_no_answer) {
            (0, _) | (1..=NO_ANSWER_S_MAX, Some(_)) => Ok(()),
            (1..=NO_ANSWER_S_MAX, None) => no_answer_s("only with on_no_answer"),
            _ => no_answer_s("expected at most 600 seconds"),
        }
    }
}

/// Nobody lets a phone ring for longer.
const NO_ANSWER_S_MAX: u32 = 600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_as_they_are_shown() {
        for text in ["voicemail", "assistant", "1003", "+4930123"] {
            assert_eq!(forward_text(Some(&forward_of(text).unwrap())), text);
        }
        let (rule, seconds) = timed_forward_of("20:voicemail").unwrap();
        assert_eq!((forward_text(Some(&rule)), seconds), ("voicemail", 20));
        assert_eq!(timed_forward_of("1003").unwrap().1, 0);
        for text in ["", "a b", "20:", ":1003", "0:1003", "601:1003", "x:1003"] {
            assert!(timed_forward_of(text).is_err(), "{text}");
        }
    }
}
