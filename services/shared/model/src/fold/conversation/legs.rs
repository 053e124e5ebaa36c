//! What the facts of calls mean for conversations: their members' legs, what is played and what is recorded.

use super::super::Fold;
use super::Conversations;
use crate::call::PlaybackEnd;
use crate::conversation::{CALLS, ConversationView, EventKind, LegStatus, MemberState, RINGBACK};
use crate::fact::{Fact, FactKind};
use crate::ids::{CallId, ConversationId, LegId, RecordingId, TenantId};
use crate::media::Source;
use crate::termination::{Cause, Termination};
use crate::time::Timestamp;

impl Fold {
    /// Conversations, their members and who can be one.
    pub fn conversations(&self) -> &Conversations {
        &self.conversations
    }

    /// Called when everything else has taken the fact in.
    pub(in crate::fold) fn apply_to_conversations(&mut self, fact: &Fact) {
        let (tenant, at) = (&fact.tenant, fact.at);
        match &fact.kind {
            FactKind::Conversation { fact } => self.conversations.take_in(tenant, fact, at),
            FactKind::LegRinging { leg } => self.conversations.with_leg(tenant, *leg, |view, place| {
                // Of several phones the first that rings says it for all.
                let rings =
                    view.members[place].statuses.iter().any(|(status, _)| *status == LegStatus::Ringing);
                if !rings && view.members[place].state == MemberState::Invited {
                    view.members[place].leg = Some(*leg);
                    view.status(place, LegStatus::Ringing, at);
                    let member = view.members[place].member;
                    view.event(at, EventKind::SipRinging, Some(member), Some(*leg), "".into());
                }
            }),
            FactKind::LegAnswered { leg } => self.conversations.with_leg(tenant, *leg, |view, place| {
                answered(view, place, *leg, at);
            }),
            FactKind::LegEnded { leg, termination } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    ended(view, place, *leg, termination, at);
                });
                self.conversations.legs.remove(leg);
            }
            FactKind::LegAudioChanged { leg, muted, deafened, .. } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    audio(view, place, (*muted, *deafened), at);
                });
            }
            FactKind::LegHeld { leg, .. } | FactKind::LegRetrieved { leg } => {
                let call = self.leg(*leg).map(|leg| leg.call);
                self.holding(tenant, call, at);
            }
            FactKind::ParticipantHeld { leg, .. } | FactKind::ParticipantRetrieved { leg } => {
                let call = self.leg(*leg).map(|leg| leg.call);
                self.holding(tenant, call, at);
            }
            FactKind::LegDigit { leg, digit, .. } => {
                self.conversations.with_leg(tenant, *leg, |view, place| {
                    let member = view.members[place].member;
                    let text = digit.to_string().into();
                    view.event(at, EventKind::Dtmf, Some(member), Some(*leg), text);
                });
            }
            _ => self.apply_to_heard(fact),
        }
    }

    /// What is recorded and played in the call of a conversation.
    fn apply_to_heard(&mut self, fact: &Fact) {
        let (call, kind, text) = match &fact.kind {
            FactKind::RecordingStarted { recording, call, .. } => {
                (Some(*call), EventKind::Record, recording.to_string())
            }
            FactKind::RecordingFinished { recording, file, .. } => {
                return self.recorded(&fact.tenant, (*recording, file), fact.at);
            }
            // Of one that failed there may be something to be fetched all the same.
            FactKind::RecordingFailed { recording, kept: Some(kept), .. } => {
                return self.recorded(&fact.tenant, (*recording, &kept.file), fact.at);
            }
            FactKind::RecordingFailed { recording, .. } => {
                let call = self.recording(*recording).map(|view| view.call);
                (call, EventKind::RecordStop, recording.to_string())
            }
            FactKind::RecordingMoved { recording, from, to } => {
                let (stop, go_on) = (EventKind::RecordStop, EventKind::Record);
                return self.went_on(fact, (*from, stop), (*to, go_on), &recording.to_string());
            }
            FactKind::PlaybackMoved { playback, from, to, .. } => {
                let (stop, go_on) = (EventKind::PlayStop, EventKind::Play);
                return self.went_on(fact, (*from, stop), (*to, go_on), &playback.to_string());
            }
            FactKind::PlaybackStarted { playback, call, source, .. } => {
                let kind = if is_ringback(source) { EventKind::RingingStart } else { EventKind::Play };
                (Some(*call), kind, playback.to_string())
            }
            _ => return,
        };
        self.heard(&fact.tenant, call, (kind, text.into()), fact.at);
    }

    /// What was heard in the call of one conversation goes on in another's, or where no conversation is.
    fn went_on(
        &mut self,
        fact: &Fact,
        (from, stop): (CallId, EventKind),
        (to, go_on): (CallId, EventKind),
        text: &str,
    ) {
        if self.conversation_of(from) != self.conversation_of(to) {
            self.heard(&fact.tenant, Some(from), (stop, text.into()), fact.at);
            self.heard(&fact.tenant, Some(to), (go_on, text.into()), fact.at);
        }
    }

    /// A recording was stopped, and can be fetched. Where it is stays with the event: its call is forgotten earlier.
    fn recorded(&mut self, tenant: &TenantId, (recording, file): (RecordingId, &str), at: Timestamp) {
        let Some(view) = self.recording(recording) else { return };
        let (call, kept) = (view.call, format!("{} {file}", view.node));
        let Some(conversation) = self.conversation_of(call) else { return };
        self.conversations.change(tenant, conversation, |view| {
            for (kind, body) in [(EventKind::RecordStop, ""), (EventKind::RecordDone, &*kept)] {
                let event = view.event(at, kind, None, None, recording.to_string().into());
                event.body = body.into();
                view.event_bytes += body.len();
            }
            view.trim();
        });
    }

    /// Called before the playback is forgotten.
    pub(in crate::fold) fn apply_playback_finished(&mut self, fact: &Fact) {
        if let FactKind::PlaybackFinished { playback, end } = &fact.kind {
            let Some(view) = self.playback(*playback) else { return };
            let kind = match end {
                _ if is_ringback(&view.source) => EventKind::RingingStop,
                PlaybackEnd::Done => EventKind::PlayDone,
                PlaybackEnd::Stopped | PlaybackEnd::Failed | PlaybackEnd::Key | PlaybackEnd::Voice => {
                    EventKind::PlayStop
                }
            };
            self.heard(&fact.tenant, Some(view.call), (kind, playback.to_string().into()), fact.at);
        }
    }

    fn heard(
        &mut self,
        tenant: &TenantId,
        call: Option<CallId>,
        (kind, text): (EventKind, Box<str>),
        at: Timestamp,
    ) {
        let conversation = call.and_then(|call| self.conversation_of(call));
        if let Some(conversation) = conversation {
            self.conversations.change(tenant, conversation, |view| {
                view.event(at, kind, None, None, text);
            });
        }
    }

    /// The conversation whose call it is.
    pub fn conversation_of(&self, call: CallId) -> Option<ConversationId> {
        let externals = &self.call(call)?.externals;
        externals.iter().find(|external| &*external.dialect == CALLS)?.key.parse().ok()
    }

    /// Who is on hold in a call may have changed.
    fn holding(&mut self, tenant: &TenantId, call: Option<CallId>, at: Timestamp) {
        let Some(call) = call else { return };
        let legs: Vec<(LegId, bool)> = self
            .live_legs(call)
            .map(|leg| {
                let peer = leg.peer.and_then(|peer| self.leg(peer));
                (leg.leg, leg.put_aside || peer.is_some_and(|peer| peer.held.is_some()))
            })
            .collect();
        for (leg, held) in legs {
            self.conversations.with_leg(tenant, leg, |view, place| {
                if view.members[place].leg == Some(leg) && view.members[place].held != held {
                    view.members[place].held = held;
                    view.media(place, at);
                }
            });
        }
    }
}

fn answered(view: &mut ConversationView, place: usize, leg: LegId, at: Timestamp) {
    if view.members[place].state != MemberState::Invited {
        return;
    }
    view.members[place].leg = Some(leg);
    view.status(place, LegStatus::Answered, at);
    let member = view.members[place].member;
    view.event(at, EventKind::SipAnswered, Some(member), Some(leg), "".into());
    (view.members[place].state, view.members[place].joined_at) = (MemberState::Joined, Some(at));
    view.event(at, EventKind::MemberJoined, Some(member), Some(leg), "".into());
    view.media(place, at);
}

fn ended(view: &mut ConversationView, place: usize, leg: LegId, why: &Termination, at: Timestamp) {
    let member = &mut view.members[place];
    member.legs.retain(|of| *of != leg);
    let is_its = member.leg == Some(leg) || member.legs.is_empty();
    if !is_its || (member.state == MemberState::Invited && !member.legs.is_empty()) {
        return;
    }
    let status = status_of(why.cause, member.joined_at.is_some());
    let id = member.member;
    view.status(place, status, at);
    view.event(at, EventKind::SipHangup, Some(id), Some(leg), status.name().into());
    let member = &mut view.members[place];
    if member.state != MemberState::Left {
        (member.state, member.left_at) = (MemberState::Left, Some(at));
        view.event(at, EventKind::MemberLeft, Some(id), Some(leg), status.name().into());
    }
}

fn is_ringback(source: &Source) -> bool {
    matches!(source, Source::Prompt(name) if name.starts_with(RINGBACK))
}

fn audio(view: &mut ConversationView, place: usize, (muted, earmuffed): (bool, bool), at: Timestamp) {
    let member = &mut view.members[place];
    let (id, leg) = (member.member, member.leg);
    let (was_muted, was_earmuffed) = (member.muted, member.earmuffed);
    (member.muted, member.earmuffed) = (muted, earmuffed);
    let mut changed = false;
    for (was, is, on, off) in [
        (was_muted, muted, EventKind::MuteOn, EventKind::MuteOff),
        (was_earmuffed, earmuffed, EventKind::EarmuffOn, EventKind::EarmuffOff),
    ] {
        if was != is {
            changed = true;
            view.event(at, if is { on } else { off }, Some(id), leg, "".into());
        }
    }
    if changed {
        view.media(place, at);
    }
}

fn status_of(cause: Cause, was_answered: bool) -> LegStatus {
    if was_answered {
        return LegStatus::Completed;
    }
    match cause {
        Cause::Busy => LegStatus::Busy,
        Cause::Cancelled | Cause::Application | Cause::AnsweredElsewhere | Cause::Normal => {
            LegStatus::Cancelled
        }
        Cause::Rejected => LegStatus::Rejected,
        Cause::NoAnswer | Cause::Timeout => LegStatus::Timeout,
        Cause::Unavailable => LegStatus::Unanswered,
        _ => LegStatus::Failed,
    }
}
