//! Why a command of an application was not carried out.

use sidetone_model::classify::{Class, Classify};

/// A refused command. Nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// The key was used with another body.
    #[error("idempotency_key: it was used with another body")]
    KeyReused,
    /// No such call, or it has ended.
    #[error("call_id: no live call has this id")]
    NoSuchCall,
    /// No such leg, or it has ended.
    #[error("leg_id: no live leg has this id")]
    NoSuchLeg,
    /// No such stream, or it has ended.
    #[error("stream_id: no stream has this id")]
    NoSuchStream,
    /// No such playback, or it has ended.
    #[error("playback_id: nothing that is played has this id")]
    NoSuchPlayback,
    /// No such recording.
    #[error("recording_id: no recording has this id")]
    NoSuchRecording,
    /// No such message.
    #[error("message_id: no message in this voicemail has this id")]
    NoSuchMessage,
    /// The state of the call does not allow it now.
    #[error("the state of the call does not allow this now")]
    CapabilityMissing,
    /// The phone holds by itself, and has said that it cannot be asked to talk.
    #[error(
        "the phone itself holds the call and takes no NOTIFY with Event: talk; its user takes it back there"
    )]
    HeldByPhone,
    /// The number is a user's, none of whose devices is registered.
    #[error("to: none of the user's devices is registered")]
    TargetUnregistered,
    /// The device is the one that talks.
    #[error("device: it is the one that talks")]
    SameDevice,
    /// Two calls whose sound is on two media nodes cannot be connected.
    #[error("the two calls are on two media nodes and cannot be connected")]
    OnTwoNodes,
    /// To be connected, a phone had to take its sound to another media node, and did not; it talks on as before.
    #[error("a phone did not take its new media address; both calls are as they were")]
    MoveRefused,
    /// Another live call has this key.
    #[error("external: another live call has this key")]
    ExternalRefTaken,
    /// The number is not that of a group.
    #[error("number: it is not that of a pick-up group")]
    NoSuchGroup,
    /// Only members take calls of a group.
    #[error("user: only a member may take a call of the group")]
    NotInGroup,
    /// It rings at nobody else of the group.
    #[error("it rings at no other member of the group")]
    NothingRings,
    /// Not 1 to 64 digits.
    #[error("digits: expected 1 to 64 out of 0-9 * # A-D")]
    BadDigits,
    /// A gain out of range, or a coach of itself.
    #[error("voice: expected a gain of -72000 to 18000, and another leg to be coached")]
    BadVoice,
    /// Not 1 to 32 sources.
    #[error("sources: expected 1 to 32")]
    BadPlaylist,
    /// The leg does not wait for an answer.
    #[error("the leg does not wait for a decision")]
    NotWaiting,
    /// Nothing in the call is answered yet.
    #[error("the call is not answered yet, so there is nothing to record")]
    NotAnswered,
    /// The call is being recorded already.
    #[error("the call is being recorded already")]
    AlreadyRecording,
    /// The recording has ended.
    #[error("the recording has ended already")]
    NotRecording,
    /// `from` leads to no user.
    #[error("from: it must lead to a user")]
    FromIsNoUser,
    /// `to` leads nowhere.
    #[error("to: nobody has this number")]
    ToLeadsNowhere,
    /// No such conversation.
    #[error("conversation_id: no conversation has this id")]
    NoSuchConversation,
    /// No such member of the conversation.
    #[error("member_id: no member of the conversation has this id")]
    NoSuchMember,
    /// Nobody who can be a member.
    #[error("user_id: no user has this id")]
    NoSuchPerson,
    /// No such event, or it is kept no more.
    #[error("event_id: no event of the conversation has this id")]
    NoSuchEvent,
    /// The number is one at which callers wait for an application, and nobody waits there.
    #[error("channel.to: the number is the application's own and nobody knocks; the call would come back")]
    WouldLoop,
    /// There are as many conversations, members or people as there may be.
    #[error("there are as many conversations, members or users as there may be")]
    TooManyConversations,
    /// Another conversation, or user, of the application has the name.
    #[error("name: another one has this name")]
    NameTaken,
    /// None of the user's devices is registered.
    #[error("from: none of the user's devices is registered")]
    Unregistered,
    /// The tenant has as many calls as it may have.
    #[error("the tenant has as many calls as it may have")]
    TooManyCalls,
    /// There are as many streams of the call as there may be.
    #[error("the call has as many streams as it may have: stop one of them, or listen to one that runs")]
    TooManyStreams,
    /// As much is played into the call as may be.
    #[error("as much is played into the call as may be: stop a playback, or wait for the end of one")]
    TooManyPlaybacks,
    /// Nobody waited for it any more when its turn came.
    #[error("it was not carried out in time, and will not be: ask again")]
    TooLate,
    /// No media node takes a new leg.
    #[error("no media node has room for another leg")]
    NoMediaNode,
}

impl Classify for CommandError {
    fn class(&self) -> Class {
        match self {
            Self::KeyReused | Self::ExternalRefTaken => Class::Conflict,
            Self::NoSuchCall
            | Self::NoSuchLeg
            | Self::NoSuchRecording
            | Self::NoSuchMessage
            | Self::NoSuchStream
            | Self::NoSuchPlayback
            | Self::NoSuchConversation
            | Self::NoSuchMember
            | Self::NoSuchPerson
            | Self::NoSuchEvent
            | Self::NoSuchGroup
            | Self::ToLeadsNowhere => Class::NotFound,
            Self::NotInGroup => Class::Forbidden,
            Self::CapabilityMissing
            | Self::HeldByPhone
            | Self::TargetUnregistered
            | Self::OnTwoNodes
            | Self::MoveRefused
            | Self::NothingRings
            | Self::NotWaiting
            | Self::NotAnswered
            | Self::AlreadyRecording
            | Self::NotRecording => Class::FailedPrecondition,
            Self::Unregistered | Self::WouldLoop => Class::FailedPrecondition,
            Self::FromIsNoUser | Self::SameDevice | Self::BadDigits | Self::BadVoice | Self::BadPlaylist => {
                Class::Invalid
            }
            Self::NameTaken => Class::Conflict,
            Self::NoMediaNode
            | Self::TooManyCalls
            | Self::TooManyConversations
            | Self::TooManyStreams
            | Self::TooManyPlaybacks => Class::Exhausted,
            Self::TooLate => Class::DeadlineExceeded,
        }
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::KeyReused => "key_reused",
            Self::NoSuchCall => "no_such_call",
            Self::NoSuchLeg => "no_such_leg",
            Self::NoSuchRecording => "no_such_recording",
            Self::NoSuchMessage => "no_such_message",
            Self::CapabilityMissing => "capability_missing",
            Self::HeldByPhone => "held_by_phone",
            Self::NoSuchStream => "no_such_stream",
            Self::NoSuchPlayback => "no_such_playback",
            Self::TargetUnregistered => "target_unregistered",
            Self::SameDevice => "same_device",
            Self::OnTwoNodes => "on_two_nodes",
            Self::MoveRefused => "move_refused",
            Self::ExternalRefTaken => "external_ref_taken",
            Self::BadDigits => "bad_digits",
            Self::BadVoice => "bad_voice",
            Self::BadPlaylist => "bad_playlist",
            Self::NoSuchGroup => "no_such_group",
            Self::NotInGroup => "not_in_group",
            Self::NothingRings => "nothing_rings",
            Self::NotWaiting => "not_waiting",
            Self::NotAnswered => "not_answered",
            Self::AlreadyRecording => "already_recording",
            Self::NotRecording => "not_recording",
            Self::FromIsNoUser => "from_is_no_user",
            Self::ToLeadsNowhere => "to_leads_nowhere",
            Self::Unregistered => "unregistered",
            Self::NoMediaNode => "no_media_node",
            Self::TooManyCalls => "too_many_calls",
            Self::TooManyStreams => "too_many_streams",
            Self::TooManyPlaybacks => "too_many_playbacks",
            Self::TooLate => "too_late",
            Self::NoSuchConversation => "no_such_conversation",
            Self::NoSuchMember => "no_such_member",
            Self::NoSuchPerson => "no_such_person",
            Self::NoSuchEvent => "no_such_event",
            Self::WouldLoop => "would_loop",
            Self::NameTaken => "name_taken",
            Self::TooManyConversations => "too_many_conversations",
        }
    }
}
