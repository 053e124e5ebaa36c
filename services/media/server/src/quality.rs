//! How the sound from a leg is likely to be heard, for RTCP extended reports and for the leg's numbers.

use sidetone_dsp::codec::Codec;
use sidetone_rtp_core::VoipMetrics;
use sidetone_rtp_core::quality::{CodecImpairment, Conditions};

use crate::negotiate::Payload;
use crate::state::{Incoming, LegState};

/// A packet of 20 ms, and the playout of a stream without jitter, in ms.
const PACKET_AND_PLAYOUT_MS: f32 = 43.0;
/// The most that a playout may take, in ms.
const PLAYOUT_MAX_MS: u16 = 200;
const PACKET_MS: u32 = 20;

/// What the sound from a leg suffers; none before any came.
pub(crate) fn conditions(incoming: &Incoming, received: Option<Payload>) -> Option<Conditions> {
    let (came, lost) = (incoming.stats.received(), incoming.stats.lost());
    let expected = came + lost;
    (came > 0).then(|| Conditions {
        one_way_delay_ms: incoming.round_trip_us as f32 / 2000.0 + PACKET_AND_PLAYOUT_MS,
        loss: (lost + incoming.late) as f32 / expected as f32,
        codec: match received {
            Some(Payload::Audio(Codec::Gsm)) => CodecImpairment::GSM,
            _ => CodecImpairment::G711,
        },
    })
}

/// In which class of ITU-T G.109 a leg was heard; none when nothing came from it.
pub(crate) fn class(state: &LegState) -> Option<&'static str> {
    let received = state.agreement.and_then(|agreement| agreement.receive.get(state.incoming.payload_type));
    let rating = conditions(&state.incoming, received)?.rating();
    Some(match rating {
        80.0.. => "good",
        70.0.. => "fair",
        60.0.. => "poor",
        _ => "bad",
    })
}

/// The same as RTCP tells it (RFC 3611, section 4.7), with a playout that takes `delay_us`.
pub(crate) fn metrics(state: &LegState, delay_us: u32) -> Option<VoipMetrics> {
    let incoming = &state.incoming;
    let received = state.agreement.and_then(|agreement| agreement.receive.get(incoming.payload_type));
    let conditions = conditions(incoming, received)?;
    let stats = &incoming.stats;
    let expected = stats.received() + stats.lost();
    let share = |packets: u64| (packets * 256 / expected.max(1)).min(255) as u8;
    let bursts = stats.bursts().summary(PACKET_MS);
    let playout_ms = (delay_us / 1_000).min(u32::from(PLAYOUT_MAX_MS)) as u16;
    let tenths = |opinion: f32| (opinion * 10.0).round() as u8;
    let for_listening = Conditions { one_way_delay_ms: 0.0, ..conditions };
    Some(VoipMetrics {
        ssrc: stats.ssrc?,
        loss_rate: share(stats.lost()),
        discard_rate: share(incoming.late),
        burst_density: bursts.burst_density,
        gap_density: bursts.gap_density,
        burst_ms: bursts.burst_ms,
        gap_ms: bursts.gap_ms,
        round_trip_ms: (incoming.round_trip_us / 1_000).min(u16::MAX.into()) as u16,
        end_system_ms: playout_ms + PACKET_MS as u16,
        rating: conditions.rating().round() as u8,
        opinion_listening: tenths(for_listening.mean_opinion()),
        opinion_conversation: tenths(conditions.mean_opinion()),
        playout_ms,
        playout_max_ms: PLAYOUT_MAX_MS,
    })
}
