//! One leg of the generator: its socket, its RTP header, its keys.

use anyhow::Context as _;
use sidetone_dsp::Law;
use sidetone_dsp::codec::Codec;
use sidetone_net::Datagram;
use sidetone_rtp_core::srtp::{MasterKey, Receiver, Sender, Suite};

use crate::job::{Job, OPUS_PAYLOAD_TYPE};
use crate::sounds::PAYLOAD_MAX;

/// A leg.
pub(crate) struct Stream {
    pub(crate) socket: Datagram,
    pub(crate) codec: Codec,
    packet: [u8; PACKET_MAX],
    secured: Option<(Sender, Receiver)>,
}

const HEADER: usize = 12;
/// Header, payload, and the longest tag of SRTP.
const PACKET_MAX: usize = HEADER + PAYLOAD_MAX + 16;
/// The suite of the legs under SRTP.
pub(crate) const SUITE: Suite = Suite::AesCm128HmacSha1_80;

impl Stream {
    pub(crate) fn new(job: Job, leg: usize, socket: Datagram) -> Self {
        let codec = job.codec(leg);
        let mut packet = [0; PACKET_MAX];
        packet[0] = 0x80;
        packet[1] = payload_type(codec);
        packet[8..12].copy_from_slice(&(leg as u32 + 0x5151_0000).to_be_bytes());
        Self { socket, codec, packet, secured: None }
    }

    /// From now on sends under our key and expects the peer's.
    pub(crate) fn secure(&mut self, leg: usize, theirs: &[u8]) -> anyhow::Result<()> {
        let sender = Sender::new(&MasterKey::new(SUITE, &key(leg))?)?;
        self.secured = Some((sender, Receiver::new(&MasterKey::new(SUITE, theirs)?)?));
        Ok(())
    }

    /// Sends one frame. What the peer's queue does not take is lost, and shows as not returned.
    pub(crate) fn send(&mut self, frame: u64, payload: &[u8]) -> anyhow::Result<()> {
        let ticks = self.codec.clock_hz() / 50;
        self.packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
        self.packet[4..8].copy_from_slice(&(frame as u32).wrapping_mul(ticks).to_be_bytes());
        self.packet[HEADER..HEADER + payload.len()].copy_from_slice(payload);
        let mut length = HEADER + payload.len();
        if let Some((sender, _)) = &mut self.secured {
            length = sender.protect_rtp(&mut self.packet, length)?;
        }
        let to = self.socket.peer().context("not connected")?;
        drop(self.socket.send(&self.packet[..length], to));
        Ok(())
    }

    /// The payload of the next packet that has come and is genuine; RTCP on the same port is none.
    pub(crate) fn receive<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Received<'a>> {
        let (length, _) = self.socket.receive(buffer).ok()??;
        if length <= HEADER || (64..96).contains(&(buffer[1] & 0x7f)) {
            return Some(Received::Other);
        }
        let length = match &mut self.secured {
            None => length,
            Some((_, receiver)) => match receiver.open_rtp(&mut buffer[..length]) {
                Ok(length) => length,
                Err(_) => return Some(Received::Other),
            },
        };
        Some(Received::Sound(&buffer[HEADER..length]))
    }
}

/// What a datagram was.
pub(crate) enum Received<'a> {
    /// A payload.
    Sound(&'a [u8]),
    /// RTCP, or what nobody with the key has sent.
    Other,
}

/// The RTP payload type of a codec.
pub(crate) fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::G711(Law::A) => 8,
        Codec::G711(Law::Mu) => 0,
        Codec::Gsm => 3,
        Codec::G722 => 9,
        _ => OPUS_PAYLOAD_TYPE,
    }
}

/// The master key and salt under which a leg sends: a bench has no secrets.
pub(crate) fn key(leg: usize) -> Vec<u8> {
    (0..SUITE.key_len() + SUITE.salt_len())
        .map(|n| (leg as u8).wrapping_mul(31).wrapping_add(n as u8))
        .collect()
}
