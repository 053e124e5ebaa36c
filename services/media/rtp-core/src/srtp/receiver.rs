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
    rtp_sources: Sources,
    rtcp_sources: Sources,
}

/// What came of each source under one key.
#[derive(Debug)]
struct Sources {
    followed: [Option<Source>; FOLLOWED],
    /// Of those that were given up only the newest index is kept: nothing up to it is taken any more.
    given_up: [GivenUp; GIVEN_UP_MAX],
    count: usize,
    clock: u32,
}

#[derive(Debug, Clone, Copy)]
struct Source {
    ssrc: u32,
    window: Window,
    /// When it was heard last, in packets of all sources.
    heard: u32,
}

#[derive(Debug, Clone, Copy, Default)]
struct GivenUp {
    newest: u64,
    ssrc: u32,
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
            rtp_sources: Sources::default(),
            rtcp_sources: Sources::default(),
        })
    }

    /// Where each source stands, of RTP and of RTCP.
    pub fn places(&self) -> (Vec<Place>, Vec<Place>) {
        (self.rtp_sources.places(), self.rtcp_sources.places())
    }

    /// Goes on where the same key was left elsewhere; of more sources than are followed the last ones are left out.
    #[must_use]
    pub fn resumed_at(mut self, rtp: &[Place], rtcp: &[Place]) -> Self {
        for (sources, places) in [(&mut self.rtp_sources, rtp), (&mut self.rtcp_sources, rtcp)] {
            // The one heard last is the first.
            for place in places.iter().take(SOURCES_MAX).rev() {
                sources.note(place.ssrc, Window::resume(place));
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
        let mut window = self.rtp_sources.window(ssrc)?;
        let index = window.guess(sequence(packet)).ok_or(SrtpError::Replayed)?;
        if !window.is_new(index) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtp.open_rtp(packet, header, index)?;
        window.note(index);
        self.rtp_sources.note(ssrc, window);
        Ok(length)
    }

    /// Opens an SRTCP packet where it lies; the length of the compound packet in it.
    ///
    /// # Errors
    /// As [`Self::open_rtp`].
    pub fn open_rtcp(&mut self, packet: &mut [u8]) -> Result<usize, SrtpError> {
        let index = self.rtcp.rtcp_index(packet)?;
        let ssrc = word(packet, 4);
        let mut window = self.rtcp_sources.window(ssrc)?;
        if !window.is_new(u64::from(index)) {
            return Err(SrtpError::Replayed);
        }
        let length = self.rtcp.open_rtcp(packet, index)?;
        window.note(u64::from(index));
        self.rtcp_sources.note(ssrc, window);
        Ok(length)
    }
}

impl Sources {
    /// What is known of a source. A new one is taken as long as all before it can be remembered.
    fn window(&self, ssrc: u32) -> Result<Window, SrtpError> {
        if let Some(source) = self.followed.iter().flatten().find(|source| source.ssrc == ssrc) {
            return Ok(source.window);
        }
        if let Some(old) = self.given_up().iter().find(|old| old.ssrc == ssrc) {
            return Ok(Window::resume(&Place { ssrc, newest: old.newest, seen: u128::MAX }));
        }
        let has_room = self.followed.iter().any(Option::is_none) || self.count < GIVEN_UP_MAX;
        if has_room { Ok(Window::default()) } else { Err(SrtpError::TooManySources) }
    }

    /// An authentic packet has come: only those move anything. The source that was silent for longest makes room.
    fn note(&mut self, ssrc: u32, window: Window) {
        self.clock = self.clock.wrapping_add(1);
        let source = Some(Source { ssrc, window, heard: self.clock });
        let is_here = |place: &Option<Source>| place.is_some_and(|known| known.ssrc == ssrc);
        if let Some(at) = self.followed.iter().position(is_here) {
            self.followed[at] = source;
            return;
        }
        if let Some(at) = self.given_up().iter().position(|old| old.ssrc == ssrc) {
            self.count -= 1;
            self.given_up[at] = self.given_up[self.count];
        }
        let silent_for = |place: &Option<Source>| {
            place.map_or(u32::MAX, |known| self.clock.wrapping_sub(known.heard).min(u32::MAX - 1))
        };
        let oldest = (0..FOLLOWED).max_by_key(|at| silent_for(&self.followed[*at])).unwrap_or(0);
        let before = std::mem::replace(&mut self.followed[oldest], source);
        if let Some(place) = before.and_then(|before| before.window.place(before.ssrc))
            && let Some(free) = self.given_up.get_mut(self.count)
        {
            *free = GivenUp { newest: place.newest, ssrc: place.ssrc };
            self.count += 1;
        }
    }

    /// Where each stands, the one heard last first.
    fn places(&self) -> Vec<Place> {
        let mut followed: Vec<&Source> = self.followed.iter().flatten().collect();
        followed.sort_by_key(|source| self.clock.wrapping_sub(source.heard));
        let followed = followed.into_iter().filter_map(|source| source.window.place(source.ssrc));
        let old = self.given_up().iter().rev();
        let old = old.map(|old| Place { ssrc: old.ssrc, newest: old.newest, seen: u128::MAX });
        followed.chain(old).collect()
    }

    fn given_up(&self) -> &[GivenUp] {
        &self.given_up[..self.count]
    }
}

impl Default for Sources {
    fn default() -> Self {
        Self { followed: [None; FOLLOWED], given_up: [GivenUp::default(); GIVEN_UP_MAX], count: 0, clock: 0 }
    }
}

/// Sources that are followed at once under one key, packets that come late included.
const FOLLOWED: usize = 4;
/// Sources that are remembered besides. PBXs change their source with each hold and transfer and keep their key.
const GIVEN_UP_MAX: usize = 60;
const SOURCES_MAX: usize = FOLLOWED + GIVEN_UP_MAX;
