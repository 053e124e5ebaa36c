//! Conversations into which people are asked one by one, under the client's own key.

use sidetone_model::call::{ExternalRef, LegCause};
use sidetone_model::command::CallName;
use sidetone_model::fact::FactKind;
use sidetone_model::ids::{CallId, TenantId};
use sidetone_model::party::Party;
use sidetone_model::time::Timestamp;

use crate::error::CommandError;
use crate::input::Routing;
use crate::ringing::Ring;
use crate::shard::Shard;

impl Shard {
    /// Calls a number into a conversation, which is begun if it is not there.
    pub(crate) fn join(
        &mut self,
        tenant: &TenantId,
        call: &CallName,
        (from_number, contact): (&str, &str),
        (number, to): (&str, Routing),
        now: Timestamp,
    ) -> Result<CallId, CommandError> {
        let known = match call {
            CallName::Id(call) => {
                self.own_call(tenant, *call)?;
                Some(*call)
            }
            CallName::External(external) => {
                self.fold.call_by_external(tenant, external).map(|call| call.call)
            }
        };
        if to.destination.is_none() {
            return Err(CommandError::ToLeadsNowhere);
        }
        if to.bindings.is_empty() {
            return Err(CommandError::TargetUnregistered);
        }
        if to.nodes.is_empty() {
            return Err(CommandError::NoMediaNode);
        }
        let call_id = match (known, call) {
            (Some(call), _) => call,
            (None, CallName::External(external)) => {
                if to.calls_max > 0 && self.fold.live_calls_of(tenant) >= to.calls_max {
                    return Err(CommandError::TooManyCalls);
                }
                self.begin_open(tenant, (from_number, number), external, &to, now)
            }
            (None, CallName::Id(_)) => return Err(CommandError::NoSuchCall),
        };
        let ring = Ring {
            call: call_id,
            tenant: tenant.clone(),
            number: number.into(),
            cause: LegCause::Conferenced,
            by: None,
            auto_answer: false,
            contact: contact.into(),
            then: None,
        };
        self.ring(&ring, &to, now);
        Ok(call_id)
    }

    pub(crate) fn begin_open(
        &mut self,
        tenant: &TenantId,
        (from_number, number): (&str, &str),
        external: &ExternalRef,
        to: &Routing,
        now: Timestamp,
    ) -> CallId {
        let call = self.ids.make(now);
        let created = FactKind::CallCreated {
            call,
            from: Party { number: from_number.into(), ..Party::default() },
            dialled: number.into(),
            destination: to.told(),
            by_application: true,
            anonymous: false,
            open: true,
            headers: Vec::new(),
            max_forwards: None,
        };
        self.fact(tenant, now, created);
        self.fact(tenant, now, FactKind::ExternalRefAdded { call, external: external.clone() });
        call
    }

    pub(crate) fn add_external_ref(
        &mut self,
        tenant: &TenantId,
        call: CallId,
        external: &ExternalRef,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        self.own_call(tenant, call)?;
        match self.fold.call_by_external(tenant, external).map(|other| other.call) {
            Some(other) if other == call => Ok(()),
            Some(_) => Err(CommandError::ExternalRefTaken),
            None => {
                self.fact(tenant, now, FactKind::ExternalRefAdded { call, external: external.clone() });
                Ok(())
            }
        }
    }
}
