//! STUN messages against the vectors of RFC 5769, and against bytes from anyone.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use proptest::prelude::*;
use sidetone_ice_core::stun::{Builder, Class, Message, StunError, attribute, is_dtls, is_stun};

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
const TRANSACTION: [u8; 12] = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
const REQUEST: &str = "000100582112a442b7e7a701bc34d686fa87dfae802200105354554e207465737420636c69656e74002400046e0001ff\
    80290008932ff9b151263b36000600096576746a3a68367659202020000800149aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a280280004e57a3bcf";
const RESPONSE_V4: &str = "0101003c2112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000080001a147e112a643\
    000800142b91f599fd9e90c38c7489f92af9ba53f06be7d780280004c07d4c96";
const RESPONSE_V6: &str = "010100482112a442b7e7a701bc34d686fa87dfae8022000b7465737420766563746f7220002000140002a1470113a9faa5d3f1\
    79bc25f4b5bed2b9d900080014a382954e4be67bf11784c97c8292c275bfe3ed4180280004c8fb0b4c";

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 5769, section 2.1.
#[test]
fn the_request_of_rfc_5769_is_read() {
    let request = bytes(REQUEST);
    let message = Message::parse(&request).unwrap();
    assert_eq!((message.class(), message.transaction()), (Class::Request, TRANSACTION));
    assert!(message.is_authentic(PASSWORD) && message.has_fingerprint());
    assert_eq!(message.value(attribute::USERNAME), Some(&b"evtj:h6vY"[..]));
    assert_eq!(message.value(attribute::PRIORITY), Some(&[0x6e, 0x00, 0x01, 0xff][..]));
    assert!(message.value(attribute::ICE_CONTROLLED).is_some() && message.not_understood().is_empty());
    assert!(!message.is_authentic(b"VOkJxbRl1RmTxUk/WvJxBT"));
    for at in 0..request.len() {
        let mut changed = request.clone();
        changed[at] ^= 0x04;
        if let Ok(message) = Message::parse(&changed) {
            let proved = message.is_authentic(PASSWORD) && message.has_fingerprint();
            assert!(!proved, "byte {at} may be changed");
        }
    }
}

/// RFC 5769, sections 2.2 and 2.3. Their padding is a space, ours is zero, so that all but the proofs can be compared.
#[test]
fn the_responses_of_rfc_5769_are_read_and_their_addresses_written() {
    for (vector, address) in
        [(RESPONSE_V4, "192.0.2.1:32853"), (RESPONSE_V6, "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let response = bytes(vector);
        let message = Message::parse(&response).unwrap();
        assert_eq!(message.class(), Class::Success);
        assert!(message.is_authentic(PASSWORD) && message.has_fingerprint());
        let own = Builder::new(Class::Success, TRANSACTION).mapped(address.parse().unwrap()).seal(PASSWORD);
        let own = Message::parse(&own).unwrap();
        assert_eq!(own.value(attribute::XOR_MAPPED_ADDRESS), message.value(attribute::XOR_MAPPED_ADDRESS));
        assert!(own.is_authentic(PASSWORD) && own.has_fingerprint());
    }
}

#[test]
fn what_stands_behind_the_integrity_is_not_believed() {
    let request = Builder::new(Class::Request, TRANSACTION).attribute(attribute::USERNAME, b"abcd:efgh");
    let sealed = request.seal(PASSWORD);
    // An attacker puts USE-CANDIDATE in between, and makes the fingerprint anew.
    let mut longer = sealed[..sealed.len() - 8].to_vec();
    longer.extend([0x00, 0x25, 0, 0]);
    let length = (longer.len() + 8 - 20) as u16;
    longer[2..4].copy_from_slice(&length.to_be_bytes());
    longer.extend([0x80, 0x28, 0, 4, 0, 0, 0, 0]);
    let message = Message::parse(&longer).unwrap();
    assert!(message.is_authentic(PASSWORD), "the part before is what it was");
    assert_eq!(message.value(attribute::USE_CANDIDATE), None);
}

#[test]
fn what_is_no_binding_is_refused() {
    let request = bytes(REQUEST);
    assert_eq!(Message::parse(&request[..19]).unwrap_err(), StunError::Malformed);
    assert_eq!(Message::parse(&request[..request.len() - 4]).unwrap_err(), StunError::Malformed);
    let mut allocate = request.clone();
    allocate[1] = 3;
    assert_eq!(Message::parse(&allocate).unwrap_err(), StunError::Method);
    let mut old = request;
    old[4] = 0;
    assert_eq!(Message::parse(&old).unwrap_err(), StunError::Malformed);
}

#[test]
fn the_first_byte_tells_what_comes_where_rtp_comes() {
    let kinds = [(0, true, false), (3, true, false), (4, false, false), (20, false, true), (63, false, true)];
    for (first, stun, dtls) in
        kinds.into_iter().chain([(64, false, false), (128, false, false), (191, false, false)])
    {
        assert_eq!((is_stun(first), is_dtls(first)), (stun, dtls), "{first}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(junk in prop::collection::vec(any::<u8>(), 0..200), at in 0usize..108, byte: u8) {
        let _ = Message::parse(&junk).map(|message| message.is_authentic(PASSWORD));
        let mut request = bytes(REQUEST);
        request[at] = byte;
        if let Ok(message) = Message::parse(&request) {
            let _ = (message.is_authentic(PASSWORD), message.has_fingerprint(), message.not_understood());
        }
    }
}
