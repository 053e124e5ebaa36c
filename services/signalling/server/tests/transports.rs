//! Phones over every transport (RFC 3261, section 18; RFC 7118), and what keeps their flows alive.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use harness::phone::Phone;
use harness::tls::{self, write_certificate};
use harness::{PATIENCE, Rig, invite_to, within};
use sidetone_model::command::Invite;
use sidetone_model::party::{Party, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_signalling::{ClientAuth, Config, TlsConfig, TransportKind};
use sidetone_sip_core::message::{Message, parse_datagram};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

const ALL: [TransportKind; 5] =
    [TransportKind::Udp, TransportKind::Tcp, TransportKind::Tls, TransportKind::Ws, TransportKind::Wss];

#[tokio::test]
async fn a_phone_registers_calls_and_is_called_over_every_transport_and_family() {
    let folder = tempfile::tempdir().unwrap();
    for bind in ["127.0.0.1:0", "[::1]:0"] {
        let config = Config { tls: tls::config(folder.path()), ..Config::default() };
        let rig = Rig::at(bind, &ALL, config).await;
        let mut owner = rig.attach().await;
        for transport in Transport::ALL {
            let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
            let (_, answer) = phone.register(600).await;
            assert_eq!(answer.status().code(), 200, "{transport:?}");
            let bindings = rig.bindings("alpha", "ada").await;
            let binding = bindings.iter().map(|b| &b.binding).find(|b| b.flow.remote == phone.local).unwrap();
            assert_eq!(binding.flow.transport, transport);

            // A call to it comes over the flow by which it registered.
            let from = Party { number: "1002".into(), ..Party::default() };
            let invite = Invite { from, ..invite_to("1001", binding.clone()) };
            owner.calls(transport as u8, invite).await;
            let request = phone.request().await;
            assert_eq!(*request.via().transport, *transport.token());
            let contact = request.contact_target().unwrap().to_string();
            let parameter = format!("transport={}", transport.uri_parameter());
            assert!(transport == Transport::Udp || contact.contains(&parameter), "{contact}");
            phone.answer(&request, "486 Busy Here", "").await;
            let (signal, _) = owner.ended().await;
            owner.ack(&signal).await;

            // And a call of its own.
            phone.invite("1002", &format!("c{transport:?}")).await;
            let signal = owner.signal().await;
            assert!(matches!(signal.kind, LegSignalKind::Offered(_)));
            phone.register(0).await;
        }
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_name_and_changed_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let other = write_certificate(folder.path(), "other", "pbx.example");
    let mut config = tls::config(folder.path());
    config.certificates.push(other.clone());
    let rig = Rig::at("127.0.0.1:0", &ALL, Config { tls: config, ..Config::default() }).await;
    let address = rig.address(Transport::Tls);
    let connect = || async { TcpStream::connect(address).await.unwrap() };

    tls::connect(connect().await, &rig, "localhost").await.unwrap();
    tls::connect_trusting(connect().await, &other.cert, "pbx.example").await.unwrap();
    tls::connect(connect().await, &rig, "pbx.example").await.unwrap_err();

    let before = tls::connect(connect().await, &rig, "localhost").await.unwrap();
    write_certificate(folder.path(), "sip", "localhost");
    let reloads =
        |result: &str| rig.telemetry.signalling.certificate_reloads.with_label_values(&[result]).get();
    rig.until("the new certificate is in use", || reloads("ok") > 0).await;
    tls::connect(connect().await, &rig, "localhost").await.unwrap();
    drop(before);

    // What cannot be used changes nothing.
    std::fs::write(folder.path().join("sip.key"), "no key").unwrap();
    rig.until("told", || reloads("failed") > 0).await;
    tls::connect(connect().await, &rig, "localhost").await.unwrap();
}

#[tokio::test]
async fn a_peer_without_a_certificate_is_sent_away_when_one_is_required() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = tls::config(folder.path());
    config.client_ca = Some(config.certificates[0].cert.clone());
    config.client_auth = ClientAuth::Required;
    let rig =
        Rig::at("127.0.0.1:0", &[TransportKind::Tls], Config { tls: config, ..Config::default() }).await;
    let stream = TcpStream::connect(rig.address(Transport::Tls)).await.unwrap();
    // With TLS 1.3 the client is done before the server has looked at its certificate.
    if let Ok(mut stream) = tls::connect(stream, &rig, "localhost").await {
        let mut byte = [0];
        within(stream.read_exact(&mut byte)).await.unwrap_err();
    }
    let closed = &rig.telemetry.signalling.connections_closed;
    rig.until("counted", || closed.with_label_values(&["tls_handshake"]).get() == 1).await;
}

/// Whether a phone with its certificate gets an answer.
async fn gets_in(phones: &tls::Phones, rig: &Rig) -> bool {
    let Ok(mut stream) = phones.connect(rig).await else { return false };
    let register = "REGISTER sip:alpha.test SIP/2.0\r\nVia: SIP/2.0/TLS 192.0.2.1;branch=z9hG4bK1\r\nMax-Forwards: 70\r\n\
                    From: <sip:1001@alpha.test>;tag=1\r\nTo: <sip:1001@alpha.test>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\n\
                    Contact: <sip:1001@192.0.2.1;transport=tls>\r\nContent-Length: 0\r\n\r\n";
    let mut answer = [0; 7];
    stream.write_all(register.as_bytes()).await.is_ok()
        && within(stream.read_exact(&mut answer)).await.is_ok()
        && &answer == b"SIP/2.0"
}

#[tokio::test]
async fn a_phone_whose_certificate_is_revoked_is_sent_away_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let phones = tls::Phones::new(folder.path());
    let config = Config { tls: phones.required(), ..Config::default() };
    let rig = Rig::at("127.0.0.1:0", &[TransportKind::Tls], config).await;
    phones.revoke(&[tls::SERIAL + 1]);
    assert!(gets_in(&phones, &rig).await);
    phones.revoke(&[tls::SERIAL]);
    let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(30);
    while gets_in(&phones, &rig).await {
        assert!(tokio::time::Instant::now() < deadline, "it still gets in");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_websocket_needs_its_subprotocol_and_a_page_that_may() {
    let origins = vec!["https://phone.alpha.test".to_owned()];
    let config = Config { websocket_origins: origins, ..Config::default() };
    let rig = Rig::at("127.0.0.1:0", &[TransportKind::Ws], config).await;
    let shake_hands = async |extra: &str| {
        let mut stream = TcpStream::connect(rig.address(Transport::Ws)).await.unwrap();
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        within(stream.read_exact(&mut head)).await.unwrap();
        String::from_utf8(head[9..].to_vec()).unwrap()
    };
    let sip = "Sec-WebSocket-Protocol: chat, sip\r\n";
    assert_eq!(shake_hands("").await, "400");
    assert_eq!(shake_hands(sip).await, "101");
    assert_eq!(shake_hands(&format!("{sip}Origin: https://phone.alpha.test\r\n")).await, "101");
    assert_eq!(shake_hands(&format!("{sip}Origin: https://evil.test\r\n")).await, "403");
}

#[tokio::test]
async fn stun_keep_alives_are_answered_to_who_has_proved_itself() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let mut request = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend([7; 12]);

    // The answer is larger than the question: a stranger gets none.
    let stranger = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    stranger.send_to(&request, rig.address(Transport::Udp)).await.unwrap();
    let reflections = rig.telemetry.signalling.messages_dropped.with_label_values(&["reflection"]);
    rig.until("dropped", || reflections.get() == 1).await;

    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    phone.register(600).await;
    phone.send(&request).await;
    let answer = phone.datagram().await;
    assert_eq!(answer[..2], [1, 1]);
    assert_eq!(answer[8..20], [7; 12]);
    let port = u16::from_be_bytes([answer[26] ^ 0x21, answer[27] ^ 0x12]);
    assert_eq!(port, phone.local.port());
}

#[tokio::test]
async fn a_large_request_goes_by_tcp_and_by_udp_to_who_takes_none() {
    for takes_tcp in [true, false] {
        let rig = Rig::with(Config { udp_request_bytes_max: 200, ..Config::default() }).await;
        let mut owner = rig.attach().await;
        // One whose port is free for TCP, too.
        let (mut phone, listener) = loop {
            let phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
            if let Ok(listener) = TcpListener::bind(phone.local).await {
                break (phone, takes_tcp.then_some(listener));
            }
        };
        phone.register(600).await;
        let binding = rig.bindings("alpha", "ada").await.remove(0).binding;
        let from = Party { number: "1002".into(), ..Party::default() };
        owner.calls(9, Invite { from, ..invite_to("1001", binding) }).await;
        let large = &rig.telemetry.signalling.large_requests;
        match listener {
            Some(listener) => {
                let (mut stream, _) = within(listener.accept()).await.unwrap();
                let mut buffer = vec![0; 4096];
                let length = within(stream.read(&mut buffer)).await.unwrap();
                let text = String::from_utf8(buffer[..length].to_vec()).unwrap();
                assert!(text.starts_with("INVITE ") && text.contains("Via: SIP/2.0/TCP "), "{text}");
                let Message::Request(request) =
                    parse_datagram(text.into_bytes().into(), &Default::default()).unwrap()
                else {
                    panic!("an INVITE");
                };
                let refusal = phone.response_to(&request, "486 Busy Here", "");
                stream.write_all(refusal.as_bytes()).await.unwrap();
                let length = within(stream.read(&mut buffer)).await.unwrap();
                assert!(buffer[..length].starts_with(b"ACK "));
            }
            None => {
                let request = phone.request().await;
                assert_eq!(*request.via().transport, *"UDP");
                assert_eq!(large.with_label_values(&["udp_after_all"]).get(), 1);
                phone.answer(&request, "486 Busy Here", "").await;
            }
        }
        assert_eq!(large.with_label_values(&["tcp"]).get(), 1);
        let (_, termination) = owner.ended().await;
        assert_eq!(termination.sip_status, Some(486));
    }
}

#[tokio::test]
async fn a_connection_that_says_nothing_in_a_handshake_is_counted_and_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let config =
        Config { tls: tls::config(folder.path()), connections_per_source_max: 2, ..Config::default() };
    let rig = Rig::at("127.0.0.1:0", &[TransportKind::Tls], config).await;
    let address = rig.address(Transport::Tls);
    let _silent = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
    let mut third = TcpStream::connect(address).await.unwrap();
    let mut byte = [0];
    assert_eq!(tokio::time::timeout(PATIENCE, third.read(&mut byte)).await.unwrap().unwrap_or(0), 0);
    let closed = &rig.telemetry.signalling.connections_closed;
    assert_eq!(closed.with_label_values(&["connections_of_source"]).get(), 1);
}

#[test]
fn listeners_under_tls_need_certificates_that_are_there() {
    let mut errors = Vec::new();
    let config = Config {
        tls: TlsConfig {
            client_auth: ClientAuth::Optional,
            trust: Some("/nowhere".into()),
            ..TlsConfig::default()
        },
        ..toml::from_str("listeners = [{ transport = \"wss\", bind = \"127.0.0.1:5061\" }]").unwrap()
    };
    config.check(&mut errors);
    let keys: Vec<_> = errors.iter().map(|error| error.key.as_str()).collect();
    let expected = ["tls.certificates", "tls.trust", "tls.client_ca"].map(|key| format!("signalling.{key}"));
    assert_eq!(keys, expected);
}
