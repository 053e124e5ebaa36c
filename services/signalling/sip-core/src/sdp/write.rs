//! A description to SDP text.

use std::fmt::Write;
use std::net::IpAddr;

use sidetone_model::media::{Direction, MediaDescription};

use super::{Profile, RemoteSdp, SdpIdentity, proof};

/// An offer, or the answer to an offer with one stream.
pub fn write(media: &MediaDescription, identity: &SdpIdentity) -> String {
    let mut out = session_lines(media, identity);
    // Browsers bundle whatever there is, also one stream.
    let mid = media.ice.as_ref().map(|_| "0");
    proof::write_session(&mut out, media, mid);
    audio_lines(&mut out, media, Profile::of_offer(media), mid);
    out
}

/// The answer to `offer`: each of its m-lines has one in its place, all but the audio with port 0
/// (RFC 3264 section 6).
pub fn write_answer(media: &MediaDescription, offer: &RemoteSdp, identity: &SdpIdentity) -> String {
    let mut out = session_lines(media, identity);
    let mid = offer.mid.as_deref();
    proof::write_session(&mut out, media, mid.filter(|_| offer.bundled && media.rtp.port() != 0));
    for index in 0..=offer.rejected.len() {
        if index == offer.audio_index {
            audio_lines(&mut out, media, offer.profile, mid);
        } else if let Some(line) = offer.rejected.iter().find(|line| line.index == index) {
            let _ = write!(out, "m={} 0 {} {}\r\n", line.media, line.profile, line.formats);
            if let Some(mid) = &line.mid {
                let _ = write!(out, "a=mid:{mid}\r\n");
            }
        }
    }
    out
}

fn session_lines(media: &MediaDescription, identity: &SdpIdentity) -> String {
    let SdpIdentity { origin, session_id, version } = identity;
    let mut out = String::with_capacity(512);
    let _ = write!(
        out,
        "v=0\r\no=- {session_id} {version} IN {} {origin}\r\ns=-\r\nc=IN {} {}\r\nt=0 0\r\n",
        family(*origin),
        family(media.rtp.ip()),
        media.rtp.ip(),
    );
    out
}

fn audio_lines(out: &mut String, media: &MediaDescription, profile: Profile, mid: Option<&str>) {
    let _ = write!(out, "m=audio {} {}", media.rtp.port(), profile.token());
    for format in &media.formats {
        let _ = write!(out, " {}", format.payload_type);
    }
    if media.formats.is_empty() {
        // A refused stream repeats a format; any will do (RFC 3264 section 6).
        out.push_str(" 0");
    }
    out.push_str("\r\n");
    if let Some(mid) = mid {
        let _ = write!(out, "a=mid:{mid}\r\n");
    }
    if media.rtp.port() == 0 {
        return;
    }
    for format in &media.formats {
        let (pt, name, rate) = (format.payload_type, format.encoding.name(), format.clock_rate_hz);
        let _ = write!(out, "a=rtpmap:{pt} {name}/{rate}");
        if format.channels > 1 {
            let _ = write!(out, "/{}", format.channels);
        }
        out.push_str("\r\n");
        if let Some(parameters) = &format.parameters {
            // Parameters come from elsewhere; a line break in them would be a line of its own.
            let line: String = parameters.chars().filter(|c| !c.is_control()).collect();
            let _ = write!(out, "a=fmtp:{pt} {line}\r\n");
        }
    }
    for crypto in &media.crypto {
        let _ = write!(out, "a=crypto:{} {} inline:{}", crypto.tag, crypto.suite, crypto.inline);
        if !crypto.parameters.is_empty() {
            let _ = write!(out, " {}", crypto.parameters);
        }
        out.push_str("\r\n");
    }
    proof::write_media(out, media);
    if media.ptime_ms != 0 {
        let _ = write!(out, "a=ptime:{}\r\n", media.ptime_ms);
    }
    if let Some(rtcp) = media.rtcp {
        let _ = write!(out, "a=rtcp:{} IN {} {}\r\n", rtcp.port(), family(rtcp.ip()), rtcp.ip());
    }
    if media.rtcp_mux {
        out.push_str("a=rtcp-mux\r\n");
    }
    if media.wants_voip_metrics {
        out.push_str("a=rtcp-xr:voip-metrics\r\n");
    }
    out.push_str(match media.direction {
        Direction::SendRecv => "a=sendrecv\r\n",
        Direction::SendOnly => "a=sendonly\r\n",
        Direction::RecvOnly => "a=recvonly\r\n",
        Direction::Inactive => "a=inactive\r\n",
    });
}

fn family(address: IpAddr) -> &'static str {
    match address {
        IpAddr::V4(_) => "IP4",
        IpAddr::V6(_) => "IP6",
    }
}
