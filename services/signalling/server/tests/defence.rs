//! What hostile requests meet: silence, the same answer for everybody, waiting, and never more than they sent.
#![allow(clippy::unwrap_used, reason = "tests may panic")]

use crate::harness;

use std::time::{Duration, Instant};

use harness::Rig;
use harness::phone::{Phone, SDP};
use sidetone_model::party::Transport;
use sidetone_signalling::{Config, DefenceConfig};
use tokio::net::UdpSocket;

fn count(rig: &Rig, rule: &str) -> u64 {
    rig.telemetry.signalling.defended.with_label_values(&[rule]).get()
}

#[tokio::test]
async fn scanners_hear_nothing() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut phone = Phone::new(&rig, transport, "alpha.test", "1001", "pw-of-ada").await;
        let own = rig.address(transport);
        let to = "<sip:100@alpha.test>";
        let named = phone.compose("OPTIONS", "100@alpha.test", to, "a", "", "");
        let named = named.replace("User-Agent: ", "User-Agent: Friendly-Scanner/0.3 ");
        let in_from = phone.compose("REGISTER", "alpha.test", to, "b", "", "");
        let in_from = in_from.replace("From: ", "From: \"sipvicious\" ");
        let address = phone.compose("OPTIONS", &format!("100@{own}"), to, "c", "", "");
        let unknown = phone.compose("INVITE", "100@gamma.test", to, "d", "", SDP);
        let before = ["scanner", "options_to_address", "unknown_domain"].map(|rule| count(&rig, rule));
        for text in [named, in_from, address, unknown] {
            phone.send(text).await;
        }
        rig.until("dropped", || {
            ["scanner", "options_to_address", "unknown_domain"].map(|rule| count(&rig, rule))
                == [before[0] + 2, before[1] + 1, before[2] + 1]
        })
        .await;
        // The first thing that it hears answers the first thing that deserves an answer.
        let asked = phone.compose("OPTIONS", "alpha.test", to, "e", "", "");
        phone.send(asked).await;
        assert_eq!(phone.last().await.call_id(), "e");
    }
}

#[tokio::test]
async fn an_invite_to_an_unknown_domain_leaves_nothing_behind() {
    let rig = Rig::with(Config { t1_ms: 10, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "guest", "").await;
    let invite = phone.compose("INVITE", "100@gamma.test", "<sip:100@gamma.test>", "a", "", SDP);
    for n in 1..=3 {
        phone.send(&invite).await;
        rig.until("each is new", || count(&rig, "unknown_domain") == n).await;
    }
    // No 100 after 200 ms: nothing is waited for any more.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(rig.telemetry.signalling.responses_sent.with_label_values(&["1xx"]).get(), 0);
    let options = phone.compose("OPTIONS", "alpha.test", "<sip:alpha.test>", "b", "", "");
    phone.send(options).await;
    assert_eq!(phone.next_response_of("b").await.status().code(), 200);
}

#[tokio::test]
async fn users_that_exist_and_others_are_answered_alike() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let shape = |text: &str, user: &str| {
        let mut lines: Vec<String> = text
            .lines()
            .map(|line| line.split(";tag=").next().unwrap_or_default().replace(user, "USER"))
            .map(|line| line.split("nonce=").next().unwrap_or_default().to_owned())
            .filter(|line| !line.starts_with("Via") && !line.starts_with("Call-ID"))
            .collect();
        lines.sort();
        lines
    };
    let mut shapes = Vec::new();
    for user in ["1001", "1007"] {
        let mut phone = Phone::udp(&rig, user, "wrong").await;
        let mut of_user = Vec::new();
        for method in ["REGISTER", "INVITE"] {
            let uri =
                if method == "REGISTER" { "alpha.test".to_owned() } else { format!("{user}@alpha.test") };
            let to = format!("<sip:{user}@alpha.test>");
            let body = if method == "INVITE" { SDP } else { "" };
            let text = phone.compose(method, &uri, &to, &format!("x{user}{method}"), "", body);
            phone.send(text).await;
            let challenge = phone.last().await;
            let authorization = phone.authorization(&challenge, method, &uri);
            let text = phone.compose(method, &uri, &to, &format!("y{user}{method}"), &authorization, body);
            phone.send(text).await;
            let refused = phone.next_response_of(&format!("y{user}{method}")).await;
            for response in [challenge, refused] {
                of_user.push(shape(std::str::from_utf8(&response.to_bytes()).unwrap(), user));
            }
        }
        shapes.push(of_user);
    }
    assert_eq!(shapes[0], shapes[1]);
}

#[tokio::test]
async fn guessing_is_slowed_and_banned_and_registered_phones_of_the_source_stay() {
    let defence = DefenceConfig { failures_max: 4, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut honest = Phone::udp(&rig, "1002", "pw-of-ben").await;
    honest.register(600).await;

    let mut guesser = Phone::udp(&rig, "1001", "wrong").await;
    let to = "<sip:1001@alpha.test>";
    let first = guesser.compose("REGISTER", "alpha.test", to, "g", "", "");
    guesser.send(first).await;
    let mut challenge = guesser.last().await;
    let begun = Instant::now();
    for n in 0..5 {
        let authorization = guesser.authorization(&challenge, "REGISTER", "alpha.test");
        let text = guesser.compose("REGISTER", "alpha.test", to, &format!("g{n}"), &authorization, "");
        guesser.send(text).await;
        if n < 4 {
            challenge = guesser.next_response_of(&format!("g{n}")).await;
            assert_eq!(challenge.status().code(), 401);
        }
    }
    assert!(begun.elapsed() >= Duration::from_millis(700), "the third waits 250 ms, the fourth 500 ms");
    rig.until("banned", || rig.telemetry.signalling.bans.get() == 1).await;

    // The right password comes too late, and so does anybody new from there.
    guesser.password = "pw-of-ada";
    let authorization = guesser.authorization(&challenge, "REGISTER", "alpha.test");
    let text = guesser.compose("REGISTER", "alpha.test", to, "late", &authorization, "");
    guesser.send(text).await;
    rig.until("silence", || count(&rig, "banned") == 1).await;
    assert!(rig.bindings("alpha", "ada").await.is_empty());
    // Who is registered goes on.
    assert_eq!(honest.register(600).await.1.status().code(), 200);

    // But having an account is no licence to guess at others'.
    let (challenge, _) = honest.register(600).await;
    honest.password = "wrong";
    let authorization = honest.authorization(&challenge, "REGISTER", "alpha.test");
    let text = honest.compose("REGISTER", "alpha.test", to, "turned", &authorization, "");
    honest.send(text).await;
    rig.until("silence", || count(&rig, "banned") == 2).await;
    honest.password = "pw-of-ben";
    let text = honest.compose("REGISTER", "alpha.test", to, "again", "", "");
    honest.send(text).await;
    rig.until("silence for all it says", || count(&rig, "banned") == 3).await;
}

#[tokio::test]
async fn an_address_that_proved_nothing_gets_no_more_than_it_sent() {
    let rig = Rig::with(Config { t1_ms: 10, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let victim = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let server = rig.address(Transport::Udp);
    let via = victim.local_addr().unwrap();
    let texts = [
        format!(
            "REGISTER sip:alpha.test SIP/2.0\r\nv: SIP/2.0/UDP {via};branch=z9hG4bKa;rport\r\nf: <sip:a@a>;tag=a\r\n\
             t: <sip:a@a>\r\ni: a\r\nCSeq: 1 REGISTER\r\nl: 0\r\n\r\n"
        ),
        format!(
            "INVITE sip:1001@alpha.test SIP/2.0\r\nv: SIP/2.0/UDP {via};branch=z9hG4bKb;rport\r\nf: <sip:a@a>;tag=a\r\n\
             t: <sip:a@a>\r\ni: b\r\nm: <sip:a@a>\r\nCSeq: 1 INVITE\r\nl: 0\r\n\r\n"
        ),
        format!("FOO sip:a SIP/2.0\r\nv: SIP/2.0/UDP {via};branch=z9hG4bKc;rport\r\nCSeq: x\r\n\r\n"),
    ];
    let mut sent = 0;
    for text in &texts {
        sent += text.len();
        victim.send_to(text.as_bytes(), server).await.unwrap();
    }
    // With T1 = 10 ms every repetition of an answer is over soon.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let mut buffer = [0; 4096];
    let mut got = 0;
    while let Ok(length) = victim.try_recv(&mut buffer) {
        got += length;
    }
    assert!(got <= sent, "{got} bytes for {sent}");
    assert!(count(&rig, "reflection") > 0);
}

#[tokio::test]
async fn a_banned_source_hears_nothing_at_all() {
    let defence = DefenceConfig { failures_max: 1, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut honest = Phone::udp(&rig, "1002", "pw-of-ben").await;
    honest.register(600).await;
    let mut stranger = Phone::new(&rig, Transport::Tcp, "alpha.test", "1001", "pw-of-ada").await;

    let mut guesser = Phone::udp(&rig, "1001", "wrong").await;
    for n in 0..2 {
        let text =
            guesser.compose("REGISTER", "alpha.test", "<sip:1001@alpha.test>", &format!("a{n}"), "", "");
        guesser.send(text).await;
        let challenge = guesser.next_response_of(&format!("a{n}")).await;
        let authorization = guesser.authorization(&challenge, "REGISTER", "alpha.test");
        let to = "<sip:1001@alpha.test>";
        let text = guesser.compose("REGISTER", "alpha.test", to, &format!("b{n}"), &authorization, "");
        guesser.send(text).await;
    }
    rig.until("banned", || rig.telemetry.signalling.bans.get() == 1).await;

    // What is no message, what belongs to no call, and STUN that is as large as its answer.
    let malformed = format!(
        "FOO sip:a SIP/2.0\r\nVia: SIP/2.0/UDP {};branch=z9hG4bKm\r\nCSeq: x\r\n{}\r\n",
        guesser.local,
        "X: y\r\n".repeat(40)
    );
    let stun =
        [&[0, 1, 0, 28, 0x21, 0x12, 0xa4, 0x42][..], &[7; 12], &[0x80, 0x22, 0, 24], &[b'x'; 24]].concat();
    let bye = guesser.compose("BYE", "1001@alpha.test", "<sip:1001@alpha.test>;tag=none", "c", "", "");
    for text in [malformed.as_bytes(), &stun, bye.as_bytes()] {
        let before = count(&rig, "banned");
        guesser.send(text).await;
        rig.until("silence", || count(&rig, "banned") == before + 1).await;
    }
    let closed =
        |reason: &str| rig.telemetry.signalling.connections_closed.with_label_values(&[reason]).get();
    stranger.send("\r\n\r\n").await;
    rig.until("hung up on", || closed("banned") == 1).await;
    let _refused = tokio::net::TcpStream::connect(rig.address(Transport::Tcp)).await.unwrap();
    rig.until("not taken", || closed("banned") == 2).await;
    // The phone behind the same address is not meant.
    honest.send(&stun).await;
    assert_eq!(honest.datagram().await[..2], [1, 1]);
    assert_eq!(honest.register(600).await.1.status().code(), 200);
}

#[tokio::test]
async fn strangers_are_not_told_what_we_are() {
    let rig = Rig::start().await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let to = "<sip:100@alpha.test>";
    let mut answers = Vec::new();
    for (method, uri, to, extra) in [
        ("OPTIONS", "alpha.test", to, ""),
        ("PUBLISH", "alpha.test", to, ""),
        ("REGISTER", "alpha.test", to, ""),
        ("OPTIONS", "alpha.test", to, "Require: nothing-of-the-kind\r\n"),
        ("BYE", "100@alpha.test", "<sip:100@alpha.test>;tag=none", ""),
        ("CANCEL", "100@alpha.test", to, ""),
    ] {
        let sent = phone.compose(method, uri, to, &format!("s{}", answers.len()), extra, "");
        phone.send(&sent).await;
        let answer = phone.next_response_of(&format!("s{}", answers.len())).await;
        let said = answer.header("Server").or(answer.header("User-Agent"));
        assert_eq!(said, None, "{method}");
        answers.push(answer.status().code());
    }
    assert_eq!(answers, [200, 405, 401, 420, 481, 481]);
    phone.register(600).await;
    let asked = phone.compose("OPTIONS", "alpha.test", to, "known", "", "");
    phone.send(asked).await;
    assert!(phone.next_response_of("known").await.header("Server").is_some());
}

#[tokio::test]
async fn cancels_of_nothing_count_against_the_share_of_their_source() {
    let rig = Rig::with(Config { source_requests_per_s: 2, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    for n in 0..20 {
        let text =
            phone.compose("CANCEL", "100@alpha.test", "<sip:100@alpha.test>", &format!("n{n}"), "", "");
        phone.send(text).await;
    }
    rig.until("dropped", || count(&rig, "source_rate") > 0).await;
}

#[tokio::test]
async fn a_tenant_has_its_share() {
    let defence = DefenceConfig { tenant_requests_per_s: 2, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
    let mut beta = Phone::new(&rig, Transport::Udp, "beta.test", "1001", "pw-of-beta").await;
    let mut statuses = Vec::new();
    // However slowly they come: sooner or later they are more than its share.
    while statuses.len() < 200 && !statuses.contains(&503) {
        statuses.push(phone.register(600).await.1.status().code());
    }
    assert_eq!(statuses[0], 200);
    assert!(statuses.contains(&503), "{statuses:?}");
    assert_eq!(beta.register(600).await.1.status().code(), 200, "another tenant is not concerned");
}

#[tokio::test]
async fn a_gateway_that_is_exempt_may_ask_our_address_whether_we_are_there() {
    let exempt = vec!["127.0.0.0/8".parse().unwrap()];
    let defence = DefenceConfig { exempt, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let _owner = rig.attach().await;
    let mut gateway = Phone::udp(&rig, "anybody", "").await;
    let options = gateway.compose("OPTIONS", "192.0.2.1", "<sip:192.0.2.1>", "up", "", "");
    gateway.send(options).await;
    assert_eq!(gateway.next_response_of("up").await.status().code(), 200);
}
