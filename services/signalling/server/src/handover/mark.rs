//! Who holds a dialog, as it stands at the end of our tag in it.

use std::fmt;

use aws_lc_rs::hmac;
use sidetone_model::ids::ReplicaId;

/// The last characters of every tag that a replica makes. They tell nobody outside how replicas are called, or how many there are.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Mark([u8; MARK_CHARS]);

impl Mark {
    /// That of a replica; `secret` is what all replicas share.
    pub(crate) fn of(secret: &[u8; 32], replica: &ReplicaId) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let text = format!("replica {replica}");
        let sum = hmac::sign(&key, text.as_bytes());
        let mut number = sum.as_ref().iter().take(8).fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte));
        let next = |_| {
            let digit = ALPHABET[(number % ALPHABET.len() as u64) as usize];
            number /= ALPHABET.len() as u64;
            digit
        };
        Self(std::array::from_fn(next))
    }

    /// What stands where a mark would stand in a tag.
    pub(crate) fn in_tag(tag: &str) -> Option<Self> {
        let bytes = tag.as_bytes();
        let at = bytes.len().checked_sub(MARK_CHARS)?;
        bytes[at..].try_into().ok().map(Self)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(str::from_utf8(&self.0).unwrap_or_default())
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mark({self})")
    }
}

/// 5 of 36 are 26 bits: two of a hundred replicas are alike once in 12,000 installations.
const MARK_CHARS: usize = 5;
const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_tells_its_replica_to_those_who_share_the_secret() {
        let (one, other) = (ReplicaId::new("signalling-0").unwrap(), ReplicaId::new("signalling-1").unwrap());
        let mark = Mark::of(&[7; 32], &one);
        assert_eq!(Mark::in_tag(&format!("0123456789abcdef{mark}")), Some(mark.clone()));
        assert_ne!(Mark::of(&[7; 32], &other), mark);
        assert_ne!(Mark::of(&[8; 32], &one), mark);
        assert_eq!(Mark::in_tag("abcd"), None);
        // Somebody else's tag may be any bytes.
        assert!(Mark::in_tag("ümlaut-und-mehr-ü").is_some());
    }
}
