//! A number that is forwarded to a carrier from where it leads back to itself: the call comes to an end by itself, although the
//! carrier tells nothing of its way (no Diversion, no History-Info), because each leg of ours is one hop further
//! (RFC 3261, section 16.3; RFC 7332, section 3).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use support::phones::{eventually, ringing};
use support::process::Installation;

/// A carrier that sends every call back to where it came from, under the number of `user1001`. It is a proxy that keeps to itself
/// what it was told of the call's way, and does not count its own hop.
fn carrier_that_leads_back(carrier: UdpSocket, server: SocketAddr) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let own = carrier.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut buffer = vec![0; 65_536];
        while let Ok((length, _)) = carrier.recv_from(&mut buffer) {
            let Ok(text) = std::str::from_utf8(&buffer[..length]) else { continue };
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            if head.starts_with("INVITE") {
                counted.fetch_add(1, Ordering::Relaxed);
            }
            let passed = match head.starts_with("SIP/2.0") {
                true => back(head, own),
                false => on(head, own),
            };
            let passed = format!("{passed}\r\n\r\n{body}");
            carrier.send_to(passed.as_bytes(), server).unwrap();
        }
    });
    calls
}

/// A request, with our Via on top: its branch is that of the Via below, so that a CANCEL finds its INVITE.
fn on(head: &str, own: SocketAddr) -> String {
    let branch = head.split_once("branch=").unwrap().1;
    let branch = branch.split([';', '\r', ',']).next().unwrap();
    let (line, fields) = head.split_once("\r\n").unwrap();
    let (method, rest) = line.split_once(' ').unwrap();
    let untold = ["Diversion:", "History-Info:"];
    let fields: Vec<&str> =
        fields.split("\r\n").filter(|field| !untold.iter().any(|name| field.starts_with(name))).collect();
    let host = rest.split_once('@').map_or(rest, |(_, host)| host);
    let line = match method {
        "INVITE" | "CANCEL" => format!("{method} sip:+49301001@{host}"),
        _ => line.to_owned(),
    };
    format!("{line}\r\nVia: SIP/2.0/UDP {own};branch={branch}.back\r\n{}", fields.join("\r\n"))
}

/// A response, without our Via.
fn back(head: &str, own: SocketAddr) -> String {
    let ours = format!("Via: SIP/2.0/UDP {own}");
    head.split("\r\n").filter(|field| !field.starts_with(&ours)).collect::<Vec<_>>().join("\r\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_loop_through_a_carrier_that_tells_nothing_ends_by_itself() {
    let carrier = UdpSocket::bind("127.0.0.3:0").unwrap();
    let uri = carrier.local_addr().unwrap();
    let installation = Installation::with_seed(&format!(
        "[[seed.tenants.trunks]]\ntrunk = \"back\"\nuri = \"sip:{uri}\"\nsources = [\"127.0.0.3/32\"]\n\
         routes = [{{ prefix = \"+\", priority = 1, weight = 1 }}]\n\
         outbound = [{{ prefix = \"0\", strip = 1, prepend = \"+49\" }}]\n\
         inbound = [{{ prefix = \"+4930\", strip = 5 }}]\n"
    ));
    let calls = carrier_that_leads_back(carrier, installation.sip);
    // All calls of this phone are forwarded to a number outside: 302.
    let forwarded = ringing(&installation, "1001", 440.0, false).await;
    tokio::spawn(async move {
        while let Some(incoming) = forwarded.next_incoming().await {
            incoming.redirect("030555");
        }
    });
    eventually(&installation, "the trunk is there", || {
        installation.json(&["directory", "trunks", "status"]).to_string().contains("\"back\"")
    })
    .await;

    // A carrier's call, with what a call from far away has left.
    let caller = UdpSocket::bind("127.0.0.3:0").unwrap();
    caller.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let own = caller.local_addr().unwrap();
    let sdp =
        "v=0\r\no=- 1 1 IN IP4 127.0.0.3\r\ns=-\r\nc=IN IP4 127.0.0.3\r\nt=0 0\r\nm=audio 4000 RTP/AVP 8\r\n";
    let invite = format!(
        "INVITE sip:+49301001@{0} SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bKloop\r\nMax-Forwards: {HOPS}\r\n\
         From: <sip:+4940777@carrier.test>;tag=1\r\nTo: <sip:+49301001@{0}>\r\nCall-ID: loop\r\nCSeq: 1 INVITE\r\n\
         Contact: <sip:x@{own}>\r\nContent-Type: application/sdp\r\nContent-Length: {1}\r\n\r\n{sdp}",
        installation.sip,
        sdp.len()
    );
    let (deadline, mut buffer) = (Instant::now() + Duration::from_secs(50), [0; 8192]);
    let refused = loop {
        caller.send_to(invite.as_bytes(), installation.sip).unwrap();
        let heard =
            caller.recv(&mut buffer).map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned());
        match heard {
            Ok(text) if !text.starts_with("SIP/2.0 1") => break text,
            _ => assert!(Instant::now() < deadline, "it goes round and round\n{}", installation.logs()),
        }
    };
    assert!(refused.starts_with("SIP/2.0 483"), "{refused}");
    assert_eq!(calls.load(Ordering::Relaxed), HOPS, "each turn is one hop");
    eventually(&installation, "every call is over", || installation.calls().is_empty()).await;
}

/// Fewer than the 20 forwardings after which a call that tells its way is refused.
const HOPS: usize = 12;
