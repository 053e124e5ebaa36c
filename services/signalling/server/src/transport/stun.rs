//! The STUN keep-alive on SIP's UDP port (RFC 5626, section 4.4.2; RFC 5389): a Binding request is told whence it came.

use std::net::{IpAddr, SocketAddr};

/// Whether a datagram is STUN and not SIP: the first two bits are zero, and the cookie stands where it must (RFC 5389,
/// section 6). No SIP message begins like that.
pub(super) fn is_stun(datagram: &[u8]) -> bool {
    datagram.len() >= HEADER_BYTES && datagram[0] & 0xc0 == 0 && datagram[4..8] == COOKIE
}

/// The answer to a Binding request that asks for nothing we do not know; none otherwise.
pub(super) fn answer(datagram: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let length = usize::from(u16::from_be_bytes([datagram[2], datagram[3]]));
    if datagram[..2] != BINDING_REQUEST || datagram.len() != HEADER_BYTES + length || length % 4 != 0 {
        return None;
    }
    let transaction = &datagram[8..HEADER_BYTES];
    let mut value = vec![0, if source.is_ipv4() { 1 } else { 2 }];
    value.extend((source.port() ^ u16::from_be_bytes([COOKIE[0], COOKIE[1]])).to_be_bytes());
    let mask = [&COOKIE, transaction].concat();
    let address = match source.ip() {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    };
    value.extend(address.iter().zip(mask).map(|(byte, mask)| byte ^ mask));
    let mut out = BINDING_SUCCESS.to_vec();
    out.extend((value.len() as u16 + 4).to_be_bytes());
    out.extend(COOKIE);
    out.extend(transaction);
    out.extend(XOR_MAPPED_ADDRESS);
    out.extend((value.len() as u16).to_be_bytes());
    out.extend(value);
    Some(out)
}

const HEADER_BYTES: usize = 20;
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const XOR_MAPPED_ADDRESS: [u8; 2] = [0x00, 0x20];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_binding_request_is_answered_as_in_rfc_5769() {
        // Section 2.2 of RFC 5769 has this transaction and these addresses.
        let transaction = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        let request = [&[0, 1, 0, 0][..], &COOKIE, &transaction].concat();
        assert!(is_stun(&request));
        let response = answer(&request, "192.0.2.1:32853".parse().unwrap()).unwrap();
        assert_eq!(response[20..], [0, 0x20, 0, 8, 0, 1, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        let response =
            answer(&request, "[2001:db8:1234:5678:11:2233:4455:6677]:32853".parse().unwrap()).unwrap();
        let expected = [
            0x00, 0x20, 0x00, 0x14, 0x00, 0x02, 0xa1, 0x47, 0x01, 0x13, 0xa9, 0xfa, 0xa5, 0xd3, 0xf1, 0x79,
            0xbc, 0x25, 0xf4, 0xb5, 0xbe, 0xd2, 0xb9, 0xd9,
        ];
        assert_eq!(response[20..], expected);
    }

    /// Every binding request with some of its bits turned, cut anywhere and with any length: an answer never grows, and goes only
    /// to what is a request.
    #[test]
    fn no_datagram_does_harm() {
        let whole = [&[0, 1, 0, 4][..], &COOKIE, &[7; 12], &[0x80, 0x22, 0, 0]].concat();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            for length in 0..=whole.len() {
                let mut datagram = whole[..length].to_vec();
                if let Some(byte) = datagram.get_mut(at) {
                    *byte ^= 1 << bit;
                }
                if is_stun(&datagram)
                    && let Some(answer) = answer(&datagram, "[2001:db8::1]:1".parse().unwrap())
                {
                    assert_eq!((&datagram[..2], &answer[8..20]), (&BINDING_REQUEST[..], &datagram[8..20]));
                    assert!(answer.len() <= datagram.len() + 24);
                }
            }
        }
    }

    #[test]
    fn what_is_no_binding_request_gets_no_answer() {
        assert!(!is_stun(b"OPTIONS sip:a SIP/2.0"));
        let indication = [&[0, 0x11, 0, 0][..], &COOKIE, &[0; 12]].concat();
        assert!(is_stun(&indication));
        assert_eq!(answer(&indication, "192.0.2.1:1".parse().unwrap()), None);
        let short = [&[0, 1, 0, 8][..], &COOKIE, &[0; 12]].concat();
        assert_eq!(answer(&short, "192.0.2.1:1".parse().unwrap()), None);
    }
}
