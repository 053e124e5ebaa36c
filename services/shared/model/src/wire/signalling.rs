//! `sidetone.signalling.v1`.

use sidetone_proto::signalling::v1 as pb;
use sidetone_proto::types::v1 as types;

use super::{
    WireError, digit, enumeration, headers_in, headers_out, hops, id, kind, message, number, optional_id,
    optional_text, socket_addr, socket_address,
};
use crate::call::Diversion;
use crate::command::{Invite, LegCommand, LegCommandKind, ReferralState};
use crate::media::MediaDescription;
use crate::signal::{
    HeldLeg, Hello, InviteId, LegSignal, LegSignalKind, MessagesWaiting, Offered, OwnerMessage, Referred,
    ReplicaMessage, Target,
};
use crate::time::Timestamp;

impl From<&LegSignal> for pb::LegSignal {
    fn from(value: &LegSignal) -> Self {
        Self {
            boot_id: value.boot.to_string(),
            leg_id: value.leg.to_string(),
            tenant: value.tenant.to_string(),
            n: value.n,
            at_unix_ms: value.at.as_millis(),
            trunk: value.trunk.as_deref().unwrap_or_default().into(),
            kind: Some((&value.kind).into()),
        }
    }
}

impl TryFrom<pb::LegSignal> for LegSignal {
    type Error = WireError;
    fn try_from(value: pb::LegSignal) -> Result<Self, WireError> {
        Ok(Self {
            boot: id("LegSignal.boot_id", &value.boot_id)?,
            leg: id("LegSignal.leg_id", &value.leg_id)?,
            tenant: id("LegSignal.tenant", &value.tenant)?,
            n: value.n,
            at: Timestamp::from_millis(value.at_unix_ms),
            trunk: (!value.trunk.is_empty()).then(|| value.trunk.into()),
            kind: kind("LegSignal.kind", value.kind)?.try_into()?,
        })
    }
}

impl From<&LegSignalKind> for pb::leg_signal::Kind {
    fn from(value: &LegSignalKind) -> Self {
        match value {
            LegSignalKind::Offered(offered) => Self::Offered(offered.as_ref().into()),
            LegSignalKind::Progress { media } => Self::Progress(pb::Progress { media: described(media) }),
            LegSignalKind::Answered { media } => Self::Answered(pb::Answered { media: described(media) }),
            LegSignalKind::Confirmed { media } => Self::Confirmed(pb::Confirmed { media: described(media) }),
            LegSignalKind::Reoffered { media } => Self::Reoffered(pb::Reoffered { media: described(media) }),
            LegSignalKind::Reanswered { media } => {
                Self::Reanswered(pb::Reanswered { media: Some(media.into()) })
            }
            LegSignalKind::ReofferRefused(why) => Self::ReofferRefused(why.into()),
            LegSignalKind::TalkRefused(why) => Self::TalkRefused(why.into()),
            LegSignalKind::Referred(referred) => Self::Referred(pb::Referred {
                to: Some((&referred.to).into()),
                replaces_leg_id: optional_text(referred.replaces.as_ref()),
            }),
            LegSignalKind::Redirected { targets } => {
                Self::Redirected(pb::Redirected { targets: targets.iter().map(Into::into).collect() })
            }
            LegSignalKind::Digit { digit, duration_ms } => {
                Self::Digit(pb::Digit { digit: digit.to_string(), duration_ms: *duration_ms })
            }
            LegSignalKind::Ended(termination) => Self::Ended(termination.into()),
        }
    }
}

impl TryFrom<pb::leg_signal::Kind> for LegSignalKind {
    type Error = WireError;
    fn try_from(value: pb::leg_signal::Kind) -> Result<Self, WireError> {
        use pb::leg_signal::Kind;
        Ok(match value {
            Kind::Offered(it) => Self::Offered(Box::new(it.try_into()?)),
            Kind::Progress(it) => Self::Progress { media: understood(it.media)? },
            Kind::Answered(it) => Self::Answered { media: understood(it.media)? },
            Kind::Confirmed(it) => Self::Confirmed { media: understood(it.media)? },
            Kind::Reoffered(it) => Self::Reoffered { media: understood(it.media)? },
            Kind::Reanswered(it) => Self::Reanswered { media: message("Reanswered.media", it.media)? },
            Kind::ReofferRefused(it) => Self::ReofferRefused(it.try_into()?),
            Kind::TalkRefused(it) => Self::TalkRefused(it.try_into()?),
            Kind::Referred(it) => Self::Referred(Referred {
                to: it.to.map(Into::into).ok_or(WireError::Missing { field: "Referred.to" })?,
                replaces: optional_id("Referred.replaces_leg_id", &it.replaces_leg_id)?,
            }),
            Kind::Redirected(it) => {
                Self::Redirected { targets: it.targets.into_iter().map(Into::into).collect() }
            }
            Kind::Digit(it) => {
                Self::Digit { digit: digit("Digit.digit", &it.digit)?, duration_ms: it.duration_ms }
            }
            Kind::Ended(it) => Self::Ended(it.try_into()?),
        })
    }
}

impl From<&Target> for pb::Target {
    fn from(value: &Target) -> Self {
        Self { number: value.number.as_ref().into(), own: value.own }
    }
}

impl From<pb::Target> for Target {
    fn from(value: pb::Target) -> Self {
        Self { number: value.number.into(), own: value.own }
    }
}

impl From<&ReferralState> for pb::Referral {
    fn from(value: &ReferralState) -> Self {
        use pb::referral::State;
        let state = match value {
            ReferralState::Accepted => State::Accepted(true),
            ReferralState::Ringing => State::Ringing(true),
            ReferralState::Succeeded => State::Succeeded(true),
            ReferralState::Failed(why) => State::Failed(why.into()),
        };
        Self { state: Some(state) }
    }
}

impl TryFrom<pb::Referral> for ReferralState {
    type Error = WireError;
    fn try_from(value: pb::Referral) -> Result<Self, WireError> {
        use pb::referral::State;
        Ok(match kind("Referral.state", value.state)? {
            State::Accepted(_) => Self::Accepted,
            State::Ringing(_) => Self::Ringing,
            State::Succeeded(_) => Self::Succeeded,
            State::Failed(why) => Self::Failed(why.try_into()?),
        })
    }
}

impl From<&Offered> for pb::Offered {
    fn from(value: &Offered) -> Self {
        Self {
            from: Some((&value.from).into()),
            dialled: value.dialled.as_ref().into(),
            source: Some(socket_address(&value.source)),
            media: described(&value.media),
            sip_call_id: value.sip_call_id.as_ref().into(),
            replaces_leg_id: optional_text(value.replaces.as_ref()),
            anonymous: value.anonymous,
            headers: headers_out(&value.headers),
            max_forwards: value.max_forwards.map(u32::from),
            from_tag: value.invite.from_tag.as_ref().into(),
            cseq: value.invite.cseq,
            transaction: value.invite.transaction.as_ref().into(),
        }
    }
}

impl TryFrom<pb::Offered> for Offered {
    type Error = WireError;
    fn try_from(value: pb::Offered) -> Result<Self, WireError> {
        Ok(Self {
            from: message("Offered.from", value.from)?,
            dialled: value.dialled.into(),
            source: socket_addr("Offered.source", value.source.as_ref())?,
            media: understood(value.media)?,
            sip_call_id: value.sip_call_id.into(),
            replaces: optional_id("Offered.replaces_leg_id", &value.replaces_leg_id)?,
            anonymous: value.anonymous,
            headers: headers_in(value.headers),
            max_forwards: hops(value.max_forwards),
            invite: InviteId {
                from_tag: value.from_tag.into(),
                cseq: value.cseq,
                transaction: value.transaction.into(),
            },
        })
    }
}

impl From<&LegCommand> for pb::LegCommand {
    fn from(value: &LegCommand) -> Self {
        Self {
            replica_id: value.replica.to_string(),
            tenant: value.tenant.to_string(),
            leg_id: value.leg.to_string(),
            n: value.n,
            kind: Some((&value.kind).into()),
        }
    }
}

impl TryFrom<pb::LegCommand> for LegCommand {
    type Error = WireError;
    fn try_from(value: pb::LegCommand) -> Result<Self, WireError> {
        Ok(Self {
            replica: id("LegCommand.replica_id", &value.replica_id)?,
            tenant: id("LegCommand.tenant", &value.tenant)?,
            leg: id("LegCommand.leg_id", &value.leg_id)?,
            n: value.n,
            kind: kind("LegCommand.kind", value.kind)?.try_into()?,
        })
    }
}

impl From<&LegCommandKind> for pb::leg_command::Kind {
    fn from(value: &LegCommandKind) -> Self {
        match value {
            LegCommandKind::Invite(invite) => Self::Invite(invite.as_ref().into()),
            LegCommandKind::Ring { media } => Self::Ring(pb::Ring { media: described(media) }),
            LegCommandKind::Answer { media } => Self::Answer(pb::Answer { media: Some(media.into()) }),
            LegCommandKind::AnswerReoffer { media } => {
                Self::AnswerReoffer(pb::AnswerReoffer { media: described(media) })
            }
            LegCommandKind::Talk => Self::Talk(pb::Talk {}),
            LegCommandKind::Reoffer { media } => Self::Reoffer(pb::Reoffer { media: Some(media.into()) }),
            LegCommandKind::Deflect { numbers } => Self::Deflect(pb::Deflect {
                numbers: numbers.iter().map(|number| number.as_ref().into()).collect(),
            }),
            LegCommandKind::SendDigits { digits, duration_ms } => {
                Self::SendDigits(pb::SendDigits { digits: digits.as_ref().into(), duration_ms: *duration_ms })
            }
            LegCommandKind::Referral(state) => Self::Referral(state.into()),
            LegCommandKind::End(termination) => Self::End(termination.into()),
        }
    }
}

impl TryFrom<pb::leg_command::Kind> for LegCommandKind {
    type Error = WireError;
    fn try_from(value: pb::leg_command::Kind) -> Result<Self, WireError> {
        use pb::leg_command::Kind;
        Ok(match value {
            Kind::Invite(it) => Self::Invite(Box::new(it.try_into()?)),
            Kind::Ring(it) => Self::Ring { media: understood(it.media)? },
            Kind::Answer(it) => Self::Answer { media: message("Answer.media", it.media)? },
            Kind::AnswerReoffer(it) => Self::AnswerReoffer { media: understood(it.media)? },
            Kind::Talk(_) => Self::Talk,
            Kind::Reoffer(it) => Self::Reoffer { media: message("Reoffer.media", it.media)? },
            Kind::SendDigits(it) => {
                Self::SendDigits { digits: it.digits.into(), duration_ms: it.duration_ms }
            }
            Kind::Referral(it) => Self::Referral(it.try_into()?),
            Kind::Deflect(it) => Self::Deflect { numbers: it.numbers.into_iter().map(Into::into).collect() },
            Kind::End(it) => Self::End(it.try_into()?),
        })
    }
}

impl From<&Invite> for pb::Invite {
    fn from(value: &Invite) -> Self {
        Self {
            from: Some((&value.from).into()),
            to: value.to.as_ref().into(),
            binding: Some((&value.binding).into()),
            media: Some((&value.media).into()),
            auto_answer: value.auto_answer,
            anonymous: value.anonymous,
            diversions: value.diversions.iter().map(Into::into).collect(),
            headers: headers_out(&value.headers),
            call_id: value.call.map(|call| call.to_string()).unwrap_or_default(),
            max_forwards: value.max_forwards.map(u32::from),
        }
    }
}

impl From<&Diversion> for pb::Diversion {
    fn from(value: &Diversion) -> Self {
        Self { number: value.number.as_ref().into(), reason: number(value.reason) }
    }
}

impl TryFrom<pb::Diversion> for Diversion {
    type Error = WireError;
    fn try_from(value: pb::Diversion) -> Result<Self, WireError> {
        let reason = enumeration("Diversion.reason", value.reason)?;
        Ok(Self { number: value.number.into(), reason })
    }
}

impl TryFrom<pb::Invite> for Invite {
    type Error = WireError;
    fn try_from(value: pb::Invite) -> Result<Self, WireError> {
        Ok(Self {
            from: message("Invite.from", value.from)?,
            to: value.to.into(),
            binding: message("Invite.binding", value.binding)?,
            media: message("Invite.media", value.media)?,
            auto_answer: value.auto_answer,
            anonymous: value.anonymous,
            diversions: value.diversions.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            headers: headers_in(value.headers),
            // It is told for the eyes of people, and nothing hangs on it.
            call: value.call_id.parse().ok(),
            max_forwards: hops(value.max_forwards),
        })
    }
}

impl From<&Hello> for pb::Hello {
    fn from(value: &Hello) -> Self {
        Self {
            replica_id: value.replica.to_string(),
            boot_id: value.boot.to_string(),
            legs: value.legs.iter().map(Into::into).collect(),
        }
    }
}

impl TryFrom<pb::Hello> for Hello {
    type Error = WireError;
    fn try_from(value: pb::Hello) -> Result<Self, WireError> {
        Ok(Self {
            replica: id("Hello.replica_id", &value.replica_id)?,
            boot: id("Hello.boot_id", &value.boot_id)?,
            legs: value.legs.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
        })
    }
}

impl From<&HeldLeg> for pb::HeldLeg {
    fn from(value: &HeldLeg) -> Self {
        Self {
            leg_id: value.leg.to_string(),
            tenant: value.tenant.to_string(),
            last_command_n: value.last_command_n,
        }
    }
}

impl TryFrom<pb::HeldLeg> for HeldLeg {
    type Error = WireError;
    fn try_from(value: pb::HeldLeg) -> Result<Self, WireError> {
        Ok(Self {
            leg: id("HeldLeg.leg_id", &value.leg_id)?,
            tenant: id("HeldLeg.tenant", &value.tenant)?,
            last_command_n: value.last_command_n,
        })
    }
}

impl From<&ReplicaMessage> for pb::ReplicaMessage {
    fn from(value: &ReplicaMessage) -> Self {
        use pb::replica_message::Kind;
        let kind = match value {
            ReplicaMessage::Hello(hello) => Kind::Hello(hello.into()),
            ReplicaMessage::Signal(signal) => Kind::Signal(signal.into()),
            ReplicaMessage::Applied { leg, n } => {
                Kind::Applied(pb::Applied { leg_id: leg.to_string(), n: *n })
            }
            ReplicaMessage::Draining => Kind::Draining(pb::Draining {}),
            ReplicaMessage::Watch(watch) => Kind::Watch(watch.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::ReplicaMessage> for ReplicaMessage {
    type Error = WireError;
    fn try_from(value: pb::ReplicaMessage) -> Result<Self, WireError> {
        use pb::replica_message::Kind;
        Ok(match kind("ReplicaMessage.kind", value.kind)? {
            Kind::Hello(it) => Self::Hello(it.try_into()?),
            Kind::Signal(it) => Self::Signal(it.try_into()?),
            Kind::Applied(it) => Self::Applied { leg: id("Applied.leg_id", &it.leg_id)?, n: it.n },
            Kind::Draining(_) => Self::Draining,
            Kind::Watch(it) => Self::Watch(it.try_into()?),
        })
    }
}

impl From<&OwnerMessage> for pb::OwnerMessage {
    fn from(value: &OwnerMessage) -> Self {
        use pb::owner_message::Kind;
        let kind = match value {
            OwnerMessage::Welcome { boot } => Kind::Welcome(pb::Welcome { boot_id: boot.to_string() }),
            OwnerMessage::Ack { leg, n } => Kind::Ack(pb::Ack { leg_id: leg.to_string(), n: *n }),
            OwnerMessage::Command(command) => Kind::Command(command.into()),
            OwnerMessage::Release { leg } => Kind::Release(pb::Release { leg_id: leg.to_string() }),
            OwnerMessage::Repeated { leg, at } => Kind::InviteRepeated(pb::InviteRepeated {
                leg_id: leg.to_string(),
                replica_id: optional_text(at.as_ref()),
            }),
            OwnerMessage::MessagesWaiting(it) => Kind::MessagesWaiting(pb::MessagesWaiting {
                tenant: it.tenant.to_string(),
                binding: Some((&it.binding).into()),
                new_messages: it.new,
                old_messages: it.old,
            }),
            OwnerMessage::Watched(state) => Kind::Watched(state.into()),
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::OwnerMessage> for OwnerMessage {
    type Error = WireError;
    fn try_from(value: pb::OwnerMessage) -> Result<Self, WireError> {
        use pb::owner_message::Kind;
        Ok(match kind("OwnerMessage.kind", value.kind)? {
            Kind::Welcome(it) => Self::Welcome { boot: id("Welcome.boot_id", &it.boot_id)? },
            Kind::Ack(it) => Self::Ack { leg: id("Ack.leg_id", &it.leg_id)?, n: it.n },
            Kind::Command(it) => Self::Command(it.try_into()?),
            Kind::Release(it) => Self::Release { leg: id("Release.leg_id", &it.leg_id)? },
            Kind::InviteRepeated(it) => Self::Repeated {
                leg: id("InviteRepeated.leg_id", &it.leg_id)?,
                at: optional_id("InviteRepeated.replica_id", &it.replica_id)?,
            },
            Kind::MessagesWaiting(it) => Self::MessagesWaiting(Box::new(MessagesWaiting {
                tenant: id("MessagesWaiting.tenant", &it.tenant)?,
                binding: message("MessagesWaiting.binding", it.binding)?,
                new: it.new_messages,
                old: it.old_messages,
            })),
            Kind::Watched(it) => Self::Watched(it.try_into()?),
        })
    }
}

fn described(media: &Option<MediaDescription>) -> Option<types::MediaDescription> {
    media.as_ref().map(Into::into)
}

fn understood(media: Option<types::MediaDescription>) -> Result<Option<MediaDescription>, WireError> {
    media.map(TryInto::try_into).transpose()
}
