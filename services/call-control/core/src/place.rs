//! Calls that an application makes: one party is rung, and then connected to where the call is to go.

use sidetone_model::call::LegCause;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, TenantId};
use sidetone_model::party::{Destination, Party};
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// Rings every device of `from`; the first that answers goes to `to`.
    pub(crate) fn place(
        &mut self,
        tenant: &TenantId,
        from: (&str, Routing),
        to: (&str, Routing),
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let (from_number, from) = from;
        let (to_number, to) = to;
        if !matches!(from.destination, Some(Destination::User(_))) {
            return Err(CommandError::FromIsNoUser);
        }
        if to.destination.is_none() || matches!(to.destination, Some(Destination::Wait)) {
            return Err(CommandError::ToLeadsNowhere);
        }
        if from.bindings.is_empty() {
            return Err(CommandError::Unregistered);
        }
        let mut nodes = from.clone();
        if let Some(Destination::Room(room)) = &to.destination
            && let Some(meeting) = self.fold.conference_in(tenant, room)
        {
            nodes.nodes.retain(|candidate| candidate.node == meeting.node);
        }
        if nodes.nodes.is_empty() {
            return Err(CommandError::NoMediaNode);
        }
        let live = self.fold.calls().filter(|call| call.ended.is_none() && call.tenant == *tenant).count();
        if from.calls_max > 0 && live >= from.calls_max as usize {
            return Err(CommandError::TooManyCalls);
        }
        let call = self.ids.make(now);
        self.call_created_by_application(tenant, call, from_number, (to_number, &to), now);
        for binding in &from.bindings {
            let leg = self.ids.make(now);
            let party = Party {
                user: Some(binding.user.clone()),
                device: Some(binding.device.clone()),
                number: from_number.into(),
                display_name: "".into(),
            };
            self.fact(
                tenant,
                now,
                FactKind::LegCreated {
                    leg,
                    call,
                    party,
                    incoming: false,
                    replica: binding.replica.clone(),
                    boot: None,
                    sip_call_id: "".into(),
                    cause: LegCause::Normal,
                    by: None,
                },
            );
            let passing = &mut self.control(leg).passing;
            passing.call_device = Some(binding.clone());
            passing.signalling_ip = Some(binding.flow.remote.ip());
            passing.then = Some(to.clone());
            if let Some(view) = self.live(leg) {
                self.ask_for_port(&view, &nodes);
            }
        }
        Ok(call)
    }
}
