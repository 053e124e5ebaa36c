//! Digits of a phone: handed on where media does not, and told of once.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::MediaRequest;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::LegId;
use sidetone_model::signal::LegSignalKind;

/// What media was asked to send.
fn sent(requests: &[MediaRequest]) -> Vec<(LegId, String)> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::SendDigits { leg, digits } => Some((*leg, digits.to_string())),
        _ => None,
    };
    requests.iter().filter_map(one).collect()
}

fn told(office: &Office, of: LegId) -> usize {
    office.facts(|fact| matches!(fact, FactKind::LegDigit { leg, .. } if *leg == of))
}

fn info(office: &mut Office, leg: LegId, digit: char) -> Vec<(LegId, String)> {
    office.signal(leg, LegSignalKind::Digit { digit, duration_ms: 100 });
    sent(&office.serve())
}

fn media(office: &mut Office, leg: LegId, digit: char) -> Vec<(LegId, String)> {
    let step = office.shard.handle_digit(leg, digit, 100, office.now);
    office.take(step);
    sent(&office.serve())
}

#[test]
fn a_digit_in_an_info_request_reaches_whoever_the_phone_talks_to() {
    let mut office = Office::new();
    let (alice, bob) = office.connect("alice", "bob");
    assert_eq!(info(&mut office, alice, '7'), [(bob, "7".to_owned())]);
    assert_eq!(info(&mut office, bob, '#'), [(alice, "#".to_owned())]);
    assert_eq!((told(&office, alice), told(&office, bob)), (1, 1));
}

#[test]
fn a_phone_that_sends_each_digit_both_ways_has_sent_it_once() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    for digit in ['1', '2', '2'] {
        assert_eq!(media(&mut office, alice, digit), [], "media has passed it on");
        assert_eq!(info(&mut office, alice, digit), []);
        office.pass(1);
    }
    assert_eq!(told(&office, alice), 3);
}

#[test]
fn keys_that_are_pressed_faster_than_their_other_form_comes_are_told_of_once() {
    let mut office = Office::new();
    let (alice, _) = office.connect("alice", "bob");
    media(&mut office, alice, '0');
    for digit in ['1', '2', '2', '3'] {
        media(&mut office, alice, digit);
    }
    for digit in ['0', '1', '2', '2', '3'] {
        assert_eq!(info(&mut office, alice, digit), []);
    }
    assert_eq!(told(&office, alice), 5);
    // One of the other form was lost: the next key is another one all the same.
    media(&mut office, alice, '7');
    media(&mut office, alice, '8');
    info(&mut office, alice, '8');
    media(&mut office, alice, '7');
    assert_eq!(told(&office, alice), 8);
}
