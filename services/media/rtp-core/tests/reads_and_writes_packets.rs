//! RTP packets: what is written is read again, an independent parser agrees, and no bytes bring the parser down.
#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use sidetone_rtp_core::packet::HEADER_LEN;
use sidetone_rtp_core::{
    Header, PacketError, RtpPacketRef, RtpTimestamp, SequenceNumber, Ssrc, write_header,
};

fn headers() -> impl Strategy<Value = Header> {
    // 64 to 95 with a marker are RTCP on a shared port (RFC 5761).
    let kinds = prop_oneof![0u8..64, 96u8..128];
    (any::<bool>(), kinds, any::<u16>(), any::<u32>(), any::<u32>()).prop_map(
        |(marker, payload_type, sequence, timestamp, ssrc)| Header {
            marker,
            payload_type,
            sequence: SequenceNumber(sequence),
            timestamp: RtpTimestamp(timestamp),
            ssrc: Ssrc(ssrc),
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_again(header in headers(), payload in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut packet = vec![0; HEADER_LEN];
        prop_assert_eq!(write_header(&mut packet, &header), Ok(HEADER_LEN));
        packet.extend_from_slice(&payload);
        let read = RtpPacketRef::parse(&packet).unwrap();
        prop_assert_eq!(read.header, header);
        prop_assert_eq!(read.payload, &payload[..]);
        prop_assert!(read.csrc.is_empty() && read.extension.is_none());
    }

    #[test]
    fn an_independent_parser_agrees(mut packet in prop::collection::vec(any::<u8>(), 0..120), valid in any::<bool>()) {
        if valid && packet.len() >= 12 {
            packet[0] = 0x80 | packet[0] & 0x33;
        }
        let ours = RtpPacketRef::parse(&packet);
        if ours == Err(PacketError::Rtcp) {
            return Ok(());
        }
        match (ours, rtp_types::RtpPacket::parse(&packet)) {
            (Ok(a), Ok(b)) => {
                prop_assert_eq!(a.header.marker, b.marker_bit());
                prop_assert_eq!(a.header.payload_type, b.payload_type());
                prop_assert_eq!(a.header.sequence.0, b.sequence_number());
                prop_assert_eq!(a.header.timestamp.0, b.timestamp());
                prop_assert_eq!(a.header.ssrc.0, b.ssrc());
                prop_assert_eq!(a.csrc.len() / 4, b.csrc().count());
                prop_assert_eq!(a.extension, b.extension());
                prop_assert_eq!(a.payload, b.payload());
            }
            (Err(_), Err(_)) => {}
            (a, b) => prop_assert!(false, "{:?} against {:?}", a, b.map(|_| ())),
        }
    }
}

#[test]
fn every_fault_has_its_reason() {
    let mut packet = [0u8; 16];
    packet[0] = 0x80;
    assert!(RtpPacketRef::parse(&packet).is_ok());
    assert_eq!(RtpPacketRef::parse(&packet[..11]), Err(PacketError::TooShort));
    packet[0] = 0x40;
    assert_eq!(RtpPacketRef::parse(&packet), Err(PacketError::Version));
    packet[0] = 0xA0;
    assert_eq!(RtpPacketRef::parse(&packet), Err(PacketError::Padding), "padding of 0");
    packet[15] = 5;
    assert_eq!(RtpPacketRef::parse(&packet), Err(PacketError::Padding), "more padding than payload");
    packet[0] = 0x82;
    assert_eq!(RtpPacketRef::parse(&packet), Err(PacketError::TooShort), "sources past the end");
    packet[0] = 0x80;
    packet[1] = 200;
    assert_eq!(RtpPacketRef::parse(&packet), Err(PacketError::Rtcp));
    assert_eq!(write_header(&mut [0; 11], &Header::default()), Err(PacketError::NoRoom));
}

#[test]
fn numbers_wrap() {
    assert_eq!(SequenceNumber(65_535).next(), SequenceNumber(0));
    assert_eq!(SequenceNumber(2).distance(SequenceNumber(65_534)), 4);
    assert!(SequenceNumber(0).is_after(SequenceNumber(65_535)));
    assert!(!SequenceNumber(65_535).is_after(SequenceNumber(0)));
    assert_eq!(RtpTimestamp(u32::MAX - 79).plus(160), RtpTimestamp(80));
    assert_eq!(RtpTimestamp(80).distance(RtpTimestamp(u32::MAX - 79)), 160);
}
