//! An agent that only answers: who is believed, what is selected, and what strangers get, which is nothing.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::net::SocketAddr;

use sidetone_ice_core::stun::{Builder, Class, Message, attribute};
use sidetone_ice_core::{Credentials, Lite, Outcome, PAIRS_MAX};

const PWD: &str = "0123456789abcdefghijkl";

fn lite() -> Lite {
    let mut lite = Lite::new(Credentials::new("ours", PWD));
    lite.meet("them");
    lite
}

fn at(n: u16) -> SocketAddr {
    SocketAddr::new("192.0.2.7".parse().unwrap(), 1000 + n)
}

fn check(name: &str) -> Builder {
    Builder::new(Class::Request, [7; 12])
        .attribute(attribute::USERNAME, name.as_bytes())
        .attribute(attribute::PRIORITY, &[0x6e, 0, 1, 0xff])
        .attribute(attribute::ICE_CONTROLLING, &[1; 8])
}

fn nomination() -> Vec<u8> {
    check("ours:them").attribute(attribute::USE_CANDIDATE, &[]).seal(PWD.as_bytes())
}

#[test]
fn a_check_proves_an_address_and_a_nomination_selects_it() {
    let mut lite = lite();
    let request = check("ours:them").seal(PWD.as_bytes());
    let handled = lite.handle(&request, at(1), 0);
    assert_eq!(handled.outcome, Outcome::Answered);
    let answer = handled.answer.unwrap();
    assert!(answer.len() <= request.len(), "{} bytes for {}", answer.len(), request.len());
    let answer = Message::parse(&answer).unwrap();
    assert_eq!((answer.class(), answer.transaction()), (Class::Success, [7; 12]));
    assert!(answer.is_authentic(PWD.as_bytes()) && answer.has_fingerprint());
    assert!(lite.pairs().holds(at(1)) && !lite.pairs().holds(at(2)));
    assert_eq!(lite.pairs().selected, None);
    assert_eq!(lite.handle(&nomination(), at(1), 20).outcome, Outcome::Nominated);
    assert_eq!(lite.pairs().selected, Some(at(1)));
    // It moves.
    assert_eq!(lite.handle(&nomination(), at(2), 40).outcome, Outcome::Nominated);
    assert_eq!(lite.pairs().selected, Some(at(2)));
    assert!(lite.pairs().holds(at(1)), "what is on its way from there is still heard");
}

#[test]
fn strangers_get_nothing_and_change_nothing() {
    let mut lite = lite();
    lite.handle(&nomination(), at(1), 0);
    let before = lite.pairs();
    let unsealed = {
        // Without integrity, and with a fingerprint of the right form.
        let sealed = nomination();
        let mut bare = sealed[..sealed.len() - 32].to_vec();
        let length = (bare.len() - 20) as u16;
        bare[2..4].copy_from_slice(&length.to_be_bytes());
        bare
    };
    let strange = [
        (check("ours:them").seal(b"another password 12345"), Outcome::NotAuthentic),
        (check("ours:else").seal(PWD.as_bytes()), Outcome::NotAuthentic),
        (check("mine:them").seal(PWD.as_bytes()), Outcome::NotAuthentic),
        (check("ours").seal(PWD.as_bytes()), Outcome::NotAuthentic),
        (Builder::new(Class::Request, [7; 12]).seal(PWD.as_bytes()), Outcome::NotAuthentic),
        (unsealed, Outcome::NotAuthentic),
        (Builder::new(Class::Success, [7; 12]).mapped(at(9)).seal(PWD.as_bytes()), Outcome::Malformed),
        (Builder::new(Class::Indication, [7; 12]).seal(PWD.as_bytes()), Outcome::KeepAlive),
        (vec![0; 8], Outcome::Malformed),
    ];
    for (n, (bytes, outcome)) in strange.into_iter().enumerate() {
        let handled = lite.handle(&bytes, at(66), 10);
        assert_eq!((handled.outcome, handled.answer), (outcome, None), "{n}");
    }
    assert_eq!(lite.pairs(), before);
}

#[test]
fn who_believes_that_we_lead_is_told() {
    let mut lite = lite();
    let request = Builder::new(Class::Request, [7; 12])
        .attribute(attribute::USERNAME, b"ours:them")
        .attribute(attribute::ICE_CONTROLLED, &[1; 8])
        .seal(PWD.as_bytes());
    let handled = lite.handle(&request, at(1), 0);
    assert_eq!(handled.outcome, Outcome::RoleConflict);
    let answer = handled.answer.unwrap();
    let answer = Message::parse(&answer).unwrap();
    assert_eq!(answer.value(attribute::ERROR_CODE).map(|value| &value[2..4]), Some(&[4, 87][..]));
    assert!(!lite.pairs().holds(at(1)));
    let request = check("ours:them").attribute(0x7777, &[1, 2]).seal(PWD.as_bytes());
    let handled = lite.handle(&request, at(1), 0);
    assert_eq!(handled.outcome, Outcome::NotUnderstood);
    let answer = handled.answer.unwrap();
    let unknown = Message::parse(&answer).unwrap().value(attribute::UNKNOWN_ATTRIBUTES).map(<[u8]>::to_vec);
    assert_eq!(unknown, Some(vec![0x77, 0x77]));
}

#[test]
fn a_restart_takes_the_new_name_alone_and_keeps_what_is_proved() {
    let mut lite = lite();
    lite.handle(&nomination(), at(1), 0);
    lite.restart(Credentials::new("next", "lkjihgfedcba9876543210"), "they");
    assert_eq!(lite.handle(&nomination(), at(2), 10).outcome, Outcome::NotAuthentic);
    assert_eq!(lite.pairs().selected, Some(at(1)));
    let renewed = check("next:they").attribute(attribute::USE_CANDIDATE, &[]).seal(b"lkjihgfedcba9876543210");
    assert_eq!(lite.handle(&renewed, at(3), 20).outcome, Outcome::Nominated);
    assert_eq!(lite.pairs().selected, Some(at(3)));
}

#[test]
fn the_table_is_bounded_and_forgets_what_was_checked_least_lately() {
    let mut lite = lite();
    lite.handle(&nomination(), at(0), 0);
    let request = check("ours:them").seal(PWD.as_bytes());
    for n in 1..20 {
        lite.handle(&request, at(n), u64::from(n) * 20);
    }
    let pairs = lite.pairs();
    assert_eq!(pairs.iter().count(), PAIRS_MAX);
    assert!(pairs.holds(at(0)), "the selected one stays");
    assert!((17..20).all(|n| pairs.holds(at(n))) && !pairs.holds(at(16)));
    assert_eq!(pairs.selected, Some(at(0)));
}

#[test]
fn before_the_other_side_is_known_its_name_does_not_matter() {
    let mut lite = Lite::new(Credentials::new("ours", PWD));
    assert_eq!(lite.handle(&nomination(), at(1), 0).outcome, Outcome::Nominated);
    assert!(!format!("{lite:?}").contains(PWD), "a password is shown");
}
