//! Any operation, over the network: the request becomes a command, which goes the way of the HTTP door's.

use prost::Message as _;
use sidetone_model::call::{DeviceOf, Elsewhere};
use sidetone_model::command::{
    Audience, CallCommand, CallCommandKind, CallName, PlaceOptions, RecordingOptions,
};
use sidetone_model::fact::CommandSubject;
use sidetone_model::ids::TenantId;
use sidetone_model::media::{Beside, Manner, PAUSE_MS_MAX, PlayOptions, PlaySteer};
use sidetone_model::party::Destination;
use sidetone_model::wire::{WireError, enumeration, id, message, optional_id};
use sidetone_proto::callcontrol::v1 as pb;
use sidetone_proto::callcontrol::v1::execute_request::Command;
use sidetone_proto::types::v1::{FileFormat, Header};
use sidetone_runtime::{Caller, status};
use tonic::{Request, Response, Status};

use crate::CallControl;
use crate::api::{fingerprint, to_response};
use crate::deadline;

impl CallControl {
    pub(crate) async fn execute_request(
        &self,
        request: Request<pb::ExecuteRequest>,
    ) -> Result<Response<pb::CommandResponse>, Status> {
        let (caller, waits) = (Caller::of(&request), deadline::asked_for(&request));
        let request = request.into_inner();
        let tenant: TenantId = id("tenant", &request.tenant).map_err(|error| status(&error))?;
        caller.may(&tenant)?;
        if !(1..=128).contains(&request.idempotency_key.len()) {
            let field = "idempotency_key";
            return Err(status(&WireError::Invalid { field, reason: "expected 1 to 128 characters" }));
        }
        let body = pb::ExecuteRequest { idempotency_key: String::new(), ..request.clone() };
        let kind = request.command.ok_or(WireError::UnknownKind { field: "ExecuteRequest.command" });
        let kind = kind.and_then(command).map_err(|error| status(&error))?;
        let streams = tenant.clone();
        let command = CallCommand { tenant, key: request.idempotency_key.into(), kind };
        let subject = self
            .execute_asked(command, fingerprint(&body.encode_to_vec()), waits)
            .await
            .map_err(|refused| status(&refused))?;
        let url = match (subject, self.shared().urls.get()) {
            (CommandSubject::Stream(stream), Some(urls)) => urls.url(&streams, stream),
            _ => String::new(),
        };
        Ok(Response::new(pb::CommandResponse { url, ..to_response(subject) }))
    }
}

fn command(command: Command) -> Result<CallCommandKind, WireError> {
    Ok(match command {
        Command::AnswerRinging(it) => CallCommandKind::AnswerRinging { leg: id("leg_id", &it.leg_id)? },
        Command::Reject(it) => CallCommandKind::Reject { leg: id("leg_id", &it.leg_id)? },
        Command::Overflow(it) => CallCommandKind::Overflow { leg: id("leg_id", &it.leg_id)? },
        Command::Hold(it) => CallCommandKind::Hold { leg: id("leg_id", &it.leg_id)? },
        Command::Retrieve(it) => CallCommandKind::Retrieve { leg: id("leg_id", &it.leg_id)? },
        Command::RetrieveParticipant(it) => {
            CallCommandKind::RetrieveParticipant { leg: id("leg_id", &it.leg_id)? }
        }
        Command::DropMe(it) => CallCommandKind::DropMe { leg: id("leg_id", &it.leg_id)? },
        Command::Alternate(_)
        | Command::Reconnect(_)
        | Command::Merge(_)
        | Command::TransferAttended(_)
        | Command::Enquire(_)
        | Command::TransferBlind(_) => between_two(command)?,
        Command::AddParticipant(_)
        | Command::DropParticipant(_)
        | Command::HoldParticipant(_)
        | Command::SwitchDevice(_)
        | Command::AddDevice(_)
        | Command::PickUp(_)
        | Command::PickUpInGroup(_)
        | Command::Intrude(_)
        | Command::AddExternalRef(_) => among_several(command)?,
        Command::MarkMessageHeard(it) => CallCommandKind::MarkMessageHeard {
            user: id("user", &it.user)?,
            message: id("message_id", &it.message_id)?,
        },
        Command::DeleteMessage(it) => CallCommandKind::DeleteMessage {
            user: id("user", &it.user)?,
            message: id("message_id", &it.message_id)?,
        },
        Command::Redirect(it) => redirect(it)?,
        Command::Deflect(it) => deflect(it)?,
        Command::Join(it) => join(it)?,
        Command::Place(it) => place(it)?,
        Command::SetAudio(_)
        | Command::SendDigits(_)
        | Command::Record(_)
        | Command::PauseRecording(_)
        | Command::ResumeRecording(_)
        | Command::Play(_)
        | Command::StopPlay(_)
        | Command::SteerPlay(_)
        | Command::StartStream(_)
        | Command::StopStream(_) => with_media(command)?,
    })
}

const UNKNOWN: WireError = WireError::UnknownKind { field: "ExecuteRequest.command" };
/// What an application may add to an INVITE.
const HEADERS_MAX: usize = 20;
/// Where a caller may be told to call.
const DEFLECTIONS_MAX: usize = 8;
const HEADER_BYTES_MAX: usize = 2048;

fn between_two(command: Command) -> Result<CallCommandKind, WireError> {
    let legs = |it: &pb::TwoLegs| {
        Ok::<_, WireError>((id("active_leg_id", &it.active_leg_id)?, id("held_leg_id", &it.held_leg_id)?))
    };
    Ok(match command {
        Command::Alternate(it) => {
            let (active, held) = legs(&it)?;
            CallCommandKind::Alternate { active, held }
        }
        Command::Reconnect(it) => {
            let (active, held) = legs(&it)?;
            CallCommandKind::Reconnect { active, held }
        }
        Command::Merge(it) => {
            let (active, held) = legs(&it)?;
            CallCommandKind::Merge { active, held }
        }
        Command::TransferAttended(it) => {
            let (active, held) = legs(&it)?;
            CallCommandKind::TransferAttended { active, held }
        }
        Command::Enquire(it) => {
            let (leg, to_number, anonymous) = (id("leg_id", &it.leg_id)?, it.to.into(), it.anonymous);
            CallCommandKind::Enquire { leg, to_number, anonymous }
        }
        Command::TransferBlind(it) => {
            let (leg, to_number, anonymous) = (id("leg_id", &it.leg_id)?, it.to.into(), it.anonymous);
            CallCommandKind::TransferBlind { leg, to_number, anonymous }
        }
        _ => return Err(UNKNOWN),
    })
}

fn among_several(command: Command) -> Result<CallCommandKind, WireError> {
    Ok(match command {
        Command::AddParticipant(it) => {
            let (leg, to_number, anonymous) = (id("leg_id", &it.leg_id)?, it.to.into(), it.anonymous);
            CallCommandKind::AddParticipant { leg, to_number, anonymous }
        }
        Command::DropParticipant(it) => {
            let (leg, by) = (id("leg_id", &it.leg_id)?, optional_id("by_leg_id", &it.by_leg_id)?);
            CallCommandKind::DropParticipant { leg, by }
        }
        Command::HoldParticipant(it) => {
            let (leg, by) = (id("leg_id", &it.leg_id)?, optional_id("by_leg_id", &it.by_leg_id)?);
            CallCommandKind::HoldParticipant { leg, by }
        }
        Command::SwitchDevice(it) => {
            let (leg, device) = (id("leg_id", &it.leg_id)?, id("device", &it.device)?);
            CallCommandKind::SwitchDevice { leg, device }
        }
        Command::AddDevice(it) => {
            let (leg, device) = (id("leg_id", &it.leg_id)?, id("device", &it.device)?);
            CallCommandKind::AddDevice { leg, device }
        }
        Command::PickUp(it) => {
            CallCommandKind::PickUp { leg: id("leg_id", &it.leg_id)?, by: device(&it.user, &it.device)? }
        }
        Command::PickUpInGroup(it) => {
            let by = device(&it.user, &it.device)?;
            CallCommandKind::PickUpInGroup { number: it.number.into(), by }
        }
        Command::Intrude(it) => {
            CallCommandKind::Intrude { call: id("call_id", &it.call_id)?, by: device(&it.user, &it.device)? }
        }
        Command::AddExternalRef(it) => CallCommandKind::AddExternalRef {
            call: id("call_id", &it.call_id)?,
            external: message("external", it.external)?,
        },
        _ => return Err(UNKNOWN),
    })
}

fn device(user: &str, device: &str) -> Result<DeviceOf, WireError> {
    Ok(DeviceOf { user: id("user", user)?, device: optional_id("device", device)? })
}

fn deflect(it: pb::Deflect) -> Result<CallCommandKind, WireError> {
    let is_number = |number: &String| !number.is_empty() && !number.chars().any(char::is_control);
    if !(1..=DEFLECTIONS_MAX).contains(&it.numbers.len()) || !it.numbers.iter().all(is_number) {
        return Err(WireError::Invalid { field: "Deflect.numbers", reason: "expected 1 to 8 numbers" });
    }
    let numbers = it.numbers.into_iter().map(Into::into).collect();
    Ok(CallCommandKind::Deflect { leg: id("leg_id", &it.leg_id)?, numbers })
}

fn redirect(it: pb::Redirect) -> Result<CallCommandKind, WireError> {
    use pb::redirect::To;
    let to = match it.to {
        Some(To::Number(number)) => Elsewhere::Number(number.into()),
        Some(To::Voicemail(true)) => Elsewhere::Voicemail,
        Some(To::Assistant(true)) => Elsewhere::Assistant,
        Some(To::Voicemail(false) | To::Assistant(false)) | None => {
            return Err(WireError::Missing { field: "Redirect.to" });
        }
    };
    Ok(CallCommandKind::Redirect { leg: id("leg_id", &it.leg_id)?, to, anonymous: it.anonymous })
}

fn join(it: pb::Join) -> Result<CallCommandKind, WireError> {
    use pb::join::Call;
    let call = match it.call {
        Some(Call::CallId(call)) => CallName::Id(id("call_id", &call)?),
        Some(Call::External(external)) => CallName::External(external.try_into()?),
        None => return Err(WireError::Missing { field: "Join.call" }),
    };
    // Where the numbers lead is looked up with the command.
    let to = Destination::Wait;
    let (to_number, from_number, contact) = (it.to.into(), it.from.into(), "".into());
    Ok(CallCommandKind::Join { call, to, to_number, from_number, contact })
}

fn place(it: pb::Place) -> Result<CallCommandKind, WireError> {
    let options = PlaceOptions {
        device: optional_id("device", &it.device)?,
        anonymous: it.anonymous,
        auto_answer: it.auto_answer,
        external: it.external.map(TryInto::try_into).transpose()?,
        headers: headers_of(it.headers)?,
    };
    let (from, to) = (Destination::Wait, Destination::Wait);
    let (from_number, to_number) = (it.from.into(), it.to.into());
    Ok(CallCommandKind::Place { from, from_number, to, to_number, options })
}

/// Names and values.
type Headers = Vec<(Box<str>, Box<str>)>;

/// What an application may write into an INVITE: nothing by which a message could be broken, or a caller be forged.
fn headers_of(headers: Vec<Header>) -> Result<Headers, WireError> {
    let wrong = |reason| WireError::Invalid { field: "Place.headers", reason };
    let bytes: usize = headers.iter().map(|header| header.name.len() + header.value.len()).sum();
    if headers.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(wrong("expected at most 20 fields and 2048 bytes"));
    }
    for Header { name, value } in &headers {
        let is = |one_of: &[&str]| one_of.iter().any(|known| known.eq_ignore_ascii_case(name));
        let custom = name
            .get(..2)
            .is_some_and(|start| start.eq_ignore_ascii_case("X-") || start.eq_ignore_ascii_case("P-"));
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte);
        let may = (custom && name.len() > 2 && name.bytes().all(token))
            || is(&["Subject", "Referred-By", "Diversion"]);
        if !may || is(&["P-Asserted-Identity", "P-Preferred-Identity"]) {
            return Err(wrong("expected X- or P- fields that do not say who calls, Subject or Diversion"));
        }
        if value.chars().any(char::is_control) {
            return Err(wrong("a value holds a line break or another control character"));
        }
    }
    Ok(headers.into_iter().map(|header| (header.name.into(), header.value.into())).collect())
}

fn with_media(command: Command) -> Result<CallCommandKind, WireError> {
    Ok(match command {
        Command::SetAudio(it) => CallCommandKind::SetAudio {
            leg: id("leg_id", &it.leg_id)?,
            muted: it.muted,
            deafened: it.deafened,
            voice: it.voice.map(TryInto::try_into).transpose()?,
        },
        Command::SendDigits(it) => {
            CallCommandKind::SendDigits { leg: id("leg_id", &it.leg_id)?, digits: it.digits.into() }
        }
        Command::Record(it) => record(it)?,
        Command::PauseRecording(it) => {
            let recording = id("recording_id", &it.recording_id)?;
            CallCommandKind::PauseRecording { recording, mask: it.mask }
        }
        Command::ResumeRecording(it) => {
            CallCommandKind::ResumeRecording { recording: id("recording_id", &it.recording_id)? }
        }
        Command::Play(it) => {
            use pb::play::Audience as To;
            let (manner, options) = (manner(&it)?, play_options(&it)?);
            let to = match it.audience {
                Some(To::CallId(call)) => Audience::Call(id("call_id", &call)?),
                Some(To::LegId(leg)) => Audience::Leg(id("leg_id", &leg)?),
                None => return Err(WireError::Missing { field: "Play.audience" }),
            };
            let sources = it.sources.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?;
            CallCommandKind::Play { to, sources, repeat: it.repeat, manner, options }
        }
        Command::StopPlay(it) => {
            use pb::stop_play::Audience as To;
            let to = match it.audience {
                Some(To::CallId(call)) => Audience::Call(id("call_id", &call)?),
                Some(To::LegId(leg)) => Audience::Leg(id("leg_id", &leg)?),
                None => return Err(WireError::Missing { field: "StopPlay.audience" }),
            };
            CallCommandKind::StopPlay { to, playback: optional_id("playback_id", &it.playback_id)? }
        }
        Command::SteerPlay(it) => {
            use pb::steer_play::Change;
            let steer = match it.change {
                Some(Change::Paused(true)) => PlaySteer::Pause,
                Some(Change::Paused(false)) => PlaySteer::Resume,
                Some(Change::PositionMs(to_ms)) => PlaySteer::Seek { to_ms },
                None => return Err(WireError::Missing { field: "SteerPlay.change" }),
            };
            CallCommandKind::SteerPlay { playback: id("playback_id", &it.playback_id)?, steer }
        }
        Command::StartStream(it) => CallCommandKind::StartStream {
            call: id("call_id", &it.call_id)?,
            format: enumeration("StartStream.format", it.format)?,
        },
        Command::StopStream(it) => CallCommandKind::StopStream { stream: id("stream_id", &it.stream_id)? },
        _ => return Err(UNKNOWN),
    })
}

fn record(it: pb::Record) -> Result<CallCommandKind, WireError> {
    if matches!(it.format(), FileFormat::L16 | FileFormat::Pcmu) {
        // Without a container it would be a file that no player knows.
        return Err(WireError::UnknownValue { field: "Record.format", value: it.format });
    }
    let options = RecordingOptions {
        format: enumeration("Record.format", it.format)?,
        layout: enumeration("Record.layout", it.layout)?,
        legs: it.leg_ids.iter().map(|leg| id("leg_ids", leg)).collect::<Result<_, _>>()?,
        name: it.name.into(),
        // Who asks by gRPC follows the events.
        callback: None,
        beep: it.beep,
    };
    Ok(CallCommandKind::StartRecording { call: id("call_id", &it.call_id)?, options })
}

/// How what is played is heard beside everything else. Levels are for what is played beside something alone.
fn manner(play: &pb::Play) -> Result<Manner, WireError> {
    let invalid = |field, reason| WireError::Invalid { field, reason };
    let beside = Beside::new(play.duck_mdb, play.gain_mdb);
    let levels = "expected duck_mdb of -72000 to 0, and gain_mdb of -72000 to 18000";
    let beside = beside.ok_or(invalid("Play.duck_mdb", levels))?;
    match pb::PlayManner::try_from(play.manner) {
        Ok(pb::PlayManner::Over) => Ok(Manner::Over(beside)),
        Ok(pb::PlayManner::Under) => Ok(Manner::Under(beside)),
        Ok(_) if beside == Beside::default() => Ok(Manner::Instead),
        Ok(_) => Err(invalid("Play.manner", "levels are for what is played over or under something else")),
        Err(_) => Err(WireError::UnknownValue { field: "Play.manner", value: play.manner }),
    }
}

/// Where it begins, and what ends it.
fn play_options(play: &pb::Play) -> Result<PlayOptions, WireError> {
    if play.pause_between_ms > PAUSE_MS_MAX {
        return Err(WireError::Invalid { field: "Play.pause_between_ms", reason: "expected at most 60000" });
    }
    let barge_in = enumeration("Play.barge_in", play.barge_in)?;
    Ok(PlayOptions { start_ms: play.start_ms, pause_ms: play.pause_between_ms, barge_in })
}
