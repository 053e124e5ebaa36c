//! What can be done with a call that stands: `sidetone calls hold`, `transfer`, `merge` and so on.

use clap::Subcommand;
use sidetone_proto::callcontrol::v1::execute_request::Command;
use sidetone_proto::callcontrol::v1::{
    AddExternalRef, Deflect, Intrude, Join, LegToDevice, LegToNumber, OneLeg, OneOfSeveral, OneRecording,
    PauseRecording, PickUp, PickUpInGroup, Redirect, SendDigits, StartStream, StopPlay, StopStream, TwoLegs,
    join, redirect, stop_play,
};
use sidetone_proto::types::v1::{ExternalRef, FileFormat};

use super::audio::AudioArgs;
use super::playing::{PlayArgs, SteerArgs};

/// The operations, as they are typed.
#[derive(Debug, Subcommand)]
pub(crate) enum Operation {
    /// A phone that rings takes the call by itself, where it can.
    AnswerRinging {
        /// The leg that rings.
        leg: String,
    },
    /// The user at whom it rings does not want the call.
    Reject {
        /// The leg that rings.
        leg: String,
    },
    /// Send a call that rings to another number, or with --voicemail or --assistant.
    Redirect {
        /// The leg that rings.
        leg: String,
        /// The number.
        #[arg(required_unless_present_any = ["voicemail", "assistant"])]
        to: Option<String>,
        /// To the voicemail of the user at whom it rings.
        #[arg(long, conflicts_with = "to")]
        voicemail: bool,
        /// To the tenant's assistant.
        #[arg(long, conflicts_with_all = ["to", "voicemail"])]
        assistant: bool,
    },
    /// The caller chooses the voicemail of whoever does not answer.
    Overflow {
        /// The caller's leg.
        leg: String,
    },
    /// Put on hold whoever a leg talks with.
    Hold {
        /// The leg.
        leg: String,
    },
    /// Talk again.
    Retrieve {
        /// The leg that holds.
        leg: String,
    },
    /// Hold, and call somebody else from the same device.
    Enquire {
        /// The leg.
        leg: String,
        /// The number.
        to: String,
        /// Whoever is called is not told who calls.
        #[arg(long)]
        anonymous: bool,
    },
    /// Of two calls of one device hold the one and talk in the other.
    Alternate {
        /// The leg that talks.
        active: String,
        /// The leg that holds.
        held: String,
    },
    /// Give up an enquiry that rings, and talk again with whoever is held.
    Reconnect {
        /// The leg that waits.
        active: String,
        /// The leg that holds.
        held: String,
    },
    /// Make one conversation of two calls of one device.
    Merge {
        /// The leg that talks.
        active: String,
        /// The leg that holds.
        held: String,
    },
    /// Pass a call on: to a number without asking, or connect with each other those whom a device talks to and holds.
    #[command(
        override_usage = "sidetone calls transfer <LEG> <TO> [--anonymous]\n       sidetone calls transfer <LEG> --held <LEG>"
    )]
    Transfer {
        /// The leg of whoever passes it on.
        leg: String,
        /// The number.
        #[arg(required_unless_present = "held")]
        to: Option<String>,
        /// The leg with which the same device holds the other.
        #[arg(long, conflicts_with = "to")]
        held: Option<String>,
        /// The number is not told who calls.
        #[arg(long, conflicts_with = "held")]
        anonymous: bool,
    },
    /// Tell a caller that is not answered yet to call elsewhere by itself (302).
    Deflect {
        /// The caller's leg.
        leg: String,
        /// Numbers of the tenant, the best first.
        #[arg(required = true, num_args = 1..=8)]
        numbers: Vec<String>,
    },
    /// Ask somebody into a conversation.
    Add {
        /// The leg of whoever asks.
        leg: String,
        /// The number.
        to: String,
    },
    /// Send a participant away.
    Drop {
        /// Whom.
        leg: String,
    },
    /// Put a participant aside: it neither hears nor is heard.
    Aside {
        /// Whom.
        leg: String,
        /// Let in again.
        #[arg(long)]
        back: bool,
    },
    /// Leave a conference; the others go on.
    Leave {
        /// Who.
        leg: String,
    },
    /// Ring another device of the user, which takes over; with --beside it joins.
    Device {
        /// The leg that talks.
        leg: String,
        /// The device.
        device: String,
        /// Join, instead of taking over.
        #[arg(long)]
        beside: bool,
    },
    /// Take a call that rings at somebody else.
    PickUp {
        /// The leg that rings.
        leg: String,
        /// Who takes it.
        user: String,
        /// With which device; all without.
        #[arg(long, default_value = "")]
        device: String,
    },
    /// Take the call that has rung longest at another member of a group.
    PickUpInGroup {
        /// The number of the group.
        number: String,
        /// Who takes it.
        user: String,
        /// With which device; all without.
        #[arg(long, default_value = "")]
        device: String,
    },
    /// Break into a conversation.
    Intrude {
        /// The call.
        call: String,
        /// Who.
        user: String,
        /// With which device; all without.
        #[arg(long, default_value = "")]
        device: String,
    },
    /// Call a number into a conversation that has a key of yours, and begin it if it is not there.
    Join {
        /// The key.
        #[arg(id = "of_call", value_name = "KEY")]
        key: String,
        /// The number.
        to: String,
        /// As whom it is called.
        #[arg(long, default_value = "conference")]
        from: String,
        /// Whose key it is.
        #[arg(long, default_value = "cli")]
        dialect: String,
    },
    /// Give a call a key of yours.
    Name {
        /// The call.
        call: String,
        /// The key.
        #[arg(id = "of_call", value_name = "KEY")]
        key: String,
        /// Whose key it is.
        #[arg(long, default_value = "cli")]
        dialect: String,
    },
    /// What of a leg's sound is let through, and how it sounds to the others: everything, and as it is spoken, without options.
    Audio(AudioArgs),
    /// Send digits to a phone.
    Digits {
        /// The leg.
        leg: String,
        /// Out of 0-9 * # A-D.
        digits: String,
    },
    /// Leave out of a recording what is said, or take it in again.
    PauseRecording {
        /// The recording.
        recording: String,
        /// Take it in again.
        #[arg(long)]
        resume: bool,
        /// Let silence stand for what is left out, so that what comes after keeps its place in time.
        #[arg(long, conflicts_with = "resume")]
        mask: bool,
    },
    /// Play prompts or URLs into a call, one after the other.
    Play(PlayArgs),
    /// Pause what is played, go on with it, or go to another place in it.
    #[command(group(clap::ArgGroup::new("change").required(true).args(["pause", "resume", "seek_ms"])))]
    Playback(SteerArgs),
    /// End what is played into a call.
    StopPlay {
        /// The call.
        call: String,
        /// Only this playback.
        #[arg(default_value = "")]
        playback: String,
    },
    /// Let people outside listen to a call.
    Stream {
        /// The call.
        call: String,
        /// What it is made of; l16 and pcmu carry sound both ways over a WebSocket.
        #[arg(long, value_enum, default_value = "mp3")]
        format: StreamFormat,
    },
    /// No longer.
    StopStream {
        /// The stream.
        stream: String,
    },
}

/// What a stream is made of.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum StreamFormat {
    /// For any player.
    Mp3,
    /// For any player, uncompressed.
    Wav,
    /// Opus in Ogg.
    Ogg,
    /// Lossless, in about half the bytes of wav.
    Flac,
    /// 16 bit, little-endian, 8 kHz.
    L16,
    /// G.711 mu-law, 8 kHz.
    Pcmu,
}

impl From<StreamFormat> for FileFormat {
    fn from(format: StreamFormat) -> Self {
        match format {
            StreamFormat::Mp3 => Self::Mp3,
            StreamFormat::Wav => Self::Wav,
            StreamFormat::Ogg => Self::OggOpus,
            StreamFormat::Flac => Self::Flac,
            StreamFormat::L16 => Self::L16,
            StreamFormat::Pcmu => Self::Pcmu,
        }
    }
}

impl Operation {
    /// The command as it is sent.
    pub(crate) fn command(self) -> Command {
        let one = |leg_id: String| OneLeg { leg_id };
        let two = |active_leg_id, held_leg_id| TwoLegs { active_leg_id, held_leg_id };
        match self {
            Self::AnswerRinging { leg } => Command::AnswerRinging(one(leg)),
            Self::Reject { leg } => Command::Reject(one(leg)),
            Self::Overflow { leg } => Command::Overflow(one(leg)),
            Self::Hold { leg } => Command::Hold(one(leg)),
            Self::Retrieve { leg } => Command::Retrieve(one(leg)),
            Self::Leave { leg } => Command::DropMe(one(leg)),
            Self::Alternate { active, held } => Command::Alternate(two(active, held)),
            Self::Reconnect { active, held } => Command::Reconnect(two(active, held)),
            Self::Merge { active, held } => Command::Merge(two(active, held)),
            Self::Transfer { leg, held: Some(held), .. } => Command::TransferAttended(two(leg, held)),
            Self::Transfer { leg, to, anonymous, .. } => {
                Command::TransferBlind(LegToNumber { leg_id: leg, to: to.unwrap_or_default(), anonymous })
            }
            Self::Enquire { leg, to, anonymous } => {
                Command::Enquire(LegToNumber { leg_id: leg, to, anonymous })
            }
            Self::Deflect { leg, numbers } => Command::Deflect(Deflect { leg_id: leg, numbers }),
            Self::Add { leg, to } => {
                Command::AddParticipant(LegToNumber { leg_id: leg, to, anonymous: false })
            }
            Self::Drop { leg } => {
                Command::DropParticipant(OneOfSeveral { leg_id: leg, ..Default::default() })
            }
            Self::Aside { leg, back: true } => Command::RetrieveParticipant(one(leg)),
            Self::Aside { leg, .. } => {
                Command::HoldParticipant(OneOfSeveral { leg_id: leg, ..Default::default() })
            }
            Self::Redirect { leg, to, voicemail, assistant } => redirect(leg, to, voicemail, assistant),
            other => other.rest(),
        }
    }

    fn rest(self) -> Command {
        match self {
            Self::Device { leg, device, beside: true } => {
                Command::AddDevice(LegToDevice { leg_id: leg, device })
            }
            Self::Device { leg, device, .. } => Command::SwitchDevice(LegToDevice { leg_id: leg, device }),
            Self::PickUp { leg, user, device } => Command::PickUp(PickUp { leg_id: leg, user, device }),
            Self::PickUpInGroup { number, user, device } => {
                Command::PickUpInGroup(PickUpInGroup { number, user, device })
            }
            Self::Intrude { call, user, device } => Command::Intrude(Intrude { call_id: call, user, device }),
            Self::Join { key, to, from, dialect } => {
                let call = Some(join::Call::External(ExternalRef { dialect, key }));
                Command::Join(Join { call, to, from })
            }
            Self::Name { call, key, dialect } => {
                let external = Some(ExternalRef { dialect, key });
                Command::AddExternalRef(AddExternalRef { call_id: call, external })
            }
            Self::Audio(audio) => Command::SetAudio(audio.into()),
            Self::Digits { leg, digits } => Command::SendDigits(SendDigits { leg_id: leg, digits }),
            Self::PauseRecording { recording, resume: true, .. } => {
                Command::ResumeRecording(OneRecording { recording_id: recording })
            }
            Self::PauseRecording { recording, mask, .. } => {
                Command::PauseRecording(PauseRecording { recording_id: recording, mask })
            }
            Self::Play(play) => Command::Play(play.into()),
            Self::Playback(steer) => Command::SteerPlay(steer.into()),
            Self::StopPlay { call, playback } => {
                let audience = Some(stop_play::Audience::CallId(call));
                Command::StopPlay(StopPlay { audience, playback_id: playback })
            }
            Self::Stream { call, format } => {
                Command::StartStream(StartStream { call_id: call, format: FileFormat::from(format).into() })
            }
            Self::StopStream { stream } => Command::StopStream(StopStream { stream_id: stream }),
            done => done.command(),
        }
    }
}

fn redirect(leg_id: String, to: Option<String>, voicemail: bool, assistant: bool) -> Command {
    let to = match to {
        Some(number) => redirect::To::Number(number),
        None if assistant && !voicemail => redirect::To::Assistant(true),
        None => redirect::To::Voicemail(true),
    };
    Command::Redirect(Redirect { leg_id, to: Some(to), ..Default::default() })
}
