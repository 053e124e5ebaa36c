//! Groups whose members take each other's calls: by dialling the group's number, or by the operation. A group of one is somebody
//! whose calls any user of the tenant may take: the number was dialled behind the prefix for that.

use sidetone_model::call::LegCause;
use sidetone_model::fold::{Capability, LegView};
use sidetone_model::ids::{LegId, TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_model::signal::{LegSignal, Offered};

use crate::error::CommandError;
use crate::input::Routing;
use crate::shard::Shard;

impl Shard {
    /// The leg that has rung longest at a member of a group other than `user`, who must be a member where there are several.
    pub(crate) fn rings_for(
        &self,
        tenant: &TenantId,
        user: &UserId,
        group: Option<&Destination>,
    ) -> Result<LegId, CommandError> {
        let Some(Destination::PickUpGroup { members }) = group else {
            return Err(CommandError::NoSuchGroup);
        };
        if members.len() > 1 && !members.contains(user) {
            return Err(CommandError::NotInGroup);
        }
        let others = members.iter().filter(|member| *member != user);
        let legs = others.flat_map(|member| self.fold.live_legs_of(tenant, member));
        let ringing = legs.filter(|leg| self.can_be_picked_up(leg));
        let oldest = ringing.min_by_key(|leg| (leg.created_at, leg.leg)).map(|leg| leg.leg);
        oldest.ok_or(CommandError::NothingRings)
    }

    fn can_be_picked_up(&self, leg: &LegView) -> bool {
        leg.is_alerting()
            && !self.is_ending(leg.leg)
            && self.fold.capabilities(leg.leg).contains(Capability::PickedUp)
    }

    /// The leg whose place a call takes: what its INVITE names (RFC 3891), or what rings in the group that was dialled. Once it has
    /// been decided it stands in the log.
    pub(crate) fn place_of(&self, signal: &LegSignal, offered: &Offered, routing: &Routing) -> Option<LegId> {
        if let Some(known) = self.fold.leg(signal.leg) {
            return known.by.filter(|_| known.cause == LegCause::Replaced);
        }
        let user = offered.from.user.as_ref();
        let rings = user.map(|user| self.rings_for(&signal.tenant, user, routing.destination.as_ref()));
        offered.replaces.or(rings.and_then(Result::ok))
    }
}
