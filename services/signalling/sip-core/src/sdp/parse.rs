//! SDP text to a description, tolerant where phones are known to be careless.
//!
//! Only the lines that matter here (v, c, m, a) reach the parser: phones leave out s= and t=, write words into the
//! numbers of o=, and put Latin-1 into names, and none of that stands in the way of a call.

use std::net::{IpAddr, SocketAddr};

use sdp_types as sdp;
use sidetone_model::media::{Crypto, Direction, Encoding, Format, Holder, MediaDescription};

use super::{Profile, RejectedMedia, RemoteSdp, SdpError, proof};

/// The audio stream of a body.
///
/// # Errors
/// When the body is no session description, or has no audio stream that we can use.
pub fn parse(body: &[u8]) -> Result<MediaDescription, SdpError> {
    parse_session(body).map(|session| session.audio)
}

/// The audio stream of a body with what an answer must say about the others.
///
/// # Errors
/// When the body is no session description, or has no audio stream that we can use.
pub fn parse_session(body: &[u8]) -> Result<RemoteSdp, SdpError> {
    if body.len() > BODY_BYTES_MAX {
        return Err(SdpError::TooLarge);
    }
    let session = sdp::Session::parse(&normalised(body)).map_err(|_| SdpError::Malformed)?;
    if session.medias.len() > MEDIA_MAX {
        return Err(SdpError::TooLarge);
    }
    let audio_index = choose_audio(&session).ok_or(SdpError::NoAudio)?;
    let media = &session.medias[audio_index];
    let rejected = session
        .medias
        .iter()
        .enumerate()
        .filter(|(index, _)| *index != audio_index)
        .map(|(index, media)| RejectedMedia {
            index,
            media: media.media.as_str().into(),
            profile: media.proto.as_str().into(),
            formats: media.fmt.trim().into(),
            mid: proof::mid(media),
        })
        .collect();
    Ok(RemoteSdp {
        audio: describe(&session, media)?,
        audio_index,
        profile: profile_of(media).unwrap_or_default(),
        mid: proof::mid(media),
        bundled: proof::is_bundled(&session, media),
        rejected,
    })
}

/// The lines that matter, in UTF-8, with v= in front.
fn normalised(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    for line in body.split(|byte| matches!(byte, b'\n' | b'\r')) {
        if !matches!(line, [b'v' | b'c' | b'm' | b'a', b'=', ..]) {
            continue;
        }
        let text = String::from_utf8_lossy(line);
        // Some phones pad their lines; runs of spaces are one separator in m=.
        if line[0] == b'm' {
            let words: Vec<&str> = text[2..].split_ascii_whitespace().collect();
            out.extend_from_slice(b"m=");
            out.extend_from_slice(words.join(" ").as_bytes());
        } else {
            out.extend_from_slice(text.trim_end().replace('\0', "").as_bytes());
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// The first audio line over RTP, or over SRTP with keys or a way to them, that is not refused; one that is refused when
/// there is no other.
fn choose_audio(session: &sdp::Session) -> Option<usize> {
    let has_keys = |media: &sdp::Media, profile: Profile| {
        !crypto(media, profile).is_empty() || proof::dtls(session, media).is_some()
    };
    let usable = |media: &sdp::Media| {
        media.media.eq_ignore_ascii_case("audio")
            && profile_of(media)
                .is_some_and(|profile| !profile.is_secured() || media.port == 0 || has_keys(media, profile))
    };
    let medias = &session.medias;
    medias
        .iter()
        .position(|media| usable(media) && media.port != 0)
        .or_else(|| medias.iter().position(usable))
}

fn profile_of(media: &sdp::Media) -> Option<Profile> {
    Profile::ALL.into_iter().find(|profile| media.proto.eq_ignore_ascii_case(profile.token()))
}

fn describe(session: &sdp::Session, media: &sdp::Media) -> Result<MediaDescription, SdpError> {
    let attributes = || media.attributes.iter().map(|a| (a.attribute.as_str(), a.value.as_deref()));
    let address = address(session, media)?;
    let value_of = |name: &str| {
        attributes()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.unwrap_or_default())
    };
    let formats = formats(media);
    if formats.is_empty() && media.port != 0 {
        return Err(SdpError::NoFormat);
    }
    let profile = profile_of(media).unwrap_or_default();
    let crypto = crypto(media, profile);
    let dtls = proof::dtls(session, media).filter(|_| profile.is_dtls() || crypto.is_empty());
    let ice = proof::ice(session, media);
    let said = direction(attributes())
        .or_else(|| direction(session.attributes.iter().map(|a| (a.attribute.as_str(), a.value.as_deref()))))
        .unwrap_or_default();
    Ok(MediaDescription {
        holder: Holder::Node,
        rtp: SocketAddr::new(address, media.port),
        rtcp: value_of("rtcp").and_then(|value| rtcp(value, address)),
        rtcp_mux: value_of("rtcp-mux").is_some(),
        formats,
        // With ICE the address stands for one that is not known yet (RFC 8839, section 4.2.1.1).
        direction: if ice.is_some() { said } else { held_by_address(said, address) },
        ptime_ms: value_of("ptime").and_then(ptime).unwrap_or(PTIME_DEFAULT_MS),
        secured: profile.is_secured(),
        crypto,
        dtls,
        ice,
        wants_voip_metrics: proof::values(session, media, "rtcp-xr")
            .iter()
            .flat_map(|value| value.split_ascii_whitespace())
            .any(|format| format.eq_ignore_ascii_case("voip-metrics")),
    })
}

/// RFC 4568, section 9.1: `a=crypto:tag suite inline:key [parameters]`. Lines with more than one key are left out, and all
/// where the profile says that keys come by DTLS.
fn crypto(media: &sdp::Media, profile: Profile) -> Vec<Crypto> {
    if profile.is_dtls() {
        return Vec::new();
    }
    let line = |value: &str| {
        let mut words = value.split_ascii_whitespace();
        let tag = words.next()?.parse().ok()?;
        let suite = words.next()?;
        let inline = words.next()?.strip_prefix("inline:")?;
        let fits = inline.len() <= INLINE_BYTES_MAX && !inline.contains(';');
        let parameters = words.collect::<Vec<_>>().join(" ").into();
        fits.then(|| Crypto { tag, suite: suite.into(), inline: inline.into(), parameters })
    };
    media
        .attributes
        .iter()
        .filter(|a| a.attribute.eq_ignore_ascii_case("crypto"))
        .filter_map(|a| line(a.value.as_deref()?))
        .take(CRYPTO_MAX)
        .collect()
}

/// RFC 8866 section 5.7: the media's own c-line goes before the session's.
fn address(session: &sdp::Session, media: &sdp::Media) -> Result<IpAddr, SdpError> {
    let connection = media.connections.first().or(session.connection.as_ref()).ok_or(SdpError::NoAddress)?;
    // A multicast suffix (/ttl) has no meaning between two phones.
    let text = connection.connection_address.split('/').next().unwrap_or_default();
    text.parse().map_err(|_| SdpError::HostName)
}

/// The hold of old phones, `c=0.0.0.0` (RFC 3264 section 8.4; `::` of RFC 6157): nothing is to be sent to them, whatever the
/// direction says.
fn held_by_address(direction: Direction, address: IpAddr) -> Direction {
    match direction {
        Direction::SendRecv if address.is_unspecified() => Direction::SendOnly,
        Direction::RecvOnly if address.is_unspecified() => Direction::Inactive,
        said => said,
    }
}

/// RFC 3605: `a=rtcp:port [nettype addrtype address]`.
fn rtcp(value: &str, rtp_address: IpAddr) -> Option<SocketAddr> {
    let mut words = value.split_ascii_whitespace();
    let port = words.next()?.parse().ok().filter(|port| *port != 0)?;
    let address = words.nth(2).and_then(|text| text.parse().ok()).unwrap_or(rtp_address);
    Some(SocketAddr::new(address, port))
}

fn ptime(value: &str) -> Option<u8> {
    // Some phones write fractions (RFC 8866 section 6.4 lets them).
    value.trim().split('.').next()?.parse().ok().filter(|ms| (1..=200).contains(ms))
}

fn direction<'a>(attributes: impl Iterator<Item = (&'a str, Option<&'a str>)>) -> Option<Direction> {
    attributes
        .filter_map(|(name, _)| match name.to_ascii_lowercase().as_str() {
            "sendrecv" => Some(Direction::SendRecv),
            "sendonly" => Some(Direction::SendOnly),
            "recvonly" => Some(Direction::RecvOnly),
            "inactive" => Some(Direction::Inactive),
            _ => None,
        })
        .next()
}

/// The format list in its order. A dynamic payload type without rtpmap says nothing and is left out.
fn formats(media: &sdp::Media) -> Vec<Format> {
    let values = |name: &'static str| {
        media
            .attributes
            .iter()
            .filter(move |a| a.attribute.eq_ignore_ascii_case(name))
            .filter_map(|a| a.value.as_deref())
            .filter_map(|value| value.trim().split_once(char::is_whitespace))
    };
    let mut out: Vec<Format> = Vec::new();
    for word in media.fmt.split_ascii_whitespace().take(FORMATS_MAX) {
        let Some(payload_type) = word.parse::<u8>().ok().filter(|pt| *pt < 128) else { continue };
        if out.iter().any(|format| format.payload_type == payload_type) {
            continue;
        }
        let mapped = values("rtpmap")
            .find(|(key, _)| *key == word)
            .and_then(|(_, value)| rtpmap(payload_type, value.trim()))
            .or_else(|| static_format(payload_type));
        let Some(mut format) = mapped else { continue };
        format.parameters =
            values("fmtp").find(|(key, _)| *key == word).map(|(_, value)| value.trim().into());
        out.push(format);
    }
    out
}

fn rtpmap(payload_type: u8, value: &str) -> Option<Format> {
    let mut parts = value.split('/');
    let encoding = Encoding::from_name(parts.next()?.trim());
    let clock_rate_hz = parts.next()?.trim().parse().ok().filter(|rate| *rate > 0)?;
    let channels = parts.next().and_then(|text| text.trim().parse().ok()).filter(|n| *n > 0).unwrap_or(1);
    Some(Format { channels, ..Format::new(payload_type, encoding, clock_rate_hz) })
}

/// RFC 3551 section 6, table 4: what has a payload type for ever.
fn static_format(payload_type: u8) -> Option<Format> {
    let other = |name: &str, rate| Some(Format::new(payload_type, Encoding::Other(name.into()), rate));
    match payload_type {
        0 => Some(Format::new(0, Encoding::Pcmu, 8000)),
        8 => Some(Format::new(8, Encoding::Pcma, 8000)),
        3 => Some(Format::new(3, Encoding::Gsm, 8000)),
        4 => other("G723", 8000),
        // The clock of G722 is 8 kHz by an old mistake (RFC 3551 section 4.5.2).
        9 => Some(Format::new(9, Encoding::G722, 8000)),
        13 => Some(Format::new(13, Encoding::ComfortNoise, 8000)),
        15 => other("G728", 8000),
        18 => other("G729", 8000),
        _ => None,
    }
}

/// A session description of a telephone fits many times over.
const BODY_BYTES_MAX: usize = 16 * 1024;
const MEDIA_MAX: usize = 16;
const FORMATS_MAX: usize = 64;
/// Keys that are looked at, and bytes of one with its lifetime and identifier.
const CRYPTO_MAX: usize = 8;
const INLINE_BYTES_MAX: usize = 128;
/// RFC 3551 section 4.2.
const PTIME_DEFAULT_MS: u8 = 20;
