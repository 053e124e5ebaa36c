//! SRTP and SRTCP: known packets, every suite both ways, and what strangers try (RFC 3711, 6188, 7714).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use sidetone_rtp_core::srtp::{MasterKey, OVERHEAD_MAX, Receiver, Sender, SrtpError, Suite};

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn master(suite: Suite, seed: u8) -> MasterKey {
    let key: Vec<u8> =
        (0..suite.key_len() + suite.salt_len()).map(|n| (n as u8).wrapping_mul(37) ^ seed).collect();
    MasterKey::new(suite, &key).unwrap()
}

fn pair(suite: Suite) -> (Sender, Receiver) {
    (Sender::new(&master(suite, 9)).unwrap(), Receiver::new(&master(suite, 9)).unwrap())
}

fn rtp(sequence: u16, ssrc: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 0];
    packet.extend(sequence.to_be_bytes());
    packet.extend((u32::from(sequence) * 160).to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([sequence as u8; 160]);
    packet
}

fn rtcp() -> Vec<u8> {
    bytes(
        "81c8000d4d6172734e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef",
    )
}

fn protect(sender: &mut Sender, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let length = sender.protect_rtp(&mut buffer, packet.len())?;
    buffer.truncate(length);
    Ok(buffer)
}

fn protect_rtcp(sender: &mut Sender, packet: &[u8]) -> Vec<u8> {
    let mut buffer = packet.to_vec();
    buffer.resize(packet.len() + OVERHEAD_MAX, 0);
    let length = sender.protect_rtcp(&mut buffer, packet.len()).unwrap();
    buffer.truncate(length);
    buffer
}

fn open(receiver: &mut Receiver, packet: &[u8]) -> Result<Vec<u8>, SrtpError> {
    let mut packet = packet.to_vec();
    let length = receiver.open_rtp(&mut packet)?;
    packet.truncate(length);
    Ok(packet)
}

/// The packets that libsrtp checks itself with, under the keys of RFC 3711, appendix B.3, and of RFC 6188, section 7.2.
#[test]
fn known_packets_are_what_others_make_of_them() {
    let short = "e1f97a0d3e018be0d64fa32c06de41390ec675ad498afeebb6960b3aabe6";
    let long = "f0f04914b513f2763a1b1fa130f10e2998f6f6e43e4309d1e622a0e332b9f1b63b04803de51ee7c96423ab5b78d2";
    let plain = bytes("800f1234decafbadcafebabeabababababababababababababababab");
    for (suite, key, sealed) in [
        (Suite::AesCm128HmacSha1_80, short, "4e55dc4ce79978d88ca4d215949d2402b78d6acc99ea179b8dbb"),
        // The same with a shorter tag (RFC 3711, section 5.2).
        (Suite::AesCm128HmacSha1_32, short, "4e55dc4ce79978d88ca4d215949d2402b78d6acc"),
        (Suite::AesCm256HmacSha1_80, long, "f1d9de17ff251ff1aa007774b0b4b40da08d9d9a5b3a55d8873b"),
    ] {
        let master = MasterKey::new(suite, &bytes(key)).unwrap();
        let known = [bytes("800f1234decafbadcafebabe"), bytes(sealed)].concat();
        assert_eq!(protect(&mut Sender::new(&master).unwrap(), &plain).unwrap(), known, "{}", suite.name());
        assert_eq!(open(&mut Receiver::new(&master).unwrap(), &known).unwrap(), plain, "{}", suite.name());
    }
}

#[test]
fn every_suite_carries_both_over_a_roll_over_and_out_of_order() {
    for suite in Suite::ALL {
        assert_eq!(Suite::from_name(suite.name()), Some(suite));
        let (mut sender, mut receiver) = pair(suite);
        let sent: Vec<Vec<u8>> = (0..40u16).map(|n| rtp(65_520u16.wrapping_add(n), 7)).collect();
        let mut sealed: Vec<Vec<u8>> =
            sent.iter().map(|packet| protect(&mut sender, packet).unwrap()).collect();
        for (plain, sealed) in sent.iter().zip(&sealed) {
            assert_eq!(plain[..12], sealed[..12], "the header stays readable");
            assert_ne!(plain[12..], sealed[12..plain.len()]);
        }
        sealed.swap(15, 17);
        sealed.swap(3, 5);
        let mut opened: Vec<Vec<u8>> =
            sealed.iter().map(|packet| open(&mut receiver, packet).unwrap()).collect();
        opened.swap(15, 17);
        opened.swap(3, 5);
        assert_eq!(opened, sent, "{}", suite.name());
        for _ in 0..3 {
            let mut report = protect_rtcp(&mut sender, &rtcp());
            let again = report.clone();
            let length = receiver.open_rtcp(&mut report).unwrap();
            assert_eq!(report[..length], rtcp(), "{}", suite.name());
            assert_eq!(receiver.open_rtcp(&mut again.clone()), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn strangers_change_repeat_and_invent_nothing() {
    for suite in Suite::ALL {
        let (mut sender, mut receiver) = pair(suite);
        let first = protect(&mut sender, &rtp(1, 7)).unwrap();
        assert!(open(&mut receiver, &first).is_ok());
        assert_eq!(open(&mut receiver, &first), Err(SrtpError::Replayed));
        let second = protect(&mut sender, &rtp(2, 7)).unwrap();
        for bit in 0..second.len() * 8 {
            let mut forged = second.clone();
            forged[bit / 8] ^= 1 << (bit % 8);
            assert!(open(&mut receiver, &forged).is_err(), "{} bit {bit}", suite.name());
        }
        for length in 0..second.len() {
            assert!(open(&mut receiver, &second[..length]).is_err(), "{} cut at {length}", suite.name());
        }
        for ssrc in 0..20 {
            let mut stranger = Sender::new(&master(suite, 10)).unwrap();
            let forged = protect(&mut stranger, &rtp(2, ssrc)).unwrap();
            assert_eq!(open(&mut receiver, &forged), Err(SrtpError::NotAuthentic));
            assert!(receiver.open_rtcp(&mut protect_rtcp(&mut stranger, &rtcp())).is_err());
        }
        assert!(open(&mut receiver, &rtp(2, 7)).is_err(), "in the clear");
        assert!(open(&mut receiver, &second).is_ok(), "none of it has hurt the stream");
        let mut report = protect_rtcp(&mut sender, &rtcp());
        for bit in 0..report.len() * 8 {
            report[bit / 8] ^= 1 << (bit % 8);
            assert!(receiver.open_rtcp(&mut report.clone()).is_err(), "{} bit {bit}", suite.name());
            report[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(receiver.open_rtcp(&mut report).is_ok());
    }
}

/// A packet of a source that begins anew under the same key, as a PBX does at each hold.
fn of_source(ssrc: u32, sequence: u16) -> Vec<u8> {
    let mut sender = Sender::new(&master(Suite::AesCm128HmacSha1_80, 9)).unwrap();
    protect(&mut sender, &rtp(sequence, ssrc)).unwrap()
}

#[test]
fn a_source_that_was_given_up_cannot_be_played_back() {
    let (_, mut receiver) = pair(Suite::AesCm128HmacSha1_80);
    for ssrc in 0..64 {
        for sequence in [5, 6, 8] {
            assert!(open(&mut receiver, &of_source(ssrc, sequence)).is_ok(), "{ssrc} {sequence}");
        }
    }
    let (rtp_places, rtcp_places) = receiver.places();
    assert_eq!(rtp_places.len(), 64);
    let elsewhere = Receiver::new(&master(Suite::AesCm128HmacSha1_80, 9)).unwrap();
    for mut receiver in [receiver, elsewhere.resumed_at(&rtp_places, &rtcp_places)] {
        for ssrc in 0..64 {
            for sequence in [5, 6, 8] {
                let again = open(&mut receiver, &of_source(ssrc, sequence));
                assert_eq!(again, Err(SrtpError::Replayed), "{ssrc} {sequence}");
            }
        }
        assert_eq!(open(&mut receiver, &of_source(64, 5)), Err(SrtpError::TooManySources));
        // One that comes back goes on where it was, and what is forged moves nobody.
        let mut forged = of_source(3, 9);
        *forged.last_mut().unwrap() ^= 1;
        assert_eq!(open(&mut receiver, &forged), Err(SrtpError::NotAuthentic));
        assert!(open(&mut receiver, &of_source(3, 9)).is_ok());
        assert_eq!(open(&mut receiver, &of_source(3, 9)), Err(SrtpError::Replayed));
        assert_eq!(open(&mut receiver, &of_source(3, 7)), Err(SrtpError::Replayed), "before what came");
        assert_eq!(receiver.places().0.len(), 64);
    }
}

#[test]
fn a_sequence_number_is_never_protected_twice() {
    let (mut sender, _) = pair(Suite::AeadAes128Gcm);
    assert!(protect(&mut sender, &rtp(9, 7)).is_ok());
    assert_eq!(protect(&mut sender, &rtp(9, 7)), Err(SrtpError::Replayed));
    let mut tight = rtp(10, 7);
    let length = tight.len();
    assert_eq!(sender.protect_rtp(&mut tight, length), Err(SrtpError::NoRoom));
    assert!(MasterKey::new(Suite::AeadAes256Gcm, &[0; 43]).is_err());
}
