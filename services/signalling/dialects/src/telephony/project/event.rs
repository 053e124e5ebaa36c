//! The bodies of the events, field by field as in the document.

use serde_json::{Map, Value, json};
use sidetone_model::ids::{CallId, TenantId, UserId};

use super::seen::{Seen, SeenLeg, SeenParticipant};
use crate::People;
use crate::telephony::words::{Cause, DeviceState, UserState};

/// Tells of people by what the directory says of them.
pub(crate) struct Speaker<'a> {
    pub(crate) people: &'a dyn People,
    pub(crate) tenant: &'a TenantId,
}

/// How a call is named to clients: the same for all its users.
pub(crate) fn call_ref(call: CallId) -> String {
    call.to_string()
}

impl Speaker<'_> {
    pub(crate) fn created(
        &self,
        user: &UserId,
        seen: &Seen,
        (cause, previous): (Option<Cause>, Option<CallId>),
    ) -> Value {
        let mut body = head("OnCallCreated", user, seen.call, cause);
        add_previous(&mut body, previous);
        if let Some(initiator) = &seen.initiator {
            body.insert("initiator".into(), json!(initiator));
        }
        body.insert("callData".into(), call_data(seen, true));
        body.insert("legs".into(), seen.legs.iter().map(leg_body).collect());
        body.insert(
            "participants".into(),
            seen.participants.iter().map(|one| self.participant(one)).collect(),
        );
        body.insert("deviceCapabilities".into(), json!([]));
        body.into()
    }

    /// The difference; first what has become of the call, then one event for each phone that is no longer in it.
    pub(crate) fn modified(
        &self,
        user: &UserId,
        (was, is): (&Seen, &Seen),
        (cause, previous): (Option<Cause>, Option<CallId>),
    ) -> Vec<Value> {
        let removed: Vec<&SeenLeg> =
            was.legs.iter().filter(|leg| !is.legs.iter().any(|now| now.leg == leg.leg)).collect();
        let same_call = (was.state, was.record, &was.initial_called, &was.capabilities)
            == (is.state, is.record, &is.initial_called, &is.capabilities);
        let mut told = Vec::new();
        if !same_call || differs(was, is) {
            let mut body = head("OnCallModified", user, is.call, cause);
            add_previous(&mut body, previous);
            if !same_call {
                body.insert("callData".into(), call_data(is, false));
            }
            let found = |leg: &&SeenLeg| was.legs.iter().find(|old| old.leg == leg.leg);
            let changed = is.legs.iter().filter(|leg| found(leg).is_some_and(|old| old != *leg));
            let added = is.legs.iter().filter(|leg| found(leg).is_none());
            body.insert("modifiedLegs".into(), changed.map(leg_body).collect());
            body.insert("addedLegs".into(), added.map(leg_body).collect());
            body.insert("removedLegs".into(), json!([]));
            self.difference_of_participants(was, is, &mut body);
            body.insert("deviceCapabilities".into(), json!([]));
            told.push(body.into());
        }
        told.extend(removed.into_iter().map(|leg| leg_removed(user, is.call, leg)));
        told
    }

    fn difference_of_participants(&self, was: &Seen, is: &Seen, body: &mut Map<String, Value>) {
        let old = |one: &SeenParticipant| was.participants.iter().find(|old| old.number == one.number);
        let changed = is.participants.iter().filter(|one| old(one).is_some_and(|old| old.state != one.state));
        let added = is.participants.iter().filter(|one| old(one).is_none());
        let gone =
            was.participants.iter().filter(|old| !is.participants.iter().any(|one| one.number == old.number));
        body.insert("modifiedParticipants".into(), changed.map(|one| self.participant(one)).collect());
        body.insert("addedParticipants".into(), added.map(|one| self.participant(one)).collect());
        body.insert("removedParticipantIds".into(), gone.map(|one| json!(one.number)).collect());
    }

    fn participant(&self, one: &SeenParticipant) -> Value {
        participant_body(self, one)
    }
}

/// The other side of `replacedByCallRef`.
fn add_previous(body: &mut Map<String, Value>, previous: Option<CallId>) {
    if let Some(call) = previous {
        body.insert("previousCallRef".into(), json!(call_ref(call)));
    }
}

fn differs(was: &Seen, is: &Seen) -> bool {
    let leg = |leg: &SeenLeg| was.legs.iter().find(|old| old.leg == leg.leg) != Some(leg);
    let same =
        |one: &SeenParticipant, old: &SeenParticipant| one.number == old.number && one.state == old.state;
    let participants = was.participants.len() != is.participants.len()
        || is.participants.iter().zip(&was.participants).any(|(one, old)| !same(one, old));
    is.legs.iter().any(leg) || participants
}

/// One phone of the user is no longer in the call.
pub(crate) fn leg_removed(user: &UserId, call: CallId, leg: &SeenLeg) -> Value {
    let mut body = head("OnCallModified", user, call, None);
    for array in
        ["modifiedLegs", "addedLegs", "modifiedParticipants", "addedParticipants", "removedParticipantIds"]
    {
        body.insert(array.into(), json!([]));
    }
    body.insert("removedLegs".into(), json!([{ "deviceId": leg.device, "media": "AUDIO" }]));
    body.insert("deviceCapabilities".into(), json!([]));
    body.into()
}

/// The user is no longer in the call; `last` when in no other either.
pub(crate) fn removed(
    user: &UserId,
    was: &Seen,
    (cause, new_destination, replaced_by): (Option<Cause>, Option<&str>, Option<CallId>),
    last: bool,
) -> Value {
    let mut body = head("OnCallRemoved", user, was.call, cause);
    if let Some(to) = new_destination {
        body.insert("newDestination".into(), json!(to));
    }
    if let Some(call) = replaced_by {
        body.insert("replacedByCallRef".into(), json!(call_ref(call)));
    }
    let device = was.legs.first().filter(|_| last);
    let devices = device.map(|leg| json!({ "deviceId": leg.device, "makeCall": true }));
    body.insert("deviceCapabilities".into(), devices.into_iter().collect());
    body.into()
}

pub(crate) fn user_state(user: &UserId, busy: bool) -> Value {
    let state = UserState::of(busy);
    json!({ "eventName": "OnUserStateModified", "loginName": user.as_str(), "state": state })
}

pub(crate) fn device_state(user: &UserId, device: &str, in_service: bool) -> Value {
    json!({
        "eventName": "OnDeviceStateModified",
        "loginName": user.as_str(),
        "deviceStates": [device_state_body(device, in_service)],
    })
}

pub(crate) fn device_state_body(device: &str, in_service: bool) -> Value {
    let state = if in_service { DeviceState::InService } else { DeviceState::OutOfService };
    json!({ "deviceId": device, "state": state, "mutable": false, "muted": false })
}

fn head(name: &str, user: &UserId, call: CallId, cause: Option<Cause>) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("eventName".into(), json!(name));
    body.insert("loginName".into(), json!(user.as_str()));
    body.insert("callRef".into(), json!(call_ref(call)));
    if let Some(cause) = cause {
        body.insert("cause".into(), json!(cause));
    }
    body
}

/// Tags are told with the first event of a call only.
pub(crate) fn call_data(seen: &Seen, first: bool) -> Value {
    let mut capabilities = said(&seen.capabilities);
    capabilities.insert("addMedias".into(), json!([]));
    let tag = json!({ "name": "anonymous", "value": "true", "visibilities": [] });
    let mut data = json!({
        "initialCalled": { "id": { "phoneNumber": seen.initial_called } },
        "callUUID": seen.call.to_string(),
        "state": seen.state,
        "tags": (first && seen.anonymous).then_some(tag).into_iter().collect::<Vec<_>>(),
        "capabilities": capabilities,
    });
    if let Some(record) = seen.record {
        data["recordState"] = json!(record);
    }
    data
}

/// One phone of the user.
pub(crate) fn leg_body(leg: &SeenLeg) -> Value {
    json!({
        "deviceId": leg.device,
        "media": "AUDIO",
        "state": leg.state,
        "capabilities": said(&leg.capabilities),
    })
}

/// Somebody in the call.
pub(crate) fn participant_body(speaker: &Speaker<'_>, one: &SeenParticipant) -> Value {
    let user = one.user.clone().or_else(|| speaker.people.user_of_number(speaker.tenant, &one.number));
    let person = user.as_ref().and_then(|user| speaker.people.person(speaker.tenant, user));
    let mut id = Map::new();
    if let Some(user) = &user {
        id.insert("loginName".into(), json!(user.as_str()));
        let domain = speaker.people.domain(speaker.tenant).unwrap_or_default();
        id.insert("instantMessagingId".into(), json!(format!("{}@{domain}", user.as_str())));
    }
    id.insert("phoneNumber".into(), json!(one.number));
    let shown = person.map_or(one.display_name.clone(), |person| person.display_name);
    let (first, last) = shown.split_once(' ').unwrap_or(("", &shown));
    let main = if user.is_some() { "USER" } else { "EXTERNAL" };
    let identity = json!({ "id": id, "firstName": first, "lastName": last, "type": { "main": main } });
    let mut body = Map::new();
    body.insert("participantId".into(), json!(one.number));
    body.insert("identity".into(), identity);
    if let Some(state) = one.state {
        body.insert("state".into(), json!(state));
    }
    if one.anonymous {
        body.insert("anonymous".into(), json!(true));
    }
    body.insert("medias".into(), json!([]));
    body.insert("mediaCapabilities".into(), json!([{ "type": "AUDIO" }]));
    body.into()
}

/// Capabilities are said only when they are there.
pub(crate) fn said(capabilities: &[&'static str]) -> Map<String, Value> {
    capabilities.iter().map(|capability| ((*capability).to_owned(), json!(true))).collect()
}
