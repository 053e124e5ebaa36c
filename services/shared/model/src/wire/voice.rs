//! How a leg sounds to the others.

use sidetone_proto::types::v1 as pb;

use super::{WireError, id};
use crate::voice::{LegVoice, VoiceRole};

impl From<&LegVoice> for pb::LegVoice {
    fn from(value: &LegVoice) -> Self {
        let (role, heard_by) = match value.role {
            VoiceRole::Speaker => (pb::VoiceRole::Speaker, None),
            VoiceRole::Listener => (pb::VoiceRole::Listener, None),
            VoiceRole::Coach { heard_by } => (pb::VoiceRole::Coach, Some(heard_by)),
            VoiceRole::Monitor => (pb::VoiceRole::Monitor, None),
        };
        Self {
            gain_mdb: value.gain_mdb,
            role: role.into(),
            heard_by_leg_id: heard_by.map(|leg| leg.to_string()).unwrap_or_default(),
            automatic_gain: value.automatic_gain,
            suppress_noise: value.suppress_noise,
        }
    }
}

impl TryFrom<pb::LegVoice> for LegVoice {
    type Error = WireError;
    fn try_from(value: pb::LegVoice) -> Result<Self, WireError> {
        let known = pb::VoiceRole::try_from(value.role)
            .map_err(|_| WireError::UnknownValue { field: "LegVoice.role", value: value.role })?;
        let role = match known {
            pb::VoiceRole::Speaker => VoiceRole::Speaker,
            pb::VoiceRole::Listener => VoiceRole::Listener,
            pb::VoiceRole::Coach => {
                VoiceRole::Coach { heard_by: id("LegVoice.heard_by_leg_id", &value.heard_by_leg_id)? }
            }
            pb::VoiceRole::Monitor => VoiceRole::Monitor,
        };
        Ok(Self {
            gain_mdb: value.gain_mdb,
            role,
            automatic_gain: value.automatic_gain,
            suppress_noise: value.suppress_noise,
        })
    }
}
