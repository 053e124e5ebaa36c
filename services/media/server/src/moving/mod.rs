//! A leg as one value, with which another node, or another life of this one, goes on: taking a live leg apart.
//!
//! Times leave as ages, because each node has a clock of its own; between export and restore the wall clock counts. What is on
//! its way is left behind: sound that waits for its tick, a packet that is not full yet.

mod restore;
#[cfg(test)]
mod tests;

use sidetone_model::wire::socket_address;
use sidetone_proto::media::v1 as pb;
use sidetone_proto::types::v1 as types;
use sidetone_rtp_core::srtp::Place;

pub(crate) use restore::{Restored, restore};

use crate::negotiate::{Agreement, PayloadTypes, format_of};
use crate::policy::Policy;
use crate::state::{Audio, LegState, Role};
use crate::worker::leg::Leg;

/// The version of [`pb::LegValue`] that this release writes, and the only one that it reads.
pub(crate) const LEG_VALUE_VERSION: u32 = 1;

/// What of a leg lives on its worker, at `now_ms` of the node's clock. The books are the caller's to add.
pub(crate) fn export(leg: &Leg, now_ms: u64, unix_us: u64) -> pb::LegValue {
    let state = &leg.state;
    pb::LegValue {
        version: LEG_VALUE_VERSION,
        exported_unix_us: unix_us,
        agreement: state.agreement.as_ref().map(agreement),
        source: Some(source(&state.policy, now_ms)),
        outgoing: Some(outgoing(state, now_ms)),
        incoming: Some(incoming(leg, now_ms)),
        audio: Some(audio(state.leg, &state.audio)),
        rtcp_mux: state.rtcp_mux,
        rtcp: state.rtcp.as_ref().map(socket_address),
        cname: leg.reporter.name().into(),
        delay_us: leg.playout.delay_us(),
        srtp: leg.srtp_places().map(|places| pb::LegSrtp {
            sent: places.sent.as_ref().map(place),
            srtcp_sent: places.srtcp_sent,
            received: places.received.iter().map(place).collect(),
            srtcp_received: places.srtcp_received.iter().map(place).collect(),
        }),
        ..Default::default()
    }
}

fn agreement(agreement: &Agreement) -> pb::LegAgreement {
    let formats = |types: &PayloadTypes| {
        types.all().map(|(payload_type, payload)| (&format_of(payload_type, payload)).into()).collect()
    };
    pb::LegAgreement {
        receive: formats(&agreement.receive),
        send: formats(&agreement.send),
        direction: types::Direction::from(agreement.direction).into(),
        ptime_ms: agreement.ptime_ms.into(),
        opus_fec: agreement.opus.fec,
        opus_bitrate_max_bps: agreement.opus.bitrate_max_bps,
        refused: agreement.refused,
        opus_dtx: agreement.opus.dtx,
        wants_voip_metrics: agreement.wants_voip_metrics,
    }
}

fn source(policy: &Policy, now_ms: u64) -> pb::LegSource {
    let lock = policy.lock.as_ref();
    pb::LegSource {
        described: policy.described.as_ref().map(socket_address),
        locked: lock.map(|lock| socket_address(&lock.address)),
        ssrc: lock.map_or(0, |lock| lock.ssrc),
        sequence: lock.map_or(0, |lock| lock.sequence.into()),
        age_ms: lock.map_or(0, |lock| now_ms.saturating_sub(lock.at_ms)),
    }
}

fn outgoing(state: &LegState, now_ms: u64) -> pb::LegOutgoing {
    let out = &state.outgoing;
    pb::LegOutgoing {
        ssrc: out.ssrc.0,
        sequence: out.sequence.0.into(),
        timestamp: out.timestamp.0,
        units_per_ms: out.units_per_ms,
        idle_ms: (out.packets > 0).then(|| now_ms.saturating_sub(out.at_ms)),
        packets: out.packets,
        octets: out.octets,
    }
}

fn incoming(leg: &Leg, now_ms: u64) -> pb::LegIncoming {
    let incoming = &leg.state.incoming;
    let stats = incoming.stats.value();
    pb::LegIncoming {
        ssrc: stats.ssrc.map(|ssrc| ssrc.0),
        packets: stats.packets,
        packets_before: stats.packets_before,
        lost_before: stats.lost_before,
        base: stats.base.into(),
        highest: stats.highest,
        jitter_q4: stats.jitter_q4,
        expected_prior: stats.expected_prior,
        received_prior: stats.received_prior,
        bursts: stats.bursts.counts().to_vec(),
        refused: incoming.refused,
        late: incoming.late,
        round_trip_us: incoming.round_trip_us,
        payload_type: incoming.payload_type.into(),
        heard_age_ms: leg.state.heard_ms.map(|heard| now_ms.saturating_sub(heard)),
        digit: leg.digits.current().map(|digit| pb::LegDigit {
            ssrc: digit.ssrc.0,
            timestamp: digit.timestamp.0,
            code: digit.code.into(),
            duration: digit.duration.into(),
            reported: digit.reported,
            age_ms: now_ms.saturating_sub(leg.event_at_ms),
        }),
    }
}

fn audio(leg: u128, audio: &Audio) -> pb::SetLegAudioRequest {
    use pb::leg_role::{Coach, Kind, Listener, Monitor, Speaker};
    let id = |number| uuid::Uuid::from_u128(number).to_string();
    let role = match audio.role {
        Role::Speaker => Kind::Speaker(Speaker {}),
        Role::Listener => Kind::Listener(Listener {}),
        Role::Monitor => Kind::Monitor(Monitor {}),
        Role::Coach { heard_by } => Kind::Coach(Coach { heard_by_leg_id: id(heard_by) }),
    };
    pb::SetLegAudioRequest {
        leg_id: id(leg),
        muted: audio.muted,
        deafened: audio.deafened,
        gain_mdb: ((f32::from(audio.gain.q12()) / 4_096.0).log10() * 20_000.0)
            .round()
            .clamp(-72_000.0, 18_000.0) as i32,
        role: Some(pb::LegRole { kind: Some(role) }),
        automatic_gain: audio.automatic_gain,
        suppress_noise: audio.suppress_noise,
    }
}

fn place(place: &Place) -> pb::SrtpPlace {
    pb::SrtpPlace {
        ssrc: place.ssrc,
        newest: place.newest,
        seen_low: place.seen as u64,
        seen_high: (place.seen >> 64) as u64,
    }
}
