//! Suites, master keys, and the session keys derived from them (RFC 3711, section 4.3).

use std::fmt;

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use zeroize::{Zeroize as _, Zeroizing};

use super::SrtpError;

/// A crypto suite by its name in SDP (RFC 4568, section 6.2; RFC 6188, section 4; RFC 7714, section 14.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suite {
    /// AES-128 in counter mode, a tag of 80 bits.
    AesCm128HmacSha1_80,
    /// AES-128 in counter mode, a tag of 32 bits (80 for SRTCP).
    AesCm128HmacSha1_32,
    /// AES-256 in counter mode, a tag of 80 bits.
    AesCm256HmacSha1_80,
    /// AES-256 in counter mode, a tag of 32 bits (80 for SRTCP).
    AesCm256HmacSha1_32,
    /// AES-128 in Galois/counter mode.
    AeadAes128Gcm,
    /// AES-256 in Galois/counter mode.
    AeadAes256Gcm,
}

impl Suite {
    /// All suites, best first.
    pub const ALL: [Self; 6] = [
        Self::AeadAes256Gcm,
        Self::AeadAes128Gcm,
        Self::AesCm256HmacSha1_80,
        Self::AesCm128HmacSha1_80,
        Self::AesCm256HmacSha1_32,
        Self::AesCm128HmacSha1_32,
    ];

    /// The name in SDP.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AesCm128HmacSha1_80 => "AES_CM_128_HMAC_SHA1_80",
            Self::AesCm128HmacSha1_32 => "AES_CM_128_HMAC_SHA1_32",
            Self::AesCm256HmacSha1_80 => "AES_256_CM_HMAC_SHA1_80",
            Self::AesCm256HmacSha1_32 => "AES_256_CM_HMAC_SHA1_32",
            Self::AeadAes128Gcm => "AEAD_AES_128_GCM",
            Self::AeadAes256Gcm => "AEAD_AES_256_GCM",
        }
    }

    /// The suite of that name, which is compared with its case (RFC 4568, section 9.1).
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|suite| suite.name() == name)
    }

    /// Bytes of the master key.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_80 | Self::AesCm128HmacSha1_32 | Self::AeadAes128Gcm => 16,
            Self::AesCm256HmacSha1_80 | Self::AesCm256HmacSha1_32 | Self::AeadAes256Gcm => 32,
        }
    }

    /// Bytes of the master salt.
    pub const fn salt_len(self) -> usize {
        if self.is_aead() { 12 } else { 14 }
    }

    pub(super) const fn is_aead(self) -> bool {
        matches!(self, Self::AeadAes128Gcm | Self::AeadAes256Gcm)
    }

    /// Bytes of the tag of an RTP packet.
    pub(super) const fn rtp_tag_len(self) -> usize {
        match self {
            Self::AesCm128HmacSha1_32 | Self::AesCm256HmacSha1_32 => 4,
            Self::AesCm128HmacSha1_80 | Self::AesCm256HmacSha1_80 => 10,
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
        }
    }

    /// Bytes of the tag of an RTCP packet: never the short one (RFC 4568, section 6.2.2).
    pub(super) const fn rtcp_tag_len(self) -> usize {
        if self.is_aead() { 16 } else { 10 }
    }
}

/// Master key and salt of one direction. They are wiped when it is dropped, and never shown.
#[derive(Clone)]
pub struct MasterKey {
    suite: Suite,
    key: Zeroizing<[u8; 32]>,
    salt: Zeroizing<[u8; 14]>,
}

impl MasterKey {
    /// Key and salt as they stand behind `inline:` in SDP, decoded.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`] unless it is as long as the suite's key and salt together.
    pub fn new(suite: Suite, key_and_salt: &[u8]) -> Result<Self, SrtpError> {
        if key_and_salt.len() != suite.key_len() + suite.salt_len() {
            return Err(SrtpError::KeyLength);
        }
        let (key_bytes, salt_bytes) = key_and_salt.split_at(suite.key_len());
        let (mut key, mut salt) = (Zeroizing::new([0; 32]), Zeroizing::new([0; 14]));
        key[..key_bytes.len()].copy_from_slice(key_bytes);
        // A salt of 12 bytes is the upper part of one of 14 (RFC 7714, section 11).
        salt[..salt_bytes.len()].copy_from_slice(salt_bytes);
        Ok(Self { suite, key, salt })
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Fills `out` with the session key of a label (RFC 3711, section 4.3.1, with derivation rate 0).
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        let mut iv = Zeroizing::new([0; 16]);
        iv[..14].copy_from_slice(&*self.salt);
        iv[7] ^= label;
        out.zeroize();
        keystream(&self.key[..self.suite.key_len()], *iv, out)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("suite", &self.suite).finish_non_exhaustive()
    }
}

/// AES in counter mode under a key of 16 or 32 bytes, ready for many packets.
pub(super) fn counter_key(key: &[u8]) -> Result<EncryptingKey, SrtpError> {
    let algorithm = if key.len() == 32 { &AES_256 } else { &AES_128 };
    let key = UnboundCipherKey::new(algorithm, key).map_err(|_| SrtpError::KeyLength)?;
    EncryptingKey::ctr(key).map_err(|_| SrtpError::KeyLength)
}

fn keystream(key: &[u8], iv: [u8; 16], in_out: &mut [u8]) -> Result<(), SrtpError> {
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    counter_key(key)?.less_safe_encrypt(in_out, context).map(drop).map_err(|_| SrtpError::KeyLength)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes of a session key.
    fn derived(master: &MasterKey, label: u8, length: usize) -> String {
        let mut out = vec![0; length];
        master.derive(label, &mut out).unwrap();
        out.iter().map(|byte| format!("{byte:02X}")).collect()
    }

    /// RFC 6188, section 7.2: with 256 bits.
    #[test]
    fn long_session_keys_are_those_of_the_rfc() {
        let master =
            "F0F04914B513F2763A1B1FA130F10E2998F6F6E43E4309D1E622A0E332B9F1B63B04803DE51EE7C96423AB5B78D2";
        let byte = |at: usize| u8::from_str_radix(&master[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..master.len()).step_by(2).map(byte).collect();
        let master = MasterKey::new(Suite::AesCm256HmacSha1_80, &bytes).unwrap();
        let key = "5BA1064E30EC51613CAD926C5A28EF731EC7FB397F70A960653CAF06554CD8C4";
        assert_eq!(derived(&master, 0, 32), key);
        assert_eq!(derived(&master, 2, 14), "FA31791685CA444A9E07C6C64E93");
        assert_eq!(derived(&master, 1, 20), "FD9C32D39ED5FBB5A9DC96B30818454D1313DC05");
    }

    /// RFC 3711, appendix B.3.
    #[test]
    fn session_keys_are_those_of_the_appendix() {
        let master: Vec<u8> = (0..30).map(|n| MASTER[n]).collect();
        let master = MasterKey::new(Suite::AesCm128HmacSha1_80, &master).unwrap();
        assert_eq!(derived(&master, 0, 16), "C61E7A93744F39EE10734AFE3FF7A087");
        assert_eq!(derived(&master, 2, 14), "30CBBC08863D8C85D49DB34A9AE1");
        assert!(derived(&master, 1, 94).starts_with("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
        assert_eq!(format!("{master:?}"), "MasterKey { suite: AesCm128HmacSha1_80, .. }", "no key is shown");
    }

    const MASTER: [u8; 30] = [
        0xE1, 0xF9, 0x7A, 0x0D, 0x3E, 0x01, 0x8B, 0xE0, 0xD6, 0x4F, 0xA3, 0x2C, 0x06, 0xDE, 0x41, 0x39, 0x0E,
        0xC6, 0x75, 0xAD, 0x49, 0x8A, 0xFE, 0xEB, 0xB6, 0x96, 0x0B, 0x3A, 0xAB, 0xE6,
    ];
}
