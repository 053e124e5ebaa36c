//! SIP messages as lists of header lines (RFC 3261, section 7), written independently of the server's parser.

use super::token;

/// A request or response. Header names compare without case; compact forms are expanded when read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Request line or status line, without line end.
    pub start: String,
    /// Header fields in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Message {
    /// A message without headers.
    pub fn new(start: impl Into<String>) -> Self {
        Self { start: start.into(), headers: Vec::new(), body: Vec::new() }
    }

    /// Adds a header field at the end.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body and its type.
    #[must_use]
    pub fn with_body(mut self, kind: &str, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self.with("Content-Type", kind)
    }

    /// Reads one message; `None` when it is none. A body longer than Content-Length says is cut (RFC 3261, section 18.3).
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let end = find(bytes, b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n").skip_while(|line| line.is_empty());
        let mut message = Self::new(lines.next()?);
        if !message.start.contains("SIP/2.0") {
            return None;
        }
        for line in lines {
            if line.starts_with([' ', '\t']) {
                let (_, value) = message.headers.last_mut()?;
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            message.headers.push((expanded(name.trim()).to_owned(), value.trim().to_owned()));
        }
        let body = &bytes[end + 4..];
        let length =
            message.header("Content-Length").and_then(|value| value.parse().ok()).unwrap_or(body.len());
        message.body = body.get(..length)?.to_vec();
        Some(message)
    }

    /// How many bytes of a stream the first message takes: `Ok(None)` when more are needed, an error when the stream
    /// cannot be framed any more.
    pub fn frame(bytes: &[u8]) -> Result<Option<usize>, &'static str> {
        let Some(end) = find(bytes, b"\r\n\r\n") else { return Ok(None) };
        let head = std::str::from_utf8(&bytes[..end]).map_err(|_| "the head is not UTF-8")?;
        let length = head
            .split("\r\n")
            .filter_map(|line| line.split_once(':'))
            .find(|(name, _)| expanded(name.trim()).eq_ignore_ascii_case("Content-Length"))
            .map_or(Ok(0), |(_, value)| value.trim().parse::<usize>())
            .map_err(|_| "Content-Length is no number")?;
        let total = end + 4 + length;
        Ok((bytes.len() >= total).then_some(total))
    }

    /// The message as it is sent, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("Content-Length: {}\r\n\r\n", self.body.len()));
        let mut bytes = text.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// The first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|header| header.0.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }

    /// Every header field of that name.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let same = move |header: &&(String, String)| header.0.eq_ignore_ascii_case(name);
        self.headers.iter().filter(same).map(|(_, value)| value.as_str())
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.get(..3)?.parse().ok()
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason(&self) -> &str {
        self.start.strip_prefix("SIP/2.0 ").and_then(|rest| rest.get(4..)).unwrap_or("")
    }

    /// The method: of the request, or of the request that a response answers.
    pub fn method(&self) -> &str {
        match self.status() {
            Some(_) => self.header("CSeq").and_then(|value| value.split_whitespace().nth(1)).unwrap_or(""),
            None => self.start.split(' ').next().unwrap_or(""),
        }
    }

    /// The sequence number.
    pub fn cseq(&self) -> u32 {
        self.header("CSeq").and_then(|value| value.split_whitespace().next()?.parse().ok()).unwrap_or(0)
    }

    /// The branch of the topmost Via.
    pub fn branch(&self) -> &str {
        self.header("Via").and_then(|via| parameter(via, "branch")).unwrap_or("")
    }

    /// The tag of From or To.
    pub fn tag(&self, header: &str) -> Option<&str> {
        let value = self.header(header)?;
        parameter(value.rsplit_once('>').map_or(value, |(_, rest)| rest), "tag")
    }

    /// A response to this request with Via, From, To, Call-ID and CSeq copied (RFC 3261, section 8.2.6.2) and a To tag set.
    pub fn response(&self, status: u16, reason: &str, tag: &str) -> Self {
        let mut response = Self::new(format!("SIP/2.0 {status} {reason}"));
        for name in ["Via", "Record-Route", "From", "To", "Call-ID", "CSeq"] {
            for value in self.all(name) {
                let untagged = name == "To" && self.tag("To").is_none() && status > 100;
                let value = if untagged { format!("{value};tag={tag}") } else { value.to_owned() };
                response.headers.push((name.to_owned(), value));
            }
        }
        response
    }
}

/// The URI of a name-addr or addr-spec.
pub(crate) fn uri_of(value: &str) -> &str {
    match (value.find('<'), value.find('>')) {
        (Some(start), Some(end)) if start < end => &value[start + 1..end],
        _ => value.split(';').next().unwrap_or("").trim(),
    }
}

/// A parameter after semicolons.
pub(crate) fn parameter<'a>(value: &'a str, name: &str) -> Option<&'a str> {
    value.split(';').skip(1).find_map(|part| {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        key.trim().eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// A new branch with the magic cookie (RFC 3261, section 8.1.1.7).
pub(crate) fn branch() -> String {
    format!("z9hG4bK{}", token())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn expanded(name: &str) -> &str {
    match name {
        "v" | "V" => "Via",
        "f" | "F" => "From",
        "t" | "T" => "To",
        "i" | "I" => "Call-ID",
        "m" | "M" => "Contact",
        "l" | "L" => "Content-Length",
        "c" | "C" => "Content-Type",
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let message = Message::new("INVITE sip:1@x SIP/2.0")
            .with("Via", "SIP/2.0/UDP a;branch=z9hG4bK1;rport")
            .with("To", "\"a;tag=no\" <sip:1@x;p=1>;tag=7")
            .with("CSeq", "3 INVITE")
            .with_body("text/plain", "hello");
        let read = Message::parse(&message.to_bytes()).unwrap();
        assert_eq!((read.method(), read.cseq(), read.branch()), ("INVITE", 3, "z9hG4bK1"));
        assert_eq!((read.tag("To"), uri_of(read.header("to").unwrap())), (Some("7"), "sip:1@x;p=1"));
        assert_eq!(read.body, b"hello");
        let response = read.response(486, "Busy Here", "9");
        assert_eq!(
            (response.status(), response.reason(), response.method()),
            (Some(486), "Busy Here", "INVITE")
        );
    }

    #[test]
    fn a_stream_is_cut_into_messages() {
        let bytes = Message::new("OPTIONS sip:x SIP/2.0").with_body("a/b", "12345").to_bytes();
        assert_eq!(Message::frame(&bytes[..bytes.len() - 1]), Ok(None));
        assert_eq!(Message::frame(&[bytes.clone(), b"OPT".to_vec()].concat()), Ok(Some(bytes.len())));
        assert!(Message::frame(b"x\r\nl: z\r\n\r\n").is_err());
    }

    #[test]
    fn noise_is_no_message() {
        assert_eq!(Message::parse(b"\r\n\r\n"), None);
        assert_eq!(Message::parse(b"GET / HTTP/1.1\r\n\r\n"), None);
    }
}
