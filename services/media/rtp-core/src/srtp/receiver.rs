//! What the other side sends.

use super::cipher::Cipher;
use super::keys::{MasterKey, Suite};
use super::window::{Place, Window};
use super::{SrtpError, header_len, sequence, word};

/// Opens what comes under one key. Each source has its own roll-over counter and window, so that the packets of one that was
/// given up cannot be played back.
#[derive(Debug)]
pub struct Receiver {
    suite: Suite,
    rtp: Cipher,
    rtcp: Cipher,
    rtp_sources: [Option<Source>; SOURCES_MAX],
    rtcp_sources: [Option<Source>; SOURCES_MAX],
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    window: Window,
}

impl Receiver {
    /// Nothing has come under this key yet.
    ///
    /// # Errors
    /// [`SrtpError::KeyLength`] when the key does not fit its suite.
    pub fn new(master: &MasterKey) -> Result<Self, SrtpError> {
        Ok(Self {
            suite: master.suite(),
            rtp: Cipher::rtp(master)?,
            rtcp: Cipher::rtcp(master)?,
            rtp_sources: [None; SOURCES_MAX],
            rtcp_sources: [None; SOURCES_MAX],
        })
    }

    /// Where each source stands, of RTP and of RTCP.
    pub fn places(&self) -> (Vec<Place>, Vec<Place>) {
        let of = |sources: &[Option<Source>]| {
            sources.iter().flatten().filter_map(|source| source.window.place(source.ssrc)).collect()
        };
        (of(&self.rtp_sources), of(&self.rtcp_sources))
    }

    /// Goes on where the same key was left elsewhere; of more sources than are followed the last ones are left out.
    #[must_use]
    pub fn resumed_at(mut self, rtp: &[Place], rtcp: &[Place]) -> Self {
        for (sources, places) in [(&mut self.rtp_sources, rtp), (&mut self.rtcp_sources, rtcp)] {
            for (source, place) in sources.iter_mut().zip(places) {
                *source = Some(Source { ssrc: place.ssrc, window: Window::resume(place) });
            }
        }
        self
    }

    /// Its suite.
    pub fn suite(&self) -> Suite {
        self.suite
    }

    /// Opens an SRTP packet where it lies; the length of the RTP packet in it.
    ///
    /// # Errors
    /// [`SrtpError::Malformed`], [`SrtpError::Replayed`], [`SrtpError::NotAuthentic`], [`SrtpError::TooManySources`]. The
    /// bytes mean nothing then; the state is as before.
    pub fn open_rtp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let header = header_len(packet)?;
        if packet.len() < header + self.rtp.tag_len() {
            return Err(SrtpError::Malformed);
        }
        let ssrc = word(packet, 8);
        let (at, mut window) = place(&self.rtp_sources, ssrc)?;
        let index = window.guess(sequence(packet)).ok_or(SrtpError::Replayed)?;
        if !window.is_new(index) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtp.open_rtp(packet, header, index)?;
        window.note(index);
        self.rtp_sources[at] = Some(Source { ssrc, window });
        Ok(length)
    }

    /// Opens an SRTCP packet where it lies; the length of the compound packet in it.
    ///
    /// # Errors
    /// As [`Self::open_rtp`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let index = self.rtcp.rtcp_index(packet)?;
        let ssrc = word(packet, 4);
        let (at, mut window) = place(&self.rtcp_sources, ssrc)?;
        if !window.is_new(u64::from(index)) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtcp.open_rtcp(packet, index)?;
        window.note(u64::from(index));
        self.rtcp_sources[at] = Some(Source { ssrc, window });
        Ok(length)
    }
}

/// Where a source is or will be kept, and what is known of it.
fn place(sources: &[Option<Source>], ssrc: u32) -> Result<(usize, Window), SrtpError> {
    let known = sources.iter().position(|source| source.is_some_and(|source| source.ssrc == ssrc));
    let at = known.or_else(|| sources.iter().position(Option::is_none)).ok_or(SrtpError::TooManySources)?;
    Ok((at, sources[at].map_or_else(Window::default, |source| source.window)))
}

/// Sources that are followed under one key. A telephone that changes its source more often needs a new key, too.
const SOURCES_MAX: usize = 8;
