//! Offer and answer (RFC 3264) between the far side's description and what a node can do.

use std::net::SocketAddr;

use sidetone_dsp::codec::{Codec, OpusSettings};
use sidetone_dsp::{Law, Rate};
use sidetone_model::media::{Direction, Encoding, Format, Holder, MediaDescription};

use crate::error::MediaError;

/// What one RTP payload type carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Payload {
    /// Sound.
    Audio(Codec),
    /// Telephone events (RFC 4733), with an RTP clock of so many ticks a ms: 8, or 48 beside Opus.
    Event(u8),
    /// Comfort noise (RFC 3389), with an RTP clock of so many ticks a ms: 8, or 16 beside L16 at 16 kHz.
    Noise(u8),
}

/// The payload types of one direction. As few as there are, a table is faster than a map and moves as a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PayloadTypes([Option<(u8, Payload)>; TYPES_MAX]);

/// What two sides have agreed upon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Agreement {
    /// What we accept, in our numbering.
    pub receive: PayloadTypes,
    /// What we may send, in the far side's numbering.
    pub send: PayloadTypes,
    /// Our way: whether we send and whether the far side may.
    pub direction: Direction,
    /// Packet time we send, in ms, 10 to 60: one that the codec can make.
    pub ptime_ms: u8,
    /// What the far side asks of an Opus encoder.
    pub opus: OpusWish,
    /// The far side refused the stream with port 0.
    pub refused: bool,
    /// The far side asks to be told how it is heard (RFC 3611, section 5.1).
    pub wants_voip_metrics: bool,
}

/// What the parameters of an Opus format ask of the sender (RFC 7587, section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OpusWish {
    /// The decoder makes use of in-band error correction.
    pub fec: bool,
    /// The highest bit rate it wants, in bit/s; none when it does not care.
    pub bitrate_max_bps: Option<u32>,
    /// It wants silence not to be sent.
    pub dtx: bool,
}

impl OpusWish {
    fn of(formats: &[Format]) -> Self {
        let opus = formats.iter().find(|format| format.encoding == Encoding::Opus);
        let parameters = opus.and_then(|format| format.parameters.as_deref()).unwrap_or("");
        let value = |name: &str| {
            let pairs = parameters.split(';').filter_map(|pair| pair.split_once('='));
            pairs
                .map(|(key, value)| (key.trim(), value.trim()))
                .find(|(key, _)| key.eq_ignore_ascii_case(name))
        };
        Self {
            fec: value("useinbandfec").is_some_and(|(_, value)| value == "1"),
            bitrate_max_bps: value("maxaveragebitrate").and_then(|(_, value)| value.parse().ok()),
            dtx: value("usedtx").is_some_and(|(_, value)| value == "1"),
        }
    }

    /// Our settings within what is wished.
    pub(crate) fn applied_to(self, ours: OpusSettings) -> OpusSettings {
        let bitrate_bps = ours.bitrate_bps.min(self.bitrate_max_bps.unwrap_or(u32::MAX));
        OpusSettings { bitrate_bps, fec: ours.fec && self.fec, ..ours }.in_range()
    }
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
    pub fn audio(&self) -> Option<(u8, Codec)> {
        self.codecs().next()
    }

    /// Every audio format, best first.
    pub fn codecs(&self) -> impl Iterator<Item = (u8, Codec)> {
        self.0.iter().flatten().filter_map(|(pt, payload)| match payload {
            Payload::Audio(codec) => Some((*pt, *codec)),
            Payload::Event(_) | Payload::Noise(_) => None,
        })
    }

    /// The telephone events that go with the first audio format, and the ticks of their clock in a ms. Those with the clock
    /// of the sound are best (RFC 4733, section 2.1); many phones have them at 8 kHz only.
    pub fn event(&self) -> Option<(u8, u8)> {
        let events = || {
            self.0.iter().flatten().filter_map(|(pt, payload)| match payload {
                Payload::Event(per_ms) => Some((*pt, *per_ms)),
                Payload::Audio(_) | Payload::Noise(_) => None,
            })
        };
        let clock = self.audio().map_or(8, |(_, codec)| clock_per_ms(codec));
        events().find(|(_, per_ms)| *per_ms == clock).or_else(|| events().next())
    }

    /// Everything, in order.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u8, Payload)> {
        self.0.iter().flatten().copied()
    }

    /// What formats say, as far as it is known here.
    pub(crate) fn of_formats(formats: &[Format]) -> Self {
        let mut types = Self::default();
        for format in formats.iter().take(FORMATS_MAX) {
            if let Some(payload) = payload_of(format) {
                types.push(format.payload_type, payload);
            }
        }
        types
    }

    fn forget_noise(&mut self) {
        for entry in &mut self.0 {
            *entry = entry.filter(|(_, payload)| !matches!(payload, Payload::Noise(_)));
        }
    }

    fn push(&mut self, payload_type: u8, payload: Payload) {
        if self.of(payload).is_none()
            && let Some(free) = self.0.iter_mut().find(|entry| entry.is_none())
        {
            *free = Some((payload_type, payload));
        }
    }
}

/// Audio formats, telephone events at three clocks and comfort noise at two.
const TYPES_MAX: usize = 12;
/// How many formats of a description are looked at.
const FORMATS_MAX: usize = 32;

/// Ticks of a codec's RTP clock in a ms.
pub(crate) const fn clock_per_ms(codec: Codec) -> u8 {
    (codec.clock_hz() / 1_000) as u8
}

/// A codec by its name in the configuration.
pub(crate) fn codec_named(name: &str) -> Option<Codec> {
    Some(match name.to_ascii_lowercase().as_str() {
        "opus" => Codec::Opus,
        "g722" => Codec::G722,
        "pcmu" => Codec::G711(Law::Mu),
        "pcma" => Codec::G711(Law::A),
        "gsm" => Codec::Gsm,
        "l16" => Codec::L16(Rate::Wide),
        "l16-8000" => Codec::L16(Rate::Narrow),
        _ => return None,
    })
}

/// The encoding of a codec.
pub(crate) const fn encoding_of(codec: Codec) -> Encoding {
    match codec {
        Codec::G711(Law::Mu) => Encoding::Pcmu,
        Codec::G711(Law::A) => Encoding::Pcma,
        Codec::G722 => Encoding::G722,
        Codec::Gsm => Encoding::Gsm,
        Codec::Opus => Encoding::Opus,
        Codec::L16(_) => Encoding::L16,
    }
}

/// Those of `configured` that a request's `encodings` (empty: everything) allow, in the order of the request.
pub(crate) fn allowed(configured: &[Codec], encodings: &[Encoding]) -> Vec<Codec> {
    if encodings.is_empty() {
        return configured.to_vec();
    }
    let mut chosen: Vec<Codec> = Vec::new();
    for encoding in encodings {
        let of_it = configured.iter().filter(|codec| encoding_of(**codec) == *encoding);
        let new: Vec<Codec> = of_it.filter(|codec| !chosen.contains(codec)).copied().collect();
        chosen.extend(new);
    }
    chosen
}

/// Nothing that is offered can be taken: the far end is told what could.
fn none_of(codecs: &[Codec]) -> MediaError {
    let formats = codecs.iter().map(|codec| our_format(Payload::Audio(*codec)));
    let mut names: Vec<String> = formats.map(|format| format.encoding.name().to_owned()).collect();
    names.dedup();
    MediaError::NoneOfCodecs(names.join(", ").into())
}

/// What a format carries, if it is one of ours.
fn payload_of(format: &Format) -> Option<Payload> {
    let narrow = format.clock_rate_hz == 8_000 && format.channels == 1;
    match format.encoding {
        // Two channels by name, whatever is in it (RFC 7587, section 7).
        Encoding::Opus => (format.clock_rate_hz == 48_000).then_some(Payload::Audio(Codec::Opus)),
        Encoding::L16 if format.channels == 1 => match Rate::of_hz(format.clock_rate_hz) {
            Some(rate @ (Rate::Narrow | Rate::Wide)) => Some(Payload::Audio(Codec::L16(rate))),
            _ => None,
        },
        Encoding::TelephoneEvent if matches!(format.clock_rate_hz, 8_000 | 16_000 | 48_000) => {
            Some(Payload::Event((format.clock_rate_hz / 1_000) as u8))
        }
        Encoding::Pcmu if narrow => Some(Payload::Audio(Codec::G711(Law::Mu))),
        Encoding::Pcma if narrow => Some(Payload::Audio(Codec::G711(Law::A))),
        Encoding::G722 if narrow => Some(Payload::Audio(Codec::G722)),
        Encoding::Gsm if narrow => Some(Payload::Audio(Codec::Gsm)),
        Encoding::ComfortNoise if matches!(format.clock_rate_hz, 8_000 | 16_000) && format.channels == 1 => {
            Some(Payload::Noise((format.clock_rate_hz / 1_000) as u8))
        }
        _ => None,
    }
}

/// Our offer from `local`: `codecs`, best first, telephone events at each clock that these have, and comfort noise for those
/// that cannot tell of silence by themselves.
pub(crate) fn offer(local: SocketAddr, codecs: &[Codec]) -> Result<MediaDescription, MediaError> {
    if codecs.is_empty() {
        return Err(MediaError::NoCommonCodec);
    }
    let mut formats: Vec<Format> = codecs.iter().map(|codec| our_format(Payload::Audio(*codec))).collect();
    let clocks = codecs.iter().map(|codec| clock_per_ms(*codec));
    // Phones that know one kind of events know it at 8 kHz.
    for clock in [8, 16, 48] {
        if clock == 8 || clocks.clone().any(|other| other == clock) {
            formats.push(our_format(Payload::Event(clock)));
        }
    }
    for clock in [8, 16] {
        if codecs.iter().any(|codec| pauses_by_noise(*codec) && clock_per_ms(*codec) == clock) {
            formats.push(our_format(Payload::Noise(clock)));
        }
    }
    Ok(describe(local, formats, Direction::SendRecv, 20))
}

/// Whether silence in a codec is told of by comfort noise. Opus and GSM have their own ways, and of G.722 it is told
/// in too many.
pub(crate) const fn pauses_by_noise(codec: Codec) -> bool {
    matches!(codec, Codec::G711(_) | Codec::L16(_))
}

/// Lets both sides send silence as sound: nothing is said of comfort noise, nor asked of Opus.
pub(crate) fn without_pauses(description: &mut MediaDescription, agreement: Option<&mut Agreement>) {
    description.formats.retain(|format| format.encoding != Encoding::ComfortNoise);
    for format in description.formats.iter_mut().filter(|format| format.encoding == Encoding::Opus) {
        format.parameters = Some(OPUS_PARAMETERS_WITHOUT_DTX.into());
    }
    if let Some(agreement) = agreement {
        agreement.receive.forget_noise();
        agreement.send.forget_noise();
        agreement.opus.dtx = false;
    }
}

/// What we ask of those who send us Opus (RFC 7587, section 6.1).
const OPUS_PARAMETERS: &str = "useinbandfec=1;usedtx=1";
const OPUS_PARAMETERS_WITHOUT_DTX: &str = "useinbandfec=1";

/// How we offer a payload. Payload types that are not for ever are ours to choose.
pub(crate) fn our_format(payload: Payload) -> Format {
    match payload {
        Payload::Audio(codec) => {
            let dynamic = match codec {
                Codec::L16(Rate::Narrow) => 97,
                Codec::L16(_) => 96,
                _ => 111,
            };
            let number = codec.static_payload_type().unwrap_or(dynamic);
            let mut format = Format::new(number, encoding_of(codec), codec.clock_hz());
            if codec == Codec::Opus {
                format.channels = 2;
                format.parameters = Some(OPUS_PARAMETERS.into());
            }
            format
        }
        Payload::Event(per_ms) => {
            let number = match per_ms {
                16 => 100,
                48 => 110,
                _ => 101,
            };
            let mut format = Format::new(number, Encoding::TelephoneEvent, u32::from(per_ms) * 1_000);
            format.parameters = Some("0-15".into());
            format
        }
        Payload::Noise(16) => Format::new(98, Encoding::ComfortNoise, 16_000),
        Payload::Noise(_) => Format::new(13, Encoding::ComfortNoise, 8_000),
    }
}

/// A payload under a payload type.
pub(crate) fn format_of(payload_type: u8, payload: Payload) -> Format {
    Format { payload_type, ..our_format(payload) }
}

/// Our answer to `remote`, and what is agreed by it: the first audio format of the offerer that is among `codecs`, the
/// telephone events that go with it, and comfort noise where the clock allows it.
pub(crate) fn answer(
    local: SocketAddr,
    remote: &MediaDescription,
    codecs: &[Codec],
) -> Result<(MediaDescription, Agreement), MediaError> {
    if remote.rtp.port() == 0 {
        return Ok(refused(local, remote));
    }
    let mut offered = PayloadTypes::default();
    let mut audio = None;
    for format in remote.formats.iter().take(FORMATS_MAX) {
        match payload_of(format) {
            Some(Payload::Audio(codec)) if audio.is_none() && codecs.contains(&codec) => {
                audio = Some(codec);
                offered.push(format.payload_type, Payload::Audio(codec));
            }
            Some(payload @ (Payload::Event(_) | Payload::Noise(_))) => {
                offered.push(format.payload_type, payload)
            }
            _ => {}
        }
    }
    let codec = audio.ok_or_else(|| none_of(codecs))?;
    let event = offered.event().map(|(_, per_ms)| Payload::Event(per_ms));
    let noise = matches!(clock_per_ms(codec), 8 | 16).then_some(Payload::Noise(clock_per_ms(codec)));
    let mut types = PayloadTypes::default();
    let mut formats = Vec::with_capacity(3);
    for payload in [Some(Payload::Audio(codec)), event, noise].into_iter().flatten() {
        let Some(payload_type) = offered.of(payload) else { continue };
        if types.get(payload_type).is_none() {
            types.push(payload_type, payload);
            formats.push(Format { payload_type, ..our_format(payload) });
        }
    }
    let direction = our_direction(remote);
    let ptime_ms = ptime(remote, codec);
    let mut description = describe(local, formats, direction, ptime_ms);
    description.rtcp_mux = remote.rtcp_mux;
    let opus = OpusWish::of(&remote.formats);
    let agreement = Agreement {
        receive: types,
        send: types,
        direction,
        ptime_ms,
        opus,
        refused: false,
        wants_voip_metrics: remote.wants_voip_metrics,
    };
    Ok((description, agreement))
}

/// The answer to a stream with port 0 (RFC 3264, section 6).
fn refused(local: SocketAddr, remote: &MediaDescription) -> (MediaDescription, Agreement) {
    let formats = remote.formats.iter().take(1).cloned().collect();
    let agreement = Agreement {
        receive: PayloadTypes::default(),
        send: PayloadTypes::default(),
        direction: Direction::Inactive,
        ptime_ms: 20,
        opus: OpusWish::default(),
        refused: true,
        wants_voip_metrics: false,
    };
    (describe(SocketAddr::new(local.ip(), 0), formats, Direction::Inactive, 20), agreement)
}

/// What is agreed when `remote` answers our offer `ours`. The far side may send every format that both name; we send
/// the first of its answer.
pub(crate) fn conclude(ours: &MediaDescription, remote: &MediaDescription) -> Result<Agreement, MediaError> {
    let refused = remote.rtp.port() == 0;
    let (mut receive, mut send) = (PayloadTypes::default(), PayloadTypes::default());
    for theirs in remote.formats.iter().take(FORMATS_MAX) {
        if let Some(payload) = payload_of(theirs)
            && let Some(mine) = ours.formats.iter().find(|format| payload_of(format) == Some(payload))
        {
            receive.push(mine.payload_type, payload);
            send.push(theirs.payload_type, payload);
        }
    }
    if send.audio().is_none() && !refused {
        return Err(MediaError::NoCommonCodec);
    }
    let direction = if refused { Direction::Inactive } else { our_direction(remote) };
    let ptime_ms = send.audio().map_or(20, |(_, codec)| ptime(remote, codec));
    let (opus, wants_voip_metrics) = (OpusWish::of(&remote.formats), remote.wants_voip_metrics);
    Ok(Agreement { receive, send, direction, ptime_ms, opus, refused, wants_voip_metrics })
}

/// The reverse of what the far side wants; an unspecified address wants nothing (RFC 3264, section 8.4).
fn our_direction(remote: &MediaDescription) -> Direction {
    let nowhere = remote.rtp.ip().is_unspecified() && remote.ice.is_none();
    match (remote.direction.reversed(), nowhere) {
        (Direction::SendRecv, true) => Direction::RecvOnly,
        (Direction::SendOnly, true) => Direction::Inactive,
        (direction, _) => direction,
    }
}

/// The far side's packet time as one that the codec can make.
fn ptime(remote: &MediaDescription, codec: Codec) -> u8 {
    codec.packet_time_ms(if remote.ptime_ms == 0 { 20 } else { remote.ptime_ms })
}

fn describe(rtp: SocketAddr, formats: Vec<Format>, direction: Direction, ptime_ms: u8) -> MediaDescription {
    MediaDescription {
        holder: Holder::Node,
        rtp,
        rtcp: None,
        rtcp_mux: false,
        formats,
        direction,
        ptime_ms,
        secured: false,
        crypto: Vec::new(),
        dtls: None,
        ice: None,
        wants_voip_metrics: false,
    }
}

#[cfg(test)]
#[path = "negotiate_tests.rs"]
mod tests;
