//! rtpengine's control protocol "ng": a cookie and one bencoded dictionary in a datagram.

use std::net::SocketAddr;

use anyhow::Context as _;
use tokio::net::UdpSocket;

/// What a dictionary of ng holds, as far as it is used here.
pub(crate) enum Value<'a> {
    Text(&'a str),
    Texts(&'a [&'a str]),
    Dictionary(&'a [(&'a str, Value<'a>)]),
}

/// A way to a running rtpengine.
pub(crate) struct Ng {
    socket: UdpSocket,
    cookie: u64,
}

impl Ng {
    pub(crate) async fn to(address: SocketAddr) -> anyhow::Result<Self> {
        let socket = UdpSocket::bind((std::net::Ipv4Addr::LOCALHOST, 0)).await?;
        socket.connect(address).await?;
        Ok(Self { socket, cookie: 0 })
    }

    /// Sends one command; returns the SDP of the answer, empty when it has none.
    pub(crate) async fn ask(&mut self, command: &[(&str, Value<'_>)]) -> anyhow::Result<String> {
        self.cookie += 1;
        let mut message = format!("{} ", self.cookie);
        write_dictionary(&mut message, command);
        self.socket.send(message.as_bytes()).await?;
        let mut buffer = vec![0; 65_536];
        let received = self.socket.recv(&mut buffer);
        let length =
            tokio::time::timeout(ANSWER_MAX, received).await.context("rtpengine does not answer")??;
        let answer = String::from_utf8_lossy(&buffer[..length]).into_owned();
        anyhow::ensure!(
            answer.contains("6:result2:ok") || answer.contains("6:result4:pong"),
            "rtpengine refuses: {answer}"
        );
        Ok(text_of(&answer, "3:sdp").unwrap_or_default())
    }
}

const ANSWER_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// The text that follows a key, when it is there.
fn text_of(answer: &str, key: &str) -> Option<String> {
    let (_, after) = answer.split_once(key)?;
    let (length, text) = after.split_once(':')?;
    Some(text.get(..length.parse().ok()?)?.to_owned())
}

fn write_dictionary(out: &mut String, entries: &[(&str, Value<'_>)]) {
    out.push('d');
    for (key, value) in entries {
        write_text(out, key);
        match value {
            Value::Text(text) => write_text(out, text),
            Value::Texts(texts) => {
                out.push('l');
                texts.iter().for_each(|text| write_text(out, text));
                out.push('e');
            }
            Value::Dictionary(entries) => write_dictionary(out, entries),
        }
    }
    out.push('e');
}

fn write_text(out: &mut String, text: &str) {
    out.push_str(&format!("{}:{text}", text.len()));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_bencoded_and_an_answer_is_read() {
        let mut out = String::new();
        let codec = [("mask", Value::Texts(&["all"]))];
        write_dictionary(
            &mut out,
            &[("command", Value::Text("offer")), ("codec", Value::Dictionary(&codec))],
        );
        assert_eq!(out, "d7:command5:offer5:codecd4:maskl3:alleee");
        assert_eq!(text_of("1 d6:result2:ok3:sdp4:v=0\ne", "3:sdp").as_deref(), Some("v=0\n"));
    }
}
