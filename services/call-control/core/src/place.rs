//! Calls that an application makes: one party is rung, and then connected to where the call is to go.

use sidetone_model::call::LegCause;
use sidetone_model::command::PlaceOptions;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, TenantId};
use sidetone_model::party::{Destination, Party, Proof};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Rings the devices of `from`, or one of them; the first that answers goes to `to`.
    pub(crate) fn place(
        &mut self,
        tenant: &TenantId,
        from: (&str, Routing),
        to: (&str, Routing),
        options: &PlaceOptions,
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let (from_number, mut own) = from;
        let (to_number, to) = to;
        if !matches!(own.destination, Some(Destination::User(_))) {
            return Err(CommandError::FromIsNoUser);
        }
        let from = party_of(&own, from_number);
        own.bindings.retain(|binding| options.device.as_ref().is_none_or(|device| binding.device == *device));
        self.check_place(&own, &to)?;
        if let Some(Destination::Room(room)) = &to.destination
            && let Some(meeting) = self.fold.conference_in(tenant, room)
        {
            own.nodes.retain(|candidate| candidate.node == meeting.node);
        }
        if own.nodes.is_empty() {
            return Err(CommandError::NoMediaNode);
        }
        if own.calls_max > 0 && self.fold.live_calls_of(tenant) >= own.calls_max {
            return Err(CommandError::TooManyCalls);
        }
        if let Some(external) = &options.external
            && self.fold.call_by_external(tenant, external).is_some()
        {
            return Err(CommandError::ExternalRefTaken);
        }
        let call = self.ids.make(now);
        let created = FactKind::CallCreated {
            call,
            from,
            dialled: to_number.into(),
            destination: to.told(),
            by_application: true,
            anonymous: options.anonymous,
            open: false,
            headers: options.headers.clone(),
            max_forwards: None,
        };
        self.fact(tenant, now, created);
        if let Some(external) = options.external.clone() {
            self.fact(tenant, now, FactKind::ExternalRefAdded { call, external });
        }
        let ring = Ring {
            call,
            tenant: tenant.clone(),
            number: from_number.into(),
            cause: LegCause::Normal,
            by: None,
            auto_answer: options.auto_answer,
            contact: "".into(),
            then: Some(to),
        };
        self.ring(&ring, &own, now);
        Ok(call)
    }

    /// Whether somebody can be rung, and then has somewhere to go.
    pub(crate) fn check_place(&self, own: &Routing, to: &Routing) -> Result<(), CommandError> {
        if to.destination.is_none() || matches!(to.destination, Some(Destination::Wait)) {
            return Err(CommandError::ToLeadsNowhere);
        }
        if to.is_unregistered() && !self.leads_on(to) {
            return Err(CommandError::TargetUnregistered);
        }
        if own.bindings.is_empty() {
            return Err(CommandError::Unregistered);
        }
        Ok(())
    }
}

/// Whom an application lets call: one of ours, or somebody outside.
fn party_of(own: &Routing, number: &str) -> Party {
    let number = number.into();
    match own.told() {
        Some(Destination::User(user)) => {
            Party { user: Some(user), number, proof: Proof::Own, ..Party::default() }
        }
        _ => Party { number, ..Party::default() },
    }
}
