//! Every parser against mutations of a committed corpus (testdata/corpus and testdata/torture): no panic on any byte string, no
//! answer that is malformed, and nothing that grows beyond what came in.
//!
//! `SIDETONE_SEED=n` and `SIDETONE_MUTATIONS=n` run others, or more: with ten million it is a night's work for a fuzzer.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

use std::path::PathBuf;

use bytes::Bytes;
use sidetone_sip_core::auth::Credentials;
use sidetone_sip_core::message::{Framer, Limits, Message, ResponseBuilder, Status, parse_datagram};
use sidetone_sip_core::uri::{NameAddr, SipUri};
use sidetone_sip_core::{body, outside, sdp};
use sidetone_testkit::netem::Dice;

fn corpus() -> Vec<(String, Vec<u8>)> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata");
    let mut files = Vec::new();
    for folder in ["corpus", "torture/rfc4475", "torture/rfc5118"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            files.push((
                path.file_name().unwrap().to_string_lossy().into_owned(),
                std::fs::read(&path).unwrap(),
            ));
        }
    }
    files.sort();
    assert!(files.len() >= 70, "the corpus is there");
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

/// Everything that looks at bytes of strangers.
fn exercise(bytes: &[u8]) {
    let grown = |what: &str, length: usize| {
        assert!(length <= 4 * bytes.len() + 4096, "{what}: {length} bytes of {}", bytes.len());
    };
    if let Ok(uri) = SipUri::parse(bytes) {
        grown("URI", uri.to_string().len());
        let _ = (
            uri.user(),
            uri.host(),
            uri.host_addr(),
            uri.port(),
            uri.param("transport"),
            uri.equivalent(&uri),
        );
    }
    if let Ok(address) = NameAddr::parse(bytes) {
        grown("name-addr", address.to_string().len());
    }
    if let Ok(session) = sdp::parse_session(bytes) {
        let identity = sdp::SdpIdentity { origin: session.audio.rtp.ip(), session_id: 1, version: 1 };
        let answer = sdp::write_answer(&session.audio, &session, &identity);
        grown("SDP", answer.len());
    }
    let mut framer = Framer::new(Limits::default());
    for piece in bytes.chunks(777) {
        framer.push(piece);
        while let Ok(Some(_)) = framer.poll_framed() {}
    }
    let source = "192.0.2.1:5060".parse().unwrap();
    match parse_datagram(Bytes::copy_from_slice(bytes), &Limits::default()) {
        Ok(Message::Request(request)) => {
            for text in request.authorization().iter().chain(&request.proxy_authorization()) {
                let _ = Credentials::parse(text);
            }
            let _ = (request.contacts(), request.record_route(), request.route(), request.dialog_key());
            if let Ok(Some(part)) = body::of_request(&request) {
                assert!(part.len() <= bytes.len());
            }
            let answer = match outside::inspect(&request) {
                Ok(()) => ResponseBuilder::new(&request, Status::OK, "t"),
                Err(refusal) => refusal.response(&request, "t"),
            };
            let answer = answer.build().to_bytes();
            grown("answer", answer.len());
            assert!(parse_datagram(answer, &Limits::default()).is_ok(), "our own answer is malformed");
        }
        Ok(Message::Response(response)) => {
            let _ = (response.contacts(), response.record_route(), response.dialog_key(), response.status());
        }
        Err(failure) => {
            if let Some(answer) = failure.response(source, "t") {
                grown("refusal", answer.len());
            }
        }
    }
}

/// The same words as credentials, by a request that carries them.
fn exercise_digest(words: &[u8]) {
    let mut text = b"REGISTER sip:a SIP/2.0\r\nVia: SIP/2.0/UDP a;branch=z9hG4bK1\r\nFrom: <sip:a@a>;tag=1\r\nTo: <sip:a@a>\r\n\
        Call-ID: c\r\nCSeq: 1 REGISTER\r\nAuthorization: "
        .to_vec();
    text.extend(words.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    text.extend_from_slice(b"\r\nContent-Length: 0\r\n\r\n");
    exercise(&text);
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn no_byte_string_does_harm() {
    let (seed, rounds) = (number("SIDETONE_SEED", 4475), number("SIDETONE_MUTATIONS", 50_000));
    eprintln!("SIDETONE_SEED={seed} SIDETONE_MUTATIONS={rounds}");
    let (files, mut dice) = (corpus(), Dice::new(seed));
    for (name, bytes) in &files {
        exercise(bytes);
        if name.ends_with(".txt") {
            exercise_digest(bytes);
        }
    }
    for _ in 0..rounds {
        let pick = |dice: &mut Dice| &files[dice.below(files.len() as u64) as usize];
        let ((name, bytes), (_, other)) = (pick(&mut dice), pick(&mut dice));
        let mutated = mutate(bytes, other, &mut dice);
        exercise(&mutated);
        if name.ends_with(".txt") {
            exercise_digest(&mutated);
        }
    }
}

/// As much as a datagram can hold.
const BYTES_MAX: usize = 65_535;
