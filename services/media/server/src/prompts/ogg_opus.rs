//! Opus out of Ogg files (RFC 7845), of one stream or several.

use sidetone_dsp::Rate;
use sidetone_dsp::codec::{Codec, Decoder};
use symphonia::core::packet::Packet;

/// What is decoded at: the rate of prompts, which Opus gives by itself.
pub(super) const RATE: Rate = Rate::Narrow;
/// Samples of 48 kHz, in which Ogg counts, to one of [`RATE`].
pub(super) const GRANULES: usize = 6;
/// The longest packet: 120 ms.
const PACKET_SAMPLES_MAX: usize = 960;
const HEAD_BYTES_MIN: usize = 19;
/// Of the 255 that are allowed; a file of more is no prompt.
const STREAMS_MAX: usize = 8;

/// One file being decoded: its streams, each to one channel, are added up to their mean.
pub(super) struct OggOpus {
    streams: Vec<Decoder>,
    /// Samples to be left out at the start, and those that still are.
    left_out: usize,
    skip: usize,
    gain: f32,
}

impl OggOpus {
    /// Takes the identification header (RFC 7845, section 5.1); none for one that nothing here can decode.
    pub(super) fn new(head: &[u8]) -> Option<Self> {
        if head.len() < HEAD_BYTES_MIN || !head.starts_with(b"OpusHead") {
            return None;
        }
        let streams = if head[18] == 0 { 1 } else { usize::from(*head.get(19)?) };
        if !(1..=STREAMS_MAX).contains(&streams) {
            return None;
        }
        let decibels = f32::from(i16::from_le_bytes([head[16], head[17]])) / 256.0;
        let left_out = usize::from(u16::from_le_bytes([head[10], head[11]])) / GRANULES;
        Some(Self {
            streams: decoders(streams)?,
            left_out,
            skip: left_out,
            gain: 10f32.powf(decibels / 20.0) / (32_768.0 * streams as f32),
        })
    }

    /// What is left out at the start, in granules.
    pub(super) fn left_out(&self) -> i64 {
        (self.left_out * GRANULES) as i64
    }

    /// What comes next is from another place. Nothing of it is left out here; false when there is no decoder for it.
    pub(super) fn begin_anew(&mut self) -> bool {
        self.skip = 0;
        let decoders = decoders(self.streams.len());
        let are_there = decoders.is_some();
        self.streams = decoders.unwrap_or_default();
        are_there
    }

    /// Adds the sound of a packet. What is broken is left out, as a player would.
    pub(super) fn decode(&mut self, packet: &Packet, mono: &mut Vec<f32>) {
        let mut sum = [0f32; PACKET_SAMPLES_MAX];
        let (mut rest, mut longest) = (&*packet.data, 0);
        let last = self.streams.len().saturating_sub(1);
        for (n, stream) in self.streams.iter_mut().enumerate() {
            let mut samples = [0i16; PACKET_SAMPLES_MAX];
            let made = if n == last {
                stream.decode(rest, &mut samples)
            } else {
                let Some((own, after)) = delimited(rest) else { return };
                rest = after;
                stream.decode(&own, &mut samples)
            };
            let Ok(made) = made else { continue };
            longest = longest.max(made);
            sum.iter_mut().zip(&samples[..made]).for_each(|(sum, sample)| *sum += f32::from(*sample));
        }
        let end = longest.saturating_sub(packet.trim_end.get() as usize / GRANULES);
        let start = self.skip.min(longest);
        self.skip -= start;
        mono.extend(sum.get(start..end).unwrap_or_default().iter().map(|sample| sample * self.gain));
    }
}

/// A decoder for each stream; none when the library refuses.
fn decoders(streams: usize) -> Option<Vec<Decoder>> {
    (0..streams).map(|_| Decoder::new(Codec::Opus, RATE).ok()).collect()
}

/// One packet off the front of several, and what follows. All but the last say how long their last frame is (RFC 6716,
/// appendix B); that length is taken out, which leaves an ordinary packet.
fn delimited(packets: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let toc = *packets.first()?;
    let mut at = 1;
    let mut header = vec![toc];
    let (frames, mut padding) = (frame_count(packets)?, 0);
    let mut ahead = 0;
    let varies = match toc & 3 {
        3 => {
            let described = packets[1];
            header.push(described);
            at = 2;
            if described & 0x40 != 0 {
                padding = padding_bytes(packets, &mut at, &mut header)?;
            }
            described & 0x80 != 0
        }
        code => code == 2,
    };
    if varies {
        for _ in 1..frames {
            let from = at;
            ahead += length(packets, &mut at)?;
            header.extend(&packets[from..at]);
        }
    }
    let own = length(packets, &mut at)?;
    let sound = if varies { ahead + own } else { own * frames };
    let end = at.checked_add(sound + padding)?;
    header.extend(packets.get(at..end)?);
    Some((header, &packets[end..]))
}

fn frame_count(packet: &[u8]) -> Option<usize> {
    Some(match packet.first()? & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => usize::from(*packet.get(1)? & 0x3F),
    })
}

/// How much is filled up at the end (RFC 6716, section 3.2.5): each 255 stands for 254 and goes on.
fn padding_bytes(packet: &[u8], at: &mut usize, header: &mut Vec<u8>) -> Option<usize> {
    let mut bytes = 0;
    loop {
        let more = *packet.get(*at)?;
        header.push(more);
        *at += 1;
        bytes += usize::from(more.min(254));
        if more < 255 {
            return Some(bytes);
        }
    }
}

/// The length of a frame (RFC 6716, section 3.2.1).
fn length(packet: &[u8], at: &mut usize) -> Option<usize> {
    let first = usize::from(*packet.get(*at)?);
    *at += 1;
    if first < 252 {
        return Some(first);
    }
    let second = usize::from(*packet.get(*at)?);
    *at += 1;
    Some(second * 4 + first)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each code of RFC 6716, appendix B, figures 25 to 30: what is put together is taken apart.
    #[test]
    fn packets_of_every_code_are_taken_apart() {
        let long = [7u8; 300];
        let cases: [(&[u8], &[u8], &[u8]); 6] = [
            (&[0], &[3, 1, 2, 3], &[0, 1, 2, 3]),
            (&[1], &[2, 1, 2, 3, 4], &[1, 1, 2, 3, 4]),
            (&[2, 1], &[2, 9, 3, 4], &[2, 1, 9, 3, 4]),
            (&[3, 2], &[1, 5, 6], &[3, 2, 5, 6]),
            (&[3, 0x82, 1], &[2, 5, 6, 7], &[3, 0x82, 1, 5, 6, 7]),
            (&[3, 0x41, 2], &[1, 5, 0, 0], &[3, 0x41, 2, 5, 0, 0]),
        ];
        for (start, rest, ordinary) in cases {
            let mut packets = [start, rest].concat();
            packets.extend([0xAA, 0xBB]);
            let (own, after) = delimited(&packets).unwrap();
            assert_eq!((&own[..], after), (ordinary, &[0xAA, 0xBB][..]), "{start:?}");
            for cut in 0..packets.len() - 2 {
                assert!(delimited(&packets[..cut]).is_none(), "{start:?} cut at {cut}");
            }
        }
        // 300 = 12 * 4 + 252.
        let packets = [&[0, 252, 12][..], &long].concat();
        assert_eq!(delimited(&packets).unwrap().0.len(), 301);
    }

    #[test]
    fn no_header_or_packet_does_harm() {
        let mut head = b"OpusHead\x01\x02\x38\x01\x40\x1f\0\0\0\0\x01\x02\0\0\x01".to_vec();
        assert!(OggOpus::new(&head).is_some());
        for cut in 0..20 {
            assert!(OggOpus::new(&head[..cut]).is_none(), "cut at {cut}");
        }
        head[19] = 0;
        assert!(OggOpus::new(&head).is_none(), "no stream");
        head[19] = 255;
        assert!(OggOpus::new(&head).is_none(), "more streams than channels a prompt has");
    }
}
