//! Digits by INFO, in both directions.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::Pair;
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;

fn pressed(pair: &mut Pair) -> String {
    let digit = |signal: LegSignalKind| match signal {
        LegSignalKind::Digit { digit, duration_ms: 120 } => Some(digit),
        _ => None,
    };
    pair.b.take().into_iter().filter_map(digit).collect()
}

#[test]
fn digits_arrive_in_their_order_one_after_the_other() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut lost = 0;
    // The first copies of some are lost; a later digit must not overtake them.
    pair.lose(move |label| {
        label == "a INFO" && {
            lost += 1;
            lost % 3 == 1
        }
    });
    let digits = "0123456789*#ABCD";
    pair.command('a', LegCommandKind::SendDigits { digits: digits.into(), duration_ms: 120 });
    pair.advance(Duration::from_secs(30));
    assert_eq!(pressed(&mut pair), digits);
    assert!(pair.texts.iter().any(|text| text.ends_with("\r\n\r\nSignal=*\r\nDuration=120\r\n")));
}

#[test]
fn a_phone_that_takes_no_info_costs_no_call() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|label| label == "a INFO");
    pair.command('a', LegCommandKind::SendDigits { digits: "12".into(), duration_ms: 120 });
    pair.advance(Duration::from_secs(80));
    let numbers = |text: &&String| text.starts_with("INFO");
    let mut infos: Vec<_> = pair.texts.iter().filter(numbers).collect();
    infos.dedup();
    assert_eq!(infos.len(), 2, "the second was tried when the first was given up");
    assert!(pair.a.ended().is_none() && pair.b.ended().is_none());
    let now = pair.now;
    for (digits, duration_ms) in [("x", 100), ("1".repeat(300).as_str(), 100)] {
        let command = LegCommandKind::SendDigits { digits: digits.into(), duration_ms };
        assert!(pair.a.leg.as_mut().unwrap().handle_command(command, now).is_err());
    }
}
