//! What is taken out of a message before anybody reads it.
//!
//! Always: answers to challenges, keys of SRTP and passwords of ICE. Unless numbers may be shown, too: user parts of
//! addresses, telephone numbers and display names, which become the same pseudonym each time, so that a call can be followed
//! (`sip:~3fa2c1@host`); the values of header fields that are not known to name nobody; and bodies that are no SDP. Addresses
//! of machines stay, because without them a ladder tells nothing.

use aws_lc_rs::hmac;

use super::head::{field, is};

/// Takes out what is personal.
#[derive(Debug)]
pub(crate) struct Redactor {
    key: hmac::Key,
}

impl Redactor {
    /// All replicas that share a secret give the same person the same pseudonym.
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        let master = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&master, b"sidetone ladder pseudonyms");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, derived.as_ref()) }
    }

    /// The message as it may be shown.
    pub(crate) fn redact(&self, message: &[u8], show_numbers: bool) -> Vec<u8> {
        rewritten(message, (!show_numbers).then_some(self))
    }

    fn header(&self, line: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
        let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
        if STRUCTURE.contains(&lower.as_str()) {
            line.to_vec()
        } else if ADDRESSES.contains(&lower.as_str()) {
            [name, b": ", self.addresses(value).as_slice()].concat()
        } else {
            [name, format!(": ({} bytes)", value.len()).as_bytes()].concat()
        }
    }

    /// Hides user parts behind `sip:`, `sips:` and `tel:`, and whatever stands in quotes or before an angle bracket.
    fn addresses(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = without_names(text);
        while let Some((before, scheme, after)) = next_uri(&rest) {
            out.extend_from_slice(&rest[..before + scheme]);
            let tail = &rest[before + scheme..];
            out.extend(match after {
                Some(at) => [self.pseudonym(&tail[..at]).as_bytes(), &tail[at..at + 1]].concat(),
                None => Vec::new(),
            });
            rest = tail[after.map_or(0, |at| (at + 1).min(tail.len()))..].to_vec();
        }
        out.extend_from_slice(&rest);
        out
    }

    fn pseudonym(&self, user: &[u8]) -> String {
        // Parameters and a password of the user part go with it.
        let user = user.split(|byte| matches!(byte, b';' | b':')).next().unwrap_or_default();
        let tag = hmac::sign(&self.key, user);
        tag.as_ref().iter().take(3).fold("~".to_owned(), |text, byte| format!("{text}{byte:02x}"))
    }
}

/// The message without keys and passwords.
pub(super) fn without_secrets(message: &[u8]) -> Vec<u8> {
    rewritten(message, None)
}

/// The message without keys and passwords; with `hide` also without what names somebody.
fn rewritten(message: &[u8], hide: Option<&Redactor>) -> Vec<u8> {
    let head_end = message.windows(4).position(|w| w == b"\r\n\r\n").map_or(message.len(), |at| at + 4);
    let (head, body) = message.split_at(head_end);
    let mut out = Vec::with_capacity(message.len() + 64);
    let mut is_sdp = false;
    for (index, line) in unfolded(head).iter().enumerate() {
        let header = field(line).filter(|_| index > 0);
        match (header, hide) {
            (Some((name, value)), _) if is_credentials(name) => {
                let scheme = value.split(|byte| *byte == b' ').next().unwrap_or_default();
                out.extend([name, b": ", scheme, b" (hidden)"].concat());
            }
            (Some((name, value)), hide) => {
                is_sdp |= is(name, b"content-type", b"c") && value.to_ascii_lowercase().ends_with(b"/sdp");
                out.extend(hide.map_or_else(|| line.clone(), |hide| hide.header(line, name, value)));
            }
            (None, Some(hide)) => out.extend(hide.addresses(line)),
            (None, None) => out.extend_from_slice(line),
        }
        out.extend_from_slice(b"\r\n");
    }
    if is_sdp || hide.is_none() || body.is_empty() {
        // A description may also be a part of a body of several (RFC 5621): its keys are hidden wherever they stand.
        sdp(body, hide.is_none(), &mut out);
    } else {
        out.extend_from_slice(format!("({} bytes)", body.len()).as_bytes());
    }
    out
}

fn is_credentials(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"authorization") || name.eq_ignore_ascii_case(b"proxy-authorization")
}

fn sdp(body: &[u8], show_numbers: bool, out: &mut Vec<u8>) {
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let secret = SDP_SECRETS.iter().find(|prefix| line.starts_with(prefix));
        let personal = SDP_PERSONAL.iter().find(|prefix| line.starts_with(prefix));
        match (secret, personal) {
            (Some(prefix), _) => out.extend([prefix, &b"(hidden)\r\n"[..]].concat()),
            (None, Some(prefix)) if !show_numbers => out.extend([prefix, &b"-\r\n"[..]].concat()),
            // The canonical name of a source is an address of its user for many phones (RFC 5576, section 6.1).
            _ if !show_numbers && line.starts_with(b"a=ssrc:") => {
                let from = line.iter().position(|byte| *byte == b' ');
                out.extend(from.map_or(line.to_vec(), |from| [&line[..from], b" (hidden)\r\n"].concat()));
            }
            _ if !show_numbers && line.starts_with(b"o=") => {
                let from = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
                out.extend([b"o=-", &line[from..]].concat());
            }
            _ => out.extend_from_slice(line),
        }
    }
}

/// Lines of a head, those that were folded (RFC 3261, section 7.3.1) in one piece.
fn unfolded(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in head.split(|byte| *byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match lines.last_mut() {
            Some(last) if line.starts_with(b" ") || line.starts_with(b"\t") => {
                last.push(b' ');
                last.extend_from_slice(line.trim_ascii_start());
            }
            _ => lines.push(line.to_vec()),
        }
    }
    // What follows the last line's end is no line.
    if head.ends_with(b"\n") {
        lines.pop();
    }
    lines
}

/// A text without what stands in quotes, and without words before an angle bracket.
fn without_names(text: &[u8]) -> Vec<u8> {
    let mut out: Vec<u8> = Vec::with_capacity(text.len());
    let (mut quoted, mut escaped) = (false, false);
    for byte in text {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'<' => {
                let keep = out.iter().rposition(|byte| *byte == b',').map_or(0, |at| at + 1);
                out.truncate(keep);
                out.push(b'<');
            }
            byte => out.push(*byte),
        }
    }
    out
}

/// Where the next URI's scheme begins, how long it is, and where behind it the user part ends; none for that when there is no
/// user part.
fn next_uri(text: &[u8]) -> Option<(usize, usize, Option<usize>)> {
    let lower = text.to_ascii_lowercase();
    let find =
        |scheme: &&[u8]| lower.windows(scheme.len()).position(|w| w == *scheme).map(|at| (at, scheme.len()));
    let (at, length) = [&b"sips:"[..], b"sip:", b"tel:"].iter().filter_map(find).min()?;
    let tail = &lower[at + length..];
    let is_tel = &lower[at..at + length] == b"tel:";
    let end = tail.iter().position(|byte| matches!(byte, b'>' | b' ' | b',' | b'<')).unwrap_or(tail.len());
    let user = match is_tel {
        true => Some(tail[..end].iter().position(|byte| *byte == b';').unwrap_or(end))
            .filter(|at| *at < tail.len()),
        false => tail[..end].iter().position(|byte| *byte == b'@'),
    };
    Some((at, length, user))
}

/// Header fields that name machines and numbers of messages, and nobody.
const STRUCTURE: [&str; 48] = [
    "via",
    "v",
    "max-forwards",
    "cseq",
    "call-id",
    "i",
    "route",
    "record-route",
    "path",
    "service-route",
    "allow",
    "supported",
    "k",
    "require",
    "proxy-require",
    "unsupported",
    "expires",
    "min-expires",
    "session-expires",
    "x",
    "min-se",
    "rseq",
    "rack",
    "reason",
    "event",
    "o",
    "subscription-state",
    "content-type",
    "c",
    "content-length",
    "l",
    "content-encoding",
    "e",
    "content-disposition",
    "user-agent",
    "server",
    "retry-after",
    "www-authenticate",
    "proxy-authenticate",
    "accept",
    "accept-encoding",
    "allow-events",
    "u",
    "date",
    "timestamp",
    "mime-version",
    "replaces",
    "privacy",
];

/// Header fields that hold addresses.
const ADDRESSES: [&str; 17] = [
    "from",
    "f",
    "to",
    "t",
    "contact",
    "m",
    "refer-to",
    "r",
    "referred-by",
    "b",
    "diversion",
    "history-info",
    "p-asserted-identity",
    "p-preferred-identity",
    "remote-party-id",
    "reply-to",
    "p-called-party-id",
];

const SDP_SECRETS: [&[u8]; 3] = [b"a=crypto:", b"a=ice-pwd:", b"a=key-mgmt:"];
const SDP_PERSONAL: [&[u8]; 5] = [b"s=", b"i=", b"u=", b"e=", b"p="];

#[cfg(test)]
mod tests;
