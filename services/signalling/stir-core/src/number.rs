//! Telephone numbers in the form in which PASSporTs hold them.

use std::fmt;

/// A telephone number without `+` and separators (RFC 8224, section 8.3). Its `Debug` form hides it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TelephoneNumber(Box<str>);

impl TelephoneNumber {
    /// What the user part of a SIP URI, or a `tel:` URI's number, says: `+`, `-`, `.`, brackets and spaces are dropped, and
    /// parameters behind a semicolon. None when what is left is no number: 1 to 15 digits, `*` and `#`.
    pub fn canonical(text: &str) -> Option<Self> {
        let number = text.split(';').next().unwrap_or_default().trim();
        let digits: String = number.chars().filter(|c| !SEPARATORS.contains(c)).collect();
        Self::exactly(digits.strip_prefix('+').unwrap_or(&digits))
    }

    /// The same for a number that claims to be complete: with a leading `+`, and nothing but digits behind it.
    pub fn international(text: &str) -> Option<Self> {
        let number = Self::canonical(text).filter(|_| text.trim_start().starts_with('+'))?;
        number.0.bytes().all(|b| b.is_ascii_digit()).then_some(number)
    }

    /// A number that is canonical already, as in a PASSporT.
    pub(crate) fn exactly(text: &str) -> Option<Self> {
        let good = |b: u8| b.is_ascii_digit() || matches!(b, b'*' | b'#');
        ((1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(good)).then(|| Self(text.into()))
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for TelephoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TelephoneNumber(..)")
    }
}

const SEPARATORS: [char; 6] = ['-', '.', '(', ')', ' ', '\t'];
/// E.164, section 6.
const DIGITS_MAX: usize = 15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_and_parameters_are_dropped_and_words_are_no_numbers() {
        for (text, number) in [
            ("+12155551212", Some("12155551212")),
            ("+1 (215) 555-1212", Some("12155551212")),
            ("12155551212;npdi;rn=+12155550000", Some("12155551212")),
            ("*67", Some("*67")),
            ("alice", None),
            ("", None),
            ("+", None),
            ("++49", None),
            ("1234567890123456", None),
            ("12é", None),
        ] {
            assert_eq!(
                TelephoneNumber::canonical(text).as_ref().map(TelephoneNumber::as_str),
                number,
                "{text}"
            );
        }
        assert!(TelephoneNumber::international("+49301").is_some());
        for local in ["1001", "*67", "+*67", "0301"] {
            assert_eq!(TelephoneNumber::international(local), None, "{local}");
        }
    }
}
