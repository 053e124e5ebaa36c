//! What can be saved of a request that does not parse, so that its sender gets an answer.
//!
//! RFC 3261 section 8.2.6.2 names the fields that an answer copies: Via, From, To, Call-ID, CSeq. They are taken by
//! their names alone, line by line, without a look at their grammar.

use std::net::SocketAddr;

use bytes::Bytes;
use sipx_sip as sip;

use super::{DropReason, Status};

/// The header lines that an answer must copy.
#[derive(Clone)]
pub struct Salvage {
    via: Vec<Vec<u8>>,
    from: Vec<u8>,
    to: Vec<u8>,
    call_id: Vec<u8>,
    cseq: Vec<u8>,
}

impl std::fmt::Debug for Salvage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Salvage(..)")
    }
}

impl Salvage {
    /// Reads the five fields, or says why there can be no answer.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, DropReason> {
        let head_end = find(bytes, b"\r\n\r\n").unwrap_or(bytes.len()).min(HEAD_BYTES_MAX);
        let mut lines = unfold(&bytes[..head_end]).into_iter();
        let start = lines.next().unwrap_or_default();
        if start.starts_with(b"SIP/") {
            return Err(DropReason::BadResponse);
        }
        // A SIP request line ends with its version; anything else is another protocol or noise.
        if find(&start, b"SIP/").is_none() {
            return Err(DropReason::NotSip);
        }
        if start.starts_with(b"ACK ") {
            return Err(DropReason::BadAck);
        }
        let mut saved =
            Self { via: Vec::new(), from: Vec::new(), to: Vec::new(), call_id: Vec::new(), cseq: Vec::new() };
        for line in lines {
            let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
            let value = line[colon + 1..].trim_ascii().to_vec();
            match line[..colon].trim_ascii().to_ascii_lowercase().as_slice() {
                b"via" | b"v" if saved.via.len() < VIAS_MAX => saved.via.push(value),
                b"from" | b"f" if saved.from.is_empty() => saved.from = value,
                b"to" | b"t" if saved.to.is_empty() => saved.to = value,
                b"call-id" | b"i" if saved.call_id.is_empty() => saved.call_id = value,
                b"cseq" if saved.cseq.is_empty() => saved.cseq = value,
                _ => {}
            }
        }
        // The sender finds its transaction by Via and CSeq (RFC 3261 section 17.1.3); what else it left out it cannot
        // get back (RFC 4475 section 3.3.1).
        let complete = !saved.via.is_empty() && !saved.cseq.is_empty();
        complete.then_some(saved).ok_or(DropReason::NotSip)
    }

    pub(crate) fn response(&self, status: Status, source: SocketAddr, to_tag: &str) -> Bytes {
        let mut out = format!("SIP/2.0 {status} {}\r\n", status.phrase()).into_bytes();
        let mut line = |name: &str, value: &[u8]| {
            if value.is_empty() {
                return;
            }
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend(value.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n' | 0)));
            out.extend_from_slice(b"\r\n");
        };
        for (index, via) in self.via.iter().enumerate() {
            match stamp_via(via, source).filter(|_| index == 0) {
                Some(stamped) => line("Via", &stamped),
                None => line("Via", via),
            }
        }
        line("From", &self.from);
        let mut to = self.to.clone();
        if !to.is_empty() && find(&to.to_ascii_lowercase(), b"tag=").is_none() {
            to.extend_from_slice(b";tag=");
            to.extend_from_slice(to_tag.as_bytes());
        }
        line("To", &to);
        line("Call-ID", &self.call_id);
        line("CSeq", &self.cseq);
        line("Content-Length", b"0");
        out.extend_from_slice(b"\r\n");
        out.into()
    }
}

/// The Via row with the true source in its first hop; none when nothing is to be added or it is not a Via.
pub(crate) fn stamp_via(row: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let end = sip::headers::first_hop_end(row);
    let (hop, rest) = row.split_at_checked(end)?;
    let via = sip::Via::parse_one(hop).ok()?;
    let asks_port = via.rport().is_some();
    let same_host = matches!(&via.host, sip::Host::Ip(ip) if *ip == source.ip());
    if same_host && !asks_port {
        return None;
    }
    let mut parts = hop.split(|byte| *byte == b';');
    let mut out = parts.next()?.trim_ascii().to_vec();
    for part in parts {
        let name = part.split(|byte| *byte == b'=').next().unwrap_or_default().trim_ascii();
        // What the sender or a forger wrote there gives way to what we saw.
        if name.eq_ignore_ascii_case(b"received") || name.eq_ignore_ascii_case(b"rport") {
            continue;
        }
        out.push(b';');
        out.extend_from_slice(part.trim_ascii());
    }
    out.extend_from_slice(format!(";received={}", source.ip()).as_bytes());
    if asks_port {
        out.extend_from_slice(format!(";rport={}", source.port()).as_bytes());
    }
    out.extend_from_slice(rest);
    Some(out)
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// Lines without their ends, continuation lines joined by one space (RFC 3261 section 7.3.1).
fn unfold(head: &[u8]) -> Vec<Vec<u8>> {
    let mut lines: Vec<Vec<u8>> = Vec::new();
    for line in head.split(|byte| *byte == b'\n').take(LINES_MAX) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match lines.last_mut() {
            Some(last) if matches!(line.first(), Some(b' ' | b'\t')) => {
                last.push(b' ');
                last.extend_from_slice(line.trim_ascii());
            }
            _ => lines.push(line.to_vec()),
        }
    }
    lines
}

/// How far the fields are looked for.
const HEAD_BYTES_MAX: usize = 16 * 1024;
const LINES_MAX: usize = 512;
const VIAS_MAX: usize = 32;
