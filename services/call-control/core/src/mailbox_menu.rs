//! The PIN of a mailbox and its options.
//!
//! From any phone that is not the mailbox's user's own the PIN is dialled first, and `#` behind it; three times, then the call
//! ends. Wrong ones are counted over all calls, in the log: past a number of them in a row the mailbox takes none for a while
//! (decision 63). Of the options `1` records a greeting, which ends with `#` and is played back; `2` goes back to that of the
//! installation; `3` takes a new PIN, dialled twice; `*` leads back to the messages. Digits of a PIN are written nowhere, and
//! where somebody is in a mailbox is not in the log: after a restart listening begins anew, and with it the question for the PIN.
//!
//! PINs and greetings are kept by the directory: whoever carries out requests asks there.

use std::time::Duration;

use sidetone_model::classify::Class;
use sidetone_model::command::RecordingOptions;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::{LegView, RecordingView};
use sidetone_model::ids::{LegId, RecordingId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::{Effect, MediaRequest, Pin};
use crate::input::MediaFailure;
use crate::mailbox::Sound;
use crate::shard::Shard;

/// How far a leg is in a mailbox. Not in the log.
#[derive(Debug, Default)]
pub(crate) struct Menu {
    pub(crate) stage: Stage,
    /// It has dialled the PIN.
    proven: bool,
    /// Wrong PINs of this call.
    wrong: u32,
    /// What was dialled of a PIN.
    dialled: String,
    /// Until when it is waited for.
    until: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) enum Stage {
    /// It hears messages.
    #[default]
    Messages,
    /// It dials the PIN.
    Pin,
    /// The directory is asked.
    Asked,
    /// It chooses.
    Options,
    /// It dials a new PIN; the second time with what it dialled the first time.
    NewPin(Option<Pin>),
    /// It hears the sound behind which it speaks a greeting.
    BeforeGreeting,
    /// It speaks a greeting.
    Greeting(RecordingId),
    /// It hears that the mailbox takes no PIN now.
    Locked,
}

/// Wrong PINs of one call, the last of which ends it.
const TRIES: u32 = 3;
/// Digits of a PIN.
pub const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;
/// How long a greeting may be: what a store keeps of it in one piece.
const GREETING_MAX: Duration = Duration::from_secs(30);
/// How long nothing may be pressed.
const CHOICE_MAX: Duration = Duration::from_secs(30);

impl Shard {
    /// Whether a leg is in somebody's mailbox, and has not proved that it may be.
    pub(crate) fn must_prove(&self, leg: &LegView) -> bool {
        let Some(Destination::Mailbox(user)) = &leg.served_by else { return false };
        let proven = self.legs.get(&leg.leg).is_some_and(|control| control.passing.mailbox.proven);
        leg.party.user.as_ref() != Some(user) && !proven
    }

    /// Whether what a leg dials now is nobody's affair.
    pub(crate) fn dials_a_secret(&self, leg: &LegView) -> bool {
        let stage = self.legs.get(&leg.leg).map(|control| &control.passing.mailbox.stage);
        self.must_prove(leg) || matches!(stage, Some(Stage::NewPin(_) | Stage::Asked))
    }

    pub(crate) fn stay_in(&mut self, leg: LegId, stage: Stage) {
        self.no_longer_choosing(leg);
        let menu = &mut self.control(leg).passing.mailbox;
        menu.stage = stage;
        menu.dialled.clear();
    }

    /// From now on a digit is expected, or the end of a greeting.
    fn await_choice(&mut self, leg: LegId, for_long: Duration, now: Timestamp) {
        self.no_longer_choosing(leg);
        let until = now + for_long;
        self.control(leg).passing.mailbox.until = Some(until);
        self.choosing.insert((until, leg));
    }

    pub(crate) fn no_longer_choosing(&mut self, leg: LegId) {
        let until = self.legs.get_mut(&leg).and_then(|control| control.passing.mailbox.until.take());
        if let Some(until) = until {
            self.choosing.remove(&(until, leg));
        }
    }

    pub(crate) fn ask_for_pin(&mut self, leg: &LegView) {
        self.stay_in(leg.leg, Stage::Pin);
        self.play_sound(leg, Sound::Prompt, self.limits.mailbox_pin_prompt.clone());
        // Whoever dials over the sound is not made to hear it to its end.
        let now = self.seen_at.max(self.last_fact_at);
        self.await_choice(leg.leg, CHOICE_MAX, now);
    }

    pub(crate) fn offer_options(&mut self, leg: &LegView, now: Timestamp) {
        self.stop_listening(leg);
        self.stay_in(leg.leg, Stage::Options);
        self.play_sound(leg, Sound::Prompt, self.limits.mailbox_options_prompt.clone());
        self.await_choice(leg.leg, CHOICE_MAX, now);
    }

    /// A sound is over behind which something is expected.
    pub(crate) fn prompt_heard(&mut self, leg: &LegView, now: Timestamp) {
        if self.is_ending(leg.leg) || self.control(leg.leg).passing.mailbox.stage != Stage::BeforeGreeting {
            return;
        }
        let Some(Destination::Mailbox(user)) = &leg.served_by else { return };
        let (legs, name) = (vec![leg.leg], format!("greeting/{user}").into());
        match self.record(leg.call, &RecordingOptions { legs, name, ..RecordingOptions::default() }, now) {
            Ok(recording) => {
                self.stay_in(leg.leg, Stage::Greeting(recording));
                self.await_choice(leg.leg, GREETING_MAX, now);
            }
            Err(_) => self.say_no(leg, now),
        }
    }

    /// A digit that is not about messages.
    pub(crate) fn on_menu_digit(&mut self, leg: &LegView, digit: char, now: Timestamp) {
        let Some(Destination::Mailbox(user)) = leg.served_by.clone() else { return };
        let stage = self.control(leg.leg).passing.mailbox.stage.clone();
        if stage == Stage::Asked {
            return;
        }
        if !matches!(stage, Stage::Greeting(_)) {
            self.await_choice(leg.leg, CHOICE_MAX, now);
        }
        match (stage, digit) {
            (Stage::Options, '1') => {
                self.stop_listening(leg);
                self.stay_in(leg.leg, Stage::BeforeGreeting);
                self.play_sound(leg, Sound::Prompt, self.limits.mailbox_prompt.clone());
            }
            (Stage::Options, '2') => self.set_greeting(leg, user, None),
            (Stage::Options, '3') => self.ask_for_new_pin(leg, None, now),
            (Stage::Options, '*') => self.listen(leg),
            (Stage::Greeting(recording), '#') => {
                self.stay_in(leg.leg, Stage::Greeting(recording));
                self.stop_recording_of(recording);
            }
            (Stage::NewPin(_), '*') => self.offer_options(leg, now),
            (Stage::NewPin(first), '#') => self.new_pin_dialled(leg, user, first, now),
            (Stage::Pin | Stage::Messages, '*') => {
                self.end(leg, Termination::new(Cause::Normal).with_text("the user has hung up by *"));
            }
            (Stage::Pin | Stage::Messages, '#') => self.pin_dialled(leg, user),
            (Stage::Pin | Stage::Messages | Stage::NewPin(_), '0'..='9') => {
                self.stop_listening(leg);
                let dialled = &mut self.control(leg.leg).passing.mailbox.dialled;
                // One too many makes it a wrong one, and more need not be kept.
                if dialled.len() <= *PIN_DIGITS.end() {
                    dialled.push(digit);
                }
            }
            _ => {}
        }
    }

    fn take_dialled(&mut self, leg: LegId) -> Pin {
        Pin::new(std::mem::take(&mut self.control(leg).passing.mailbox.dialled))
    }

    fn pin_dialled(&mut self, leg: &LegView, user: UserId) {
        let pin = self.take_dialled(leg.leg);
        if self.is_locked(leg) {
            // By another call, meanwhile.
            return self.tell_locked(leg);
        }
        self.stay_in(leg.leg, Stage::Asked);
        self.ask(leg, MediaRequest::CheckPin { leg: leg.leg, tenant: leg.tenant.clone(), user, pin });
    }

    fn ask_for_new_pin(&mut self, leg: &LegView, first: Option<Pin>, now: Timestamp) {
        self.stop_listening(leg);
        self.stay_in(leg.leg, Stage::NewPin(first));
        self.play_sound(leg, Sound::Prompt, self.limits.mailbox_pin_prompt.clone());
        self.await_choice(leg.leg, CHOICE_MAX, now);
    }

    /// The second time it must be the same.
    fn new_pin_dialled(&mut self, leg: &LegView, user: UserId, first: Option<Pin>, now: Timestamp) {
        let pin = self.take_dialled(leg.leg);
        match first {
            _ if !PIN_DIGITS.contains(&pin.reveal().len()) => self.say_no(leg, now),
            None => self.ask_for_new_pin(leg, Some(pin), now),
            Some(first) if first != pin => self.say_no(leg, now),
            Some(_) => {
                self.stay_in(leg.leg, Stage::Asked);
                self.ask(leg, MediaRequest::SetPin { leg: leg.leg, tenant: leg.tenant.clone(), user, pin });
            }
        }
    }

    fn set_greeting(
        &mut self,
        leg: &LegView,
        user: UserId,
        recorded: Option<(RecordingId, sidetone_model::ids::NodeId, Box<str>)>,
    ) {
        self.stop_listening(leg);
        self.stay_in(leg.leg, Stage::Asked);
        let tenant = leg.tenant.clone();
        self.ask(leg, MediaRequest::SetGreeting { leg: leg.leg, tenant, user, recorded });
    }

    /// A recording is over: if it is the greeting that somebody has just spoken, the mailbox has it from now on. None: it failed.
    pub(crate) fn greeting_spoken(&mut self, view: &RecordingView, file: Option<Box<str>>, now: Timestamp) {
        let [leg] = view.legs[..] else { return };
        let Some(leg) = self.live(leg).filter(|leg| !self.is_ending(leg.leg)) else { return };
        let Some(Destination::Mailbox(user)) = leg.served_by.clone() else { return };
        if self.control(leg.leg).passing.mailbox.stage != Stage::Greeting(view.recording) {
            return;
        }
        match file {
            Some(file) => {
                let recorded = Some((view.recording, view.node.clone(), file));
                self.set_greeting(&leg, user, recorded);
            }
            None => self.say_no(&leg, now),
        }
    }

    /// Whether a request of a leg is about the PIN or the greeting of the mailbox in which it is.
    pub(crate) fn is_of_mailbox(&self, leg: &LegView, request: &MediaRequest) -> bool {
        use MediaRequest::{CheckPin, PlayGreeting, SetGreeting, SetPin};
        let about =
            matches!(request, CheckPin { .. } | SetPin { .. } | SetGreeting { .. } | PlayGreeting { .. });
        about && matches!(leg.served_by, Some(Destination::Mailbox(_)))
    }

    /// The directory has answered, or media that it plays a greeting.
    pub(crate) fn on_mailbox_answer(
        &mut self,
        leg: &LegView,
        request: &MediaRequest,
        failure: Option<&MediaFailure>,
        now: Timestamp,
    ) {
        if let MediaRequest::PlayGreeting { playback, .. } = request {
            // What is played tells of its end; what is not has it now.
            if failure.is_some() {
                self.on_message_played(*playback, false, now);
            }
            return;
        }
        if self.is_ending(leg.leg) || self.control(leg.leg).passing.mailbox.stage != Stage::Asked {
            return;
        }
        match (request, failure) {
            (MediaRequest::CheckPin { .. }, None) if self.is_locked(leg) => self.tell_locked(leg),
            (MediaRequest::CheckPin { user, .. }, None) => {
                self.control(leg.leg).passing.mailbox.proven = true;
                self.forget_tries(&leg.tenant, user, now);
                self.listen(leg);
            }
            (MediaRequest::CheckPin { user, .. }, Some(failure)) if failure.class == Class::Forbidden => {
                self.pin_was_wrong(leg, user, now);
            }
            (MediaRequest::CheckPin { .. }, Some(_)) => {
                let text = "whether the PIN is right cannot be found out now";
                self.end(leg, Termination::new(Cause::Unavailable).with_text(text));
            }
            (MediaRequest::SetGreeting { tenant, user, recorded: Some(_), .. }, None) => {
                // It is heard as callers will hear it.
                self.stay_in(leg.leg, Stage::Options);
                let playback = self.begin_to_hear(leg, Sound::Prompt, Vec::new());
                let (tenant, user) = (tenant.clone(), user.clone());
                let otherwise = self.limits.voicemail_greeting.clone();
                self.ask(leg, MediaRequest::PlayGreeting { playback, leg: leg.leg, tenant, user, otherwise });
                self.await_choice(leg.leg, CHOICE_MAX, now);
            }
            (MediaRequest::SetPin { user, .. }, None) => {
                self.forget_tries(&leg.tenant, user, now);
                self.offer_options(leg, now);
            }
            (_, None) => self.offer_options(leg, now),
            (_, Some(_)) => self.say_no(leg, now),
        }
    }

    /// Wrong PINs count no more, and a mailbox that took none for them takes one again.
    fn forget_tries(&mut self, tenant: &TenantId, user: &UserId, now: Timestamp) {
        if self.fold.wrong_pins(tenant, user).is_some() {
            self.fact(tenant, now, FactKind::MailboxPinTried { user: user.clone(), wrong: 0 });
        }
    }

    /// What was dialled before the PIN was set says nothing of who knows this one.
    pub(crate) fn forget_tries_of_before(
        &mut self,
        tenant: &TenantId,
        user: &UserId,
        set_at: Timestamp,
        now: Timestamp,
    ) {
        if self.fold.wrong_pins(tenant, user).is_some_and(|(_, last)| last <= set_at) {
            self.forget_tries(tenant, user, now);
        }
    }

    fn pin_was_wrong(&mut self, leg: &LegView, user: &UserId, now: Timestamp) {
        let locked = self.is_locked(leg);
        let before = self.wrong_before(leg, user);
        let tried = FactKind::MailboxPinTried { user: user.clone(), wrong: before.saturating_add(1) };
        self.fact(&leg.tenant, now, tried);
        if self.is_locked(leg) {
            if !locked {
                self.effect(Effect::MailboxLocked);
            }
            return self.tell_locked(leg);
        }
        let menu = &mut self.control(leg.leg).passing.mailbox;
        menu.wrong += 1;
        if menu.wrong < TRIES {
            return self.ask_for_pin(leg);
        }
        self.effect(Effect::MailboxRefused);
        let text = "the PIN of the voicemail was wrong three times";
        self.end(leg, Termination::new(Cause::Forbidden).with_text(text));
    }

    /// Wrong PINs in a row at a mailbox; those of long ago are forgotten.
    fn wrong_before(&self, leg: &LegView, user: &UserId) -> u32 {
        let now = self.seen_at.max(self.last_fact_at);
        let last = self.fold.wrong_pins(&leg.tenant, user);
        last.filter(|(_, at)| now < *at + self.limits.mailbox_lock).map_or(0, |(wrong, _)| wrong)
    }

    /// Whether the mailbox in which a leg is takes no PIN now.
    pub(crate) fn is_locked(&self, leg: &LegView) -> bool {
        let Some(Destination::Mailbox(user)) = &leg.served_by else { return false };
        let tries = self.limits.mailbox_pin_tries;
        tries > 0 && self.wrong_before(leg, user) >= tries
    }

    /// Whoever calls a mailbox that takes no PIN hears so, and the call ends.
    pub(crate) fn tell_locked(&mut self, leg: &LegView) {
        self.stop_listening(leg);
        self.stay_in(leg.leg, Stage::Locked);
        self.play_sound(leg, Sound::Locked, self.limits.mailbox_locked_prompt.clone());
    }

    pub(crate) fn end_locked(&mut self, leg: &LegView) {
        let minutes = self.limits.mailbox_lock.as_secs().div_ceil(60);
        let text =
            format!("too many wrong PINs were dialled at this voicemail: it takes none for {minutes} min");
        self.end(leg, Termination::new(Cause::Forbidden).with_text(text));
    }

    /// What was wanted is not done: a sound says so, and the options are there again.
    fn say_no(&mut self, leg: &LegView, now: Timestamp) {
        self.stop_listening(leg);
        self.stay_in(leg.leg, Stage::Options);
        self.play_sound(leg, Sound::Prompt, self.limits.mailbox_end.clone());
        self.await_choice(leg.leg, CHOICE_MAX, now);
    }

    /// Who presses nothing for long is hung up upon; a greeting is as long as it may be.
    pub(crate) fn end_long_choices(&mut self, now: Timestamp) {
        while let Some((at, leg)) = self.choosing.first().copied()
            && at <= now
        {
            self.choosing.pop_first();
            let Some(view) = self.live(leg) else { continue };
            self.control(leg).passing.mailbox.until = None;
            match self.control(leg).passing.mailbox.stage {
                Stage::Greeting(recording) => self.stop_recording_of(recording),
                _ => {
                    let text = "nothing was pressed in the voicemail for long";
                    self.end(&view, Termination::new(Cause::Normal).with_text(text));
                }
            }
        }
    }
}
