//! What a log may show of something personal: enough to tell two apart on one line, not enough to call anybody.

use std::fmt;

/// Shows a phone number or user name as its length and last two characters: `5…34`.
pub struct Number<'a>(pub &'a str);

impl fmt::Display for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.0.chars().count();
        if length < 6 {
            return write!(f, "{length}…");
        }
        let tail: String = self.0.chars().skip(length - 2).collect();
        write!(f, "{length}…{tail}")
    }
}

impl fmt::Debug for Number<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether a text holds what a log must not: a SIP or tel URI, or seven and more digits in a row outside of an id.
///
/// Tests use it on captured logs. UUIDs, timestamps and decimal fractions are looked through.
pub fn looks_personal(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    if ["sip:", "sips:", "tel:"].iter().any(|scheme| lower.contains(scheme)) {
        return true;
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || "+-.:_".contains(c))).any(|word| {
        word.trim_start_matches('+').len() >= 7
            && word.trim_start_matches('+').bytes().all(|b| b.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_hidden_and_found() {
        assert_eq!(Number("+4930123456").to_string(), "11…56");
        assert_eq!(Number("1001").to_string(), "4…");
        assert!(looks_personal("call to +4930123456 failed"));
        assert!(looks_personal("bad contact <sip:1001@192.0.2.1>"));
        assert!(!looks_personal(
            "leg 019a1b2c-3d4e-7f00-8123-456789abcdef ended at 2026-11-21T04:00:00.123456Z"
        ));
    }
}
