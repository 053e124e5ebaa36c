//! The document of `message-summary` (RFC 3842, section 5.2).

/// The state of a mailbox of voicemail: messages that were not heard yet, and those that were. `account` is its SIP URI, for phones
/// that watch several; it may be left out.
pub fn message_summary(account: Option<&str>, new: u32, old: u32) -> String {
    let waiting = if new > 0 { "yes" } else { "no" };
    let account = account.map(|uri| format!("Message-Account: {uri}\r\n")).unwrap_or_default();
    format!("Messages-Waiting: {waiting}\r\n{account}Voice-Message: {new}/{old} (0/0)\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lamp_is_lit_by_what_was_not_heard() {
        assert_eq!(message_summary(None, 2, 1), "Messages-Waiting: yes\r\nVoice-Message: 2/1 (0/0)\r\n");
        let account = Some("sip:1002@example.org");
        let expected =
            "Messages-Waiting: no\r\nMessage-Account: sip:1002@example.org\r\nVoice-Message: 0/3 (0/0)\r\n";
        assert_eq!(message_summary(account, 0, 3), expected);
    }
}
