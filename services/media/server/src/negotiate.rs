//! Offer and answer (RFC 3264) between the far side's description and what a node can do.

use std::net::SocketAddr;

use sidetone_dsp::Law;
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};

use crate::error::MediaError;

/// What one RTP payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// G.711 at 8 kHz.
    Audio(Law),
    /// Telephone events (RFC 4733) at 8 kHz.
    Event,
}

/// The payload types of one direction. As few as there are, a table is faster than a map and moves as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayloadTypes([Option<(u8, Payload)>; 4]);

/// What two sides have agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// What we accept, in our numbering.
    pub receive: PayloadTypes,
    /// What we may send, in the far side's numbering.
    pub send: PayloadTypes,
    /// Our way: whether we send and whether the far side may.
    pub direction: Direction,
    /// Packet time we send, in ms, 10 to 60.
    pub ptime_ms: u8,
    /// The far side refused the stream with port 0.
    pub refused: bool,
}

impl PayloadTypes {
    /// What `payload_type` carries.
    pub fn get(&self, payload_type: u8) -> Option<Payload> {
        self.0.iter().flatten().find(|(pt, _)| *pt == payload_type).map(|(_, payload)| *payload)
    }

    /// The payload type under which `payload` goes.
    pub fn of(&self, payload: Payload) -> Option<u8> {
        self.0.iter().flatten().find(|(_, other)| *other == payload).map(|(pt, _)| *pt)
    }

    /// The first audio format.
    pub fn audio(&self) -> Option<(u8, Law)> {
        self.0.iter().flatten().find_map(|(pt, payload)| match payload {
            Payload::Audio(law) => Some((*pt, *law)),
            Payload::Event => None,
        })
    }

    fn push(&mut self, payload_type: u8, payload: Payload) {
        if self.of(payload).is_none()
            && let Some(free) = self.0.iter_mut().find(|entry| entry.is_none())
        {
            *free = Some((payload_type, payload));
        }
    }
}

/// How many formats of a description are looked at.
const FORMATS_MAX: usize = 32;
/// The payload type under which we offer telephone events.
const EVENT_PAYLOAD_TYPE: u8 = 101;
/// What we offer, best first.
const OFFERED: [Encoding; 3] = [Encoding::Pcmu, Encoding::Pcma, Encoding::TelephoneEvent];

/// What a format carries, if it is one of ours.
fn payload_of(format: &Format) -> Option<Payload> {
    if format.clock_rate_hz != 8000 || format.channels > 1 {
        return None;
    }
    match format.encoding {
        Encoding::Pcmu => Some(Payload::Audio(Law::Mu)),
        Encoding::Pcma => Some(Payload::Audio(Law::A)),
        Encoding::TelephoneEvent => Some(Payload::Event),
        Encoding::Other(_) => None,
    }
}

/// Whether `encodings` (empty: everything) allow it. Events ride along with any audio unless a list leaves them out
/// that names encodings other than audio.
fn allowed(format: &Format, encodings: &[Encoding]) -> bool {
    encodings.is_empty() || encodings.contains(&format.encoding) || !format.encoding.is_audio()
}

/// Our offer from `local`.
pub(crate) fn offer(local: SocketAddr, encodings: &[Encoding]) -> Result<MediaDescription, MediaError> {
    let chosen: Vec<Encoding> = if encodings.is_empty() {
        OFFERED.to_vec()
    } else {
        let audio = encodings.iter().filter(|e| e.is_audio() && OFFERED.contains(e)).cloned();
        audio.chain([Encoding::TelephoneEvent]).collect()
    };
    if !chosen.iter().any(Encoding::is_audio) {
        return Err(MediaError::NoCommonCodec);
    }
    let mut formats: Vec<Format> = Vec::new();
    for encoding in chosen {
        let format = our_format(encoding);
        if !formats.contains(&format) {
            formats.push(format);
        }
    }
    Ok(describe(local, formats, Direction::SendRecv, 20))
}

fn our_format(encoding: Encoding) -> Format {
    let payload_type = match encoding {
        Encoding::Pcma => 8,
        Encoding::TelephoneEvent => EVENT_PAYLOAD_TYPE,
        _ => 0,
    };
    let mut format = Format::new(payload_type, encoding, 8000);
    if payload_type == EVENT_PAYLOAD_TYPE {
        format.parameters = Some("0-15".into());
    }
    format
}

/// Our answer to `remote`, and what is agreed by it: the first audio format of the offerer that we have and may use.
pub(crate) fn answer(
    local: SocketAddr,
    remote: &MediaDescription,
    encodings: &[Encoding],
) -> Result<(MediaDescription, Agreement), MediaError> {
    if remote.rtp.port() == 0 {
        let refused = SocketAddr::new(local.ip(), 0);
        let formats = remote.formats.iter().take(1).cloned().collect();
        let agreement = Agreement {
            receive: PayloadTypes::default(),
            send: PayloadTypes::default(),
            direction: Direction::Inactive,
            ptime_ms: 20,
            refused: true,
        };
        return Ok((describe(refused, formats, Direction::Inactive, 20), agreement));
    }
    let offered = || remote.formats.iter().take(FORMATS_MAX);
    let is_ours = |f: &&Format| f.encoding.is_audio() && payload_of(f).is_some() && allowed(f, encodings);
    let audio = offered().find(is_ours).ok_or(MediaError::NoCommonCodec)?;
    let event =
        offered().find(|f| payload_of(f) == Some(Payload::Event) && f.payload_type != audio.payload_type);
    let mut types = PayloadTypes::default();
    let mut formats = Vec::with_capacity(2);
    for format in [Some(audio), event].into_iter().flatten() {
        if let Some(payload) = payload_of(format) {
            types.push(format.payload_type, payload);
            let mut ours = our_format(format.encoding.clone());
            ours.payload_type = format.payload_type;
            formats.push(ours);
        }
    }
    let direction = our_direction(remote);
    let ptime_ms = ptime(remote);
    let mut description = describe(local, formats, direction, ptime_ms);
    description.rtcp_mux = remote.rtcp_mux;
    Ok((description, Agreement { receive: types, send: types, direction, ptime_ms, refused: false }))
}

/// What is agreed when `remote` answers our offer `ours`. The far side may send every format that both name; we send
/// the first of its answer.
pub(crate) fn conclude(ours: &MediaDescription, remote: &MediaDescription) -> Result<Agreement, MediaError> {
    let refused = remote.rtp.port() == 0;
    let (mut receive, mut send) = (PayloadTypes::default(), PayloadTypes::default());
    for theirs in remote.formats.iter().take(FORMATS_MAX) {
        if let Some(payload) = payload_of(theirs)
            && let Some(mine) = ours.formats.iter().find(|format| format.same_media(theirs))
        {
            receive.push(mine.payload_type, payload);
            send.push(theirs.payload_type, payload);
        }
    }
    if send.audio().is_none() && !refused {
        return Err(MediaError::NoCommonCodec);
    }
    let direction = if refused { Direction::Inactive } else { our_direction(remote) };
    Ok(Agreement { receive, send, direction, ptime_ms: ptime(remote), refused })
}

/// The reverse of what the far side wants; an unspecified address wants nothing (RFC 3264, section 8.4).
fn our_direction(remote: &MediaDescription) -> Direction {
    match (remote.direction.reversed(), remote.rtp.ip().is_unspecified()) {
        (Direction::SendRecv, true) => Direction::RecvOnly,
        (Direction::SendOnly, true) => Direction::Inactive,
        (direction, _) => direction,
    }
}

/// The far side's packet time as one that we can make: a multiple of 10 ms.
fn ptime(remote: &MediaDescription) -> u8 {
    match remote.ptime_ms {
        0 => 20,
        ms => (ms / 10 * 10).clamp(10, 60),
    }
}

fn describe(rtp: SocketAddr, formats: Vec<Format>, direction: Direction, ptime_ms: u8) -> MediaDescription {
    MediaDescription { holder: Holder::Node, rtp, rtcp: None, rtcp_mux: false, formats, direction, ptime_ms }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
