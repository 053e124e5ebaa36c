//! What of a leg's sound is let through and how it sounds to the others, and digits to its far end.

use sidetone_model::fact::FactKind;
use sidetone_model::fold::Capability;
use sidetone_model::ids::{LegId, TenantId};
use sidetone_model::time::Timestamp;
use sidetone_model::voice::{GAIN_MDB_MAX, GAIN_MDB_MIN, LegVoice, VoiceRole};

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
        voice: Option<LegVoice>,
        now: Timestamp,
    ) -> Result<(), CommandError> {
        let view = self.allowed(tenant, leg, Capability::SetAudio)?;
        let voice = voice.unwrap_or(view.voice);
        if !(GAIN_MDB_MIN..=GAIN_MDB_MAX).contains(&voice.gain_mdb) {
            return Err(CommandError::BadVoice);
        }
        if let VoiceRole::Coach { heard_by } = voice.role
            && voice.role != view.voice.role
        {
            if heard_by == leg {
                return Err(CommandError::BadVoice);
            }
            self.own_leg(tenant, heard_by)?;
        }
        if (view.muted, view.deafened, view.voice) != (muted, deafened, voice) {
            self.fact(tenant, now, FactKind::LegAudioChanged { leg, muted, deafened, voice });
            let muted = muted || self.is_kept_back(leg);
            self.ask(&view, MediaRequest::SetAudio { leg, muted, deafened, voice });
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
