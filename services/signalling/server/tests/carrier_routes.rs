//! Where requests within calls over carriers go: to their Contact or recorded proxies, and over a new connection when theirs is gone.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::carrier::{CHALLENGE, Carrier, answer_text, call_out, put, trunk, until};
use harness::phone::SDP;
use harness::{Rig, within};
use sidetone_model::command::LegCommandKind;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};
use sidetone_proto::directory::v1 as pb;
use sidetone_sip_core::message::{Limits, Message, Request, parse_datagram};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

fn end() -> LegCommandKind {
    LegCommandKind::End(Termination::new(Cause::Normal))
}

#[tokio::test]
async fn a_contact_or_a_proxy_elsewhere_gets_what_follows_the_invite() {
    for proxied in [false, true] {
        let rig = Rig::start().await;
        let mut owner = rig.attach().await;
        let (door, elsewhere) = (Carrier::new(&rig).await, Carrier::new(&rig).await);
        put(&rig, trunk("acme", &door, 1)).await;
        until(&rig, "acme", |_| true).await;
        let leg = call_out(&owner, 1, "0401234").await;
        let invite = door.request("INVITE").await;
        if proxied {
            let route = format!("Record-Route: <{};lr>\r\n", elsewhere.uri());
            door.answer(&invite, "200 OK", &route, SDP).await;
        } else {
            door.answer_from(&elsewhere.uri(), &invite, "200 OK", "", SDP).await;
        }
        assert!(matches!(owner.signal().await.kind, LegSignalKind::Answered { .. }));
        let ack = elsewhere.request("ACK").await;
        assert_eq!((ack.call_id(), ack.cseq()), (invite.call_id(), invite.cseq()));
        owner.command("alpha", leg, 2, end()).await;
        let bye = elsewhere.request("BYE").await;
        elsewhere.answer(&bye, "200 OK", "", "").await;
        owner.ended().await;
    }
}

/// The next request of a method on a connection.
async fn next(connection: &mut TcpStream, method: &str) -> Request {
    let mut bytes = Vec::new();
    loop {
        let mut buffer = [0; 4096];
        let length = within(connection.read(&mut buffer)).await.unwrap();
        assert!(length > 0, "closed before a {method} came");
        bytes.extend_from_slice(&buffer[..length]);
        // The ends of messages are where their bodies end; one that is cut is read on.
        while let Some(size) = whole(&bytes) {
            let message: Vec<u8> = bytes.drain(..size).collect();
            let parsed = parse_datagram(message.into(), &Limits::default());
            if let Ok(Message::Request(request)) = parsed
                && request.method().as_str() == method
            {
                return request;
            }
        }
    }
}

/// The length of the first message when it is whole.
fn whole(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&bytes[..head]).unwrap();
    let length = text.lines().find_map(|line| line.strip_prefix("Content-Length:")).unwrap();
    let size = head + length.trim().parse::<usize>().unwrap();
    (bytes.len() >= size).then_some(size)
}

#[tokio::test]
async fn a_connection_that_is_gone_is_made_anew_for_the_bye() {
    let rig = Rig::start().await;
    let mut owner = rig.attach().await;
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("sip:{};transport=tcp", door.local_addr().unwrap());
    let model = Carrier::new(&rig).await;
    put(&rig, pb::Trunk { uri: uri.clone(), ..trunk("acme", &model, 1) }).await;
    until(&rig, "acme", |_| true).await;
    let leg = call_out(&owner, 1, "0401234").await;
    let (mut connection, _) = within(door.accept()).await.unwrap();
    let invite = next(&mut connection, "INVITE").await;
    connection.write_all(answer_text(&uri, &invite, "200 OK", "", SDP).as_bytes()).await.unwrap();
    assert!(matches!(owner.signal().await.kind, LegSignalKind::Answered { .. }));
    next(&mut connection, "ACK").await;
    // The carrier is restarted.
    drop(connection);
    owner.command("alpha", leg, 2, end()).await;
    let (mut connection, _) = within(door.accept()).await.unwrap();
    let bye = next(&mut connection, "BYE").await;
    assert_eq!(bye.call_id(), invite.call_id());
    // After its restart it asks who we are.
    let challenge = CHALLENGE.replace("WWW", "Proxy");
    let refusal = answer_text(&uri, &bye, "407 Proxy Authentication Required", &challenge, "");
    connection.write_all(refusal.as_bytes()).await.unwrap();
    let again = next(&mut connection, "BYE").await;
    assert!(again.header("Proxy-Authorization").is_some_and(|text| text.contains("realm=\"carrier\"")));
    connection.write_all(answer_text(&uri, &again, "200 OK", "", "").as_bytes()).await.unwrap();
    owner.ended().await;
}
