//! What SDP says about proving the other side: DTLS (RFC 5763, RFC 8122), ICE (RFC 8839), and the names of streams that go
//! with it (RFC 5888, RFC 9143).

use std::fmt::Write;

use sdp_types as sdp;
use sidetone_model::media::{Dtls, Fingerprint, Ice, MediaDescription, Setup};

/// The values of an attribute of a stream, or of the session where the stream has none.
pub(super) fn values<'a>(session: &'a sdp::Session, media: &'a sdp::Media, name: &str) -> Vec<&'a str> {
    let named = |attributes: &'a [sdp::Attribute]| -> Vec<&'a str> {
        attributes
            .iter()
            .filter(|attribute| attribute.attribute.eq_ignore_ascii_case(name))
            .map(|attribute| attribute.value.as_deref().unwrap_or_default().trim())
            .collect()
    };
    let own = named(&media.attributes);
    if own.is_empty() { named(&session.attributes) } else { own }
}

/// DTLS as a stream describes it; none without a fingerprint that can be read.
pub(super) fn dtls(session: &sdp::Session, media: &sdp::Media) -> Option<Box<Dtls>> {
    let lines = values(session, media, "fingerprint");
    let fingerprints: Vec<_> = lines.into_iter().filter_map(fingerprint).take(FINGERPRINTS_MAX).collect();
    let setup = match values(session, media, "setup").first() {
        Some(word) if word.eq_ignore_ascii_case("actpass") => Setup::Actpass,
        Some(word) if word.eq_ignore_ascii_case("passive") => Setup::Passive,
        // Also without a word (RFC 4145, section 4).
        _ => Setup::Active,
    };
    (!fingerprints.is_empty()).then(|| Box::new(Dtls { fingerprints, setup }))
}

/// RFC 8122, section 5: `a=fingerprint:hash AB:CD:...`.
fn fingerprint(value: &str) -> Option<Fingerprint> {
    let (hash, digits) = value.split_once(char::is_whitespace)?;
    let byte = |pair: &str| {
        let is_pair = pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
        if is_pair { u8::from_str_radix(pair, 16).ok() } else { None }
    };
    let value = digits.trim().split(':').map(byte).collect::<Option<Box<[u8]>>>()?;
    (value.len() <= HASH_BYTES_MAX).then(|| Fingerprint { hash: hash.to_ascii_lowercase().into(), value })
}

/// ICE as a stream describes it; none without a name and a password of lawful length (RFC 8839, section 5.4).
pub(super) fn ice(session: &sdp::Session, media: &sdp::Media) -> Option<Box<Ice>> {
    let value = |name, range: std::ops::RangeInclusive<usize>| {
        values(session, media, name).first().copied().filter(|text| range.contains(&text.len()))
    };
    let ufrag = value("ice-ufrag", 4..=256)?.into();
    let pwd = value("ice-pwd", 22..=256)?.into();
    let lite =
        session.attributes.iter().any(|attribute| attribute.attribute.eq_ignore_ascii_case("ice-lite"));
    Some(Box::new(Ice { ufrag, pwd, lite }))
}

/// The name of a stream.
pub(super) fn mid(media: &sdp::Media) -> Option<Box<str>> {
    let named = media.attributes.iter().find(|attribute| attribute.attribute.eq_ignore_ascii_case("mid"))?;
    let mid = named.value.as_deref()?.trim();
    (!mid.is_empty() && mid.len() <= MID_BYTES_MAX && !mid.contains(char::is_whitespace)).then(|| mid.into())
}

/// Whether a stream is in a BUNDLE group of the session.
pub(super) fn is_bundled(session: &sdp::Session, media: &sdp::Media) -> bool {
    let Some(mid) = mid(media) else { return false };
    let groups =
        session.attributes.iter().filter(|attribute| attribute.attribute.eq_ignore_ascii_case("group"));
    groups.filter_map(|group| group.value.as_deref()).any(|value| {
        let mut words = value.split_ascii_whitespace();
        words.next().is_some_and(|word| word.eq_ignore_ascii_case("BUNDLE"))
            && words.any(|word| *word == *mid)
    })
}

/// Lines of the session: ICE of which only answers come, and the bundle of the one stream that is taken.
pub(super) fn write_session(out: &mut String, media: &MediaDescription, bundled: Option<&str>) {
    if media.ice.as_ref().is_some_and(|ice| ice.lite) {
        out.push_str("a=ice-lite\r\n");
    }
    if let Some(mid) = bundled {
        let _ = write!(out, "a=group:BUNDLE {mid}\r\n");
    }
}

/// Lines of the stream.
pub(super) fn write_media(out: &mut String, media: &MediaDescription) {
    if let Some(ice) = &media.ice {
        let (ip, port) = (media.rtp.ip(), media.rtp.port());
        let _ = write!(out, "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\n", ice.ufrag, ice.pwd);
        // The one way in, with the priority of a host that has one address (RFC 8445, section 5.1.2.1).
        let _ = write!(out, "a=candidate:1 1 udp 2130706431 {ip} {port} typ host\r\na=end-of-candidates\r\n");
    }
    let Some(dtls) = &media.dtls else { return };
    for fingerprint in &dtls.fingerprints {
        let digits: Vec<String> = fingerprint.value.iter().map(|byte| format!("{byte:02X}")).collect();
        let _ = write!(out, "a=fingerprint:{} {}\r\n", fingerprint.hash, digits.join(":"));
    }
    out.push_str(match dtls.setup {
        Setup::Actpass => "a=setup:actpass\r\n",
        Setup::Active => "a=setup:active\r\n",
        Setup::Passive => "a=setup:passive\r\n",
    });
}

/// Fingerprints that are looked at, and bytes of the longest: SHA-512.
const FINGERPRINTS_MAX: usize = 8;
const HASH_BYTES_MAX: usize = 64;
/// The longest name of a stream that is repeated.
const MID_BYTES_MAX: usize = 64;
