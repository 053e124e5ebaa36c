//! What requests hold, and the legs and calls that they mean.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sidetone_model::command::{CallCommand, CallCommandKind};
use sidetone_model::fact::CommandSubject;
use sidetone_model::fold::{CallView, Fold, LegView};
use sidetone_model::ids::CallId;
use sidetone_model::party::Destination;
use utoipa::ToSchema;

use super::State;
use super::answer::Failure;
use super::project::{Beside, Seen};
use super::session::Asker;
use super::words::CallState;
use crate::dialling::lead;
use crate::{Behind, look};

/// A JSON body; an absent one is an empty object.
pub(crate) struct Given<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<State> for Given<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &State) -> Result<Self, Failure> {
        let body =
            Bytes::from_request(request, state).await.map_err(|rejection| Failure::body(&rejection))?;
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        serde_json::from_slice(&body).map(Given).map_err(|error| Failure::invalid("body", &error.to_string()))
    }
}

/// On which of the user's devices; when not given, the one that talks, else the first that rings.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OnDevice {
    /// The device.
    #[schema(max_length = 128, example = "ICTouch_1001")]
    pub(crate) device_id: Option<String>,
}

/// A call of the asker, with the asker's leg in it.
pub(crate) struct Mine {
    pub(crate) call: CallId,
    pub(crate) leg: LegView,
    /// The leg of the same device that holds another call.
    pub(crate) held: Option<LegView>,
    pub(crate) seen: Seen,
    pub(crate) beside: Beside,
}

impl Mine {
    /// Whether the call, or the leg, may now what is asked for.
    pub(crate) fn may(&self, capability: &'static str) -> Result<(), Failure> {
        let of_leg = self.seen.legs.iter().find(|leg| leg.leg == self.leg.leg);
        let of_leg = of_leg.map_or(&[][..], |leg| &leg.capabilities);
        let beside = self.beside.legs.iter().find(|(leg, _)| *leg == self.leg.leg);
        let beside = beside.map_or(&[][..], |(_, capabilities)| capabilities);
        let all = [&self.seen.capabilities[..], of_leg, &self.beside.call[..], beside];
        if all.iter().any(|capabilities| capabilities.contains(&capability)) {
            return Ok(());
        }
        Err(Failure::not_now(capability))
    }
}

impl Asker {
    /// Looks at the calls of the asker's tenant.
    pub(crate) fn look<T>(&self, see: impl FnOnce(&Fold) -> Result<T, Failure>) -> Result<T, Failure> {
        let seen = look(&*self.state.door, &self.tenant, see);
        seen.unwrap_or_else(|| Err(Failure::of(&Behind)))
    }

    /// A call of the asker.
    pub(crate) fn mine(&self, call: &str, device: Option<&str>) -> Result<Mine, Failure> {
        let call = call_id(call)?;
        self.look(|fold| {
            let seen = Seen::of(fold, call, (&self.tenant, &self.user));
            let seen = seen.ok_or_else(|| Failure::not_found("call"))?;
            let found = match device {
                Some(device) => seen.legs.iter().find(|leg| *leg.device == *device),
                None => {
                    seen.legs.iter().find(|leg| leg.state != CallState::RingingIncoming).or(seen.legs.first())
                }
            };
            let leg = found
                .and_then(|leg| fold.leg(leg.leg))
                .ok_or_else(|| Failure::not_found("leg of this device"))?;
            let held = fold.held_beside(leg).cloned();
            let beside = seen.beside(fold);
            Ok(Mine { call, leg: leg.clone(), held, seen, beside })
        })
    }

    /// The leg of another participant.
    pub(crate) fn participant(&self, call: CallId, participant: &str) -> Result<LegView, Failure> {
        self.look(|fold| {
            let of = |leg: &&LegView| {
                *leg.party.number == *participant && leg.party.user.as_ref() != Some(&self.user)
            };
            let legs = || fold.live_legs(call).filter(of);
            let found = legs().find(|leg| leg.is_answered()).or_else(|| legs().next());
            found.cloned().ok_or_else(|| Failure::not_found("participant"))
        })
    }

    /// A call that need not be the asker's.
    pub(crate) fn any_call<T>(
        &self,
        call: &str,
        see: impl FnOnce(&Fold, &CallView) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let call = call_id(call)?;
        self.look(|fold| {
            let found = fold.call(call).filter(|call| call.ended.is_none() && call.tenant == self.tenant);
            see(fold, found.ok_or_else(|| Failure::not_found("call"))?)
        })
    }

    /// Carries out a command.
    pub(crate) async fn execute(&self, kind: CallCommandKind) -> Result<CommandSubject, Failure> {
        let key = self.key.clone().unwrap_or_else(|| self.state.door.fresh_key());
        Ok(self.state.door.execute(CallCommand { tenant: self.tenant.clone(), key, kind }).await?)
    }

    /// Where a number leads.
    pub(crate) async fn number(&self, field: &str, number: &str) -> Result<(Destination, Box<str>), Failure> {
        if number.is_empty() || number.len() > NUMBER_BYTES_MAX || number.chars().any(char::is_control) {
            return Err(Failure::invalid(field, "expected a number of 1 to 64 characters"));
        }
        let found = lead(&*self.state.door, &self.tenant, number).await;
        let found = found.map_err(|error| Failure::of(&error))?;
        found.ok_or_else(|| Failure::not_found(&format!("number ({field})")))
    }

    /// The asker's own number.
    pub(crate) fn own_number(&self) -> Box<str> {
        let person = self.state.door.people().person(&self.tenant, &self.user);
        person.and_then(|person| person.numbers.first().cloned()).unwrap_or_else(|| self.user.as_str().into())
    }
}

/// A call's id, or nobody's.
fn call_id(text: &str) -> Result<CallId, Failure> {
    let id = uuid::Uuid::try_parse(text).map_err(|_| Failure::not_found("call"))?;
    Ok(CallId::from(id))
}

const NUMBER_BYTES_MAX: usize = 64;
