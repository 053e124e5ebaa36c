//! What carriers send and what stands under their URLs, changed in every way: no panic, nothing believed that was not signed.
//!
//! `SIDETONE_SEED=n` and `SIDETONE_MUTATIONS=n` run others, or more.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic, and says with which seed")]

use sidetone_model::time::Timestamp;
use sidetone_stir_core::{
    Anchors, Attestation, Chain, IdentityHeader, Offer, Passport, SigningKey, TelephoneNumber, TnAuthList,
};
use sidetone_testkit::netem::Dice;
use sidetone_testkit::stir::{Authority, GoodFor};

const NOW_S: u64 = 1_800_000_000;

fn mutate(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    const TOKENS: [&[u8]; 10] =
        [b";", b"..", b"=", b"<", b">", b"\"", b"\\u0000", b"99999999999999999999", b"\xff", b"{{{{"];
    let mut out = bytes.to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(out.len() as u64 + 1) as usize;
        let end = (at + dice.below(30) as usize).min(out.len());
        match dice.below(6) {
            0 if at < out.len() => out[at] = dice.throw() as u8,
            1 if at < out.len() => out[at] ^= 1 << dice.below(8),
            2 => out.truncate(at),
            3 => drop(out.drain(at..end)),
            4 => {
                let piece = out[at..end].repeat(1 + dice.below(50) as usize);
                out.splice(at..at, piece);
            }
            _ => drop(out.splice(at..end, TOKENS[dice.below(10) as usize].iter().copied())),
        }
    }
    out
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn nothing_that_was_changed_is_believed() {
    let (seed, rounds) = (number("SIDETONE_SEED", 8224), number("SIDETONE_MUTATIONS", 4_000));
    eprintln!("SIDETONE_SEED={seed} SIDETONE_MUTATIONS={rounds}");
    let authority = Authority::new().unwrap();
    let issued = authority.issue(GoodFor::Provider("709J")).unwrap();
    let tn = |text| TelephoneNumber::canonical(text).unwrap();
    let (from, to, now) = (tn("+12155551212"), tn("+12155551213"), Timestamp::from_millis(NOW_S * 1000));
    let key = SigningKey::from_pem(issued.key_pem.as_bytes()).unwrap();
    let passport =
        Passport::shaken("https://c.example/a.pem", (from.clone(), to.clone()), Attestation::A, "o", NOW_S);
    let identity = key.sign(&passport).unwrap();
    let chain = Chain::parse(issued.chain_pem.as_bytes()).unwrap();
    let anchors = Anchors::from_pem(authority.root_pem().as_bytes()).unwrap();
    let signed = |identity: &str| identity.split(';').next().unwrap_or_default().to_owned();
    let mut dice = Dice::new(seed);
    for _ in 0..rounds {
        let text = String::from_utf8_lossy(&mutate(identity.as_bytes(), &mut dice)).into_owned();
        let _parsed = IdentityHeader::parse(&text);
        let one = [text.clone()];
        let date = Some(NOW_S);
        let offer = Offer::choose(&one, std::slice::from_ref(&from), Some(&to), date, (now, 60));
        if let Ok(verified) = offer.and_then(|offer| offer.verify(&chain, &anchors, now)) {
            // Only what is not signed was changed: the parameters behind the token.
            assert_eq!(signed(&text).trim(), signed(&identity), "{text}");
            assert_eq!(verified.caller, from);
        }
        let der = mutate(&issued.der, &mut dice);
        if let Ok(changed) = Chain::parse(&der) {
            let whole = der.starts_with(&issued.der);
            assert!(whole || changed.verify(&anchors, now).is_err());
        }
        let pem = mutate(issued.chain_pem.as_bytes(), &mut dice);
        if let Ok(changed) = Chain::parse(&pem) {
            let _verdict = changed.verify(&anchors, now);
        }
        let _list = TnAuthList::parse(&mutate(b"\x30\x08\xa0\x06\x16\x04709J", &mut dice));
        let _number =
            TelephoneNumber::canonical(&String::from_utf8_lossy(&mutate(b"+1 (215) 555", &mut dice)));
    }
}
