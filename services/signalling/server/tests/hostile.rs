//! Calls while hostile datagrams come and the phones' own ones are damaged on the way: none fails because of it. Ten times the
//! share that a bad network and a busy attacker would have.
#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test stops where something is not as it must be"
)]

use crate::harness;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::phone::{Phone, SDP};
use harness::{OwnerEnd, Rig, media};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sidetone_model::command::LegCommandKind;
use sidetone_model::ids::LegId;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_signalling::{Config, DefenceConfig};
use sidetone_sip_core::message::{Limits, Message, Response, parse_datagram};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

const PHONES: usize = 20;
const CALLS_OF_EACH: usize = 5;
/// One in so many of a phone's datagrams is damaged.
const DAMAGED: u32 = 10;
/// RFC 3261's T1: when a phone says it again.
const T1: Duration = Duration::from_millis(500);

/// A line that damages some of what a phone says; the phone says it again when no answer comes.
struct BadLine {
    phone: Phone,
    random: StdRng,
    damaged: Arc<AtomicU64>,
}

impl BadLine {
    async fn say(&mut self, text: &str) {
        if self.random.random_range(0..DAMAGED) != 0 {
            return self.phone.send(text).await;
        }
        self.damaged.fetch_add(1, Ordering::Relaxed);
        let damaged = damage(text.as_bytes(), &mut self.random);
        self.phone.send(damaged).await;
    }

    /// Says it until it has a final answer that is one: what answers the damaged text is not believed to be the last word.
    async fn ask(&mut self, text: &str, cseq: u32) -> Response {
        for _ in 0..20 {
            self.say(text).await;
            let answered = tokio::time::timeout(T1, self.final_answer(cseq));
            if let Ok(response) = answered.await {
                return response;
            }
        }
        panic!("no answer to\n{text}");
    }

    async fn final_answer(&mut self, cseq: u32) -> Response {
        loop {
            // What answers damaged bytes may be odd itself.
            let datagram = self.phone.datagram().await;
            if let Ok(Message::Response(response)) = parse_datagram(datagram.into(), &Limits::default())
                && response.cseq() == cseq
                && response.status().is_final()
            {
                return response;
            }
        }
    }

    /// From INVITE to the answer to BYE, as a phone does it: a challenge is answered, and a refusal that a damaged request has
    /// earned makes it ask once more.
    async fn call(&mut self, call_id: &str) {
        let (uri, to) = ("9198@alpha.test", "<sip:9198@alpha.test>");
        let mut authorization = String::new();
        let ok = loop {
            let invite = self.phone.compose("INVITE", uri, to, call_id, &authorization, SDP);
            let cseq = self.phone.cseq();
            let response = self.ask(&invite, cseq).await;
            if response.status().is_success() {
                break response;
            }
            assert!(response.status().code() < 500, "{:?}", response.status());
            let to = response.header("To").unwrap_or_default();
            // Within the INVITE's transaction (RFC 3261, section 17.1.1.3).
            let ack = self.phone.compose("ACK", uri, &to, call_id, "", "");
            let ack = ack.replacen(&format!("{call_id}ack{cseq}"), &format!("{call_id}{cseq}"), 1);
            self.phone.send(ack).await;
            if response.header("WWW-Authenticate").is_some() {
                authorization = self.phone.authorization(&response, "INVITE", uri);
            }
        };
        self.phone.within_dialog("ACK", &ok, "", "").await;
        tokio::time::sleep(Duration::from_millis(self.random.random_range(0..300))).await;
        let target = ok.contact_target().unwrap().to_string();
        let (target, to) = (target.trim_start_matches("sip:").to_owned(), ok.header("To").unwrap());
        for _ in 0..20 {
            let bye = self.phone.compose("BYE", &target, &to, ok.call_id(), "", "");
            let cseq = self.phone.cseq();
            if self.ask(&bye, cseq).await.status().is_success() {
                return;
            }
        }
        panic!("no BYE is taken");
    }
}

/// Cut short, or some of it overwritten.
fn damage(bytes: &[u8], random: &mut StdRng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    if random.random_range(0..4) == 0 {
        bytes.truncate(random.random_range(1..bytes.len()));
        return bytes;
    }
    let from = random.random_range(0..bytes.len());
    let to = (from + random.random_range(1..40)).min(bytes.len());
    bytes[from..to].iter_mut().for_each(|byte| *byte = random.random());
    bytes
}

/// What an attacker sends: damaged requests, answers to nothing, noise, floods of beginnings.
async fn attack(server: std::net::SocketAddr, mut random: StdRng, stop: CancellationToken) -> u64 {
    let mut sent = 0;
    let socket = UdpSocket::bind("127.0.0.66:0").await.unwrap();
    while !stop.is_cancelled() {
        let n: u32 = random.random();
        let method = ["INVITE", "BYE", "CANCEL", "ACK", "REGISTER", "OPTIONS", "SUBSCRIBE"][n as usize % 7];
        let text = format!(
            "{method} sip:9198@alpha.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.66:5060;branch=z9hG4bK{n}\r\n\
             From: <sip:1001@alpha.test>;tag=t{n}\r\nTo: <sip:9198@alpha.test>;tag={n}\r\nCall-ID: c{}-0\r\n\
             CSeq: {} {method}\r\nContact: <sip:x@127.0.0.66>\r\nMax-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
            n % PHONES as u32,
            n % 9
        );
        let bytes = match n % 3 {
            0 => damage(text.as_bytes(), &mut random),
            1 => (0..random.random_range(1..1400)).map(|_| random.random()).collect(),
            _ => text
                .replacen(&format!("{method} sip:9198@alpha.test SIP/2.0"), "SIP/2.0 200 OK", 1)
                .into_bytes(),
        };
        socket.send_to(&bytes, server).await.unwrap();
        sent += 1;
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    sent
}

/// Call control: takes every call, and hears how each ends.
async fn answer_all(mut owner: OwnerEnd, ended: Arc<std::sync::Mutex<HashMap<LegId, Cause>>>) {
    loop {
        let signal = owner.signal().await;
        match &signal.kind {
            LegSignalKind::Offered(_) => {
                owner.command("alpha", signal.leg, 1, LegCommandKind::Answer { media: media() }).await;
            }
            LegSignalKind::Ended(termination) => {
                ended.lock().unwrap().insert(signal.leg, termination.cause);
            }
            _ => {}
        }
        owner.ack(&signal).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_among_hostile_and_damaged_datagrams() {
    let seed = std::env::var("HOSTILE_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(20_261_121u64);
    eprintln!("HOSTILE_SEED={seed}");
    // All phones here have one address, as behind a NAT; what is damaged in their answers to challenges counts against it.
    let defence = DefenceConfig { failures_max: 100, ..DefenceConfig::default() };
    let rig = Rig::with(Config { defence, ..Config::default() }).await;
    let owner = rig.attach().await;
    let ended = Arc::default();
    let control = tokio::spawn(answer_all(owner, Arc::clone(&ended)));
    let stop = CancellationToken::new();
    let server = rig.address(sidetone_model::party::Transport::Udp);
    let attacker = tokio::spawn(attack(server, StdRng::seed_from_u64(seed), stop.clone()));
    let damaged = Arc::new(AtomicU64::new(0));
    let mut lines = Vec::new();
    for n in 0..PHONES {
        let phone = Phone::udp(&rig, "1001", "pw-of-ada").await;
        let random = StdRng::seed_from_u64(seed ^ (n as u64 + 1));
        let mut line = BadLine { phone, random, damaged: Arc::clone(&damaged) };
        lines.push(tokio::spawn(async move {
            for call in 0..CALLS_OF_EACH {
                line.call(&format!("c{n}-{call}")).await;
            }
        }));
    }
    for line in lines {
        tokio::time::timeout(Duration::from_secs(120), line).await.unwrap().unwrap();
    }
    stop.cancel();
    let hostile = attacker.await.unwrap();
    let normal = || {
        let ended = ended.lock().unwrap();
        ended.values().filter(|cause| **cause == Cause::Normal).count()
    };
    rig.until("every call has ended as it should", || normal() >= PHONES * CALLS_OF_EACH).await;
    control.abort();
    let damaged = damaged.load(Ordering::Relaxed);
    eprintln!("{} calls, {damaged} datagrams of phones damaged, {hostile} hostile ones", normal());
    assert!(damaged >= (PHONES * CALLS_OF_EACH) as u64 / 10 && hostile >= 50, "{damaged} {hostile}");
}
