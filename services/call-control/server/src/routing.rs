//! Where a number leads, looked up before it becomes an input.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use sidetone_call_core::{Later, NodeCandidate, OtherFlow, Redirects, RoomSettings, Routing};
use sidetone_directory::{Directory, DirectoryError, Registration};
use sidetone_model::ids::{DeviceId, ReplicaId, TenantId, UserId};
use sidetone_model::party::{Binding, Destination};
use sidetone_proto::directory::v1 as pb;

use crate::forwards::Rules;
use crate::nodes::Nodes;

/// Who has sent a call on before it comes to a number by a rule; none when the number was dialled.
pub(crate) type Before = Option<Vec<UserId>>;

/// The look-ups of the owner.
#[derive(Clone)]
pub(crate) struct Router {
    pub(crate) directory: Directory,
    pub(crate) nodes: Arc<Nodes>,
    /// As [`sidetone_call_core::Limits::foreign_as_numbers`].
    pub(crate) foreign_as_numbers: bool,
    /// Before a user's number: whoever dials both takes the call that rings at that user. Empty for none.
    pub(crate) pick_up_prefix: Arc<str>,
}

impl Router {
    /// Everything a shard needs to know of a number.
    pub(crate) async fn resolve(&self, tenant: &TenantId, number: &str) -> Result<Routing, DirectoryError> {
        self.resolve_after(tenant, number, None).await
    }

    /// The same for a call that a rule has sent on. It is called again for whom it is sent on to.
    pub(crate) fn resolve_after<'a>(
        &'a self,
        tenant: &'a TenantId,
        number: &'a str,
        before: Before,
    ) -> Pin<Box<dyn Future<Output = Result<Routing, DirectoryError>> + Send + 'a>> {
        Box::pin(async move { self.look_up(tenant, number, before).await })
    }

    async fn look_up(
        &self,
        tenant: &TenantId,
        number: &str,
        before: Before,
    ) -> Result<Routing, DirectoryError> {
        let own = self.directory.tenant(tenant).await?;
        let is_assistant = own.is_some_and(|own| !own.assistant.is_empty() && own.assistant == number);
        let routing = self.look_up_number(tenant, number, before).await?;
        Ok(if is_assistant { routing.of_assistant() } else { routing })
    }

    async fn look_up_number(
        &self,
        tenant: &TenantId,
        number: &str,
        before: Before,
    ) -> Result<Routing, DirectoryError> {
        let resolved = self.directory.resolve(tenant, number).await?;
        if resolved.is_none()
            && let Some(members) = self.picked_up_from(tenant, number).await?
        {
            return self.lead_after(tenant, Some(Destination::PickUpGroup { members }), before).await;
        }
        if resolved.is_none()
            && let Some(replica) = self.directory.trunk_replica(tenant, number).await?
        {
            return self.outside(tenant, number, replica, &before).await;
        }
        self.lead_after(tenant, resolved.map(|resolved| resolved.destination), before).await
    }

    /// How far phones of a tenant may send calls on themselves.
    pub(crate) async fn redirects(&self, tenant: &TenantId) -> Result<Redirects, DirectoryError> {
        let own = self.directory.tenant(tenant).await?.unwrap_or_default();
        Ok(match own.redirects() {
            pb::Redirects::Never => Redirects::Never,
            pb::Redirects::Inside => Redirects::Inside,
            pb::Redirects::Unspecified | pb::Redirects::Everywhere => Redirects::Everywhere,
        })
    }

    /// Whose calls are taken by dialling a number: the one user behind the prefix.
    async fn picked_up_from(
        &self,
        tenant: &TenantId,
        number: &str,
    ) -> Result<Option<Vec<UserId>>, DirectoryError> {
        let prefixed = number.strip_prefix(&*self.pick_up_prefix).filter(|_| !self.pick_up_prefix.is_empty());
        let Some(of) = prefixed else { return Ok(None) };
        let there = self.directory.resolve(tenant, of).await?.map(|resolved| resolved.destination);
        Ok(match there {
            Some(Destination::User(user)) => Some(vec![user]),
            _ => None,
        })
    }

    /// A number that nobody in the tenant has goes out over a trunk: to call control it is one more device to ring. Which
    /// trunk, and which next when that one fails, is signalling's ([`sidetone_model::party::Binding::outside`]).
    async fn outside(
        &self,
        tenant: &TenantId,
        number: &str,
        replica: ReplicaId,
        before: &Before,
    ) -> Result<Routing, DirectoryError> {
        let binding = Binding::outside(number, replica);
        let calls_max = self.directory.tenant(tenant).await?.map_or(0, |tenant| tenant.calls_max);
        Ok(Routing {
            calls_max,
            nodes: self.nodes_for(2, before),
            destination: Some(Destination::User(binding.user.clone())),
            bindings: vec![binding],
            ..Routing::default()
        })
    }

    /// Media nodes for so many legs, which the best is promised. Whoever is reached by a rule goes by those of the call: a promise
    /// for each rule that may never be followed would make an idle node look full.
    fn nodes_for(&self, legs: u32, before: &Before) -> Vec<NodeCandidate> {
        if before.is_none() { self.nodes.candidates(legs) } else { Vec::new() }
    }

    /// Where a user's devices are registered, and which of the others are woken by a call, with the time that each may take.
    async fn contacts(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(Vec<Registration>, Vec<(DeviceId, Duration)>), DirectoryError> {
        let (registrations, devices) = tokio::try_join!(
            self.directory.bindings(tenant, user),
            self.directory.devices_of(tenant, user),
        )?;
        let asleep = |device: &DeviceId| !registrations.iter().any(|it| it.binding.device == *device);
        let wakes = devices.into_iter().filter(|device| device.wake_s > 0);
        let wakes =
            wakes.filter_map(|it| Some((it.device.parse().ok()?, Duration::from_secs(it.wake_s.into()))));
        let wakes = wakes.filter(|(device, _)| asleep(device)).collect();
        Ok((registrations, wakes))
    }

    /// Everything a shard needs to know of a destination.
    pub(crate) async fn lead(
        &self,
        tenant: &TenantId,
        destination: Option<Destination>,
    ) -> Result<Routing, DirectoryError> {
        self.lead_after(tenant, destination, None).await
    }

    /// Where the tenant's assistant is, under its own number.
    pub(crate) async fn assistant(&self, tenant: &TenantId) -> Result<Routing, DirectoryError> {
        let own = self.directory.tenant(tenant).await?.unwrap_or_default();
        let routing = self.lead(tenant, Some(Destination::Assistant)).await?;
        Ok(Routing { number: own.assistant.into(), ..routing })
    }

    async fn lead_after(
        &self,
        tenant: &TenantId,
        destination: Option<Destination>,
        before: Before,
    ) -> Result<Routing, DirectoryError> {
        let own = self.directory.tenant(tenant).await?.unwrap_or_default();
        if destination == Some(Destination::Assistant) && !own.assistant.is_empty() {
            let there = self.directory.resolve(tenant, &own.assistant).await?;
            // One step: an assistant that is the assistant is none.
            if there.is_none_or(|resolved| resolved.destination != Destination::Assistant) {
                return self.resolve_after(tenant, &own.assistant, before).await;
            }
        }
        let destination = destination.filter(|to| *to != Destination::Assistant);
        let mut routing = Routing { calls_max: own.calls_max, ..Routing::default() };
        let outermost = before.is_none();
        match &destination {
            Some(Destination::User(user)) => {
                let (registrations, asleep) = self.contacts(tenant, user).await?;
                let mut groups = by_preference(registrations).into_iter();
                let first = groups.next().unwrap_or_default();
                (routing.bindings, routing.other_flows) = (first.bindings, first.other_flows);
                // As if they had registered without a preference.
                let binding =
                    |(device, _): &(DeviceId, Duration)| Binding::asleep(user.clone(), device.clone());
                routing.bindings.extend(asleep.iter().map(binding));
                routing.wakes = asleep;
                let later = groups.map(|Group { bindings, other_flows, .. }| {
                    let destination = destination.clone();
                    let routing = Routing { destination, bindings, other_flows, ..Routing::default() };
                    Later { number: "".into(), routing }
                });
                routing.later = later.collect();
                let registered = !routing.bindings.is_empty();
                let before = before.unwrap_or_default();
                let rules = Rules { tenant, own: &own, user, registered, before };
                routing.forwards = self.forwards(rules).await?;
            }
            // Who waits for nobody for too long goes where calls go that nobody takes. From there nobody comes back to wait.
            Some(Destination::Wait) if outermost && !own.assistant.is_empty() => {
                let number = own.assistant.as_str();
                let there = self.resolve_after(tenant, number, Some(Vec::new())).await?;
                let leads = there.destination.as_ref().is_some_and(|to| *to != Destination::Wait);
                let later = leads.then(|| Box::new(Later { number: number.into(), routing: there }));
                routing.forwards.no_answer = later;
            }
            Some(Destination::Mailbox(user)) => {
                routing.pin_set_at = self.directory.mailbox_pin_set_at(tenant, user).await?;
            }
            Some(Destination::Room(room)) => {
                if let Some(room) = self.directory.room(tenant, room).await? {
                    routing.room =
                        RoomSettings { participants_max: room.participants_max, record: room.record };
                }
            }
            _ => {}
        }
        if outermost {
            // The caller's leg and, on the same node, one for every device that rings.
            let nodes = self.nodes.candidates(1 + routing.bindings.len() as u32);
            routing.go_by(&nodes);
        }
        routing.destination = destination;
        Ok(routing)
    }
}

/// Where one device is called: a contact, and further flows of the same instance.
pub(crate) fn contacts_of(registrations: Vec<Registration>) -> Vec<Binding> {
    let Some(group) = by_preference(registrations).into_iter().next() else { return Vec::new() };
    let first = group.bindings.into_iter().next();
    let others: Vec<Binding> = group
        .other_flows
        .into_iter()
        .filter(|it| first.as_ref() == Some(&it.instead_of))
        .map(|it| it.binding)
        .collect();
    first.into_iter().chain(others).collect()
}

/// Contacts that ring together.
#[derive(Debug, Default)]
struct Group {
    q_thousandths: u16,
    bindings: Vec<Binding>,
    other_flows: Vec<OtherFlow>,
}

/// Those of one q-value ring together, the highest first (RFC 3261, section 16.6). Of several flows of one instance one rings: the
/// one that was refreshed last (RFC 5626, section 5.3); the others are there in case it is dead.
fn by_preference(mut registrations: Vec<Registration>) -> Vec<Group> {
    registrations.sort_by_key(|it| (std::cmp::Reverse(it.q_thousandths), std::cmp::Reverse(it.expires_at)));
    // An instance, the group in which it rings, and over which flow.
    let mut flows: Vec<(DeviceId, Box<str>, usize, Binding)> = Vec::new();
    let mut groups: Vec<Group> = Vec::new();
    for Registration { binding, instance, reg_id, q_thousandths, .. } in registrations {
        let known = flows.iter().find(|(device, it, ..)| *device == binding.device && *it == instance);
        if let (Some((_, _, group, first)), true) = (known, reg_id > 0) {
            let other = OtherFlow { instead_of: first.clone(), binding };
            groups[*group].other_flows.push(other);
            continue;
        }
        if groups.last().is_none_or(|last| last.q_thousandths != q_thousandths) {
            groups.push(Group { q_thousandths, ..Group::default() });
        }
        let at = groups.len() - 1;
        if reg_id > 0 {
            flows.push((binding.device.clone(), instance, at, binding.clone()));
        }
        groups[at].bindings.push(binding);
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_model::party::{Flow, Transport};
    use sidetone_model::time::Timestamp;

    fn registration(device: &str, q_thousandths: u16, flow: Option<(&str, u32)>, until: u64) -> Registration {
        let address = "192.0.2.1:5060".parse().unwrap();
        let (instance, reg_id) = flow.unwrap_or_default();
        Registration {
            binding: Binding {
                user: "u".parse().unwrap(),
                device: device.parse().unwrap(),
                contact_uri: format!("sip:{device}.{reg_id}@192.0.2.1").into(),
                replica: "r".parse().unwrap(),
                flow: Flow { transport: Transport::Tcp, local: address, remote: address },
                path: Vec::new(),
            },
            expires_at: Timestamp::from_millis(until),
            user_agent: "".into(),
            sip_call_id: "".into(),
            cseq: 1,
            instance: instance.into(),
            reg_id,
            q_thousandths,
            revision: None,
        }
    }

    #[test]
    fn the_preferred_ring_first_and_one_flow_of_each_instance() {
        let groups = by_preference(vec![
            registration("mobile", 500, None, 9),
            registration("desk", 1000, Some(("<urn:uuid:1>", 1)), 10),
            registration("desk", 1000, Some(("<urn:uuid:1>", 2)), 20),
            registration("desk", 1000, Some(("<urn:uuid:2>", 1)), 5),
            registration("desk", 500, Some(("<urn:uuid:1>", 3)), 30),
            registration("soft", 1000, None, 7),
        ]);
        let uris: Vec<Vec<&str>> =
            groups.iter().map(|group| group.bindings.iter().map(|it| &*it.contact_uri).collect()).collect();
        let first = vec!["sip:desk.2@192.0.2.1", "sip:soft.0@192.0.2.1", "sip:desk.1@192.0.2.1"];
        assert_eq!(uris, [first, vec!["sip:mobile.0@192.0.2.1"]]);
        let ways = groups[0].other_flows.iter();
        let ways: Vec<_> = ways.map(|it| (&*it.instead_of.contact_uri, &*it.binding.contact_uri)).collect();
        let desk = "sip:desk.2@192.0.2.1";
        assert_eq!(ways, [(desk, "sip:desk.1@192.0.2.1"), (desk, "sip:desk.3@192.0.2.1")]);
        assert!(groups[1].other_flows.is_empty());
    }
}
