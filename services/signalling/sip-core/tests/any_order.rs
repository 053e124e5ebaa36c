//! Whatever is commanded and lost in whatever order: each leg ends once, says so last, and leaves nothing behind.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::harness;

use std::time::Duration;

use harness::{Pair, media};
use proptest::prelude::*;
use sidetone_model::command::LegCommandKind;
use sidetone_model::party::Transport;
use sidetone_model::signal::LegSignalKind;
use sidetone_model::termination::{Cause, Termination};

#[derive(Debug, Clone)]
enum Step {
    Command(char, LegCommandKind),
    Wait(u64),
    Lose(u8),
    Hold(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let side = prop_oneof![Just('a'), Just('b')];
    let command = prop_oneof![
        Just(LegCommandKind::Ring { media: None }),
        Just(LegCommandKind::Ring { media: Some(media(5000)) }),
        Just(LegCommandKind::Answer { media: media(5000) }),
        Just(LegCommandKind::AnswerReoffer { media: None }),
        Just(LegCommandKind::AnswerReoffer { media: Some(media(5002)) }),
        (0..Cause::ALL.len()).prop_map(|i| LegCommandKind::End(Termination::new(Cause::ALL[i]))),
    ];
    prop_oneof![
        4 => (side, command).prop_map(|(side, command)| Step::Command(side, command)),
        3 => (1u64..40_000).prop_map(Step::Wait),
        1 => (0u8..100).prop_map(Step::Lose),
        1 => any::<bool>().prop_map(Step::Hold),
    ]
}

fn check(signals: &[LegSignalKind]) {
    let ends = signals.iter().filter(|signal| matches!(signal, LegSignalKind::Ended(_))).count();
    assert_eq!(ends, 1, "{signals:?}");
    assert!(matches!(signals.last(), Some(LegSignalKind::Ended(_))), "{signals:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn every_leg_ends_once_and_leaves_nothing(
        steps in proptest::collection::vec(step(), 0..14),
        tcp in any::<bool>(),
        seed in any::<u64>(),
    ) {
        let mut pair = Pair::new(if tcp { Transport::Tcp } else { Transport::Udp });
        pair.call();
        let mut dice = seed | 1;
        for step in steps {
            match step {
                Step::Command(side, command) => {
                    let now = pair.now;
                    if let Some(leg) = &mut pair.side(side).leg {
                        let _ = leg.handle_command(command, now);
                    }
                    pair.run();
                }
                Step::Wait(ms) => pair.advance(Duration::from_millis(ms)),
                Step::Lose(percent) => pair.lose(move |_| {
                    dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (dice >> 33) % 100 < u64::from(percent)
                }),
                Step::Hold(true) => pair.hold(),
                Step::Hold(false) => pair.release(),
            }
            dice = dice.wrapping_add(2);
        }
        pair.release();
        pair.lose_nothing();
        for side in ['a', 'b'] {
            let now = pair.now;
            if let Some(leg) = &mut pair.side(side).leg {
                let _ = leg.handle_command(LegCommandKind::End(Termination::new(Cause::Normal)), now);
            }
            pair.run();
        }
        pair.advance(Duration::from_secs(200));
        for side in ['a', 'b'] {
            let side = pair.side(side);
            if let Some(leg) = &side.leg {
                check(&side.signals);
                assert!(side.finished, "{leg:?}");
                assert_eq!(leg.poll_timeout(), None);
            }
            assert!(side.transactions.is_empty(), "{:?}", side.transactions);
            assert_eq!(side.transactions.poll_timeout(), None);
        }
    }
}
