//! Voicemails of users: the PIN by which others than the user's own phones are let in, and what callers are greeted with.

use std::num::NonZeroU32;

use aws_lc_rs::pbkdf2;
use bytes::Bytes;
use sidetone_model::ids::{TenantId, UserId};
use sidetone_model::time::Timestamp;
use sidetone_proto::directory::v1 as pb;
use sidetone_store::Expect;

use crate::directory::Directory;
use crate::error::DirectoryError;
use crate::keys;
use crate::record::{Record as _, StoredPin};
use crate::secret::random;

/// Digits of a PIN.
const PIN_DIGITS: std::ops::RangeInclusive<usize> = 4..=10;
/// What a store keeps in one piece: half a minute of 8 kHz and 16 bit.
const GREETING_BYTES_MAX: usize = 500_000;
/// So few digits are soon tried by who has read the store; this makes it a while.
const ITERATIONS: u32 = 100_000;
const HASH_BYTES: usize = 32;

impl Directory {
    /// Changes the PIN or the greeting of a user's voicemail, or both.
    ///
    /// # Errors
    /// [`DirectoryError::Invalid`] for a PIN that is not 4 to 10 digits, and a greeting that is no WAV file of at most 500000 bytes;
    /// then nothing has changed. [`DirectoryError::NotFound`] without such a user.
    pub async fn put_mailbox(&self, request: pb::PutMailboxRequest) -> Result<pb::Mailbox, DirectoryError> {
        use pb::put_mailbox_request::{GreetingChange, PinChange};
        let tenant = TenantId::new(&request.tenant).map_err(DirectoryError::id("tenant"))?;
        let user = UserId::new(&request.user).map_err(DirectoryError::id("user"))?;
        if let Some(PinChange::Pin(pin)) = &request.pin_change {
            check_pin(pin)?;
        }
        if let Some(GreetingChange::Greeting(greeting)) = &request.greeting_change {
            check_greeting(greeting)?;
        }
        self.needs_user(&tenant, &user).await?;
        match request.pin_change {
            Some(PinChange::Pin(pin)) => self.set_mailbox_pin(&tenant, &user, Some(&pin)).await?,
            Some(PinChange::RemovePin(true)) => self.set_mailbox_pin(&tenant, &user, None).await?,
            Some(PinChange::RemovePin(false)) | None => {}
        }
        match request.greeting_change {
            Some(GreetingChange::Greeting(greeting)) => {
                self.set_greeting(&tenant, &user, Some(greeting.into())).await?;
            }
            Some(GreetingChange::RemoveGreeting(true)) => self.set_greeting(&tenant, &user, None).await?,
            Some(GreetingChange::RemoveGreeting(false)) | None => {}
        }
        self.mailbox(&tenant, &user).await
    }

    /// What there is of a user's voicemail beside its messages.
    ///
    /// # Errors
    /// [`DirectoryError::NotFound`] without such a user.
    pub async fn mailbox(&self, tenant: &TenantId, user: &UserId) -> Result<pb::Mailbox, DirectoryError> {
        self.needs_user(tenant, user).await?;
        let greeting = self.greeting(tenant, user).await?;
        Ok(pb::Mailbox {
            tenant: tenant.to_string(),
            user: user.to_string(),
            has_pin: self.mailbox_pin_set_at(tenant, user).await?.is_some(),
            greeting_bytes: greeting.map_or(0, |sound| sound.len() as u32),
        })
    }

    /// From now on this is the PIN of a user's voicemail; none: the user's own phones alone are let in.
    ///
    /// # Errors
    /// [`DirectoryError::Invalid`] when it is not 4 to 10 digits.
    pub async fn set_mailbox_pin(
        &self,
        tenant: &TenantId,
        user: &UserId,
        pin: Option<&str>,
    ) -> Result<(), DirectoryError> {
        let key = keys::mailbox_pin(tenant, user);
        let Some(pin) = pin else { return self.forget_sound_or_pin(&key).await };
        check_pin(pin)?;
        let mut stored = hashed(pin).await.ok_or(DirectoryError::Unreadable { what: "random source" })?;
        stored.set_unix_ms = self.inner.clock.now().as_millis();
        let written = self.store().put(&key, stored.to_value(), None, Expect::Any).await;
        self.inner.cache.forget(&key);
        written?;
        Ok(())
    }

    /// When the PIN of a user's voicemail was set; none when it has none. One of before that was kept was set long ago.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn mailbox_pin_set_at(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<Option<Timestamp>, DirectoryError> {
        let stored: Option<StoredPin> = self.record(&keys::mailbox_pin(tenant, user)).await?;
        Ok(stored.map(|pin| Timestamp::from_millis(pin.set_unix_ms)))
    }

    /// Whether this is the PIN of a user's voicemail. Where there is none, nothing is.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn is_mailbox_pin(
        &self,
        tenant: &TenantId,
        user: &UserId,
        pin: &str,
    ) -> Result<bool, DirectoryError> {
        let stored: Option<StoredPin> = self.record(&keys::mailbox_pin(tenant, user)).await?;
        let Some(stored) = stored else { return Ok(false) };
        let Some(iterations) = NonZeroU32::new(stored.iterations) else { return Ok(false) };
        let pin = pin.to_owned();
        let verify = move || {
            let algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
            pbkdf2::verify(algorithm, iterations, &stored.salt, pin.as_bytes(), &stored.hash).is_ok()
        };
        Ok(tokio::task::spawn_blocking(verify).await.unwrap_or(false))
    }

    /// From now on callers hear this; none: what the installation greets with.
    ///
    /// # Errors
    /// [`DirectoryError::Invalid`] when it is no WAV file of at most 500000 bytes.
    pub async fn set_greeting(
        &self,
        tenant: &TenantId,
        user: &UserId,
        sound: Option<Bytes>,
    ) -> Result<(), DirectoryError> {
        let key = keys::mailbox_greeting(tenant, user);
        let Some(sound) = sound else { return self.forget_sound_or_pin(&key).await };
        check_greeting(&sound)?;
        self.store().put(&key, sound, None, Expect::Any).await?;
        Ok(())
    }

    /// What callers hear who come to a user's voicemail, as a WAV file; none when the user has no greeting.
    ///
    /// # Errors
    /// When the store cannot be asked.
    pub async fn greeting(&self, tenant: &TenantId, user: &UserId) -> Result<Option<Bytes>, DirectoryError> {
        Ok(self.store().get(&keys::mailbox_greeting(tenant, user)).await?.map(|entry| entry.value))
    }

    pub(crate) async fn forget_mailbox(
        &self,
        tenant: &TenantId,
        user: &UserId,
    ) -> Result<(), DirectoryError> {
        self.forget_sound_or_pin(&keys::mailbox_pin(tenant, user)).await?;
        self.forget_sound_or_pin(&keys::mailbox_greeting(tenant, user)).await
    }

    async fn forget_sound_or_pin(&self, key: &str) -> Result<(), DirectoryError> {
        if self.store().get(key).await?.is_some() {
            self.store().delete(key, Expect::Any).await?;
            self.inner.cache.forget(key);
        }
        Ok(())
    }
}

/// Takes a moment of a processor, which is none of those that wait for others. None without randomness.
async fn hashed(pin: &str) -> Option<StoredPin> {
    let (pin, salt) = (pin.to_owned(), random::<16>()?);
    let hash = move || {
        let mut hash = vec![0; HASH_BYTES];
        let iterations = NonZeroU32::new(ITERATIONS)?;
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, &salt, pin.as_bytes(), &mut hash);
        Some(StoredPin { salt: salt.to_vec(), hash, iterations: ITERATIONS, set_unix_ms: 0 })
    };
    tokio::task::spawn_blocking(hash).await.ok().flatten()
}

fn check_pin(pin: &str) -> Result<(), DirectoryError> {
    let right = PIN_DIGITS.contains(&pin.len()) && pin.bytes().all(|digit| digit.is_ascii_digit());
    right.then_some(()).ok_or(DirectoryError::Invalid { field: "pin", reason: "expected 4 to 10 digits" })
}

fn check_greeting(sound: &[u8]) -> Result<(), DirectoryError> {
    let is_wav = sound.starts_with(b"RIFF") && sound.get(8..12) == Some(b"WAVE");
    let reason = "expected a WAV file of at most 500000 bytes";
    let right = is_wav && sound.len() <= GREETING_BYTES_MAX;
    right.then_some(()).ok_or(DirectoryError::Invalid { field: "greeting", reason })
}
