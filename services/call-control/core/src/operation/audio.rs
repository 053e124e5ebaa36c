//! What of a leg's sound is let through, and digits to its far end.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::Capability;
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::time::Timestamp;

use crate::effect::MediaRequest;
use crate::error::CommandError;
use crate::shard::Shard;

/// Digits of one command at most.
const DIGITS_MAX: usize = 64;

impl Shard {
    pub(crate) fn set_audio(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        (muted, deafened): (bool, bool),
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let view = self.allowed(tenant, leg, Capability::SetAudio)?;
        if (view.muted, view.deafened) != (muted, deafened) {
            self.fact(tenant, now, FactKind::LegAudioChanged { leg, muted, deafened });
            let muted = muted || self.is_kept_back(leg);
            self.ask(&view, MediaRequest::SetAudio { leg, muted, deafened });
        }
        Ok(())
    }

    pub(crate) fn send_digits(
        &mut self,
        tenant: &TenantId,
        leg: LegId,
        digits: &str,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let known = |digit: char| matches!(digit, '0'..='9' | '*' | '#' | 'A'..='D');
        if digits.is_empty() || digits.len() > DIGITS_MAX || !digits.chars().all(known) {
            return Err(CommandError::BadDigits);
        }
        let view = self.allowed(tenant, leg, Capability::SendDigits)?;
        self.fact(tenant, now, FactKind::LegDigitsSent { leg, digits: digits.into() });
        self.ask(&view, MediaRequest::SendDigits { leg, digits: digits.into() });
        Ok(())
    }
}
