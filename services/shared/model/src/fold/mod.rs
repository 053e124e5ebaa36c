//! Read models: what the facts say, and nothing else.
//!
//! [`Fold`] is the state that a log folds to. Call control decides on it, lists are answered from it, and CDRs are made
//! from it; replaying the log gives it again, to the last field.

mod answering;
mod apply;
mod capabilities;
mod cdr;
mod conversation;
mod dialogs;
mod mailbox;
mod media;
mod views;

use std::collections::{BTreeMap, BTreeSet};

pub use capabilities::{Capabilities, Capability};
pub use cdr::{Cdr, CdrKind};
pub use conversation::{ConversationTotals, Conversations};
pub use mailbox::MessageView;
pub use views::{
    CallView, ConferenceView, LegPhase, LegView, PlaybackView, RecordingPhase, RecordingView, StreamView,
};

use crate::call::ExternalRef;
use crate::ids::{
    CallId, ConferenceId, DeviceId, LegId, PlaybackId, RecordingId, RoomId, StreamId, TenantId, UserId,
};
use crate::time::Timestamp;

/// What a log says about calls, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fold {
    calls: BTreeMap<CallId, CallView>,
    legs: BTreeMap<LegId, LegView>,
    conferences: BTreeMap<ConferenceId, ConferenceView>,
    recordings: BTreeMap<RecordingId, RecordingView>,
    playbacks: BTreeMap<PlaybackId, PlaybackView>,
    streams: BTreeMap<StreamId, StreamView>,
    /// Devices of which it was ever told whether they can be reached.
    devices: BTreeMap<(TenantId, UserId, DeviceId), bool>,
    conversations: Conversations,
    mailboxes: mailbox::Mailboxes,
    /// Wrong PINs in a row at each mailbox, and when the last was dialled.
    wrong_pins: BTreeMap<(TenantId, UserId), (u32, Timestamp)>,
    // What follows is only found faster by it.
    live_calls: BTreeMap<TenantId, u32>,
    rooms: BTreeMap<(TenantId, RoomId), ConferenceId>,
    externals: BTreeMap<(TenantId, ExternalRef), CallId>,
    users: BTreeMap<(TenantId, UserId), BTreeSet<LegId>>,
    /// Live legs of users that hold.
    holding: BTreeMap<(TenantId, UserId), BTreeSet<LegId>>,
}

impl Fold {
    /// Forgets the calls that ended before `before`, with their legs and recordings. Deterministic: the same cut on the
    /// same fold leaves the same.
    pub fn forget_ended(&mut self, before: Timestamp) {
        let over: Vec<CallId> = self
            .calls
            .values()
            .filter(|call| call.ended.as_ref().is_some_and(|(at, _)| *at < before))
            .filter(|call| !call.recordings.iter().any(|id| self.is_running(*id)))
            .map(|call| call.call)
            .collect();
        for call in over.into_iter().filter_map(|call| self.calls.remove(&call)) {
            call.legs.iter().for_each(|leg| drop(self.legs.remove(leg)));
            call.recordings.iter().for_each(|recording| drop(self.recordings.remove(recording)));
            call.playbacks.iter().for_each(|playback| drop(self.playbacks.remove(playback)));
            call.streams.iter().for_each(|stream| drop(self.streams.remove(stream)));
        }
    }

    fn is_running(&self, recording: RecordingId) -> bool {
        self.recordings.get(&recording).is_some_and(RecordingView::is_running)
    }

    /// One call, live or ended and not yet forgotten.
    pub fn call(&self, call: CallId) -> Option<&CallView> {
        self.calls.get(&call)
    }

    /// Every call, oldest first.
    pub fn calls(&self) -> impl Iterator<Item = &CallView> {
        self.calls.values()
    }

    /// One leg.
    pub fn leg(&self, leg: LegId) -> Option<&LegView> {
        self.legs.get(&leg)
    }

    /// Every leg, in the order of their ids.
    pub fn legs(&self) -> impl Iterator<Item = &LegView> {
        self.legs.values()
    }

    /// The legs of a call that have not ended, in the order in which they joined.
    pub fn live_legs(&self, call: CallId) -> impl Iterator<Item = &LegView> {
        let legs = self.calls.get(&call).map_or(&[][..], |call| &call.legs);
        legs.iter().filter_map(|leg| self.legs.get(leg)).filter(|leg| leg.is_live())
    }

    /// One meeting.
    pub fn conference(&self, conference: ConferenceId) -> Option<&ConferenceView> {
        self.conferences.get(&conference)
    }

    /// Every meeting that goes on.
    pub fn conferences(&self) -> impl Iterator<Item = &ConferenceView> {
        self.conferences.values()
    }

    /// The meeting in a room, if there is one.
    pub fn conference_in(&self, tenant: &TenantId, room: &RoomId) -> Option<&ConferenceView> {
        self.conferences.get(self.rooms.get(&(tenant.clone(), room.clone()))?)
    }

    /// One recording.
    pub fn recording(&self, recording: RecordingId) -> Option<&RecordingView> {
        self.recordings.get(&recording)
    }

    /// The recording of a call that runs; of several, one that goes on before one that is being completed.
    pub fn running_recording(&self, call: CallId) -> Option<&RecordingView> {
        let recordings = self.call(call).map_or(&[][..], |call| &call.recordings);
        let running = recordings.iter().filter_map(|id| self.recording(*id)).filter(|view| view.is_running());
        running.min_by_key(|view| view.stopping)
    }

    /// Every recording.
    pub fn recordings(&self) -> impl Iterator<Item = &RecordingView> {
        self.recordings.values()
    }

    /// How many calls of a tenant have not ended.
    pub fn live_calls_of(&self, tenant: &TenantId) -> u32 {
        self.live_calls.get(tenant).copied().unwrap_or(0)
    }

    /// The live call that a client knows by this key.
    pub fn call_by_external(&self, tenant: &TenantId, external: &ExternalRef) -> Option<&CallView> {
        self.calls.get(self.externals.get(&(tenant.clone(), external.clone()))?)
    }

    /// The live legs of a user, in the order of their ids.
    pub fn live_legs_of(&self, tenant: &TenantId, user: &UserId) -> impl Iterator<Item = &LegView> {
        let legs = self.users.get(&(tenant.clone(), user.clone()));
        legs.into_iter().flatten().filter_map(|leg| self.legs.get(leg))
    }

    /// The live legs with which a user holds, in the order of their ids.
    pub fn holding_legs_of(&self, tenant: &TenantId, user: &UserId) -> impl Iterator<Item = &LegView> {
        let legs = self.holding.get(&(tenant.clone(), user.clone()));
        legs.into_iter().flatten().filter_map(|leg| self.legs.get(leg))
    }

    /// Something that is being played.
    pub fn playback(&self, playback: PlaybackId) -> Option<&PlaybackView> {
        self.playbacks.get(&playback)
    }

    /// A call that can be listened to.
    pub fn stream(&self, stream: StreamId) -> Option<&StreamView> {
        self.streams.get(&stream)
    }

    /// Every call that can be listened to.
    pub fn streams(&self) -> impl Iterator<Item = &StreamView> {
        self.streams.values()
    }

    /// Whether a device can be reached; none when it was never told.
    pub fn is_in_service(&self, tenant: &TenantId, user: &UserId, device: &DeviceId) -> Option<bool> {
        self.devices.get(&(tenant.clone(), user.clone(), device.clone())).copied()
    }

    /// Every device of which it was told whether it can be reached.
    pub fn devices(&self) -> impl Iterator<Item = (&TenantId, &UserId, &DeviceId, bool)> {
        self.devices.iter().map(|((tenant, user, device), here)| (tenant, user, device, *here))
    }
}
