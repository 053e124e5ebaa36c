//! Telling what is empty from what is not there: a name that was typed wrong is no tenant without calls.

use sidetone_model::classify::{Class, Classify};
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::party::Destination;
use sidetone_runtime::status;
use tonic::Status;

use crate::CallControl;

/// Nobody has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unknown {
    #[error("tenant: there is no tenant {0}")]
    Tenant(TenantId),
    #[error("user: tenant {1} has no user {0}")]
    User(UserId, TenantId),
    /// What was taken for a user is a number.
    #[error("user: tenant {tenant} has no user {asked}; the number {asked} is that of {user}")]
    Number {
        /// What was asked for.
        asked: UserId,
        /// Of whom.
        tenant: TenantId,
        /// Whose number it is.
        user: UserId,
    },
}

impl Classify for Unknown {
    fn class(&self) -> Class {
        Class::NotFound
    }

    fn reason(&self) -> &'static str {
        match self {
            Self::Tenant(_) => "no_such_tenant",
            Self::User(..) | Self::Number { .. } => "no_such_user",
        }
    }
}

impl CallControl {
    /// # Errors
    /// When the directory has no such tenant, or cannot be asked.
    pub(crate) async fn must_be_there(&self, tenant: &TenantId) -> Result<(), Status> {
        match self.shared().router.directory.tenant(tenant).await.map_err(|error| status(&error))? {
            Some(_) => Ok(()),
            None => Err(status(&Unknown::Tenant(tenant.clone()))),
        }
    }

    /// # Errors
    /// When the tenant has no such user, or the directory cannot be asked.
    pub(crate) async fn user_must_be_there(&self, tenant: &TenantId, user: &UserId) -> Result<(), Status> {
        self.must_be_there(tenant).await?;
        let directory = &self.shared().router.directory;
        if directory.user(tenant, user).await.map_err(|error| status(&error))?.is_some() {
            return Ok(());
        }
        // People are better known by their numbers.
        let resolved = directory.resolve(tenant, user.as_str()).await.ok().flatten();
        let (asked, tenant) = (user.clone(), tenant.clone());
        Err(status(&match resolved.map(|resolved| resolved.destination) {
            Some(Destination::User(user)) => Unknown::Number { asked, tenant, user },
            _ => Unknown::User(asked, tenant),
        }))
    }
}
