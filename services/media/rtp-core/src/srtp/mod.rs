//! SRTP and SRTCP in place (RFC 3711; RFC 6188 for AES-256; RFC 7714 for AES-GCM), as keyed by SDES (RFC 4568).
//!
//! A [`Sender`] protects what one side sends, a [`Receiver`] opens what the other side sends; each has a key of its own. Packets
//! are changed where they lie: the caller leaves [`OVERHEAD_MAX`] bytes behind a packet that is to be protected. Nothing
//! allocates after construction. What fails its authentication changes nothing.
//!
//! Key derivation rate 0, no master key identifier, no unencrypted SRTCP: that is what telephones use, and what is offered.

mod cipher;
mod keys;
mod receiver;
mod sender;
mod window;

pub use keys::{MasterKey, Suite};
pub use receiver::Receiver;
pub use sender::Sender;
pub use window::Place;

use thiserror::Error;

/// Why a packet was neither protected nor opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Error)]
pub enum SrtpError {
    /// Not an RTP or RTCP packet, or shorter than its header and tag.
    #[error("not a packet, or cut")]
    Malformed,
    /// The key is not as long as its suite wants.
    #[error("the key has the wrong length")]
    KeyLength,
    /// The buffer has no room for the tag.
    #[error("no room for the tag")]
    NoRoom,
    /// The packet was opened before, or is older than the window.
    #[error("replayed, or older than the window")]
    Replayed,
    /// Nobody with the key made this packet.
    #[error("not authentic")]
    NotAuthentic,
    /// One key has been used by more sources than are followed.
    #[error("too many sources under one key")]
    TooManySources,
    /// The key has protected as many packets as it may (RFC 3711, section 9.2).
    #[error("the key is used up")]
    KeyUsedUp,
}

/// Bytes that protection adds at the most: the tag, and the index of SRTCP.
pub const OVERHEAD_MAX: usize = 16 + 4;

/// Bytes of an RTP header with its sources and its extension, without looking at what is encrypted.
fn header_len(packet: &[u8]) -> Result<usize, SrtpError> {
    let fixed = packet.first_chunk::<12>().ok_or(SrtpError::Malformed)?;
    if fixed[0] >> 6 != 2 {
        return Err(SrtpError::Malformed);
    }
    let mut length = 12 + usize::from(fixed[0] & 0x0F) * 4;
    if fixed[0] & 0x10 != 0 {
        let words = packet.get(length + 2..length + 4).ok_or(SrtpError::Malformed)?;
        length += 4 + usize::from(u16::from_be_bytes([words[0], words[1]])) * 4;
    }
    if length <= packet.len() { Ok(length) } else { Err(SrtpError::Malformed) }
}

fn sequence(packet: &[u8]) -> u16 {
    u16::from_be_bytes([packet[2], packet[3]])
}

/// The big-endian word at a place that the caller has made sure of.
fn word(packet: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([packet[at], packet[at + 1], packet[at + 2], packet[at + 3]])
}

/// Bytes of an RTCP header with the sender's source: never encrypted.
const RTCP_HEADER_LEN: usize = 8;
/// The flag before the SRTCP index that says that the packet is encrypted.
const ENCRYPTED: u32 = 1 << 31;
