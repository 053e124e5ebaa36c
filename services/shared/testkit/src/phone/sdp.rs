//! Just enough session description for one audio stream (RFC 8866, RFC 3264).

use std::net::{IpAddr, SocketAddr};

use sidetone_dsp::g711::Law;

/// Which way media flows, as seen by the phone that says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// This phone sends only: it holds the other.
    SendOnly,
    /// This phone receives only.
    RecvOnly,
    /// Nothing flows.
    Inactive,
}

impl Direction {
    fn attribute(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The answer to an offer of this direction (RFC 3264, section 6.1).
    pub(crate) fn answered(self) -> Self {
        match self {
            Self::SendOnly => Self::RecvOnly,
            Self::RecvOnly => Self::SendOnly,
            other => other,
        }
    }

    /// Whether somebody who says this wants to receive.
    pub(crate) fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }
}

/// What the far end described.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remote {
    /// Where it wants its audio.
    pub audio: SocketAddr,
    /// The first of our codecs in its list.
    pub law: Law,
    /// Payload type of telephone events, if it takes them.
    pub event_payload_type: Option<u8>,
    /// Which way media flows, as it sees it.
    pub direction: Direction,
}

impl Remote {
    /// Reads a description; `None` when it has no audio in one of `codecs`.
    pub fn parse(body: &[u8], codecs: &[Law]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut address, mut audio, mut formats) = (None::<IpAddr>, None::<u16>, Vec::<u8>::new());
        let (mut direction, mut event_payload_type) = (Direction::SendRecv, None);
        for line in text.lines() {
            if let Some(connection) = line.strip_prefix("c=") {
                address = connection.split(' ').nth(2).and_then(|address| address.trim().parse().ok());
            } else if let Some(media) = line.strip_prefix("m=") {
                if audio.is_some() {
                    break;
                }
                let mut words = media.split_whitespace();
                if words.next() == Some("audio") {
                    audio = words.next().and_then(|port| port.parse().ok());
                    formats = words.skip(1).filter_map(|format| format.parse().ok()).collect();
                }
            } else if let Some(attribute) = line.strip_prefix("a=") {
                let all =
                    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive];
                if let Some(found) = all.into_iter().find(|one| one.attribute() == attribute.trim()) {
                    direction = found;
                } else if let Some((format, name)) =
                    attribute.strip_prefix("rtpmap:").and_then(|map| map.split_once(' '))
                    && name.trim().eq_ignore_ascii_case("telephone-event/8000")
                {
                    event_payload_type = format.parse().ok();
                }
            }
        }
        let laws = formats.iter().filter_map(|format| Law::of_payload_type(*format));
        let law = laws.into_iter().find(|law| codecs.contains(law))?;
        let port = audio.filter(|port| *port != 0)?;
        Some(Self { audio: SocketAddr::new(address?, port), law, event_payload_type, direction })
    }
}

/// An offer or answer.
pub(crate) fn write(
    session: u64,
    version: u32,
    local: SocketAddr,
    codecs: &[Law],
    direction: Direction,
) -> String {
    let ip = local.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let formats: Vec<String> = codecs.iter().map(|law| law.payload_type().to_string()).collect();
    let maps: String = codecs
        .iter()
        .map(|law| {
            format!(
                "a=rtpmap:{} {}/8000\r\n",
                law.payload_type(),
                if *law == Law::A { "PCMA" } else { "PCMU" }
            )
        })
        .collect();
    format!(
        "v=0\r\no=- {session} {version} IN {family} {ip}\r\ns=-\r\nc=IN {family} {ip}\r\nt=0 0\r\n\
         m=audio {} RTP/AVP {} 101\r\n{maps}a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\na=ptime:20\r\na={}\r\n",
        local.port(),
        formats.join(" "),
        direction.attribute(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let local = "127.0.0.1:4000".parse().unwrap();
        let text = write(7, 1, local, &[Law::A, Law::Mu], Direction::SendOnly);
        let remote = Remote::parse(text.as_bytes(), &[Law::Mu]).unwrap();
        let expected = Remote {
            audio: local,
            law: Law::Mu,
            event_payload_type: Some(101),
            direction: Direction::SendOnly,
        };
        assert_eq!(remote, expected);
        assert_eq!(Remote::parse(text.replace("4000", "0").as_bytes(), &[Law::Mu]), None);
    }
}
