//! A user listens to the own voicemail: from the own phones at once, from everywhere else by its PIN (`mailbox_menu`).
//!
//! Messages that were not heard come first, oldest first, then the others; a sound stands before each, and another after the
//! last, with which the call ends. Digits: `1` plays the message again, `2` or `#` goes on to the next, `3` deletes it, `0`
//! leads to the options, `*` hangs up. A message counts as heard when it has come to its end or was passed over by `2` or `#`.

use sidetone_model::fact::{CommandSubject, FactKind};
use sidetone_model::fold::{LegView, MessageView};
use sidetone_model::ids::{LegId, PlaybackId, RecordingId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::error::CommandError;
use crate::mailbox_menu::Stage;
use crate::shard::Shard;

/// What a leg listens to. Not in the log: after a restart it begins anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listening {
    pub(crate) leg: LegId,
    pub(crate) what: Sound,
    /// What is still to come, next first.
    left: Vec<RecordingId>,
}

/// Something that is heard in a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sound {
    Message(RecordingId),
    /// After the last: the call ends with it.
    End,
    /// Behind it a digit is expected, or a greeting.
    Prompt,
    /// The mailbox takes no PIN now: the call ends with it.
    Locked,
}

impl Sound {
    fn message(self) -> Option<RecordingId> {
        match self {
            Self::Message(message) => Some(message),
            Self::End | Self::Prompt | Self::Locked => None,
        }
    }
}

impl Shard {
    /// The leg listens from the beginning, once it may.
    pub(crate) fn listen(&mut self, leg: &LegView) {
        let Some(Destination::Mailbox(user)) = &leg.served_by else { return };
        self.stop_listening(leg);
        if self.must_prove(leg) {
            match self.is_locked(leg) {
                true => self.tell_locked(leg),
                false => self.ask_for_pin(leg),
            }
            return;
        }
        self.stay_in(leg.leg, Stage::Messages);
        let mut messages: Vec<&MessageView> = self.fold.messages(&leg.tenant, user).collect();
        messages.sort_by_key(|message| (message.heard, message.message));
        let left = messages.into_iter().map(|message| message.message).collect();
        self.play_next(leg, left);
    }

    /// The next message that is there still; after the last one the end.
    fn play_next(&mut self, leg: &LegView, mut left: Vec<RecordingId>) {
        let Some(Destination::Mailbox(user)) = &leg.served_by else { return };
        while !left.is_empty() {
            let message = left.remove(0);
            if let Some(view) = self.fold.message(&leg.tenant, user, message).cloned() {
                self.play_message(leg, &view, left);
                return;
            }
        }
        self.play_sound(leg, Sound::End, self.limits.mailbox_end.clone());
    }

    /// A sound that is no message.
    pub(crate) fn play_sound(&mut self, leg: &LegView, what: Sound, prompt: Box<str>) {
        let playback = self.begin_to_hear(leg, what, Vec::new());
        self.ask(leg, MediaRequest::PlayMessage { playback, leg: leg.leg, prompt, recorded: None });
    }

    /// Notes what a leg hears from now on, and gives that its name.
    pub(crate) fn begin_to_hear(&mut self, leg: &LegView, what: Sound, left: Vec<RecordingId>) -> PlaybackId {
        let playback = self.playback_of(leg.leg, what.message());
        self.listening.insert(playback, Listening { leg: leg.leg, what, left });
        playback
    }

    fn play_message(&mut self, leg: &LegView, view: &MessageView, left: Vec<RecordingId>) {
        let playback = self.begin_to_hear(leg, Sound::Message(view.message), left);
        let prompt = self.limits.mailbox_prompt.clone();
        let recorded = Some((view.message, view.node.clone(), view.file.clone()));
        self.ask(leg, MediaRequest::PlayMessage { playback, leg: leg.leg, prompt, recorded });
    }

    /// Under which name a leg hears a message, or the end: another than the last time, because a playback that is being stopped
    /// cannot begin anew.
    fn playback_of(&mut self, leg: LegId, message: Option<RecordingId>) -> PlaybackId {
        let passing = &mut self.control(leg).passing;
        passing.listened = !passing.listened;
        name_of(leg, message, passing.listened)
    }

    /// After a restart nobody knows what the leg hears still.
    pub(crate) fn silence_mailbox(&mut self, leg: &LegView, user: &UserId) {
        let messages = self.fold.messages(&leg.tenant, user).map(|view| Some(view.message));
        let heard: Vec<_> = messages.chain([None]).collect();
        for playback in
            heard.into_iter().flat_map(|message| [true, false].map(|n| name_of(leg.leg, message, n)))
        {
            self.ask(leg, MediaRequest::StopPlay { playback });
        }
    }

    /// What the leg hears of its mailbox is stopped, if it hears something.
    pub(crate) fn stop_listening(&mut self, leg: &LegView) -> Option<Listening> {
        let playback =
            self.listening.iter().find(|(_, it)| it.leg == leg.leg).map(|(playback, _)| *playback)?;
        self.ask(leg, MediaRequest::StopPlay { playback });
        self.listening.remove(&playback)
    }

    /// A message has come to its end, or could not be played. False when the playback is none of a mailbox.
    pub(crate) fn on_message_played(&mut self, playback: PlaybackId, heard: bool, now: Timestamp) -> bool {
        let Some(Listening { leg, what, left }) = self.listening.remove(&playback) else { return false };
        let Some(leg) = self.live(leg) else { return true };
        match what {
            Sound::Message(message) => {
                if heard {
                    self.message_heard(&leg, message, now);
                }
                self.play_next(&leg, left);
            }
            Sound::Prompt => self.prompt_heard(&leg, now),
            Sound::Locked => self.end_locked(&leg),
            Sound::End => {
                self.end(&leg, Termination::new(Cause::Normal).with_text("there are no more messages"))
            }
        }
        true
    }

    /// Whoever listens has pressed a digit.
    pub(crate) fn on_mailbox_digit(&mut self, leg: LegId, digit: char, now: Timestamp) {
        let Some(leg) = self.live(leg).filter(|leg| !self.is_ending(leg.leg)) else { return };
        let Some(Destination::Mailbox(user)) = leg.served_by.clone() else { return };
        if self.must_prove(&leg) || self.control(leg.leg).passing.mailbox.stage != Stage::Messages {
            self.on_menu_digit(&leg, digit, now);
            return;
        }
        match digit {
            '*' => self.end(&leg, Termination::new(Cause::Normal).with_text("the user has hung up by *")),
            '0' => self.offer_options(&leg, now),
            '1' | '2' | '3' | '#' => self.on_message_choice(&leg, &user, digit, now),
            _ => {}
        }
    }

    fn on_message_choice(&mut self, leg: &LegView, user: &UserId, digit: char, now: Timestamp) {
        let Some(Listening { what, mut left, .. }) = self.stop_listening(leg) else { return };
        match (digit, what.message()) {
            ('1', Some(message)) => left.insert(0, message),
            // At the end: everything from the beginning.
            ('1', None) => {
                self.listen(leg);
                return;
            }
            ('3', Some(message)) => {
                self.fact(&leg.tenant, now, FactKind::MessageDeleted { message, user: user.clone() });
            }
            (_, Some(message)) => self.message_heard(leg, message, now),
            (_, None) => {}
        }
        self.play_next(leg, left);
    }

    fn message_heard(&mut self, leg: &LegView, message: RecordingId, now: Timestamp) {
        let Some(Destination::Mailbox(user)) = leg.served_by.clone() else { return };
        if self.fold.message(&leg.tenant, &user, message).is_some_and(|view| !view.heard) {
            self.fact(&leg.tenant, now, FactKind::MessageHeard { message, user });
        }
    }

    /// An application has played a message to its user, or wants it gone.
    pub(crate) fn change_message(
        &mut self,
        tenant: &TenantId,
        (user, message): (&UserId, RecordingId),
        delete: bool,
        now: Timestamp,
    ) -> Result<CommandSubject, CommandError> {
        let view = self.fold.message(tenant, user, message).ok_or(CommandError::NoSuchMessage)?;
        let user = user.clone();
        if delete {
            self.fact(tenant, now, FactKind::MessageDeleted { message, user });
        } else if !view.heard {
            self.fact(tenant, now, FactKind::MessageHeard { message, user });
        }
        Ok(CommandSubject::Recording(message))
    }
}

/// Known again after a restart.
fn name_of(leg: LegId, message: Option<RecordingId>, turn: bool) -> PlaybackId {
    let message = message.map_or(0, |message| message.as_u128());
    let both = leg.as_u128() ^ message.rotate_left(1) ^ (u128::from(turn) + 1);
    PlaybackId::from(uuid::Uuid::from_u128(both))
}
