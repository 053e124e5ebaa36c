//! A call's signature is good, and is not good any more when anything of it is changed (RFC 8224, section 6.2).
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use sidetone_model::classify::IdentityFault;
use sidetone_model::time::Timestamp;
use sidetone_stir_core::{
    Anchors, Attestation, CertificateError, Chain, Fault, Offer, Passport, SigningKey, TelephoneNumber,
    Verified,
};
use sidetone_testkit::stir::{Authority, GoodFor, Issued};

const NOW_S: u64 = 1_800_000_000;
const X5U: &str = "https://cert.example.org/shaken.pem";
const ORIGID: &str = "123e4567-e89b-82d3-a456-426655440000";

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(seconds * 1000)
}

fn tn(text: &str) -> TelephoneNumber {
    TelephoneNumber::canonical(text).unwrap()
}

fn passport() -> Passport {
    let numbers = (tn("+12155551212"), tn("+12155551213"));
    Passport::shaken(X5U, numbers, Attestation::A, ORIGID, NOW_S)
}

struct World {
    authority: Authority,
    issued: Issued,
    identity: String,
}

impl World {
    fn new() -> Self {
        Self::with(GoodFor::Provider("709J"), &passport())
    }

    fn with(good_for: GoodFor, passport: &Passport) -> Self {
        let authority = Authority::new().unwrap();
        let issued = authority.issue(good_for).unwrap();
        let identity = SigningKey::from_pem(issued.key_pem.as_bytes()).unwrap().sign(passport).unwrap();
        Self { authority, issued, identity }
    }

    fn anchors(&self) -> Anchors {
        Anchors::from_pem(self.authority.root_pem().as_bytes()).unwrap()
    }

    fn chain(&self) -> Chain {
        Chain::parse(self.issued.chain_pem.as_bytes()).unwrap()
    }

    fn verdict(&self, identity: &str) -> Result<Verified, Fault> {
        self.verdict_of(&[identity.to_owned()], "+12155551212", "+12155551213", NOW_S)
    }

    fn verdict_of(&self, identities: &[String], from: &str, to: &str, now_s: u64) -> Result<Verified, Fault> {
        let offer = Offer::choose(identities, &[tn(from)], Some(&tn(to)), Some(NOW_S), (at(now_s), 60))?;
        assert_eq!(offer.certificate_url(), X5U);
        offer.verify(&self.chain(), &self.anchors(), at(now_s))
    }
}

/// The token's parts, and what stands behind it.
fn parts(identity: &str) -> (String, String, String, String) {
    let (token, parameters) = identity.split_once(';').unwrap();
    let mut parts = token.split('.').map(str::to_owned);
    (parts.next().unwrap(), parts.next().unwrap(), parts.next().unwrap(), parameters.to_owned())
}

fn decoded(part: &str) -> String {
    String::from_utf8(BASE64.decode(part).unwrap()).unwrap()
}

#[test]
fn what_is_signed_is_good_and_stands_in_the_order_of_the_rfc() {
    let world = World::new();
    let (header, claims, _, parameters) = parts(&world.identity);
    assert_eq!(
        decoded(&header),
        format!(r#"{{"alg":"ES256","ppt":"shaken","typ":"passport","x5u":"{X5U}"}}"#)
    );
    assert_eq!(
        decoded(&claims),
        format!(
            r#"{{"attest":"A","dest":{{"tn":["12155551213"]}},"iat":{NOW_S},"orig":{{"tn":"12155551212"}},"origid":"{ORIGID}"}}"#
        )
    );
    assert_eq!(parameters, format!("info=<{X5U}>;alg=ES256;ppt=shaken"));
    let expected =
        Verified { caller: tn("12155551212"), attest: Some(Attestation::A), origid: Some(ORIGID.into()) };
    assert_eq!(world.verdict(&world.identity), Ok(expected));
}

/// Another implementation of JWS finds the signature good.
#[test]
fn another_library_agrees() {
    use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
    let world = World::new();
    let (_, certificate) = (X5U, world.issued.der.clone());
    // The point of the curve stands behind the last tag of the key's BIT STRING: 0x03 0x42 0x00 0x04.
    let start = certificate.windows(4).position(|bytes| bytes == [0x03, 0x42, 0x00, 0x04]).unwrap() + 4;
    let (x, y) = (&certificate[start..start + 32], &certificate[start + 32..start + 64]);
    let key = DecodingKey::from_ec_components(&BASE64.encode(x), &BASE64.encode(y)).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    let token = world.identity.split(';').next().unwrap();
    let claims = decode::<serde_json::Value>(token, &key, &validation).unwrap().claims;
    assert_eq!(claims["orig"]["tn"], "12155551212");
}

#[test]
fn every_claim_that_is_changed_is_noticed() {
    let world = World::new();
    let (header, claims, signature, parameters) = parts(&world.identity);
    let claims = decoded(&claims);
    for (what, from, to, fault) in [
        ("attest", r#""attest":"A""#, r#""attest":"B""#, Fault::Signature),
        ("attest", r#""attest":"A","#, "", Fault::Malformed),
        ("dest", "12155551213", "12155551214", Fault::OtherCallee),
        ("more dests", r#"["12155551213"]"#, r#"["12155551213","1"]"#, Fault::Signature),
        ("iat", "1800000000", "1800000001", Fault::Signature),
        ("iat", "1800000000", "1800000061", Fault::Stale),
        ("iat", "1800000000", "\"1800000000\"", Fault::Malformed),
        ("orig", "12155551212", "12155551211", Fault::OtherCaller),
        ("orig", r#"{"tn":"12155551212"}"#, r#"{"uri":"sip:12155551212@x"}"#, Fault::OtherCaller),
        ("origid", "123e4567", "123e4568", Fault::Signature),
        ("white space", "{\"attest\"", "{ \"attest\"", Fault::Signature),
    ] {
        let changed = claims.replace(from, to);
        assert_ne!(changed, claims, "{what}");
        let token = format!("{header}.{}.{signature};{parameters}", BASE64.encode(changed));
        assert_eq!(world.verdict(&token), Err(fault), "{what}");
    }
}

#[test]
fn headers_that_are_changed_are_noticed() {
    let world = World::new();
    let (header, claims, signature, parameters) = parts(&world.identity);
    let header = decoded(&header);
    for (from, to, fault) in [
        ("ES256", "none", Fault::Algorithm),
        ("ES256", "HS256", Fault::Algorithm),
        ("\"passport\"", "\"JWT\"", Fault::Malformed),
        ("\"shaken\"", "\"div\"", Fault::Missing),
        ("cert.example.org", "evil.example.org", Fault::Info),
    ] {
        let changed = BASE64.encode(header.replace(from, to));
        let token = format!("{changed}.{claims}.{signature};{parameters}");
        assert_eq!(world.verdict(&token), Err(fault), "{to}");
    }
    for (from, to, fault) in [
        ("ppt=shaken", "ppt=rcd", Fault::Missing),
        (";ppt=shaken", "", Fault::Malformed),
        ("alg=ES256", "alg=ES384", Fault::Algorithm),
        ("cert.example.org", "evil.example.org", Fault::Info),
    ] {
        let token = world.identity.replace(from, to);
        assert_eq!(world.verdict(&token), Err(fault), "{to}");
    }
    let mut bytes = BASE64.decode(&signature).unwrap();
    for index in [0, 31, 32, 63] {
        bytes[index] ^= 1;
        let changed = BASE64.encode(&bytes);
        let token = format!("{}.{claims}.{changed};{parameters}", BASE64.encode(&header));
        assert_eq!(world.verdict(&token), Err(Fault::Signature), "byte {index}");
        bytes[index] ^= 1;
    }
}

#[test]
fn a_signature_is_for_one_call_and_one_minute() {
    let world = World::new();
    let one = [world.identity.clone()];
    assert_eq!(world.verdict_of(&one, "+12155559999", "+12155551213", NOW_S), Err(Fault::OtherCaller));
    assert_eq!(world.verdict_of(&one, "+12155551212", "+12155559999", NOW_S), Err(Fault::OtherCallee));
    assert!(world.verdict_of(&one, "+1 (215) 555-1212", "12155551213", NOW_S).is_ok());
    for (now_s, fresh) in [(NOW_S + 60, true), (NOW_S + 61, false), (NOW_S - 60, true), (NOW_S - 61, false)] {
        let verdict = world.verdict_of(&one, "+12155551212", "+12155551213", now_s);
        assert_eq!(verdict.err(), (!fresh).then_some(Fault::Stale), "{now_s}");
    }
}

#[test]
fn the_one_that_fits_is_taken_of_several() {
    let world = World::new();
    let foreign = world.identity.replace("ppt=shaken", "ppt=rcd");
    let broken = "x;info=<y>".to_owned();
    let all = [foreign.clone(), broken.clone(), world.identity.clone()];
    assert!(world.verdict_of(&all, "+12155551212", "+12155551213", NOW_S).is_ok());
    assert_eq!(world.verdict_of(&[foreign], "+12155551212", "+12155551213", NOW_S), Err(Fault::Missing));
    assert_eq!(world.verdict_of(&[broken], "+12155551212", "+12155551213", NOW_S), Err(Fault::Malformed));
    assert_eq!(world.verdict_of(&[], "+12155551212", "+12155551213", NOW_S), Err(Fault::Missing));
}

#[test]
fn the_compact_form_is_completed_from_the_message() {
    let base = Passport { ppt: sidetone_stir_core::Ppt::Base, attest: None, origid: None, ..passport() };
    let world = World::with(GoodFor::Provider("709J"), &base);
    let (_, _, signature, parameters) = parts(&world.identity);
    let compact = format!("..{signature};{parameters}");
    let verified = world.verdict(&compact).unwrap();
    assert_eq!((verified.caller, verified.attest), (tn("12155551212"), None));
    // Another Date is another token; and without one there is none.
    let other = |date| {
        let offer = Offer::choose(
            std::slice::from_ref(&compact),
            &[tn("12155551212")],
            Some(&tn("12155551213")),
            date,
            (at(NOW_S), 60),
        )?;
        offer.verify(&world.chain(), &world.anchors(), at(NOW_S))
    };
    assert_eq!(other(Some(NOW_S + 1)), Err(Fault::Signature));
    assert_eq!(other(None), Err(Fault::Stale));
    // SHAKEN has claims that no message has (RFC 8588, section 7).
    assert_eq!(world.verdict(&format!("{compact};ppt=shaken")), Err(Fault::Malformed));
}

#[test]
fn only_good_certificates_count() {
    let world = World::new();
    let offer = || {
        let one = [world.identity.clone()];
        Offer::choose(&one, &[tn("12155551212")], Some(&tn("12155551213")), None, (at(NOW_S), 60)).unwrap()
    };
    let verdict = |chain: &str, anchors: &Authority| {
        let chain = Chain::parse(chain.as_bytes()).unwrap();
        let anchors = Anchors::from_pem(anchors.root_pem().as_bytes()).unwrap();
        offer().verify(&chain, &anchors, at(NOW_S))
    };
    assert!(verdict(&world.issued.chain_pem, &world.authority).is_ok());
    // Somebody else's authority, the certificate without its chain, one that has run out, and somebody else's key.
    let other = Authority::new().unwrap();
    assert_eq!(verdict(&world.issued.chain_pem, &other), Err(Fault::Certificate));
    let end = world.issued.chain_pem.find("-----END CERTIFICATE-----\n").unwrap() + 26;
    assert_eq!(verdict(&world.issued.chain_pem[..end], &world.authority), Err(Fault::Certificate));
    let expired = world.authority.issue_expired(GoodFor::Provider("709J")).unwrap();
    assert_eq!(verdict(&expired.chain_pem, &world.authority), Err(Fault::Certificate));
    let another = world.authority.issue(GoodFor::Provider("709J")).unwrap();
    assert_eq!(verdict(&another.chain_pem, &world.authority), Err(Fault::Signature));
    // Nobody is trusted by default.
    assert_eq!(offer().verify(&world.chain(), &Anchors::default(), at(NOW_S)), Err(Fault::Certificate));
    // Good for one number, and this is another.
    let number = world.authority.issue(GoodFor::Number("12155551212")).unwrap();
    assert_eq!(verdict(&number.chain_pem, &world.authority), Err(Fault::Signature));
    let number = world.authority.issue(GoodFor::Number("12155551211")).unwrap();
    assert_eq!(verdict(&number.chain_pem, &world.authority), Err(Fault::Authority));
    // And one for web sites says nothing of numbers.
    let nothing = world.authority.issue(GoodFor::Nothing).unwrap();
    assert_eq!(Chain::parse(nothing.chain_pem.as_bytes()).unwrap_err(), CertificateError::NoTnAuthList);
    assert!(Chain::parse(&world.issued.der).is_ok());
    for bad in
        [&b""[..], b"0", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", b"\x30\x82\xff"]
    {
        assert_eq!(Chain::parse(bad).unwrap_err(), CertificateError::Unreadable);
    }
}

#[test]
fn keys_and_certificates_belong_together() {
    let world = World::new();
    let key = SigningKey::from_pem(world.issued.key_pem.as_bytes()).unwrap();
    assert!(key.is_of(&world.chain()));
    let other = world.authority.issue(GoodFor::Provider("709J")).unwrap();
    assert!(!key.is_of(&Chain::parse(other.chain_pem.as_bytes()).unwrap()));
    assert!(SigningKey::from_pem(b"no key").is_err());
    assert_eq!(format!("{key:?}"), "SigningKey(..)");
}

/// RFC 8225, appendix A: header and claims of ours are the same. The signature of the example is not looked at, since no copy of its
/// key was at hand; that ours are good is held against another library above.
#[test]
fn the_example_of_rfc_8225_is_read_as_it_stands() {
    const TOKEN: &str = concat!(
        "eyJhbGciOiJFUzI1NiIsInR5cCI6InBhc3Nwb3J0IiwieDV1IjoiaHR0cHM6Ly9j",
        "ZXJ0LmV4YW1wbGUub3JnL3Bhc3Nwb3J0LmNlciJ9",
        ".",
        "eyJkZXN0Ijp7InVyaSI6WyJzaXA6YWxpY2VAZXhhbXBsZS5jb20iXX0sImlhdCI",
        "6MTQ3MTM3NTQxOCwib3JpZyI6eyJ0biI6IjEyMTU1NTUxMjEyIn19",
        ".",
        "VLBCIVDCaeK6M4hLJb6SHQvacAQVvoiiEOWQ_iUkqk79UD81fHQ0E1b3_GluIkb",
        "a7UWYRM47ZbNFdOJquE35cw",
    );
    const KEY: &str = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgi7q2TZvN9VDFg8Vy\n\
        qCP06bETrR2v8MRvr89rn4i+UAahRANCAAQWfaj1HUETpoNCrOtp9KA8o0V79IuW\n\
        ARKt9C1cFPkyd3FBP4SeiNZxQhDrD0tdBHls3/wFe8++K2FrPyQF9vuh\n\
        -----END PRIVATE KEY-----\n";
    let passport = Passport {
        ppt: sidetone_stir_core::Ppt::Base,
        x5u: "https://cert.example.org/passport.cer".into(),
        iat: 1_471_375_418,
        orig: sidetone_stir_core::Identifier::Number(tn("12155551212")),
        dest: vec![sidetone_stir_core::Identifier::Uri("sip:alice@example.com".into())],
        attest: None,
        origid: None,
    };
    let signed = SigningKey::from_pem(KEY.as_bytes()).unwrap().sign(&passport).unwrap();
    let (ours, theirs) = (parts(&signed), parts(&format!("{TOKEN};")));
    assert_eq!((ours.0, ours.1), (theirs.0, theirs.1));
    // It is for a URI, and of 2016: no telephone call of today.
    let identity = [format!("{TOKEN};info=<https://cert.example.org/passport.cer>")];
    let choose = |now_s| {
        Offer::choose(&identity, &[tn("12155551212")], Some(&tn("1")), None, (at(now_s), 60)).unwrap_err()
    };
    assert_eq!(choose(NOW_S), Fault::Stale);
    assert_eq!(choose(1_471_375_418), Fault::OtherCallee);
}

#[test]
fn every_fault_has_a_response_of_its_own_kind() {
    let statuses: Vec<u16> = Fault::ALL.iter().map(|fault| fault.identity_fault().sip_status()).collect();
    assert_eq!(statuses, [428, 438, 437, 436, 437, 437, 403, 438, 438, 438]);
    assert_eq!(IdentityFault::Stale.phrase(), "Stale Date");
    let mut labels: Vec<_> = Fault::ALL.iter().map(|fault| fault.label()).collect();
    labels.sort_unstable();
    labels.dedup();
    assert_eq!(labels.len(), Fault::ALL.len());
}
