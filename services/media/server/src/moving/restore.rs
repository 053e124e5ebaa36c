//! A leg out of its value.

use sidetone_dsp::Gain;
use sidetone_model::ids::LegId;
use sidetone_model::media::{Crypto, Direction, Format, MediaDescription};
use sidetone_model::wire::{self, socket_addr};
use sidetone_proto::media::v1 as pb;
use sidetone_rtp_core::event::{Current, EventReceiver};
use sidetone_rtp_core::report::ReceiverValue;
use sidetone_rtp_core::srtp::Place;
use sidetone_rtp_core::{Bursts, ReceiverStats, RtpTimestamp, SenderState, SequenceNumber, Ssrc};

use super::LEG_VALUE_VERSION;
use crate::error::MediaError;
use crate::keys::{Keys, Rekeying};
use crate::negotiate::{Agreement, OpusWish, PayloadTypes};
use crate::policy::{Lock, Mode, Policy};
use crate::state::{Audio, Incoming, LEG_STATE_VERSION, LegState, Role};
use crate::worker::srtp::SrtpPlaces;

/// All that a value tells, in our own terms.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) id: LegId,
    pub(crate) state: LegState,
    pub(crate) local: MediaDescription,
    pub(crate) offer: Option<MediaDescription>,
    pub(crate) keys: Keys,
    pub(crate) rekeying: Rekeying,
    pub(crate) digits: EventReceiver,
    pub(crate) event_at_ms: u64,
    pub(crate) cname: Box<str>,
    pub(crate) delay_us: u32,
}

/// Reads a value at `now_ms` of this node's clock, which is `unix_us`.
///
/// # Errors
/// [`MediaError::UnknownVersion`], [`MediaError::Invalid`] for what cannot be read, [`MediaError::NotSecured`] for keys that
/// cannot be used.
pub(crate) fn restore(
    value: &pb::LegValue,
    mode: Mode,
    now_ms: u64,
    unix_us: u64,
) -> Result<Restored, MediaError> {
    if value.version != LEG_VALUE_VERSION {
        return Err(MediaError::UnknownVersion(value.version));
    }
    let under_way_ms = unix_us.saturating_sub(value.exported_unix_us) / 1_000;
    // A clock that began after that cannot tell it: that is long ago for every use of it.
    let at = |age_ms: u64| now_ms.saturating_sub(age_ms.saturating_add(under_way_ms));
    let request = value.request.as_ref().ok_or_else(|| missing("leg.request"))?;
    let id: LegId = request.leg_id.parse().map_err(|_| invalid("leg.request.leg_id", "expected a UUID"))?;
    let incoming = value.incoming.as_ref().ok_or_else(|| missing("leg.incoming"))?;
    let places = value.srtp.as_ref().map(places);
    let (keys, rekeying) = keys(value, places.as_ref())?;
    let state = LegState {
        version: LEG_STATE_VERSION,
        leg: id.as_u128(),
        policy: policy(value.source.as_ref(), mode, places.is_some(), at)?,
        rtcp_mux: value.rtcp_mux,
        rtcp: value.rtcp.as_ref().map(|rtcp| address("leg.rtcp", rtcp)).transpose()?,
        agreement: value.agreement.as_ref().map(agreement).transpose()?,
        outgoing: outgoing(value.outgoing.as_ref(), at)?,
        incoming: self::incoming(incoming)?,
        suite: None,
        audio: audio(value.audio.as_ref())?,
        tap: None,
        refreshed_ms: now_ms,
        heard_ms: incoming.heard_age_ms.map(at),
    };
    let digit = incoming.digit.as_ref();
    Ok(Restored {
        id,
        state,
        local: description("leg.local", value.local.as_ref().ok_or_else(|| missing("leg.local"))?)?,
        offer: value.offer.as_ref().map(|offer| description("leg.offer", offer)).transpose()?,
        keys,
        rekeying,
        digits: EventReceiver::resume(digit.map(self::digit).transpose()?),
        event_at_ms: digit.map_or(0, |digit| at(digit.age_ms)),
        cname: value.cname.as_str().into(),
        delay_us: value.delay_us,
    })
}

fn invalid(field: &'static str, problem: &'static str) -> MediaError {
    MediaError::Invalid { field, problem }
}

fn missing(field: &'static str) -> MediaError {
    invalid(field, "is missing")
}

fn small<T: TryFrom<u32>>(field: &'static str, value: u32) -> Result<T, MediaError> {
    T::try_from(value).map_err(|_| invalid(field, "is out of range"))
}

fn address(
    field: &'static str,
    value: &sidetone_proto::types::v1::SocketAddress,
) -> Result<std::net::SocketAddr, MediaError> {
    socket_addr(field, Some(value)).map_err(|_| invalid(field, "expected an IP address and a port"))
}

fn description(
    field: &'static str,
    value: &sidetone_proto::types::v1::MediaDescription,
) -> Result<MediaDescription, MediaError> {
    MediaDescription::try_from(value.clone()).map_err(|_| invalid(field, "cannot be read"))
}

fn keys(value: &pb::LegValue, places: Option<&SrtpPlaces>) -> Result<(Keys, Rekeying), MediaError> {
    let ours: Vec<Crypto> = value.ours.iter().cloned().map(Into::into).collect();
    let theirs = value.theirs.clone().map(Into::into);
    Keys::resume(&ours, theirs.as_ref(), value.must_secure, places)
}

fn places(value: &pb::LegSrtp) -> SrtpPlaces {
    let place = |place: &pb::SrtpPlace| Place {
        ssrc: place.ssrc,
        newest: place.newest,
        seen: u128::from(place.seen_high) << 64 | u128::from(place.seen_low),
    };
    SrtpPlaces {
        sent: value.sent.as_ref().map(place),
        srtcp_sent: value.srtcp_sent,
        received: value.received.iter().map(place).collect(),
        srtcp_received: value.srtcp_received.iter().map(place).collect(),
    }
}

fn agreement(value: &pb::LegAgreement) -> Result<Agreement, MediaError> {
    let types = |field, formats: &[sidetone_proto::types::v1::Format]| {
        let formats = formats.iter().cloned().map(Format::try_from).collect::<Result<Vec<_>, _>>();
        Ok(PayloadTypes::of_formats(&formats.map_err(|_| invalid(field, "cannot be read"))?))
    };
    let direction = wire::enumeration::<Direction>("leg.agreement.direction", value.direction)
        .map_err(|_| invalid("leg.agreement.direction", "is unknown"))?;
    Ok(Agreement {
        receive: types("leg.agreement.receive", &value.receive)?,
        send: types("leg.agreement.send", &value.send)?,
        direction,
        ptime_ms: match value.ptime_ms {
            ms @ 10..=60 => ms as u8,
            _ => return Err(invalid("leg.agreement.ptime_ms", "expected 10 to 60")),
        },
        opus: OpusWish {
            fec: value.opus_fec,
            bitrate_max_bps: value.opus_bitrate_max_bps,
            dtx: value.opus_dtx,
        },
        refused: value.refused,
        wants_voip_metrics: value.wants_voip_metrics,
    })
}

fn policy(
    value: Option<&pb::LegSource>,
    mode: Mode,
    proved: bool,
    at: impl Fn(u64) -> u64,
) -> Result<Policy, MediaError> {
    let value = value.ok_or_else(|| missing("leg.source"))?;
    let lock = |locked| {
        Ok::<_, MediaError>(Lock {
            address: address("leg.source.locked", locked)?,
            ssrc: value.ssrc,
            sequence: small("leg.source.sequence", value.sequence)?,
            at_ms: at(value.age_ms),
        })
    };
    let described = value.described.as_ref();
    Ok(Policy {
        mode,
        proved,
        described: described.map(|described| address("leg.source.described", described)).transpose()?,
        lock: value.locked.as_ref().map(lock).transpose()?,
        checked: None,
        dtls: false,
    })
}

fn outgoing(value: Option<&pb::LegOutgoing>, at: impl Fn(u64) -> u64) -> Result<SenderState, MediaError> {
    let value = value.ok_or_else(|| missing("leg.outgoing"))?;
    let sequence = SequenceNumber(small("leg.outgoing.sequence", value.sequence)?);
    if !(1..=96).contains(&value.units_per_ms) {
        return Err(invalid("leg.outgoing.units_per_ms", "expected 1 to 96"));
    }
    Ok(SenderState {
        units_per_ms: value.units_per_ms,
        // Zero is before the first packet.
        at_ms: value.idle_ms.map_or(0, |idle_ms| at(idle_ms).max(1)),
        packets: value.packets,
        octets: value.octets,
        ..SenderState::new(Ssrc(value.ssrc), sequence, RtpTimestamp(value.timestamp))
    })
}

fn incoming(value: &pb::LegIncoming) -> Result<Incoming, MediaError> {
    let stats = ReceiverValue {
        ssrc: value.ssrc.map(Ssrc),
        packets: value.packets,
        packets_before: value.packets_before,
        lost_before: value.lost_before,
        base: small("leg.incoming.base", value.base)?,
        highest: value.highest,
        jitter_q4: value.jitter_q4,
        expected_prior: value.expected_prior,
        received_prior: value.received_prior,
        bursts: value.bursts.as_slice().try_into().map_or_else(|_| Bursts::default(), Bursts::resume),
    };
    Ok(Incoming {
        stats: ReceiverStats::resume(&stats),
        refused: value.refused,
        late: value.late,
        round_trip_us: value.round_trip_us,
        payload_type: small("leg.incoming.payload_type", value.payload_type)?,
        far: None,
    })
}

fn digit(value: &pb::LegDigit) -> Result<Current, MediaError> {
    Ok(Current {
        ssrc: Ssrc(value.ssrc),
        timestamp: RtpTimestamp(value.timestamp),
        code: small("leg.incoming.digit.code", value.code)?,
        duration: small("leg.incoming.digit.duration", value.duration)?,
        reported: value.reported,
    })
}

fn audio(value: Option<&pb::SetLegAudioRequest>) -> Result<Audio, MediaError> {
    use pb::leg_role::Kind;
    let value = value.ok_or_else(|| missing("leg.audio"))?;
    let role = match value.role.as_ref().and_then(|role| role.kind.as_ref()) {
        None | Some(Kind::Speaker(_)) => Role::Speaker,
        Some(Kind::Listener(_)) => Role::Listener,
        Some(Kind::Monitor(_)) => Role::Monitor,
        Some(Kind::Coach(coach)) => {
            let heard_by: LegId =
                coach.heard_by_leg_id.parse().map_err(|_| invalid("leg.audio.role", "expected a UUID"))?;
            Role::Coach { heard_by: heard_by.as_u128() }
        }
    };
    let gain = Gain::from_db(value.gain_mdb as f32 / 1_000.0);
    Ok(Audio {
        muted: value.muted,
        deafened: value.deafened,
        gain,
        role,
        automatic_gain: value.automatic_gain,
        suppress_noise: value.suppress_noise,
    })
}
