//! Which numbers a certificate is good for (RFC 8226, section 9).

use crate::number::TelephoneNumber;

/// The TNAuthList of a certificate. `Debug` shows no number.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct TnAuthList {
    codes: Vec<Box<str>>,
    /// First number, and how many: all of the first one's length.
    ranges: Vec<(TelephoneNumber, u64)>,
    numbers: Vec<TelephoneNumber>,
}

impl std::fmt::Debug for TnAuthList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.ranges.len() + self.numbers.len();
        write!(f, "TnAuthList(codes {:?}, {entries} numbers and ranges)", self.codes)
    }
}

impl TnAuthList {
    /// Reads the extension's value, DER. None when it is malformed or empty.
    pub fn parse(der: &[u8]) -> Option<Self> {
        let (SEQUENCE, mut entries, []) = element(der)? else { return None };
        let mut list = Self::default();
        let mut count = 0;
        while !entries.is_empty() {
            let (tag, entry, rest) = element(entries)?;
            entries = rest;
            count += 1;
            if count > ENTRIES_MAX {
                return None;
            }
            match tag {
                SPC => list.codes.push(text(entry)?.into()),
                RANGE => list.ranges.push(range(entry)?),
                ONE => list.numbers.push(TelephoneNumber::exactly(text(entry)?)?),
                // What a later version adds is not for us.
                _ => {}
            }
        }
        (count > 0).then_some(list)
    }

    /// The codes of the service providers, as `709J`.
    pub fn codes(&self) -> impl Iterator<Item = &str> {
        self.codes.iter().map(AsRef::as_ref)
    }

    /// Whether the holder may speak for a number. A service provider is believed for every number: which ones are assigned to
    /// it is not in the certificate (RFC 8226, section 9; that is what attestation levels are for).
    pub fn covers(&self, number: &TelephoneNumber) -> bool {
        !self.codes.is_empty()
            || self.numbers.contains(number)
            || self.ranges.iter().any(|(first, count)| in_range(first, *count, number))
    }
}

fn in_range(first: &TelephoneNumber, count: u64, number: &TelephoneNumber) -> bool {
    let (Ok(low), Ok(value)) = (first.as_str().parse::<u64>(), number.as_str().parse::<u64>()) else {
        return false;
    };
    first.as_str().len() == number.as_str().len() && value >= low && value - low < count
}

/// `SEQUENCE { start TelephoneNumber, count INTEGER }`; what may be added behind them is left.
fn range(entry: &[u8]) -> Option<(TelephoneNumber, u64)> {
    let (SEQUENCE, inner, []) = element(entry)? else { return None };
    let (IA5_STRING, start, rest) = element(inner)? else { return None };
    let (INTEGER, count, _) = element(rest)? else { return None };
    let start = TelephoneNumber::exactly(std::str::from_utf8(start).ok()?)?;
    let significant = count.strip_prefix(&[0]).unwrap_or(count);
    if count.is_empty() || count[0] >= 0x80 || significant.len() > 8 {
        return None;
    }
    Some((start, significant.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte))))
}

/// What an explicit tag wraps: an IA5String of 1 to 64 characters.
fn text(entry: &[u8]) -> Option<&str> {
    let (IA5_STRING, text, []) = element(entry)? else { return None };
    let text = std::str::from_utf8(text).ok()?;
    ((1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())).then_some(text)
}

/// One element of DER: its tag, its content, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let [tag, first, rest @ ..] = der else { return None };
    let (length, rest) = match *first {
        short @ 0..=0x7f => (usize::from(short), rest),
        0x81 => (usize::from(*rest.first()?), rest.get(1..)?),
        0x82 => (usize::from(u16::from_be_bytes([*rest.first()?, *rest.get(1)?])), rest.get(2..)?),
        _ => return None,
    };
    Some((*tag, rest.get(..length)?, rest.get(length..)?))
}

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const IA5_STRING: u8 = 0x16;
/// The choices of TNEntry, tagged explicitly.
const SPC: u8 = 0xa0;
const RANGE: u8 = 0xa1;
const ONE: u8 = 0xa2;
const ENTRIES_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> TelephoneNumber {
        TelephoneNumber::exactly(text).unwrap()
    }

    #[test]
    fn a_provider_speaks_for_all_numbers_and_a_list_for_its_own() {
        let provider = TnAuthList::parse(b"\x30\x08\xa0\x06\x16\x04709J").unwrap();
        assert_eq!(provider.codes().collect::<Vec<_>>(), ["709J"]);
        assert!(provider.covers(&number("12155551212")));
        let list = TnAuthList::parse(
            b"\x30\x1d\xa2\x07\x16\x0549301\xa1\x12\x30\x10\x16\x0b12155551200\x02\x01\x14",
        );
        let list = list.unwrap();
        for (text, covered) in [
            ("49301", true),
            ("12155551200", true),
            ("12155551219", true),
            ("12155551220", false),
            ("12155551199", false),
            ("2155551210", false),
            ("4930", false),
        ] {
            assert_eq!(list.covers(&number(text)), covered, "{text}");
        }
        assert!(!format!("{list:?}").contains("49301"));
    }

    #[test]
    fn what_is_cut_or_empty_is_nothing() {
        let good = b"\x30\x08\xa0\x06\x16\x04709J";
        for length in 0..good.len() {
            assert_eq!(TnAuthList::parse(&good[..length]), None, "{length}");
        }
        for bad in
            [&b"\x30\x00"[..], b"\x30\x02\xa0\x00", b"\x31\x08\xa0\x06\x16\x04709J", b"\x30\x80\x00\x00"]
        {
            assert_eq!(TnAuthList::parse(bad), None, "{bad:x?}");
        }
    }
}
