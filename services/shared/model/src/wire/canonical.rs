//! The bytes of a command, by which a key that is used again is told from one that is used for something else.
//!
//! They are kept with the answer for a day, over restarts and releases, so they follow from this file alone: the command's word,
//! then every field in the order in which it stands here, as text behind its length. Lists have their length before them, and
//! what may be absent is a list of none or one. A new field goes to the end of its command, and is left out where it has the value
//! that stood for it before there was one.

use std::fmt::Display;

use crate::call::{DeviceOf, Elsewhere, ExternalRef};
use crate::callback::{Callback, CallbackMethod};
use crate::command::{Audience, CallCommandKind, CallName, PlaceOptions, RecordingOptions};
use crate::conversation::ConversationCommand;
use crate::media::{BargeIn, Beside, FileFormat, Layout, Manner, PlayOptions, PlaySteer, Source};
use crate::party::Destination;
use crate::voice::{LegVoice, VoiceRole};

/// Fields, one behind the other.
struct Fields(Vec<u8>);

impl Fields {
    fn of(word: &str) -> Self {
        Self(Vec::new()).field(word)
    }

    fn field(mut self, value: impl Display) -> Self {
        let text = value.to_string();
        self.0.extend((text.len() as u32).to_be_bytes());
        self.0.extend(text.into_bytes());
        self
    }

    fn all<T>(self, values: &[T], one: impl Fn(Self, &T) -> Self) -> Self {
        let counted = self.field(values.len());
        values.iter().fold(counted, one)
    }

    fn maybe<T: Display>(self, value: Option<&T>) -> Self {
        self.all(value.as_slice(), |fields, value| fields.field(value))
    }

    fn destination(self, to: &Destination) -> Self {
        match to {
            Destination::User(user) => self.field("user").field(user),
            Destination::Room(room) => self.field("room").field(room),
            Destination::Echo => self.field("echo"),
            Destination::Announcement { prompt, repeat } => {
                self.field("announcement").field(prompt).field(repeat)
            }
            Destination::Wait => self.field("wait"),
            Destination::Voicemail(user) => self.field("voicemail").field(user),
            Destination::Mailbox(user) => self.field("mailbox").field(user),
            Destination::Assistant => self.field("assistant"),
            Destination::OwnMailbox => self.field("own_mailbox"),
            Destination::PickUpGroup { members } => {
                self.field("pick_up_group").all(members, |fields, member| fields.field(member))
            }
        }
    }

    fn voice(self, voice: &LegVoice) -> Self {
        let LegVoice { gain_mdb, role, automatic_gain, suppress_noise } = voice;
        let loud = self.field(gain_mdb).field(automatic_gain).field(suppress_noise);
        match role {
            VoiceRole::Speaker => loud.field("speaker"),
            VoiceRole::Listener => loud.field("listener"),
            VoiceRole::Coach { heard_by } => loud.field("coach").field(heard_by),
            VoiceRole::Monitor => loud.field("monitor"),
        }
    }

    fn manner(self, manner: Manner) -> Self {
        let beside = |fields: Self, word: &str, beside: Beside| {
            fields.field(word).maybe(beside.duck_mdb().as_ref()).field(beside.gain_mdb())
        };
        match manner {
            Manner::Instead => self,
            Manner::Over(levels) => beside(self, "over", levels),
            Manner::Under(levels) => beside(self, "under", levels),
        }
    }

    fn options(self, options: PlayOptions) -> Self {
        // As before there were any.
        if options == PlayOptions::default() {
            return self;
        }
        let barge_in = match options.barge_in {
            BargeIn::None => "none",
            BargeIn::Key => "key",
            BargeIn::Voice => "voice",
            BargeIn::Any => "any",
        };
        self.field("options").field(options.start_ms).field(options.pause_ms).field(barge_in)
    }

    fn external(self, ExternalRef { dialect, key }: &ExternalRef) -> Self {
        self.field(dialect).field(key)
    }

    fn device(self, DeviceOf { user, device }: &DeviceOf) -> Self {
        self.field(user).maybe(device.as_ref())
    }

    fn audience(self, to: Audience) -> Self {
        match to {
            Audience::Call(call) => self.field("call").field(call),
            Audience::Leg(leg) => self.field("leg").field(leg),
        }
    }
}

impl CallCommandKind {
    /// The bytes of the command: the same for the same command in every release, others for every other one.
    pub fn canonical(&self) -> Vec<u8> {
        let fields = Fields::of(self.word());
        let fields = match self {
            Self::AnswerRinging { leg }
            | Self::Reject { leg }
            | Self::Overflow { leg }
            | Self::Hold { leg }
            | Self::Retrieve { leg }
            | Self::RetrieveParticipant { leg }
            | Self::DropMe { leg }
            | Self::HangUpLeg { leg } => fields.field(leg),
            Self::HangUpCall { call } => fields.field(call),
            Self::Alternate { active, held }
            | Self::Reconnect { active, held }
            | Self::Merge { active, held }
            | Self::TransferAttended { active, held } => fields.field(active).field(held),
            Self::SwitchDevice { leg, device } | Self::AddDevice { leg, device } => {
                fields.field(leg).field(device)
            }
            Self::DropParticipant { leg, by } | Self::HoldParticipant { leg, by } => {
                fields.field(leg).maybe(by.as_ref())
            }
            Self::PickUp { leg, by } => fields.field(leg).device(by),
            Self::PickUpInGroup { number, by } => fields.field(number).device(by),
            Self::Intrude { call, by } => fields.field(call).device(by),
            Self::MarkMessageHeard { user, message } | Self::DeleteMessage { user, message } => {
                fields.field(user).field(message)
            }
            Self::AddExternalRef { call, external } => fields.field(call).external(external),
            Self::Conversation(command) => of_conversation(fields, command),
            _ => self.with_numbers(fields),
        };
        fields.0
    }

    fn with_numbers(&self, fields: Fields) -> Fields {
        match self {
            Self::Place { from, from_number, to, to_number, options } => {
                let PlaceOptions { device, anonymous, auto_answer, external, headers } = options;
                let ends = fields.destination(from).field(from_number).destination(to).field(to_number);
                let how = ends.maybe(device.as_ref()).field(anonymous).field(auto_answer);
                let named = how.all(external.as_slice(), Fields::external);
                if headers.is_empty() {
                    return named;
                }
                named.all(headers, |fields, (name, value)| fields.field(name).field(value))
            }
            Self::Answer { leg, to, to_number } => fields.field(leg).destination(to).field(to_number),
            Self::Deflect { leg, numbers } => {
                fields.field(leg).all(numbers, |fields, number| fields.field(number))
            }
            Self::Redirect { leg, to, anonymous } => {
                let fields = match to {
                    Elsewhere::Number(number) => fields.field(leg).field("number").field(number),
                    Elsewhere::Voicemail => fields.field(leg).field("voicemail"),
                    Elsewhere::Assistant => fields.field(leg).field("assistant"),
                };
                // As before it could be asked for.
                if *anonymous { fields.field(anonymous) } else { fields }
            }
            Self::Enquire { leg, to_number, anonymous }
            | Self::TransferBlind { leg, to_number, anonymous } => {
                fields.field(leg).field(to_number).field(anonymous)
            }
            Self::AddParticipant { leg, to_number, anonymous } => {
                let fields = fields.field(leg).field(to_number);
                if *anonymous { fields.field(anonymous) } else { fields }
            }
            Self::Join { call, to, to_number, from_number, contact } => {
                let call = match call {
                    CallName::Id(call) => fields.field("id").field(call),
                    CallName::External(external) => fields.field("external").external(external),
                };
                let named = call.destination(to).field(to_number).field(from_number);
                // As before it could be said.
                if contact.is_empty() { named } else { named.field(contact) }
            }
            _ => self.with_media(fields),
        }
    }

    fn with_media(&self, fields: Fields) -> Fields {
        match self {
            Self::SetAudio { leg, muted, deafened, voice } => {
                let let_through = fields.field(leg).field(muted).field(deafened);
                // As before there was any.
                match voice {
                    None => let_through,
                    Some(voice) => let_through.voice(voice),
                }
            }
            Self::SendDigits { leg, digits } => fields.field(leg).field(digits),
            Self::StartRecording { call, options } => {
                let RecordingOptions { format, layout, legs, name, callback, beep } = options;
                let how = fields.field(call).field(of_format(*format)).field(of_layout(*layout));
                let how = how.all(legs, |fields, leg| fields.field(leg)).field(name);
                // As before there were any.
                let how = if *beep { how.field("beep") } else { how };
                match callback.as_deref() {
                    None => how,
                    Some(Callback { application, url, method }) => {
                        let get = *method == CallbackMethod::Get;
                        how.field("callback").field(application).field(url).field(get)
                    }
                }
            }
            Self::StopRecording { recording }
            | Self::PauseRecording { recording, mask: false }
            | Self::ResumeRecording { recording } => fields.field(recording),
            Self::PauseRecording { recording, mask: true } => fields.field(recording).field("mask"),
            Self::Play { to, sources, repeat, manner, options } => {
                let source = |fields: Fields, source: &Source| match source {
                    Source::Prompt(name) => fields.field("prompt").field(name),
                    Source::Url(url) => fields.field("url").field(url),
                };
                fields.audience(*to).all(sources, source).field(repeat).manner(*manner).options(*options)
            }
            Self::SteerPlay { playback, steer } => match steer {
                PlaySteer::Pause => fields.field(playback).field("pause"),
                PlaySteer::Resume => fields.field(playback).field("resume"),
                PlaySteer::Seek { to_ms } => fields.field(playback).field("seek").field(to_ms),
            },
            Self::StopPlay { to, playback } => fields.audience(*to).maybe(playback.as_ref()),
            Self::StartStream { call, format } => fields.field(call).field(of_format(*format)),
            Self::StopStream { stream } => fields.field(stream),
            _ => fields,
        }
    }

    /// The metric's label, but for those that share one.
    fn word(&self) -> &'static str {
        match self {
            Self::HangUpCall { .. } => "hang_up_call",
            Self::HangUpLeg { .. } => "hang_up_leg",
            other => other.name(),
        }
    }
}

fn of_conversation(fields: Fields, command: &ConversationCommand) -> Fields {
    match command {
        ConversationCommand::PutPerson { person, application, name, display_name } => {
            fields.field("put_person").field(person).field(application).field(name).field(display_name)
        }
        ConversationCommand::DeletePerson { person } => fields.field("delete_person").field(person),
        ConversationCommand::Put { conversation, application, name, display_name } => {
            fields.field("put").field(conversation).field(application).field(name).field(display_name)
        }
        ConversationCommand::Delete { conversation } => fields.field("delete").field(conversation),
        ConversationCommand::Invite { conversation, member, person, from, to, knocking } => {
            let who = fields.field("invite").field(conversation).field(member).field(person);
            who.field(from).field(to).maybe(knocking.as_ref())
        }
        ConversationCommand::Leave { conversation, member } => {
            fields.field("leave").field(conversation).field(member)
        }
        ConversationCommand::Post { conversation, member, r#type, body } => {
            fields.field("post").field(conversation).maybe(member.as_ref()).field(r#type).field(body)
        }
        ConversationCommand::DeleteEvent { conversation, event } => {
            fields.field("delete_event").field(conversation).field(event)
        }
    }
}

fn of_format(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Wav => "wav",
        FileFormat::Mp3 => "mp3",
        FileFormat::OggOpus => "ogg_opus",
        FileFormat::Flac => "flac",
        FileFormat::L16 => "l16",
        FileFormat::Pcmu => "pcmu",
    }
}

fn of_layout(layout: Layout) -> &'static str {
    match layout {
        Layout::Mono => "mono",
        Layout::Stereo => "stereo",
        Layout::TrackPerLeg => "track_per_leg",
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::ids::{CallId, LegId};

    fn leg() -> LegId {
        LegId::from(Uuid::from_u128(7))
    }

    #[test]
    fn the_bytes_are_those_that_are_kept_already() {
        let hold = CallCommandKind::Hold { leg: leg() }.canonical();
        assert_eq!(hold, b"\0\0\0\x04hold\0\0\0\x2400000000-0000-0000-0000-000000000007");
        let play = CallCommandKind::Play {
            to: Audience::Leg(leg()),
            sources: vec![Source::Url("u".into())],
            repeat: 0,
            manner: Manner::Instead,
            options: PlayOptions::default(),
        };
        let kept = b"\0\0\0\x04play\0\0\0\x03leg\0\0\0\x2400000000-0000-0000-0000-000000000007\
                     \0\0\0\x011\0\0\0\x03url\0\0\0\x01u\0\0\0\x010";
        assert_eq!(play.canonical(), kept);
    }

    #[test]
    fn what_differs_has_other_bytes() {
        let call = CallId::from(Uuid::from_u128(7));
        let digits = |digits: &str| CallCommandKind::SendDigits { leg: leg(), digits: digits.into() };
        let with = |manner, options| CallCommandKind::Play {
            to: Audience::Call(call),
            sources: vec![Source::Prompt("p".into())],
            repeat: 1,
            manner,
            options,
        };
        let play = |manner| with(manner, PlayOptions::default());
        let optional = |start_ms, pause_ms, barge_in| {
            with(Manner::Instead, PlayOptions { start_ms, pause_ms, barge_in })
        };
        let steer = |steer| CallCommandKind::SteerPlay { playback: Uuid::from_u128(7).into(), steer };
        let by = |by| CallCommandKind::DropParticipant { leg: leg(), by };
        let enquire = |number: &str, anonymous| CallCommandKind::Enquire {
            leg: leg(),
            to_number: number.into(),
            anonymous,
        };
        let all = [
            CallCommandKind::HangUpCall { call },
            CallCommandKind::HangUpLeg { leg: leg() },
            CallCommandKind::Hold { leg: leg() },
            digits("1"),
            digits("12"),
            by(None),
            by(Some(leg())),
            enquire("1", false),
            enquire("1", true),
            play(Manner::Instead),
            play(Manner::Over(Beside::default())),
            play(Manner::Under(Beside::default())),
            play(Manner::Over(Beside::new(None, 3).unwrap())),
            play(Manner::Over(Beside::new(Some(-3), 0).unwrap())),
            optional(1, 0, BargeIn::None),
            optional(0, 1, BargeIn::None),
            optional(0, 0, BargeIn::Key),
            optional(0, 0, BargeIn::Any),
            steer(PlaySteer::Pause),
            steer(PlaySteer::Resume),
            steer(PlaySteer::Seek { to_ms: 1 }),
            enquire("2", false),
        ];
        for (n, one) in all.iter().enumerate() {
            assert_eq!(one.canonical(), one.clone().canonical());
            for other in &all[..n] {
                assert_ne!(one.canonical(), other.canonical(), "{one:?} {other:?}");
            }
        }
    }
}
