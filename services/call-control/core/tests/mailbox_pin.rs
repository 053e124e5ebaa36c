//! A voicemail is listened to from elsewhere by its PIN, and greets with what its user has spoken.
#![allow(clippy::unwrap_used, reason = "a test stops where something is not as it must be")]

use crate::kit;

use kit::Office;
use sidetone_call_core::{FinishedRecording, MediaFailure, MediaReply, MediaRequest, Reason, Routing, Step};
use sidetone_model::call::PlaybackEnd;
use sidetone_model::classify::Class;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{LegId, PlaybackId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::Cause;
use sidetone_model::time::Timestamp;

const PIN: &str = "2468";

fn bob() -> UserId {
    UserId::new("bob").unwrap()
}

/// The way to Bob's voicemail, which has had a PIN for long.
fn with_pin(office: &Office) -> Routing {
    with_pin_of(office, Timestamp::default())
}

/// The same, with a PIN that was set then.
fn with_pin_of(office: &Office, set_at: Timestamp) -> Routing {
    Routing { pin_set_at: Some(set_at), ..office.to(Destination::Mailbox(bob()), 0) }
}

/// Media and the directory do what they are asked; the PIN is the one. What was asked is returned, and whether somebody was
/// refused for good.
fn serve(office: &mut Office) -> (Vec<MediaRequest>, bool) {
    let (mut asked, refused) = (Vec::new(), office.mailbox_refused);
    while let Some((node, request)) = (!office.requests.is_empty()).then(|| office.requests.remove(0)) {
        let answer = match &request {
            MediaRequest::CheckPin { pin, .. } if pin.reveal() != PIN => {
                Err(MediaFailure { class: Class::Forbidden, text: "no".into() })
            }
            MediaRequest::CreateLeg { .. } => {
                Ok(MediaReply::Created { local: kit::media(), boot: office.boot_of(&node) })
            }
            _ => Ok(MediaReply::Done),
        };
        asked.push(request.clone());
        let step = office.shard.handle_media(&node, request, answer, office.now);
        office.take(step);
    }
    (asked, office.mailbox_refused > refused)
}

fn dials(office: &mut Office, leg: LegId, digits: &str) -> (Vec<MediaRequest>, bool) {
    for digit in digits.chars() {
        let step = office.shard.handle_digit(leg, digit, 100, office.now);
        office.take(step);
    }
    serve(office)
}

fn played(asked: &[MediaRequest]) -> Vec<PlaybackId> {
    let one = |request: &MediaRequest| match request {
        MediaRequest::PlayMessage { playback, .. } | MediaRequest::PlayGreeting { playback, .. } => {
            Some(*playback)
        }
        _ => None,
    };
    asked.iter().filter_map(one).collect()
}

fn is_over(office: &mut Office, playback: PlaybackId) -> (Vec<MediaRequest>, bool) {
    let step = office.shard.handle_playback_finished(playback, PlaybackEnd::Done, office.now);
    office.take(step);
    serve(office)
}

fn alice_listens(office: &mut Office) -> LegId {
    let leg = office.offer(with_pin(office), Some(kit::media()));
    serve(office);
    assert_eq!(office.leg(leg).served_by, Some(Destination::Mailbox(bob())));
    leg
}

fn digits_told(office: &Office) -> usize {
    office.facts(|kind| matches!(kind, FactKind::LegDigit { .. }))
}

#[test]
fn the_pin_lets_in_and_is_written_nowhere() {
    let mut office = Office::new();
    let leg = alice_listens(&mut office);
    let (asked, _) = dials(&mut office, leg, "2468#");
    assert!(asked.iter().any(|request| matches!(request, MediaRequest::CheckPin { .. })), "{asked:?}");
    assert!(!format!("{asked:?}").contains(PIN), "a PIN is not shown: {asked:?}");
    assert_eq!(digits_told(&office), 0);
    assert_eq!(office.end_of(leg), None);
    // It is in: digits are choices now, and there is no message.
    dials(&mut office, leg, "1");
    assert_eq!(digits_told(&office), 1);
    dials(&mut office, leg, "*");
    assert_eq!(office.end_of(leg), Some(Cause::Normal));
}

#[test]
fn three_wrong_ones_end_the_call_and_are_counted_and_nothing_was_heard() {
    let mut office = Office::new();
    let leg = alice_listens(&mut office);
    for (tries, wrong) in ["1111#", "24680#", "#"].into_iter().enumerate() {
        assert_eq!(office.end_of(leg), None);
        let (asked, refused) = dials(&mut office, leg, wrong);
        let message =
            |request: &MediaRequest| matches!(request, MediaRequest::PlayMessage { recorded: Some(_), .. });
        assert!(!asked.iter().any(message), "{asked:?}");
        assert_eq!(refused, tries == 2);
    }
    assert_eq!(office.end_of(leg), Some(Cause::Forbidden));
    assert_eq!(digits_told(&office), 0);
}

#[test]
fn without_a_pin_only_the_users_own_phones_are_let_in_and_those_are_not_asked() {
    let mut office = Office::new();
    let stranger = office.call(office.to(Destination::Mailbox(bob()), 0));
    assert_eq!(office.end_of(stranger), Some(Cause::Forbidden));
    let own = office.dial("bob", "desk", with_pin(&office));
    let (asked, _) = dials(&mut office, own, "2");
    assert!(!asked.iter().any(|request| matches!(request, MediaRequest::CheckPin { .. })), "{asked:?}");
    assert_eq!(digits_told(&office), 1, "no secret");
}

#[test]
fn after_a_restart_the_pin_is_asked_for_again() {
    let mut office = Office::new();
    let leg = alice_listens(&mut office);
    dials(&mut office, leg, "2468#");
    office.restart();
    office.hello(office.boot, &[leg]);
    office.node_holds(&[kit::held(leg)]);
    serve(&mut office);
    dials(&mut office, leg, "1");
    assert_eq!(digits_told(&office), 0, "it is the first digit of a PIN");
    let (asked, _) = dials(&mut office, leg, "#");
    assert!(asked.iter().any(|request| matches!(request, MediaRequest::CheckPin { .. })), "{asked:?}");
}

#[test]
fn who_presses_nothing_is_not_kept() {
    let mut office = Office::new();
    let leg = alice_listens(&mut office);
    let (at, why) = office.shard.poll_timeout().unwrap();
    assert_eq!(why, Reason::Mailbox);
    let step: Step = office.shard.handle_timeout(at);
    office.take(step);
    assert_eq!(office.end_of(leg), Some(Cause::Normal));
}

#[test]
fn a_new_pin_is_dialled_twice() {
    let mut office = Office::new();
    let own = office.dial("bob", "desk", office.to(Destination::OwnMailbox, 0));
    let set = |asked: &[MediaRequest]| {
        asked
            .iter()
            .any(|request| matches!(request, MediaRequest::SetPin { pin, .. } if pin.reveal() == "135790"))
    };
    for (dialled, is_set) in
        [("03135790#135791#", false), ("3123#", false), ("3135790#", false), ("135790#", true)]
    {
        let (asked, _) = dials(&mut office, own, dialled);
        assert_eq!(set(&asked), is_set, "{dialled}: {asked:?}");
    }
    assert_eq!(digits_told(&office), 4, "0 and three times 3");
}

#[test]
fn a_greeting_is_spoken_kept_heard_and_taken_back() {
    let mut office = Office::new();
    let own = office.dial("bob", "desk", office.to(Destination::OwnMailbox, 0));
    let (asked, _) = dials(&mut office, own, "01");
    let before = *played(&asked).last().unwrap();
    assert!(office.shard.fold().recordings().next().is_none(), "the beep is not part of it");
    is_over(&mut office, before);
    let recording = office.shard.fold().recordings().next().unwrap().clone();
    assert_eq!((recording.legs.as_slice(), &*recording.name), (&[own][..], "greeting/bob"));
    let (asked, _) = dials(&mut office, own, "#");
    let stops = |request: &MediaRequest| matches!(request, MediaRequest::StopRecording { .. });
    assert!(asked.iter().any(stops), "{asked:?}");
    let finished = FinishedRecording {
        recording: recording.recording,
        file: "g.wav".into(),
        duration_ms: 3000,
        size_bytes: 48_044,
        tracks: Vec::new(),
        failure: None,
    };
    let step = office.shard.handle_recording_finished(&recording.node, finished, office.now);
    office.take(step);
    let (asked, _) = serve(&mut office);
    let kept = |request: &MediaRequest| match request {
        MediaRequest::SetGreeting { user, recorded: Some((of, _, file)), .. } => {
            *user == bob() && *of == recording.recording && &**file == "g.wav"
        }
        _ => false,
    };
    let heard =
        |request: &MediaRequest| matches!(request, MediaRequest::PlayGreeting { leg, .. } if *leg == own);
    assert!(asked.iter().any(kept) && asked.iter().any(heard), "{asked:?}");
    let (asked, _) = dials(&mut office, own, "2");
    let back = |request: &MediaRequest| matches!(request, MediaRequest::SetGreeting { recorded: None, .. });
    assert!(asked.iter().any(back), "{asked:?}");
    assert_eq!(office.end_of(own), None);
}

/// Calls Bob's voicemail from elsewhere and dials a PIN; what was asked, and the leg.
fn tries(office: &mut Office, pin: &str) -> (LegId, Vec<MediaRequest>) {
    let leg = alice_listens(office);
    let (asked, _) = dials(office, leg, &format!("{pin}#"));
    (leg, asked)
}

fn checks(asked: &[MediaRequest]) -> bool {
    asked.iter().any(|request| matches!(request, MediaRequest::CheckPin { .. }))
}

/// The call hears why, and ends with that.
fn is_told_and_ended(office: &mut Office, leg: LegId, asked: &[MediaRequest]) {
    let sound = played(asked).pop().unwrap();
    assert_eq!(office.end_of(leg), None, "it hears so first");
    is_over(office, sound);
    assert_eq!(office.end_of(leg), Some(Cause::Forbidden));
    office.hang_up_as_told();
}

#[test]
fn wrong_pins_are_counted_over_all_calls_and_then_none_is_taken_for_a_while() {
    let mut office = Office::new();
    // Each call tries once: no call is ended for three.
    for n in 1..9 {
        let (leg, asked) = tries(&mut office, "1111");
        assert!(checks(&asked) && office.end_of(leg).is_none());
        assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()).unwrap().0, n);
        office.signal(leg, kit::ended(Cause::Normal, 200));
    }
    let (leg, asked) = tries(&mut office, "1111");
    assert_eq!((office.mailbox_locked, office.mailbox_refused), (1, 0));
    is_told_and_ended(&mut office, leg, &asked);
    // Not even the right one, and whoever calls is told at once. A restart changes nothing.
    office.restart();
    let leg = office.offer(with_pin(&office), Some(kit::media()));
    let (asked, _) = serve(&mut office);
    is_told_and_ended(&mut office, leg, &asked);
    let leg = office.offer(with_pin(&office), Some(kit::media()));
    serve(&mut office);
    let (asked, _) = dials(&mut office, leg, &format!("{PIN}#"));
    assert!(!checks(&asked), "the directory is not asked");
    office.signal(leg, kit::ended(Cause::Normal, 200));
    // It ends by itself; and the right PIN ends the counting.
    office.pass(900);
    let (leg, asked) = tries(&mut office, "1111");
    assert!(checks(&asked));
    assert_eq!(
        office.shard.fold().wrong_pins(&office.tenant, &bob()).unwrap().0,
        1,
        "those before are forgotten"
    );
    dials(&mut office, leg, &format!("{PIN}#"));
    assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()), None);
    assert_eq!(office.end_of(leg), None);
    assert_eq!(office.mailbox_locked, 1);
}

/// Nine wrong ones, three a call, after which the mailbox takes none.
fn lock(office: &mut Office) {
    for call in 0..3 {
        let leg = alice_listens(office);
        let told: Vec<_> = (0..3).map(|_| dials(office, leg, "1111#").0).collect();
        match call {
            0 | 1 => office.hang_up_as_told(),
            _ => is_told_and_ended(office, leg, &told[2]),
        }
        assert_eq!(office.end_of(leg), Some(Cause::Forbidden));
    }
    assert_eq!(office.mailbox_locked, 1);
}

#[test]
fn a_new_pin_from_the_users_own_phone_lifts_the_lock() {
    let mut office = Office::new();
    lock(&mut office);
    let own = office.dial("bob", "desk", with_pin(&office));
    dials(&mut office, own, "03135790#");
    assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()).map(|(wrong, _)| wrong), Some(9));
    dials(&mut office, own, "135790#");
    assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()), None);
    office.signal(own, ended_by_phone());
    let (leg, asked) = tries(&mut office, PIN);
    assert!(checks(&asked) && office.end_of(leg).is_none());
}

#[test]
fn a_new_pin_from_an_operator_lifts_the_lock_and_an_old_one_does_not() {
    let mut office = Office::new();
    lock(&mut office);
    let (_, last) = office.shard.fold().wrong_pins(&office.tenant, &bob()).unwrap();
    let before = Timestamp::from_millis(last.as_millis() - 1);
    for (set_at, is_asked) in [(before, false), (last, true)] {
        let leg = office.offer(with_pin_of(&office, set_at), Some(kit::media()));
        serve(&mut office);
        let (asked, _) = dials(&mut office, leg, &format!("{PIN}#"));
        assert_eq!(checks(&asked), is_asked, "{set_at:?}");
        office.signal(leg, ended_by_phone());
    }
    // What is wrong from now on is counted from the beginning, and a restart changes nothing of that.
    assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()), None);
    office.restart();
    tries(&mut office, "1111");
    assert_eq!(office.shard.fold().wrong_pins(&office.tenant, &bob()).map(|(wrong, _)| wrong), Some(1));
}

fn ended_by_phone() -> sidetone_model::signal::LegSignalKind {
    kit::ended(Cause::Normal, 200)
}
