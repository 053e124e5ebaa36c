//! Fuzz targets: everything that looks at bytes of strangers, each with a committed corpus (`testdata/corpus/*`, and `testdata/torture`)
//! that is replayed as it is and in seeded mutations. No panic on any byte string, no answer that is malformed, and nothing that
//! grows beyond what came in.
//!
//! `SIDETONE_SEED=n` and `SIDETONE_MUTATIONS=n` run others, or more: with ten million it is a night's work for a fuzzer. What such a
//! night finds belongs into the corpus.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

use crate::harness;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::{Flow, Transport};
use sidetone_model::signal::LegSignalKind;
use sidetone_model::time::Timestamp;
use sidetone_sip_core::auth::{
    Algorithm, AuthConfig, Authenticator, Challenge, Credentials, Purpose, StoredHashes, ha1,
};
use sidetone_sip_core::events::Package;
use sidetone_sip_core::identity;
use sidetone_sip_core::message::{
    Framer, Limits, Message, Method, Request, Response, ResponseBuilder, Status, parse_datagram,
};
use sidetone_sip_core::registrar::{self, RegistrarPolicy};
use sidetone_sip_core::replaces::Replaces;
use sidetone_sip_core::uri::{NameAddr, SipUri};
use sidetone_sip_core::{body, outside, sdp};
use sidetone_testkit::netem::Dice;

type File = (String, Vec<u8>);

/// The files of folders of the corpus.
fn corpus(folders: &[&str]) -> Vec<File> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files = Vec::new();
    for folder in folders {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            files.push((
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            ));
        }
    }
    files.sort();
    assert!(files.len() >= 4, "the corpus is there: {folders:?}");
    files
}

/// What hurts parsers: ends of tokens, ends of numbers, ends of quotations.
const TOKENS: [&[u8]; 26] = [
    b"\r\n",
    b"\n",
    b"\r\n ",
    b"\r\n\r\n",
    b"\0",
    b"\"",
    b"\\",
    b"<",
    b">",
    b"<<",
    b";",
    b";;",
    b",",
    b"=",
    b"%",
    b"%00",
    b"%zz",
    b"@",
    b"[",
    b"]:",
    b"::",
    b"4294967296",
    b"-1",
    b"99999999999999999999",
    b"\xff\xfe",
    b"SIP/2.0 ",
];

fn mutate(bytes: &[u8], other: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..=dice.below(6) {
        let at = dice.below(out.len() as u64 + 1) as usize;
        let end = (at + dice.below(40) as usize).min(out.len());
        match dice.below(8) {
            0 if at < out.len() => out[at] = dice.throw() as u8,
            1 => {
                out.splice(at..at, TOKENS[dice.below(26) as usize].iter().copied());
            }
            2 => {
                out.splice(at..end, TOKENS[dice.below(26) as usize].iter().copied());
            }
            3 => {
                out.drain(at..end);
            }
            // A piece said again, many times.
            4 => {
                let piece = out[at..end].repeat(1 + dice.below(200) as usize);
                out.splice(at..at, piece);
            }
            5 => out.truncate(at),
            // A piece of another file.
            6 if !other.is_empty() => {
                let from = dice.below(other.len() as u64) as usize;
                let to = (from + dice.below(200) as usize).min(other.len());
                out.splice(at..end, other[from..to].iter().copied());
            }
            _ if at < out.len() => out[at] ^= 1 << dice.below(8),
            _ => {}
        }
        out.truncate(BYTES_MAX);
    }
    out
}

/// Replays a corpus, and so many mutations of it.
fn replay(target: &str, files: &[File], rounds: u64, mut exercise: impl FnMut(&[u8])) {
    let (seed, asked) = (number("SIDETONE_SEED", 4475), number("SIDETONE_MUTATIONS", rounds));
    eprintln!("{target}: SIDETONE_SEED={seed} SIDETONE_MUTATIONS={asked}");
    let mut dice = Dice::new(seed);
    for (_, bytes) in files {
        exercise(bytes);
    }
    for _ in 0..asked {
        let pick = |dice: &mut Dice| &files[dice.below(files.len() as u64) as usize];
        let ((_, bytes), (_, other)) = (pick(&mut dice), pick(&mut dice));
        exercise(&mutate(bytes, other, &mut dice));
    }
}

/// That nothing is made of some bytes which is much longer than they are.
fn grown(bytes: &[u8], what: &str, length: usize) {
    assert!(length <= 4 * bytes.len() + 4096, "{what}: {length} bytes of {}", bytes.len());
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

fn flow() -> Flow {
    let address = |text: &str| text.parse().unwrap();
    Flow { transport: Transport::Udp, local: address("192.0.2.20:5060"), remote: address("192.0.2.10:5060") }
}

/// What is done with a request before anybody has decided about it.
fn look_at_request(bytes: &[u8], request: &Request) {
    for text in request.authorization().iter().chain(&request.proxy_authorization()) {
        let _ = Credentials::parse(text);
    }
    let _ = (request.contacts(), request.record_route(), request.route(), request.dialog_key());
    if let Ok(Some(part)) = body::of_request(request) {
        assert!(part.len() <= bytes.len());
    }
    for trusted in [false, true] {
        let bounds = identity::Bounds::default();
        let caller = identity::read(request, trusted, bounds);
        let carried: usize = caller.headers.iter().map(|(name, value)| name.len() + value.len()).sum();
        // What is asserted and where the call has been are bounded by themselves.
        grown(bytes, "what is handed on", carried);
    }
    let _ = (identity::preferred_number(request), Replaces::of_request(request), Package::of(request));
    let now = Timestamp::from_millis(1_800_000_000_000);
    match registrar::process(&[], request, &flow(), &RegistrarPolicy::default(), now) {
        Ok(registration) => {
            let response = registration.response(request, "t", Some(90), now).to_bytes();
            grown(bytes, "registration", response.len());
            // Again it is a refresh, or older than what stands.
            let _ = registrar::process(
                &registration.bindings,
                request,
                &flow(),
                &RegistrarPolicy::default(),
                now,
            );
        }
        Err(error) => grown(bytes, "refusal", error.response(request, "t").to_bytes().len()),
    }
    let answer = match outside::inspect(request) {
        Ok(()) => ResponseBuilder::new(request, Status::OK, "t"),
        Err(refusal) => refusal.response(request, "t"),
    };
    let answer = answer.build().to_bytes();
    grown(bytes, "answer", answer.len());
    assert!(parse_datagram(answer, &Limits::default()).is_ok(), "our own answer is malformed");
}

fn look_at_response(response: &Response) {
    let _ = (response.contacts(), response.record_route(), response.dialog_key(), response.status());
    if let Some(challenge) = Challenge::of(response) {
        challenge.answer("1001", "secret", &Method::Invite, "sip:a", "cnonce");
    }
}

#[test]
fn sip_messages() {
    let files = corpus(&["corpus/sip", "torture/rfc4475", "torture/rfc5118"]);
    assert!(files.len() >= 69, "{}", files.len());
    let source = flow().remote;
    replay("sip", &files, 50_000, |bytes| {
        let mut framer = Framer::new(Limits::default());
        for piece in bytes.chunks(777) {
            framer.push(piece);
            while let Ok(Some(_)) = framer.poll_framed() {}
        }
        match parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default()) {
            Ok(Message::Request(request)) => look_at_request(bytes, &request),
            Ok(Message::Response(response)) => look_at_response(&response),
            Err(failure) => {
                if let Some(answer) = failure.response(source, "t") {
                    grown(bytes, "refusal", answer.len());
                }
            }
        }
    });
}

#[test]
fn calls_that_come_in() {
    let files = corpus(&["corpus/sip", "torture/rfc4475", "torture/rfc5118"]);
    replay("calls", &files, 20_000, |bytes| {
        let mut pair = Pair::new(Transport::Udp);
        pair.lose(|_| true);
        pair.inject_whatever('b', bytes.to_vec());
        let offered = pair.b.take().iter().any(|signal| matches!(signal, LegSignalKind::Offered(_)));
        if offered {
            says(&mut pair, LegCommandKind::Answer { media: media(5000) });
        }
        // Whatever we say is parsed by the pair, which stops at what is malformed.
        pair.advance(Duration::from_secs(100));
    });
}

/// The owner of `b` says something, which may cross with what its phone has done.
fn says(pair: &mut Pair, command: LegCommandKind) {
    let now = pair.now;
    let _crossed = pair.b.leg.as_mut().unwrap().handle_command(command, now);
    pair.run();
}

#[test]
fn session_descriptions() {
    replay("sdp", &corpus(&["corpus/sdp"]), 50_000, |bytes| {
        if let Ok(session) = sdp::parse_session(bytes) {
            let identity = sdp::SdpIdentity { origin: session.audio.rtp.ip(), session_id: 1, version: 1 };
            let answer = sdp::write_answer(&session.audio, &session, &identity);
            grown(bytes, "SDP", answer.len());
            let _ = sdp::parse_session(answer.as_bytes());
        }
    });
}

#[test]
fn credentials_and_challenges() {
    let stored = |algorithm| ha1(algorithm, "1001", "acme", "secret");
    let stored = StoredHashes {
        sha256: Some(stored(Algorithm::Sha256)),
        sha512_256: Some(stored(Algorithm::Sha512_256)),
        md5: Some(stored(Algorithm::Md5)),
    };
    let algorithms = vec![Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5];
    let config = AuthConfig { algorithms, ..AuthConfig::default() };
    let mut authenticator = Authenticator::new(config, &[9; 32]);
    let now = Timestamp::from_millis(1_800_000_000_000);
    replay("digest", &corpus(&["corpus/digest"]), 50_000, |bytes| {
        let line: Vec<u8> = bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect();
        let fields = b"Via: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:a@a>;tag=2\r\nCall-ID: c\r\n\
            CSeq: 1 REGISTER\r\n";
        let message = |start: &[u8], name: &[u8]| {
            let bytes =
                [start, b"\r\n", fields, name, b": ", &line, b"\r\nContent-Length: 0\r\n\r\n"].concat();
            parse_datagram(bytes.into(), &Limits::default())
        };
        if let Ok(Message::Request(request)) = message(b"REGISTER sip:acme SIP/2.0", b"Authorization") {
            let purpose = Purpose::of(&request, &["acme".to_owned()]);
            for text in request.authorization() {
                if let Some(credentials) = Credentials::parse(&text) {
                    let _ = (credentials.named_host(), credentials.username(), credentials.realm());
                    let _ = authenticator.verify(&purpose, "acme", &credentials, Some(&stored), now);
                }
            }
        }
        if let Ok(Message::Response(response)) = message(b"SIP/2.0 401 Unauthorized", b"WWW-Authenticate")
            && let Some(challenge) = Challenge::of(&response)
        {
            let answer = challenge.answer("1001", "secret", &Method::Register, "sip:acme", "cnonce");
            grown(bytes, "answer", answer.len());
        }
    });
}

#[test]
fn uris_and_addresses() {
    replay("uri", &corpus(&["corpus/uri"]), 50_000, |bytes| {
        if let Ok(uri) = SipUri::parse(bytes) {
            grown(bytes, "URI", uri.to_string().len());
            let _ =
                (uri.user(), uri.number(), uri.host(), uri.host_addr(), uri.port(), uri.param("transport"));
            let _ = uri.equivalent(&uri);
        }
        if let Ok(address) = NameAddr::parse(bytes) {
            grown(bytes, "name-addr", address.to_string().len());
        }
        if let Ok(list) = NameAddr::parse_list(bytes) {
            grown(bytes, "list", list.iter().map(|address| address.to_string().len()).sum());
        }
    });
}

/// Requests within a call that stands, and answers to a call of ours: the first line says which, the rest is mutated behind a head
/// that finds the dialog.
#[test]
fn what_comes_within_a_dialog() {
    let files = corpus(&["corpus/dialog"]);
    let mut standing = Pair::connected(Transport::Udp);
    let (mut cseq, mut taken, mut answered) = (10, 0u32, 0u32);
    replay("dialog", &files, 20_000, |bytes| {
        let end = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
        let (first, rest) =
            (String::from_utf8_lossy(&bytes[..end]).trim().to_owned(), &bytes[end.min(bytes.len())..]);
        let rest = rest.strip_prefix(b"\n").unwrap_or(rest);
        if first.starts_with(|c: char| c.is_ascii_digit()) {
            answered += u32::from(answer_with(&first, rest));
            return;
        }
        cseq += 1;
        if standing.b.finished || cseq % 500 == 0 {
            standing = Pair::connected(Transport::Udp);
        }
        standing.lose(|_| true);
        let head = {
            let dialog = standing.b.leg.as_ref().unwrap().dialog();
            format!(
                "{first} sip:x@192.0.2.20 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.10:5060;branch=z9hG4bKm{cseq};rport\r\n\
                 From: <sip:1001@example.com>;tag={}\r\nTo: <sip:1002@example.com>;tag={}\r\nCall-ID: {}\r\n\
                 CSeq: {cseq} {first}\r\nContact: <sip:1001@192.0.2.10>\r\n",
                dialog.remote_tag().unwrap(),
                dialog.local_tag(),
                dialog.call_id(),
            )
        };
        taken += u32::from(standing.inject_whatever('b', [head.as_bytes(), rest].concat()));
        if standing.b.take().iter().any(|signal| matches!(signal, LegSignalKind::Reoffered { .. })) {
            says(&mut standing, LegCommandKind::AnswerReoffer { media: Some(media(5000)) });
        }
        standing.advance(Duration::from_secs(33));
        standing.texts.clear();
        standing.wire.clear();
        standing.b.requests_of_leg.clear();
        standing.b.refers.clear();
    });
    eprintln!("{taken} requests and {answered} answers were messages");
    assert!(taken > 1000 && answered > 1000, "{taken} {answered}");
}

/// A call of ours is answered by such a response. True when it was one.
fn answer_with(status: &str, rest: &[u8]) -> bool {
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|_| true);
    pair.a.session_interval_s = 1800;
    pair.call();
    let head = response_to(&pair.texts[0], status).replace("Content-Length: 0\n\n", "").replace('\n', "\r\n");
    let was_one = pair.inject_whatever('a', [head.as_bytes(), rest].concat());
    pair.advance(Duration::from_secs(100));
    was_one
}

/// As much as a datagram can hold.
const BYTES_MAX: usize = 65_535;
