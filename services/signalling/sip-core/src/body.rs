//! Which part of a message's body is the session description: the body itself, or one part of several (RFC 3261 section 7.4,
//! RFC 5621). Gateways put ISUP beside it (SIP-I, ITU-T Q.1912.5), phones a location or a picture.

use bytes::Bytes;

use crate::message::{Request, Response};
use crate::sdp;

/// There is something that its sender wants understood and that is not (RFC 5621 section 8.1), or nothing that could be: 415.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unsupported;

/// The description that a request brings; none when it brings none.
///
/// # Errors
/// When the body is of another type or holds a part that must be understood.
pub fn of_request(request: &Request) -> Result<Option<Bytes>, Unsupported> {
    let body = request.body();
    if body.is_empty() {
        return Ok(None);
    }
    let part = Part {
        content_type: request.header("Content-Type").unwrap_or_default(),
        disposition: request.header("Content-Disposition").unwrap_or_default(),
        encoding: String::new(),
        content: body.clone(),
    };
    match part.kind() {
        // Only what says that it may be left out is.
        Kind::Other if part.handling().is_some_and(|handling| handling == "optional") => Ok(None),
        Kind::Other => Err(Unsupported),
        _ => description(&part, 0),
    }
}

/// The description that a response or an ACK brings; empty when it brings none. Nobody can be told that a part is not understood,
/// and a body that says nothing of its type is taken for a description.
pub(crate) fn of_response(response: &Response) -> Bytes {
    lenient(response.header("Content-Type"), response.body())
}

/// The same of an ACK.
pub(crate) fn of_ack(ack: &Request) -> Bytes {
    lenient(ack.header("Content-Type"), ack.body())
}

fn lenient(content_type: Option<String>, body: &Bytes) -> Bytes {
    let Some(content_type) = content_type.filter(|it| !it.trim().is_empty()) else { return body.clone() };
    let part =
        Part { content_type, disposition: String::new(), encoding: String::new(), content: body.clone() };
    match part.kind() {
        Kind::Description => body.clone(),
        Kind::Several { boundary, alternative } => {
            let parts = split(body, &boundary);
            let found = |part: &Part| match part.kind() {
                Kind::Description if part.is_of_session() => Some(part.content.clone()),
                Kind::Several { .. } => description(part, 1).ok().flatten(),
                _ => None,
            };
            let mut all = parts.iter().filter_map(found);
            (if alternative { all.next_back() } else { all.next() }).unwrap_or_default()
        }
        Kind::Other => Bytes::new(),
    }
}

/// What a part is to us.
enum Kind {
    Description,
    Several {
        boundary: String,
        /// The same thing in several ways, the best last (RFC 2046 section 5.1.4).
        alternative: bool,
    },
    Other,
}

/// A body, or a part of one.
struct Part {
    content_type: String,
    disposition: String,
    encoding: String,
    content: Bytes,
}

impl Part {
    fn kind(&self) -> Kind {
        let plain =
            ["", "7bit", "8bit", "binary"].iter().any(|plain| self.encoding.eq_ignore_ascii_case(plain));
        let media = first_word(&self.content_type);
        if media == sdp::CONTENT_TYPE && plain {
            return Kind::Description;
        }
        match (media.strip_prefix("multipart/"), parameter(&self.content_type, "boundary")) {
            (Some(subtype), Some(boundary)) if is_boundary(&boundary) => {
                Kind::Several { boundary, alternative: subtype == "alternative" }
            }
            _ => Kind::Other,
        }
    }

    /// An early session (RFC 3959) is not the one that is agreed upon.
    fn is_of_session(&self) -> bool {
        matches!(first_word(&self.disposition).as_str(), "" | "session")
    }

    /// What its sender wants done where it is not understood, in lower case.
    fn handling(&self) -> Option<String> {
        parameter(&self.disposition, "handling").map(|handling| handling.to_ascii_lowercase())
    }

    fn is_required(&self) -> bool {
        self.handling().is_some_and(|handling| handling == "required")
    }
}

/// The first description in a part, or of alternatives the last.
fn description(part: &Part, depth: usize) -> Result<Option<Bytes>, Unsupported> {
    match part.kind() {
        Kind::Description => Ok(part.is_of_session().then(|| part.content.clone())),
        Kind::Several { boundary, alternative } if depth < DEPTH_MAX => {
            let mut found = None;
            for inner in split(&part.content, &boundary) {
                match description(&inner, depth + 1) {
                    Ok(Some(content)) if alternative || found.is_none() => found = Some(content),
                    Ok(_) => {}
                    // One of several ways in which to say it need not be understood.
                    Err(Unsupported) if alternative => {}
                    Err(Unsupported) => return Err(Unsupported),
                }
            }
            Ok(found)
        }
        _ if part.is_required() => Err(Unsupported),
        _ => Ok(None),
    }
}

/// The parts between the delimiters (RFC 2046 section 5.1.1); what is before the first and behind the last is nothing. A last
/// delimiter that is missing is forgiven.
fn split(body: &Bytes, boundary: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let (mut at, mut begins) = (0, None);
    while at < body.len() && parts.len() < PARTS_MAX {
        let end =
            body[at..].iter().position(|byte| *byte == b'\n').map_or(body.len(), |length| at + length + 1);
        let Some(last) = delimiter(&body[at..end], boundary) else {
            at = end;
            continue;
        };
        // The line end before a delimiter is the delimiter's.
        parts.extend(begins.map(|from: usize| read_part(body.slice(from..without_line_end(body, from, at)))));
        begins = (!last).then_some(end);
        if last {
            return parts;
        }
        at = end;
    }
    if parts.len() < PARTS_MAX {
        parts.extend(begins.map(|from| read_part(body.slice(from..))));
    }
    parts
}

/// Whether a line is a delimiter, and then whether the last.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    match rest.trim_ascii_end() {
        b"" => Some(false),
        b"--" => Some(true),
        _ => None,
    }
}

fn without_line_end(body: &[u8], from: usize, end: usize) -> usize {
    let content = &body[from..end];
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    from + content.strip_suffix(b"\r").unwrap_or(content).len()
}

/// A part's header fields, up to the empty line, and what is behind it.
fn read_part(text: Bytes) -> Part {
    let mut part = Part {
        content_type: String::new(),
        disposition: String::new(),
        encoding: String::new(),
        content: Bytes::new(),
    };
    let mut at = 0;
    while at < text.len() {
        let end =
            text[at..].iter().position(|byte| *byte == b'\n').map_or(text.len(), |length| at + length + 1);
        let line = text[at..end].trim_ascii();
        at = end;
        if line.is_empty() {
            break;
        }
        let Some((name, value)) = std::str::from_utf8(line).ok().and_then(|line| line.split_once(':')) else {
            continue;
        };
        let field = match name.trim().to_ascii_lowercase().as_str() {
            "content-type" | "c" => &mut part.content_type,
            "content-disposition" => &mut part.disposition,
            "content-transfer-encoding" => &mut part.encoding,
            _ => continue,
        };
        value.trim().clone_into(field);
    }
    part.content = text.slice(at..);
    part
}

/// What stands before the parameters, in lower case.
fn first_word(value: &str) -> String {
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// A parameter's value, without quotes.
fn parameter(value: &str, name: &str) -> Option<String> {
    value.split(';').skip(1).find_map(|parameter| {
        let (known, value) = parameter.split_once('=')?;
        known.trim().eq_ignore_ascii_case(name).then(|| value.trim().trim_matches('"').to_owned())
    })
}

/// RFC 2046 section 5.1.1.
fn is_boundary(text: &str) -> bool {
    (1..=70).contains(&text.len())
}

/// What is taken, for an Accept header.
pub const ACCEPT: &str = "application/sdp, multipart/mixed, multipart/alternative";
/// Parts of one body that are looked at.
const PARTS_MAX: usize = 16;
/// How deep parts may be within parts.
const DEPTH_MAX: usize = 3;
