//! Access tokens of applications. A token is found by the SHA-256 of its secret, and nothing else of it is kept.

use sidetone_model::ids::TenantId;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::Expect;

use crate::directory::{Directory, changed};
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, Replaces};
use crate::secret::{new_token_id, new_token_secret};

/// A new token with its secret, which is shown this once.
#[derive(Clone)]
pub struct NewToken {
    /// What is kept.
    pub token: pb::Token,
    /// What the application shows as its bearer token.
    pub secret: String,
}

impl std::fmt::Debug for NewToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NewToken").field("token", &self.token).finish_non_exhaustive()
    }
}

impl Directory {
    /// Makes a token for an application of a tenant.
    pub async fn create_token(&self, tenant: &TenantId, name: &str) -> Result<NewToken, DirectoryError> {
        if name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control) {
            return Err(DirectoryError::Invalid {
                field: "name",
                reason: "expected at most 128 bytes without control characters",
            });
        }
        self.needs_tenant(tenant).await?;
        let no_random = DirectoryError::Unreadable { what: "random source" };
        let (Some(secret), Some(token_id)) = (new_token_secret(), new_token_id()) else {
            return Err(no_random);
        };
        let token = pb::Token {
            tenant: tenant.to_string(),
            token_id,
            name: name.to_owned(),
            created_unix_ms: self.inner.clock.now().as_millis(),
        };
        let token = self.put_record(&keys::token(&secret), &token, Replaces::Nothing).await?;
        Ok(NewToken { token, secret })
    }

    /// Whose token it is; none when it is not known (any more).
    pub async fn verify_token(&self, secret: &str) -> Result<Option<TenantId>, DirectoryError> {
        if secret.len() > SECRET_BYTES_MAX {
            return Ok(None);
        }
        let token: Option<pb::Token> = self.record(&keys::token(secret)).await?;
        token
            .map(|t| TenantId::new(t.tenant))
            .transpose()
            .map_err(|_| DirectoryError::Unreadable { what: pb::Token::WHAT })
    }

    /// Ends a token.
    pub async fn delete_token(&self, tenant: &TenantId, token_id: &str) -> Result<(), DirectoryError> {
        for entry in self.store().list(keys::TOKENS).await? {
            let token = pb::Token::from_entry(&entry)?;
            if token.tenant == tenant.as_str() && token.token_id == token_id {
                let deleted = self.store().delete(&entry.key, Expect::Any).await;
                self.inner.cache.forget(&entry.key);
                return deleted.map_err(|e| changed(e, pb::Token::WHAT));
            }
        }
        Err(DirectoryError::NotFound { what: pb::Token::WHAT })
    }

    /// Every token of a tenant.
    pub async fn list_tokens(&self, tenant: &TenantId) -> Result<Vec<pb::Token>, DirectoryError> {
        let mut tokens: Vec<pb::Token> = self.records(keys::TOKENS).await?;
        tokens.retain(|t| t.tenant == tenant.as_str());
        Ok(tokens)
    }
}

const NAME_BYTES_MAX: usize = 128;
const SECRET_BYTES_MAX: usize = 512;
