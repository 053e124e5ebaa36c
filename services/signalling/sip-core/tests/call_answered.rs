//! A call is offered, rings, is answered and confirmed.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;

#[test]
fn both_sides_hear_each_step_with_its_media() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut pair = Pair::new(transport);
        pair.call();
        let offered = pair.b.take();
        let [LegSignalKind::Offered(offered)] = offered.as_slice() else { panic!("{offered:?}") };
        assert_eq!(&*offered.dialled, "1002");
        assert_eq!(&*offered.from.number, "1001");
        assert_eq!(&*offered.from.display_name, "Anna \"A\"");
        assert_eq!(offered.media.as_ref(), Some(&media(4000)));
        assert_eq!(offered.source, harness::addr("192.0.2.10:5060"));
        assert_eq!(&*offered.sip_call_id, pair.a.leg.as_ref().unwrap().dialog().call_id());

        pair.command('b', LegCommandKind::Ring { media: None });
        assert_eq!(pair.a.take(), [LegSignalKind::Progress { media: None }]);
        pair.command('b', LegCommandKind::Answer { media: media(5000) });
        assert_eq!(pair.a.take(), [LegSignalKind::Answered { media: Some(media(5000)) }]);
        assert_eq!(pair.b.take(), [LegSignalKind::Confirmed { media: None }]);
        assert_eq!(pair.wire, ["a INVITE", "b 180 INVITE", "b 200 INVITE", "a ACK"]);
    }
}

#[test]
fn early_media_reaches_the_caller_in_a_183() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: Some(media(5000)) });
    assert_eq!(pair.a.take(), [LegSignalKind::Progress { media: Some(media(5000)) }]);
    assert_eq!(pair.sent("b 183 INVITE"), 1);
}

#[test]
fn the_network_hears_100_by_itself_and_the_invite_is_not_repeated() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.advance(std::time::Duration::from_secs(5));
    assert_eq!(pair.wire, ["a INVITE", "b 100 INVITE"]);
}

#[test]
fn ringing_is_repeated_every_minute_for_the_proxies() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.advance(std::time::Duration::from_secs(150));
    assert_eq!(pair.sent("b 180 INVITE"), 3);
}

#[test]
fn an_invite_without_sdp_gets_our_offer_and_its_answer_comes_with_the_ack() {
    let mut pair = Pair::new(Transport::Udp);
    pair.inject('b', INVITE_WITHOUT_SDP);
    let signals = pair.b.take();
    assert!(matches!(&signals[..], [LegSignalKind::Offered(offered)] if offered.media.is_none()));
    // The wire's other end has no leg; its answers are lost there.
    pair.lose(|_| true);
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    let tag = pair.b.leg.as_ref().unwrap().dialog().local_tag().to_owned();
    let sdp = "v=0\nc=IN IP4 192.0.2.10\nm=audio 4000 RTP/AVP 8\n";
    pair.inject(
        'b',
        &ACK_WITH_SDP.replace("TAG", &tag).replace("LEN", &(sdp.len() + 3).to_string()).replace("SDP", sdp),
    );
    let signals = pair.b.take();
    let [LegSignalKind::Confirmed { media: Some(answer) }] = &signals[..] else { panic!("{signals:?}") };
    assert_eq!(answer.rtp, harness::addr("192.0.2.10:4000"));
}

#[test]
fn how_many_hops_a_call_has_left_is_told() {
    for (field, hops) in [("Max-Forwards: 3\n", Some(3)), ("Max-Forwards: 300\n", None), ("", None)] {
        let mut pair = Pair::new(Transport::Udp);
        pair.inject('b', &INVITE_WITHOUT_SDP.replace("Max-Forwards: 70\n", field));
        let signals = pair.b.take();
        assert!(matches!(&signals[..], [LegSignalKind::Offered(offered)] if offered.max_forwards == hops));
    }
}

const INVITE_WITHOUT_SDP: &str = "INVITE sip:1002@192.0.2.20 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK1
Max-Forwards: 70
From: <sip:1001@example.com>;tag=x
To: <sip:1002@example.com>
Call-ID: c1
CSeq: 1 INVITE
Contact: <sip:1001@192.0.2.10>
Content-Length: 0

";

const ACK_WITH_SDP: &str = "ACK sip:1002@192.0.2.20 SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bK2
Max-Forwards: 70
From: <sip:1001@example.com>;tag=x
To: <sip:1002@example.com>;tag=TAG
Call-ID: c1
CSeq: 1 ACK
Content-Type: application/sdp
Content-Length: LEN

SDP";
