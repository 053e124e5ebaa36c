//! Digest authentication from challenge to verdict, and what an attacker may try. The RFC's vectors stand beside
//! the code.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use std::time::Duration;

use sidetone_model::time::Timestamp;
use sidetone_sip_core::auth::{
    Algorithm, AuthConfig, Authenticator, Credentials, Ha1, Purpose, StoredHashes, Verdict, ha1,
};
use sidetone_sip_core::message::{CredentialsText, Limits, Message, Request, parse_datagram};
use sidetone_sip_core::tokens::Tokens;

const REALM: &str = "sip.example.com";
const T0: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn request(value: &str) -> Request {
    let register = format!(
        "REGISTER sip:{REALM} SIP/2.0\r\nVia: SIP/2.0/UDP 10.0.0.1;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:a@b>\r\nCall-ID: c\r\nCSeq: 1 REGISTER\r\nAuthorization: {value}\r\nContent-Length: 0\r\n\r\n"
    );
    let Message::Request(request) = parse_datagram(register.into(), &Limits::default()).unwrap() else {
        panic!()
    };
    request
}

fn text(value: &str) -> CredentialsText {
    request(value).authorization().remove(0)
}

/// A phone of the other hand: its own digest, from the RFC's formula.
fn answer(challenge: &str, user: &str, password: &str, count: u32, uri: &str) -> CredentialsText {
    let get = |name: &str| {
        let from = challenge.find(name).unwrap() + name.len() + 1;
        challenge[from..].split(',').next().unwrap().trim().trim_matches('"').to_owned()
    };
    let algorithm = Algorithm::from_token(&get("algorithm")).unwrap();
    let (realm, nonce) = (get("realm"), get("nonce"));
    // H(a:b:c) is what the public helper computes.
    let hash = |a: &str, b: &str, c: &str| ha1(algorithm, a, b, c).as_hex().to_owned();
    let a1 = hash(user, &realm, password);
    let (scheme, rest) = uri.split_once(':').unwrap();
    let a2 = hash("REGISTER", scheme, rest);
    let response = hash(&a1, &nonce, &format!("{count:08x}:cn:auth:{a2}"));
    text(&format!(
        "Digest username=\"{user}\", realm=\"{realm}\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm={}, cnonce=\"cn\", qop=auth, nc={count:08x}",
        algorithm.token()
    ))
}

struct Rig {
    authenticator: Authenticator,
    tokens: Tokens,
    stored: StoredHashes,
}

impl Rig {
    fn new(config: AuthConfig) -> Self {
        Self {
            authenticator: Authenticator::new(config, &[9; 32]),
            tokens: Tokens::seeded([3; 32]),
            stored: StoredHashes {
                sha256: Some(ha1(Algorithm::Sha256, "icm1001", REALM, "secret")),
                sha512_256: Some(ha1(Algorithm::Sha512_256, "icm1001", REALM, "secret")),
                md5: Some(ha1(Algorithm::Md5, "icm1001", REALM, "secret")),
            },
        }
    }

    fn challenge(&mut self, now: Timestamp) -> Vec<String> {
        self.authenticator.challenge(REALM, false, &mut self.tokens, now)
    }

    fn verify(&mut self, credentials: &CredentialsText, now: Timestamp) -> Verdict {
        let Some(credentials) = Credentials::parse(credentials) else { return Verdict::Malformed };
        let purpose = Purpose::of(&request("Basic abcd"), &[]);
        let stored = (credentials.username() == "icm1001").then_some(&self.stored);
        self.authenticator.verify(&purpose, REALM, &credentials, stored, now)
    }
}

#[test]
fn every_algorithm_is_offered_in_its_order_and_is_good() {
    let all = vec![Algorithm::Sha256, Algorithm::Sha512_256, Algorithm::Md5];
    let mut rig = Rig::new(AuthConfig { algorithms: all.clone(), ..AuthConfig::default() });
    for (at, algorithm) in all.into_iter().enumerate() {
        let challenge = rig.challenge(T0)[at].clone();
        assert!(challenge.contains(&format!("algorithm={},", algorithm.token())), "{challenge}");
        let uri = format!("sip:{REALM}");
        let wrong = answer(&challenge, "icm1001", "guess", 1, &uri);
        assert_eq!(rig.verify(&wrong, T0), Verdict::Wrong);
        let nobody = answer(&challenge, "icm9999", "secret", 1, &uri);
        assert_eq!(rig.verify(&nobody, T0), Verdict::Wrong);
        assert_eq!(rig.verify(&answer(&challenge, "icm1001", "secret", 1, &uri), T0), Verdict::Ok);
    }
}

#[test]
fn a_user_without_a_hash_of_that_algorithm_is_refused() {
    let mut rig = Rig::new(AuthConfig::default());
    rig.stored.md5 = None;
    let challenge = rig.challenge(T0)[1].clone();
    assert_eq!(
        rig.verify(&answer(&challenge, "icm1001", "secret", 1, &format!("sip:{REALM}")), T0),
        Verdict::Wrong
    );
}

#[test]
fn an_old_nonce_is_stale_and_a_forged_one_too() {
    let mut rig = Rig::new(AuthConfig::default());
    let challenge = rig.challenge(T0)[0].clone();
    let uri = format!("sip:{REALM}");
    let late = T0 + Duration::from_secs(301);
    assert_eq!(rig.verify(&answer(&challenge, "icm1001", "secret", 1, &uri), late), Verdict::Stale);
    let forged = challenge.replace("nonce=\"", "nonce=\"AAAA");
    assert_eq!(rig.verify(&answer(&forged, "icm1001", "secret", 1, &uri), T0), Verdict::Stale);
    let mut other = Rig::new(AuthConfig::default());
    other.authenticator = Authenticator::new(AuthConfig::default(), &[8; 32]);
    assert_eq!(other.verify(&answer(&challenge, "icm1001", "secret", 1, &uri), T0), Verdict::Stale);
    let challenge = rig.authenticator.challenge(REALM, true, &mut rig.tokens, T0);
    assert!(challenge.iter().all(|challenge| challenge.ends_with("stale=true")));
}

#[test]
fn a_count_is_good_once_in_any_order_within_the_window() {
    let mut rig = Rig::new(AuthConfig::default());
    let challenge = rig.challenge(T0)[0].clone();
    let mut take =
        |count| rig.verify(&answer(&challenge, "icm1001", "secret", count, &format!("sip:{REALM}")), T0);
    assert_eq!(take(1), Verdict::Ok);
    assert_eq!(take(1), Verdict::Stale, "a replay");
    assert_eq!(take(3), Verdict::Ok);
    assert_eq!(take(2), Verdict::Ok, "overtaken on the way");
    assert_eq!(take(2), Verdict::Stale);
    assert_eq!(take(0), Verdict::Stale);
    assert_eq!(take(200), Verdict::Ok);
    assert_eq!(take(100), Verdict::Stale, "out of the window");
}

#[test]
fn forgetting_counts_never_lets_a_replay_through() {
    let mut rig = Rig::new(AuthConfig { nonces_max: 2, ..AuthConfig::default() });
    let uri = format!("sip:{REALM}");
    let used: Vec<CredentialsText> = (0..4u64)
        .map(|i| {
            let at = Timestamp::from_millis(T0.as_millis() + i);
            let challenge = rig.challenge(at)[0].clone();
            let credentials = answer(&challenge, "icm1001", "secret", 1, &uri);
            assert_eq!(rig.verify(&credentials, at), Verdict::Ok);
            credentials
        })
        .collect();
    for credentials in &used {
        assert_eq!(rig.verify(credentials, T0 + Duration::from_millis(10)), Verdict::Stale);
    }
}

#[test]
fn what_is_not_digest_is_malformed() {
    let mut rig = Rig::new(AuthConfig::default());
    for bad in [
        "Basic abcd",
        "Digest",
        "Digest username=\"a",
        "Digest username=\"a\", username=\"b\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\", qop=auth, nc=1, cnonce=\"c\"",
        "Digest username=\"a\", realm=\"r\", nonce=\"n\", uri=\"sip:x\", response=\"0\", qop=auth, nc=00000001, cnonce=\"c\", algorithm=SHA-1",
    ] {
        assert_eq!(rig.verify(&text(bad), T0), Verdict::Malformed, "{bad}");
    }
    let challenge = rig.challenge(T0)[0].clone();
    let elsewhere = answer(&challenge, "icm1001", "secret", 1, "sip:other.example.com");
    assert_eq!(rig.verify(&elsewhere, T0), Verdict::Malformed);
}

#[test]
fn nothing_secret_stands_in_debug_forms() {
    let mut rig = Rig::new(AuthConfig::default());
    let challenge = rig.challenge(T0)[0].clone();
    let credentials = answer(&challenge, "icm1001", "secret", 1, &format!("sip:{REALM}"));
    let parsed = Credentials::parse(&credentials).unwrap();
    let shown =
        format!("{credentials:?} {parsed:?} {:?} {:?}", rig.stored, ha1(Algorithm::Md5, "icm1001", "r", "p"));
    let hash = rig.stored.sha256.as_ref().map(Ha1::as_hex).unwrap();
    assert!(!shown.contains("icm1001") && !shown.contains(hash), "{shown}");
}

#[test]
fn what_is_not_offered_is_not_taken() {
    let config = AuthConfig { algorithms: vec![Algorithm::Md5], ..AuthConfig::default() };
    let authenticator = Authenticator::new(config, &[7; 32]);
    let offered =
        authenticator.challenge(REALM, false, &mut Tokens::seeded([1; 32]), Timestamp::from_millis(1));
    assert_eq!(offered.len(), 1);
    assert!(offered[0].contains("algorithm=MD5"), "{offered:?}");
}
