//! One packet under session keys. Where a packet's index comes from is the caller's business.

use aws_lc_rs::aead::{self, AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{EncryptingKey, EncryptionContext};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac};
use zeroize::Zeroizing;

use super::keys::{MasterKey, counter_key};
use super::{ENCRYPTED, RTCP_HEADER_LEN, SrtpError, word};

/// The session keys for RTP, or those for RTCP.
#[derive(Debug)]
pub(super) struct Cipher {
    mode: Mode,
    tag_len: usize,
}

#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "a context has one for its whole life, and its keys are used for every packet"
)]
enum Mode {
    Counter { key: EncryptingKey, salt: Salt, auth: hmac::Key },
    Galois { key: LessSafeKey, salt: Salt },
}

/// A session salt: 14 bytes, of which GCM uses the first 12.
struct Salt(Zeroizing<[u8; 14]>);

impl std::fmt::Debug for Salt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salt(..)")
    }
}

impl Cipher {
    pub(super) fn rtp(master: &MasterKey) -> Result<Self, SrtpError> {
        Self::new(master, 0, master.suite().rtp_tag_len())
    }

    pub(super) fn rtcp(master: &MasterKey) -> Result<Self, SrtpError> {
        Self::new(master, 3, master.suite().rtcp_tag_len())
    }

    /// `labels` is the first of the three labels: cipher key, authentication key, salt (RFC 3711, section 4.3.2).
    fn new(master: &MasterKey, labels: u8, tag_len: usize) -> Result<Self, SrtpError> {
        let suite = master.suite();
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..suite.key_len()];
        master.derive(labels, key)?;
        let mut salt = Zeroizing::new([0; 14]);
        master.derive(labels + 2, &mut salt[..suite.salt_len()])?;
        if suite.is_aead() {
            return Self::galois(key, salt);
        }
        let mut auth = Zeroizing::new([0; 20]);
        master.derive(labels + 1, &mut *auth)?;
        let auth = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &*auth);
        Ok(Self { mode: Mode::Counter { key: counter_key(key)?, salt: Salt(salt), auth }, tag_len })
    }

    pub(super) fn galois(key: &[u8], salt: Zeroizing<[u8; 14]>) -> Result<Self, SrtpError> {
        let algorithm = if key.len() == 32 { &AES_256_GCM } else { &AES_128_GCM };
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::KeyLength)?;
        Ok(Self { mode: Mode::Galois { key: LessSafeKey::new(key), salt: Salt(salt) }, tag_len: 16 })
    }

    pub(super) fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Protects the RTP packet in the first `length` bytes; the new length.
    pub(super) fn seal_rtp(
        &self,
        buffer: &mut [u8],
        length: usize,
        header: usize,
        index: u64,
    ) -> Result<usize, SrtpError> {
        let end = length + self.tag_len.max(ROLL_OVER_LEN);
        let packet = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        let ssrc = word(packet, 8);
        match &self.mode {
            Mode::Counter { key, salt, auth } => {
                encrypt(key, salt, ssrc, index, &mut packet[header..length])?;
                packet[length..length + ROLL_OVER_LEN].copy_from_slice(&roll_over(index));
                let tag = hmac::sign(auth, &packet[..length + ROLL_OVER_LEN]);
                packet[length..length + self.tag_len].copy_from_slice(&tag.as_ref()[..self.tag_len]);
            }
            Mode::Galois { key, salt } => {
                let (aad, rest) = packet.split_at_mut(header);
                let (body, place) = rest.split_at_mut(length - header);
                seal(key, nonce(salt, ssrc, index), aad, body, place)?;
            }
        }
        Ok(length + self.tag_len)
    }

    /// Opens a whole SRTP packet; the length of the RTP packet in it. Unless it is authentic, its bytes mean nothing afterwards.
    pub(super) fn open_rtp(&self, packet: &mut [u8], header: usize, index: u64) -> Result<usize, SrtpError> {
        let length =
            packet.len().checked_sub(self.tag_len).filter(|l| *l >= header).ok_or(SrtpError::Malformed)?;
        let ssrc = word(packet, 8);
        match &self.mode {
            Mode::Counter { key, salt, auth } => {
                let mut context = hmac::Context::with_key(auth);
                context.update(&packet[..length]);
                context.update(&roll_over(index));
                self.check(&context.sign(), &packet[length..])?;
                encrypt(key, salt, ssrc, index, &mut packet[header..length])?;
            }
            Mode::Galois { key, salt } => {
                let (aad, body) = packet.split_at_mut(header);
                let aad = Aad::from(&*aad);
                key.open_in_place(nonce(salt, ssrc, index), aad, body)
                    .map_err(|_| SrtpError::NotAuthentic)?;
            }
        }
        Ok(length)
    }

    /// Protects the compound RTCP packet in the first `length` bytes; the new length.
    pub(super) fn seal_rtcp(&self, buffer: &mut [u8], length: usize, index: u32) -> Result<usize, SrtpError> {
        let end = length + self.tag_len + INDEX_LEN;
        let packet = buffer.get_mut(..end).ok_or(SrtpError::NoRoom)?;
        let ssrc = word(packet, 4);
        let trailer = (ENCRYPTED | index).to_be_bytes();
        match &self.mode {
            Mode::Counter { key, salt, auth } => {
                encrypt(key, salt, ssrc, u64::from(index), &mut packet[RTCP_HEADER_LEN..length])?;
                packet[length..length + INDEX_LEN].copy_from_slice(&trailer);
                let tag = hmac::sign(auth, &packet[..length + INDEX_LEN]);
                packet[length + INDEX_LEN..].copy_from_slice(&tag.as_ref()[..self.tag_len]);
            }
            Mode::Galois { key, salt } => {
                let mut aad = [0; RTCP_HEADER_LEN + INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&trailer);
                let (body, place) = packet[RTCP_HEADER_LEN..].split_at_mut(length - RTCP_HEADER_LEN);
                seal(key, nonce(salt, ssrc, u64::from(index)), &aad, body, place)?;
                packet[length + self.tag_len..].copy_from_slice(&trailer);
            }
        }
        Ok(end)
    }

    /// The index of an SRTCP packet, which stands in it in the clear.
    pub(super) fn rtcp_index(&self, packet: &[u8]) -> Result<u32, SrtpError> {
        let shortest = RTCP_HEADER_LEN + self.tag_len + INDEX_LEN;
        let behind =
            if matches!(self.mode, Mode::Galois { .. }) { INDEX_LEN } else { INDEX_LEN + self.tag_len };
        if packet.len() < shortest || packet[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let trailer = word(packet, packet.len() - behind);
        // What is not encrypted was not agreed upon.
        if trailer & ENCRYPTED == 0 { Err(SrtpError::NotAuthentic) } else { Ok(trailer & !ENCRYPTED) }
    }

    /// Opens a whole SRTCP packet of the index that [`Self::rtcp_index`] found; the length of the packet in it.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], index: u32) -> Result<usize, SrtpError> {
        let length = packet.len() - self.tag_len - INDEX_LEN;
        let ssrc = word(packet, 4);
        match &self.mode {
            Mode::Counter { key, salt, auth } => {
                let tag = hmac::sign(auth, &packet[..length + INDEX_LEN]);
                self.check(&tag, &packet[length + INDEX_LEN..])?;
                encrypt(key, salt, ssrc, u64::from(index), &mut packet[RTCP_HEADER_LEN..length])?;
            }
            Mode::Galois { key, salt } => {
                let mut aad = [0; RTCP_HEADER_LEN + INDEX_LEN];
                aad[..RTCP_HEADER_LEN].copy_from_slice(&packet[..RTCP_HEADER_LEN]);
                aad[RTCP_HEADER_LEN..].copy_from_slice(&(ENCRYPTED | index).to_be_bytes());
                let body = &mut packet[RTCP_HEADER_LEN..length + self.tag_len];
                let nonce = nonce(salt, ssrc, u64::from(index));
                key.open_in_place(nonce, Aad::from(aad), body).map_err(|_| SrtpError::NotAuthentic)?;
            }
        }
        Ok(length)
    }

    fn check(&self, tag: &hmac::Tag, came: &[u8]) -> Result<(), SrtpError> {
        constant_time::verify_slices_are_equal(&tag.as_ref()[..self.tag_len], came)
            .map_err(|_| SrtpError::NotAuthentic)
    }
}

fn seal(
    key: &LessSafeKey,
    nonce: Nonce,
    aad: &[u8],
    body: &mut [u8],
    place: &mut [u8],
) -> Result<(), SrtpError> {
    let tag: aead::Tag =
        key.seal_in_place_separate_tag(nonce, Aad::from(aad), body).map_err(|_| SrtpError::KeyUsedUp)?;
    place[..tag.as_ref().len()].copy_from_slice(tag.as_ref());
    Ok(())
}

/// AES in counter mode, which is its own reverse (RFC 3711, section 4.1.1).
fn encrypt(
    key: &EncryptingKey,
    salt: &Salt,
    ssrc: u32,
    index: u64,
    body: &mut [u8],
) -> Result<(), SrtpError> {
    let mut iv = [0; 16];
    iv[..14].copy_from_slice(&*salt.0);
    exclusive_or(&mut iv[4..8], &ssrc.to_be_bytes());
    exclusive_or(&mut iv[8..14], &index.to_be_bytes()[2..]);
    let context = EncryptionContext::Iv128(FixedLength::from(iv));
    key.less_safe_encrypt(body, context).map(drop).map_err(|_| SrtpError::KeyUsedUp)
}

/// RFC 7714, sections 8.1 and 9.1: two zero bytes, the source, and the index in 48 bits, over the salt.
fn nonce(salt: &Salt, ssrc: u32, index: u64) -> Nonce {
    let mut iv = [0; 12];
    iv.copy_from_slice(&salt.0[..12]);
    exclusive_or(&mut iv[2..6], &ssrc.to_be_bytes());
    exclusive_or(&mut iv[6..12], &index.to_be_bytes()[2..]);
    Nonce::assume_unique_for_key(iv)
}

fn exclusive_or(bytes: &mut [u8], with: &[u8]) {
    for (byte, other) in bytes.iter_mut().zip(with) {
        *byte ^= other;
    }
}

fn roll_over(index: u64) -> [u8; ROLL_OVER_LEN] {
    ((index >> 16) as u32).to_be_bytes()
}

/// The roll-over counter is authenticated behind the packet, and not sent.
const ROLL_OVER_LEN: usize = 4;
/// The index of SRTCP is sent.
const INDEX_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// RFC 7714, sections 16.1.1 and 16.2.1, whose keys are session keys.
    #[test]
    fn galois_packets_are_those_of_the_rfc() {
        let plain = bytes(concat!(
            "8040f17b8041f8d35501a0b247616c6c696120657374206f6d6e6973206469766973",
            "6120696e207061727465732074726573"
        ));
        let sealed = [
            (
                16,
                concat!(
                    "8040f17b8041f8d35501a0b2f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d29",
                    "4e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce"
                ),
            ),
            (
                32,
                concat!(
                    "8040f17b8041f8d35501a0b232b1de78a822fe12ef9f78fa332e33aab18012389a58",
                    "e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13"
                ),
            ),
        ];
        for (key_len, sealed) in sealed {
            let key: Vec<u8> = (0..key_len).collect();
            let mut salt = Zeroizing::new([0; 14]);
            salt[..12].copy_from_slice(b"Quid pro quo");
            let cipher = Cipher::galois(&key, salt).unwrap();
            let mut buffer = plain.clone();
            buffer.resize(plain.len() + 16, 0);
            assert_eq!(cipher.seal_rtp(&mut buffer, plain.len(), 12, 0xf17b), Ok(buffer.len()));
            assert_eq!(buffer, bytes(sealed));
            assert_eq!(cipher.open_rtp(&mut buffer, 12, 0xf17b), Ok(plain.len()));
            assert_eq!(buffer[..plain.len()], plain);
        }
    }
}
