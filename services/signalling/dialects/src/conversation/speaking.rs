//! Who speaks: an event without a number, because it is not kept and may be lost.

use serde_json::json;
use sidetone_model::fold::Fold;
use sidetone_model::ids::LegId;
use sidetone_model::time::Timestamp;

use super::body::{con, mem, time, usr};
use crate::{Emission, OrderKey, Recipient};

/// `audio:speaking:on` or `:off` of the member whose leg it is.
pub(crate) fn speaking(fold: &Fold, leg: LegId, speaks: bool, at: Timestamp) -> Option<Emission> {
    let tenant = &fold.leg(leg)?.tenant;
    let (conversation, member) = fold.conversations().of_leg(leg)?;
    let view = fold.conversations().get(tenant, conversation)?;
    let member = view.member(member)?;
    let body = json!({
        "type": if speaks { "audio:speaking:on" } else { "audio:speaking:off" },
        "application_id": &*view.application,
        "conversation_id": con(conversation),
        "from": mem(member.member),
        "timestamp": time(at),
        "body": {
            "user": {"member_id": mem(member.member), "user_id": usr(member.person)},
            "channel": {"id": leg.to_string(), "type": "phone"},
        },
    });
    let order = OrderKey::Conversation(con(conversation).into());
    Some(Emission { recipient: Recipient::Application(view.application.clone()), order, body })
}
