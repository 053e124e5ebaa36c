//! Wrong input is refused with a reason, and nothing else is disturbed.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use crate::support;

use std::process::Command;
use std::time::Duration;

use sidetone_testkit::phone::{Phone, PhoneConfig, PhoneError};
use support::phones::{call, hears, registered, unregistered};
use support::process::Installation;

fn refused(outcome: Result<sidetone_testkit::phone::Call, PhoneError>) -> (u16, String) {
    match outcome {
        Err(PhoneError::Refused { status, reason }) => (status, reason),
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was answered"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_refused_and_a_running_call_goes_on() {
    let installation = Installation::one_process();
    let phone = registered(&installation, "1001", 440.0).await;
    let running = call(&installation, &phone, "9196").await;
    hears(&installation, &running, 440.0).await;
    running.ear().forget();

    let other = unregistered(&installation, "1002", 550.0).await;
    assert_eq!(refused(other.call("7777").await).0, 404, "an unknown number");
    assert_eq!(refused(other.call("1003").await).0, 480, "a user without a registered phone");
    let wrong = PhoneConfig::new(installation.sip, "127.0.0.1", "1003", "not the password");
    let wrong = Phone::start(wrong).await.unwrap();
    assert!(wrong.register().await.is_err(), "a wrong password registered");
    let stranger = PhoneConfig::new(installation.sip, "nobody.example", "1001", "secret-1001");
    assert!(Phone::start(stranger).await.unwrap().register().await.is_err(), "an unknown domain registered");

    let no_codec = "INVITE sip:9196@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:1;rport;branch=z9hG4bKcodec\r\n\
        Max-Forwards: 70\r\nFrom: <sip:x@127.0.0.1>;tag=1\r\nTo: <sip:9196@127.0.0.1>\r\nCall-ID: codec\r\nCSeq: 1 INVITE\r\n\
        Contact: <sip:x@127.0.0.1:1>\r\nContent-Type: application/sdp\r\nContent-Length: 124\r\n\r\n";
    let sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 97\r\na=rtpmap:97 speex/8000\r\n";
    let invite = no_codec.replace("124", &sdp.len().to_string()) + sdp;
    let answer = raw_exchange(&installation, invite.as_bytes(), "SIP/2.0 488").await;
    assert!(answer.contains("Reason: Q.850"), "{answer}");
    for garbage in
        [&b"\0\0\0\0"[..], b"INVITE", b"GET / HTTP/1.1\r\n\r\n", &[0xff; 1400], b"SIP/2.0 200 OK\r\n\r\n"]
    {
        other.send_raw(garbage);
    }

    tokio::time::sleep(Duration::from_millis(500)).await;
    hears(&installation, &running, 440.0).await;
    assert_eq!(running.ear().received().lost, 0, "the running call lost packets");
    assert!(running.ended().is_none());
    for line in installation.logs().lines() {
        assert!(!sidetone_telemetry::redact::looks_personal(line), "personal in the log: {line}");
    }
}

/// Sends a datagram and waits for a response that begins in a certain way.
async fn raw_exchange(installation: &Installation, message: &[u8], begins: &str) -> String {
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.send_to(message, installation.sip).await.unwrap();
    let mut buffer = [0; 4096];
    loop {
        let read = tokio::time::timeout(Duration::from_secs(10), socket.recv(&mut buffer));
        let length = read.await.unwrap_or_else(|_| panic!("no {begins}\n{}", installation.logs())).unwrap();
        let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
        if text.starts_with(begins) {
            return text;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ports_a_call_is_asked_to_come_later() {
    let installation = Installation::with_media("legs_max = 2\n");
    let phone = unregistered(&installation, "1001", 440.0).await;
    let first = call(&installation, &phone, "9196").await;
    let second = call(&installation, &phone, "9196").await;
    let (status, _) = refused(phone.call("9196").await);
    assert_eq!(status, 503);
    assert!(phone.trace().iter().any(|message| message.contains("Retry-After:")), "no Retry-After");
    hears(&installation, &first, 440.0).await;
    hears(&installation, &second, 440.0).await;
}

#[test]
fn every_mistake_of_a_configuration_is_told_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.toml");
    std::fs::write(
        &file,
        "[media]\nlegs_max = 0\n[signaling]\n[grpc]\nbind = \"0.0.0.0:1\"\n[store]\nknd = 1\n",
    )
    .unwrap();
    let output =
        Command::new(env!("CARGO_BIN_EXE_sidetone")).args(["serve", "--config"]).arg(&file).output().unwrap();
    assert_eq!(output.status.code(), Some(78));
    let text = String::from_utf8(output.stderr).unwrap();
    for key in ["media.legs_max", "signaling", "grpc.bind", "store.knd"] {
        assert!(text.contains(key), "{key} is not named in: {text}");
    }
}
