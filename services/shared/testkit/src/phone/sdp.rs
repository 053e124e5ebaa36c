//! Just enough session description for one audio stream (RFC 8866, RFC 3264).

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};

use sidetone_dsp::codec::Codec;

use crate::coding::Format;

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
    /// The first of our codecs in its list, under its number.
    pub format: Format,
    /// All of our codecs in its list, in our order.
    pub shared: Vec<Codec>,
    /// Payload type of telephone events, if it takes them.
    pub event_payload_type: Option<u8>,
    /// Which way media flows, as it sees it.
    pub direction: Direction,
}

impl Remote {
    /// Reads a description; `None` when it has no audio in one of `codecs`.
    pub fn parse(body: &[u8], codecs: &[Codec]) -> Option<Self> {
        let text = std::str::from_utf8(body).ok()?;
        let (mut address, mut audio, mut formats) = (None::<IpAddr>, None::<u16>, Vec::<u8>::new());
        let mut maps = HashMap::<u8, &str>::new();
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
                    && let Ok(format) = format.parse()
                {
                    if name.trim().eq_ignore_ascii_case("telephone-event/8000") {
                        event_payload_type = Some(format);
                    }
                    maps.insert(format, name);
                }
            }
        }
        let known = |number: &u8| Format::described(*number, maps.get(number).copied());
        let formats: Vec<Format> = formats.iter().filter_map(known).collect();
        let format = formats.iter().find(|format| codecs.contains(&format.codec)).copied()?;
        let is_theirs = |codec: &&Codec| formats.iter().any(|format| format.codec == **codec);
        let shared = codecs.iter().filter(is_theirs).copied().collect();
        let port = audio.filter(|port| *port != 0)?;
        Some(Self { audio: SocketAddr::new(address?, port), format, shared, event_payload_type, direction })
    }
}

/// An offer or answer.
pub(crate) fn write(
    session: u64,
    version: u32,
    local: SocketAddr,
    codecs: &[Codec],
    direction: Direction,
) -> String {
    let ip = local.ip();
    let family = if ip.is_ipv4() { "IP4" } else { "IP6" };
    let own: Vec<Format> = codecs.iter().copied().map(Format::own).collect();
    let formats: Vec<String> = own.iter().map(|format| format.payload_type.to_string()).collect();
    let maps: String = own.iter().map(|format| format.attributes()).collect();
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
    use sidetone_dsp::Law;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let local = "127.0.0.1:4000".parse().unwrap();
        let [a_law, mu_law] = [Law::A, Law::Mu].map(Codec::G711);
        let text = write(7, 1, local, &[Codec::Opus, a_law, mu_law], Direction::SendOnly);
        let remote = Remote::parse(text.as_bytes(), &[Codec::Gsm, mu_law, Codec::Opus]).unwrap();
        let expected = Remote {
            audio: local,
            format: Format::own(Codec::Opus),
            shared: vec![mu_law, Codec::Opus],
            event_payload_type: Some(101),
            direction: Direction::SendOnly,
        };
        assert_eq!(remote, expected);
        assert_eq!(Remote::parse(text.replace("4000", "0").as_bytes(), &[mu_law]), None);
    }
}
