//! Who is told by RTCP how it is heard, and who is asked (RFC 3611).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use pb::connect_leg_request::{Echo, To};
use sidetone_media::RtcpXr;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::media::v1::media_server::Media as _;
use sidetone_proto::types::v1::MediaDescription;
use support::*;
use tokio::net::UdpSocket;
use tonic::Request;

const SENDER_REPORT: u8 = 200;
const EXTENDED_REPORT: u8 = 207;

/// A phone whose RTCP has the port of its RTP.
struct Reader {
    socket: UdpSocket,
    leg: String,
}

impl Reader {
    async fn new(n: u32) -> Self {
        Self { socket: UdpSocket::bind("127.0.0.1:0").await.unwrap(), leg: uuid(n) }
    }

    fn description(&self, asks: bool) -> MediaDescription {
        let plain = description(self.socket.local_addr().unwrap(), &[(0, "PCMU")], 20);
        MediaDescription { rtcp_mux: true, wants_voip_metrics: asks, ..plain }
    }

    async fn update(&self, node: &TestNode, asks: bool, is_answer: bool) -> MediaDescription {
        let request = pb::UpdateLegRequest {
            leg_id: self.leg.clone(),
            remote: Some(self.description(asks)),
            is_answer,
            ..Default::default()
        };
        node.media.update_leg(Request::new(request)).await.unwrap().into_inner().local.unwrap()
    }

    /// Speaks, hangs up, and reads what kinds of reports are in the last ones of the node.
    async fn last_reports(&self, node: &TestNode, at: &MediaDescription) -> Vec<u8> {
        node.connect(&self.leg, To::Echo(Echo {})).await;
        for n in 0..5u16 {
            let bytes = packet(0, n, u32::from(n) * 160, 7, &[0x55; 160]);
            self.socket.send_to(&bytes, address(at)).await.unwrap();
        }
        let all = async || (node.leg(&self.leg).await?.stats?.packets_received == 5).then_some(());
        until("what was said", all).await;
        node.release(&self.leg).await;
        let mut buffer = [0; 500];
        loop {
            let received = tokio::time::timeout(PATIENCE, self.socket.recv(&mut buffer)).await;
            let kinds = kinds(&buffer[..received.unwrap().unwrap()]);
            // The goodbye.
            if kinds.last() == Some(&203) {
                return kinds;
            }
        }
    }
}

/// The kinds of packets in a compound one (RFC 3550, section 6.1); none of what is no RTCP.
fn kinds(mut compound: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [_, kind @ 200..=207, high, low, ..] = compound {
        kinds.push(*kind);
        let length = 4 * (1 + usize::from(u16::from_be_bytes([*high, *low])));
        compound = compound.get(length..).unwrap_or_default();
    }
    kinds
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_and_the_far_side_decide() {
    use RtcpXr::{Always, Asked, Off};
    for (xr, asks, tells) in [
        (Off, true, false),
        (Asked, false, false),
        (Asked, true, true),
        (Always, false, true),
        (Always, true, true),
    ] {
        let node = node_with(|config| config.rtcp_xr = xr).await;
        let phone = Reader::new(1).await;
        let request = create(1, Some(phone.description(asks)));
        let made = node.media.create_leg(Request::new(request)).await.unwrap().into_inner();
        let local = made.local.unwrap();
        assert_eq!(local.wants_voip_metrics, xr != Off, "{xr:?}");
        let kinds = phone.last_reports(&node, &local).await;
        assert_eq!(kinds[0], SENDER_REPORT, "{kinds:?}");
        assert_eq!(kinds.contains(&EXTENDED_REPORT), tells, "{xr:?}, asked {asks}: {kinds:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_description_decides_anew_and_ours_goes_on_asking() {
    let node = node_with(|config| config.rtcp_xr = RtcpXr::Asked).await;
    // Our offer, an answer that asks, and a change after which it asks no more or still does.
    for (n, asks_on) in [(1, false), (2, true)] {
        let phone = Reader::new(n).await;
        let made = node.media.create_leg(Request::new(create(n, None))).await.unwrap().into_inner();
        assert!(made.local.unwrap().wants_voip_metrics, "our offer");
        assert!(phone.update(&node, true, true).await.wants_voip_metrics);
        let offer = pb::OfferLegRequest { leg_id: phone.leg.clone(), ..Default::default() };
        let offer = node.media.offer_leg(Request::new(offer)).await.unwrap().into_inner().local.unwrap();
        assert!(offer.wants_voip_metrics, "our offer in the call");
        phone.update(&node, true, true).await;
        let local = phone.update(&node, asks_on, false).await;
        assert!(local.wants_voip_metrics, "our answer");
        let kinds = phone.last_reports(&node, &local).await;
        assert_eq!(kinds.contains(&EXTENDED_REPORT), asks_on, "{kinds:?}");
    }
}
