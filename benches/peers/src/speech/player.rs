//! A receiver of RTP: what came, where its timestamps put it.

use std::time::Duration;

use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, Decoder};

/// A packet that came.
#[derive(Debug, Clone)]
pub(crate) struct Came {
    timestamp: u32,
    ssrc: u32,
    payload: Vec<u8>,
    /// After the first packet that was sent.
    pub(crate) at: Duration,
}

impl Came {
    /// A packet of the codec that was agreed; none for anything else, RTCP and comfort noise among it.
    pub(crate) fn of(packet: &[u8], payload_type: u8, at: Duration) -> Option<Self> {
        let (header, payload) = packet.split_first_chunk::<12>()?;
        let word = |from: usize| {
            u32::from_be_bytes([header[from], header[from + 1], header[from + 2], header[from + 3]])
        };
        let plain = header[0] == 0x80 && header[1] & 0x7f == payload_type && !payload.is_empty();
        plain.then(|| Self { timestamp: word(4), ssrc: word(8), payload: payload.to_vec(), at })
    }
}

/// What a phone plays from the first moment on. Where nothing came in time there is silence, or what the codec conceals it
/// with.
///
/// The first packet of a stream is where its arrival puts it; those that follow are where their timestamps put them, as long
/// as they come within the time that the phone buffers. One that comes later is played then, and all that follow so much
/// later: a server that leaves no gap in its timestamps for what it has not got lets the buffer run dry. One that comes
/// after its place has been played is left out.
pub(crate) fn play(came: &[Came], codec: Codec, rate: Rate, conceals: bool) -> anyhow::Result<Vec<i16>> {
    let mut decoder = Decoder::new(codec, rate)?;
    let mut heard: Vec<i16> = Vec::new();
    let mut out = vec![0; rate.samples(120)];
    let mut stream: Option<(u32, u32, usize)> = None;
    for packet in in_order(came) {
        let arrival = rate.samples(packet.at.as_millis() as usize);
        let (ssrc, first, begin) = match stream {
            Some(stream) if stream.0 == packet.ssrc => stream,
            _ => *stream.insert((packet.ssrc, packet.timestamp, arrival.max(heard.len()))),
        };
        let ticks = packet.timestamp.wrapping_sub(first) as usize;
        let place = begin + ticks * rate.hz() as usize / codec.clock_hz() as usize;
        if place < heard.len() || place > heard.len() + rate.samples(GAP_MS_MAX) {
            continue;
        }
        let missing = place - heard.len();
        let late = arrival.saturating_sub(place + rate.samples(BUFFER_MS)).next_multiple_of(rate.samples(20));
        if late > 0 {
            stream = Some((ssrc, first, begin + late));
        }
        let place = place + late;
        if conceals && !heard.is_empty() {
            // The packet after a single lost one may hold a copy of it.
            let next = (missing == rate.samples(20) && late == 0).then_some(packet.payload.as_slice());
            conceal(&mut decoder, &mut heard, place, next)?;
        }
        heard.resize(place, 0);
        let length = decoder.decode(&packet.payload, &mut out)?;
        heard.extend_from_slice(&out[..length]);
    }
    Ok(heard)
}

/// Fills up to a place, as near as the decoder's unit allows.
fn conceal(
    decoder: &mut Decoder,
    heard: &mut Vec<i16>,
    place: usize,
    next: Option<&[u8]>,
) -> anyhow::Result<()> {
    let unit = decoder.rate().samples(if next.is_some() { 20 } else { decoder.concealed_ms() });
    let mut out = vec![0; unit];
    while place - heard.len() >= unit {
        decoder.conceal(next, &mut out)?;
        heard.extend_from_slice(&out);
    }
    Ok(())
}

/// By timestamp where packets of a stream overtook each other.
fn in_order(came: &[Came]) -> Vec<&Came> {
    let mut packets: Vec<&Came> = came.iter().collect();
    let Some(first) = packets.first().copied() else { return packets };
    packets.sort_by_key(|packet| (packet.ssrc != first.ssrc, packet.timestamp.wrapping_sub(first.timestamp)));
    packets
}

/// How long the phone keeps a packet before it plays it: what phones begin with.
const BUFFER_MS: usize = 60;
/// A longer gap is a timestamp that leapt.
const GAP_MS_MAX: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;
    use sidetone_dsp::Law;

    fn packet(number: u32, value: u8) -> Came {
        let at = Duration::from_millis(u64::from(number) * 20 + 40);
        Came {
            timestamp: 7_u32.wrapping_sub(160).wrapping_add(number * 160),
            ssrc: 1,
            payload: vec![value; 160],
            at,
        }
    }

    #[test]
    fn sound_is_where_timestamps_put_it_and_gaps_are_silent_or_concealed() {
        let (loud, law) = (0x10, Codec::G711(Law::Mu));
        let came: Vec<Came> = [0, 1, 2, 4, 3, 7].map(|number| packet(number, loud)).into();
        let plain = play(&came, law, Rate::Narrow, false).unwrap();
        assert_eq!(plain.len(), 320 + 8 * 160);
        assert!(plain[..320].iter().all(|sample| *sample == 0));
        let loud_in = |heard: &[i16], number: usize| {
            heard[320 + number * 160 + 60..320 + (number + 1) * 160]
                .iter()
                .filter(|sample| **sample != 0)
                .count()
        };
        assert_eq!([3, 5, 6, 7].map(|number| loud_in(&plain, number)), [100, 0, 0, 100]);
        let phone = play(&came, law, Rate::Narrow, true).unwrap();
        assert!(loud_in(&phone, 5) > 50, "{:?}", loud_in(&phone, 5));
    }

    #[test]
    fn a_buffer_that_runs_dry_is_filled_again() {
        let law = Codec::G711(Law::Mu);
        // Timestamps go on, but one packet in ten does not come, and what follows comes 20 ms later each time.
        let came: Vec<Came> = (0..100)
            .map(|number| {
                let mut came = packet(number, 0x10);
                came.at += Duration::from_millis(u64::from(number / 10) * 20);
                came
            })
            .collect();
        let heard = play(&came, law, Rate::Narrow, false).unwrap();
        // Of nine late steps the buffer takes three.
        assert_eq!(heard.len(), 320 + (100 + 6) * 160);
        let quiet = heard[320..].chunks(160).filter(|frame| frame[80..].iter().all(|sample| *sample == 0));
        assert_eq!(quiet.count(), 6);
    }

    #[test]
    fn what_is_no_sound_of_the_codec_is_left_out() {
        let mut bytes = vec![0x80, 0x80, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 0xff];
        assert!(Came::of(&bytes, 0, Duration::ZERO).is_some());
        bytes[1] = 13;
        assert!(Came::of(&bytes, 0, Duration::ZERO).is_none());
        assert!(Came::of(&bytes[..11], 13, Duration::ZERO).is_none());
    }
}
