//! Changes of the session that we ask for: our own re-INVITE (RFC 3261 section 14.1).
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media, response_to};
use sidetone_model::command::LegCommandKind;
use sidetone_model::media::{Direction, MediaDescription};
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

fn held() -> MediaDescription {
    MediaDescription { direction: Direction::SendOnly, ..media(4100) }
}

fn reanswered(signals: &[LegSignalKind]) -> Vec<u16> {
    let port = |signal: &LegSignalKind| match signal {
        LegSignalKind::Reanswered { media } => Some(media.rtp.port()),
        _ => None,
    };
    signals.iter().filter_map(port).collect()
}

fn refused(signals: &[LegSignalKind]) -> Vec<Option<u16>> {
    let status = |signal: &LegSignalKind| match signal {
        LegSignalKind::ReofferRefused(why) => Some(why.sip_status),
        _ => None,
    };
    signals.iter().filter_map(status).collect()
}

#[test]
fn either_side_may_offer_and_the_other_answers() {
    for transport in [Transport::Udp, Transport::Tcp] {
        for (who, other) in [('a', 'b'), ('b', 'a')] {
            let mut pair = Pair::connected(transport);
            pair.command(who, LegCommandKind::Reoffer { media: held() });
            let asked = pair.side(other).take();
            let [LegSignalKind::Reoffered { media: Some(offer) }] = asked.as_slice() else {
                panic!("{asked:?}")
            };
            assert_eq!((offer.direction, offer.rtp.port()), (Direction::SendOnly, 4100));
            let mut answer = media(5100);
            answer.direction = Direction::RecvOnly;
            pair.command(other, LegCommandKind::AnswerReoffer { media: Some(answer) });
            assert_eq!(reanswered(&pair.side(who).take()), [5100]);
            let steps = [format!("{who} INVITE"), format!("{other} 200 INVITE"), format!("{who} ACK")];
            assert_eq!(pair.wire, steps);
            pair.advance(Duration::from_secs(60));
            assert_eq!(pair.sent(&format!("{other} 200 INVITE")), 1, "its ACK was right");
            // And again, with a higher version and the standing m-line.
            pair.command(who, LegCommandKind::Reoffer { media: media(4200) });
            assert_eq!(pair.side(other).take().len(), 1);
        }
    }
}

#[test]
fn a_2xx_that_comes_again_gets_its_ack_again() {
    let mut pair = Pair::connected(Transport::Udp);
    let mut lost = 0;
    pair.lose(move |label| {
        label == "a ACK" && {
            lost += 1;
            lost <= 2
        }
    });
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5100)) });
    pair.advance(Duration::from_secs(10));
    assert_eq!(pair.sent("a ACK"), 3);
    assert_eq!(reanswered(&pair.a.take()), [5100], "told once");
    assert!(pair.b.ended().is_none());
}

#[test]
fn what_is_refused_leaves_everything_as_it_was() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('b', LegCommandKind::AnswerReoffer { media: None });
    assert_eq!(refused(&pair.a.take()), [Some(488)]);
    assert_eq!(pair.sent("a ACK"), 1, "the transaction's own");
    // The phone may refresh what stands: it is still known, so nobody is asked.
    pair.b.take();
    pair.command('b', LegCommandKind::Reoffer { media: media(5000) });
    assert_eq!(pair.a.take(), []);
    assert_eq!(reanswered(&pair.b.take()), [4000]);
    // And the next change goes well.
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5100)) });
    assert_eq!(reanswered(&pair.a.take()), [5100]);
}

#[test]
fn both_offer_at_once_and_one_comes_first_in_the_end() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.hold();
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('b', LegCommandKind::Reoffer { media: media(5200) });
    pair.release();
    assert_eq!((pair.sent("a 491 INVITE"), pair.sent("b 491 INVITE")), (1, 1));
    assert_eq!((pair.a.take(), pair.b.take()), (vec![], vec![]));
    // RFC 3261 section 14.1: `b` did not make the Call-ID, so it tries again first.
    pair.advance(Duration::from_millis(2050));
    assert_eq!(pair.a.take().len(), 1, "b's offer");
    pair.command('a', LegCommandKind::AnswerReoffer { media: Some(media(4300)) });
    assert_eq!(reanswered(&pair.b.take()), [4300]);
    pair.advance(Duration::from_secs(4));
    assert!(matches!(pair.b.take().as_slice(), [LegSignalKind::Reoffered { .. }]));
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5300)) });
    assert_eq!(reanswered(&pair.a.take()), [5300]);
}

#[test]
fn a_phone_that_puts_it_off_for_ever_has_refused() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|label| label == "a INVITE");
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    let mut before = 0;
    for _ in 0..10 {
        let invites: Vec<String> =
            pair.texts.iter().filter(|text| text.starts_with("INVITE")).cloned().collect();
        let Some(invite) = invites.last().filter(|_| invites.len() > before) else { break };
        pair.inject('a', &response_to(invite, "491 Request Pending"));
        before = pair.texts.iter().filter(|text| text.starts_with("INVITE")).count();
        let until = pair.now + Duration::from_secs(5);
        while pair.now < until
            && pair.texts.iter().filter(|text| text.starts_with("INVITE")).count() == before
        {
            pair.advance(Duration::from_millis(100));
        }
    }
    assert_eq!(refused(&pair.a.take()), [Some(491)]);
    assert_eq!(pair.sent("a INVITE"), 6);
}

#[test]
fn without_an_answer_or_a_dialog_the_session_is_over() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|label| label == "a INVITE");
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.advance(Duration::from_secs(33));
    assert_eq!(pair.a.ended().map(|end| end.cause), Some(Cause::Timeout));
    assert_eq!(pair.sent("a BYE"), 1);
    let mut pair = Pair::connected(Transport::Udp);
    pair.lose(|label| label == "a INVITE");
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    let invite = pair.texts.last().unwrap().clone();
    pair.inject('a', &response_to(&invite, "481 Call/Transaction Does Not Exist"));
    assert_eq!(pair.a.ended().and_then(|end| end.sip_status), Some(481));
}

#[test]
fn who_hangs_up_meanwhile_hangs_up() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('b', LegCommandKind::End(Termination::new(Cause::Normal)));
    assert_eq!(
        (pair.a.ended().unwrap().cause, pair.b.ended().unwrap().cause),
        (Cause::Normal, Cause::Normal)
    );
    let mut pair = Pair::connected(Transport::Udp);
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('a', LegCommandKind::End(Termination::new(Cause::Normal)));
    pair.advance(Duration::from_secs(40));
    assert!(pair.a.finished && pair.b.finished);
    assert!(reanswered(&pair.a.take()).is_empty());
}

#[test]
fn a_newer_offer_waits_for_the_one_under_way() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    pair.command('a', LegCommandKind::Reoffer { media: media(4200) });
    pair.command('a', LegCommandKind::Reoffer { media: media(4300) });
    assert_eq!(pair.sent("a INVITE"), 1);
    pair.command('b', LegCommandKind::AnswerReoffer { media: Some(media(5100)) });
    let offers: Vec<u16> = pair
        .b
        .take()
        .iter()
        .filter_map(|signal| match signal {
            LegSignalKind::Reoffered { media: Some(offer) } => Some(offer.rtp.port()),
            _ => None,
        })
        .collect();
    assert_eq!(offers, [4100, 4300], "the one between them is out of date");
}

#[test]
fn it_waits_for_the_phones_own_change_and_for_the_ack() {
    let mut pair = Pair::connected(Transport::Udp);
    pair.command('b', LegCommandKind::Reoffer { media: media(5200) });
    pair.command('a', LegCommandKind::Reoffer { media: held() });
    assert_eq!(pair.sent("a INVITE"), 0);
    pair.command('a', LegCommandKind::AnswerReoffer { media: Some(media(4000)) });
    pair.b.take();
    pair.advance(Duration::from_secs(5));
    assert_eq!(pair.sent("a INVITE"), 1);
    assert!(matches!(pair.b.take().as_slice(), [LegSignalKind::Reoffered { .. }]));
    let mut pair = Pair::new(Transport::Udp);
    pair.lose(|label| label == "a ACK");
    pair.call();
    pair.command('b', LegCommandKind::Answer { media: media(5000) });
    pair.command('b', LegCommandKind::Reoffer { media: media(5200) });
    assert_eq!(pair.sent("b INVITE"), 0, "the 2xx has no ACK yet");
    pair.lose_nothing();
    pair.advance(Duration::from_secs(8));
    assert_eq!(pair.sent("b INVITE"), 1);
}
