//! A caller is told to call elsewhere (302, RFC 3261 section 21.3.3).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use harness::{Pair, media};
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::Cause;
use sidetone_sip_core::leg::CommandError;

fn deflect(numbers: &[&str]) -> LegCommandKind {
    LegCommandKind::Deflect { numbers: numbers.iter().map(|number| (*number).into()).collect() }
}

#[test]
fn the_caller_hears_where_to_call_best_first_and_both_legs_are_over() {
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    pair.command('b', LegCommandKind::Ring { media: None });
    pair.command('b', deflect(&["1003", "1004"]));
    let ended = pair.b.take();
    assert!(
        matches!(ended.last(), Some(LegSignalKind::Ended(end)) if end.cause == Cause::Diverted),
        "{ended:?}"
    );
    let heard = pair.a.take();
    let targets = heard.iter().find_map(|signal| match signal {
        LegSignalKind::Redirected { targets } => Some(targets),
        _ => None,
    });
    let targets = targets.unwrap().iter().map(|target| (&*target.number, target.own)).collect::<Vec<_>>();
    assert_eq!(targets, [("1003", true), ("1004", true)]);
    let text = pair.texts.iter().find(|text| text.starts_with("SIP/2.0 302 Moved Temporarily")).unwrap();
    assert!(text.contains(";q=1.0") && text.contains(";q=0.9"), "{text}");
}

#[test]
fn whoever_was_answered_is_told_nothing_and_nobody_is_told_nothing() {
    let mut pair = Pair::connected(Transport::Udp);
    let now = pair.now;
    let leg = pair.b.leg.as_mut().unwrap();
    assert_eq!(leg.handle_command(deflect(&["1003"]), now), Err(CommandError::WrongState));
    let mut pair = Pair::new(Transport::Udp);
    pair.call();
    let now = pair.now;
    let leg = pair.b.leg.as_mut().unwrap();
    assert_eq!(leg.handle_command(deflect(&[]), now), Err(CommandError::Unwritable));
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    assert!(pair.a.leg.as_ref().unwrap().is_confirmed());
}
