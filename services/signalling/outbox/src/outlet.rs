//! The outbox as the door sees it.

use sidetone_dialects::OrderKey;
use sidetone_http::{Mention, Outlet, OutletError, Posted};
use sidetone_model::callback::{Callback, CallbackMethod};
use sidetone_model::ids::ShardId;
use sidetone_outbox_core::{Address, LaneKey, Parcel, ParcelId};

use crate::Outbox;
use crate::webhook::KNOCKING;

#[async_trait::async_trait]
impl Outlet for Outbox {
    async fn cursor(&self, shard: ShardId) -> Result<Option<u64>, OutletError> {
        Ok(self.stored_cursor(shard).await?)
    }

    async fn post(&self, shard: ShardId, entry: u64, posted: Vec<Posted>) -> Result<(), OutletError> {
        for message in posted {
            let lane = LaneKey { tenant: message.tenant, receiver: message.application };
            let knocks = message.body["type"] == KNOCKING;
            if !self.wants(&lane, message.to.is_some(), knocks).await? {
                continue;
            }
            let id = ParcelId { entry: message.entry, place: message.place, index: message.index };
            let body = serde_json::to_vec(&message.body)?.into();
            let order = order(message.dialect, &message.order);
            self.accept(shard, lane, Parcel { id, at: message.at, order, body, to: message.to.map(address) })
                .await;
        }
        self.followed(shard, entry);
        Ok(())
    }

    fn mention(&self, mention: Mention) {
        let lane = LaneKey { tenant: mention.tenant, receiver: mention.application };
        Outbox::mention(self, lane, mention.at, mention.body.to_string().into());
    }
}

fn address(to: Callback) -> Address {
    Address { url: to.url, get: to.method == CallbackMethod::Get }
}

fn order(dialect: &str, key: &OrderKey) -> Box<str> {
    match key {
        OrderKey::Call(call) => format!("{dialect}/call/{call}"),
        OrderKey::User(user) => format!("{dialect}/user/{user}"),
        OrderKey::Recording(recording) => format!("{dialect}/recording/{recording}"),
        OrderKey::Conversation(conversation) => format!("{dialect}/conversation/{conversation}"),
    }
    .into()
}
