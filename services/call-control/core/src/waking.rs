//! Devices that have no contact when they are called, and register soon after: they are woken by other means, and rung where they
//! register ("late forking", decision 60).
//!
//! Their leg is there from the beginning, in the phase [`LegPhase::Waking`](sidetone_model::fold::LegPhase::Waking), and for all others
//! it rings: whoever calls hears so, and it is answered elsewhere, given up and sent on like one that does. Until its device registers
//! no replica and no media node has heard of it. Until when it may register is in the log, and lasts over a restart.

use sidetone_model::call::DecisionKind;
use sidetone_model::fact::FactKind;
use sidetone_model::fold::LegView;
use sidetone_model::ids::{DeviceId, LegId, TenantId, UserId};
use sidetone_model::party::Binding;
use sidetone_model::termination::{Cause, Termination};
use sidetone_model::time::Timestamp;

use crate::effect::Effect;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// A leg whose device has no contact waits for one. `routing` says for how long, and on which node it gets its port then.
    pub(crate) fn let_wake(&mut self, leg: LegId, binding: &Binding, routing: &Routing, now: Timestamp) {
        let Some(view) = self.live(leg) else { return };
        self.fact(&view.tenant, now, FactKind::LegWaking { leg });
        let may_take = routing.wakes.iter().find(|(device, _)| *device == binding.device);
        let deadline = now + may_take.map(|(_, wake)| *wake).unwrap_or_default();
        let opened = FactKind::DecisionOpened { leg, kind: DecisionKind::Waking, deadline, fallback: None };
        self.fact(&view.tenant, now, opened);
        self.control(leg).passing.other_nodes = routing.nodes.iter().cloned().collect();
        // It may have registered since it was looked up.
        let (tenant, user, device) = (view.tenant, binding.user.clone(), binding.device.clone());
        self.effect(Effect::FindDevice { tenant, user, device });
    }

    /// A device has registered: calls that wait for it ring it.
    pub(crate) fn wake_all(
        &mut self,
        tenant: &TenantId,
        (user, device): (&UserId, &DeviceId),
        contacts: &[Binding],
        now: Timestamp,
    ) {
        let Some((first, others)) = contacts.split_first() else { return };
        let its = |leg: &&LegView| leg.is_asleep() && leg.party.device.as_ref() == Some(device);
        let asleep: Vec<LegView> = self.fold.live_legs_of(tenant, user).filter(its).cloned().collect();
        for leg in asleep {
            self.wake(&leg, (first, others), now);
        }
    }

    fn wake(&mut self, leg: &LegView, (first, others): (&Binding, &[Binding]), now: Timestamp) {
        let id = leg.leg;
        self.fact(&leg.tenant, now, FactKind::DecisionClosed { leg: id, expired: false });
        self.fact(&leg.tenant, now, FactKind::LegWoken { leg: id, replica: first.replica.clone() });
        self.effect(Effect::Woken { result: "woken" });
        let mut nodes = Vec::from(std::mem::take(&mut self.control(id).passing.other_nodes));
        if let Some(node) = self.present_node(leg.call) {
            nodes = vec![node];
        } else if let Some(node) = self.node_of(leg.call) {
            nodes.retain(|candidate| candidate.node == node);
        }
        let passing = &mut self.control(id).passing;
        passing.call_device = Some(first.clone());
        passing.signalling_ip = Some(first.flow.remote.ip());
        self.watch(id, others.to_vec(), now);
        if let Some(view) = self.live(id) {
            self.ask_for_port(&view, &Routing { nodes, ..Routing::default() }, now);
        }
    }

    /// A device has not registered in time.
    pub(crate) fn give_up_waking(&mut self, leg: &LegView, now: Timestamp) {
        self.fact(&leg.tenant, now, FactKind::DecisionClosed { leg: leg.leg, expired: true });
        self.effect(Effect::Woken { result: "expired" });
        let text = "the device did not register in time to be called";
        self.end_any(leg, Termination::new(Cause::NoAnswer).with_text(text), now);
    }

    /// A leg is about to be over: nobody waits for its device any more.
    pub(crate) fn no_longer_waking(&mut self, leg: &LegView) {
        if leg.is_asleep() && leg.decision.is_some() {
            self.effect(Effect::Woken { result: "given_up" });
        }
    }
}
