//! A capture file (draft-ietf-opsawg-pcap, the classic format) with raw IP packets.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};

use super::Message;

/// Writes messages as UDP datagrams, whatever they came by.
pub(super) fn write(messages: &[Message], out: &mut impl Write) -> io::Result<()> {
    out.write_all(&MAGIC_MICROSECONDS.to_le_bytes())?;
    out.write_all(&[2, 0, 4, 0])?;
    out.write_all(&[0; 8])?;
    out.write_all(&SNAP_LENGTH.to_le_bytes())?;
    out.write_all(&LINK_TYPE_RAW.to_le_bytes())?;
    for message in messages {
        let packet = packet(message.from, message.to, &message.bytes);
        out.write_all(&((message.at_unix_us / 1_000_000) as u32).to_le_bytes())?;
        out.write_all(&((message.at_unix_us % 1_000_000) as u32).to_le_bytes())?;
        let length = (packet.len() as u32).to_le_bytes();
        out.write_all(&length)?;
        out.write_all(&length)?;
        out.write_all(&packet)?;
    }
    out.flush()
}

/// An IP packet with a UDP datagram (RFC 768, 791, 8200).
fn packet(from: SocketAddr, to: SocketAddr, payload: &[u8]) -> Vec<u8> {
    let payload = &payload[..payload.len().min(PAYLOAD_MAX)];
    let length = (payload.len() + UDP_HEAD) as u16;
    let mut udp = Vec::with_capacity(usize::from(length));
    udp.extend(from.port().to_be_bytes());
    udp.extend(to.port().to_be_bytes());
    udp.extend(length.to_be_bytes());
    udp.extend([0, 0]);
    udp.extend_from_slice(payload);
    let (source, target) = (octets(from.ip()), octets(to.ip()));
    let pseudo = [&source[..], &target, &[0, PROTOCOL_UDP], &length.to_be_bytes()].concat();
    let checksum = match checksum(&[&pseudo, &udp]) {
        0 => 0xffff,
        other => other,
    };
    udp[6..8].copy_from_slice(&checksum.to_be_bytes());
    let mut packet = match from {
        SocketAddr::V4(_) => {
            let total = (length + 20).to_be_bytes();
            let mut head = vec![0x45, 0, total[0], total[1], 0, 0, 0x40, 0, 64, PROTOCOL_UDP, 0, 0];
            head.extend(source);
            head.extend(target);
            let sum = self::checksum(&[&head]);
            head[10..12].copy_from_slice(&sum.to_be_bytes());
            head
        }
        SocketAddr::V6(_) => {
            let length = length.to_be_bytes();
            let mut head = vec![0x60, 0, 0, 0, length[0], length[1], PROTOCOL_UDP, 64];
            head.extend(source);
            head.extend(target);
            head
        }
    };
    packet.extend(udp);
    packet
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071); every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 =
        words.map(|word| u32::from(word[0]) << 8 | u32::from(word.get(1).copied().unwrap_or(0))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    !((folded & 0xffff) + (folded >> 16)) as u16
}

const MAGIC_MICROSECONDS: u32 = 0xa1b2_c3d4;
const LINK_TYPE_RAW: u32 = 101;
const SNAP_LENGTH: u32 = 65_535;
const PROTOCOL_UDP: u8 = 17;
const UDP_HEAD: usize = 8;
/// The largest payload of a datagram in an IPv4 packet.
const PAYLOAD_MAX: usize = 65_507;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_have_the_checksums_that_their_receivers_compute() {
        for (from, to) in [("192.0.2.1:5060", "192.0.2.2:5080"), ("[2001:db8::1]:5060", "[2001:db8::2]:5061")]
        {
            let packet = packet(from.parse().unwrap(), to.parse().unwrap(), b"odd");
            let (head, udp, addresses) = match packet[0] >> 4 {
                4 => (&packet[..20], &packet[20..], &packet[12..20]),
                _ => (&packet[..40], &packet[40..], &packet[8..40]),
            };
            if head[0] == 0x45 {
                assert_eq!(checksum(&[head]), 0);
                assert_eq!(usize::from(u16::from_be_bytes([head[2], head[3]])), packet.len());
            }
            let pseudo = [addresses, &[0, 17, 0, udp.len() as u8][..]].concat();
            assert_eq!(checksum(&[&pseudo, udp]), 0, "{from}");
            assert_eq!(&udp[8..], b"odd");
        }
    }
}
