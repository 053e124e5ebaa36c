//! What one side sends.

use super::cipher::Cipher;
use super::keys::{MasterKey, Suite};
use super::window::{Place, Window};
use super::{RTCP_HEADER_LEN, SrtpError, header_len, sequence};

/// Protects one stream that we send, and its reports.
#[derive(Debug)]
pub struct Sender {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    window: Window,
    rtcp_index: u32,
}

impl Sender {
    /// A stream under a new key.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`] when the key does not fit its suite.
    pub fn new(master: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self {
            suite: master.suite(),
            rtp: Cipher::rtp(master)?,
            rtcp: Cipher::rtcp(master)?,
            window: Window::default(),
            rtcp_index: 0,
        })
    }

    /// Where it stands: the RTP that went, if any did, and the index of the next SRTCP packet.
    pub fn place(&self) -> (Option<Place>, u32) {
        (self.window.place(0), self.rtcp_index)
    }

    /// Goes on where the same key was left elsewhere.
    #[must_use]
    pub fn resumed_at(mut self, rtp: Option<&Place>, rtcp_index: u32) -> Self {
        self.window = rtp.map_or_else(Window::default, Window::resume);
        self.rtcp_index = rtcp_index.min(INDEX_END);
        self
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Protects the RTP packet in the first `length` bytes of `buffer`; the new length. A sequence number that was used
    /// before is refused: under one key it would give both packets away.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`], [`SrtpError::NoRoom`], [`SrtpError::Replayed`], [`SrtpError::KeyUsedUp`].
    pub fn protect_rtp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        let header = header_len(buffer.get(..length).ok_or(SrtpError::Malformed)?)?;
        let index = self.window.guess(sequence(buffer)).ok_or(SrtpError::KeyUsedUp)?;
        if !self.window.is_new(index) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtp.seal_rtp(buffer, length, header, index)?;
        self.window.note(index);
        Ok(length)
    }

    /// Protects the compound RTCP packet in the first `length` bytes of `buffer`; the new length.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`], [`SrtpError::NoRoom`], [`SrtpError::KeyUsedUp`].
    pub fn protect_rtcp(&mut self, buffer: &mut [u8], length: usize) -> Result<usize, SrtpError> {
        if length < RTCP_HEADER_LEN || buffer.len() < length || buffer[0] >> 6 != 2 {
            return Err(SrtpError::Malformed);
        }
        let index = self.rtcp_index;
        if index == INDEX_END {
            return Err(SrtpError::KeyUsedUp);
        }
        let length = self.rtcp.seal_rtcp(buffer, length, index)?;
        self.rtcp_index += 1;
        Ok(length)
    }
}

/// SRTCP indices have 31 bits.
const INDEX_END: u32 = 1 << 31;
