//! `sidetone.events.v1`.

use prost::Message as _;
use sidetone_proto::events::v1 as pb;

use super::{
    WireError, digit, enumeration, headers_in, headers_out, hops, id, kind, message, number, optional_id,
    optional_text,
};
use crate::call::{LegOrigin, LegQuality};
use crate::fact::{
    CommandSubject, CompletedCommand, Fact, FactKind, FactRecord, RecordedSound, SignalCursor,
};
use crate::time::Timestamp;

impl FactRecord {
    /// The record as it stands in a shard's log.
    pub fn encode_to_bytes(&self) -> bytes::Bytes {
        pb::FactRecord::from(self).encode_to_vec().into()
    }

    /// A record out of a shard's log.
    ///
    /// # Errors
    /// [`WireError::UnknownKind`] for a fact of a newer release; the log is whole then, but this process is too old
    /// to fold it. Any other error means that the bytes are broken.
    pub fn decode(bytes: &[u8]) -> Result<Self, WireError> {
        pb::FactRecord::decode(bytes).map_err(|error| WireError::Malformed(error.to_string()))?.try_into()
    }
}

/// Steps as they stand in a shard's log, made durable together.
pub fn encode_batch(records: &[FactRecord]) -> bytes::Bytes {
    pb::FactBatch { records: records.iter().map(Into::into).collect() }.encode_to_vec().into()
}

/// The steps of one entry of a shard's log.
///
/// # Errors
/// As [`FactRecord::decode`].
pub fn decode_batch(bytes: &[u8]) -> Result<Vec<FactRecord>, WireError> {
    let batch = pb::FactBatch::decode(bytes).map_err(|error| WireError::Malformed(error.to_string()))?;
    batch.records.into_iter().map(TryInto::try_into).collect()
}

impl From<&FactRecord> for pb::FactRecord {
    fn from(value: &FactRecord) -> Self {
        Self {
            facts: value.facts.iter().map(Into::into).collect(),
            consumed: value.consumed.iter().map(Into::into).collect(),
            commands: value.commands.iter().map(Into::into).collect(),
            completed: value.completed.as_ref().map(Into::into),
        }
    }
}

impl TryFrom<pb::FactRecord> for FactRecord {
    type Error = WireError;
    fn try_from(value: pb::FactRecord) -> Result<Self, WireError> {
        Ok(Self {
            facts: value.facts.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            consumed: value.consumed.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            commands: value.commands.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            completed: value.completed.map(TryInto::try_into).transpose()?,
        })
    }
}

impl From<&SignalCursor> for pb::SignalCursor {
    fn from(value: &SignalCursor) -> Self {
        Self { boot_id: value.boot.to_string(), leg_id: value.leg.to_string(), n: value.n }
    }
}

impl TryFrom<pb::SignalCursor> for SignalCursor {
    type Error = WireError;
    fn try_from(value: pb::SignalCursor) -> Result<Self, WireError> {
        Ok(Self {
            boot: id("SignalCursor.boot_id", &value.boot_id)?,
            leg: id("SignalCursor.leg_id", &value.leg_id)?,
            n: value.n,
        })
    }
}

impl From<&CompletedCommand> for pb::CompletedCommand {
    fn from(value: &CompletedCommand) -> Self {
        use pb::completed_command::Subject;
        Self {
            key: value.key.as_ref().into(),
            fingerprint: value.fingerprint.to_vec(),
            tenant: value.tenant.to_string(),
            at_unix_ms: value.at.as_millis(),
            subject: Some(match value.subject {
                CommandSubject::Call(call) => Subject::CallId(call.to_string()),
                CommandSubject::Leg(leg) => Subject::LegId(leg.to_string()),
                CommandSubject::Recording(recording) => Subject::RecordingId(recording.to_string()),
                CommandSubject::Playback(playback) => Subject::PlaybackId(playback.to_string()),
                CommandSubject::Stream(stream) => Subject::StreamId(stream.to_string()),
                CommandSubject::Conversation(it) => Subject::ConversationId(it.to_string()),
                CommandSubject::ConversationEvent(conversation, event) => {
                    let conversation_id = conversation.to_string();
                    Subject::ConversationEvent(pb::ConversationEventRef { conversation_id, event })
                }
            }),
        }
    }
}

impl TryFrom<pb::CompletedCommand> for CompletedCommand {
    type Error = WireError;
    fn try_from(value: pb::CompletedCommand) -> Result<Self, WireError> {
        use pb::completed_command::Subject;
        Ok(Self {
            tenant: id("CompletedCommand.tenant", &value.tenant)?,
            at: Timestamp::from_millis(value.at_unix_ms),
            key: value.key.into(),
            fingerprint: value.fingerprint.try_into().map_err(|_| WireError::Invalid {
                field: "CompletedCommand.fingerprint",
                reason: "expected 32 bytes",
            })?,
            subject: match kind("CompletedCommand.subject", value.subject)? {
                Subject::CallId(it) => CommandSubject::Call(id("CompletedCommand.call_id", &it)?),
                Subject::LegId(it) => CommandSubject::Leg(id("CompletedCommand.leg_id", &it)?),
                Subject::RecordingId(it) => {
                    CommandSubject::Recording(id("CompletedCommand.recording_id", &it)?)
                }
                Subject::PlaybackId(it) => CommandSubject::Playback(id("CompletedCommand.playback_id", &it)?),
                Subject::StreamId(it) => CommandSubject::Stream(id("CompletedCommand.stream_id", &it)?),
                Subject::ConversationId(it) => {
                    CommandSubject::Conversation(id("CompletedCommand.conversation_id", &it)?)
                }
                Subject::ConversationEvent(it) => {
                    let of = id("CompletedCommand.conversation_event", &it.conversation_id)?;
                    CommandSubject::ConversationEvent(of, it.event)
                }
            },
        })
    }
}

impl From<&Fact> for pb::Fact {
    fn from(value: &Fact) -> Self {
        Self {
            tenant: value.tenant.to_string(),
            at_unix_ms: value.at.as_millis(),
            kind: Some((&value.kind).into()),
        }
    }
}

impl TryFrom<pb::Fact> for Fact {
    type Error = WireError;
    fn try_from(value: pb::Fact) -> Result<Self, WireError> {
        Ok(Self {
            tenant: id("Fact.tenant", &value.tenant)?,
            at: Timestamp::from_millis(value.at_unix_ms),
            kind: kind("Fact.kind", value.kind)?.try_into()?,
        })
    }
}

impl From<&LegQuality> for pb::LegQuality {
    fn from(value: &LegQuality) -> Self {
        Self {
            encoding: value.encoding.as_ref().into(),
            packets_received: value.packets_received,
            packets_lost: value.packets_lost,
            packets_late: value.packets_late,
            packets_sent: value.packets_sent,
            jitter_us: value.jitter_us,
            round_trip_us: value.round_trip_us,
            rating: value.rating,
            mean_opinion_hundredths: value.mean_opinion_hundredths,
            far_mean_opinion_hundredths: value.far_mean_opinion_hundredths,
        }
    }
}

impl TryFrom<pb::LegQuality> for LegQuality {
    type Error = WireError;
    fn try_from(value: pb::LegQuality) -> Result<Self, WireError> {
        Ok(Self {
            encoding: value.encoding.into(),
            packets_received: value.packets_received,
            packets_lost: value.packets_lost,
            packets_late: value.packets_late,
            packets_sent: value.packets_sent,
            jitter_us: value.jitter_us,
            round_trip_us: value.round_trip_us,
            rating: value.rating,
            mean_opinion_hundredths: value.mean_opinion_hundredths,
            far_mean_opinion_hundredths: value.far_mean_opinion_hundredths,
        })
    }
}

impl From<&RecordedSound> for pb::RecordedSound {
    fn from(value: &RecordedSound) -> Self {
        Self {
            file: value.file.as_ref().into(),
            duration_ms: value.duration_ms,
            size_bytes: value.size_bytes,
            tracks: value.tracks.iter().map(|track| track.as_ref().into()).collect(),
        }
    }
}

impl TryFrom<pb::RecordedSound> for RecordedSound {
    type Error = WireError;
    fn try_from(value: pb::RecordedSound) -> Result<Self, WireError> {
        Ok(Self {
            file: value.file.into(),
            duration_ms: value.duration_ms,
            size_bytes: value.size_bytes,
            tracks: value.tracks.into_iter().map(Into::into).collect(),
        })
    }
}

impl From<&LegOrigin> for pb::LegOrigin {
    fn from(value: &LegOrigin) -> Self {
        let (call_id, dialled) = (value.call.to_string(), value.dialled.as_ref().into());
        Self { call_id, from: Some((&value.from).into()), dialled }
    }
}

impl TryFrom<pb::LegOrigin> for LegOrigin {
    type Error = WireError;
    fn try_from(value: pb::LegOrigin) -> Result<Self, WireError> {
        let (call, from) = (id("LegOrigin.call_id", &value.call_id)?, message("LegOrigin.from", value.from)?);
        Ok(Self { call, from, dialled: value.dialled.into() })
    }
}

/// Writes both directions of the facts out of one table, so that they cannot disagree. For every field: its name in
/// the model, its name in the contract, and how it is carried.
macro_rules! facts {
    ($($name:ident { $($field:ident: $wire:ident as $how:ident),* $(,)? })*) => {
        impl From<&FactKind> for pb::fact::Kind {
            fn from(value: &FactKind) -> Self {
                match value {$(
                    FactKind::$name { $($field),* } => Self::$name(pb::$name { $($wire: facts!(@out $how $field)),* }),
                )*}
            }
        }
        impl TryFrom<pb::fact::Kind> for FactKind {
            type Error = WireError;
            fn try_from(value: pb::fact::Kind) -> Result<Self, WireError> {
                Ok(match value {$(
                    pb::fact::Kind::$name(it) => Self::$name {
                        $($field: facts!(@in $how it.$wire, concat!(stringify!($name), ".", stringify!($wire)))),*
                    },
                )*})
            }
        }
    };
    (@out id $value:ident) => { $value.to_string() };
    (@in id $value:expr, $field:expr) => { id($field, &$value)? };
    (@out optional_id $value:ident) => { optional_text($value.as_ref()) };
    (@in optional_id $value:expr, $field:expr) => { optional_id($field, &$value)? };
    (@out text $value:ident) => { $value.as_ref().into() };
    (@in text $value:expr, $field:expr) => { $value.into() };
    (@out plain $value:ident) => { *$value };
    (@in plain $value:expr, $field:expr) => { $value };
    (@out message $value:ident) => { Some($value.into()) };
    (@in message $value:expr, $field:expr) => { message($field, $value)? };
    // Left out where it has its usual value, as logs of older releases do.
    (@out usual $value:ident) => { (*$value != Default::default()).then(|| $value.into()) };
    (@in usual $value:expr, $field:expr) => { $value.map(TryInto::try_into).transpose()?.unwrap_or_default() };
    (@out boxed $value:ident) => { Some((&**$value).into()) };
    (@in boxed $value:expr, $field:expr) => { Box::new(message($field, $value)?) };
    (@out optional_message $value:ident) => { $value.as_ref().map(Into::into) };
    (@in optional_message $value:expr, $field:expr) => { $value.map(TryInto::try_into).transpose()? };
    (@out optional_boxed $value:ident) => { $value.as_deref().map(Into::into) };
    (@in optional_boxed $value:expr, $field:expr) => { $value.map(TryInto::try_into).transpose()?.map(Box::new) };
    (@out time $value:ident) => { $value.as_millis() };
    (@in time $value:expr, $field:expr) => { Timestamp::from_millis($value) };
    (@out optional_time $value:ident) => { $value.map(Timestamp::as_millis) };
    (@in optional_time $value:expr, $field:expr) => { $value.map(Timestamp::from_millis) };
    (@out optional_hops $value:ident) => { $value.map(u32::from) };
    (@in optional_hops $value:expr, $field:expr) => { hops($value) };
    (@out digit $value:ident) => { $value.to_string() };
    (@in digit $value:expr, $field:expr) => { digit($field, &$value)? };
    (@out one_of $value:ident) => { number(*$value) };
    (@in one_of $value:expr, $field:expr) => { enumeration($field, $value)? };
    (@out headers $value:ident) => { headers_out($value) };
    (@in headers $value:expr, $field:expr) => { headers_in($value) };
    (@out texts $value:ident) => { $value.iter().map(|text| text.as_ref().into()).collect() };
    (@in texts $value:expr, $field:expr) => { $value.into_iter().map(Into::into).collect() };
    (@out ids $value:ident) => { $value.iter().map(ToString::to_string).collect() };
    (@in ids $value:expr, $field:expr) => {
        $value.iter().map(|it| id($field, it)).collect::<Result<_, _>>()?
    };
}

facts! {
    CallCreated {
        call: call_id as id,
        from: from as message,
        dialled: dialled as text,
        destination: destination as optional_message,
        by_application: by_application as plain,
        anonymous: anonymous as plain,
        open: open as plain,
        headers: headers as headers,
        max_forwards: max_forwards as optional_hops,
    }
    CallRestated {
        call: call_id as id,
        answered_at: answered_unix_ms as optional_time,
        diverted_to: diverted_to as optional_message,
        first_leg: first_leg_id as optional_id,
        transferred_by: transferred_by as optional_message,
    }
    LegRestated {
        leg: leg_id as id,
        origin: origin as optional_boxed,
        transferred_by: transferred_by as optional_message, answered_by: answered_by as one_of }
    LegLastHeld { leg: leg_id as id, held: held_unix_ms as time }
    ExternalRefAdded { call: call_id as id, external: external as message }
    LegCreated {
        leg: leg_id as id,
        call: call_id as id,
        party: party as message,
        incoming: incoming as plain,
        replica: replica_id as id,
        boot: boot_id as optional_id,
        sip_call_id: sip_call_id as text,
        cause: cause as one_of,
        by: by_leg_id as optional_id,
        assistant: assistant as plain,
        trunk: trunk as text,
    }
    LegMediaAllocated { leg: leg_id as id, node: node_id as id, boot: boot_id as id }
    LegRinging { leg: leg_id as id }
    LegTalkRefused { leg: leg_id as id, why: why as message }
    LegWaiting { leg: leg_id as id }
    LegWaking { leg: leg_id as id }
    LegRouted { leg: leg_id as id, trunk: trunk as text }
    MailboxPinTried { user: user as id, wrong: wrong as plain }
    LegWoken { leg: leg_id as id, replica: replica_id as id }
    DecisionOpened {
        leg: leg_id as id,
        kind: kind as one_of,
        deadline: deadline_unix_ms as time,
        fallback: fallback as optional_message,
    }
    DecisionClosed { leg: leg_id as id, expired: expired as plain }
    LegAnswered { leg: leg_id as id }
    LegDirectionChanged { leg: leg_id as id, direction: direction as one_of }
    LegDigit { leg: leg_id as id, digit: digit as digit, duration_ms: duration_ms as plain }
    LegHeld { leg: leg_id as id, by: by as one_of }
    LegRetrieved { leg: leg_id as id }
    LegAudioChanged {
        leg: leg_id as id,
        muted: muted as plain,
        deafened: deafened as plain,
        voice: voice as usual,
    }
    LegServed { leg: leg_id as id, by: by as message, assistant: assistant as plain }
    LegMeasured { leg: leg_id as id, quality: quality as boxed }
    LegMoved { leg: leg_id as id, from: from_call_id as id, to: to_call_id as id, cause: cause as one_of }
    LegDigitsSent { leg: leg_id as id, digits: digits as text }
    LegEnded { leg: leg_id as id, termination: termination as message }
    LegsBridged { call: call_id as id, a: leg_a_id as id, b: leg_b_id as id }
    CallDiverted { call: call_id as id, leg: leg_id as id, cause: cause as one_of, to: to as message }
    CallConferenced { call: call_id as id, conference: conference_id as id, node: node_id as id }
    ConferenceStarted { conference: conference_id as id, room: room as id, node: node_id as id }
    ParticipantJoined { conference: conference_id as id, leg: leg_id as id }
    ParticipantLeft { conference: conference_id as id, leg: leg_id as id }
    ParticipantHeld { leg: leg_id as id, by: by_leg_id as optional_id }
    ParticipantRetrieved { leg: leg_id as id }
    ConferenceEnded { conference: conference_id as id }
    RecordingStarted {
        recording: recording_id as id,
        call: call_id as id,
        node: node_id as id,
        stereo: stereo as plain,
        format: format as one_of,
        layout: layout as one_of,
        name: name as text,
        legs: leg_ids as ids,
        callback: callback as optional_boxed,
        beep: beep as plain,
    }
    RecordingPaused { recording: recording_id as id, mask: mask as plain }
    RecordingResumed { recording: recording_id as id }
    RecordingStopping { recording: recording_id as id, into: into_recording_id as optional_id }
    RecordingMoved { recording: recording_id as id, from: from_call_id as id, to: to_call_id as id }
    RecordingFinished {
        recording: recording_id as id,
        file: file as text,
        duration_ms: duration_ms as plain,
        size_bytes: size_bytes as plain,
        tracks: tracks as texts,
    }
    RecordingFailed {
        recording: recording_id as id,
        termination: termination as message,
        kept: kept as optional_boxed,
    }
    MessageLeft {
        message: message_id as id,
        user: user as id,
        call: call_id as id,
        from: from as message,
        node: node_id as id,
        file: file as text,
        duration_ms: duration_ms as plain,
    }
    MessageHeard { message: message_id as id, user: user as id }
    MessageDeleted { message: message_id as id, user: user as id }
    PlaybackStarted {
        playback: playback_id as id,
        call: call_id as id,
        leg: leg_id as optional_id,
        source: source as message,
        barge_in: barge_in as one_of,
    }
    PlaybackFinished { playback: playback_id as id, end: end as one_of }
    PlaybackMoved { playback: playback_id as id, from: from_call_id as id, to: to_call_id as id, legs: leg_ids as ids }
    StreamStarted { stream: stream_id as id, call: call_id as id, format: format as one_of, node: node_id as id }
    StreamStopped { stream: stream_id as id }
    StreamMoved { stream: stream_id as id, from: from_call_id as id, to: to_call_id as id, node: node_id as id }
    DeviceStateChanged { user: user as id, device: device as id, in_service: in_service as plain }
    CallEnded { call: call_id as id, termination: termination as message }
    Conversation { fact: fact as boxed }
}
