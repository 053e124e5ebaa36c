//! Numbers and rooms.

use sidetone_model::ids::{RoomId, TenantId};
use sidetone_model::party::Destination;
use sidetone_proto::directory::v1 as pb;
use sidetone_proto::types::v1::destination::Kind;

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, Replaces};

impl Directory {
    /// Adds or replaces a number. One that leads elsewhere is not taken over unless its revision is given.
    pub async fn put_number(&self, number: pb::Number) -> Result<pb::Number, DirectoryError> {
        let replaces = Replaces::of(number.revision);
        self.write_number(number, replaces).await
    }

    pub(crate) async fn write_number(
        &self,
        number: pb::Number,
        replaces: Replaces,
    ) -> Result<pb::Number, DirectoryError> {
        let tenant = TenantId::new(&number.tenant).map_err(DirectoryError::id("number.tenant"))?;
        if !is_number(&number.number) {
            return Err(DirectoryError::Invalid {
                field: "number.number",
                reason: "expected 1 to 64 of letters, digits and + * # . _ -",
            });
        }
        self.needs_tenant(&tenant).await?;
        let wanted = number.destination.clone().unwrap_or_default();
        match Destination::try_from(wanted).map_err(DirectoryError::wire("number.destination"))? {
            Destination::User(user) | Destination::Voicemail(user) | Destination::Mailbox(user) => {
                self.needs_user(&tenant, &user).await?;
            }
            Destination::PickUpGroup { members } => {
                for member in &members {
                    self.needs_user(&tenant, member).await?;
                }
            }
            Destination::Room(room) => {
                self.room(&tenant, &room).await?.ok_or(DirectoryError::NotFound { what: "room" })?;
            }
            Destination::Announcement { prompt, .. } if prompt.len() > PROMPT_BYTES_MAX => {
                return Err(DirectoryError::Invalid {
                    field: "number.destination",
                    reason: "the prompt's name is longer than 128 bytes",
                });
            }
            _ => {}
        }
        let key = keys::number(&tenant, &number.number);
        let replaces = match (replaces, self.store().get(&key).await?) {
            (Replaces::Anything, None) => Replaces::Nothing,
            (Replaces::Anything, Some(current)) => {
                if pb::Number::from_entry(&current)?.destination != number.destination {
                    return Err(DirectoryError::Taken { what: "number" });
                }
                Replaces::Revision(current.revision.0)
            }
            (replaces, _) => replaces,
        };
        match self.put_record(&key, &number, replaces).await {
            Err(DirectoryError::Changed { .. }) if replaces == Replaces::Nothing => {
                Err(DirectoryError::Taken { what: "number" })
            }
            written => written,
        }
    }

    /// Removes a number.
    pub async fn delete_number(&self, tenant: &TenantId, number: &str) -> Result<(), DirectoryError> {
        if !is_number(number) {
            return Err(DirectoryError::NotFound { what: pb::Number::WHAT });
        }
        self.delete_record::<pb::Number>(&keys::number(tenant, number)).await.map(drop)
    }

    /// Every number of a tenant.
    pub async fn list_numbers(&self, tenant: &TenantId) -> Result<Vec<pb::Number>, DirectoryError> {
        self.records(&keys::numbers(tenant)).await
    }

    /// Adds or replaces a room.
    pub async fn put_room(&self, room: pb::Room) -> Result<pb::Room, DirectoryError> {
        let replaces = Replaces::of(room.revision);
        self.write_room(room, replaces).await
    }

    pub(crate) async fn write_room(
        &self,
        room: pb::Room,
        replaces: Replaces,
    ) -> Result<pb::Room, DirectoryError> {
        let tenant = TenantId::new(&room.tenant).map_err(DirectoryError::id("room.tenant"))?;
        let id = RoomId::new(&room.room).map_err(DirectoryError::id("room.room"))?;
        self.needs_tenant(&tenant).await?;
        self.put_record(&keys::room(&tenant, &id), &room, replaces).await
    }

    /// Removes a room to which no number leads.
    pub async fn delete_room(&self, tenant: &TenantId, room: &RoomId) -> Result<(), DirectoryError> {
        let leads_here = |n: &pb::Number| {
            let kind = n.destination.as_ref().and_then(|d| d.kind.as_ref());
            matches!(kind, Some(Kind::Room(r)) if r == room.as_str())
        };
        if self.list_numbers(tenant).await?.iter().any(leads_here) {
            return Err(DirectoryError::InUse { what: "room", by: "numbers" });
        }
        self.delete_record::<pb::Room>(&keys::room(tenant, room)).await.map(drop)
    }

    /// Every room of a tenant.
    pub async fn list_rooms(&self, tenant: &TenantId) -> Result<Vec<pb::Room>, DirectoryError> {
        self.records(&keys::rooms(tenant)).await
    }
}

/// Whether a text can be a number.
pub(crate) fn is_number(text: &str) -> bool {
    let usable = |b: u8| b.is_ascii_alphanumeric() || b"+*#._-".contains(&b);
    (1..=NUMBER_BYTES_MAX).contains(&text.len()) && text.bytes().all(usable)
}

const NUMBER_BYTES_MAX: usize = 64;
const PROMPT_BYTES_MAX: usize = 128;
