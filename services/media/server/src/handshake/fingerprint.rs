//! Fingerprints of certificates (RFC 8122): which of several counts, and whether a certificate has it.

use aws_lc_rs::digest::{self, Algorithm};
use sidetone_model::media::Fingerprint;

/// Hash functions, strongest first. SHA-1 is for telephones from before RFC 8122, and counts only where there is no other;
/// MD5 and MD2 never do (section 5).
static HASHES: [(&str, &Algorithm); 5] = [
    ("sha-512", &digest::SHA512),
    ("sha-384", &digest::SHA384),
    ("sha-256", &digest::SHA256),
    ("sha-224", &digest::SHA224),
    ("sha-1", &digest::SHA1_FOR_LEGACY_USE_ONLY),
];

/// Of several fingerprints those by the strongest hash function that is known (RFC 8122, section 5.1).
pub(crate) fn strongest(all: &[Fingerprint]) -> Vec<Fingerprint> {
    let by = |name: &str, length: usize| -> Vec<Fingerprint> {
        let same = |one: &&Fingerprint| one.hash.eq_ignore_ascii_case(name) && one.value.len() == length;
        all.iter().filter(same).cloned().collect()
    };
    HASHES
        .iter()
        .map(|(name, hash)| by(name, hash.output_len()))
        .find(|same| !same.is_empty())
        .unwrap_or_default()
}

/// Whether a certificate in DER has one of the fingerprints.
pub(crate) fn matches(certificate: &[u8], any: &[Fingerprint]) -> bool {
    any.iter().any(|one| {
        let known = HASHES.iter().find(|(name, _)| one.hash.eq_ignore_ascii_case(name));
        known.is_some_and(|(_, hash)| digest::digest(hash, certificate).as_ref() == &*one.value)
    })
}

/// Our own way to say who we are.
pub(crate) fn sha_256(certificate: &[u8]) -> Fingerprint {
    let value = digest::digest(&digest::SHA256, certificate).as_ref().into();
    Fingerprint { hash: "sha-256".into(), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(hash: &str, certificate: &[u8]) -> Fingerprint {
        let (_, algorithm) = HASHES.iter().find(|(name, _)| *name == hash).unwrap();
        Fingerprint { hash: hash.into(), value: digest::digest(algorithm, certificate).as_ref().into() }
    }

    #[test]
    fn the_strongest_counts_and_the_others_do_not() {
        let (own, other) = (b"own".as_slice(), b"other".as_slice());
        for (name, _) in &HASHES {
            let said = strongest(&[of(name, own)]);
            assert!(matches(own, &said) && !matches(other, &said), "{name}");
        }
        // A weak one that fits does not make up for a strong one that does not.
        let said = strongest(&[of("sha-1", own), of("sha-256", other)]);
        assert!(!matches(own, &said) && matches(other, &said));
        // Several certificates may be announced.
        let said = strongest(&[of("sha-256", own), of("sha-256", other), of("sha-1", b"third")]);
        assert!(matches(own, &said) && matches(other, &said) && !matches(b"third", &said));
        let md5 = Fingerprint { hash: "md5".into(), value: [0; 16].into() };
        let cut = Fingerprint { value: [1; 3].into(), ..of("sha-256", own) };
        assert!(strongest(&[md5, cut]).is_empty());
        assert!(!matches(own, &[]));
    }
}
